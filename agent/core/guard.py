"""Which of the commands that arrive are carried out: fresh ones, once, from who has the right.

Signed commands prove by a challenge of the door's that they are new, so that this works before
the wall clock is set, and by a counter that no other one came before.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from hashlib import sha256

from agent.core.effects import Append, Effect, SendChallenge
from agent.core.events import CommandRejected
from agent.core.orders import (
    MAX_PAYLOAD,
    Button,
    ControllerId,
    Delivered,
    Leave,
    Operation,
    Order,
    Press,
    Read,
    RejectedError,
    Rejection,
    RemoteUnlock,
    TrustedController,
)
from agent.core.types import Now

ROTATION = 30.0
"""Seconds until the next challenge."""
FRESH = 60.0
"""Seconds for which a challenge is good."""
MOST_PRESSES = 100
"""Unsigned commands that count at one time, at most."""
LONGEST_EXPIRY = 60.0
"""Seconds ahead that an unsigned command may expire, at most."""


class Guard:
    """Judges every message that asks for something.

    door: its name on MQTT. read: the codec of the wire. new_challenge: makes one nobody can guess.
    """

    def __init__(
        self, door: str, mode: RemoteUnlock, read: Read, new_challenge: Callable[[], str]
    ) -> None:
        self._door = door
        self._mode = mode
        self._read = read
        self._new_challenge = new_challenge
        self._challenges: dict[str, float] = {}
        self._rotates_at = float("-inf")
        self._trusted: Mapping[ControllerId, TrustedController] = {}
        self._counters: dict[ControllerId, int] = {}
        self._pressed: dict[bytes, float] = {}
        self.rejected: Counter[Rejection] = Counter()

    def loaded(self, trusted: Mapping[ControllerId, TrustedController]) -> None:
        """Take the keys that are trusted now."""
        self._trusted = trusted

    def tick(self, now: float) -> list[Effect]:
        """Give out a new challenge in time; none while there is nobody to answer it.

        now: monotonic seconds.
        """
        if not self._trusted or now < self._rotates_at:
            return []
        self._rotates_at = now + ROTATION
        challenge = self._new_challenge()
        good = {each: at for each, at in self._challenges.items() if self._is_fresh(at, now)}
        self._challenges = {**good, challenge: now}
        return [SendChallenge(challenge)]

    def admit(self, delivered: Delivered, now: Now) -> Order | Press | Leave:
        """Give what a message asks for, if it is to be done. Raises RejectedError."""
        if delivered.retained:
            raise RejectedError(Rejection.RETAINED)
        if delivered.duplicate:
            raise RejectedError(Rejection.DUPLICATE)
        if not len(delivered.payload) <= MAX_PAYLOAD:
            raise RejectedError(Rejection.OVERSIZED)
        wanted = self._read(delivered, self._key)
        match wanted:
            case Order():
                self._judge_order(wanted, now.monotonic)
            case Press():
                self._judge_press(wanted, now)
                self._remember(delivered, wanted, now)
            case Leave():  # pragma: no branch - there is nothing else
                pass
        return wanted

    def reject(self, reason: Rejection, times: int = 1) -> list[Effect]:
        """Count a refusal; of those of a kind the 1st, 2nd, 4th, 8th and so on are recorded.

        Whoever can publish could otherwise fill the log, and wear out the card.
        """
        before = self.rejected[reason]
        self.rejected[reason] += times
        if self.rejected[reason].bit_length() == before.bit_length():
            return []
        return [Append(CommandRejected(reason, self.rejected[reason]))]

    def _key(self, controller: ControllerId) -> bytes | None:
        known = self._trusted.get(controller)
        return None if known is None else known.key

    def _judge_order(self, order: Order, now: float) -> None:
        controller = self._trusted.get(order.controller)
        if controller is None:
            raise RejectedError(Rejection.UNKNOWN_CONTROLLER)
        if not order.door == self._door:
            raise RejectedError(Rejection.OTHER_DOOR, order.request)
        given_out = self._challenges.get(order.challenge)
        if given_out is None or not self._is_fresh(given_out, now):
            raise RejectedError(Rejection.STALE, order.request)
        used = max(controller.counter, self._counters.get(controller.id, 0))
        if not order.counter > used:
            raise RejectedError(Rejection.REPLAYED, order.request)
        if order.operation not in controller.rights:
            raise RejectedError(Rejection.UNAUTHORISED, order.request)
        if order.operation is Operation.UNLOCK and self._mode is RemoteUnlock.OFF:
            raise RejectedError(Rejection.SWITCHED_OFF, order.request)
        # Also where it cannot be committed: then it stays spent until the agent is started anew.
        self._counters[controller.id] = order.counter

    def _judge_press(self, press: Press, now: Now) -> None:
        moves_the_lock = press.button in {Button.UNLOCK, Button.LOCK}
        if moves_the_lock and self._mode is not RemoteUnlock.BROKER:
            raise RejectedError(Rejection.SWITCHED_OFF)
        if not now.trusted:
            raise RejectedError(Rejection.CLOCK_NOT_SET)
        if not now.wall < press.expires <= now.wall + LONGEST_EXPIRY:
            raise RejectedError(Rejection.EXPIRED)

    def _remember(self, delivered: Delivered, press: Press, now: Now) -> None:
        """Refuse what was pressed before, as long as it would count."""
        live = {known: until for known, until in self._pressed.items() if now.wall < until}
        content = sha256(f"{delivered.topic}\n".encode() + delivered.payload).digest()
        if content in live:
            raise RejectedError(Rejection.REPLAYED)
        if not len(live) < MOST_PRESSES:
            raise RejectedError(Rejection.FLOODED)
        self._pressed = {**live, content: press.expires}

    def _is_fresh(self, given_out: float, now: float) -> bool:
        return 0 <= now - given_out <= FRESH
