"""Copies of the database: put back on the device that made them, refused and kept otherwise."""

import fcntl
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent.adapters.backup import make_backup, restore, set_aside
from agent.adapters.database import hold
from agent.adapters.devicekey import KEY_FILE
from agent.adapters.store import SqliteStore
from agent.adapters.vault import Vault
from agent.errors import StoreError
from tests.residents import (
    DENIED,
    KEY,
    MODEL,
    NOW,
    OTHER_KEY,
    enrol,
    erase,
    granted,
    new_store,
    opened,
    revoke,
    vectors,
)

SECONDS = 60.0


def files(folder: Path) -> dict[str, bytes]:
    """Give all that is in a folder; what SQLite puts beside a database it only reads aside."""
    held = {
        str(each.relative_to(folder)): each.read_bytes()
        for each in sorted(folder.rglob("*"))
        if each.is_file()
    }
    return {
        name: content
        for name, content in held.items()
        if not name.endswith("-shm") and (content or not name.endswith("-wal"))
    }


@dataclass(frozen=True, slots=True)
class Device:
    """A state folder, with the key in a file, as the command line finds it."""

    state: Path

    @property
    def path(self) -> Path:
        return self.state / "doorward.db"

    @property
    def vault(self) -> Vault:
        return Vault(KEY)

    def type(self, *words: str) -> tuple[int, str, str]:
        config = self.state.with_name("doorward.toml")
        config.write_text(f'state_directory = "{self.state}"\n', encoding="utf-8")
        ended = subprocess.run(
            [sys.executable, "-m", "agent", "--config", str(config), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            cwd=self.state.parent,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        return ended.returncode, ended.stdout, ended.stderr


@pytest.fixture
def device(tmp_path: Path) -> Device:
    device = Device(tmp_path / "state")
    with opened(device.path) as store:
        enrol(store, "s-ada", label="Ada", references=vectors(3, 1))
        enrol(store, "s-byron", label="Byron", references=vectors(3, 2))
        store.append(granted("s-ada"), NOW)
    key = device.state / KEY_FILE
    key.write_text(KEY.secret.hex() + "\n")
    key.chmod(0o600)
    return device


@pytest.fixture
def backup(device: Device) -> Path:
    """What somebody carried away, to put back later."""
    made = make_backup(device.path)
    away = device.state.with_name("carried-away.db")
    shutil.move(made, away)
    return away


def refused(device: Device, file: Path, *, older: bool = False) -> str:
    """See a file refused, and nothing on the disk changed; give the reason."""
    kept = file.read_bytes() if file.is_file() else None
    before = files(device.state)
    with pytest.raises(StoreError) as caught:
        restore(device.path, file, device.vault, older=older)
    assert files(device.state) == before
    assert (file.read_bytes() if file.is_file() else None) == kept
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)
    return str(caught.value)


def sql(path: Path, statement: str, *parameters: object) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement, parameters)


# --- made and put back ----------------------------------------------------------------------------


def test_a_backup_brings_back_all_that_there_was(device: Device, backup: Path) -> None:
    with opened(device.path) as store:
        before = store.load(MODEL), store.events(), store.subjects(), store.cursor()
    device.path.unlink()
    assert restore(device.path, backup, device.vault, older=False) == 3
    with opened(device.path) as store:
        loaded, *rest = store.load(MODEL), store.events(), store.subjects(), store.cursor()
        assert rest == list(before[1:])
        assert loaded.gallery.matrix.tobytes() == before[0].gallery.matrix.tobytes()
        assert loaded.subjects == before[0].subjects
        store.verify()
    assert backup.is_file()


def test_a_backup_is_one_file_for_its_owner_alone_named_after_the_last_event(
    device: Device,
) -> None:
    with opened(device.path) as store:
        # With the agent at it, and a journal that nobody has moved yet.
        store.append(DENIED, NOW)
        made = make_backup(device.path)
        assert make_backup(device.path) == made
    assert made == device.state / "backups" / "doorward-00000004.db"
    assert [each.name for each in made.parent.iterdir()] == [made.name]
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700


def test_the_database_that_was_there_is_set_aside_and_kept(device: Device, backup: Path) -> None:
    before = device.path.read_bytes()
    restore(device.path, backup, device.vault, older=False)
    aside = device.path.with_name("doorward.db.aside-1")
    assert aside.read_bytes() == before
    assert stat.S_IMODE(device.path.stat().st_mode) == 0o600
    restore(device.path, backup, device.vault, older=False)
    assert {name for name in files(device.state) if "aside" in name} == {
        "doorward.db.aside-1",
        "doorward.db.aside-2",
    }


def test_what_is_set_aside_takes_its_journal_along(device: Device) -> None:
    with opened(device.path) as store:
        store.append(DENIED, NOW)
        cut_off = files(device.state)
    journal = device.path.with_name("doorward.db-wal")
    device.path.write_bytes(cut_off[device.path.name])
    journal.write_bytes(cut_off[journal.name])
    aside = set_aside(device.path)
    assert not device.path.exists()
    assert not journal.exists()
    assert aside.read_bytes() == cut_off[device.path.name]
    # Under its new name it is still all there: the journal has the last event.
    aside.replace(device.path)
    aside.with_name(f"{aside.name}-wal").replace(journal)
    with opened(device.path) as store:
        assert [each.event for each in store.last_events(1)] == [DENIED]


def test_a_damaged_database_gives_way_to_a_backup(device: Device, backup: Path) -> None:
    device.path.write_bytes(b"no database at all" * 1000)
    # Nobody can tell any more whether the device had gone on.
    assert "may have gone on" in refused(device, backup)
    assert restore(device.path, backup, device.vault, older=True) == 3
    with opened(device.path) as store:
        assert len(store.subjects()) == 2
    assert list(device.state.glob("doorward.db.aside-1"))


def test_a_journal_whose_database_is_gone_is_not_taken_for_the_backups(
    device: Device, backup: Path, tmp_path: Path
) -> None:
    with opened(device.path) as store:
        revoke(store, "s-byron")
        left = tmp_path / "left"
        shutil.copytree(device.state, left)
    for file in device.state.glob("doorward.db*"):
        file.unlink()
    shutil.copy(left / "doorward.db-wal", device.state)
    assert (device.state / "doorward.db-wal").stat().st_size > 0
    assert "may have gone on" in refused(device, backup)
    assert restore(device.path, backup, device.vault, older=True) == 3
    with opened(device.path) as store:
        assert store.last_events(1)[0].seq == 3
    assert (device.state / "doorward.db.aside-1-wal").exists()


def test_a_database_that_was_half_set_aside_may_have_gone_on(device: Device, backup: Path) -> None:
    with opened(device.path) as store:
        revoke(store, "s-byron")
        left = device.state.with_name("left")
        shutil.copytree(device.state, left)
    # As a power cut leaves it between the two names.
    (left / "doorward.db").rename(left / "doorward.db.aside-1")
    with pytest.raises(StoreError, match="may have gone on"):
        restore(left / "doorward.db", backup, device.vault, older=False)


def test_nothing_is_put_in_the_place_of_a_database_that_somebody_has_open(
    device: Device, backup: Path
) -> None:
    with opened(device.path):
        assert "another doorward command has it open" in _held(device, backup)
    with closing(hold(device.path, alone=True)), pytest.raises(StoreError, match="in its place"):
        new_store(device.path)
    assert restore(device.path, backup, device.vault, older=False) == 3


def _held(device: Device, backup: Path) -> str:
    with pytest.raises(StoreError) as caught:
        restore(device.path, backup, device.vault, older=False)
    return str(caught.value)


def test_once_an_older_backup_was_restored_the_next_one_needs_no_insisting(
    device: Device, backup: Path
) -> None:
    with opened(device.path) as store:
        for _ in range(5):
            store.append(DENIED, NOW)
    restore(device.path, backup, device.vault, older=True)
    with opened(device.path) as store:
        store.append(DENIED, NOW)
    fresh = make_backup(device.path)
    assert restore(device.path, fresh, device.vault, older=False) == 4


def test_an_older_backup_is_refused_unless_that_is_what_is_wanted(
    device: Device, backup: Path
) -> None:
    with opened(device.path) as store:
        revoke(store, "s-byron")
    reason = refused(device, backup)
    assert "ends with event 3" in reason
    assert "went on to 4" in reason
    assert "--older" in reason
    # Nor does it help to take the newer one out of the way.
    set_aside(device.path)
    assert "went on to 4" in refused(device, backup)
    assert restore(device.path, backup, device.vault, older=True) == 3


def test_after_an_erasure_no_earlier_backup_opens(device: Device, backup: Path) -> None:
    with opened(device.path) as store:
        inside = make_backup(device.path)
        erase(store, "s-byron")
        later = make_backup(device.path)
    for file in (backup, inside):
        for older in (False, True):
            reason = refused(device, file, older=older)
            assert "key epoch, 1" in reason
            assert "erasure" in reason
    assert restore(device.path, later, device.vault, older=True) == 5
    with opened(device.path) as store:
        assert [row.id for row in store.subjects()] == ["s-ada"]


# --- refused --------------------------------------------------------------------------------------


def _flip(table: str, column: str) -> Callable[[Path], None]:
    """Turn one bit of the last row in a sealed column, where it lies in the file."""

    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            query = f'SELECT {column} FROM "{table}" ORDER BY rowid DESC LIMIT 1'  # noqa: S608
            [(cell,)] = connection.execute(query).fetchall()
        content = bytearray(path.read_bytes())
        at = content.index(cell) + len(cell) // 2
        content[at] ^= 1
        path.write_bytes(content)

    return damage


def _byte(place: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)

    return damage


def _cut(size: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, size if size >= 0 else path.stat().st_size + size)


def _text(path: Path) -> None:
    path.write_text("INSERT INTO subjects VALUES (1)", encoding="utf-8")


DAMAGE: dict[str, Callable[[Path], None]] = {
    "empty": _cut(0),
    "cut in the header": _cut(50),
    "cut in the middle": _cut(4096 * 5),
    "cut by a page": _cut(-4096),
    "cut by a byte": _cut(-1),
    "the first byte": _byte(0),
    "the page size": _byte(17),
    "the number of pages": _byte(31),
    "the application": _byte(71),
    "the schema's version": lambda path: sql(path, "PRAGMA user_version = 99"),
    "no schema's version": lambda path: sql(path, "PRAGMA user_version = 0"),
    "the plain schema's version": lambda path: sql(path, "PRAGMA user_version = 1"),
    "a record": _flip("subjects", "sealed"),
    "a key": _flip("keys", "wrapped"),
    "a consent": _flip("consents", "sealed"),
    "a reference": _flip("references", "sealed"),
    "a model's tag": _flip("references", "made_by"),
    "an event": _flip("events", "sealed"),
    "an event's hash": _flip("events", "hash"),
    "an event's signature": _flip("events", "signature"),
    "the proof of the epoch": _flip("vault", "proof"),
    "a row taken out": lambda path: sql(path, "DELETE FROM consents WHERE subject = 's-ada'"),
    "the vault emptied": lambda path: sql(path, "DELETE FROM vault"),
    "a table dropped": lambda path: sql(path, "DROP TABLE tombstones"),
    "another's name": lambda path: sql(path, "UPDATE vault SET device = 'ffffffffffffffff'"),
    "a trigger dropped": lambda path: sql(path, "DROP TRIGGER events_stay"),
    "text": _text,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_backup_that_was_altered_is_refused(device: Device, backup: Path, damage: str) -> None:
    DAMAGE[damage](backup)
    refused(device, backup)
    refused(device, backup, older=True)


def test_a_backup_of_another_device_is_refused(device: Device, tmp_path: Path) -> None:
    other = tmp_path / "other" / "doorward.db"
    with opened(other, key=OTHER_KEY) as store:
        enrol(store, "s-mallory")
    assert "device" in refused(device, make_backup(other))


def test_a_backup_of_a_twin_with_the_same_key_is_refused(device: Device, tmp_path: Path) -> None:
    twin = tmp_path / "twin" / "doorward.db"
    with opened(twin) as store:
        for _ in range(9):
            store.append(DENIED, NOW)
    # It has the same key, and another secret of the first epoch.
    refused(device, make_backup(twin))


@pytest.mark.parametrize("kind", ["missing", "folder", "device", "pipe"])
def test_what_is_no_file_is_refused(device: Device, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "backup"
    if kind == "folder":
        file.mkdir()
    elif kind == "device":
        file = Path("/dev/null")
    elif kind == "pipe":
        os.mkfifo(file)
    assert "is no file: name a backup" in refused(device, file)


def test_nothing_is_made_where_there_is_no_room(
    device: Device, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    before = files(device.state)
    with pytest.raises(StoreError, match="disk is full"):
        restore(device.path, backup, device.vault, older=False)
    assert files(device.state) == before
    with opened(device.path) as store:
        assert len(store.subjects()) == 2


# --- on the command line --------------------------------------------------------------------------


def test_an_operator_backs_up_and_restores(device: Device) -> None:
    code, out, err = device.type("backup")
    assert (code, err) == (0, "")
    made = Path(out.strip())
    assert made.parent == device.state / "backups"
    with opened(device.path) as store:
        revoke(store, "s-byron")
    code, out, err = device.type("restore", str(made))
    assert (code, out) == (2, "")
    assert err.startswith(f"doorward: {made}: ends with event 3")
    assert err.count("\n") == 1
    code, out, err = device.type("restore", str(made), "--older")
    assert (code, err) == (0, "")
    assert "3" in out
    with opened(device.path) as store:
        assert not any(row.revoked for row in store.subjects())
        # That it was restored is the first thing that the log says afterwards.
        assert [each.seq for each in store.last_events(1)] == [4]
        store.verify()


@pytest.mark.parametrize("damage", ["cut in the middle", "a record", "an event", "text", "missing"])
def test_the_command_refuses_in_one_line_and_changes_nothing(
    device: Device, backup: Path, damage: str
) -> None:
    if damage == "missing":
        backup.unlink()
    else:
        DAMAGE[damage](backup)
    # As after any command: the lock file is there.
    device.type("restore", "nothing")
    before = files(device.state)
    code, out, err = device.type("restore", str(backup))
    assert (code, out) == (2, "")
    assert err.startswith(f"doorward: {backup}: ")
    assert err.count("\n") == 1
    assert files(device.state) == before


def test_nothing_is_restored_while_an_agent_runs(device: Device, backup: Path) -> None:
    with (device.state / "agent.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = files(device.state)
        code, _, err = device.type("restore", str(backup))
        assert code == 2
        assert "an agent is running" in err
        assert files(device.state) == before


@pytest.fixture
def lent(device: Device) -> Iterator[SqliteStore]:
    store = new_store(device.path)
    yield store
    store.close()


def test_a_backup_of_a_database_in_use_holds_what_was_committed(
    device: Device, lent: SqliteStore, tmp_path: Path
) -> None:
    later = replace(NOW, wall=NOW.wall + 1)
    lent.append(DENIED, later)
    made = make_backup(device.path)
    lent.append(granted("s-byron"), later)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(made, elsewhere / "doorward.db")
    shutil.copy(device.state / "epoch", elsewhere)
    with opened(elsewhere / "doorward.db") as store:
        assert [each.event for each in store.last_events(1)] == [DENIED]
        store.verify()
