"""The documents say what the code does."""

from pathlib import Path

import click
import pytest

from agent.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


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
