"""Aligned faces to embeddings."""

from typing import TYPE_CHECKING

import numpy as np

from agent.core.types import AlignedFace, Embedding
from agent.errors import ModelError
from agent.vision.models import RUNTIME

if TYPE_CHECKING:
    from agent.vision.models import Model


class Embedder:
    """MobileFaceNet (Chen et al., 2018). model: what every embedding of it bears."""

    def __init__(self, model: "Model") -> None:
        self._model = model
        # The same file computes slightly different vectors in another runtime.
        self.model = f"{model.digest}/{RUNTIME}"

    def embed(self, face: AlignedFace) -> Embedding:
        """Embed one face. Raises ModelError where the model gives no direction."""
        tensor = np.subtract(face.pixels, np.float32(127.5), dtype=np.float32)[None]
        tensor *= np.float32(1 / 128)
        (raw,) = self._model(tensor)
        vector = raw.reshape(-1).astype(np.float64)
        norm = float(np.linalg.norm(vector))
        if not 0 < norm < np.inf:
            raise ModelError(
                f"{self._model.name}: the embedding's norm is {norm}: put back the model that came "
                "with Doorward"
            )
        return Embedding((vector / norm).astype(np.float32), self.model)
