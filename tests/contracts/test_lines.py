"""What a configuration may say about the lines of the Pi."""

import pytest

from agent.config import Gpio, Loop, Switch, parse_config
from agent.errors import ConfigError


def lines(text: str) -> Gpio:
    return parse_config(f"[gpio]\n{text}", "doorward.toml").gpio


def test_a_number_is_a_button_or_a_loop_to_ground() -> None:
    given = lines("enrol_button = 4\nexit_button = 22\ndoorbell = 23\ncontact = 24\ntamper = 25")
    assert given.switches == {
        "enrol_button": Switch(line=4, pull="up", active="low"),
        "exit_button": Switch(line=22, pull="up", active="low"),
        "doorbell": Switch(line=23, pull="up", active="low"),
        "contact": Loop(line=24, pull="up", active="high"),
        "tamper": Loop(line=25, pull="up", active="high"),
    }


def test_nothing_but_the_enrol_button_is_taken_to_be_connected() -> None:
    assert set(Gpio().switches) == {"enrol_button"}
    assert Gpio().light is None


def test_a_table_says_how_else_it_is_wired() -> None:
    given = lines('[gpio.contact]\nline = 24\npull = "off"\ndebounce_ms = 100')
    assert given.switches["contact"] == Loop(line=24, pull="off", active="high", debounce_ms=100)
    given = lines('exit_button = {line = 22, pull = "down", active = "high"}')
    assert given.switches["exit_button"] == Switch(line=22, pull="down", active="high")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("exit_button = 17", "gpio: one line is given to two things"),
        ("light = 27", "gpio: one line is given to two things"),
        ("contact = 24\n[gpio.tamper]\nline = 24", "gpio: one line is given to two things"),
        ("contact = 28", "gpio.contact: Expected `int` <= 27"),
        ("[gpio.contact]\nline = -1", "gpio.contact.line: Expected `int` >= 0"),
        ('[gpio.contact]\npull = "up"', "gpio.contact: Object missing required field `line`"),
        ("[gpio.contact]\nline = 24\nedge = 1", "gpio.contact: .*unknown field `edge`"),
        (
            '[gpio.contact]\nline = 24\npull = "left"',
            "gpio.contact.pull: Invalid enum value 'left'",
        ),
        ("[gpio.contact]\nline = 24\ndebounce_ms = 1001", "debounce_ms: Expected `int` <= 1000"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"^doorward.toml: .*{says}.*$"):
        lines(text)


@pytest.mark.parametrize(
    ("pull", "active"), [("up", "high"), ("down", "low"), ("off", "high"), ("off", "low")]
)
def test_an_exit_button_whose_cut_wire_would_open_the_door_is_refused(
    pull: str, active: str
) -> None:
    wired = f'{{line = 22, pull = "{pull}", active = "{active}"}}'
    with pytest.raises(ConfigError, match="gpio: exit_button: a cut wire would open the door"):
        lines(f"exit_button = {wired}")
    assert lines(f"doorbell = {wired}").switches["doorbell"].line == 22
