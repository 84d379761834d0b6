import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlite_utils import Database

from agent.adapters import database
from agent.adapters.documents import Certificate, Receipt, verify
from agent.adapters.gallery import template_bytes
from agent.adapters.note import parse_verifier
from agent.adapters.store import SqliteStore
from agent.core.effects import (
    Change,
    Enrol,
    Erase,
    IssueCode,
    RenewConsent,
    Revoke,
    SpendCodes,
    SuspendConsent,
)
from agent.core.events import (
    ConsentRenewed,
    ConsentSuspended,
    Enrolled,
    EnrolmentAuthorised,
    Erased,
    ErasureCertified,
    Event,
    FaultCleared,
    FaultRaised,
    LogPruned,
    Part,
    Revoked,
)
from agent.core.inputs import StoreLoaded
from agent.core.matching import mean_template
from agent.core.types import (
    AuthorityKind,
    EnrolmentCode,
    Span,
    Subject,
    SubjectId,
    Suspension,
    Terms,
    Validity,
)
from agent.errors import DamagedStoreError, StoreError
from agent.ports import Recorded, Store
from tests.residents import (
    BOOT,
    CONSENT,
    DENIED,
    MODEL,
    NOW,
    enrol,
    erase,
    granted,
    new_store,
    opened,
    revoke,
    vectors,
)

LABEL = "Ada Lovelace, flat 12"
WORKING_WEEK = (Span(0, 3 * 24 * 60), Span(6 * 24 * 60, 7 * 24 * 60))
"""From Monday to Wednesday without a break, and Sunday: more than an operator can type at once."""


def sql(path: Path, statement: str, *parameters: object) -> list[tuple[object, ...]]:
    """Do what somebody does who has the file and another program."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement, parameters).fetchall()


def remains(path: Path, content: bytes) -> list[str]:
    """Which of the database's files hold these bytes."""
    return [each.name for each in path.parent.iterdir() if content in each.read_bytes()]


def sealed(path: Path, subject: str) -> list[bytes]:
    """What the plain file has of a subject."""
    return [
        cell
        for query in (
            "SELECT wrapped FROM keys WHERE subject = ?",
            "SELECT sealed FROM subjects WHERE id = ?",
            "SELECT sealed FROM consents WHERE subject = ?",
            'SELECT sealed FROM "references" WHERE subject = ?',
        )
        for (cell,) in sql(path, query, subject)
        if isinstance(cell, bytes)
    ]


def contents(path: Path) -> dict[str, bytes]:
    """All that is kept; the file that says who has it open is always empty."""
    files = [each for each in path.parent.iterdir() if each.name != "store.lock"]
    return {each.name: each.read_bytes() for each in files}


def refusal(path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        new_store(path)
    return one_line(caught.value)


def one_line(error: StoreError) -> str:
    assert "\n" not in str(error)
    return str(error)


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with opened(path) as store:
        yield store


# --- events


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_makes_in_the_folder_of_a_service_belongs_to_the_service(tmp_path: Path) -> None:
    folder = tmp_path / "service"
    folder.mkdir()
    os.chown(folder, 4711, 4712)
    with opened(folder / "doorward.db") as store:
        store.append(DENIED, NOW)
        owners = {(file.stat().st_uid, file.stat().st_gid) for file in folder.iterdir()}
    assert owners == {(4711, 4712)}


def test_events_are_numbered_from_one_without_a_gap(store: SqliteStore) -> None:
    events: list[Event] = [DENIED, FaultRaised(Part.CAMERA, "camera: gone"), DENIED]
    recorded = [store.append(event, NOW) for event in events]
    assert recorded == [Recorded(n, BOOT, NOW, event) for n, event in enumerate(events, 1)]


def test_events_come_back_as_they_were_committed(path: Path) -> None:
    with opened(path) as store:
        first = store.append(FaultRaised(Part.STORE, "a 'quoted' reason: ü"), NOW)
    with opened(path, "boot-2") as store:
        second = store.append(DENIED, replace(NOW, trusted=False, week_minute=10_079))
        assert store.events() == [first, second]
        assert [each.boot_id for each in store.events()] == ["boot-1", "boot-2"]


def test_events_can_be_read_in_pages_and_from_the_end(store: SqliteStore) -> None:
    for _ in range(5):
        store.append(DENIED, NOW)
    assert [each.seq for each in store.events(after=1, limit=3)] == [2, 3, 4]
    assert [each.seq for each in store.events(after=4)] == [5]
    assert store.events(after=5) == []
    assert [each.seq for each in store.last_events(2)] == [4, 5]
    assert [each.seq for each in store.last_events(9)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM events",
        "DELETE FROM events WHERE seq = 2",
        "UPDATE events SET sealed = x'00'",
        "REPLACE INTO events SELECT * FROM events WHERE seq = 1",
        "INSERT INTO events SELECT 4, 'b', 1.0, 1.0, 1, 1, sealed, hash, hash FROM events",
        "DELETE FROM anchor",
        "UPDATE anchor SET seq = 0",
    ],
)
def test_the_log_can_only_be_appended_to(path: Path, store: SqliteStore, statement: str) -> None:
    written = [store.append(DENIED, NOW) for _ in range(2)]
    with pytest.raises(sqlite3.IntegrityError, match="appended"):
        sql(path, statement)
    assert store.events() == written


def test_an_event_that_cannot_be_encoded_leaves_no_trace(store: SqliteStore) -> None:
    with pytest.raises(StoreError, match=r"cannot record that: .*NUL") as caught:
        store.append(FaultRaised(Part.CAMERA, "\0"), NOW, SpendCodes())
    one_line(caught.value)
    assert store.events() == []
    assert store.append(DENIED, NOW).seq == 1


# --- the cursor


def test_the_cursor_moves_forward_only_and_never_past_the_last_event(path: Path) -> None:
    with opened(path) as store:
        assert store.cursor() == 0
        for _ in range(3):
            store.append(DENIED, NOW)
        for seq, expected in [(2, 2), (1, 2), (0, 2), (-5, 2), (4, 2), (2**63, 2), (3, 3)]:
            store.move_cursor(seq)
            assert store.cursor() == expected
    with opened(path) as store:
        assert store.cursor() == 3


# --- subjects, templates and consents


def test_an_enrolled_subject_is_in_the_gallery_with_the_mean_of_its_references(
    store: SqliteStore,
) -> None:
    references = {"s-b": vectors(5, 1), "s-a": vectors(1, 2), "s-c": vectors(2, 3)}
    for name, given in references.items():
        enrol(store, name, references=given)
    gallery = store.load(MODEL).gallery
    assert gallery.subjects == ("s-a", "s-b", "s-c")
    assert gallery.model == MODEL
    assert gallery.matrix.dtype == np.float32
    for name, row in zip(gallery.subjects, gallery.matrix, strict=True):
        assert np.array_equal(row, mean_template(references[name]))
    assert gallery.references.tolist() == [1, 5, 2]


def test_subjects_share_a_household_only_where_it_was_given_to_both(store: SqliteStore) -> None:
    for name, household in [
        ("a", "12"),
        ("b", None),
        ("c", "12"),
        ("d", None),
        ("e", "b"),
        ("f", ""),
    ]:
        enrol(store, name, household=household)
    gallery = store.load(MODEL).gallery
    a, b, c, d, e, f = gallery.households
    assert a == c
    assert len({a, b, d, e, f}) == 5


def test_everything_about_a_subject_comes_back(path: Path) -> None:
    validity = Validity(not_before=1.5, not_after=2e9, schedule=WORKING_WEEK)
    with opened(path) as store:
        subject = enrol(store, "s-1", label=LABEL, household="12", validity=validity)
    with opened(path) as store:
        (known,) = store.load(MODEL).subjects.values()
        kept = Subject(subject, "12", validity=validity, consent=CONSENT)
        assert known == replace(kept, leave_code=known.leave_code)
        assert re.fullmatch("[0-9a-f]{20}", known.leave_code)
        (row,) = store.subjects()
    assert (row.id, row.label, row.household) == ("s-1", LABEL, "12")
    assert (row.administrator, row.revoked, row.references) == (False, False, 3)
    assert (row.not_before, row.not_after) == (1.5, 2e9)
    assert row.seen_on == NOW.wall // 86_400 * 86_400
    assert (row.enrolled_at, row.authorised_by) == (NOW.wall, CONSENT.authorised_by)
    assert row.notice == "2026-11"
    assert "sun 00:00" in row.schedule


def test_an_administrator_without_bounds_comes_back_as_such(store: SqliteStore) -> None:
    subject = Subject(SubjectId("s-1"), administrator=True, consent=CONSENT)
    event = Enrolled(subject.id, AuthorityKind.CODE, 0, None)
    store.append(event, NOW, Enrol(subject, "", ()))
    (known,) = store.load(MODEL).subjects.values()
    assert replace(known, leave_code="") == subject
    (row,) = store.subjects()
    assert row.administrator
    assert row.schedule == ""


def test_subjects_are_listed_in_the_order_of_their_enrolment(store: SqliteStore) -> None:
    for seconds, name in enumerate(["z", "a", "m"]):
        enrol(store, name, now=replace(NOW, wall=float(seconds)))
    assert [row.id for row in store.subjects()] == ["z", "a", "m"]


def test_an_empty_store_gives_an_empty_gallery(store: SqliteStore) -> None:
    loaded = store.load(MODEL)
    assert loaded.gallery.subjects == ()
    assert len(loaded.gallery.matrix) == 0
    assert (dict(loaded.subjects), loaded.codes) == ({}, ())


TAMPERING = {
    "no consent": "DELETE FROM consents WHERE subject = 's-1'",
    "no reference": "DELETE FROM \"references\" WHERE subject = 's-1' AND id % 2",
    "no resident": "UPDATE keys SET epoch = epoch + 1 WHERE subject = 's-1'",
    "another model": "UPDATE \"references\" SET made_by = x'00112233' WHERE subject = 's-1'",
    "of somebody else": "UPDATE \"references\" SET subject = 's-2' WHERE subject = 's-1'",
    "empty": "UPDATE \"references\" SET sealed = x'' WHERE subject = 's-1'",
    "cut off": "UPDATE consents SET sealed = substr(sealed, 2) WHERE subject = 's-1'",
    "altered": "UPDATE subjects SET sealed = zeroblob(90) WHERE id = 's-1'",
    "later": "UPDATE subjects SET seen_on = 4e9 WHERE id = 's-1'",
}


@pytest.mark.parametrize("tampering", TAMPERING.values(), ids=TAMPERING)
def test_rows_that_somebody_else_touched_shut_the_store(
    path: Path, store: SqliteStore, tampering: str
) -> None:
    for name in ("s-0", "s-1", "s-2"):
        enrol(store, name)
    sql(path, "PRAGMA foreign_keys = OFF")
    sql(path, tampering)
    for look in (lambda: store.load(MODEL), store.verify):
        with pytest.raises(DamagedStoreError, match="not those that the log vouches for") as caught:
            look()
        assert str(path) in one_line(caught.value)


def test_a_reference_of_another_model_is_left_out(store: SqliteStore) -> None:
    enrol(store, "s-1")
    enrol(store, "s-2", model="another/litert")
    assert store.load(MODEL).gallery.subjects == ("s-1",)
    assert store.load("another/litert").gallery.subjects == ("s-2",)


def test_nobodys_face_is_enrolled_without_a_consent(store: SqliteStore) -> None:
    with pytest.raises(StoreError, match="nobody's face is enrolled without a consent"):
        enrol(store, "s-1", consent=None)
    assert store.events() == []
    assert store.subjects() == []


def test_references_that_cancel_out_are_left_out(store: SqliteStore) -> None:
    there = vectors(1)
    enrol(store, "s-1", references=np.concatenate([there, -there]))
    enrol(store, "s-2")
    assert store.load(MODEL).gallery.subjects == ("s-2",)


def test_a_revoked_subject_stays_in_the_gallery_and_is_known_as_revoked(store: SqliteStore) -> None:
    subject = enrol(store, "s-1")
    revoke(store, subject)
    loaded = store.load(MODEL)
    assert loaded.gallery.subjects == (subject,)
    assert loaded.subjects[subject].revoked
    assert [row.revoked for row in store.subjects()] == [True]


def test_nobody_is_granted_entry_whom_another_process_revoked_or_erased(
    path: Path, store: SqliteStore
) -> None:
    for name in ("s-1", "s-2", "s-3"):
        enrol(store, name)
    store.load(MODEL)
    with opened(path) as other:
        revoke(other, "s-1")
        erase(other, "s-2")
    for name in ("s-1", "s-2"):
        with pytest.raises(StoreError, match=f"{name} was revoked or erased meanwhile"):
            store.append(granted(name), NOW)
    assert [each.seq for each in store.events()] == [1, 2, 3, 4, 5, 6]
    assert store.append(granted("s-3"), NOW).seq == 7


@pytest.mark.parametrize(
    ("event", "change"),
    [
        (Revoked(SubjectId("s-9")), Revoke(SubjectId("s-9"))),
        (Erased(SubjectId("s-9")), Erase(SubjectId("s-9"))),
    ],
)
def test_nothing_is_recorded_of_a_subject_that_does_not_exist(
    store: SqliteStore, event: Event, change: Change
) -> None:
    enrol(store, "s-1")
    with pytest.raises(StoreError, match=r"^no subject s-9: `doorward list` shows them$"):
        store.append(event, NOW, change)
    assert [each.seq for each in store.events()] == [1]


def test_a_subject_is_enrolled_once(store: SqliteStore) -> None:
    enrol(store, "s-1", label="first")
    with pytest.raises(StoreError, match="cannot record that"):
        enrol(store, "s-1", label="second")
    assert [row.label for row in store.subjects()] == ["first"]
    assert len(store.events()) == 1


@pytest.mark.parametrize(
    "validity",
    [
        Validity(not_before=float("nan")),
        Validity(not_after=float("nan")),
        Validity(not_after=float("inf")),
        Validity(schedule=(Span(5, 5),)),
        Validity(schedule=(Span(-1, 5),)),
        Validity(schedule=(Span(0, 10_081),)),
    ],
)
def test_a_bound_that_would_be_lost_is_refused(store: SqliteStore, validity: Validity) -> None:
    # SQLite keeps NaN as NULL, and NULL sets no bound at all.
    with pytest.raises(StoreError, match="cannot record that"):
        enrol(store, "s-1", validity=validity)
    code = EnrolmentCode("123456", 1.0, "concierge", Terms(validity=validity))
    with pytest.raises(StoreError, match="cannot record that"):
        store.append(EnrolmentAuthorised(), NOW, IssueCode(code))
    assert store.events() == []


def test_a_label_that_is_no_text_is_refused(store: SqliteStore) -> None:
    with pytest.raises(StoreError, match="cannot record that") as caught:
        enrol(store, "s-1", label="\udcff")
    one_line(caught.value)
    assert store.subjects() == []


# --- codes


def code(digits: str, label: str = "") -> EnrolmentCode:
    terms = Terms(label, "12", administrator=True, validity=Validity(1.0, None, WORKING_WEEK))
    return EnrolmentCode(digits, 3.5, "concierge", terms)


def test_a_code_replaces_those_before_it_and_is_gone_once_spent(store: SqliteStore) -> None:
    store.append(EnrolmentAuthorised(), NOW, IssueCode(code("111111")))
    store.append(EnrolmentAuthorised(), NOW, IssueCode(code("222222", LABEL)))
    assert store.load(MODEL).codes == (code("222222", LABEL),)
    store.append(DENIED, NOW, SpendCodes())
    assert store.load(MODEL).codes == ()


def test_a_code_of_another_boot_is_no_code(path: Path, store: SqliteStore) -> None:
    store.append(EnrolmentAuthorised(), NOW, IssueCode(code("111111")))
    sql(path, "UPDATE codes SET boot_id = 'boot-0'")
    assert store.load(MODEL).codes == ()


def test_a_code_that_somebody_else_touched_grants_nothing(path: Path, store: SqliteStore) -> None:
    store.append(EnrolmentAuthorised(), NOW, IssueCode(code("111111")))
    sql(path, "UPDATE codes SET sealed = zeroblob(80)")
    with pytest.raises(StoreError, match="never wrote"):
        store.load(MODEL)


def test_a_code_of_an_earlier_boot_is_forgotten_with_its_label(path: Path) -> None:
    with opened(path) as store:
        store.append(EnrolmentAuthorised(), NOW, IssueCode(code("111111", LABEL)))
    with opened(path) as store:
        assert len(store.load(MODEL).codes) == 1
    with opened(path, "boot-2") as store:
        assert store.load(MODEL).codes == ()
        assert remains(path, LABEL.encode()) == []


# --- consent


def test_a_suspended_consent_stays_suspended_until_it_is_renewed(path: Path) -> None:
    later = replace(CONSENT, at=CONSENT.at + 9.0, expires=4e9)
    with opened(path) as store:
        subject = enrol(store, "s-1")
        reason = Suspension.WITHDRAWN
        store.append(ConsentSuspended(subject, reason), NOW, SuspendConsent(subject, reason))
    with opened(path) as store:
        assert store.load(MODEL).subjects[subject].suspended is reason
        assert [row.suspended for row in store.subjects()] == [reason]
        with pytest.raises(StoreError, match="s-1 has no consent any more"):
            store.append(granted("s-1"), NOW)
        store.append(ConsentRenewed(subject), NOW, RenewConsent(subject, later))
        known = store.load(MODEL).subjects[subject]
        assert (known.suspended, known.consent) == (None, later)
        assert store.append(granted("s-1"), NOW).seq == 4


def test_the_longest_consent_can_still_be_suspended(store: SqliteStore) -> None:
    def with_guardian(length: int) -> bool:
        try:
            enrol(store, f"s-{length}", consent=replace(CONSENT, guardian="x" * length))
        except StoreError:
            return False
        return True

    longest = 2000
    while with_guardian(longest + 1):
        longest += 1
    assert 2000 < longest < 3000
    subject = SubjectId(f"s-{longest}")
    reason = Suspension.NOTICE_CHANGED
    store.append(ConsentSuspended(subject, reason), NOW, SuspendConsent(subject, reason))


def test_a_withdrawal_is_undone_by_a_new_consent_only(store: SqliteStore) -> None:
    subject = enrol(store, "s-1")
    for reason in (Suspension.EXPIRED, None, Suspension.WITHDRAWN):
        told = ConsentRenewed(subject) if reason is None else ConsentSuspended(subject, reason)
        store.append(told, NOW, SuspendConsent(subject, reason))
        assert store.load(MODEL).subjects[subject].suspended is reason
    # The agent may have read the store before the withdrawal.
    for late in (Suspension.EXPIRED, None):
        with pytest.raises(StoreError, match="s-1 has withdrawn meanwhile"):
            store.append(ConsentRenewed(subject), NOW, SuspendConsent(subject, late))
    assert store.load(MODEL).subjects[subject].suspended is Suspension.WITHDRAWN


def test_nobody_is_granted_entry_on_a_receipt_that_this_device_did_not_sign(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store._vault.signer, "sign", lambda _: bytes(64))  # noqa: SLF001
    enrol(store, "s-1")
    monkeypatch.undo()
    with pytest.raises(StoreError, match=r"s-1: consent receipt: .*altered: renew the consent"):
        store.append(granted("s-1"), NOW)
    assert len(store.events()) == 1


def test_a_receipt_is_signed_and_says_who_consented_to_what(store: SqliteStore) -> None:
    enrol(store, "s-1")
    receipt = store.resident(SubjectId("s-1")).receipt
    assert receipt is not None
    checked = verify(receipt, parse_verifier(store.verifier))
    assert isinstance(checked.content, Receipt)
    assert (checked.content.subject, checked.content.consent) == ("s-1", CONSENT)


# --- retention


def test_old_events_go_in_batches_and_the_rest_still_verifies(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.adapters.store.PRUNED_AT_ONCE", 3)
    for day in range(6):
        store.append(DENIED, replace(NOW, wall=float(day)))
    pruned = [store.prune(5.0, NOW) for _ in range(3)]
    assert [each.event if each else None for each in pruned] == [LogPruned(3), LogPruned(5), None]
    assert [each.seq for each in store.events()] == [6, 7, 8]
    newest = store.verify()
    assert newest is not None
    assert newest.seq == 8
    assert store.changed()


def test_the_last_event_stays_however_old_it_is(store: SqliteStore) -> None:
    enrol(store, "s-1")
    assert store.prune(4e9, NOW) is None
    store.append(DENIED, NOW)
    assert store.prune(4e9, NOW) is not None
    assert store.load(MODEL).gallery.subjects == ("s-1",)


def test_who_was_not_admitted_for_long_is_known_to_the_day(store: SqliteStore) -> None:
    day = 86_400.0
    for name in ("s-1", "s-2", "s-3"):
        enrol(store, name)
    assert store.unused_since(NOW.wall) == []
    store.append(granted("s-2"), replace(NOW, wall=NOW.wall + 10 * day))
    # On a clock that is not set nobody knows when that was, and so not that it is long ago.
    store.append(granted("s-3"), replace(NOW, wall=NOW.wall + 10 * day, trusted=False))
    assert store.unused_since(NOW.wall + 5 * day) == ["s-1"]
    days = [row.seen_on for row in store.subjects()]
    store.append(granted("s-2"), replace(NOW, wall=NOW.wall + 10.1 * day))
    assert [row.seen_on for row in store.subjects()] == days
    store.append(granted("s-2"), replace(NOW, wall=NOW.wall + 11.5 * day))
    assert store.subjects()[1].seen_on == (NOW.wall + 11.5 * day) // day * day
    store.verify()


# --- erasure


def test_an_erased_subject_is_gone_from_every_file_but_for_its_pseudonym(
    path: Path, store: SqliteStore
) -> None:
    references = vectors(5, seed=7)
    store.append(EnrolmentAuthorised(), NOW, IssueCode(code("111111", LABEL)))
    subject = enrol(store, "s-1", label=LABEL, references=references)
    store.append(DENIED, NOW, SpendCodes())
    enrol(store, "s-2", label="Somebody else")
    traces = sealed(path, "s-1")
    assert len(traces) == 8
    assert all(remains(path, trace) for trace in traces)

    erase(store, subject)

    plain = [LABEL.encode(), *(template_bytes(vector) for vector in references)]
    for trace in [*traces, *plain]:
        assert remains(path, trace) == []
    assert not path.with_name(f"{path.name}-wal").read_bytes()
    assert [row.id for row in store.subjects()] == ["s-2"]
    assert store.load(MODEL).gallery.subjects == ("s-2",)
    assert sql(path, "SELECT COUNT(*) FROM consents") == [(1,)]
    certificate = store.certificate(subject)
    assert certificate is not None
    assert [each.event for each in store.last_events(2)] == [
        Erased(subject),
        ErasureCertified(subject, certificate),
    ]


def test_nothing_is_certified_on_somebody_elses_word(path: Path, store: SqliteStore) -> None:
    enrol(store, "s-1")
    values = "'s-1', 'requested', 1.0, 1, 77, zeroblob(32)"
    sql(path, f"INSERT INTO tombstones VALUES ({values}, NULL)")  # noqa: S608
    for look in (
        lambda: store.load(MODEL),
        lambda: new_store(path),
        lambda: store.certificate(SubjectId("s-1")),
    ):
        with pytest.raises(DamagedStoreError, match="s-1 was not recorded by this device"):
            look()
    sql(path, "UPDATE tombstones SET certificate = 'believe me'")
    with pytest.raises(DamagedStoreError, match="not those that the log vouches for"):
        store.load(MODEL)


def test_a_certificate_trusts_the_clock_only_if_it_was_set_all_along(store: SqliteStore) -> None:
    subject = enrol(store, "s-1")
    unset = replace(NOW, wall=5.0, trusted=False)
    store.append(Erased(subject), unset, Erase(subject))
    certificate = verify(store.certificate(subject) or "", parse_verifier(store.verifier)).content
    assert isinstance(certificate, Certificate)
    assert (certificate.erased_at, certificate.time_trusted) == (5.0, False)


def test_an_erasure_is_finished_though_another_process_cuts_the_journal_as_well(
    path: Path, store: SqliteStore
) -> None:
    over = threading.Event()

    def cut() -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            while not over.is_set():
                other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    cutting = threading.Thread(target=cut)
    cutting.start()
    try:
        for number in range(10):
            subject = enrol(store, f"s-{number}")
            erase(store, subject)
    finally:
        over.set()
        cutting.join()
    assert store.subjects() == []


def test_a_reader_that_keeps_an_erasure_from_finishing_is_reported_and_made_up_for(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.adapters.store.ERASURE_PATIENCE_MS", 50)
    subject = enrol(store, "s-1", label=LABEL)
    traces = sealed(path, "s-1")
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM subjects").fetchall()
        with pytest.raises(StoreError, match="the erasure of s-1 is recorded, but") as caught:
            erase(store, subject)
        one_line(caught.value)
        assert [each.event for each in store.events(after=1)] == [Erased(subject)]
        assert store.subjects() == []
        assert store.certificate(subject) is None
        with opened(path):
            assert remains(path, traces[0])
        with pytest.raises(StoreError, match="the erasure of s-1 is recorded already, and"):
            erase(store, subject)
    assert store.changed()
    store.load(MODEL)
    assert [trace for trace in traces if remains(path, trace)] == []
    assert store.certificate(subject) is not None


def test_the_next_start_finishes_an_erasure(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.adapters.store.ERASURE_PATIENCE_MS", 50)
    with opened(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as reader:
        subject = enrol(store, "s-1")
        traces = sealed(path, "s-1")
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM subjects").fetchall()
        with pytest.raises(StoreError, match="the next start finishes this"):
            erase(store, subject)
        # As a power cut would leave the files.
        left = shutil.copytree(path.parent, tmp_path / "left") / path.name
    assert remains(left, traces[0])
    with opened(left) as store:
        assert [trace for trace in traces if remains(left, trace)] == []
        assert store.certificate(subject) is not None


# --- changes


def test_a_store_has_changed_until_it_is_loaded(store: SqliteStore) -> None:
    assert store.changed()
    store.load(MODEL)
    assert not store.changed()


def test_own_changes_count_and_own_events_without_a_change_do_not(store: SqliteStore) -> None:
    store.load(MODEL)
    store.append(DENIED, NOW)
    store.move_cursor(1)
    store.check()
    assert not store.changed()
    enrol(store, "s-1")
    assert store.changed()
    store.load(MODEL)
    assert not store.changed()


def test_a_thousand_events_of_our_own_are_no_change(store: SqliteStore) -> None:
    # More pages than the journal takes before it is moved into the database.
    store.load(MODEL)
    for _ in range(1100):
        store.append(DENIED, NOW)
    assert not store.changed()


def test_a_change_by_another_process_counts(path: Path, store: SqliteStore) -> None:
    store.load(MODEL)
    with opened(path) as other:
        enrol(other, "s-1")
    assert store.changed()
    assert store.load(MODEL).gallery.subjects == ("s-1",)
    assert not store.changed()


def test_what_is_committed_while_the_store_is_read_counts(path: Path, store: SqliteStore) -> None:
    enrol(store, "s-1")
    loads: list[StoreLoaded] = []
    done = threading.Event()

    def load_again_and_again() -> None:
        with opened(path) as reader:
            while not done.is_set():
                loads.append(reader.load(MODEL))
                # Whatever a load missed, the next look has to show.
                if not reader.changed():
                    seen = len(sql(path, "SELECT id FROM subjects"))
                    if not reader.changed():
                        assert len(loads[-1].subjects) == seen
            loads.append(reader.load(MODEL))

    thread = threading.Thread(target=load_again_and_again)
    thread.start()
    for n in range(20):
        enrol(store, f"s-{n:04}")
    done.set()
    thread.join()
    assert len(loads[-1].subjects) == 21


def test_a_check_commits(path: Path, store: SqliteStore) -> None:
    with opened(path) as other:
        other.load(MODEL)
        store.check()
        assert other.changed()
    assert store.events() == []


# --- other processes


PASSING_BY = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT COUNT(*) FROM events").fetchone()
connection.close()
"""


def test_opening_the_store_twice_in_one_process_keeps_its_journal_from_others(path: Path) -> None:
    # POSIX drops all locks of a process on a file with the first descriptor of it that is closed,
    # and then another process takes itself for the last one and removes the journal.
    journal = path.with_name(f"{path.name}-wal")
    with opened(path) as store:
        store.append(DENIED, NOW)
        with opened(path):
            pass
        kept = journal.stat().st_ino
        subprocess.run([sys.executable, "-c", PASSING_BY, str(path)], check=True)
        assert journal.stat().st_ino == kept
        store.append(DENIED, NOW)
    with opened(path) as store:
        assert [each.seq for each in store.events()] == [1, 2]


WRITER = """
import sys, time
from pathlib import Path
from agent.adapters.documents import Receipt, verify
from agent.adapters.note import parse_verifier
from agent.adapters.gallery import template_bytes
from tests.residents import DENIED, NOW, new_store
store = new_store(Path(sys.argv[1]), "writer")
while True:
    recorded = store.append(DENIED, NOW)
    print(recorded.seq, flush=True)
    # SQLite has no queue: whoever never pauses leaves the others no turn.
    time.sleep(0.002)
"""


@contextmanager
def writing(path: Path) -> Iterator[Callable[[], int]]:
    """Another process that appends; the function waits for its next event."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as output:
        try:
            yield lambda: int(output.readline())
        finally:
            process.kill()
            process.wait()


def test_what_was_committed_survives_a_killed_process(path: Path) -> None:
    with writing(path) as next_event:
        committed = [next_event() for _ in range(20)]
    with opened(path) as store:
        assert [each.seq for each in store.events()][:20] == committed
        assert store.append(DENIED, NOW).seq == store.events()[-1].seq


def test_reading_and_writing_work_beside_another_process_that_writes(path: Path) -> None:
    with writing(path) as next_event:
        next_event()
        with opened(path) as store:
            subject = enrol(store, "s-1")
            seen = [each.seq for each in store.events(limit=10_000)]
            assert seen == list(range(1, len(seen) + 1))
            assert [row.id for row in store.subjects()] == [subject]
        assert next_event() > 0


def test_a_process_that_holds_the_database_is_named_as_the_cause(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE_MS", 50)
    with (
        opened(path) as impatient,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process holds the database") as caught:
            impatient.append(DENIED, NOW)
        assert str(path) in one_line(caught.value)
        with pytest.raises(StoreError, match="another process"):
            impatient.check()
        other.execute("ROLLBACK")
        impatient.check()
    assert store.append(DENIED, NOW).seq == 1


# --- the file


def test_files_can_be_read_by_nobody_else(path: Path, store: SqliteStore) -> None:
    store.append(DENIED, NOW)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    database = {"doorward.db", "doorward.db-wal", "doorward.db-shm"}
    assert set(modes) == database | {"epoch", "ballast", "store.lock"}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_writes_are_durable_and_deletions_real(store: SqliteStore) -> None:
    # What these settings are for needs a power cut to show.
    connection = store._db.conn  # noqa: SLF001
    settings = ("journal_mode", "synchronous", "secure_delete", "temp_store", "foreign_keys")
    values = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in settings]
    assert values == ["wal", 2, 1, 2, 1]


def test_a_database_of_a_newer_version_is_left_as_it_is(path: Path) -> None:
    with opened(path) as store:
        enrol(store, "s-1")
    sql(path, "PRAGMA user_version = 7")
    before = path.read_bytes()
    message = refusal(path)
    assert "written by a newer Doorward (schema 7, this one knows 5): upgrade" in message
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_left_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    sql(path, "CREATE TABLE notes (text)")
    before = contents(path)
    assert f"{path}: is not a database of Doorward" in refusal(path)
    assert contents(path) == before


@pytest.mark.parametrize("content", [b"not a database\n" * 100, b"\0" * 5000, b"SQLite format 3\0"])
def test_a_file_that_is_no_database_is_left_as_it_is(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    assert f"{path}: is damaged" in refusal(path)
    assert contents(path) == {"doorward.db": content}


def test_a_damaged_database_is_left_as_it_is_with_its_journal(path: Path, tmp_path: Path) -> None:
    with opened(path) as store:
        for name in ("s-1", "s-2", "s-3"):
            enrol(store, name)
    with opened(path) as store:
        store.append(DENIED, NOW)
        # As a power cut would leave the files: the last event is in the journal only.
        left = shutil.copytree(path.parent, tmp_path / "left") / path.name
    damaged = bytearray(left.read_bytes())
    damaged[2 * 4096 : -4096] = os.urandom(len(damaged) - 3 * 4096)
    left.write_bytes(damaged)
    journal = left.with_name(f"{left.name}-wal")
    before = journal.read_bytes()
    assert before
    message = refusal(left)
    assert f"{left}: is damaged" in message
    assert "restore a backup" in message
    assert left.read_bytes() == damaged
    assert journal.read_bytes() == before


def test_an_empty_file_becomes_a_database(path: Path) -> None:
    # As a power cut leaves one that was just being made.
    path.parent.mkdir()
    path.touch()
    with opened(path) as store:
        assert store.append(DENIED, NOW).seq == 1


def test_a_missing_folder_is_made_for_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "not" / "yet" / "doorward.db"
    with opened(path):
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    path = tmp_path / "state" / "doorward.db"
    message = refusal(path)
    assert f"{path}: " in message
    assert "set state_directory" in message


def test_a_database_that_is_a_folder_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    assert f"{path}: Is a directory" in refusal(path)


@pytest.fixture
def forbidden(tmp_path: Path) -> Iterator[Path]:
    """A folder that we may not write to."""
    folder = tmp_path / "forbidden"
    folder.mkdir(mode=0o500)
    if os.geteuid() != 0:
        yield folder
        return
    # Root may write everywhere, so be nobody for a while.
    os.seteuid(65534)
    yield folder
    os.seteuid(0)


def test_a_folder_that_cannot_be_written_is_refused(forbidden: Path) -> None:
    path = forbidden / "doorward.db"
    assert f"{path}: Permission denied: set state_directory" in refusal(path)


def test_other_tools_read_the_database_and_learn_nothing(path: Path, store: SqliteStore) -> None:
    enrol(store, "s-1", label=LABEL)
    tool = Database(path)
    assert {"subjects", "references", "consents", "events"} <= set(tool.table_names())
    [row] = tool["subjects"].rows
    assert (row["id"], row["seen_on"]) == ("s-1", NOW.wall // 86_400 * 86_400)
    assert LABEL.encode() not in row["sealed"]
    tool.close()


# --- a full disk


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    path.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mounting, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


def fill(store: Store) -> str:
    """Enrol until that fails, and say why it did."""
    try:
        for n in range(10_000):
            enrol(store, f"s-{n:05}")
    except StoreError as error:
        return one_line(error)
    pytest.fail("the disk is larger than it was meant to be")


def test_a_full_disk_is_named_loses_nothing_and_can_be_mended(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk):
        path = disk / "doorward.db"
        ballast = disk / "ballast"
        ballast.write_bytes(b"\1" * 200_000)
        with opened(path) as store:
            assert "the disk is full" in fill(store)
            kept = store.events(limit=10_000)
            with pytest.raises(StoreError, match="the disk is full"):
                enrol(store, "one-more")
            assert [row.id for row in store.subjects()] == [
                each.event.subject for each in kept if isinstance(each.event, Enrolled)
            ]
            ballast.unlink()
            store.check()
            assert store.append(DENIED, NOW).seq == len(kept) + 1
        with opened(path) as store:
            assert store.events(limit=10_000)[:-1] == kept
        with ballast.open("wb", buffering=0) as grown, suppress(OSError):
            while True:
                grown.write(b"\1" * 1000)
        assert f"{path}: the disk is full" in refusal(path)


def test_a_transaction_that_does_not_fit_is_rolled_back(store: SqliteStore) -> None:
    enrol(store, "s-1")
    pages = "PRAGMA max_page_count = 1"  # SQLite takes it as: not one page more than there are
    store._db.conn.execute(pages)  # noqa: SLF001
    assert "the disk is full, and nothing was recorded: free some space" in fill(store)
    assert len(store.events()) == len(store.subjects())
    store._db.conn.execute("PRAGMA max_page_count = 100000")  # noqa: SLF001
    assert store.append(FaultCleared(Part.STORE), NOW).seq == len(store.events())


def test_a_store_can_be_closed_twice_and_then_says_so(path: Path) -> None:
    store = new_store(path)
    store.close()
    store.close()
    with pytest.raises(StoreError):
        store.append(DENIED, NOW)
