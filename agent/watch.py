"""The camera's thread: frames to observations, posted as they come, and faults alike."""

import logging
import threading
from dataclasses import replace

from agent.core.events import Part
from agent.core.inputs import Faulted, Observed, Recovered, Tick
from agent.core.types import Frame
from agent.errors import DoorwardError
from agent.motion import Motion
from agent.ports import Camera, Clock, Post, Vision

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
    """

    def __init__(self, camera: Camera, vision: Vision, clock: Clock, post: Post) -> None:
        self._camera = camera
        self._vision = vision
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
            seen = attention.look(frame, self._vision)
            if faulty:
                self._post(Recovered(Part.CAMERA))
                faulty = False
            if seen is not None:
                self._post(seen)
            self._sign_of_life = self._clock.now().monotonic


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
