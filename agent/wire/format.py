"""What all payloads have in common: JSON that says one thing only, and not too much of it."""

import json
from typing import Literal, TypeAlias, TypeVar

import msgspec

from agent.core.orders import MAX_PAYLOAD

MAX_INTEGER = 2**63 - 1

Version: TypeAlias = Literal[1]
"""Of the contract: fields and words may be added while it is 1, and what is there stays."""
_T = TypeVar("_T")


def decode(payload: bytes, shape: type[_T]) -> _T:
    """Read JSON of this shape. Raises ValueError, and nothing else."""
    if not len(payload) <= MAX_PAYLOAD:
        raise ValueError(f"{len(payload)} bytes are more than {MAX_PAYLOAD}")
    try:
        value = msgspec.json.decode(payload, type=shape)
        # msgspec keeps the last of two equal keys, where another reader may keep the first.
        json.loads(payload, object_pairs_hook=_require_distinct)
    except (ValueError, RecursionError) as error:
        # UnicodeDecodeError among others: its own type would hide that this is the only one.
        raise ValueError(str(error)) from None
    return value


def _require_distinct(pairs: list[tuple[str, object]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key occurs twice")
