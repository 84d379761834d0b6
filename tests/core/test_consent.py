from dataclasses import replace

import numpy as np
import pytest

from agent.core.consent import SUSPENDED_AT_ONCE, Roll
from agent.core.events import (
    Append,
    ConsentSuspended,
    Effect,
    Erase,
    Erased,
    StoreLoaded,
    SuspendConsent,
)
from agent.core.types import Notice, Subject, SubjectId, Suspension
from tests.core.people import CONSENT, MODEL, NOTICE, Person, now_at, resident, somebody, store_of

ADA, BEN = somebody("ada"), somebody("ben")
NAN = float("nan")
LEAVE = "5f3a9c0b71d2e84610aa"


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


def test_whoever_has_not_consented_is_in_no_gallery_and_suspended_once() -> None:
    roll = roll_of(Subject(ADA.id))

    assert matched(roll) == [BEN.id]
    assert np.array_equal(roll.gallery.matrix, BEN.face[None])
    assert list(roll.standing) == [BEN.id]
    assert roll.suspend() == [suspended(ADA.id, Suspension.WITHDRAWN)]
    assert roll.suspend() == []


def test_a_suspension_that_the_store_knows_is_not_recorded_again() -> None:
    roll = roll_of(resident(ADA.id, suspended=Suspension.EXPIRED))

    assert matched(roll) == [BEN.id]
    assert roll.suspend() == []


def test_a_suspension_that_was_not_committed_is_recorded_again_once_it_is_loaded() -> None:
    roll = roll_of(Subject(ADA.id))
    recorded = roll.suspend()

    roll.load(store_of((ADA, BEN), (Subject(ADA.id),)), now_at(2.0))

    assert roll.suspend() == recorded


def test_whoever_consented_anew_before_the_suspension_was_recorded_is_not_suspended() -> None:
    roll = roll_of(Subject(ADA.id))

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
        suspended(BEN.id, Suspension.EXPIRED),
        suspended(ADA.id, Suspension.EXPIRED),
    ]


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


def test_whoever_shows_the_leave_code_is_erased_once() -> None:
    roll = roll_of(resident(ADA.id, leave_code=LEAVE))

    assert roll.leave(ADA.id, LEAVE) == [Append(Erased(ADA.id), Erase(ADA.id))]
    assert roll.leave(ADA.id, LEAVE) == []
    assert matched(roll) == [BEN.id]
    assert list(roll.standing) == [BEN.id]


def test_whoever_is_suspended_may_leave_and_is_not_suspended_any_more() -> None:
    roll = roll_of(Subject(ADA.id, leave_code=LEAVE))

    assert roll.leave(ADA.id, LEAVE) == [Append(Erased(ADA.id), Erase(ADA.id))]
    assert roll.suspend() == []


@pytest.mark.parametrize("code", ["", LEAVE[:-1], LEAVE + "a", LEAVE.upper(), "ÄÖÜ", "B" * 16])
def test_a_wrong_leave_code_does_nothing(code: str) -> None:
    roll = roll_of(resident(ADA.id, leave_code=LEAVE), resident(BEN.id, leave_code="B" * 16))

    assert roll.leave(ADA.id, code) == []
    assert matched(roll) == [ADA.id, BEN.id]


def test_nobody_leaves_who_is_unknown_or_has_no_leave_code() -> None:
    roll = roll_of()

    assert roll.leave(SubjectId("nobody"), "") == []
    assert roll.leave(ADA.id, "") == []


def test_an_erasure_that_was_not_committed_may_be_asked_for_again_once_the_store_is_loaded() -> (
    None
):
    ada = resident(ADA.id, leave_code=LEAVE)
    roll = roll_of(ada)
    erased = roll.leave(ADA.id, LEAVE)

    roll.load(store_of((ADA, BEN), (ada,)), now_at(2.0))

    assert roll.leave(ADA.id, LEAVE) == erased


def test_striking_tells_who_was_there() -> None:
    roll = roll_of()

    assert roll.strike(ADA.id)
    assert not roll.strike(ADA.id)
