"""An administrator's computer at a real broker, with a door that keeps the contract."""

import contextlib
import json
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.adapters.broker import Access
from agent.adapters.note import Signer, parse_verifier
from agent.cli import main
from agent.core.effects import Answer
from agent.core.events import (
    DoorbellRang,
    Enrolled,
    EnrolmentFailed,
    EnrolmentFailure,
    Erased,
    ErasureCertified,
    Event,
    LogPruned,
    Started,
)
from agent.core.guard import Guard
from agent.core.orders import (
    Delivered,
    FindKey,
    Leave,
    Operation,
    Order,
    Press,
    RejectedError,
    Rejection,
    RemoteUnlock,
    TrustedController,
)
from agent.core.types import AuthorityKind, SubjectId
from agent.errors import ConfigError, StoreError
from agent.ports import Recorded, SubjectRow
from agent.remote.archive import Archive
from agent.remote.collector import Collector, News
from agent.remote.keys import Labels, make_key, read_key
from agent.remote.line import Line, Message
from agent.remote.words import refusal
from agent.reporting import Reporting
from agent.wire.commands import controller_id, read_command
from agent.wire.events import encode_event, parse_ack, read_envelope
from agent.wire.states import encode_answer, encode_challenge, encode_list
from agent.wire.topics import OFFLINE, ONLINE, Topics
from tests.brokers import Broker, collector, free_port
from tests.contracts.waiting import DEADLINE, eventually
from tests.core.people import now_at

FRONT = Topics("front")
ADA, BEN = SubjectId("s-00000000000000ad"), SubjectId("s-00000000000000be")


def recorded(seq: int, event: Event, wall: float = 1.8e9) -> Recorded:
    return Recorded(seq, "boot", now_at(float(seq), wall), event, "")


class Log:
    """What `Reporting` reads of a store: the events that are left, and how far a collector is."""

    def __init__(self) -> None:
        self.kept: dict[int, Recorded] = {}
        self._cursor = 0

    def events(self, *, after: int, limit: int = 10**6) -> list[Recorded]:
        return [self.kept[seq] for seq in sorted(self.kept) if seq > after][:limit]

    def last_events(self, limit: int) -> list[Recorded]:
        return [self.kept[seq] for seq in sorted(self.kept)][-limit:]

    def cursor(self) -> int:
        return self._cursor

    def move_cursor(self, seq: int) -> None:
        if seq <= max(self.kept, default=0):
            self._cursor = max(self._cursor, seq)

    def cut(self, seq: int) -> None:
        self._cursor = min(self._cursor, seq)

    def log_begins(self) -> int:
        return min(self.kept, default=1)


class Door:
    """Judges commands as the agent does and tells its log as the agent does, without the rest.

    obey: gives the answers to an order that is carried out, and what else is published.
    """

    def __init__(self, port: int) -> None:
        self.orders: list[Order] = []
        self.acks: list[int] = []
        self.obey: Callable[[Order], list[tuple[str, bytes]]] = self.done
        self.log = Log()
        self.signer = Signer("doorward/test", bytes(32))
        self.reporting = Reporting(self.log, [self])  # type: ignore[arg-type,list-item]
        self._port = port
        self._number = 0
        self.guard = Guard("front", RemoteUnlock.SIGNED, read_command, lambda: "")
        self.challenges = self.guard._challenges  # noqa: SLF001 - a test decides which are good
        self._client = self._connect()

    def _connect(self) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.max_inflight_messages_set(1000)
        ready = threading.Event()

        def subscribe(*_: object) -> None:
            client.subscribe([("doorward/front/cmd/#", 1), (FRONT.ack, 1)])

        def begin(*_: object) -> None:
            if ready.is_set():
                self.reporting.send_backlog()
            ready.set()

        client.on_connect = subscribe
        client.on_subscribe = begin
        client.on_message = lambda _client, _, message: self._hear(message)
        client.connect("localhost", self._port)
        client.loop_start()
        assert ready.wait(DEADLINE)
        return client

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    # --- a reporter, as far as `Reporting` needs it ---

    def publish(self, event: Recorded) -> None:
        self.say(FRONT.event, encode_event(event))

    def republish(self, event: Recorded) -> None:
        self.say(FRONT.backlog, encode_event(event))

    # --- what tests have it do ---

    def say(self, topic: str, payload: bytes | None, *, retain: bool = False) -> None:
        sent = self._client.publish(topic, payload, qos=1, retain=retain)
        if retain and threading.current_thread() is threading.main_thread():
            # So that whoever connects from now on finds it.
            sent.wait_for_publish(DEADLINE)

    def begin(self, *, good: bool = True) -> str:
        """Come online with a challenge. good: whether the door takes it afterwards."""
        challenge = self.challenge(good=good)
        self.say(FRONT.status, ONLINE, retain=True)
        return challenge

    def challenge(self, *, good: bool = True) -> str:
        self._number += 1
        challenge = f"{self._number:032x}"
        if good:
            self.challenges[challenge] = 0.0
        self.say(FRONT.challenge, encode_challenge(challenge), retain=True)
        return challenge

    def trust(self, verifier: str, *rights: Operation) -> None:
        key = parse_verifier(verifier).key
        trusted = TrustedController(
            controller_id(key), "test", key, frozenset(rights or list(Operation))
        )
        self.guard.loaded({trusted.id: trusted})

    def happen(self, event: Event, *, told: bool = True) -> int:
        seq = max(self.log.kept, default=0) + 1
        self.log.kept[seq] = recorded(seq, event)
        if told:
            self.reporting.report()
            self.say_head(seq)
        else:
            self.reporting.begin()
        return seq

    def say_head(self, seq: int, hashed: str = "aGFzaA==") -> None:
        note = self.signer.note(f"doorward/test\n{seq}\n{hashed}\n")
        self.say(FRONT.head, note.encode(), retain=True)

    def prune(self, up_to: int, *, told: bool = True) -> None:
        for seq in range(1, up_to + 1):
            self.log.kept.pop(seq, None)
        if told:
            self.say_state(up_to + 1)

    def say_state(self, log_begins: int) -> None:
        state = {"v": 1, "log_begins": log_begins, "residents": 3}
        self.say(FRONT.state, msgspec.json.encode(state), retain=True)

    def restore(self, up_to: int) -> None:
        """Do what `doorward restore` does: the events after this one never were."""
        for seq in list(self.log.kept):
            if seq > up_to:
                del self.log.kept[seq]
        self.log.cut(up_to)
        self.reporting = Reporting(self.log, [self])  # type: ignore[arg-type,list-item]
        self.reporting.begin()

    def done(self, order: Order) -> list[tuple[str, bytes]]:
        answer = encode_answer(Answer(order.request, subject=order.subject))
        return [(FRONT.reply(order.request), answer)]

    def _hear(self, message: MQTTMessage) -> None:
        if message.topic == FRONT.ack:
            seq = parse_ack(bytes(message.payload))
            self.acks.append(seq)
            self.reporting.acknowledged(seq, time.monotonic())
            return
        topic = message.topic.removeprefix("doorward/front/cmd/")
        assert (message.qos, message.retain) == (1, False)
        try:
            order = self.guard.admit(Delivered(topic, bytes(message.payload)), now_at(1.0))
        except RejectedError as error:
            if error.request is not None:
                refused = encode_answer(Answer(error.request, error.reason))
                self.say(FRONT.reply(error.request), refused)
            return
        assert isinstance(order, Order)
        self.orders.append(order)
        for topic, payload in self.obey(order):
            self.say(topic, payload)


@pytest.fixture
def door(broker: Broker) -> Iterator[Door]:
    door = Door(broker.port)
    yield door
    door.close()


@dataclass
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


class Laptop:
    """An administrator's computer, with commands typed in this process."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.key = folder / "keys" / "controller.key"
        self.config = folder / "laptop.toml"
        self.config.write_text(f'[mqtt]\nhost = "localhost"\nport = {port}\ntls = false\n')

    def type(self, *words: str) -> Said:
        given = ["--config", str(self.config), "remote", "--key", str(self.key), *words]
        result = CliRunner().invoke(main, given, prog_name="doorward")
        assert "Traceback" not in result.stderr
        return Said(result.exit_code, result.stdout, result.stderr)

    def ask(self, *words: str) -> Any:  # noqa: ANN401 - as JSON is
        said = self.type(*words, "--json")
        assert said.code == 0, said.err
        return json.loads(said.out)

    def complains(self, *words: str, code: int = 2) -> str:
        said = self.type(*words)
        assert said.code == code, said.err
        assert said.err.startswith("doorward: ")
        assert said.err.count("\n") == 1, said.err
        return said.err

    def verifier(self) -> str:
        if not self.key.exists():
            self.ask("key", "office")
        return str(read_key(self.key).verifier)


@pytest.fixture
def laptop(tmp_path: Path, broker: Broker) -> Laptop:
    return Laptop(tmp_path, broker.port)


@pytest.fixture
def trusted(laptop: Laptop, door: Door) -> Laptop:
    """A computer whose key the door trusts; the door is online."""
    door.trust(laptop.verifier())
    door.begin()
    return laptop


# --- keys and counters ----------------------------------------------------------------------------


def test_a_key_is_for_its_owner_alone_and_prints_what_a_door_takes(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path, 1)
    made = laptop.ask("key", "office")
    assert stat.S_IMODE(laptop.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(laptop.key.parent.stat().st_mode) == 0o700
    verifier = parse_verifier(made["verifier"])
    assert verifier.name == "office"
    assert made["controller"] == controller_id(verifier.key)
    assert str(read_key(laptop.key).verifier) == made["verifier"]
    assert read_key(laptop.key).seed.hex() not in repr(read_key(laptop.key))
    assert "exists already" in laptop.complains("key", "office")
    assert str(read_key(laptop.key).verifier) == made["verifier"]


def test_a_key_that_others_can_read_or_that_was_overwritten_is_refused(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path, 1)
    assert "`doorward remote key NAME`" in laptop.complains("unlock", "front")
    laptop.ask("key", "office")
    laptop.key.chmod(0o640)
    assert f"chmod 600 {laptop.key}" in laptop.complains("unlock", "front")
    laptop.key.chmod(0o600)
    whole = laptop.key.read_bytes()
    for altered in (b"", b"\0" * 40, whole[:-8], whole.replace(b"office", b"home"), b"\xff" * 90):
        laptop.key.write_bytes(altered)
        assert "is no controller's key" in laptop.complains("unlock", "front")
    assert "is no name for a controller" in laptop.complains("key", "My Office")


@pytest.mark.parametrize("end", ["counter", "labels", "lock"])
def test_a_key_never_shares_its_file_with_what_lies_beside_it(tmp_path: Path, end: str) -> None:
    laptop = Laptop(tmp_path, 1)
    laptop.key = tmp_path / f"x.{end}"
    assert "cannot be a key's file" in laptop.complains("key", "office")
    assert not laptop.key.exists()
    make_key(tmp_path / "x.key", "office").path.rename(laptop.key)
    kept = laptop.key.read_bytes()
    for words in (("unlock", "front"), ("list", "front"), ("events", "front", "--seconds", "1")):
        assert "cannot be a key's file" in laptop.complains(*words)
    assert laptop.key.read_bytes() == kept
    laptop.key = Path("/")
    assert "cannot be a key's file" in laptop.complains("events", "front", "--seconds", "1")


def test_a_counter_rises_and_is_never_behind_the_clock(tmp_path: Path) -> None:
    identity = make_key(tmp_path / "controller.key", "office")
    assert identity.next_counter(wall=1_800_000_000.5) == 1_800_000_000_500
    assert identity.next_counter(wall=1_700_000_000.0) == 1_800_000_000_501
    kept = tmp_path / "controller.counter"
    assert kept.read_text() == "1800000000501\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    kept.unlink()
    # As after the key was put back from a backup: the clock has gone on meanwhile.
    assert identity.next_counter(wall=1_800_000_009.0) == 1_800_000_009_000
    for nonsense in ("", "-1\n", "1e9\n", "9" * 17 + "\n"):
        kept.write_text(nonsense)
        with pytest.raises(ConfigError, match=r"controller\.counter: holds no counter: remove it"):
            identity.next_counter(wall=1.0)
    kept.write_text(f"{2**53 - 1}\n")
    with pytest.raises(ConfigError, match="has counted to the end"):
        identity.next_counter(wall=1.0)


def test_two_terminals_never_get_one_counter(tmp_path: Path) -> None:
    make_key(tmp_path / "controller.key", "office")

    def take(_: int) -> int:
        return read_key(tmp_path / "controller.key").next_counter(wall=1.0)

    with ThreadPoolExecutor(4) as terminals:
        taken = list(terminals.map(take, range(40)))
    assert len(set(taken)) == 40


# --- commands -------------------------------------------------------------------------------------


def test_the_door_obeys_a_trusted_key(trusted: Laptop, door: Door) -> None:
    before = int(time.time() * 1000)
    assert trusted.type("unlock", "front") == Said(0, "front is released\n", "")
    reply = trusted.ask("lock", "front")
    assert (reply["door"], reply["result"]) == ("front", "done")
    assert [order.operation for order in door.orders] == [Operation.UNLOCK, Operation.LOCK]
    first, second = (order.counter for order in door.orders)
    assert before <= first < second
    assert trusted.ask("ping", "front")["milliseconds"] > 0
    assert trusted.ask("identify", "front")["result"] == "done"


def test_the_counter_is_kept_before_the_command_is_sent(trusted: Laptop, door: Door) -> None:
    kept: list[int] = []

    def look(order: Order) -> list[tuple[str, bytes]]:
        kept.append(int(trusted.key.with_suffix(".counter").read_text()))
        return door.done(order)

    door.obey = look
    trusted.ask("unlock", "front")
    assert kept == [door.orders[0].counter]


def test_a_stale_challenge_is_tried_once_more_with_the_newest(trusted: Laptop, door: Door) -> None:
    stale = door.challenge(good=False)
    sent: list[bytes] = []
    read = door.guard._read  # noqa: SLF001 - the door sees what comes, before it judges

    def watch(delivered: Delivered, find_key: FindKey) -> Order | Press | Leave:
        sent.append(delivered.payload[64:])
        if len(sent) == 1:
            door.challenge()
        return read(delivered, find_key)

    door.guard._read = watch  # noqa: SLF001
    assert trusted.type("unlock", "front").code == 0
    first, second = map(json.loads, sent)
    assert first["challenge"] == stale
    assert second["challenge"] != stale
    assert second["counter"] > first["counter"]
    assert second["id"] != first["id"]


@pytest.mark.usefixtures("hasty")
def test_what_stays_stale_is_refused_in_words(trusted: Laptop, door: Door) -> None:
    door.challenge(good=False)
    assert "challenge had changed, twice" in trusted.complains("unlock", "front", code=1)
    assert door.orders == []


def test_a_right_that_lacks_is_named_and_the_program_ends_with_1(
    trusted: Laptop, door: Door
) -> None:
    door.trust(trusted.verifier(), Operation.PING)
    assert "lacks the right to it" in trusted.complains("unlock", "front", code=1)
    said = trusted.type("unlock", "front", "--json")
    assert json.loads(said.out)["reason"] == "unauthorised"
    assert door.orders == []


@pytest.mark.parametrize("reason", Rejection)
def test_every_refusal_is_one_line_with_a_mend(reason: Rejection) -> None:
    line = refusal("front", reason)
    assert line.startswith("front refuses: ")
    assert ": " in line.removeprefix("front refuses: ")
    assert "\n" not in line


def test_a_refusal_without_a_reason_is_still_a_line() -> None:
    assert refusal("front", None).startswith("front refuses: no reason given: ")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands wait for a door no longer than a test needs."""
    monkeypatch.setattr("agent.remote.client.Caller._wait.__defaults__", (0.5,))


@pytest.mark.usefixtures("hasty")
def test_without_an_answer_it_says_what_it_may_be(laptop: Laptop, door: Door) -> None:
    verifier = laptop.verifier()
    assert "was never seen at this broker" in laptop.complains("unlock", "front")
    door.say(FRONT.status, OFFLINE, retain=True)
    assert "front: is offline" in laptop.complains("unlock", "front")
    door.say(FRONT.status, ONLINE, retain=True)
    line = laptop.complains("unlock", "front")
    assert "it trusts no controller yet" in line
    assert f"`doorward controller add {verifier} --right all`" in line
    door.begin()
    line = laptop.complains("unlock", "front")
    assert "does not trust this key" in line
    assert f"`doorward controller add {verifier} --right all`" in line
    assert "broker's ACL" in line
    assert "or a part of the door failed just now" in line


def test_what_the_broker_does_not_let_through_is_named(
    mosquitto_binary: str, tmp_path: Path
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic read doorward/#\n")
    broker = Broker(mosquitto_binary, tmp_path, ["allow_anonymous true", f"acl_file {acl}"])
    acl.write_text(
        "topic read doorward/#\ntopic write doorward/+/status\ntopic write doorward/+/challenge\n"
    )
    broker.start()
    try:
        laptop, door = Laptop(tmp_path, broker.port), Door(broker.port)
        laptop.verifier()
        door.begin()
        line = laptop.complains("unlock", "front")
        assert "ACL does not let this user write doorward/front/cmd/unlock" in line
        door.close()
    finally:
        broker.kill()


def test_without_a_broker_there_is_one_line(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path, free_port())
    laptop.verifier()
    assert "connection refused" in laptop.complains("unlock", "front")
    laptop.config.write_text(
        '[mqtt]\nhost = "no..such..host"\ntls = false\nallow_plaintext = true\n'
    )
    assert "no..such..host:8883" in laptop.complains("unlock", "front")
    laptop.config.write_text("")
    assert "mqtt.host: is not set" in laptop.complains("unlock", "front")


@pytest.mark.parametrize(
    "words",
    [
        ("unlock", "+"),
        ("unlock", "front/#"),
        ("revoke", "front", "Ada"),
        ("policy", "front", ADA, "--schedule", "sometimes"),
        ("policy", "front", ADA, "--not-after", "0001-01-01"),
        ("enrol", "front", "--household", "x" * 65),
        ("events", "front"),
        ("events", "front", "--seconds", "0"),
        ("events", "front", "--seconds", "-1"),
        ("events", "front", "--seconds", "nan"),
        ("events", "front", "--seconds", "inf"),
        ("events", "front", "--seconds", "1e11"),
    ],
)
def test_what_cannot_be_meant_is_one_line(trusted: Laptop, words: tuple[str, ...]) -> None:
    trusted.complains(*words)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe", b"[" * 5000, b'{"v":1}', b"null"])
def test_garbage_from_the_broker_is_no_traceback(
    trusted: Laptop, door: Door, garbage: bytes
) -> None:
    door.obey = lambda order: [(FRONT.event, garbage), *door.done(order)]
    assert trusted.type("unlock", "front").code == 0
    door.obey = lambda order: [(FRONT.reply(order.request), garbage)]
    assert "its answer cannot be read" in trusted.complains("unlock", "front")
    door.say(FRONT.challenge, garbage or b"x", retain=True)
    assert "gives out no challenge" in trusted.complains("unlock", "front")


# --- who is who -----------------------------------------------------------------------------------


def row(subject: str) -> SubjectRow:
    kept = dict.fromkeys(SubjectRow.__dataclass_fields__)
    flags = {"administrator": False, "minor": False, "revoked": False}
    rest = {"id": subject, "label": "", "schedule": "", "references": 5, "enrolled_at": 1.8e9}
    return SubjectRow(**(kept | flags | rest))  # type: ignore[arg-type]


def test_a_label_stays_on_the_computer_and_is_shown_there(
    trusted: Laptop, door: Door, broker: Broker
) -> None:
    def enrol(order: Order) -> list[tuple[str, bytes]]:
        answer = encode_answer(Answer(order.request, subject=ADA))
        over = [BEN, ADA]
        ends = [Enrolled(each, AuthorityKind.CONTROLLER, 5, None) for each in over]
        sent = [(FRONT.event, encode_event(recorded(n, end))) for n, end in enumerate(ends, 1)]
        # The event may well come before the answer.
        return [*sent, (FRONT.reply(order.request), answer)]

    door.obey = enrol
    with collector(broker.port) as everything:
        words = ("--label", "Flat 12, Ada", "--household", "12", "--schedule", "mon 08:00-09:00")
        said = trusted.type("enrol", "front", *words)
        assert said.code == 0
        assert f"enrolled {ADA} (Flat 12, Ada)" in said.out
        assert eventually(lambda: len(everything.payloads(FRONT.event)) == 2)
        assert not any(b"Flat 12" in bytes(each.payload) for each in everything.messages)
    assert door.orders[0].terms is not None
    assert door.orders[0].terms.household == "12"
    assert stat.S_IMODE(trusted.key.with_suffix(".labels").stat().st_mode) == 0o600
    door.obey = lambda order: [
        (FRONT.reply(order.request), encode_list(Answer(order.request), [row(ADA)], more=False))
    ]
    assert "Flat 12, Ada" in trusted.type("list", "front").out
    assert trusted.ask("list", "front")[0]["label"] == "Flat 12, Ada"


def test_an_enrolment_that_fails_says_why_and_keeps_no_label(trusted: Laptop, door: Door) -> None:
    def fail(order: Order) -> list[tuple[str, bytes]]:
        failed = EnrolmentFailed(ADA, EnrolmentFailure.NO_FACE)
        answer = encode_answer(Answer(order.request, subject=ADA))
        event = encode_event(recorded(1, failed))
        return [(FRONT.reply(order.request), answer), (FRONT.event, event)]

    door.obey = fail
    said = trusted.type("enrol", "front", "--label", "Ada")
    assert said.code == 1
    assert "not enrolled: no face" in said.out
    assert Labels(trusted.key).of("front") == {}
    door.obey = door.done
    assert trusted.type("enrol", "front", "--cancel").code == 0
    assert door.orders[-1].terms is None


def test_an_erasure_prints_the_certificate_and_forgets_the_label(
    trusted: Laptop, door: Door
) -> None:
    certificate = door.signer.note("doorward/erasure/1\n")

    def erase(order: Order) -> list[tuple[str, bytes]]:
        sent: list[Event] = [Erased(BEN), ErasureCertified(BEN, "another")]
        sent += [Erased(ADA), ErasureCertified(ADA, certificate)]
        told = [(FRONT.event, encode_event(recorded(n, e))) for n, e in enumerate(sent, 1)]
        return [*door.done(order), *told]

    door.obey = erase
    for subject in (ADA, BEN):
        Labels(trusted.key).keep("front", subject, "somebody")
    assert trusted.type("erase", "front", ADA) == Said(0, certificate, "")
    assert Labels(trusted.key).of("front") == {BEN: "somebody"}
    assert trusted.ask("erase", "front", ADA)["certificate"] == certificate


def test_a_list_goes_on_until_its_last_page(trusted: Laptop, door: Door) -> None:
    pages = {None: [ADA, BEN], BEN: [SubjectId("s-00000000000000cc")]}
    asked: list[SubjectId | None] = []

    def page(order: Order) -> list[tuple[str, bytes]]:
        asked.append(order.subject)
        rows = [row(each) for each in pages[order.subject]]
        more = order.subject is None
        return [(FRONT.reply(order.request), encode_list(Answer(order.request), rows, more=more))]

    door.obey = page
    assert [each["subject"][-2:] for each in trusted.ask("list", "front")] == ["ad", "be", "cc"]
    assert asked == [None, BEN]
    pages[BEN] = []
    assert len(trusted.ask("list", "front")) == 2


# --- events ---------------------------------------------------------------------------------------


def test_events_are_told_in_words_and_those_of_a_newer_door_as_they_are(
    laptop: Laptop, door: Door
) -> None:
    Labels(laptop.key).keep("front", ADA, "Flat 12")
    known = encode_event(recorded(1, Erased(ADA)))
    newer = msgspec.json.decode(known) | {"kind": "levitated", "event": {"height": "2 \x9bm"}}
    over = threading.Event()

    def tell() -> None:
        # Until somebody hears it, since what was is not told again.
        while not over.wait(0.05):
            for payload in (b"garbage", msgspec.json.encode(newer), known):
                door.say(FRONT.event, payload)

    teller = threading.Thread(target=tell)
    teller.start()
    said = laptop.type("events", "front", "--seconds", "1")
    over.set()
    teller.join()
    assert said.code == 0
    assert f"erased {ADA} (Flat 12)" in said.out
    assert 'levitated {"height":"2 \N{REPLACEMENT CHARACTER}m"}' in said.out
    assert "what came is no event" in said.err
    # Who was erased has no name here either.
    assert Labels(laptop.key).of("front") == {}


def test_only_whom_an_erasure_is_about_loses_the_label(laptop: Laptop, door: Door) -> None:
    for subject in (ADA, BEN):
        Labels(laptop.key).keep("front", subject, "somebody")
    sent = msgspec.json.decode(encode_event(recorded(1, Erased(ADA))))
    odd = [
        sent | {"event": {"subject": ADA, "note": f"not {BEN}"}},
        sent | {"event": {"subject": [BEN]}},
        sent | {"event": BEN},
    ]
    door.say(FRONT.event, msgspec.json.encode(sent | {"event": {"subject": BEN}}), retain=True)
    over = threading.Event()

    def tell() -> None:
        while not over.wait(0.05):
            for each in odd:
                door.say(FRONT.event, msgspec.json.encode(each))

    teller = threading.Thread(target=tell)
    teller.start()
    said = laptop.type("events", "front", "--seconds", "1")
    over.set()
    teller.join()
    assert said.code == 0
    assert f"erased {ADA} (somebody)" in said.out
    assert Labels(laptop.key).of("front") == {BEN: "somebody"}


# --- collecting -----------------------------------------------------------------------------------


@dataclass
class Collecting:
    """A collector at work in a thread, and what it told."""

    file: Path
    port: int
    news: list[News] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    error: StoreError | None = None

    def told(self, what: str) -> list[News]:
        return [each for each in self.news if each.what == what]

    def rows(self, query: str = "SELECT seq FROM events ORDER BY seq") -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.file)) as database:
            return [found[0] for found in database.execute(query)]

    def run(self) -> None:
        archive = Archive(self.file, "front")
        access = Access("localhost", self.port, None, None, None)
        try:
            Collector(archive, "front", self.news.append).run(access, self.stop)
        except StoreError as error:
            self.error = error
        finally:
            archive.close()

    def ends_at_fork(self) -> str:
        """Wait until the collector ended with one alarm, and give that."""
        assert eventually(lambda: self.error), self.news
        assert f"{self.file}: " in str(self.error)
        assert "keep this file, and collect into a new one" in str(self.error)
        [alarm] = self.told("warning")
        assert "ALARM" in alarm.text
        assert self.told("stopped") == []
        return f"{alarm.seq}: {alarm.text}"

    @contextlib.contextmanager
    def working(self) -> Iterator["Collecting"]:
        thread = threading.Thread(target=self.run)
        self.stop.clear()
        thread.start()
        try:
            assert eventually(lambda: self.told("connected"))
            yield self
        finally:
            self.stop.set()
            thread.join(DEADLINE)
            assert not thread.is_alive()


@pytest.fixture
def collecting(tmp_path: Path, broker: Broker) -> Collecting:
    return Collecting(tmp_path / "front.sqlite", broker.port)


def test_a_collector_keeps_what_was_and_what_comes_and_acknowledges_it(
    door: Door, collecting: Collecting
) -> None:
    for _ in range(1200):
        door.happen(DoorbellRang(), told=False)
    with collecting.working():
        assert eventually(lambda: door.log.cursor() == 1200)
        door.happen(Started("1", simulated=True))
        assert eventually(lambda: door.log.cursor() == 1201)
        assert eventually(lambda: collecting.told("caught_up"))
    assert collecting.rows() == list(range(1, 1202))
    [head] = collecting.rows("SELECT note FROM heads")
    assert "\n1201\n" in head
    [kept] = collecting.rows("SELECT event FROM events WHERE seq = 1201")
    assert json.loads(kept) == {"version": "1", "simulated": True}
    assert collecting.told("warning") == []
    assert collecting.news[-1].what == "stopped"


def test_nothing_is_acknowledged_before_it_is_committed(
    door: Door, collecting: Collecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed: list[bool] = []
    commit = Archive.commit

    def look(archive: Archive) -> None:
        committed.append(1 in door.acks)
        commit(archive)

    monkeypatch.setattr(Archive, "commit", look)
    with collecting.working():
        door.happen(DoorbellRang())
        assert eventually(lambda: 1 in door.acks)
        acknowledged = collecting.rows()
    assert acknowledged == [1]
    assert committed[0] is False


def test_a_gap_is_asked_for_until_it_is_filled(door: Door, collecting: Collecting) -> None:
    with collecting.working():
        door.happen(DoorbellRang())
        assert eventually(lambda: door.log.cursor() == 1)
        door.happen(DoorbellRang(), told=False)
        door.happen(DoorbellRang())
        assert eventually(lambda: door.log.cursor() == 3)
        # Of the last one only the head got through.
        door.say_head(door.happen(DoorbellRang(), told=False))
        assert eventually(lambda: door.log.cursor() == 4)
    assert collecting.rows() == [1, 2, 3, 4]


def test_it_begins_again_after_what_it_has(door: Door, collecting: Collecting) -> None:
    with collecting.working():
        door.happen(DoorbellRang())
        assert eventually(lambda: door.log.cursor() == 1)
    for _ in range(3):
        door.happen(DoorbellRang(), told=False)
    door.acks.clear()
    collecting.news.clear()
    with collecting.working():
        assert eventually(lambda: door.log.cursor() == 4)
    # With the last one that is here, which is compared.
    assert door.acks[0] == 0
    assert collecting.rows() == [1, 2, 3, 4]


def test_what_another_collector_has_acknowledged_is_still_collected(
    door: Door, collecting: Collecting
) -> None:
    for _ in range(1100):
        door.happen(DoorbellRang(), told=False)
    door.log.move_cursor(1100)
    door.say_head(1100)
    with collecting.working():
        assert eventually(lambda: collecting.told("caught_up"))
    assert collecting.rows() == list(range(1, 1101))


def test_what_the_log_no_longer_has_is_not_waited_for(door: Door, collecting: Collecting) -> None:
    for _ in range(1, 1800):
        door.happen(DoorbellRang(), told=False)
    door.prune(600)
    door.say_head(1799)
    with collecting.working():
        assert eventually(lambda: door.log.cursor() == 1799)
        assert eventually(lambda: collecting.told("caught_up"))
    assert collecting.rows() == list(range(601, 1800))
    [gone] = collecting.told("gone")
    assert "events 1 to 600 are gone" in gone.text
    assert collecting.rows("SELECT last FROM gone") == [600]
    # All that was acknowledged is gone by now, and nothing is left to compare.
    door.happen(DoorbellRang(), told=False)
    door.prune(1799)
    door.acks.clear()
    collecting.news.clear()
    with collecting.working():
        assert eventually(lambda: door.log.cursor() == 1800)
    assert door.acks[0] == 1798
    assert collecting.told("gone") == collecting.told("warning") == []


def test_only_what_is_missing_below_the_logs_beginning_is_gone(
    door: Door, collecting: Collecting
) -> None:
    for _ in range(9):
        door.happen(DoorbellRang(), told=False)
    with collecting.working():
        for seq in (3, 6):
            door.say(FRONT.event, encode_event(recorded(seq, DoorbellRang())))
        assert eventually(lambda: collecting.rows() == list(range(1, 10)))
    collecting.news.clear()
    door.log.kept[10], door.log.kept[14] = (recorded(n, DoorbellRang()) for n in (10, 14))
    door.reporting.begin()
    with collecting.working():
        door.say(FRONT.event, encode_event(recorded(12, DoorbellRang())))
        assert eventually(lambda: collecting.rows()[9:] == [10, 12, 14])
        assert collecting.told("gone") == []
        door.say_state(14)
        assert eventually(lambda: door.log.cursor() == 14)
    assert [each.text.partition(" are")[0] for each in collecting.told("gone")] == [
        "events 11 to 11",
        "events 13 to 13",
    ]


@pytest.mark.parametrize("log_begins", [None, 1])
def test_no_backlog_is_a_proof_that_events_are_gone(
    door: Door, collecting: Collecting, log_begins: int | None
) -> None:
    for seq in range(1, 41):
        door.happen(LogPruned(30) if seq == 40 else DoorbellRang(), told=False)
    if log_begins is not None:
        door.say_state(log_begins)
    answer = door.reporting.acknowledged
    asked: list[int] = []

    def late(seq: int, now: float) -> None:
        asked.append(seq)
        if len(asked) <= 3:
            # As for another collector, or as the rest of what a lost connection cut off.
            for each in door.log.events(after=10):
                door.republish(each)
        else:
            answer(seq, now)

    door.reporting.acknowledged = late  # type: ignore[method-assign]
    with collecting.working():
        assert eventually(lambda: door.log.cursor() == 40)
    assert set(asked[:4]) == {0}
    assert collecting.rows() == list(range(1, 41))
    assert collecting.told("gone") == []


@pytest.mark.parametrize("garbage", [b'{"v":1}', b'{"v":1,"log_begins":0}', b"x", b"null"])
def test_a_state_that_says_nothing_of_the_log_changes_nothing(
    door: Door, collecting: Collecting, garbage: bytes
) -> None:
    with collecting.working():
        door.say(FRONT.state, garbage)
        door.say(FRONT.state, msgspec.json.encode({"v": 1, "log_begins": 2**63}))
        door.happen(DoorbellRang())
        assert eventually(lambda: door.log.cursor() == 1)
    assert collecting.told("gone") == []


# --- a log that is another one --------------------------------------------------------------------


@pytest.mark.parametrize(
    "other", [recorded(2, Started("2", simulated=False)), recorded(2, DoorbellRang(), wall=1.7e9)]
)
def test_an_event_that_comes_again_as_another_ends_it_with_one_alarm(
    door: Door, collecting: Collecting, other: Recorded
) -> None:
    with collecting.working():
        for _ in range(3):
            door.happen(DoorbellRang())
        door.say(FRONT.backlog, encode_event(recorded(2, DoorbellRang())))
        assert eventually(lambda: door.log.cursor() == 3)
        for _ in range(5):
            door.say(FRONT.backlog, encode_event(recorded(3, DoorbellRang(), wall=1.6e9)))
            door.say(FRONT.backlog, encode_event(other))
            door.say(FRONT.backlog, encode_event(recorded(4, DoorbellRang())))
        alarm = collecting.ends_at_fork()
    assert "event 2 came again as another one" in alarm or "event 3 came again" in alarm
    assert max(door.acks) == 3
    assert [*collecting.rows("SELECT kind FROM events WHERE seq < 4")] == ["doorbell_rang"] * 3
    assert collecting.rows("SELECT COUNT(*) FROM changed")[0] > 0
    assert collecting.rows("SELECT seq FROM acknowledged") == [3]


def test_of_events_that_came_at_once_the_first_that_differs_is_named(tmp_path: Path) -> None:
    archive, news = Archive(tmp_path / "front.sqlite", "front"), list[News]()
    collecting = Collector(archive, "front", news.append)

    def come(wall: float) -> None:
        events = [encode_event(recorded(seq, DoorbellRang(), wall)) for seq in (3, 1, 2)]
        collecting._take([Message(FRONT.backlog, each, retained=False) for each in events])  # noqa: SLF001

    come(1.8e9)
    with pytest.raises(StoreError, match="event 1 came again as another one"):
        come(1.7e9)
    archive.close()
    assert [each.seq for each in news] == [1]


def test_a_head_that_comes_again_as_another_ends_it(door: Door, collecting: Collecting) -> None:
    with collecting.working():
        door.happen(DoorbellRang())
        assert eventually(lambda: door.log.cursor() == 1)
        door.say_head(1, "b3RoZXI=")
        assert "head 1 came again as another one" in collecting.ends_at_fork()
    assert len(collecting.rows("SELECT note FROM heads")) == 2


def collected(door: Door, collecting: Collecting, count: int) -> None:
    """Have so many events collected, and the collector away again."""
    with collecting.working():
        for _ in range(count):
            door.happen(DoorbellRang())
        assert eventually(lambda: door.log.cursor() == count)
    collecting.news.clear()
    door.acks.clear()


@pytest.mark.parametrize("happened", [3, 20, 700])
def test_a_restored_door_is_found_out_by_a_collector_that_was_away(
    door: Door, collecting: Collecting, happened: int
) -> None:
    collected(door, collecting, 10)
    door.restore(up_to=5)
    for _ in range(happened):
        door.happen(Started("after", simulated=False), told=False)
    door.say_head(5 + happened)
    with collecting.working():
        # Live, and ahead of what is compared.
        door.happen(Started("after", simulated=False))
        alarm = collecting.ends_at_fork()
    assert "came again as another one" in alarm
    assert 6 <= int(alarm.partition(":")[0]) <= 10
    assert max(door.acks) < 10
    assert collecting.rows("SELECT kind FROM events WHERE seq <= 10") == ["doorbell_rang"] * 10
    assert collecting.rows("SELECT seq FROM acknowledged") == [10]


def test_what_was_kept_before_a_restored_door_was_found_out_hides_nothing(
    door: Door, collecting: Collecting
) -> None:
    collected(door, collecting, 10)
    door.restore(up_to=5)
    answer, door.reporting.acknowledged = door.reporting.acknowledged, lambda *_: None  # type: ignore[method-assign]
    for _ in range(10):
        door.happen(Started("after", simulated=False), told=False)
    with collecting.working():
        for seq in range(11, 16):
            door.say(FRONT.event, encode_event(door.log.kept[seq]))
        assert eventually(lambda: collecting.rows()[-1:] == [15])
        assert eventually(lambda: len(door.acks) > 1)
    assert set(door.acks) == {9}
    assert collecting.told("warning") == []
    collecting.news.clear()
    door.reporting.acknowledged = answer  # type: ignore[method-assign]
    with collecting.working():
        assert "event 10 came again as another one" in collecting.ends_at_fork()
    assert set(door.acks) == {9}


def test_a_log_whose_end_was_cut_off_is_found_out(door: Door, collecting: Collecting) -> None:
    collected(door, collecting, 10)
    door.restore(up_to=7)
    door.say_head(7)
    with collecting.working():
        alarm = collecting.ends_at_fork()
    assert "the log ends with 7, and went on to 10 before" in alarm
    assert max(door.acks) <= 10
    assert collecting.rows() == list(range(1, 11))


def test_an_old_head_that_the_broker_kept_is_no_alarm(door: Door, collecting: Collecting) -> None:
    collected(door, collecting, 10)
    answer = door.reporting.acknowledged
    door.reporting.acknowledged = lambda *_: None  # type: ignore[method-assign]
    door.say_head(4)
    with collecting.working():
        # While the door is away it is not asked in vain only three times.
        assert eventually(lambda: len(door.acks) >= 6)
        assert 3 in door.acks
        door.reporting.acknowledged = answer  # type: ignore[method-assign]
        door.acks.clear()
        assert eventually(lambda: collecting.told("caught_up"))
        assert eventually(lambda: 10 in door.acks)
        door.happen(DoorbellRang())
        assert eventually(lambda: door.log.cursor() == 11)
    assert collecting.told("warning") == []


def test_what_an_erasure_or_a_newer_version_changes_is_no_alarm(
    door: Door, collecting: Collecting
) -> None:
    first = encode_event(recorded(1, Erased(ADA)))
    newer = msgspec.json.decode(first)
    newer["event"]["why"] = "asked"
    forgotten = newer | {"kind": "forgotten", "event": {"kind": "erased"}}
    other = newer | {"kind": "forgotten", "event": {"kind": "granted"}}
    with collecting.working():
        for payload in (first, msgspec.json.encode(newer), msgspec.json.encode(forgotten)):
            door.say(FRONT.event, payload)
        assert eventually(lambda: 1 in door.acks)
        assert collecting.rows("SELECT kind FROM changed") == []
        door.say(FRONT.event, msgspec.json.encode(other))
        assert "event 1 came again" in collecting.ends_at_fork()
    assert collecting.rows("SELECT kind FROM changed") == ["forgotten"]


def test_garbage_is_told_of_and_stops_nothing(door: Door, collecting: Collecting) -> None:
    odd = msgspec.json.decode(encode_event(recorded(7, DoorbellRang())))
    with collecting.working():
        for topic in (FRONT.event, FRONT.backlog, FRONT.head):
            for garbage in (b"x", b"\xff", b"[" * 9000, b"null", b"a" * 20000):
                door.say(topic, garbage)
        door.say(FRONT.head, door.signer.note(f"doorward/test\n{'9' * 5000}\nx\n").encode())
        for event in ({"up_to": "x"}, {"up_to": 2**70}, [1], None, {"up_to": 99}):
            odd["seq"] += 1
            door.say(FRONT.event, msgspec.json.encode(odd | {"kind": "log_pruned", "event": event}))
        # No door has an event retained.
        door.say(FRONT.event, encode_event(recorded(50, DoorbellRang())), retain=True)
        door.happen(DoorbellRang())
        assert eventually(lambda: 1 in door.acks)
    # The 1st, 2nd, 4th, 8th and 16th.
    assert len(collecting.told("warning")) == 5
    assert 50 not in collecting.rows()


def test_it_comes_back_when_the_broker_does(
    door: Door, collecting: Collecting, broker: Broker
) -> None:
    with collecting.working():
        door.happen(DoorbellRang())
        assert eventually(lambda: door.log.cursor() == 1)
        broker.kill()
        assert eventually(lambda: collecting.told("lost"))
        door.happen(DoorbellRang(), told=False)
        broker.start()
        assert eventually(lambda: len(collecting.told("connected")) == 2)
        assert eventually(lambda: door.log.cursor() == 2)
    assert collecting.rows() == [1, 2]


def test_a_file_that_is_no_collectors_is_refused_and_left_alone(
    laptop: Laptop, tmp_path: Path
) -> None:
    text, other = tmp_path / "notes.txt", tmp_path / "other.sqlite"
    text.write_text("not a database at all, but long enough to be taken for one" * 20)
    with contextlib.closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE mine (x)")
    newer = tmp_path / "newer.sqlite"
    Archive(newer, "front").close()
    with contextlib.closing(sqlite3.connect(newer)) as database:
        database.execute("PRAGMA user_version = 2")
    for file in (text, other, newer):
        before = file.read_bytes()
        assert f"{file}: is no file of a collector's" in laptop.complains(
            "collect", "front", "--to", str(file)
        )
        assert file.read_bytes() == before
    assert "is a directory" in laptop.complains("collect", "front", "--to", str(tmp_path))
    missing = str(tmp_path / "none" / "x.sqlite")
    assert "no such file" in laptop.complains("collect", "front", "--to", missing)


def test_a_file_that_takes_no_more_ends_the_collector_before_it_acknowledges(
    door: Door, collecting: Collecting
) -> None:
    archive = Archive(collecting.file, "front")
    archive._db.execute("PRAGMA max_page_count = 1")  # noqa: SLF001 - as a disk that is full
    access = Access("localhost", collecting.port, None, None, None)
    door.log.kept = {1: recorded(1, Started("x" * 9000, simulated=True))}
    door.reporting.begin()
    with pytest.raises(StoreError, match="full: mend that and start again"):
        Collector(archive, "front", collecting.news.append).run(access, collecting.stop)
    archive.close()
    assert set(door.acks) == {0}


def test_a_file_serves_more_than_one_door(tmp_path: Path) -> None:
    front, back = (
        Archive(tmp_path / "all.sqlite", "front"),
        Archive(tmp_path / "all.sqlite", "back"),
    )
    event = msgspec.json.decode(encode_event(recorded(1, DoorbellRang())))
    for archive in (front, back):
        archive.add(read_envelope(msgspec.json.encode(event)))
        archive.commit()
    front.acknowledge(3)
    front.acknowledge(2)
    front.give_up(3, 4)
    front.commit()
    assert (front.acknowledged(), back.acknowledged()) == (3, 0)
    assert front.missing(1, 6) == [(2, 2), (5, 6)]
    assert back.missing(1, 6) == [(2, 6)]
    assert back.missing(1, 1) == []
    front.close()
    back.close()
    assert stat.S_IMODE((tmp_path / "all.sqlite").stat().st_mode) == 0o600


def test_what_is_committed_is_on_the_disk(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "front.sqlite", "front")
    # 2 is FULL: SQLite syncs its journal with every commit.
    assert archive._db.execute("PRAGMA synchronous").fetchone() == (2,)  # noqa: SLF001
    archive.close()


def test_two_terminals_do_not_push_each_other_off_the_broker(broker: Broker) -> None:
    access = Access("localhost", broker.port, None, None, None)
    with Line(access, [FRONT.event]) as first, Line(access, [FRONT.event]) as second:
        for line in (first, second, first):
            assert line.receive(0.2) == []


def test_a_flood_is_collected(mosquitto_binary: str, tmp_path: Path) -> None:
    # So many at once a broker would not keep for anybody; a door sends 500.
    broker = Broker(mosquitto_binary, tmp_path, ["allow_anonymous true", "max_queued_messages 0"])
    broker.start()
    count = 5000
    door, collecting = Door(broker.port), Collecting(tmp_path / "front.sqlite", broker.port)
    with collecting.working():
        for seq in range(1, count + 1):
            door.say(FRONT.event, encode_event(recorded(seq, DoorbellRang())))
        assert eventually(lambda: count in door.acks)
    door.close()
    broker.kill()
    assert collecting.rows() == list(range(1, count + 1))
    # In batches, of which each is on the disk before it is acknowledged.
    assert len(door.acks) < count / 2


# --- the document ---------------------------------------------------------------------------------


def test_the_program_in_the_document_opens_a_door(
    trusted: Laptop, door: Door, broker: Broker, tmp_path: Path
) -> None:
    document = (Path(__file__).parents[2] / "docs" / "remote.md").read_text(encoding="utf-8")
    program = tmp_path / "unlock.py"
    program.write_text(document.partition("```python\n")[2].partition("```")[0], encoding="utf-8")
    words = [sys.executable, str(program), "localhost", str(broker.port), "front", str(trusted.key)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr
    assert [order.operation for order in door.orders] == [Operation.UNLOCK]
