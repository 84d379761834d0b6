"""What the service manager hears, over a real datagram socket."""

import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.adapters.systemd import NotifySocket
from agent.errors import DeviceError


@dataclass
class Manager:
    """The service manager's end. address: as NOTIFY_SOCKET gives it."""

    address: str
    socket: socket.socket

    def heard(self) -> bytes:
        return self.socket.recv(100)


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    path = request.param == "path"
    address = str(tmp_path / "notify") if path else f"@doorward-test-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(address if path else "\0" + address[1:])
        end.settimeout(10.0)
        yield Manager(address, end)


def test_it_is_told_of_ready_alive_and_stopping(manager: Manager) -> None:
    service = NotifySocket(manager.address)
    service.ready()
    service.alive()
    service.alive()
    service.stopping()
    heard = [manager.heard() for _ in range(4)]
    assert heard == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"STOPPING=1"]


@pytest.mark.parametrize("address", [None, ""])
def test_without_an_address_nobody_is_told(
    address: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    service = NotifySocket(address)
    service.ready()
    service.alive()
    service.stopping()
    assert caplog.text == ""


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(DeviceError, match=r"^systemd: NOTIFY_SOCKET=vsock:2:1234 is no AF_UNIX"):
        NotifySocket("vsock:2:1234")


def test_a_manager_that_is_gone_is_logged_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    NotifySocket(str(tmp_path / "nobody")).alive()
    assert "WATCHDOG=1 could not be sent" in caplog.text


def test_a_manager_that_reads_nothing_does_not_keep_anybody_waiting(manager: Manager) -> None:
    service = NotifySocket(manager.address)
    queued = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    for _ in range(queued + 10):
        service.alive()
    assert manager.heard() == b"WATCHDOG=1"
