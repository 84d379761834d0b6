"""The calibration that belongs to an embedder: threshold to false match rate."""

import tomllib
from typing import TYPE_CHECKING, Any

from agent.core.matching import Calibration, Curve, OperatingPoint
from agent.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 2
MEND = "reinstall Doorward, or make it anew with `doorward calibrate`"


def load_calibration(directory: "Path", model: str) -> Calibration:
    """Read calibration.toml from a folder of models.

    Args:
        directory: holds calibration.toml.
        model: as in Embedding: digest and runtime family.

    Raises:
        ModelError: the file is missing, malformed or has no entry for this model.
    """
    path = directory / "calibration.toml"
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise ModelError(f"{path}: schema {document['schema']}, not {SCHEMA}: {MEND}")
        provisional = document["provisional"]
        if not isinstance(provisional, bool):
            raise ModelError(f"{path}: provisional is neither true nor false: {MEND}")
        entries = [entry for entry in document["calibration"] if entry["model"] == model]
        if not entries:
            raise ModelError(f"{path}: has no calibration for {model}: {MEND}")
        curves = tuple(_curve(curve) for curve in entries[0]["curve"])
        return Calibration(model, provisional, curves)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}: {MEND}") from None
    except KeyError as error:
        raise ModelError(f"{path}: lacks {error}: {MEND}") from None
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{path}: cannot be used, {reason}: {MEND}") from None


def _curve(entry: dict[str, Any]) -> Curve:
    return Curve(
        references=int(entry["references"]),
        frames=int(entry["frames"]),
        measured_to=float(entry["measured_to"]),
        points=tuple(OperatingPoint(float(t), float(fmr)) for t, fmr in entry["points"]),
    )
