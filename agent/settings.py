"""The commands about the configuration: whether it is valid, what is in force, what a key means."""

import tomllib
from pathlib import Path

import click
from msgspec import to_builtins
from tabulate import tabulate

from agent import installation, manual, toml
from agent.adapters.console import as_json
from agent.command import command, main
from agent.config import parse_config
from agent.errors import ConfigError

NO_FILE = "no configuration file: the defaults are in force"


@main.group()
def config() -> None:
    """Check the configuration, show what is in force, explain a key."""


@command("doorward config check /etc/doorward/doorward.toml", config)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.pass_obj
def config_check(config: Path | None, *, file: Path | None, json: bool) -> None:
    """Say whether a configuration is valid: FILE, or without it the one in force."""
    read, text = installation.read_config(file or config)
    parse_config(text, str(read))
    if json:
        click.echo(as_json({"file": _named(read), "valid": True}))
    else:
        click.echo(f"{read}: valid" if read else NO_FILE)


@command("doorward config show --default", config)
@click.option(
    "--default", is_flag=True, help="Every key explained and commented out, to begin with."
)
@click.pass_obj
def config_show(config: Path | None, *, default: bool, json: bool) -> None:
    """Print the configuration in force as TOML, with every key, and mark what the file sets."""
    if default:
        known = manual.keys(manual.tables()).values()
        click.echo(as_json(list(known)) if json else toml.template())
        return
    file, text = installation.read_config(config)
    settings, document = parse_config(text, str(file)), tomllib.loads(text)
    if json:
        names = manual.keys(manual.tables())
        given = [name for name in names if toml.in_file(document, name)]
        shown = {"file": _named(file), "config": to_builtins(settings), "from_file": given}
        click.echo(as_json(shown))
    else:
        click.echo(toml.in_force(settings, document, _named(file)))


@command("doorward config explain door.release_seconds", config)
@click.argument("key")
@click.pass_obj
def config_explain(config: Path | None, *, key: str, json: bool) -> None:
    """Say what a key means, its unit, range and default, and what it is set to."""
    known = manual.keys(manual.tables()).get(key)
    if known is None:
        meant = ", ".join(manual.nearest(key)) or "`doorward config show` lists all keys"
        raise ConfigError(f"{key}: there is no such key: did you mean {meant}?")
    now, origin = _now(config, key)
    if json:
        click.echo(as_json(to_builtins(known) | {"now": now, "origin": origin}))
        return
    click.echo(f"{known.name}: {known.meaning}")
    rows = [
        ["unit", known.unit or "-"],
        ["range", known.range],
        ["default", toml.as_toml(known.default)],
        ["now", f"{toml.as_toml(now)}, from {origin}" if now is not None else origin],
    ]
    click.echo(tabulate(rows, tablefmt="plain", disable_numparse=True))


def _now(config: Path | None, key: str) -> tuple[object, str]:
    """Give what a key is set to and by what; None, and why, where the file is not valid."""
    try:
        file, text = installation.read_config(config)
        settings = parse_config(text, str(file))
    except ConfigError as error:
        # Whoever mends a key wants it explained just then.
        return None, str(error)
    given = toml.in_file(tomllib.loads(text), key)
    return manual.value(settings, key), str(file) if given else "the default"


def _named(file: Path | None) -> str | None:
    return None if file is None else str(file)
