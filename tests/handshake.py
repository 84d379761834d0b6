"""Whether a broker lets somebody in, asked without a client that would try again."""

import socket
import ssl
from pathlib import Path

from tests.contracts.waiting import DEADLINE

# MQTT 5, a clean start, 60 s between signs of life, and an id of the broker's choice.
CONNECT = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00"
CONNACK = b"\x20"


def credentials(folder: Path, name: str | None) -> ssl.SSLContext:
    """Trust the authority of a folder, and come with the certificate of this name."""
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    # Python 3.13 checks as strictly by itself.
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if name is not None:
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


def welcome(port: int, context: ssl.SSLContext, host: str = "localhost") -> bool:
    """Whether the broker, called by this host, lets in who comes with these credentials.

    Raises ssl.SSLError where they agree on no TLS, or the broker is not trusted.
    """
    with (
        socket.create_connection(("127.0.0.1", port), DEADLINE) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        # TLS 1.3 is done for a client before the broker has seen the certificate. Why it hangs up
        # is said, but may be lost with the connection.
        try:
            secure.sendall(CONNECT)
            answer = secure.recv(4)
        except (ssl.SSLError, ConnectionError):
            return False
        return answer[:1] == CONNACK and answer[3:] == b"\0"
