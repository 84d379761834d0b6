"""As much of JSON Schema (2020-12) as the files in docs/schema/ make use of."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = Mapping[str, Any]

NOTES = {"$schema", "$defs", "title", "description", "default", "examples"}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": _is_number,
    "integer": lambda value: _is_number(value) and value == value // 1,
}


def objections(schema: Schema, value: object) -> list[str]:
    """What in a value is not as the schema has it; nothing where it is valid."""
    return list(_check(schema, schema, value, "$"))


def _check(root: Schema, schema: Schema, value: Any, place: str) -> list[str]:  # noqa: ANN401
    found = []
    for keyword, wanted in schema.items():
        if keyword in NOTES:
            continue
        if keyword in ASSERTIONS:
            if not ASSERTIONS[keyword](wanted, value):
                found.append(f"{place}: {value!r} is not of {keyword} {wanted}")
        else:
            found += PARTS[keyword](root, schema, value, place)
    return found


def _equal(one: object, other: object) -> bool:
    # In JSON true is not 1.
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _found(pattern: str, text: str) -> bool:
    # In ECMA 262 a dollar is the very end, in Python also what comes before a last line end.
    return re.search(pattern.replace("$", r"\Z"), text) is not None


# What says nothing of values that are of another type than it is about.
ASSERTIONS: dict[str, Callable[[Any, Any], bool]] = {
    "type": lambda wanted, value: TYPES[wanted](value),
    "const": _equal,
    "enum": lambda wanted, value: any(_equal(each, value) for each in wanted),
    "minimum": lambda wanted, value: not _is_number(value) or value >= wanted,
    "maximum": lambda wanted, value: not _is_number(value) or value <= wanted,
    "minLength": lambda wanted, value: not isinstance(value, str) or len(value) >= wanted,
    "maxLength": lambda wanted, value: not isinstance(value, str) or len(value) <= wanted,
    "pattern": lambda wanted, value: not isinstance(value, str) or _found(wanted, value),
    "required": lambda wanted, value: not isinstance(value, dict) or set(wanted) <= set(value),
}

_Part: TypeAlias = Callable[[Schema, Schema, Any, str], list[str]]


def _ref(root: Schema, schema: Schema, value: object, place: str) -> list[str]:
    name = schema["$ref"].removeprefix("#/$defs/")
    return _check(root, root["$defs"][name], value, place)


def _properties(root: Schema, schema: Schema, value: Any, place: str) -> list[str]:  # noqa: ANN401
    if not isinstance(value, dict):
        return []
    named = ((key, each) for key, each in schema["properties"].items() if key in value)
    return [
        complaint
        for key, each in named
        for complaint in _check(root, each, value[key], f"{place}.{key}")
    ]


def _more(root: Schema, schema: Schema, value: Any, place: str) -> list[str]:  # noqa: ANN401
    if not isinstance(value, dict):
        return []
    more, wanted = set(value) - set(schema.get("properties", {})), schema["additionalProperties"]
    if wanted is False:
        return [f"{place}: there is no {key!r}" for key in more]
    return [fault for key in more for fault in _check(root, wanted, value[key], f"{place}.{key}")]


def _names(root: Schema, schema: Schema, value: Any, place: str) -> list[str]:  # noqa: ANN401
    if not isinstance(value, dict):
        return []
    return [fault for key in value for fault in _check(root, schema["propertyNames"], key, place)]


def _items(root: Schema, schema: Schema, value: Any, place: str) -> list[str]:  # noqa: ANN401
    if not isinstance(value, list):
        return []
    return [
        fault
        for index, each in enumerate(value)
        for fault in _check(root, schema["items"], each, f"{place}[{index}]")
    ]


def _any_of(root: Schema, schema: Schema, value: object, place: str) -> list[str]:
    complaints = [_check(root, each, value, place) for each in schema["anyOf"]]
    return [] if not all(complaints) else complaints[0]


def _one_of(root: Schema, schema: Schema, value: object, place: str) -> list[str]:
    complaints = [_check(root, each, value, place) for each in schema["oneOf"]]
    fitting = sum(not each for each in complaints)
    # Of those that do not fit, the nearest miss says most.
    return [] if fitting == 1 else min(complaints, key=len) or [f"{place}: {fitting} shapes fit"]


PARTS: dict[str, _Part] = {
    "$ref": _ref,
    "properties": _properties,
    "additionalProperties": _more,
    "propertyNames": _names,
    "items": _items,
    "anyOf": _any_of,
    "oneOf": _one_of,
}
