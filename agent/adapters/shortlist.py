"""Shortlists of large galleries, made with faiss, which an installation may or may not have."""

from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from agent.core.types import Float32, Shortlist
from agent.errors import ConfigError

LENGTH = 256
"""Rows on a shortlist: of a million random vectors the next ones are far below the best."""
LEVELS = 255
ROUNDING = 1e-4
"""Cosine by which sums of float32 may differ, far more than they do."""


def require_faiss() -> None:
    """Raise ConfigError where faiss is not installed."""
    if find_spec("faiss") is None:
        raise ConfigError(
            "large_gallery: faiss is not installed: pip install 'doorward[large-gallery]', or set "
            "it to false"
        )


def shortlist_of(matrix: Float32) -> Shortlist | None:
    """Index finite unit vectors (N, D), each number in 8 bits; None where there are few anyway.

    What each row may score beyond what its 8 bits say is bounded: every number is at most half a
    step of its dimension off.
    """
    import faiss

    if not len(matrix) > LENGTH:
        return None
    steps = (matrix.max(axis=0) - matrix.min(axis=0)) / LEVELS
    index = faiss.IndexScalarQuantizer(
        matrix.shape[1], faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    # The agent has one processor for this, and another for the camera.
    faiss.omp_set_num_threads(1)
    index.train(matrix)
    index.add(matrix)

    def shortlist(vector: Float32) -> tuple[NDArray[np.intp], float]:
        scores, rows = index.search(vector[None], LENGTH)
        slack = float(np.abs(vector) @ steps) / 2 + ROUNDING
        return np.sort(rows[0]).astype(np.intp), float(scores[0, -1]) + slack

    return shortlist
