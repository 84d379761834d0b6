import pytest

from agent.core.door import Door
from agent.core.effects import Announce, Drop, Energise
from agent.core.types import Grant, LockState, Method, SubjectId


def grant_at(at: float) -> Grant:
    return Grant(SubjectId("ada"), Method.FACE, 0.9, at)


def test_a_door_is_locked_from_the_start() -> None:
    door = Door(5.0, 15.0)

    assert door.state is LockState.LOCKED
    assert door.tick(1e9) == []


def test_a_grant_releases_the_door_for_its_seconds_and_says_so() -> None:
    door, grant = Door(5.0, 15.0), grant_at(10.0)

    assert door.release(grant) == [Energise(grant, 5.0), Announce(LockState.UNLOCKED)]
    assert (door.state, door.deadline) == (LockState.UNLOCKED, 15.0)


def test_a_grant_while_open_neither_lengthens_nor_repeats_the_pulse() -> None:
    door = Door(5.0, 15.0)
    door.release(grant_at(10.0))

    assert door.release(grant_at(14.9)) == []
    assert door.deadline == 15.0


@pytest.mark.parametrize(("now", "locks"), [(14.99, False), (15.0, True), (1e300, True)])
def test_the_door_locks_when_its_deadline_has_come(now: float, locks: bool) -> None:
    door = Door(5.0, 15.0)
    door.release(grant_at(10.0))

    assert door.tick(now) == ([Drop(), Announce(LockState.LOCKED)] if locks else [])
    assert (door.state is LockState.LOCKED) is locks


@pytest.mark.parametrize("now", [float("nan"), float("inf")])
def test_a_clock_that_makes_no_sense_locks_the_door(now: float) -> None:
    door = Door(5.0, 15.0)
    door.release(grant_at(10.0))

    assert door.tick(now) == [Drop(), Announce(LockState.LOCKED)]


def test_a_door_that_locked_locks_once() -> None:
    door = Door(5.0, 15.0)
    door.release(grant_at(10.0))
    door.tick(15.0)

    assert door.tick(16.0) == []


def test_a_door_locks_on_demand_whatever_its_state() -> None:
    door = Door(5.0, 15.0)
    locked = [Drop(), Announce(LockState.LOCKED)]

    assert door.lock() == locked
    door.release(grant_at(10.0))
    assert door.lock() == locked
    assert door.deadline is None


# --- the leaf -------------------------------------------------------------------------------------

LOCKED = [Drop(), Announce(LockState.LOCKED)]


def test_a_door_locks_behind_whoever_came_in() -> None:
    door = Door(5.0, 15.0)
    door.release(grant_at(10.0))

    assert door.leaf_closed(opened_at=11.0) == LOCKED
    assert door.state is LockState.LOCKED
    assert door.leaf_closed(opened_at=11.0) == []
    assert door.tick(1e9) == []


@pytest.mark.parametrize("opened_at", [9.9, float("-inf"), float("nan")])
def test_a_leaf_that_was_open_before_has_let_in_nobody_yet(opened_at: float) -> None:
    door = Door(5.0, 15.0)
    door.release(grant_at(10.0))

    assert door.leaf_closed(opened_at) == []
    assert door.tick(15.0) == LOCKED


def test_whoever_needs_more_time_has_it_and_may_try_twice() -> None:
    door, grant = Door(5.0, 15.0), grant_at(10.0)

    assert door.release(grant, accessible=True)[0] == Energise(grant, 15.0)
    assert door.leaf_closed(opened_at=11.0) == []
    assert door.deadline == 25.0
    assert door.tick(25.0) == LOCKED


def test_the_next_one_who_needs_no_more_time_has_none() -> None:
    door = Door(5.0, 15.0)
    door.release(grant_at(10.0), accessible=True)
    door.tick(25.0)
    door.release(grant_at(30.0))

    assert door.deadline == 35.0
    assert door.leaf_closed(opened_at=31.0) == LOCKED
