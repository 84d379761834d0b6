"""The operator's commands for presentation-attack detection."""

import sys
from pathlib import Path

import click

from agent import app, installation, presentations
from agent.adapters.console import as_json
from agent.command import command, main, table
from agent.errors import ConfigError
from agent.presentations import (
    BONA_FIDE,
    ENOUGH_ATTACKS,
    ENOUGH_BONA_FIDE,
    Examine,
    Presentation,
    Seen,
)


@main.group()
def pad() -> None:
    """Measure how well this door tells a face from a picture of one."""


@command("doorward pad bench --species print --presentations 60", pad)
@click.option("--species", default=BONA_FIDE, help="What you hold up; a living face without it.")
@click.option("--presentations", "number", type=click.IntRange(0), default=ENOUGH_ATTACKS)
@click.option(
    "--file",
    "kept",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("pad-bench.jsonl"),
    help="Where the figures are kept; those in it count too. --presentations 0 only counts.",
)
@click.pass_obj
def pad_bench(config: Path | None, *, species: str, number: int, kept: Path, json: bool) -> None:
    """Hold something up again and again, and count what the door takes it for.

    The agent must be stopped meanwhile. Figures are kept, never an image.
    """
    try:
        before = presentations.read(kept.read_bytes() if kept.exists() else b"", str(kept))
        if number > 0:
            with app.examiner(installation.load_config(config)) as examine, kept.open("ab") as file:
                for count, each in enumerate(
                    presentations.measure(species, number, lambda: _when_ready(species, examine)), 1
                ):
                    presentations.write(each, file)
                    before.append(each)
                    click.echo(f"{count} of {number}: {_in_words(each)}", err=True)
    except OSError as error:
        raise ConfigError(f"{kept}: {error.strerror}: name another --file") from error
    counted = presentations.rates(before)
    if json:
        click.echo(as_json(counted))
        return
    rows = [
        [
            rate.species,
            rate.presentations,
            "BPCER" if rate.species == BONA_FIDE else "APCER",
            f"{rate.errors / rate.presentations:.1%}",
            f"{rate.low:.1%} to {rate.high:.1%}",
            f"{rate.unclear / rate.presentations:.1%}",
            "" if rate.enough else "too few to prove anything",
        ]
        for rate in counted
    ]
    titles = ["presented", "times", "rate", "of errors", "95 % bounds", "unclear", ""]
    table(titles, rows, "Nothing has been presented yet.")
    click.echo(
        f"Fewer than {ENOUGH_ATTACKS} presentations of each attack and {ENOUGH_BONA_FIDE} of "
        "living faces prove nothing. Not certified."
    )


def _when_ready(species: str, examine: Examine) -> Seen:
    click.echo(f"Present ({species}), and press Enter.", err=True)
    if not sys.stdin.readline():
        raise ConfigError("pad bench: nobody is there to press Enter: run it in a terminal")
    return examine()


def _in_words(each: Presentation) -> str:
    told = [f"{each.liveness}, told by {each.cue}"]
    told += [] if each.ratio is None else [f"ratio {each.ratio:.2f}"]
    told += [] if each.relief is None else [f"relief {each.relief:.2f}"]
    return ", ".join(told)
