"""The machine is trusted because it fails: each of these breaks the rule for commands on purpose.

A mutant is a copy of the agent in which one piece of text is another. The machine that runs beside
it asserts that it imported the copy; it must fail by a broken promise and by nothing else.
"""

from collections.abc import Iterator

import pytest

from tests.mutants import Edit, Experiment, Laboratory

NEEDED = [
    "agent/__init__.py",
    "agent/errors.py",
    "agent/ports.py",
    "agent/core",
    "agent/wire",
    "agent/adapters",
    "tests/__init__.py",
    "tests/residents.py",
    "tests/core/__init__.py",
    "tests/core/people.py",
    "tests/core/reached.py",
    "tests/commands",
]
PACKAGES = [
    "hypothesis.stateful",
    "msgspec",
    "numpy",
    "sqlite_utils",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
]
SURVIVED, KILLED = 0, 1

DRIVER = """
import sys
import traceback
from pathlib import Path

from tests.commands.book import BrokenPromiseError
from tests.commands.test_machine import run


def main() -> int:
    here = Path(__file__).parent
    modules = [m for name, m in sys.modules.items() if name.split(".")[0] in {"agent", "tests"}]
    assert len(modules) > 20
    for module in modules:
        assert Path(module.__file__).is_relative_to(here), f"not the copy: {module.__file__}"
    try:
        for _ in run(examples=60, steps=20):
            pass
    except BrokenPromiseError:
        traceback.print_exc()
        return 1
    return 0
"""

CONTROLLERS, DOOR, GUARD = "adapters/controllers.py", "core/door.py", "core/guard.py"
REMOTE, COMMANDS, FORMAT = "core/remote.py", "wire/commands.py", "wire/format.py"

MUTANTS: dict[str, list[Edit]] = {
    # Each edit: a module of the agent, a text that is in it once, and what stands there instead.
    "nothing": [],
    # --- counters ---------------------------------------------------------------------------------
    "the guard does not count": [(GUARD, "if not order.counter > used:", "if False:")],
    "nobody counts": [
        (GUARD, "if not order.counter > used:", "if False:"),
        (CONTROLLERS, "if not counter > known.counter:", "if False:"),
    ],
    "a counter may be used twice": [
        (GUARD, "if not order.counter > used:", "if not order.counter >= used:"),
        (CONTROLLERS, "if not counter > known.counter:", "if not counter >= known.counter:"),
    ],
    "what could not be committed is not counted": [
        (GUARD, "self._counters[controller.id] = order.counter", "pass")
    ],
    "what was counted before the start is forgotten": [
        (
            GUARD,
            "max(controller.counter, self._counters.get(controller.id, 0))",
            "self._counters.get(controller.id, 0)",
        )
    ],
    "what is refused is counted": [
        (
            GUARD,
            "        if order.operation not in controller.rights:",
            "        self._counters[controller.id] = order.counter\n"  # noqa: ISC004
            "        if order.operation not in controller.rights:",
        )
    ],
    "the store does not count": [(CONTROLLERS, "if not counter > known.counter:", "if False:")],
    "the store keeps no counter": [
        (CONTROLLERS, "self._keep(replace(known, counter=counter))", "pass")
    ],
    "a record spends no counter": [(REMOTE, "SpendCounter(order.controller, order.counter),", "")],
    "to trust a key anew is to forget its counter": [
        (CONTROLLERS, "max(known.counter, controller.counter)", "controller.counter")
    ],
    # --- challenges -------------------------------------------------------------------------------
    "a challenge is good for ever": [
        (GUARD, "return 0 <= now - given_out <= FRESH", "return 0 <= now - given_out")
    ],
    "a challenge is good for a little longer": [(GUARD, "FRESH = 60.0", "FRESH = 60.25")],
    "a challenge is good for a little less": [
        (GUARD, "0 <= now - given_out <= FRESH", "0 <= now - given_out < FRESH")
    ],
    "any challenge is good": [
        (GUARD, "if given_out is None or not self", "if given_out is not None and not self")
    ],
    "the first challenge is the last": [
        (GUARD, "self._rotates_at = now + ROTATION", 'self._rotates_at = float("inf")')
    ],
    "a challenge is given out again and again": [
        (
            GUARD,
            "challenge = self._new_challenge()",
            "challenge = next(iter(self._challenges), None) or self._new_challenge()",
        )
    ],
    "a new challenge makes the old ones new": [(GUARD, "{each: at for", "{each: now for")],
    "a new challenge makes the old ones bad": [
        (GUARD, "{**good, challenge: now}", "{challenge: now}")
    ],
    # --- the message ------------------------------------------------------------------------------
    "a retained command counts": [(GUARD, "if delivered.retained:", "if False:")],
    "a duplicate counts": [(GUARD, "if delivered.duplicate:", "if False:")],
    "a command may have any size": [
        (GUARD, "if not len(delivered.payload) <= MAX_PAYLOAD:", "if False:")
    ],
    "a command may not have its full size": [
        (
            GUARD,
            "if not len(delivered.payload) <= MAX_PAYLOAD:",
            "if not len(delivered.payload) < MAX_PAYLOAD:",
        )
    ],
    "any signature is good": [(COMMANDS, "if not _signed(key, signature, body):", "if False:")],
    "a signature for anything is good": [
        (COMMANDS, 'DOMAIN = b"doorward command v1\\n"', 'DOMAIN = b""')
    ],
    "a command is what its topic says": [
        (
            COMMANDS,
            "decode(body, SHAPES[operation]))",
            "decode(body, __import__('typing').Union[tuple(SHAPES.values())]))",
        )
    ],
    "a field that nobody knows is passed over": [
        (
            COMMANDS,
            'kw_only=True, forbid_unknown_fields=True, tag_field="op"',
            'kw_only=True, tag_field="op"',
        )
    ],
    "a key may occur twice": [
        (FORMAT, "if len({key for key, _ in pairs}) < len(pairs):", "if False:")
    ],
    "another version is understood": [
        (COMMANDS, "    v: Version\n    door: _Door\n", "    v: int\n    door: _Door\n")
    ],
    # --- who and where ----------------------------------------------------------------------------
    "a key that was removed is trusted still": [
        (GUARD, "self._trusted = trusted\n", "self._trusted = {**self._trusted, **trusted}\n")
    ],
    "nobody notices that a key was removed": [
        (GUARD, "self._trusted = trusted\n", "self._trusted = {**self._trusted, **trusted}\n"),
        (
            CONTROLLERS,
            "known = self._require(controller)\n",
            "known = self._find(controller)\n        if known is None:\n            return\n",
        ),
    ],
    "the store notices no removal": [
        (
            CONTROLLERS,
            "known = self._require(controller)\n",
            "known = self._find(controller)\n        if known is None:\n            return\n",
        ),
    ],
    "an unknown key is as good as a known one": [
        (
            COMMANDS,
            "    if key is None:\n        raise RejectedError(Rejection.UNKNOWN_CONTROLLER)\n",
            "",
        ),
        (
            COMMANDS,
            "if not _signed(key, signature, body):",
            "if key and not _signed(key, signature, body):",
        ),
        (
            GUARD,
            "            raise RejectedError(Rejection.UNKNOWN_CONTROLLER)",
            "            controller = TrustedController(order.controller, '', b'', {*Operation})",
        ),
    ],
    "a command for another door counts": [(GUARD, "if not order.door == self._door:", "if False:")],
    "everybody has every right": [
        (GUARD, "if order.operation not in controller.rights:", "if False:")
    ],
    "what is switched off works": [
        (GUARD, "if order.operation is Operation.UNLOCK and self._mode", "if False and self._mode")
    ],
    # --- presses ----------------------------------------------------------------------------------
    "a press opens a door that takes signed commands": [
        (GUARD, "if moves_the_lock and self._mode is not", "if False and self._mode is not")
    ],
    "a press counts by a clock that was not set": [(GUARD, "if not now.trusted:", "if False:")],
    "a press that expired counts": [
        (GUARD, "not now.wall < press.expires <= now.wall", "not press.expires <= now.wall")
    ],
    "a press that expires now counts": [
        (GUARD, "now.wall < press.expires", "now.wall <= press.expires")
    ],
    "a press never expires": [
        (GUARD, "press.expires <= now.wall + LONGEST_EXPIRY", "press.expires")
    ],
    "a press expires a little later": [(GUARD, "LONGEST_EXPIRY = 60.0", "LONGEST_EXPIRY = 60.25")],
    "the same press counts twice": [(GUARD, "if content in live:", "if False:")],
    "a press is forgotten before it expires": [
        (GUARD, "if now.wall < until}", "if now.wall + 15 < until}")
    ],
    "a press for the lock opens": [
        (COMMANDS, "button = Button.LOCK if pressed", "button = Button.UNLOCK if pressed")
    ],
    "a press at an open door is recorded": [
        (REMOTE, "if self._door.state is LockState.UNLOCKED:", "if False:")
    ],
    # --- what comes of it -------------------------------------------------------------------------
    "the door opens before the record": [
        (
            REMOTE,
            "return [recorded, *self._carry_out(order, now)]",
            "return [*self._carry_out(order, now), recorded]",
        )
    ],
    "the door opens without a record": [
        (
            REMOTE,
            "return [recorded, *self._carry_out(order, now)]",
            "return self._carry_out(order, now)",
        )
    ],
    "the door opens before the record of a press": [
        (
            REMOTE,
            'return [Append(Commanded(None, Operation.UNLOCK, "", None)), *self._release(now)]',
            'return [*self._release(now), Append(Commanded(None, Operation.UNLOCK, "", None))]',
        )
    ],
    "a store at fault takes orders": [(REMOTE, "if Part.STORE in faults:", "if False:")],
    "a door at fault takes commands": [
        (REMOTE, "if order.operation is Operation.UNLOCK and faults & FOR", "if False and FOR")
    ],
    "a door at fault takes presses": [(REMOTE, "if faults & FOR_CODES:", "if False:")],
    "a door that is open opens again": [
        (DOOR, "if self.deadline is not None:\n            return []", "pass")
    ],
    "refusals are not counted": [(GUARD, "self.rejected[reason] += times", "pass")],
}


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    experiment = Experiment(MUTANTS, "agent", NEEDED, PACKAGES, DRIVER)
    built = Laboratory(experiment, tmp_path_factory.mktemp("mutants"))
    yield built
    built.close()


@pytest.mark.parametrize("name", MUTANTS)
def test_the_machine_finds(name: str, laboratory: Laboratory) -> None:
    code, output = laboratory.result(name)

    if not MUTANTS[name]:
        assert code == SURVIVED, output
        return
    assert code == KILLED, output
    assert "tests.commands.book.BrokenPromiseError: " in output, output
