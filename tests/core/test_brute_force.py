"""Ten thousand wrong PINs, cards and visitors' codes, whatever is started again in between.

The computer that guesses types as fast as the door takes it, and never sleeps: time is made up.
Which store keeps the attempts is a parameter, so that the agent's own can take the test too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, cycle, pairwise
from typing import TypeAlias

import pytest

from agent.core.credentials import Attempts, Reader
from agent.core.effects import Append, Energise, Indication, SetAttempts, Show
from agent.core.events import CodeDenied
from agent.core.inputs import CardPresented, CodeEntered
from agent.core.rules import Rules
from agent.core.throttle import Codes
from tests.core.entries import House, Keeps, Memory, digest, holding, memory, opened, visitor
from tests.core.people import NOTICE, somebody

ADA, BEN = somebody("ada"), somebody("ben")
PIN, CARD, GUEST = "no guess 1", "no guess 2", "no guess 3"
GUESSES = 10_000
CODES = Codes()
RULES = Rules(codes=CODES, notice=NOTICE)
WINDOW = 64
"""Guesses within which the throttle is looked at, from each on."""
BOOTS_AT = 5.0
"""Monotonic seconds at which the agent starts after the computer did."""

Reopen: TypeAlias = Callable[[Keeps, bool], Keeps]
"""Opens the store again. Given whether the computer has booted meanwhile."""


def _of_residents() -> Memory:
    held = {ADA: holding(PIN, CARD), BEN: holding("no guess 4")}
    return memory(ADA, BEN, held=held, visitors=[visitor("guest", GUEST)])


def _again(kept: Keeps, booted: bool) -> Keeps:
    assert isinstance(kept, Memory)
    kept.boot += booted
    return kept


STORES: dict[str, tuple[Callable[[], Keeps], Reopen]] = {"in memory": (_of_residents, _again)}
"""How to make a store of two residents and a visitor, and how to open it again."""


@dataclass
class Guesser:
    """Guesses at a door, and keeps the time: `elapsed` goes on where a boot starts a new clock."""

    house: House
    reopen: Reopen
    elapsed: float = 0.0
    taken: list[tuple[float, Reader]] = field(default_factory=list)
    readers: dict[Reader, Iterator[str]] = field(default_factory=dict)

    def guess(self, reader: Reader) -> bool:
        """Try the next one; say whether it was compared."""
        guessed = digest(next(self.readers.setdefault(reader, map(str, count()))))
        at = self.house.at
        keypad = reader is Reader.KEYPAD
        entered = CodeEntered(guessed, at) if keypad else CardPresented(guessed, at)
        effects = self.house.give(entered)
        assert not any(isinstance(effect, Energise) for effect in effects), "a guess opened"
        compared = [e for e in effects if isinstance(e, Append) and isinstance(e.event, CodeDenied)]
        assert all(isinstance(each.change, SetAttempts) for each in compared)
        self.taken += [(self.elapsed, reader)] * len(compared)
        return bool(compared)

    def right_ones_are_refused(self) -> None:
        """Say so of every right credential. Whoever guesses does not know them."""
        for typed in (PIN, GUEST):
            assert opened(self.house.code(typed, after=0.0)) == []

    def wait(self, seconds: float) -> None:
        self.house.at += seconds
        self.elapsed += seconds

    def restart(self, *, boots: bool) -> None:
        self.house.store = self.reopen(self.house.store, boots)
        if boots:
            # So long does nobody count the time; whoever guesses at most hopes that it passes.
            self.house.at = BOOTS_AT
            self.elapsed += BOOTS_AT
        self.house.start()

    @property
    def patience(self) -> float:
        """Seconds after which to try again: not much longer than it takes."""
        return CODES.longest_seconds / 2 if len(self.taken) > WINDOW else 10.0

    @property
    def attempts(self) -> Attempts:
        return self.house.store.load().attempts


@pytest.fixture(params=STORES)
def guesser(request: pytest.FixtureRequest) -> Guesser:
    make, reopen = STORES[request.param]
    return Guesser(House(make(), RULES), reopen)


def throttled(taken: list[float], burst: int, every: float) -> bool:
    """Say whether so many came at once at the most, and from then on one each so many seconds."""
    return all(
        number - first < burst + (at - since) / every + 1e-6
        for first, since in enumerate(taken)
        for number, at in enumerate(taken[first : first + WINDOW], first)
    )


@pytest.mark.parametrize(
    ("readers", "restarts"),
    [
        ([Reader.KEYPAD], "agent"),
        ([Reader.CARD_READER], "agent"),
        (list(Reader), "computer"),
    ],
)
def test_ten_thousand_guesses_open_nothing_and_are_throttled(
    guesser: Guesser, readers: list[Reader], restarts: str
) -> None:
    for reader in cycle(readers):
        if len(guesser.taken) >= GUESSES:
            break
        if not guesser.guess(reader):
            guesser.wait(guesser.patience)
        elif len(guesser.taken) % 7 == 0:
            guesser.restart(boots=restarts == "computer")

    moments = [at for at, _ in guesser.taken]
    assert throttled(moments, CODES.overall, CODES.drain_seconds)
    for reader in readers:
        own = [at for at, by in guesser.taken if by is reader]
        # From the eleventh in a row on each wrong one shuts its reader for as long as can be.
        between = [after - before for before, after in pairwise(own[11:])]
        assert min(between) >= CODES.longest_seconds
    assert guesser.elapsed > GUESSES / len(readers) * CODES.longest_seconds * 0.99
    # And then a right one opens, for whoever waits for long enough.
    guesser.wait(10 * CODES.longest_seconds)
    assert opened(guesser.house.code(PIN)) == [(ADA.id, "pin")]


def test_guesses_between_right_entries_add_up_all_the_same(guesser: Guesser) -> None:
    """Somebody who has a PIN ends each row with it, and goes on."""
    guesses = GUESSES // 10
    while len(guesser.taken) < guesses:
        for _ in range(CODES.attempts - 1):
            if not guesser.guess(Reader.KEYPAD):
                guesser.wait(CODES.drain_seconds / 2)
        guesser.house.code("no guess 4", after=0.0)
        if len(guesser.taken) % 11 == 0:
            guesser.restart(boots=guesser.elapsed % 2 < 1)

    moments = [at for at, _ in guesser.taken]
    assert throttled(moments, CODES.overall, CODES.drain_seconds)
    assert guesser.elapsed > (guesses - CODES.overall) * CODES.drain_seconds * 0.99


@pytest.mark.parametrize("restarts", [None, "agent", "computer"])
def test_while_a_reader_is_shut_a_right_code_is_refused(
    guesser: Guesser, restarts: str | None
) -> None:
    for wrong in range(CODES.attempts, CODES.attempts + 10):
        while guesser.attempts.keypad.in_a_row < wrong:
            if not guesser.guess(Reader.KEYPAD):
                guesser.wait(10.0)
        if restarts:
            guesser.restart(boots=restarts == "computer")
        seconds = min(CODES.seconds * 2 ** (wrong - CODES.attempts), CODES.longest_seconds)
        guesser.right_ones_are_refused()
        guesser.wait(seconds - 0.1)
        guesser.right_ones_are_refused()
        assert not guesser.guess(Reader.KEYPAD)
        guesser.wait(0.2)

    assert opened(guesser.house.code(PIN)) == [(ADA.id, "pin")]


def test_whoever_waits_before_a_shut_reader_is_told_to_and_nothing_else(guesser: Guesser) -> None:
    while guesser.guess(Reader.KEYPAD):
        pass
    guesser.wait(10.0)

    guesser.house.wait(10.0)

    for typed in (PIN, "wrong", GUEST):
        assert guesser.house.code(typed, after=5.0)[-1] == Show(Indication.WAIT)
        guesser.house.wait(5.0)
