"""A clock for tests that must not wait."""

from agent.core.types import Now


class MovedClock:
    """A clock that stands still until it is moved, so that nothing is ever late by itself."""

    boot_id = "boot-1"

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> Now:
        return Now(self.at, self.at, 0, trusted=True)
