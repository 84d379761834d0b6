"""Frames to observations: find, locate, align, assess, and only then embed."""

from math import isfinite
from typing import TYPE_CHECKING

from agent.core.inputs import Observed
from agent.core.types import Frame, Pixels, Probe, QualityIssue
from agent.vision.align import align
from agent.vision.detect import FAR, NEAR, Detector, Landmarker, Mesh
from agent.vision.embed import Embedder
from agent.vision.models import load_model
from agent.vision.quality import assess, is_cut_off, issue, yaw_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from agent.config import Quality as Limits

MAX_FACES = 4
"""Largest detections that are looked at and counted: backgrounds have false ones, and each costs
the landmark model's time."""


class Pipeline:
    """Implements ports.Vision. model: as in Embedding.

    Keeps nothing from one frame to the next, and writes nothing anywhere. detectors: the cheapest
    first; the next is asked where one finds nobody.
    """

    def __init__(
        self,
        detectors: "Sequence[Detector]",
        landmarks: Landmarker,
        embedder: Embedder,
        limits: "Limits",
    ) -> None:
        self._detectors = detectors
        self._landmarks = landmarks
        self._embedder = embedder
        self._limits = limits
        self.model = embedder.model

    def __call__(self, frame: Frame) -> Observed:
        """Look at one frame. Raises ModelError where a model does not do its part."""
        faces, mesh = self.nearest(frame.pixels)
        if mesh is None:
            return Observed(frame.captured_at, faces, None)
        yaw = yaw_of(mesh.points)
        known = yaw if isfinite(yaw) else None
        return Observed(frame.captured_at, faces, self.probe(frame.pixels, mesh), yaw=known)

    def nearest(self, pixels: Pixels) -> tuple[int, Mesh | None]:
        """Give how many faces (H, W, 3) RGB has, and the mesh of the largest. Raises ModelError."""
        meshes = next(self.meshes(pixels), [])
        return len(meshes), meshes[0] if meshes else None

    def meshes(self, pixels: Pixels) -> "Iterator[list[Mesh]]":
        """Give the faces of each detector that finds any, the largest first. Raises ModelError."""
        for detector in self._detectors:
            found = detector.find(pixels)[:MAX_FACES]
            meshes = [self._landmarks.locate(pixels, face) for face in found]
            located = [mesh for mesh in meshes if mesh is not None]
            if located:
                yield located

    def probe(self, pixels: Pixels, mesh: Mesh) -> Probe | QualityIssue:
        """Make a face in (H, W, 3) RGB a probe, or say what it lacks. Raises ModelError."""
        height, width = pixels.shape[:2]
        if is_cut_off(mesh, height, width):
            return QualityIssue.CUT_OFF
        try:
            aligned = align(pixels, mesh.five)
        except ValueError:
            return QualityIssue.UNREADABLE
        quality = assess(mesh, aligned)
        failed = issue(quality, self._limits)
        if failed is not None:
            return failed
        return Probe(self._embedder.embed(aligned), quality)


def load_pipeline(
    models_directory: "Path", limits: "Limits", threads: int = 1, embedder: str = "embedder"
) -> Pipeline:
    """Load the models of a folder. embedder: as the name of load_model. Raises ModelError."""
    return Pipeline(
        (
            Detector(load_model(models_directory, "detector", threads=threads), NEAR),
            Detector(load_model(models_directory, "detector_far", threads=threads), FAR),
        ),
        Landmarker(load_model(models_directory, "landmarks", threads=threads)),
        Embedder(load_model(models_directory, embedder, threads=threads)),
        limits,
    )
