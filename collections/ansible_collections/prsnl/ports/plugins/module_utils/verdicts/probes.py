# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Probes: does a port speak its protocol? Each asks the least that a server of it must answer.

A refusal that only a server of the protocol gives is an answer, too, unless it says that the server
isn't ready yet.
"""

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
# An HTTP/2 server that doesn't take the older versions starts with its settings: RFC 9113, 3.4.
HTTP_2 = re.compile(rb"\x00\x00[\x00-\xff]\x04\x00\x00\x00\x00\x00", re.DOTALL)
ALERT_PAUSE = 0.1
HTTP_SIZE = len(b"HTTP/1.1 200")
# What OpenSSL calls the alerts that it receives: openssl/sslerr.h.
TLS_ALERT = re.compile(r"(SSLV3|TLSV1|TLSV13)_(ALERT_|UNRECOGNIZED_NAME|UNSUPPORTED_EXTENSION)")
# https://redis.io/docs/latest/develop/reference/protocol-spec/: errors are a word and a text.
REDIS = re.compile(rb"\+PONG\r\n|-(?!LOADING )[A-Z]+ ")
REDIS_SIZE = len(b"-MASTERDOWN ")


class ProbeError(Exception):
    """The port doesn't speak its protocol, or not yet."""


class Dialogue:
    """A TCP connection with one deadline for everything that is done on it."""

    def __init__(self, address: str, port: int, timeout: float, name: str = "") -> None:
        """Connect.

        :param timeout: seconds for the whole probe.
        :param name: the server to ask for, where several have the port.
        :raises OSError: the connection is refused or takes too long.
        """
        self.address = address
        self.name = name
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
        self._socket = context.wrap_socket(self._socket, server_hostname=self.name or None)

    @property
    def certificate(self) -> bytes:
        """The other side's certificate in DER, once TLS has started."""
        shown = self._socket.getpeercert(binary_form=True)  # type: ignore[attr-defined]
        return t.cast(bytes, shown or b"")

    def await_alert(self) -> None:
        """Give a server a moment to refuse after the handshake, as it may since TLS 1.3.

        :raises ssl.SSLError: it does. What it is sent meanwhile could keep the alert from us.
        """
        self._socket.settimeout(ALERT_PAUSE)
        with suppress(TimeoutError):
            self._socket.recv(1)

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


def run_probe(
    probe: str, address: str, port: int, timeout: float, name: str = "", *, tls: bool = False
) -> None:
    """Ask a port whether it speaks its protocol.

    :param probe: a key of V(PROBES).
    :param timeout: seconds, for the whole probe.
    :param name: of the server to ask for, in TLS and as HTTP's Host.
    :param tls: whether it has to speak it by TLS.
    :raises ProbeError: it doesn't, and why.
    """
    try:
        PROBES[probe](address, port, timeout, name, tls)
    except TimeoutError:
        raise ProbeError(f"no answer within {timeout:g} s") from None
    except OSError as error:
        raise ProbeError(error.strerror or str(error)) from error


def _start_tls(connection: Dialogue) -> None:
    """Start the TLS that the port has to speak.

    :raises ProbeError: it doesn't.
    """
    try:
        connection.start_tls()
    except (ssl.SSLError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error.strerror or error
        raise ProbeError(f"no TLS handshake: {reason}; it has to speak TLS") from error


def probe_tcp(address: str, port: int, timeout: float, name: str, tls: bool) -> None:
    """A connection is accepted."""
    with Dialogue(address, port, timeout, name) as connection:
        if tls:
            _start_tls(connection)


def read_certificate(probe: str, address: str, port: int, timeout: float, name: str = "") -> bytes:
    """Return the certificate that a server shows, in DER.

    :param probe: a key of V(PROBES), for the way to its TLS.
    :param timeout: seconds, for all of it.
    :raises OSError: it can't be reached, or doesn't speak TLS.
    """
    with Dialogue(address, port, timeout, name) as connection:
        if probe == "postgres":
            connection.send(SSL_REQUEST)
            if connection.receive(1) != b"S":
                raise OSError("it refuses TLS")
        connection.start_tls()
        return connection.certificate


def probe_http(address: str, port: int, timeout: float, name: str, tls: bool) -> None:
    """Any HTTP status line, in the clear unless it has to be TLS, or the refusal of its TLS.

    A server that wants a certificate or another name doesn't come to speak HTTP.
    """
    deadline = time.monotonic() + timeout
    answer = answer_tls = b""
    if not tls:
        with Dialogue(address, port, timeout, name) as connection, suppress(ConnectionError):
            answer = _ask_http(connection)
        if _is_http(answer):
            return
    left = max(deadline - time.monotonic(), 0.1)
    try:
        with Dialogue(address, port, left, name) as connection, suppress(ConnectionError):
            connection.start_tls()
            connection.await_alert()
            answer_tls = _ask_http(connection)
    except ssl.SSLError as error:
        if _is_alert(error):
            return
        if tls:
            reason = error.reason or error
            raise ProbeError(f"no TLS handshake: {reason}; it has to speak TLS") from error
    if not _is_http(answer_tls):
        raise ProbeError(f"no HTTP status line, but {_quote(answer_tls if tls else answer)}")


def _ask_http(connection: Dialogue) -> bytes:
    host = f"[{connection.address}]" if ":" in connection.address else connection.address
    connection.send(
        f"HEAD / HTTP/1.1\r\nHost: {connection.name or host}\r\nUser-Agent: port_verify\r\n"
        "Connection: close\r\n\r\n".encode()
    )
    return connection.receive(HTTP_SIZE)


def _is_http(answer: bytes) -> bool:
    return bool(STATUS_LINE.match(answer) or HTTP_2.match(answer))


def _is_alert(error: ssl.SSLError) -> bool:
    """Tell whether the other side has sent an alert, in TLS."""
    return bool(TLS_ALERT.match(error.reason or ""))


def probe_tls(address: str, port: int, timeout: float, name: str, tls: bool) -> None:
    """A TLS handshake or an alert, whoever answers."""
    with Dialogue(address, port, timeout, name) as connection:
        try:
            connection.start_tls()
        except ssl.SSLError as error:
            if not _is_alert(error):
                raise ProbeError(f"no TLS handshake: {error.reason or error}") from error


def probe_postgres(address: str, port: int, timeout: float, name: str, tls: bool) -> None:
    """An answer to a start message: a request for authentication, or a refusal.

    Some refuse before they have said whether they speak TLS. A server that is starting, stopping or
    recovering refuses with SQLSTATE 57P03, and fails.
    """
    with Dialogue(address, port, timeout, name) as connection:
        connection.send(SSL_REQUEST)
        answer = connection.receive(1)
        if answer == b"S":
            connection.start_tls()
        elif tls and answer == b"N":
            raise ProbeError("it refuses TLS, and has to speak it")
        if answer in (b"S", b"N"):
            body = struct.pack("!i", PROTOCOL_3_0) + b"user\0port_verify\0database\0postgres\0\0"
            connection.send(struct.pack("!i", len(body) + 4) + body)
            answer = connection.receive(1)
        header = answer + connection.receive(HEADER_SIZE - 1)
        if len(header) < HEADER_SIZE or answer not in (b"R", b"E"):
            raise ProbeError(f"no answer of PostgreSQL, but {_quote(header)}")
        if answer == b"E":
            _read_refusal(connection, struct.unpack("!i", header[1:])[0] - 4, header)


def _read_refusal(connection: Dialogue, size: int, header: bytes) -> None:
    """Read an ErrorResponse.

    :raises ProbeError: it is none, or says that there is no server yet.
    """
    fields = {
        field[:1]: field[1:].decode(errors="replace")
        for field in connection.receive(max(0, min(size, 4096))).split(b"\0")
        if field
    }
    if b"C" not in fields:
        raise ProbeError(f"no answer of PostgreSQL, but {_quote(header)}")
    if fields[b"C"] == CANNOT_CONNECT_NOW:
        message = printable(fields.get(b"M", "no reason given"))
        raise ProbeError(f"PostgreSQL takes no connections: {message}")


def probe_redis(address: str, port: int, timeout: float, name: str, tls: bool) -> None:
    """PONG, or an error of that protocol. A server that still loads its data fails."""
    with Dialogue(address, port, timeout, name) as connection:
        if tls:
            _start_tls(connection)
        connection.send(b"PING\r\n")
        answer = connection.receive(len(b"+PONG\r\n"))
        if answer.startswith(b"-"):
            answer += connection.receive(REDIS_SIZE - len(answer))
        if not REDIS.match(answer):
            raise ProbeError(f"no +PONG or -NOAUTH, but {_quote(answer)}")


def _quote(data: bytes) -> str:
    return ascii(data.decode("latin-1")) if data else "a closed connection"


PROBES: dict[str, t.Callable[[str, int, float, str, bool], None]] = {
    "tcp": probe_tcp,
    "http": probe_http,
    "tls": probe_tls,
    "postgres": probe_postgres,
    "redis": probe_redis,
}
