"""The door, driven at random as the agent drives it, beside a plain account of what it promised.

Random frames almost never earn a grant, so the rules are little scenes: somebody stands still, a
second resident follows, a stranger tries until the door stops looking. The test also asks whether
every kind of outcome was reached, so that a change which makes the machine lame shows at once.
"""

from dataclasses import replace
from functools import cache

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from agent.core.controller import Controller
from agent.core.decision import Recognition
from agent.core.effects import Append, Enrol, Erase, SpendCodes, SuspendConsent
from agent.core.enrolment import Enrolment
from agent.core.events import Part
from agent.core.inputs import (
    EnrolButtonHeld,
    EnrolButtonPressed,
    EnrolCommanded,
    Faulted,
    Input,
    Observed,
    Recovered,
    StoreLoaded,
    Tick,
)
from agent.core.matching import mean_template
from agent.core.policy import parse_schedule
from agent.core.rules import Rules
from agent.core.types import (
    EnrolmentCode,
    LockState,
    Now,
    Probe,
    QualityIssue,
    SubjectId,
    Suspension,
    Terms,
    Validity,
)
from tests.core.people import (
    CALIBRATION,
    CONSENT,
    MODEL,
    NOTICE,
    OUTSIDE,
    Person,
    gallery,
    leave,
    look_alike,
    resident,
    somebody,
)
from tests.core.promises import HOURS, Account, Kept, promise
from tests.core.reached import rarely_reached

ADA, BEN, CLEO, DORA, FAYE = (somebody(name) for name in ("ada", "ben", "cleo", "dora", "faye"))
CARA = look_alike(CLEO, "cara", 0.8)
"""Sister of Cleo, of the same household."""
FLORA = look_alike(FAYE, "flora", 0.985)
"""Twin of Faye, of the same household."""
DINA = look_alike(DORA, "dina", 0.985)
"""Double of Dora, of another household."""
HOUSEHOLDS = {CLEO.id: "c", CARA.id: "c", FAYE.id: "f", FLORA.id: "f"}
ENROLLED = [ADA, BEN, CLEO, CARA, FAYE, FLORA, DORA, DINA]
STRANGERS = [somebody("mallory"), somebody("trent"), look_alike(BEN, "nearly ben", 0.25)]
NEWCOMERS = [somebody("nina"), somebody("omar")]
MOST_SUBJECTS = 16

NAN, INFINITY = float("nan"), float("inf")
STALE = [0.51, 0.6, 5.0, -0.01, -5.0, INFINITY, NAN]
"""Seconds from a frame to the decision on it."""
BOUNDS = [
    (None, -1.0),
    (3600.0, None),
    (None, None),
    (NAN, None),
    (None, NAN),
    (-100.0, 100.0),
    (None, 17.0),
    (None, None),
]
"""Seconds from now on which a validity begins and ends, once while somebody stands at the door."""
FALLEN: list[dict[str, object]] = [
    {"consent": None},
    {"suspended": Suspension.WITHDRAWN},
    {"consent": replace(CONSENT, notice=replace(NOTICE, version="2020"))},
    {"consent": replace(CONSENT, notice=replace(NOTICE, sha256="00" * 32))},
    {"minor": True},
    {"minor": True, "consent": replace(CONSENT, guardian=" ")},
    {"consent": replace(CONSENT, expires=1.0)},
    {"consent": replace(CONSENT, expires=NAN)},
]
"""What a consent that does not stand may be like."""
RECORDED: list[dict[str, object]] = [
    {"suspended": Suspension.NOTICE_CHANGED},
    {"suspended": Suspension.NO_GUARDIAN},
    {"suspended": Suspension.NOTICE_CHANGED, "minor": True},
    {"suspended": Suspension.EXPIRED, "consent": replace(CONSENT, expires=1.0)},
    {"suspended": Suspension.EXPIRED, "consent": replace(CONSENT, expires=1e12)},
]
"""What was suspended, perhaps for a reason that is none any more."""
SOUND: dict[str, object] = {"consent": CONSENT, "suspended": None, "minor": False}
GUARDED: dict[str, object] = {"minor": True, "consent": replace(CONSENT, guardian="Mum")}
MINUTES = [600, 0, 359, 360, 479, 480, 1079, 1080, 7439, 8700, 9960, 10079]
"""Of the week: where a schedule begins or ends, and others."""

everybody = st.sampled_from([*ENROLLED, *STRANGERS, *NEWCOMERS])
residents = st.sampled_from([ADA, BEN, CLEO, CARA])
outsiders = st.sampled_from([*STRANGERS, *NEWCOMERS])
spacings = st.sampled_from([0.1, 0.3, 0.45])
lasting = st.sampled_from([False, False, False, True])


@cache
def frame(person: Person, number: int, model: str) -> Probe:
    return person.probe(number, model=model)


FRAMES = 40
"""Different ones of each person."""


class Machine(RuleBasedStateMachine):
    """Acts as agent, store and people; the account judges."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = 1000.0
        self.week_minute = 600
        self.trusted = True
        self.frames = 0
        self.codes_given = 0
        self.enrolees = 0
        self.disk_full = False
        self.disk: dict[SubjectId, Kept] = {}
        self.codes: tuple[EnrolmentCode, ...] = ()
        self.model = MODEL
        self.account = Account(Rules(notice=NOTICE))
        self.controller = Controller(self.account.rules, CALIBRATION, OUTSIDE)

    @initialize(
        times=st.sampled_from([(5.0, 8.0, None), (12.0, 4.0, 1.0), (1.0, 1.0, 2.0)]),
    )
    def begin(self, times: tuple[float, float, float | None]) -> None:
        release, cooldown, days = times
        rules = Rules(
            Recognition(cooldown=cooldown),
            enrolment=Enrolment(consent_days=days),
            release_seconds=release,
            notice=NOTICE,
        )
        self.account = Account(rules)
        self.controller = Controller(rules, CALIBRATION, OUTSIDE)
        for person in ENROLLED:
            subject = resident(
                person.id,
                household=HOUSEHOLDS.get(person.id),
                administrator=person is ADA,
                leave_code=f"LEAVE {person.name}.",
            )
            self.account.labels.add(subject.leave_code)
            self.disk[person.id] = Kept(person, subject, person.face)
        self.load()

    # --- what the agent does ----------------------------------------------------------------------

    @property
    def now(self) -> Now:
        return Now(self.clock, 1e6 + self.clock, self.week_minute, self.trusted)

    def give(self, happened: Input, after: float = 0.0) -> None:
        """Hand an input over, check what comes of it, and commit it."""
        self.clock += after
        now = self.now
        self.account.before(happened, now)
        effects = self.controller.handle(happened, now)
        self.account.after(happened, now, effects)
        appends = [effect for effect in effects if isinstance(effect, Append)]
        if self.disk_full and appends:
            if Part.STORE not in self.account.faults:
                self.give(Faulted(Part.STORE, "full"))
        elif any([self.commit(append) for append in appends]):  # noqa: C419 - every one of them
            self.load()

    def commit(self, append: Append) -> bool:
        match append.change:
            case Enrol() as change:
                person = self.account.person_of(change.references[0])
                template = mean_template(reference.vector for reference in change.references)
                self.disk[change.subject.id] = Kept(person, change.subject, template)
            case SpendCodes():
                self.codes = ()
            case Erase(subject=subject):
                promise(subject in self.disk, "an erasure of nobody")
                del self.disk[subject]
            case SuspendConsent(subject=subject, reason=reason):
                kept = self.disk[subject]
                promise(kept.subject.suspended is not reason, "a suspension recorded twice")
                promise(kept.subject.consent is not None, "a suspension of no consent")
                self.disk[subject] = replace(kept, subject=replace(kept.subject, suspended=reason))
            case _:
                return False
        return True

    def load(self, codes: tuple[EnrolmentCode, ...] | None = None) -> None:
        codes = self.codes if codes is None else codes
        self.account.load(self.disk, self.model, codes)
        templates = {subject: kept.template for subject, kept in self.disk.items()}
        homes = {subject: kept.subject.household for subject, kept in self.disk.items()}
        subjects = {subject: kept.subject for subject, kept in self.disk.items()}
        self.give(StoreLoaded(gallery(templates, homes, self.model), subjects, codes))

    def wait(self, seconds: float) -> None:
        self.give(Tick(), after=seconds)

    def show(
        self, person: Person, spacing: float = 0.1, age: float = 0.05, model: str = MODEL
    ) -> Observed:
        """Let the camera see a new frame of a person."""
        self.clock += spacing
        self.frames += 1
        probe = frame(person, self.frames % FRAMES, model)
        self.account.photographed(probe, person, self.clock - age)
        seen = Observed(self.clock - age, 1 + self.frames % 2, probe)
        self.give(seen)
        return seen

    def stand(self, person: Person, frames: int, spacing: float = 0.1) -> None:
        for _ in range(frames):
            self.show(person, spacing)

    # --- people -----------------------------------------------------------------------------------

    @rule(person=everybody, frames=st.integers(3, 9), spacing=spacings)
    def stands_still(self, person: Person, frames: int, spacing: float) -> None:
        """Whoever may enter is let in on the third frame."""
        self.wait(1.0)
        expected = self.account.expected(person, self.now)
        before = self.account.grants
        self.stand(person, 3, spacing)
        if expected and not any(self.account.objections(each, self.now) for each in expected):
            promise(self.account.grants == before + 1, "a resident kept waiting")
        self.stand(person, frames - 3, spacing)

    def comes_home(self, person: Person, frames: int = 5) -> None:
        """After a pause, so that neither a cooldown nor earlier refusals stand in the way."""
        self.wait(15.0)
        self.stands_still(person, frames, 0.45)

    @rule(first=residents, second=residents, spacing=spacings)
    def one_resident_follows_the_other(self, first: Person, second: Person, spacing: float) -> None:
        # Either way round, for one of the two may not be let in at all.
        for ahead, behind in ((first, second), (second, first)):
            self.wait(60.0)
            self.stand(ahead, 3)
            self.stand(behind, 3, spacing)
            self.wait(self.account.rules.release_seconds)
            self.stands_still(behind, 3, spacing)

    @rule(person=residents)
    def comes_again_after_the_cooldown(self, person: Person) -> None:
        """Perhaps while the door is open."""
        self.wait(60.0)
        self.stand(person, 3)
        self.wait(self.account.rules.recognition.cooldown)
        self.stand(person, 3)

    @rule(person=residents, stranger=outsiders)
    def makes_room_for_a_stranger_in_the_cooldown(self, person: Person, stranger: Person) -> None:
        self.wait(60.0)
        self.stand(person, 3)
        until = self.clock + self.account.rules.recognition.cooldown
        while self.clock + 0.25 < until:
            self.show(person, 0.25)
        self.stand(stranger, 3, 0.3)

    @rule(first=everybody, second=everybody, frames=st.tuples(*[st.integers(1, 4)] * 2))
    def takes_turns_with_somebody(
        self, first: Person, second: Person, frames: tuple[int, int]
    ) -> None:
        for _ in range(2):
            self.stand(first, frames[0], 0.4)
            self.stand(second, frames[1], 0.4)

    @rule(person=everybody, pause=st.sampled_from([0.7, 0.9, 1.0, 3.0]))
    def glances_at_the_door_now_and_then(self, person: Person, pause: float) -> None:
        for _ in range(5):
            self.show(person, spacing=pause)

    @rule(stranger=outsiders, person=residents)
    def tries_until_the_door_stops_looking(self, stranger: Person, person: Person) -> None:
        before = self.account.reached["lockout"]
        for _ in range(60):
            self.show(stranger, 0.45)
            if self.account.reached["lockout"] > before:
                self.wait(3.0)
                self.stand(person, 4)
                break

    @rule(nearest=st.sampled_from([None, *QualityIssue]), age=st.sampled_from([0.05, 0.7]))
    def shows_no_good_face(self, nearest: QualityIssue | None, age: float) -> None:
        self.give(Observed(self.clock + 0.1 - age, 1, nearest), after=0.1)

    @rule(person=residents)
    def is_seen_in_stale_frames(self, person: Person) -> None:
        before = self.account.grants
        for age in STALE:
            self.wait(15.0)
            for _ in range(4):
                self.show(person, 0.3, age)
        promise(self.account.grants == before, "a grant on stale frames")
        self.account.reached["stale frames"] += 1

    @rule(person=residents)
    def is_seen_in_one_frame_many_times(self, person: Person) -> None:
        seen = self.show(person, spacing=1.0)
        for _ in range(5):
            self.give(seen, after=0.02)

    @rule(person=residents, others=st.lists(st.booleans(), min_size=3, max_size=5))
    def is_seen_by_another_model(self, person: Person, others: list[bool]) -> None:
        for other in others:
            self.show(person, 0.3, model="other" if other else MODEL)

    @rule(seconds=st.sampled_from([0.05, 0.9, 1.6, 4.9, 8.0, 20.0, 61.0, 86_400.0]))
    def nobody_comes(self, seconds: float) -> None:
        self.wait(seconds)

    # --- the operator -----------------------------------------------------------------------------

    def change(self, subject: SubjectId, **changes: object) -> None:
        kept = self.disk.get(subject)
        if kept is not None:
            changed = replace(kept.subject, **changes)  # type: ignore[arg-type]
            self.disk[subject] = replace(kept, subject=changed)
            self.load()

    @rule(person=residents, lasting=lasting)
    def is_revoked(self, person: Person, lasting: bool) -> None:
        self.change(person.id, revoked=True)
        self.comes_home(person)
        self.change(person.id, revoked=lasting)

    @rule(person=st.sampled_from(ENROLLED))
    def is_erased(self, person: Person) -> None:
        self.disk.pop(person.id, None)
        self.load()
        self.comes_home(person)

    @rule(person=residents, trusted=st.booleans())
    def comes_before_and_after_its_time(self, person: Person, trusted: bool) -> None:
        self.trusted = trusted
        for first, last in BOUNDS:
            wall = self.now.wall
            not_before = None if first is None else wall + first
            not_after = None if last is None else wall + last
            self.change(person.id, validity=Validity(not_before, not_after))
            self.comes_home(person, frames=3)

    @rule(person=residents, hours=st.sampled_from(list(HOURS)))
    def comes_at_all_hours(self, person: Person, hours: str) -> None:
        self.trusted = True
        self.change(person.id, validity=Validity(schedule=parse_schedule(hours)))
        for self.week_minute in MINUTES:
            self.comes_home(person, frames=3)
        self.change(person.id, validity=Validity())

    @rule(seer=residents, other=residents, value=st.sampled_from([NAN, INFINITY]))
    def all_templates_but_one_are_damaged(self, seer: Person, other: Person, value: float) -> None:
        disk = dict(self.disk)
        for subject, kept in disk.items():
            template = kept.template.copy()
            template[3] = value
            if subject != seer.id:
                self.disk[subject] = replace(kept, template=template)
        self.load()
        self.comes_home(seer)
        self.comes_home(other)
        self.disk = disk
        self.load()
        self.account.reached["damaged templates"] += 1

    @rule(person=residents)
    def the_gallery_is_of_another_model(self, person: Person) -> None:
        self.model = "other"
        self.load()
        self.comes_home(person)
        self.model = MODEL
        self.load()

    # --- consent ----------------------------------------------------------------------------------

    @rule(person=st.sampled_from(ENROLLED), trusted=st.booleans())
    def has_not_consented(self, person: Person, trusted: bool) -> None:
        """And consents anew, perhaps by a guardian."""
        double = {CLEO: CARA, FAYE: FLORA, DORA: DINA, DINA: DORA}.get(person, BEN)
        self.trusted = trusted
        for fallen in [*FALLEN, *RECORDED]:
            self.change(person.id, **SOUND | fallen)
            self.comes_home(person, 3)
        self.comes_home(double)
        self.trusted = True
        self.comes_home(person, 3)
        self.change(person.id, **SOUND if trusted else SOUND | GUARDED)
        self.comes_home(person)

    @rule(person=residents, frames=st.integers(0, 3), trusted=st.booleans())
    def sees_the_consent_expire(self, person: Person, frames: int, trusted: bool) -> None:
        """In front of the door, perhaps by a clock that is set only then."""
        self.wait(60.0)
        self.trusted = trusted
        expires = self.now.wall + 0.25 * frames + 0.1
        self.change(person.id, consent=replace(CONSENT, expires=expires))
        self.stand(person, 5, 0.25)
        self.comes_home(person, 3)
        self.trusted = True
        self.stand(person, 5, 0.25)
        self.change(person.id, **SOUND)

    @rule(person=residents, other=residents)
    def is_let_in_as_the_consent_of_somebody_ends(self, person: Person, other: Person) -> None:
        self.wait(60.0)
        self.trusted = True
        self.change(other.id, consent=replace(CONSENT, expires=self.now.wall + 0.25))
        self.stand(person, 5)
        self.change(other.id, **SOUND)

    @rule(loads=st.booleans())
    def an_administrators_consent_falls_after_a_visit(self, loads: bool) -> None:
        self.trusted = True
        self.change(ADA.id, consent=replace(CONSENT, expires=self.now.wall + 100.0))
        self.visits(ADA)
        if loads:
            self.change(ADA.id, consent=None)
        else:
            self.wait(50.0)
        self.ask(EnrolButtonHeld(self.newcomer()))
        self.change(ADA.id, **SOUND)
        self.ask(EnrolButtonHeld(self.newcomer()))

    @rule(person=residents, full=st.booleans())
    def a_consent_falls_that_the_store_cannot_suspend(self, person: Person, full: bool) -> None:
        """Because the disk is full, or because it is at fault already."""
        self.trusted = True
        self.change(person.id, consent=replace(CONSENT, expires=self.now.wall + 10.0))
        self.disk_full = True
        if not full:
            self.give(Faulted(Part.STORE, "broken"))
        self.comes_home(person, 3)
        if not full:
            self.load()
        self.everything_is_mended()
        self.comes_home(person, 3)
        self.change(person.id, **SOUND)

    @rule(
        person=residents,
        code=st.sampled_from(["LEAVE {0}.", "LEAVE {0}.", "", "LEAVE {0}", "LEAVE ben."]),
        part=st.sampled_from([None, Part.CAMERA, Part.STORE]),
        lasting=lasting,
    )
    def leaves(self, person: Person, code: str, part: Part | None, lasting: bool) -> None:
        """Whatever is at fault, and however often it was asked for."""
        kept = self.disk.get(person.id)
        wanted = leave(person.id, code.format(person.name))
        if part is not None:
            self.give(Faulted(part, "broken"))
        self.give(wanted)
        self.give(wanted)
        if part is Part.STORE and lasting:
            self.load()
            self.give(wanted)
        self.give(Tick(), after=0.1)
        if part is not None:
            self.a_part_recovers(part)
        self.give(wanted)
        self.comes_home(person, 3)
        if kept is not None and not lasting:
            self.disk[person.id] = kept
            self.load()

    @rule(people=st.lists(residents, min_size=1, max_size=3, unique=True), full=st.booleans())
    def leaves_though_the_store_fails(self, people: list[Person], full: bool) -> None:
        """With the erasure itself, or before it; the consent falls in the meantime."""
        gone = {each.id: self.disk[each.id] for each in people if each.id in self.disk}
        self.trusted = True
        for person in people:
            self.change(person.id, consent=replace(CONSENT, expires=self.now.wall + 10.0))
        self.disk_full = True
        if not full:
            self.give(Faulted(Part.STORE, "broken"))
        for person in people:
            self.give(leave(person.id, f"LEAVE {person.name}."))
        self.wait(15.0)
        self.everything_is_mended()
        for person in people:
            self.comes_home(person, 3)
        promise(not gone.keys() & self.disk.keys(), "an erasure that is forgotten")
        self.account.reached["left in spite of the store"] += bool(gone)
        self.disk |= gone
        self.load()

    @rule(person=residents, code=st.sampled_from(["", "LEAVE ada."]))
    def leaves_without_a_code(self, person: Person, code: str) -> None:
        self.change(person.id, leave_code="")
        self.give(leave(person.id, code))
        self.give(leave(SubjectId("nobody"), code))
        self.change(person.id, leave_code=f"LEAVE {person.name}.")

    @rule(person=residents)
    def leaves_in_an_outage_and_is_erased_meanwhile(self, person: Person) -> None:
        """By somebody on the door itself, before the store works for the agent again."""
        self.give(Faulted(Part.STORE, "broken"))
        self.give(leave(person.id, f"LEAVE {person.name}."))
        kept = self.disk.pop(person.id, None)
        self.load()
        self.a_part_recovers(Part.STORE)
        if kept is not None:
            self.disk[person.id] = kept
            self.load()

    # --- faults -----------------------------------------------------------------------------------

    @rule(part=st.sampled_from(Part), person=residents, lasting=lasting)
    def a_part_fails(self, part: Part, person: Person, lasting: bool) -> None:
        self.comes_home(person)
        self.give(Faulted(part, "broken"))
        self.stand(person, 4)
        self.a_code_is_given_out()
        self.ask(EnrolCommanded(self.newcomer(), self.code(right=True)))
        if not lasting:
            self.a_part_recovers(part)
            self.stands_still(person, 3, 0.1)

    @rule(part=st.sampled_from(Part))
    def a_part_recovers(self, part: Part) -> None:
        if part is not Part.STORE:
            self.give(Recovered(part))
        elif not self.disk_full:
            # A store that works again is read before anything else is done.
            self.load()
            self.give(Recovered(part))

    @precondition(lambda self: self.account.faults)
    @rule()
    def everything_is_mended(self) -> None:
        self.disk_full = False
        for part in sorted(self.account.faults):
            self.a_part_recovers(part)

    @rule(person=residents, lasting=lasting)
    def the_disk_fills_up(self, person: Person, lasting: bool) -> None:
        """At the latest with the record of a grant."""
        self.disk_full = True
        self.comes_home(person)
        if not lasting:
            self.everything_is_mended()

    @rule(person=residents)
    def a_fault_comes_and_goes_in_a_moment(self, person: Person) -> None:
        self.wait(60.0)
        self.stand(person, 2)
        self.give(Faulted(Part.CAMERA, "restarted"))
        self.give(Recovered(Part.CAMERA))
        self.show(person)
        self.stand(person, 2)
        self.give(Faulted(Part.RELEASE, "stuck"))
        self.give(Recovered(Part.RELEASE))
        self.stands_still(person, 3, 0.1)

    # --- enrolment --------------------------------------------------------------------------------

    def newcomer(self) -> SubjectId:
        self.enrolees += 1
        return SubjectId(f"new-{self.enrolees}")

    def code(self, *, right: bool) -> str:
        known = next((code.code for code in self.codes), "999999")
        return known if right else "000000"

    def ask(self, wanted: EnrolButtonHeld | EnrolCommanded) -> None:
        """Whoever has the authority may begin, where the door is free."""
        account = self.account
        may = account.authority(wanted, self.now) and not account.blocked
        free = account.enrolling is None or self.clock >= account.enrolling.until
        serving = account.serving if isinstance(wanted, EnrolButtonHeld) else None
        serves = serving is not None and self.clock < serving.until
        self.give(wanted)
        if may and free and not serves and not self.disk_full:
            begun = account.enrolling is not None and account.enrolling.subject == wanted.subject
            promise(begun, "an authority turned away")

    @rule(
        administrator=st.booleans(),
        hours=st.sampled_from(["", *HOURS]),
        guardian=st.sampled_from([None, "Mum"]),
    )
    def a_code_is_given_out(
        self, administrator: bool = False, hours: str = "", guardian: str | None = None
    ) -> None:
        if self.disk_full:
            return
        self.clock += 0.1
        self.codes_given += 1
        label = f"label {self.codes_given}."
        self.account.labels.add(label)
        validity = Validity(schedule=parse_schedule(hours))
        terms = Terms(label, "n", administrator, validity, guardian is not None, guardian)
        self.codes = (EnrolmentCode(f"{100000 + self.codes_given}", self.clock, "root", terms),)
        self.clock += 0.5
        self.load()

    @rule()
    def somebody_holds_the_button(self) -> None:
        self.ask(EnrolButtonHeld(self.newcomer()))

    @rule(
        person=residents,
        other=st.one_of(st.none(), residents),
        holds=st.sampled_from([0, 0, 1, 2, 2]),
        pause=st.sampled_from([1.0, 1.0, 20.0]),
    )
    def holds_the_button_and_is_known(
        self, person: Person, other: Person | None, holds: int, pause: float
    ) -> None:
        self.wait(62.0)
        self.ask(EnrolButtonHeld(self.newcomer()))
        self.stand(person, 3)
        for _ in range(holds):
            self.wait(1.0)
            self.ask(EnrolButtonHeld(self.newcomer()))
        self.wait(pause)
        self.stand(other or person, 7)
        self.wait(41.0)

    @rule(person=residents, other=residents)
    def wants_to_leave_by_the_button(self, person: Person, other: Person) -> None:
        """Nobody else does it in the place of who went away."""
        for second in (other, person):
            self.holds_the_button_and_is_known(person, second, 2, 1.0)

    @rule(right=st.booleans())
    def somebody_types_a_code(self, right: bool) -> None:
        self.ask(EnrolCommanded(self.newcomer(), self.code(right=right)))

    @precondition(lambda self: self.account.spent)
    @rule(typed=st.booleans())
    def the_store_gives_spent_codes_again(self, typed: bool) -> None:
        spent = tuple(sorted(self.account.spent, key=lambda code: code.code))
        self.load(codes=spent)
        wanted = EnrolCommanded(self.newcomer(), spent[-1].code)
        self.ask(wanted if typed else EnrolButtonHeld(wanted.subject))

    @precondition(lambda self: len(self.disk) < MOST_SUBJECTS)
    @rule(person=everybody)
    def is_enrolled_by_a_code(self, person: Person) -> None:
        """Once."""
        self.a_code_is_given_out(guardian="Mum" if person in STRANGERS else None)
        typed = self.code(right=True)
        self.ask(EnrolCommanded(self.newcomer(), typed))
        self.stand(person, 10, 0.45)
        self.ask(EnrolCommanded(self.newcomer(), typed))

    @rule(typed=st.booleans(), pause=st.sampled_from([1.0, 61.0]))
    def a_code_is_good_for_one_guess_in_time(self, typed: bool, pause: float) -> None:
        self.wait(20.0)
        self.a_code_is_given_out()
        right = self.code(right=True)
        if pause < 60:
            self.ask(EnrolCommanded(self.newcomer(), self.code(right=False)))
        self.wait(pause)
        self.ask(
            EnrolCommanded(self.newcomer(), right) if typed else EnrolButtonHeld(self.newcomer())
        )

    @rule()
    def a_guess_is_counted_that_the_disk_cannot_record(self) -> None:
        self.wait(20.0)
        self.a_code_is_given_out()
        right = self.code(right=True)
        self.disk_full = True
        self.ask(EnrolCommanded(self.newcomer(), self.code(right=False)))
        self.everything_is_mended()
        self.ask(EnrolCommanded(self.newcomer(), right))

    @precondition(lambda self: len(self.disk) < MOST_SUBJECTS)
    @rule(person=st.sampled_from(NEWCOMERS))
    def is_enrolled_on_a_visit(self, person: Person) -> None:
        """Of an administrator."""
        self.visits(ADA)
        self.ask(EnrolButtonHeld(self.newcomer()))
        self.stand(person, 8, 0.45)

    @rule(pause=st.sampled_from([58.0, 61.0]))
    def a_visit_authorises_once_and_in_time(self, pause: float) -> None:
        self.visits(ADA)
        self.wait(pause)
        self.ask(EnrolButtonHeld(self.newcomer()))
        self.give(EnrolButtonPressed())
        self.ask(EnrolButtonHeld(self.newcomer()))

    @rule(revoked=st.booleans())
    def a_visit_authorises_nobody(self, revoked: bool) -> None:
        """Of a resident, of an administrator who is none any more, or before a fault."""
        self.visits(BEN)
        self.ask(EnrolButtonHeld(self.newcomer()))
        self.visits(ADA)
        self.change(ADA.id, revoked=revoked, administrator=revoked)
        self.ask(EnrolButtonHeld(self.newcomer()))
        self.change(ADA.id, revoked=False, administrator=True)
        self.visits(ADA)
        self.give(Faulted(Part.CAMERA, "restarted"))
        self.give(Recovered(Part.CAMERA))
        self.ask(EnrolButtonHeld(self.newcomer()))

    def visits(self, person: Person) -> None:
        self.wait(60.0)
        self.stand(person, 3)

    @rule(person=outsiders)
    def the_disk_fills_up_during_an_enrolment(self, person: Person) -> None:
        self.wait(20.0)
        self.a_code_is_given_out()
        self.ask(EnrolButtonHeld(self.newcomer()))
        self.stand(person, 3, 0.45)
        self.disk_full = True
        self.stand(person, 6, 0.45)
        self.everything_is_mended()

    @precondition(lambda self: len(self.disk) < MOST_SUBJECTS)
    @rule(person=outsiders, other=residents)
    def somebody_else_steps_in_during_an_enrolment(self, person: Person, other: Person) -> None:
        self.a_code_is_given_out()
        self.ask(EnrolButtonHeld(self.newcomer()))
        self.stand(person, 2, 0.45)
        self.stand(other, 6, 0.45)
        self.wait(20.0)

    @rule(
        person=outsiders,
        how=st.sampled_from(["fault", "cancelled", "busy", "poor", "nobody"]),
    )
    def is_not_enrolled(self, person: Person, how: str) -> None:
        self.a_code_is_given_out()
        self.ask(EnrolButtonHeld(self.newcomer()))
        self.stand(person, 0 if how == "nobody" else 2, 0.45)
        match how:
            case "fault":
                self.give(Faulted(Part.CAMERA, "gone"))
                self.give(Recovered(Part.CAMERA))
            case "cancelled":
                self.give(EnrolButtonPressed())
            case "busy":
                self.a_code_is_given_out()
                self.ask(EnrolCommanded(self.newcomer(), self.code(right=True)))
            case _:
                self.shows_no_good_face(QualityIssue.TOO_DARK if how == "poor" else None, 0.05)
        self.wait(20.0)

    @precondition(lambda self: self.account.enrolling)
    @rule(first=everybody, second=everybody, turns=st.lists(st.booleans(), max_size=8))
    def two_people_are_seen_during_an_enrolment(
        self, first: Person, second: Person, turns: list[bool]
    ) -> None:
        for turn in turns:
            self.show(first if turn else second, 0.45)

    @rule()
    def somebody_cancels(self) -> None:
        self.give(EnrolButtonPressed())

    # --- always -----------------------------------------------------------------------------------

    @invariant()
    def the_door_says_what_it_is(self) -> None:
        """And asks to be woken in time to lock and to end an enrolment."""
        account, controller = self.account, self.controller
        is_open = account.open_until is not None
        promise((controller.lock_state is LockState.UNLOCKED) is is_open, "a wrong lock state")
        until = account.enrolling.until if account.enrolling else INFINITY
        over = account.serving.until if account.serving else INFINITY
        ends = (account.open_until, account.lit_until)
        due = min(*(INFINITY if end is None else end for end in ends), until, over)
        promise(controller.wake_at == due, "a deadline that nobody is woken for")


OFTEN = [
    "grant",
    "grant while open",
    "locked in time",
    "fault",
    "fault while open",
    "refusal: no_match",
    "refusal: inconsistent",
    "refusal: ambiguous",
    "refusal: wrong_model",
    "refusal: revoked",
    "refusal: not_yet_valid",
    "refusal: expired",
    "refusal: outside_schedule",
    "refusal: clock_not_set",
    "lockout",
    "self-service",
    "left by the button",
    "left to somebody else",
    "enrolled by administrator",
    "enrolled by code",
    "not enrolled: unauthorised",
    "not enrolled: busy",
    "not enrolled: no_face",
    "not enrolled: poor_frames",
    "not enrolled: not_one_person",
    "not enrolled: cancelled",
    "not enrolled: fault",
    "not enrolled: not committed",
    "suspended: expired",
    "suspended: notice_changed",
    "suspended: no_guardian",
    "consent counts again",
    "code lapsed",
    "left",
    "left in spite of the store",
    "damaged templates",
    "stale frames",
]
"""Outcomes without which the machine would prove little."""


def test_the_door_keeps_its_promises() -> None:
    assert not rarely_reached(Machine, OFTEN, examples=120, steps=30)
