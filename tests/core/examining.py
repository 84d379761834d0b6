"""A door that examines faces, and who stands before it: a simulator of camera, light and test.

It answers a code as the world would: what is alive answers the light, a picture does not, and in
the sun nobody can tell.
"""

from dataclasses import dataclass, field

from agent.core.access import Access
from agent.core.effects import Effect, Examine
from agent.core.inputs import Observed
from agent.core.pad import Cue, Examined, Liveness, PadLevel, Verdict
from agent.core.rules import Rules
from agent.core.types import QualityIssue
from tests.core.entries import AGE, FRAME, House
from tests.core.people import NOTICE, Person

ALIVE = Verdict(Liveness.BONA_FIDE, Cue.ALL, 0.8, 0.6)
SCREEN = Verdict(Liveness.ATTACK, Cue.REFLECTION, 0.02, 0.0)
SUN = Verdict(Liveness.UNCLEAR, Cue.AMBIENT)
MOVED = Verdict(Liveness.UNCLEAR, Cue.MOTION)
VEILED = Verdict(Liveness.UNCLEAR, Cue.RELIEF)

FLASH = Rules(access=Access(pad=PadLevel.FLASH), notice=NOTICE)
CHALLENGE = Rules(access=Access(pad=PadLevel.FLASH_AND_CHALLENGE), notice=NOTICE)


def asked(effects: list[Effect]) -> list[Examine]:
    """Give what is to be examined."""
    return [effect for effect in effects if isinstance(effect, Examine)]


@dataclass
class Lit(House):
    """A house whose door has a light."""

    rules: Rules = field(default_factory=lambda: FLASH)

    def answer(
        self,
        verdict: Verdict,
        person: Person,
        after: float = 0.5,
        age: float = AGE,
        probes: int = 6,
    ) -> list[Effect]:
        """Say what the series showed. age: of its newest frame, in seconds."""
        self.seeds += probes
        seen = tuple(person.probes(probes, self.seeds))
        at = self.at + after
        return self.give(Examined(at - age, verdict, seen), after)

    def turn(
        self, yaw: float | None, after: float = FRAME, person: Person | None = None
    ) -> list[Effect]:
        """Be seen with the head turned so. person: who can be recognised so, if anybody."""
        at, nearest = self.at + after, QualityIssue.TURNED_AWAY
        self.seeds += 1
        seen = nearest if person is None else person.probe(self.seeds)
        return self.give(Observed(at - AGE, 1, seen, yaw=yaw), after)
