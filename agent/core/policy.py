"""Whose consent stands, who may enter when, and when too many refusals stop the door looking."""

from dataclasses import dataclass

from agent.core.types import (
    MINUTES_PER_WEEK,
    Notice,
    Now,
    Reason,
    Span,
    Subject,
    Suspension,
)

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_PER_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Lockout:
    """When to stop looking at faces for a while (NIST SP 800-63B-4: at most 5, then >= 30 s)."""

    refusals: int = 5
    """Refusals in a row that start it, 1 to 100."""
    within: float = 60.0
    """Seconds within which those refusals must fall, above 0."""
    seconds: float = 30.0
    """How long it lasts, 30 to 3600 s."""

    def __post_init__(self) -> None:
        if not 1 <= self.refusals <= 100:  # noqa: PLR2004
            message = "refusals must be 1 to 100"
            raise ValueError(message)
        if not self.within > 0:
            message = "within must be above 0 seconds"
            raise ValueError(message)
        if not 30 <= self.seconds <= 3600:  # noqa: PLR2004
            message = "seconds must be 30 to 3600"
            raise ValueError(message)


class Refusals:
    """Counts the refusals in a row. A grant forgets them; so does a lockout that is over."""

    def __init__(self, rules: Lockout) -> None:
        self._rules = rules
        self._refused_at: list[float] = []
        self._locked_until: float | None = None

    def locked(self, now: float) -> bool:
        """Say whether faces are not to be looked at. now: monotonic seconds."""
        if self._locked_until is None:
            return False
        if now >= self._locked_until:
            self._locked_until = None
            return False
        return True

    def refused(self, now: float) -> bool:
        """Count a refusal; say whether a lockout begins with it."""
        recent = [at for at in self._refused_at if now - at <= self._rules.within]
        self._refused_at = [*recent, now]
        if len(self._refused_at) < self._rules.refusals:
            return False
        self._refused_at = []
        self._locked_until = now + self._rules.seconds
        return True

    def granted(self) -> None:
        """Forget the refusals so far."""
        self._refused_at = []


def consent_objection(subject: Subject, notice: Notice, now: Now) -> Suspension | None:
    """Say why a subject is not to be matched, or None where the consent stands.

    notice: the one in force. What the store has recorded counts where nothing else can tell: that
    the consent was withdrawn, or is paused, and, while the wall clock is not set, that it has
    expired. Otherwise no expiry is reached by such a clock: `admissible` keeps the subject out.
    """
    consent = subject.consent
    if consent is None or subject.suspended is Suspension.WITHDRAWN:
        return Suspension.WITHDRAWN
    if subject.suspended is Suspension.PAUSED:
        return Suspension.PAUSED
    if subject.suspended is Suspension.EXPIRED and not now.trusted:
        return Suspension.EXPIRED
    if not consent.notice == notice:
        return Suspension.NOTICE_CHANGED
    if subject.minor and not (consent.guardian and consent.guardian.strip()):
        return Suspension.NO_GUARDIAN
    if consent.expires is not None and now.trusted and not now.wall < consent.expires:
        return Suspension.EXPIRED
    return None


def admissible(subject: Subject, now: Now, *, biometric: bool = True) -> Reason | None:
    """Say why a subject may not enter now, or None where nothing is against it.

    Where the wall clock is not set, a subject with bounds, a schedule or a consent that expires may
    not enter. biometric: whether it is by face, for which alone there is a consent; whether that
    stands is not asked here.
    """
    if subject.revoked:
        return Reason.REVOKED
    validity = subject.validity
    lasting = not biometric or subject.consent is None or subject.consent.expires is None
    unbounded = validity.not_before is None and validity.not_after is None
    if lasting and unbounded and not validity.schedule:
        return None
    if not now.trusted:
        return Reason.CLOCK_NOT_SET
    if validity.not_before is not None and not now.wall >= validity.not_before:
        return Reason.NOT_YET_VALID
    if validity.not_after is not None and not now.wall < validity.not_after:
        return Reason.EXPIRED
    if validity.schedule and not any(s.start <= now.week_minute < s.end for s in validity.schedule):
        return Reason.OUTSIDE_SCHEDULE
    return None


def parse_schedule(text: str) -> tuple[Span, ...]:
    """Read "mon-fri 08:00-18:00, sat 09:00-12:00"; empty text means always, an empty tuple.

    A span that ends at or before its start runs past midnight. Raises ValueError with one line.
    """
    return tuple(
        span for part in text.lower().split(",") if part.strip() for span in _parse_part(part)
    )


def _parse_part(part: str) -> list[Span]:
    try:
        days, hours = part.split()
        first, _, last = days.partition("-")
        opens, _, closes = hours.partition("-")
        opening, closing = _minute(opens), _minute(closes, latest=MINUTES_PER_DAY)
        start, stop = DAYS.index(first), DAYS.index(last or first)
    except ValueError:
        message = f"schedule {part.strip()!r}: write it like 'mon-fri 08:00-18:00'"
        raise ValueError(message) from None
    length = closing - opening if closing > opening else closing - opening + MINUTES_PER_DAY
    spans = []
    for day in range((stop - start) % 7 + 1):
        begin = (start + day) % 7 * MINUTES_PER_DAY + opening
        end = begin + length
        spans.append(Span(begin, min(end, MINUTES_PER_WEEK)))
        if end > MINUTES_PER_WEEK:
            spans.append(Span(0, end - MINUTES_PER_WEEK))
    return spans


def _minute(time: str, latest: int = MINUTES_PER_DAY - 1) -> int:
    hour, minute = (int(number) for number in time.split(":"))
    of_day = hour * 60 + minute
    if not (hour >= 0 and 0 <= minute < 60 and of_day <= latest):  # noqa: PLR2004
        raise ValueError(time)
    return of_day


def format_schedule(schedule: tuple[Span, ...]) -> str:
    """Write spans as text that `parse_schedule` reads back to the same spans."""
    return ", ".join(
        f"{DAYS[span.start // MINUTES_PER_DAY]} {_clock(span.start)}-{_clock(span.end)}"
        for span in schedule
    )


def _clock(minute: int) -> str:
    hour, rest = divmod(minute % MINUTES_PER_DAY, 60)
    return f"{hour:02}:{rest:02}"
