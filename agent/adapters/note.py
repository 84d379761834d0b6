"""Signed notes: text that carries the signature of the device (C2SP signed-note, Ed25519).

Heads of the event log, consent receipts and erasure certificates are such notes. Anybody can check
one with the device's verifier key alone: `<name>+<key id>+<base64 of 0x01 and the public key>`.
"""

import hashlib
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519: Final = b"\x01"
"""The signature type of the format."""
KEY_ID_BYTES = 4
SIGNATURE_BYTES = 64
MAX_NOTE = 64 * 1024
"""Bytes of a note, at most."""
_DASH = "\N{EM DASH} "


@dataclass(frozen=True, slots=True)
class Verifier:
    """Checks what the key of this name signed. key: 32 bytes, an Ed25519 public key."""

    name: str
    key: bytes

    @property
    def key_id(self) -> bytes:
        """First four bytes of SHA-256 over name, newline, signature type and key."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.key).digest()[
            :KEY_ID_BYTES
        ]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{b64encode(ED25519 + self.key).decode()}"

    def signed(self, text: str, signature: bytes) -> bool:
        """Say whether this key made the signature (64 bytes) over the text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True

    def seal(self, text: str, signature: bytes) -> str:
        """Put the signature below the text."""
        line = b64encode(self.key_id + signature).decode()
        return f"{text}\n{_DASH}{self.name} {line}\n"

    def open(self, note: str) -> str:
        """Give the text of a note. Raises ValueError unless this key signed it."""
        text, signatures = split(note)
        for name, blob in signatures:
            if name == self.name and blob[:KEY_ID_BYTES] == self.key_id:
                if self.signed(text, blob[KEY_ID_BYTES:]):
                    return text
                raise ValueError("the signature does not fit the text: it was altered")
        signers = ", ".join(name for name, _ in signatures)
        raise ValueError(f"is not signed by {self.name} but by {signers}")


class Signer:
    """Signs in the device's name. seed: 32 secret bytes."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = Verifier(name, self._key.public_key().public_bytes_raw())

    def sign(self, text: str) -> bytes:
        """Give the signature of a text, 64 bytes."""
        return self._key.sign(text.encode())

    def note(self, text: str) -> str:
        """Give the text as a signed note. text: ends with a newline, has no empty line."""
        return self.verifier.seal(text, self.sign(text))


def parse_verifier(text: str) -> Verifier:
    """Read a verifier key. Raises ValueError."""
    name, _, rest = text.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    blob = _decoded(encoded)
    if not (name and blob[:1] == ED25519 and len(blob) == 1 + 32):
        raise ValueError("is no verifier key: it looks like NAME+0123abcd+BASE64")
    verifier = Verifier(name, blob[1:])
    if not verifier.key_id.hex() == key_id:
        raise ValueError("is no verifier key: its parts do not belong together")
    return verifier


def split(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Give the text of a note, and who signed it: names, with key id and signature (68 bytes).

    Nothing is checked. Raises ValueError for what is no note.
    """
    if not len(note) <= MAX_NOTE:
        raise ValueError(f"is no signed note: longer than {MAX_NOTE} characters")
    text, gap, below = note.rpartition("\n\n")
    lines = below.splitlines()
    if not (gap and lines and below.endswith("\n") and all(x.startswith(_DASH) for x in lines)):
        raise ValueError("is no signed note, or is cut off")
    signatures = []
    for line in lines:
        name, _, encoded = line.removeprefix(_DASH).rpartition(" ")
        blob = _decoded(encoded)
        if not (name and len(blob) == KEY_ID_BYTES + SIGNATURE_BYTES):
            raise ValueError("has a signature that is cut off or altered")
        signatures.append((name, blob))
    return f"{text}\n", signatures


def _decoded(encoded: str) -> bytes:
    try:
        blob = b64decode(encoded, validate=True)
    except ValueError:
        return b""
    # One signature has one spelling, and no other.
    return blob if b64encode(blob).decode() == encoded else b""
