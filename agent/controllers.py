"""The commands about controllers: whose signed commands this door takes, and which."""

from pathlib import Path

import click

from agent import installation
from agent.adapters.clock import SystemClock
from agent.adapters.console import as_json
from agent.adapters.note import parse_verifier
from agent.command import command, main, table
from agent.core.effects import Distrust, Trust
from agent.core.events import ControllerRemoved, ControllerTrusted
from agent.core.orders import ControllerId, Operation, TrustedController
from agent.errors import ConfigError
from agent.wire.commands import controller_id

EVERYTHING = "all"
RIGHTS = [*(operation.value for operation in Operation), EVERYTHING]


@main.group()
def controller() -> None:
    """Trust the keys of controllers, list them, and trust them no more."""


@command("doorward controller add office+0fb7c65a+AS2mkQ... --right unlock", controller)
@click.argument("key")
@click.option(
    "--right",
    "rights",
    multiple=True,
    required=True,
    type=click.Choice(RIGHTS),
    help="What it may command; may be repeated.",
)
@click.pass_obj
def controller_add(config: Path | None, *, key: str, rights: tuple[str, ...], json: bool) -> None:
    """Take commands that are signed with a key, as `doorward remote key` shows it.

    A key that is trusted already gets these rights in place of those it had.
    """
    try:
        verifier = parse_verifier(key)
    except ValueError as error:
        raise ConfigError(f"KEY: {error}: `doorward remote key` shows it") from None
    granted = frozenset(Operation) if EVERYTHING in rights else frozenset(map(Operation, rights))
    trusted = TrustedController(controller_id(verifier.key), verifier.name, verifier.key, granted)
    with installation.opened_store(installation.load_config(config)) as store:
        store.append(ControllerTrusted(trusted.id), SystemClock().now(), Trust(trusted))
    click.echo(
        as_json(_shown(trusted))
        if json
        else f"{trusted.name} is trusted, as controller {trusted.id}"
    )


@command("doorward controller list", controller)
@click.pass_obj
def controller_list(config: Path | None, *, json: bool) -> None:
    """List the controllers whose commands this door takes."""
    with installation.opened_store(installation.load_config(config)) as store:
        trusted = sorted(store.controllers().values(), key=lambda each: each.name)
    if json:
        click.echo(as_json([_shown(each) for each in trusted]))
        return
    rows = [[each.id, each.name, ", ".join(sorted(each.rights))] for each in trusted]
    nobody = "No controller is trusted: `doorward controller add` trusts one."
    table(["controller", "name", "rights"], rows, nobody)


@command("doorward controller remove 34750f98bd59fcfc", controller)
@click.argument("controller_id")
@click.pass_obj
def controller_remove(config: Path | None, *, controller_id: str, json: bool) -> None:
    """Take no commands of a controller any more, at once."""
    removed = ControllerId(controller_id)
    with installation.opened_store(installation.load_config(config)) as store:
        store.append(ControllerRemoved(removed), SystemClock().now(), Distrust(removed))
    shown = as_json({"controller": removed})
    click.echo(shown if json else f"controller {removed} is trusted no more")


def _shown(controller: TrustedController) -> dict[str, object]:
    rights = sorted(controller.rights)
    return {"controller": controller.id, "name": controller.name, "rights": rights}
