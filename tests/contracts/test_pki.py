"""What the certificates say, who may read the keys, and what is refused."""

import json
import os
import shutil
import ssl
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.adapters import pki
from agent.adapters.broker import read_access
from agent.adapters.pki import issue_broker, issue_controller, issue_door, make_authority
from agent.cli import main
from agent.config import parse_config
from agent.errors import ConfigError
from tests.brokers import Broker, speaking
from tests.handshake import credentials, welcome

ROOT = Path(__file__).parent.parent.parent
HOSTS = ("localhost", "127.0.0.1", "::1")
HOLDERS = ("broker", "front", "controller-office")
ALL = ("ca", *HOLDERS)
PEM, PKCS8 = Encoding.PEM, PrivateFormat.PKCS8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one certificate of each kind."""
    folder = tmp_path_factory.mktemp("computer") / "pki"
    make_authority(folder)
    issue_broker(folder, HOSTS)
    issue_door(folder, "front")
    issue_controller(folder, "office")
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with an authority, which a test may spoil."""
    folder = tmp_path / "own"
    make_authority(folder)
    return folder


def read(folder: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())


def common_name(certificate: x509.Certificate) -> str | bytes:
    (attribute,) = certificate.subject
    assert attribute.oid == NameOID.COMMON_NAME
    return attribute.value


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- what they say


@pytest.mark.parametrize("name", ALL)
def test_a_key_is_of_p_256_and_that_of_its_certificate(folder: Path, name: str) -> None:
    certificate = read(folder, name)
    key = load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert key.public_key() == certificate.public_key()
    assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)


def test_the_authority_vouches_for_holders_only_and_not_for_other_authorities(folder: Path) -> None:
    limits = read(folder, "ca").extensions.get_extension_for_class(x509.BasicConstraints)
    assert limits.critical
    assert limits.value == x509.BasicConstraints(ca=True, path_length=0)
    usage = read(folder, "ca").extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert usage.value.crl_sign
    assert not usage.value.digital_signature


@pytest.mark.parametrize("name", HOLDERS)
def test_a_holder_vouches_for_nobody(folder: Path, name: str) -> None:
    certificate = read(folder, name)
    certificate.verify_directly_issued_by(read(folder, "ca"))
    limits = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert limits.critical
    assert limits.value == x509.BasicConstraints(ca=False, path_length=None)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert not usage.value.crl_sign


@pytest.mark.parametrize(
    ("name", "said", "usage"),
    [
        ("broker", "Doorward broker", ExtendedKeyUsageOID.SERVER_AUTH),
        ("front", "front", ExtendedKeyUsageOID.CLIENT_AUTH),
        ("controller-office", "controller:office", ExtendedKeyUsageOID.CLIENT_AUTH),
    ],
)
def test_a_holder_is_named_and_is_a_broker_or_a_client_and_never_both(
    folder: Path, name: str, said: str, usage: x509.ObjectIdentifier
) -> None:
    certificate = read(folder, name)
    assert common_name(certificate) == said
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert list(extended.value) == [usage]


def test_the_broker_alone_is_called_by_hosts(folder: Path) -> None:
    hosts = read(folder, "broker").extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert hosts.value.get_values_for_type(x509.DNSName) == ["localhost"]
    addresses = hosts.value.get_values_for_type(x509.IPAddress)
    assert addresses == [ip_address("127.0.0.1"), ip_address("::1")]
    for name in ("front", "controller-office"):
        with pytest.raises(x509.ExtensionNotFound):
            read(folder, name).extensions.get_extension_for_class(x509.SubjectAlternativeName)


@pytest.mark.parametrize("name", ALL)
def test_the_chain_can_be_followed_by_key_identifiers(folder: Path, name: str) -> None:
    certificate, authority = read(folder, name), read(folder, "ca")
    own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert own == x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
    above = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    issuer = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert above.key_identifier == issuer.digest


@pytest.mark.parametrize(("name", "years"), [("ca", 20), *((name, 10) for name in HOLDERS)])
def test_a_certificate_counts_from_yesterday_and_for_as_long_as_a_door_stands(
    folder: Path, name: str, years: int
) -> None:
    certificate = read(folder, name)
    age = datetime.now(UTC) - certificate.not_valid_before_utc
    assert timedelta(days=1) <= age < timedelta(days=1, hours=1)
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(
        days=365 * years + 1
    )


def test_serial_numbers_are_long_and_random(folder: Path) -> None:
    serials = [read(folder, name).serial_number for name in ALL]
    assert len(set(serials)) == len(ALL)
    assert min(serials).bit_length() > 96


def test_nothing_outlives_its_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pki, "AUTHORITY_DAYS", 30)
    authority = make_authority(tmp_path)
    assert issue_door(tmp_path, "front").expires == authority.expires


def test_an_expired_authority_issues_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pki, "AUTHORITY_DAYS", -0.5)
    make_authority(tmp_path)
    with pytest.raises(ConfigError, match=r"ca\.pem: has expired: make another folder"):
        issue_door(tmp_path, "front")


def test_what_is_issued_is_told(folder: Path, own: Path) -> None:
    made = issue_controller(own, "office")
    assert made.common_name == "controller:office"
    assert made.certificate == own / "controller-office.pem"
    assert made.key == own / "controller-office.key"
    assert made.expires == read(own, "controller-office").not_valid_after_utc
    assert read(own, "controller-office") != read(folder, "controller-office")


# --- who may read them


def test_keys_are_their_owners_alone_from_the_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[str, int] = {}
    fchmod = os.fchmod

    def watched(descriptor: int, mode: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        made[path.name] = stat.S_IMODE(os.fstat(descriptor).st_mode)
        fchmod(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", watched)
    before = os.umask(0)
    try:
        make_authority(tmp_path / "pki")
        issue_door(tmp_path / "pki", "front")
    finally:
        os.umask(before)
    assert made == dict.fromkeys(("ca.key", "ca.pem", "front.key", "front.pem"), 0o600)
    assert mode(tmp_path / "pki") == 0o700
    for name in ("ca", "front"):
        assert mode(tmp_path / "pki" / f"{name}.key") == 0o600
        assert mode(tmp_path / "pki" / f"{name}.pem") == 0o644


# --- what is refused


def refused(make: Callable[..., object], *words: object) -> str:
    with pytest.raises(ConfigError) as caught:
        make(*words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "name", ["", "Front", "front door", "-front", "a" * 33, "front\n", "+", "#", "a/b", "ü", "a:b"]
)
def test_a_name_that_no_door_has_is_refused(own: Path, name: str) -> None:
    before = sorted(own.iterdir())
    assert "is no name for a door: lower-case letters" in refused(issue_door, own, name)
    assert "is no name for a controller" in refused(issue_controller, own, name)
    assert sorted(own.iterdir()) == before


@pytest.mark.parametrize("name", ["ca", "broker", "controller-office"])
def test_a_door_is_not_called_like_another_file(own: Path, name: str) -> None:
    expected = f"{name}: names another file here: give the door another name"
    assert refused(issue_door, own, name) == expected


@pytest.mark.parametrize(
    "host",
    [
        "",
        "*.lan",
        "broker lan",
        "broker..lan",
        ".lan",
        "-broker",
        "192.168.1",
        "192.168.1.256",
        "fe80::1%eth0",
        "[::1]",
        "broker.lan:8883",
        "https://broker",
        "bröker",
        "broker\n",
        f"{'a' * 64}.lan",
        ".".join(["a" * 63] * 4),
    ],
)
def test_what_is_no_host_is_refused(own: Path, host: str) -> None:
    assert refused(issue_broker, own, [host]) == (
        f"{host!r}: is no host: give a DNS name or an IP address"
    )
    assert not (own / "broker.key").exists()


def test_a_host_is_named_once_and_in_small_letters(own: Path) -> None:
    issue_broker(own, ["Broker.LAN", "3com.lan", "10.0.0.1", "10.0.0.1"])
    names = read(own, "broker").extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert list(names.value) == [
        x509.DNSName("broker.lan"),
        x509.DNSName("3com.lan"),
        x509.IPAddress(ip_address("10.0.0.1")),
    ]


@pytest.mark.parametrize("suffix", [".key", ".pem"])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("ca", make_authority),
        ("broker", lambda folder: issue_broker(folder, HOSTS)),
        ("front", lambda folder: issue_door(folder, "front")),
        ("controller-office", lambda folder: issue_controller(folder, "office")),
    ],
)
def test_nothing_is_ever_overwritten(
    tmp_path: Path, folder: Path, name: str, make: Callable[[Path], object], suffix: str
) -> None:
    if name != "ca":
        shutil.copy(folder / "ca.pem", tmp_path)
        shutil.copy(folder / "ca.key", tmp_path)
    there = tmp_path / f"{name}{suffix}"
    there.write_bytes(b"somebody's")
    before = sorted(tmp_path.iterdir())
    assert refused(make, tmp_path) == f"{there}: exists already: remove it to make another"
    assert there.read_bytes() == b"somebody's"
    assert sorted(tmp_path.iterdir()) == before


def test_a_link_that_leads_nowhere_is_not_followed(own: Path, tmp_path: Path) -> None:
    (own / "front.key").symlink_to(tmp_path / "elsewhere")
    assert "front.key: exists already" in refused(issue_door, own, "front")
    assert not (tmp_path / "elsewhere").exists()


def encoded(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes = b"") -> bytes:
    lock = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(PEM, PKCS8, lock)


EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("ca.pem", None, "there is no such file: `doorward pki init` makes it"),
        ("ca.key", None, "there is no such file: `doorward pki init` makes it"),
        ("ca.pem", b"", "is no certificate: put it back"),
        ("ca.pem", b"\xff\n", "is no certificate: put it back"),
        ("ca.key", b"", "is no key, or has a passphrase: put it back"),
        ("ca.key", encoded(EC, b"secret"), "is no key, or has a passphrase: put it back"),
        ("ca.key", encoded(EC), "is not the key of "),
        ("ca.key", encoded(RSA), "is not the key of "),
    ],
)
def test_an_authority_that_cannot_be_used_is_named(
    own: Path, file: str, content: bytes | None, complaint: str
) -> None:
    (own / file).unlink()
    if content is not None:
        (own / file).write_bytes(content)
    assert refused(issue_door, own, "front").startswith(f"{own / file}: {complaint}")
    assert not (own / "front.key").exists()


def test_an_authority_that_is_a_folder_is_named(own: Path) -> None:
    (own / "ca.pem").unlink()
    (own / "ca.pem").mkdir()
    assert "ca.pem: is a directory: have it readable" in refused(issue_door, own, "front")


def test_a_folder_that_cannot_be_written_is_named(own: Path, tmp_path: Path) -> None:
    assert refused(make_authority, tmp_path / "no" / "such") == (
        f"{tmp_path / 'no' / 'such'}: no such file or directory: "
        "name a folder that can be written with --directory"
    )
    assert "file exists: name a folder" in refused(make_authority, own / "ca.pem")


def test_a_disk_that_is_full_leaves_nothing_half_made(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fchmod = os.fchmod

    def full(descriptor: int, mode: int) -> None:
        if mode == 0o644:
            raise OSError(28, "No space left on device")
        fchmod(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", full)
    before = sorted(own.iterdir())
    assert "front.pem: no space left on device: name a folder" in refused(issue_door, own, "front")
    assert sorted(own.iterdir()) == before


# --- at a real broker


@pytest.fixture
def secured(mosquitto_binary: str, tmp_path: Path, folder: Path) -> Iterator[Broker]:
    """A broker with the certificates, which lets in who has one."""
    settings = [
        f"cafile {folder / 'ca.pem'}",
        f"certfile {folder / 'broker.pem'}",
        f"keyfile {folder / 'broker.key'}",
        "require_certificate true",
        "use_identity_as_username true",
    ]
    broker = Broker(mosquitto_binary, tmp_path, settings)
    broker.start()
    yield broker
    broker.kill()


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("name", ["front", "controller-office"])
def test_whoever_holds_a_certificate_is_let_in_and_trusts_the_broker_by_each_of_its_hosts(
    secured: Broker, folder: Path, name: str, host: str
) -> None:
    assert welcome(secured.port, credentials(folder, name), host)


def test_a_door_reaches_the_broker_with_the_lines_it_was_given(
    secured: Broker, folder: Path
) -> None:
    settings = parse_config(
        f"""
        [mqtt]
        host = "localhost"
        ca_file = "{folder}/ca.pem"
        cert_file = "{folder}/front.pem"
        key_file = "{folder}/front.key"
        """,
        "test",
    )
    context = read_access(settings.mqtt).tls
    assert context is not None
    assert welcome(secured.port, context)


def test_a_broker_is_not_trusted_by_another_host(secured: Broker, folder: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for 'broker\.lan'"):
        welcome(secured.port, credentials(folder, "front"), "broker.lan")


def test_the_certificate_of_the_broker_lets_nobody_in(secured: Broker, folder: Path) -> None:
    assert not welcome(secured.port, credentials(folder, "broker"))


def test_a_door_cannot_pose_as_the_broker(folder: Path) -> None:
    posing = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    posing.load_cert_chain(folder / "front.pem", folder / "front.key")
    context = credentials(folder, None)
    # Its certificate names no host either, but that is not what this is about.
    context.check_hostname = False
    with (
        speaking(tls=posing) as speaker,
        pytest.raises(ssl.SSLCertVerificationError, match="unsuitable certificate purpose"),
    ):
        welcome(speaker.port, context)


def test_a_door_vouches_for_nobody_at_the_broker(
    secured: Broker, folder: Path, tmp_path: Path
) -> None:
    forged = tmp_path / "forged"
    forged.mkdir()
    for suffix in ("pem", "key"):
        shutil.copy(folder / f"front.{suffix}", forged / f"ca.{suffix}")
    issue_door(forged, "back")
    chain = (forged / "back.pem").read_bytes() + (folder / "front.pem").read_bytes()
    (forged / "back.pem").write_bytes(chain)
    shutil.copy(folder / "ca.pem", forged)
    assert not welcome(secured.port, credentials(forged, "back"))


# --- as an operator types it


def typed(*words: object) -> Result:
    return CliRunner().invoke(main, ["pki", *map(str, words)])


@pytest.fixture
def typed_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "typed"
    assert typed("init", "--directory", folder).exit_code == 0
    return folder


def test_the_authority_is_made_where_the_operator_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = typed("init")
    assert result.output.startswith("pki/ca.pem is made for Doorward authority, until 20")
    assert "Keep pki/ca.key to yourself" in result.output
    assert sorted(path.name for path in (tmp_path / "pki").iterdir()) == ["ca.key", "ca.pem"]


def test_the_broker_is_told_what_to_copy_where(typed_folder: Path) -> None:
    result = typed("broker", "--host", "b.lan", "--host", "::1", "--directory", typed_folder)
    assert f"{typed_folder}/ca.pem, {typed_folder}/broker.pem and" in result.output
    assert "to /etc/mosquitto/certs/ on the broker" in result.output
    names = read(typed_folder, "broker").extensions
    hosts = names.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(hosts) == [x509.DNSName("b.lan"), x509.IPAddress(ip_address("::1"))]


def test_a_broker_has_a_host(typed_folder: Path) -> None:
    result = typed("broker", "--directory", typed_folder)
    assert result.exit_code == 2
    assert "Missing option '--host'" in result.output


def test_a_door_is_given_the_lines_of_its_configuration(typed_folder: Path) -> None:
    result = typed("door", "front", "--directory", typed_folder)
    assert f"{typed_folder}/front.pem and {typed_folder}/front.key" in result.output
    _, _, lines = result.output.partition("\n\n")
    settings = parse_config(lines, "printed")
    assert settings.door.name == "front"
    assert settings.mqtt.ca_file == "/etc/doorward/ca.pem"
    assert settings.mqtt.cert_file == "/etc/doorward/front.pem"
    assert settings.mqtt.key_file == "/etc/doorward/front.key"


def test_a_controller_is_given_the_rules_that_ship(typed_folder: Path) -> None:
    result = typed("controller", "office", "--directory", typed_folder)
    _, _, lines = result.output.partition("\n\n")
    assert lines.startswith("user controller:office\n")
    assert f"\n{lines}\n" in (ROOT / "docs/broker/acl").read_text(encoding="utf-8")
    assert "`topic write doorward/+/event/ack` instead of the first" in result.output


@pytest.mark.parametrize(
    ("words", "said", "file", "more"),
    [
        (("broker", "--host", "localhost"), "Doorward broker", "broker", set()),
        (("door", "front"), "front", "front", {"toml"}),
        (("controller", "office"), "controller:office", "controller-office", {"acl"}),
    ],
)
def test_programs_get_json(
    typed_folder: Path, words: tuple[str, ...], said: str, file: str, more: set[str]
) -> None:
    found = json.loads(typed(*words, "--directory", typed_folder, "--json").output)
    assert found.keys() == {"name", "certificate", "key", "expires"} | more
    assert found["name"] == said
    assert found["certificate"] == f"{typed_folder}/{file}.pem"
    assert found["key"] == f"{typed_folder}/{file}.key"
    assert found["expires"] == read(typed_folder, file).not_valid_after_utc.timestamp()
    assert tomllib.loads(found.get("toml", "")).keys() == (
        {"door", "mqtt"} if "toml" in more else set()
    )


@pytest.mark.parametrize(
    "words", [("init",), ("door", "Front"), ("controller", "a b"), ("broker", "--host", "?")]
)
def test_a_refusal_is_one_line_and_exit_code_2(typed_folder: Path, words: tuple[str, ...]) -> None:
    result = typed(*words, "--directory", typed_folder)
    assert result.exit_code == 2
    assert result.output.startswith("doorward: ")
    assert result.output.count("\n") == 1


def test_the_script_makes_all_that_the_instructions_start_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "doorward"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m agent "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    script = ["sh", str(ROOT / "docs/broker/make-certificates")]
    subprocess.run([*script, "b.lan", "10.0.0.1"], cwd=tmp_path, check=True, capture_output=True)
    made = sorted(path.stem for path in (tmp_path / "pki").glob("*.pem"))
    assert made == ["broker", "ca", "controller-office", "front"]
    names = read(tmp_path / "pki", "broker").extensions
    hosts = names.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(hosts) == [x509.DNSName("b.lan"), x509.IPAddress(ip_address("10.0.0.1"))]
    again = subprocess.run([*script, "b.lan"], cwd=tmp_path, capture_output=True, check=False)
    assert again.returncode == 2
    # It stops there, and makes nothing below an authority that it did not make.
    assert again.stderr.count(b"exists already") == again.stderr.count(b"ca.key: exists") == 1
    helpless = subprocess.run(script, cwd=tmp_path, capture_output=True, check=False)
    assert b"Usage: docs/broker/make-certificates BROKER" in helpless.stderr
