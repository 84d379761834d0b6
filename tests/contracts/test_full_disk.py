"""A disk that is full at any write: nothing opens without its event, and an erasure completes."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from agent.adapters.erasure import BALLAST_BYTES
from agent.adapters.store import SqliteStore
from agent.core.credentials import (
    NO_CREDENTIALS,
    Attempts,
    Credentials,
    Reader,
    Visitor,
    VisitorId,
)
from agent.core.effects import (
    ForgetVisitor,
    Indication,
    Invite,
    IssueCode,
    RenewConsent,
    SetAttempts,
    SetCredentials,
    SuspendConsent,
)
from agent.core.events import (
    Admitted,
    CodeDenied,
    ConsentRenewed,
    ConsentSuspended,
    CredentialsChanged,
    EnrolmentAuthorised,
    Forgotten,
    Granted,
    VisitorAdmitted,
    VisitorInvited,
)
from agent.core.types import EnrolmentCode, Method, Reason, SubjectId, Suspension, Terms
from agent.errors import FullDiskError, StoreError
from agent.ports import Store
from tests.contracts.waiting import eventually
from tests.core.people import somebody
from tests.residents import (
    CONSENT,
    DENIED,
    MODEL,
    NOW,
    enrol,
    erase,
    granted,
    mounted,
    opened,
    revoke,
    vectors,
)
from tests.system.actors import Agent

PAGE = os.sysconf("SC_PAGE_SIZE")
"""By which a tmpfs is filled."""
MOST_PAGES = 80
"""More than any operation needs."""
SIZE = 2 * BALLAST_BYTES + (2 << 20)
"""Bytes of a disk that has room for the ballast."""
ADA, BEN, SUE = SubjectId("s-ada"), SubjectId("s-ben"), SubjectId("s-sue")
PERSON = somebody("ada")

HELD = Credentials(bytes(31) + b"4")
VISITOR = Visitor(VisitorId("v-1"), bytes(31) + b"5", 1.0, 2.0)

Operation: TypeAlias = Callable[[Store], object]
State: TypeAlias = tuple[object, ...]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    reason = mounted("tmpfs", folder, "-t", "tmpfs", "-o", f"size={SIZE}")
    if reason is not None:
        pytest.skip(f"no small disk can be mounted: {reason}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(disk: Path, pages: int) -> Iterator[None]:
    """Leave room for so many pages, for a while."""
    filler = disk / "filler"
    room = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - pages * PAGE)
    try:
        assert free_pages(disk) == pages
        yield
    finally:
        filler.unlink()


def free_pages(disk: Path) -> int:
    room = os.statvfs(disk)
    return room.f_bavail * room.f_frsize // PAGE


def suspend(store: Store, subject: SubjectId) -> None:
    reason = Suspension.WITHDRAWN
    store.append(ConsentSuspended(subject, reason), NOW, SuspendConsent(subject, reason))


def renew(store: Store) -> None:
    store.append(ConsentRenewed(SUE), NOW, RenewConsent(SUE, CONSENT))


def issue_code(store: Store) -> None:
    code = EnrolmentCode("123456", NOW.monotonic, "the concierge", Terms(label="flat 13"))
    store.append(EnrolmentAuthorised(), NOW, IssueCode(code))


def equip(store: Store, subject: SubjectId) -> None:
    given = Credentials(bytes(31) + b"1", cards=(bytes(31) + b"2",))
    change = SetCredentials(subject, given, NO_CREDENTIALS)
    store.append(CredentialsChanged(subject, pin=True, cards=1), NOW, change)


def invite(store: Store) -> None:
    visitor = Visitor(VisitorId("v-new"), bytes(31) + b"3", 1.0, 2.0)
    store.append(VisitorInvited(visitor.id, 1.0, 2.0), NOW, Invite(visitor, "the plumber"))


def guess(store: Store) -> None:
    wrong = CodeDenied(Reason.WRONG_CODE, Reader.KEYPAD, None)
    store.append(wrong, NOW, SetAttempts(Attempts(level=1.0)))


OPERATIONS: dict[str, Operation] = {
    "grant": lambda store: store.append(granted(ADA), NOW),
    "refuse": lambda store: store.append(DENIED, NOW),
    "enrol": lambda store: enrol(store, "s-new"),
    "revoke": lambda store: revoke(store, ADA),
    "suspend": lambda store: suspend(store, ADA),
    "renew": renew,
    "prune": lambda store: store.prune(NOW.wall + 1, NOW),
    "issue a code": issue_code,
    "admit": lambda store: store.append(Admitted(ADA, Method.PIN), NOW),
    "set a PIN": lambda store: equip(store, ADA),
    "remove a PIN": lambda store: store.append(
        CredentialsChanged(BEN, pin=False, cards=0),
        NOW,
        SetCredentials(BEN, NO_CREDENTIALS, HELD),
    ),
    "invite": invite,
    "let a visitor in": lambda store: store.append(
        VisitorAdmitted(VISITOR.id), NOW, ForgetVisitor(VISITOR.id)
    ),
    "count a wrong PIN": guess,
    "check": lambda store: store.check(),
}
"""Everything that is written, but for erasures."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with residents, one of them with a consent that is suspended, and no ballast."""
    folder = tmp_path_factory.mktemp("base")
    with opened(folder / "doorward.db") as store:
        for number, name in enumerate((ADA, BEN, SUE)):
            enrol(store, name, references=vectors(3, seed=number))
        suspend(store, SUE)
        equipped = SetCredentials(BEN, HELD, NO_CREDENTIALS)
        store.append(CredentialsChanged(BEN, pin=True, cards=0), NOW, equipped)
        store.append(VisitorInvited(VISITOR.id, 1.0, 2.0), NOW, Invite(VISITOR, "Dee"))
        for _ in range(20):
            store.append(granted(ADA), NOW)
    (folder / "ballast").unlink(missing_ok=True)
    return folder


@contextmanager
def store_on(disk: Path, base: Path) -> Iterator[SqliteStore]:
    """A store with its ballast, whose journal has no room to spare."""
    folder = disk / "state"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder)
    with opened(folder / "doorward.db") as store:
        assert (folder / "ballast").stat().st_size == BALLAST_BYTES
        store.load(MODEL)
        yield store


def state(store: Store) -> State:
    """Give all that an operation could have changed."""
    loaded = store.load(MODEL)
    return (
        loaded.gallery.subjects,
        loaded.gallery.matrix.tobytes(),
        dict(loaded.subjects),
        loaded.codes,
        loaded.visitors,
        loaded.attempts,
        store.subjects(),
        store.events(limit=1000),
    )


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_what_a_full_disk_keeps_from_being_done_is_not_half_done(
    disk: Path, base: Path, operation: Operation
) -> None:
    refused = 0
    for pages in range(MOST_PAGES):
        with store_on(disk, base) as store:
            before = state(store)
            with filled(disk, pages):
                try:
                    operation(store)
                except FullDiskError as error:
                    assert "the disk is full, and nothing was recorded" in str(error)  # noqa: PT017
                else:
                    break
                refused += 1
                # Reading goes on.
                assert state(store) == before
            store.verify()
            assert (disk / "state/ballast").exists()
            # And it works where there is room.
            operation(store)
            store.verify()
    else:
        pytest.fail("the disk is smaller than it was meant to be")
    assert refused > 0


def test_what_was_deleted_goes_from_the_journal_once_there_is_room(disk: Path, base: Path) -> None:
    journal = disk / "state/doorward.db-wal"
    with store_on(disk, base) as store:
        # What moving the journal into the database needs room for.
        enrol(store, "s-new", references=vectors(60))
        with filled(disk, 6):
            store.append(VisitorAdmitted(VISITOR.id), NOW, ForgetVisitor(VISITOR.id))
            assert store.load(MODEL).visitors == ()
            assert journal.stat().st_size > 0
        store.load(MODEL)
        assert journal.stat().st_size == 0
        store.verify()


def granted_once(store: Store) -> bool:
    """Whether there was room for one more."""
    try:
        store.append(granted(ADA), NOW)
    except FullDiskError:
        return False
    return True


def test_what_was_recorded_on_the_last_free_page_is_there_at_the_next_start(
    disk: Path, base: Path
) -> None:
    kept = 0
    for pages in range(12):
        with store_on(disk, base) as store, filled(disk, pages):
            while granted_once(store):
                kept += 1
            recorded = store.last_events(1)
        with opened(disk / "state/doorward.db") as store:
            store.verify()
            assert store.last_events(1) == recorded
    assert kept > 0


@pytest.mark.parametrize("in_journal", [0, 10, 15])
def test_an_erasure_completes_though_the_disk_is_full(
    disk: Path, base: Path, in_journal: int
) -> None:
    with_ballast = 0
    for pages in range(MOST_PAGES):
        with store_on(disk, base) as store:
            # The database grows when these are moved there, which an erasure has to do.
            for _ in range(in_journal):
                store.append(granted(ADA), NOW)
            with filled(disk, pages):
                try:
                    erase(store, BEN)
                except StoreError as error:
                    error.add_note(f"with {pages} pages free")
                    raise
                require_erased(disk / "state", store)
            with_ballast += not (disk / "state/ballast").exists()
            store.verify()
        with opened(disk / "state/doorward.db") as store:
            require_erased(disk / "state", store)
            # Taken anew, for the next one.
            assert (disk / "state/ballast").stat().st_size == BALLAST_BYTES
    assert 0 < with_ballast < MOST_PAGES


def require_erased(folder: Path, store: Store) -> None:
    loaded = store.load(MODEL)
    assert loaded.gallery.subjects == (ADA, SUE)
    assert set(loaded.subjects) == {ADA, SUE}
    assert store.certificate(BEN) is not None
    assert not (folder / "epoch.next").exists()
    assert (folder / "doorward.db-wal").stat().st_size == 0
    # Only that somebody was enrolled is left.
    [enrolled] = store.events(after=1, limit=1)
    assert isinstance(enrolled.event, Forgotten)


def test_an_erasure_without_ballast_leaves_the_resident_whole_until_there_is_room(
    disk: Path, base: Path
) -> None:
    for pages in (0, 1, 2, 4, 8):
        with store_on(disk, base) as store:
            (disk / "state/ballast").unlink()
            before = state(store)
            with filled(disk, pages):
                with pytest.raises(FullDiskError):
                    erase(store, BEN)
                assert state(store) == before
            assert state(store) == before
            erase(store, BEN)
            require_erased(disk / "state", store)


def test_ballast_that_a_power_cut_kept_from_being_taken_is_taken_at_the_next_start(
    base: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(base, tmp_path / "state")
    (folder / "ballast").touch(0o600)
    with opened(folder / "doorward.db"):
        assert (folder / "ballast").stat().st_size == BALLAST_BYTES


def test_erasures_are_as_many_as_there_are_residents_on_a_full_disk(disk: Path, base: Path) -> None:
    with store_on(disk, base) as store, filled(disk, 0):
        for subject in (BEN, ADA, SUE):
            erase(store, subject)
            assert store.certificate(subject) is not None
        assert store.load(MODEL).subjects == {}
        store.verify()


# --- the whole agent


@pytest.mark.parametrize("pages", [0, 1, 2, 4, 8])
def test_a_door_does_not_open_without_room_for_the_event(disk: Path, pages: int) -> None:
    agent = Agent(disk)
    agent.enrol(PERSON)
    with agent.running():
        with agent.command_line() as store:
            # Cuts the journal, so that there is no room in it either.
            store.load(MODEL)
        with filled(disk, pages):
            agent.corridor.standing = PERSON
            assert eventually(
                lambda: agent.door.timeline or Indication.FAULT in agent.door.indications
            )
            if agent.door.timeline:
                agent.archive.of(Granted)
            else:
                assert not any(isinstance(event, Granted) for event in agent.archive.events)
            assert agent.door.timeline == [] or pages > 0
        agent.archive.of(Granted)
        assert eventually(lambda: agent.door.timeline)
