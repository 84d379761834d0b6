"""The topics of one door, and what is said on the simplest of them."""

from dataclasses import dataclass

from agent.core.types import LockState

ONLINE = b"online"
OFFLINE = b"offline"


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one door. door: its name on MQTT."""

    door: str

    @property
    def status(self) -> str:
        """ONLINE or OFFLINE, retained."""
        return f"doorward/{self.door}/status"

    @property
    def lock_state(self) -> str:
        """LOCKED or UNLOCKED, retained."""
        return f"doorward/{self.door}/lock/state"

    @property
    def event(self) -> str:
        """Events as they happen."""
        return f"doorward/{self.door}/event"

    @property
    def backlog(self) -> str:
        """Events that no collector has acknowledged, once more."""
        return f"doorward/{self.door}/event/backlog"

    @property
    def ack(self) -> str:
        """Up to which event a collector has them all."""
        return f"doorward/{self.door}/event/ack"

    @property
    def head(self) -> str:
        """The newest signed head of the event log, retained."""
        return f"doorward/{self.door}/event/head"

    @property
    def contact(self) -> str:
        """OPEN or CLOSED, retained: the door itself, not its lock."""
        return f"doorward/{self.door}/contact/state"

    @property
    def state(self) -> str:
        """What the door is like, retained."""
        return f"doorward/{self.door}/state"

    @property
    def challenge(self) -> str:
        """The challenge that signed commands must carry, retained."""
        return f"doorward/{self.door}/challenge"

    @property
    def access(self) -> str:
        """What Home Assistant's event entity shows."""
        return f"doorward/{self.door}/access"

    @property
    def doorbell(self) -> str:
        """What Home Assistant's doorbell shows."""
        return f"doorward/{self.door}/doorbell"

    @property
    def duress(self) -> str:
        """That a resident opened under duress: for whoever is to help, and shown nowhere."""
        return f"doorward/{self.door}/duress"

    def command(self, operation: str) -> str:
        """Name the topic of a command, as what follows `cmd/`; "#" stands for all."""
        return f"doorward/{self.door}/cmd/{operation}"

    def reply(self, request: str) -> str:
        """Name the topic that the command with this id is answered on."""
        return f"doorward/{self.door}/reply/{request}"


def encode_lock_state(state: LockState) -> bytes:
    """Write the state as Home Assistant's lock platform spells it."""
    return state.value.upper().encode()


def encode_contact(*, is_open: bool) -> bytes:
    """Write the state of the door's contact."""
    return b"OPEN" if is_open else b"CLOSED"
