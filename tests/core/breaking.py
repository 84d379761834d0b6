"""Mutants of the core: what is copied, which machine judges, and how it must fail.

A mutant is a copy of the core in which one piece of text is another. The machine that runs beside
it asserts that it imported the copy; it must fail by a broken promise and by nothing else.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.mutants import Edit, Experiment, Laboratory

NEEDED = [
    "agent/__init__.py",
    "agent/errors.py",
    "agent/core",
    "tests/__init__.py",
    "tests/core/__init__.py",
    "tests/core/people.py",
    "tests/core/promises.py",
    "tests/core/reached.py",
]
PACKAGES = ["hypothesis.stateful", "numpy", "pytest"]

DRIVER = """
import sys
from pathlib import Path

import pytest

from tests.core.MODULE import MACHINE
from tests.core.reached import rounds


def test_machine() -> None:
    here = Path(__file__).parent
    modules = [m for name, m in sys.modules.items() if name.split(".")[0] in {"agent", "tests"}]
    assert len(modules) > 10
    for module in modules:
        assert Path(module.__file__).is_relative_to(here), f"not the copy: {module.__file__}"
    for _ in rounds(MACHINE, examples=150, steps=25):
        pass


def main() -> int:
    return pytest.main(["-x", "-q", "-p", "no:cacheprovider", "driver.py"])
"""
"""MODULE, MACHINE: which machine it is, below tests.core."""


@contextmanager
def laboratory(
    mutants: Mapping[str, Sequence[Edit]],
    machine: tuple[str, str],
    folder: Path,
    *needed: str,
) -> Iterator[Laboratory]:
    """Have mutants judged by a machine. machine: its module and name. needed: files beside it."""
    module, name = machine
    files = [*NEEDED, *needed, f"tests/core/{module}.py"]
    driver = DRIVER.replace("MODULE", module).replace("MACHINE", name)
    experiment = Experiment(mutants, "agent/core", files, PACKAGES, driver)
    with closing(Laboratory(experiment, folder)) as built:
        yield built


def require_found(mutants: Mapping[str, Sequence[Edit]], name: str, built: Laboratory) -> None:
    """Have a break found, as a broken promise; and no break, none."""
    code, output = built.result(name)
    if not mutants[name]:
        assert code == pytest.ExitCode.OK, output
        return
    assert code == pytest.ExitCode.TESTS_FAILED, output
    broken = re.search(r"^E +tests\.core\.promises\.BrokenPromiseError: .+", output, re.MULTILINE)
    assert broken, output
    assert "Failing test case" in output
