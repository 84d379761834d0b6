"""The one place where inputs become decisions: inputs in, effects out, and no I/O at all.

What opens the door carries a Grant, made in `reception` for a face, in `entry` for a code or a
card, in `remote` for a command, and here for the exit button. Whatever is stale, faulty, unsure or
unknown gives no Energise.
"""

from agent.core.access import BY_FACE, pad_level
from agent.core.admission import Admission
from agent.core.consent import Roll
from agent.core.display import Display
from agent.core.door import Door
from agent.core.effects import (
    AnnounceContact,
    Append,
    Drop,
    Effect,
    Energise,
    Indication,
    MoveCursor,
    SendBacklog,
    Show,
)
from agent.core.enroller import Enroller
from agent.core.entry import Entry
from agent.core.events import (
    FOR_CODES,
    FOR_FACES,
    DoorbellRang,
    EnrolmentFailure,
    ExitRequested,
    FaultCleared,
    FaultRaised,
    Part,
    Tampered,
)
from agent.core.examination import Examination
from agent.core.guard import Guard
from agent.core.inputs import (
    Acknowledged,
    CardPresented,
    CodeEntered,
    ContactChanged,
    EnrolButtonHeld,
    EnrolButtonPressed,
    EnrolCommanded,
    ExitPressed,
    Faulted,
    Flooded,
    Input,
    KeyPressed,
    Observed,
    Recovered,
    Rung,
    StoreLoaded,
    TamperChanged,
    Tick,
)
from agent.core.lamp import Lamp
from agent.core.matching import Calibration, Threshold
from agent.core.orders import Delivered, Rejection
from agent.core.pad import Examined
from agent.core.portal import Portal
from agent.core.reception import Reception
from agent.core.remote import Remote
from agent.core.rules import Condition, Outside, Rules
from agent.core.selfservice import SelfService
from agent.core.timekeeping import Timekeeping
from agent.core.types import (
    Grant,
    LockState,
    Method,
    Now,
)

HELD_AT_MOST = 100
"""Effects that wait, at the most, for a store at fault to work again."""
FIRST_PAUSE = 4.0
LONGEST_PAUSE = 3600.0
"""Seconds until what is due is tried again, doubled with each fault of the store meanwhile."""


class Controller:
    """Decides. Give it every input in order, with the clocks' reading, and do what it returns."""

    def __init__(self, rules: Rules, calibration: Calibration, outside: Outside) -> None:
        self._rules = rules
        self._door = Door(rules.release_seconds, rules.accessible_seconds)
        self._enroller = Enroller(rules.enrolment, rules.notice)
        self._portal = Portal(rules.held_open_seconds)
        self._timekeeping = Timekeeping()
        self._faults: set[Part] = set()
        self._held: list[Effect] = []
        self._pause = 0.0
        self._settles_at = float("-inf")
        self._display = Display()
        self._roll = Roll(rules.notice, calibration.model)
        self._guard = Guard(rules.door, rules.remote_unlock, outside.read, outside.new_challenge)
        self._remote = Remote(
            self._guard, self._door, self._enroller, self._roll, outside.new_subject
        )
        self._tampered = False
        self._lamp = Lamp()
        self._admission = Admission(rules, self._door, self._roll, self._enroller)
        self._service = SelfService(self._roll, self._admission.may_pause)
        self._entry = Entry(rules.codes, self._roll, self._door, self._admission, self._service)
        self._reception = Reception(
            rules,
            calibration,
            self._roll,
            self._door,
            self._enroller,
            self._admission,
            self._service,
            Examination(outside.draw),
        )
        self._pad = rules.access.strictest

    @property
    def lock_state(self) -> LockState:
        """Whether the release holds the door."""
        return self._door.state

    @property
    def threshold(self) -> Threshold:
        """The threshold in force."""
        return self._reception.threshold

    @property
    def condition(self) -> Condition:
        """What the door is like, for those who watch it from afar."""
        threshold = self.threshold
        admitted = sum(not each.revoked for each in self._roll.standing.values())
        return Condition(
            residents=admitted,
            fpir=threshold.fpir,
            fpir_met=threshold.met,
            sureness=self._reception.sureness,
            last_decision_ms=self._reception.decided_in,
            tamper=self._tampered,
            faults=tuple(sorted(self._faults)),
            rejected=dict(self._guard.rejected),
            pad=self._pad,
        )

    @property
    def wake_at(self) -> float:
        """Monotonic seconds at which a Tick is due; infinity where none is."""
        parts = (self._door, self._enroller, self._portal, self._service, self._lamp)
        deadlines = (part.deadline for part in (*parts, self._reception))
        return min((at for at in deadlines if at is not None), default=float("inf"))

    def handle(self, happened: Input, now: Now) -> list[Effect]:
        """Take one input and give the effects, to be done in order."""
        self._pad = pad_level(self._rules.access, now)
        if self._roll.lapse(now):
            self._review(now)
        standing = self._roll.standing
        effects = [*self._elapsed(now), *self._respond(happened, now)]
        if self._roll.standing is not standing:
            self._review(now)
        for effect in effects:
            if isinstance(effect, Energise):
                self._portal.released(effect.grant.at + effect.seconds)
                self._reception.admitted(effect.grant.subject, now.monotonic)
            elif isinstance(effect, Drop):
                self._portal.locked(now.monotonic)
        # What follows an opening that fails is left undone: what must not be lost waits instead.
        if not any(isinstance(effect, Energise) for effect in effects):
            effects += self._settle(now)
        return [
            effect for effect in self._hold(effects) if self._display.is_news(effect, now.monotonic)
        ]

    def _elapsed(self, now: Now) -> list[Effect]:
        effects = [
            # First: what follows a record that fails is left undone, and the challenge is out.
            *self._guard.tick(now.monotonic),
            *self._timekeeping.look(now),
            *self._door.tick(now.monotonic),
            *self._enroller.tick(now.monotonic),
            *self._portal.tick(now.monotonic),
            *self._service.tick(now.monotonic),
            *self._lamp.tick(now.monotonic),
            *self._reception.tick(now),
        ]
        waiting = self._admission.deadline(now.monotonic)
        parts = (self._door, self._enroller, self._service, self._reception)
        ends = (*(part.deadline for part in parts), waiting)
        busy = any(end is not None for end in ends)
        if not busy:
            effects += self._display.rest(now.monotonic, faulty=self._blocked)
        return effects

    def _respond(  # noqa: C901, PLR0912 - one arm an input
        self, happened: Input, now: Now
    ) -> list[Effect]:
        match happened:
            case Observed():
                return self._observed(happened, now)
            case Examined():
                return self._reception.examined(happened, now)
            case StoreLoaded():
                return self._loaded(happened, now)
            case EnrolButtonHeld():
                self._reception.break_off(now.monotonic)
                return [*self._lamp.touched(now.monotonic), *self._button_held(happened, now)]
            case EnrolCommanded():
                return self._enroller.commanded(
                    happened.subject, happened.code, now, faulty=self._blocked
                )
            case EnrolButtonPressed():
                self._reception.break_off(now.monotonic)
                if self._service.deadline is not None:
                    return self._service.pushed(now)
                return self._enroller.abandon(EnrolmentFailure.CANCELLED)
            case KeyPressed():
                return [Show(Indication.KEY), *self._lamp.touched(now.monotonic)]
            case CodeEntered():
                return self._entry.code(happened, now, frozenset(self._faults))
            case CardPresented():
                return self._entry.card(happened, now, frozenset(self._faults))
            case Faulted():
                return self._faulted(happened, now)
            case Recovered():
                return self._recovered(happened.part)
            case Delivered():
                return self._remote.handle(happened, now, frozenset(self._faults))
            case Flooded():
                return self._guard.reject(Rejection.FLOODED, happened.count)
            case Rung():
                lit = self._lamp.touched(now.monotonic)
                return [Append(DoorbellRang()), Show(Indication.DOORBELL), *lit]
            case ExitPressed():
                return self._let_out(now)
            case ContactChanged():
                return self._contact_changed(happened, now)
            case TamperChanged():
                self._tampered = happened.active
                return [Append(Tampered(happened.active))]
            case Acknowledged():
                return [MoveCursor(happened.seq)]
            case Tick():  # pragma: no branch - there is no other input
                return []

    def _observed(self, seen: Observed, now: Now) -> list[Effect]:
        age = now.monotonic - seen.captured_at
        if not 0 <= age <= self._rules.recognition.max_age:
            return []
        lit = self._lamp.observed(seen, now.monotonic)
        if self._blocked or seen.nearest is None:
            return lit
        return [*lit, *self._reception.observe(seen, seen.nearest, now)]

    def _button_held(self, button: EnrolButtonHeld, now: Now) -> list[Effect]:
        if self._service.deadline is not None:
            return self._service.held(now)
        enrols = self._enroller.deadline is not None or self._enroller.expects(now)
        if enrols or self._faults & FOR_CODES:
            return self._enroller.button_held(
                button.subject, now, faulty=self._blocked, at_door=True
            )
        self._admission.forget_unclear()
        return self._service.begin(now.monotonic)

    def _contact_changed(self, contact: ContactChanged, now: Now) -> list[Effect]:
        opened_at = self._portal.opened_at
        changed = self._portal.changed(now.monotonic, is_open=contact.is_open)
        locked: list[Effect] = []
        if opened_at is not None and not contact.is_open:
            locked = self._door.leaf_closed(opened_at)
        if locked:
            self._admission.leaf_closed()
        return [*locked, *changed, AnnounceContact(contact.is_open)]

    def _let_out(self, now: Now) -> list[Effect]:
        if Part.RELEASE in self._faults:
            return []
        grant = Grant(None, Method.EXIT, None, now.monotonic)
        # Before it is recorded, and even if it cannot be: nobody is locked in by a full disk.
        return [*self._door.release(grant), Show(Indication.GRANTED), Append(ExitRequested())]

    def _loaded(self, loaded: StoreLoaded, now: Now) -> list[Effect]:
        self._roll.load(loaded, now)
        if not self._roll.due:
            self._pause = 0.0
        self._enroller.loaded(loaded.codes)
        self._guard.loaded(loaded.controllers)
        self._entry.loaded(loaded, now.monotonic)
        return []

    def _review(self, now: Now) -> None:
        """Go by the roll as it is now."""
        self._reception.review(now.monotonic)
        self._enroller.review(self._roll.standing)

    def _settle(self, now: Now) -> list[Effect]:
        """Have done what is due until a load of the store shows it done; not by one at fault."""
        if Part.STORE in self._faults or not now.monotonic >= self._settles_at:
            return []
        return [
            *self._roll.erase(),
            *self._enroller.lapse(now.monotonic),
            *self._roll.suspend(),
            *self._entry.lapse(now),
        ]

    @property
    def _blocked(self) -> bool:
        return bool(self._faults & FOR_FACES)

    def _faulted(self, fault: Faulted, now: Now) -> list[Effect]:
        if fault.part in self._faults:
            return []
        self._faults.add(fault.part)
        if fault.part is Part.STORE:
            # What fails each time it is tried must not keep everybody else out for ever.
            self._settles_at = now.monotonic + self._pause
            self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
        raised = Append(FaultRaised(fault.part, fault.reason))
        if fault.part not in FOR_FACES:
            return [raised]
        self._reception.faulted(now.monotonic)
        self._admission.forget()
        ended_service = self._service.end() if fault.part in FOR_CODES else []
        ended = self._enroller.faulted()
        failed = [effect for effect in ended if isinstance(effect, Append)]
        locked = [] if self._stays_released(fault.part) else self._door.lock()
        return [*locked, *ended_service, Show(Indication.FAULT), *failed, raised]

    def _stays_released(self, part: Part) -> bool:
        """Say whether a fault of a part leaves the door to whoever it was released for."""
        by = self._door.released_by
        if by is Method.EXIT:
            # Whoever is on the way out gets out, whatever is at fault but the release itself.
            return part is not Part.RELEASE
        # The camera had no say in it.
        return part not in FOR_CODES and by is not None and by not in BY_FACE

    def _recovered(self, part: Part) -> list[Effect]:
        backlog: list[Effect] = [SendBacklog()] if part is Part.BROKER else []
        if part not in self._faults:
            return backlog
        self._faults.remove(part)
        held: list[Effect] = []
        if part is Part.STORE:
            held, self._held = self._held, []
        return [*held, Append(FaultCleared(part)), *backlog]

    def _hold(self, effects: list[Effect]) -> list[Effect]:
        """Keep for later what a store at fault cannot do now: it must not be lost."""
        if Part.STORE not in self._faults:
            return effects
        held = [effect for effect in effects if isinstance(effect, Append | SendBacklog)]
        self._held = [*self._held, *held][-HELD_AT_MOST:]
        return [effect for effect in effects if effect not in held]
