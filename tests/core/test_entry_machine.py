"""Codes, cards, visitors and the button, driven at random beside an account of what was promised.

As in `test_machine`, the rules are little scenes, and the test asks whether each kind of outcome
was reached. What is new here are restarts: of the agent, and of the computer with its clock.
"""

from dataclasses import replace
from functools import cache

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)

from agent.core.access import Access, Hours, Mode
from agent.core.controller import Controller
from agent.core.credentials import NO_CREDENTIALS, VisitorId
from agent.core.effects import Append, Change
from agent.core.events import Part
from agent.core.inputs import (
    CardPresented,
    CodeEntered,
    EnrolButtonHeld,
    EnrolButtonPressed,
    Faulted,
    Input,
    Observed,
    Recovered,
    Tick,
)
from agent.core.rules import Rules
from agent.core.throttle import Codes
from agent.core.types import Now, Probe, Span, Subject, SubjectId, Suspension, Validity
from tests.core.entries import Memory, digest, holding, visitor
from tests.core.entry_promises import NOTHING, Account, Holder, Outcome
from tests.core.people import CALIBRATION, NOTICE, OUTSIDE, Person, resident, somebody
from tests.core.reached import rarely_reached

ADA, BEN, CLEO, STRANGER = (somebody(name) for name in ("ada", "ben", "cleo", "stranger"))
HOLDERS = [
    Holder(person, f"pin {person}", f"duress {person}", f"card {person}")
    for person in (ADA, BEN, CLEO)
]
"""Cleo gave no face, and needs more time."""
CODES = Codes(
    attempts=3,
    seconds=30.0,
    longest_seconds=100.0,
    overall=8,
    drain_seconds=60.0,
    second_factor_seconds=30.0,
)
NIGHT = (Span(0, 360),)
ACCESSES = [
    *(Access(mode) for mode in Mode),
    Access(Mode.FACE_AND_PIN),
    Access(Mode.ANY, (Hours(NIGHT, Mode.FACE_AND_PIN),)),
    Access(Mode.FACE_AND_PIN, (Hours(NIGHT, Mode.ANY),)),
    Access(Mode.FACE, (Hours(NIGHT, Mode.CARD),)),
    Access(Mode.PIN, (Hours(NIGHT, Mode.CARD),)),
]
OFFICE_HOURS = (Span(480, 1080),)
MINUTES = [0, 359, 360, 479, 480, 600, 1079, 1080]
CALM = 700.0
"""Seconds after which nothing is shut any more."""
APART = 16.0
"""Seconds after which neither a cooldown nor earlier faces stand in the way of one."""

holders = st.sampled_from(HOLDERS)
factors = st.sampled_from(["face", "pin", "duress", "card"])
PAIRS = [
    ("pin", "face"),
    ("face", "pin"),
    ("duress", "face"),
    ("face", "duress"),
    ("pin", "card"),
    ("card", "duress"),
    ("face", "card"),
    ("duress", "card"),
]
shown_twice = st.tuples(factors, factors)


@cache
def frame(person: Person, number: int) -> Probe:
    return person.probe(number)


class EntryMachine(RuleBasedStateMachine):
    """Acts as agent, store and people; the account judges."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.wall = 1000.0, 1_000_000.0
        self.week_minute, self.trusted = 600, True
        self.frames = self.guesses = 0
        self.disk_full = False
        self.store = Memory()
        self.account = Account(Rules(notice=NOTICE), HOLDERS)
        self.controller = Controller(self.account.rules, CALIBRATION, OUTSIDE)

    @initialize(access=st.sampled_from(ACCESSES))
    def begin(self, access: Access) -> None:
        rules = Rules(access=access, codes=CODES, notice=NOTICE)
        self.account = Account(rules, HOLDERS)
        self.store = Memory((ADA, BEN), {each.person.id: self.enrolled(each) for each in HOLDERS})
        for holder in HOLDERS:
            for typed in (holder.pin, holder.duress, holder.card):
                self.keep_secret(typed)
        self.start()

    def enrolled(self, holder: Holder) -> Subject:
        slow: dict[str, object] = (
            {"consent": None, "accessible": True} if holder.person is CLEO else {}
        )
        held = holding(holder.pin, holder.card, duress=holder.duress)
        return resident(holder.person.id, credentials=held, **slow)

    def keep_secret(self, typed: str) -> None:
        self.account.secrets |= {typed, digest(typed).hex(), repr(digest(typed))}

    # --- what the agent does ----------------------------------------------------------------------

    @property
    def now(self) -> Now:
        return Now(self.clock, self.wall, self.week_minute, self.trusted)

    def start(self) -> None:
        # Also where the computer booted before the last start: nothing was kept since.
        booted = self.store.kept_in != self.store.boot
        self.controller = Controller(self.account.rules, CALIBRATION, OUTSIDE)
        self.account.begin(self.clock, booted=booted)
        self.load()

    def load(self) -> None:
        self.account.load(self.store.subjects, self.store.visitors)
        self.give(self.store.load())

    def give(self, happened: Input, expected: Outcome = NOTHING) -> None:
        """Hand an input over, check what comes of it, and do it as the agent does."""
        now = self.now
        effects = self.controller.handle(happened, now)
        self.account.after(expected, now, effects)
        changed = False
        for effect in effects:
            if isinstance(effect, Append):
                if self.disk_full:
                    # What follows is left undone, the opening first of all.
                    self.fail(Part.STORE, effect)
                    return
                self.commit(effect)
                changed = changed or effect.change is not None
        if changed:
            self.load()

    def commit(self, append: Append) -> None:
        change: Change | None = append.change
        self.store.append(append.event, self.now, change)
        self.account.kept(append)

    def fail(self, part: Part, lost: Append | None = None) -> None:
        if part in self.account.faults:
            return
        if lost is not None:
            self.account.lost(lost)
        self.account.failed(part)
        self.give(Faulted(part, "broken"))

    def passes(self, seconds: float) -> None:
        self.clock += seconds
        self.wall += seconds
        self.account.passes(self.now)

    def wait(self, seconds: float) -> None:
        self.passes(seconds)
        self.give(Tick())

    # --- people -----------------------------------------------------------------------------------

    def types(self, text: str, after: float = 1.0, *, ticks: bool = True, age: float = 0.0) -> None:
        if ticks:
            self.wait(after)
        else:
            self.passes(after)
        typed = CodeEntered(digest(text), self.clock - age)
        self.give(typed, self.account.typed(text, self.now, age))

    def holds_card(self, number: str, after: float = 1.0, age: float = 0.0) -> None:
        self.wait(after)
        held = CardPresented(digest(number), self.clock - age)
        self.give(held, self.account.held_to_reader(number, self.now, age))

    def looks(self, person: Person) -> None:
        """Until the door must have decided, and with nothing in the way of it."""
        self.wait(APART)
        self.looks_at_once(person)

    def shows(self, holder: Holder, factor: str, after: float = 1.0) -> None:
        match factor:
            case "face":
                self.looks(holder.person)
            case "pin":
                self.types(holder.pin, after)
            case "duress":
                self.types(holder.duress, after)
            case _:
                self.holds_card(holder.card, after)

    def guesses_wrong(self, card: bool, after: float = 1.0) -> None:
        self.guesses += 1
        text = f"wrong {self.guesses}"
        self.holds_card(text, after) if card else self.types(text, after)

    @rule(holder=holders, factor=factors)
    def comes_home(self, holder: Holder, factor: str) -> None:
        self.wait(CALM)
        self.shows(holder, factor)

    @rule(holder=holders, factor=factors, pause=st.sampled_from([0.1, 6.0, 20.0]))
    def comes(self, holder: Holder, factor: str, pause: float) -> None:
        self.shows(holder, factor, pause)

    @rule(
        holder=holders,
        pairs=st.permutations(PAIRS),
        pause=st.sampled_from([1.0, 1.0, 29.9, 30.0, 59.9, 60.0]),
        trusted=st.sampled_from([True, True, False]),
    )
    def shows_two_factors(
        self, holder: Holder, pairs: list[tuple[str, str]], pause: float, trusted: bool
    ) -> None:
        self.lives_there(holder)
        self.trusted = trusted
        for first, second in pairs[:4]:
            self.shows(holder, first)
            self.shows(holder, second, pause)
            self.shows(holder, second)
            self.wait(61.0)
        self.trusted = True

    @rule(holder=holders, other=holders, two=shown_twice)
    def two_people_show_a_factor_each(
        self, holder: Holder, other: Holder, two: tuple[str, str]
    ) -> None:
        self.wait(CALM)
        self.shows(holder, two[0])
        self.shows(other, two[1])
        self.shows(holder, two[1])

    @rule(holder=holders)
    def shows_a_card_as_a_pin(self, holder: Holder) -> None:
        """And the PIN to the card reader, and a face that nobody has."""
        self.looks(STRANGER)
        self.types(holder.card)
        self.holds_card(holder.duress)

    @rule(
        holder=holders,
        age=st.sampled_from([2.9, 3.1, 60.0, -0.1, float("nan")]),
        wrong=st.booleans(),
    )
    def what_was_entered_comes_late(self, holder: Holder, age: float, wrong: bool) -> None:
        self.lives_there(holder)
        if wrong:
            for _ in range(3):
                self.guesses += 1
                self.types(f"wrong {self.guesses}", age=age)
        self.types(holder.duress, 6.0, age=age)
        self.types(holder.pin, 6.0, age=age)
        self.holds_card(holder.card, 6.0, age=age)

    @rule(seconds=st.sampled_from([0.5, 6.0, 31.0, 61.0, 101.0, 700.0]))
    def nobody_comes(self, seconds: float) -> None:
        self.wait(seconds)

    # --- guessing ---------------------------------------------------------------------------------

    @rule(times=st.integers(1, 12), card=st.booleans(), holder=holders)
    def guesses_in_vain(self, times: int, card: bool, holder: Holder) -> None:
        """And the one who knows comes in between."""
        for _ in range(times):
            self.guesses_wrong(card)
        self.shows(holder, "pin")
        self.shows(holder, "card")

    @rule(times=st.integers(3, 6), after=st.sampled_from([29.9, 30.0, 60.0, 100.0]))
    def guesses_as_soon_as_may_be(self, times: int, after: float) -> None:
        for _ in range(times):
            self.guesses_wrong(card=False, after=after)

    @rule(holder=holders, cards=st.lists(st.booleans(), min_size=8, max_size=12))
    def guesses_between_right_ones(self, holder: Holder, cards: list[bool]) -> None:
        for card in cards:
            self.guesses_wrong(card, after=0.5)
            self.shows(holder, "card" if card else "pin", after=0.5)
        self.wait(60.0)
        self.shows(holder, "pin")

    @rule(booted=st.booleans(), holder=holders, pause=st.sampled_from([1.0, 29.0, 31.0, 99.0]))
    def starts_it_again_to_go_on_guessing(self, booted: bool, holder: Holder, pause: float) -> None:
        for _ in range(4):
            self.guesses_wrong(card=False, after=31.0)
        self.starts_again(booted=booted, trusted=True)
        self.shows(holder, "pin", pause)
        self.guesses_wrong(card=False)
        self.shows(holder, "pin")

    @rule(booted=st.booleans(), trusted=st.booleans())
    def starts_again(self, booted: bool, trusted: bool) -> None:
        self.disk_full = False
        if booted:
            self.clock, self.trusted = 20.0, trusted
            self.store.boot += 1
        self.start()
        self.account.reached["booted" if booted else "started again"] += 1

    # --- visitors ---------------------------------------------------------------------------------

    @rule(
        windows=st.permutations([(-10.0, 300.0), (100.0, 300.0), (-10.0, 20.0), (-10.0, 1.5)]),
        pauses=st.lists(st.sampled_from([1.0, 20.0, 120.0]), min_size=2, max_size=3),
        trusted=st.booleans(),
    )
    def visitors_come(
        self, windows: list[tuple[float, float]], pauses: list[float], trusted: bool
    ) -> None:
        self.everything_is_mended()
        for window in windows[:3]:
            self.wait(CALM)
            self.trusted = trusted
            code = self.invites(window)
            for pause in pauses:
                # What is over is looked at with the code itself.
                self.types(code, pause, ticks=False)
            self.trusted = True

    @rule(holder=holders, pause=st.sampled_from([1.0, 4.0, 5.0, 15.0]))
    def a_visitor_comes_while_the_door_is_open(self, holder: Holder, pause: float) -> None:
        self.lives_there(holder)
        code = self.invites((-10.0, 300.0))
        self.shows(holder, "card")
        for after in (0.5, pause, 16.0, 16.0):
            self.types(code, after)

    def invites(self, window: tuple[float, float]) -> str:
        name = f"guest {len(self.account.visits)}"
        code = f"code of {name}"
        self.keep_secret(code)
        first, last = (self.wall + each for each in window)
        invited = visitor(name, code, first, last)
        self.store.visitors = {**self.store.visitors, VisitorId(name): invited}
        self.account.visits[code] = VisitorId(name)
        self.load()
        return code

    @precondition(lambda self: self.account.visits)
    @rule(which=st.integers(0, 3))
    def a_visitor_comes_again(self, which: int) -> None:
        self.wait(101.0)
        self.types(list(self.account.visits)[-1 - which % len(self.account.visits)])

    # --- the button -------------------------------------------------------------------------------

    def holds_button(self, after: float = 1.0) -> None:
        self.wait(after)
        self.account.button_held(self.now)
        self.give(EnrolButtonHeld(SubjectId("newcomer")))

    def pushes_button(self, after: float = 1.0) -> None:
        self.wait(after)
        self.account.button_pushed(self.now)
        self.give(EnrolButtonPressed())

    @rule(after=st.sampled_from([1.0, 14.9, 20.0]), hold=st.booleans())
    def touches_the_button(self, after: float, hold: bool) -> None:
        self.holds_button(after) if hold else self.pushes_button(after)

    @rule(
        holder=holders,
        factor=st.sampled_from(["face", "pin", "duress", "card"]),
        pause=st.sampled_from([1.0, 1.0, 14.9, 15.0]),
        does=st.lists(
            st.sampled_from(["hold", "hold", "again", "push", "late", "other", "face"]), max_size=5
        ),
    )
    def serves_themselves(self, holder: Holder, factor: str, pause: float, does: list[str]) -> None:
        self.lives_there(holder)
        self.holds_button()
        if factor == "face":
            # Whoever stood there before is not looked at again for a while.
            self.looks_at_once(holder.person)
        else:
            self.shows(holder, factor, pause)
        for what in does:
            match what:
                case "hold":
                    self.holds_button()
                case "push":
                    self.pushes_button()
                case "late":
                    self.wait(20.0)
                case "again" if factor != "face":
                    self.shows(holder, factor)
                case "again":
                    self.looks_soon(holder.person)
                case "face":
                    self.looks_soon(HOLDERS[HOLDERS.index(holder) - 1].person)
                case _:
                    self.shows(HOLDERS[HOLDERS.index(holder) - 1], "pin")
        self.wait(41.0)

    def lives_there(self, holder: Holder) -> None:
        """As at the beginning, and nothing is at fault."""
        self.wait(CALM)
        self.everything_is_mended()
        again = {holder.person.id: self.enrolled(holder)}
        self.store.subjects = {**self.store.subjects, **again}
        self.load()

    def looks_at_once(self, person: Person) -> None:
        for number in range(3):
            self.passes(0.1)
            self.frames += 1
            seen = Observed(self.clock - 0.05, 1, frame(person, self.frames % 40))
            known = number == 2
            self.give(seen, self.account.recognised(person, self.now) if known else NOTHING)

    @rule(
        holder=st.sampled_from(HOLDERS[:2]),
        resumes=st.booleans(),
        ways=st.permutations([["pin"], ["card"], ["card", "pin"], ["face", "pin"], ["face"]]),
        minute=st.sampled_from([0, 600]),
    )
    def pauses_the_face(
        self, holder: Holder, resumes: bool, ways: list[list[str]], minute: int
    ) -> None:
        self.lives_there(holder)
        self.week_minute = minute
        for way in ways[: 1 + resumes]:
            self.wait(101.0)
            self.holds_button()
            self.is_known_by(holder, way)
            self.pushes_button()
            self.looks(holder.person)

    def is_known_by(self, holder: Holder, factors: list[str]) -> None:
        """Until the door asks for nothing more."""
        for factor in factors:
            if factor == "face":
                self.looks_soon(holder.person)
            else:
                self.shows(holder, factor)
            if not self.account.asks:
                break

    def looks_soon(self, person: Person) -> None:
        self.wait(2.0)
        self.looks_at_once(person)

    @rule(holder=st.sampled_from(HOLDERS[:2]), first=factors, second=factors)
    def changes_the_pin_between_two_factors(self, holder: Holder, first: str, second: str) -> None:
        self.lives_there(holder)
        self.shows(holder, first)
        self.change(holder, credentials=holding(holder.pin, holder.card))
        self.shows(holder, second if second != "duress" else "pin")
        self.lives_there(holder)

    @rule(
        holder=holders,
        ways=st.permutations([*map(list, PAIRS), ["face"], ["pin"], ["card"]]),
        pause=st.sampled_from([1.0, 1.0, 60.0, 61.0]),
    )
    def an_administrator_would_enrol(
        self, holder: Holder, ways: list[list[str]], pause: float
    ) -> None:
        self.lives_there(holder)
        self.change(holder, administrator=True)
        for way in ways[:3]:
            for factor in way:
                self.shows(holder, factor)
            self.holds_button(pause)
            self.pushes_button()
            self.wait(61.0)
        self.lives_there(holder)

    @rule(holder=st.sampled_from(HOLDERS[:2]))
    def has_the_face_paused_that_waits_for_a_pin(self, holder: Holder) -> None:
        self.lives_there(holder)
        self.looks(holder.person)
        self.change(holder, suspended=Suspension.PAUSED)
        self.shows(holder, "pin")
        self.lives_there(holder)

    @rule(
        holder=st.sampled_from(HOLDERS[:2]),
        way=st.sampled_from([["pin"], ["card"], ["card", "pin"], ["card", "pin"]]),
        revoked=st.booleans(),
    )
    def somebody_else_looks_while_one_chooses(
        self, holder: Holder, way: list[str], revoked: bool
    ) -> None:
        other = HOLDERS[1 - HOLDERS.index(holder)]
        self.lives_there(other)
        self.lives_there(holder)
        self.change(holder, revoked=revoked)
        self.holds_button()
        self.is_known_by(holder, way)
        self.looks_soon(other.person)
        self.pushes_button()
        self.wait(41.0)
        self.lives_there(holder)

    @rule(holder=st.sampled_from(HOLDERS[:2]))
    def would_pause_the_only_way_in(self, holder: Holder) -> None:
        self.lives_there(holder)
        self.change(holder, credentials=NO_CREDENTIALS)
        self.holds_button()
        self.looks_at_once(holder.person)
        self.pushes_button()
        self.lives_there(holder)

    @rule(
        holder=holders,
        ways=st.permutations(
            [["card"], ["pin"], ["card", "pin"], ["face", "pin"], ["pin", "face"], ["face"]]
        ),
        holds=st.sampled_from([1, 2, 2, 2, 3]),
        hesitates=st.sampled_from([False, False, True]),
        other=st.booleans(),
        all_of_it=st.booleans(),
    )
    def wishes_to_leave(
        self,
        holder: Holder,
        ways: list[list[str]],
        holds: int,
        hesitates: bool,
        other: bool,
        all_of_it: bool,
    ) -> None:
        for way in ways[:3]:
            self.lives_there(holder)
            self.holds_button()
            self.is_known_by(holder, way)
            for number in range(holds):
                self.holds_button()
                if hesitates and number == 0:
                    self.pushes_button()
            confirms = HOLDERS[HOLDERS.index(holder) - 1] if other else holder
            self.is_known_by(confirms, way if all_of_it else way[-1:])
            self.wait(41.0)
            self.shows(holder, "pin")

    # --- the operator -----------------------------------------------------------------------------

    def change(self, holder: Holder, **changes: object) -> None:
        known = self.store.subjects.get(holder.person.id)
        if known is not None:
            changed = replace(known, **changes)  # type: ignore[arg-type]
            self.store.subjects = {**self.store.subjects, known.id: changed}
            self.load()

    @rule(holder=holders, factor=factors, two=st.booleans())
    def is_revoked(self, holder: Holder, factor: str, two: bool) -> None:
        if two:
            self.shows(holder, "pin")
        self.change(holder, revoked=True)
        self.shows(holder, factor)
        self.change(holder, revoked=False)

    @rule(holder=holders, factor=factors, trusted=st.booleans())
    def comes_at_other_hours(self, holder: Holder, factor: str, trusted: bool) -> None:
        self.trusted = trusted
        self.change(holder, validity=Validity(schedule=OFFICE_HOURS))
        for self.week_minute in MINUTES:
            self.wait(20.0)
            self.shows(holder, factor)
        self.change(holder, validity=Validity())
        self.trusted = True

    @rule(holder=holders, factor=factors, trusted=st.booleans())
    def comes_before_and_after_the_night(self, holder: Holder, factor: str, trusted: bool) -> None:
        self.lives_there(holder)
        for self.week_minute in (0, 359, 360, 600):
            self.trusted = trusted
            self.shows(holder, factor)
            self.wait(61.0)
        self.trusted = True

    @rule(holder=holders, factor=factors)
    def comes_until_the_time_is_over(self, holder: Holder, factor: str) -> None:
        self.change(holder, validity=Validity(not_after=self.wall + 20.0))
        for _ in range(2):
            self.shows(holder, factor)
            self.wait(18.0)
        self.change(holder, validity=Validity())

    @rule(holder=holders, factor=factors, lasting=st.sampled_from([False, False, True]))
    def is_erased(self, holder: Holder, factor: str, lasting: bool) -> None:
        kept = dict(self.store.subjects)
        if self.disk_full:
            return
        self.store.subjects = {s: each for s, each in kept.items() if s != holder.person.id}
        self.load()
        self.shows(holder, factor)
        if not lasting:
            self.lives_there(holder)

    @rule(holder=holders)
    def is_enrolled_again(self, holder: Holder) -> None:
        self.lives_there(holder)

    @rule(minute=st.sampled_from(MINUTES), trusted=st.sampled_from([True, True, False]))
    def the_clock_is_set(self, minute: int, trusted: bool) -> None:
        self.week_minute, self.trusted = minute, trusted

    # --- faults -----------------------------------------------------------------------------------

    @rule(part=st.sampled_from(Part), holder=holders, two=shown_twice)
    def a_part_fails(self, part: Part, holder: Holder, two: tuple[str, str]) -> None:
        self.shows(holder, two[0])
        self.fail(part)
        self.shows(holder, two[1])
        self.guesses_wrong(card=False)
        self.holds_button()
        self.everything_is_mended()
        self.shows(holder, two[1])

    @rule(holder=holders, part=st.sampled_from([Part.STORE, Part.RELEASE, Part.CAMERA]))
    def a_part_fails_while_somebody_chooses(self, holder: Holder, part: Part) -> None:
        self.lives_there(holder)
        self.holds_button()
        self.shows(holder, "pin")
        self.fail(part)
        self.everything_is_mended()
        self.pushes_button()

    @rule(
        holder=holders,
        part=st.sampled_from([Part.STORE, Part.RELEASE, Part.CAMERA]),
        pair=st.sampled_from([("card", "pin"), ("pin", "card"), ("duress", "card")]),
    )
    def a_part_fails_between_two_factors(
        self, holder: Holder, part: Part, pair: tuple[str, str]
    ) -> None:
        self.lives_there(holder)
        self.shows(holder, pair[0])
        self.fail(part)
        self.everything_is_mended()
        self.shows(holder, pair[1])

    @rule()
    def everything_is_mended(self) -> None:
        self.disk_full = False
        for part in sorted(self.account.faults):
            if part is Part.STORE:
                self.load()
            self.account.faults.discard(part)
            self.give(Recovered(part))

    @rule(holder=holders, factor=factors, mended=st.sampled_from([True, True, False]))
    def the_disk_fills_up(self, holder: Holder, factor: str, mended: bool) -> None:
        self.disk_full = True
        self.shows(holder, factor)
        self.guesses_wrong(card=True)
        self.account.reached["the disk was full"] += Part.STORE in self.account.faults
        if mended:
            self.everything_is_mended()


OFTEN = [
    "open: face",
    "open: pin",
    "open: card",
    "open: face+pin",
    "open: card+pin",
    "visit: visitor",
    "duress",
    "denied: wrong_code",
    "denied: revoked",
    "denied: expired",
    "denied: not_yet_valid",
    "denied: outside_schedule",
    "denied: clock_not_set",
    "denied: method_not_allowed",
    "known: face",
    "known: pin",
    "known: card",
    "a second factor is waited for",
    "a visitor at an open door",
    "a face that is not looked at",
    "an administrator enrols",
    "left to somebody else",
    "refused for coming too late",
    "refused for a fault",
    "refused while shut",
    "shut: one",
    "shut: all",
    "visit forgotten",
    "ConsentSuspended",
    "ConsentRenewed",
    "Erased",
    "booted",
    "started again",
    "the disk was full",
]
"""Outcomes without which the machine would prove little."""


def test_the_readers_keep_their_promises() -> None:
    assert not rarely_reached(EntryMachine, OFTEN, examples=200, steps=25)
