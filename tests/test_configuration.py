"""What is said of the configuration's keys is what the code does with them."""

import re
import tomllib
from typing import Annotated, Literal

import pytest
from hypothesis import example, given, strategies as st
from msgspec import Meta

from agent.config import Config, Section, parse_config
from agent.errors import ConfigError
from agent.manual import REQUIRED, Key, Table, keys, nearest, tables, value
from agent.toml import as_toml, in_file, in_force, template
from tests.configuration import PAGE, page, section

KEYS = keys(tables())
SET_BY_ITSELF = [key.name for table in tables() for key in table.keys]
"""The keys that need no table of others beside them."""
NUMBERS = [name for name, key in KEYS.items() if type(key.default) in {int, float} or key.unit]
BOUNDED = [each for each in NUMBERS if each in SET_BY_ITSELF and KEYS[each].range[0] != "l"]
NUMBER = r"-?\d+(?:\.\d+)?"
BOUNDED_BY_ANOTHER = {
    ("recognition.min_frames", 20.0): "recognition.max_frames",
    ("quality.min_exposure", 255.0): "quality.max_exposure",
    ("quality.max_exposure", 0.0): "quality.min_exposure",
    ("codes.longest_seconds", 30.0): "codes.seconds",
}
"""Values within a key's range, and the key whose default does not allow them."""
BESIDE = {"pad.level": "light_lux = 400\n[gpio]\nlight = 12\n"}
"""What else must be set for all the words of a key."""


def refused(name: str, number: float) -> bool:
    table, _, key = name.rpartition(".")
    text = f"{number:.3f}".rstrip("0").rstrip(".")
    # A line that something else has is refused as well.
    others = [each for each in KEYS if each.startswith(f"{table}.") and each != name]
    free = [each.rpartition(".")[2] for each in others if '"none"' in KEYS[each].range]
    settings = "".join(f'{each} = "none"\n' for each in free)
    try:
        parse_config(f"[{table}]\n{settings}{key} = {text}\n", "test")
    except ConfigError:
        return True
    return False


# --- what is said


def test_the_page_is_what_the_code_generates() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(written), f"{PAGE.name} is not what the code says: run `make docs`"


@pytest.mark.parametrize("name", sorted(KEYS))
def test_every_key_says_what_it_means_and_may_be(name: str) -> None:
    key = KEYS[name]
    assert key.meaning.endswith("."), f"{name} has no docstring"
    assert key.range


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_says_its_unit_and_range(name: str) -> None:
    key = KEYS[name]
    assert key.unit, f"{name}: name its unit in the docstring, or add the unit to agent/manual.py"
    assert key.range != "any number", f"{name}: say its range in the docstring"


@pytest.mark.parametrize("name", BOUNDED)
def test_a_number_is_taken_within_its_range_and_refused_outside(name: str) -> None:
    told = KEYS[name].range
    low = re.search(rf"(above )?({NUMBER})", told)
    high = re.search(rf" to (below )?({NUMBER})", told)
    step = 1 if isinstance(KEYS[name].default, int) else 0.001
    step = int(told.rpartition(" ")[2]) if "steps of" in told else step
    assert low or high
    for found, outward in ((low, -step), (high, step)):
        if found is None or "_" in told.partition(" ")[0]:
            continue
        bound = float(found[2])
        assert refused(name, bound + outward), f"{name} = {bound + outward}"
        if found[1] or (name, bound) in BOUNDED_BY_ANOTHER:
            assert refused(name, bound)
        else:
            assert not refused(name, bound), f"{name} = {bound}"


@pytest.mark.parametrize("name", [each for each in SET_BY_ITSELF if KEYS[each].range[0] == '"'])
def test_each_of_the_words_of_a_key_is_taken_and_no_other(name: str) -> None:
    table, _, key = name.rpartition(".")
    words = re.findall(r'"(.+?)"', KEYS[name].range)
    for word in words:
        parse_config(f'[{table}]\n{key} = "{word}"\n{BESIDE.get(name, "")}', "test")
    with pytest.raises(ConfigError, match=name):
        parse_config(f'[{table}]\n{key} = "perhaps"\n', "test")


@pytest.mark.parametrize("name", [each for each in KEYS if '"none"' in KEYS[each].range])
def test_none_is_no_value(name: str) -> None:
    table, _, key = name.rpartition(".")
    config = parse_config((f"[{table}]\n" if table else "") + f'{key} = "none"\n', "test")
    assert value(config, name) == "none"
    assert getattr(getattr(config, table) if table else config, key) is None


def test_none_where_there_must_be_a_value_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"gpio\.relay"):
        parse_config('[gpio]\nrelay = "none"\n', "test")
    assert parse_config('[door]\nname = "none"\n', "test").door.name == "none"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("door.relase_seconds", "door.release_seconds"),
        ("relase_seconds", "door.release_seconds"),
        ("target_fpri", "recognition.target_fpir"),
        ("mqtt.hots", "mqtt.host"),
        # There are two keys of this name.
        ("lockout.secnds", "lockout.seconds"),
        ("enrolment.secnds", "enrolment.seconds"),
    ],
)
def test_the_nearest_key_is_the_one_that_was_meant(typed: str, meant: str) -> None:
    assert nearest(typed)[0] == meant
    assert len(nearest(typed)) <= 3


# --- classes that are yet to come


class Switch(Section, frozen=True):
    """A button."""

    line: Annotated[int, Meta(ge=0, le=27)]
    """BCM number of the line."""
    pull: Literal["up", "down"] = "up"
    """Where an open line is pulled."""


class Loop(Switch, frozen=True):
    """A loop."""

    pull: Literal["up", "down"] = "down"


class Wires(Section, frozen=True):
    """BCM numbers of the lines; None where nothing is connected."""

    bell: Annotated[int, Meta(ge=0, le=27)] | Switch | None = 5
    """Rings."""
    button: Switch | None = None
    """Rings as well."""
    tamper: Loop | None = None
    """Opened."""
    more: tuple[Loop, ...] = ()
    """Others."""
    area: tuple[Annotated[float, Meta(ge=0, le=1)], Annotated[float, Meta(ge=0, le=1)]] = (0, 1)
    """Shares of the picture,
    at the door."""


class Whole(Section, frozen=True):
    """All of it."""

    wires: Wires = Wires()
    """How it is wired."""


def test_tables_within_a_section_are_described_as_well() -> None:
    top, wires = tables(Whole)
    assert top == Table("", "", ())
    assert wires.meaning == "BCM numbers of the lines; none where nothing is connected."
    known = keys([wires])
    assert known["wires.bell"] == Key(
        "wires.bell", "Rings.", "BCM number", '0 to 27 or a table or "none"', 5
    )
    assert known["wires.button.line"].default == REQUIRED
    # What a class inherits it inherits with its meaning.
    assert known["wires.tamper.pull"] == Key(
        "wires.tamper.pull", "Where an open line is pulled.", "", '"down", "up"', "down"
    )
    assert (known["wires.more"].range, as_toml(known["wires.more"].default)) == (
        "list of tables",
        "[]",
    )
    area = known["wires.area"]
    assert (area.range, area.unit) == ("list of 2, each 0 to 1", "share")
    assert area.meaning == "Shares of the picture, at the door."
    shown = section(wires)
    assert "A button. Keys of the table that may stand at `bell`, `button`:" in shown
    assert shown.count('| `pull` | "up" |') == 1
    assert "A loop. Keys of the table that may stand at `tamper`, `more`:" in shown
    assert shown.count('| `pull` | "down" |') == 1
    assert "| `line` | (must be given) | BCM number |" in shown


# --- TOML

SCALARS = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
TABLES = st.dictionaries(st.sampled_from(["line", "pull", "debounce_ms"]), SCALARS)
VALUES = SCALARS | st.lists(SCALARS | TABLES, max_size=4) | TABLES


@given(VALUES)
@example('\x7f\0\n"\\ü\u2028')
def test_what_is_written_as_toml_is_read_as_it_was(value: object) -> None:
    assert tomllib.loads(f"it = {as_toml(value)}") == {"it": value}


def test_the_file_to_begin_with_changes_nothing_with_its_keys_commented_out_or_not() -> None:
    text = template()
    assert not any(tomllib.loads(text).values())
    live = re.sub(r"(?m)^#(\w)", r"\1", text)
    assert parse_config(live, "test") == Config()
    document = tomllib.loads(live)
    assert [name for name in SET_BY_ITSELF if not in_file(document, name)] == []
    assert max(map(len, text.splitlines())) <= 100


def test_what_is_in_force_is_shown_as_a_file_that_would_have_it_in_force() -> None:
    text = (
        'models_directory = "/models"\n[door]\nname = "back"\nrelease_seconds = 7\n'
        '[retention]\nunused_days = "none"\n[mqtt]\nhost = "b\\u00f6se \\"q\\""\n'
        'remote_unlock = "off"\n[gpio]\nbuzzer = "none"\n'
    )
    config = parse_config(text, "test")
    shown = in_force(config, tomllib.loads(text), "/etc/x.toml")
    assert parse_config(shown, "test") == config
    assert [name for name in SET_BY_ITSELF if not in_file(tomllib.loads(shown), name)] == []
    marked = [line.split(" ")[0] for line in shown.splitlines() if "# from the file" in line]
    given = ["models_directory", "name", "release_seconds", "unused_days", "host", "remote_unlock"]
    assert marked == [*given, "buzzer"]
    assert "/etc/x.toml" in shown.splitlines()[0]


@pytest.mark.parametrize("opening", ["[", "{ a = "])
def test_what_is_nested_too_deeply_is_refused_in_one_line(opening: str) -> None:
    with pytest.raises(ConfigError, match=r"^a test: not valid TOML: .*: mend that line$") as told:
        parse_config(f"door = {opening * 100_000}", "a test")
    assert "\n" not in str(told.value)
