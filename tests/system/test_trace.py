"""The system calls from an enrolment to an erasure: no picture leaves the memory.

What is looked for is proved to be found where a program does write a picture.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from agent.core.types import Pixels
from agent.demonstration.stage import PHOTOGRAPHS
from tests.system.computer import SECONDS, Computer
from tests.system.test_cli import walk

Keys: TypeAlias = NDArray[np.uint64]

OPENING = {"open", "openat", "openat2", "creat", "mknod", "mknodat"}
NAMING = {
    *("mkdir", "mkdirat", "rename", "renameat", "renameat2"),
    *("link", "linkat", "symlink", "symlinkat"),
}
WRITING = {
    *("write", "pwrite64", "writev", "pwritev", "pwritev2"),
    *("sendto", "sendmsg", "sendmmsg"),
}
HIDDEN = {
    *("sendfile", "copy_file_range", "splice", "tee", "vmsplice"),
    *("memfd_create", "process_vm_writev", "io_uring_setup"),
}
"""What could carry bytes past this trace."""
LISTENING = {"bind", "listen", "accept", "accept4"}
CALLS = OPENING | NAMING | WRITING | HIDDEN | LISTENING | {"socket"}

_CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+|\?)(?:<(.*?)>)?(?: \w+ \(.*\))?(?:\(deleted\))?$")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_AT = re.compile(r"(?:AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2})+)>, $")


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


@dataclass(frozen=True, slots=True)
class Call:
    """One system call that was made. where: the path that the descriptor it gave stands for."""

    name: str
    arguments: str
    done: bool
    where: str

    @property
    def buffers(self) -> list[bytes]:
        """What was handed to it, whole."""
        found = _TEXT.findall(self.arguments)
        assert not any(cut for _, cut in found), "strace left something out"
        return [_bytes(text) for text, _ in found]

    @property
    def target(self) -> str:
        """The path that its last name stands for."""
        [*_, last] = _TEXT.finditer(self.arguments)
        within = _AT.search(self.arguments[: last.start()])
        folder = os.fsdecode(_bytes(within[1])) if within else "."
        return str(Path(folder) / os.fsdecode(_bytes(last[1])))


@dataclass(frozen=True, slots=True)
class Trace:
    """What a program did. state: the one folder in which it may write."""

    state: Path
    calls: list[Call]
    printed: str

    def made_elsewhere(self) -> list[str]:
        """Give the paths that were made, or opened for writing, outside the state folder."""
        writing = re.compile(r"O_(WRONLY|RDWR|CREAT|TRUNC|TMPFILE|APPEND)")
        touched = [
            call.where
            for call in self.calls
            if call.done and call.name in OPENING and writing.search(call.arguments)
        ]
        touched += [call.target for call in self.calls if call.done and call.name in NAMING]
        # An end of nothing, and what the tests read what it prints from.
        return [
            path
            for path in touched
            if not (Path(path).is_relative_to(self.state) or path == "/dev/null")
        ]

    def named(self, names: set[str]) -> list[str]:
        return [f"{call.name}({call.arguments})" for call in self.calls if call.name in names]

    def written(self) -> bytes:
        """Give all bytes that were written anywhere, and all that lies in the state folder."""
        handed = [b for call in self.calls if call.name in WRITING for b in call.buffers]
        lying = [file.read_bytes() for file in self.state.rglob("*") if file.is_file()]
        # Once in a row, so that what was written in small pieces is whole again.
        return b"".join([*handed, *lying])


def trace(computer: Computer, *words: str) -> Trace:
    log = computer.folder.with_name(f"{computer.folder.name}-trace")
    shutil.rmtree(log, ignore_errors=True)
    log.mkdir()
    watched = ",".join(f"?{name}" for name in sorted(CALLS))
    ended = subprocess.run(
        [
            # A file for each thread, so that no line is cut by another's.
            *("strace", "-ff", "-qq", "-y", "-xx", "-s", "10000000"),
            *("-e", f"trace={watched}", "-e", "signal=none", "-o", str(log / "calls")),
            *words,
        ],
        check=False,
        capture_output=True,
        timeout=SECONDS,
        cwd=computer.folder,
        env=os.environ
        | {
            "HOME": str(computer.folder),
            "TMPDIR": str(computer.folder),
            # Python's own cache is no part of what the agent does, and the unit has it nowhere.
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
    )
    assert ended.returncode == 0, ended.stderr
    calls = []
    for file in sorted(log.iterdir()):
        for line in file.read_text(encoding="ascii").splitlines():
            if line.startswith(("+++", "---")):
                continue
            found = _CALL.match(line)
            assert found, line[:300]
            name, arguments, result, where = found.groups()
            path = os.fsdecode(_bytes(where)) if (where or "").startswith("\\x") else where or ""
            calls.append(Call(name, arguments, not result.startswith(("-", "?")), path))
    shutil.rmtree(log)
    return Trace(computer.state, calls, ended.stdout.decode(errors="replace"))


# --- the finder -----------------------------------------------------------------------------------

WINDOW = 16
STEP = 192
"""Bytes of a row between two windows that are looked for."""
CODECS = {
    "JPEG": (b"JFIF\x00", b"Exif\x00\x00", b"\xff\xd8\xff\xe0\x00\x10"),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "WebP": (b"WEBPVP8",),
    "AVIF": (b"ftypavif",),
}
SHOWN, SMOOTH = "bytes of what was shown", "what looks like pixels"
STRETCH = 192
"""Bytes over which what is written is asked whether it is as smooth as pixels are."""


class Finder:
    """Knows what was shown, and finds it in what was written."""

    def __init__(self, frames: Sequence[Pixels], compressed: Sequence[bytes]) -> None:
        parts = [part for frame in frames for part in _windows_of(frame)]
        parts += [_windows(np.frombuffer(each, np.uint8)[None], 64) for each in compressed]
        windows = np.concatenate(parts)
        # What many things look like says nothing: a wall, zeros.
        ordered = np.sort(windows, axis=1)
        varied = (np.diff(ordered, axis=1) > 0).sum(axis=1) >= WINDOW // 2
        keys = np.ascontiguousarray(windows[varied]).view(np.uint64)
        self._keys = keys[np.argsort(keys[:, 0], kind="stable")]
        assert len(self._keys) > 10_000

    def __call__(self, content: bytes) -> list[str]:
        """Say which traces of pictures there are in some bytes."""
        found = [name for name, marks in CODECS.items() if any(mark in content for mark in marks)]
        if self._has_windows(content):
            found.append(SHOWN)
        if _is_smooth_somewhere(content):
            found.append(SMOOTH)
        return found

    def _has_windows(self, content: bytes) -> bool:
        keys, first = _sliding(content), self._keys[:, 0]
        at = np.searchsorted(first, keys[:-8])
        at[at == len(first)] = 0
        for place in np.flatnonzero(first[at] == keys[:-8]):
            rest = self._keys[at[place] :][: len(self._keys)]
            same = rest[: np.searchsorted(rest[:, 0], keys[place], "right")]
            if (same[:, 1] == keys[place + 8]).any():
                return True
        return False


def _windows_of(frame: Pixels) -> Iterator[Pixels]:
    """Give windows of a frame as a camera may give it, and as a program may keep it."""
    height, width, _ = frame.shape
    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)
    chroma = planes[height:].reshape(2, -1)
    middle = slice(width // 4, width // 4 * 3)
    for rows in (
        frame[:, middle].reshape(height, -1),
        frame[:, middle, ::-1].reshape(height, -1),
        luma[:, middle],
        planes[:height, middle],
        chroma.T.reshape(height // 2, -1)[:, middle],
        planes[height:],
    ):
        yield _windows(np.asarray(rows, np.uint8), STEP)


def _windows(rows: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    starts = np.arange(0, rows.shape[1] - WINDOW + 1, step)
    taken = np.ascontiguousarray(rows)[:, starts[:, None] + np.arange(WINDOW)]
    return np.asarray(taken.reshape(-1, WINDOW))


def _sliding(content: bytes) -> Keys:
    """Give the eight bytes from each place on, as numbers."""
    padded = content + bytes(2 * WINDOW)
    count = len(content) + 8
    keys = np.empty(count, np.uint64)
    for shift in range(8):
        part = np.frombuffer(padded, np.uint64, (count - shift + 7) // 8, shift)
        keys[shift::8] = part
    return keys


def _is_smooth_somewhere(content: bytes) -> bool:
    """Say whether some bytes vary as little from one to the next as pixels do, and yet vary."""
    values = np.frombuffer(content, np.uint8).astype(np.int16)
    for apart in (1, 3):
        steps = np.abs(values[apart:] - values[:-apart])
        count = len(steps) // STRETCH
        stretches = steps[: count * STRETCH].reshape(count, STRETCH)
        held = values[: count * STRETCH].reshape(count, STRETCH)
        calm = (stretches.mean(axis=1) < 10) & ((stretches > 0).mean(axis=1) > 0.7)
        for stretch in held[calm]:
            if len(np.unique(stretch)) >= 16 and (stretch == 0).mean() < 0.05:
                return True
    return False


# --- a life at the door ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(strace: str, tmp_path_factory: pytest.TempPathFactory) -> Computer:
    assert strace
    place = Computer(tmp_path_factory.mktemp("traced"))
    walk(place.folder / "enrolment", ["obama.jpg", "obama2.jpg"], 60)
    walk(place.folder / "visit", ["obama3.jpg"], 30)
    return place


@pytest.fixture(scope="module")
def finder(place: Computer) -> Finder:
    pictures = sorted(place.folder.glob("*/*.bmp"))
    assert len(pictures) == 90
    frames = []
    for file in pictures:
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        assert picture is not None
        frames.append(np.asarray(picture[..., ::-1], np.uint8))
    return Finder(frames, [file.read_bytes() for file in sorted(PHOTOGRAPHS.glob("*.jpg"))])


def _agent(place: Computer, *words: str) -> Trace:
    config = ("--config", str(place.config))
    return trace(place, sys.executable, "-m", "agent", *config, *words, "--json")


@pytest.fixture(scope="module")
def life(place: Computer) -> list[Trace]:
    """An enrolment, an entry, a backup, and an erasure."""
    enrolment = _agent(
        place, "enrol", "--label", "Ada", "--camera", f"frames:{place.folder / 'enrolment'}"
    )
    [subject] = set(re.findall(r'"subject":"(s-[0-9a-f]{16})"', enrolment.printed))
    entry = _agent(place, "run", "--simulate", "--camera", f"frames:{place.folder / 'visit'}")
    backup = _agent(place, "backup")
    erasure = _agent(place, "erase", subject)
    assert '"event":"enrolled"' in enrolment.printed
    assert '"event":"granted"' in entry.printed
    assert subject in entry.printed
    assert "doorward/erasure/1" in erasure.printed
    return [enrolment, entry, backup, erasure]


def test_no_file_is_written_outside_the_state_folder(life: list[Trace]) -> None:
    for each in life:
        assert each.made_elsewhere() == []
        assert each.named(HIDDEN) == []
    # The trace sees what is written.
    made = {Path(call.where).name for each in life for call in each.calls if call.name in OPENING}
    assert {"doorward.db", "doorward.db-wal", "epoch.next"} <= made


def test_no_picture_is_written_anywhere(life: list[Trace], finder: Finder) -> None:
    for each in life:
        content = each.written()
        assert len(content) > 100_000
        assert finder(content) == []


def test_nothing_listens(life: list[Trace]) -> None:
    for each in life:
        assert each.named(LISTENING) == []
        # Without a broker there is nobody to talk to; the C library asks for names over AF_UNIX.
        assert [call for call in each.named({"socket"}) if "AF_UNIX" not in call] == []


# --- the finder finds -----------------------------------------------------------------------------

LEAKS = {
    "a row of a frame": (SHOWN, "out('row', frame[400, 300:900])"),
    "a row, red first": (SHOWN, "out('row', frame[400, 300:900, ::-1])"),
    "a row of luma": (SHOWN, "out('row', cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)[400])"),
    "a row of chroma": (SHOWN, "out('row', cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420)[800])"),
    "rows in small pieces": (
        SHOWN,
        "[file.write(bytes(p)) for p in np.split(frame[400:410].ravel(), 3840)]",
    ),
    "rows that are deleted": (SHOWN, "out('x', frame[400:410]); os.unlink(state / 'x')"),
    "rows under no name": (
        SHOWN,
        "os.write(os.open(state, os.O_TMPFILE | os.O_RDWR), frame[400:410].tobytes())",
    ),
    "a frame through a mapping": (
        SHOWN,
        """
import mmap
mapped = open(state / "mapped", "w+b")
mapped.truncate(frame.nbytes)
mmap.mmap(mapped.fileno(), 0)[:] = frame.tobytes()
""",
    ),
    "a row that is printed": (SHOWN, "sys.stderr.buffer.write(frame[400, 300:900].tobytes())"),
    "a row to another process": (
        SHOWN,
        "a, b = socket.socketpair(); a.send(frame[400, 300:900].tobytes())",
    ),
    "a photograph's file": (SHOWN, "out('p', np.frombuffer(photograph[9000:9400], np.uint8))"),
    "a thumbnail": (SMOOTH, "out('t', cv2.resize(frame, (96, 54)))"),
    "a face, cut out": (SMOOTH, "out('t', cv2.resize(frame[150:560, 440:840], (112, 112)))"),
    "a thumbnail as JPEG": (
        "JPEG",
        "out('t', cv2.imencode('.jpg', cv2.resize(frame, (64, 36)))[1])",
    ),
    "a thumbnail as PNG": ("PNG", "out('t', cv2.imencode('.png', cv2.resize(frame, (64, 36)))[1])"),
}
"""Deeds by what they are, each with what is to be found of it."""
LEAKY = """
import os, socket, sys
from pathlib import Path
import cv2
import numpy as np
state = Path(sys.argv[1])
frame = cv2.imread(sys.argv[2])
photograph = Path(sys.argv[3]).read_bytes()
out = lambda name, pixels: (state / name).write_bytes(np.ascontiguousarray(pixels).tobytes())
file = open(state / "pieces", "wb", buffering=0)
"""


@pytest.fixture
def leaky(tmp_path: Path) -> Computer:
    computer = Computer(tmp_path)
    computer.state.mkdir()
    return computer


def _leak(place: Computer, leaky: Computer, what: str) -> Trace:
    arguments = (str(leaky.state), str(place.folder / "visit" / "0029.bmp"))
    photograph = str(PHOTOGRAPHS / "obama3.jpg")
    return trace(leaky, sys.executable, "-c", LEAKY + what, *arguments, photograph)


@pytest.mark.parametrize("leak", LEAKS)
def test_a_program_that_writes_a_picture_is_found(
    place: Computer, leaky: Computer, finder: Finder, leak: str
) -> None:
    found, deed = LEAKS[leak]
    assert found in finder(_leak(place, leaky, deed).written())


def test_a_program_that_writes_none_is_not(
    place: Computer, leaky: Computer, finder: Finder
) -> None:
    innocent = "out('x', np.random.default_rng(1).integers(0, 256, 1 << 20, np.uint8)); "
    innocent += "out('y', np.frombuffer(Path(cv2.__file__).read_bytes(), np.uint8))"
    assert finder(_leak(place, leaky, innocent).written()) == []


@pytest.mark.parametrize(
    "deed",
    [
        "open(state.parent / 'x', 'w')",
        "open(state.parent / 'x', 'a').close(); os.unlink(state.parent / 'x')",
        "os.open(state.parent, os.O_TMPFILE | os.O_RDWR)",
        "os.mkdir(state.parent / 'x')",
        "os.rename(state, state.parent / 'x')",
        "os.chdir(state.parent); open('x', 'w')",
        "os.symlink('a', state.parent / 'x')",
        "import tempfile; tempfile.TemporaryFile()",
        "import multiprocessing.shared_memory as m; m.SharedMemory('doorward', True, 9).unlink()",
    ],
)
def test_a_program_that_writes_elsewhere_is_found(
    place: Computer, leaky: Computer, deed: str
) -> None:
    assert _leak(place, leaky, deed).made_elsewhere() != []


def test_a_program_that_listens_is_found(place: Computer, leaky: Computer) -> None:
    deed = "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()"
    listening = _leak(place, leaky, deed)
    assert len(listening.named(LISTENING)) == 2
    assert len(listening.named({"socket"})) == 1


def test_a_program_that_hides_what_it_writes_is_found(place: Computer, leaky: Computer) -> None:
    deed = "os.sendfile(file.fileno(), os.open(sys.argv[2], os.O_RDONLY), 0, 99)"
    assert len(_leak(place, leaky, deed).named(HIDDEN)) == 1
