"""What the door promised, kept as a plain account beside it.

Nothing of the core decides anything here: the account knows who really stood at the door, adds up
what follows from that, and breaks off where the door does otherwise.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum

import numpy as np

from agent.core.decision import Recognition
from agent.core.effects import (
    Announce,
    Append,
    Drop,
    Effect,
    Energise,
    Enrol,
    Erase,
    Indication,
    Light,
    Show,
    SpendCodes,
    SuspendConsent,
)
from agent.core.enroller import REFUSALS_APART
from agent.core.events import (
    ConsentRenewed,
    ConsentSuspended,
    Denied,
    Enrolled,
    EnrolmentFailed,
    EnrolmentFailure,
    EnrolmentLapsed,
    EnrolmentStarted,
    Erased,
    Event,
    Granted,
    LockedOut,
    Part,
    SelfServiceBegun,
)
from agent.core.inputs import (
    EnrolButtonHeld,
    EnrolButtonPressed,
    EnrolCommanded,
    Faulted,
    Input,
    Observed,
    Recovered,
)
from agent.core.orders import Delivered
from agent.core.policy import parse_schedule
from agent.core.rules import Rules
from agent.core.types import (
    AuthorityKind,
    Consent,
    Embedding,
    EnrolmentCode,
    Float32,
    LockState,
    Now,
    Probe,
    QualityIssue,
    Reason,
    Span,
    Subject,
    SubjectId,
    Suspension,
    Terms,
)
from tests.core.people import MODEL, NOTICE, Person, wish_in

ALIKE = 0.6
"""Cosine of two faces from which on frames of one may pass for the other: siblings, doubles."""
SAME = 0.97
"""Cosine of two templates that no margin can tell apart."""

BLOCKING = {Part.CAMERA, Part.STORE, Part.RELEASE}
"""Without these nobody may enter by face."""
STRANGERS_REASONS = {Reason.NO_MATCH, Reason.AMBIGUOUS, Reason.INCONSISTENT, Reason.WRONG_MODEL}


def _at_work(minute: int) -> bool:
    return minute // 1440 < 5 and 480 <= minute % 1440 < 1080


def _sunday_night(minute: int) -> bool:
    return minute >= 6 * 1440 + 1320 or minute < 360


HOURS: Mapping[str, Callable[[int], bool]] = {
    "mon-fri 08:00-18:00": _at_work,
    "sun 22:00-06:00": _sunday_night,
}
"""Schedules, and what they mean, said once more."""
_MEANING: Mapping[tuple[Span, ...], Callable[[int], bool]] = {
    parse_schedule(text): meaning for text, meaning in HOURS.items()
}


class BrokenPromiseError(AssertionError):
    """The door did what it must not do, or did not do what it must."""


def promise(kept: bool, words: str) -> None:
    """Break off where a promise is not kept. words: what happened instead."""
    if not kept:
        raise BrokenPromiseError(words)


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A subject in the store, and who it really is."""

    person: Person
    subject: Subject
    template: Float32

    @property
    def sound(self) -> bool:
        """Whether the template can be compared at all."""
        return bool(np.isfinite(self.template).all())


@dataclass(slots=True)
class Enrolling:
    """An enrolment under way."""

    subject: SubjectId
    since: float
    until: float
    kind: AuthorityKind
    authorised_by: str
    terms: Terms


CONFIRMING = 2
"""Times that the button is held before whoever leaves is to be known once more."""


@dataclass(slots=True)
class Serving:
    """A self-service under way. subject: None until it is known who is there."""

    until: float
    subject: SubjectId | None = None
    holds: int = 0

    @property
    def asks(self) -> bool:
        """Whether somebody is to be known, for the first time or once more."""
        return self.subject is None or self.holds == CONFIRMING


@dataclass(slots=True)
class Account:
    """Adds up what the door may do. Give it every input before and all effects after."""

    rules: Rules
    kept: Mapping[SubjectId, Kept] = field(default_factory=dict)
    present: dict[SubjectId, Kept] = field(default_factory=dict)
    """Of those in the store, who stay and whose consent stands: the others are strangers."""
    gallery_model: str = MODEL
    codes: tuple[EnrolmentCode, ...] = ()
    labels: set[str] = field(default_factory=set)
    reached: Counter[str] = field(default_factory=Counter)
    faults: set[Part] = field(default_factory=set)
    open_until: float | None = None
    enrolling: Enrolling | None = None
    serving: Serving | None = None
    lit_until: float | None = None
    evidence: list[tuple[float, Person, str, int, Float32]] = field(default_factory=list)
    spent: set[EnrolmentCode] = field(default_factory=set)
    visit: tuple[SubjectId, float] | None = None
    retry_at: float = -math.inf
    _begun_at: float = -math.inf
    _newest_at: float = -math.inf
    _shown: int = 0
    _frames: dict[int, tuple[Embedding, Person, float]] = field(default_factory=dict)
    _rests_until: dict[SubjectId, float] = field(default_factory=dict)
    _refused_at: list[float] = field(default_factory=list)
    _locked_out_until: float = -math.inf
    _showing: Indication = Indication.IDLE
    _dark: bool = False
    _lit: bool = False
    _switched_at: float = -math.inf
    _forgetful: bool = False
    """Whether the door may have forgotten the first of the evidence, of whoever was choosing."""
    _owed: SubjectId | None = None
    _lockout_owed: bool = False
    _spending_owed: bool = False
    _failures_owed: set[SubjectId] = field(default_factory=set)
    _uncommitted: SubjectId | None = None
    _unkept: set[SubjectId] = field(default_factory=set)
    _turned_away_at: float = -math.inf
    _suspensions_owed: dict[SubjectId, Suspension | None] = field(default_factory=dict)
    _unsure: dict[SubjectId, Kept] = field(default_factory=dict)
    _leaving: set[SubjectId] = field(default_factory=set)
    _erasures_owed: set[SubjectId] = field(default_factory=set)

    # --- what is so -------------------------------------------------------------------------------

    @property
    def blocked(self) -> bool:
        """Whether a part without which nobody may enter is at fault."""
        return bool(self.faults & BLOCKING)

    def locked_out(self, now: Now) -> bool:
        """Whether too many were refused in a row."""
        return now.monotonic < self._locked_out_until

    def objections(self, subject: Subject, now: Now) -> set[Reason]:
        """Everything that is against letting a subject in, of itself."""
        found, validity = set(), subject.validity
        first, last, schedule = validity.not_before, validity.not_after, validity.schedule
        if subject.revoked:
            found.add(Reason.REVOKED)
        ends = subject.consent is not None and subject.consent.expires is not None
        if first is None and last is None and not schedule and not ends:
            return found
        if not now.trusted:
            return found | {Reason.CLOCK_NOT_SET}
        if first is not None and not first <= now.wall:
            found.add(Reason.NOT_YET_VALID)
        if last is not None and not now.wall < last:
            found.add(Reason.EXPIRED)
        if schedule and not _MEANING[schedule](now.week_minute):
            found.add(Reason.OUTSIDE_SCHEDULE)
        return found

    def fallen(self, subject: Subject, now: Now) -> Suspension | None:
        """Why somebody's consent does not stand, if so."""
        consent, recorded, found = subject.consent, subject.suspended, None
        if consent is None or recorded is Suspension.WITHDRAWN:
            found = Suspension.WITHDRAWN
        elif recorded is Suspension.EXPIRED and not now.trusted:
            found = Suspension.EXPIRED
        else:
            unsigned = subject.minor and (consent.guardian or "").strip() == ""
            over = consent.expires is not None and not consent.expires > now.wall
            if (consent.notice.version, consent.notice.sha256) != (NOTICE.version, NOTICE.sha256):
                found = Suspension.NOTICE_CHANGED
            elif unsigned:
                found = Suspension.NO_GUARDIAN
            elif over and now.trusted:
                found = Suspension.EXPIRED
        return found

    def alike(self, person: Person) -> list[Kept]:
        """Everybody to be compared with for whom a person may pass."""
        return [
            kept
            for kept in self.present.values()
            if kept.sound and float(kept.person.face @ person.face) >= ALIKE
        ]

    def same(self, person: Person) -> list[Kept]:
        """The person in the gallery, perhaps more than once, and whoever is no different."""
        return [
            kept
            for kept in self.alike(person)
            if kept.person is person or float(kept.template @ person.face) >= SAME
        ]

    def expected(self, person: Person, now: Now) -> list[Subject]:
        """One of whom is to be let in if this person stands still now; none where that is unsure.

        Of twins in one household, either.
        """
        busy = self.enrolling or self.serving
        looking = not (self.blocked or busy or self.locked_out(now))
        if not looking or now.monotonic < self.retry_at or self.gallery_model != MODEL:
            return []
        same = [kept.subject for kept in self.same(person)]
        hindered = any(self.objections(s, now) or not self.rested(s.id, now) for s in same)
        return same if self.households(self.alike(person)) == 1 and not hindered else []

    def households(self, people: Sequence[Kept]) -> int:
        """Count them; whoever has none is one."""
        return len({kept.subject.household or kept.subject.id for kept in people})

    @property
    def grants(self) -> int:
        """How often somebody was let in so far."""
        return self.reached["grant"] + self.reached["grant while open"]

    def rested(self, subject: SubjectId, now: Now) -> bool:
        """Whether the last grant is long enough ago."""
        return now.monotonic >= self._rests_until.get(subject, -math.inf)

    def authority(self, happened: Input, now: Now) -> Enrolling | None:
        """What an enrolment that begins with this input would be, if it may begin."""
        seconds, at = self.rules.enrolment.authority_seconds, now.monotonic
        until = at + self.rules.enrolment.seconds
        live = [
            code
            for code in self.codes
            if code not in self.spent and code.issued_at <= at <= code.issued_at + seconds
        ]
        if isinstance(happened, EnrolCommanded):
            live = [code for code in live if code.code == happened.code]
        elif not isinstance(happened, EnrolButtonHeld):
            return None
        for code in live:
            by, terms = code.authorised_by, code.terms
            return Enrolling(happened.subject, at, until, AuthorityKind.CODE, by, terms)
        if self.visit is None or isinstance(happened, EnrolCommanded):
            return None
        visitor, visited_at = self.visit
        known = self.present.get(visitor)
        still = known is not None and known.subject.administrator and not known.subject.revoked
        if not (still and at <= visited_at + seconds):
            return None
        kind = AuthorityKind.ADMINISTRATOR
        return Enrolling(happened.subject, at, until, kind, visitor, Terms())

    # --- what goes in -----------------------------------------------------------------------------

    def load(
        self, kept: Mapping[SubjectId, Kept], model: str, codes: tuple[EnrolmentCode, ...]
    ) -> None:
        """Take what the door is about to be told of its store."""
        self.kept, self.gallery_model, self.codes = dict(kept), model, codes
        self._uncommitted = None
        self._suspensions_owed, self._unsure = {}, {}
        # Who is in it still was not erased.
        self._leaving &= set(kept)
        self._erasures_owed = set(self._leaving)
        self.present = {each: kept[each] for each in kept if each not in self._leaving}
        visitor = kept.get(self.visit[0]) if self.visit else None
        if visitor is None or visitor.subject.revoked or not visitor.subject.administrator:
            self.visit = None

    def photographed(self, probe: Probe, person: Person, at: float) -> None:
        """Remember whom a frame really shows."""
        self._frames[id(probe.embedding)] = (probe.embedding, person, at)

    def before(  # noqa: C901, PLR0912 - one arm an input
        self, happened: Input, now: Now
    ) -> None:
        """Take an input that the door is about to get."""
        self._sift(now)
        if self.serving is not None and now.monotonic >= self.serving.until:
            self.serving = None
        self._light(happened, now)
        match happened:
            case Observed():
                self._watch(happened, now)
            case EnrolButtonHeld():
                self._hold_button(happened, now)
            case EnrolButtonPressed() if self.serving is not None:
                confirming = self.serving.holds > 0
                self.serving.holds, self.serving.until = 0, now.monotonic + 20
                self.serving = self.serving if confirming else None
            case EnrolCommanded():
                known = [c for c in self.codes if c not in self.spent]
                if known and self.authority(happened, now) is None:
                    self.spent.update(known)
                    self.codes = ()
                    self._spending_owed = True
            case Delivered():
                wanted = wish_in(happened)
                who = self.kept.get(wanted.subject)
                if who is not None and who.subject.leave_code == wanted.code != "":
                    self._order_erasure(wanted.subject)
            case Recovered():
                self.faults.discard(happened.part)
            case Faulted() if happened.part not in self.faults:
                self.faults.add(happened.part)
                if happened.part in BLOCKING:
                    self._fail()
                if happened.part in BLOCKING - {Part.CAMERA}:
                    self.serving = None
            case _:
                pass

    def _sift(self, now: Now) -> None:
        ending = {s: self.kept[s] for s, why in self._suspensions_owed.items() if why is None}
        judged = self.present | ending | (self._unsure if now.trusted else {})
        for subject, kept in judged.items():
            why, recorded = self.fallen(kept.subject, now), kept.subject.suspended
            self._unsure.pop(subject, None)
            self._suspensions_owed.pop(subject, None)
            if why is not recorded and kept.subject.consent is not None:
                self._suspensions_owed[subject] = why
            if why is not None or recorded is not None:
                self.present.pop(subject, None)
            if recorded is Suspension.EXPIRED and not now.trusted:
                self._unsure[subject] = kept
        if self.visit is not None and self.visit[0] not in self.present:
            self.visit = None

    def _order_erasure(self, subject: SubjectId) -> None:
        if subject in self.kept and subject not in self._leaving:
            self._leaving.add(subject)
            self._erasures_owed.add(subject)
            self._suspensions_owed.pop(subject, None)
            self._unsure.pop(subject, None)
            self.present.pop(subject, None)
            if self.visit is not None and self.visit[0] == subject:
                self.visit = None

    def _light(self, happened: Input, now: Now) -> None:
        if self.lit_until is not None and now.monotonic >= self.lit_until:
            self.lit_until = None
            self._switched_at = now.monotonic
        touched = isinstance(happened, EnrolButtonHeld)
        if isinstance(happened, Observed):
            age = now.monotonic - happened.captured_at
            if not 0 <= age <= self.rules.recognition.max_age:
                return
            if self.lit_until is None:
                self._dark = happened.nearest is QualityIssue.TOO_DARK or happened.luma < 40
            # The light that comes on, or goes off, moves nothing.
            moved = happened.moved and now.monotonic - self._switched_at >= 1
            touched = happened.faces > 0 or moved
        if touched and self._dark:
            if self.lit_until is None:
                self._switched_at = now.monotonic
            self.lit_until = now.monotonic + 20

    def _hold_button(self, happened: EnrolButtonHeld, now: Now) -> None:
        enrols = self.enrolling is not None and now.monotonic < self.enrolling.until
        if self.serving is not None:
            if not self.serving.asks:
                self.serving.holds, self.serving.until = self.serving.holds + 1, now.monotonic + 20
        elif not (
            enrols or self.authority(happened, now) or self.faults & BLOCKING - {Part.CAMERA}
        ):
            self.serving = Serving(now.monotonic + 15)

    def _fail(self) -> None:
        """Whatever was under way is over: it may have been what failed."""
        self.evidence.clear()
        self._rests_until.clear()
        self.visit = None
        ended = self.enrolling.subject if self.enrolling else self._uncommitted
        if ended is not None:
            self._failures_owed.add(ended)
        if self._uncommitted is not None:
            self._unkept.add(self._uncommitted)
        self.enrolling = self._uncommitted = None

    def _watch(self, seen: Observed, now: Now) -> None:
        rules = self.rules.recognition
        fresh = 0 <= now.monotonic - seen.captured_at <= rules.max_age
        if not fresh or self.blocked or seen.nearest is None:
            return
        if self.enrolling is not None and now.monotonic < self.enrolling.until:
            self.evidence.clear()
            return
        if self.serving is not None and not self.serving.asks:
            self._forgetful = True
        looking = not self.locked_out(now) and now.monotonic >= self.retry_at
        if not looking or not isinstance(seen.nearest, Probe):
            return
        if seen.captured_at <= self._newest_at:
            return
        if seen.captured_at - self._newest_at > rules.max_gap:
            self.evidence.clear()
        if not self.evidence:
            self._begun_at = seen.captured_at
            self._forgetful = self.serving is not None and not self.serving.asks
        self._newest_at = seen.captured_at
        embedding = seen.nearest.embedding
        shown = self.person_of(embedding)
        self._shown += 1
        self.evidence.append(
            (seen.captured_at, shown, embedding.model, self._shown, embedding.vector)
        )
        self._keep_the_most_different(rules)

    def _keep_the_most_different(self, rules: Recognition) -> None:
        if self._shown - self.evidence[0][3] >= 2 * rules.max_frames:
            del self.evidence[0]
        if len(self.evidence) > rules.max_frames:
            older = self.evidence[: -rules.min_frames]
            nearest = [
                max(float(one[4] @ other[4]) for other in self.evidence if other is not one)
                for one in older
            ]
            del self.evidence[nearest.index(max(nearest))]

    # --- what comes out ---------------------------------------------------------------------------

    def after(self, happened: Input, now: Now, effects: Sequence[Effect]) -> None:
        """Take all that the door did about an input."""
        opening = False
        erasures = [e for e in effects if isinstance(e, Append) and isinstance(e.event, Erased)]
        promise(len(erasures) <= 1, "a door that is busy with erasures")
        for number, effect in enumerate(effects):
            following = effects[number + 1] if number + 1 < len(effects) else None
            match effect:
                case Append():
                    promise(Part.STORE not in self.faults, "a record for a store at fault")
                    promise(not opening, "a record that is lost where the door does not open")
                    self._private(effect.event)
                    self._recorded(effect, happened, now)
                case Energise():
                    before = effects[number - 1] if number else None
                    self._energised(effect, before, now)
                    opening = True
                    promise(following == Announce(LockState.UNLOCKED), "an opening unannounced")
                case Drop():
                    self._dropped(happened, now)
                    promise(following == Announce(LockState.LOCKED), "a locking unannounced")
                case Show():
                    again = effect.indication is self._showing
                    promise(
                        not again or effect.indication is Indication.FRAME_TAKEN,
                        "an indication shown twice",
                    )
                    self._showing = effect.indication
                    if isinstance(happened, Observed):
                        self._known_again(effect.indication)
                case Light():
                    promise(effect.on is not self._lit, "a light switched to what it is")
                    self._lit = effect.on
                case _:
                    pass
        promise(self._lit is (self.lit_until is not None), "a light that is not as it should be")
        promise(self._owed is None, "a grant that releases nothing though the door is locked")
        promise(not self._lockout_owed, "too many refusals without a lockout")
        if Part.STORE not in self.faults:
            promise(not self._spending_owed, "a second guess")
            promise(not self._failures_owed, "an enrolment that ends without a record")
        if Part.STORE not in self.faults and not opening:
            promise(not self._suspensions_owed, "a consent that falls or stands without a record")
            promise(bool(erasures) or not self._erasures_owed, "a resident who cannot leave")
            promise(self._live(now) or not self.codes, "a code that lies around")
        late = self.open_until is not None and now.monotonic >= self.open_until
        promise(not late, "the door open past its time")
        promise(not (self.blocked and self.open_until), "the door open in spite of a fault")
        overdue = self.enrolling is not None and now.monotonic >= self.enrolling.until
        promise(not overdue, "an enrolment past its time")

    def _recorded(  # noqa: C901, PLR0912, PLR0915 - one arm an event
        self, append: Append, happened: Input, now: Now
    ) -> None:
        event, change = append.event, append.change
        match event:
            case Granted():
                self._granted(event, happened, now)
            case Denied():
                self._denied(event, now)
            case SelfServiceBegun(subject=subject):
                who = self.present.get(subject)
                asked = self.serving is not None and self.serving.subject is None
                promise(asked, "a self-service that nobody asked for")
                promise(who is not None, "a self-service for nobody who is matched")
                if who is not None:
                    self._proven(who, self.rules.recognition.min_frames)
                self.serving = Serving(now.monotonic + 20, subject)
                self.evidence.clear()
                self.reached["self-service"] += 1
            case LockedOut():
                promise(self._lockout_owed, "a lockout after too few refusals")
                self._lockout_owed = False
                self.reached["lockout"] += 1
            case EnrolmentStarted():
                expected = self.authority(happened, now)
                promise(expected is not None, "an enrolment without authority")
                promise(not self.blocked, "an enrolment in spite of a fault")
                promise(self.enrolling is None, "two enrolments at once")
                promise(change == SpendCodes(), "codes that are not spent")
                if expected is not None:
                    told = (expected.subject, expected.kind)
                    promise((event.subject, event.authority) == told, "another enrolment")
                self.enrolling, self.visit = expected, None
                self.spent.update(self.codes)
                self.codes = ()
            case EnrolmentFailed():
                self._not_enrolled(event, change, happened, now)
            case Enrolled():
                self._enrolled(event, change, now)
            case ConsentSuspended(subject=subject, reason=reason):
                owed = self._suspensions_owed.pop(subject, None)
                promise(owed is reason, "a consent suspended twice, or for no reason")
                promise(change == SuspendConsent(subject, reason), "a suspension that is not kept")
                self.reached[f"suspended: {reason}"] += 1
            case ConsentRenewed(subject=subject):
                owed = self._suspensions_owed.pop(subject, Suspension.WITHDRAWN)
                promise(owed is None, "a consent that counts again for no reason")
                promise(change == SuspendConsent(subject, None), "a suspension that does not end")
                self.reached["consent counts again"] += 1
            case EnrolmentLapsed():
                promise(bool(self.codes) and not self._live(now), "a code forgotten too soon")
                promise(change == SpendCodes(), "a code that is not forgotten")
                self.codes = ()
                self.reached["code lapsed"] += 1
            case Erased(subject=subject):
                promise(subject in self._erasures_owed, "an erasure that nobody may ask for")
                promise(change == Erase(subject), "an erasure that is none")
                self._erasures_owed.remove(subject)
                self.reached["left"] += 1
            case _:
                pass

    def _known_again(self, shown: Indication) -> None:
        """Somebody was known once more, and leaves, or somebody else was."""
        confirms = self.serving is not None and self.serving.holds == CONFIRMING
        leaves = shown is Indication.LEAVING
        promise(confirms or not leaves, "somebody who leaves and was not asked again")
        if self.serving is None or not confirms or shown not in {shown.IDLE, shown.LEAVING}:
            return
        who = self.present.get(self.serving.subject) if self.serving.subject else None
        if leaves and who is not None:
            self._proven(who, self.rules.recognition.min_frames)
            self._order_erasure(who.subject.id)
            self.reached["left by the button"] += 1
        else:
            self.reached["left to somebody else"] += 1
        promise(who is not None or not leaves, "somebody who leaves and is not there")
        self.serving = None
        self.evidence.clear()

    def _live(self, now: Now) -> bool:
        ages = [now.monotonic - code.issued_at for code in self.codes]
        return any(0 <= age <= self.rules.enrolment.authority_seconds for age in ages)

    def _granted(self, event: Granted, happened: Input, now: Now) -> None:
        rules, who = self.rules.recognition, self.present.get(event.subject)
        promise(isinstance(happened, Observed), "a grant without a frame")
        promise(not self.blocked, "a grant in spite of a fault")
        promise(self.enrolling is None, "a grant during an enrolment")
        self._trim(event.frames)
        chooses = self.serving is not None and (
            self.serving.asks or self.serving.subject == event.subject
        )
        promise(not chooses, "a grant to somebody who held the button")
        self.reached["a grant while another chooses"] += self.serving is not None
        self.serving = None
        promise(not self.locked_out(now), "a grant in a lockout")
        promise(now.monotonic >= self.retry_at, "a grant right after a refusal")
        promise(who is not None, "a grant to somebody who is not enrolled or has not consented")
        if who is None:
            return
        against = self.objections(who.subject, now)
        promise(not against, f"a grant in spite of {sorted(against)}")
        promise(self.rested(event.subject, now), "a second grant too soon")
        promise(who.sound, "a grant by a template that is no number")
        models = {model for _, _, model, *_ in self.evidence} | {self.gallery_model}
        promise(models == {MODEL}, "a grant across models")
        self._proven(who, rules.min_frames)
        doubles = [k for k in self.same(who.person) if k.person is not who.person]
        promise(self.households([who, *doubles]) == 1, "a grant to a face as like two households")
        sure = event.score >= event.threshold > 0 and event.frames == len(self.evidence)
        promise(sure, "a grant that does not tell what it rests on")
        rest = now.monotonic + rules.cooldown if self.open_until is None else self.open_until
        self._rests_until[event.subject] = rest
        self.evidence.clear()
        self._refused_at.clear()
        if who.subject.administrator:
            self.visit = (event.subject, now.monotonic)
        if self.open_until is None:
            self._owed = event.subject
        self.reached["grant" if self.open_until is None else "grant while open"] += 1

    def _proven(self, who: Kept, frames: int) -> None:
        """Check that enough frames of the presentation show somebody who may pass for `who`."""
        shows = [float(person.face @ who.person.face) >= ALIKE for _, person, *_ in self.evidence]
        promise(sum(shows) >= frames, "a decision on a subject on too few frames of it")
        promise(shows[-1], "a decision on a subject while somebody else stands in front")
        people = {person.name: person for _, person, *_ in self.evidence}
        if len(people) == 1:
            [person] = people.values()
            same = self.same(person)
            promise(not same or who in same, "a resident taken for another")

    def _trim(self, frames: int) -> None:
        """Take the last frames for all there were, if the door may have forgotten the first."""
        if self._forgetful and 0 < frames <= len(self.evidence):
            del self.evidence[:-frames]

    def _denied(self, event: Denied, now: Now) -> None:
        rules = self.rules
        self._trim(event.frames)
        if event.reason in STRANGERS_REASONS:
            promise(event.subject is None, "a stranger named")
            promise(bool(self.evidence), "a refusal of nobody")
            models = {model for _, _, model, *_ in self.evidence} | {self.gallery_model}
            mixed = models != {MODEL}
            promise((event.reason is Reason.WRONG_MODEL) == mixed, "a wrong reason")
            if not mixed:
                seconds = self.evidence[-1][0] - self._begun_at
                promise(seconds >= rules.recognition.patience, "a refusal too soon")
                promise(
                    len(self.evidence) == rules.recognition.max_frames,
                    "a refusal on too few frames",
                )
                self._not_wronged()
        else:
            who = self.present.get(event.subject) if event.subject else None
            promise(who is not None, "a refusal that names nobody enrolled")
            if who is not None:
                self._proven(who, rules.recognition.min_frames)
                promise(event.reason in self.objections(who.subject, now), "a wrong reason")
        self.reached[f"refusal: {event.reason}"] += 1
        self.evidence.clear()
        self.retry_at = now.monotonic + rules.recognition.retry_after
        recent = [at for at in self._refused_at if now.monotonic - at <= rules.lockout.within]
        self._refused_at = [*recent, now.monotonic]
        if len(self._refused_at) >= rules.lockout.refusals:
            self._refused_at.clear()
            self._locked_out_until = now.monotonic + rules.lockout.seconds
            self._lockout_owed = True

    def _not_wronged(self) -> None:
        """Check that whoever was refused as a stranger is none of the residents, alone in view."""
        people = {person.name: person for _, person, *_ in self.evidence}
        if len(people) == 1:
            [person] = people.values()
            promise(self.households(self.alike(person)) != 1, "a resident refused as a stranger")

    def _energised(self, effect: Energise, before: Effect | None, now: Now) -> None:
        event = before.event if isinstance(before, Append) else None
        recorded = isinstance(event, Granted) and event.subject == effect.grant.subject
        promise(recorded, "the door opened without a record of it first")
        promise(self.open_until is None, "the door released twice")
        promise(self._owed == effect.grant.subject, "the door opened without a grant")
        promise(effect.grant.at == now.monotonic, "a grant of another time")
        promise(effect.seconds == self.rules.release_seconds, "a release of another length")
        self.open_until, self._owed = now.monotonic + effect.seconds, None

    def _dropped(self, happened: Input, now: Now) -> None:
        if isinstance(happened, Faulted):
            self.reached["fault while open" if self.open_until is not None else "fault"] += 1
        else:
            due = self.open_until is not None and now.monotonic >= self.open_until
            promise(due, "the door locked without need")
            self.reached["locked in time"] += 1
        self.open_until = None

    # --- enrolment --------------------------------------------------------------------------------

    def _not_enrolled(  # noqa: C901 - one arm a reason
        self, event: EnrolmentFailed, change: object, happened: Input, now: Now
    ) -> None:
        self.reached[f"not enrolled: {event.reason}"] += 1
        if event.subject in self._unkept:
            self.reached["not enrolled: not committed"] += 1
        if change == SpendCodes():
            self._spending_owed = False
            return
        if event.subject in self._failures_owed:
            self._failures_owed.remove(event.subject)
            return
        if happened == Recovered(Part.STORE):
            return
        if isinstance(happened, EnrolButtonHeld | EnrolCommanded):
            promise(now.monotonic >= self._turned_away_at + REFUSALS_APART, "a log that fills up")
            self._turned_away_at = now.monotonic
        match event.reason:
            case EnrolmentFailure.UNAUTHORISED:
                promise(not self.authority(happened, now), "an authority turned away")
                return
            case EnrolmentFailure.BUSY:
                promise(self.enrolling is not None, "a door that is busy with nobody")
                return
            case EnrolmentFailure.FAULT:
                promise(self.blocked, "a fault that is none")
                return
            case EnrolmentFailure.CANCELLED:
                promise(
                    isinstance(happened, EnrolButtonPressed), "an enrolment cancelled by nobody"
                )
            case EnrolmentFailure.NOT_ONE_PERSON:
                since = self.enrolling.since if self.enrolling is not None else now.monotonic
                faces = [each.face for _, each, at in self._frames.values() if at >= since - 1]
                alike = all(float(one @ other) >= ALIKE for one in faces for other in faces)
                promise(not alike, "one person taken for two")
            case _:
                over = self.enrolling is not None and now.monotonic >= self.enrolling.until
                promise(over, "an enrolment that ends too soon")
        ended = self.enrolling is not None and self.enrolling.subject == event.subject
        promise(ended, "an enrolment ended that was not under way")
        self.enrolling = None

    def _enrolled(self, event: Enrolled, change: object, now: Now) -> None:
        under_way = self.enrolling
        promise(under_way is not None, "an enrolment that nobody began")
        promise(isinstance(change, Enrol), "an enrolment that the store is not told of")
        if under_way is None or not isinstance(change, Enrol):
            return
        promise(not self.blocked, "an enrolment in spite of a fault")
        promise(now.monotonic < under_way.until, "an enrolment past its time")
        terms, subject = under_way.terms, change.subject
        days = self.rules.enrolment.consent_days
        consent = Consent(
            under_way.authorised_by,
            NOTICE,
            "opening this door by face",
            at=now.wall,
            expires=None if days is None else now.wall + days * 86400,
            guardian=terms.guardian,
        )
        promise(subject.consent == consent, "a consent that nobody gave")
        as_agreed = Subject(
            under_way.subject,
            terms.household,
            terms.administrator,
            validity=terms.validity,
            minor=terms.minor,
            consent=consent,
        )
        promise(subject == as_agreed and change.label == terms.label, "other terms than agreed")
        near = event.collision is None or event.collision in self.present
        promise(near, "an enrolee compared with somebody who has not consented")
        told = (event.subject, event.authority, event.references)
        frames = self.rules.enrolment.frames
        promise(told == (under_way.subject, under_way.kind, frames), "another enrolment told")
        taken = [self._frames[id(reference)] for reference in change.references]
        promise(len(taken) == frames, "too few references")
        promise(
            len({id(reference) for reference in change.references}) == frames, "one frame twice"
        )
        promise(all(at >= under_way.since - 1 for _, _, at in taken), "a frame from before")
        faces = [person.face for _, person, _ in taken]
        alike = all(float(one @ other) >= ALIKE for one in faces for other in faces)
        promise(alike, "references of two people")
        self.enrolling, self._uncommitted = None, subject.id
        self.reached[f"enrolled by {event.authority}"] += 1

    def person_of(self, embedding: Embedding) -> Person:
        """Whom a frame really shows."""
        return self._frames[id(embedding)][1]

    def _private(self, event: Event) -> None:
        for part in fields(event):
            value = getattr(event, part.name)
            plain = value is None or isinstance(value, str | int | StrEnum)
            finite = isinstance(value, float) and math.isfinite(value)
            promise(plain or finite, "an event with more than words and numbers")
        promise(not any(label in repr(event) for label in self.labels), "an event with a name")
