"""`doorward doctor`: what is wrong, what comes of it, how to mend it, what stops the door."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pytest

from agent import app, installation
from agent.adapters.clock import SystemClock
from agent.core.effects import Enrol
from agent.core.enrolment import PURPOSE
from agent.core.events import Enrolled, Event, FaultCleared, FaultRaised, Part, Started
from agent.core.types import AuthorityKind, Consent, Embedding, Subject, SubjectId
from agent.doctor import Check, examine
from tests.brokers import free_port
from tests.residents import vectors
from tests.system.computer import Computer

SOFTWARE = {"config", "models", "notice", "key", "store", "sureness", "disk", "card", "permissions"}
HARDWARE = {"groups", "camera", "gpio", "attacks", "lines", "devices"}
WORLD = {"broker", "remote", "clock", "temperature", "power"}


def examined(computer: Computer, *, simulate: bool = True) -> dict[str, Check]:
    """What the doctor finds, in this process."""
    return {check.part: check for check in examine(computer.config, simulate=simulate)}


@contextmanager
def an_agent_that_told(computer: Computer, *events: Event) -> Iterator[None]:
    """Somebody who holds the state folder as an agent does, and has recorded these events."""
    config = installation.load_config(computer.config)
    with installation.sole_agent(config), installation.opened_store(config) as store:
        for event in events:
            store.append(event, SystemClock().now())
        yield


def test_every_part_is_looked_at_and_says_what_comes_of_it(computer: Computer) -> None:
    code, out, err = computer.type("doctor", "--json")
    # There is neither a camera nor a line here.
    assert code == 1, err
    checks: list[dict[str, Any]] = json.loads(out)
    assert {check["part"] for check in checks} == SOFTWARE | HARDWARE | WORLD
    assert all(check["finding"] and check["means"] for check in checks)
    assert {c["part"] for c in checks if not c["good"] and c["needed"]} == {"camera", "gpio"}


def test_without_hardware_nothing_stops_the_door_and_what_is_wrong_is_a_warning(
    computer: Computer,
) -> None:
    port = free_port()
    computer.configure(f'[mqtt]\nhost = "127.0.0.1"\nport = {port}\ntls = false\n')
    code, out, err = computer.type("doctor", "--simulate")
    assert code == 0, err
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert set(lines) == SOFTWARE | WORLD
    assert lines["models"].split()[1] == "ok"
    mend = "connection refused: start the broker or mend [mqtt]"
    means = "the door opens all the same, and events wait"
    assert lines["broker"].split(maxsplit=2)[1:] == ["warn", f"127.0.0.1:{port}: {mend} ({means})"]


@pytest.mark.parametrize(
    ("settings", "part", "named"),
    [
        ("[door]\nnmae = 'x'\n", "config", "nmae"),
        ('models_directory = "nowhere"\n', "models", "nowhere"),
        # It would not stop the door, but the agent does not even start on it.
        ('[mqtt]\nhost = "localhost"\nca_file = "nowhere.pem"\n', "broker", "nowhere.pem"),
    ],
)
def test_what_keeps_the_agent_from_starting_stops_the_door(
    computer: Computer, settings: str, part: str, named: str
) -> None:
    computer.configure(settings)
    check = examined(computer)[part]
    assert (check.good, check.needed) == (False, True)
    assert "the agent does not start" in check.means
    assert named in check.finding
    code, out, _ = computer.type("doctor", "--simulate")
    assert code == 1
    wrong = [line for line in out.splitlines() if " WRONG " in line]
    assert [line.split()[0] for line in wrong] == [part]
    assert named in wrong[0]


def test_a_state_folder_that_is_open_to_others_is_a_warning(computer: Computer) -> None:
    assert examined(computer)["permissions"].good
    computer.state.chmod(0o755)
    check = examined(computer)["permissions"]
    assert (check.good, check.needed) == (False, False)
    assert check.finding == f"{computer.state}: is open to others: chmod 700 {computer.state}"


def test_a_target_out_of_reach_of_the_calibration_is_a_warning(computer: Computer) -> None:
    assert examined(computer)["sureness"].finding == "with nobody compared, no face opens the door"
    config = installation.load_config(computer.config)
    _, calibration = app.load_vision(config)
    with installation.opened_store(config) as store:
        subject, vector = SubjectId("s-1"), vectors(1)[0]
        consent = Consent(
            "root", installation.load_notice(config), PURPOSE, SystemClock().now().wall
        )
        change = Enrol(
            Subject(subject, consent=consent), "", (Embedding(vector, calibration.model),)
        )
        store.append(Enrolled(subject, AuthorityKind.CODE, 1, None), SystemClock().now(), change)
    assert examined(computer)["sureness"].good
    computer.configure("[recognition]\ntarget_fpir = 1e-12\n")
    check = examined(computer)["sureness"]
    assert (check.good, check.needed) == (False, False)
    assert "the target of 1e-12 is NOT met" in check.finding
    [state] = computer.ask("status")
    assert state["sureness"] == check.finding


def test_a_configuration_that_names_secrets_is_not_for_all_to_read(computer: Computer) -> None:
    computer.configure('[mqtt]\npassword_file = "/nowhere"\n')
    computer.config.chmod(0o644)
    assert "names secrets" in examined(computer)["permissions"].finding
    computer.config.chmod(0o640)
    assert examined(computer)["permissions"].good


def test_what_the_agent_uses_is_not_taken_from_it(computer: Computer) -> None:
    with an_agent_that_told(computer, Started("1", simulated=False)):
        check = examined(computer, simulate=False)["camera"]
    assert check.good
    assert check.finding == "in use by the agent, which has no complaint"
    assert not examined(computer, simulate=False)["camera"].good


CAMERA_GONE = FaultRaised(Part.CAMERA, "camera: it gives no frames: check the ribbon cable")


@pytest.mark.parametrize(
    ("events", "good"),
    [
        ([Started("1", simulated=False), CAMERA_GONE], False),
        ([CAMERA_GONE, FaultRaised(Part.BROKER, "away"), FaultCleared(Part.BROKER)], False),
        ([CAMERA_GONE, FaultCleared(Part.CAMERA)], True),
        ([CAMERA_GONE, Started("1", simulated=False)], True),
        ([FaultRaised(Part.RELEASE, "gpio: gone")], True),
    ],
)
def test_of_what_the_agent_uses_its_own_complaint_is_told(
    computer: Computer, events: list[Event], good: bool
) -> None:
    with an_agent_that_told(computer, *events):
        check = examined(computer, simulate=False)["camera"]
    assert check.good is good
    assert good or check.finding == CAMERA_GONE.reason


def test_every_device_that_the_configuration_names_is_looked_for(computer: Computer) -> None:
    assert "none is named" in examined(computer, simulate=False)["devices"].finding
    # Any key will do.
    computer.configure('[mqtt]\nusername = "/dev/null"\n')
    check = examined(computer, simulate=False)["devices"]
    assert (check.good, check.finding) == (True, "/dev/null")
    computer.configure('[mqtt]\nusername = "/dev/input/by-id/keypad"\n')
    check = examined(computer, simulate=False)["devices"]
    assert (check.good, check.needed) == (False, False)
    assert "mqtt.username: /dev/input/by-id/keypad: there is no such device" in check.finding


def test_the_lines_are_listed_with_what_they_are_for(computer: Computer) -> None:
    computer.configure('[gpio]\nrelay = 22\nbuzzer = "none"\n')
    found = examined(computer, simulate=False)["lines"].finding
    assert found.startswith("gpio.relay 22, gpio.enrol_button 27")
    assert "buzzer" not in found


def test_what_keeps_the_agent_from_starting_is_no_warning(computer: Computer) -> None:
    computer.configure('notice_file = "/nonexistent"\n')
    check = examined(computer)["notice"]
    assert (check.good, check.needed) == (False, True)
    assert "/nonexistent" in check.finding


@pytest.mark.skipif(find_spec("evdev") is not None, reason="evdev is installed here")
def test_a_reader_without_its_package_keeps_the_agent_from_starting(computer: Computer) -> None:
    computer.configure('[readers]\nkeypad = "/dev/input/by-id/keypad"\n')
    check = examined(computer, simulate=False)["devices"]
    assert (check.good, check.needed) == (False, True)
    assert "python3-evdev" in check.finding
