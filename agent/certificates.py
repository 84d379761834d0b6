"""The commands that make the certificates of a broker, its doors and its controllers."""

from pathlib import Path

import click

from agent.adapters.console import as_json, local_time
from agent.adapters.pki import (
    Issued,
    issue_broker,
    issue_controller,
    issue_door,
    make_authority,
)
from agent.command import command, main

# Where the instructions and the service have them.
AT_THE_BROKER = "/etc/mosquitto/certs"
AT_THE_DOOR = "/etc/doorward"

in_directory = click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("pki"),
    show_default=True,
    help="Folder of the authority and of all it issued; to be kept off the doors.",
)


@main.group()
def pki() -> None:
    """Make certificates for the broker, for doors and for controllers."""


@command("doorward pki init", pki)
@in_directory
def pki_init(*, directory: Path, json: bool) -> None:
    """Make the authority that vouches for all the others."""
    made = make_authority(directory)
    text = (
        f"Keep {made.key} to yourself: whoever has it can make a key to every door.\n"
        "Next: `doorward pki broker --host NAME`."
    )
    _show(made, text, json=json)


@command("doorward pki broker --host broker.lan --host 192.168.1.10", pki)
@click.option(
    "--host",
    "hosts",
    required=True,
    multiple=True,
    help="Name or address by which the broker is called. May be repeated.",
)
@in_directory
def pki_broker(*, directory: Path, hosts: tuple[str, ...], json: bool) -> None:
    """Issue the broker's certificate, for the hosts by which it is called."""
    made = issue_broker(directory, hosts)
    text = (
        f"Copy {_three(directory, made)} to {AT_THE_BROKER}/ on the broker;\n"
        f"{made.key.name} is for mosquitto alone to read. docs/broker/ has the rest."
    )
    _show(made, text, json=json)


@command("doorward pki door front", pki)
@click.argument("name")
@in_directory
def pki_door(*, directory: Path, name: str, json: bool) -> None:
    """Issue a door's certificate. NAME: the door's, as in its configuration."""
    made = issue_door(directory, name)
    lines = (
        f'[door]\nname = "{name}"\n\n'
        "[mqtt]\n"
        f'ca_file = "{AT_THE_DOOR}/ca.pem"\n'
        f'cert_file = "{AT_THE_DOOR}/{made.certificate.name}"\n'
        f'key_file = "{AT_THE_DOOR}/{made.key.name}"\n'
    )
    text = (
        f"Copy {_three(directory, made)} to {AT_THE_DOOR}/ on the door;\n"
        f"{made.key.name} is for the group doorward to read. These lines belong in\n"
        f"{AT_THE_DOOR}/doorward.toml, with host under [mqtt]:\n\n{lines}"
    )
    _show(made, text, json=json, toml=lines)


@command("doorward pki controller office", pki)
@click.argument("name")
@in_directory
def pki_controller(*, directory: Path, name: str, json: bool) -> None:
    """Issue the certificate of a controller: who commands doors, or collects their events."""
    made = issue_controller(directory, name)
    lines = f"user {made.common_name}\ntopic write doorward/+/cmd/+\n" + "".join(
        f"topic read doorward/+/{topic}\n"
        for topic in ("challenge", "status", "state", "reply/+", "event/#")
    )
    text = (
        f"Copy {_three(directory, made)} to the controller.\n"
        "These lines belong in the broker's /etc/mosquitto/acl; + stands for every door, and a\n"
        f"door's name in its place for that one only. Who collects events needs\n"
        f"`topic write doorward/+/event/ack` instead of the first:\n\n{lines}"
    )
    _show(made, text, json=json, acl=lines)


def _three(directory: Path, made: Issued) -> str:
    return f"{directory / 'ca.pem'}, {made.certificate} and {made.key}"


def _show(made: Issued, text: str, *, json: bool, **lines: str) -> None:
    expires = made.expires.timestamp()
    if json:
        found = {"name": made.common_name, "certificate": str(made.certificate)}
        click.echo(as_json(found | {"key": str(made.key), "expires": expires} | lines))
        return
    click.echo(f"{made.certificate} is made for {made.common_name}, until {local_time(expires)}.")
    click.echo(text.rstrip("\n"))
