"""The recipe of the float MobileFaceNet: what upstream computes, in half the bytes.

Weights are rounded to float16, and the runtime makes them float32 again when it loads the model: it
computes with float32 as upstream does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from flatbuffer_graph import FLOAT32, Graph, Kind
from int8 import collapse_prelu, set_single_batch

if TYPE_CHECKING:
    from typing import Any

FLOAT16_VERSION = 3
"""The first DEQUANTIZE that takes float16."""


def float_embedder(upstream: bytes) -> bytes:
    """Turn the upstream .tflite file's bytes into those of the float form."""
    graph = Graph(upstream)
    set_single_batch(graph)
    collapse_prelu(graph)
    halve(graph)
    return graph.to_bytes()


def halve(graph: Graph) -> None:
    """Round float32 constants to float16, each made float32 again by a DEQUANTIZE."""
    activations = set(graph.activations())
    widening: dict[int, Any] = {}
    for operator in graph.operators:
        for place, tensor in enumerate(map(int, operator.inputs)):
            if tensor in activations or graph.type(tensor) != FLOAT32:
                continue
            if tensor not in widening:
                values, name = graph.constant(tensor).astype(np.float16), graph.name(tensor)
                wide = graph.add_activation(f"{name}/float32", values.shape)
                half = graph.add_constant(f"{name}/float16", values)
                widening[tensor] = graph.operator(
                    Kind.DEQUANTIZE, [half], wide, "DequantizeOptions"
                )
            operator.inputs[place] = widening[tensor].outputs[0]
    graph.operators = [*widening.values(), *graph.operators]
    graph.set_version(Kind.DEQUANTIZE, FLOAT16_VERSION)
    graph.prune()
