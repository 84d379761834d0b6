"""The recipe that makes an int8 MobileFaceNet of operators that are fast in int8.

Post-training quantisation alone costs this network its accuracy: its PReLU slopes run from -9 to 9
and its channels differ in range by two orders of magnitude. Steps 1 to 4 therefore rewrite the
float graph without changing what it computes; step 5 rounds it.

Ranges come from running the float graph, and another CPU sums floats in another order. Whatever is
computed from them is therefore rounded, equalising factors to a quarter of an octave and scales to
eight bits, so that every CPU makes the same file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from flatbuffer_graph import Graph, Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]

INPUT_RANGE = (-127.5 / 128, 127.5 / 128)
"""What (x - 127.5) / 128 makes of uint8: the input's range needs no calibration."""

RANGE_MARGIN = 1.06
"""Calibration shows few people, and others will exceed their ranges. Of 1, 1.06, 1.1, 1.2 and 1.35
this one loses least on faces that were not calibrated on."""

CONVOLUTIONS = (Kind.CONV_2D, Kind.DEPTHWISE_CONV_2D)
# The channel axis of a convolution's weights that is quantised one scale to a channel.
OUTPUT_AXIS = {Kind.CONV_2D: 0, Kind.DEPTHWISE_CONV_2D: 3}
# The first kernel versions that take int8, with one scale per channel in the convolutions.
INT8_VERSIONS = {
    Kind.CONV_2D: 3,
    Kind.DEPTHWISE_CONV_2D: 3,
    Kind.MUL: 2,
    Kind.MAXIMUM: 2,
    Kind.ADD: 2,
    Kind.DEQUANTIZE: 2,
}
# Quieter channels are treated as 1/64 of the loudest: equalising them further only adds noise.
LOUDEST_TO_QUIETEST = 64.0


class Range(NamedTuple):
    """The lowest and highest values seen in each channel of an activation, (C,) float32 each."""

    low: Float32
    high: Float32

    @property
    def magnitude(self) -> Float32:
        """Largest absolute value in each channel, (C,)."""
        return np.maximum(np.abs(self.low), np.abs(self.high))


def quantised_embedder(upstream: bytes, faces: Float32) -> bytes:
    """Turn the upstream float32 model into int8 weights and activations, float32 in and out.

    Args:
        upstream: the .tflite file's bytes.
        faces: aligned faces to calibrate on, (N, 112, 112, 3), scaled as the network takes them.
    """
    graph = Graph(upstream)
    set_single_batch(graph)
    collapse_prelu(graph)
    flip_steep_slopes(graph)
    equalise(graph, faces)
    split_prelu(graph)
    quantise(graph, faces)
    return graph.to_bytes()


def set_single_batch(graph: Graph) -> None:
    """Step 1: make a graph of any fixed batch size take one image."""
    for index in graph.activations():
        graph.reshape(index, [1, *graph.shape(index)[1:]])
    for operator in graph.operators:
        if graph.kind(operator) == Kind.RESHAPE:
            target = graph.constant(operator.inputs[1])
            target[0] = 1
            graph.set_constant(operator.inputs[1], target)
            operator.builtinOptions.newShape = target.tolist()


def collapse_prelu(graph: Graph) -> None:
    """Step 1: write relu(x) + (a / 2) * (x - |x|) as the PRELU(x, a) that it is."""
    makers = graph.producers()
    for place, operator in enumerate(graph.operators):
        found = _spelt_prelu(graph, makers, operator)
        if found:
            x, half_slope = found
            slope = 2 * graph.constant(half_slope).reshape(1, 1, -1)
            name = graph.name(operator.outputs[0])
            inputs = [x, graph.add_constant(f"{name}/slope", slope)]
            graph.operators[place] = graph.operator(Kind.PRELU, inputs, operator.outputs[0])
    graph.prune()


def _spelt_prelu(graph: Graph, makers: dict[int, Any], add: Any) -> tuple[int, int] | None:
    """Return the tensors x and a / 2 if `add` ends the spelling of a PReLU."""

    def inputs_of(tensor: int, kind: int) -> list[int]:
        maker = makers.get(tensor)
        return list(maker.inputs) if maker is not None and graph.kind(maker) == kind else []

    if graph.kind(add) != Kind.ADD:
        return None
    positive, negative = inputs_of(add.inputs[0], Kind.RELU), inputs_of(add.inputs[1], Kind.MUL)
    if not (positive and negative):
        return None
    [x], [half_slope, difference] = positive, negative
    subtracted = inputs_of(difference, Kind.SUB)
    if subtracted[:1] == [x] and inputs_of(subtracted[1], Kind.ABS) == [x]:
        return x, half_slope
    return None


def flip_steep_slopes(graph: Graph) -> None:
    """Step 2: negate the channels of each PReLU whose slope exceeds 1 in magnitude.

    prelu(x, a) = -a * prelu(-x, 1 / a): the layer before takes the sign, the layer after the
    factor, and every slope ends up within -1 to 1, as step 4 needs.
    """
    for before, prelu, after in _prelus(graph):
        slope = graph.constant(prelu.inputs[1])
        steep = np.abs(slope) > 1
        safe = np.where(steep, slope, 1)
        _scale_outputs(graph, before, np.where(steep, -1, 1).ravel())
        _scale_inputs(graph, after, np.where(steep, -slope, 1).ravel())
        graph.set_constant(prelu.inputs[1], np.where(steep, 1 / safe, slope).astype(np.float32))


def equalise(graph: Graph, faces: Float32) -> None:
    """Step 3: give the channels of each activation like ranges, so that one scale fits them all.

    A channel is multiplied by some s > 0 where it is made and divided by it where it is read; PReLU
    and ADD in between let that pass. Tensors that an ADD ties together share one s.
    """
    seen = observe(graph, faces)
    for before, prelu, after in _prelus(graph):
        loudest = np.maximum(*(seen[t].magnitude for t in (prelu.inputs[0], prelu.outputs[0])))
        _rescale(graph, [before], [after], loudest)

    readers, makers = graph.consumers(), graph.producers()
    for stream in _residual_streams(graph):
        after = [op for t in stream for op in readers.get(t, []) if graph.kind(op) != Kind.ADD]
        if after and all(graph.kind(op) in CONVOLUTIONS for op in after):
            before = [makers[t] for t in stream if graph.kind(makers[t]) != Kind.ADD]
            loudest = np.max([seen[t].magnitude for t in stream], axis=0)
            _rescale(graph, before, after, loudest)


def _rescale(graph: Graph, before: list[Any], after: list[Any], loudest: Float32) -> None:
    """Multiply the channels between `before` and `after`, whose largest values are `loudest`."""
    weights = np.max([_input_magnitude(graph, op) for op in after], axis=0)
    quiet, light = _relative(loudest), _relative(weights)
    # A depthwise layer has a scale to each channel, so its weights may take any factor; another
    # layer's weights share theirs across input channels, so the burden is halved between both.
    share = 1.0 if all(graph.kind(op) == Kind.DEPTHWISE_CONV_2D for op in after) else 0.5
    octaves = (1 - share) * np.log2(light) - share * np.log2(quiet)
    factor = 2.0 ** (np.rint(4 * (octaves - np.median(octaves))) / 4)
    for operator in before:
        _scale_outputs(graph, operator, factor)
    for operator in after:
        _scale_inputs(graph, operator, 1 / factor)


def _relative(magnitude: Float32) -> Float32:
    relative: Float32 = magnitude / magnitude.max()
    return np.maximum(relative, 1 / LOUDEST_TO_QUIETEST)


def _prelus(graph: Graph) -> list[tuple[Any, Any, Any]]:
    """Return each PRELU with the one operator before it and the one after it."""
    makers, readers = graph.producers(), graph.consumers()
    found = []
    for operator in graph.operators:
        if graph.kind(operator) == Kind.PRELU:
            x, y = operator.inputs[0], operator.outputs[0]
            [_], [after] = readers[x], readers[y]
            found.append((makers[x], operator, after))
    return found


def _residual_streams(graph: Graph) -> list[set[int]]:
    """Return the sets of tensors that stand on one scale because ADDs connect them."""
    before_prelu = {int(prelu.inputs[0]) for _, prelu, _ in _prelus(graph)}
    streams: dict[int, set[int]] = {}
    for operator in graph.operators:
        made = int(operator.outputs[0])
        if graph.kind(operator) == Kind.ADD:
            joined = {made}.union(*(streams[int(tensor)] for tensor in operator.inputs))
            streams.update(dict.fromkeys(joined, joined))
        elif graph.kind(operator) in CONVOLUTIONS and made not in before_prelu:
            streams[made] = {made}
    return list({id(stream): stream for stream in streams.values()}.values())


def split_prelu(graph: Graph) -> None:
    """Step 4: write PRELU(x, a) as max(x, a * x), equal for every a <= 1.

    XNNPACK takes an int8 MUL, and the runtime's own int8 MAXIMUM costs little; its PRELU takes
    twenty times as long as both. MODEL_CARD.md has what else was tried.
    """
    rewritten = []
    for operator in graph.operators:
        if graph.kind(operator) != Kind.PRELU:
            rewritten.append(operator)
            continue
        x, y = operator.inputs[0], operator.outputs[0]
        slope = graph.constant(operator.inputs[1]).ravel()
        line = graph.add_activation(f"{graph.name(y)}/line", graph.shape(x))
        factors = graph.add_constant(f"{graph.name(y)}/slope", slope)
        rewritten += [
            graph.operator(Kind.MUL, [x, factors], line, "MulOptions"),
            graph.operator(Kind.MAXIMUM, [x, line], y, "MaximumMinimumOptions"),
        ]
    graph.operators = rewritten
    graph.prune()


def quantise(graph: Graph, faces: Float32) -> None:
    """Step 5: round weights and activations to int8, keeping float32 at both ends."""
    ranges = observe(graph, faces)
    for operator in graph.operators:
        if graph.kind(operator) == Kind.MAXIMUM:
            # The kernel compares the stored numbers, so what they stand for must be the same.
            compared = [int(tensor) for tensor in (*operator.inputs, *operator.outputs)]
            low, high = zip(*(ranges[tensor] for tensor in compared), strict=True)
            ranges |= dict.fromkeys(compared, Range(np.min(low, axis=0), np.max(high, axis=0)))
    scales = {
        index: _int8_scale(RANGE_MARGIN * seen.low.min(), RANGE_MARGIN * seen.high.max())
        for index, seen in ranges.items()
    }
    scales[graph.inputs[0]] = _int8_scale(*INPUT_RANGE)
    for operator in graph.operators:
        kind, inputs = graph.kind(operator), operator.inputs
        if kind == Kind.RESHAPE:
            scales[operator.outputs[0]] = scales[inputs[0]]
        elif kind in CONVOLUTIONS:
            _quantise_convolution(graph, operator, scales[inputs[0]][0])
        elif kind == Kind.MUL:
            factors = graph.constant(inputs[1])
            step = np.abs(factors).max() / 127
            graph.set_constant(inputs[1], np.rint(factors / step).astype(np.int8))
            graph.quantised(inputs[1], [step], [0])
    for index, (scale, zero_point) in scales.items():
        graph.set_int8(index, scale, zero_point)

    [inner_in], [inner_out] = graph.inputs, graph.outputs
    outer_in = graph.add_activation("face", graph.shape(inner_in))
    outer_out = graph.add_activation("embedding", graph.shape(inner_out))
    graph.operators = [
        graph.operator(Kind.QUANTIZE, [outer_in], inner_in, "QuantizeOptions"),
        *graph.operators,
        graph.operator(Kind.DEQUANTIZE, [inner_out], outer_out, "DequantizeOptions"),
    ]
    graph.inputs, graph.outputs = [outer_in], [outer_out]
    for kind, version in INT8_VERSIONS.items():
        graph.set_version(kind, version)


def _int8_scale(lowest: float, highest: float) -> tuple[float, int]:
    """Return the scale and zero point that spread a range, and 0, over -128 to 127."""
    low, high = min(float(lowest), 0.0), max(float(highest), 0.0)
    mantissa, exponent = np.frexp(max((high - low) / 255, 1e-9))
    scale = float(np.ldexp(np.rint(256 * mantissa) / 256, exponent))
    return scale, int(np.clip(round(-128 - low / scale), -128, 127))


def _quantise_convolution(graph: Graph, operator: Any, input_scale: float) -> None:
    axis = OUTPUT_AXIS[graph.kind(operator)]
    _, weights_at, bias_at = operator.inputs
    weights, bias = graph.constant(weights_at), graph.constant(bias_at)
    others = tuple(i for i in range(weights.ndim) if i != axis)
    step = np.maximum(np.abs(weights).max(others, keepdims=True) / 127, 1e-12)
    graph.set_constant(weights_at, np.rint(weights / step).astype(np.int8))
    graph.quantised(weights_at, step.ravel(), [0] * step.size, axis=axis)
    # The kernel adds the bias to a sum of products, whose unit is the product of both steps.
    unit = step.ravel().astype(np.float64) * input_scale
    graph.set_constant(bias_at, np.rint(bias / unit).astype(np.int32))
    graph.quantised(bias_at, unit, [0] * unit.size)


def observe(graph: Graph, faces: Float32) -> dict[int, Range]:
    """Run the float graph over the faces and return each activation's range, per channel."""
    # A delegate keeps the tensors between its operators to itself.
    interpreter = Interpreter(
        model_content=graph.to_bytes(),
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    seen: dict[int, Range] = {}
    for face in faces:
        interpreter.set_tensor(graph.inputs[0], face[np.newaxis])
        interpreter.invoke()
        for index in graph.activations():
            values = interpreter.get_tensor(index)
            channels = values.reshape(-1, values.shape[-1])
            low, high = channels.min(axis=0), channels.max(axis=0)
            if index in seen:
                low, high = np.minimum(low, seen[index].low), np.maximum(high, seen[index].high)
            seen[index] = Range(low, high)
    return seen


def _scale_outputs(graph: Graph, operator: Any, factor: NDArray[Any]) -> None:
    """Multiply a convolution's output channels."""
    _, weights_at, bias_at = operator.inputs
    axis = OUTPUT_AXIS[graph.kind(operator)]
    weights = graph.constant(weights_at)
    shape = [-1 if i == axis else 1 for i in range(weights.ndim)]
    graph.set_constant(weights_at, (weights * factor.reshape(shape)).astype(np.float32))
    graph.set_constant(bias_at, (graph.constant(bias_at) * factor).astype(np.float32))


def _scale_inputs(graph: Graph, operator: Any, factor: NDArray[Any]) -> None:
    """Multiply what a convolution makes of each input channel; that axis is always the last."""
    weights = graph.constant(operator.inputs[1])
    graph.set_constant(operator.inputs[1], (weights * factor).astype(np.float32))


def _input_magnitude(graph: Graph, operator: Any) -> Float32:
    """Return the largest absolute weight on each input channel, (C,)."""
    weights = np.abs(graph.constant(operator.inputs[1]))
    return np.asarray(weights.reshape(-1, weights.shape[-1]).max(axis=0), np.float32)
