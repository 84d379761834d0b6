from dataclasses import replace

import numpy as np
import pytest

from agent.core.consent import SUSPENDED_AT_ONCE, Roll
from agent.core.effects import Append, Effect, Erase, SuspendConsent
from agent.core.events import ConsentRenewed, ConsentSuspended, Erased
from agent.core.inputs import StoreLoaded
from agent.core.types import Notice, Subject, SubjectId, Suspension
from tests.core.people import CONSENT, MODEL, NOTICE, Person, now_at, resident, somebody, store_of

ADA, BEN = somebody("ada"), somebody("ben")
NAN = float("nan")
LEAVE = "5f3a9c0b71d2e84610aa"
UNGUARDED: dict[str, object] = {"minor": True}


def until(expires: float) -> dict[str, object]:
    return {"consent": replace(CONSENT, expires=expires)}


def roll_of(*subjects: Subject, wall: float = 1000.0, trusted: bool = True) -> Roll:
    roll = Roll(NOTICE, MODEL)
    people = (ADA, BEN)
    roll.load(store_of(people, subjects), now_at(1.0, wall, trusted=trusted))
    return roll


def matched(roll: Roll) -> list[SubjectId]:
    return list(roll.gallery.subjects)


def suspended(subject: SubjectId, reason: Suspension) -> Effect:
    return Append(ConsentSuspended(subject, reason), SuspendConsent(subject, reason))


def renewed(subject: SubjectId) -> Effect:
    return Append(ConsentRenewed(subject), SuspendConsent(subject, None))


def erased(subject: SubjectId) -> Effect:
    return Append(Erased(subject), Erase(subject))


# --- whose consent stands -------------------------------------------------------------------------


def test_before_the_store_is_loaded_nobody_is_on_the_roll() -> None:
    roll = Roll(NOTICE, MODEL)

    assert matched(roll) == []
    assert roll.gallery.model == MODEL
    assert (roll.standing, roll.suspend()) == ({}, [])
    assert not roll.lapse(now_at(1.0, 1e12))


def test_where_every_consent_stands_the_gallery_is_the_stores_own() -> None:
    store = store_of((ADA, BEN))
    roll = Roll(NOTICE, MODEL)

    roll.load(store, now_at(1.0))

    assert roll.gallery is store.gallery
    assert roll.standing == store.subjects
    assert roll.suspend() == []


def test_whoever_never_consented_is_in_no_gallery_and_has_nothing_to_suspend() -> None:
    roll = roll_of(Subject(ADA.id))

    assert matched(roll) == [BEN.id]
    assert roll.suspend() == []


def test_whose_consent_does_not_stand_is_in_no_gallery_and_suspended_once() -> None:
    roll = roll_of(resident(ADA.id, **UNGUARDED))

    assert matched(roll) == [BEN.id]
    assert np.array_equal(roll.gallery.matrix, BEN.face[None])
    assert list(roll.standing) == [BEN.id]
    assert roll.suspend() == [suspended(ADA.id, Suspension.NO_GUARDIAN)]
    assert roll.suspend() == []


@pytest.mark.parametrize(
    "known",
    [
        {"suspended": Suspension.WITHDRAWN},
        {"suspended": Suspension.PAUSED},
        {"suspended": Suspension.PAUSED} | UNGUARDED | until(2.0),
        {"suspended": Suspension.EXPIRED} | until(2.0),
        {"suspended": Suspension.NO_GUARDIAN} | UNGUARDED,
    ],
)
def test_a_suspension_that_the_store_knows_is_not_recorded_again(known: dict[str, object]) -> None:
    roll = roll_of(resident(ADA.id, **known))

    assert matched(roll) == [BEN.id]
    assert roll.suspend() == []


def test_a_suspension_for_another_reason_than_the_store_knows_is_recorded() -> None:
    roll = roll_of(resident(ADA.id, suspended=Suspension.NOTICE_CHANGED, **UNGUARDED))

    assert matched(roll) == [BEN.id]
    assert roll.suspend() == [suspended(ADA.id, Suspension.NO_GUARDIAN)]
    assert roll.suspend() == []


@pytest.mark.parametrize(
    "reason", [Suspension.NOTICE_CHANGED, Suspension.NO_GUARDIAN, Suspension.EXPIRED]
)
def test_a_suspension_without_a_reason_any_more_ends_once_and_then_the_subject_is_matched(
    reason: Suspension,
) -> None:
    roll = roll_of(resident(ADA.id, suspended=reason))

    assert matched(roll) == [BEN.id]
    assert roll.suspend() == [renewed(ADA.id)]
    assert roll.suspend() == []
    roll.load(store_of((ADA, BEN)), now_at(2.0))
    assert roll.suspend() == []
    assert matched(roll) == [ADA.id, BEN.id]


def test_whoever_paused_the_face_is_enrolled_all_the_same() -> None:
    paused = resident(ADA.id, suspended=Suspension.PAUSED)
    roll = roll_of(paused)

    assert matched(roll) == [BEN.id]
    assert list(roll.standing) == [BEN.id]
    assert roll.knows(ADA.id)
    assert roll.find(ADA.id) == paused
    assert paused in roll.everybody


def test_whoever_leaves_is_found_no_more() -> None:
    roll = roll_of()

    roll.expel(ADA.id)

    assert roll.find(ADA.id) is None
    assert [each.id for each in roll.everybody] == [BEN.id]
    assert matched(roll) == [BEN.id]


def test_an_end_of_a_suspension_that_was_not_committed_is_recorded_again() -> None:
    ada = resident(ADA.id, suspended=Suspension.NOTICE_CHANGED)
    roll = roll_of(ada)
    recorded = roll.suspend()

    roll.load(store_of((ADA, BEN), (ada,)), now_at(2.0))

    assert matched(roll) == [BEN.id]
    assert roll.suspend() == recorded


def test_a_suspension_that_was_not_committed_is_recorded_again_once_it_is_loaded() -> None:
    ada = resident(ADA.id, **UNGUARDED)
    roll = roll_of(ada)
    recorded = roll.suspend()

    roll.load(store_of((ADA, BEN), (ada,)), now_at(2.0))

    assert roll.suspend() == recorded


def test_whoever_consented_anew_before_the_suspension_was_recorded_is_not_suspended() -> None:
    roll = roll_of(resident(ADA.id, **UNGUARDED))

    roll.load(store_of((ADA, BEN)), now_at(2.0))

    assert roll.suspend() == []
    assert matched(roll) == [ADA.id, BEN.id]


def test_a_template_of_nobody_is_in_no_gallery() -> None:
    store = store_of((ADA, BEN))
    roll = Roll(NOTICE, MODEL)

    roll.load(StoreLoaded(store.gallery, {BEN.id: resident(BEN.id)}, ()), now_at(1.0))

    assert matched(roll) == [BEN.id]


def test_a_new_notice_suspends_everybody_a_few_at_a_time() -> None:
    people = [somebody(f"somebody {number}") for number in range(2 * SUSPENDED_AT_ONCE + 1)]
    roll = Roll(Notice("2027-01", NOTICE.sha256), MODEL)

    roll.load(store_of(people), now_at(1.0))

    assert matched(roll) == []
    batches = [roll.suspend() for _ in range(4)]
    assert [len(batch) for batch in batches] == [20, 20, 1, 0]
    changed = Suspension.NOTICE_CHANGED
    assert sum(batches, []) == [suspended(person.id, changed) for person in people]  # noqa: RUF017


# --- while the agent runs -------------------------------------------------------------------------


def test_a_consent_ends_with_the_second_it_expires_at() -> None:
    roll = roll_of(resident(ADA.id, **until(2000.0)))

    assert not roll.lapse(now_at(2.0, 1999.9))
    assert matched(roll) == [ADA.id, BEN.id]
    assert roll.lapse(now_at(3.0, 2000.0))
    assert matched(roll) == [BEN.id]
    assert roll.suspend() == [suspended(ADA.id, Suspension.EXPIRED)]
    assert not roll.lapse(now_at(4.0, 3000.0))


def test_one_consent_ends_after_the_other() -> None:
    roll = roll_of(resident(ADA.id, **until(3000.0)), resident(BEN.id, **until(2000.0)))

    assert roll.lapse(now_at(2.0, 2000.0))
    assert matched(roll) == [ADA.id]
    assert roll.lapse(now_at(3.0, 3000.0))
    assert matched(roll) == []
    assert roll.suspend() == [
        suspended(ADA.id, Suspension.EXPIRED),
        suspended(BEN.id, Suspension.EXPIRED),
    ]


def test_what_was_recorded_is_not_recorded_again_when_the_next_consent_ends() -> None:
    roll = roll_of(resident(ADA.id, **until(3000.0)), resident(BEN.id, **until(2000.0)))
    roll.lapse(now_at(2.0, 2000.0))
    assert roll.suspend() == [suspended(BEN.id, Suspension.EXPIRED)]

    roll.lapse(now_at(3.0, 3000.0))

    assert roll.suspend() == [suspended(ADA.id, Suspension.EXPIRED)]


def test_a_consent_that_ended_stays_ended_when_the_clock_is_set_back() -> None:
    roll = roll_of(resident(ADA.id, **until(2000.0)))
    roll.lapse(now_at(2.0, 2000.0))

    roll.lapse(now_at(3.0, 1000.0))

    assert matched(roll) == [BEN.id]


def test_an_expiry_is_noticed_as_soon_as_the_clock_is_set() -> None:
    roll = roll_of(resident(ADA.id, **until(2000.0)), wall=5000.0, trusted=False)

    assert matched(roll) == [ADA.id, BEN.id]
    assert not roll.lapse(now_at(2.0, 6000.0, trusted=False))
    assert roll.suspend() == []
    assert roll.lapse(now_at(3.0, 6000.0))
    assert matched(roll) == [BEN.id]


@pytest.mark.parametrize(("expires", "due"), [(5000.0, [renewed(ADA.id)]), (4000.0, [])])
def test_an_expiry_that_is_known_is_looked_at_again_as_soon_as_the_clock_is_set(
    expires: float, due: list[Effect]
) -> None:
    ada = resident(ADA.id, suspended=Suspension.EXPIRED, **until(expires))
    roll = roll_of(ada, wall=9000.0, trusted=False)

    assert not roll.lapse(now_at(2.0, 4000.0, trusted=False))
    assert (matched(roll), roll.suspend()) == ([BEN.id], [])
    assert roll.lapse(now_at(3.0, 4000.0))
    assert (matched(roll), roll.suspend()) == ([BEN.id], due)
    assert not roll.lapse(now_at(4.0, 4000.0))


@pytest.mark.parametrize("people", [(ADA, BEN), (BEN, ADA)])
def test_an_expiry_that_is_no_number_is_reached_once_the_clock_is_set(
    people: tuple[Person, ...],
) -> None:
    subjects = (resident(ADA.id, **until(NAN)), resident(BEN.id, **until(2000.0)))
    roll = Roll(NOTICE, MODEL)
    roll.load(store_of(people, subjects), now_at(1.0, 500.0, trusted=False))

    assert roll.lapse(now_at(2.0, 500.0))
    assert matched(roll) == [BEN.id]


# --- leaving --------------------------------------------------------------------------------------


def test_whoever_gives_the_leave_code_is_erased_once() -> None:
    roll = roll_of(resident(ADA.id, leave_code=LEAVE))

    assert roll.leave(ADA.id, LEAVE)
    assert not roll.leave(ADA.id, LEAVE)
    assert roll.erase() == [erased(ADA.id)]
    assert roll.erase() == []
    assert matched(roll) == [BEN.id]
    assert list(roll.standing) == [BEN.id]


def test_whoever_is_suspended_may_leave_and_is_not_suspended_any_more() -> None:
    roll = roll_of(resident(ADA.id, leave_code=LEAVE, **UNGUARDED))

    assert roll.leave(ADA.id, LEAVE)
    assert roll.erase() == [erased(ADA.id)]
    assert roll.suspend() == []


@pytest.mark.parametrize("code", ["", LEAVE[:-1], LEAVE + "a", LEAVE.upper(), "ÄÖÜ", "B" * 16])
def test_a_wrong_leave_code_does_nothing(code: str) -> None:
    roll = roll_of(resident(ADA.id, leave_code=LEAVE), resident(BEN.id, leave_code="B" * 16))

    assert not roll.leave(ADA.id, code)
    assert roll.erase() == []
    assert matched(roll) == [ADA.id, BEN.id]


def test_nobody_leaves_who_is_unknown_or_has_no_leave_code() -> None:
    roll = roll_of()

    assert not roll.leave(SubjectId("nobody"), "")
    assert not roll.leave(ADA.id, "")
    assert roll.erase() == []


def test_an_erasure_is_asked_for_with_each_load_that_shows_that_it_failed() -> None:
    ada = resident(ADA.id, leave_code=LEAVE, **UNGUARDED)
    roll = roll_of(ada)
    roll.leave(ADA.id, LEAVE)
    assert roll.erase() == [erased(ADA.id)]

    for at in (2.0, 3.0):
        roll.load(store_of((ADA, BEN), (ada,)), now_at(at))

        assert (matched(roll), list(roll.standing)) == ([BEN.id], [BEN.id])
        assert not roll.leave(ADA.id, LEAVE)
        assert (roll.erase(), roll.erase()) == ([erased(ADA.id)], [])
        assert roll.suspend() == []


def test_a_load_without_the_subject_ends_the_erasure() -> None:
    roll = roll_of(resident(ADA.id, leave_code=LEAVE))
    roll.leave(ADA.id, LEAVE)

    roll.load(store_of((BEN,)), now_at(2.0))
    assert roll.erase() == []
    roll.load(store_of((ADA, BEN)), now_at(3.0))

    assert roll.erase() == []
    assert matched(roll) == [ADA.id, BEN.id]


def test_those_who_leave_are_erased_one_at_a_time() -> None:
    roll = roll_of(*(resident(person.id, leave_code=LEAVE) for person in (ADA, BEN)))
    roll.leave(BEN.id, LEAVE)
    roll.leave(ADA.id, LEAVE)

    assert [roll.erase() for _ in range(3)] == [[erased(BEN.id)], [erased(ADA.id)], []]
