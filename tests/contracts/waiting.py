"""How a test waits for another thread: for a condition, and long enough for a busy machine."""

import time
from collections.abc import Callable

DEADLINE = 10.0


def eventually(condition: Callable[[], object]) -> bool:
    """Whether the condition comes true before the deadline."""
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True
