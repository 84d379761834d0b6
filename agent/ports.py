"""The edges of the agent as Protocols: what the runtime relies on and adapters provide."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol, TypeAlias

from agent.core.effects import Answer, Change, Indication
from agent.core.events import Event
from agent.core.inputs import Input, Observed, StoreLoaded
from agent.core.orders import ControllerId, TrustedController
from agent.core.pad import Examined, Series
from agent.core.rules import Condition
from agent.core.types import Frame, Grant, LockState, Now, Subject, SubjectId, Suspension
from agent.errors import DeviceError

Post: TypeAlias = Callable[[Input], None]
"""Puts an input into the deciding thread's inbox. Safe from any thread; never blocks or raises."""

Switch: TypeAlias = Callable[[bool], None]
"""Switches the light at the door, at once. Raises DeviceError."""

Digest: TypeAlias = Callable[[str], bytes]
"""Makes 32 bytes of a code or a card's number, so slowly that trying them all takes years."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as committed. seq: gapless, from 1. boot_id: of the boot it happened in.

    head: the log up to this event as a signed note (docs/vault.md).
    """

    seq: int
    boot_id: str
    now: Now
    event: Event
    head: str = field(default="", compare=False, repr=False)


class ProtectionLevel(IntEnum):
    """What the device key is safe from."""

    HOST_KEY = 0
    """The key lies on the card of the database: a copied database is useless, a stolen card not."""
    TPM = 1
    """A TPM holds it: a stolen card is useless, the whole device is not."""
    SIGNED_BOOT = 2
    """A TPM gives it to a signed boot only."""


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """The secret that everything in the store hangs from. secret: 32 bytes. origin: in words."""

    secret: bytes = field(repr=False)
    level: ProtectionLevel
    origin: str


class KeySource(Protocol):
    """Where the device key comes from."""

    def read(self) -> DeviceKey:
        """Give the key. Raises StoreError, and changes nothing, where it cannot be had."""
        ...


@dataclass(frozen=True, slots=True)
class SubjectRow:
    """What an administrator sees of a subject. Times are seconds since the Unix epoch.

    seen_on: the day on which the subject was last admitted, or enrolled; None where the clock was
    not set then. references: how many templates there are; none of who has no face here.
    authorised_by, notice: of the consent; empty without one. pin, duress_pin: whether there is one.
    cards: how many. self_consistency: cosine of the reference that is least like the mean of the
    others, when they were taken; None where there were none, or it was not recorded yet.
    """

    id: str
    label: str
    household: str | None
    administrator: bool
    revoked: bool
    minor: bool
    not_before: float | None
    not_after: float | None
    schedule: str
    references: int
    enrolled_at: float
    seen_on: float | None
    authorised_by: str
    notice: str
    consent_expires: float | None
    suspended: Suspension | None
    accessible: bool
    pin: bool
    duress_pin: bool
    cards: int
    self_consistency: float | None


@dataclass(frozen=True, slots=True)
class References:
    """What is known of a subject's references, without them.

    count: those of the model asked for. of_others: those of other models, which are not compared.
    self_consistency: as in SubjectRow; where it was not recorded it is computed from those of this
    model, if there are two at least.
    """

    subject: SubjectId
    count: int
    of_others: int
    self_consistency: float | None


@dataclass(frozen=True, slots=True)
class VisitorRow:
    """What an administrator sees of a visitor. Times are seconds since the Unix epoch."""

    id: str
    label: str
    not_before: float
    not_after: float


@dataclass(frozen=True, slots=True)
class Resident:
    """What is kept of a subject, but for the references.

    receipt: of the consent, a signed note (docs/vault.md). enrolled_at, seen_on, self_consistency:
    as in SubjectRow.
    """

    subject: Subject
    label: str
    receipt: str | None
    enrolled_at: float
    seen_on: float | None
    self_consistency: float | None


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

    def series(
        self,
        lit: Sequence[bool],  # noqa: ARG002 - for those who can
        switch: Switch,  # noqa: ARG002
        until: float,  # noqa: ARG002
    ) -> Series | None:
        """Take frames under one exposure, the light switched for each as `lit` says.

        Called from the thread that takes `frames`, between two of them. until: monotonic seconds;
        None where there were not enough frames by then. The light is left as it was for the last.
        Raises DeviceError where the camera cannot do this at all, as none can that does not say so.
        """
        message = f'camera: {type(self).__name__} locks no exposure: set [pad] level = "basic"'
        raise DeviceError(message)


class Pad(Protocol):
    """Tells from a series whether a face is there in the flesh."""

    def __call__(self, series: Series) -> Examined:
        """Examine the nearest face. Raises DoorwardError where that cannot be done."""
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
    """Buttons and contacts, a keypad, or a card reader."""

    def start(self, post: Post) -> None:
        """Begin to post inputs. Raises DeviceError."""
        ...

    def close(self) -> None:
        """Stop posting; may be called again."""
        ...


class Indicator(Protocol):
    """LED, buzzer and light."""

    def show(self, indication: Indication) -> None:
        """Show it until the next one; neither blocks nor raises."""
        ...

    def light(self, *, on: bool) -> None:
        """Switch the light on or off, where there is one; neither blocks nor raises."""
        ...

    def flash(self, *, on: bool | None) -> None:
        """Switch the light before this returns, whatever `light` says; None: as `light` says.

        From any thread. Raises DeviceError where there is none, and where it does not obey.
        """
        ...

    def close(self) -> None:
        """Go dark and silent; may be called again."""
        ...


class Store(Protocol):
    """The one database. Every method raises StoreError with the file and the mend."""

    @property
    def verifier(self) -> str:
        """The key to check with what this device signs: heads, receipts, certificates."""
        ...

    def verify(self, heads: Iterable[str] = ()) -> Recorded | None:
        """Check the whole log, and that these signed heads were once its own; give its last event.

        Raises StoreError that names the first event that is not as it was committed.
        """
        ...

    def load(self, model: str) -> StoreLoaded:
        """Give the gallery of references made by this model, and all else that deciding needs.

        A reference of another model, or of somebody without consent receipt, is left out of the
        gallery. Raises StoreError where anything was altered, taken out, put in or put back.
        """
        ...

    def changed(self) -> bool:
        """Say whether anything was committed, by this process or another, since `load`."""
        ...

    def append(self, event: Event, now: Now, change: Change | None = None) -> Recorded:
        """Commit an event and its change in one transaction; then they survive a power cut.

        The decision may be older than what another process has done since, so some are refused as
        of the commit: a Granted or Admitted for somebody who is not enrolled or is revoked, a
        Granted without a consent that counts, a VisitorAdmitted whose code is gone. So is a PIN, a
        card or a code that another has. An Erase is followed by an ErasureCertified of the store's
        own, once nothing is left.
        """
        ...

    def prune(self, before: float, now: Now) -> Recorded | None:
        """Take out the oldest events, those of before this wall time; None where there are none.

        What is left still verifies. Takes them in batches: call again until there are none.
        """
        ...

    def unused_since(self, before: float) -> Sequence[SubjectId]:
        """Give who was neither enrolled nor admitted since this wall time, as far as is known."""
        ...

    def subjects(self) -> Sequence[SubjectRow]:
        """Give everybody enrolled, revoked or not."""
        ...

    def references(self, model: str) -> Sequence[References]:
        """Give what is known of the references of everybody who has any."""
        ...

    def controllers(self) -> Mapping[ControllerId, TrustedController]:
        """Give the controllers whose commands are trusted."""
        ...

    def visitors(self) -> Sequence[VisitorRow]:
        """Give the visitors whose codes were not used."""
        ...

    def resident(self, subject: SubjectId) -> Resident:
        """Give what is kept of one subject. Raises StoreError where there is no such subject."""
        ...

    def certificate(self, subject: SubjectId) -> str | None:
        """Give the certificate of a subject's erasure, a signed note; None without one."""
        ...

    def events(self, *, after: int = 0, limit: int = 100) -> Sequence[Recorded]:
        """Give up to `limit` events with seq > after, oldest first."""
        ...

    def last_events(self, limit: int) -> Sequence[Recorded]:
        """Give the newest events, oldest of them first."""
        ...

    def log_begins(self) -> int:
        """Give the number of the oldest event that is left, or that of the next where none is."""
        ...

    def cursor(self) -> int:
        """Give the sequence number up to which a collector has acknowledged."""
        ...

    def move_cursor(self, seq: int) -> None:
        """Advance the cursor; never back, never past the last event.

        It may be forgotten in a power cut, and then events are sent once more.
        """
        ...

    def keep_cursor(self) -> None:
        """Have the cursor survive a power cut, if it moved."""
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

    @property
    def alive(self) -> bool:
        """Whether `tend` can keep it going; a broker that is away is no reason to say no."""
        ...

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

    def announce_contact(self, *, is_open: bool) -> None:
        """Report whether the door itself stands open; repeated likewise."""
        ...

    def describe(self, condition: Condition, log_begins: int) -> None:
        """Report what the door is like, and with which event its log begins; repeated likewise."""
        ...

    def challenge(self, challenge: str) -> None:
        """Give out what signed commands must carry; repeated likewise."""
        ...

    def answer(self, answer: Answer, reply: bytes) -> None:
        """Answer a command. reply: as it goes over the wire."""
        ...

    def tend(self) -> None:
        """Start anew what should run and does not, or hangs. Called about once a second."""
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
