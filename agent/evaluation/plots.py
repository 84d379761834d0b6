"""The curves of a report, as SVG. matplotlib is wanted here and nowhere else."""

from importlib import import_module
from pathlib import Path
from typing import Any

from agent.errors import ConfigError
from agent.evaluation.report import Report

LOWEST = 1e-4
"""Where the FNIR axis begins; a rate of none is drawn there."""
CONDITIONS = ((1, 1), (1, 3), (3, 3), (5, 3), (5, 5))
"""Enrolment and pool whose FNIR is drawn against the size of the gallery."""
FPIR = "1e-3"


def pyplot() -> Any:  # noqa: ANN401 - matplotlib is an extra that most do without
    """Give matplotlib's pyplot, drawing to files. Raises ConfigError where it is missing."""
    try:
        matplotlib = import_module("matplotlib")
        matplotlib.use("svg")
        # Without a random salt, and without a date below, the same figures are the same file.
        matplotlib.rcParams["svg.hashsalt"] = "doorward"
        return import_module("matplotlib.pyplot")
    except ImportError:
        message = "--plots: matplotlib is not installed: pip install 'doorward[plots]'"
        raise ConfigError(message) from None


def draw(report: Report, folder: Path) -> list[Path]:
    """Write det.svg, scores.svg and fnir.svg into a folder. Raises ConfigError."""
    plot = pyplot()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [
            _saved(plot, drawing(plot, report), folder / f"{name}.svg")
            for name, drawing in (("det", _det), ("scores", _scores), ("fnir", _fnir))
        ]
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}: name another with --plots") from None


def _saved(plot: Any, figure: Any, file: Path) -> Path:  # noqa: ANN401
    figure.savefig(file, metadata={"Date": None})
    plot.close(figure)
    return file


def _det(plot: Any, report: Report) -> Any:  # noqa: ANN401
    figure, axes = plot.subplots()
    for figures in [report, *report["others"]]:
        points = [point for point in figures.get("det", []) if point[1] > 0 and point[2] > 0]
        axes.loglog([fmr for _, fmr, _ in points], [fnmr for _, _, fnmr in points])
    axes.legend([figures["embedder"] for figures in [report, *report["others"]]])
    axes.set(xlabel="FMR", ylabel="FNMR", title="One photograph against one")
    axes.grid(visible=True, which="both", alpha=0.3)
    return figure


def _scores(plot: Any, report: Report) -> Any:  # noqa: ANN401
    figure, axes = plot.subplots()
    histogram = report.get("histogram", {"edges": [-1, 1], "mated": [0], "non_mated": [0]})
    for kind in ("non_mated", "mated"):
        total = max(sum(histogram[kind]), 1)
        shares = [count / total for count in histogram[kind]]
        axes.stairs(shares, histogram["edges"], label=kind.replace("_", "-"))
    axes.legend()
    axes.set(xlabel="cosine", ylabel="share", title="Scores", yscale="log")
    return figure


def _fnir(plot: Any, report: Report) -> Any:  # noqa: ANN401
    figure, axes = plot.subplots()
    for enrolment, pool in CONDITIONS:
        rates = {
            int(size): each[str(enrolment)][str(pool)][FPIR]
            for size, each in (report["fnir_at_fpir"] or {}).items()
        }
        known = {size: rate for size, rate in rates.items() if rate is not None}
        label = f"enrolment {enrolment}, pool {pool}"
        axes.loglog(
            list(known), [max(rate, LOWEST) for rate in known.values()], marker="o", label=label
        )
    axes.legend()
    axes.set(xlabel="N", ylabel="FNIR", title=f"FNIR at FPIR {FPIR}; at {LOWEST:g}: that or less")
    axes.grid(visible=True, which="both", alpha=0.3)
    return figure
