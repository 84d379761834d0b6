"""The camera's thread: frames to observations, posted as they come, and faults alike.

Between two frames it examines a face, where it is asked to.
"""

import logging
import threading
from dataclasses import replace

from agent.core.effects import Examine
from agent.core.events import Part
from agent.core.inputs import Faulted, Observed, Recovered, Tick
from agent.core.types import Frame
from agent.errors import DeviceError, DoorwardError
from agent.motion import Motion
from agent.ports import Camera, Clock, Indicator, Pad, Post, Vision

log = logging.getLogger(__name__)

RETRY_EVERY = 2.0
"""Seconds between two tries to start the camera again."""
PATIENCE = 8.0
"""Seconds without a frame or a retry after which the thread counts as hanging."""
ATTENTION = 3.0
"""Seconds after a face or a movement for which the models look at every frame."""
IDLE_EVERY = 1.0
"""Seconds between two looks while nothing moves and nobody is there."""
LONGEST_REASON = 500
"""Characters of a fault's reason."""


class Watch:
    """Looks at frames and posts what they show, on a thread of its own.

    The models look at every frame while somebody is there or something moves, and for a while
    after; else at one a second. A frame that they do not look at is not posted.
    crash: what nobody foresaw and ended the thread, if anything did. over: whether a replay ended.
    pad: examines faces; None where nobody asks for that. indicator: has the light.
    """

    def __init__(  # noqa: PLR0913 - it is given every part, and makes none
        self,
        camera: Camera,
        vision: Vision,
        pad: Pad | None,
        indicator: Indicator,
        clock: Clock,
        post: Post,
    ) -> None:
        self._camera = camera
        self._vision = vision
        self._pad = pad
        self._indicator = indicator
        self._asked: Examine | None = None
        self._clock = clock
        self._post = post
        self._stop = threading.Event()
        self._over = threading.Event()
        self._sign_of_life = clock.now().monotonic
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self.crash: Exception | None = None

    @property
    def alive(self) -> bool:
        """Whether the thread does something now and then, if only fail."""
        return self._clock.now().monotonic - self._sign_of_life < PATIENCE

    @property
    def over(self) -> bool:
        """Whether a replay has come to its end."""
        return self._over.is_set()

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def examine(self, asked: Examine) -> None:
        """Examine whoever stands there, soon, and post what that showed; from any thread."""
        self._asked = asked

    def close(self) -> None:
        """Stop looking, and wait a moment for the thread to notice."""
        self._stop.set()
        self._camera.close()
        if self._thread.is_alive():
            self._thread.join(RETRY_EVERY)

    def _run(self) -> None:
        complained = ""
        try:
            while not self._stop.is_set():
                try:
                    self._look()
                except DoorwardError as error:
                    if str(error) != complained:
                        complained = str(error)
                        log.error("%s", error)
                    self._post(Faulted(Part.CAMERA, one_line(error)))
                    self._sign_of_life = self._clock.now().monotonic
                    self._stop.wait(RETRY_EVERY)
                else:
                    self._over.set()
                    return
        except Exception as error:  # noqa: BLE001 - it must not end with the thread, unseen
            self.crash = error
        finally:
            self._post(Tick())

    def _look(self) -> None:
        faulty = True
        attention = Attention()
        for frame in self._camera.frames():
            if self._stop.is_set():
                return
            asked, self._asked = self._asked, None
            if asked is not None:
                self._examine(asked)
                continue
            seen = attention.look(frame, self._vision)
            if faulty:
                self._post(Recovered(Part.CAMERA))
                faulty = False
            if seen is not None:
                self._post(seen)
            self._sign_of_life = self._clock.now().monotonic

    def _examine(self, asked: Examine) -> None:
        if self._pad is None:
            raise DeviceError("camera: nothing here examines faces: set [pad] level to basic")
        if not self._clock.now().monotonic < asked.until:
            return
        try:
            series = self._camera.series(asked.lit, self._switch, asked.until)
        finally:
            self._indicator.flash(on=None)
        if series is not None:
            self._post(self._pad(series))
        self._sign_of_life = self._clock.now().monotonic

    def _switch(self, on: bool) -> None:  # noqa: FBT001 - what a Switch takes
        self._indicator.flash(on=on)


class Attention:
    """Chooses the frames that the models look at. Which evidence is enough never depends on it."""

    def __init__(self) -> None:
        self._motion = Motion()
        self._looked_at = float("-inf")
        self._until = float("-inf")

    def look(self, frame: Frame, vision: Vision) -> Observed | None:
        """Give what a frame shows, None where it was not looked at. Raises as `vision` does."""
        luma, moved = self._motion.look(frame)
        now = frame.captured_at
        if moved:
            self._until = now + ATTENTION
        if now < self._until or not now - self._looked_at < IDLE_EVERY:
            self._looked_at = now
            seen = vision(frame)
            if seen.faces:
                self._until = now + ATTENTION
            return replace(seen, luma=luma, moved=moved)
        return None


def one_line(error: DoorwardError) -> str:
    """Give an error as text that fits into an event: file names may hold anything."""
    text = str(error).encode("utf-8", "replace").decode().replace("\0", "?")
    return text[:LONGEST_REASON]
