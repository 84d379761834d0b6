"""The unit that systemd runs: what systemd itself thinks of it, and what it must say."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "doorward.service"
INSTALLED = "/opt/doorward/current/bin/doorward"


def values(key: str) -> list[str]:
    """What the unit says of a key, in its order."""
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture
def analyze() -> str:
    """The program systemd-analyze; without it the tests are skipped, but not in CI."""
    found = shutil.which("systemd-analyze")
    if found is None:
        missing = "systemd-analyze is not installed: sudo apt install systemd"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def test_systemd_finds_it_hardly_exposed(analyze: str) -> None:
    # The threshold is ten times the level: 1.5.
    command = [analyze, "security", "--offline=true", "--threshold=15", "--no-pager", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_systemd_understands_every_line_of_it(analyze: str, tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    # Its program is there only once it is installed.
    unit.write_text(UNIT.read_text(encoding="utf-8").replace(INSTALLED, "/bin/true"))
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if UNIT.name in line] == []


def test_it_tells_when_it_is_ready_and_is_watched_and_always_comes_back() -> None:
    assert values("Type") == ["notify"]
    assert values("WatchdogSec") == ["10"]
    assert values("Restart") == ["always"]
    assert values("StartLimitIntervalSec") == ["0"]


def test_however_it_ends_the_lock_is_driven_to_rest_by_the_same_release() -> None:
    assert values("ExecStart") == [f"{INSTALLED} run"]
    assert values("ExecStopPost") == [f"{INSTALLED} lock"]


def test_it_reaches_camera_lines_and_keypads_and_can_type_on_none() -> None:
    assert values("DevicePolicy") == ["closed"]
    assert sorted(values("DeviceAllow")) == [
        "char-dma_heap rw",
        "char-gpiochip rw",
        "char-input r",
        "char-media rw",
        "char-video4linux rw",
    ]
    groups = values("SupplementaryGroups")[0].split()
    assert sorted(groups) == ["gpio", "input", "video"]


def test_every_group_it_runs_with_is_made_where_a_system_has_none() -> None:
    made = (SYSTEMD / "doorward.sysusers.conf").read_text(encoding="utf-8")
    for group in values("SupplementaryGroups")[0].split():
        assert f"\ng {group} - -\n" in made


def test_it_neither_listens_nor_accepts_nor_binds() -> None:
    *_, denied = values("SystemCallFilter")
    assert denied.startswith("~")
    assert {"listen", "accept", "accept4"} <= set(denied.split())
    assert values("SocketBindDeny") == ["any"]


def test_nothing_of_its_memory_and_its_folder_is_for_anybody_else() -> None:
    assert values("StateDirectoryMode") == values("RuntimeDirectoryMode") == ["0700"]
    # Where lgpio makes its pipe, for its group to read.
    assert values("WorkingDirectory") == ["%t/" + values("RuntimeDirectory")[0]]
    assert values("UMask") == ["0077"]
    assert values("LimitCORE") == ["0"]
    assert values("WatchdogSignal") == ["SIGKILL"]
