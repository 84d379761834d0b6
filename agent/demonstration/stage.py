"""A camera for the demonstration: still photographs that walk up to the door.

Each frame is made when it is due and handed on in memory, like any camera's.
"""

import math
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from agent.core.types import Float32, Frame, Pixels
from agent.errors import DeviceError
from agent.ports import Camera, Clock

WIDTH, HEIGHT = 1280, 720
PHOTOGRAPHS = Path(__file__).parent / "photographs"
APPROACH = 1.2
"""Seconds from the far end of the corridor to the door."""
FAR, NEAR = 0.45, 1.0
"""Size at both ends of the walk, as a share of the photograph's own."""
TALLEST = 640
"""Pixels that a photograph may take of the frame's height."""
TURN = 2.0
"""Seconds that each of several photographs is shown, in turn."""
NOISE_FIELDS = 4
NOISE_SIGMA = 3.0


def photograph(name: str) -> Pixels:
    """Read one of the demonstration's photographs, (H, W, 3) uint8 RGB. Raises DeviceError."""
    picture = cv2.imread(str(PHOTOGRAPHS / name), cv2.IMREAD_COLOR)
    if picture is None:
        message = f"{PHOTOGRAPHS / name}: not a readable picture: fetch the project anew"
        raise DeviceError(message)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


class Stage(Camera):
    """An empty corridor into which one person at a time may walk. Implements ports.Camera."""

    def __init__(self, fps: float, clock: Clock) -> None:
        self._interval = 1.0 / fps
        self._clock = clock
        self._closed = threading.Event()
        self._walk: tuple[Sequence[Pixels], float, float] | None = None
        noise = np.random.default_rng(1)
        shades = np.linspace(150, 90, HEIGHT, dtype=np.float32)[:, None, None]
        corridor = np.broadcast_to(shades, (HEIGHT, WIDTH, 3)) * np.array([1.0, 0.97, 0.92])
        self._corridors: list[Pixels] = [
            np.clip(corridor + noise.normal(0, NOISE_SIGMA, corridor.shape), 0, 255).astype(
                np.uint8
            )
            for _ in range(NOISE_FIELDS)
        ]
        self._grain: list[Float32] = [
            noise.normal(0, NOISE_SIGMA, (HEIGHT, WIDTH, 1)).astype(np.float32)
            for _ in range(NOISE_FIELDS)
        ]

    def walk_up(self, photographs: Sequence[Pixels], seconds: float) -> None:
        """Let somebody come and stand there for a while, as shown by the photographs in turn."""
        self._walk = (photographs, self._clock.now().monotonic, seconds)

    def leave(self) -> None:
        """Let the corridor be empty again."""
        self._walk = None

    def frames(self) -> Iterator[Frame]:
        """Yield a frame each interval until closed; a slow taker misses some."""
        due = self._clock.now().monotonic
        count = 0
        while not self._closed.wait(max(0.0, due - self._clock.now().monotonic)):
            at = self._clock.now().monotonic
            yield Frame(self._picture(at, count), self._clock.now().monotonic)
            count += 1
            due = max(due + self._interval, self._clock.now().monotonic)

    def close(self) -> None:
        """Stop `frames`."""
        self._closed.set()

    def _picture(self, at: float, count: int) -> Pixels:
        corridor = self._corridors[count % NOISE_FIELDS]
        walk = self._walk
        if walk is None:
            return corridor.copy()
        photographs, begun_at, seconds = walk
        elapsed = at - begun_at
        if not elapsed < seconds:
            return corridor.copy()
        person = photographs[int(elapsed / TURN) % len(photographs)]
        return _compose(corridor, person, elapsed, self._grain[count % NOISE_FIELDS])


def _compose(corridor: Pixels, person: Pixels, elapsed: float, grain: Float32) -> Pixels:
    """Put a person into the corridor: swaying, turning a little, and in changing light."""
    height, width = person.shape[:2]
    size = min(1.0, TALLEST / height)
    size *= FAR + (NEAR - FAR) * min(elapsed / APPROACH, 1.0)
    roll = math.radians(5.0 * math.sin(1.9 * elapsed))
    turn = 0.10 * math.sin(1.3 * elapsed)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    centred = (corners - np.array([width / 2, height / 2])) * size
    # One side nearer than the other: what a slight turn of the head does to a flat picture.
    centred[:, 1] *= 1.0 + turn * np.sign(centred[:, 0])
    centred[:, 0] *= 1.0 - abs(turn) / 2
    cosine, sine = math.cos(roll), math.sin(roll)
    rotated = centred @ np.array([[cosine, sine], [-sine, cosine]])
    sway, nod = 25 * math.sin(1.1 * elapsed), 8 * math.sin(2.3 * elapsed)
    placed_at = rotated + np.array([WIDTH / 2 + sway, HEIGHT / 2 + nod])
    warp = cv2.getPerspectiveTransform(corners, placed_at.astype(np.float32))
    brightness = 1.0 + 0.10 * math.sin(1.7 * elapsed)
    shrunk = cv2.GaussianBlur(person, (0, 0), max(0.01, 0.35 / size))
    placed = cv2.warpPerspective(shrunk, warp, (WIDTH, HEIGHT)).astype(np.float32)
    mask = cv2.warpPerspective(_feathered(height, width), warp, (WIDTH, HEIGHT))[..., None]
    mixed = corridor + mask * (placed * np.float32(brightness) + grain - corridor)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _feathered(height: int, width: int) -> Float32:
    """Give a mask (H, W) float32 that fades to 0 within a tenth of each edge."""
    rows = np.minimum(np.arange(height), np.arange(height)[::-1]) / (0.1 * height)
    columns = np.minimum(np.arange(width), np.arange(width)[::-1]) / (0.1 * width)
    return np.clip(np.minimum(rows[:, None], columns[None, :]), 0, 1).astype(np.float32)
