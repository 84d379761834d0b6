"""What is kept of a PIN, a visitor's code or a card: its digest by a slow function, Argon2id.

There are a million codes of six digits, and a machine tries them all. So a try is made dear: this
is Argon2id (RFC 9106) at the least cost that OWASP's Password Storage Cheat Sheet (2025) accepts.

The salt is one per device and not one per credential: who stands at the door says no name, so an
entry is digested once and its digest compared with everybody's, where a salt of each would cost a
digest for each. The price is that equal codes have equal digests, and that a guess tries everybody
at once. Two things make up for it. The salt follows from the device key, so that nothing can be
tried without that (a pepper); and the database holds the digests sealed, so that nobody sees two
that are equal.
"""

from argon2.exceptions import HashingError
from argon2.low_level import Type, hash_secret_raw

from agent.adapters.vault import derive
from agent.core.credentials import DIGEST_BYTES
from agent.errors import DeviceError
from agent.ports import DeviceKey

MEMORY_KIB = 19 * 1024
PASSES = 2
LANES = 1
SALT_BYTES = 16


class CodeDigest:
    """Makes the digests of one device, 32 bytes each, at the same cost whatever was entered.

    Any thread may ask. `pin` and `card` are ports.Digest each, and raise DeviceError where there
    is no memory for it.
    """

    def __init__(self, key: DeviceKey) -> None:
        self._salt = derive(key.secret, "doorward code digests")[:SALT_BYTES]

    def pin(self, code: str) -> bytes:
        """Digest what is typed on the keypad: a PIN, or a visitor's code."""
        return self._digest("pin", code)

    def card(self, number: str) -> bytes:
        """Digest a card's number; never what `pin` gives for the same digits."""
        return self._digest("card", number)

    def _digest(self, kind: str, entry: str) -> bytes:
        try:
            return hash_secret_raw(
                f"{kind} {entry}".encode(),
                self._salt,
                time_cost=PASSES,
                memory_cost=MEMORY_KIB,
                parallelism=LANES,
                hash_len=DIGEST_BYTES,
                type=Type.ID,
            )
        except HashingError as error:
            # Argon2 says what failed, never what was entered.
            raise DeviceError(
                f"codes: {error}: {MEMORY_KIB // 1024} MiB must be free: end other programs"
            ) from None
