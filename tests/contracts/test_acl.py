"""Who may write and read what at a broker that runs on the files of docs/broker.

All is judged by what is delivered: mosquitto grants every subscription, and acknowledges what it
throws away.
"""

import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.adapters.pki import issue_broker, issue_controller, issue_door, make_authority
from tests.brokers import Broker, free_port
from tests.contracts.waiting import DEADLINE, eventually
from tests.handshake import credentials, welcome

SHIPPED = Path(__file__).parent.parent.parent / "docs" / "broker"
PASSWORD = "correct horse"
# Nobody is shut out of these, so that a test can tell what was thrown away from what is on its way.
OVERSIGHT = "\npattern readwrite mark/%u\nuser controller:overseer\ntopic readwrite #\n"
MARK = "mark/"

SPOKEN = (
    "status",
    "state",
    "lock/state",
    "contact/state",
    "event",
    "event/backlog",
    "event/head",
    "challenge",
    "access",
    "doorbell",
    "duress",
    "reply/r-1",
)
HEARD = ("event/ack", "cmd/enrol", "cmd/erase", "cmd/open", "cmd/broker/open")
OTHER = ("cmd", "reply", "reply/r-1/more", "event/other", "lock", "access/more")
DOORS = ("front", "back")
OFFICE, COLLECTOR, HOME = "controller:office", "controller:collector", "home_assistant"
EVERYBODY = (*DOORS, OFFICE, COLLECTOR, HOME)


def of(door: str, *names: str) -> set[str]:
    return {f"doorward/{door}/{name}" for name in names}


def of_doors(*names: str) -> set[str]:
    return of("front", *names) | of("back", *names)


def of_any(*names: str) -> set[str]:
    """Where a rule has +, which also stands for the names of those who are no door."""
    return of_doors(*names) | of(OFFICE, *names) | of(HOME, *names)


def entries(door: str) -> set[str]:
    """What Home Assistant learns of a door from, in both forms."""
    return {
        f"homeassistant/device/doorward-{door}/config",
        f"homeassistant/lock/doorward-{door}/lock/config",
    }


HOME_TOPICS = (
    entries("front")
    | entries("back")
    | {
        "homeassistant/status",
        "homeassistant/lock/other/config",
        "homeassistant/lock/doorward-front/config",
        "homeassistant/device/doorward-frontier/config",
    }
)
TOPICS = (
    of_doors(*SPOKEN, *HEARD, *OTHER)
    | of_any("status", "cmd/enrol")
    | HOME_TOPICS
    | {"doorward", "doorward/front", "elsewhere", "mark/nobody"}
)

# A pattern counts for everybody, but about topics under their own names, where no door is.
WRITTEN = {
    "front": of("front", *SPOKEN) | entries("front"),
    "back": of("back", *SPOKEN) | entries("back"),
    OFFICE: of_any("cmd/enrol") | of_doors("cmd/erase", "cmd/open") | of(OFFICE, "status"),
    COLLECTOR: of_doors("event/ack"),
    HOME: of_doors("cmd/broker/open") | of(HOME, "status") | HOME_TOPICS,
}
EVENTS = ("event", "event/backlog", "event/head", "event/ack", "event/other")
READ = {
    "front": of("front", *HEARD, "cmd") | {"homeassistant/status"},
    "back": of("back", *HEARD, "cmd") | {"homeassistant/status"},
    OFFICE: of_doors("challenge", "state", "reply/r-1", *EVENTS)
    | of_any("status")
    | of(OFFICE, "cmd/enrol")
    | {"homeassistant/status"},
    COLLECTOR: of_doors(*EVENTS, "state", "duress") | of_any("status") | {"homeassistant/status"},
    HOME: of_doors(*(name for name in SPOKEN if name not in {"challenge", "reply/r-1"}))
    | of_any("status")
    | of(HOME, "cmd/enrol")
    | HOME_TOPICS,
}


@dataclass
class Person:
    """Somebody who is connected, and remembers what was delivered."""

    client: Client
    topics: set[str]
    lost: threading.Event = field(default_factory=threading.Event)
    messages: list[MQTTMessage] = field(default_factory=list)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        sent = self.client.publish(topic, payload, qos=1, retain=retain)
        sent.wait_for_publish(DEADLINE)

    def heard(self, payload: bytes) -> set[str]:
        """On which topics this was delivered."""
        return {each.topic for each in list(self.messages) if each.payload == payload}

    def hears(self, payload: bytes) -> bool:
        """Whether this is delivered at last."""
        return eventually(lambda: self.heard(payload))


@contextmanager
def person(
    port: int, topics: set[str], prepare: Callable[[Client], object], client_id: str = ""
) -> Iterator[Person]:
    """Come to a broker, and subscribe to all of these. prepare: sets credentials."""
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id,
        protocol=MQTTProtocolVersion.MQTTv5,
        reconnect_on_failure=False,
    )
    found = Person(client, topics)
    ready = threading.Event()
    client.on_message = lambda _client, _, message: found.messages.append(message)
    client.on_subscribe = lambda *_: ready.set()

    def subscribe(*_: object) -> None:
        client.subscribe([(topic, 1) for topic in sorted(topics)])

    client.on_connect = subscribe
    client.on_disconnect = lambda *_: found.lost.set()
    prepare(client)
    client.connect("localhost", port)
    client.loop_start()
    try:
        assert ready.wait(DEADLINE)
        yield found
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates of everybody, and in `stranger` those of an authority nobody knows."""
    folder = tmp_path_factory.mktemp("certificates")
    for each in (folder, folder / "stranger"):
        make_authority(each)
        issue_door(each, "front")
    issue_broker(folder, ["localhost"])
    issue_door(folder, "back")
    for name in ("office", "collector", "overseer"):
        issue_controller(folder, name)
    # Whom the stranger trusts does not matter here.
    shutil.copy(folder / "ca.pem", folder / "stranger" / "ca.pem")
    return folder


class Site:
    """A broker with the shipped files, of which nothing is changed but ports and folders."""

    def __init__(self, binary: str, folder: Path, directory: Path) -> None:
        self.folder = folder
        self.directory = directory
        self.broker = Broker(binary, directory, [])
        self.plain_port = free_port()
        self.configure("password_file", "listener 1883", "use_username_as_clientid")
        shipped = (SHIPPED / "acl").read_text(encoding="utf-8")
        (directory / "acl").write_text(shipped + OVERSIGHT, encoding="utf-8")

    def configure(self, *offered: str) -> None:
        """Write the configuration, with these of its lines that are commented out."""
        text = (SHIPPED / "mosquitto.conf").read_text(encoding="utf-8")
        for line in offered:
            assert f"\n#{line}" in text
            text = text.replace(f"\n#{line}", f"\n{line}")
        for old, new in (
            ("listener 8883", f"listener {self.broker.port} 127.0.0.1"),
            ("listener 1883 ", f"listener {self.plain_port} "),
            ("/etc/mosquitto/certs/", f"{self.folder}/"),
            ("/etc/mosquitto/", f"{self.directory}/"),
            ("/var/lib/mosquitto/", f"{self.directory}/"),
            ("/run/mosquitto/", f"{self.directory}/"),
            ("log_dest file /var/log/mosquitto/mosquitto.log", "log_dest stderr"),
        ):
            assert old in text
            text = text.replace(old, new)
        # Started by root it would become another user, who cannot read a test's files.
        (self.directory / "mosquitto.conf").write_text(f"{text}\nuser root\n", encoding="utf-8")

    def prepare(self, who: str) -> Callable[[Client], object]:
        if who == HOME:
            return lambda client: client.username_pw_set(HOME, PASSWORD)
        context = credentials(self.folder, who.replace(":", "-"))
        return lambda client: client.tls_set_context(context)

    @contextmanager
    def visited(self, who: str, topics: set[str], client_id: str = "") -> Iterator[Person]:
        port = self.plain_port if who == HOME else self.broker.port
        with person(port, topics, self.prepare(who), client_id) as found:
            yield found


@contextmanager
def opened(binary: str, folder: Path, directory: Path) -> Iterator[Site]:
    site = Site(binary, folder, directory)
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", str(directory / "passwords"), HOME, PASSWORD],
        check=True,
        capture_output=True,
    )
    site.broker.start()
    try:
        yield site
    finally:
        site.broker.kill()


@pytest.fixture(scope="module")
def site(
    mosquitto_binary: str, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with opened(mosquitto_binary, folder, tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def own_site(mosquitto_binary: str, folder: Path, tmp_path: Path) -> Iterator[Site]:
    """A broker that a test may kill and configure anew."""
    with opened(mosquitto_binary, folder, tmp_path) as site:
        yield site


@dataclass(frozen=True)
class Delivered:
    """What came of everybody writing and being written to on every topic."""

    written: dict[str, set[str]]
    read: dict[str, set[str]]


@pytest.fixture(scope="module")
def delivered(site: Site) -> Delivered:
    """Have everybody write on every topic, and then the overseer."""
    with ExitStack() as stack:
        marks = {f"{MARK}{who}" for who in EVERYBODY}
        overseer = stack.enter_context(site.visited("controller:overseer", TOPICS | marks))
        people = {
            who: stack.enter_context(site.visited(who, TOPICS | {f"{MARK}{who}"}))
            for who in EVERYBODY
        }
        for who, each in people.items():
            for topic in sorted(TOPICS):
                each.client.publish(topic, f"by {who}", qos=1)
            # Last, so that whatever is delivered of the others was delivered before.
            each.publish(f"{MARK}{who}", b"written")
        assert eventually(lambda: overseer.heard(b"written") == marks)
        for topic in sorted(TOPICS):
            overseer.client.publish(topic, "by the overseer", qos=1)
        for mark in sorted(marks):
            overseer.publish(mark, b"read")
        for who, each in people.items():
            assert each.hears(b"read"), who
        return Delivered(
            {who: overseer.heard(f"by {who}".encode()) for who in EVERYBODY},
            {who: each.heard(b"by the overseer") for who, each in people.items()},
        )


@pytest.mark.parametrize("who", EVERYBODY)
def test_each_writes_what_is_theirs_to_say_and_nothing_else(delivered: Delivered, who: str) -> None:
    assert delivered.written[who] == WRITTEN[who]


@pytest.mark.parametrize("who", EVERYBODY)
def test_each_reads_what_is_meant_for_them_and_nothing_else(delivered: Delivered, who: str) -> None:
    assert delivered.read[who] == READ[who]


@pytest.mark.parametrize(("door", "other"), [("front", "back"), ("back", "front")])
def test_a_door_has_no_part_in_another_and_gives_nobody_orders(
    delivered: Delivered, door: str, other: str
) -> None:
    """Said once more apart from the tables, since all rests on it."""
    everything = delivered.written[door] | delivered.read[door]
    assert not {topic for topic in everything if f"/{other}/" in topic or f"-{other}/" in topic}
    orders = of_doors(*HEARD)
    assert not delivered.written[door] & orders
    assert delivered.read[door] & orders == of(door, *HEARD)


@pytest.mark.parametrize("who", [OFFICE, COLLECTOR])
def test_nobody_with_a_certificate_opens_on_the_broker_s_word(
    delivered: Delivered, who: str
) -> None:
    assert not delivered.written[who] & of_doors("cmd/broker/open")


@pytest.mark.parametrize("who", EVERYBODY)
def test_only_the_collector_acknowledges_events(delivered: Delivered, who: str) -> None:
    assert bool(delivered.written[who] & of_doors("event/ack")) == (who == COLLECTOR)


# --- who is let in at all


def test_without_a_certificate_nobody_is_let_in(site: Site) -> None:
    assert not welcome(site.broker.port, credentials(site.folder, None))


def test_a_certificate_of_an_unknown_authority_lets_nobody_in(site: Site) -> None:
    assert welcome(site.broker.port, credentials(site.folder, "front"))
    assert not welcome(site.broker.port, credentials(site.folder / "stranger", "front"))


def test_what_is_older_than_tls_1_2_is_not_spoken(site: Site) -> None:
    context = credentials(site.folder, "front")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert welcome(site.broker.port, context)
    # Such old hashes are below what OpenSSL does by itself.
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.deprecated_call():
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        welcome(site.broker.port, context)


def refusal(port: int, prepare: Callable[[Client], object]) -> str:
    """In which words a broker lets somebody not in."""
    said: list[str] = []
    client = Client(
        CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False
    )
    client.on_connect = lambda _client, _, __, reason, ___: said.append(str(reason))
    prepare(client)
    client.connect("localhost", port)
    client.loop_start()
    try:
        assert eventually(lambda: said)
    finally:
        client.loop_stop()
    return said[0]


@pytest.mark.parametrize("words", [None, (HOME, "wrong"), (HOME, None), ("front", PASSWORD)])
def test_without_its_password_nobody_is_home_assistant(
    site: Site, words: tuple[str, str | None] | None
) -> None:
    def prepare(client: Client) -> None:
        if words is not None:
            client.username_pw_set(*words)

    assert refusal(site.plain_port, prepare) == "Not authorized"


def test_as_shipped_there_is_no_second_door_into_the_broker(own_site: Site) -> None:
    own_site.broker.kill()
    own_site.configure()
    own_site.broker.start()
    assert welcome(own_site.broker.port, credentials(own_site.folder, "front"))
    with pytest.raises(ConnectionRefusedError):
        refusal(own_site.plain_port, own_site.prepare(HOME))


@pytest.mark.parametrize("who", ["back", HOME])
def test_nobody_throws_a_door_out_by_coming_under_its_name(site: Site, who: str) -> None:
    command = "doorward/front/cmd/open"
    with site.visited("front", {command}, "doorward-front") as front:
        for client_id in ("doorward-front", "front"):
            with (
                site.visited(who, {f"{MARK}{who}"}, client_id),
                site.visited(OFFICE, {f"{MARK}{OFFICE}"}) as office,
            ):
                office.publish(command, client_id.encode())
                assert front.hears(client_id.encode())
        assert not front.lost.is_set()


# --- what the broker takes and keeps


def test_a_packet_above_64_kib_ends_the_connection(site: Site) -> None:
    status = "doorward/front/status"
    with (
        site.visited("controller:overseer", {status}) as overseer,
        site.visited("front", {"mark/front"}) as front,
    ):
        front.publish(status, bytes(65_000))
        assert overseer.hears(bytes(65_000))
        front.client.publish(status, bytes(66_000), qos=0)
        assert front.lost.wait(DEADLINE)
        assert not overseer.heard(bytes(66_000))


def test_what_is_retained_outlives_a_broker_that_is_killed(own_site: Site) -> None:
    status = "doorward/front/status"
    with own_site.visited("front", {"mark/front"}) as front:
        front.publish(status, b"online", retain=True)
        with own_site.visited("controller:overseer", {status}) as before:
            assert before.hears(b"online")
        own_site.broker.kill()
    own_site.broker.start()
    with own_site.visited(OFFICE, {status}) as office:
        assert office.hears(b"online")


# --- revocation


@pytest.fixture
def openssl() -> None:
    """Skip where it is missing, but never unnoticed in CI."""
    if shutil.which("openssl") is None:
        missing = "openssl is not installed: sudo apt install openssl"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)


@pytest.mark.usefixtures("openssl")
def test_who_is_revoked_is_let_in_no_more_and_the_others_are(
    own_site: Site, tmp_path: Path
) -> None:
    folder = tmp_path / "pki"
    make_authority(folder)
    issue_broker(folder, ["localhost"])
    issue_door(folder, "back")
    revoke = ["sh", str(SHIPPED / "revoke")]
    # Twice the same door, the second time with another certificate.
    for first in (True, False):
        issue_door(folder, "front")
        subprocess.run([*revoke, str(folder / "front.pem")], check=True, capture_output=True)
        if first:
            shutil.copytree(folder, tmp_path / "earlier")
            (folder / "front.pem").unlink()
            (folder / "front.key").unlink()
    own_site.broker.kill()
    own_site.folder = folder
    own_site.configure("crlfile")
    own_site.broker.start()
    assert welcome(own_site.broker.port, credentials(folder, "back"))
    for each in (folder, tmp_path / "earlier"):
        assert not welcome(own_site.broker.port, credentials(each, "front"))


def test_revoking_says_how_it_is_used() -> None:
    helpless = subprocess.run(["sh", str(SHIPPED / "revoke")], capture_output=True, check=False)
    assert helpless.returncode == 2
    assert b"Usage: docs/broker/revoke pki/front.pem" in helpless.stderr
