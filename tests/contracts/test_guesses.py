"""Ten thousand guesses at a door whose attempts the real store keeps, across starts and boots."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path

from agent.adapters.store import SqliteStore
from agent.core.credentials import Reader
from agent.core.effects import Change, Enrol, Invite
from agent.core.events import Enrolled, Event, VisitorInvited
from agent.core.inputs import StoreLoaded
from agent.core.types import AuthorityKind, Now
from tests.core.entries import House, digest, holding, opened, visitor
from tests.core.people import MODEL, resident, somebody
from tests.core.test_brute_force import CODES, PIN, RULES, Guesser, throttled
from tests.residents import NOW, new_store

ADA = somebody("ada")
GUESSES = 10_000
STARTS = 50
"""Guesses after which the agent is started again, and every other time the computer."""


@dataclass
class Disk:
    """The store in one boot of its computer."""

    path: Path
    store: SqliteStore

    def load(self) -> StoreLoaded:
        return self.store.load(MODEL)

    def append(self, event: Event, now: Now, change: Change | None) -> None:
        self.store.append(event, now, change)


@contextmanager
def disk(path: Path) -> Iterator[Disk]:
    kept = Disk(path, new_store(path, "boot 0"))
    enrolled = Enrolled(ADA.id, AuthorityKind.CODE, 0, None)
    ada = resident(ADA.id, consent=None, credentials=holding(PIN, "no guess 2"))
    kept.append(enrolled, NOW, Enrol(ada, "Flat 1", ()))
    guest = visitor("guest", "no guess 3")
    invited = VisitorInvited(guest.id, guest.not_before, guest.not_after)
    kept.append(invited, NOW, Invite(guest, "Plumber"))
    try:
        yield kept
    finally:
        kept.store.close()


def test_ten_thousand_guesses_open_nothing_whatever_is_started_again(tmp_path: Path) -> None:
    boots = count(1)
    boot = "boot 0"

    def reopen(kept: object, booted: bool) -> Disk:
        nonlocal boot
        assert isinstance(kept, Disk)
        kept.store.close()
        boot = f"boot {next(boots)}" if booted else boot
        kept.store = new_store(kept.path, boot)
        return kept

    with disk(tmp_path / "doorward.db") as kept:
        guesser = Guesser(House(kept, RULES), reopen)
        for reader in cycle(Reader):
            if len(guesser.taken) >= GUESSES:
                break
            if not guesser.guess(reader):
                guesser.wait(guesser.patience)
            elif len(guesser.taken) % STARTS == 0:
                guesser.restart(boots=len(guesser.taken) % (2 * STARTS) == 0)
        assert throttled([at for at, _ in guesser.taken], CODES.overall, CODES.drain_seconds)
        assert guesser.attempts.keypad.in_a_row == guesser.attempts.card_reader.in_a_row
        guesser.right_ones_are_refused()
        # And then a right one opens, for whoever waits for long enough.
        guesser.wait(10 * CODES.longest_seconds)
        assert opened(guesser.house.code(PIN)) == [(ADA.id, "pin")]
        assert digest(PIN) not in (tmp_path / "doorward.db").read_bytes()
