import tomllib
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.evaluation.calibrating import FEWEST, calibrated, kept, rendered
from tests.evaluation.crowd import crowd, strangers, true_fmr

OURS = "ours/litert"


def test_no_bound_lies_below_the_true_rate_measured_or_not() -> None:
    # Their photographs have nothing to do with each other, so that neither have pools of them.
    entry, notes = calibrated(strangers(250, 6, 0), OURS, 1500)
    assert not notes
    conditions = {(curve["references"], curve["frames"]) for curve in entry["curve"]}
    assert conditions == {(k, m) for k in (1, 3, 5) for m in (1, 3, 5)}
    for curve in entry["curve"]:
        assert curve["comparisons"] == 250 * 249
        thresholds, bounds = zip(*curve["points"], strict=True)
        assert list(thresholds) == sorted(set(thresholds))
        assert list(bounds) == sorted(set(bounds), reverse=True)
        assert 0.45 <= curve["measured_to"] < 0.65
        assert thresholds[-1] > curve["measured_to"]
        for threshold, bound in curve["points"]:
            truth = true_fmr(threshold)
            assert bound >= 0.8 * truth
            assert threshold > curve["measured_to"] or bound <= 3 * truth


def test_a_bound_that_is_measured_tells_of_as_much_as_is_left_after_pooling() -> None:
    entry, _ = calibrated(crowd(150, 10, 1.0, 0), OURS, 1500)
    fnmr = {(c["references"], c["frames"]): dict(c["fnmr"])[0.6] for c in entry["curve"]}
    assert fnmr[1, 1] > fnmr[3, 1] > fnmr[5, 5]


def test_people_suspected_to_be_one_are_left_out_and_told() -> None:
    people = crowd(FEWEST, 2, 0.8, 1)
    entry, notes = calibrated([*people, people[0]], OURS, 242)
    assert entry["suspected"] == 1
    assert "1 pairs of people left out, suspected to be one person" in notes
    [[*_, last]] = [curve["points"] for curve in entry["curve"]]
    # Were the two compared, one pair of so many people would be above every threshold.
    assert last[1] < 1e-5 < 1 / (FEWEST * FEWEST)


def test_a_curve_that_too_few_have_the_photographs_for_is_left_out_and_told() -> None:
    entry, notes = calibrated([*crowd(FEWEST, 3, 1, 0), *crowd(20, 1, 1, 1)], OURS, 470)
    assert {(c["references"], c["frames"]) for c in entry["curve"]} == {
        (k, m) for k in (1, 3) for m in (1, 3)
    }
    told = "no curve of 5 references and 1 frames: 0 people have so many photographs"
    assert any(note.startswith(told) for note in notes)


def test_too_few_people_are_an_error_of_one_line() -> None:
    with pytest.raises(ConfigError, match="10 people with usable photographs are too few"):
        calibrated(crowd(10, 6, 1, 0), OURS, 60)


def test_what_is_written_reads_back_and_leaves_other_entries(tmp_path: Path) -> None:
    entry, _ = calibrated(crowd(FEWEST, 2, 1, 0), OURS, FEWEST)
    out = tmp_path / "calibration.toml"
    out.write_text(rendered([entry | {"model": "ours/tflite-runtime"}, entry]), encoding="utf-8")
    document = tomllib.loads(out.read_text(encoding="utf-8"))
    assert (document["schema"], document["provisional"]) == (2, True)
    assert [each["model"] for each in document["calibration"]] == [OURS, "ours/tflite-runtime"]
    curve = document["calibration"][0]["curve"][0]
    assert curve["points"] == [
        [pytest.approx(t), bound] for t, bound in entry["curve"][0]["points"]
    ]
    [other] = kept(out, OURS)
    assert other == document["calibration"][1]
    assert rendered([other, entry]) == out.read_text(encoding="utf-8")


def test_entries_of_an_older_schema_are_not_kept(tmp_path: Path) -> None:
    out = tmp_path / "calibration.toml"
    assert kept(out, OURS) == []
    out.write_text('schema = 1\n[[calibration]]\nmodel = "other/litert"\n')
    assert kept(out, OURS) == []
    out.write_text("schema = ")
    with pytest.raises(ConfigError, match="is no TOML"):
        kept(out, OURS)


def test_the_same_people_give_the_same_file() -> None:
    people = crowd(FEWEST, 2, 1, 0)
    one, other = (rendered([calibrated(people, OURS, 300)[0]]) for _ in range(2))
    assert one == other
