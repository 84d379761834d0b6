"""A folder of photographs as embeddings, by the very pipeline that the daemon runs."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import comb
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.core.types import Float32, Frame, Pixels, Probe
from agent.errors import ConfigError
from agent.vision.detect import Mesh
from agent.vision.pipeline import Pipeline

UNREADABLE, NO_FACE = "unreadable_file", "no_face"
SHOWN = 5
"""Files that a report names of each kind; the others it counts."""

Progress = Callable[[Sequence[Path]], Iterable[Path]]
"""Goes through files, and may show how far it has come."""


@dataclass(frozen=True, eq=False)
class Collection:
    """Photographs of people. Nothing of them is kept but these vectors, and those in memory only.

    names: (K,) whose each usable photograph is. stems: (K,) its file's name without the ending.
    vectors: of each embedder's name, (K, D) of unit norm. models: of each embedder's name, as in
    Embedding. files: how many were found. failed: why a photograph gave no probe -> the files.
    many: files with more than one face. people: of each person, photographs that could be read.
    """

    names: NDArray[np.str_]
    stems: NDArray[np.str_]
    vectors: dict[str, Float32] = field(repr=False)
    models: dict[str, str]
    files: int
    failed: dict[str, list[Path]]
    many: list[Path]
    people: dict[str, int]

    @cached_property
    def rows(self) -> dict[str, NDArray[np.intp]]:
        """Each person's rows; who has no usable photograph is not in it."""
        order = np.argsort(self.names, kind="stable")
        who, starts = np.unique(self.names[order], return_index=True)
        return dict(zip(who.tolist(), np.split(order, starts[1:]), strict=True))

    @cached_property
    def owners(self) -> NDArray[np.intp]:
        """(K,) whose each usable photograph is, as a place in `rows`."""
        return np.unique(self.names, return_inverse=True)[1]

    def by_person(self, embedder: str) -> list[Float32]:
        """Give each person's vectors, (K, D), in the order of `rows`."""
        return [self.vectors[embedder][rows] for rows in self.rows.values()]

    @property
    def photographs(self) -> int:
        """How many files could be read."""
        return self.files - len(self.failed.get(UNREADABLE, []))

    def failure_to_acquire(self, photographs: int) -> float:
        """Give the share of attempts that yield no probe (ISO/IEC 19795-1).

        An attempt is as many photographs of one person, picked at random; each person who has that
        many counts once, unless photographs is 1: then each photograph does.
        """
        if photographs == 1:
            return 1 - len(self.names) / max(self.photographs, 1)
        lost = [
            comb(count - len(self.rows.get(name, ())), photographs) / comb(count, photographs)
            for name, count in self.people.items()
            if count >= photographs
        ]
        return float(np.mean(lost)) if lost else float("nan")


def read_collection(
    images: Path, pipelines: dict[str, Pipeline], progress: Progress = iter
) -> Collection:
    """Embed the photographs of a folder that holds a folder for each person.

    Args:
        images: DIR/NAME/*; files whose names begin with a dot are left out, all others counted.
        pipelines: by the embedder's name; the first one finds the faces for all.
        progress: is given the files.

    Raises:
        ConfigError: the folder is not there, or holds no photograph with a face in it.
    """
    files = _files(images)
    first = next(iter(pipelines.values()))
    rows: list[tuple[str, str]] = []
    vectors: dict[str, list[Float32]] = {name: [] for name in pipelines}
    failed: dict[str, list[Path]] = {}
    many: list[Path] = []
    people: Counter[str] = Counter()
    for file in progress(files):
        pixels = read_photograph(file)
        if pixels is None:
            failed.setdefault(UNREADABLE, []).append(file)
            continue
        people[file.parent.name] += 1
        count, mesh = labelled_face(first, pixels)
        if count > 1:
            many.append(file)
        if mesh is None:
            failed.setdefault(NO_FACE, []).append(file)
            continue
        probes = {name: pipeline.probe(pixels, mesh) for name, pipeline in pipelines.items()}
        good = {name: probe for name, probe in probes.items() if isinstance(probe, Probe)}
        if len(good) < len(probes):
            [issue, *_] = [str(probe) for probe in probes.values() if not isinstance(probe, Probe)]
            failed.setdefault(issue, []).append(file)
            continue
        rows.append((file.parent.name, file.stem))
        for name, probe in good.items():
            vectors[name].append(probe.embedding.vector)
    if not rows:
        raise ConfigError(f"{images}: no face to compare in {len(files)} files: {_told(failed)}")
    return Collection(
        names=np.array([name for name, _ in rows]),
        stems=np.array([stem for _, stem in rows]),
        vectors={name: np.stack(each) for name, each in vectors.items()},
        models={name: pipeline.model for name, pipeline in pipelines.items()},
        files=len(files),
        failed=failed,
        many=many,
        people=dict(people),
    )


def labelled_face(pipeline: Pipeline, pixels: Pixels) -> tuple[int, Mesh | None]:
    """Give how many faces a photograph shows, and the one that it is labelled with.

    That is the face over the photograph's middle, else the one nearest to it. The door takes the
    largest, which is whoever stands in front; in a press photograph it may be a bystander.
    """
    middle = np.array(pixels.shape[1::-1]) / 2
    seen: list[Mesh] = []
    for meshes in pipeline.meshes(pixels):
        seen.extend(meshes)
        for mesh in meshes:
            low, high = mesh.points[:, :2].min(0), mesh.points[:, :2].max(0)
            if (low <= middle).all() and (middle <= high).all():
                return len(meshes), mesh
    distances = [float(np.hypot(*(mesh.five.mean(0) - middle))) for mesh in seen]
    return len(seen), seen[int(np.argmin(distances))] if seen else None


def _files(images: Path) -> list[Path]:
    if not images.is_dir():
        raise ConfigError(f"{images}: there is no such folder: name one with --images")
    files = sorted(
        path
        for folder in images.iterdir()
        if folder.is_dir() and not folder.name.startswith(".")
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".")
    )
    if not files:
        raise ConfigError(
            f"{images}: holds no photographs: it takes a folder for each person, with theirs in it"
        )
    return files


def read_photograph(file: Path) -> Pixels | None:
    """Read a photograph, (H, W, 3) RGB; None where it is none."""
    try:
        picture = cv2.imread(str(file))
    except cv2.error:
        return None
    if picture is None:
        return None
    return Frame(np.ascontiguousarray(picture[..., ::-1], np.uint8), captured_at=0.0).pixels


def _told(failed: dict[str, list[Path]]) -> str:
    return ", ".join(f"{len(files)} {reason}" for reason, files in sorted(failed.items()))
