"""What is left after a power cut, on a real file system whose device can be copied at any moment.

That a killed process loses nothing proves little: the kernel still has what it wrote. Here the
cut takes the kernel's memory too, and a store that does not wait for the device is seen to lose.
"""

import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

from agent.adapters.store import SqliteStore
from agent.core.effects import Change, Enrol, Erase
from agent.core.events import Enrolled, Erased, ErasureCertified, Event, LogPruned
from agent.core.types import AuthorityKind, Embedding, Now, Subject, SubjectId
from agent.errors import StoreError
from agent.wire.events import event_kind
from tests.contracts.images import (
    NoImageError,
    bytes_written,
    copy_of_device,
    image_mounted,
    make_image,
    sync,
)
from tests.residents import CONSENT, DENIED, MODEL, NOW, granted, opened, vectors

CUTS = 25
EVENTS_BETWEEN = 10
"""Between two cuts at least, so that a slow machine sees every kind of event too."""
REFERENCES = 3
KEPT = 100
"""Events that the writer leaves in the log when it prunes."""
NO_RESCUE = "commit=600"
"""So that ext4 does not write on its own, each five seconds, what nobody waited for."""
ROOT = Path(__file__).parents[2]


class Acked(NamedTuple):
    """What the writer told after the store said that it was recorded. subject: "" for none."""

    seq: int
    kind: str
    subject: SubjectId


class Cut(NamedTuple):
    image: Path
    acked: Sequence[Acked]


# --- the writer


def write(folder: str, synchronous: str = "") -> NoReturn:
    """Use a store until killed, and tell each operation once it is committed.

    synchronous: a weaker setting than the store's own.
    """
    with opened(Path(folder, "doorward.db")) as store:
        if synchronous:
            store._db.execute(f"PRAGMA synchronous = {synchronous}")  # noqa: SLF001
        _Writer(store).run()


class _Writer:
    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._random = random.Random(20261122)
        self._residents: list[str] = []
        self._enrolled = 0
        self._seq = 0

    def run(self) -> NoReturn:
        while True:
            drawn = self._random.random()
            if len(self._residents) < 3 or drawn < 0.06:
                self._enrol()
            elif drawn < 0.12:
                name = self._residents.pop(self._random.randrange(len(self._residents)))
                self._append(Erased(SubjectId(name)), Erase(SubjectId(name)))
            elif drawn < 0.15:
                self._prune()
            elif drawn < 0.6:
                self._append(DENIED)
            else:
                self._append(granted(self._random.choice(self._residents)))

    def _enrol(self) -> None:
        self._enrolled += 1
        name = f"resident-{self._enrolled}"
        subject = Subject(SubjectId(name), consent=CONSENT)
        embeddings = tuple(Embedding(each, MODEL) for each in vectors(REFERENCES, self._enrolled))
        event = Enrolled(subject.id, AuthorityKind.CODE, REFERENCES, None)
        self._append(event, Enrol(subject, "", embeddings))
        self._residents.append(name)

    def _append(self, event: Event, change: Change | None = None) -> None:
        recorded = self._store.append(event, self._now(), change)
        # A collector that acknowledges each event.
        self._store.move_cursor(recorded.seq)
        self._tell(recorded.seq, event)

    def _prune(self) -> None:
        recorded = self._store.prune(NOW.wall + self._seq - KEPT, self._now())
        if recorded is not None:
            self._tell(recorded.seq, recorded.event)

    def _tell(self, seq: int, event: Event) -> None:
        self._seq = seq
        told = Acked(seq, event_kind(event), getattr(event, "subject", SubjectId("")))
        os.write(sys.stdout.fileno(), ("\t".join(map(str, told)) + "\n").encode())

    def _now(self) -> Now:
        return replace(NOW, wall=NOW.wall + self._seq)


# --- the cuts


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image that was mounted once; without it a test is skipped."""
    folder = tmp_path_factory.mktemp("blank")
    image = folder / "image"
    try:
        make_image(image)
        with image_mounted(image, folder / "mounted"):
            return image
    except NoImageError as refused:
        pytest.skip(str(refused))


@contextmanager
def card(blank: Path, folder: Path, *options: str) -> Iterator[tuple[Path, Path]]:
    """An image of a test's own, and where it is mounted."""
    image = folder / "card"
    subprocess.run(["cp", "--sparse=always", str(blank), str(image)], check=True)
    with image_mounted(image, folder / "mounted", *options) as mounted:
        yield image, mounted


def cuts(blank: Path, folder: Path, synchronous: str = "") -> list[Cut]:
    """Cut the power of a device at random moments of a writer's life: CUTS copies of it."""
    waits = random.Random(7)
    taken = []
    with card(blank, folder, NO_RESCUE) as (image, mounted), writing(mounted, synchronous) as told:
        for number in range(CUTS):
            told.wait(EVENTS_BETWEEN)
            time.sleep(waits.uniform(0.0, 0.06))
            acked = told.stop()
            copy = folder / f"cut-{number}"
            copy_of_device(image, mounted, copy)
            told.resume()
            taken.append(Cut(copy, acked))
    return taken


class Told:
    """What a writer has told, and the writer, who can be held."""

    def __init__(self, process: subprocess.Popen[bytes], output: int) -> None:
        self._process = process
        self._output = output
        self._heard = b""

    def stop(self) -> list[Acked]:
        """Hold the writer; give what it had told by then."""
        os.kill(self._process.pid, signal.SIGSTOP)
        _, status = os.waitpid(self._process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "the writer has ended"
        while select.select([self._output], [], [], 0)[0]:
            assert self._hear()
        # The pipe takes a line whole or not at all.
        lines = self._heard.decode().splitlines()
        fields = (line.split("\t") for line in lines)
        return [Acked(int(seq), kind, SubjectId(subject)) for seq, kind, subject in fields]

    def resume(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def wait(self, more: int) -> None:
        """Until the writer has told this much more."""
        wanted = self._heard.count(b"\n") + more
        while self._heard.count(b"\n") < wanted:
            assert self._hear(), "the writer has ended"

    def _hear(self) -> bool:
        heard = os.read(self._output, 1 << 16)
        self._heard += heard
        return heard != b""


@contextmanager
def writing(folder: Path, synchronous: str) -> Iterator[Told]:
    """Somebody who uses a store in this folder, until they are killed."""
    program = "import sys; from tests.contracts.test_power_cut import write; write(*sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder), synchronous],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process.stdout as output:
        try:
            yield Told(process, output.fileno())
        finally:
            process.kill()
            process.wait()


# --- what is left


def lost(cut: Cut, folder: Path) -> list[str]:
    """What the store of a copy lacks of what was acknowledged, and what it has by halves."""
    try:
        with (
            image_mounted(cut.image, folder / "mounted") as mounted,
            opened(mounted / "doorward.db", "the boot after the cut") as store,
        ):
            return list(_lost(store, cut.acked))
    except StoreError as error:
        return [f"the store: {error}"]
    finally:
        # So that pytest does not keep them for three runs.
        cut.image.unlink()


def _lost(store: SqliteStore, acked: Sequence[Acked]) -> Iterator[str]:
    store.verify()
    log = {each.seq: each.event for each in store.events(limit=1_000_000)}
    pruned = max((each.up_to for each in log.values() if isinstance(each, LogPruned)), default=0)
    if min(log) != pruned + 1:
        yield f"the log begins with {min(log)}, and was pruned up to {pruned}"
    for seq, kind, _ in acked:
        if seq > pruned and (seq not in log or _kind(log[seq]) != kind):
            yield f"event {seq}: {kind}"
    # What was recorded, though nobody was told, counts as well: all of it or nothing.
    enrolled = {each.subject for each in acked if each.kind == "enrolled"}
    enrolled |= {each.subject for each in log.values() if isinstance(each, Enrolled)}
    erased = {each.subject for each in acked if each.kind == "erased"}
    erased |= {each.subject for each in log.values() if isinstance(each, Erased)}
    yield from _lost_erasures(store, erased)
    yield from _lost_residents(store, enrolled - erased)
    if store.append(DENIED, NOW).seq != max(log) + 1:
        yield "the next event"


def _lost_erasures(store: SqliteStore, erased: set[SubjectId]) -> Iterator[str]:
    log = [each.event for each in store.events(limit=1_000_000)]
    told = {each.subject: each.certificate for each in log if isinstance(each, ErasureCertified)}
    for subject in sorted(erased):
        certificate = store.certificate(subject)
        if certificate is None:
            yield f"the certificate of {subject}"
        # The event itself may have been pruned since.
        elif told.get(subject, certificate) != certificate:
            yield f"the event about the certificate of {subject}"
        if subject in {each.subject for each in log if isinstance(each, Erased)} - set(told):
            yield f"that the erasure of {subject} was completed"


def _lost_residents(store: SqliteStore, expected: set[SubjectId]) -> Iterator[str]:
    loaded = store.load(MODEL)
    if set(loaded.gallery.subjects) != expected:
        yield f"the gallery: {set(loaded.gallery.subjects) ^ expected}"
    if set(loaded.subjects) != expected:
        yield f"the residents: {set(loaded.subjects) ^ expected}"
    for row in store.subjects():
        if row.references != REFERENCES:
            yield f"{row.id} has {row.references} references"


def _kind(event: Event) -> str:
    # Of one about somebody who was erased, only the kind is left.
    return getattr(event, "kind", "") or event_kind(event)


def test_a_copy_of_the_device_holds_what_was_synced_and_nothing_else(
    blank: Path, tmp_path: Path
) -> None:
    with card(blank, tmp_path, NO_RESCUE) as (image, mounted):
        for name in ("synced", "unsynced"):
            with (mounted / name).open("wb") as file:
                file.write(f"this was {name}".encode() * 1000)
                file.flush()
                if name == "synced":
                    os.fsync(file.fileno())
        copy_of_device(image, mounted, tmp_path / "copy")
        content = (tmp_path / "copy").read_bytes()
        sync(mounted)
        assert b"this was synced" in content
        assert b"this was unsynced" not in content
        assert b"this was unsynced" in image.read_bytes()


def test_a_power_cut_at_any_moment_loses_nothing_that_was_acknowledged(
    blank: Path, tmp_path: Path
) -> None:
    taken = cuts(blank, tmp_path)
    assert {"enrolled", "erased", "granted", "denied", "log_pruned"} <= {
        each.kind for each in taken[-1].acked
    }
    assert [(number, lost(cut, tmp_path)) for number, cut in enumerate(taken)] == [
        (number, []) for number in range(CUTS)
    ]


def test_a_store_that_does_not_wait_for_the_device_is_seen_to_lose_events(
    blank: Path, tmp_path: Path
) -> None:
    losses = [lost(cut, tmp_path) for cut in cuts(blank, tmp_path, "NORMAL")]
    assert any(each.startswith("event ") for loss in losses for each in loss)


# --- an idle door


def test_an_idle_door_writes_nothing(blank: Path, tmp_path: Path) -> None:
    assert _written_in(blank, tmp_path, checks=0) == 0


def test_a_single_check_of_the_store_is_seen_on_the_device(blank: Path, tmp_path: Path) -> None:
    assert _written_in(blank, tmp_path, checks=1) > 0


def _written_in(blank: Path, folder: Path, checks: int) -> int:
    """Bytes written in two seconds by a store that is asked whether it changed."""
    with card(blank, folder) as (_, mounted), opened(mounted / "doorward.db") as store:
        recorded = store.append(DENIED, NOW)
        store.load(MODEL)
        sync(mounted)
        before = bytes_written(mounted)
        store.move_cursor(recorded.seq)
        for _ in range(checks):
            store.check()
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            store.changed()
            time.sleep(0.01)
        sync(mounted)
        return bytes_written(mounted) - before
