"""Residents to keep in a real store, and the store to keep them in."""

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.adapters.store import SqliteStore
from agent.core.effects import Enrol, Erase, Revoke
from agent.core.events import Denied, Enrolled, Erased, Granted, Revoked
from agent.core.orders import Operation, TrustedController
from agent.core.types import (
    AuthorityKind,
    Consent,
    Embedding,
    Float32,
    Method,
    Notice,
    Now,
    Reason,
    Subject,
    SubjectId,
    Validity,
)
from agent.ports import DeviceKey, ProtectionLevel, Recorded, Store
from agent.wire.commands import controller_id

MODEL = "mobilefacenet-int8/litert"
BOOT = "boot-1"
NOW = Now(monotonic=12.5, wall=1_795_000_000.25, week_minute=60, trusted=True)
NOTICE = Notice("2026-11", "ab" * 32)
CONSENT = Consent("code from the concierge", NOTICE, "opening this door by face", 1_795_000_000.0)
GRANTED = Granted(
    subject=SubjectId("s-1"),
    method=Method.FACE,
    score=0.71,
    threshold=0.55,
    margin=None,
    frames=3,
    faces=2,
    latency_ms=81.5,
)
DENIED = Denied(Reason.NO_MATCH, None, frames=3, faces=1)
KEY = DeviceKey(bytes(range(32)), ProtectionLevel.HOST_KEY, "test")
OTHER_KEY = DeviceKey(bytes(range(1, 33)), ProtectionLevel.HOST_KEY, "another device's")


@dataclass(slots=True)
class StoppedClock:
    """Always NOW."""

    boot_id: str = BOOT

    def now(self) -> Now:
        return NOW


def new_store(path: Path, boot_id: str = BOOT, key: DeviceKey = KEY) -> SqliteStore:
    return SqliteStore(path, StoppedClock(boot_id), key)


@contextmanager
def opened(path: Path, boot_id: str = BOOT, key: DeviceKey = KEY) -> Iterator[SqliteStore]:
    with closing(new_store(path, boot_id, key)) as store:
        yield store


def vectors(count: int, seed: int = 0, size: int = 192) -> Float32:
    """Unit vectors (count, size) that are the same for the same seed."""
    drawn = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    normed: Float32 = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return normed


def enrol(
    store: Store,
    name: str,
    *,
    label: str = "",
    household: str | None = None,
    references: Float32 | None = None,
    model: str = MODEL,
    validity: Validity = Validity(),
    consent: Consent | None = CONSENT,
    minor: bool = False,
    now: Now = NOW,
) -> SubjectId:
    subject = Subject(SubjectId(name), household, validity=validity, minor=minor, consent=consent)
    given = vectors(3, seed=len(name)) if references is None else references
    embeddings = tuple(Embedding(vector, model) for vector in given)
    event = Enrolled(subject.id, AuthorityKind.CODE, len(embeddings), None)
    store.append(event, now, Enrol(subject, label, embeddings))
    return subject.id


def erase(store: Store, name: str) -> Recorded:
    return store.append(Erased(SubjectId(name)), NOW, Erase(SubjectId(name)))


def revoke(store: Store, name: str) -> Recorded:
    return store.append(Revoked(SubjectId(name)), NOW, Revoke(SubjectId(name)))


def trusted(*rights: Operation, seed: int = 1) -> TrustedController:
    """A controller whose key follows from a seed."""
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32).public_key().public_bytes_raw()
    return TrustedController(controller_id(key), f"office-{seed}", key, frozenset(rights))


def granted(name: str) -> Granted:
    return Granted(
        SubjectId(name),
        Method.FACE,
        score=0.7,
        threshold=0.5,
        margin=None,
        frames=3,
        faces=1,
        latency_ms=80.0,
    )


def mounted(device: str, path: Path, *options: str) -> str | None:
    """Mount a file system, and say why that does not work where it does not."""
    done = subprocess.run(
        ["mount", *options, device, str(path)], check=False, capture_output=True, text=True
    )
    return None if done.returncode == 0 else done.stderr.strip() or "mount failed"
