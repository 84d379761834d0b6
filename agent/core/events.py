"""What happens to the core, what it records, and what it wants done.

Inputs go into the controller and effects come out. An event is what an effect appends to the log
and what the door reports; no event has a field for a picture, an embedding or a name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from agent.core.types import (
    AuthorityKind,
    Consent,
    Embedding,
    EnrolmentCode,
    Gallery,
    Grant,
    LockState,
    Method,
    Probe,
    QualityIssue,
    Reason,
    Subject,
    SubjectId,
    Suspension,
)


class Part(StrEnum):
    """What can be at fault."""

    CAMERA = "camera"
    STORE = "store"
    RELEASE = "release"
    BROKER = "broker"


# --- inputs ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """What one frame showed.

    captured_at: monotonic seconds. faces: how many faces were in the frame. nearest: the probe of
    the largest face, or why there is none; None where there is no face.
    """

    captured_at: float
    faces: int
    nearest: Probe | QualityIssue | None


@dataclass(frozen=True, slots=True, eq=False)
class StoreLoaded:
    """The store's content as of now: at start and after each change."""

    gallery: Gallery
    subjects: Mapping[SubjectId, Subject]
    codes: tuple[EnrolmentCode, ...]


@dataclass(frozen=True, slots=True)
class EnrolButtonHeld:
    """Somebody held the enrol button. subject: the id an enrolment would give."""

    subject: SubjectId


@dataclass(frozen=True, slots=True)
class EnrolCommanded:
    """An enrolment was asked for from afar. code: as typed, to be compared in constant time."""

    subject: SubjectId
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EnrolCancelled:
    """Somebody wants the enrolment under way to stop."""


@dataclass(frozen=True, slots=True)
class EraseCommanded:
    """An erasure was asked for from afar. code: as shown, to be compared in constant time."""

    subject: SubjectId
    code: str = field(repr=False)


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
    | StoreLoaded
    | EnrolButtonHeld
    | EnrolCommanded
    | EnrolCancelled
    | EraseCommanded
    | Tick
    | Faulted
    | Recovered
    | Acknowledged
)

# --- events ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The agent is ready. simulated: no real door is attached."""

    version: str
    simulated: bool


@dataclass(frozen=True, slots=True)
class Granted:
    """The door was released for a subject.

    score, threshold, margin: cosine; margin is the distance to the best subject of another
    household, None where there is none. frames: how many were pooled. faces: how many were in
    view, of which the nearest decided. latency_ms: from the deciding frame's capture to now.
    """

    subject: SubjectId
    method: Method
    score: float
    threshold: float
    margin: float | None
    frames: int
    faces: int
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Denied:
    """A presentation was refused. subject: of somebody enrolled; a stranger leaves no trace."""

    reason: Reason
    subject: SubjectId | None
    frames: int
    faces: int


@dataclass(frozen=True, slots=True)
class LockedOut:
    """Too many refusals in a row: faces are not looked at for this many seconds."""

    refusals: int
    seconds: float


@dataclass(frozen=True, slots=True)
class EnrolmentAuthorised:
    """A one-time code was given out."""


@dataclass(frozen=True, slots=True)
class EnrolmentStarted:
    """The door collects frames of an enrolee."""

    subject: SubjectId
    authority: AuthorityKind


class EnrolmentFailure(StrEnum):
    """Why an enrolment came to nothing."""

    UNAUTHORISED = "unauthorised"
    BUSY = "busy"
    NO_FACE = "no_face"
    POOR_FRAMES = "poor_frames"
    NOT_ONE_PERSON = "not_one_person"
    CANCELLED = "cancelled"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class EnrolmentFailed:
    """Failure to enrol. hint: the commonest quality issue, where poor frames were the reason."""

    subject: SubjectId
    reason: EnrolmentFailure
    frames: int = 0
    hint: QualityIssue | None = None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A subject was enrolled. collision: another subject whose template is dangerously close."""

    subject: SubjectId
    authority: AuthorityKind
    references: int
    collision: SubjectId | None


@dataclass(frozen=True, slots=True)
class Revoked:
    """A subject may no longer enter; the references are still there."""

    subject: SubjectId


class ErasureCause(StrEnum):
    """Why a subject was erased."""

    REQUESTED = "requested"
    UNUSED = "unused"


@dataclass(frozen=True, slots=True)
class Erased:
    """A subject's references, keys, label and consent record are gone from the database."""

    subject: SubjectId
    cause: ErasureCause = ErasureCause.REQUESTED


@dataclass(frozen=True, slots=True)
class ErasureCertified:
    """An erasure was checked and is complete. certificate: a signed note (docs/vault.md)."""

    subject: SubjectId
    certificate: str


@dataclass(frozen=True, slots=True)
class EnrolmentLapsed:
    """A one-time code was never used, and is forgotten with all it said of the enrolee."""


@dataclass(frozen=True, slots=True)
class ConsentSuspended:
    """A subject is not matched any more: the references wait for a new consent."""

    subject: SubjectId
    reason: Suspension


@dataclass(frozen=True, slots=True)
class ConsentRenewed:
    """A subject's consent counts again, and the subject is matched."""

    subject: SubjectId


@dataclass(frozen=True, slots=True)
class LogPruned:
    """The events up to this number grew too old and are gone; the rest still verifies."""

    up_to: int


@dataclass(frozen=True, slots=True)
class Restored:
    """The database was put back from a backup whose last event has this number."""

    up_to: int


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What is left of an event about somebody who was erased since. kind: which event it was."""

    kind: str


@dataclass(frozen=True, slots=True)
class FaultRaised:
    """A part does not do its work; unless it is the broker, the door denies."""

    part: Part
    reason: str


@dataclass(frozen=True, slots=True)
class FaultCleared:
    """A part does its work again."""

    part: Part


Event: TypeAlias = (
    Started
    | Granted
    | Denied
    | LockedOut
    | EnrolmentAuthorised
    | EnrolmentStarted
    | EnrolmentFailed
    | Enrolled
    | EnrolmentLapsed
    | ConsentSuspended
    | ConsentRenewed
    | Revoked
    | Erased
    | ErasureCertified
    | LogPruned
    | Restored
    | Forgotten
    | FaultRaised
    | FaultCleared
)

# --- changes to the store, each made in one transaction with its event ---------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Enrol:
    """Keep a new subject, with the consent that `subject` carries."""

    subject: Subject
    label: str
    references: tuple[Embedding, ...]


@dataclass(frozen=True, slots=True)
class Revoke:
    """Stop admitting a subject."""

    subject: SubjectId


@dataclass(frozen=True, slots=True)
class Erase:
    """Forget a subject."""

    subject: SubjectId


@dataclass(frozen=True, slots=True)
class SuspendConsent:
    """Keep why a subject's consent does not count any more. None: it counts again."""

    subject: SubjectId
    reason: Suspension | None


@dataclass(frozen=True, slots=True)
class RenewConsent:
    """Keep a new consent of a subject, in place of the last one."""

    subject: SubjectId
    consent: Consent


@dataclass(frozen=True, slots=True)
class IssueCode:
    """Keep a one-time code until it is spent or stale; it replaces every earlier one."""

    code: EnrolmentCode


@dataclass(frozen=True, slots=True)
class SpendCodes:
    """Forget every one-time code: one was used, or a wrong one was tried."""


Change: TypeAlias = Enrol | Revoke | Erase | SuspendConsent | RenewConsent | IssueCode | SpendCodes

# --- effects --------------------------------------------------------------------------------------


class Indication(StrEnum):
    """What the door shows and sounds to who stands before it."""

    IDLE = "idle"
    LOOKING = "looking"
    COME_CLOSER = "come_closer"
    LOOK_HERE = "look_here"
    MORE_LIGHT = "more_light"
    GRANTED = "granted"
    REFUSED = "refused"
    WAIT = "wait"
    ENROLLING = "enrolling"
    FRAME_TAKEN = "frame_taken"
    TURN_A_LITTLE = "turn_a_little"
    ENROLLED = "enrolled"
    NOT_ENROLLED = "not_enrolled"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Append:
    """Commit an event, and the change it tells of, before anything else happens; then report it."""

    event: Event
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Energise:
    """Release the door for this many seconds."""

    grant: Grant
    seconds: float


@dataclass(frozen=True, slots=True)
class Drop:
    """Lock the door."""


@dataclass(frozen=True, slots=True)
class Show:
    """Tell who stands at the door."""

    indication: Indication


@dataclass(frozen=True, slots=True)
class Announce:
    """Report the state of the lock."""

    state: LockState


@dataclass(frozen=True, slots=True)
class MoveCursor:
    """The collector has every event up to this one."""

    seq: int


@dataclass(frozen=True, slots=True)
class SendBacklog:
    """Report again what no collector has acknowledged."""


Effect: TypeAlias = Append | Energise | Drop | Show | Announce | MoveCursor | SendBacklog
