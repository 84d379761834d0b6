"""The commands that measure: `doorward evaluate` and `doorward calibrate`."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from agent import installation
from agent.adapters.console import as_json
from agent.command import command
from agent.config import Config
from agent.errors import ConfigError
from agent.evaluation import calibrating, plots as drawings
from agent.evaluation.collection import Collection, read_collection
from agent.evaluation.pairs import read_pairs
from agent.evaluation.report import evaluated, failures
from agent.evaluation.words import in_words
from agent.vision.pipeline import load_pipeline

images_option = click.option(
    "--images",
    type=click.Path(path_type=Path),
    required=True,
    help="A folder for each person in it, with that person's photographs.",
)
embedder_help = "The embedder's table in the manifest of the models"


@command("doorward evaluate --images lfw --pairs pairs.txt --plots plots")
@images_option
@click.option(
    "--pairs",
    type=click.Path(path_type=Path),
    required=True,
    help="Which photographs are compared, as in Labeled Faces in the Wild.",
)
@click.option("--plots", type=click.Path(path_type=Path), help="Draw the curves into this folder.")
@click.option(
    "--embedder",
    "embedders",
    multiple=True,
    default=["embedder"],
    help=f"{embedder_help}; more than one are compared.",
)
@click.pass_obj
def evaluate(  # noqa: PLR0913 - one parameter an option
    config: Path | None,
    *,
    images: Path,
    pairs: Path,
    plots: Path | None,
    embedders: tuple[str, ...],
    json: bool,
) -> None:
    """Measure how often the door would open for the wrong face, and stay shut for the right one."""
    if plots is not None:
        drawings.pyplot()
    collection = _collection(installation.load_config(config), images, embedders)
    report = evaluated(collection, read_pairs(pairs, collection))
    if plots is not None:
        drawings.draw(report, plots)
    click.echo(as_json(report) if json else in_words(report))


@command("doorward calibrate --images lfw --out models/calibration.toml")
@images_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="calibration.toml to write; entries of other embedders and runtimes in it stay.",
)
@click.option("--embedder", default="embedder", show_default=True, help=f"{embedder_help}.")
@click.pass_obj
def calibrate(config: Path | None, *, images: Path, out: Path, embedder: str, json: bool) -> None:
    """Measure which cosine admits how many strangers, and write it where the door reads it."""
    collection = _collection(installation.load_config(config), images, [embedder])
    model = collection.models[embedder]
    others = calibrating.kept(out, model)
    people = collection.by_person(embedder)
    entry, left_out = calibrating.calibrated(people, model, collection.photographs)
    try:
        out.write_text(calibrating.rendered([*others, entry]), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{out}: {error.strerror}: name another with --out") from None
    notes = [*failures(collection), *left_out]
    if json:
        click.echo(as_json(entry | {"notes": notes}))
        return
    for curve in entry["curve"]:
        threshold, fmr = curve["points"][-1]
        click.echo(
            f"{curve['references']} references, {curve['frames']} frames: measured to cosine "
            f"{curve['measured_to']:.2f}, estimated to {threshold:.2f}, FMR at most {fmr:.1e}"
        )
    for note in notes:
        click.echo(f"note: {note}")


def _collection(config: Config, images: Path, embedders: Sequence[str]) -> Collection:
    """Embed with the models and the quality limits of the door. Raises DoorwardError."""
    directory = installation.models_directory(config)
    pipelines = {
        name: load_pipeline(directory, config.quality, embedder=name) for name in embedders
    }
    return read_collection(images, pipelines, _shown)


def _shown(files: Sequence[Path]) -> Iterable[Path]:
    if not sys.stderr.isatty():
        yield from files
        return
    with click.progressbar(files, label="photographs", file=sys.stderr) as bar:
        yield from bar
