"""What every source of the device key holds to, and what each is for itself."""

import base64
import os
import re
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.adapters.devicekey import (
    CREDENTIAL,
    ENCRYPTED,
    KEY_FILE,
    Credential,
    KeyFile,
    describe,
    erasure_limit,
    find_key,
)
from agent.errors import StoreError
from agent.ports import KeySource, ProtectionLevel

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "device-key.md").read_text(encoding="utf-8")
UNIT = (ROOT / "systemd" / "doorward.service").read_text(encoding="utf-8")

SECRET = bytes(range(100, 132))
DIGITS = SECRET.hex().encode() + b"\n"

BY_HOST = "5a1c6a86df9d4096b1d5a65e0862f19a"
BY_TPM = "0c7cc07b117645919c4b0bea08bc20fe"
BY_TPM_SIGNED = "faf7eb9341e3412ca1a436f95a29362f"
BY_NULL = "058469daf6f54324800549da0f8ea2fb"


@dataclass
class Bench:
    """A source, and what puts `content` where it looks. named: what its complaints begin with."""

    source: KeySource
    put: Callable[[bytes], object]
    named: Path


@pytest.fixture
def credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Credential:
    """A credential that is not there, in folders of the test's own, and no other in sight."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setenv("SYSTEMD_CREDENTIAL_SECRET", str(tmp_path / "host.secret"))
    folders = [tmp_path / "running", tmp_path / "credstore", tmp_path / "efivars"]
    for folder in folders:
        folder.mkdir()
    return Credential(folders[0], folders[1] / CREDENTIAL, folders[2] / "SecureBoot", patience=20)


@pytest.fixture
def own(credential: Credential, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that systemd gives a service."""
    folder = credential.running.with_name("own")
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


@pytest.fixture
def encrypt(credential: Credential) -> Callable[[bytes], None]:
    """Encrypts a credential with the real program and a host key of the test's own."""
    if shutil.which("systemd-creds") is None:
        pytest.skip("systemd-creds is not installed: sudo apt install systemd")

    def encrypt(content: bytes) -> None:
        done = subprocess.run(
            ["systemd-creds", "encrypt", "--with-key=host", f"--name={CREDENTIAL}", "-", "-"],
            input=content,
            capture_output=True,
            check=False,
            timeout=20,
        )
        if done.returncode:
            pytest.skip(f"systemd-creds cannot encrypt here: {done.stderr.decode()}")
        credential.encrypted.write_bytes(done.stdout)

    return encrypt


@pytest.fixture(params=["key file", "own", "running", "encrypted"])
def bench(request: pytest.FixtureRequest, credential: Credential, tmp_path: Path) -> Bench:
    match request.param:
        case "key file":
            path = tmp_path / "state" / KEY_FILE
            path.parent.mkdir()
            return Bench(KeyFile(path), lambda content: put_file(path, content), path)
        case "encrypted":
            put = request.getfixturevalue("encrypt")
            return Bench(credential, put, credential.encrypted)
        case "own":
            path = request.getfixturevalue("own") / CREDENTIAL
        case _:
            path = credential.running / CREDENTIAL
    return Bench(credential, path.write_bytes, path)


def put_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    path.write_bytes(content)
    path.chmod(mode)


def put_header(path: Path, kind: str) -> None:
    """Write what begins as a credential of systemd of that kind does; nothing could decrypt it."""
    blob = base64.b64encode(bytes.fromhex(kind) + bytes(range(130)))
    path.write_bytes(b"\n".join(blob[i : i + 79] for i in range(0, len(blob), 79)) + b"\n")


def put_program(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have something else be systemd-creds."""
    program = folder / "bin" / "systemd-creds"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)


def refused(source: KeySource) -> str:
    with pytest.raises(StoreError) as refusal:
        source.read()
    message = str(refusal.value)
    assert "\n" not in message
    return message


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mode, path.read_bytes()) for path in files}


@contextmanager
def shut_out(folder: Path) -> Iterator[None]:
    """Do something as one who may not look into a folder."""
    mode = folder.stat().st_mode
    folder.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(user)
        folder.chmod(mode)


@contextmanager
def typed(content: bytes) -> Iterator[None]:
    """Have something waiting at standard input."""
    before = os.dup(0)
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    os.dup2(reading, 0)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(reading)


# What every source holds to


def test_the_key_that_was_put_there_is_read_and_nothing_changes(
    bench: Bench, tmp_path: Path
) -> None:
    bench.put(DIGITS)
    before = tree(tmp_path)
    key = bench.source.read()
    assert key.secret == SECRET
    assert key.level is ProtectionLevel.HOST_KEY
    assert str(bench.named) in key.origin
    assert key == bench.source.read()
    assert tree(tmp_path) == before


def test_the_key_is_in_no_repr(bench: Bench) -> None:
    bench.put(DIGITS)
    key = bench.source.read()
    assert repr(SECRET) not in repr(key)
    assert SECRET.hex() not in repr((key, bench.source))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(bytes(32).hex().encode() + b"\n", id="zeros"),
        pytest.param(DIGITS[:-2] + b"\n", id="a digit short"),
        pytest.param(b"0" + DIGITS, id="a digit long"),
        pytest.param(DIGITS + b"\n", id="two line feeds"),
        pytest.param(DIGITS + bytes(5000), id="far too long"),
        pytest.param(DIGITS.upper(), id="upper case"),
        pytest.param(b"g" + DIGITS[1:], id="no digit"),
        pytest.param(b"\xff" + DIGITS[1:], id="no text"),
        pytest.param(b" " + DIGITS[:63] + b"\n", id="a space"),
        pytest.param(SECRET[:-1], id="a byte short"),
        pytest.param(SECRET + b"\n", id="a byte long"),
    ],
)
def test_what_is_no_key_is_refused_by_name(bench: Bench, content: bytes) -> None:
    bench.put(content)
    message = refused(bench.source)
    assert message.startswith(f"{bench.named}: is not a device key")
    assert "docs/device-key.md" in message


def test_without_a_key_there_is_a_refusal_that_says_where_it_should_be(bench: Bench) -> None:
    message = refused(bench.source)
    place = bench.source.path if isinstance(bench.source, KeyFile) else CREDENTIAL
    assert str(place) in message
    assert "docs/device-key.md" in message or "systemd-creds" in message


# The key file


@pytest.fixture
def key_file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "state" / KEY_FILE)


def test_a_made_key_is_random_and_its_owners_alone(key_file: KeyFile, tmp_path: Path) -> None:
    key_file.path.parent.mkdir()
    umask = os.umask(0o277)
    try:
        key_file.make()
    finally:
        os.umask(umask)
    other = KeyFile(tmp_path / "other")
    other.make()
    assert key_file.path.stat().st_mode & 0o7777 == 0o600
    assert re.fullmatch(rb"[0-9a-f]{64}\n", key_file.path.read_bytes())
    assert key_file.read().secret != other.read().secret


def test_the_folder_of_a_made_key_is_made_too_and_shut_to_others(key_file: KeyFile) -> None:
    key_file.make()
    assert key_file.path.parent.stat().st_mode & 0o7777 == 0o700
    assert [path.name for path in key_file.path.parent.iterdir()] == [KEY_FILE]


def test_what_root_makes_belongs_to_the_owner_of_the_folder(key_file: KeyFile) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away: run the tests as root")
    key_file.path.parent.mkdir(mode=0o700)
    os.chown(key_file.path.parent, 12345, 23456)
    key_file.make()
    status = key_file.path.stat()
    assert (status.st_uid, status.st_gid) == (12345, 23456)


def test_a_key_is_never_made_over_another(key_file: KeyFile) -> None:
    key_file.make()
    before = key_file.read()
    key_file.make()
    assert key_file.read() == before


def test_a_key_is_not_made_over_something_else_either(key_file: KeyFile) -> None:
    key_file.path.parent.mkdir()
    key_file.path.symlink_to("nowhere")
    key_file.make()
    assert key_file.path.is_symlink()
    assert "is not a regular file" in refused(key_file)


def test_a_key_gets_its_name_only_when_it_is_on_the_disk_and_then_the_name_is_written_too(
    key_file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, bool]] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        status = os.fstat(descriptor)
        written = status.st_size if stat.S_ISREG(status.st_mode) else 0
        seen.append((written, key_file.path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    key_file.make()
    assert seen == [(65, False), (0, True)]


def test_a_disk_that_fails_leaves_no_key_behind(
    key_file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device", descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"device.key: cannot be made \(No space left on device\)"):
        key_file.make()
    assert list(key_file.path.parent.iterdir()) == []


def test_who_comes_second_keeps_the_key_of_who_was_first(
    key_file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync
    first: list[bytes] = []

    def overtaken(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        key_file.make()
        first.append(key_file.read().secret)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", overtaken)
    key_file.make()
    assert [key_file.read().secret] == first


def test_all_who_make_a_key_at_once_read_the_same_one(tmp_path: Path) -> None:
    for turn in range(20):
        file = KeyFile(tmp_path / str(turn) / KEY_FILE)
        start = threading.Barrier(8)
        read: list[bytes] = []

        def race(
            file: KeyFile = file, start: threading.Barrier = start, read: list[bytes] = read
        ) -> None:
            start.wait()
            file.make()
            read.append(file.read().secret)

        threads = [threading.Thread(target=race) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(read) == 8
        assert len(set(read)) == 1


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610, 0o604, 0o602, 0o660, 0o644])
def test_a_key_file_that_is_open_to_others_is_refused(key_file: KeyFile, mode: int) -> None:
    key_file.make()
    key_file.path.chmod(mode)
    assert refused(key_file).endswith(f"is open to others: chmod 600 {key_file.path}")


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_a_key_file_that_is_no_file_is_refused(key_file: KeyFile, kind: str) -> None:
    key_file.path.parent.mkdir()
    match kind:
        case "link":
            put_file(key_file.path.with_name("elsewhere"), DIGITS)
            key_file.path.symlink_to("elsewhere")
        case "folder":
            key_file.path.mkdir(mode=0o700)
        case _:
            os.mkfifo(key_file.path, 0o600)
    assert refused(key_file).startswith(f"{key_file.path}: is not a regular file")


@pytest.mark.parametrize("content", [DIGITS[:-1], SECRET], ids=["torn", "raw"])
def test_a_key_file_is_whole_and_in_digits(key_file: KeyFile, content: bytes) -> None:
    key_file.path.parent.mkdir()
    put_file(key_file.path, content)
    assert "is not a device key" in refused(key_file)


def test_a_key_file_that_may_not_be_read_says_who_may(key_file: KeyFile) -> None:
    key_file.make()
    with shut_out(key_file.path.parent):
        message = refused(key_file)
    assert message == f"{key_file.path}: Permission denied: run as the file's owner"


# The credential


@pytest.mark.parametrize("content", [SECRET, DIGITS, DIGITS[:-1]], ids=["raw", "line", "digits"])
def test_a_credential_holds_raw_bytes_or_digits(
    credential: Credential, own: Path, content: bytes
) -> None:
    (own / CREDENTIAL).write_bytes(content)
    assert credential.read().secret == SECRET


def test_the_services_own_credential_comes_first_then_the_running_services(
    credential: Credential,
    own: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_program(tmp_path, "printf %s " + "c" * 64, monkeypatch)
    for path, digit in ((own / CREDENTIAL, b"a"), (credential.running / CREDENTIAL, b"b")):
        path.write_bytes(digit * 64)
    put_header(credential.encrypted, BY_HOST)
    assert credential.read().secret == b"\xaa" * 32
    (own / CREDENTIAL).unlink()
    assert credential.read().secret == b"\xbb" * 32
    (credential.running / CREDENTIAL).unlink()
    assert credential.read().secret == b"\xcc" * 32


def test_a_credential_that_may_not_be_read_says_who_may(credential: Credential) -> None:
    (credential.running / CREDENTIAL).mkdir()
    assert refused(credential).endswith("Is a directory: run as root")


@pytest.mark.parametrize(
    ("kind", "secure_boot", "level", "words"),
    [
        (BY_HOST, True, 0, "encrypted by the host key"),
        ("55b9ed1d38594d43a8319d2ebb332ac6", True, 0, "encrypted by the host key"),
        (BY_TPM, True, 1, "encrypted by a TPM"),
        ("93a894094874449090caf2fc93cab553", True, 1, "encrypted by a TPM"),
        ("ef4ac13679a9480ea7db68897f9f165d", True, 1, "encrypted by a TPM"),
        (BY_TPM_SIGNED, True, 2, "encrypted by a TPM for a signed boot"),
        ("af4950a849134eb1a73846304ff30c05", True, 2, "encrypted by a TPM for a signed boot"),
        ("adbc4ca3efb64201ba881b6f2e4095ea", True, 2, "encrypted by a TPM for a signed boot"),
        (BY_TPM_SIGNED, False, 1, "encrypted by a TPM"),
        ("af4950a849134eb1a73846304ff30c05", False, 1, "encrypted by a TPM"),
        (BY_NULL, True, 0, "not encrypted"),
        ("00" * 16, True, 0, "how it is encrypted cannot be seen"),
    ],
)
@pytest.mark.parametrize("place", ["beside", "store"])
def test_the_level_is_what_the_encrypted_file_says(
    credential: Credential,
    own: Path,
    place: str,
    kind: str,
    secure_boot: bool,
    level: int,
    words: str,
) -> None:
    (own / CREDENTIAL).write_bytes(DIGITS)
    put_header(own / ENCRYPTED if place == "beside" else credential.encrypted, kind)
    credential.secure_boot.write_bytes(b"\x06\x00\x00\x00" + bytes([secure_boot]))
    key = credential.read()
    assert key.level == level
    assert key.origin == f"systemd credential {own / CREDENTIAL}, {words}"


@pytest.mark.parametrize("variable", [None, b"", b"\x01", b"\x06\0\0\0", b"\x06\0\0\0\x01\x01"])
def test_a_boot_that_is_not_surely_signed_is_not_a_signed_one(
    credential: Credential, variable: bytes | None
) -> None:
    (credential.running / CREDENTIAL).write_bytes(DIGITS)
    put_header(credential.running / ENCRYPTED, BY_TPM_SIGNED)
    if variable is not None:
        credential.secure_boot.write_bytes(variable)
    assert credential.read().level is ProtectionLevel.TPM


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(base64.b64encode(bytes.fromhex(BY_TPM)[:15]), id="short"),
        pytest.param(bytes.fromhex(BY_TPM) * 8, id="raw"),
        pytest.param(b"!" + base64.b64encode(bytes.fromhex(BY_TPM) * 8), id="no base64"),
        pytest.param(b"0" * 64, id="plain digits"),
    ],
)
def test_an_encrypted_file_that_says_nothing_is_worth_level_0(
    credential: Credential, content: bytes
) -> None:
    (credential.running / CREDENTIAL).write_bytes(DIGITS)
    credential.encrypted.write_bytes(content)
    key = credential.read()
    assert key.level is ProtectionLevel.HOST_KEY
    assert key.origin.endswith("how it is encrypted cannot be seen")


def test_what_was_loaded_with_the_key_counts_before_what_lies_in_the_store_now(
    credential: Credential,
) -> None:
    (credential.running / CREDENTIAL).write_bytes(DIGITS)
    put_header(credential.running / ENCRYPTED, BY_HOST)
    put_header(credential.encrypted, BY_TPM)
    assert credential.read().level is ProtectionLevel.HOST_KEY


# systemd-creds


def test_a_credential_of_the_real_systemd_creds_is_level_0_by_the_host_key(
    credential: Credential, encrypt: Callable[[bytes], None]
) -> None:
    encrypt(SECRET)
    key = credential.read()
    assert key.secret == SECRET
    assert key.level is ProtectionLevel.HOST_KEY
    assert key.origin == f"systemd credential {credential.encrypted}, encrypted by the host key"
    assert SECRET not in base64.b64decode(credential.encrypted.read_bytes())


def test_a_credential_of_another_host_is_refused_in_one_line(
    credential: Credential,
    encrypt: Callable[[bytes], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encrypt(SECRET)
    monkeypatch.setenv("SYSTEMD_CREDENTIAL_SECRET", str(tmp_path / "another"))
    subprocess.run(["systemd-creds", "setup"], check=True, capture_output=True)
    message = refused(credential)
    assert message.startswith(f"{credential.encrypted}: cannot be decrypted (")
    assert message.endswith("make it from the key's copy; see docs/device-key.md")


def test_a_credential_under_another_name_is_refused(
    credential: Credential, encrypt: Callable[[bytes], None]
) -> None:
    encrypt(SECRET)
    command = ["systemd-creds", "encrypt", "--with-key=host", "--name=other.key", "-"]
    subprocess.run([*command, credential.encrypted], input=SECRET, check=True, capture_output=True)
    assert "'other.key' does not match" in refused(credential)


def test_the_program_is_asked_for_the_name_and_the_file_and_given_nothing_to_read(
    credential: Credential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "asked"
    put_program(tmp_path, f'echo "$@" >{asked}; cat >>{asked}; printf {SECRET.hex()}', monkeypatch)
    put_header(credential.encrypted, BY_TPM)
    with typed(b"a secret of the terminal"):
        key = credential.read()
    assert asked.read_text() == f"decrypt --name=doorward.key {credential.encrypted} -\n"
    assert key.secret == SECRET
    assert key.level is ProtectionLevel.TPM


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo Using a host key. >&2; echo TPM is gone. >&2; exit 1", "(TPM is gone)"),
        ("exit 3", "(exit code 3)"),
    ],
)
def test_the_programs_last_word_is_the_reason(
    credential: Credential,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    reason: str,
) -> None:
    put_program(tmp_path, f"printf {SECRET.hex()}; {script}", monkeypatch)
    assert f"{credential.encrypted}: cannot be decrypted {reason}:" in refused(credential)


def test_a_program_that_hangs_is_given_up(
    credential: Credential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_program(tmp_path, "exec sleep 60", monkeypatch)
    hurried = Credential(credential.running, credential.encrypted, patience=0.2)
    begun = time.monotonic()
    assert "timed out after 0.2 seconds" in refused(hurried)
    assert time.monotonic() - begun < 30


def test_without_the_program_the_refusal_names_it(
    credential: Credential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    put_header(credential.encrypted, BY_HOST)
    message = refused(credential)
    assert message.startswith(f"{credential.encrypted}: ")
    assert "No such file or directory: 'systemd-creds'" in message


# Which source is in force


def test_without_a_credential_the_key_file_in_the_state_directory_is_in_force(
    credential: Credential, own: Path, tmp_path: Path
) -> None:
    assert list(own.iterdir()) == []
    assert find_key(tmp_path, credential) == KeyFile(tmp_path / "device.key")


@pytest.mark.parametrize("place", ["own", "running", "encrypted"])
def test_a_credential_is_in_force_wherever_it_is_though_a_key_file_is_there(
    credential: Credential, own: Path, tmp_path: Path, place: str
) -> None:
    KeyFile(tmp_path / KEY_FILE).make()
    folders = {"own": own, "running": credential.running, "encrypted": credential.encrypted.parent}
    (folders[place] / CREDENTIAL).touch()
    assert find_key(tmp_path, credential) is credential


def test_one_who_may_not_look_for_a_credential_has_none(
    credential: Credential, tmp_path: Path
) -> None:
    credential.encrypted.touch()
    with shut_out(tmp_path):
        assert isinstance(find_key(tmp_path, credential), KeyFile)
    assert find_key(tmp_path, credential) is credential


def test_the_defaults_are_systemds_places(tmp_path: Path) -> None:
    found = Credential()
    assert found.running == Path("/run/credentials/doorward.service")
    assert found.encrypted == Path("/etc/credstore.encrypted/doorward.key")
    assert found.secure_boot.name == "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    if not found.exists():
        assert find_key(tmp_path) == KeyFile(tmp_path / KEY_FILE)


# In words, in the unit and in the document


def test_every_level_says_what_is_safe_and_what_an_erasure_cannot_promise() -> None:
    assert "a copied database or backup is useless, a stolen card is not" in describe(
        ProtectionLevel.HOST_KEY
    )
    assert describe(ProtectionLevel.TPM).startswith("TPM: ")
    assert describe(ProtectionLevel.SIGNED_BOOT).startswith("TPM and signed boot: ")
    limits = [erasure_limit(level) for level in ProtectionLevel]
    assert all("worn flash blocks may keep remnants" in limit for limit in limits)
    assert "whoever holds the card can open" in limits[0]
    assert "the card together with the board" in limits[1]
    assert "breaking the TPM or the signed boot" in limits[2]


def test_the_service_is_given_the_credential_and_what_it_is_encrypted_with() -> None:
    encrypted = Credential().encrypted
    assert f"\nLoadCredentialEncrypted={CREDENTIAL}:{encrypted}\n" in UNIT
    assert f"\nLoadCredential={ENCRYPTED}:{encrypted}\n" in UNIT


def documented(beginning: str, credential: Credential) -> str:
    """One of the document's commands, for the test's own folder and without becoming root."""
    line = next(line for line in DOCUMENT.splitlines() if beginning in line)
    moved = line.replace(str(Credential().encrypted.parent), str(credential.encrypted.parent))
    return moved.replace("--with-key=auto", "--with-key=host").removeprefix("sudo ")


def test_the_documents_commands_make_a_key_once_print_it_and_take_it_over(
    credential: Credential,
    encrypt: Callable[[bytes], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encrypt(SECRET)
    shutil.rmtree(credential.encrypted.parent)
    make = documented("sh -c 'set -e; umask 077; mkdir -p", credential)
    assert "/dev/urandom" in make

    def run(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", command], check=False, capture_output=True, text=True, timeout=60
        )

    assert run(make).returncode == 0
    made = credential.read()
    assert credential.encrypted.stat().st_mode & 0o7777 == 0o600
    assert run(make).returncode != 0
    assert credential.read() == made

    printed = run(documented("systemd-creds decrypt", credential)).stdout.strip()
    assert printed == made.secret.hex()
    credential.encrypted.unlink()
    take_over = documented("systemd-ask-password", credential)
    ask = tmp_path / "bin" / "systemd-ask-password"
    ask.parent.mkdir()
    ask.write_text(f"#!/bin/sh\necho {printed}\n")
    ask.chmod(0o755)
    monkeypatch.setenv("PATH", str(ask.parent), prepend=os.pathsep)
    assert run(take_over).returncode == 0
    assert credential.read() == made
