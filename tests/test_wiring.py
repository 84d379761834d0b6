"""The diagram and the page about the hardware say what the code does."""

from xml.etree import ElementTree as ET

from agent.adapters.pulse import MAX_SECONDS
from agent.config import Gpio
from tests.wiring import FILE, PINS, PROPOSED, wiring

PAGE = (FILE.parent / "hardware.md").read_text(encoding="utf-8")


def test_the_diagram_is_as_it_would_be_drawn_now() -> None:
    assert FILE.read_text(encoding="utf-8") == wiring(), "make docs"
    assert f"({FILE.name})" in PAGE


def test_the_diagram_is_an_image_that_names_every_line_and_its_pin() -> None:
    image = ET.fromstring(wiring())  # noqa: S314 - drawn here
    labels = {words for element in image.iter() if (words := element.text)}
    given = {key: getattr(PROPOSED, key) for key in Gpio.__struct_fields__}
    lines = {key: line for key, line in given.items() if not isinstance(line, bool)}
    assert {f"{PINS[line]}  GPIO{line}  {key}" for key, line in lines.items()} <= labels


def test_the_page_names_every_key_and_proposes_the_lines_of_the_diagram() -> None:
    for key in Gpio.__struct_fields__:
        assert f"`{key}`" in PAGE or f"`{key} = " in PAGE, key
        if getattr(Gpio(), key) is None:
            assert f"\n{key} = {getattr(PROPOSED, key)}\n" in PAGE


def test_the_one_shot_cuts_no_release_short() -> None:
    seconds = 0.7 * 470e3 * 100e-6
    assert round(seconds) == 33
    assert "0.7 × 470 kΩ × 100 µF = 33 s" in PAGE
    assert seconds > MAX_SECONDS
