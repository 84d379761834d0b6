"""The edges of the agent as Protocols: what the runtime relies on and adapters provide."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from agent.core.events import Change, Event, Indication, Input, Observed, StoreLoaded
from agent.core.types import Frame, Grant, LockState, Now

Post: TypeAlias = Callable[[Input], None]
"""Puts an input into the deciding thread's inbox. Safe from any thread; never blocks or raises."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as committed. seq: gapless, from 1. boot_id: of the boot it happened in."""

    seq: int
    boot_id: str
    now: Now
    event: Event


@dataclass(frozen=True, slots=True)
class SubjectRow:
    """What an administrator sees of a subject. Times are seconds since the Unix epoch."""

    id: str
    label: str
    household: str | None
    administrator: bool
    revoked: bool
    not_before: float | None
    not_after: float | None
    schedule: str
    references: int
    enrolled_at: float
    authorised_by: str
    notice: str


class Clock(Protocol):
    """Reads the clocks."""

    boot_id: str

    def now(self) -> Now:
        """Read them all at once."""
        ...


class Camera(Protocol):
    """Gives frames, each taken after the one before was handed over, so that none is old."""

    def frames(self) -> Iterator[Frame]:
        """Yield frames until closed, or until a replay ends. Raises DeviceError."""
        ...

    def close(self) -> None:
        """Stop `frames`, from any thread; may be called again."""
        ...


class Vision(Protocol):
    """Turns frames into what they show."""

    def __call__(self, frame: Frame) -> Observed:
        """Look at a frame. Raises DoorwardError where it cannot be used."""
        ...


class Release(Protocol):
    """The strike or magnet. Locked when made, when closed and when its pulse is over."""

    def energise(self, grant: Grant, seconds: float) -> None:
        """Unlock; lock again after `seconds` (0 < seconds <= 30) whatever happens to the caller.

        A second call while unlocked does not lengthen the pulse. Raises DeviceError, ValueError.
        """
        ...

    def drop(self) -> None:
        """Lock now. Raises DeviceError."""
        ...

    def close(self) -> None:
        """Lock and let go of the hardware; may be called again."""
        ...


class Inputs(Protocol):
    """Buttons and contacts."""

    def start(self, post: Post) -> None:
        """Begin to post inputs. Raises DeviceError."""
        ...

    def close(self) -> None:
        """Stop posting; may be called again."""
        ...


class Indicator(Protocol):
    """LED and buzzer."""

    def show(self, indication: Indication) -> None:
        """Show it until the next one; neither blocks nor raises."""
        ...

    def close(self) -> None:
        """Go dark and silent; may be called again."""
        ...


class Store(Protocol):
    """The one database. Every method raises StoreError with the file and the mend."""

    def load(self, model: str) -> StoreLoaded:
        """Give the gallery of references made by this model, all subjects, and the live codes.

        A reference without consent record, of another model or that is not a unit vector is left
        out of the gallery.
        """
        ...

    def changed(self) -> bool:
        """Say whether anything was committed, by this process or another, since `load`."""
        ...

    def append(self, event: Event, now: Now, change: Change | None = None) -> Recorded:
        """Commit an event and its change in one transaction; then they survive a power cut.

        A Granted for somebody who is not enrolled, or revoked, as of the commit is refused: the
        decision may be older than what another process has done since.
        """
        ...

    def subjects(self) -> Sequence[SubjectRow]:
        """Give everybody enrolled, revoked or not."""
        ...

    def events(self, *, after: int = 0, limit: int = 100) -> Sequence[Recorded]:
        """Give up to `limit` events with seq > after, oldest first."""
        ...

    def last_events(self, limit: int) -> Sequence[Recorded]:
        """Give the newest events, oldest of them first."""
        ...

    def cursor(self) -> int:
        """Give the sequence number up to which a collector has acknowledged."""
        ...

    def move_cursor(self, seq: int) -> None:
        """Advance the cursor; never back, never past the last event."""
        ...

    def check(self) -> None:
        """Raise StoreError unless a write could be committed now."""
        ...

    def close(self) -> None:
        """Let go of the file; may be called again."""
        ...


class Reporter(Protocol):
    """Tells the world, over MQTT or otherwise.

    Nothing here blocks, or raises once started: a broker that is away must not keep the door shut.
    """

    def start(self, post: Post) -> None:
        """Connect in the background, now and after each loss.

        Posts Recovered(BROKER) on each connect, Faulted(BROKER) on each loss and where none could
        be reached in the first seconds, and what the broker delivers: commands, acknowledgements.
        Raises ConfigError where the certificates or the like cannot be used.
        """
        ...

    def publish(self, recorded: Recorded) -> None:
        """Report an event as it happens."""
        ...

    def republish(self, recorded: Recorded) -> None:
        """Report an event that no collector has acknowledged yet."""
        ...

    def announce(self, state: LockState) -> None:
        """Report the state of the lock; the last one is repeated on each connect."""
        ...

    def close(self) -> None:
        """Say offline and disconnect."""
        ...


class ServiceManager(Protocol):
    """Who started us and watches over us."""

    def ready(self) -> None:
        """Say that the door works."""
        ...

    def alive(self) -> None:
        """Put off the watchdog."""
        ...

    def stopping(self) -> None:
        """Say that the agent is about to end."""
        ...
