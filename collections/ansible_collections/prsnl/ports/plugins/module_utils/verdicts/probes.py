# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Probes: does a port speak its protocol? Each asks the least that a server of it must answer."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import time
import typing as t
from contextlib import suppress

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import printable

STATUS_LINE = re.compile(rb"HTTP/\d(?:\.\d)? \d{3}")
# https://www.postgresql.org/docs/16/protocol-message-formats.html
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
PROTOCOL_3_0 = 196608
HEADER_SIZE = 5
CANNOT_CONNECT_NOW = "57P03"
# Alerts of a server that speaks TLS and only dislikes that the probe has no certificate or name.
TLS_ALERTS = ("CERTIFICATE", "UNRECOGNIZED_NAME")


class ProbeError(Exception):
    """The port doesn't speak its protocol, or not yet."""


class Dialogue:
    """A TCP connection with one deadline for everything that is done on it."""

    def __init__(self, address: str, port: int, timeout: float) -> None:
        """Connect.

        :param timeout: seconds for the whole probe.
        :raises OSError: the connection is refused or takes too long.
        """
        self.address = address
        self._deadline = time.monotonic() + timeout
        self._socket: socket.socket = socket.create_connection((address, port), timeout)

    def __enter__(self) -> Dialogue:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._socket.close()

    def _arm(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)

    def start_tls(self) -> None:
        """Start TLS without verifying who answers.

        :raises ssl.SSLError: the other side doesn't speak TLS, or refuses.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # The question is whether it speaks TLS, not how well.
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        self._arm()
        self._socket = context.wrap_socket(self._socket)

    def send(self, data: bytes) -> None:
        """Send all of the data."""
        self._arm()
        self._socket.sendall(data)

    def receive(self, size: int) -> bytes:
        """Return exactly that many bytes, or fewer where the other side closes before."""
        data = b""
        while len(data) < size:
            self._arm()
            chunk = self._socket.recv(size - len(data))
            if not chunk:
                break
            data += chunk
        return data


def run_probe(probe: str, address: str, port: int, timeout: float) -> None:
    """Ask a port whether it speaks its protocol.

    :param probe: a key of V(PROBES).
    :param timeout: seconds, for the whole probe.
    :raises ProbeError: it doesn't, and why.
    """
    try:
        PROBES[probe](address, port, timeout)
    except TimeoutError:
        raise ProbeError(f"no answer within {timeout:g} s") from None
    except OSError as error:
        raise ProbeError(error.strerror or str(error)) from error


def probe_tcp(address: str, port: int, timeout: float) -> None:
    """A connection is accepted."""
    with Dialogue(address, port, timeout):
        pass


def probe_http(address: str, port: int, timeout: float) -> None:
    """Any HTTP status line, in the clear or over TLS."""
    deadline = time.monotonic() + timeout
    answer = answer_tls = b""
    with Dialogue(address, port, timeout) as connection, suppress(ConnectionError):
        answer = _ask_http(connection)
    if STATUS_LINE.match(answer):
        return
    left = max(deadline - time.monotonic(), 0.1)
    with Dialogue(address, port, left) as connection, suppress(ConnectionError, ssl.SSLError):
        connection.start_tls()
        answer_tls = _ask_http(connection)
    if not STATUS_LINE.match(answer_tls):
        raise ProbeError(f"no HTTP status line, but {_quote(answer)}")


def _ask_http(connection: Dialogue) -> bytes:
    host = f"[{connection.address}]" if ":" in connection.address else connection.address
    connection.send(
        f"HEAD / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: port_verify\r\n"
        "Connection: close\r\n\r\n".encode()
    )
    return connection.receive(len(b"HTTP/1.1 200"))


def probe_tls(address: str, port: int, timeout: float) -> None:
    """A TLS handshake, whoever answers."""
    with Dialogue(address, port, timeout) as connection:
        try:
            connection.start_tls()
        except ssl.SSLError as error:
            if not any(alert in (error.reason or "") for alert in TLS_ALERTS):
                raise ProbeError(f"no TLS handshake: {error.reason or error}") from error


def probe_postgres(address: str, port: int, timeout: float) -> None:
    """An answer to a start message: a request for authentication, or a refusal.

    A server that is starting, stopping or recovering refuses with SQLSTATE 57P03, and fails.
    """
    with Dialogue(address, port, timeout) as connection:
        connection.send(SSL_REQUEST)
        answer = connection.receive(1)
        if answer == b"S":
            connection.start_tls()
        elif answer != b"N":
            raise ProbeError(f"no answer of PostgreSQL, but {_quote(answer)}")
        body = struct.pack("!i", PROTOCOL_3_0) + b"user\0port_verify\0database\0postgres\0\0"
        connection.send(struct.pack("!i", len(body) + 4) + body)
        header = connection.receive(HEADER_SIZE)
        if len(header) < HEADER_SIZE or header[:1] not in (b"R", b"E"):
            raise ProbeError(f"no answer of PostgreSQL, but {_quote(header)}")
        if header[:1] == b"E":
            size = min(struct.unpack("!i", header[1:])[0] - 4, 4096)
            fields = {
                field[:1]: field[1:].decode(errors="replace")
                for field in connection.receive(size).split(b"\0")
                if field
            }
            if fields.get(b"C") == CANNOT_CONNECT_NOW:
                message = printable(fields.get(b"M", "no reason given"))
                raise ProbeError(f"PostgreSQL takes no connections: {message}")


def probe_redis(address: str, port: int, timeout: float) -> None:
    """PONG, or a demand for a password. A server that still loads its data fails."""
    with Dialogue(address, port, timeout) as connection:
        connection.send(b"PING\r\n")
        answer = connection.receive(len(b"+PONG"))
        if answer not in (b"+PONG", b"-NOAU"):
            raise ProbeError(f"no +PONG or -NOAUTH, but {_quote(answer)}")


def _quote(data: bytes) -> str:
    return ascii(data.decode("latin-1")) if data else "a closed connection"


PROBES: dict[str, t.Callable[[str, int, float], None]] = {
    "tcp": probe_tcp,
    "http": probe_http,
    "tls": probe_tls,
    "postgres": probe_postgres,
    "redis": probe_redis,
}
