"""The demonstration keeps its word, and its events reach a collector."""

import json
import subprocess
import sys
from typing import Any

import pytest

SECONDS = 240.0


def _demo(*words: str) -> tuple[int, str, str]:
    ended = subprocess.run(
        [sys.executable, "-m", "agent", "demo", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_residents_enter_and_nobody_else_does() -> None:
    code, out, err = _demo("--json")
    assert code == 0, err
    assert err == ""
    *events, last = (json.loads(line) for line in out.splitlines())
    summary: dict[str, Any] = last["summary"]
    assert set(summary) == {
        "granted", "refused", "false_admissions", "release_pulses", "p50_ms", "p95_ms",
    }  # fmt: skip
    granted = [event["subject"] for event in events if event["event"] == "granted"]
    enrolled = [event["subject"] for event in events if event["event"] == "enrolled"]
    admitted = [event["subject"] for event in events if event["event"] == "admitted"]
    assert granted + admitted == enrolled
    assert (len(granted), len(admitted)) == (2, 1)
    assert summary["granted"] == summary["release_pulses"] == 3
    assert summary["refused"] == 3
    assert summary["false_admissions"] == 0
    states = [event["state"] for event in events if event["event"] == "lock_state"]
    assert states == ["locked", *["unlocked", "locked"] * 3]


@pytest.mark.usefixtures("mosquitto_binary")
def test_a_collector_has_every_event_where_there_is_a_broker() -> None:
    code, out, err = _demo()
    assert code == 0, err
    assert "and has acknowledged them" in out
