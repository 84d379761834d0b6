"""A card that wears out turns bits over: that is noticed at the start, or it decides nothing."""

import random
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

from agent.adapters.devicekey import KEY_FILE
from agent.config import Config
from agent.core.credentials import (
    NO_CREDENTIALS,
    Attempts,
    Credentials,
    Reader,
    Visitor,
    VisitorId,
)
from agent.core.effects import Invite, IssueCode, SetAttempts, SetCredentials, SuspendConsent
from agent.core.events import (
    Admitted,
    CodeDenied,
    ConsentSuspended,
    CredentialsChanged,
    EnrolmentAuthorised,
    VisitorInvited,
)
from agent.core.types import (
    EnrolmentCode,
    Method,
    Reason,
    Subject,
    SubjectId,
    Suspension,
    Terms,
    Validity,
)
from agent.errors import StoreError
from agent.installation import checked_store
from agent.ports import Recorded, Store
from tests.residents import (
    DENIED,
    KEY,
    MODEL,
    NOW,
    StoppedClock,
    enrol,
    erase,
    granted,
    opened,
    revoke,
    vectors,
)

PAGE = 4096
INDEX_LEAF = 0x0A
FLIPS = 200
SHARES = 10
"""Tests that the flips are shared out to, so that a failure is found again in a tenth of them."""

ADMITTED = (SubjectId("s-ada"), SubjectId("s-ben"))
REVOKED, SUSPENDED, ERASED = SubjectId("s-rex"), SubjectId("s-sue"), SubjectId("s-eve")
REFUSED = (REVOKED, SUSPENDED, ERASED)

Flip: TypeAlias = tuple[int, int]
"""Which byte of the file, and which bit of it."""


@dataclass(frozen=True)
class Content:
    """All that decides who enters, and the log."""

    gallery: tuple[SubjectId, ...]
    matrix: bytes
    households: tuple[int, ...]
    subjects: Mapping[SubjectId, Subject]
    visitors: tuple[Visitor, ...]
    attempts: Attempts
    events: tuple[Recorded, ...]


def content(store: Store) -> Content:
    loaded = store.load(MODEL)
    return Content(
        loaded.gallery.subjects,
        loaded.gallery.matrix.tobytes(),
        tuple(loaded.gallery.households.tolist()),
        dict(loaded.subjects),
        loaded.visitors,
        loaded.attempts,
        tuple(store.events()),
    )


def populate(store: Store) -> None:
    for number, name in enumerate((*ADMITTED, *REFUSED)):
        household = "flat 12" if name in {ADMITTED[0], REVOKED} else None
        validity = Validity(not_after=2e9) if name == ADMITTED[1] else Validity()
        enrol(
            store,
            name,
            label=f"label of {name}",
            household=household,
            references=vectors(3, seed=number),
            validity=validity,
        )
        credentials = Credentials(bytes([8, number]) * 16, cards=(bytes([9, number]) * 16,))
        changed = CredentialsChanged(SubjectId(name), pin=True, cards=1)
        given = SetCredentials(SubjectId(name), credentials, NO_CREDENTIALS)
        store.append(changed, NOW, given)
    visitor = Visitor(VisitorId("v-1"), bytes([50]) * 32, 1.0, 2.0)
    store.append(VisitorInvited(visitor.id, 1.0, 2.0), NOW, Invite(visitor, "the plumber"))
    wrong = CodeDenied(Reason.WRONG_CODE, Reader.KEYPAD, None)
    store.append(wrong, NOW, SetAttempts(Attempts(level=1.0)))
    for _ in range(3):
        store.append(granted(ADMITTED[0]), NOW)
        store.append(DENIED, NOW)
    revoke(store, REVOKED)
    reason = Suspension.WITHDRAWN
    store.append(ConsentSuspended(SUSPENDED, reason), NOW, SuspendConsent(SUSPENDED, reason))
    erase(store, ERASED)
    code = EnrolmentCode("123456", NOW.monotonic, "the concierge", Terms(label="flat 13"))
    store.append(EnrolmentAuthorised(), NOW, IssueCode(code))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed database that nothing is wrong with."""
    path = tmp_path_factory.mktemp("sound") / "doorward.db"
    with opened(path) as store:
        populate(store)
    # Room for an erasure is nothing that can be read wrongly, and slow to copy.
    path.with_name("ballast").unlink(missing_ok=True)
    return path


@pytest.fixture(scope="module")
def decided(sound: Path) -> Content:
    with opened(sound) as store:
        return content(store)


@pytest.fixture
def path(sound: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return shutil.copytree(sound.parent, tmp_path / "state") / sound.name


def flipped(kept: bytes, flip: Flip) -> bytes:
    byte, bit = flip
    turned = bytearray(kept)
    turned[byte] ^= 1 << bit
    return bytes(turned)


def lay(sound: Path, path: Path, kept: bytes) -> None:
    """Put a database in the place of the last one, as of a closed store."""
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    path.write_bytes(kept)
    shutil.copyfile(sound.with_name("epoch"), path.with_name("epoch"))


def noticed(path: Path, decided: Content) -> bool:
    """Whether the start refuses this database; where it does not, all must be as it was.

    StoreError is the only refusal: whatever else comes through ends the test.
    """
    try:
        with opened(path) as store:
            store.verify()
            loaded = store.load(MODEL)
            assert dict(loaded.subjects) == decided.subjects
            with suppress(StoreError):
                assert content(store) == decided
            require_same_refusals(store)
            require_revocation(store, ADMITTED[0])
            require_whole_erasure(path, store, ADMITTED[1])
    except StoreError:
        return True
    return False


def require_same_refusals(store: Store) -> None:
    for subject in REFUSED:
        with pytest.raises(StoreError):
            store.append(granted(subject), NOW)
    for subject in (REVOKED, ERASED):
        with pytest.raises(StoreError):
            store.append(Admitted(subject, Method.PIN), NOW)


def require_revocation(store: Store, subject: SubjectId) -> None:
    """Who has been revoked is known as revoked, or it was said that revoking did not work."""
    try:
        revoke(store, subject)
        loaded = store.load(MODEL)
    except StoreError:
        return
    assert loaded.subjects[subject].revoked


def require_whole_erasure(path: Path, store: Store, subject: SubjectId) -> None:
    """What has been erased is gone, or it was said that the erasure did not work."""
    try:
        erase(store, subject)
        loaded = store.load(MODEL)
    except StoreError:
        return
    assert subject not in {*loaded.subjects, *loaded.gallery.subjects}
    with closing(sqlite3.connect(path)) as connection:
        # Past every index, since it may be the index that is damaged.
        for table in ("keys", "consents", "credentials", "references"):
            query = f'SELECT COUNT(*) FROM "{table}" NOT INDEXED WHERE +subject = ?'  # noqa: S608
            assert connection.execute(query, [subject]).fetchone() == (0,)


def try_flips(sound: Path, path: Path, decided: Content, flips: Iterable[Flip]) -> list[bool]:
    """Try each on a copy of its own, and say of each whether it was noticed."""
    kept = sound.read_bytes()
    found = []
    for flip in flips:
        lay(sound, path, flipped(kept, flip))
        try:
            found.append(noticed(path, decided))
        except BaseException as error:
            error.add_note("bit {1} of byte {0} was turned over".format(*flip))
            raise
    return found


def test_what_nothing_is_wrong_with_is_not_refused(path: Path, decided: Content) -> None:
    assert decided.gallery == (*ADMITTED, REVOKED, SUSPENDED)
    assert decided.subjects[REVOKED].revoked
    assert decided.subjects[SUSPENDED].suspended is Suspension.WITHDRAWN
    assert not noticed(path, decided)


@pytest.mark.parametrize("share", range(SHARES))
def test_a_bit_that_turns_over_is_noticed_or_decides_nothing(
    sound: Path, path: Path, decided: Content, share: int
) -> None:
    chance, size = random.Random(share), sound.stat().st_size
    flips = [(chance.randrange(size), chance.randrange(8)) for _ in range(FLIPS // SHARES)]
    try_flips(sound, path, decided, flips)


@pytest.mark.parametrize("share", range(SHARES))
def test_a_bit_that_turns_over_in_what_is_kept_is_mostly_noticed(
    sound: Path, path: Path, decided: Content, share: int
) -> None:
    # Most of a small database is free space, where nothing can be noticed, and nothing need be.
    chance, kept = random.Random(f"kept {share}"), sound.read_bytes()
    held = [place for place, byte in enumerate(kept) if byte]
    flips = [(chance.choice(held), chance.randrange(8)) for _ in range(FLIPS // SHARES)]
    found = try_flips(sound, path, decided, flips)
    assert sum(found) > len(found) / 2


def index_pages(path: Path) -> Iterator[int]:
    """Where the pages of an index are that hold its entries (SQLite file format, 1.6)."""
    kept = path.read_bytes()
    for start in range(0, len(kept), PAGE):
        # The header of the file comes first on the first page, which is of a table.
        if start and kept[start] == INDEX_LEAF:
            yield start


def test_a_bit_that_turns_over_in_an_index_is_noticed_or_decides_nothing(
    sound: Path, path: Path, decided: Content
) -> None:
    # An erasure that trusted a damaged index would leave rows behind.
    chance, kept = random.Random("index"), sound.read_bytes()
    flips = []
    for start in index_pages(sound):
        held = [place for place in range(start, start + PAGE) if kept[place]]
        flips += [(chance.choice(held), chance.randrange(8)) for _ in range(12)]
    assert len(flips) > 60
    try_flips(sound, path, decided, flips)


def test_a_bit_that_turns_over_in_the_name_of_a_table_is_noticed_or_decides_nothing(
    sound: Path, path: Path, decided: Content
) -> None:
    # SQLite still finds a "Table" of "Subjects"; who compares letter by letter does not.
    name = b"tablesubjectssubjects"
    start = sound.read_bytes().index(name)
    flips = [(start + place, bit) for place in range(len(name)) for bit in range(8)]
    try_flips(sound, path, decided, flips)


def test_what_was_vouched_for_is_always_noticed(sound: Path, path: Path, decided: Content) -> None:
    columns = {
        "subjects": "sealed",
        "keys": "wrapped",
        "consents": "sealed",
        "credentials": "sealed",
        "visitors": "sealed",
        "attempts": "sealed",
        "references": "sealed",
        "events": "sealed",
    }
    chance, kept = random.Random("vouched"), sound.read_bytes()
    with closing(sqlite3.connect(sound)) as connection:
        cells = [
            bytes(cell)
            for table, column in columns.items()
            for (cell,) in connection.execute(f'SELECT {column} FROM "{table}"')  # noqa: S608
        ]
    places = [(kept.find(cell), len(cell)) for cell in cells]
    # One that is cut in two by the end of a page is not found whole.
    flips = [
        (start + chance.randrange(size), chance.randrange(8)) for start, size in places if start > 0
    ]
    assert len(flips) > 0.8 * len(cells)
    assert all(try_flips(sound, path, decided, flips))


def test_the_part_of_a_database_that_a_cut_left_is_noticed(
    sound: Path, path: Path, decided: Content
) -> None:
    chance, kept = random.Random("cut"), sound.read_bytes()
    lengths = {chance.randrange(len(kept)) for _ in range(30)}
    lengths |= {0, 1, 100, PAGE, len(kept) - PAGE, len(kept) - 1}
    for length in lengths:
        lay(sound, path, kept[:length])
        # SQLite fills up the last page, and what is cut from it may have been empty.
        if not noticed(path, decided):
            assert length > len(kept) - PAGE, f"cut to {length} bytes"


def test_a_bit_that_turns_over_in_the_epoch_refuses_until_the_file_is_put_back(
    path: Path, decided: Content
) -> None:
    epoch = path.with_name("epoch")
    kept, stored = epoch.read_bytes(), path.read_bytes()
    refused = 0
    for byte in range(len(kept)):
        for bit in range(8):
            damaged = flipped(kept, (byte, bit))
            epoch.write_bytes(damaged)
            try:
                with opened(path) as store:
                    assert content(store) == decided
            except StoreError:
                refused += 1
                assert epoch.read_bytes() == damaged
    # A capital for a small letter, or a tab for a line feed, is no other secret.
    assert refused > 0.8 * 8 * len(kept)
    epoch.write_bytes(kept)
    assert path.read_bytes() == stored
    with opened(path) as store:
        assert content(store) == decided


# --- at the start of the agent


@pytest.fixture
def config(path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Of the agent whose database is at `path`."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    key = path.with_name(KEY_FILE)
    key.write_text(f"{KEY.secret.hex()}\n")
    key.chmod(0o600)
    return Config(state_directory=str(path.parent))


def damage(path: Path) -> bytes:
    """Turn over a bit of what keeps somebody out."""
    kept = path.read_bytes()
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT sealed FROM subjects WHERE id = ?"
        [(sealed,)] = connection.execute(query, [REVOKED]).fetchall()
    damaged = flipped(kept, (kept.index(sealed) + 20, 3))
    path.write_bytes(damaged)
    return damaged


def test_what_is_sound_is_neither_set_aside_nor_changed(path: Path, config: Config) -> None:
    kept = path.read_bytes()
    with closing(checked_store(config, StoppedClock())):
        pass
    assert path.read_bytes() == kept
    assert not list(path.parent.glob("*aside*"))


def test_a_damaged_database_is_set_aside_and_kept_as_it_was(path: Path, config: Config) -> None:
    damaged = damage(path)
    aside = path.with_name("doorward.db.aside-1")
    with pytest.raises(StoreError, match="restore a backup") as caught:
        checked_store(config, StoppedClock())
    assert f"it is kept as {aside}" in str(caught.value)
    assert str(path) in str(caught.value)
    assert aside.read_bytes() == damaged
    assert not path.exists()


def test_no_damaged_database_takes_the_place_of_another(path: Path, config: Config) -> None:
    first = damage(path)
    second = flipped(first, (len(first) // 2, 0))
    for damaged in (first, second):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match="it is kept as"):
            checked_store(config, StoppedClock())
    kept = [path.with_name(f"doorward.db.aside-{number}").read_bytes() for number in (1, 2)]
    assert kept == [first, second]


def test_the_door_does_not_begin_anew_where_a_database_was_set_aside(
    path: Path, config: Config
) -> None:
    damage(path)
    with pytest.raises(StoreError, match="it is kept as"):
        checked_store(config, StoppedClock())
    for _ in range(2):
        with pytest.raises(StoreError, match="is not there any more") as caught:
            checked_store(config, StoppedClock())
        assert str(path) in str(caught.value)
    assert not path.exists()
