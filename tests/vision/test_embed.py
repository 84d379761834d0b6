from itertools import combinations

import numpy as np
import pytest

from agent.core.types import AlignedFace, Embedding, Float32
from agent.errors import ModelError
from agent.vision.align import align
from agent.vision.detect import Detector, Landmarker
from agent.vision.embed import Embedder
from agent.vision.models import RUNTIME, Model, load_model
from tests.vision.scenes import MODELS, PEOPLE, photograph


@pytest.fixture(scope="module")
def embeddings(
    near_detector: Detector, landmarks: Landmarker, embedder: Embedder
) -> dict[str, Embedding]:
    made = {}
    for name in PEOPLE:
        pixels = photograph(name)
        mesh = landmarks.locate(pixels, near_detector.find(pixels)[0])
        assert mesh is not None
        made[name] = embedder.embed(align(pixels, mesh.five))
    return made


def test_photographs_of_one_person_are_alike_and_of_two_are_not(
    embeddings: dict[str, Embedding],
) -> None:
    for one, other in combinations(PEOPLE, 2):
        cosine = float(embeddings[one].vector @ embeddings[other].vector)
        if PEOPLE[one] == PEOPLE[other]:
            assert cosine > 0.7, (one, other)
        else:
            assert cosine < 0.35, (one, other)


def test_an_embedding_bears_the_model_and_the_runtime_that_made_it(
    embeddings: dict[str, Embedding],
) -> None:
    model = load_model(MODELS, "embedder")
    assert {each.model for each in embeddings.values()} == {f"{model.digest}/{RUNTIME}"}


def test_the_same_pixels_give_the_same_embedding(embedder: Embedder) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    first, again = (embedder.embed(AlignedFace(pixels.copy())) for _ in range(2))
    np.testing.assert_array_equal(first.vector, again.vector)


def test_red_and_blue_are_not_mistaken_for_each_other(embedder: Embedder) -> None:
    pixels = np.full((112, 112, 3), (200, 90, 60), np.uint8)
    tensor = ((pixels.astype(np.float32) - 127.5) / np.float32(128))[None]
    [raw] = load_model(MODELS, "embedder")(tensor)
    expected = raw[0] / np.linalg.norm(raw[0])
    swapped = np.ascontiguousarray(pixels[..., ::-1])
    assert embedder.embed(AlignedFace(pixels)).vector @ expected == pytest.approx(1, abs=1e-5)
    assert embedder.embed(AlignedFace(swapped)).vector @ expected < 0.99


class Broken(Model):
    """A model that answers with one vector, whatever it is asked."""

    def __init__(self, answer: Float32) -> None:
        self.name, self.digest, self._answer = "broken", "0", answer

    def __call__(self, tensor: Float32) -> tuple[Float32, ...]:
        assert tensor.shape == (1, 112, 112, 3)
        return (self._answer[None],)

    __slots__ = ("_answer",)


@pytest.mark.parametrize("value", [0, np.nan, np.inf])
def test_an_embedding_without_direction_is_refused(value: float) -> None:
    embedder = Embedder(Broken(np.full(192, value, np.float32)))
    with pytest.raises(ModelError, match="broken: the embedding's norm is"):
        embedder.embed(AlignedFace(np.zeros((112, 112, 3), np.uint8)))
