"""What the controller is made of beside its code: the operator's rules, and what it is lent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agent.core.access import Access
from agent.core.decision import Recognition
from agent.core.enrolment import Enrolment
from agent.core.events import Part
from agent.core.orders import Read, Rejection, RemoteUnlock
from agent.core.pad import PadLevel
from agent.core.policy import Lockout
from agent.core.throttle import Codes
from agent.core.types import Notice, Subject, SubjectId

MORE_TIME = 2.0
"""How much longer the door waits for those who need more time."""


def patience(seconds: float, subject: Subject | None) -> float:
    """Give for how long the door waits for somebody, where it waits so long for anybody."""
    accessible = subject is not None and subject.accessible
    return seconds * MORE_TIME if accessible else seconds


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator settled.

    notice: the privacy notice in force; whoever consented to another is not matched.
    release_seconds: how long one grant releases the door, 1 to 30; accessible_seconds: likewise, of
    who needs more time. held_open_seconds: how long it
    may stand open. door: its name on MQTT. remote_unlock: who may open it from afar.
    """

    recognition: Recognition = Recognition()
    lockout: Lockout = Lockout()
    enrolment: Enrolment = Enrolment()
    access: Access = Access()
    codes: Codes = Codes()
    release_seconds: float = 5.0
    accessible_seconds: float = 15.0
    held_open_seconds: float = 60.0
    door: str = "front"
    remote_unlock: RemoteUnlock = RemoteUnlock.SIGNED
    notice: Notice = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class Condition:
    """What the door is like now.

    residents: who may enter by face. fpir: of a stranger's attempt, in force, at the most;
    fpir_met: whether it reaches the operator's target; sureness: the same in words, and what to do
    if not. last_decision_ms: from the deciding frame's capture to the last grant, None before the
    first. tamper: whether the case is open. rejected: how many commands did nothing since the
    start, by reason. pad: the level of presentation-attack detection in force.
    """

    residents: int
    fpir: float
    fpir_met: bool
    sureness: str
    last_decision_ms: float | None
    tamper: bool
    faults: tuple[Part, ...]
    rejected: Mapping[Rejection, int]
    pad: PadLevel


@dataclass(frozen=True, slots=True)
class Outside:
    """What the core is lent, for it can neither read a wire nor draw lots.

    read: reads a command. new_subject, new_challenge: make what nobody can guess. draw: gives a
    number from 0 to below its argument, each as likely, that nobody can guess.
    """

    read: Read
    new_subject: Callable[[], SubjectId]
    new_challenge: Callable[[], str]
    draw: Callable[[int], int]
