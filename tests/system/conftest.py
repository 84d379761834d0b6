from pathlib import Path

import pytest

from tests.core.people import somebody
from tests.system.actors import Agent


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """An agent that is not running yet, at whose door Ada is enrolled."""
    agent = Agent(tmp_path)
    agent.enrol(somebody("ada"))
    return agent
