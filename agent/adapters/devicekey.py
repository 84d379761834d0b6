"""Where the device key comes from: systemd's credential or a file in the clear."""

import base64
import binascii
import os
import re
import secrets
import shutil
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.errors import StoreError
from agent.ports import DeviceKey, KeySource, ProtectionLevel

CREDENTIAL = "doorward.key"
"""The credential's name, which systemd-creds seals into it."""
ENCRYPTED = "doorward.key.encrypted"
"""The same credential as it is on the card, passed to the service so that it can see its level."""
KEY_FILE = "device.key"
"""The key file's name in the state directory."""

_SECRET_BYTES = 32
_HEX = re.compile(rb"[0-9a-f]{64}\n?")
_LONGEST = 2 * _SECRET_BYTES + 2
"""As many bytes as tell that something is too long."""
_MEND = "see docs/device-key.md"

_BY_HOST = (ProtectionLevel.HOST_KEY, "encrypted by the host key")
_BY_TPM = (ProtectionLevel.TPM, "encrypted by a TPM")
_SIGNED = (ProtectionLevel.SIGNED_BOOT, "encrypted by a TPM for a signed boot")
_KEY_TYPES = {
    # How an encrypted credential begins (systemd, creds-util.h); "scoped": to a user.
    "5a1c6a86df9d4096b1d5a65e0862f19a": _BY_HOST,
    "55b9ed1d38594d43a8319d2ebb332ac6": _BY_HOST,  # scoped
    "0c7cc07b117645919c4b0bea08bc20fe": _BY_TPM,
    "93a894094874449090caf2fc93cab553": _BY_TPM,  # and the host key
    "ef4ac13679a9480ea7db68897f9f165d": _BY_TPM,  # and the host key, scoped
    "faf7eb9341e3412ca1a436f95a29362f": _SIGNED,
    "af4950a849134eb1a73846304ff30c05": _SIGNED,  # and the host key
    "adbc4ca3efb64201ba881b6f2e4095ea": _SIGNED,  # and the host key, scoped
    "058469daf6f54324800549da0f8ea2fb": (ProtectionLevel.HOST_KEY, "not encrypted"),
    "": (ProtectionLevel.HOST_KEY, "how it is encrypted cannot be seen"),
}

_SECURE_BOOT = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

# By level.
_SAFE_FROM = (
    "host key: a copied database or backup is useless, a stolen card is not",
    "TPM: a stolen card is useless, a stolen device is not",
    "TPM and signed boot: a stolen card is useless, and a device that boots anything else too",
)
_REMNANTS = (
    "the host key is on the same card, so whoever holds the card can open what was erased",
    "they open for whoever holds the card together with the board or a copy of the device key",
    "without a copy of the device key, opening them takes breaking the TPM or the signed boot",
)


def describe(level: ProtectionLevel) -> str:
    """Say in words what the device key is safe from."""
    return _SAFE_FROM[level]


def erasure_limit(level: ProtectionLevel) -> str:
    """Say in words what an erasure cannot promise: the epoch's secret is a file on the card."""
    return f"worn flash blocks may keep remnants of older key epochs; {_REMNANTS[level]}"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file of 64 hexadecimal digits and a line feed, mode 0600; implements ports.KeySource."""

    path: Path

    def read(self) -> DeviceKey:
        """Give the key, at level HOST_KEY. Raises StoreError for a file that cannot be trusted."""
        try:
            if not stat.S_ISREG(self.path.lstat().st_mode):
                raise StoreError(f"{self.path}: is not a regular file: put the key itself there")
            file = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(file, "rb") as opened:
                if not os.fstat(file).st_mode & 0o077 == 0:
                    raise StoreError(f"{self.path}: is open to others: chmod 600 {self.path}")
                content = opened.read(_LONGEST)
        except FileNotFoundError as error:
            raise StoreError(
                f"{self.path}: no device key: put its copy back, or run as root; {_MEND}"
            ) from error
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}: run as the file's owner") from error
        # Shorter is torn.
        secret = _secret(content if len(content) == _LONGEST - 1 else b"", self.path)
        return DeviceKey(secret, ProtectionLevel.HOST_KEY, f"key file {self.path}")

    def make(self) -> None:
        """Make the key, for its folder's owner; whatever has its name already stays.

        The folder is made too (mode 0700). When it returns all is on the disk, whoever made it.
        Raises StoreError.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                with suppress(FileExistsError):
                    self._link_new(folder)
                # Another process's key as well: what is sealed with it must not outlive it.
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be made ({error.strerror}): make room, or make it as root"
            ) from error

    def _link_new(self, folder: int) -> None:
        """Write a key under no name, and name it once it is whole: a crash leaves all or nothing.

        Raises FileExistsError where the name is taken.
        """
        file = os.open(".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600, dir_fd=folder)
        with os.fdopen(file, "wb") as new:
            new.write(secrets.token_bytes(_SECRET_BYTES).hex().encode() + b"\n")
            new.flush()
            # Whatever the umask is.
            os.fchmod(file, 0o600)
            if os.geteuid() == 0:
                # What root makes in the service's folder must not keep the service out.
                owner = os.fstat(folder)
                os.fchown(file, owner.st_uid, owner.st_gid)
            os.fsync(file)
            # The only way to give a file without a name one; it never replaces another.
            unnamed = f"/proc/self/fd/{file}"
            os.link(unnamed, self.path.name, dst_dir_fd=folder, follow_symlinks=True)


@dataclass(frozen=True, slots=True)
class Credential:
    """The credential `doorward.key` of systemd; implements ports.KeySource.

    The service finds it in $CREDENTIALS_DIRECTORY, root beside the running service in `running`,
    and where neither is, systemd-creds decrypts the file `encrypted`, within `patience` seconds.
    secure_boot: the EFI variable. The level is read from the encrypted file: a drop-in that loads
    some other, plain file cannot be told from the outside.
    """

    running: Path = Path("/run/credentials/doorward.service")
    encrypted: Path = Path("/etc/credstore.encrypted") / CREDENTIAL
    secure_boot: Path = Path("/sys/firmware/efi/efivars") / _SECURE_BOOT
    patience: float = 30.0

    def exists(self) -> bool:
        """Tell whether there is one that this process could see."""
        decrypted = [folder / CREDENTIAL for folder in self._folders()]
        return any(map(_is_there, [*decrypted, self.encrypted]))

    def read(self) -> DeviceKey:
        """Give the key. Raises StoreError where there is none, or none that can be used."""
        for folder in self._folders():
            path, blob = folder / CREDENTIAL, folder / ENCRYPTED
            content = _loaded(path)
            if content is not None:
                return self._key(content, path, blob if _is_there(blob) else self.encrypted)
        return self._key(self._decrypt(), self.encrypted, self.encrypted)

    def _folders(self) -> list[Path]:
        own = os.environ.get("CREDENTIALS_DIRECTORY")
        return [Path(own), self.running] if own else [self.running]

    def _key(self, content: bytes, path: Path, blob: Path) -> DeviceKey:
        level, words = _KEY_TYPES[_key_type(blob)]
        if level == ProtectionLevel.SIGNED_BOOT and not self._boots_signed_only():
            level, words = _BY_TPM
        return DeviceKey(_secret(content, path), level, f"systemd credential {path}, {words}")

    def _boots_signed_only(self) -> bool:
        with suppress(OSError):
            # Four bytes of attributes, one of value.
            return self.secure_boot.read_bytes()[4:] == b"\x01"
        return False

    def _decrypt(self) -> bytes:
        program = shutil.which("systemd-creds") or "systemd-creds"
        command = [program, "decrypt", f"--name={CREDENTIAL}", str(self.encrypted), "-"]
        try:
            done = subprocess.run(  # noqa: S603 - a fixed program, no shell
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self.patience,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StoreError(f"{self.encrypted}: {error}: mend systemd-creds or the TPM") from error
        if not done.returncode == 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            reason = said[-1].rstrip(".") if said else f"exit code {done.returncode}"
            raise StoreError(
                f"{self.encrypted}: cannot be decrypted ({reason}): run as root; on a new card or "
                f"board make it from the key's copy; {_MEND}"
            )
        return done.stdout


def find_key(state: Path, credential: Credential | None = None) -> KeySource:
    """Give the source in force: the credential if one can be seen, else the file in `state`.

    It reads nothing yet. Someone who may not look into systemd's folders has no credential.
    """
    found = credential or Credential()
    return found if found.exists() else KeyFile(state / KEY_FILE)


def _secret(content: bytes, path: Path) -> bytes:
    secret = bytes.fromhex(content.decode()) if _HEX.fullmatch(content) else content
    if not (len(secret) == _SECRET_BYTES and any(secret)):
        raise StoreError(f"{path}: is not a device key: put its copy back; {_MEND}")
    return secret


def _loaded(path: Path) -> bytes | None:
    """Read a credential that systemd has decrypted; None where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}: run as root") from error


def _is_there(path: Path) -> bool:
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        path.lstat()
        return True
    return False


def _key_type(blob: Path) -> str:
    """Read how a credential begins (base64, wrapped anywhere); empty where that says nothing."""
    with suppress(OSError, binascii.Error), blob.open("rb") as file:
        # 24 characters hold 18 bytes.
        start = b"".join(file.read(128).split())[:24]
        kind = base64.b64decode(start)[:16].hex()
        return kind if kind in _KEY_TYPES else ""
    return ""
