"""One TFLite graph as the schema's mutable objects: read it, rewrite it, write it back.

Holds only what the embedder's recipes need. Tensors and operators keep their indices until `prune`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

Kind = schema.BuiltinOperator
INT8: int = schema.TensorType.INT8
INT32: int = schema.TensorType.INT32
FLOAT16: int = schema.TensorType.FLOAT16
FLOAT32: int = schema.TensorType.FLOAT32

_DTYPES = {FLOAT32: np.float32, FLOAT16: np.float16, INT32: np.int32, INT8: np.int8}
_TYPES = {np.dtype(dtype): number for number, dtype in _DTYPES.items()}
_FILE_IDENTIFIER = b"TFL3"
# Readers older than 2.4 know an operator by this one-byte field; 127 there means "see builtinCode".
_LAST_DEPRECATED_CODE = 127


class Graph:
    """The first subgraph of a TFLite model; a model with more than one is refused.

    Attributes:
        operators: in execution order; a list that callers may replace.
        inputs: tensor indices.
        outputs: tensor indices.
    """

    def __init__(self, content: bytes) -> None:
        """Unpack a .tflite file's bytes; ValueError unless it holds exactly one subgraph."""
        self._model: Any = schema.ModelT.InitFromPackedBuf(content, 0)
        if len(self._model.subgraphs) != 1:
            message = f"expected one subgraph, found {len(self._model.subgraphs)}"
            raise ValueError(message)
        subgraph = self._model.subgraphs[0]
        self._tensors: list[Any] = list(subgraph.tensors)
        self.operators: list[Any] = list(subgraph.operators)
        self.inputs = [int(index) for index in subgraph.inputs]
        self.outputs = [int(index) for index in subgraph.outputs]

    def kind(self, operator: Any) -> int:
        """Return the operator's builtin code, whichever of the schema's two fields holds it."""
        code = self._model.operatorCodes[operator.opcodeIndex]
        return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))

    def producers(self) -> dict[int, Any]:
        """Return tensor index -> the operator that makes it; inputs and constants are absent."""
        return {int(index): operator for operator in self.operators for index in operator.outputs}

    def consumers(self) -> dict[int, list[Any]]:
        """Return tensor index -> the operators that read it, in execution order."""
        readers: dict[int, list[Any]] = {}
        for operator in self.operators:
            for index in operator.inputs:
                readers.setdefault(int(index), []).append(operator)
        return readers

    def activations(self) -> list[int]:
        """Return the indices of every tensor computed at run time, the inputs included."""
        return sorted({*self.inputs, *self.producers()})

    def name(self, index: int) -> str:
        """Return the tensor's name."""
        return str(self._tensors[index].name.decode())

    def type(self, index: int) -> int:
        """Return the tensor's type: FLOAT32, FLOAT16, INT32 or INT8."""
        return int(self._tensors[index].type)

    def shape(self, index: int) -> list[int]:
        """Return the tensor's shape; a scalar's is empty."""
        return [int(size) for size in self._tensors[index].shape]

    def reshape(self, index: int, shape: Sequence[int]) -> None:
        """Declare another shape for an activation."""
        self._tensors[index].shape = list(shape)

    def constant(self, index: int) -> NDArray[Any]:
        """Return a copy of a constant's values in its shape and type."""
        tensor = self._tensors[index]
        raw = bytes(self._model.buffers[tensor.buffer].data)
        return np.frombuffer(raw, _DTYPES[tensor.type]).reshape(self.shape(index)).copy()

    def set_constant(self, index: int, values: NDArray[Any]) -> None:
        """Replace a constant's values, shape and type."""
        tensor = self._tensors[index]
        tensor.type = _TYPES[values.dtype]
        tensor.shape = list(values.shape)
        self._model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)

    def add_constant(self, name: str, values: NDArray[Any]) -> int:
        """Append a constant and return its index."""
        index = self.add_activation(name, values.shape)
        self.set_constant(index, values)
        return index

    def add_activation(self, name: str, shape: Sequence[int]) -> int:
        """Append a float32 activation and return its index."""
        self._model.buffers.append(schema.BufferT())
        tensor = schema.TensorT()
        tensor.name = name.encode()
        tensor.shape = list(shape)
        tensor.type = FLOAT32
        tensor.buffer = len(self._model.buffers) - 1
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def quantised(
        self, index: int, scale: Iterable[float], zero_point: Iterable[int], *, axis: int = 0
    ) -> None:
        """State that real = scale * (stored - zero_point), one pair for all or one per `axis`."""
        parameters = schema.QuantizationParametersT()
        parameters.scale = [float(value) for value in scale]
        parameters.zeroPoint = [int(value) for value in zero_point]
        parameters.quantizedDimension = axis
        self._tensors[index].quantization = parameters

    def set_int8(self, index: int, scale: float, zero_point: int) -> None:
        """Make an activation int8 with one scale and zero point."""
        self._tensors[index].type = INT8
        self.quantised(index, [scale], [zero_point])

    def operator(self, kind: int, inputs: Sequence[int], output: int, options: str = "") -> Any:
        """Return a new operator, not yet placed in `operators`.

        `options` names the schema's options table, such as "MulOptions".
        """
        operator = schema.OperatorT()
        operator.opcodeIndex = self._opcode(kind)
        operator.inputs, operator.outputs = list(inputs), [output]
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
        return operator

    def set_version(self, kind: int, version: int) -> None:
        """Declare the operator version whose kernel the graph relies on."""
        self._model.operatorCodes[self._opcode(kind)].version = version

    def _opcode(self, kind: int) -> int:
        for index, code in enumerate(self._model.operatorCodes):
            if max(int(code.builtinCode), int(code.deprecatedBuiltinCode)) == kind:
                return index
        code = schema.OperatorCodeT()
        code.builtinCode, code.version = kind, 1
        code.deprecatedBuiltinCode = min(kind, _LAST_DEPRECATED_CODE)
        self._model.operatorCodes.append(code)
        return len(self._model.operatorCodes) - 1

    def prune(self) -> None:
        """Drop operators, tensors and buffers that no output needs; every tensor index changes."""
        needed = set(self.outputs)
        alive = []
        for operator in reversed(self.operators):
            if needed.intersection(map(int, operator.outputs)):
                needed.update(int(index) for index in operator.inputs)
                alive.append(operator)
        self.operators = alive[::-1]
        used = needed | {*self.inputs} | {int(i) for op in alive for i in op.outputs}
        renumbered = {old: new for new, old in enumerate(sorted(used))}
        kept = [self._tensors[index] for index in renumbered]
        buffers = [schema.BufferT()]
        for tensor in kept:
            buffers.append(self._model.buffers[tensor.buffer])
            tensor.buffer = len(buffers) - 1
        for operator in self.operators:
            operator.inputs = [renumbered[int(i)] for i in operator.inputs]
            operator.outputs = [renumbered[int(i)] for i in operator.outputs]
        self._tensors, self._model.buffers = kept, buffers
        self.inputs = [renumbered[index] for index in self.inputs]
        self.outputs = [renumbered[index] for index in self.outputs]
        # These refer to tensors and buffers by their old numbers.
        self._model.metadata = self._model.metadataBuffer = self._model.signatureDefs = None

    def to_bytes(self) -> bytes:
        """Return the .tflite file; the same graph always gives the same bytes."""
        subgraph = self._model.subgraphs[0]
        subgraph.tensors, subgraph.operators = self._tensors, self.operators
        subgraph.inputs, subgraph.outputs = self.inputs, self.outputs
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), _FILE_IDENTIFIER)
        return bytes(builder.Output())
