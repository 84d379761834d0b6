"""The configuration written as TOML: what is in force, and a file to begin with."""

import textwrap
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from agent.config import NONE, Config
from agent.manual import Key, tables, value

Document: TypeAlias = Mapping[str, Any]
"""A TOML file as tomllib reads it."""


def in_file(document: Document, name: str) -> bool:
    """Say whether a file sets a key. name: in full, such as door.name."""
    found: Any = document
    for part in name.split("."):
        if not (isinstance(found, Mapping) and part in found):
            return False
        found = found[part]
    return True


def as_toml(value: object) -> str:
    """Write what TOML knows on one line: text, numbers, lists and tables."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # JSON's escapes are TOML's too, but for one character that only TOML wants escaped.
            return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
        case Mapping():
            given = {key: each for key, each in value.items() if each is not None}
            return f"{{{', '.join(f'{key} = {as_toml(each)}' for key, each in given.items())}}}"
        case list() | tuple():
            return f"[{', '.join(map(as_toml, value))}]"
        case _:
            return repr(value)


def in_force(config: Config, document: Document, source: str | None) -> str:
    """Give the configuration as a file with every key. source: where the document is from."""
    origin = f"What is marked is from {source}" if source else "There is no file of it"
    lines = [f"# The configuration in force. {origin}; all else is the default."]
    for table in tables():
        lines += ["", f"[{table.name}]"] if table.name else [""]
        for key in table.keys:
            mark = "  # from the file" if in_file(document, key.name) else ""
            lines.append(f"{_last(key)} = {as_toml(value(config, key.name))}{mark}")
    return "\n".join(lines)


def template() -> str:
    """Give a file with every key, explained and commented out, so that defaults may change."""
    lines = [
        "# Doorward's configuration. Every key has a default: to change it, take the # away.",
        "# `doorward config check` tries this file, `doorward config explain KEY` explains it.",
        f'# "{NONE}" means that there is none of it.',
    ]
    for table in tables():
        lines.append("")
        if table.name:
            lines += [*_comment(table.meaning), f"[{table.name}]"]
        for key in table.keys:
            measure = f"{key.unit}, " if key.unit else ""
            lines += _comment(f"{key.meaning} ({measure}{key.range})")
            lines.append(f"#{_last(key)} = {as_toml(key.default)}")
    return "\n".join(lines)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 98, initial_indent="# ", subsequent_indent="# ")


def _last(key: Key) -> str:
    return key.name.rpartition(".")[2]
