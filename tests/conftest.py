"""What every kind of test shares."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.demonstration.broker import find_mosquitto
from tests.brokers import Broker

VISION = Path(__file__).parent / "vision"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have everything that touches a model run under the second runtime too."""
    for item in items:
        if VISION in item.path.parents:
            item.add_marker("runtime")


@pytest.fixture(scope="session")
def mosquitto_binary() -> str:
    """The broker's program; without it a test is skipped, but never unnoticed in CI."""
    found = find_mosquitto()
    if found is None:
        missing = "mosquitto is not installed: sudo apt install mosquitto"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@pytest.fixture
def broker(mosquitto_binary: str, tmp_path: Path) -> Iterator[Broker]:
    """A broker that lets everybody in."""
    broker = Broker(mosquitto_binary, tmp_path, ["allow_anonymous true"])
    broker.start()
    yield broker
    broker.kill()
