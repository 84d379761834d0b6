"""The values that the layers hand to each other: frozen, shapes and units in the docstrings."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.core.credentials import NO_CREDENTIALS, Credentials
from agent.errors import DeviceError

Float32: TypeAlias = NDArray[np.float32]
Pixels: TypeAlias = NDArray[np.uint8]

SubjectId = NewType("SubjectId", str)
"""A random pseudonym, never a name."""

MINUTES_PER_WEEK = 7 * 24 * 60

NORM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Now:
    """One reading of the clocks, taken outside the core.

    monotonic: seconds since boot, never set back. wall: seconds since the Unix epoch.
    week_minute: local minute of the week, 0 (Monday 00:00) to 10,079.
    trusted: whether the wall clock is known to have been set since boot.
    """

    monotonic: float
    wall: float
    week_minute: int
    trusted: bool


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture in memory, on its way to the detector and nowhere else.

    pixels: (H, W, 3) uint8, RGB. captured_at: monotonic seconds. grey: (h, w) uint8, the same view
    in small, where the camera gives it by itself.
    Raises DeviceError where the pixels are of another shape or dtype, or there are none.
    """

    pixels: Pixels = field(repr=False)
    captured_at: float
    grey: Pixels | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        pixels = self.pixels
        sound = pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8  # noqa: PLR2004
        if not (sound and pixels.size > 0):
            message = (
                f"camera: a frame of shape {pixels.shape} and type {pixels.dtype} cannot be used; "
                "it takes (height, width, 3) of uint8: check the camera's format"
            )
            raise DeviceError(message)


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One detected face.

    box: (4,) float32, x, y, width, height in pixels of the frame.
    landmarks: (5, 2) float32 pixels: image-left eye, image-right eye, nose, image-left and
    image-right mouth corner. score: detector's score, 0 to 1.
    """

    box: Float32
    landmarks: Float32
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class AlignedFace:
    """A face warped to the ArcFace template. pixels: (112, 112, 3) uint8, RGB."""

    pixels: Pixels = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """What the embedder makes of a face.

    vector: (D,) float32 of unit norm. model: digest and runtime family of the embedder, since
    vectors of different ones do not compare. Raises ValueError unless finite and of unit norm.
    """

    vector: Float32 = field(repr=False)
    model: str

    def __post_init__(self) -> None:
        norm = float(np.linalg.norm(self.vector))
        if not (self.vector.ndim == 1 and abs(norm - 1.0) <= NORM_TOLERANCE):
            message = f"an embedding has one dimension and unit norm, not norm {norm}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Quality:
    """How fit a face is for comparison.

    eye_distance: pixels between the eyes in the frame. sharpness: variance of the Laplacian of
    the aligned face. exposure: mean luma of the aligned face, 0 to 255. yaw, pitch: signed proxies,
    0 looking straight at the camera, about +-1 at the profile. eyes_open: mean eye aspect ratio.
    """

    eye_distance: float
    sharpness: float
    exposure: float
    yaw: float
    pitch: float
    eyes_open: float


class QualityIssue(StrEnum):
    """Why the nearest face in a frame gives no probe. Each is a hint to who stands there."""

    TOO_FAR = "too_far"
    CUT_OFF = "cut_off"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    BLURRED = "blurred"
    TURNED_AWAY = "turned_away"
    EYES_CLOSED = "eyes_closed"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A face of good quality, ready for comparison."""

    embedding: Embedding
    quality: Quality


@dataclass(frozen=True, slots=True)
class Span:
    """Minutes of the local week, start included and end not, 0 <= start < end <= 10,080."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Validity:
    """When a subject may enter.

    not_before, not_after: seconds since the Unix epoch; None sets no bound.
    schedule: the spans of the week; none at all means always.
    """

    not_before: float | None = None
    not_after: float | None = None
    schedule: tuple[Span, ...] = ()


class Suspension(StrEnum):
    """Why a consent lets nobody be matched any more.

    A new consent ends it; all but a withdrawal end with their reason, too. A pause is the
    resident's own, made and ended at the door.
    """

    WITHDRAWN = "withdrawn"
    PAUSED = "paused"
    EXPIRED = "expired"
    NOTICE_CHANGED = "notice_changed"
    NO_GUARDIAN = "no_guardian"


@dataclass(frozen=True, slots=True)
class Notice:
    """The privacy notice that enrolees are given. sha256: of its text, 64 hexadecimal digits."""

    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Consent:
    """The record without which no reference is matched.

    authorised_by: who authorised it. notice: the one that the enrolee, or the guardian of a minor,
    was given. purpose: what the references may be used for. at, expires: seconds since the Unix
    epoch; without expires it holds until it is withdrawn. guardian: who consented for a minor.
    """

    authorised_by: str
    notice: Notice
    purpose: str
    at: float
    expires: float | None = None
    guardian: str | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """An enrolled capture subject, as far as deciding needs to know.

    household: subjects of one household may resemble each other without being told apart;
    None makes the subject a household of its own. minor: a guardian must have consented.
    consent: None where nobody consented. suspended: why the consent does not count, as recorded
    last. leave_code: whoever shows it may have this subject erased; empty where nothing does.
    accessible: needs more time at the door, which stays released for longer.
    """

    id: SubjectId
    household: str | None = None
    administrator: bool = False
    revoked: bool = False
    validity: Validity = Validity()
    minor: bool = False
    consent: Consent | None = None
    suspended: Suspension | None = None
    leave_code: str = field(default="", repr=False)
    accessible: bool = False
    credentials: Credentials = NO_CREDENTIALS


@dataclass(frozen=True, slots=True)
class Terms:
    """What is to hold for an enrolee. The label stays in the store: no event carries it.

    guardian: who consents for a minor. Raises ValueError for a minor without a guardian, and for a
    guardian of somebody who is no minor.
    """

    label: str = ""
    household: str | None = None
    administrator: bool = False
    validity: Validity = Validity()
    minor: bool = False
    guardian: str | None = None
    accessible: bool = False

    def __post_init__(self) -> None:
        if self.minor != bool(self.guardian and self.guardian.strip()):
            message = "a minor needs a guardian who consents, and nobody else has one"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class EnrolmentCode:
    """A one-time code from the command line that authorises one enrolment.

    code: six digits. issued_at: monotonic seconds of this boot. authorised_by: who gave it out,
    for the consent record. terms: what is to hold for the enrolee.
    """

    code: str = field(repr=False)
    issued_at: float
    authorised_by: str
    terms: Terms


class AuthorityKind(StrEnum):
    """What authorised an enrolment."""

    ADMINISTRATOR = "administrator"
    CODE = "code"
    CONTROLLER = "controller"


class Method(StrEnum):
    """What a grant came of: a subject was recognised, or the door was asked to open."""

    FACE = "face"
    PIN = "pin"
    CARD = "card"
    FACE_AND_PIN = "face+pin"
    CARD_AND_PIN = "card+pin"
    FACE_AND_CARD = "face+card"
    VISITOR = "visitor"
    REMOTE = "remote"
    EXIT = "exit"


@dataclass(frozen=True, slots=True)
class Grant:
    """The only value that a release takes. at: monotonic seconds.

    subject, score: who was recognised and with what cosine, -1 to 1; None where nobody was.
    """

    subject: SubjectId | None
    method: Method
    score: float | None
    at: float


class Reason(StrEnum):
    """Why a presentation was refused."""

    NO_MATCH = "no_match"
    AMBIGUOUS = "ambiguous"
    INCONSISTENT = "inconsistent"
    WRONG_MODEL = "wrong_model"
    REVOKED = "revoked"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    OUTSIDE_SCHEDULE = "outside_schedule"
    WRONG_CODE = "wrong_code"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CLOCK_NOT_SET = "clock_not_set"
    PRESENTATION_ATTACK = "presentation_attack"
    NOT_TOLD_ALIVE = "not_told_alive"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A decision against opening. subject: who was recognised and may not enter, if anybody."""

    reason: Reason
    subject: SubjectId | None = None


class LockState(StrEnum):
    """The release as the world sees it; the names are Home Assistant's, in lower case."""

    LOCKED = "locked"
    UNLOCKED = "unlocked"


Shortlist: TypeAlias = Callable[[Float32], tuple[NDArray[np.intp], float]]
"""Gives, for a unit vector (D,), rows of a gallery (M,) by rising number, and a cosine that no
other row is above."""


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """All that a probe is compared with: one template, the mean of the references, per row.

    matrix: (N, D) float32, rows of unit norm. subjects: N ids; subjects[i] owns row i.
    households: (N,) int, equal where two subjects share a household. references: (N,) int, how many
    each row is the mean of. model: as in Embedding. shortlist: saves a search from looking at every
    row, where there is one.
    Raises ValueError where the lengths disagree.
    """

    matrix: Float32 = field(repr=False)
    subjects: tuple[SubjectId, ...]
    households: NDArray[np.intp] = field(repr=False)
    references: NDArray[np.intp] = field(repr=False)
    model: str
    shortlist: Shortlist | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        rows = len(self.subjects)
        columns = (self.matrix, self.households, self.references)
        if not (self.matrix.ndim == 2 and all(len(column) == rows for column in columns)):  # noqa: PLR2004
            message = f"a gallery of {rows} subjects needs as many rows, households and references"
            raise ValueError(message)
