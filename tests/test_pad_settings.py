"""Which level is in force, what the hardware allows, and the words for what it stops."""

import pytest

from agent import app
from agent.attacks import in_words
from agent.config import Config, parse_config
from agent.core.access import pad_level
from agent.core.pad import PadLevel
from agent.errors import ConfigError
from agent.vision.pad import FlashPad, field_of_view
from tests.core.people import now_at

LIT = "[gpio]\nlight = 12\n[pad]\nlight_lux = 400\n"


def hours(days: str, pad: str) -> str:
    return f'[[access.hours]]\nwhen = "{days} 00:00-24:00"\nmode = "any"\npad = "{pad}"\n'


def level(text: str) -> str:
    config = parse_config(text, "test")
    return pad_level(app.access(config), now_at(1.0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "basic"),
        ("[gpio]\nlight = 12\n", "basic"),
        ("[pad]\nlight_lux = 400\n", "basic"),
        (LIT, "flash+challenge"),
        (LIT + 'level = "auto"\n', "flash+challenge"),
        (LIT + 'level = "flash"\n', "flash"),
        (LIT + 'level = "basic"\n', "basic"),
        (LIT + '[camera]\nsource = "usb"\n', "basic"),
        (LIT + hours("mon-sun", "flash"), "flash"),
        (LIT + hours("sun", "basic"), "flash+challenge"),
    ],
)
def test_the_level_is_the_highest_that_is_possible_unless_the_file_says_another(
    text: str, expected: str
) -> None:
    assert level(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        '[pad]\nlevel = "flash"\n',
        '[pad]\nlevel = "flash+challenge"\n[gpio]\nlight = 12\n',
        '[pad]\nlevel = "flash"\nlight_lux = 400\n',
        LIT + 'level = "flash"\n[camera]\nsource = "usb"\n',
        hours("sun", "flash"),
    ],
)
def test_a_level_that_light_and_camera_do_not_allow_is_refused_with_what_it_takes(
    text: str,
) -> None:
    with pytest.raises(ConfigError, match=r"needs \[gpio\] light, \[pad\] light_lux and"):
        parse_config(text, "test")


@pytest.mark.parametrize("lux", ["9", "0", "-1", "nan", '"bright"'])
def test_a_light_that_none_can_be_is_refused(lux: str) -> None:
    with pytest.raises(ConfigError):
        parse_config(f"[pad]\nlight_lux = {lux}\n", "test")


def test_a_replay_in_place_of_the_camera_takes_the_level_down_or_is_refused() -> None:
    lit = parse_config(LIT, "test")
    assert app.with_camera(lit, "frames:x").pad_level is PadLevel.BASIC
    wanted = parse_config(LIT + 'level = "flash"\n', "test")
    with pytest.raises(ConfigError, match="not frames:x: set "):
        app.with_camera(wanted, "frames:x")


def test_without_the_measure_of_the_light_nothing_examines_by_it() -> None:
    pipeline, _ = app.load_vision(Config())
    with pytest.raises(ConfigError, match=r"set \[pad\] light_lux$"):
        app.load_pad(Config(), pipeline)


@pytest.mark.parametrize(
    ("camera", "share"),
    [
        ("", 1.0),
        ("roi = [0.0, 0.0, 0.5, 1.0]\n", 0.5625),
        ("roi = [0.0, 0.0, 0.8, 0.5]\n", 0.8),
        ("rotation = 90\nroi = [0.0, 0.0, 1.0, 0.6]\n", 0.6),
    ],
)
def test_the_part_that_is_looked_at_is_seen_under_its_own_angle(camera: str, share: float) -> None:
    pipeline, _ = app.load_vision(Config())
    pad = app.load_pad(parse_config(LIT + "[camera]\n" + camera, "test"), pipeline)
    assert isinstance(pad, FlashPad)
    whole = FlashPad(pipeline, 400.0, field_of_view(1.0))
    # In longer sides of what is looked at, the focal length grows as that shrinks.
    assert pad.focal == pytest.approx(whole.focal / share)


def test_whoever_asks_for_no_level_has_basic() -> None:
    assert app.at_basic(Config()).strictest is PadLevel.BASIC
    assert (
        app.at_basic(parse_config(LIT + hours("sun", "flash"), "test")).strictest is PadLevel.BASIC
    )


@pytest.mark.parametrize("each", PadLevel)
def test_each_level_says_what_it_stops_what_it_does_not_and_what_does(each: PadLevel) -> None:
    words = in_words(each)
    assert words.startswith((f"level {each}: stops ", f"level {each}: stopped "))
    assert "; does not stop " in words
    assert '"face+pin"' in words
    assert words.endswith("not certified")


def test_basic_does_not_claim_to_stop_a_photograph() -> None:
    assert "does not stop a good photograph" in in_words(PadLevel.BASIC)
