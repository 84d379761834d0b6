"""An agent that talks to a broker, loses it, finds it again and is commanded never listens."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core.effects import Trust
from agent.core.events import ControllerTrusted
from agent.core.orders import Operation, Order
from agent.wire.commands import encode_order
from agent.wire.states import read_challenge, read_reply
from agent.wire.topics import Topics
from tests.brokers import Broker, collector
from tests.contracts.waiting import eventually
from tests.residents import NOW, opened, trusted

ROOT = Path(__file__).parents[2]
TOPICS = Topics("front")
DOOR = (sys.executable, "-m", "tests.system.door")
LISTENS = "import socket; socket.create_server(('127.0.0.1', 0)).close()"


@pytest.fixture
def traced(strace: str, tmp_path: Path) -> list[str]:
    """What a command is put behind, to have the calls that `calls` gives."""
    watched = "trace=bind,listen,accept,accept4,connect"
    log = str(tmp_path / "calls")
    return [strace, "-f", "-qq", "-e", watched, "-e", "signal=none", "-o", log]


def calls(tmp_path: Path) -> list[tuple[str, str]]:
    text = (tmp_path / "calls").read_text(encoding="utf-8")
    return re.findall(r"^\d+\s+(\w+)\((.*)$", text, re.MULTILINE)


def test_the_trace_sees_who_listens(traced: list[str], tmp_path: Path) -> None:
    subprocess.run([*traced, sys.executable, "-c", LISTENS], check=True)
    assert {"bind", "listen"} <= {name for name, _ in calls(tmp_path)}


def test_an_agent_at_a_broker_listens_and_accepts_nowhere(
    traced: list[str], mosquitto_binary: str, tmp_path: Path
) -> None:
    broker = Broker(mosquitto_binary, tmp_path, ["allow_anonymous true"])
    broker.start()
    office = trusted(*Operation)
    with opened(tmp_path / "state" / "doorward.db") as store:
        store.append(ControllerTrusted(office.id), NOW, Trust(office))
    process = subprocess.Popen(
        [*traced, *DOOR, str(tmp_path / "state"), str(broker.port)],
        stdin=subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        with collector(broker.port) as told:
            assert eventually(lambda: told.payloads(TOPICS.challenge))
        broker.kill()
        broker.start()
        with collector(broker.port) as told:
            assert eventually(lambda: told.payloads(TOPICS.challenge))
            challenge = read_challenge(told.payloads(TOPICS.challenge)[-1])
            order = Order(Operation.UNLOCK, "front", office.id, challenge, 1, "r-1")
            sign = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32).sign
            told.publish(TOPICS.command("unlock"), encode_order(order, sign))
            assert eventually(lambda: told.payloads(TOPICS.reply("r-1")))
            assert read_reply(told.payloads(TOPICS.reply("r-1"))[0]).result == "done"
            assert eventually(
                lambda: told.payloads(TOPICS.lock_state)[-2:] == [b"UNLOCKED", b"LOCKED"]
            )
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
        broker.kill()
    made = calls(tmp_path)
    assert sum(f"htons({broker.port})" in rest for name, rest in made if name == "connect") >= 2
    assert [name for name, _ in made if name in {"listen", "accept", "accept4"}] == []
    # What goes out is bound to whatever port is free.
    assert [rest for name, rest in made if name == "bind" and "htons(0)" not in rest] == []
