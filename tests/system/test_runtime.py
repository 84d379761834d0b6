"""The whole agent but for its models: real store, real threads, a simulated door."""

import sqlite3
import threading
import time
from pathlib import Path

import pytest

from agent import app, config
from agent.adapters.mqtt import MqttReporter
from agent.config import Config, Mqtt
from agent.core.credentials import Credentials
from agent.core.effects import Enrol, Indication
from agent.core.events import (
    Admitted,
    Denied,
    DoorbellRang,
    Enrolled,
    EnrolmentFailed,
    EnrolmentFailure,
    Erased,
    FaultCleared,
    FaultRaised,
    Granted,
    LockedOut,
    Part,
    Started,
)
from agent.core.inputs import Acknowledged, EnrolButtonPressed, EnrolCommanded, Faulted, Recovered
from agent.core.types import (
    AuthorityKind,
    Grant,
    LockState,
    QualityIssue,
    Reason,
    Subject,
    SubjectId,
    Terms,
)
from agent.errors import DeviceError, StoreError
from agent.operations import erase, issue_code, revoke
from agent.reporting import DESCRIBE_EVERY
from agent.runtime import LATEST_RELEASE, Door
from tests.brokers import free_port
from tests.contracts.waiting import eventually
from tests.core.people import CALIBRATION, somebody
from tests.residents import KEY
from tests.system.actors import RELEASE_SECONDS, Agent, Hesitant

ADA, BEN, EVE = somebody("ada"), somebody("ben"), somebody("eve")


def test_the_door_opens_for_a_resident_and_locks_by_itself(agent: Agent) -> None:
    with agent.running():
        came_at = time.monotonic()
        agent.corridor.standing = ADA
        granted = agent.archive.of(Granted)
        agent.corridor.standing = None
        # It was locked before, so the last state alone would not say that it is over.
        assert eventually(lambda: len(agent.archive.states) == 3)
        assert eventually(lambda: agent.door.pulses)
    assert isinstance(granted, Granted)
    assert granted.subject == ADA.id
    assert agent.archive.states == [LockState.LOCKED, LockState.UNLOCKED, LockState.LOCKED]
    # The pulse counts from the grant, which is committed before the line is driven.
    [(_, off_at)] = agent.door.pulses
    assert off_at - came_at >= RELEASE_SECONDS
    assert Indication.GRANTED in agent.door.indications


@pytest.mark.parametrize(
    ("release", "accessible", "expected"), [(20.0, 15.0, 20.0), (5.0, 15.0, 15.0)]
)
def test_who_needs_more_time_never_has_less(
    agent: Agent, release: float, accessible: float, expected: float
) -> None:
    given = config.Door(release_seconds=release, accessible_seconds=accessible)
    agent.runtime = app.assemble(
        Config(door=given),
        agent.corridor,
        CALIBRATION,
        Door(agent.corridor, agent.door, [agent.door], agent.door),
        agent.store,
        [agent.archive],
        agent.clock,
        simulated=True,
    )
    card = bytes(31) + b"1"
    slow = Subject(SubjectId("s-cy"), accessible=True, credentials=Credentials(cards=(card,)))
    with agent.command_line() as store:
        event = Enrolled(slow.id, AuthorityKind.ADMINISTRATOR, 0, None)
        store.append(event, agent.clock.now(), Enrol(slow, "Cy", ()))
    asked: list[float] = []
    energise = agent.door.energise

    def note(grant: Grant, seconds: float) -> None:
        asked.append(seconds)
        energise(grant, seconds)

    agent.door.energise = note  # type: ignore[method-assign]
    with agent.running():
        agent.door.present_card(card)
        agent.archive.of(Admitted)
        assert eventually(lambda: asked)
    assert asked == [expected]


def test_a_grant_is_committed_before_the_relay_moves(agent: Agent) -> None:
    committed: list[bool] = []
    energise = agent.door.energise

    def look_first(grant: Grant, seconds: float) -> None:
        with agent.command_line() as store:
            committed.append(isinstance(store.last_events(1)[0].event, Granted))
        energise(grant, seconds)

    agent.door.energise = look_first  # type: ignore[method-assign]
    with agent.running():
        agent.corridor.standing = ADA
        agent.archive.of(Granted)
    assert committed == [True]


def test_a_stranger_is_refused_and_leaves_no_trace(agent: Agent) -> None:
    with agent.running():
        agent.corridor.standing = EVE
        denied = agent.archive.of(Denied)
    assert isinstance(denied, Denied)
    assert (denied.reason, denied.subject) == (Reason.NO_MATCH, None)
    assert agent.door.timeline == []


def test_a_stranger_who_keeps_trying_is_locked_out(agent: Agent) -> None:
    with agent.running():
        agent.corridor.standing = EVE
        agent.archive.of(LockedOut)
        agent.corridor.standing = ADA
        assert eventually(lambda: agent.door.indications[-1:] == [Indication.WAIT])
    assert agent.door.timeline == []


def test_revocation_from_the_command_line_counts_at_once(agent: Agent) -> None:
    with agent.running():
        with agent.command_line() as store:
            revoke(store, agent.clock, ADA.id)
        agent.corridor.standing = ADA
        denied = agent.archive.of(Denied)
    assert isinstance(denied, Denied)
    assert (denied.reason, denied.subject) == (Reason.REVOKED, ADA.id)
    assert agent.door.timeline == []


def test_erasure_from_the_command_line_counts_at_once_and_is_reported(agent: Agent) -> None:
    with agent.running():
        with agent.command_line() as store:
            erase(store, agent.clock, ADA.id)
        assert agent.archive.of(Erased) == Erased(ADA.id)
        agent.corridor.standing = ADA
        denied = agent.archive.of(Denied)
    assert isinstance(denied, Denied)
    assert (denied.reason, denied.subject) == (Reason.NO_MATCH, None)


def test_whoever_holds_the_button_is_enrolled_on_a_code_and_then_admitted(agent: Agent) -> None:
    with agent.running():
        with agent.command_line() as store:
            issue_code(store, agent.clock, "the landlord", Terms(label="Flat 2"))
        agent.corridor.standing = BEN
        agent.door.hold_enrol_button()
        enrolled = agent.archive.of(Enrolled)
        assert isinstance(enrolled, Enrolled)
        granted = agent.archive.of(Granted)
        assert isinstance(granted, Granted)
        assert granted.subject == enrolled.subject
        with agent.command_line() as store:
            [row] = [row for row in store.subjects() if row.id == enrolled.subject]
    assert (row.label, row.authorised_by, row.notice) == ("Flat 2", "the landlord", "2026-11")


def test_nobody_is_enrolled_without_authority(agent: Agent) -> None:
    with agent.running():
        agent.corridor.standing = BEN
        agent.door.hold_enrol_button()
        denied = agent.archive.of(Denied)
    assert isinstance(denied, Denied)
    assert (denied.reason, denied.subject) == (Reason.NO_MATCH, None)
    assert Indication.WHO_ARE_YOU in agent.door.indications
    assert not any(isinstance(event, Enrolled) for event in agent.archive.events)


def test_a_code_sent_from_afar_enrols_once_and_a_wrong_one_spends_it(agent: Agent) -> None:
    with agent.running():
        with agent.command_line() as store:
            code = issue_code(store, agent.clock, "x", Terms()).code
        agent.runtime.post(EnrolCommanded(SubjectId("s-1"), "no such code"))
        agent.archive.of(EnrolmentFailed)
        agent.runtime.post(EnrolCommanded(SubjectId("s-2"), code))
        agent.archive.of(EnrolmentFailed, 2)
        with agent.command_line() as store:
            code = issue_code(store, agent.clock, "x", Terms()).code
        agent.corridor.standing = BEN
        agent.runtime.post(EnrolCommanded(SubjectId("s-3"), code))
        enrolled = agent.archive.of(Enrolled)
    assert isinstance(enrolled, Enrolled)
    assert enrolled.subject == "s-3"


def test_an_enrolment_can_be_cancelled(agent: Agent) -> None:
    with agent.running():
        with agent.command_line() as store:
            issue_code(store, agent.clock, "x", Terms())
        agent.corridor.standing = QualityIssue.BLURRED
        agent.door.hold_enrol_button()
        assert eventually(lambda: Indication.ENROLLING in agent.door.indications)
        agent.runtime.post(EnrolButtonPressed())
        failed = agent.archive.of(EnrolmentFailed)
    assert isinstance(failed, EnrolmentFailed)
    assert failed.reason is EnrolmentFailure.CANCELLED


def test_a_full_disk_refuses_and_says_so_and_the_door_opens_once_there_is_room(
    agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    with agent.running():
        agent.store.full = True
        agent.corridor.standing = ADA
        assert eventually(lambda: Indication.FAULT in agent.door.indications)
        assert agent.door.timeline == []
        assert not any(isinstance(event, Granted) for event in agent.archive.events)
        assert "disk is full" in caplog.text
        agent.store.full = False
        agent.archive.of(Granted)
        assert eventually(lambda: agent.door.timeline)


def test_after_a_failed_look_at_the_store_nobody_enters_on_what_was_known_before(
    agent: Agent,
) -> None:
    with agent.running():
        agent.store.unreadable = 1
        with agent.command_line() as store:
            erase(store, agent.clock, ADA.id)
        agent.corridor.standing = ADA
        agent.archive.of(FaultCleared)
        denied = agent.archive.of(Denied)
    assert isinstance(denied, Denied)
    assert denied.reason is Reason.NO_MATCH
    assert agent.door.timeline == []


def test_whoever_is_erased_while_the_door_decides_is_not_admitted(agent: Agent) -> None:
    with agent.running():
        hesitant = Hesitant(agent.path, agent.clock, KEY)

        def walk_up() -> None:
            agent.corridor.standing = ADA
            assert eventually(lambda: agent.store.waiting)

        hesitant.meanwhile = walk_up
        revoke(hesitant, agent.clock, ADA.id)
        hesitant.close()
        denied = agent.archive.of(Denied)
    assert isinstance(denied, Denied)
    assert denied.reason is Reason.REVOKED
    assert agent.door.timeline == []
    assert not any(isinstance(event, Granted) for event in agent.archive.events)


def test_a_commit_that_takes_too_long_opens_nothing(agent: Agent) -> None:
    with agent.running():
        connection = sqlite3.connect(agent.path, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        agent.corridor.standing = ADA
        assert eventually(lambda: agent.store.waiting)
        time.sleep(LATEST_RELEASE + 0.1)
        agent.corridor.standing = None
        connection.execute("COMMIT")
        connection.close()
        agent.archive.of(FaultRaised)
        agent.archive.of(FaultCleared)
    assert agent.door.timeline == []


def test_what_a_full_disk_kept_from_the_log_is_told_once_there_is_room(agent: Agent) -> None:
    with agent.running():
        agent.store.full = True
        agent.corridor.standing = ADA
        assert eventually(lambda: Indication.FAULT in agent.door.indications)
        agent.runtime.post(Faulted(Part.BROKER, "gone"))
        agent.runtime.post(Recovered(Part.BROKER))
        agent.corridor.standing = None
        agent.store.full = False
        agent.archive.of(FaultCleared, 2)
        assert eventually(lambda: agent.archive.sent_again)
    faults = [e.part for e in agent.archive.events if isinstance(e, FaultRaised | FaultCleared)]
    assert faults == [Part.STORE, Part.BROKER, Part.BROKER, Part.STORE]


def test_whoever_was_granted_but_not_let_in_need_not_wait_for_the_cooldown(agent: Agent) -> None:
    with agent.running():
        agent.door.dead = True
        agent.corridor.standing = ADA
        agent.archive.of(Granted)
        agent.archive.of(FaultRaised)
        agent.door.dead = False
        agent.archive.of(FaultCleared)
        agent.archive.of(Granted, 2)
        assert eventually(lambda: agent.door.timeline)


def test_an_enrolment_that_cannot_be_kept_fails(agent: Agent) -> None:
    with agent.running():
        with agent.command_line() as store:
            issue_code(store, agent.clock, "x", Terms())
        agent.corridor.standing = BEN
        agent.store.full_for_enrolments = True
        agent.door.hold_enrol_button()
        failed = agent.archive.of(EnrolmentFailed)
    assert isinstance(failed, EnrolmentFailed)
    assert failed.reason is EnrolmentFailure.FAULT


def test_an_agent_that_ends_while_the_door_is_open_says_that_it_is_locked(agent: Agent) -> None:
    with agent.running():
        agent.corridor.standing = ADA
        agent.archive.of(Granted)
    assert agent.archive.states[-1] is LockState.LOCKED
    assert agent.door.timeline[-1][1] is False


def test_a_held_button_does_not_fill_the_log(agent: Agent) -> None:
    with agent.running():
        for _ in range(50):
            agent.door.hold_enrol_button()
        agent.door.ring()
        agent.archive.of(DoorbellRang)
    assert agent.archive.events == [Started("test", simulated=True), DoorbellRang()]


def test_a_relay_that_does_not_answer_is_a_fault_that_is_told(agent: Agent) -> None:
    with agent.running():
        agent.door.dead = True
        agent.corridor.standing = ADA
        raised = agent.archive.of(FaultRaised)
        assert isinstance(raised, FaultRaised)
        assert raised.part is Part.RELEASE
        assert agent.archive.states[-1] is LockState.LOCKED
        agent.corridor.standing = None
        agent.door.dead = False
        agent.archive.of(FaultCleared)
    assert agent.door.timeline == []


def test_a_camera_that_fails_denies_until_it_works_again(agent: Agent) -> None:
    with agent.running():
        agent.corridor.broken = DeviceError("camera: gone: plug it in")
        raised = agent.archive.of(FaultRaised)
        assert isinstance(raised, FaultRaised)
        assert raised.part is Part.CAMERA
        agent.corridor.broken = None
        agent.corridor.standing = ADA
        agent.archive.of(FaultCleared)
        agent.archive.of(Granted)


def test_what_nobody_foresaw_ends_the_agent_with_the_door_locked(agent: Agent) -> None:
    with agent.running():
        agent.corridor.standing = ADA
        agent.archive.of(Granted)
        agent.corridor.broken = RuntimeError("a bug")
        assert eventually(lambda: agent.error is not None)
    assert isinstance(agent.error, RuntimeError)
    assert agent.door.timeline[-1][1] is False


def test_the_agent_ends_when_a_replay_does_but_locks_the_door_first(agent: Agent) -> None:
    with agent.running():
        agent.corridor.standing = ADA
        agent.archive.of(Granted)
        agent.corridor.over.set()
        agent.thread.join(10)
        assert not agent.thread.is_alive()
    assert agent.archive.states[-1] is LockState.LOCKED
    assert len(agent.door.pulses) == 1


def test_without_a_broker_the_door_opens_all_the_same_and_says_so(tmp_path: Path) -> None:
    nobody = MqttReporter(Mqtt(host="127.0.0.1", port=free_port(), tls=False), "t", "test")
    agent = Agent(tmp_path, nobody)
    agent.enrol(ADA)
    with agent.running():
        raised = agent.archive.of(FaultRaised)
        assert isinstance(raised, FaultRaised)
        assert raised.part is Part.BROKER
        agent.corridor.standing = ADA
        agent.archive.of(Granted)


def test_what_no_collector_has_is_sent_again_in_order_after_each_connect(agent: Agent) -> None:
    with agent.running():
        agent.runtime.post(Acknowledged(1))
        agent.runtime.post(Recovered(Part.BROKER))
        assert eventually(lambda: agent.archive.sent_again)
        assert agent.archive.sent_again == [2]
        agent.runtime.post(Acknowledged(2))
        agent.runtime.post(Recovered(Part.BROKER))
        agent.runtime.post(EnrolCommanded(SubjectId("s-1"), "000000"))
        agent.archive.of(EnrolmentFailed)
    assert agent.archive.sent_again == [2]


def test_a_disk_that_goes_away_is_a_fault_that_is_told_of_and_does_not_end_the_agent(
    agent: Agent,
) -> None:
    with agent.running():
        assert eventually(lambda: agent.archive.conditions)
        agent.store.gone = True
        assert eventually(lambda: agent.archive.conditions[-1].faults == (Part.STORE,))
        agent.corridor.standing = ADA
        time.sleep(2.5 * DESCRIBE_EVERY)
        assert agent.door.timeline == []
        agent.store.gone = False
        agent.archive.of(FaultCleared)
        agent.archive.of(Granted)
        assert eventually(lambda: agent.archive.conditions[-1].faults == ())
    assert agent.error is None


def test_a_database_that_cannot_be_read_ends_the_start(agent: Agent) -> None:
    agent.store.close()
    agent.path.write_bytes(b"not a database" * 1000)
    thread = threading.Thread(target=agent._run)  # noqa: SLF001 - `running` waits for a start
    thread.start()
    thread.join(10)
    assert isinstance(agent.error, StoreError)
    assert agent.door.timeline == []
