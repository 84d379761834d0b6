import io

import pytest

from agent.core.pad import Cue, Examined, Liveness, Verdict
from agent.errors import ConfigError, DeviceError
from agent.presentations import (
    BONA_FIDE,
    Presentation,
    Seen,
    bounds,
    measure,
    rates,
    read,
    write,
)


def presented(species: str, liveness: Liveness) -> Presentation:
    return Presentation(species, liveness, Cue.ALL, 0.5, None, 200.0)


def seen() -> Seen:
    return Examined(1.0, Verdict(Liveness.ATTACK, Cue.RELIEF, 0.4, 0.1), ()), 180.0


@pytest.mark.parametrize(
    ("errors", "trials", "low", "high"),
    [
        (0, 60, 0, 0.0487),
        (0, 300, 0, 0.00994),
        (1, 60, 0.00042, 0.0894),
        (5, 100, 0.0164, 0.1128),
        (60, 60, 0.9513, 1),
        (50, 100, 0.3983, 0.6017),
    ],
)
def test_rates_are_bounded_as_published(errors: int, trials: int, low: float, high: float) -> None:
    assert list(bounds(errors, trials)) == pytest.approx([low, high], abs=1e-4)


@pytest.mark.parametrize(("errors", "trials"), [(0, 0), (-1, 5), (6, 5)])
def test_there_is_no_rate_of_nothing(errors: int, trials: int) -> None:
    with pytest.raises(ValueError, match="errors of"):
        bounds(errors, trials)


def test_figures_are_kept_and_come_back() -> None:
    kept = io.BytesIO()
    for each in measure("print", 2, seen):
        write(each, kept)
    again = read(kept.getvalue(), "file")
    assert again == [Presentation("print", Liveness.ATTACK, Cue.RELIEF, 0.4, 0.1, 180.0)] * 2


def test_nothing_is_kept_but_figures() -> None:
    assert Presentation.__struct_fields__ == (
        "species",
        "liveness",
        "cue",
        "ratio",
        "relief",
        "ambient",
    )


def test_a_camera_that_fails_ends_it_and_what_was_measured_stands() -> None:
    calls = iter([seen])

    def examine() -> Seen:
        for call in calls:
            return call()
        raise DeviceError("camera: gone")

    measured = measure("print", 9, examine)
    assert next(measured).species == "print"
    with pytest.raises(DeviceError):
        next(measured)


def test_an_attack_errs_by_passing_and_a_face_by_being_called_an_attack() -> None:
    mixed = [Liveness.BONA_FIDE, Liveness.BONA_FIDE, Liveness.ATTACK, Liveness.UNCLEAR]
    [paper, face] = rates(
        [presented("print", each) for each in mixed]
        + [presented(BONA_FIDE, each) for each in mixed]
    )
    assert (paper.species, paper.presentations, paper.errors, paper.unclear) == ("print", 4, 2, 1)
    assert (face.species, face.presentations, face.errors, face.unclear) == (BONA_FIDE, 4, 1, 1)


@pytest.mark.parametrize(("species", "enough"), [("print", 60), (BONA_FIDE, 100)])
def test_few_presentations_prove_nothing(species: str, enough: int) -> None:
    some = [presented(species, Liveness.ATTACK)] * enough
    assert rates(some)[0].enough
    assert not rates(some[1:])[0].enough


@pytest.mark.parametrize("line", [b"{}", b"[", b'{"species": "print", "liveness": "alive"}'])
def test_a_line_that_is_no_presentation_is_named(line: bytes) -> None:
    kept = io.BytesIO()
    write(presented("print", Liveness.ATTACK), kept)
    with pytest.raises(ConfigError, match=r"pad\.jsonl: line 2"):
        read(kept.getvalue() + line, "pad.jsonl")


def test_an_empty_landing_proves_nothing() -> None:
    [rate] = rates([presented("print", Liveness.UNCLEAR)] * 60)
    assert (rate.unclear, rate.enough) == (60, False)
    [rate] = rates([presented("print", Liveness.ATTACK)] * 60)
    assert rate.enough
