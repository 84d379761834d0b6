"""`doorward` as an operator types it, in a process of its own."""

import json
import shutil
import sqlite3
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.config import Config
from agent.core.types import Now
from agent.demonstration.stage import Stage, photograph
from agent.installation import models_directory
from tests.system.computer import SECONDS, Computer

MODELS = models_directory(Config())


class FastClock:
    """A clock on which each look costs a tenth of a second, so that a stage needs no waiting."""

    boot_id = "fast"

    def __init__(self) -> None:
        self._at = 0.0

    def now(self) -> Now:
        self._at += 0.1
        return Now(self._at, 0.0, 0, trusted=True)


def walk(folder: Path, names: Sequence[str], frames: int) -> str:
    """Make a folder of pictures in which somebody walks up, and give it as a camera."""
    folder.mkdir()
    stage = Stage(1000.0, FastClock())
    stage.walk_up([photograph(name) for name in names], 1000.0)
    for number, frame in zip(range(frames), stage.frames(), strict=False):
        picture = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"{number:04}.bmp"), picture)
    stage.close()
    return f"frames:{folder}"


def test_models_that_were_installed_with_the_program_come_before_those_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    beside = Path(__file__).parents[2] / "models"
    assert models_directory(Config()) == beside
    (tmp_path / "models").mkdir()
    assert models_directory(Config()) == tmp_path / "models"
    assert models_directory(Config(models_directory="elsewhere")) == Path("elsewhere")


def test_a_resident_enrols_enters_is_revoked_and_is_erased(computer: Computer) -> None:
    enrolment = walk(computer.folder / "enrolment", ["obama.jpg", "obama2.jpg"], 120)
    visit = walk(computer.folder / "visit", ["obama3.jpg"], 40)
    told = computer.ask("enrol", "--label", "Flat 1", "--camera", enrolment)
    assert told[-1]["event"] == "enrolled"
    [residents] = computer.ask("list")
    [resident] = residents
    assert resident["label"] == "Flat 1"
    subject = str(resident["id"])

    events = computer.ask("run", "--simulate", "--camera", visit)
    granted = [event for event in events if event["event"] == "granted"]
    assert {event["subject"] for event in granted} == {subject}
    assert [e["state"] for e in events if e["event"] == "lock_state"][:2] == ["locked", "unlocked"]
    assert events[-1] == {"event": "lock_state", "state": "locked"}
    assert computer.ask("status")[0]["residents"] == 1

    [revoked] = computer.ask("revoke", subject)
    assert (revoked["event"], revoked["subject"]) == ("revoked", subject)
    events = computer.ask("run", "--simulate", "--camera", visit)
    denied = [event for event in events if event["event"] == "denied"]
    assert {(event["reason"], event["subject"]) for event in denied} == {("revoked", subject)}
    assert not [event for event in events if event["event"] == "granted"]

    computer.ask("erase", subject)
    assert computer.ask("list") == [[]]
    events = computer.ask("run", "--simulate", "--camera", visit)
    assert {e["reason"] for e in events if e["event"] == "denied"} == {"no_match"}
    logged = computer.ask("events", "--limit", "100")
    assert {"denied", "erased", "erasure_certified"} <= {event["event"] for event in logged}
    # What kind they were is all that is left of them.
    forgotten = {event["kind"] for event in logged if event["event"] == "forgotten"}
    assert {"enrolled", "granted", "revoked"} <= forgotten
    assert computer.ask("events", "verify")[0]["events"] == logged[-1]["seq"]

    kept = {path.name for path in computer.state.iterdir()}
    database = {"doorward.db", "doorward.db-wal", "doorward.db-shm"}
    assert kept <= database | {"agent.lock", "ballast", "device.key", "epoch", "store.lock"}
    others = {path.name for path in computer.folder.iterdir()}
    assert others == {"state", "doorward.toml", "enrolment", "visit"}


def test_an_enrolment_without_a_face_says_so(computer: Computer) -> None:
    empty = computer.folder / "empty"
    empty.mkdir()
    for number in range(8):
        cv2.imwrite(str(empty / f"{number}.bmp"), np.full((240, 320, 3), 128, np.uint8))
    computer.configure("[enrolment]\nseconds = 5\n[camera]\nfps = 1\n")
    code, out, err = computer.type("enrol", "--camera", f"frames:{empty}")
    assert code == 1, err
    assert "not enrolled: no face" in out


@pytest.mark.parametrize("model", ["embedder", "detector", "detector_far", "landmarks"])
def test_a_damaged_model_is_refused(computer: Computer, model: str) -> None:
    models = computer.folder / "models"
    shutil.copytree(MODELS, models, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    manifest = tomllib.loads((models / "manifest.toml").read_text())
    table = manifest["embedder"]["litert"] if model == "embedder" else model
    file = models / manifest[table]["file"]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    computer.config.write_text(
        f'state_directory = "{computer.state}"\nmodels_directory = "{models}"\n', encoding="utf-8"
    )
    pictures = walk(computer.folder / "visit", ["obama3.jpg"], 2)
    assert file.name in computer.refuses("run", "--simulate", "--camera", pictures)
    file.write_bytes(content[: len(content) // 2])
    assert file.name in computer.refuses("run", "--simulate", "--camera", pictures)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[door]\nnmae = 'x'\n", "nmae"),
        ("[recognition]\ntarget_fpri = 0.1\n", "target_fpri"),
        ("[door]\nrelease_seconds = 'long'\n", "door.release_seconds"),
        ("[door]\nrelease_seconds = 31\n", "door.release_seconds"),
        ("[door\n", "not valid TOML"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(
    computer: Computer, text: str, named: str
) -> None:
    computer.configure(text)
    line = computer.refuses("list")
    assert named in line
    assert "doorward.toml" in line


def test_a_configuration_that_is_not_there_is_refused(computer: Computer) -> None:
    computer.config.unlink()
    assert "doorward.toml" in computer.refuses("list")


def test_a_database_of_a_newer_version_is_refused_and_left_alone(computer: Computer) -> None:
    computer.ask("list")
    database = computer.state / "doorward.db"
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = database.read_bytes()
    assert "99" in computer.refuses("list")
    assert database.read_bytes() == before


def test_what_is_no_database_is_refused_and_left_alone(computer: Computer) -> None:
    computer.state.mkdir()
    database = computer.state / "doorward.db"
    database.write_bytes(b"something else" * 1000)
    assert "doorward.db" in computer.refuses("list")
    assert database.read_bytes() == b"something else" * 1000


def test_a_folder_with_something_else_than_pictures_is_refused(computer: Computer) -> None:
    pictures = walk(computer.folder / "visit", ["obama3.jpg"], 2)
    (computer.folder / "visit" / "notes.doc").write_text("not a picture", encoding="utf-8")
    assert "notes.doc" in computer.refuses("run", "--simulate", "--camera", pictures)


@pytest.mark.parametrize("camera", ["frames:nowhere", "video:nothing.mp4", "webcam", "picamera2"])
def test_a_camera_that_is_not_there_is_refused(computer: Computer, camera: str) -> None:
    assert "camera" in computer.refuses("run", "--simulate", "--camera", camera)


def test_without_gpio_the_real_door_is_refused(computer: Computer) -> None:
    pictures = walk(computer.folder / "visit", ["obama3.jpg"], 2)
    assert "gpio" in computer.refuses("run", "--camera", pictures)


def test_a_state_folder_that_cannot_be_made_is_refused(computer: Computer) -> None:
    computer.state.write_text("a file", encoding="utf-8")
    assert "state" in computer.refuses("list")


def test_nobody_unknown_is_revoked_or_erased(computer: Computer) -> None:
    assert "s-nobody" in computer.refuses("revoke", "s-nobody")
    assert "s-nobody" in computer.refuses("erase", "s-nobody")
    assert computer.ask("events") == []


def test_a_schedule_that_cannot_be_meant_is_refused(computer: Computer) -> None:
    code, _, err = computer.type("enrol", "--schedule", "weekdays")
    assert code == 2
    assert "weekdays" in err
    assert "Traceback" not in err


def test_a_second_agent_on_the_same_folder_is_refused(computer: Computer) -> None:
    pictures = walk(computer.folder / "visit", ["obama3.jpg"], 100)
    first = computer.start("run", "--simulate", "--camera", pictures)
    try:
        assert first.stdout is not None
        assert any("ready" in line for line in first.stdout)
        assert computer.ask("status")[0]["running"] is True
        assert "stop" in computer.refuses("run", "--simulate", "--camera", pictures)
    finally:
        first.terminate()
        _, err = first.communicate(timeout=SECONDS)
    assert first.returncode == 0, err


def test_the_doctor_says_what_is_wrong_and_fails_only_on_what_keeps_the_door_shut(
    computer: Computer,
) -> None:
    code, out, err = computer.type("doctor", "--simulate", "--json")
    assert code == 0, err
    assert {check["part"] for check in json.loads(out)} >= {"config", "models", "store", "broker"}
    code, out, _ = computer.type("doctor", "--json")
    assert code == 1
    assert {c["part"] for c in json.loads(out) if not c["good"]} >= {"camera", "gpio"}


def test_without_a_camera_on_the_command_line_the_configuration_names_it(
    computer: Computer,
) -> None:
    computer.configure('[camera]\nsource = "usb:/dev/no-such-camera"\n')
    agent = computer.start("run", "--simulate")
    try:
        assert agent.stdout is not None
        assert any("/dev/no-such-camera: no such device" in line for line in agent.stdout)
    finally:
        agent.terminate()
        _, err = agent.communicate(timeout=SECONDS)
    assert agent.returncode == 0, err
