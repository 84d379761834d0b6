"""Whether a face that was recognised is there in the flesh: it is asked, and the answer waited for.

A code of light and dark, drawn anew each time, goes to who holds camera and light; what comes back
is an `Examined`. At the highest level the head must turn before that, to sides and at times that
are drawn as well. No answer in time, and no turn as asked, count as unclear and never as a pass.
Whoever is not found alive is not examined as often as it takes until they are.
"""

from collections.abc import Callable, Container
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TypeAlias

from agent.core.decision import LEAST_LATER, Match
from agent.core.effects import Effect, Examine, Indication, Show
from agent.core.inputs import Observed
from agent.core.pad import Cue, Examined, Liveness, PadLevel, Verdict
from agent.core.rules import patience
from agent.core.types import Probe, QualityIssue, Subject, SubjectId

CODE_FRAMES = 6
MOST_FLASHES = 2
"""Times that the light goes on in one code; with `RESTS` never more than three in a second, which
may set off seizures (WCAG 2.3.1), also where it burnt before."""
RESTS = 1.0
"""Seconds from one examination to the next, at the least."""
ANSWERS = 3.0
"""Seconds within which a code must be answered: a camera at 10 frames a second takes one of them to
lock its exposure."""


def _serves(code: tuple[bool, ...]) -> bool:
    changes = sum(a is not b for a, b in pairwise(code))
    flashes = sum(b and not a for a, b in pairwise((False, *code)))
    return 2 <= sum(code) <= CODE_FRAMES - 2 and changes >= 2 and flashes <= MOST_FLASHES  # noqa: PLR2004


CODES: tuple[tuple[bool, ...], ...] = tuple(
    code for code in product((False, True), repeat=CODE_FRAMES) if _serves(code)
)
"""Whether the light is on, frame by frame: either at least twice, with at least two changes."""

LEFT, RIGHT = 1.0, -1.0
"""Sides of who stands there, as signs of the yaw."""
COMMANDS = {LEFT: Indication.TURN_LEFT, RIGHT: Indication.TURN_RIGHT}
TURNS = tuple(product((LEFT, RIGHT), repeat=2))
"""What may be asked of a head, one after the other."""
TURNED, STRAIGHT = 0.45, 0.25
"""Yaw from which on a head is turned, and up to which it is not. Waved photographs reach 0.30."""
TURN_SECONDS = 5.0
"""Seconds from a command, which takes two to be heard, within which the head must turn; and from a
turn, be straight again."""
PAUSE, PAUSES = 0.1, 10
"""A command comes up to 9 of these seconds after the head is to be straight."""

TRIES = 3
"""Examinations of one subject that may fail in a row before the next is waited for."""
FIRST_WAIT, LONGEST_WAIT = 60.0, 3600.0
"""Seconds that it is waited for, doubled with each that fails: what passes once in a hundred times
must not be tried a hundred times on one day."""
LONGEST_DOUBLING = 6
"""Doublings after which it would be waited for longer than the longest time."""
FORGOTTEN_AFTER = 12 * 3600.0
"""Seconds after which what failed is forgotten: no more tries on one day than the longest wait."""


Claimant: TypeAlias = tuple[SubjectId, bool]
"""A subject, and whether their PIN or card was shown before: whoever has only their picture must
not use up the tries of who has both."""
MOVED = frozenset({Cue.MOTION, Cue.TURN})
"""What could not be told for reasons that another try may mend."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A face was recognised, in so many frames, with so many faces in view.

    captured_at: monotonic seconds, of the frame that decided. backed: whether the subject's PIN or
    card was shown before it.
    """

    match: Match
    frames: int
    faces: int
    captured_at: float
    backed: bool = False

    @property
    def claimant(self) -> Claimant:
        """On whose account it is."""
        return self.match.subject, self.backed


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """What came of examining a claim.

    faces: probes of the face that was lit, and before that of the head each time that it was to be
    straight: each apart, since any may be another one than was recognised.
    """

    claim: Claim
    verdict: Verdict
    faces: tuple[tuple[Probe, ...], ...] = ((),)


@dataclass(frozen=True, slots=True)
class _Row:
    """Examinations of one claimant that failed in a row. at: monotonic seconds, of the last."""

    failed: int
    at: float

    @property
    def waits_until(self) -> float:
        """Monotonic seconds until which there is to be no other."""
        beyond = self.failed - TRIES
        wait = min(FIRST_WAIT * 2.0 ** min(beyond, LONGEST_DOUBLING), LONGEST_WAIT)
        return self.at + wait if beyond >= 0 else self.at


class Examination:
    """At most one at a time. deadline: monotonic seconds at which it ends; None without one.

    draw: gives a number from 0 to below its argument that nobody can guess.
    """

    def __init__(self, draw: Callable[[int], int]) -> None:
        self._draw = draw
        self._claim: Claim | None = None
        self._turns: list[float] = []
        self._seconds = TURN_SECONDS
        self._straight = False
        self._next_at = 0.0
        self._commanded_at: float | None = None
        self._flashed_at: float | None = None
        self._rests_until = float("-inf")
        self._phases: list[list[Probe]] = []
        self._rows: dict[Claimant, _Row] = {}
        self._moved: SubjectId | None = None
        self.deadline: float | None = None

    def failed(self, claim: Claim, verdict: Verdict, now: float) -> None:
        """Take note that nobody was found alive. now: monotonic seconds."""
        self._moved = claim.match.subject if verdict.cue in MOVED else None
        if verdict.liveness is Liveness.UNCLEAR and verdict.cue is Cue.AMBIENT:
            # It says nothing of who stands there.
            return
        row = self._rows.get(claim.claimant)
        before = 0 if row is None or now >= row.at + FORGOTTEN_AFTER else row.failed
        self._rows[claim.claimant] = _Row(before + 1, now)

    def passed(self, claim: Claim) -> None:
        """End the row."""
        self._rows.pop(claim.claimant, None)
        self._moved = None

    def waits(self, claim: Claim, now: float) -> bool:
        """Say whether too many failed for another one now. now: monotonic seconds."""
        row = self._rows.get(claim.claimant)
        return row is not None and not now >= row.waits_until

    def moved(self, subject: SubjectId) -> bool:
        """Say whether another one may tell at once what the last one could not."""
        return subject == self._moved

    def keep(self, subjects: Container[SubjectId], now: float) -> None:
        """Forget all others. now: monotonic seconds."""
        self._rows = {each: row for each, row in self._rows.items() if each[0] in subjects}
        if self._moved not in subjects:
            self._moved = None
        if self._claim is not None and self._claim.match.subject not in subjects:
            self.drop(now)

    def admitted(self, subject: SubjectId | None, now: float) -> None:
        """Forget it where it is of who was let in. now: monotonic seconds."""
        if self._claim is not None and self._claim.match.subject == subject:
            self.drop(now)

    def begin(self, claim: Claim, subject: Subject, level: PadLevel, now: float) -> list[Effect]:
        """Examine whoever made a claim, unless the last examination was just now.

        now: monotonic seconds.
        """
        if not now >= self._rests_until:
            return []
        self._claim = claim
        if level is not PadLevel.FLASH_AND_CHALLENGE:
            return self._flash(now)
        self._turns = list(TURNS[self._draw(len(TURNS))])
        self._seconds = patience(TURN_SECONDS, subject)
        return self._straighten(now)

    def observed(self, seen: Observed, now: float) -> Finding | list[Effect]:
        """Take what a frame showed while the head is to turn. now: monotonic seconds."""
        if self._flashed_at is not None or seen.yaw is None:
            return []
        if self._commanded_at is None:
            return self._between(seen.yaw, seen.nearest, now)
        if not seen.captured_at > self._commanded_at:
            return []
        turned = seen.yaw * self._turns[0]
        if turned <= -TURNED:
            return self._end(Verdict(Liveness.UNCLEAR, Cue.TURN), now)
        if not turned >= TURNED:
            return []
        del self._turns[0]
        return self._straighten(now)

    def answered(self, examined: Examined, now: float) -> Finding | None:
        """Take what a series showed, if it was taken for the code that was given out last."""
        if self._flashed_at is None or not self._flashed_at <= examined.captured_at <= now:
            return None
        straight = (tuple(phase) for phase in self._phases)
        return self._end(examined.verdict, now, (*straight, examined.probes))

    def tick(self, now: float) -> Finding | None:
        """End what was not answered in time. now: monotonic seconds."""
        if self.deadline is None or now < self.deadline:
            return None
        cue = Cue.TURN if self._flashed_at is None else Cue.MOTION
        return self._end(Verdict(Liveness.UNCLEAR, cue), now)

    def break_off(self, now: float) -> None:
        """Forget it, as whoever stands there wishes: a try, once it is known what was asked."""
        if self._claim is not None and self._asked:
            verdict = Verdict(Liveness.UNCLEAR, Cue.TURN)
            self.failed(self._claim, verdict, now)
        self.drop(now)

    @property
    def _asked(self) -> bool:
        """Whether a turn was commanded or the code given out."""
        commanded = self._commanded_at is not None or len(self._phases) > 1
        return commanded or self._flashed_at is not None

    def drop(self, now: float) -> None:
        """Forget it: what it was for is over. now: monotonic seconds."""
        if self._claim is not None:
            self._end(Verdict(Liveness.UNCLEAR, Cue.MOTION), now)

    def _between(
        self, yaw: float, nearest: Probe | QualityIssue | None, now: float
    ) -> Finding | list[Effect]:
        if not abs(yaw) <= STRAIGHT:
            # Whoever turns before being asked to was not told when by the door.
            early = self._straight and abs(yaw) >= TURNED
            return self._end(Verdict(Liveness.UNCLEAR, Cue.TURN), now) if early else []
        self._straight = True
        phase = self._phases[-1]
        if isinstance(nearest, Probe):
            phase.append(nearest)
        # Whose head turns is not left open.
        if not (len(phase) >= LEAST_LATER and now >= self._next_at):
            return []
        if not self._turns:
            return self._flash(now)
        self._commanded_at = now
        self.deadline = now + self._seconds
        return [Show(COMMANDS[self._turns[0]])]

    def _straighten(self, now: float) -> list[Effect]:
        self._commanded_at, self._straight = None, False
        self._phases.append([])
        self._next_at = now + PAUSE * self._draw(PAUSES)
        self.deadline = self._next_at + self._seconds
        return [Show(Indication.LOOK_HERE)]

    def _flash(self, now: float) -> list[Effect]:
        self._flashed_at = now
        self.deadline = now + ANSWERS
        return [Examine(CODES[self._draw(len(CODES))], self.deadline)]

    def _end(
        self, verdict: Verdict, now: float, faces: tuple[tuple[Probe, ...], ...] = ((),)
    ) -> Finding:
        claim = self._claim
        if claim is None:  # pragma: no cover - nobody ends what was not begun
            message = "there is no examination"
            raise RuntimeError(message)
        self._claim = self.deadline = self._commanded_at = self._flashed_at = None
        self._phases = []
        self._rests_until = now + RESTS
        return Finding(claim, verdict, faces)
