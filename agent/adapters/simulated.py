"""A door to try everything on without hardware: it behaves as one, and remembers what happened."""

from collections.abc import Callable

from agent.adapters.pulse import Pulse
from agent.core.effects import Indication
from agent.core.inputs import (
    CardPresented,
    CodeEntered,
    ContactChanged,
    EnrolButtonHeld,
    EnrolButtonPressed,
    ExitPressed,
    Input,
    Rung,
    TamperChanged,
)
from agent.core.types import SubjectId
from agent.errors import DeviceError
from agent.ports import Clock, Post


class SimulatedDoor(Pulse):
    """Strike, buttons, loops and LED of one door: ports.Release, Inputs and Indicator in one.

    clock: measures the pulses and dates the timeline; whoever moves a simulated one calls `settle`
    after each move. new_subject: makes the id that an enrolment would give.
    """

    def __init__(self, clock: Clock, new_subject: Callable[[], SubjectId]) -> None:
        self._clock = clock
        self._new_subject = new_subject
        self._post: Post | None = None
        self.timeline: list[tuple[float, bool]] = []
        """Each change of the strike: monotonic seconds, and whether it was released then."""
        self.indications: list[Indication] = []
        """All that was shown, oldest first."""
        self.lit = False
        """Whether the light is on."""
        super().__init__(
            on=lambda: self._change(released=True),
            off=lambda: self._change(released=False),
            monotonic=lambda: clock.now().monotonic,
        )

    @property
    def pulses(self) -> list[tuple[float, float]]:
        """Each pulse that is over: when the strike was released and when it locked again."""
        times = [at for at, _ in self.timeline]
        return list(zip(times[::2], times[1::2], strict=False))

    def start(self, post: Post) -> None:
        """Post what is done to buttons and loops from now on."""
        self._post = post

    def show(self, indication: Indication) -> None:
        """Remember what was shown."""
        self.indications.append(indication)

    def light(self, *, on: bool) -> None:
        """Remember whether the light is on."""
        self.lit = on

    def flash(self, *, on: bool | None) -> None:
        """Fail: a simulated light falls on nobody."""
        if on is not None:
            raise DeviceError("light: it is simulated: use [pad] level basic")

    def hold_enrol_button(self) -> None:
        """Hold the button for long enough."""
        self._tell(EnrolButtonHeld(self._new_subject()))

    def press_enrol_button(self) -> None:
        """Press the button shortly."""
        self._tell(EnrolButtonPressed())

    def press_exit_button(self) -> None:
        """Press the button inside."""
        self._tell(ExitPressed())

    def ring(self) -> None:
        """Press the doorbell."""
        self._tell(Rung())

    def move(self, *, is_open: bool) -> None:
        """Open or close the door itself."""
        self._tell(ContactChanged(is_open))

    def tamper(self, *, active: bool) -> None:
        """Open or close the case."""
        self._tell(TamperChanged(active))

    def enter_code(self, digest: bytes) -> None:
        """Type a code on the keypad. digest: of it, 32 bytes."""
        self._tell(CodeEntered(digest, self._clock.now().monotonic))

    def present_card(self, digest: bytes) -> None:
        """Hold a card to the reader. digest: of its number, 32 bytes."""
        self._tell(CardPresented(digest, self._clock.now().monotonic))

    def _tell(self, happened: Input) -> None:
        if self._post is not None and not self.closed:
            self._post(happened)

    def _change(self, *, released: bool) -> None:
        if released != (len(self.timeline) % 2 == 1):
            self.timeline.append((self._clock.now().monotonic, released))
