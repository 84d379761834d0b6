"""Databases of every earlier schema are brought to this one, or stay as they were."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlite_utils import Database

from agent.adapters import database
from agent.adapters.backup import make_backup, restore
from agent.adapters.epoch import EpochSecret
from agent.adapters.log import named
from agent.adapters.migrations import MIGRATIONS
from agent.adapters.vault import Vault
from agent.core.credentials import (
    NO_ATTEMPTS,
    NO_CREDENTIALS,
    Attempts,
    Credentials,
    Reader,
    Visitor,
    VisitorId,
)
from agent.core.effects import Invite, SetAttempts, SetCredentials, Trust
from agent.core.events import (
    CodeDenied,
    ControllerTrusted,
    CredentialsChanged,
    Erased,
    Event,
    Granted,
    Revoked,
    VisitorInvited,
)
from agent.core.matching import likeness_to_others, mean_template
from agent.core.orders import Operation
from agent.core.types import Reason, Span, SubjectId, Suspension, Validity
from agent.errors import StoreError
from agent.wire.events import decode_body
from tests.residents import (
    KEY,
    MODEL,
    NOW,
    enrol,
    erase,
    granted,
    new_store,
    opened,
    revoke,
    trusted,
    vectors,
)

FIXTURES = Path(__file__).parent / "fixtures"
PLAIN = (FIXTURES / "schema-1.sql").read_text(encoding="utf-8")
SEALED = (FIXTURES / "schema-2.sql").read_text(encoding="utf-8")
CONTROLLED = (FIXTURES / "schema-3.sql").read_text(encoding="utf-8")
WITH_PINS = (FIXTURES / "schema-4.sql").read_text(encoding="utf-8")
MODELS = ("embedder-one/litert", "embedder-two/litert")
WEEK = (Span(0, 3 * 24 * 60), Span(6 * 24 * 60, 7 * 24 * 60))


def write(path: Path, dump: str = PLAIN) -> Path:
    path.parent.mkdir(mode=0o700)
    with closing(sqlite3.connect(path)) as connection:
        # As the old version left it.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(dump)
    return path


def sql(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(statement).fetchall()


def dumped(path: Path) -> str:
    """Give all that a database holds, as text."""
    with closing(sqlite3.connect(path)) as connection:
        numbers = [
            f"{name}={database.pragma(connection, name)}"
            for name in ("application_id", "user_version")
        ]
        return "\n".join([*numbers, *connection.iterdump()])


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A database of schema 1."""
    return write(tmp_path / "state" / "doorward.db")


@pytest.fixture
def old_events(plain: Path) -> list[tuple[int, str, tuple[object, ...], Event]]:
    query = "SELECT * FROM events ORDER BY seq"
    return [
        (seq, boot_id, tuple(times), decode_body(kind, body))
        for seq, boot_id, *times, kind, body in sql(plain, query)
    ]


# --- what the plain schema was --------------------------------------------------------------------


def test_the_first_migration_makes_exactly_the_schema_that_was_released(
    plain: Path, tmp_path: Path
) -> None:
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        made = Database(connection, execute_plugins=False)
        MIGRATIONS[0](made, Vault(KEY), EpochSecret(tmp_path))
        assert connection.execute(query).fetchall() == sql(plain, query)
        assert connection.execute("SELECT key FROM meta").fetchall() == [("checks",), ("cursor",)]
        marked = (database.pragma(connection, "application_id"),)
        assert [marked] == sql(plain, "PRAGMA application_id")


def test_there_is_a_fixture_of_every_earlier_schema() -> None:
    numbers = sorted(int(file.stem.rpartition("-")[2]) for file in FIXTURES.glob("schema-*.sql"))
    assert numbers == list(range(1, len(MIGRATIONS)))


# --- what comes over ------------------------------------------------------------------------------


def test_residents_come_over_with_all_that_holds_for_them(plain: Path) -> None:
    old = sql(plain, "SELECT id, label, household, enrolled_at FROM subjects ORDER BY enrolled_at")
    with opened(plain) as store:
        subjects = store.load(MODELS[0]).subjects
        listed = store.subjects()
    assert [(row.id, row.label, row.household, row.enrolled_at) for row in listed] == old
    assert [row.references for row in listed] == [4, 2, 2]
    assert [row.administrator for row in listed] == [True, False, False]
    assert [row.revoked for row in listed] == [False, False, True]
    # Nobody knows when they were last admitted: retention must not take them for unused.
    assert not any(row.minor or row.seen_on for row in listed)
    bounded = subjects[SubjectId("s-ada")].validity
    assert bounded == Validity(1_790_000_000.5, 1_900_000_000.0, WEEK)
    assert subjects[SubjectId("s-byron")].validity == Validity()
    assert subjects[SubjectId("s-charles")].revoked
    assert {subject.household for subject in subjects.values()} == {"flat-12", None}


def test_references_come_over_bit_for_bit_each_with_its_model(plain: Path) -> None:
    old = sql(plain, 'SELECT subject, model, vector FROM "references" ORDER BY id')
    with opened(plain) as store:
        galleries = [store.load(model).gallery for model in MODELS]
    for model, gallery in zip(MODELS, galleries, strict=True):
        kept: dict[str, list[bytes]] = {}
        for subject, by, vector in old:
            if by == model:
                kept.setdefault(subject, []).append(vector)
        assert list(gallery.subjects) == sorted(kept)
        for subject, row in zip(gallery.subjects, gallery.matrix, strict=True):
            vectors = np.array([np.frombuffer(each, "<f4") for each in kept[subject]])
            assert row.tobytes() == mean_template(vectors).tobytes()
    assert [len(gallery.subjects) for gallery in galleries] == [3, 1]


def test_each_event_comes_over_with_its_number_times_and_fields(
    plain: Path, old_events: list[tuple[int, str, tuple[object, ...], Event]]
) -> None:
    with opened(plain) as store:
        events = store.events(limit=1000)
        assert store.verify() == events[-1]
        assert store.cursor() == 7
    came = [
        (
            each.seq,
            each.boot_id,
            (each.now.monotonic, each.now.wall, each.now.week_minute, each.now.trusted),
            each.event,
        )
        for each in events
    ]
    assert came == old_events
    assert {Granted, Revoked, Erased} <= {type(each.event) for each in events}
    assert len(came) == 19


def test_an_old_consent_becomes_a_receipt_without_the_digest_of_a_notice(plain: Path) -> None:
    old = sql(plain, "SELECT * FROM consents")
    with opened(plain) as store:
        for subject, authorised_by, notice, at in old:
            resident = store.resident(SubjectId(subject))
            consent = resident.subject.consent
            assert consent is not None
            assert (consent.authorised_by, consent.at) == (authorised_by, at)
            assert (consent.notice.version, consent.notice.sha256) == (notice, "")
            assert (consent.expires, consent.guardian) == (None, None)
            assert resident.receipt is not None
            assert Vault(KEY).signer.verifier.open(resident.receipt)


def test_nothing_of_the_plain_rows_is_left_in_any_file(plain: Path) -> None:
    wanted: set[bytes] = {b"no_match", b"camera: gone"}
    for query in (
        'SELECT vector, model FROM "references"',
        "SELECT label, household, schedule FROM subjects",
        "SELECT authorised_by, notice FROM consents",
        "SELECT code, authorised_by, terms FROM codes",
        "SELECT body FROM events",
    ):
        for row in sql(plain, query):
            cells = [cell.encode() if isinstance(cell, str) else cell for cell in row]
            # {} and [] say nothing.
            wanted |= {cell for cell in cells if cell is not None and len(cell) > 2}
    assert all(any(each in held for held in _files(plain)) for each in wanted)
    with opened(plain):
        assert not [each for each in wanted for held in _files(plain) if each in held]
    assert not [each for each in wanted for held in _files(plain) if each in held]


def test_a_database_that_came_over_does_all_that_a_new_one_does(plain: Path) -> None:
    with opened(plain) as store:
        renewed = store.append(granted("s-byron"), NOW)
        assert renewed.seq == 20
        erase(store, "s-ada")
        after = store.events(limit=1000)
        # What says that she was erased, and the certificate of it.
        assert [each.seq for each in after if "s-ada" in named(each.event)] == [21, 22]
        store.verify()
    with opened(plain) as store:
        assert store.load(MODELS[0]).gallery.subjects == ("s-byron", "s-charles")


@pytest.mark.parametrize(
    ("change", "compared"),
    [
        ("DELETE FROM consents WHERE subject = 's-byron'", ("s-ada", "s-charles")),
        (
            "UPDATE \"references\" SET vector = zeroblob(64) WHERE subject = 's-byron'",
            ("s-ada", "s-charles"),
        ),
        (
            "UPDATE \"references\" SET vector = x'00' WHERE id = 5",
            ("s-ada", "s-byron", "s-charles"),
        ),
        ('DELETE FROM subjects; DELETE FROM consents; DELETE FROM "references"', ()),
    ],
    ids=["no consent", "no unit vector", "cut off", "nobody"],
)
def test_what_could_not_be_compared_before_is_not_compared_afterwards(
    plain: Path, change: str, compared: tuple[str, ...]
) -> None:
    with closing(sqlite3.connect(plain)) as connection:
        connection.executescript(change)
    with opened(plain) as store:
        assert store.load(MODELS[0]).gallery.subjects == compared
        store.verify()


# --- what goes wrong ------------------------------------------------------------------------------


class _PowerCutError(Exception):
    """The end of a migration, in the middle of it."""


def fail_at_each_statement(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Migrate again and again, each time one statement further; give how many there were."""
    before = dumped(path)
    execute = Database.execute
    steps = 0
    stop_at = 0

    def counted(self: Database, statement: str, parameters: Any = None) -> sqlite3.Cursor:  # noqa: ANN401
        nonlocal steps
        steps += 1
        if steps == stop_at:
            raise _PowerCutError
        return execute(self, statement, parameters)

    with monkeypatch.context() as patched:
        patched.setattr(Database, "execute", counted)
        while True:
            stop_at, steps = stop_at + 1, 0
            try:
                new_store(path).close()
            except _PowerCutError:
                if sql(path, "PRAGMA user_version") != [(len(MIGRATIONS),)]:
                    assert dumped(path) == before, f"statement {stop_at}"
                    continue
            # It is done, or was committed: only what comes after it was cut.
            return stop_at


def test_a_migration_that_fails_at_any_statement_leaves_all_as_it_was(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fail_at_each_statement(plain, monkeypatch) > 100
    with opened(plain) as store:
        assert len(store.load(MODELS[0]).gallery.subjects) == 3
        assert len(store.events(limit=1000)) == 19
        store.verify()


EARLIER = pytest.mark.parametrize(
    ("dump", "events"), [(SEALED, 19), (CONTROLLED, 14), (WITH_PINS, 16)], ids=["2", "3", "4"]
)


@EARLIER
def test_a_sealed_database_whose_migration_fails_at_any_statement_stays_as_it_was(
    tmp_path: Path, dump: str, events: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_sealed(tmp_path, dump)
    assert fail_at_each_statement(path, monkeypatch) > 3
    with opened(path) as store:
        assert len(store.load(MODEL).subjects) == 3
        assert len(store.events(limit=1000)) == events
        store.verify()


KILLED = """
import os, sys
from pathlib import Path
from sqlite_utils import Database
from tests.residents import new_store
execute, left = Database.execute, int(sys.argv[2])
def counted(self, statement, parameters=None):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), 9)
    return execute(self, statement, parameters)
Database.execute = counted
new_store(Path(sys.argv[1])).close()
"""


@pytest.mark.parametrize("step", [20, 60, 100])
def test_a_migration_that_is_killed_leaves_all_as_it_was(plain: Path, step: int) -> None:
    before = dumped(plain)
    arguments = [sys.executable, "-c", KILLED, str(plain), str(step)]
    ended = subprocess.run(arguments, check=False, cwd=Path(__file__).parents[2])
    assert ended.returncode == -9
    assert dumped(plain) == before
    with opened(plain) as store:
        assert len(store.subjects()) == 3
        store.verify()


def test_a_database_of_a_newer_schema_is_left_alone(plain: Path) -> None:
    with closing(sqlite3.connect(plain)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = plain.read_bytes()
    with pytest.raises(StoreError, match=r"newer Doorward \(schema 6, this one knows 5\)"):
        new_store(plain)
    assert plain.read_bytes() == before


def test_a_plain_row_that_no_version_wrote_stops_the_migration(plain: Path) -> None:
    with closing(sqlite3.connect(plain)) as connection, connection:
        connection.execute("UPDATE subjects SET schedule = '{' WHERE id = 's-ada'")
    before = dumped(plain)
    with pytest.raises(StoreError, match="holds what Doorward never wrote") as caught:
        new_store(plain)
    assert "\n" not in str(caught.value)
    assert dumped(plain) == before


def _files(path: Path) -> list[bytes]:
    return [each.read_bytes() for each in path.parent.rglob("*") if each.is_file()]


# --- from the first sealed schema -----------------------------------------------------------------


RESIDENTS = {"Ada Lovelace, flat 12", "Augusta Byron, flat 12", "Charles Babbage, flat 7"}
"""Who lives in every sealed fixture, by label."""


def write_sealed(folder: Path, dump: str) -> Path:
    path = write(folder / "state" / "doorward.db", dump)
    [epoch] = re.findall(r"^-- epoch: (.+)$", dump, re.MULTILINE)
    (path.parent / "epoch").write_text(f"{epoch}\n", encoding="ascii")
    return path


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A database of schema 2, with the secret of its key epoch."""
    return write_sealed(tmp_path, SEALED)


def test_a_sealed_database_comes_over_with_residents_and_log_and_trusts_nobody(
    sealed: Path,
) -> None:
    before = dumped(sealed).replace("user_version=2", f"user_version={len(MIGRATIONS)}")
    with opened(sealed) as store:
        store.verify()
        loaded = store.load(MODEL)
        assert loaded.controllers == {}
        labels = {row.label: row for row in store.subjects()}
        assert store.cursor() == 7
        assert len(store.events(limit=1000)) == 19
    assert set(labels) == RESIDENTS
    assert labels["Ada Lovelace, flat 12"].schedule
    assert labels["Augusta Byron, flat 12"].suspended is Suspension.WITHDRAWN
    assert labels["Charles Babbage, flat 7"].revoked
    added = set(dumped(sealed).splitlines()) - set(before.splitlines())
    assert {line.split()[0] for line in added if "controllers" in line} == {"CREATE"}
    assert not [line for line in added if line.startswith("INSERT") and "meta" not in line]


def test_a_sealed_database_that_came_over_takes_a_controller(sealed: Path) -> None:
    controller = trusted(Operation.UNLOCK)
    with opened(sealed) as store:
        store.append(ControllerTrusted(controller.id), NOW, Trust(controller))
        store.verify()
        assert store.load(MODEL).controllers == {controller.id: controller}


# --- from the schema without PINs -----------------------------------------------------------------


@pytest.fixture
def controlled(tmp_path: Path) -> Path:
    """A database of schema 3, with the secret of its key epoch."""
    return write_sealed(tmp_path, CONTROLLED)


def test_who_was_enrolled_before_there_were_pins_has_none_and_nothing_else_changes(
    controlled: Path,
) -> None:
    before = dumped(controlled).replace("user_version=3", f"user_version={len(MIGRATIONS)}")
    with opened(controlled) as store:
        store.verify()
        loaded = store.load(MODEL)
        rows = {row.label: row for row in store.subjects()}
        assert (loaded.visitors, loaded.attempts) == ((), NO_ATTEMPTS)
        assert len(loaded.codes) == 1
        assert [each.counter for each in loaded.controllers.values()] == [7]
        assert store.cursor() == 7
    assert set(rows) == RESIDENTS
    assert not any(
        row.accessible or row.pin or row.duress_pin or row.cards for row in rows.values()
    )
    assert all(each.credentials == NO_CREDENTIALS for each in loaded.subjects.values())
    minor = rows["Augusta Byron, flat 12"]
    assert (minor.minor, minor.suspended) == (True, Suspension.WITHDRAWN)
    assert rows["Charles Babbage, flat 7"].revoked
    added = set(dumped(controlled).splitlines()) - set(before.splitlines())
    made = {line.split('"')[1] for line in added if line.startswith("CREATE TABLE")}
    assert made == {"credentials", "visitors", "attempts"}
    assert not [line for line in added if line.startswith("INSERT") and "meta" not in line]


def test_a_database_from_before_there_were_pins_takes_them_all(controlled: Path) -> None:
    subject, visitor = SubjectId("s-aaaaaaaaaaaaaaaa"), VisitorId("v-0000000000000001")
    credentials = Credentials(bytes(32), bytes(31) + b"1", (bytes(31) + b"2",))
    invited = Visitor(visitor, bytes(31) + b"3", 1.0, 2.0)
    with opened(controlled) as store:
        changed = CredentialsChanged(subject, pin=True, cards=1)
        store.append(changed, NOW, SetCredentials(subject, credentials, NO_CREDENTIALS))
        store.append(VisitorInvited(visitor, 1.0, 2.0), NOW, Invite(invited, "the plumber"))
        wrong = CodeDenied(Reason.WRONG_CODE, Reader.KEYPAD, None)
        store.append(wrong, NOW, SetAttempts(Attempts(level=1.0)))
        store.verify()
    with opened(controlled) as store:
        loaded = store.load(MODEL)
        assert loaded.subjects[subject].credentials == credentials
        assert (loaded.visitors, loaded.attempts) == ((invited,), Attempts(level=1.0))
        erase(store, subject)
        store.verify()


@EARLIER
def test_a_backup_of_an_earlier_sealed_schema_is_restored(
    tmp_path: Path, dump: str, events: int
) -> None:
    path = write_sealed(tmp_path, dump)
    backup = make_backup(path)
    with opened(path) as store:
        store.append(granted("s-aaaaaaaaaaaaaaaa"), NOW)
    assert restore(path, backup, Vault(KEY), older=True) == events
    with opened(path) as store:
        assert store.verify() == store.last_events(1)[0]
        assert len(store.load(MODEL).subjects) == 3


def test_an_erasure_scrubs_a_backup_from_before_there_were_pins(controlled: Path) -> None:
    backup = make_backup(controlled)
    name = "s-aaaaaaaaaaaaaaaa"
    [(sealed,)] = sql(backup, f"SELECT sealed FROM subjects WHERE id = '{name}'")  # noqa: S608
    with opened(controlled) as store:
        erase(store, name)
        certificate = store.certificate(SubjectId(name))
    assert certificate is not None
    assert "could not be overwritten" not in certificate
    assert not any(sealed in held for held in _files(controlled))


# --- from the schema that kept no self-consistency ------------------------------------------------


@pytest.fixture
def with_pins(tmp_path: Path) -> Path:
    """A database of schema 4, with the secret of its key epoch."""
    return write_sealed(tmp_path, WITH_PINS)


def test_of_who_was_enrolled_before_it_was_kept_no_self_consistency_is_known_and_no_row_changes(
    with_pins: Path,
) -> None:
    before = dumped(with_pins).replace("user_version=4", f"user_version={len(MIGRATIONS)}")
    with opened(with_pins) as store:
        store.verify()
        loaded = store.load(MODEL)
        rows = {row.label: row for row in store.subjects()}
        assert len(loaded.codes) == len(loaded.visitors) == 1
        assert loaded.attempts == Attempts(level=1.0)
    assert set(rows) == RESIDENTS
    assert {row.self_consistency for row in rows.values()} == {None}
    ada = rows["Ada Lovelace, flat 12"]
    assert (ada.references, ada.pin, ada.duress_pin, ada.cards) == (3, True, True, 1)
    # The code is of another boot by now.
    gone = set(before.splitlines()) - set(dumped(with_pins).splitlines())
    assert not [line for line in gone if "codes" not in line]


def test_a_database_of_schema_4_takes_whoever_is_enrolled_now_with_the_self_consistency(
    with_pins: Path,
) -> None:
    with opened(with_pins) as store:
        enrol(store, "s-eve", references=vectors(3, seed=5, size=16))
        revoke(store, "s-eve")
        store.verify()
    with opened(with_pins) as store:
        kept = {row.id: row.self_consistency for row in store.subjects()}
        alike = likeness_to_others(vectors(3, seed=5, size=16))
        assert kept["s-eve"] == pytest.approx(min(alike))
        assert kept["s-aaaaaaaaaaaaaaaa"] is None


def test_an_older_doorward_leaves_records_alone_that_it_would_take_for_damage(
    with_pins: Path,
) -> None:
    with opened(with_pins):
        pass
    assert sql(with_pins, "PRAGMA user_version") == [(5,)]
