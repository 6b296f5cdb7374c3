# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes against real servers on loopback, and against servers that answer something else."""

from __future__ import annotations

import datetime
import http.server
import socket
import ssl
import struct
import threading
import time
import typing as t
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts import probes
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Handler = t.Callable[[socket.socket], None]


@contextmanager
def serving(handler: Handler, address: str = "127.0.0.1") -> t.Iterator[int]:
    """A server whose handler gets every connection; yields its port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _peer = server.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    handler(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def answering(*answers: bytes) -> Handler:
    """A server that reads something before each of its answers."""

    def handle(connection: socket.socket) -> None:
        for answer in answers:
            connection.recv(4096)
            connection.sendall(answer)

    return handle


def tls(context: ssl.SSLContext, then: Handler) -> Handler:
    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            then(secure)

    return handle


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's TLS with a certificate that nobody should trust: self-signed and expired."""
    folder: Path = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "elsewhere.example")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2020, 1, 2))
        .sign(key, hashes.SHA256())
    )
    (folder / "all.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    result = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    result.load_cert_chain(folder / "all.pem")
    return result


def fault(
    probe: str,
    port: int,
    address: str = "127.0.0.1",
    timeout: float = 5,
    *,
    needs_tls: bool = False,
) -> str:
    """Why a probe failed; empty if it passed."""
    try:
        probes.run_probe(probe, address, port, timeout, tls=needs_tls)
    except probes.ProbeError as error:
        return str(error)
    return ""


def postgres_error(sqlstate: bytes, message: bytes) -> bytes:
    fields = b"SFATAL\0VFATAL\0C" + sqlstate + b"\0M" + message + b"\0\0"
    return b"E" + struct.pack("!i", len(fields) + 4) + fields


SASL = b"R" + struct.pack("!ii", 23, 10) + b"SCRAM-SHA-256\0\0"
HTTP = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"


@pytest.mark.parametrize(
    ("probe", "answers"),
    [
        ("tcp", []),
        ("http", [HTTP]),
        ("http", [b"HTTP/1.0 200 OK\r\n\r\n"]),
        ("postgres", [b"N", SASL]),
        ("postgres", [b"N", postgres_error(b"28000", b"no pg_hba.conf entry")]),
        ("postgres", [b"N", postgres_error(b"53300", b"too many clients")]),
        ("redis", [b"+PONG\r\n"]),
        ("redis", [b"-NOAUTH Authentication required.\r\n"]),
        # Refusals of the very protocol.
        ("http", [b"HTTP/1.1 400 Bad Request\r\n\r\n"]),
        ("http", [b"HTTP/1.1 421 Misdirected Request\r\n\r\n"]),
        ("http", [b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80"]),
        ("postgres", [postgres_error(b"53300", b"too many clients")]),
        ("postgres", [postgres_error(b"08P01", b"unsupported frontend protocol")]),
        ("postgres", [b"N", postgres_error(b"28000", b"role does not exist")]),
        ("redis", [b"-ERR max number of clients reached\r\n"]),
        ("redis", [b"-DENIED Redis is running in protected mode\r\n"]),
        ("redis", [b"-NOPERM this user has no permissions\r\n"]),
        ("redis", [b"-MASTERDOWN Link with MASTER is down\r\n"]),
    ],
)
def test_right_answers(probe: str, answers: list[bytes]) -> None:
    with serving(answering(*answers)) as port:
        assert fault(probe, port) == ""


@pytest.mark.parametrize(
    ("probe", "answers", "expected"),
    [
        ("http", [b"+OK hello\r\n"], "no HTTP status line, but '+OK hello\\r\\n'"),
        ("http", [b"HTTP/1.1 banana"], "no HTTP status line, but 'HTTP/1.1 ban'"),
        ("http", [b""], "no HTTP status line, but a closed connection"),
        ("tls", [HTTP], "no TLS handshake: WRONG_VERSION_NUMBER"),
        ("postgres", [b"H"], "no answer of PostgreSQL, but 'H'"),
        ("postgres", [b"N", b"HTTP/1.1 400"], "no answer of PostgreSQL, but 'HTTP/'"),
        ("postgres", [b"N", b"R"], "no answer of PostgreSQL, but 'R'"),
        ("postgres", [b"N", b"E"], "no answer of PostgreSQL, but 'E'"),
        ("postgres", [b""], "no answer of PostgreSQL, but a closed connection"),
        (
            "postgres",
            [b"N", postgres_error(b"57P03", b"the database system is starting up")],
            "PostgreSQL takes no connections: the database system is starting up",
        ),
        ("postgres", [b"E\0\0\0\x08oops"], "no answer of PostgreSQL, but 'E\\x00\\x00\\x00\\x08'"),
        (
            "postgres",
            [postgres_error(b"57P03", b"starting")],
            "PostgreSQL takes no connections: starting",
        ),
        (
            "redis",
            [b"-LOADING Dragonfly is loading\r\n"],
            "no +PONG or -NOAUTH, but '-LOADING Dra'",
        ),
        ("redis", [b"-oops\r\n"], "no +PONG or -NOAUTH, but '-oops\\r\\n'"),
        ("redis", [b"ERROR\r\n"], "no +PONG or -NOAUTH, but 'ERROR\\r\\n'"),
        ("redis", [HTTP], "no +PONG or -NOAUTH, but 'HTTP/1.'"),
    ],
)
def test_wrong_answers_are_quoted(probe: str, answers: list[bytes], expected: str) -> None:
    with serving(answering(*answers)) as port:
        assert fault(probe, port) == expected


def test_http_of_a_real_server() -> None:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_arguments: t.Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert fault("http", server.server_address[1]) == ""
        server.shutdown()


@pytest.mark.parametrize(
    ("probe", "answers"), [("tls", []), ("http", [HTTP])], ids=["handshake", "http over tls"]
)
def test_tls_is_not_verified(context: ssl.SSLContext, probe: str, answers: list[bytes]) -> None:
    with serving(tls(context, answering(*answers))) as port:
        assert fault(probe, port) == ""


def test_postgres_over_tls(context: ssl.SSLContext) -> None:
    with serving(postgres_with_tls(context)) as port:
        assert fault("postgres", port) == ""


def postgres_with_tls(context: ssl.SSLContext) -> Handler:
    def handle(connection: socket.socket) -> None:
        connection.recv(8)
        connection.sendall(b"S")
        tls(context, answering(SASL))(connection)

    return handle


@pytest.mark.parametrize(
    ("probe", "answers"),
    [
        ("redis", [b"-NOAUTH Authentication required.\r\n"]),
        ("http", [b"HTTP/1.1 200 OK\r\n\r\n"]),
        ("tcp", [b""]),
    ],
)
def test_who_has_to_speak_tls_is_not_taken_without(
    context: ssl.SSLContext, probe: str, answers: list[bytes]
) -> None:
    with serving(tls(context, answering(*answers))) as port:
        assert fault(probe, port, needs_tls=True) == ""
    with serving(answering(*answers)) as port:
        assert fault(probe, port) == ""
        assert fault(probe, port, needs_tls=True).startswith("no TLS handshake: ")


def test_postgres_that_has_to_speak_tls_is_not_taken_without(context: ssl.SSLContext) -> None:
    with serving(postgres_with_tls(context)) as port:
        assert fault("postgres", port, needs_tls=True) == ""
    with serving(answering(b"N", SASL)) as port:
        assert fault("postgres", port) == ""
        assert fault("postgres", port, needs_tls=True) == "it refuses TLS, and has to speak it"


def test_the_certificate_is_read_the_way_that_the_protocol_has(context: ssl.SSLContext) -> None:
    with serving(tls(context, answering(b""))) as port:
        shown = probes.read_certificate("redis", "127.0.0.1", port, 5)
    with serving(postgres_with_tls(context)) as port:
        assert probes.read_certificate("postgres", "127.0.0.1", port, 5) == shown
    assert ssl.DER_cert_to_PEM_cert(shown).startswith("-----BEGIN CERTIFICATE")


VERSIONS = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"]
)


@VERSIONS
@pytest.mark.parametrize("probe", ["tls", "http"])
@pytest.mark.parametrize(
    "alert",
    [
        ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME,
        ssl.ALERT_DESCRIPTION_INTERNAL_ERROR,
        ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE,
        ssl.ALERT_DESCRIPTION_ACCESS_DENIED,
    ],
)
def test_a_server_that_refuses_speaks_tls(
    version: ssl.TLSVersion, alert: ssl.AlertDescription, probe: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.sni_callback = lambda *_arguments: alert
    with serving(tls(context, answering())) as port:
        assert fault(probe, port) == ""


@VERSIONS
@pytest.mark.parametrize("probe", ["tls", "http"])
def test_a_server_that_wants_a_certificate_speaks_tls(
    context: ssl.SSLContext, version: ssl.TLSVersion, probe: str
) -> None:
    context.minimum_version, context.maximum_version = version, version
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        with serving(tls(context, answering(HTTP))) as port:
            assert fault(probe, port) == ""
    finally:
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.TLSv1_3


def test_the_name_of_the_server_is_asked_for(context: ssl.SSLContext) -> None:
    """In TLS and as Host: others that have the same port are refused."""
    asked: list[str | None] = []
    heard: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        heard.append(connection.recv(4096))
        connection.sendall(HTTP)

    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    try:
        with serving(tls(context, handle)) as port:
            probes.run_probe("http", "127.0.0.1", port, 5, "forum.example.org")
    finally:
        context.sni_callback = None
    assert asked == ["forum.example.org"]
    assert b"Host: forum.example.org\r\n" in heard[0]


def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert fault("tcp", port) == "Connection refused"


def read_forever(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


@pytest.mark.parametrize("probe", ["http", "tls", "postgres", "redis"])
def test_a_silent_server_is_not_waited_for_longer_than_allowed(probe: str) -> None:
    with serving(read_forever) as port:
        start = time.monotonic()
        assert fault(probe, port, timeout=0.4) == "no answer within 0.4 s"
        assert time.monotonic() - start < 1.2


def test_a_server_that_drips_is_not_waited_for_longer_than_allowed() -> None:
    def drip(connection: socket.socket) -> None:
        for _time in range(20):
            connection.sendall(b"x")
            time.sleep(0.1)

    with serving(drip) as port:
        start = time.monotonic()
        assert fault("http", port, timeout=0.5)
        assert time.monotonic() - start < 1.2


def test_ipv6() -> None:
    with serving(answering(HTTP), "::1") as port:
        assert fault("http", port, address="::1") == ""
