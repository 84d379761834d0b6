"""Who is enrolled and who stands at the door, drawn from photographs of many people."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from agent.adapters.formats import from_bgr
from agent.core.types import Float32, Frame, Pixels, Probe, Quality
from agent.evaluation.collection import read_photograph
from agent.vision.pipeline import Pipeline
from tests.accuracy.ways import WINDOW, Known, People, Shot, Shown, unit

ROUNDS = 20
GALLERY, ENROLLED, POOL, COHORT = 500, 5, 3, 300
FRAMES = 12
"""Frames of a simulated attempt."""
ALIKE = 0.97
"""Cosine of two frames of one burst: that of consecutive frames of the clips."""


# --- people ---------------------------------------------------------------------------------------


class Draw(NamedTuple):
    """One round: a gallery, and attempts. own: row of whoever attempts it, -1 for a stranger."""

    known: Known
    attempts: list[tuple[int, int, Shown]]


def rounds(people: People, *, bursts: bool) -> Iterator[Draw]:
    """Draw who is enrolled with which photographs, and who shows which others.

    Whoever is enrolled attempts as a resident, and as a stranger whose own row is left out.
    """
    names = sorted(people)
    residents = [name for name in names if len(people[name]) >= ENROLLED + POOL]
    visitors = [name for name in names if len(people[name]) >= POOL]
    others = [name for name in names if len(people[name]) < POOL]
    for number in range(ROUNDS):
        random = np.random.default_rng(number)
        drawn = {
            name: [people[name][i] for i in random.permutation(len(people[name]))] for name in names
        }
        mixed = [others[i] for i in random.permutation(len(others))]
        enrolled = [*residents, *mixed[: GALLERY - len(residents)]]
        cohort = mixed[GALLERY - len(residents) :][:COHORT]
        templates = np.stack([template(drawn[name][POOL:] or drawn[name]) for name in enrolled])
        known = known_of(
            templates,
            [drawn[name] for name in residents],
            np.stack([template(drawn[name]) for name in cohort]),
        )
        attempts = []
        for name in visitors:
            shots = drawn[name][:POOL]
            shown = burst(shots, random) if bursts else shown_of(shots)
            row = enrolled.index(name) if name in residents else -1
            attempts.append((row, row, shown))
        yield Draw(known, attempts)


def template(shots: list[Shot]) -> Float32:
    """Give the mean template of up to five photographs."""
    return unit(np.mean([shot.vector for shot in shots[:ENROLLED]], axis=0))


def known_of(templates: Float32, residents: list[list[Shot]], cohort: Float32) -> Known:
    """Fit how single frames score; residents own the first rows."""
    singles = np.stack([shots[0].vector for shots in residents])
    scores = singles @ templates.T
    own = np.eye(*scores.shape, dtype=np.bool_)
    alike = [float(shots[0].vector @ shots[1].vector) for shots in residents]
    mated, non_mated = scores[own], scores[~own]
    return Known(
        templates,
        cohort,
        (float(mated.mean()), float(mated.std())),
        (float(non_mated.mean()), float(non_mated.std())),
        float(np.mean(alike)),
    )


def worth(quality: Quality) -> float:
    """Weigh a frame: sharp, and looking straight at the camera."""
    straight = np.exp(-abs(quality.yaw) / 0.3 - abs(quality.pitch) / 0.3)
    return float(min(quality.sharpness / 300, 1.0) * straight)


def shown_of(shots: list[Shot]) -> Shown:
    """Show each photograph once."""
    weights = [worth(shot.quality) for shot in shots]
    return Shown(np.stack([shot.vector for shot in shots]), np.array(weights, np.float32))


def burst(shots: list[Shot], random: np.random.Generator) -> Shown:
    """Simulate an attempt: each photograph stays for a while, with a little noise of its own."""
    cuts = np.sort(random.choice(np.arange(1, FRAMES), len(shots) - 1, replace=False))
    which = np.searchsorted(cuts, np.arange(FRAMES), side="right")
    still = shown_of(shots)
    noise = random.normal(size=(FRAMES, still.vectors.shape[1]))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    vectors = unit(ALIKE**0.5 * still.vectors[which] + (1 - ALIKE) ** 0.5 * noise)
    return Shown(vectors, still.worth[which])


# --- pictures -------------------------------------------------------------------------------------


def photographs(pipeline: Pipeline, folder: Path) -> People:
    """Read the good photographs of everybody who has one."""
    people: People = {}
    for path in sorted(folder.rglob("*.jpg")):
        pixels = read_photograph(path)
        if pixels is None:
            raise SystemExit(f"{path} is no picture: remove it")
        if shot := _look(pipeline, pixels):
            people.setdefault(path.parent.name, []).append(shot)
    return people


def films_of(pipeline: Pipeline, folder: Path) -> dict[str, list[Shot]]:
    """Read the films with ten good frames or more."""
    films = {}
    for path in sorted(folder.glob("*.gif")) + sorted(folder.glob("*.mp4")):
        film, shots = cv2.VideoCapture(str(path)), []
        while (read := film.read())[0]:
            if shot := _look(pipeline, from_bgr(read[1])):
                shots.append(shot)
        if len(shots) >= 2 * WINDOW:
            films[path.stem] = shots
    return films


def _look(pipeline: Pipeline, pixels: Pixels) -> Shot | None:
    nearest = pipeline(Frame(pixels, captured_at=0.0)).nearest
    return Shot(nearest.embedding.vector, nearest.quality) if isinstance(nearest, Probe) else None
