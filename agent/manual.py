"""What every key of the configuration means, may be and is by default, read from its classes."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from typing import TypeAlias

import msgspec
from msgspec import NODEFAULT
from msgspec.inspect import (
    BoolType,
    DataclassType,
    EnumType,
    Field,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    NoneType,
    StrType,
    StructType,
    TupleType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

from agent.config import NONE, Config

Shape: TypeAlias = StructType | DataclassType
"""What a table of the file is read into."""

REQUIRED = "(must be given)"
"""Stands for the default of a key that has none."""
BCM = "BCM number"
"""The unit of what is a line of the header."""
UNITS = (
    ("frames/s", r"frames [a-z ]*per second"),
    ("ms", r"milliseconds"),
    ("s", r"seconds|\d s\b"),
    ("min", r"minutes"),
    ("h", r"hours"),
    ("days", r"days"),
    ("px", r"pixels"),
    ("degrees", r"degrees"),
    ("stops", r"stops"),
    ("cosine", r"cosine"),
    ("luma", r"luma"),
    ("share", r"shares?"),
    ("variance", r"variance"),
    ("ratio", r"proxy|ratio"),
    ("count", r"frames|references|refusals|times|tries|entries|wrong|digits|characters"),
    ("port", r"port"),
    (BCM, r"bcm numbers?"),
)
"""Units, and the words of a docstring that tell of them."""

_NUMBER = r"-?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"\b(?:above )?(?:{_NUMBER}|[a-z]+_[a-z]+) to (?:below )?{_NUMBER}\b")
_LEAST = re.compile(rf"\b(?:above|at least) {_NUMBER}\b")


@dataclass(frozen=True, slots=True)
class Key:
    """One key. name: in full, such as door.name. unit: empty for what is no number.

    range: what it may be, in words. default: as in the file; NONE where there is none.
    """

    name: str
    meaning: str
    unit: str
    range: str
    default: object


@dataclass(frozen=True, slots=True)
class Table:
    """A section of the file, or a table that a key may hold. name: empty for the file's beginning.

    within: the tables that some of its keys may hold.
    """

    name: str
    meaning: str
    keys: tuple[Key, ...]
    within: tuple["Table", ...] = ()


@cache
def tables(whole: type = Config) -> tuple[Table, ...]:
    """Give all sections, in the order of the file."""
    fields = _shapes(type_info(whole))[0].fields
    sections = [(each.name, shape) for each in fields for shape in _shapes(each.type)]
    names = {name for name, _ in sections}
    notes = _notes(whole)
    first = tuple(_key(each, "", notes, "") for each in fields if each.name not in names)
    return (Table("", "", first), *(_table(shape, name) for name, shape in sections))


def keys(among: Iterable[Table]) -> dict[str, Key]:
    """Give all keys of some tables by their name in full, also those of the tables within."""
    found: dict[str, Key] = {}
    for table in among:
        found |= {key.name: key for key in table.keys} | keys(table.within)
    return found


def nearest(name: str) -> Sequence[str]:
    """Give the keys that somebody may have meant, the likeliest first."""
    known = keys(tables())
    last = {each.rpartition(".")[2]: each for each in known}
    close = get_close_matches(name, known, n=3, cutoff=0.6)
    close += [last[each] for each in get_close_matches(name.rpartition(".")[2], last, n=3)]
    return list(dict.fromkeys(close))[:3]


def in_toml_terms(value: object) -> object:
    """Give a value as a file has it: NONE for None, words for enumerations, lists for tuples."""
    return NONE if value is None else msgspec.to_builtins(value)


def value(config: Config, name: str) -> object:
    """Give what a key is set to, as a file has it; NONE also where its table is not there."""
    found: object = msgspec.to_builtins(config)
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return in_toml_terms(found)


# --- the classes ----------------------------------------------------------------------------------


def _table(shape: Shape, name: str) -> Table:
    about, notes = _sentence(shape.cls.__doc__), _notes(shape.cls)
    keys = tuple(_key(each, f"{name}.", notes, about) for each in shape.fields)
    within = [
        _table(inner, f"{name}.{each.name}")
        for each in shape.fields
        for inner in _shapes(each.type)
    ]
    return Table(name, about, keys, tuple(within))


def _key(field: Field, prefix: str, notes: Mapping[str, str], about: str) -> Key:
    meaning = notes.get(field.name, "")
    return Key(
        prefix + field.name,
        meaning,
        _unit(field.name, meaning, about) if _is_number(field.type) else "",
        _range(field.type, meaning),
        REQUIRED if field.default is NODEFAULT else in_toml_terms(field.default),
    )


def _shapes(kind: Type) -> list[Shape]:
    match kind:
        case StructType() | DataclassType():
            return [kind]
        case UnionType():
            return [shape for each in kind.types for shape in _shapes(each)]
        case ListType() | VarTupleType():
            return _shapes(kind.item_type)
        case _:
            return []


def _is_number(kind: Type) -> bool:
    match kind:
        case IntType() | FloatType():
            return True
        case UnionType():
            return any(map(_is_number, kind.types))
        case TupleType():
            return all(map(_is_number, kind.item_types))
        case _:
            return False


def _unit(name: str, meaning: str, about: str) -> str:
    """Give the unit that is named first: by the key itself, its docstring, or its section's."""
    for text in (name.replace("_", " "), meaning, about):
        found = [
            (place.start(), -len(place[0]), unit)
            for unit, words in UNITS
            if (place := re.search(rf"\b(?:{words})\b", text, re.IGNORECASE))
        ]
        if found:
            return min(found)[2]
    return ""


def _range(kind: Type, meaning: str) -> str:  # noqa: C901 - one arm a type
    match kind:
        case IntType() | FloatType():
            return _bounds(kind) or _told(meaning) or "any number"
        case BoolType():
            return "true or false"
        case StrType():
            pattern = (kind.pattern or "").removeprefix("\\A").removesuffix("\\Z")
            return f"text like {pattern}" if pattern else "text"
        case EnumType():
            return _choices([each.value for each in kind.cls])
        case LiteralType():
            return _choices(kind.values)
        case UnionType():
            return " or ".join(_range(each, meaning) for each in _ordered(kind.types))
        case NoneType():
            return f'"{NONE}"'
        case TupleType():
            [each] = {_range(item, meaning) for item in kind.item_types}
            return f"list of {len(kind.item_types)}, each {each}"
        case ListType() | VarTupleType():
            is_table = isinstance(kind.item_type, StructType)
            return f"list of {'tables' if is_table else _range(kind.item_type, meaning)}"
        case StructType() | DataclassType():
            return "a table"
        case _:
            raise TypeError(f"{kind}: no key of the configuration may be of this type")


def _ordered(kinds: Sequence[Type]) -> list[Type]:
    """Put tables after what is usual, and NONE last."""
    last = (NoneType, StructType)
    return sorted(kinds, key=lambda each: isinstance(each, last) + isinstance(each, NoneType))


def _bounds(kind: IntType | FloatType) -> str:
    low = None
    if kind.ge is not None:
        low = f"{kind.ge:g}"
    elif kind.gt is not None:
        low = f"above {kind.gt:g}"
    if kind.le is not None:
        text = f"{low} to {kind.le:g}" if low else f"at most {kind.le:g}"
    elif kind.lt is not None:
        text = f"{low}, and below {kind.lt:g}" if low else f"below {kind.lt:g}"
    elif low is not None:
        text = low if low.startswith("above") else f"at least {low}"
    else:
        return ""
    return f"{text} in steps of {kind.multiple_of:g}" if kind.multiple_of else text


def _told(meaning: str) -> str:
    """Give the range that a docstring names, where the type has none."""
    found = _RANGE.search(meaning) or _LEAST.search(meaning)
    return found[0] if found else ""


def _choices(words: Sequence[object]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def _sentence(text: str | None) -> str:
    return re.sub(r"\bNone\b", NONE, " ".join((text or "").split()))


def _notes(cls: type) -> dict[str, str]:
    """Give the docstring of each attribute of a class, and of those that it inherits."""
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        if each.__module__.partition(".")[0] not in {"builtins", "msgspec"}:
            found |= dict(_attributes(each))
    return found


def _attributes(cls: type) -> Iterator[tuple[str, str]]:
    [tree] = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    for above, below in pairwise(body):
        match above, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, _sentence(text)
            case _:
                continue
