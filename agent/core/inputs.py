"""What happens to the core: the inputs that the controller takes, one after the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from agent.core.credentials import NO_ATTEMPTS, Attempts, Visitor
from agent.core.events import Part
from agent.core.orders import ControllerId, Delivered, TrustedController
from agent.core.pad import Examined
from agent.core.types import EnrolmentCode, Gallery, Probe, QualityIssue, Subject, SubjectId


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """What one frame showed.

    captured_at: monotonic seconds. faces: how many faces were in the frame. nearest: the probe of
    the largest face, or why there is none; None where there is no face. luma: mean of the frame, 0
    to 255. moved: whether something in it did since the frame before. yaw: of the largest face, as
    in Quality, also where it gives no probe; above 0 it looks to its own left. None where unknown.
    """

    captured_at: float
    faces: int
    nearest: Probe | QualityIssue | None
    luma: float = 128.0
    moved: bool = False
    yaw: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StoreLoaded:
    """The store's content as of now: at start and after each change.

    attempts_of_this_boot: whether the times in `attempts` count from the boot that it is now.
    """

    gallery: Gallery
    subjects: Mapping[SubjectId, Subject]
    codes: tuple[EnrolmentCode, ...]
    controllers: Mapping[ControllerId, TrustedController] = field(default_factory=dict)
    visitors: tuple[Visitor, ...] = ()
    attempts: Attempts = NO_ATTEMPTS
    attempts_of_this_boot: bool = True


@dataclass(frozen=True, slots=True)
class EnrolButtonHeld:
    """Somebody held the enrol button. subject: the id an enrolment would give."""

    subject: SubjectId


@dataclass(frozen=True, slots=True)
class EnrolCommanded:
    """Somebody typed a one-time code. code: as typed, to be compared in constant time."""

    subject: SubjectId
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EnrolButtonPressed:
    """Somebody pushed the enrol button for less time than counts as holding it."""


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """Somebody pressed a key of the keypad. Which one is nobody's business."""


@dataclass(frozen=True, slots=True)
class CodeEntered:
    """Somebody typed a PIN or a visitor's code. digest: of it, 32 bytes. at: monotonic seconds."""

    digest: bytes = field(repr=False)
    at: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class CardPresented:
    """Somebody held a card to the reader. digest: of its number, 32 bytes. at: as above."""

    digest: bytes = field(repr=False)
    at: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class Flooded:
    """So many commands came faster than they could be looked at, and were thrown away."""

    count: int


@dataclass(frozen=True, slots=True)
class Rung:
    """Somebody pressed the doorbell."""


@dataclass(frozen=True, slots=True)
class ExitPressed:
    """Somebody inside wants to leave."""


@dataclass(frozen=True, slots=True)
class ContactChanged:
    """The door itself was opened or closed, or is found to be so at the start."""

    is_open: bool


@dataclass(frozen=True, slots=True)
class TamperChanged:
    """The case was opened (active) or closed."""

    active: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Faulted:
    """A part stopped doing its work. reason: one line for the operator."""

    part: Part
    reason: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """A part does its work again."""

    part: Part


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A collector has every event up to this sequence number."""

    seq: int


Input: TypeAlias = (
    Observed
    | Examined
    | StoreLoaded
    | EnrolButtonHeld
    | EnrolCommanded
    | EnrolButtonPressed
    | KeyPressed
    | CodeEntered
    | CardPresented
    | Delivered
    | Flooded
    | Rung
    | ExitPressed
    | ContactChanged
    | TamperChanged
    | Tick
    | Faulted
    | Recovered
    | Acknowledged
)
