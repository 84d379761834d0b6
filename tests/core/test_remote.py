"""What comes of commands from afar, and of what else stands at a door: buttons, contact, clock."""

from dataclasses import dataclass, field, replace

import pytest

from agent.core.controller import Controller
from agent.core.decision import Recognition
from agent.core.effects import (
    Announce,
    AnnounceContact,
    Answer,
    Append,
    Drop,
    Effect,
    Energise,
    Erase,
    Indication,
    Revoke,
    SendChallenge,
    SetValidity,
    Show,
    SpendCodes,
    SpendCounter,
)
from agent.core.enrolment import Enrolment
from agent.core.events import (
    ClockSet,
    Commanded,
    CommandRejected,
    DoorbellRang,
    EnrolmentFailed,
    EnrolmentFailure,
    EnrolmentStarted,
    Erased,
    ExitRequested,
    FaultRaised,
    ForcedOpen,
    HeldOpen,
    Part,
    PolicyChanged,
    Revoked,
    Tampered,
)
from agent.core.inputs import (
    ContactChanged,
    ExitPressed,
    Faulted,
    Flooded,
    Input,
    Observed,
    Recovered,
    Rung,
    StoreLoaded,
    TamperChanged,
    Tick,
)
from agent.core.orders import (
    Button,
    ControllerId,
    Delivered,
    FindKey,
    Leave,
    Operation,
    Order,
    Press,
    RejectedError,
    Rejection,
    RemoteUnlock,
    TrustedController,
)
from agent.core.portal import GRACE
from agent.core.rules import Outside, Rules
from agent.core.types import (
    AuthorityKind,
    EnrolmentCode,
    Grant,
    LockState,
    Method,
    Now,
    SubjectId,
    Terms,
    Validity,
)
from tests.core.people import (
    CALIBRATION,
    NOTICE,
    now_at,
    resident,
    somebody,
    store_of,
)

ADA, BEN = somebody("ada"), somebody("ben")
PHONE = ControllerId("00" * 8)
NEW = SubjectId("s-new")
NOBODY = SubjectId("s-nobody")
WALL = 1_000_000.0
TRUSTED = {PHONE: TrustedController(PHONE, "phone", b"key", frozenset(Operation))}
LOCKED: list[Effect] = [Drop(), Announce(LockState.LOCKED)]
ABOUT_SOMEBODY = [Operation.REVOKE, Operation.ERASE, Operation.POLICY, Operation.EXPORT]


def opened(method: Method, at: float) -> list[Effect]:
    return [Energise(Grant(None, method, None, at), 5.0), Announce(LockState.UNLOCKED)]


@dataclass
class Site:
    """A door that reads what the test tells it to have read."""

    mode: RemoteUnlock = RemoteUnlock.SIGNED
    at: float = 100.0
    wall: float = WALL
    trusted: bool = True
    counter: int = 0
    delivered: int = 0
    store: StoreLoaded = field(
        default_factory=lambda: replace(
            store_of((ADA, BEN), (resident(ADA.id, leave_code="secret"),)), controllers=TRUSTED
        )
    )
    read: Order | Press | Leave | Rejection = Rejection.MALFORMED
    controller: Controller = field(init=False)

    def __post_init__(self) -> None:
        rules = Rules(
            Recognition(min_frames=3, max_frames=5),
            enrolment=Enrolment(seconds=20.0),
            held_open_seconds=60.0,
            remote_unlock=self.mode,
            notice=NOTICE,
        )
        outside = Outside(self.reads, lambda: NEW, lambda: "challenge", lambda below: below - 1)
        self.controller = Controller(rules, CALIBRATION, outside)
        self.give(self.store)
        assert self.give(Tick()) == [SendChallenge("challenge")]

    @property
    def now(self) -> Now:
        return now_at(self.at, self.wall, trusted=self.trusted)

    def reads(self, _delivered: Delivered, _find_key: FindKey) -> Order | Press | Leave:
        if isinstance(self.read, Rejection):
            raise RejectedError(self.read)
        return self.read

    def give(self, happened: Input, after: float = 0.0) -> list[Effect]:
        self.at += after
        return self.controller.handle(happened, self.now)

    def deliver(self, read: Order | Press | Leave | Rejection, after: float = 0.0) -> list[Effect]:
        self.read = read
        self.delivered += 1
        return self.give(Delivered("", str(self.delivered).encode()), after)

    def order(self, operation: Operation, **changes: object) -> list[Effect]:
        """Deliver a good order, and give what comes of it."""
        self.counter += 1
        order = Order(operation, "front", PHONE, "challenge", self.counter, f"r-{self.counter}")
        return self.deliver(replace(order, **changes))  # type: ignore[arg-type]

    def press(self, button: Button, after: float = 0.0) -> list[Effect]:
        return self.deliver(Press(button, self.wall + 30), after)


def recorded(operation: Operation, subject: SubjectId | None = None, counter: int = 1) -> Append:
    event = Commanded(PHONE, operation, f"r-{counter}", subject)
    return Append(event, SpendCounter(PHONE, counter))


def refused(reason: Rejection, counter: int = 1, count: int = 1) -> list[Effect]:
    return [Append(CommandRejected(reason, count)), Answer(f"r-{counter}", reason)]


# --- orders ---------------------------------------------------------------------------------------


def test_an_unlock_is_recorded_with_its_counter_before_the_door_opens() -> None:
    site = Site()

    assert site.order(Operation.UNLOCK) == [
        recorded(Operation.UNLOCK),
        *opened(Method.REMOTE, 100.0),
        Show(Indication.GRANTED),
        Answer("r-1"),
    ]
    assert site.give(Tick(), after=5.0)[:2] == LOCKED


def test_a_second_unlock_does_not_keep_the_door_open() -> None:
    site = Site()
    site.order(Operation.UNLOCK)
    site.at += 4.0

    assert site.order(Operation.UNLOCK) == [recorded(Operation.UNLOCK, counter=2), Answer("r-2")]
    assert site.give(Tick(), after=1.0)[:2] == LOCKED


def test_the_same_order_again_does_nothing_but_is_answered() -> None:
    site = Site()
    site.order(Operation.UNLOCK)
    site.give(Tick(), after=5.0)

    again = site.deliver(site.read)

    assert again == refused(Rejection.REPLAYED)


@pytest.mark.parametrize(
    ("operation", "comes"),
    [
        (Operation.LOCK, LOCKED),
        (Operation.PING, []),
        (Operation.IDENTIFY, [Show(Indication.IDENTIFY)]),
    ],
)
def test_what_is_ordered_is_recorded_done_and_answered(
    operation: Operation, comes: list[Effect]
) -> None:
    assert Site().order(operation) == [recorded(operation), *comes, Answer("r-1")]


def test_a_list_goes_on_after_whom_it_is_told() -> None:
    assert Site().order(Operation.LIST, subject=NOBODY) == [
        recorded(Operation.LIST),
        Answer("r-1", query=Operation.LIST, after=NOBODY),
    ]


def test_what_is_held_on_a_subject_can_be_asked_for() -> None:
    assert Site().order(Operation.EXPORT, subject=BEN.id) == [
        recorded(Operation.EXPORT, BEN.id),
        Answer("r-1", subject=BEN.id, query=Operation.EXPORT),
    ]


def test_a_subject_is_revoked() -> None:
    assert Site().order(Operation.REVOKE, subject=BEN.id) == [
        recorded(Operation.REVOKE, BEN.id),
        Append(Revoked(BEN.id), Revoke(BEN.id)),
        Answer("r-1", subject=BEN.id),
    ]


def test_when_a_subject_may_enter_is_set_anew() -> None:
    validity = Validity(not_after=WALL + 1)

    assert Site().order(Operation.POLICY, subject=BEN.id, validity=validity) == [
        recorded(Operation.POLICY, BEN.id),
        Append(PolicyChanged(BEN.id), SetValidity(BEN.id, validity)),
        Answer("r-1", subject=BEN.id),
    ]


def test_a_subject_is_erased_and_no_more_matched_from_the_order_on() -> None:
    site = Site()

    assert site.order(Operation.ERASE, subject=BEN.id) == [
        recorded(Operation.ERASE, BEN.id),
        Answer("r-1", subject=BEN.id),
        Append(Erased(BEN.id), Erase(BEN.id)),
    ]
    assert site.controller.condition.residents == 1


@pytest.mark.parametrize("operation", ABOUT_SOMEBODY)
def test_nothing_is_done_to_who_is_not_enrolled(operation: Operation) -> None:
    changes = {"subject": NOBODY, "validity": Validity()}

    assert Site().order(operation, **changes) == refused(Rejection.NO_SUBJECT)


def test_an_enrolment_begins_on_a_controllers_authority_and_is_cancelled() -> None:
    site = Site()

    assert site.order(Operation.ENROL, terms=Terms(household="4")) == [
        recorded(Operation.ENROL),
        Append(EnrolmentStarted(NEW, AuthorityKind.CONTROLLER), SpendCodes()),
        Show(Indication.ENROLLING),
        Answer("r-1", subject=NEW),
    ]
    assert site.order(Operation.ENROL, terms=Terms()) == refused(Rejection.BUSY, counter=2)
    assert site.order(Operation.ENROL) == [
        recorded(Operation.ENROL, counter=3),
        Show(Indication.NOT_ENROLLED),
        Append(EnrolmentFailed(NEW, EnrolmentFailure.CANCELLED)),
        Answer("r-3"),
    ]


@pytest.mark.parametrize("part", [Part.STORE, Part.RELEASE])
def test_nobody_opens_a_door_at_fault_from_afar(part: Part) -> None:
    site = Site()
    site.give(Faulted(part, "broken"))

    effects = site.order(Operation.UNLOCK)

    assert effects[-1] == Answer("r-1", Rejection.FAULT)
    assert not any(isinstance(effect, Energise) for effect in effects)


@pytest.mark.parametrize("part", [Part.CAMERA, Part.BROKER])
def test_without_a_camera_the_door_is_opened_from_afar(part: Part) -> None:
    site = Site()
    site.give(Faulted(part, "gone"))

    assert opened(Method.REMOTE, 100.0)[0] in site.order(Operation.UNLOCK)


def test_a_store_at_fault_takes_no_order_at_all_and_counts_what_it_refused() -> None:
    site = Site()
    site.give(Faulted(Part.STORE, "full"))

    assert site.order(Operation.PING) == [Answer("r-1", Rejection.FAULT)]
    waited = site.give(Recovered(Part.STORE))
    assert Append(CommandRejected(Rejection.FAULT, 1)) in waited


@pytest.mark.parametrize(
    ("part", "begins"), [(Part.CAMERA, False), (Part.RELEASE, False), (Part.BROKER, True)]
)
def test_nobody_is_enrolled_on_order_while_a_part_is_at_fault(part: Part, begins: bool) -> None:
    site = Site()
    site.give(Faulted(part, "broken"))

    answer = site.order(Operation.ENROL, terms=Terms())[-1]

    assert answer == (Answer("r-1", subject=NEW) if begins else Answer("r-1", Rejection.FAULT))


def test_an_order_that_failed_at_a_fault_is_not_obeyed_after_it() -> None:
    site = Site()
    site.give(Faulted(Part.RELEASE, "stuck"))
    site.order(Operation.UNLOCK)
    site.give(Recovered(Part.RELEASE))

    assert site.deliver(site.read) == refused(Rejection.REPLAYED)


def test_what_cannot_be_read_is_counted_and_not_answered() -> None:
    site = Site()

    assert site.deliver(Rejection.FORGED) == [Append(CommandRejected(Rejection.FORGED, 1))]
    assert site.deliver(Rejection.FORGED) == [Append(CommandRejected(Rejection.FORGED, 2))]
    assert site.deliver(Rejection.FORGED) == []
    assert site.controller.condition.rejected == {Rejection.FORGED: 3}


def test_what_was_thrown_away_unread_is_counted() -> None:
    site = Site()

    assert site.give(Flooded(9)) == [Append(CommandRejected(Rejection.FLOODED, 9))]
    assert site.controller.condition.rejected == {Rejection.FLOODED: 9}


# --- a resident's own wish ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "code", "left"),
    [(ADA.id, "secret", True), (ADA.id, "wrong", False), (NOBODY, "secret", False)],
)
def test_a_wish_to_leave_is_answered_alike_whether_the_code_is_right_or_wrong(
    subject: SubjectId, code: str, left: bool
) -> None:
    site = Site()

    effects = site.deliver(Leave("r-1", subject, code))

    assert effects[0] == Answer("r-1", subject=subject)
    assert effects[1:] == ([Append(Erased(ADA.id), Erase(ADA.id))] if left else [])
    assert site.controller.condition.residents == (1 if left else 2)


def test_who_left_from_afar_is_not_let_in_again() -> None:
    site = Site()
    site.deliver(Leave("r-1", ADA.id, "secret"))

    effects = [
        each
        for seed in range(5)
        for each in site.give(Observed(site.at + 0.2, 1, ADA.probe(seed)), after=0.3)
    ]

    assert not any(isinstance(effect, Energise) for effect in effects)


# --- presses --------------------------------------------------------------------------------------


def test_a_press_opens_the_door_and_nobody_is_named() -> None:
    site = Site(RemoteUnlock.BROKER)

    assert site.press(Button.UNLOCK) == [
        Append(Commanded(None, Operation.UNLOCK, "", None)),
        *opened(Method.REMOTE, 100.0),
        Show(Indication.GRANTED),
    ]


def test_a_press_at_an_open_door_does_nothing() -> None:
    site = Site(RemoteUnlock.BROKER)
    site.press(Button.UNLOCK)

    assert site.press(Button.UNLOCK, after=4.0) == []
    assert site.give(Tick(), after=1.0)[:2] == LOCKED


def test_a_press_locks_the_door() -> None:
    site = Site(RemoteUnlock.BROKER)
    site.press(Button.UNLOCK)

    commanded = Append(Commanded(None, Operation.LOCK, "", None))
    assert site.press(Button.LOCK) == [commanded, *LOCKED]
    assert site.controller.lock_state is LockState.LOCKED
    assert site.press(Button.LOCK) == []


def test_nobody_locks_in_who_is_on_the_way_out() -> None:
    site = Site(RemoteUnlock.BROKER)
    site.give(ExitPressed())

    assert Drop() not in site.press(Button.LOCK)
    assert site.order(Operation.LOCK) == refused(Rejection.BUSY, count=2)
    assert site.controller.lock_state is LockState.UNLOCKED
    assert site.controller.condition.rejected == {Rejection.BUSY: 2}
    site.give(Tick(), after=5.0)
    assert site.order(Operation.LOCK)[-1] == Answer("r-2")


@pytest.mark.parametrize("part", [Part.STORE, Part.RELEASE])
def test_no_press_opens_a_door_at_fault(part: Part) -> None:
    site = Site(RemoteUnlock.BROKER)
    site.give(Faulted(part, "broken"))

    effects = site.press(Button.UNLOCK)

    assert not any(isinstance(effect, Energise | Answer) for effect in effects)
    assert site.controller.condition.rejected == {Rejection.FAULT: 1}


def test_a_press_has_the_door_say_where_it_is() -> None:
    assert Site().press(Button.IDENTIFY) == [Show(Indication.IDENTIFY)]


@pytest.mark.parametrize(
    ("part", "reason"),
    [(None, EnrolmentFailure.UNAUTHORISED), (Part.CAMERA, EnrolmentFailure.FAULT)],
)
def test_a_press_to_enrol_is_refused_like_the_button_at_the_door(
    part: Part | None, reason: EnrolmentFailure
) -> None:
    site = Site()
    if part is not None:
        site.give(Faulted(part, "gone"))

    assert site.press(Button.ENROL) == [
        Show(Indication.NOT_ENROLLED),
        Append(EnrolmentFailed(NEW, reason)),
    ]


def test_a_press_enrols_on_a_code_and_never_on_an_administrators_visit() -> None:
    administrator = resident(ADA.id, administrator=True)
    site = Site(store=replace(store_of((ADA, BEN), (administrator,)), controllers=TRUSTED))
    for seed in range(3):
        site.give(Observed(site.at, 1, ADA.probe(seed)), after=0.3)
    assert site.controller.lock_state is LockState.UNLOCKED

    unauthorised = Append(EnrolmentFailed(NEW, EnrolmentFailure.UNAUTHORISED))
    assert unauthorised in site.press(Button.ENROL)
    code = EnrolmentCode("123456", site.at, "test", Terms())
    site.give(replace(site.store, codes=(code,)))
    started = Append(EnrolmentStarted(NEW, AuthorityKind.CODE), SpendCodes())
    assert started in site.press(Button.ENROL, after=15.0)


# --- who stands at the door -----------------------------------------------------------------------


def test_the_exit_button_opens_first_and_records_then() -> None:
    assert Site().give(ExitPressed()) == [
        *opened(Method.EXIT, 100.0),
        Show(Indication.GRANTED),
        Append(ExitRequested()),
    ]


def test_nobody_is_locked_in_by_a_full_disk() -> None:
    site = Site()
    site.give(Faulted(Part.STORE, "full"))

    assert site.give(ExitPressed()) == [*opened(Method.EXIT, 100.0), Show(Indication.GRANTED)]
    site.at += 5.0
    assert Append(ExitRequested()) in site.give(Recovered(Part.STORE))


@pytest.mark.parametrize("part", [Part.STORE, Part.CAMERA])
def test_a_fault_locks_nobody_in_who_is_on_the_way_out(part: Part) -> None:
    site = Site()
    site.give(ExitPressed())

    effects = site.give(Faulted(part, "broken"))
    assert Drop() not in effects
    assert site.controller.lock_state is LockState.UNLOCKED
    # The next grant is not of somebody on the way out.
    assert Drop() in site.give(Tick(), after=5.0)
    site.give(Recovered(part))
    site.order(Operation.UNLOCK)
    assert Drop() in site.give(Faulted(Part.STORE, "broken"))


def test_a_camera_at_fault_leaves_a_door_open_that_was_opened_from_afar() -> None:
    site = Site()
    site.order(Operation.UNLOCK)

    assert Drop() not in site.give(Faulted(Part.CAMERA, "gone"))
    assert Drop() in site.give(Tick(), after=5.0)


def test_a_release_that_fails_is_dropped_whoever_is_on_the_way_out() -> None:
    site = Site()
    site.give(ExitPressed())

    assert Drop() in site.give(Faulted(Part.RELEASE, "stuck"))


def test_a_door_that_is_looked_for_shows_itself_for_ten_seconds() -> None:
    site = Site()
    site.order(Operation.IDENTIFY)

    assert site.give(Tick(), after=10.0) == []
    assert site.give(Tick(), after=0.1) == [Show(Indication.IDLE)]


def test_a_challenge_is_out_before_anything_is_recorded_that_could_fail() -> None:
    site = Site(trusted=False)
    site.trusted = True

    effects = site.give(Tick(), after=30.0)
    assert effects == [SendChallenge("challenge"), Append(ClockSet(-30.0))]


def test_a_release_that_does_not_work_is_not_asked_to() -> None:
    site = Site()
    site.give(Faulted(Part.RELEASE, "stuck"))

    assert site.give(ExitPressed()) == []


def test_the_doorbell_and_the_case_are_recorded() -> None:
    site = Site()

    assert site.give(Rung()) == [Append(DoorbellRang()), Show(Indication.DOORBELL)]
    assert site.give(TamperChanged(active=True)) == [Append(Tampered(active=True))]
    assert site.controller.condition.tamper
    assert site.give(TamperChanged(active=False)) == [Append(Tampered(active=False))]
    assert not site.controller.condition.tamper


def closed_door() -> Site:
    site = Site()
    assert site.give(ContactChanged(is_open=False)) == [AnnounceContact(False)]
    return site


def test_a_door_that_nobody_released_is_forced() -> None:
    site = closed_door()

    assert site.give(ContactChanged(is_open=True)) == [
        Append(ForcedOpen()),
        AnnounceContact(True),
    ]
    assert site.give(ContactChanged(is_open=True)) == [AnnounceContact(True)]


def test_a_door_that_stands_open_at_the_start_was_forced_by_nobody() -> None:
    assert Site().give(ContactChanged(is_open=True)) == [AnnounceContact(True)]


@pytest.mark.parametrize("pause", [0.0, 5.0 + GRACE, 5.0 + GRACE + 0.25])
def test_a_door_is_opened_in_its_time_and_a_little_after(pause: float) -> None:
    site = closed_door()
    site.order(Operation.UNLOCK)
    site.give(Tick(), after=pause)

    effects = site.give(ContactChanged(is_open=True))

    assert (Append(ForcedOpen()) in effects) is (pause > 5.0 + GRACE)


def test_who_was_let_in_forces_nothing_where_the_door_is_locked_early() -> None:
    site = closed_door()
    site.order(Operation.UNLOCK)
    site.order(Operation.LOCK)

    assert site.give(ContactChanged(is_open=True), after=1.0) == [AnnounceContact(True)]


def test_a_door_that_stands_open_is_told_of_once() -> None:
    site = closed_door()
    site.give(ContactChanged(is_open=True))

    assert site.controller.wake_at == 160.0
    assert HeldOpen(60.0) not in recorded_in(site.give(Tick(), after=59.75))
    assert recorded_in(site.give(Tick(), after=0.25)) == [HeldOpen(60.0)]
    assert recorded_in(site.give(Tick(), after=600.0)) == []
    assert site.controller.wake_at == float("inf")


def test_a_door_that_is_closed_in_time_is_not_told_of() -> None:
    site = closed_door()
    site.give(ContactChanged(is_open=True))
    site.give(ContactChanged(is_open=False), after=59.0)

    assert recorded_in(site.give(Tick(), after=600.0)) == []


def recorded_in(effects: list[Effect]) -> list[object]:
    return [effect.event for effect in effects if isinstance(effect, Append)]


# --- the clock ------------------------------------------------------------------------------------


def test_that_the_clock_was_set_is_told_once_and_by_how_much() -> None:
    site = Site(trusted=False)
    site.trusted = True
    site.wall += 86_400.5
    site.at += 0.5

    assert recorded_in(site.give(Tick())) == [ClockSet(86_400.0)]
    assert recorded_in(site.give(Tick())) == []


def test_a_clock_that_is_right_from_the_start_is_not_told_of() -> None:
    site = Site()
    site.wall += 1000.0

    assert recorded_in(site.give(Tick())) == []


def test_a_clock_that_is_set_to_no_time_at_all_is_not_told_of() -> None:
    site = Site(trusted=False)
    site.trusted = True
    site.wall = float("nan")

    assert recorded_in(site.give(Tick())) == []


def test_a_fault_that_is_told_is_part_of_what_the_door_is_like() -> None:
    site = Site()

    assert Append(FaultRaised(Part.RELEASE, "stuck")) in site.give(Faulted(Part.RELEASE, "stuck"))
    assert site.controller.condition.faults == (Part.RELEASE,)
