"""Keys, and what is sealed with them: the one place where cryptography is used on the database.

From the device key, by keyed BLAKE2b (RFC 7693), come the keys that sign and those of the log. From
it and the secret of the key epoch comes the one that wraps each subject's own random key; from a
subject's key come those for its rows and its events. Everything is sealed by AES-256-GCM (NIST SP
800-38D) with a random nonce. What a ciphertext belongs to is authenticated with it, so
that one that was moved, swapped or made in another epoch does not open.
"""

import hashlib
import os
from collections.abc import Callable
from typing import TypeAlias

import msgspec
import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from agent.adapters.note import Signer
from agent.ports import DeviceKey

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 8
LEAVE_CODE_BYTES = 10
SCHEMA = 2
"""The first schema of the database that seals as this does: bound into every ciphertext."""

SEALED_TABLES = ("codes", "controllers", "visitors", "attempts")
"""The tables whose rows are sealed under a key of their own, and no subject's."""

_encode = msgspec.msgpack.Encoder().encode

Place: TypeAlias = tuple[str | int, ...]
"""What a ciphertext belongs to: table, row, subject, and so on."""


def derive(key: bytes, purpose: str) -> bytes:
    """Give the key for a purpose, 32 bytes: keyed BLAKE2b (RFC 7693) as pseudo-random function."""
    return hashlib.blake2b(purpose.encode(), digest_size=KEY_BYTES, key=key).digest()


class Vault:
    """Seals and opens in the name of one device.

    device: its id, 16 hexadecimal digits that follow from its public key.
    """

    def __init__(self, key: DeviceKey) -> None:
        self._root = key.secret
        self.level = key.level
        seed = derive(key.secret, "doorward signing")
        public = Signer("", seed).verifier.key
        self.device = hashlib.sha256(public).hexdigest()[:16]
        self.signer = Signer(f"doorward/{self.device}", seed)
        self._log = derive(key.secret, "doorward log")
        self._tables = {name: derive(key.secret, f"doorward {name}") for name in SEALED_TABLES}
        self._models = derive(key.secret, "doorward models")
        self._state = derive(key.secret, "doorward state")

    def wrapping_key(self, epoch_secret: bytes) -> bytes:
        """Give the key that wraps subjects' keys in the epoch of this secret (32 bytes)."""
        return derive(self._root, "doorward epoch " + epoch_secret.hex())

    def model_tag(self, model: str) -> bytes:
        """Name a model so that only this device can tell which one it is, 8 bytes."""
        return derive(self._models, model)[:TAG_BYTES]

    def row_mac(self, table: str, row: tuple[object, ...]) -> int:
        """Give a number below 2^256 that only this device can compute for a row of a table.

        The sum of those of all rows, modulo 2^256, vouches for the whole.
        """
        content = _encode((table, *row))
        return int.from_bytes(hashlib.blake2b(content, digest_size=32, key=self._state).digest())

    def seal(self, key: bytes, content: bytes, *place: str | int) -> bytes:
        """Encrypt under a key (32 bytes) for one place: nonce, ciphertext and tag."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + AESGCM(key).encrypt(nonce, content, self._bound(place))

    def opener(self, key: bytes) -> Callable[..., bytes]:
        """Give what decrypts under a key: sealed bytes and their place to the content.

        It raises ValueError where they were altered, cut, moved, or sealed under another key.
        """
        cipher = AESGCM(key)

        def open_sealed(sealed: bytes, *place: str | int) -> bytes:
            try:
                nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
                return cipher.decrypt(nonce, rest, self._bound(place))
            except (InvalidTag, ValueError):
                raise ValueError(f"{place[0]} {place[1]} does not open") from None

        return open_sealed

    def open(self, key: bytes, sealed: bytes, *place: str | int) -> bytes:
        """Decrypt what `seal` made for this place. Raises ValueError as `opener` says."""
        return self.opener(key)(sealed, *place)

    def seal_log(self, content: bytes, seq: int) -> bytes:
        """Encrypt an event for its place in the log."""
        return self.seal(self._log, content, "events", seq)

    def open_log(self, sealed: bytes, seq: int) -> bytes:
        """Decrypt an event. Raises ValueError."""
        return self.open(self._log, sealed, "events", seq)

    def seal_row(self, content: bytes, table: str, name: str) -> bytes:
        """Encrypt a row that is nobody's own, for its place: one of SEALED_TABLES, and its name."""
        return self.seal(self._tables[table], content, table, name)

    def open_row(self, sealed: bytes, table: str, name: str) -> bytes:
        """Decrypt what `seal_row` made for this place. Raises ValueError."""
        return self.open(self._tables[table], sealed, table, name)

    def _bound(self, place: Place) -> bytes:
        return _encode((SCHEMA, self.device, *place))


def leave_code(subject_key: bytes) -> str:
    """Give what its holder may have a subject erased with: 20 hexadecimal digits."""
    return derive(subject_key, "leave")[:LEAVE_CODE_BYTES].hex()


def marks(subject_key: bytes, first: int, count: int) -> NDArray[np.uint64]:
    """Give what marks a subject's events with the numbers from `first` on, one each.

    To whoever has not the key they are random, and say nothing about who has two of them.
    """
    # A stretch of AES in counter mode: for all events of a batch at the price of one.
    counter = modes.CTR(first.to_bytes(16))
    stream = Cipher(algorithms.AES(derive(subject_key, "marks")), counter).encryptor()
    blocks = np.frombuffer(stream.update(bytes(16 * count)), "<u8")
    return blocks[::2].astype(np.uint64)
