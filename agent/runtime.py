"""The agent at work: one inbox, one deciding thread that does what the controller says.

The camera has a thread of its own (watch.py), as have the broker's client and the buttons; all they
do is post inputs. Whatever fails here ends in a refusal: an effect that cannot be done is a fault
and locks the door; anything unforeseen ends the agent, and the service manager starts it again.
"""

import logging
import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.answers import Answers
from agent.core.controller import Controller
from agent.core.effects import (
    Announce,
    AnnounceContact,
    Answer,
    Append,
    Drop,
    Effect,
    Energise,
    Examine,
    Light,
    MoveCursor,
    SendBacklog,
    SendChallenge,
    Show,
)
from agent.core.events import Part, Started
from agent.core.inputs import Acknowledged, Faulted, Flooded, Input, KeyPressed, Recovered, Tick
from agent.core.orders import Delivered, Rejection
from agent.core.types import LockState, Now
from agent.errors import DeviceError, DoorwardError, StoreError
from agent.housekeeping import Housekeeping
from agent.ports import (
    Camera,
    Clock,
    Indicator,
    Inputs,
    Pad,
    Release,
    Reporter,
    ServiceManager,
    Store,
    Vision,
)
from agent.reporting import Reporting
from agent.watch import Watch, one_line

log = logging.getLogger(__name__)

LONGEST_WAIT = 1.0
"""Seconds between two ticks at the most."""
RETRY_EVERY = 2.0
"""Seconds between two tries to mend what is at fault."""
LATEST_RELEASE = 1.0
"""Seconds from a grant within which the door may be released: later, somebody else may be there."""
MOST_WAITING = 50
"""Inputs in the inbox beyond which commands are thrown away: no face shall wait for a flood."""


@dataclass(frozen=True, slots=True)
class Door:
    """The parts that stand at the door."""

    camera: Camera
    release: Release
    inputs: Sequence[Inputs]
    indicator: Indicator


class Runtime:
    """Runs the agent from `run` to `stop`, and leaves the door locked.

    model: as in Embedding, of what `vision` gives; references of another are not compared. pad:
    examines faces; None where the level never asks for that.
    """

    def __init__(  # noqa: PLR0913 - it is given every part, and makes none
        self,
        controller: Controller,
        vision: Vision,
        door: Door,
        store: Store,
        reporters: Sequence[Reporter],
        service: ServiceManager,
        clock: Clock,
        model: str,
        started: Started,
        housekeeping: Housekeeping,
        pad: Pad | None = None,
    ) -> None:
        self._controller = controller
        self._door = door
        self._store = store
        self._reporters = reporters
        self._service = service
        self._clock = clock
        self._model = model
        self._started = started
        self._housekeeping = housekeeping
        self._reporting = Reporting(store, reporters)
        self._answers = Answers(store)
        self._inbox: queue.SimpleQueue[Input] = queue.SimpleQueue()
        self._ending = False
        self._watch = Watch(door.camera, vision, pad, door.indicator, clock, self.post)
        self._menders = {Part.STORE: self._mend_store, Part.RELEASE: self._mend_release}
        self._broken: set[Part] = set()
        self._retry_at = float("inf")
        self._thrown_away = 0
        self._newest = Acknowledged(0)
        self._acknowledgement_waits = False

    def post(self, happened: Input) -> None:
        """Put an input into the inbox; from any thread.

        Of too many commands or keys some are lost; of acknowledgements that wait, the newest
        counts.
        """
        if isinstance(happened, Delivered | KeyPressed) and self._inbox.qsize() >= MOST_WAITING:
            self._thrown_away += isinstance(happened, Delivered)
            return
        if isinstance(happened, Acknowledged):
            self._newest = happened
            if self._acknowledgement_waits:
                return
            self._acknowledgement_waits = True
        self._inbox.put(happened)

    def stop(self) -> None:
        """Have `run` return soon; from any thread or a signal handler."""
        # No lock is taken: a signal may come while this very thread holds it.
        self._ending = True
        self.post(Tick())

    def run(self) -> None:
        """Decide until stopped, or until a replayed camera has no more frames and the door is shut.

        Raises DoorwardError where the agent cannot start, and whatever ended it unforeseen.
        """
        try:
            self._begin()
            self._watch.start()
            self._service.ready()
            while not self._done():
                self._take(self._next())
        finally:
            self._end()
        if self._watch.crash is not None:
            raise self._watch.crash

    def _begin(self) -> None:
        self._reporting.begin()
        self._handle(self._store.load(self._model))
        self._reporting.start(self.post)
        for inputs in self._door.inputs:
            inputs.start(self.post)
        self._record([Append(self._started)], self._clock.now())

    def _end(self) -> None:
        self._service.stopping()
        closing: list[Callable[[], None]] = [
            self._close_release,
            self._watch.close,
            *(inputs.close for inputs in self._door.inputs),
            self._door.indicator.close,
            *(reporter.close for reporter in self._reporters),
            self._store.close,
        ]
        for close in closing:
            try:
                close()
            except Exception as error:  # noqa: BLE001 - the rest must be closed all the same
                log.error("%s", error)

    def _close_release(self) -> None:
        self._door.release.close()
        if self._controller.lock_state is LockState.UNLOCKED:
            self._announce(LockState.LOCKED)

    def _done(self) -> bool:
        if self._ending:
            return True
        idle = self._inbox.empty() and self._controller.wake_at == float("inf")
        return self._watch.over and idle

    # --- the deciding thread ----------------------------------------------------------------------

    def _next(self) -> Input:
        now = self._clock.now().monotonic
        wait = min(self._controller.wake_at - now, self._retry_at - now, LONGEST_WAIT)
        try:
            happened = self._inbox.get(timeout=max(wait, 0.0))
        except queue.Empty:
            return Tick()
        if isinstance(happened, Acknowledged):
            # In this order: one that comes meanwhile is put into the inbox, or read here.
            self._acknowledgement_waits = False
            return self._newest
        return happened

    def _take(self, happened: Input) -> None:
        if self._watch.crash is not None:
            self._ending = True
            return
        self._mend()
        if Part.STORE not in self._broken:
            self._notice_changes()
        # What was due comes first, and by itself: if it fails, nothing may follow as if it had not.
        self._handle(Tick())
        self._handle(happened)
        if self._thrown_away:
            count, self._thrown_away = self._thrown_away, 0
            self._handle(Flooded(count))
        now = self._clock.now().monotonic
        self._reporting.look_after(lambda: self._controller.condition, now)
        if self._watch.alive and all(reporter.alive for reporter in self._reporters):
            self._service.alive()

    def _notice_changes(self) -> None:
        try:
            self._housekeeping.look(self._clock.now())
            if self._store.changed():
                self._reload()
        except StoreError as error:
            self._fault(Part.STORE, error)

    def _reload(self) -> None:
        self._handle(self._store.load(self._model))
        self._reporting.report()

    def _mend_store(self) -> None:
        # Who is enrolled may have changed while the store could not be read: look again, always.
        self._store.check()
        self._reload()

    def _mend_release(self) -> None:
        self._door.release.drop()
        self._reporting.announce(LockState.LOCKED)

    def _handle(self, happened: Input) -> None:
        now = self._clock.now()
        self._record(self._controller.handle(happened, now), now)

    def _record(self, effects: Sequence[Effect], now: Now) -> None:
        """Do the effects in order; what was committed is reported once the door has moved."""
        left = list(effects)
        try:
            while left:
                effect = left.pop(0)
                if isinstance(effect, Append):
                    self._store.append(effect.event, now, effect.change)
                else:
                    self._do(effect)
            if effects:
                self._reporting.report()
        except StoreError as error:
            # No audit, no opening: the effects that were to follow are left undone.
            self._fault(Part.STORE, error)
            self._apologise(left)
        except DeviceError as error:
            self._fault(Part.RELEASE, error)
            self._apologise(left)

    def _apologise(self, undone: Sequence[Effect]) -> None:
        for effect in undone:
            if isinstance(effect, Answer):
                refused = Answer(effect.request, Rejection.FAULT)
                self._reporting.answer(refused, self._answers.give(refused))

    def _do(self, effect: Effect) -> None:  # noqa: C901 - one arm an effect
        match effect:
            case Energise():
                self._energise(effect)
            case Drop():
                self._drop()
            case Show():
                self._door.indicator.show(effect.indication)
            case Light():
                self._door.indicator.light(on=effect.on)
            case Examine():
                self._watch.examine(effect)
            case Announce():
                self._reporting.report()
                self._announce(effect.state)
            case AnnounceContact():
                self._reporting.announce_contact(is_open=effect.is_open)
            case SendChallenge():
                self._reporting.challenge(effect.challenge)
            case Answer():
                self._reporting.answer(effect, self._answers.give(effect))
            case MoveCursor():
                self._reporting.acknowledged(effect.seq, self._clock.now().monotonic)
            case SendBacklog():
                self._reporting.send_backlog()
            case Append():
                message = "an Append is committed, not done"
                raise TypeError(message)

    def _energise(self, effect: Energise) -> None:
        late = self._clock.now().monotonic - effect.grant.at
        if not late <= LATEST_RELEASE:
            raise StoreError(
                f"store: took {late:.1f} s to commit, too long to open: check the disk for faults"
            )
        self._door.release.energise(effect.grant, effect.seconds)

    def _drop(self) -> None:
        try:
            self._door.release.drop()
        except DeviceError as error:
            # What follows a lock, such as the record of a fault, must not be lost with it.
            self._fault(Part.RELEASE, error)

    def _announce(self, state: LockState) -> None:
        if Part.RELEASE in self._broken:
            return  # Nobody knows; said once it obeys again.
        self._reporting.announce(state)

    def _fault(self, part: Part, error: DoorwardError) -> None:
        if part in self._broken:
            return
        log.error("%s", error)
        self._broken.add(part)
        self._retry_at = self._clock.now().monotonic + RETRY_EVERY
        self._handle(Faulted(part, one_line(error)))

    def _mend(self) -> None:
        if self._clock.now().monotonic < self._retry_at:
            return
        for part in list(self._broken):
            try:
                self._menders[part]()
            except DoorwardError:
                continue
            self._broken.remove(part)
            self._handle(Recovered(part))
        self._retry_at = self._clock.now().monotonic + RETRY_EVERY if self._broken else float("inf")
