"""The service manager, by the sd_notify protocol: one datagram for each thing it is told."""

import logging
import socket

from agent.errors import DeviceError

log = logging.getLogger(__name__)


class NotifySocket:
    """Tells systemd how the service fares; implements ports.ServiceManager.

    address: the variable NOTIFY_SOCKET, a path or `@` and an abstract name; None where nobody wants
    to know. Raises DeviceError for any other address.
    """

    def __init__(self, address: str | None) -> None:
        self._address = address
        if address and address[0] == "@":
            self._address = "\0" + address[1:]
        elif address and address[0] != "/":
            raise DeviceError(f"systemd: NOTIFY_SOCKET={address} is no AF_UNIX address: unset it")

    def ready(self) -> None:
        """Say that the door works."""
        self._notify(b"READY=1")

    def alive(self) -> None:
        """Put off the watchdog."""
        self._notify(b"WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the agent is about to end."""
        self._notify(b"STOPPING=1")

    def _notify(self, state: bytes) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service:
                # One that does not read must not keep the deciding thread waiting.
                service.settimeout(0)
                service.sendto(state, self._address)
        except OSError as error:
            log.warning("systemd: %s could not be sent: %s", state.decode(), error)
