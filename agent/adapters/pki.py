"""A certificate authority in a folder, and the certificates of a broker, doors and controllers.

Everybody on MQTT is who their certificate says they are: a door by its name, a controller by
`controller:` and its name. No door's name has a colon, so no controller can speak for a door.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from re import fullmatch
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.adapters.files import make_folder, open_for_owner
from agent.config import NAME, NAME_RULE
from agent.errors import ConfigError

# A certificate that lapses keeps its owner's door off the broker, and nobody remembers why: these
# outlast the hardware, and what is lost or stolen meanwhile is revoked.
AUTHORITY_DAYS = 20 * 365
HOLDER_DAYS = 10 * 365
# A door has no battery for its clock: after a power cut it goes on from the last hour it saved, and
# must be able to reach the broker that was set up meanwhile.
EARLIER = timedelta(days=1)

AUTHORITY: Final = "ca"
BROKER: Final = "broker"
CONTROLLER_FILE: Final = "controller-"
CONTROLLER: Final = "controller:"


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key, as they lie in the folder. expires: with a time zone."""

    common_name: str
    certificate: Path
    key: Path
    expires: datetime


@dataclass(frozen=True, slots=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_authority(directory: Path) -> Issued:
    """Make the authority, and the folder (mode 0700) where there is none. Raises ConfigError."""
    try:
        make_folder(directory)
    except OSError as error:
        raise _unwritable(directory, error) from None
    key = _new_key()
    certificate = _certify("Doorward authority", key, AUTHORITY_DAYS)
    return _keep(directory, AUTHORITY, key, certificate)


def issue_broker(directory: Path, hosts: Sequence[str]) -> Issued:
    """Issue the broker's certificate. hosts: at least one name or address that doors call it by.

    Raises ConfigError.
    """
    names = x509.SubjectAlternativeName([_host(host) for host in dict.fromkeys(hosts)])
    # With a space, so that it is no door's name.
    return _issue(directory, BROKER, "Doorward broker", ExtendedKeyUsageOID.SERVER_AUTH, names)


def issue_door(directory: Path, name: str) -> Issued:
    """Issue the certificate by which a door is known to the broker. Raises ConfigError."""
    _check("door", name)
    if name in {AUTHORITY, BROKER} or name.startswith(CONTROLLER_FILE):
        raise ConfigError(f"{name}: names another file here: give the door another name")
    return _issue(directory, name, name, ExtendedKeyUsageOID.CLIENT_AUTH)


def issue_controller(directory: Path, name: str) -> Issued:
    """Issue the certificate of who commands doors or collects their events. Raises ConfigError."""
    _check("controller", name)
    return _issue(
        directory,
        f"{CONTROLLER_FILE}{name}",
        f"{CONTROLLER}{name}",
        ExtendedKeyUsageOID.CLIENT_AUTH,
    )


def _issue(
    directory: Path,
    file: str,
    common_name: str,
    usage: x509.ObjectIdentifier,
    *hosts: x509.SubjectAlternativeName,
) -> Issued:
    authority = _load(directory)
    if not datetime.now(UTC) < authority.certificate.not_valid_after_utc:
        path = directory / f"{AUTHORITY}.pem"
        raise ConfigError(f"{path}: has expired: make another folder with `doorward pki init`")
    key = _new_key()
    more = (x509.ExtendedKeyUsage([usage]), *hosts)
    certificate = _certify(common_name, key, HOLDER_DAYS, authority, more)
    return _keep(directory, file, key, certificate)


def _load(directory: Path) -> _Authority:
    certificate_file, key_file = directory / f"{AUTHORITY}.pem", directory / f"{AUTHORITY}.key"
    try:
        certificate = x509.load_pem_x509_certificate(_content(certificate_file))
        public = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{certificate_file}: is no certificate: put it back") from None
    try:
        key = load_pem_private_key(_content(key_file), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(f"{key_file}: is no key, or has a passphrase: put it back") from None
    if not (isinstance(key, ec.EllipticCurvePrivateKey) and key.public_key() == public):
        raise ConfigError(f"{key_file}: is not the key of {certificate_file}: put it back")
    return _Authority(certificate, key)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        mend = "`doorward pki init` makes it"
        raise ConfigError(f"{path}: there is no such file: {mend}") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"{path}: {reason}: have it readable for whoever types this") from None


def _check(kind: str, name: str) -> None:
    if not fullmatch(NAME, name):
        raise ConfigError(f"{name!r}: is no name for a {kind}: {NAME_RULE}")


def _host(host: str) -> x509.GeneralName:
    with suppress(ValueError):
        address = ip_address(host)
        # A certificate cannot say on which link such an address is.
        if not (isinstance(address, IPv6Address) and address.scope_id is not None):
            return x509.IPAddress(address)
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    name = host.lower()
    # A last label of digits alone is an address that was mistyped.
    if not (len(name) <= 253 and fullmatch(rf"({label}\.)*(?![0-9]+\Z){label}", name)):  # noqa: PLR2004 - DNS
        raise ConfigError(f"{host!r}: is no host: give a DNS name or an IP address")
    return x509.DNSName(name)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _certify(
    common_name: str,
    key: ec.EllipticCurvePrivateKey,
    days: int,
    by: _Authority | None = None,
    more: Sequence[x509.ExtensionType] = (),
) -> x509.Certificate:
    """Have the authority vouch for a key; without one, the key vouches for itself as one."""
    now = datetime.now(UTC)
    until = now + timedelta(days=days)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    issuer, signer = (by.certificate.subject, by.key) if by else (name, key)
    if by is not None:
        until = min(until, by.certificate.not_valid_after_utc)
    public, serial = key.public_key(), x509.random_serial_number()
    builder = x509.CertificateBuilder(issuer, name, public, serial, now - EARLIER, until)
    limits = x509.BasicConstraints(ca=by is None, path_length=0 if by is None else None)
    for critical in (limits, _key_usage(authority=by is None)):
        builder = builder.add_extension(critical, critical=True)
    of_signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    for extension in (x509.SubjectKeyIdentifier.from_public_key(public), of_signer, *more):
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _keep(
    directory: Path, file: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
) -> Issued:
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = certificate.public_bytes(Encoding.PEM)
    key_file, certificate_file = directory / f"{file}.key", directory / f"{file}.pem"
    _write_new(key_file, secret, 0o600)
    try:
        _write_new(certificate_file, public, 0o644)
    except ConfigError:
        # A key without its certificate is of no use, and would keep the next try out.
        key_file.unlink()
        raise
    (attribute,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(attribute.value)
    return Issued(name, certificate_file, key_file, certificate.not_valid_after_utc)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        descriptor = open_for_owner(path, os.O_EXCL)
    except FileExistsError:
        raise ConfigError(f"{path}: exists already: remove it to make another") from None
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(descriptor, mode)
    except OSError as error:
        path.unlink()
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> ConfigError:
    reason = (error.strerror or str(error)).lower()
    return ConfigError(f"{path}: {reason}: name a folder that can be written with --directory")
