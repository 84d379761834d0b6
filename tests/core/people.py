"""Synthetic people, so that tests can say who stands at the door.

A face is a seeded random unit vector: frames of one person are at 0.8 to 0.95 in cosine to it,
strangers nearly orthogonal, and a look-alike at the cosine that the test asks for.
"""

from collections.abc import Iterable, Mapping
from zlib import crc32

import numpy as np

from agent.core.effects import Answer
from agent.core.inputs import Observed, StoreLoaded
from agent.core.matching import Calibration, Curve, OperatingPoint
from agent.core.orders import Delivered, Leave
from agent.core.rules import Outside
from agent.core.types import (
    Consent,
    Embedding,
    EnrolmentCode,
    Float32,
    Gallery,
    Notice,
    Now,
    Probe,
    Quality,
    Subject,
    SubjectId,
)

DIMENSIONS = 192
MODEL = "synthetic"
LEAST_LIKENESS, MOST_LIKENESS = 0.8, 0.95
"""Cosine of a frame to the face it shows."""

QUALITY = Quality(
    eye_distance=60.0, sharpness=200.0, exposure=120.0, yaw=0.0, pitch=0.0, eyes_open=0.3
)
CALIBRATION = Calibration(
    MODEL,
    provisional=True,
    curves=(
        Curve(
            references=5,
            frames=5,
            measured_to=0.5,
            points=(
                OperatingPoint(0.3, 1e-3),
                OperatingPoint(0.5, 6.6e-7),
                OperatingPoint(0.6, 1e-8),
            ),
        ),
    ),
)
"""With the target of 1e-4 it puts 0.5 in force for up to 50 subjects, then 0.6."""

NOTICE = Notice("2026-11", "5e" * 32)
"""The privacy notice in force."""
CONSENT = Consent("root", NOTICE, "opening this door by face", at=900_000.0)
"""One that stands until it is withdrawn."""


class Person:
    """Somebody with a face: a unit vector (D,)."""

    def __init__(self, name: str, face: Float32) -> None:
        self.name = name
        self.face = face

    def __repr__(self) -> str:
        return self.name

    @property
    def id(self) -> SubjectId:
        """The id under which tests enrol this person."""
        return SubjectId(f"s-{crc32(self.name.encode()):016x}")

    def probe(self, seed: int, likeness: float | None = None, model: str = MODEL) -> Probe:
        """Give a good frame, another for each seed. likeness: its cosine to the face."""
        # A trailing zero would repeat the randomness that made the face.
        random = np.random.default_rng([crc32(self.name.encode()), seed, 1])
        if likeness is None:
            likeness = float(random.uniform(LEAST_LIKENESS, MOST_LIKENESS))
        return Probe(Embedding(_near(self.face, likeness, random), model), QUALITY)

    def probes(self, count: int, first: int = 0) -> list[Probe]:
        """Give as many good frames, all different."""
        return [self.probe(seed) for seed in range(first, first + count)]


def somebody(name: str) -> Person:
    """Give the person of this name, who looks like nobody else."""
    random = np.random.default_rng(crc32(name.encode()))
    face = random.normal(size=DIMENSIONS)
    return Person(name, (face / np.linalg.norm(face)).astype(np.float32))


def look_alike(person: Person, name: str, cosine: float) -> Person:
    """Give somebody else, whose face is at this cosine to the person's."""
    random = np.random.default_rng(crc32(name.encode()))
    return Person(name, _near(person.face, cosine, random))


def _near(face: Float32, cosine: float, random: np.random.Generator) -> Float32:
    noise = random.normal(size=len(face))
    noise -= (noise @ face) * face
    noise /= np.linalg.norm(noise)
    vector: Float32 = (cosine * face + np.sqrt(1.0 - cosine**2) * noise).astype(np.float32)
    return vector


def gallery(
    templates: Mapping[SubjectId, Float32],
    households: Mapping[SubjectId, str | None] | None = None,
    model: str = MODEL,
    references: int = 5,
) -> Gallery:
    """Give a gallery of these templates; without a household a subject is one of its own."""
    homes = households or {}
    names = [homes.get(subject) or f"only {subject}" for subject in templates]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    rows = list(templates.values())
    return Gallery(
        matrix=np.stack(rows) if rows else np.empty((0, DIMENSIONS), np.float32),
        subjects=tuple(templates),
        households=np.array([numbers[name] for name in names], np.intp),
        references=np.full(len(rows), references, np.intp),
        model=model,
    )


def store_of(
    people: Iterable[Person],
    subjects: Iterable[Subject] = (),
    codes: tuple[EnrolmentCode, ...] = (),
) -> StoreLoaded:
    """Give a store in which these people are enrolled, as these subjects where they are given.

    Everybody else has consented.
    """
    known = {subject.id: subject for subject in subjects}
    kept = {person.id: known.get(person.id, resident(person.id)) for person in people}
    templates = {person.id: person.face for person in people}
    homes = {subject.id: subject.household for subject in kept.values()}
    return StoreLoaded(gallery(templates, homes), kept, codes)


def resident(subject: SubjectId, **changes: object) -> Subject:
    """Give a subject whose consent stands, unless the changes say otherwise."""
    return Subject(subject, **({"consent": CONSENT} | changes))  # type: ignore[arg-type]


def now_at(
    monotonic: float, wall: float = 1_000_000.0, week_minute: int = 600, *, trusted: bool = True
) -> Now:
    """Give a reading of the clocks; unless said otherwise it is Monday at ten."""
    return Now(monotonic, wall, week_minute, trusted)


def seen(probe: Probe, captured_at: float, faces: int = 1) -> Observed:
    """Give what the camera's side makes of a frame with a good face."""
    return Observed(captured_at, faces, probe)


def leave(subject: SubjectId, code: str) -> Delivered:
    """Give a resident's wish to be erased, as `wish_in` reads it."""
    return Delivered("leave", f"{subject}\n{code}".encode())


def left(subject: SubjectId) -> Answer:
    """Give the answer to such a wish."""
    return Answer("r-1", subject=subject)


def wish_in(delivered: Delivered) -> Leave:
    """Read what `leave` gives."""
    subject, code = delivered.payload.decode().split("\n")
    return Leave("r-1", SubjectId(subject), code)


OUTSIDE = Outside(
    lambda delivered, _: wish_in(delivered),
    lambda: SubjectId("s-new"),
    lambda: "challenge",
    lambda below: below // 2,
)
"""What a core is lent that takes no commands but of those who leave."""
