"""Writes docs/schema/ from the shapes that the code itself reads and writes: `make schemas`."""

import inspect
import json
import re
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from agent.wire.commands import SHAPES, ButtonPress, LeaveRequest, LockPress
from agent.wire.events import EVENTS, Ack, Envelope
from agent.wire.states import Alarm, Challenge, Reply, State

Schema: TypeAlias = dict[str, Any]

FOLDER = Path(__file__).parent.parent / "docs" / "schema"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
KINDS: dict[str, type] = {
    "ack": Ack,
    "reply": Reply,
    "challenge": Challenge,
    "state": State,
    "duress": Alarm,
    "cmd-broker-lock": LockPress,
    "cmd-broker-button": ButtonPress,
    "cmd-leave": LeaveRequest,
    **{f"cmd-{operation}": shape for operation, shape in SHAPES.items()},
}
SAID_BY_DOORS = (Envelope, Reply, Challenge, State, Alarm)
"""To the lists of words in these a later version may add."""
_PLACE = "#/$defs/{name}"


def schemas() -> dict[str, Schema]:
    """Give the schema of every kind of message by its name."""
    return {"event": _event(), **{name: _of(shape) for name, shape in KINDS.items()}}


def files() -> dict[str, str]:
    """Give what each file in FOLDER is to hold."""
    return {
        f"{name}.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas().items()
    }


def write() -> None:
    """Make FOLDER hold these files and no others."""
    FOLDER.mkdir(exist_ok=True)
    wanted = files()
    for path in FOLDER.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, content in wanted.items():
        (FOLDER / name).write_text(content, encoding="utf-8")


def _event() -> Schema:
    """Bind each kind of event to its own shape."""
    shapes, parts = msgspec.json.schema_components(EVENTS.values(), ref_template=_PLACE)
    each = [
        {"properties": {"kind": {"const": kind}, "event": shape}}
        for kind, shape in zip(EVENTS, shapes, strict=True)
    ]
    envelope = _of(Envelope)
    return envelope | {"oneOf": each} | _definitions(parts, is_open=True)


def _of(shape: type) -> Schema:
    _, parts = msgspec.json.schema_components([shape], ref_template=_PLACE)
    whole = parts.pop(shape.__name__)
    if shape is State:
        # msgspec leaves out what the keys may be.
        whole["properties"]["refused"]["propertyNames"] = {"$ref": "#/$defs/Rejection"}
    is_open = shape in SAID_BY_DOORS
    return {"$schema": DIALECT, **_tidied(whole), **_definitions(parts, is_open=is_open)}


def _definitions(parts: Schema, *, is_open: bool) -> Schema:
    defined = {name: _tidied(parts[name]) for name in sorted(parts)}
    for each in defined.values():
        if is_open and "enum" in each:
            each |= {"type": "string", "examples": each.pop("enum")}
    return {"$defs": defined} if defined else {}


def _tidied(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Say it in the words of JSON and ECMA 262, where msgspec has taken those of Python."""
    if isinstance(value, list):
        return [_tidied(each) for each in value]
    if not isinstance(value, dict):
        return value
    tidied = {key: _tidied(each) for key, each in value.items()}
    if isinstance(tidied.get("pattern"), str):
        tidied["pattern"] = tidied["pattern"].replace(r"\A", "^").replace(r"\Z", "$")
    if isinstance(tidied.get("description"), str):
        described = re.sub(r"\bNone\b", "null", inspect.cleandoc(tidied["description"]))
        # Of the line ends of the source only those between paragraphs mean something.
        tidied["description"] = re.sub(r"(?<!\n)\n(?!\n)", " ", described)
    return tidied


if __name__ == "__main__":
    write()
