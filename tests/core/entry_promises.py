"""What the door promised of codes, cards, visitors and the button, kept as a plain account.

Nothing of the core decides anything here: for each input the account says what must come of it, out
of what people really hold, and breaks off where the door does otherwise.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace

from agent.core.access import Access, Mode
from agent.core.credentials import Credentials, Reader, Visitor, VisitorId
from agent.core.effects import Append, Effect, Energise, Erase, ForgetVisitor, SetAttempts
from agent.core.events import (
    Admitted,
    CodeDenied,
    CodesLockedOut,
    ConsentRenewed,
    ConsentSuspended,
    Denied,
    DuressSignalled,
    EnrolmentStarted,
    Erased,
    Granted,
    Part,
    SelfServiceBegun,
    VisitorAdmitted,
    VisitorForgotten,
)
from agent.core.rules import Rules
from agent.core.types import Now, Reason, Subject, SubjectId, Suspension
from tests.core.people import Person
from tests.core.promises import promise

READERS = {"pin": Reader.KEYPAD, "card": Reader.CARD_READER}
TWO = {"face+pin", "card+pin"}
OPENS: Mapping[tuple[Mode, bool], set[str]] = {
    # The mode, whether the subject has a face that is matched, and what opens.
    (Mode.ANY, True): {"face", "pin", "card", "face+card"} | TWO,
    (Mode.ANY, False): {"pin", "card"} | TWO,
    (Mode.FACE, True): {"face", "face+pin", "face+card"},
    (Mode.FACE, False): {"pin", "card", "card+pin"},
    (Mode.FACE_AND_PIN, True): TWO,
    (Mode.FACE_AND_PIN, False): {"card+pin"},
    (Mode.CARD, True): {"card", "card+pin", "face+card"},
    (Mode.CARD, False): {"card", "card+pin"},
    (Mode.PIN, True): {"pin"} | TWO,
    (Mode.PIN, False): {"pin", "card+pin"},
}
STRONG = {"face", "face+card"} | TWO
"""What an administrator must have entered by to enrol somebody."""
GOES_WITH = {"face": ["pin", "card"], "card": ["pin", "face"], "pin": ["face", "card"]}
TOGETHER = {
    frozenset({"face", "pin"}): "face+pin",
    frozenset({"card", "pin"}): "card+pin",
    frozenset({"face", "card"}): "face+card",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What comes of an input: somebody is let in, denied or known; or nothing does.

    calls: who calls for help with it.
    """

    kind: str = "nothing"
    who: str | None = None
    how: str = ""
    calls: SubjectId | None = None


NOTHING = Outcome()


@dataclass(frozen=True, slots=True)
class Shown:
    """A factor that waits for another. forced: by the PIN for duress."""

    who: SubjectId
    until: float
    held: Credentials
    forced: bool


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody and what they hold, in plain words."""

    person: Person
    pin: str
    duress: str
    card: str


@dataclass(slots=True)
class Wrong:
    """What is known of wrong entries."""

    rows: dict[Reader, int] = field(default_factory=lambda: dict.fromkeys(Reader, 0))
    until: dict[Reader, float] = field(default_factory=lambda: dict.fromkeys(Reader, -math.inf))
    level: float = 0.0
    at: float = 0.0


@dataclass(slots=True)
class Account:
    """Adds up what the door may do about those who hold something."""

    rules: Rules
    holders: Sequence[Holder]
    subjects: dict[SubjectId, Subject] = field(default_factory=dict)
    visitors: dict[VisitorId, Visitor] = field(default_factory=dict)
    visits: dict[str, VisitorId] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)
    reached: Counter[str] = field(default_factory=Counter)
    faults: set[Part] = field(default_factory=set)
    open_until: float | None = None
    leaving: set[SubjectId] = field(default_factory=set)
    spent: set[VisitorId] = field(default_factory=set)
    wrong: Wrong = field(default_factory=Wrong)
    committed: Wrong = field(default_factory=Wrong)
    serving: SubjectId | None = None
    serving_until: float | None = None
    known_by: str = ""
    holds: int = 0
    shown: dict[str, Shown] = field(default_factory=dict)
    opened_by: str = ""
    visit: tuple[SubjectId, float] | None = None
    enrols: bool = False
    rests_until: dict[SubjectId, float] = field(default_factory=dict)
    due: dict[SubjectId, object] = field(default_factory=dict)
    compared: list[float] = field(default_factory=list)

    # --- what is so -------------------------------------------------------------------------------

    def begin(self, now: float, *, booted: bool) -> None:
        """The agent starts, perhaps with its computer. now: monotonic seconds."""
        self.wrong = deepcopy(self.committed)
        if booted:
            self.wrong.at = now
            for reader, row in self.wrong.rows.items():
                seconds = self._shuts_for(row)
                self.wrong.until[reader] = now + seconds if seconds else -math.inf
        self.faults, self.leaving, self.due = set(), set(), {}
        self.shown, self.serving, self.serving_until, self.open_until = {}, None, None, None
        self.rests_until = {}
        self.visit, self.enrols = None, False

    def load(
        self, subjects: Mapping[SubjectId, Subject], visitors: Mapping[VisitorId, Visitor]
    ) -> None:
        """Take what the door is about to be told of its store."""
        self.leaving &= set(subjects)
        self.subjects = {s: each for s, each in subjects.items() if s not in self.leaving}
        self.visitors = dict(visitors)

    def shut(self, reader: Reader, now: float) -> bool:
        """Whether a reader takes nothing."""
        return now < self.wrong.until[reader] or self._level(now) > self.rules.codes.overall - 1

    def has_face(self, subject: SubjectId) -> bool:
        """Whether somebody is matched by the face."""
        who = self.subjects.get(subject)
        return who is not None and who.consent is not None and who.suspended is None

    @property
    def asks(self) -> bool:
        """Whether somebody is to be known, for the first time or once more."""
        return self.serving_until is not None and (self.serving is None or self.holds > 1)

    def _level(self, now: float) -> float:
        gone = (now - self.wrong.at) / self.rules.codes.drain_seconds
        return max(self.wrong.level - gone, 0.0)

    def _shuts_for(self, row: int) -> float:
        codes = self.rules.codes
        if row < codes.attempts:
            return 0.0
        return min(codes.seconds * 2.0 ** (row - codes.attempts), codes.longest_seconds)

    def _in_force(self, now: Now) -> set[Mode]:
        access: Access = self.rules.access
        if not now.trusted:
            return {access.mode} | {hours.mode for hours in access.hours}
        for hours in access.hours:
            for span in hours.spans:
                if span.start <= now.week_minute < span.end:
                    return {hours.mode}
        return {access.mode}

    # --- what must come of an input ---------------------------------------------------------------

    def passes(self, now: Now) -> None:
        """Time passes: what is over is over."""
        if self.open_until is not None and now.monotonic >= self.open_until:
            self.open_until = None
        if self.serving_until is not None and now.monotonic >= self.serving_until:
            self.serving = self.serving_until = None
        self.shown = {f: known for f, known in self.shown.items() if now.monotonic < known.until}

    def typed(self, text: str, now: Now, age: float = 0.0) -> Outcome:
        """Say what must come of a code. age: seconds since the last key."""
        if self._refuses(Reader.KEYPAD, now, age):
            return NOTHING
        for holder in self.holders:
            if holder.person.id in self.subjects and text in {holder.pin, holder.duress}:
                forced = text == holder.duress
                outcome = self._decide(holder.person.id, "pin", now, forced=forced)
                return replace(outcome, calls=holder.person.id if forced else None)
        visit = self.visits.get(text)
        visitor = self.visitors.get(visit) if visit is not None else None
        if visitor is None:
            return self._mistaken(Reader.KEYPAD, now)
        if not now.trusted:
            return Outcome("denied", None, Reason.CLOCK_NOT_SET)
        if now.wall < visitor.not_before:
            return Outcome("denied", None, Reason.NOT_YET_VALID)
        if now.wall >= visitor.not_after:
            return Outcome("denied", None, Reason.EXPIRED)
        promise(visitor.id not in self.spent, "a visit that was made twice")
        self._right(Reader.KEYPAD)
        if self.open_until is not None:
            self.reached["a visitor at an open door"] += 1
            return NOTHING
        return Outcome("visit", visitor.id, "visitor")

    def held_to_reader(self, number: str, now: Now, age: float = 0.0) -> Outcome:
        """Say what must come of a card. age: seconds since it was read."""
        if self._refuses(Reader.CARD_READER, now, age):
            return NOTHING
        for holder in self.holders:
            if holder.person.id in self.subjects and number == holder.card:
                return self._decide(holder.person.id, "card", now)
        return self._mistaken(Reader.CARD_READER, now)

    def recognised(self, person: Person, now: Now) -> Outcome:
        """Say what must come of a face that was seen for long enough."""
        blind = self.faults & {Part.CAMERA, Part.STORE, Part.RELEASE}
        chooses = self.serving == person.id and not self.asks
        rests = not self.asks and now.monotonic < self.rests_until.get(person.id, -math.inf)
        if blind or chooses or rests or not self.has_face(person.id):
            return NOTHING
        opens = self._opens(now, face=True)
        beside = any(f"face+{each}" in opens and each not in opens for each in ("pin", "card"))
        if "face" not in opens and not beside:
            self.reached["a face that is not looked at"] += 1
            return NOTHING
        return self._decide(person.id, "face", now)

    def _refuses(self, reader: Reader, now: Now, age: float) -> bool:
        if not 0 <= age <= 3:
            self.reached["refused for coming too late"] += 1
            return True
        if self.faults & {Part.STORE, Part.RELEASE}:
            self.reached["refused for a fault"] += 1
            return True
        if self.shut(reader, now.monotonic):
            self.reached["refused while shut"] += 1
            return True
        return False

    def _known(self, subject: SubjectId, method: str, now: Now) -> Outcome:
        self.shown.clear()
        if self.serving is not None:
            if self.serving == subject:
                self.due[subject] = Erased
                self.leaving.add(subject)
                del self.subjects[subject]
            else:
                self.reached["left to somebody else"] += 1
            self.serving = self.serving_until = None
            return NOTHING
        self.serving, self.known_by, self.holds = subject, method, 0
        self._goes_on(now)
        return Outcome("known", subject, method)

    def _goes_on(self, now: Now) -> None:
        slow = self.serving in self.subjects and self.subjects[self.serving].accessible
        self.serving_until = now.monotonic + (40 if slow else 20)

    def _mistaken(self, reader: Reader, now: Now) -> Outcome:
        at = now.monotonic
        self.wrong.rows[reader] += 1
        seconds = self._shuts_for(self.wrong.rows[reader])
        self.wrong.until[reader] = at + seconds if seconds else -math.inf
        self.wrong.level, self.wrong.at = self._level(at) + 1, at
        self.compared.append(at)
        return Outcome("denied", None, Reason.WRONG_CODE)

    def _right(self, reader: Reader) -> None:
        self.wrong.rows[reader], self.wrong.until[reader] = 0, -math.inf

    def _objection(self, subject: Subject, now: Now) -> Reason | None:
        validity = subject.validity
        if subject.revoked:
            return Reason.REVOKED
        if validity.not_after is None and not validity.schedule:
            return None
        if not now.trusted:
            return Reason.CLOCK_NOT_SET
        if validity.not_after is not None and now.wall >= validity.not_after:
            return Reason.EXPIRED
        if validity.schedule and not 480 <= now.week_minute < 1080:
            return Reason.OUTSIDE_SCHEDULE
        return None

    def _opens(self, now: Now, *, face: bool) -> set[str]:
        return set.intersection(*(OPENS[mode, face] for mode in self._in_force(now)))

    def _decide(self, who: SubjectId, factor: str, now: Now, *, forced: bool = False) -> Outcome:
        subject, at, asks = self.subjects[who], now.monotonic, self.asks
        objection = None if asks else self._objection(subject, now)
        if objection is not None:
            return Outcome("denied", who, objection)
        allowed = self._opens(now, face=self.has_face(who))
        method, waits = factor if factor in allowed else "", False
        for other in GOES_WITH[factor]:
            both = TOGETHER[frozenset({factor, other})]
            if both in allowed and not method:
                waits = True
                known = self.shown.get(other)
                held = subject.credentials
                counts = known is not None and (known.who, known.held) == (who, held)
                method = both if counts else ""
        if not method and not waits:
            return Outcome("denied", who, Reason.METHOD_NOT_ALLOWED)
        if factor in READERS:
            self._right(READERS[factor])
        if not asks and (method or factor in READERS):
            self.serving = self.serving_until = None
        if not method:
            patience = self.rules.codes.second_factor_seconds * (2 if subject.accessible else 1)
            self.shown[factor] = Shown(who, at + patience, subject.credentials, forced)
            self.reached["a second factor is waited for"] += 1
            return NOTHING
        if asks:
            return self._known(who, method, now)
        forced = forced or any(each.who == who and each.forced for each in self.shown.values())
        self.shown.clear()
        rested = at + self.rules.recognition.cooldown
        self.rests_until[who] = rested if self.open_until is None else self.open_until
        if subject.administrator and method in STRONG and not forced:
            self.visit = (who, at)
        return Outcome("open", who, method)

    def button_held(self, now: Now) -> None:
        """Somebody held the button."""
        if self.serving_until is not None:
            if not self.asks:
                self.holds += 1
                self._goes_on(now)
        elif not self.faults & {Part.STORE, Part.RELEASE}:
            seconds = self.rules.enrolment.authority_seconds
            if self.visit is not None and now.monotonic <= self.visit[1] + seconds:
                self.enrols = True
            else:
                self.serving_until = now.monotonic + 15

    def button_pushed(self, now: Now) -> None:
        """Somebody pushed the button."""
        if self.enrols:
            self.enrols = False
            return
        who, self.holds, confirming = self.serving, 0, self.holds > 0
        if who is not None and confirming:
            self._goes_on(now)
            return
        self.serving = self.serving_until = None
        known = self.subjects.get(who) if who is not None else None
        if known is None or known.consent is None:
            return
        if known.suspended is Suspension.PAUSED:
            self.due[known.id] = ConsentRenewed
        elif known.suspended is None and self._may_pause(known):
            self.due[known.id] = ConsentSuspended

    def _may_pause(self, subject: Subject) -> bool:
        """Whether whoever is known by this needs the face at no hour."""
        pin, card = subject.credentials.pin is not None, bool(subject.credentials.cards)
        ways = {
            way for way, has in (("pin", pin), ("card", card), ("card+pin", pin and card)) if has
        }
        access = self.rules.access
        return all(
            self.known_by in OPENS[mode, True] and ways & OPENS[mode, False]
            for mode in (access.mode, *(hours.mode for hours in access.hours))
        )

    def failed(self, part: Part) -> None:
        """A part is at fault from now on."""
        self.faults.add(part)
        if part in {Part.STORE, Part.RELEASE, Part.CAMERA}:
            self.shown.clear()
            self.rests_until.clear()
            self.visit, self.enrols = None, False
        if part is Part.CAMERA and self.opened_by in {"face", "face+pin", "face+card"}:
            self.open_until = None
        if part in {Part.STORE, Part.RELEASE}:
            self.serving = self.serving_until = self.open_until = None

    # --- what came of it --------------------------------------------------------------------------

    def after(self, expected: Outcome, now: Now, effects: Sequence[Effect]) -> None:
        """Take all that the door did about an input."""
        came = self._came(effects)
        if came.kind in {"open", "visit"} and came != expected:
            right = (expected.kind, expected.who, expected.how)
            promise((came.kind, came.who, came.how) == right, "an opening that nobody may have")
        promise(came.calls == expected.calls, "a duress that is not told, or none that is")
        promise(came == expected, f"{came} and not {expected}")
        self._opened(came, now, effects)
        for effect in effects:
            if isinstance(effect, Append):
                self._recorded(effect, now)
        begun = any(
            isinstance(e, Append) and isinstance(e.event, EnrolmentStarted) for e in effects
        )
        promise(not begun or self.enrols, "an enrolment that nobody may begin")
        self.reached["an administrator enrols"] += begun
        late = {s: event for s, event in self.due.items() if event is not Erased}
        promise(not late, "a wish that the door does not fulfil")
        self.reached[f"{came.kind}: {came.how}"] += 1
        self.reached["duress"] += came.calls is not None

    def _came(self, effects: Sequence[Effect]) -> Outcome:
        found: list[Outcome] = []
        calls: list[SubjectId] = []
        events = [effect.event for effect in effects if isinstance(effect, Append)]
        for event in events:
            match event:
                case Granted() | Admitted():
                    found.append(Outcome("open", event.subject, event.method))
                case DuressSignalled():
                    promise(not found, "a duress that is told after something else")
                    calls.append(event.subject)
                case VisitorAdmitted():
                    found.append(Outcome("visit", event.visitor, "visitor"))
                case CodeDenied() | Denied():
                    found.append(Outcome("denied", event.subject, event.reason))
                case SelfServiceBegun():
                    found.append(Outcome("known", event.subject, event.method))
                case _:
                    pass
        promise(len(found) <= 1 and len(calls) <= 1, "two answers to one input")
        return replace(found[0] if found else NOTHING, calls=calls[0] if calls else None)

    def _opened(self, came: Outcome, now: Now, effects: Sequence[Effect]) -> None:
        released = [number for number, each in enumerate(effects) if isinstance(each, Energise)]
        due = came.kind in {"open", "visit"} and self.open_until is None
        promise(len(released) == due, "a release without a grant, or a grant without a release")
        for number in released:
            later = [each for each in effects[number:] if isinstance(each, Append)]
            promise(not later, "a record after the opening that it tells of")
            energise = effects[number]
            assert isinstance(energise, Energise)
            who = came.who if came.kind == "open" else None
            promise(
                (energise.grant.subject, energise.grant.method) == (who, came.how), "a wrong grant"
            )
            slow = who is not None and self.subjects[SubjectId(who)].accessible
            seconds = self.rules.accessible_seconds if slow else self.rules.release_seconds
            promise(energise.seconds == seconds, "a release of another length")
            self.open_until, self.opened_by = now.monotonic + seconds, came.how

    def _recorded(self, append: Append, now: Now) -> None:
        event, change = append.event, append.change
        for part in fields(event):
            value = getattr(event, part.name)
            plain = value is None or isinstance(value, str | int | float)
            promise(plain, "an event with more than words and numbers")
        promise(not any(secret in repr(event) for secret in self.secrets), "an event with a secret")
        match event:
            case CodeDenied(reason=Reason.WRONG_CODE):
                promise(event.subject is None, "a wrong code of somebody")
                promise(isinstance(change, SetAttempts), "a wrong code that a restart forgets")
            case Admitted() if self.wrong.rows != self.committed.rows:
                promise(isinstance(change, SetAttempts), "a right code that a restart forgets")
            case CodesLockedOut(reader=reader):
                promise(self.shut(reader or Reader.KEYPAD, now.monotonic), "a lockout that is none")
                self.reached["shut: all" if reader is None else "shut: one"] += 1
            case VisitorAdmitted(visitor=visit):
                promise(visit not in self.spent, "a code that opens twice")
                promise(change == ForgetVisitor(visit), "a code that is not spent")
                self.spent.add(visit)
                self.visitors.pop(visit, None)
            case VisitorForgotten(visitor=visit):
                over = visit in self.visitors and now.wall >= self.visitors[visit].not_after
                promise(now.trusted and over, "a visit that is forgotten before its time")
                promise(change == ForgetVisitor(visit), "a visit that is not forgotten")
                self.reached["visit forgotten"] += 1
            case ConsentSuspended() | ConsentRenewed() | Erased():
                owed = self.due.pop(event.subject, None)
                promise(owed is type(event), "a change that nobody wished for")
                kept = change == Erase(event.subject) if isinstance(event, Erased) else change
                promise(bool(kept), "a change that is not kept")
                self.reached[type(event).__name__] += 1
            case _:
                pass
        if isinstance(change, SetAttempts):
            kept_rows = {
                Reader.KEYPAD: change.attempts.keypad.in_a_row,
                Reader.CARD_READER: change.attempts.card_reader.in_a_row,
            }
            promise(kept_rows == self.wrong.rows, "another row than was typed")
            same = math.isclose(change.attempts.level, self.wrong.level, abs_tol=1e-9)
            promise(same, "another level than was typed")

    def kept(self, append: Append) -> None:
        """Take what was committed indeed."""
        if isinstance(append.change, SetAttempts):
            self.committed = deepcopy(self.wrong)

    def lost(self, append: Append) -> None:
        """Take what could not be committed."""
        match append.event:
            case VisitorAdmitted(visitor=visit):
                self.spent.discard(visit)
            case Erased(subject=subject):
                self.due[subject] = Erased
            case _:
                pass
