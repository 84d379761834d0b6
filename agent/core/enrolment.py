"""What an enrolment is: its rules, the consent it takes, and the frames collected for it."""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, auto

from agent.core.events import EnrolmentFailure
from agent.core.matching import likeness_to_others, mean_template
from agent.core.types import (
    AuthorityKind,
    Consent,
    Embedding,
    Notice,
    Probe,
    Quality,
    QualityIssue,
    Subject,
    SubjectId,
    Terms,
)

PURPOSE = "opening this door by face"
"""What every consent is for, and all that the references may be used for."""
SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Enrolment:
    """How residents are enrolled."""

    frames: int = 5
    """References taken of each enrolee, 3 to 20."""
    seconds: float = 20.0
    """How long the enrolee has, 5 to 120 s."""
    spacing: float = 0.4
    """Seconds between two references, at least 0."""
    max_similarity: float = 0.985
    """Cosine above which a frame is too like one already taken, 0 to 1."""
    min_consistency: float = 0.5
    """Cosine to the mean of the other frames below which it is another face, 0 to 1."""
    min_eye_distance: float = 34.0
    """Pixels between the eyes that a reference needs, at least 0, where [quality] asks for less."""
    min_sharpness: float = 50.0
    """Variance of the Laplacian that a reference needs, at least 0, likewise."""
    max_pitch: float = 0.45
    """Proxy, above 0 to 1, up to which a head may be tilted in a reference, where [quality] allows
    more."""
    collision: float = 0.1
    """How far below the threshold, in cosine, another subject already is a collision, 0 to 1."""
    authority_seconds: float = 60.0
    """How long a code, or an administrator's visit, authorises an enrolment, 5 to 600 s."""
    hold_seconds: float = 2.0
    """How long the enrol button must be held, 0.5 to 10 s."""
    notice: str = "2026-11"
    """Version of the privacy notice that enrolees are given."""
    consent_days: float | None = None
    """Days after which a consent must be renewed, 1 to 3650; None: until it is withdrawn."""

    def __post_init__(self) -> None:
        if not 3 <= self.frames <= 20:  # noqa: PLR2004
            message = "frames must be 3 to 20"
            raise ValueError(message)
        if not (5 <= self.seconds <= 120 and 5 <= self.authority_seconds <= 600):  # noqa: PLR2004
            message = "seconds must be 5 to 120, authority_seconds 5 to 600"
            raise ValueError(message)
        if not (self.spacing >= 0 and 0.5 <= self.hold_seconds <= 10):  # noqa: PLR2004
            message = "spacing must be 0 or more, hold_seconds 0.5 to 10"
            raise ValueError(message)
        similarities = (self.max_similarity, self.min_consistency, self.collision)
        if not all(0 <= value <= 1 for value in similarities):
            message = "max_similarity, min_consistency and collision must be 0 to 1"
            raise ValueError(message)
        if not (self.min_eye_distance >= 0 and self.min_sharpness >= 0 and 0 < self.max_pitch <= 1):
            message = "min_eye_distance and min_sharpness must be 0 or more, max_pitch above 0 to 1"
            raise ValueError(message)
        if not self.notice.strip():
            message = "notice must name a version of the privacy notice"
            raise ValueError(message)
        if self.consent_days is not None and not 1 <= self.consent_days <= 3650:  # noqa: PLR2004
            message = "consent_days must be 1 to 3650"
            raise ValueError(message)

    def objection(self, quality: Quality) -> QualityIssue | None:
        """Say why a frame that is good enough for the door makes no reference.

        A reference is kept for years, and whoever is enrolled can come closer or hold still.
        Exposure and open eyes are left to the door's limits: stricter ones would refuse some
        faces more often than others.
        """
        checks = (
            (QualityIssue.TOO_FAR, quality.eye_distance >= self.min_eye_distance),
            (QualityIssue.TURNED_AWAY, abs(quality.pitch) <= self.max_pitch),
            (QualityIssue.BLURRED, quality.sharpness >= self.min_sharpness),
        )
        return next((issue for issue, passed in checks if not passed), None)


@dataclass(frozen=True, slots=True)
class Authority:
    """What authorised an enrolment. name: for the consent record only."""

    kind: AuthorityKind
    name: str
    terms: Terms


def give_consent(
    rules: Enrolment, notice: Notice, authorised_by: str, guardian: str | None, wall: float
) -> Consent:
    """Put down a consent that is given now, to hold for as long as the rules say.

    authorised_by, guardian: as in Consent. wall: seconds since the Unix epoch.
    """
    days = rules.consent_days
    expires = None if days is None else wall + days * SECONDS_PER_DAY
    return Consent(authorised_by, notice, PURPOSE, wall, expires, guardian)


def on_terms(subject: SubjectId, terms: Terms, consent: Consent | None) -> Subject:
    """Give an enrolee as agreed. consent: None for one who gives no face."""
    return Subject(
        id=subject,
        household=terms.household,
        administrator=terms.administrator,
        validity=terms.validity,
        minor=terms.minor,
        consent=consent,
        accessible=terms.accessible,
    )


class Step(Enum):
    """What came of one more good frame."""

    TAKEN = auto()
    TOO_SOON = auto()
    TOO_ALIKE = auto()
    SOMEBODY_ELSE = auto()


@dataclass(slots=True)
class Collection:
    """An enrolment under way. deadline: monotonic seconds."""

    rules: Enrolment
    subject: SubjectId
    authority: Authority
    deadline: float
    references: list[Embedding] = field(default_factory=list)
    issues: Counter[QualityIssue] = field(default_factory=Counter)
    _taken_at: float = float("-inf")
    _odd: int = 0

    @property
    def complete(self) -> bool:
        """Whether there are enough references."""
        return len(self.references) >= self.rules.frames

    @property
    def mixed(self) -> bool:
        """Whether so many frames did not go with the others that nobody knows whose face it is."""
        return self._odd > self.rules.frames // 2

    def add(self, probe: Probe, captured_at: float) -> Step:
        """Take the frame if it is spaced, of the same face, and unlike those taken.

        The whole set is looked at once more when it is complete, and one that does not go with the
        others is dropped, for one after another may each have been like those before.
        """
        if captured_at - self._taken_at < self.rules.spacing:
            return Step.TOO_SOON
        vector = probe.embedding.vector
        taken = [reference.vector for reference in self.references]
        if taken:
            if not float(vector @ mean_template(taken)) >= self.rules.min_consistency:
                self._odd += 1
                self._taken_at = captured_at
                if len(taken) == 1:
                    # Nobody knows which of the two is the odd one; the enrolee stays, and goes on.
                    self.references = [probe.embedding]
                return Step.SOMEBODY_ELSE
            if not all(float(vector @ other) <= self.rules.max_similarity for other in taken):
                return Step.TOO_ALIKE
        self.references.append(probe.embedding)
        self._taken_at = captured_at
        return self._drop_odd() if self.complete else Step.TAKEN

    def failure(self) -> tuple[EnrolmentFailure, QualityIssue | None]:
        """Say why there is no enrolment, and the commonest quality issue where that was it."""
        if self.mixed:
            return EnrolmentFailure.NOT_ONE_PERSON, None
        if not self.references and not self.issues:
            return EnrolmentFailure.NO_FACE, None
        commonest = self.issues.most_common(1)
        return EnrolmentFailure.POOR_FRAMES, commonest[0][0] if commonest else None

    def _drop_odd(self) -> Step:
        alike = likeness_to_others([reference.vector for reference in self.references])
        if min(alike) >= self.rules.min_consistency:
            return Step.TAKEN
        del self.references[alike.index(min(alike))]
        self._odd += 1
        return Step.SOMEBODY_ELSE
