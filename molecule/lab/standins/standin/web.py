# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP side of the stand-ins: a function from a request to a response, served on a socket."""

from __future__ import annotations

import base64
import binascii
import http.server
import json
import socket
import ssl
import threading
import traceback
import typing as t
import urllib.parse
from dataclasses import dataclass, field

from standin import daemon

TIMEOUT: t.Final = 30  # seconds that a client may keep a connection idle


@dataclass(frozen=True)
class Request:
    """What a client asks."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: t.Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> t.Any:
        """The body.

        :raises ValueError: it isn't JSON.
        """
        return json.loads(self.body)

    def basic(self) -> tuple[str, str] | None:
        """User and password, if the client sent some."""
        kind, _, word = self.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "basic":
            return None
        try:
            user, _, password = base64.b64decode(word, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return user, password

    def bearer(self) -> str:
        """The token that the client sent, or nothing."""
        kind, _, word = self.headers.get("Authorization", "").partition(" ")
        return word if kind.lower() == "bearer" else ""


@dataclass(frozen=True)
class Response:
    """The answer: ``content`` is sent as JSON unless it is text or bytes."""

    content: t.Any = ""
    status: int = 200
    kind: str = ""
    headers: t.Mapping[str, str] = field(default_factory=dict)


Application = t.Callable[[Request], Response]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "stand-in"
    sys_version = ""
    timeout = TIMEOUT
    server: Server

    def setup(self) -> None:
        if isinstance(self.request, ssl.SSLSocket):
            # Here and not in accept(), where a silent client would keep all others waiting.
            self.request.settimeout(TIMEOUT)
            self.request.do_handshake()
        super().setup()

    def _answer(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            self.command,
            urllib.parse.unquote(url.path),
            dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True)),
            self.headers,  # type: ignore[arg-type]  # Message finds names in any case
            self.rfile.read(length),
        )
        try:
            response = self.server.application(request)
        except Exception:
            daemon.say(f"{self.command} {url.path}: {traceback.format_exc()}")
            response = Response("Internal Server Error", 500)
        content, kind = response.content, response.kind
        if isinstance(content, str):
            content, kind = content.encode(), kind or "text/plain; charset=utf-8"
        elif not isinstance(content, bytes):
            content, kind = json.dumps(content).encode(), kind or "application/json"
        self.send_response(response.status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = _answer  # noqa: N815  # http.server's names

    def log_message(self, *_: object) -> None:
        """The journal is for what matters."""


class Server(http.server.ThreadingHTTPServer):
    """An application on one address, with TLS if there is a context for it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        application: Application,
        host: str,
        number: int,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.application = application
        found = socket.getaddrinfo(
            host or None, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        self.address_family = found[0]
        super().__init__(found[4][:2], _Handler)  # type: ignore[arg-type]
        if context:
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6 and self.server_address[0] == "::":
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # Not the class's own, which asks the resolver for this host's name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A client that goes away, or speaks no TLS, is nothing to report."""

    def start(self) -> Server:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self
