"""What the tests of the adapters share."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.adapters import link
from tests.brokers import Broker, Collector, collector

EXTENSIONS = """
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[holder]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:localhost
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again sooner than a door at work does."""
    monkeypatch.setattr(link, "FIRST_DELAY", 0.05)
    monkeypatch.setattr(link, "LAST_DELAY", 0.2)


@pytest.fixture
def listener(broker: Broker) -> Iterator[Collector]:
    """Somebody who hears all that is said at the broker."""
    with collector(broker.port) as listener:
        yield listener


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be made."""
    return tmp_path / "state" / "doorward.db"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, another one that nobody knows, and who holds a certificate."""
    if shutil.which("openssl") is None:
        missing = "openssl is not installed: sudo apt install openssl"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "extensions").write_text(EXTENSIONS)

    key = ("-noenc", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")

    def make(name: str, *options: str) -> None:
        files = ("-config", "extensions", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-subj", f"/CN={name}", *key, *files, *options],
            cwd=folder,
            check=True,
            capture_output=True,
        )

    for authority in ("ca", "wrong"):
        make(authority, "-extensions", "authority")
    for holder in ("localhost", "front", "collector"):
        make(holder, "-extensions", "holder", "-CA", "ca.pem", "-CAkey", "ca.key")
    return folder
