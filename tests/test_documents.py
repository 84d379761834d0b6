"""The documents say what the code does."""

from dataclasses import fields, is_dataclass
from pathlib import Path

import click
import msgspec
import pytest

from agent.cli import main
from agent.config import Config

ROOT = Path(__file__).parent.parent
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _keys(section: object) -> list[str]:
    if is_dataclass(section):
        return [field.name for field in fields(section)]
    return list(section.__struct_fields__) if isinstance(section, msgspec.Struct) else []


def _spelled(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case _:
            return repr(value)


@pytest.mark.parametrize("name", [key for key in _keys(Config()) if _keys(getattr(Config(), key))])
def test_every_key_of_the_configuration_is_documented_with_its_default(name: str) -> None:
    section = getattr(Config(), name)
    _, _, rest = CONFIGURATION.partition(f"## [{name}]\n")
    table = rest.partition("\n## ")[0]
    for key in _keys(section):
        assert f"| `{key}` | {_spelled(getattr(section, key))} |" in table


def _commands(group: click.Group, prefix: str = "") -> dict[str, click.Command]:
    """Every command that does something, by its full name."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= _commands(command, f"{prefix}{name} ")
        if not isinstance(command, click.Group) or command.invoke_without_command:
            found[prefix + name] = command
    return found


COMMANDS = _commands(main)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_an_example_and_json_and_is_in_the_readme(name: str) -> None:
    command = COMMANDS[name]
    assert f"Example: doorward {name}" in (command.epilog or "")
    assert any("--json" in option.opts for option in command.params)
    assert isinstance(command, click.Command)
    first, _, more = name.partition(" ")
    row = next(line for line in README.splitlines() if f"`doorward {first}" in line)
    assert not more or f"`{more}`" in row or f"`doorward {name}" in README
