"""Compare ways to pool the frames of a presentation: the tables of docs/adr/0010.

    python -m tests.accuracy.pooling --images DIR [--clips DIR]

The images are laid out like Labeled Faces in the Wild, a folder for each person; the clips are
films of one person each (of several, the nearest counts). All goes through the door's own pipeline
with its default limits, nothing is kept, and every draw is seeded. Strangers are people with three
photographs or more, compared with a gallery that they are not in; residents are those with eight.
What is fitted (the sequential test) or drawn from the same collection (the cohort) is kind to its
method.
"""

import argparse
from collections.abc import Callable
from functools import partial
from math import log
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from agent.config import Quality as Limits
from agent.core.types import Float32
from agent.vision.pipeline import load_pipeline
from tests.accuracy.draws import (
    ENROLLED,
    ROUNDS,
    Draw,
    films_of,
    photographs,
    rounds,
    shown_of,
    template,
)
from tests.accuracy.ways import (
    CHOICES,
    FIRST,
    SCORES,
    Known,
    People,
    Score,
    Shot,
    Shown,
    everything,
    mean,
    most_different,
    newest,
    some_new_some_different,
    unit,
)

MODELS = Path(__file__).resolve().parents[2] / "models"
ATTEMPT = 19
"""Frames of a film in the time that a presentation gets before it is refused, 1.5 s at 12.5 fps."""
FPIRS = (1e-2, 1e-3, 1e-4)


# --- figures --------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """Best scores of strangers' attempts, and of residents': own score, or -inf where not best.

    Each is (attempts, steps): how it stood after each frame from FIRST on.
    """

    strangers: NDArray[np.float64]
    residents: NDArray[np.float64]

    def threshold(self, fpir: float) -> float:
        """Give the threshold at which this share of strangers passes at any step.

        Where fewer than ten would, by an exponential tail fitted to the highest 1 %.
        """
        best = np.sort(self.strangers.max(1))
        if fpir * len(best) >= 5:
            return float(np.quantile(best, 1 - fpir))
        start = float(np.quantile(best, 0.99))
        excess = float((best[best > start] - start).mean())
        return start + excess * log(0.01 / fpir)

    def fnir(self, threshold: float) -> float:
        """Give the share of residents who pass at no step."""
        return float((self.residents.max(1) < threshold).mean())

    def inflation(self, threshold: float) -> float:
        """Give how many times more strangers pass at any step than at the last."""
        last = float((self.strangers[:, -1] >= threshold).mean())
        return float((self.strangers.max(1) >= threshold).mean()) / max(last, 1e-9)

    def frames(self, threshold: float) -> float:
        """Give how many frames residents who pass take on average."""
        passed = self.residents >= threshold
        return float((np.argmax(passed, axis=1)[passed.any(1)] + FIRST).mean())


def outcome(draws: list[Draw], steps: Callable[[Shown, Known], list[Float32]]) -> Outcome:
    """Take every attempt. steps: gives the scores after each frame that is decided on."""
    strangers, residents = [], []
    for draw in draws:
        for own, _, shown in draw.attempts:
            scores = np.stack(steps(shown, draw.known)).astype(np.float64)
            if own >= 0:
                mine = scores[:, own].copy()
                scores[:, own] = -np.inf
                residents.append(np.where(mine >= scores.max(1), mine, -np.inf))
            strangers.append(scores.max(1))
    return Outcome(np.array(strangers), np.array(residents))


def stepwise(choose: Callable[[Float32], list[int]], score: Score) -> Callable[..., list[Float32]]:
    """Decide after every frame from FIRST on."""

    def steps(shown: Shown, known: Known) -> list[Float32]:
        scores = []
        for count in range(FIRST, len(shown.vectors) + 1):
            rows = choose(shown.vectors[:count])
            scores.append(score(Shown(shown.vectors[rows], shown.worth[rows]), known))
        return scores

    return steps


def independent(people: People) -> str:
    """Compare scores on photographs that have nothing in common but the person."""
    draws = list(rounds(people, bursts=False))
    results = {
        name: outcome(draws, partial(_at_once, score=score)) for name, score in SCORES.items()
    }
    rows = [[name, *_fnirs(each)] for name, each in results.items()]
    return _table(rows, ["3 photographs", *_FNIRS], results)


def correlated(people: People) -> str:
    """Compare choices and scores on simulated attempts of frames that resemble each other."""
    draws = list(rounds(people, bursts=True))
    results = {name: outcome(draws, stepwise(*way)) for name, way in CHOICES.items()}
    rows = [
        [
            name,
            *_fnirs(each),
            f"{each.frames(each.threshold(1e-3)):.1f}",
            f"{each.inflation(each.threshold(1e-2)):.2f}",
        ]
        for name, each in results.items()
    ]
    return _table(rows, ["12 frames of 3 bursts", *_FNIRS, "frames", "tries"], results)


def _at_once(shown: Shown, known: Known, score: Score) -> list[Float32]:
    return [score(shown, known)]


_FNIRS = [*(f"FNIR at FPIR {fpir:g}" for fpir in FPIRS), "threshold at 1e-3"]


def _fnirs(each: Outcome) -> list[str]:
    rates = [f"{each.fnir(each.threshold(fpir)):.2%}" for fpir in FPIRS]
    return [*rates, f"{each.threshold(1e-3):.3f}"]


def _table(rows: list[list[str]], head: list[str], results: dict[str, Outcome]) -> str:
    one = next(iter(results.values()))
    sizes = f"{len(one.strangers)} attempts of strangers, {len(one.residents)} of residents"
    return f"{sizes}\n{tabulate(rows, head, tablefmt='github', disable_numparse=True)}"


def poolings(people: People) -> str:
    """Tell what pooling does to the rates at one cosine, on people with ten photographs."""
    many = [shots for shots in people.values() if len(shots) >= 2 * ENROLLED]
    rows = []
    for references in (1, 3, 5):
        for frames in (1, 3, 5):
            scores = []
            for number in range(ROUNDS):
                random = np.random.default_rng(number)
                drawn = [[shots[i] for i in random.permutation(len(shots))] for shots in many]
                probes = np.stack([template(shots[:frames]) for shots in drawn])
                templates = [template(shots[frames : frames + references]) for shots in drawn]
                scores.append(probes @ np.stack(templates).T)
            own = np.eye(len(many), dtype=np.bool_)
            other, mated = (np.stack([each[kind] for each in scores]) for kind in (~own, own))
            rows.append(
                [
                    references,
                    frames,
                    *(f"{(other >= t).mean():.2e}" for t in (0.4, 0.5)),
                    *(f"{(mated < t).mean():.2%}" for t in (0.5, 0.6)),
                ]
            )
    head = ["references", "frames", "FMR at 0.4", "FMR at 0.5", "FNMR at 0.5", "FNMR at 0.6"]
    return f"{len(many)} people\n{tabulate(rows, head, tablefmt='github', disable_numparse=True)}"


# --- clips ----------------------------------------------------------------------------------------


def clips(people: People, films: dict[str, list[Shot]]) -> str:
    """Tell how alike the frames of a film are, and how many tries at it a stranger gets."""
    everybody = np.stack([template(shots) for shots in people.values()])
    known = Known(everybody, everybody[:0], (0, 1), (0, 1), 0)
    rows = []
    for name, shots in films.items():
        vectors = np.stack([shot.vector for shot in shots])
        cosines = vectors @ vectors.T
        row = [name, f"{len(shots)}", f"{np.diag(cosines, 1).mean():.3f}", f"{cosines.min():.3f}"]
        half = len(shots) // 2
        enrolled = template([shots[i] for i in most_different(vectors[:half])])
        for choose in (newest, most_different, some_new_some_different, everything):
            scores = np.stack(
                [
                    np.stack(
                        stepwise(choose, mean)(shown_of(shots[start : start + ATTEMPT]), known)
                    )
                    for start in range(max(len(shots) - ATTEMPT, 0) + 1)
                ]
            )
            at = np.quantile(scores, 1 - 1e-3)
            tries = (scores.max(1) >= at).mean() / (scores >= at).mean()
            own = [
                float(enrolled @ unit(vectors[half:][choose(vectors[half:end])].mean(0)))
                for end in range(half + FIRST, len(vectors) + 1)
            ]
            row += [f"{tries:.2f}", f"{min(own):.3f}"]
        rows.append(row)
    head = ["film", "frames", "consecutive", "least alike"]
    for choice in ("newest 5", "5 most different", "newest 3 and 2 most different", "all"):
        head += [f"tries, {choice}", f"least own score, {choice}"]
    table: str = tabulate(rows, head, tablefmt="github", disable_numparse=True)
    return table


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description="Compare ways to pool the frames at the door.")
    parser.add_argument("--images", type=Path, required=True, help="a folder per person in it")
    parser.add_argument("--clips", type=Path, help="films of one person each, .gif or .mp4")
    arguments = parser.parse_args()
    pipeline = load_pipeline(MODELS, Limits())
    people = photographs(pipeline, arguments.images)
    print(poolings(people), independent(people), correlated(people), sep="\n\n", flush=True)
    if arguments.clips:
        print("", clips(people, films_of(pipeline, arguments.clips)), sep="\n")


if __name__ == "__main__":
    main()
