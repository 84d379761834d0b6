"""What the guard lets pass, one rule at a time; tests/commands has all of them at once."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import count

import pytest

from agent.core.effects import Append, SendChallenge
from agent.core.events import CommandRejected
from agent.core.guard import Guard
from agent.core.orders import (
    Button,
    ControllerId,
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
from agent.core.types import SubjectId
from tests.core.people import now_at

PHONE, OTHER = ControllerId("00" * 8), ControllerId("11" * 8)
UNLOCK = Operation.UNLOCK
WALL = 1_000_000.0
# Written out, so that no constant can be changed unseen.
FRESH, ROTATION, LONGEST_EXPIRY, MAX_PAYLOAD = 60.0, 30.0, 60.0, 16_384
START = 100.0


def controller(
    name: ControllerId = PHONE, counter: int = 0, rights: Iterable[Operation] = Operation
) -> TrustedController:
    return TrustedController(name, "phone", name.encode(), frozenset(rights), counter)


def order(counter: int = 1, challenge: str = "challenge 1", **changes: object) -> Order:
    made = Order(UNLOCK, "front", PHONE, challenge, counter, f"r-{counter}")
    return replace(made, **changes)  # type: ignore[arg-type]


class Post:
    """A guard that reads what it is told to have read. at: monotonic seconds."""

    def __init__(self, mode: RemoteUnlock = RemoteUnlock.SIGNED) -> None:
        self.read: Order | Press | Leave = order()
        self.keys: list[bytes | None] = []
        self.given = 0
        numbers = count(1)
        self.guard = Guard("front", mode, self.reads, lambda: f"challenge {next(numbers)}")
        self.trust(controller())
        self.guard.tick(START)

    def reads(self, _delivered: Delivered, find_key: FindKey) -> Order | Press | Leave:
        self.keys = [find_key(each) for each in (PHONE, OTHER)]
        return self.read

    def trust(self, *controllers: TrustedController) -> None:
        self.guard.loaded({each.id: each for each in controllers})

    def give(
        self,
        read: Order | Press | Leave,
        at: float = START,
        *,
        wall: float = WALL,
        trusted: bool = True,
    ) -> Rejection | None:
        """Have a message judged, and say why it is refused, if it is."""
        self.read = read
        self.given += 1
        delivered = Delivered("", str(self.given).encode())
        return self.deliver(delivered, at, wall=wall, trusted=trusted)

    def deliver(
        self,
        delivered: Delivered,
        at: float = START,
        *,
        wall: float = WALL,
        trusted: bool = True,
    ) -> Rejection | None:
        try:
            admitted = self.guard.admit(delivered, now_at(at, wall, trusted=trusted))
        except RejectedError as error:
            return error.reason
        assert admitted is self.read
        return None


def test_a_fresh_order_passes_once() -> None:
    post = Post()

    assert post.give(order()) is None
    assert post.give(order()) is Rejection.REPLAYED
    assert post.give(order(2)) is None


def test_the_codec_is_lent_the_keys_that_are_trusted_and_no_other() -> None:
    post = Post()
    post.give(order())

    assert post.keys == [PHONE.encode(), None]


@pytest.mark.parametrize(
    ("delivered", "reason"),
    [
        (Delivered("unlock", b"", retained=True), Rejection.RETAINED),
        (Delivered("unlock", b"", duplicate=True), Rejection.DUPLICATE),
        (Delivered("unlock", bytes(MAX_PAYLOAD + 1)), Rejection.OVERSIZED),
        (Delivered("unlock", bytes(MAX_PAYLOAD)), None),
    ],
)
def test_what_is_old_or_too_long_is_not_even_read(
    delivered: Delivered, reason: Rejection | None
) -> None:
    post = Post()

    assert post.deliver(delivered) is reason
    assert bool(post.keys) is (reason is None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"controller": OTHER}, Rejection.UNKNOWN_CONTROLLER),
        ({"door": "back"}, Rejection.OTHER_DOOR),
        ({"challenge": "another"}, Rejection.STALE),
        ({"counter": 0}, Rejection.REPLAYED),
    ],
)
def test_an_order_with_one_thing_wrong_is_refused_and_uses_up_nothing(
    changes: dict[str, object], reason: Rejection
) -> None:
    post = Post()

    assert post.give(replace(order(), **changes)) is reason  # type: ignore[arg-type]
    assert post.give(order()) is None


def test_only_a_trusted_key_is_told_why_it_is_refused() -> None:
    post = Post()
    told: list[str | None] = []
    for each in (order(controller=OTHER), order(door="back")):
        post.read = each
        with pytest.raises(RejectedError) as refused:
            post.guard.admit(Delivered("", b""), now_at(START))
        told.append(refused.value.request)

    assert told == [None, "r-1"]


def test_the_right_has_the_name_of_the_operation() -> None:
    post = Post()
    post.trust(controller(rights={Operation.PING}))

    assert post.give(order()) is Rejection.UNAUTHORISED
    assert post.give(order(operation=Operation.PING)) is None


@pytest.mark.parametrize(
    ("operation", "reason"), [(UNLOCK, Rejection.SWITCHED_OFF), (Operation.LOCK, None)]
)
def test_only_unlocking_can_be_switched_off(operation: Operation, reason: Rejection | None) -> None:
    assert Post(RemoteUnlock.OFF).give(order(operation=operation)) is reason


def test_a_counter_may_leap_and_never_go_back() -> None:
    post = Post()

    assert post.give(order(1000)) is None
    assert post.give(order(999)) is Rejection.REPLAYED
    assert post.give(order(1001)) is None


def test_the_counter_in_the_store_holds_after_a_start() -> None:
    post = Post()
    post.trust(controller(counter=7))

    assert post.give(order(7)) is Rejection.REPLAYED
    assert post.give(order(8)) is None


def test_a_store_that_lags_behind_makes_no_counter_good_again() -> None:
    """As after a commit that failed."""
    post = Post()
    post.give(order(7))
    post.trust(controller(counter=3))

    assert post.give(order(7)) is Rejection.REPLAYED


def test_a_key_counts_for_itself() -> None:
    post = Post()
    post.trust(controller(), controller(OTHER))

    assert post.give(order(7)) is None
    assert post.give(order(1, controller=OTHER)) is None


def test_a_key_that_was_removed_is_unknown() -> None:
    post = Post()
    post.trust(controller(OTHER))

    assert post.give(order()) is Rejection.UNKNOWN_CONTROLLER


# --- challenges -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "reason"),
    [
        (0.0, None),
        (FRESH, None),
        (FRESH + 0.25, Rejection.STALE),
        (-0.25, Rejection.STALE),
        (float("nan"), Rejection.STALE),
    ],
)
def test_a_challenge_is_good_for_a_minute(age: float, reason: Rejection | None) -> None:
    assert Post().give(order(), START + age) is reason


def test_a_new_challenge_comes_every_thirty_seconds_and_the_last_one_stays_good() -> None:
    post = Post()

    assert post.guard.tick(START + ROTATION - 0.25) == []
    assert post.guard.tick(START + ROTATION) == [SendChallenge("challenge 2")]
    assert post.give(order(1), START + FRESH) is None
    assert post.give(order(2, "challenge 2"), START + FRESH + 0.25) is None
    assert post.give(order(3), START + FRESH + 0.25) is Rejection.STALE


def test_a_challenge_that_is_too_old_is_forgotten() -> None:
    post = Post()
    post.guard.tick(START + FRESH + ROTATION)

    assert post.give(order(), START + FRESH + ROTATION) is Rejection.STALE
    assert post.give(order(), START) is Rejection.STALE


def test_without_a_key_there_is_nobody_to_challenge() -> None:
    post = Post()
    post.trust()

    assert post.guard.tick(START + 1e6) == []
    post.trust(controller())
    assert post.guard.tick(START + 1e6) == [SendChallenge("challenge 2")]


# --- presses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "button", "reason"),
    [
        (RemoteUnlock.BROKER, Button.UNLOCK, None),
        (RemoteUnlock.BROKER, Button.LOCK, None),
        (RemoteUnlock.SIGNED, Button.UNLOCK, Rejection.SWITCHED_OFF),
        (RemoteUnlock.SIGNED, Button.LOCK, Rejection.SWITCHED_OFF),
        (RemoteUnlock.OFF, Button.UNLOCK, Rejection.SWITCHED_OFF),
        (RemoteUnlock.OFF, Button.ENROL, None),
        (RemoteUnlock.OFF, Button.IDENTIFY, None),
    ],
)
def test_a_press_moves_the_lock_only_where_the_broker_may(
    mode: RemoteUnlock, button: Button, reason: Rejection | None
) -> None:
    assert Post(mode).give(Press(button, WALL + 1)) is reason


@pytest.mark.parametrize(
    ("ahead", "reason"),
    [
        (0.25, None),
        (LONGEST_EXPIRY, None),
        (0.0, Rejection.EXPIRED),
        (-1.0, Rejection.EXPIRED),
        (LONGEST_EXPIRY + 0.25, Rejection.EXPIRED),
        (float("nan"), Rejection.EXPIRED),
        (float("inf"), Rejection.EXPIRED),
    ],
)
def test_a_press_is_good_until_it_expires_within_a_minute(
    ahead: float, reason: Rejection | None
) -> None:
    assert Post(RemoteUnlock.BROKER).give(Press(Button.UNLOCK, WALL + ahead)) is reason


def test_a_press_needs_a_clock_that_is_set_and_an_order_does_not() -> None:
    post = Post(RemoteUnlock.BROKER)

    assert post.give(Press(Button.UNLOCK, WALL + 1), trusted=False) is Rejection.CLOCK_NOT_SET
    assert post.give(order(), trusted=False) is None


def test_the_same_press_counts_once_as_long_as_it_would_count() -> None:
    post = Post(RemoteUnlock.BROKER)
    post.read = Press(Button.UNLOCK, WALL + 10)
    pressed = Delivered("broker/lock", b"the same")

    assert post.deliver(pressed) is None
    assert post.deliver(pressed) is Rejection.REPLAYED
    assert post.deliver(Delivered("broker/enrol", b"the same")) is None
    assert post.deliver(Delivered("broker/lock", b"another")) is None


def test_no_more_presses_count_at_one_time_than_are_remembered() -> None:
    post = Post(RemoteUnlock.BROKER)
    for _ in range(100):
        assert post.give(Press(Button.UNLOCK, WALL + 10)) is None

    assert post.give(Press(Button.UNLOCK, WALL + 10)) is Rejection.FLOODED
    later = Press(Button.UNLOCK, WALL + 20)
    assert post.give(later, wall=WALL + 10) is None


def test_a_wish_to_leave_passes_for_the_code_decides() -> None:
    leave = Leave("r-1", SubjectId("s-1"), "a secret")

    assert Post(RemoteUnlock.OFF).give(leave, trusted=False) is None
    assert "secret" not in repr(leave)


# --- counting -------------------------------------------------------------------------------------


def test_of_refusals_the_first_the_second_the_fourth_and_so_on_are_recorded() -> None:
    guard = Post().guard

    recorded = [number for number in range(1, 1001) if guard.reject(Rejection.FORGED)]

    assert recorded == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert guard.rejected == {Rejection.FORGED: 1000}


def test_refusals_of_another_kind_are_counted_apart() -> None:
    guard = Post().guard

    assert guard.reject(Rejection.FORGED) == [Append(CommandRejected(Rejection.FORGED, 1))]
    assert guard.reject(Rejection.STALE) == [Append(CommandRejected(Rejection.STALE, 1))]


def test_many_refusals_at_once_are_recorded_once() -> None:
    guard = Post().guard

    assert guard.reject(Rejection.FLOODED, 100) == [Append(CommandRejected(Rejection.FLOODED, 100))]
    assert guard.reject(Rejection.FLOODED, 27) == []
    assert guard.reject(Rejection.FLOODED, 1) == [Append(CommandRejected(Rejection.FLOODED, 128))]
