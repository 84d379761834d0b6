"""What a door owes to commands from afar, kept as plain books beside it.

Nothing of the core decides anything here. Whoever wrote a message says what it means; the books add
up what the door was told and what it gave out, and say what must come of the message.
"""

from dataclasses import dataclass, field

GOOD_FOR = 60.0
"""Seconds for which a challenge is good, and that an unsigned command may expire ahead."""
NEW_EVERY = 30.0
"""Seconds between two challenges."""
PULSE = 5.0
"""Seconds for which the door is released."""
LONGEST = 16_384
"""Bytes of a message."""
ABOUT_SOMEBODY = {"revoke", "erase", "policy", "export"}
"""What can only be done to somebody enrolled; nobody is, in these tests."""


class BrokenPromiseError(AssertionError):
    """The door did otherwise than it promised."""


def promise(kept: bool, broken: str) -> None:
    if not kept:
        raise BrokenPromiseError(broken)


@dataclass(frozen=True)
class Signed:
    """A command that is signed in full by the key of `who`, and sent on its own topic."""

    who: str
    operation: str
    door: str
    challenge: str
    counter: int
    request: str


@dataclass(frozen=True)
class Pressed:
    """An unsigned command of the broker's. button: unlock, lock, or another."""

    button: str
    expires: float


@dataclass(frozen=True)
class Message:
    """A message as it was published. means: None where it says nothing that a door may heed."""

    topic: str
    payload: bytes = field(repr=False)
    means: Signed | Pressed | None


@dataclass(frozen=True)
class Arrival:
    """How a message comes, and what the door is like then. monotonic, wall: seconds."""

    retained: bool
    duplicate: bool
    monotonic: float
    wall: float
    clock_set: bool
    store_broken: bool
    release_broken: bool


@dataclass(frozen=True)
class Due:
    """What must come of a message. by: whom the record names; None for the broker.

    commits: the order is recorded before anything is done.
    """

    refused: bool = False
    commits: bool = False
    releases: bool = False
    locks: bool = False
    signed: Signed | None = None


@dataclass
class Kept:
    """What is kept of a key."""

    rights: frozenset[str]
    counter: int = 0


@dataclass
class Book:
    """The books of one door.

    disk: what its store keeps. known: what of that the agent has read. spent: what it has seen
    used since it started.
    """

    door: str
    mode: str
    disk: dict[str, Kept] = field(default_factory=dict)
    known: dict[str, Kept] = field(default_factory=dict)
    spent: dict[str, int] = field(default_factory=dict)
    challenges: dict[str, float] = field(default_factory=dict)
    ever: set[str] = field(default_factory=set)
    open_until: float | None = None
    presses: dict[tuple[str, bytes], float] = field(default_factory=dict)

    def loaded(self) -> None:
        self.known = {who: Kept(kept.rights, kept.counter) for who, kept in self.disk.items()}

    def restarted(self) -> None:
        self.spent, self.challenges, self.open_until, self.presses = {}, {}, None, {}

    def given_out(self, challenge: str, monotonic: float) -> None:
        promise(challenge not in self.ever, "a challenge was given out twice")
        self.ever.add(challenge)
        self.challenges[challenge] = monotonic

    def time_passed(self, monotonic: float) -> None:
        if self.open_until is not None and monotonic >= self.open_until:
            self.open_until = None
        if self.known:
            newest = max(self.challenges.values(), default=float("-inf"))
            promise(monotonic < newest + NEW_EVERY, "an old challenge was not replaced")

    def newest(self) -> str:
        return list(self.challenges)[-1]

    def due(self, message: Message, arrival: Arrival) -> Due:
        """Say what must come of a message. A key that counts up to one has used it."""
        if arrival.retained or arrival.duplicate or len(message.payload) > LONGEST:
            return Due(refused=True)
        match message.means:
            case Signed() as signed:
                return self._due_to(signed, arrival)
            case Pressed() as pressed:
                return self._due_to_press(message, pressed, arrival)
            case None:
                return Due(refused=True)

    def _due_to(self, signed: Signed, arrival: Arrival) -> Due:
        if not self.counts(signed, arrival.monotonic):
            return Due(refused=True)
        self.spent[signed.who] = signed.counter
        unlocks = signed.operation == "unlock"
        if arrival.store_broken or (unlocks and arrival.release_broken):
            return Due(refused=True)
        if signed.operation in ABOUT_SOMEBODY:
            return Due(refused=True)
        return Due(
            commits=True,
            releases=unlocks and self.open_until is None,
            locks=signed.operation == "lock",
            signed=signed,
        )

    def counts(self, signed: Signed, monotonic: float) -> bool:
        """Whether a command is fresh, from who has the right, for this door, and the first."""
        kept = self.known.get(signed.who)
        if kept is None or signed.operation not in kept.rights or signed.door != self.door:
            return False
        if signed.operation == "unlock" and self.mode == "off":
            return False
        given_out = self.challenges.get(signed.challenge)
        if given_out is None or not monotonic - given_out <= GOOD_FOR:
            return False
        return signed.counter > max(kept.counter, self.spent.get(signed.who, 0))

    def _due_to_press(self, message: Message, pressed: Pressed, arrival: Arrival) -> Due:
        moves_the_lock = pressed.button in {"unlock", "lock"}
        if moves_the_lock and self.mode != "broker":
            return Due(refused=True)
        left = pressed.expires - arrival.wall
        if not arrival.clock_set or not 0 < left <= GOOD_FOR:
            return Due(refused=True)
        self.presses = {known: at for known, at in self.presses.items() if arrival.wall < at}
        if (message.topic, message.payload) in self.presses:
            return Due(refused=True)
        self.presses[message.topic, message.payload] = pressed.expires
        if pressed.button != "unlock":
            locks = pressed.button == "lock" and self.open_until is not None
            return Due(commits=locks, locks=locks)
        if arrival.store_broken or arrival.release_broken:
            return Due(refused=True)
        opens = self.open_until is None
        return Due(commits=opens, releases=opens)
