"""The machine is trusted because it fails: each of these breaks one promise on purpose.

A mutant is a copy of the core in which one piece of text is another. The copy is what the machine
in the subprocess imports, which asserts that; it must fail by a broken promise and nothing else.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

Server: TypeAlias = "subprocess.Popen[str]"
ROOT = Path(__file__).parents[2]
NEEDED = [
    "agent/__init__.py",
    "agent/errors.py",
    "agent/core",
    "tests/__init__.py",
    "tests/core/__init__.py",
    "tests/core/people.py",
    "tests/core/promises.py",
    "tests/core/test_machine.py",
]
SERVER = """
import os
import sys

import hypothesis.stateful
import numpy
import pytest

for line in sys.stdin:
    folder = line.rstrip()
    child = os.fork()
    if child == 0:
        output = os.open(f"{folder}/output", os.O_CREAT | os.O_WRONLY)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(folder)
        sys.path.insert(0, folder)
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "test_driver.py"])
        sys.stdout.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Runs the driver in each folder it is told of; numpy and the like are loaded once for all."""

DRIVER = """
import sys
from pathlib import Path

from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.core.test_machine import Machine


def test_machine() -> None:
    here = Path(__file__).parent
    modules = [m for name, m in sys.modules.items() if name.split(".")[0] in {"agent", "tests"}]
    assert len(modules) > 10
    for module in modules:
        assert Path(module.__file__).is_relative_to(here), f"not the copy: {module.__file__}"
    fast = settings(
        max_examples=100,
        stateful_step_count=25,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    run_state_machine_as_test(Machine, settings=fast)
"""

DECISION, CONTROLLER, DOOR = "decision.py", "controller.py", "door.py"
ENROLMENT, MATCHING, POLICY = "enrolment.py", "matching.py", "policy.py"

Edit = tuple[str, str, str]
"""A module of the core, a text that is in it once, and what stands there instead."""

MUTANTS: dict[str, list[Edit]] = {
    # --- the door ---------------------------------------------------------------------------------
    "a second grant keeps the door open for longer": [
        (
            DOOR,
            "            return []\n        self.deadline = grant.at",
            "            self.deadline = grant.at + self._release_seconds\n"
            "            return []\n        self.deadline = grant.at",
        )
    ],
    "a second grant releases the door again": [
        (DOOR, "if self.deadline is not None:\n            return []", "pass")
    ],
    "the door never locks": [
        (DOOR, "if self.deadline is None or now < self.deadline:", "if True:")
    ],
    "the door locks late": [(DOOR, "now < self.deadline", "now <= self.deadline")],
    "the door opens without a record": [
        (CONTROLLER, "[Append(event), *self._door", "[*self._door")
    ],
    "the door opens before the record": [
        (
            CONTROLLER,
            "[Append(event), *self._door.release(grant), Show",
            "[*self._door.release(grant), Append(event), Show",
        )
    ],
    "a fault leaves the door open": [(CONTROLLER, "[*self._door.lock(), Show", "[Show")],
    "a fault admits": [(CONTROLLER, "if self._blocked or seen.nearest", "if seen.nearest")],
    "evidence outlives a fault": [
        (
            CONTROLLER,
            "self._presentation.clear()\n        ended = self._enroller",
            "ended = self._enroller",
        )
    ],
    # --- evidence ---------------------------------------------------------------------------------
    "a stale frame counts": [
        (
            CONTROLLER,
            "if not 0 <= age <= self._rules",
            "if not 0 <= age or self._rules is None and self._rules",
        )
    ],
    "a frame from the future counts": [(CONTROLLER, "if not 0 <= age <=", "if not age <=")],
    "a frame counts as often as it comes": [
        (DECISION, "if not captured_at > self._seen_at:", "if False:")
    ],
    "a presentation survives any gap": [(DECISION, "<= self._rules.max_gap:", "< 1e9:")],
    "one frame is enough": [
        (
            DECISION,
            "if not len(presentation) >= self._rules.min_frames:",
            "if not len(presentation):",
        ),
        (DECISION, "if not agreeing >= self._rules.min_frames:", "if not agreeing:"),
    ],
    "frames need not agree": [
        (DECISION, "if not agreeing >= self._rules.min_frames:", "if False:")
    ],
    "the newest frame need not agree": [
        (DECISION, "if not self._agrees(presentation.vectors[-1], best.row):", "if False:")
    ],
    "a stranger is admitted": [
        (DECISION, "or not ranking.best.score >= self.threshold.cosine", ""),
        (DECISION, "- self._rules.agreement_slack", "- 2"),
    ],
    "the margin is ignored": [(DECISION, "if ranking.margin is not None and", "if False and")],
    "a household is its own rival": [
        (
            MATCHING,
            "gallery.households != gallery.households[best]",
            "np.arange(len(scores)) != best",
        )
    ],
    "a score that is no number is perfect": [
        (
            MATCHING,
            "np.where(np.isfinite(scores), scores, NOTHING)",
            "np.nan_to_num(scores, nan=1.0)",
        ),
        (
            DECISION,
            "bool(vector @ self._gallery.matrix[row] >= floor)",
            "not vector @ self._gallery.matrix[row] < floor",
        ),
    ],
    "a damaged template hides everybody": [
        (MATCHING, "if not np.isfinite(scores[best]):", "if False:")
    ],
    "a damaged template is its subject's own rival": [
        (MATCHING, "if rivals[row] > NOTHING:", "if len(rivals) > 1:")
    ],
    "frames of another model are compared": [
        (
            DECISION,
            "if not presentation.models == {self._gallery.model} == {self._model}:",
            "if False:",
        )
    ],
    # --- policy -----------------------------------------------------------------------------------
    "a revoked subject is admitted": [(POLICY, "if subject.revoked:", "if False:")],
    "an expired subject is admitted": [
        (POLICY, "if validity.not_after is not None and", "if False and")
    ],
    "a bound that is no number is no bound": [
        (POLICY, "not now.wall < validity.not_after", "now.wall >= validity.not_after")
    ],
    "a subject is admitted before its time": [
        (POLICY, "if validity.not_before is not None and not", "if False and not")
    ],
    "the schedule is ignored": [(POLICY, "if validity.schedule and not", "if False and not")],
    "a clock that was not set is believed": [(POLICY, "if not now.trusted:", "if False:")],
    "the lockout is ignored": [
        (CONTROLLER, "if self._attempts.locked(now.monotonic):", "if False:")
    ],
    "the lockout never comes": [
        (POLICY, "if len(self._refused_at) < self._rules.refusals:", "if True:")
    ],
    "a refusal may be tried again at once": [
        (CONTROLLER, "if now.monotonic < self._retry_at:", "if False:")
    ],
    "there is no cooldown": [
        (CONTROLLER, "if not now.monotonic >= self._rests_until", "if False and self._rests_until")
    ],
    "a stranger is named": [
        (
            DECISION,
            "return Refusal(reason or Reason.NO_MATCH)",
            "return Refusal(reason or Reason.NO_MATCH, ranking and ranking.best.subject)",
        )
    ],
    # --- enrolment --------------------------------------------------------------------------------
    "anybody may enrol": [
        (
            ENROLMENT,
            "if authority is None or faulty:",
            "authority = authority or Authority(AuthorityKind.CODE, '', Terms())\n        if faulty:",
        )
    ],
    "a fault does not keep from enrolling": [
        (ENROLMENT, "if authority is None or faulty:", "if authority is None:")
    ],
    "a code works twice": [(ENROLMENT, "self._codes, self._spent_at = (), now.monotonic", "pass")],
    "a code works again once the store is loaded": [
        (ENROLMENT, "and code.issued_at > self._spent_at", "")
    ],
    "a code works for ever": [(ENROLMENT, "now.monotonic - code.issued_at <= valid", "True")],
    "any code is right": [
        (ENROLMENT, "if compare_digest(code.code.encode(), typed.encode()):", "if True:")
    ],
    "a wrong code may be followed by another": [
        (
            ENROLMENT,
            "        self._spend_codes(now)\n        failed",
            "        failed",
        )
    ],
    "a visit authorises for ever": [
        (ENROLMENT, "if now.monotonic - at <= self._rules.authority_seconds:", "if True:")
    ],
    "a visit authorises twice": [
        (
            ENROLMENT,
            "        self._administrator = None\n        self._spend",
            "        self._spend",
        )
    ],
    "every resident's visit authorises": [(CONTROLLER, "if subject.administrator:", "if True:")],
    "a dismissed administrator's visit authorises": [
        (
            ENROLMENT,
            "if self._administrator is not None:\n            visitor",
            "if False:\n            visitor",
        )
    ],
    "an enrolment mixes two people": [(ENROLMENT, ">= self.rules.min_consistency:", ">= -1:")],
    "an enrolment has no end": [
        (ENROLMENT, "if self._collection is None or now < self._collection.deadline:", "if True:")
    ],
    "residents are let in during an enrolment": [
        (
            CONTROLLER,
            "if self._enroller.deadline is not None:\n            self",
            "if False:\n            self",
        )
    ],
    "an enrolee gets an administrator's rights": [
        (ENROLMENT, "administrator=terms.administrator", "administrator=True")
    ],
}


def copy_with(edits: list[Edit], folder: Path) -> None:
    for name in NEEDED:
        target = folder / name
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    for module, text, instead in edits:
        path = folder / "agent/core" / module
        source = path.read_text()
        assert source.count(text) == 1, f"{text!r} is {source.count(text)} times in {module}"
        path.write_text(source.replace(text, instead))
    (folder / "test_driver.py").write_text(DRIVER)
    (folder / "pytest.ini").write_text("[pytest]\n")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=kept | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd="/",
        text=True,
    ) as process:
        yield process


def run_machine(server: Server, folder: Path) -> tuple[int, str]:
    assert server.stdin is not None
    assert server.stdout is not None
    print(folder, file=server.stdin, flush=True)
    code = int(server.stdout.readline())
    return code, (folder / "output").read_text()


@pytest.mark.parametrize("name", MUTANTS)
def test_the_machine_finds(name: str, tmp_path: Path, server: Server) -> None:
    copy_with(MUTANTS[name], tmp_path)

    code, output = run_machine(server, tmp_path)

    assert code == pytest.ExitCode.TESTS_FAILED, output
    print(
        name,
        "=>",
        re.findall(r"^E +tests\.core\.promises\.BrokenPromiseError: (.*)$", output, re.M),
    )
    assert re.search(r"^E +tests\.core\.promises\.BrokenPromiseError: ", output, re.MULTILINE), (
        output
    )


def test_the_machine_finds_nothing_in_the_core_as_it_is(tmp_path: Path, server: Server) -> None:
    copy_with([], tmp_path)

    assert run_machine(server, tmp_path)[0] == pytest.ExitCode.OK
