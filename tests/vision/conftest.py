from __future__ import annotations

import pytest

from agent.config import Quality
from agent.vision.detect import FAR, NEAR, Detector, Landmarker
from agent.vision.embed import Embedder
from agent.vision.models import load_model
from agent.vision.pipeline import Pipeline, load_pipeline
from tests.vision.scenes import MODELS


@pytest.fixture(scope="session")
def near_detector() -> Detector:
    return Detector(load_model(MODELS, "detector"), NEAR)


@pytest.fixture(scope="session")
def far_detector() -> Detector:
    return Detector(load_model(MODELS, "detector_far"), FAR)


@pytest.fixture(scope="session")
def landmarks() -> Landmarker:
    return Landmarker(load_model(MODELS, "landmarks"))


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    return Embedder(load_model(MODELS, "embedder"))


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    return load_pipeline(MODELS, Quality())
