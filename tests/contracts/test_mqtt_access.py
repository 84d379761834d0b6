"""How a door is let in by its broker, and the broker is trusted by it."""

import hashlib
import ssl
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from paho.mqtt.client import Client

from agent.adapters.broker import read_access
from agent.config import Mqtt
from agent.core.events import Part
from agent.core.inputs import Faulted, Recovered
from agent.core.orders import Delivered
from agent.errors import ConfigError
from tests.brokers import Broker, Collector, collector
from tests.contracts.doors import EVENT, PING, STATUS, Agent, encrypted, event, plain, running
from tests.contracts.waiting import eventually

pytestmark = pytest.mark.usefixtures("soon")


def test_a_password_lets_the_door_in_and_a_wrong_one_is_reported(
    mosquitto_binary: str, tmp_path: Path
) -> None:
    salt = b"12 bytes you"
    digest = hashlib.pbkdf2_hmac("sha512", b"hunter2", salt, 101, 64)
    known = f"door:$7$101${b64encode(salt).decode()}${b64encode(digest).decode()}\n"
    (tmp_path / "users").write_text(known)
    settings = ["allow_anonymous false", f"password_file {tmp_path / 'users'}"]
    broker = Broker(mosquitto_binary, tmp_path, settings)
    broker.start()
    password = tmp_path / "password"
    access = replace(plain(broker.port), username="door", password_file=str(password))
    try:
        password.write_text("hunter2\nnot this line\n")
        with running(access) as agent:
            assert agent.got(Recovered)
        password.write_text("hunter3\n")
        with running(access) as agent:
            assert agent.got(Faulted)
            assert "not authorized" in agent.faults[0]
            assert "hunter3" not in agent.faults[0]
            assert Recovered(Part.BROKER) not in agent.inbox
    finally:
        broker.kill()


@pytest.fixture
def secured(mosquitto_binary: str, tmp_path: Path, certificates: Path) -> Iterator[Broker]:
    """A broker that knows everybody by their certificate, and lets a door speak for itself only."""
    rules = tmp_path / "acl"
    rules.write_text(
        "user collector\ntopic readwrite #\n"
        "pattern write doorward/%u/#\n"
        "pattern read doorward/%u/cmd/#\n"
        "pattern read doorward/%u/event/ack\n"
    )
    settings = [
        f"cafile {certificates / 'ca.pem'}",
        f"certfile {certificates / 'localhost.pem'}",
        f"keyfile {certificates / 'localhost.key'}",
        "require_certificate true",
        "use_identity_as_username true",
        f"acl_file {rules}",
    ]
    broker = Broker(mosquitto_binary, tmp_path, settings)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def overseer(secured: Broker, certificates: Path) -> Iterator[Collector]:
    def prepare(client: Client) -> None:
        client.tls_set(
            str(certificates / "ca.pem"),
            str(certificates / "collector.pem"),
            str(certificates / "collector.key"),
        )

    with collector(secured.port, prepare=prepare) as listener:
        yield listener


def test_a_door_with_a_certificate_reports_over_tls_and_takes_commands(
    secured: Broker, overseer: Collector, certificates: Path
) -> None:
    with running(encrypted(secured.port, certificates, "front")) as agent:
        assert agent.got(Recovered)
        for seq in range(200):
            agent.reporter.publish(event(seq))
        overseer.publish(PING, b"{}")
        assert agent.got(Delivered)
        assert eventually(lambda: len(overseer.payloads(EVENT)) == 200)
    assert eventually(lambda: overseer.payloads(STATUS) == [b"online", b"offline"])


def test_a_door_cannot_speak_for_another(
    secured: Broker, overseer: Collector, certificates: Path
) -> None:
    with running(encrypted(secured.port, certificates, "front"), door="back") as agent:
        assert agent.got(Recovered)
        agent.reporter.publish(event(1))
        overseer.publish("doorward/back/cmd/ping", b"{}")
        with running(encrypted(secured.port, certificates, "front")) as front:
            assert front.got(Recovered)
            front.reporter.publish(event(2))
            assert eventually(lambda: overseer.payloads(EVENT))
    assert not any(each.topic.startswith("doorward/back/e") for each in overseer.messages)
    assert agent.inbox == [Recovered(Part.BROKER)]


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # paho's, after a failed handshake
def test_a_broker_that_another_authority_vouches_for_is_not_trusted(
    secured: Broker, certificates: Path
) -> None:
    wrong = replace(
        encrypted(secured.port, certificates, "front"), ca_file=str(certificates / "wrong.pem")
    )
    with running(wrong) as agent:
        assert agent.got(Faulted)
        assert "its certificate is not trusted: " in agent.faults[0]


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # paho's, after a failed handshake
def test_a_broker_with_a_certificate_for_another_name_is_not_trusted(
    secured: Broker, certificates: Path
) -> None:
    settings = replace(encrypted(secured.port, certificates, "front"), host="127.0.0.1")
    with running(settings) as agent:
        assert agent.got(Faulted)
        assert "not trusted: IP address mismatch" in agent.faults[0]


def test_nothing_older_than_tls_1_2_is_spoken(certificates: Path) -> None:
    # No broker of today can be made to speak less.
    context = read_access(encrypted(8883, certificates, "front")).tls
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("key", "content", "complaint"),
    [
        ("ca_file", None, "no such file or directory"),
        ("ca_file", "no certificate", "no certificate or crl found"),
        ("cert_file", None, "no such file or directory"),
        ("cert_file", "no certificate", "not in pem format"),
        ("password_file", None, "no such file or directory"),
        ("password_file", b"\xff", "not UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_before_anything_starts(
    tmp_path: Path, certificates: Path, key: str, content: str | bytes | None, complaint: str
) -> None:
    given = tmp_path / "given"
    if content is not None:
        given.write_bytes(content if isinstance(content, bytes) else content.encode())
    agent = Agent(
        replace(encrypted(8883, certificates, "front"), username="u", **{key: str(given)})
    )
    with pytest.raises(ConfigError) as caught:
        agent.reporter.start(agent.inbox.append)
    agent.reporter.close()
    message = str(caught.value)
    assert message.startswith(f"mqtt.{key}: {given}: {complaint}")
    assert "\n" not in message


def test_a_key_under_a_passphrase_is_refused_and_not_asked_for(
    tmp_path: Path, certificates: Path
) -> None:
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "ec", "-aes256", "-passout", "pass:secret", "-in", "front.key", "-out", locked],
        cwd=certificates,
        check=True,
        capture_output=True,
    )
    agent = Agent(replace(encrypted(8883, certificates, "front"), key_file=str(locked)))
    with pytest.raises(ConfigError, match=r"^mqtt\.cert_file: "):
        agent.reporter.start(agent.inbox.append)
    agent.reporter.close()


def test_without_a_host_there_is_nothing_to_start() -> None:
    agent = Agent(Mqtt())
    with pytest.raises(ConfigError, match=r"mqtt\.host: is not set"):
        agent.reporter.start(agent.inbox.append)
    agent.reporter.close()
