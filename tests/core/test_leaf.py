"""The leaf of the door: the lock falls behind whoever came in."""

from agent.core.effects import Append, Drop
from agent.core.events import ForcedOpen
from agent.core.inputs import ContactChanged
from tests.core.test_controller import ADA, site


def test_whoever_opens_what_locked_behind_somebody_forces_it() -> None:
    door = site()
    door.give(ContactChanged(is_open=False))
    door.stand(*[ADA] * 3)
    door.give(ContactChanged(is_open=True), after=1.0)
    assert Drop() in door.give(ContactChanged(is_open=False), after=0.5)

    effects = door.give(ContactChanged(is_open=True), after=2.1)

    assert Append(ForcedOpen()) in effects
