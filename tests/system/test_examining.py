"""The whole agent at level flash: a code goes to camera and light, and the verdict opens or not."""

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from agent.app import OUTSIDE
from agent.config import Retention
from agent.core.access import Access
from agent.core.controller import Controller
from agent.core.events import AttackPresented, Denied, Granted, Started
from agent.core.pad import Cue, Examined, Liveness, PadLevel, Series, Verdict
from agent.core.types import Frame, Reason
from agent.housekeeping import Housekeeping
from agent.ports import Switch
from agent.runtime import Door, Runtime
from tests.contracts.waiting import eventually
from tests.core.people import CALIBRATION, MODEL, somebody
from tests.system.actors import RULES, Agent, Corridor

ADA = somebody("ada")


class Lit(Corridor):
    """A corridor with a light, and what examines who stands there."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__()
        self._verdict = verdict
        self.switched: list[bool | None] = []

    def series(self, lit: Sequence[bool], switch: Switch, until: float) -> Series | None:
        frames = []
        for on in lit:
            switch(on)
            frames.append(Frame(self._scene, time.monotonic()))
        return Series(tuple(frames), tuple(lit), 100.0) if time.monotonic() < until else None

    def pad(self, series: Series) -> Examined:
        probes = tuple(ADA.probe(seed) for seed in range(6))
        return Examined(series.frames[-1].captured_at, self._verdict, probes)


def lit_by(agent: Agent, verdict: Verdict) -> Lit:
    lit = Lit(verdict)
    lit.standing = ADA
    agent.corridor = lit
    agent.door.flash = lambda *, on: lit.switched.append(on)  # type: ignore[method-assign]
    rules = replace(RULES, access=Access(pad=PadLevel.FLASH))
    agent.runtime = Runtime(
        controller=Controller(rules, CALIBRATION, OUTSIDE),
        vision=lit,
        door=Door(lit, agent.door, [agent.door], agent.door),
        store=agent.store,
        reporters=[agent.archive],
        service=agent.runtime._service,  # noqa: SLF001 - as it was
        clock=agent.clock,
        model=MODEL,
        started=Started("test", simulated=True),
        housekeeping=Housekeeping(agent.store, Retention()),
        pad=lit.pad,
    )
    return lit


def test_a_living_face_is_let_in_after_the_light_has_flashed(agent: Agent) -> None:
    lit = lit_by(agent, Verdict(Liveness.BONA_FIDE, Cue.ALL))
    with agent.running():
        agent.archive.of(Granted)
        assert eventually(lambda: agent.door.timeline)
    assert len(lit.switched) == 7
    assert {True, False} <= set(lit.switched[:6])
    assert lit.switched[6] is None


def test_a_picture_is_refused_and_told_of(agent: Agent) -> None:
    lit_by(agent, Verdict(Liveness.ATTACK, Cue.RELIEF))
    with agent.running():
        attack = agent.archive.of(AttackPresented)
        denied = agent.archive.of(Denied)
    assert attack == AttackPresented("relief", 6)
    assert isinstance(denied, Denied)
    assert denied.reason is Reason.PRESENTATION_ATTACK
    assert agent.door.timeline == []


@pytest.mark.parametrize("liveness", [Liveness.ATTACK, Liveness.UNCLEAR])
def test_nothing_but_a_bona_fide_face_moves_the_strike(agent: Agent, liveness: Liveness) -> None:
    lit_by(agent, Verdict(liveness, Cue.AMBIENT))
    with agent.running():
        agent.archive.of(Denied)
    assert agent.door.timeline == []
