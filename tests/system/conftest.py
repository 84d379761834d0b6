import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.core.people import somebody
from tests.system.actors import Agent
from tests.system.computer import Computer


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """An agent that is not running yet, at whose door Ada is enrolled."""
    agent = Agent(tmp_path)
    agent.enrol(somebody("ada"))
    return agent


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    """Where commands are typed."""
    return Computer(tmp_path)


@pytest.fixture(scope="session")
def strace() -> str:
    """The tracer's program; without it a test is skipped, but never unnoticed in CI."""
    found = shutil.which("strace")
    if found is None:
        missing = "strace is not installed: sudo apt install strace"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    tried = subprocess.run(
        [found, "-o", "/dev/null", "true"], check=False, capture_output=True, text=True
    )
    if tried.returncode != 0:
        pytest.skip(f"this process may trace no other: {tried.stderr.strip()}")
    return found
