"""`doorward pad bench`, with a camera that is made up."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent import app
from agent.cli import main
from agent.config import Config
from agent.core.pad import Cue, Examined, Liveness, Verdict
from agent.presentations import Examine, Seen
from tests.system.computer import Computer


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where figures are kept, at a door that takes every other presentation for a face."""
    said = iter([Liveness.ATTACK, Liveness.BONA_FIDE] * 100)

    def examine() -> Seen:
        return Examined(0.0, Verdict(next(said), Cue.RELIEF, 0.5, 0.25), ()), 300.0

    @contextmanager
    def examiner(_: Config) -> Iterator[Examine]:
        yield examine

    monkeypatch.setattr(app, "examiner", examiner)
    return tmp_path / "pad.jsonl"


def bench(kept: Path, *words: str) -> Result:
    given = ["pad", "bench", "--file", str(kept), *words]
    return CliRunner().invoke(main, given, input="\n" * 100)


def test_figures_add_up_from_run_to_run(kept: Path) -> None:
    first = bench(kept, "--species", "print", "--presentations", "4")
    assert first.exit_code == 0, first.stderr
    result = bench(kept, "--presentations", "2", "--json")
    paper, face = json.loads(result.stdout)
    assert (paper["species"], paper["presentations"], paper["errors"]) == ("print", 4, 2)
    assert (face["species"], face["presentations"], face["errors"]) == ("bona fide", 2, 1)
    assert len(kept.read_bytes().splitlines()) == 6


def test_it_says_when_too_little_was_presented(kept: Path) -> None:
    result = bench(kept, "--species", "print", "--presentations", "4")
    assert "APCER" in result.stdout
    assert "50.0%" in result.stdout
    assert "too few to prove anything" in result.stdout
    assert "Not certified" in result.stdout
    assert "attack, told by relief, ratio 0.50, relief 0.25" in result.stderr


def test_what_was_measured_can_be_counted_without_a_door(kept: Path) -> None:
    assert "Nothing has been presented yet" in bench(kept, "--presentations", "0").stdout
    assert not kept.exists()


def test_a_door_without_a_light_cannot_be_measured(computer: Computer) -> None:
    assert "light" in computer.refuses("pad", "bench", "--species", "print")


def test_a_file_of_something_else_is_left_as_it_is(computer: Computer) -> None:
    other = computer.folder / "letter.txt"
    other.write_text("Dear Ada\n")
    assert "letter.txt: line 1" in computer.refuses("pad", "bench", "--file", str(other))
    assert other.read_text() == "Dear Ada\n"


def test_where_nobody_presses_enter_nothing_is_counted(kept: Path) -> None:
    words = ["pad", "bench", "--file", str(kept), "--species", "print"]
    result = CliRunner().invoke(main, words, input="")
    assert result.exit_code == 2
    assert "press Enter" in result.stderr.splitlines()[-1]
    assert kept.read_bytes() == b""
