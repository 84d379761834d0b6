"""The leaf of the door: the lock falls behind whoever came in."""

from agent.core.effects import Append, Drop, Energise
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


def test_whoever_the_leaf_fell_shut_on_is_let_in_again_at_once() -> None:
    door = site()
    door.give(ContactChanged(is_open=False))
    assert any(isinstance(effect, Energise) for effect in door.stand(*[ADA] * 3))
    door.give(ContactChanged(is_open=True), after=0.5)
    assert Drop() in door.give(ContactChanged(is_open=False), after=0.5)

    assert any(isinstance(effect, Energise) for effect in door.stand(*[ADA] * 3))


def test_whoever_passes_while_the_leaf_stays_open_is_not_let_in_twice() -> None:
    door = site()
    door.give(ContactChanged(is_open=False))
    door.stand(*[ADA] * 3)
    door.give(ContactChanged(is_open=True), after=0.5)

    assert not any(isinstance(effect, Energise) for effect in door.stand(*[ADA] * 3))
