"""What the door records and reports.

An event is appended to the log; none has a field for a picture, an embedding or a name.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from agent.core.credentials import Reader, VisitorId
from agent.core.orders import ControllerId, Operation, Rejection
from agent.core.types import (
    AuthorityKind,
    Method,
    QualityIssue,
    Reason,
    SubjectId,
    Suspension,
)


class Part(StrEnum):
    """What can be at fault."""

    CAMERA = "camera"
    STORE = "store"
    RELEASE = "release"
    BROKER = "broker"
    KEYPAD = "keypad"
    CARD_READER = "card_reader"


FOR_CODES = frozenset({Part.STORE, Part.RELEASE})
"""Without these nobody is let in."""
FOR_FACES = FOR_CODES | {Part.CAMERA}
"""Without these nobody is let in by face."""


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
class Admitted:
    """The door was released for a subject who showed no face, by what the method says."""

    subject: SubjectId
    method: Method


@dataclass(frozen=True, slots=True)
class VisitorAdmitted:
    """The door was released for a visitor, whose code is spent with it."""

    visitor: VisitorId


@dataclass(frozen=True, slots=True)
class CodeDenied:
    """A code or a card was refused. subject: whose it is; None where it is nobody's."""

    reason: Reason
    reader: Reader
    subject: SubjectId | None


@dataclass(frozen=True, slots=True)
class CodesLockedOut:
    """Too many wrong entries: the reader takes nothing for this many seconds.

    reader: None where it is all of them.
    """

    reader: Reader | None
    seconds: float


@dataclass(frozen=True, slots=True)
class DuressSignalled:
    """A subject opened the door with the PIN that means: I am being forced."""

    subject: SubjectId


@dataclass(frozen=True, slots=True)
class CredentialsChanged:
    """What a subject may use beside a face was set anew. cards: how many there are."""

    subject: SubjectId
    pin: bool
    cards: int


@dataclass(frozen=True, slots=True)
class VisitorInvited:
    """A code was made that opens the door once. Times are seconds since the Unix epoch."""

    visitor: VisitorId
    not_before: float
    not_after: float


@dataclass(frozen=True, slots=True)
class VisitorForgotten:
    """A code that was not used is no good any more: its time is over, or it was taken back."""

    visitor: VisitorId


@dataclass(frozen=True, slots=True)
class SelfServiceBegun:
    """A subject is shown what residents may do for themselves at the door."""

    subject: SubjectId
    method: Method


@dataclass(frozen=True, slots=True)
class AttackPresented:
    """What stood before the camera was no bona fide face. reason: which check said so."""

    reason: str
    frames: int


@dataclass(frozen=True, slots=True)
class LockedOut:
    """Too many refusals in a row: faces are not looked at for this many seconds."""

    refusals: int
    seconds: float


@dataclass(frozen=True, slots=True)
class DoorbellRang:
    """Somebody rang."""


@dataclass(frozen=True, slots=True)
class ExitRequested:
    """Somebody inside pressed the button that opens the door."""


@dataclass(frozen=True, slots=True)
class ForcedOpen:
    """The door was opened, and nothing had released it."""


@dataclass(frozen=True, slots=True)
class HeldOpen:
    """The door has stood open for this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Tampered:
    """Somebody opened the case (active), or it is closed again."""

    active: bool


@dataclass(frozen=True, slots=True)
class Commanded:
    """A command from afar is about to be carried out.

    controller: who signed it; None where nobody did, and the broker let it pass. request: the
    sender's name for it. subject: whom it is about, if anybody who is enrolled.
    """

    controller: ControllerId | None
    operation: Operation
    request: str
    subject: SubjectId | None


@dataclass(frozen=True, slots=True)
class CommandRejected:
    """Commands did nothing. count: how many for this reason since the agent started.

    Recorded when the count reaches 1, 2, 4, 8 and so on.
    """

    reason: Rejection
    count: int


@dataclass(frozen=True, slots=True)
class ControllerTrusted:
    """A controller's key is trusted from now on, or with other rights."""

    controller: ControllerId


@dataclass(frozen=True, slots=True)
class ControllerRemoved:
    """A controller's key is trusted no more."""

    controller: ControllerId


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """When a subject may enter was set anew."""

    subject: SubjectId


@dataclass(frozen=True, slots=True)
class ClockSet:
    """The wall clock was set. by: how many seconds forward of what it would have read."""

    by: float


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
    """A part does not do its work, and the door denies what it takes that part to decide."""

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
    | Admitted
    | VisitorAdmitted
    | CodeDenied
    | CodesLockedOut
    | DuressSignalled
    | CredentialsChanged
    | VisitorInvited
    | VisitorForgotten
    | SelfServiceBegun
    | AttackPresented
    | LockedOut
    | DoorbellRang
    | ExitRequested
    | ForcedOpen
    | HeldOpen
    | Tampered
    | Commanded
    | CommandRejected
    | ControllerTrusted
    | ControllerRemoved
    | PolicyChanged
    | ClockSet
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
