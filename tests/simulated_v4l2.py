"""A simulator of a USB camera as OpenCV's Video4Linux backend shows it.

Not the real thing: its behaviour was read from OpenCV 4's own source. The camera keeps to the rates
it knows, whatever is asked for; `grab` waits for a picture, at the most ten seconds, and gives the
oldest that is buffered; what is not taken out is filled no more; `retrieve` gives B, G, R; the
position in milliseconds is the driver's stamp; a camera that is plugged out grabs nothing; what is
open cannot be opened twice; and to release a camera that another thread reads ends the process.
"""

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from agent.core.types import Pixels

SELECT_SECONDS = 10.0


@dataclass
class SimulatedUsb:
    """A camera that is plugged in, or not.

    node: its file in /dev, which exists while it is present. scene: (H, W, 3) uint8 RGB. rates:
    pictures a second that it can give. stamped: whether the driver stamps its pictures. opened,
    closed: how often it was. asked: the properties that were set.
    """

    node: Path
    scene: Pixels
    rates: tuple[float, ...] = (5.0, 10.0, 30.0, 50.0)
    stamped: bool = True
    hung: bool = False
    broken: bool = False
    opened: int = 0
    closed: int = 0
    asked: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.present = True

    @property
    def present(self) -> bool:
        return self.node.exists()

    @present.setter
    def present(self, there: bool) -> None:
        if there:
            self.node.parent.mkdir(parents=True, exist_ok=True)
            self.node.touch()
        else:
            self.node.unlink()

    def capture(self, name: str, backend: int) -> "SimulatedCapture":
        """What `cv2.VideoCapture` makes."""
        assert backend == cv2.CAP_V4L2
        assert Path(name) == self.node
        return SimulatedCapture(self)


class SimulatedCapture:
    """OpenCV's VideoCapture."""

    def __init__(self, camera: SimulatedUsb) -> None:
        self._camera = camera
        self._open = camera.present and not camera.broken and camera.opened == camera.closed
        camera.opened += self._open
        self._began = time.monotonic()
        self._given = 0
        self._taken = 0.0
        self._in_use = threading.Lock()

    def isOpened(self) -> bool:  # noqa: N802 - as OpenCV has it
        return self._open

    def set(self, name: int, value: float) -> bool:
        self._camera.asked[name] = value
        return True

    def get(self, name: int) -> float:
        assert name == cv2.CAP_PROP_POS_MSEC
        return self._taken * 1e3 if self._camera.stamped else 0.0

    def grab(self) -> bool:
        with self._in_use:
            end = time.monotonic() + SELECT_SECONDS
            # One buffer is not filled until what was in it has been taken out.
            alone = self._camera.asked.get(cv2.CAP_PROP_BUFFERSIZE) == 1
            due = max(self._given, self._now() if alone else 0) + 1
            while time.monotonic() < end and self._open:
                if not self._camera.present:
                    return False
                if self._now() >= due and not self._camera.hung:
                    self._given = due
                    self._taken = self._began + due * self._period
                    return True
                time.sleep(0.001)
            return False

    def retrieve(self) -> tuple[bool, Pixels | None]:
        with self._in_use:
            width = int(self._camera.asked.get(cv2.CAP_PROP_FRAME_WIDTH, 640))
            height = int(self._camera.asked.get(cv2.CAP_PROP_FRAME_HEIGHT, 480))
            small = cv2.resize(self._camera.scene, (width, height), interpolation=cv2.INTER_NEAREST)
            return True, cv2.cvtColor(small, cv2.COLOR_RGB2BGR).astype("uint8")

    def release(self) -> None:
        assert not self._in_use.locked(), "released while another thread reads"
        self._camera.closed += self._open
        self._open = False

    @property
    def _period(self) -> float:
        asked = self._camera.asked.get(cv2.CAP_PROP_FPS, 30.0)
        return 1.0 / min(self._camera.rates, key=lambda rate: abs(rate - asked))

    def _now(self) -> int:
        return int((time.monotonic() - self._began) / self._period)
