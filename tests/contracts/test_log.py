"""The event log notices whatever is done to it behind its back."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from agent.adapters import log
from agent.adapters.database import transaction
from agent.adapters.log import CHECKPOINT, EventLog, Head
from agent.adapters.store import SqliteStore
from agent.adapters.vault import Vault
from agent.adapters.vouched import VouchedRows
from agent.core.effects import Enrol
from agent.core.events import Denied, Enrolled, Erased, Event, Forgotten, LogPruned
from agent.core.types import AuthorityKind, Reason, Subject, SubjectId
from agent.errors import DamagedStoreError, StoreError
from tests.residents import (
    CONSENT,
    DENIED,
    KEY,
    NOW,
    OTHER_KEY,
    enrol,
    erase,
    granted,
    opened,
    revoke,
)

EVENTS = 9
ORIGIN = Vault(KEY).signer.verifier.name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of some events."""
    path = tmp_path / "state" / "doorward.db"
    with opened(path) as store:
        enrol(store, "s-ada")
        enrol(store, "s-byron")
        for number in range(EVENTS - 3):
            store.append(granted("s-ada"), replace(NOW, wall=NOW.wall + number))
        revoke(store, "s-byron")
        assert store.verify() == store.last_events(1)[0]
    return path


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with opened(path) as store:
        yield store


class Intruder:
    """Somebody with root on the device: no trigger keeps any row from being written."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        if statement.startswith(("SELECT", "PRAGMA")):
            return self._connection.execute(statement, parameters).fetchall()
        triggers = self.rows("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        for name, _ in triggers:
            self._connection.execute(f"DROP TRIGGER {name}")
        self._connection.execute(statement, parameters)
        for _, made in triggers:
            self._connection.execute(made)
        return []

    def chain_anew(self, after: int) -> None:
        """Compute all hashes from an event on, as anybody can who knows how."""
        [(before,)] = self.rows("SELECT hash FROM events WHERE seq = ?", after)
        query = (
            "SELECT seq, boot_id, monotonic, wall, week_minute, time_trusted, sealed "
            "FROM events WHERE seq > ? ORDER BY seq"
        )
        for row in self.rows(query, after):
            before = log._link(before, row)  # noqa: SLF001 - what an intruder would write himself
            self.rows("UPDATE events SET hash = ? WHERE seq = ?", before, row[0])

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def intruder(path: Path) -> Iterator[Intruder]:
    with closing(Intruder(path)) as intruder:
        yield intruder


def complaint(path: Path, *heads: str) -> str:
    with pytest.raises(DamagedStoreError) as caught, opened(path) as store:
        store.verify(heads)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def heads_of(path: Path) -> dict[int, str]:
    """Give what a collector keeps: the signed head of every event."""
    with opened(path) as store:
        return {each.seq: each.head for each in store.events(limit=1000)}


# --- edits ----------------------------------------------------------------------------------------

COLUMNS = {
    "boot_id": "'boot-2'",
    "monotonic": "monotonic + 1",
    "wall": "wall - 1",
    "week_minute": "week_minute + 1",
    "time_trusted": "1 - time_trusted",
    "sealed": "(SELECT sealed FROM events WHERE seq = 1)",
    "hash": "zeroblob(32)",
}


def test_every_column_of_the_log_is_tried(intruder: Intruder) -> None:
    names = {row[1] for row in intruder.rows("PRAGMA table_info(events)")}
    assert names == {"seq", "signature", *COLUMNS}


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("seq", [2, 5, EVENTS])
def test_an_edit_of_any_column_is_found(
    path: Path, intruder: Intruder, column: str, seq: int
) -> None:
    statement = f"UPDATE events SET {column} = {COLUMNS[column]} WHERE seq = ?"  # noqa: S608
    intruder.rows(statement, seq)
    found = complaint(path)
    assert f"event {seq} is not as it was committed" in found


def test_the_signature_of_the_last_event_is_checked(path: Path, intruder: Intruder) -> None:
    change = "UPDATE events SET signature = zeroblob(64) WHERE seq = ?"
    intruder.rows(change, EVENTS)
    assert f"event {EVENTS} is not signed" in complaint(path)


def test_a_number_that_was_altered_is_found(path: Path, intruder: Intruder) -> None:
    intruder.rows("UPDATE events SET seq = 99 WHERE seq = 4")
    assert "event 4 is missing" in complaint(path)


@pytest.mark.parametrize("seq", [1, 5, EVENTS - 1])
def test_an_event_taken_out_is_missed(path: Path, intruder: Intruder, seq: int) -> None:
    intruder.rows("DELETE FROM events WHERE seq = ?", seq)
    assert f"event {seq} is missing" in complaint(path)


def test_an_event_taken_out_is_missed_though_the_others_close_up(
    path: Path, intruder: Intruder
) -> None:
    intruder.rows("DELETE FROM events WHERE seq = 4")
    for seq in range(5, EVENTS + 1):
        intruder.rows("UPDATE events SET seq = ? WHERE seq = ?", seq - 1, seq)
    assert "event 4 is not as it was committed, or out of order" in complaint(path)


def test_two_events_that_were_swapped_are_found(path: Path, intruder: Intruder) -> None:
    for old, new in [(4, 99), (5, 4), (99, 5)]:
        intruder.rows("UPDATE events SET seq = ? WHERE seq = ?", new, old)
    assert "event 4 is not as it was committed, or out of order" in complaint(path)


@pytest.mark.parametrize("seq", [2, EVENTS - 1])
def test_a_chain_computed_anew_is_found_for_want_of_a_signature(
    path: Path, intruder: Intruder, seq: int
) -> None:
    intruder.rows("UPDATE events SET wall = wall - 3600 WHERE seq = ?", seq)
    intruder.chain_anew(1)
    assert f"event {EVENTS} is not signed by this device" in complaint(path)


def test_a_chain_that_another_key_signed_is_found(path: Path, intruder: Intruder) -> None:
    intruder.rows("UPDATE events SET wall = wall - 3600 WHERE seq = 3")
    intruder.chain_anew(2)
    other = Vault(OTHER_KEY).signer
    for seq, hashed in intruder.rows("SELECT seq, hash FROM events WHERE seq > 2"):
        signature = other.sign(Head(seq, hashed).text(ORIGIN))
        intruder.rows("UPDATE events SET signature = ? WHERE seq = ?", signature, seq)
    assert f"event {EVENTS} is not signed by this device" in complaint(path)


def test_signatures_are_checked_at_every_checkpoint(path: Path) -> None:
    with opened(path) as store:
        for _ in range(CHECKPOINT):
            store.append(DENIED, NOW)
        store.verify()
    with closing(Intruder(path)) as intruder:
        signed = "UPDATE events SET signature = zeroblob(64) WHERE seq = ?"
        intruder.rows(signed, CHECKPOINT)
    assert f"event {CHECKPOINT} is not signed by this device" in complaint(path)


# --- heads kept elsewhere -------------------------------------------------------------------------


def test_a_tail_that_was_cut_is_found_with_a_head_kept_elsewhere_only(
    path: Path, intruder: Intruder
) -> None:
    heads = heads_of(path)
    # What changed no row of a resident.
    with opened(path) as store:
        for _ in range(2):
            recorded = store.append(DENIED, NOW)
            heads[recorded.seq] = recorded.head
    intruder.rows("DELETE FROM events WHERE seq > ?", EVENTS)
    with opened(path) as store:
        store.verify()
        store.verify([heads[1], heads[EVENTS]])
    last = EVENTS + 2
    assert f"ends with event {EVENTS}, and once had event {last}" in complaint(path, heads[last])


def test_a_tail_that_was_cut_together_with_a_revocation_is_found_by_the_rows(
    path: Path, intruder: Intruder
) -> None:
    intruder.rows("DELETE FROM events WHERE seq = ?", EVENTS)
    assert "residents' rows are not those that the log vouches for" in complaint(path)


def test_a_log_that_the_device_wrote_anew_is_found_with_a_head_kept_elsewhere(
    path: Path, tmp_path: Path
) -> None:
    # A twin with the same key and the same past, that went another way from event 6 on.
    state = path.parent
    with opened(path) as store:
        fork = store.last_events(1)[0].seq
    shutil.copytree(state, tmp_path / "twin")
    twin = tmp_path / "twin" / path.name
    with opened(path) as store:
        kept = store.append(granted("s-ada"), NOW).head
    with opened(twin) as store:
        store.append(Denied(Reason.NO_MATCH, None, 1, 1), NOW)
        store.verify()
    assert f"event {fork + 1} is not the one whose head was published" in complaint(twin, kept)
    with opened(path) as store:
        store.verify([kept])


@pytest.mark.parametrize(
    "head",
    ["", "no note", Vault(OTHER_KEY).signer.note(Head(1, bytes(32)).text(ORIGIN))],
    ids=["empty", "text", "of another device"],
)
def test_a_head_that_this_device_did_not_sign_is_refused(store: SqliteStore, head: str) -> None:
    with pytest.raises(StoreError):
        store.verify([head])


# --- pruning --------------------------------------------------------------------------------------


def test_a_log_that_was_pruned_still_verifies_with_heads_from_before_and_after(path: Path) -> None:
    heads = heads_of(path)
    with opened(path) as store:
        # Event 3 + n is n seconds after the first.
        pruned = store.prune(NOW.wall + 3, NOW)
        assert pruned is not None
        assert pruned.event == LogPruned(5)
        assert [each.seq for each in store.events()] == list(range(6, EVENTS + 2))
        for head in (None, heads[5], heads[6], heads[EVENTS]):
            assert store.verify([head] if head else []) == store.last_events(1)[0]
        with pytest.raises(StoreError, match="head of event 4 says nothing, for the log begins"):
            store.verify([heads[1], heads[4]])
        assert store.append(DENIED, NOW).seq == EVENTS + 2
    with opened(path) as store:
        store.verify(heads.values())
        assert store.prune(NOW.wall - 1, NOW) is None


def test_pruning_everything_leaves_the_event_that_vouches_for_the_residents(path: Path) -> None:
    with opened(path) as store:
        for _ in range(3):
            store.prune(NOW.wall + 1e6, NOW)
        store.verify()
        assert len(store.events()) == 2
        assert len(store.load("any").subjects) == 2


def test_the_beginning_cannot_be_cut_off_with_the_signature_of_an_event(
    path: Path, intruder: Intruder
) -> None:
    intruder.rows(
        "UPDATE anchor SET (seq, hash, signature) = "
        "(SELECT seq, hash, signature FROM events WHERE seq = 5)"
    )
    intruder.rows("DELETE FROM events WHERE seq <= 5")
    assert "event 5 is not signed by this device" in complaint(path)


def test_an_event_of_before_the_clock_was_set_goes_with_the_next_that_tells_its_age(
    tmp_path: Path,
) -> None:
    unset = replace(NOW, wall=7.0, trusted=False)
    with opened(tmp_path / "doorward.db") as store:
        for now in (unset, replace(NOW, wall=100.0), unset, replace(NOW, wall=200.0)):
            store.append(DENIED, now)
        assert store.prune(50.0, NOW) is None
        pruned = store.prune(150.0, NOW)
        assert pruned is not None
        assert pruned.event == LogPruned(2)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("DELETE FROM events WHERE seq = 6", "event 6 is missing"),
        ("UPDATE events SET wall = 0.5 WHERE seq = 6", "event 6 is not as it was committed"),
        ("UPDATE anchor SET hash = zeroblob(32)", "event 5 is not signed by this device"),
        ("UPDATE anchor SET signature = zeroblob(64)", "event 5 is not signed by this device"),
        ("UPDATE anchor SET seq = 6", "event 6 is not signed by this device"),
        ("UPDATE anchor SET seq = 0", "event 1 is missing"),
        ("DELETE FROM anchor", "anchor"),
        ("DELETE FROM events", "vouches for"),
    ],
)
def test_a_pruned_log_that_was_altered_is_found(path: Path, change: str, found: str) -> None:
    with opened(path) as store:
        store.prune(NOW.wall + 3, NOW)
    with closing(Intruder(path)) as intruder:
        intruder.rows(change)
    assert found in complaint(path)


def test_a_head_of_the_anchor_tells_a_log_that_was_pruned_from_another(
    path: Path, tmp_path: Path
) -> None:
    with opened(path) as store:
        assert store.prune(NOW.wall + 3, NOW) is not None
        twin = tmp_path / "doorward.db"
    with opened(twin) as store:
        for _ in range(8):
            store.append(DENIED, NOW)
    assert "event 5 is not the one whose head was published" in complaint(path, heads_of(twin)[5])


# --- what the file itself forbids -----------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM events",
        "DELETE FROM events WHERE seq = 7",
        *(f"UPDATE events SET {column} = {to}" for column, to in COLUMNS.items()),  # noqa: S608
        "UPDATE events SET signature = zeroblob(64)",
        "UPDATE events SET seq = seq + 100",
        "REPLACE INTO events SELECT * FROM events WHERE seq = 7",
        (
            "INSERT INTO events SELECT 99, boot_id, monotonic, wall, week_minute, time_trusted, "
            "sealed, hash, signature FROM events WHERE seq = 7"
        ),
        "DELETE FROM anchor",
        "UPDATE anchor SET seq = 4",
        "UPDATE anchor SET hash = zeroblob(32)",
    ],
)
def test_another_program_can_only_append(path: Path, statement: str) -> None:
    with opened(path) as store:
        store.prune(NOW.wall + 3, NOW)
        before = store.events()
    with (
        closing(sqlite3.connect(path)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="appended, and nothing else"),
    ):
        connection.execute(statement)
    with opened(path) as store:
        assert store.events() == before


# --- the state ------------------------------------------------------------------------------------


def test_each_event_vouches_for_the_rows_as_they_were_after_it(path: Path) -> None:
    vault = Vault(KEY)

    def rows_add_up_to_what_is_vouched() -> bool:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            database = Database(connection, execute_plugins=False)
            with transaction(database, "DEFERRED"):
                state = EventLog(database, vault).state()
                return VouchedRows(database, vault).state() == state

    later = replace(NOW, wall=NOW.wall + 5 * 86_400)
    steps: list[Callable[[SqliteStore], object]] = [
        lambda store: store.append(DENIED, NOW),
        lambda store: enrol(store, "s-charles"),
        lambda store: store.append(granted("s-charles"), later),
        lambda store: revoke(store, "s-charles"),
        lambda store: erase(store, "s-ada"),
        lambda store: store.prune(NOW.wall + 3, later),
        lambda store: erase(store, "s-byron"),
        lambda store: erase(store, "s-charles"),
    ]
    with opened(path) as store:
        for step in steps:
            step(store)
            assert rows_add_up_to_what_is_vouched()
    with opened(path) as store:
        assert store.verify() is not None
        assert store.subjects() == []


# --- events about two -----------------------------------------------------------------------------


def _collide(store: SqliteStore) -> Event:
    subject = SubjectId("s-charles")
    event = Enrolled(subject, AuthorityKind.CODE, 3, SubjectId("s-ada"))
    change = Enrol(Subject(subject, consent=CONSENT), "", ())
    store.append(event, NOW, change)
    return event


@pytest.mark.parametrize("erased", ["s-ada", "s-charles"])
def test_an_event_about_two_is_forgotten_with_either(
    path: Path, store: SqliteStore, erased: str
) -> None:
    collided = _collide(store)
    seq = store.last_events(1)[0].seq
    assert store.last_events(1)[0].event == collided
    erase(store, erased)
    assert store.events(after=seq - 1, limit=1)[0].event == Forgotten("enrolled")
    store.verify()
    other = {"s-ada": "s-charles", "s-charles": "s-ada"}[erased]
    erase(store, other)
    assert store.events(after=seq - 1, limit=1)[0].event == Forgotten("enrolled")
    with opened(path) as again:
        again.verify()


def test_somebody_else_s_erasure_forgets_nothing_of_it(store: SqliteStore) -> None:
    collided = _collide(store)
    seq = store.last_events(1)[0].seq
    erase(store, "s-byron")
    events = store.events(after=seq - 1)
    assert events[0].event == collided
    assert isinstance(events[1].event, Erased)
