"""The committed networks as checked functions, and the only module that knows a TFLite runtime.

`models/manifest.toml` says what each model is. A file is read once, compared with the manifest's
SHA-256 and parsed from those same bytes: an interpreter trusts its input, and some crash on a
damaged one.
"""

import hashlib
import importlib
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError

STDERR = 2

PACKAGES = {"litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}
"""The runtimes by family, the preferred one first."""

RUNTIME: Final = next((family for family, name in PACKAGES.items() if find_spec(name)), "none")
"""The runtime family: "litert", else "tflite-runtime"; with "none" installed no model loads.

Both run the same files, but their int8 arithmetic differs: embeddings of one face agree to a cosine
of about 0.995 only, so a reference belongs to the family that made it.
"""


@dataclass(frozen=True, slots=True)
class _Tensor:
    """What the manifest declares of an input or output."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class _Declaration:
    """One model's entry in the manifest."""

    name: str
    path: Path
    digest: str
    input: _Tensor
    outputs: tuple[_Tensor, ...]


class Model:
    """A network that has been compared with its manifest; not for two threads at once.

    name: its table in the manifest. digest: SHA-256 of its file, hexadecimal.
    """

    __slots__ = ("_input", "_interpreter", "_outputs", "_shape", "digest", "name")

    def __init__(self, declared: _Declaration, interpreter: Any) -> None:  # noqa: ANN401
        self.name = declared.name
        self.digest = declared.digest
        self._interpreter = interpreter
        self._shape = declared.input.shape
        [self._input] = _indices(declared.path, interpreter.get_input_details(), [declared.input])
        self._outputs = _indices(declared.path, interpreter.get_output_details(), declared.outputs)

    def __call__(self, tensor: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run the network once.

        Args:
            tensor: float32 of the shape and scaling that the manifest declares, all finite.

        Returns:
            A copy of each output, in the manifest's order.

        Raises:
            ValueError: the tensor is none of that; one NaN would make every output NaN.
        """
        if not (tensor.shape == self._shape and tensor.dtype == np.float32):
            raise ValueError(
                f"{self.name}: takes float32 of {self._shape}, not {tensor.dtype} of {tensor.shape}"
            )
        if not np.isfinite(tensor).all():
            raise ValueError(f"{self.name}: takes finite numbers only")
        self._interpreter.set_tensor(self._input, tensor)
        self._interpreter.invoke()
        return tuple(self._interpreter.get_tensor(index) for index in self._outputs)


def load_model(directory: Path, name: str, *, threads: int = 1) -> Model:
    """Load a model.

    Args:
        directory: holds manifest.toml and the files that it names.
        name: a table of the manifest, such as "landmarks", or "embedder", for the form of it that
            the manifest puts in force with this runtime.
        threads: how many the interpreter may use, at least 1.

    Raises:
        ModelError: the file is missing or not the declared one, or no runtime can run it.
    """
    if RUNTIME not in PACKAGES:
        raise ModelError("no runtime for the models is installed: pip install ai-edge-litert")
    declared = _declaration(directory / "manifest.toml", name)
    try:
        content = declared.path.read_bytes()
    except OSError as error:
        raise ModelError(f"{declared.path}: {error.strerror}; reinstall Doorward") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != declared.digest:
        raise ModelError(
            f"{declared.path}: damaged or replaced, SHA-256 {digest} where manifest.toml declares "
            f"{declared.digest}; reinstall Doorward"
        )
    return Model(declared, _interpreter(declared.path, content, threads))


def _declaration(manifest: Path, name: str) -> _Declaration:
    try:
        document = tomllib.loads(manifest.read_text(encoding="utf-8"))
        table = document[name][RUNTIME] if name == "embedder" else name
        entry = document[table]
        return _Declaration(
            name=table,
            path=manifest.parent / entry["file"],
            digest=entry["sha256"],
            input=_tensor(entry["input"]),
            outputs=tuple(_tensor(output) for output in entry["outputs"]),
        )
    except OSError as error:
        raise ModelError(f"{manifest}: {error.strerror}; reinstall Doorward") from error
    except ValueError as error:
        raise ModelError(f"{manifest}: is no TOML, {error}; reinstall Doorward") from error
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"{manifest}: does not declare {name} in full, {error}; reinstall Doorward"
        ) from error


def _tensor(entry: dict[str, Any]) -> _Tensor:
    return _Tensor(entry["name"], tuple(entry["shape"]), entry["dtype"])


def _interpreter(path: Path, content: bytes, threads: int) -> Any:  # noqa: ANN401
    """Parse a model's bytes; the runtime is imported here, since no other command needs it."""
    # It imports all the same and fails at the first model with a bare SystemError.
    if RUNTIME == "tflite-runtime" and int(np.__version__.split(".")[0]) > 1:
        raise ModelError(
            f"tflite-runtime cannot work with numpy {np.__version__}: pip install 'numpy<2'"
        )
    try:
        module = importlib.import_module(f"{PACKAGES[RUNTIME]}.interpreter")
    except ImportError as error:
        raise ModelError(
            f"{RUNTIME} cannot be imported, {error}: reinstall the package {PACKAGES[RUNTIME]}"
        ) from error
    try:
        with _unheard():
            interpreter = module.Interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{path}: {RUNTIME} cannot run it, {reason}; reinstall Doorward"
        ) from error
    return interpreter


@contextmanager
def _unheard() -> Iterator[None]:
    # TFLite announces its delegate on stderr, from C++ and with no switch for it: an operator who
    # reads one line for an error would read two.
    try:
        heard = os.dup(STDERR)
    except OSError:
        yield  # Nobody listens.
        return
    silence = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silence, STDERR)
        yield
    finally:
        os.dup2(heard, STDERR)
        os.close(silence)
        os.close(heard)


def _indices(
    path: Path, details: list[dict[str, Any]], declared: tuple[_Tensor, ...] | list[_Tensor]
) -> list[int]:
    """Return the index of each declared tensor, or ModelError if the graph has other ones."""
    found = {
        _Tensor(detail["name"], tuple(map(int, detail["shape"])), np.dtype(detail["dtype"]).name): (
            int(detail["index"])
        )
        for detail in details
    }
    if set(found) != set(declared):
        raise ModelError(
            f"{path}: has the tensors {_listed(found)} where manifest.toml declares "
            f"{_listed(declared)}; reinstall Doorward"
        )
    return [found[tensor] for tensor in declared]


def _listed(tensors: Any) -> str:  # noqa: ANN401
    return ", ".join(f"{t.name} {t.dtype}{list(t.shape)}" for t in tensors)
