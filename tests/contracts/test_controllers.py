"""The controllers that a door trusts, as the store keeps them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.adapters.store import SqliteStore
from agent.core.effects import Distrust, SetValidity, SpendCounter, Trust
from agent.core.events import Commanded, ControllerRemoved, ControllerTrusted, PolicyChanged
from agent.core.orders import ControllerId, Operation, TrustedController
from agent.core.types import Span, SubjectId, Validity
from agent.errors import DamagedStoreError, StoreError
from agent.ports import Store
from tests.residents import MODEL, NOW, OTHER_KEY, enrol, opened, trusted

OFFICE = trusted(Operation.UNLOCK, Operation.ERASE)
HOME = trusted(Operation.PING, seed=2)


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with opened(path) as store:
        trust(store, OFFICE)
        yield store


def trust(store: Store, controller: TrustedController) -> None:
    store.append(ControllerTrusted(controller.id), NOW, Trust(controller))


def spend(store: Store, controller: TrustedController, counter: int) -> None:
    commanded = Commanded(controller.id, Operation.UNLOCK, "r-1", None)
    store.append(commanded, NOW, SpendCounter(controller.id, counter))


def known(store: Store) -> dict[ControllerId, TrustedController]:
    return dict(store.load(MODEL).controllers)


def test_nobody_is_trusted_at_first(tmp_path: Path) -> None:
    with opened(tmp_path / "state" / "doorward.db") as store:
        assert known(store) == {}


def test_who_is_trusted_is_kept_with_key_and_rights(path: Path, store: SqliteStore) -> None:
    trust(store, HOME)
    store.close()
    with opened(path) as again:
        assert known(again) == {OFFICE.id: OFFICE, HOME.id: HOME}
        again.verify()


def test_a_counter_only_rises_and_survives(path: Path, store: SqliteStore) -> None:
    spend(store, OFFICE, 7)
    for spent in (7, 6, 1):
        with pytest.raises(StoreError, match="a command came twice"):
            spend(store, OFFICE, spent)
    store.close()
    with opened(path) as again:
        assert known(again)[OFFICE.id].counter == 7
        spend(again, OFFICE, 8)
        assert known(again)[OFFICE.id].counter == 8
        again.verify()


def test_a_counter_that_was_refused_leaves_no_event(store: SqliteStore) -> None:
    spend(store, OFFICE, 7)
    before = store.last_events(1)
    with pytest.raises(StoreError):
        spend(store, OFFICE, 7)
    assert store.last_events(1) == before


def test_other_rights_leave_the_counter_as_it_is(store: SqliteStore) -> None:
    spend(store, OFFICE, 7)
    trust(store, replace(OFFICE, rights=frozenset({Operation.PING})))
    assert known(store)[OFFICE.id].rights == {Operation.PING}
    assert known(store)[OFFICE.id].counter == 7


def test_who_is_removed_is_trusted_no_more(store: SqliteStore) -> None:
    store.append(ControllerRemoved(OFFICE.id), NOW, Distrust(OFFICE.id))
    assert known(store) == {}
    with pytest.raises(StoreError, match="no controller"):
        spend(store, OFFICE, 8)
    with pytest.raises(StoreError, match="no controller"):
        store.append(ControllerRemoved(OFFICE.id), NOW, Distrust(OFFICE.id))


def test_another_process_sees_that_somebody_is_trusted(path: Path, store: SqliteStore) -> None:
    store.load(MODEL)
    assert not store.changed()
    with opened(path) as other:
        trust(other, HOME)
    assert store.changed()
    assert set(known(store)) == {OFFICE.id, HOME.id}


def test_a_counter_of_ones_own_is_no_change_to_look_at(store: SqliteStore) -> None:
    store.load(MODEL)
    spend(store, OFFICE, 7)
    assert not store.changed()


def alter(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM controllers",
        "UPDATE controllers SET sealed = zeroblob(80)",
        "UPDATE controllers SET id = '0123456789abcdef'",
        "INSERT INTO controllers SELECT '0123456789abcdef', sealed FROM controllers",
    ],
)
def test_a_controller_that_was_altered_behind_the_log_is_found(
    path: Path, store: SqliteStore, statement: str
) -> None:
    store.close()
    alter(path, statement)
    with opened(path) as again:
        with pytest.raises(DamagedStoreError):
            again.load(MODEL)
        with pytest.raises(DamagedStoreError):
            again.verify()


def test_a_counter_that_was_put_back_is_found(path: Path, store: SqliteStore) -> None:
    with closing(sqlite3.connect(path)) as connection:
        [(before,)] = connection.execute("SELECT sealed FROM controllers").fetchall()
    spend(store, OFFICE, 7)
    store.load(MODEL)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE controllers SET sealed = ?", [before])
    with pytest.raises(StoreError, match="not those that the log vouches for"):
        spend(store, OFFICE, 7)


def test_a_controller_that_was_taken_from_another_door_does_not_open(
    tmp_path: Path, path: Path, store: SqliteStore
) -> None:
    with opened(tmp_path / "other" / "doorward.db", key=OTHER_KEY) as other:
        trust(other, OFFICE)
    with closing(sqlite3.connect(tmp_path / "other" / "doorward.db")) as connection:
        [(sealed,)] = connection.execute("SELECT sealed FROM controllers").fetchall()
    store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE controllers SET sealed = ?", [sealed])
    with opened(path) as again, pytest.raises(DamagedStoreError):
        again.load(MODEL)


def test_a_new_validity_takes_the_place_of_the_old_one(path: Path, store: SqliteStore) -> None:
    subject = enrol(store, "s-1", label="Ada", validity=Validity(1.0, 2.0))
    validity = Validity(None, 3_000_000_000.0, (Span(0, 60),))
    store.append(PolicyChanged(subject), NOW, SetValidity(subject, validity))
    store.close()
    with opened(path) as again:
        assert again.load(MODEL).subjects[subject].validity == validity
        assert [row.label for row in again.subjects()] == ["Ada"]
        again.verify()


@pytest.mark.parametrize("bound", [float("nan"), float("inf")])
def test_a_validity_that_is_none_is_refused(store: SqliteStore, bound: float) -> None:
    subject = enrol(store, "s-1")
    with pytest.raises(StoreError, match="not finite"):
        store.append(PolicyChanged(subject), NOW, SetValidity(subject, Validity(bound, None)))
    nobody = SubjectId("s-2")
    with pytest.raises(StoreError, match="no subject s-2"):
        store.append(PolicyChanged(nobody), NOW, SetValidity(nobody, Validity()))
