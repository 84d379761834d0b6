"""How to reach the broker: the settings checked and read, and what goes wrong in words."""

import errno
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import gaierror

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from agent.config import Mqtt
from agent.errors import ConfigError

PATIENCE = 10.0
"""Seconds that a broker is given to take what is published."""


@dataclass(frozen=True, slots=True)
class Access:
    """What it takes to reach the broker and be let in. tls: None where nothing is encrypted."""

    host: str
    port: int
    username: str | None
    password: str | None = field(repr=False)
    tls: ssl.SSLContext | None

    def new_client(self, client_id: str) -> Client:
        """Make a client that has yet to connect."""
        client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
        if self.username is not None:
            client.username_pw_set(self.username, self.password)
        if self.tls is not None:
            client.tls_set_context(self.tls)
        return client


def read_access(settings: Mqtt) -> Access:
    """Read the files that the settings name. Raises ConfigError where one cannot be used."""
    if settings.host is None:
        raise ConfigError("mqtt.host: is not set: name the broker")
    return Access(
        settings.host, settings.port, settings.username, _password(settings), _tls(settings)
    )


def retain(access: Access, client_id: str, messages: Mapping[str, bytes]) -> None:
    """Publish these payloads, topic to payload, to be retained, and wait until the broker has them.

    Raises OSError: TimeoutError where the broker does not take them in time, and PermissionError
    where it does not let us in.
    """
    client = access.new_client(client_id)
    answers: list[ReasonCode] = []
    client.on_connect = lambda _client, _, _flags, code, _more: answers.append(code)
    client.connect(access.host, access.port)
    try:
        _drive(client, lambda: bool(answers))
        if answers[0].is_failure:
            raise PermissionError(errno.EACCES, str(answers[0]))
        sent = [client.publish(*message, qos=1, retain=True) for message in messages.items()]
        _drive(client, lambda: all(each.is_published() for each in sent))
    finally:
        client.disconnect()


def _drive(client: Client, is_done: Callable[[], bool]) -> None:
    """Keep a connection going until it is done. Raises TimeoutError, ConnectionError."""
    deadline = time.monotonic() + PATIENCE
    while not is_done():
        if not time.monotonic() < deadline:
            raise TimeoutError
        lost = client.loop(0.1) is not MQTTErrorCode.MQTT_ERR_SUCCESS
        if lost and not is_done():
            raise ConnectionError("the connection was lost")


def explain(error: Exception) -> str:
    """Say in a few words why there is no connection."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case gaierror():
            return "there is no such host"
        case TimeoutError():
            return "it does not answer"
        case OSError():
            return (error.strerror or str(error)).lower()
        case _:
            return f"{type(error).__name__}: {error}"


def _tls(settings: Mqtt) -> ssl.SSLContext | None:
    if not settings.tls:
        return None
    with _naming("ca_file", settings.ca_file):
        context = ssl.create_default_context(cafile=settings.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.cert_file is not None:
        with _naming("cert_file", settings.cert_file):
            # Without a password given, a key that has one would be asked for on the terminal.
            context.load_cert_chain(settings.cert_file, settings.key_file, password="")
    return context


def _password(settings: Mqtt) -> str | None:
    if settings.password_file is None:
        return None
    with _naming("password_file", settings.password_file):
        first, _, _ = Path(settings.password_file).read_text(encoding="utf-8").partition("\n")
    return first.rstrip("\r")


@contextmanager
def _naming(key: str, path: str | None) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as error:
        reason = error.reason or "not in PEM format"
        complaint = reason.replace("_", " ").lower()
    except OSError as error:
        complaint = (error.strerror or str(error)).lower()
    except ValueError:
        complaint = "not UTF-8 text"
    else:
        return
    raise ConfigError(f"mqtt.{key}: {path}: {complaint}: name a file that Doorward can read")
