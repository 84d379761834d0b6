"""What the core wants done: changes to the store, and effects, in the order given."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from agent.core.credentials import Attempts, Credentials, Visitor, VisitorId
from agent.core.events import Event
from agent.core.orders import ControllerId, Operation, Rejection, TrustedController
from agent.core.types import (
    Consent,
    Embedding,
    EnrolmentCode,
    Grant,
    LockState,
    Subject,
    SubjectId,
    Suspension,
    Validity,
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


@dataclass(frozen=True, slots=True)
class SetValidity:
    """Keep when a subject may enter, in place of what was kept."""

    subject: SubjectId
    validity: Validity


@dataclass(frozen=True, slots=True)
class Trust:
    """Keep a controller's key and rights; the counter of a key that is kept already stays."""

    controller: TrustedController


@dataclass(frozen=True, slots=True)
class Distrust:
    """Forget a controller's key."""

    controller: ControllerId


@dataclass(frozen=True, slots=True)
class SpendCounter:
    """Keep the counter of an order, which must be higher than the one that is kept."""

    controller: ControllerId
    counter: int


@dataclass(frozen=True, slots=True)
class SetCredentials:
    """Keep what a subject may use beside a face, in place of what was kept.

    before: what that was when this was decided: what somebody else changed meanwhile must not come
    back.
    """

    subject: SubjectId
    credentials: Credentials
    before: Credentials


@dataclass(frozen=True, slots=True)
class Invite:
    """Keep a visitor's code. label: for whom it is; stays in the database."""

    visitor: Visitor
    label: str


@dataclass(frozen=True, slots=True)
class ForgetVisitor:
    """Forget a visitor's code: it was used, or is no good any more."""

    visitor: VisitorId


@dataclass(frozen=True, slots=True)
class SetAttempts:
    """Keep how many wrong entries there were."""

    attempts: Attempts


Change: TypeAlias = (
    Enrol
    | Revoke
    | Erase
    | SuspendConsent
    | RenewConsent
    | SetValidity
    | IssueCode
    | SpendCodes
    | Trust
    | Distrust
    | SpendCounter
    | SetCredentials
    | Invite
    | ForgetVisitor
    | SetAttempts
)

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
    IDENTIFY = "identify"
    KEY = "key"
    ENTER_PIN = "enter_pin"
    SHOW_FACE = "show_face"
    WHO_ARE_YOU = "who_are_you"
    CHOOSE = "choose"
    CONFIRM = "confirm"
    CONFIRM_AGAIN = "confirm_again"
    PAUSED = "paused"
    RESUMED = "resumed"
    LEAVING = "leaving"
    DOORBELL = "doorbell"
    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"


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
class Light:
    """Switch the light at the door on or off."""

    on: bool


@dataclass(frozen=True, slots=True)
class Examine:
    """Take a series of frames with the light on and off so, and say what it showed.

    lit: whether it is on, frame by frame. until: monotonic seconds from which on nobody waits.
    """

    lit: tuple[bool, ...]
    until: float


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


@dataclass(frozen=True, slots=True)
class AnnounceContact:
    """Report whether the door itself stands open."""

    is_open: bool


@dataclass(frozen=True, slots=True)
class SendChallenge:
    """Give out the challenge that signed commands must carry from now on."""

    challenge: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer a command. refusal: None where it is carried out.

    subject: whom the events about it will name. query: what the answer is to tell, if anything.
    after: for a list, the subject that it goes on after.
    """

    request: str
    refusal: Rejection | None = None
    subject: SubjectId | None = None
    query: Operation | None = None
    after: SubjectId | None = None


Effect: TypeAlias = (
    Append
    | Energise
    | Drop
    | Show
    | Light
    | Examine
    | Announce
    | AnnounceContact
    | MoveCursor
    | SendBacklog
    | SendChallenge
    | Answer
)
