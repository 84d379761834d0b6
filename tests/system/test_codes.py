"""PINs, cards and visitors on the whole agent: real digests, real store, simulated door."""

from pathlib import Path

from agent.adapters.clock import SystemClock
from agent.adapters.digest import CodeDigest
from agent.core.credentials import Reader
from agent.core.effects import Indication
from agent.core.events import (
    Admitted,
    CodeDenied,
    CodesLockedOut,
    ConsentSuspended,
    DuressSignalled,
    Erased,
    ErasureCertified,
    SelfServiceBegun,
    VisitorAdmitted,
)
from agent.core.types import Method, Reason, SubjectId, Suspension, Terms
from agent.credentials import add_card, add_resident, invite, set_pin
from tests.contracts.waiting import eventually
from tests.core.people import somebody
from tests.residents import KEY
from tests.system.actors import Agent

ADA = somebody("ada")
PIN, DURESS, CARD = "730264", "915038", "04A2F1"
DIGEST = CodeDigest(KEY)


def resident_without_a_face(agent: Agent) -> SubjectId:
    with agent.command_line() as store:
        bob = add_resident(store, agent.clock, Terms(label="Flat 12, Bob"))
        set_pin(store, agent.clock, DIGEST.pin, bob, PIN, duress=False)
        set_pin(store, agent.clock, DIGEST.pin, bob, DURESS, duress=True)
        add_card(store, agent.clock, DIGEST.card, bob, CARD)
    return bob


def test_a_resident_without_a_face_enters_by_pin_and_by_card(agent: Agent) -> None:
    with agent.running():
        bob = resident_without_a_face(agent)
        agent.door.enter_code(DIGEST.pin(PIN))
        assert agent.archive.of(Admitted) == Admitted(bob, Method.PIN)
        assert eventually(lambda: len(agent.door.pulses) == 1)
        agent.door.present_card(DIGEST.card(CARD))
        assert agent.archive.of(Admitted, 2) == Admitted(bob, Method.CARD)
        assert eventually(lambda: len(agent.door.pulses) == 2)


def test_a_card_with_the_number_of_somebodys_pin_opens_nothing(agent: Agent) -> None:
    with agent.running():
        resident_without_a_face(agent)
        agent.door.present_card(DIGEST.card(PIN))
        denied = CodeDenied(Reason.WRONG_CODE, Reader.CARD_READER, None)
        assert agent.archive.of(CodeDenied) == denied
    assert agent.door.timeline == []


def test_the_pin_of_duress_opens_the_door_and_calls_for_help(agent: Agent) -> None:
    with agent.running():
        bob = resident_without_a_face(agent)
        agent.door.enter_code(DIGEST.pin(DURESS))
        assert agent.archive.of(DuressSignalled) == DuressSignalled(bob)
        assert eventually(lambda: len(agent.door.pulses) == 1)
    shown = set(agent.door.indications)
    assert shown <= {Indication.GRANTED, Indication.IDLE}


def test_a_visitor_enters_once_and_is_forgotten(tmp_path: Path) -> None:
    synchronised = tmp_path / "synchronized"
    synchronised.touch()
    agent = Agent(tmp_path, clock=SystemClock(synchronised=synchronised))
    with agent.running():
        with agent.command_line() as store:
            now = agent.clock.now()
            invited = invite(store, agent.clock, DIGEST.pin, "Plumber", None, now.wall + 600.0)
        agent.door.enter_code(DIGEST.pin(invited.code))
        admitted = agent.archive.of(VisitorAdmitted)
        assert admitted == VisitorAdmitted(invited.visitor)
        agent.door.enter_code(DIGEST.pin(invited.code))
        agent.archive.of(CodeDenied)
        assert eventually(lambda: len(agent.door.pulses) == 1)
    assert b"Plumber" not in agent.path.read_bytes()


def test_wrong_codes_shut_the_keypad_also_for_an_agent_that_was_started_anew(
    agent: Agent,
) -> None:
    with agent.running():
        bob = resident_without_a_face(agent)
        for number in range(5):
            agent.door.enter_code(DIGEST.pin(f"{number:06}"))
        assert agent.archive.of(CodesLockedOut) == CodesLockedOut(Reader.KEYPAD, 60.0)
        agent.door.enter_code(DIGEST.pin(PIN))
        assert eventually(lambda: Indication.WAIT in agent.door.indications)
    again = Agent(agent.path.parent)
    with again.running():
        again.door.enter_code(DIGEST.pin(PIN))
        assert eventually(lambda: Indication.WAIT in again.door.indications)
        # Whoever holds a card is not kept waiting by what was done to the keypad.
        again.door.present_card(DIGEST.card(CARD))
        assert again.archive.of(Admitted) == Admitted(bob, Method.CARD)
    assert not any(isinstance(each, Admitted) for each in agent.archive.events)


def test_a_resident_pauses_the_own_face_and_leaves_by_the_button(agent: Agent) -> None:
    with agent.command_line() as store:
        set_pin(store, agent.clock, DIGEST.pin, ADA.id, PIN, duress=False)
    with agent.running():
        agent.door.hold_enrol_button()
        agent.door.enter_code(DIGEST.pin(PIN))
        assert agent.archive.of(SelfServiceBegun) == SelfServiceBegun(ADA.id, Method.PIN)
        agent.door.press_enrol_button()
        told = agent.archive.of(ConsentSuspended)
        assert told == ConsentSuspended(ADA.id, Suspension.PAUSED)
        agent.door.hold_enrol_button()
        agent.door.enter_code(DIGEST.pin(PIN))
        agent.archive.of(SelfServiceBegun, 2)
        for _ in range(2):
            agent.door.hold_enrol_button()
        agent.door.enter_code(DIGEST.pin(PIN))
        assert agent.archive.of(Erased) == Erased(ADA.id)
        certified = agent.archive.of(ErasureCertified)
    assert isinstance(certified, ErasureCertified)
    assert certified.certificate == agent.certificate(ADA)
    assert agent.door.timeline == []
