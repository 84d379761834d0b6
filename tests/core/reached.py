"""What random scenes came to: a machine that hardly does anything proves little."""

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

LEAST = 3
"""How often each outcome must have been reached."""
ROUNDS = 3
"""Hypothesis takes numbers out of whatever modules are loaded, so that the scenes of one seed are
others in each environment: what one round happens to miss another shows."""


def rounds(
    machine: Any,  # noqa: ANN401 - a rule-based machine
    *,
    examples: int,
    steps: int,
) -> Iterator[None]:
    """Run a machine, in rounds of other scenes each. Raises what it breaks off with."""
    # Seeded, so that red for one is red for all; not shrunk, which would take minutes.
    ordinary = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    for number in range(ROUNDS):
        run_state_machine_as_test(seed(number)(machine), settings=ordinary)
        yield


def rarely_reached(
    machine: Any,  # noqa: ANN401 - a rule-based machine whose `account` counts what is reached
    outcomes: Collection[str],
    *,
    examples: int,
    steps: int,
) -> dict[str, int]:
    """Run a machine until it reached all of these outcomes; give those that it hardly did."""
    reached: Counter[str] = Counter()

    class Counted(machine):  # type: ignore[misc]
        def teardown(self) -> None:
            reached.update(self.account.reached)

    rare: dict[str, int] = {}
    for _ in rounds(Counted, examples=examples, steps=steps):
        rare = {outcome: reached[outcome] for outcome in outcomes if not reached[outcome] >= LEAST}
        if not rare:
            break
    return rare
