"""What random scenes came to: a machine that hardly does anything proves little."""

from collections import Counter
from collections.abc import Collection
from typing import Any

from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

LEAST = 3
"""How often each outcome must have been reached."""


def rarely_reached(
    machine: Any,  # noqa: ANN401 - a rule-based machine whose `account` counts what is reached
    outcomes: Collection[str],
    *,
    examples: int,
    steps: int,
) -> dict[str, int]:
    """Run a machine, and give which of these outcomes it reached too rarely, and how often."""
    reached: Counter[str] = Counter()

    class Counted(machine):  # type: ignore[misc]
        def teardown(self) -> None:
            reached.update(self.account.reached)

    # Derandomised, so that red for one is red for all; not shrunk, which would take minutes.
    ordinary = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
    )
    run_state_machine_as_test(Counted, settings=ordinary)
    return {outcome: reached[outcome] for outcome in outcomes if not reached[outcome] >= LEAST}
