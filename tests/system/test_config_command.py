"""`doorward config` as an operator types it."""

import json
from pathlib import Path

from tests.system.computer import Computer


def test_a_valid_file_is_said_to_be_valid(computer: Computer) -> None:
    code, out, err = computer.type("config", "check")
    assert (code, err) == (0, "")
    assert out == f"{computer.config}: valid\n"
    assert computer.ask("config", "check") == [{"file": str(computer.config), "valid": True}]


def test_a_file_that_is_not_in_force_yet_is_checked_in_place_of_the_other(
    computer: Computer,
) -> None:
    other = computer.folder / "new.toml"
    other.write_text("[door]\nrelease_seconds = 31\n", encoding="utf-8")
    line = computer.refuses("config", "check", str(other))
    assert str(other) in line
    assert "door.release_seconds" in line
    assert "mend or remove it" in line
    computer.configure("[door\n")
    other.write_text("", encoding="utf-8")
    assert computer.ask("config", "check", str(other))[0]["valid"] is True
    assert "not valid TOML" in computer.refuses("config", "check")
    assert "nowhere.toml" in computer.refuses("config", "check", "nowhere.toml")


def test_what_is_in_force_is_shown_whole_and_says_what_the_file_sets(
    computer: Computer,
) -> None:
    computer.configure('[door]\nname = "back"\n[mqtt]\npassword_file = "/etc/doorward/password"\n')
    code, out, err = computer.type("config", "show")
    assert (code, err) == (0, "")
    assert 'name = "back"  # from the file\n' in out
    assert "release_seconds = 5.0\n" in out
    [shown] = computer.ask("config", "show")
    assert shown["file"] == str(computer.config)
    given = ["state_directory", "door.name", "mqtt.password_file"]
    assert shown["from_file"] == given
    assert shown["config"]["door"] == {
        "name": "back",
        "release_seconds": 5.0,
        "accessible_seconds": 15.0,
        "held_open_seconds": 60.0,
    }
    # What was shown, put into a file, is in force as it was.
    copy = computer.folder / "copy.toml"
    copy.write_text(out, encoding="utf-8")
    _, again, _ = computer.type("--config", str(copy), "config", "show", "--json")
    assert json.loads(again)["config"] == shown["config"]


def test_the_file_to_begin_with_is_valid_and_complete(computer: Computer) -> None:
    code, out, _ = computer.type("config", "show", "--default")
    assert code == 0
    fresh = computer.folder / "fresh.toml"
    fresh.write_text(out, encoding="utf-8")
    assert computer.ask("config", "check", str(fresh))[0]["valid"] is True
    [known] = computer.ask("config", "show", "--default")
    assert {"name", "meaning", "unit", "range", "default"} == set(known[0])
    # What stands in a table within a section is explained with that.
    sections = [key["name"].split(".") for key in known if key["name"].count(".") <= 1]
    for *_, key in sections:
        assert f"\n#{key} = " in out


def test_the_file_to_begin_with_is_given_also_where_the_other_is_broken(
    computer: Computer,
) -> None:
    computer.configure("[door\n")
    assert computer.type("config", "show", "--default")[0] == 0
    computer.refuses("config", "show")


def test_a_key_is_explained_with_what_it_is_set_to_and_by_what(computer: Computer) -> None:
    computer.configure("[door]\nrelease_seconds = 8\n")
    _, out, _ = computer.type("config", "explain", "door.release_seconds")
    assert out.splitlines() == [
        "door.release_seconds: How long one grant releases the door, in seconds.",
        "unit     s",
        "range    1 to 30",
        "default  5.0",
        f"now      8.0, from {computer.config}",
    ]
    [explained] = computer.ask("config", "explain", "door.name")
    assert explained["now"] == explained["default"] == "front"
    assert explained["origin"] == "the default"


def test_a_key_that_there_is_not_brings_the_nearest(computer: Computer) -> None:
    line = computer.refuses("config", "explain", "door.relase_seconds")
    assert "door.relase_seconds: there is no such key: did you mean door.release_seconds" in line
    assert "`doorward config show` lists all keys" in computer.refuses("config", "explain", "qqqq")


def test_a_key_of_a_broken_file_is_explained_all_the_same(computer: Computer) -> None:
    computer.configure("[door]\nrelease_seconds = 31\n")
    [explained] = computer.ask("config", "explain", "door.release_seconds")
    assert explained["range"] == "1 to 30"
    assert explained["now"] is None
    assert "door.release_seconds" in explained["origin"]


def test_without_a_file_the_defaults_are_in_force(tmp_path: Path) -> None:
    computer = Computer(tmp_path)
    missing = computer.folder / "nothing.toml"
    computer.config = missing
    assert "nothing.toml" in computer.refuses("config", "check")
