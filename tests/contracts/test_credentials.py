"""PINs, cards, visitors' codes and wrong entries, as the store keeps them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import pytest

from agent import credentials as operators
from agent.adapters.store import SqliteStore
from agent.core.credentials import (
    NO_ATTEMPTS,
    NO_CREDENTIALS,
    Attempts,
    Credentials,
    Reader,
    Strikes,
    Visitor,
    VisitorId,
)
from agent.core.effects import (
    Change,
    Enrol,
    ForgetVisitor,
    Invite,
    RenewConsent,
    SetAttempts,
    SetCredentials,
    SuspendConsent,
)
from agent.core.events import (
    Admitted,
    CodeDenied,
    CodesLockedOut,
    ConsentRenewed,
    ConsentSuspended,
    CredentialsChanged,
    DuressSignalled,
    Enrolled,
    Event,
    Forgotten,
    Granted,
    SelfServiceBegun,
    VisitorAdmitted,
    VisitorForgotten,
    VisitorInvited,
)
from agent.core.types import (
    AuthorityKind,
    Method,
    Now,
    Reason,
    Subject,
    SubjectId,
    Suspension,
    Validity,
)
from agent.errors import StoreError
from agent.ports import Clock, Store, VisitorRow
from tests.residents import (
    BOOT,
    CONSENT,
    MODEL,
    NOW,
    enrol,
    erase,
    granted,
    opened,
    revoke,
    vectors,
)

ADA, BEN, CY = SubjectId("s-ada"), SubjectId("s-ben"), SubjectId("s-cy")
TAKEN = "this PIN cannot be used: choose another"
WRONG = CodeDenied(Reason.WRONG_CODE, Reader.KEYPAD, None)
COUNTED = Attempts(Strikes(3, 1234.5), Strikes(1), level=4.5, at=NOW.monotonic)


def digest(number: int) -> bytes:
    return number.to_bytes(32)


PLUMBER = Visitor(VisitorId("v-plumber"), digest(50), 1.5e9, 1.9e9)


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """A store of three residents: Ada and Ben with a face, Cy without."""
    with opened(path) as store:
        enrol(store, ADA)
        enrol(store, BEN)
        enrol(store, CY, references=vectors(0), consent=None)
        yield store


def equip(store: Store, subject: SubjectId, credentials: Credentials) -> None:
    event = CredentialsChanged(subject, credentials.pin is not None, len(credentials.cards))
    known = store.load(MODEL).subjects
    before = known[subject].credentials if subject in known else NO_CREDENTIALS
    store.append(event, NOW, SetCredentials(subject, credentials, before))


def invite(store: Store, visitor: Visitor = PLUMBER, label: str = "the plumber") -> None:
    event = VisitorInvited(visitor.id, visitor.not_before, visitor.not_after)
    store.append(event, NOW, Invite(visitor, label))


def let_in(store: Store, visitor: VisitorId = PLUMBER.id) -> None:
    store.append(VisitorAdmitted(visitor), NOW, ForgetVisitor(visitor))


def credentials(store: Store, subject: SubjectId) -> Credentials:
    return store.load(MODEL).subjects[subject].credentials


# --- residents without a face ---------------------------------------------------------------------


def test_a_resident_without_a_face_is_enrolled_without_a_consent_and_compared_with_nobody(
    path: Path, store: SqliteStore
) -> None:
    store.close()
    with opened(path) as again:
        loaded = again.load(MODEL)
        assert loaded.gallery.subjects == (ADA, BEN)
        cy = loaded.subjects[CY]
        assert (cy.consent, cy.suspended, cy.credentials) == (None, None, NO_CREDENTIALS)
        [row] = [row for row in again.subjects() if row.id == CY]
        assert (row.references, row.authorised_by, row.notice) == (0, "", "")
        assert again.resident(CY).receipt is None
        again.verify()


def test_a_resident_without_a_face_is_revoked_and_erased_like_any_other(
    store: SqliteStore,
) -> None:
    equip(store, CY, Credentials(digest(1)))
    revoke(store, CY)
    assert store.load(MODEL).subjects[CY].revoked
    erase(store, CY)
    assert set(store.load(MODEL).subjects) == {ADA, BEN}
    assert store.certificate(CY) is not None
    store.verify()


def test_a_resident_without_a_face_counts_as_unused_until_admitted(store: SqliteStore) -> None:
    later = replace(NOW, wall=NOW.wall + 90 * 86_400)
    assert CY in store.unused_since(later.wall)
    store.append(Admitted(CY, Method.CARD), later)
    assert CY not in store.unused_since(later.wall)
    assert ADA in store.unused_since(later.wall)


def test_a_resident_can_be_enrolled_with_all_that_opens(path: Path, store: SqliteStore) -> None:
    given = Credentials(digest(1), cards=(digest(2),))
    subject = Subject(SubjectId("s-dee"), accessible=True, credentials=given)
    event = Enrolled(subject.id, AuthorityKind.ADMINISTRATOR, 0, None)
    store.append(event, NOW, Enrol(subject, "Dee", ()))
    taken = Subject(SubjectId("s-eve"), credentials=Credentials(digest(1)))
    with pytest.raises(StoreError, match=TAKEN):
        store.append(event, NOW, Enrol(taken, "Eve", ()))
    store.close()
    with opened(path) as again:
        found = again.load(MODEL).subjects
        assert replace(found[subject.id], leave_code="") == subject
        assert taken.id not in found
        again.verify()


def test_who_needs_more_time_is_known_after_a_change_of_something_else(store: SqliteStore) -> None:
    subject = Subject(SubjectId("s-dee"), accessible=True, validity=Validity(1.0))
    event = Enrolled(subject.id, AuthorityKind.ADMINISTRATOR, 0, None)
    store.append(event, NOW, Enrol(subject, "Dee", ()))
    revoke(store, subject.id)
    assert store.load(MODEL).subjects[subject.id].accessible
    rows = {row.id: row.accessible for row in store.subjects()}
    assert rows == {ADA: False, BEN: False, CY: False, subject.id: True}


# --- PINs and cards -------------------------------------------------------------------------------


def test_pins_and_cards_are_kept_replaced_and_removed(path: Path, store: SqliteStore) -> None:
    first = Credentials(digest(1), digest(2), (digest(3), digest(4)))
    equip(store, ADA, first)
    equip(store, BEN, Credentials(cards=(digest(5),)))
    store.close()
    with opened(path) as again:
        assert credentials(again, ADA) == first
        assert credentials(again, BEN) == Credentials(cards=(digest(5),))
        assert credentials(again, CY) == NO_CREDENTIALS
        rows = {row.id: (row.pin, row.duress_pin, row.cards) for row in again.subjects()}
        assert rows == {ADA: (True, True, 2), BEN: (False, False, 1), CY: (False, False, 0)}
        assert again.resident(ADA).subject.credentials == first
        equip(again, ADA, Credentials(digest(6)))
        assert credentials(again, ADA) == Credentials(digest(6))
        equip(again, ADA, NO_CREDENTIALS)
        assert credentials(again, ADA) == NO_CREDENTIALS
        again.verify()


def test_credentials_stay_when_something_else_is_changed(store: SqliteStore) -> None:
    given = Credentials(digest(1), cards=(digest(3),))
    equip(store, ADA, given)
    revoke(store, ADA)
    store.append(ConsentRenewed(ADA), NOW, RenewConsent(ADA, CONSENT))
    erase(store, BEN)
    assert credentials(store, ADA) == given


def test_nobody_is_shown_a_digest(store: SqliteStore) -> None:
    equip(store, ADA, Credentials(digest(1), digest(2), (digest(3),)))
    invite(store)
    shown = repr([store.resident(ADA), store.subjects(), store.visitors(), store.load(MODEL)])
    assert "x00" not in shown


@pytest.mark.parametrize(
    "wanted",
    [
        Credentials(digest(1)),
        Credentials(digest(2)),
        Credentials(digest(9), duress_pin=digest(1)),
        Credentials(digest(9), duress_pin=digest(2)),
        Credentials(digest(50)),
        Credentials(digest(9), duress_pin=digest(50)),
    ],
    ids=["a PIN", "a duress PIN", "ours a PIN", "ours a duress PIN", "a code", "ours a code"],
)
def test_a_pin_that_another_has_is_refused(store: SqliteStore, wanted: Credentials) -> None:
    equip(store, ADA, Credentials(digest(1), digest(2)))
    equip(store, BEN, Credentials(digest(5)))
    invite(store)
    before = store.last_events(1)
    with pytest.raises(StoreError, match=f"^{TAKEN}$"):
        equip(store, BEN, wanted)
    assert credentials(store, BEN) == Credentials(digest(5))
    assert store.last_events(1) == before


@pytest.mark.parametrize("taken", [1, 2, 50], ids=["PIN", "duress PIN", "another's code"])
def test_a_code_that_another_has_is_refused(store: SqliteStore, taken: int) -> None:
    equip(store, ADA, Credentials(digest(1), digest(2), (digest(3),)))
    invite(store)
    with pytest.raises(StoreError, match=f"^{TAKEN}$"):
        invite(store, replace(PLUMBER, id=VisitorId("v-2"), digest=digest(taken)))
    assert store.load(MODEL).visitors == (PLUMBER,)
    invite(store, replace(PLUMBER, id=VisitorId("v-2"), digest=digest(3)))


def test_a_card_that_another_has_is_refused(store: SqliteStore) -> None:
    equip(store, ADA, Credentials(cards=(digest(3), digest(4))))
    with pytest.raises(StoreError, match="this card cannot be used: it is somebody else's"):
        equip(store, BEN, Credentials(cards=(digest(6), digest(4))))
    assert credentials(store, BEN) == NO_CREDENTIALS


def test_what_is_free_again_can_be_taken(store: SqliteStore) -> None:
    equip(store, ADA, Credentials(digest(1), cards=(digest(3),)))
    equip(store, ADA, Credentials(digest(1), digest(2), (digest(3),)))
    equip(store, ADA, NO_CREDENTIALS)
    equip(store, BEN, Credentials(digest(1), cards=(digest(3),)))
    invite(store)
    let_in(store)
    equip(store, ADA, Credentials(digest(50)))
    erase(store, ADA)
    equip(store, CY, Credentials(digest(50)))
    store.verify()


@pytest.mark.parametrize(
    "wanted",
    [
        Credentials(b"123456"),
        Credentials(digest(1), duress_pin=digest(1)),
        Credentials(cards=(digest(3), digest(3))),
        Credentials(cards=(b"",)),
        Credentials(cards=tuple(map(digest, range(100)))),
    ],
    ids=["no digest", "a duress PIN like the PIN", "a card twice", "no card", "too many cards"],
)
def test_what_cannot_be_meant_is_refused(store: SqliteStore, wanted: Credentials) -> None:
    with pytest.raises(StoreError, match="cannot record that") as caught:
        equip(store, ADA, wanted)
    assert "\n" not in str(caught.value)
    assert credentials(store, ADA) == NO_CREDENTIALS


def test_nothing_is_set_of_a_subject_that_does_not_exist(store: SqliteStore) -> None:
    with pytest.raises(StoreError, match="no subject s-9: `doorward list` shows them"):
        equip(store, SubjectId("s-9"), Credentials(digest(1)))


def test_another_process_sees_a_new_pin(path: Path, store: SqliteStore) -> None:
    store.load(MODEL)
    with opened(path) as other:
        equip(other, ADA, Credentials(digest(1)))
    assert store.changed()
    assert credentials(store, ADA).pin == digest(1)
    equip(store, ADA, NO_CREDENTIALS)
    assert store.changed()


# --- two operators --------------------------------------------------------------------------------


ONE = Credentials(digest(1), digest(2), (digest(3),))


def given(typed: str) -> bytes:
    return typed.encode().rjust(32)


@dataclass
class MeanwhileClock:
    """Somebody else does something at the moment at which it is asked for the time."""

    meanwhile: Callable[[], object]
    boot_id: str = BOOT

    def now(self) -> Now:
        self.meanwhile()
        return NOW


@pytest.mark.parametrize("wanted", [Credentials(digest(9)), NO_CREDENTIALS, ONE])
@pytest.mark.parametrize("kept", [NO_CREDENTIALS, Credentials(cards=ONE.cards)])
def test_what_somebody_else_changed_meanwhile_does_not_come_back(
    path: Path, store: SqliteStore, kept: Credentials, wanted: Credentials
) -> None:
    equip(store, ADA, ONE)
    with opened(path) as other:
        equip(other, ADA, kept)
    before = store.last_events(1)
    event = CredentialsChanged(ADA, pin=True, cards=0)
    with pytest.raises(StoreError, match=r"^s-ada: somebody else changed this"):
        store.append(event, NOW, SetCredentials(ADA, wanted, ONE))
    assert credentials(store, ADA) == kept
    assert store.last_events(1) == before
    store.append(event, NOW, SetCredentials(ADA, wanted, kept))
    assert credentials(store, ADA) == wanted


Act: TypeAlias = Callable[[Store, Clock], object]
ACTS: dict[str, Act] = {
    "set a PIN": lambda store, clock: operators.set_pin(
        store, clock, given, ADA, "482915", duress=False
    ),
    "set one for duress": lambda store, clock: operators.set_pin(
        store, clock, given, ADA, "482915", duress=True
    ),
    "remove both": lambda store, clock: operators.remove_pin(store, clock, ADA, duress=False),
    "remove one": lambda store, clock: operators.remove_pin(store, clock, ADA, duress=True),
    "add a card": lambda store, clock: operators.add_card(store, clock, given, ADA, "04A1B2C3"),
    "remove all cards": lambda store, clock: operators.remove_cards(store, clock, ADA),
}


@pytest.mark.parametrize("what", ACTS)
def test_of_two_operators_who_change_one_resident_at_once_the_second_is_refused(
    path: Path, store: SqliteStore, what: str
) -> None:
    equip(store, ADA, ONE)
    equip(store, BEN, Credentials(digest(5)))
    with opened(path) as other:
        clock = MeanwhileClock(lambda: equip(other, ADA, Credentials(digest(7))))
        with pytest.raises(StoreError, match="s-ada: somebody else changed this meanwhile"):
            ACTS[what](store, clock)
        assert credentials(other, ADA) == Credentials(digest(7))
    assert credentials(store, BEN) == Credentials(digest(5))


@pytest.mark.parametrize("what", ["PIN", "card"])
def test_what_changes_while_a_digest_is_made_is_kept(
    path: Path, store: SqliteStore, what: str
) -> None:
    equip(store, ADA, ONE)
    clock = MeanwhileClock(lambda: None)
    with opened(path) as other:

        def slowly(typed: str) -> bytes:
            equip(other, ADA, replace(ONE, cards=()))
            return given(typed)

        if what == "PIN":
            operators.set_pin(store, clock, slowly, ADA, "482915", duress=False)
            assert credentials(store, ADA) == Credentials(given("482915"), ONE.duress_pin)
        else:
            operators.add_card(store, clock, slowly, ADA, "04A1B2C3")
            assert credentials(store, ADA) == replace(ONE, cards=(given("04A1B2C3"),))


# --- who is admitted ------------------------------------------------------------------------------


def test_nobody_is_admitted_whom_another_process_revoked_or_erased(
    path: Path, store: SqliteStore
) -> None:
    store.load(MODEL)
    with opened(path) as other:
        revoke(other, ADA)
        erase(other, CY)
    before = store.last_events(1)
    for subject in (ADA, CY):
        with pytest.raises(StoreError, match=f"{subject} was revoked or erased meanwhile"):
            store.append(Admitted(subject, Method.PIN), NOW, SetAttempts(NO_ATTEMPTS))
    assert store.last_events(1) == before
    store.append(Admitted(BEN, Method.PIN), NOW)


@pytest.mark.parametrize("reason", [Suspension.WITHDRAWN, Suspension.PAUSED])
def test_who_takes_the_face_back_is_admitted_by_other_means_and_never_by_face(
    store: SqliteStore, reason: Suspension
) -> None:
    store.append(ConsentSuspended(ADA, reason), NOW, SuspendConsent(ADA, reason))
    store.append(Admitted(ADA, Method.PIN), NOW)
    store.append(Admitted(ADA, Method.CARD), NOW)
    with pytest.raises(StoreError, match="s-ada has no consent any more"):
        store.append(granted(ADA), NOW)


def test_who_has_no_face_here_is_never_granted_entry_by_face(store: SqliteStore) -> None:
    with pytest.raises(StoreError, match="s-cy has no consent any more"):
        store.append(granted(CY), NOW)


def test_an_admission_notes_the_day(store: SqliteStore) -> None:
    later = replace(NOW, wall=NOW.wall + 5 * 86_400)
    store.append(Admitted(CY, Method.CARD), later, SetAttempts(COUNTED))
    days = {row.id: row.seen_on for row in store.subjects()}
    assert days[CY] == later.wall // 86_400 * 86_400
    assert days[ADA] == NOW.wall // 86_400 * 86_400
    store.verify()


ABOUT_CY: list[Event] = [
    Admitted(CY, Method.PIN),
    CodeDenied(Reason.OUTSIDE_SCHEDULE, Reader.CARD_READER, CY),
    DuressSignalled(CY),
    SelfServiceBegun(CY, Method.PIN),
    CredentialsChanged(CY, pin=True, cards=1),
]


def test_what_somebody_did_without_a_face_is_forgotten_with_the_erasure(
    path: Path, store: SqliteStore
) -> None:
    recorded = [store.append(event, NOW).seq for event in ABOUT_CY]
    assert [each.event for each in store.events(after=recorded[0] - 1)] == ABOUT_CY
    erase(store, CY)
    store.close()
    with opened(path) as again:
        left = again.events(after=recorded[0] - 1, limit=len(ABOUT_CY))
        assert all(isinstance(each.event, Forgotten) for each in left)
        again.verify()


# --- a pause --------------------------------------------------------------------------------------


def test_a_pause_is_made_and_ended_and_a_withdrawal_is_final(store: SqliteStore) -> None:
    for reason in (Suspension.PAUSED, None, Suspension.PAUSED, Suspension.WITHDRAWN):
        told = ConsentRenewed(ADA) if reason is None else ConsentSuspended(ADA, reason)
        store.append(told, NOW, SuspendConsent(ADA, reason))
        assert store.load(MODEL).subjects[ADA].suspended is reason
    for late in (None, Suspension.PAUSED):
        with pytest.raises(StoreError, match="s-ada has withdrawn meanwhile"):
            store.append(ConsentRenewed(ADA), NOW, SuspendConsent(ADA, late))
    store.append(ConsentRenewed(ADA), NOW, RenewConsent(ADA, CONSENT))
    assert isinstance(store.append(granted(ADA), NOW).event, Granted)


# --- visitors -------------------------------------------------------------------------------------


def test_a_visitor_is_kept_until_let_in(path: Path, store: SqliteStore) -> None:
    second = replace(PLUMBER, id=VisitorId("v-2"), digest=digest(51), not_before=1.4e9)
    invite(store)
    invite(store, second, "Dee")
    store.close()
    with opened(path, "boot-2") as again:
        assert again.load(MODEL).visitors == (second, PLUMBER)
        assert again.visitors() == [
            VisitorRow("v-2", "Dee", 1.4e9, 1.9e9),
            VisitorRow("v-plumber", "the plumber", 1.5e9, 1.9e9),
        ]
        let_in(again)
        assert again.changed()
        assert again.load(MODEL).visitors == (second,)
        again.append(VisitorForgotten(second.id), NOW, ForgetVisitor(second.id))
        assert again.load(MODEL).visitors == ()
        again.verify()


def test_a_code_lets_in_once_whoever_takes_it(path: Path, store: SqliteStore) -> None:
    invite(store)
    store.load(MODEL)
    with opened(path) as other:
        other.load(MODEL)
        let_in(other)
    before = store.last_events(1)
    # Read before the other took it.
    with pytest.raises(StoreError, match="no visitor v-plumber, or not any more"):
        let_in(store)
    assert store.last_events(1) == before
    with opened(path) as other, pytest.raises(StoreError, match="no visitor v-plumber"):
        let_in(other)


def test_nobody_is_let_in_by_a_code_that_was_taken_back(path: Path, store: SqliteStore) -> None:
    invite(store)
    store.load(MODEL)
    with opened(path) as other:
        other.append(VisitorForgotten(PLUMBER.id), NOW, ForgetVisitor(PLUMBER.id))
    with pytest.raises(StoreError, match="no visitor v-plumber"):
        let_in(store)


@pytest.mark.parametrize("change", [None, ForgetVisitor(VisitorId("v-2"))])
def test_no_visitor_is_let_in_whose_code_does_not_go_with_it(
    store: SqliteStore, change: Change | None
) -> None:
    invite(store)
    invite(store, replace(PLUMBER, id=VisitorId("v-2"), digest=digest(51)))
    before = store.last_events(1)
    with pytest.raises(StoreError, match="v-plumber enters once"):
        store.append(VisitorAdmitted(PLUMBER.id), NOW, change)
    assert store.last_events(1) == before
    assert len(store.load(MODEL).visitors) == 2


@pytest.mark.parametrize(
    "visitor",
    [
        replace(PLUMBER, not_after=PLUMBER.not_before),
        replace(PLUMBER, not_before=float("nan")),
        replace(PLUMBER, not_after=float("nan")),
        replace(PLUMBER, not_after=float("inf")),
        replace(PLUMBER, not_before=float("-inf")),
        replace(PLUMBER, digest=b"12345678"),
    ],
)
def test_a_visit_that_cannot_be_meant_is_refused(store: SqliteStore, visitor: Visitor) -> None:
    with pytest.raises(StoreError, match="cannot record that"):
        invite(store, visitor)
    assert store.load(MODEL).visitors == ()


# --- wrong entries --------------------------------------------------------------------------------


def test_wrong_entries_are_none_at_first(store: SqliteStore) -> None:
    loaded = store.load(MODEL)
    assert (loaded.attempts, loaded.attempts_of_this_boot) == (NO_ATTEMPTS, True)


def test_wrong_entries_are_kept_across_restarts_and_boots(path: Path, store: SqliteStore) -> None:
    store.append(WRONG, NOW, SetAttempts(Attempts(level=1.0)))
    store.append(CodesLockedOut(Reader.KEYPAD, 30.0), NOW, SetAttempts(COUNTED))
    store.close()
    with opened(path) as again:
        loaded = again.load(MODEL)
        assert (loaded.attempts, loaded.attempts_of_this_boot) == (COUNTED, True)
    with opened(path, "boot-2") as again:
        loaded = again.load(MODEL)
        assert (loaded.attempts, loaded.attempts_of_this_boot) == (COUNTED, False)
        again.append(WRONG, NOW, SetAttempts(Attempts(level=2.0)))
        loaded = again.load(MODEL)
        assert (loaded.attempts, loaded.attempts_of_this_boot) == (Attempts(level=2.0), True)
        again.verify()
    with opened(path, BOOT) as again:
        assert not again.load(MODEL).attempts_of_this_boot


def test_wrong_entries_of_ones_own_are_no_change_to_look_at(path: Path, store: SqliteStore) -> None:
    store.load(MODEL)
    store.append(WRONG, NOW, SetAttempts(COUNTED))
    store.append(Admitted(ADA, Method.PIN), NOW, SetAttempts(NO_ATTEMPTS))
    assert not store.changed()
    assert store.load(MODEL).attempts == NO_ATTEMPTS
    with opened(path) as other:
        other.append(WRONG, NOW, SetAttempts(COUNTED))
    assert store.changed()


@pytest.mark.parametrize(
    "attempts",
    [
        Attempts(level=float("nan")),
        Attempts(level=-1.0),
        Attempts(at=float("inf")),
        Attempts(keypad=Strikes(1, float("nan"))),
        Attempts(card_reader=Strikes(-1)),
    ],
)
def test_a_count_that_would_be_lost_is_refused(store: SqliteStore, attempts: Attempts) -> None:
    with pytest.raises(StoreError, match="cannot record that"):
        store.append(WRONG, NOW, SetAttempts(attempts))
    assert store.load(MODEL).attempts == NO_ATTEMPTS
