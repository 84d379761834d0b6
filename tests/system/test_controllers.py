"""Trusting controllers, and taking the door out of Home Assistant, as an administrator does it."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.adapters.note import Signer
from agent.core.orders import Operation
from agent.wire.commands import controller_id
from tests.brokers import Broker, collector
from tests.contracts.waiting import eventually
from tests.system.computer import Computer

SEED = bytes(range(32))
KEY = str(Signer("office", SEED).verifier)
OFFICE = controller_id(Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw())


def test_a_controller_is_trusted_listed_and_removed(computer: Computer) -> None:
    [added] = computer.ask("controller", "add", KEY, "--right", "unlock", "--right", "ping")
    office = {"controller": OFFICE, "name": "office", "rights": ["ping", "unlock"]}
    assert added == office
    assert computer.ask("controller", "list") == [[office]]
    _, table, _ = computer.type("controller", "list")
    assert OFFICE in table
    assert "ping, unlock" in table
    assert computer.ask("controller", "remove", OFFICE) == [{"controller": OFFICE}]
    assert computer.ask("controller", "list") == [[]]
    told = [event["event"] for event in computer.ask("events")]
    assert told == ["controller_trusted", "controller_removed"]


def test_a_controller_that_is_added_again_has_its_new_rights_only(computer: Computer) -> None:
    computer.ask("controller", "add", KEY, "--right", "all")
    [[office]] = computer.ask("controller", "list")
    assert office["rights"] == sorted(Operation)
    computer.ask("controller", "add", KEY, "--right", "ping")
    [[office]] = computer.ask("controller", "list")
    assert office["rights"] == ["ping"]


@pytest.mark.parametrize("key", ["", "office", KEY[:-4], KEY.replace("office", "home")])
def test_what_is_no_key_is_refused_in_one_line(computer: Computer, key: str) -> None:
    complaint = computer.refuses("controller", "add", key, "--right", "ping")
    assert complaint.startswith("doorward: KEY: is no verifier key")
    assert "`doorward remote key` shows it" in complaint


def test_a_right_that_there_is_not_is_refused(computer: Computer) -> None:
    code, _, err = computer.type("controller", "add", KEY, "--right", "fly")
    assert code == 2
    assert "'fly' is not one of 'unlock'" in err


def test_nobody_is_removed_who_is_not_trusted(computer: Computer) -> None:
    complaint = computer.refuses("controller", "remove", OFFICE)
    assert f"no controller {OFFICE}: `doorward controller list` shows who is trusted" in complaint


@pytest.mark.parametrize(
    ("mode", "finding"),
    [
        ("off", "nobody opens the door from afar"),
        ("signed", "1 of 1 trusted controllers may open the door, by signature"),
        ("broker", "WHOEVER MAY WRITE TO THE BROKER OPENS THE DOOR, with no signature"),
    ],
)
def test_the_doctor_says_who_opens_the_door_from_afar(
    computer: Computer, mode: str, finding: str
) -> None:
    computer.configure(f'[mqtt]\nremote_unlock = "{mode}"\n')
    computer.ask("controller", "add", KEY, "--right", "unlock")
    [checks] = computer.ask("doctor", "--simulate")
    [remote] = [check for check in checks if check["part"] == "remote"]
    assert remote["good"]
    assert finding in remote["finding"]


def test_home_assistant_is_made_to_forget_the_door(computer: Computer, broker: Broker) -> None:
    computer.configure(
        f'[mqtt]\nhost = "localhost"\nport = {broker.port}\ntls = false\ndiscovery = "off"\n'
    )
    announced = ("homeassistant/device/doorward-front/config", "homeassistant/status")
    with collector(broker.port, "homeassistant/#") as home:
        for topic in announced:
            home.publish(topic, b"{}", retain=True)
    code, out, err = computer.type("doctor", "--remove-discovery", "--json")
    assert (code, err) == (0, "")
    assert announced[0] in json.loads(out)["emptied"]
    with collector(broker.port, "homeassistant/#") as home:
        assert eventually(lambda: home.messages)
        home.publish("homeassistant/now", b"now")
        assert eventually(lambda: home.payloads("homeassistant/now"))
        left = {each.topic for each in home.messages if each.payload}
    # Only what is the door's own is taken away.
    assert left == {"homeassistant/status", "homeassistant/now"}


def test_a_door_that_would_announce_itself_again_is_warned_of(
    computer: Computer, broker: Broker
) -> None:
    computer.configure(f'[mqtt]\nhost = "localhost"\nport = {broker.port}\ntls = false\n')
    code, out, err = computer.type("doctor", "--remove-discovery")
    assert (code, out) == (0, "Home Assistant forgets the door.\n")
    assert 'set [mqtt] discovery = "off"' in err


def test_without_a_broker_nothing_can_be_taken_back(computer: Computer, broker: Broker) -> None:
    assert "mqtt.host: is not set" in computer.refuses("doctor", "--remove-discovery")
    broker.kill()
    computer.configure(f'[mqtt]\nhost = "localhost"\nport = {broker.port}\ntls = false\n')
    complaint = computer.refuses("doctor", "--remove-discovery")
    assert f"localhost:{broker.port}: connection refused: start the broker" in complaint


def test_a_broker_that_lets_nobody_in_says_so(
    computer: Computer, mosquitto_binary: str, tmp_path: Path
) -> None:
    (tmp_path / "closed").mkdir()
    closed = Broker(mosquitto_binary, tmp_path / "closed", ["allow_anonymous false"])
    closed.start()
    try:
        computer.configure(f'[mqtt]\nhost = "localhost"\nport = {closed.port}\ntls = false\n')
        assert "not authorized" in computer.refuses("doctor", "--remove-discovery").lower()
    finally:
        closed.kill()
