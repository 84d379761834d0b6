"""What a database gives to whoever has not the device key, and what an erasure leaves of it."""

import hashlib
import re
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent.adapters.backup import make_backup, set_aside
from agent.adapters.gallery import template_bytes
from agent.adapters.store import SqliteStore
from agent.adapters.vault import Vault
from agent.adapters.vouched import VouchedRows
from agent.core.credentials import (
    NO_CREDENTIALS,
    Attempts,
    Credentials,
    Reader,
    Strikes,
    Visitor,
    VisitorId,
)
from agent.core.effects import (
    ForgetVisitor,
    Invite,
    IssueCode,
    RenewConsent,
    SetAttempts,
    SetCredentials,
    Trust,
)
from agent.core.events import (
    Admitted,
    CodeDenied,
    ConsentRenewed,
    ControllerTrusted,
    CredentialsChanged,
    Denied,
    EnrolmentAuthorised,
    EnrolmentStarted,
    Erased,
    ErasureCertified,
    Forgotten,
    Granted,
    VisitorAdmitted,
    VisitorForgotten,
    VisitorInvited,
)
from agent.core.matching import likeness_to_others, mean_template
from agent.core.orders import Operation
from agent.core.types import AuthorityKind, EnrolmentCode, Method, Reason, SubjectId, Terms
from agent.errors import StoreError
from tests.residents import (
    CONSENT,
    DENIED,
    MODEL,
    NOW,
    OTHER_KEY,
    enrol,
    erase,
    granted,
    new_store,
    opened,
    revoke,
    trusted,
    vectors,
)

WINDOW = 8
"""Bytes in a row that two places do not share by chance."""
CODE = "482913"
GUARDIAN = "Anne Isabella Byron"
CONTROLLER = "the-office-upstairs"
PLUMBER = "the plumber, for the tap"
VISITOR = Visitor(
    VisitorId("v-00000000000000e5"), hashlib.sha256(b"a visitor's").digest(), 1.5e9, 1.9e9
)
ATTEMPTS = Attempts(keypad=Strikes(3, 1234.5), level=2.5, at=NOW.monotonic)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to enrol, in words that no other file has."""

    name: str
    label: str
    household: str
    seed: int

    @property
    def secrets(self) -> dict[str, bytes]:
        """What nobody may find, by what it is."""
        templates = vectors(3, self.seed)
        found = {f"template {n}": template_bytes(each) for n, each in enumerate(templates)}
        found["mean template"] = template_bytes(mean_template(templates))
        # A part of a template would do to find somebody again.
        found |= {f"part of {name}": each[96:120] for name, each in found.items()}
        alike = min(likeness_to_others(templates))
        # As msgpack writes it.
        found["self-consistency"] = struct.pack(">d", alike)
        found |= {"PIN": self.pin, "duress PIN": self.digest("duress"), "card": self.card}
        return found | {"label": self.label.encode(), "household": self.household.encode()}

    def digest(self, what: str) -> bytes:
        return hashlib.sha256(f"{what} of {self.name}".encode()).digest()

    @property
    def pin(self) -> bytes:
        return self.digest("PIN")

    @property
    def card(self) -> bytes:
        return self.digest("card")

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.pin, self.digest("duress"), (self.card, self.digest("tag")))


ADA = Person("s-00000000000000a1", "Ada Lovelace, flat 12", "household-twelve", 1)
BYRON = Person("s-00000000000000b2", "Augusta Byron, flat 12", "household-twelve", 2)
CHARLES = Person("s-00000000000000c3", "Charles Babbage, flat 7", "household-seven", 3)
PEOPLE = (ADA, BYRON, CHARLES)
SPOKEN = {
    word: word.encode()
    for word in (
        *("granted", "denied", "revoked", "enrolment_started", "no_match", MODEL, CODE, GUARDIAN),
        CONTROLLER,
        "unlock",
        *("Mary Somerville", "household-nine", "the concierge", CONSENT.purpose),
        *(CONSENT.notice.version, CONSENT.notice.sha256, CONSENT.authorised_by),
        *("credentials_changed", "visitor_invited", "code_denied", "wrong_code", PLUMBER),
    )
} | {"the visitor's digest": VISITOR.digest}
"""What is said in events, codes, consents, references and visitors' codes."""


def sql(path: Path, statement: str, *parameters: object) -> list[tuple[object, ...]]:
    """Do what somebody does who has the file and another program."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement, parameters).fetchall()


def files(folder: Path) -> dict[Path, bytes]:
    return {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def kept_in(folder: Path) -> dict[Path, bytes]:
    """Give the files of a folder, but for what SQLite puts beside a database that it only reads."""
    journals = (f"doorward.db{ending}" for ending in ("-shm", "-wal"))
    shared, journal = (folder / name for name in journals)
    found = files(folder)
    return {at: held for at, held in found.items() if at != shared and (held or at != journal)}


def found_in(folder: Path, wanted: dict[str, bytes]) -> set[tuple[str, str]]:
    """Say which of these bytes are in which files of a folder."""
    return {
        (path.name, what)
        for path, content in files(folder).items()
        for what, trace in wanted.items()
        if trace in content
    }


def rows_of(path: Path, name: str) -> dict[str, bytes]:
    """Give what the file holds of a subject in sealed columns, by where it is."""
    found: dict[str, bytes] = {}
    for table, column in [
        ("subjects", "id"), ("keys", "subject"), ("consents", "subject"), ("references", "subject"),
        ("credentials", "subject"),
    ]:  # fmt: skip
        for number, row in enumerate(
            sql(path, f'SELECT * FROM "{table}" WHERE {column} = ?', name)  # noqa: S608
        ):
            # A tag of a model is shared by everybody whom that model has seen.
            blobs = [cell for cell in row if isinstance(cell, bytes) and len(cell) > WINDOW]
            found |= {f"{table} {number} {n}": blob for n, blob in enumerate(blobs)}
    assert len(found) >= 5
    return found


def furnish(store: SqliteStore) -> None:
    for person in PEOPLE:
        subject = SubjectId(person.name)
        store.append(EnrolmentStarted(subject, AuthorityKind.CODE), NOW)
        enrol(
            store,
            person.name,
            label=person.label,
            household=person.household,
            references=vectors(3, person.seed),
            consent=replace(CONSENT, guardian=GUARDIAN),
        )
        store.append(granted(person.name), NOW)
        changed = CredentialsChanged(subject, pin=True, cards=2)
        store.append(changed, NOW, SetCredentials(subject, person.credentials, NO_CREDENTIALS))
        store.append(Admitted(subject, Method.PIN), NOW)
    store.append(Denied(Reason.REVOKED, SubjectId(ADA.name), 3, 1), NOW)
    store.append(DENIED, NOW)
    terms = Terms("Mary Somerville", "household-nine", minor=True, guardian=GUARDIAN)
    code = EnrolmentCode(CODE, NOW.monotonic, "the concierge", terms)
    store.append(EnrolmentAuthorised(), NOW, IssueCode(code))
    controller = replace(trusted(Operation.UNLOCK), name=CONTROLLER)
    store.append(ControllerTrusted(controller.id), NOW, Trust(controller))
    invited = VisitorInvited(VISITOR.id, VISITOR.not_before, VISITOR.not_after)
    store.append(invited, NOW, Invite(VISITOR, PLUMBER))
    wrong = CodeDenied(Reason.WRONG_CODE, Reader.KEYPAD, SubjectId(ADA.name))
    store.append(wrong, NOW, SetAttempts(ATTEMPTS))


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with opened(path) as store:
        furnish(store)
        yield store


# --- without the device key -----------------------------------------------------------------------


def test_no_file_of_the_state_folder_says_anything_without_the_key(
    path: Path, store: SqliteStore
) -> None:
    make_backup(path)
    wanted = {f"{each.label}: {what}": b for each in PEOPLE for what, b in each.secrets.items()}
    assert found_in(path.parent, wanted | SPOKEN) == set()
    store.close()
    assert found_in(path.parent, wanted | SPOKEN) == set()
    # The search finds what is there.
    (path.parent / "left").write_bytes(b"before" + ADA.secrets["part of template 1"] + b"after")
    found = found_in(path.parent, wanted | SPOKEN)
    assert found == {("left", f"{ADA.label}: part of template 1")}


_NUMBER, _TIME, _FLAG = r"\d+", r"\d+(\.\d+)?|None", "0|1"
_RANDOM_ID, _BOOT, _OURS = r"s-[0-9a-f]{16}", r"boot-\d", "[a-z_]+"
_EVENT = {"seq": _NUMBER, "boot_id": _BOOT, "monotonic": _TIME, "wall": _TIME}
COLUMNS: dict[str, dict[str, str | int]] = {
    "vault": {"device": "[0-9a-f]{16}", "epoch": _NUMBER, "proof": 28},
    "subjects": {"id": _RANDOM_ID, "seen_on": _TIME, "sealed": 28},
    "keys": {"subject": _RANDOM_ID, "epoch": _NUMBER, "wrapped": 28 + 32},
    "references": {
        "id": _NUMBER, "subject": _RANDOM_ID, "epoch": _NUMBER, "made_by": 8, "sealed": 28,
    },
    "consents": {"subject": _RANDOM_ID, "sealed": 28},
    "codes": {"boot_id": _BOOT, "sealed": 28},
    "credentials": {"subject": _RANDOM_ID, "sealed": 28 + 4 * 32},
    "visitors": {"id": "v-[0-9a-f]{16}", "sealed": 28 + 32},
    "attempts": {"boot_id": _BOOT, "sealed": 28},
    "controllers": {"id": "[0-9a-f]{16}", "sealed": 28 + 32},
    "meta": {"key": _OURS, "value": _NUMBER},
    "tombstones": {
        "subject": _RANDOM_ID, "cause": _OURS, "erased_at": _TIME, "time_trusted": _FLAG,
        "epoch": _NUMBER, "proof": 32, "certificate": r"(?s)doorward/erasure/1\n.*",
    },
    "anchor": {"seq": _NUMBER, "hash": 32, "signature": 0},
    "events": {
        **_EVENT, "week_minute": _NUMBER, "time_trusted": _FLAG,
        "sealed": 28, "hash": 32, "signature": 64,
    },
}  # fmt: skip
"""What each column may hold: text of this form, or at least so many sealed or hashed bytes."""


def test_every_column_holds_random_ids_times_or_what_is_sealed(
    path: Path, store: SqliteStore
) -> None:
    erase(store, CHARLES.name)
    made = sql(path, "SELECT name FROM sqlite_master WHERE type = 'table'")
    tables = {str(name) for (name,) in made}
    assert tables == set(COLUMNS)
    for table, allowed in COLUMNS.items():
        names = [str(row[1]) for row in sql(path, f'PRAGMA table_info("{table}")')]
        assert set(names) == set(allowed), table
        rows = sql(path, f'SELECT * FROM "{table}"')  # noqa: S608
        assert rows, table
        for row in rows:
            for name, value in zip(names, row, strict=True):
                form = allowed[name]
                if isinstance(form, int):
                    assert isinstance(value, bytes), (table, name)
                    assert len(value) >= form, (table, name)
                else:
                    assert re.fullmatch(form, str(value)), (table, name, value)


def test_two_events_of_one_subject_share_no_bytes(path: Path, store: SqliteStore) -> None:
    mark = store.last_events(1)[0].seq
    for _ in range(3):
        store.append(granted(ADA.name), NOW)
    query = "SELECT sealed, hash, signature FROM events WHERE seq > ?"
    seen: set[bytes] = set()
    for row in sql(path, query, mark):
        cells = [cell for cell in row if isinstance(cell, bytes)]
        windows = {cell[n : n + WINDOW] for cell in cells for n in range(len(cell) - WINDOW + 1)}
        assert not seen & windows
        seen |= windows
    assert len(seen) > 3 * 64


def test_no_time_in_the_clear_tells_whose_event_a_grant_was(path: Path, store: SqliteStore) -> None:
    later = replace(NOW, wall=NOW.wall + 2 * 86_400 + 4567.25)
    store.append(granted(ADA.name), later)
    walls = {wall for (wall,) in sql(path, "SELECT wall FROM events")}
    used = {used for (used,) in sql(path, "SELECT seen_on FROM subjects")}
    assert later.wall in walls
    assert not walls & used


@pytest.mark.parametrize("running", [False, True], ids=["closed", "cut off"])
def test_another_device_key_opens_nothing_and_changes_nothing(path: Path, running: bool) -> None:
    folder = path.parent
    with opened(path) as store:
        furnish(store)
        left = files(folder)
    if running:
        # As it lies after a power cut: with a journal that nobody has moved yet.
        for file, content in left.items():
            file.write_bytes(content)
    before = kept_in(folder)
    with pytest.raises(StoreError, match="belongs to device") as caught:
        new_store(path, key=OTHER_KEY)
    assert "\n" not in str(caught.value)
    assert kept_in(folder) == before
    with opened(path) as store:
        assert len(store.subjects()) == 3


def test_without_the_secret_of_its_epoch_nothing_opens_and_nothing_changes(path: Path) -> None:
    with opened(path) as store:
        furnish(store)
    epoch = path.parent / "epoch"
    kept = epoch.read_bytes()
    for content in (None, b"", b"1 00", b"1 " + b"00" * 32 + b"\n", kept.replace(b"1 ", b"2 ")):
        epoch.unlink(missing_ok=True)
        if content is not None:
            epoch.write_bytes(content)
        before = kept_in(path.parent)
        with pytest.raises(StoreError, match=r"doorward\.db"):
            new_store(path)
        assert kept_in(path.parent) == before
    epoch.write_bytes(kept)
    with opened(path) as store:
        assert len(store.load(MODEL).gallery.subjects) == 3


# --- rows that were altered -----------------------------------------------------------------------

Tamper = Callable[[Path, SqliteStore], None]


def _by(statement: str, *parameters: object) -> Tamper:
    def tamper(path: Path, _store: SqliteStore) -> None:
        sql(path, statement, *parameters)

    return tamper


def _swap(table: str, key: str, column: str) -> Tamper:
    def tamper(path: Path, _store: SqliteStore) -> None:
        query = f'SELECT {column} FROM "{table}" WHERE {key} = ?'  # noqa: S608
        [(a,)], [(b,)] = (sql(path, f"{query} LIMIT 1", each.name) for each in (ADA, BYRON))
        change = f'UPDATE "{table}" SET {column} = ? WHERE {column} = ?'  # noqa: S608
        for new, old in [(b"between", a), (a, b), (b, b"between")]:
            sql(path, change, new, old)

    return tamper


def _rename(path: Path, _store: SqliteStore) -> None:
    """Give all that one resident has, key included, to another, and the other way round."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for new, old in [("between", ADA.name), (ADA.name, BYRON.name), (BYRON.name, "between")]:
            connection.execute("UPDATE subjects SET id = ? WHERE id = ?", [new, old])
            for table in ("keys", "consents", "credentials", "references"):
                change = f'UPDATE "{table}" SET subject = ? WHERE subject = ?'  # noqa: S608
                connection.execute(change, [new, old])


def _relabel(path: Path, store: SqliteStore) -> None:
    """Pass the reference of one model for that of another."""
    enrol(store, "s-00000000000000d4", model="another", references=vectors(1, 4))
    query = 'SELECT made_by FROM "references" WHERE subject = ?'
    [(other,)] = sql(path, query, "s-00000000000000d4")
    [(ours,)] = sql(path, f"{query} LIMIT 1", ADA.name)
    sql(path, 'UPDATE "references" SET made_by = ? WHERE made_by = ?', ours, other)


def _put_back(change: Callable[[SqliteStore], object], *tables: str) -> Tamper:
    """Put the content that some tables had before a change back after it."""

    def tamper(path: Path, store: SqliteStore) -> None:
        old = {table: sql(path, f'SELECT * FROM "{table}"') for table in tables}  # noqa: S608
        change(store)
        for table, rows in old.items():
            now = sql(path, f'SELECT * FROM "{table}"')  # noqa: S608
            assert now != rows, f"the change did nothing to {table}"
            for row in rows:
                marks = ", ".join("?" * len(row))
                sql(path, f'REPLACE INTO "{table}" VALUES ({marks})', *row)  # noqa: S608

    return tamper


def _renew(store: SqliteStore) -> None:
    subject = SubjectId(ADA.name)
    store.append(ConsentRenewed(subject), NOW, RenewConsent(subject, CONSENT))


def _unlearn(store: SqliteStore) -> None:
    subject = SubjectId(ADA.name)
    changed = CredentialsChanged(subject, pin=False, cards=1)
    left = Credentials(cards=(ADA.card,))
    store.append(changed, NOW, SetCredentials(subject, left, ADA.credentials))


def _let_in(store: SqliteStore) -> None:
    store.append(VisitorAdmitted(VISITOR.id), NOW, ForgetVisitor(VISITOR.id))


def _guess(store: SqliteStore) -> None:
    more = replace(ATTEMPTS, level=3.5)
    store.append(CodeDenied(Reason.WRONG_CODE, Reader.KEYPAD, None), NOW, SetAttempts(more))


def _erase_charles(store: SqliteStore) -> None:
    erase(store, CHARLES.name)


TAMPERING: dict[str, Tamper] = {
    "a reference given to another": _by(
        'UPDATE "references" SET subject = ? WHERE id = 1', BYRON.name
    ),
    "a reference doubled for another": _by(
        'INSERT INTO "references" SELECT 99, ?, epoch, made_by, sealed FROM "references" '
        "WHERE id = 1",
        BYRON.name,
    ),
    "residents swapped whole": _rename,
    "references of one resident swapped": _by(
        'UPDATE "references" SET sealed = (SELECT sealed FROM "references" AS other '
        'WHERE other.id = 3 - "references".id) WHERE id = 1'
    ),
    "a reference of another model passed for ours": _relabel,
    "references swapped": _swap("references", "subject", "sealed"),
    "keys swapped": _swap("keys", "subject", "wrapped"),
    "records swapped": _swap("subjects", "id", "sealed"),
    "consents swapped": _swap("consents", "subject", "sealed"),
    "credentials swapped": _swap("credentials", "subject", "sealed"),
    "a visitor under another name": _by("UPDATE visitors SET id = 'v-00000000000000f6'"),
    "a visitor doubled": _by(
        "INSERT INTO visitors SELECT 'v-00000000000000f6', sealed FROM visitors"
    ),
    "the attempts of another boot": _by("UPDATE attempts SET boot_id = 'boot-7'"),
    "a model's tag altered": _by('UPDATE "references" SET made_by = ? WHERE id = 1', bytes(8)),
    "an epoch altered": _by('UPDATE "references" SET epoch = 7 WHERE id = 1'),
    "a reference taken out": _by('DELETE FROM "references" WHERE id = 1'),
    "a reference cut": _by(
        'UPDATE "references" SET sealed = CAST(substr(sealed, 2) AS BLOB) WHERE id = 1'
    ),
    "a consent taken out": _by("DELETE FROM consents WHERE subject = ?", ADA.name),
    "credentials taken out": _by("DELETE FROM credentials WHERE subject = ?", ADA.name),
    "the attempts taken out": _by("DELETE FROM attempts"),
    "a key taken out": _by("DELETE FROM keys WHERE subject = ?", ADA.name),
    "a last use altered": _by("UPDATE subjects SET seen_on = 9e9 WHERE id = ?", ADA.name),
    "the record before a revocation": _put_back(lambda store: revoke(store, ADA.name), "subjects"),
    "the consent before a renewal": _put_back(_renew, "consents"),
    "the PIN before it was changed": _put_back(_unlearn, "credentials"),
    "a visitor's code that was used": _put_back(_let_in, "visitors"),
    "the attempts before more of them": _put_back(_guess, "attempts"),
    "the keys before somebody's erasure": _put_back(_erase_charles, "keys"),
    "the references before somebody's erasure": _put_back(_erase_charles, "references"),
    "somebody erased, but for the epoch": _put_back(
        _erase_charles, "subjects", "keys", "consents", "credentials", "references"
    ),
    "somebody erased, with the epoch": _put_back(
        _erase_charles, "subjects", "keys", "consents", "credentials", "references", "vault"
    ),
}


@pytest.mark.parametrize("name", TAMPERING)
def test_rows_that_were_altered_moved_or_put_back_admit_nobody(
    path: Path, store: SqliteStore, name: str
) -> None:
    store.load(MODEL)
    TAMPERING[name](path, store)
    assert store.changed()
    with pytest.raises(StoreError) as caught:
        store.load(MODEL)
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreError):
        store.verify()
    store.close()
    # Nor does one who opens it anew read them.
    with pytest.raises(StoreError), opened(path) as again:
        again.load(MODEL)


_BOUND = (
    *("a reference given to another", "a reference doubled for another", "an epoch altered"),
    *("residents swapped whole", "references of one resident swapped", "keys swapped"),
    *("a reference of another model passed for ours", "records swapped", "consents swapped"),
    *("credentials swapped", "a visitor under another name", "a visitor doubled"),
    "the attempts of another boot",
)


@pytest.mark.parametrize("name", _BOUND)
def test_what_was_moved_does_not_open_whatever_the_log_vouches_for(
    path: Path, store: SqliteStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    TAMPERING[name](path, store)
    # As if somebody had forged that too.
    monkeypatch.setattr(VouchedRows, "require", lambda *_: None)
    with pytest.raises(StoreError, match=r"does not open|has no key"):
        store.load(MODEL)


@pytest.mark.parametrize("event", [granted(ADA.name), Admitted(SubjectId(ADA.name), Method.PIN)])
def test_nobody_is_let_in_by_a_row_from_before_a_revocation(
    path: Path, store: SqliteStore, event: Granted | Admitted
) -> None:
    old = sql(path, "SELECT sealed FROM subjects WHERE id = ?", ADA.name)[0][0]
    revoke(store, ADA.name)
    store.load(MODEL)
    before = store.last_events(1)
    sql(path, "UPDATE subjects SET sealed = ? WHERE id = ?", old, ADA.name)
    with pytest.raises(StoreError):
        store.append(event, NOW)
    assert store.last_events(1) == before


def test_no_visitor_is_let_in_by_a_row_from_before_the_code_was_used(
    path: Path, store: SqliteStore
) -> None:
    [(used,)] = sql(path, "SELECT sealed FROM visitors")
    _let_in(store)
    store.load(MODEL)
    before = store.last_events(1)
    sql(path, "INSERT INTO visitors VALUES (?, ?)", VISITOR.id, used)
    with pytest.raises(StoreError):
        _let_in(store)
    assert store.last_events(1) == before


# --- after an erasure -----------------------------------------------------------------------------


def test_an_erasure_leaves_nothing_in_the_database_its_journal_or_its_copies(path: Path) -> None:
    with opened(path) as store:
        furnish(store)
        make_backup(path)
        # The next backup belongs to another key epoch.
        erase(store, CHARLES.name)
        later = make_backup(path)
        store.append(granted(ADA.name), NOW)
    # A file set aside, with its journal, and the backup in its place.
    with opened(path) as store:
        store.append(DENIED, NOW)
        left = files(path.parent)
    for file in (path, path.with_name(f"{path.name}-wal")):
        file.write_bytes(left[file])
    aside = set_aside(path)
    path.write_bytes(later.read_bytes())
    gone = ADA.secrets | rows_of(path, ADA.name)
    kept = rows_of(path, BYRON.name)
    assert {name for name, _ in found_in(path.parent, gone)} >= {path.name, aside.name, later.name}
    with opened(path) as store:
        erase(store, ADA.name)
        assert found_in(path.parent, gone) == set()
        still = {what for name, what in found_in(path.parent, kept) if name == path.name}
        assert still == {what for what in kept if not what.startswith("keys")}
    assert found_in(path.parent, gone) == set()
    with opened(path) as store:
        assert [row.id for row in store.subjects()] == [BYRON.name]


def test_an_erasure_scrubs_the_longest_rows_from_the_backups(path: Path) -> None:
    with opened(path) as store:
        with pytest.raises(StoreError, match=r"label, household and hours: .* at most 3000 fit"):
            enrol(store, ADA.name, label="Ada " * 4000)
        enrol(store, ADA.name, label="Ada " * 700)
        make_backup(path)
        (sealed,) = sql(path, "SELECT sealed FROM subjects")[0]
        assert isinstance(sealed, bytes)
        gone = {str(n): sealed[n : n + 32] for n in range(0, len(sealed) - 32, 512)}
        assert found_in(path.parent / "backups", gone)
        erase(store, ADA.name)
        assert found_in(path.parent, gone) == set()


@pytest.mark.parametrize(
    ("event", "running"),
    [
        (VisitorAdmitted(VISITOR.id), False),
        (VisitorForgotten(VISITOR.id), False),
        (VisitorAdmitted(VISITOR.id), True),
    ],
    ids=["used", "taken back", "used, and read anew"],
)
def test_nothing_is_left_of_a_visitor_who_was_let_in_or_forgotten(
    path: Path, event: VisitorAdmitted | VisitorForgotten, running: bool
) -> None:
    # Another process has the database open, so that closing it does not cut the journal by itself.
    with opened(path), opened(path) as store:
        furnish(store)
        store.load(MODEL)
        [(sealed,)] = sql(path, "SELECT sealed FROM visitors")
        assert isinstance(sealed, bytes)
        gone = {"sealed": sealed}
        assert found_in(path.parent, gone)
        store.append(event, NOW, ForgetVisitor(VISITOR.id))
        assert not running or store.changed()
        if running:
            store.load(MODEL)
        else:
            store.close()
        assert found_in(path.parent, gone) == set()


def test_nothing_is_left_of_a_pin_that_was_changed(path: Path) -> None:
    with opened(path), opened(path) as store:
        furnish(store)
        [(sealed,)] = sql(path, "SELECT sealed FROM credentials WHERE subject = ?", ADA.name)
        assert isinstance(sealed, bytes)
        assert found_in(path.parent, {"sealed": sealed})
        _unlearn(store)
        store.load(MODEL)
        assert found_in(path.parent, {"sealed": sealed}) == set()


def test_no_key_opens_what_is_left_of_somebody_erased(path: Path, store: SqliteStore) -> None:
    backup = make_backup(path)
    erase(store, ADA.name)
    store.close()
    # Everything that the device had, but for the epoch's secret that the erasure overwrote.
    path.write_bytes(backup.read_bytes())
    with pytest.raises(StoreError, match="key epoch"):
        new_store(path)


def test_events_about_somebody_erased_say_their_kind_only_and_the_log_verifies(
    path: Path, store: SqliteStore
) -> None:
    revoke(store, ADA.name)
    before = {each.seq: each for each in store.events()}
    erase(store, ADA.name)
    forgotten = set()
    for each in store.events():
        match each.event:
            case Forgotten(kind):
                forgotten.add(kind)
                assert getattr(before[each.seq].event, "subject", None) == ADA.name
                assert (each.now, each.boot_id) == (NOW, before[each.seq].boot_id)
            case Erased() | ErasureCertified():
                assert each.event.subject == ADA.name
            case event:
                assert event == before[each.seq].event
                assert getattr(event, "subject", None) != ADA.name or isinstance(
                    event, EnrolmentStarted
                )
    assert forgotten >= {"enrolled", "granted", "denied", "revoked", "admitted"}
    assert forgotten >= {"credentials_changed", "code_denied"}
    assert store.verify() is not None
    with opened(path) as again:
        assert again.verify() == store.last_events(1)[0]


def test_the_start_of_the_enrolment_of_somebody_erased_is_forgotten_too(
    store: SqliteStore,
) -> None:
    erase(store, ADA.name)
    started = [each.event for each in store.events() if isinstance(each.event, EnrolmentStarted)]
    assert ADA.name not in {event.subject for event in started}


def test_a_name_of_a_model_means_nothing_to_another_device(store: SqliteStore, path: Path) -> None:
    [(tag,)] = sql(path, 'SELECT DISTINCT made_by FROM "references"')
    assert store.load(MODEL).gallery.subjects
    assert Vault(OTHER_KEY).model_tag(MODEL) != tag
