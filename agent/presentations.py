"""What an installation's own light and camera tell bona fide presentations from attacks with.

The measuring half of `doorward pad bench`: figures are kept, an image never. Rates are those of
ISO/IEC 30107-3, with exact bounds after Clopper and Pearson (Biometrika 26, 1934).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import exp, lgamma, log, log1p
from typing import IO, TypeAlias

import msgspec

from agent.core.pad import Cue, Examined, Liveness
from agent.errors import ConfigError

BONA_FIDE = "bona fide"
"""What the operator names a presentation that is none of an attack."""
ENOUGH_ATTACKS = 60
"""Presentations of a species below which a rate proves nothing: 0 of 60 bounds it at 5 %."""
ENOUGH_BONA_FIDE = 100
CONFIDENCE = 0.95
HALVINGS = 60


Seen: TypeAlias = tuple[Examined, float | None]
"""What was seen of a presentation, and the ambient light, lux."""
Examine: TypeAlias = Callable[[], Seen]


class Presentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One presentation, in figures. species: as the operator named it.

    ratio, relief: as in Verdict. ambient: lux, None where the camera did not tell.
    """

    species: str
    liveness: Liveness
    cue: Cue
    ratio: float | None
    relief: float | None
    ambient: float | None


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a kind of presentation was judged wrongly.

    errors: attacks that passed (APCER), or bona fide called attacks (BPCER). unclear: neither, for
    whom the second factor decides. low, high: 95 % bounds of the rate of errors. enough: whether
    there are presentations enough to mean something.
    """

    species: str
    presentations: int
    errors: int
    unclear: int
    low: float
    high: float
    enough: bool


def measure(species: str, presentations: int, examine: Examine) -> Iterator[Presentation]:
    """Examine a number of presentations of one species, and keep the figures of each.

    examine: waits for the next presentation; what it raises ends the measurement.
    """
    for _ in range(presentations):
        examined, ambient = examine()
        verdict = examined.verdict
        yield Presentation(
            species, verdict.liveness, verdict.cue, verdict.ratio, verdict.relief, ambient
        )


def write(presentation: Presentation, file: IO[bytes]) -> None:
    """Append a line of JSON."""
    file.write(msgspec.json.encode(presentation) + b"\n")
    file.flush()


def read(lines: bytes, name: str) -> list[Presentation]:
    """Read lines of JSON. Raises ConfigError that names the file and the line."""
    found = []
    for number, line in enumerate(lines.splitlines(), 1):
        try:
            found.append(msgspec.json.decode(line, type=Presentation))
        except msgspec.DecodeError as error:
            message = f"{name}: line {number} is no presentation, {error}: name another file"
            raise ConfigError(message) from error
    return found


def rates(presentations: list[Presentation]) -> list[Rate]:
    """Count, in the order in which the species first came."""
    counted = []
    for species in dict.fromkeys(each.species for each in presentations):
        said = [each.liveness for each in presentations if each.species == species]
        bona_fide = species == BONA_FIDE
        errors = said.count(Liveness.ATTACK if bona_fide else Liveness.BONA_FIDE)
        unclear = said.count(Liveness.UNCLEAR)
        # An empty landing is unclear, too, and proves nothing.
        enough = len(said) - unclear >= (ENOUGH_BONA_FIDE if bona_fide else ENOUGH_ATTACKS)
        low, high = bounds(errors, len(said))
        counted.append(Rate(species, len(said), errors, unclear, low, high, enough))
    return counted


def bounds(errors: int, trials: int) -> tuple[float, float]:
    """Bound a rate, two-sided at 95 %, or one-sided where there was no error, or nothing else.

    Raises ValueError unless 0 <= errors <= trials and there is a trial.
    """
    if not (0 <= errors <= trials and trials > 0):
        raise ValueError(f"{errors} errors of {trials}")
    if errors in {0, trials}:
        extreme = (1 - CONFIDENCE) ** (1 / trials)
        return (0.0, 1 - extreme) if errors == 0 else (extreme, 1.0)
    tail = (1 - CONFIDENCE) / 2
    low = _where(lambda rate: 1 - _at_most(errors - 1, trials, rate) >= tail)
    high = _where(lambda rate: _at_most(errors, trials, rate) <= tail)
    return low, high


def _where(holds: Callable[[float], bool]) -> float:
    """Find the least rate from which something holds."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _at_most(errors: int, trials: int, rate: float) -> float:
    """Give the probability of so many errors or fewer, 0 < rate < 1."""
    return sum(
        exp(
            lgamma(trials + 1)
            - lgamma(count + 1)
            - lgamma(trials - count + 1)
            + count * log(rate)
            + (trials - count) * log1p(-rate)
        )
        for count in range(errors + 1)
    )
