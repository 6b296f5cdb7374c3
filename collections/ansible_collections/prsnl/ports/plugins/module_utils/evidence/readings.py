# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Readings: what was asked of a host, and what it answered, word for word.

Whatever is said of a host later names the reading that it was taken from.
"""

from __future__ import annotations

import http.client
import os
import re
import selectors
import shlex
import signal
import ssl
import subprocess
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import endpoint_text

# What is kept of an answer: its beginning, which is where programs say what is wrong.
MAX_LINES = 400
MAX_LENGTH = 24_000
# A longer answer than this is kept in excerpts only, where somebody says what matters in it.
SHORT = 40
# What is read of an answer at most, in bytes.
MAX_ANSWER = 1 << 20
WORKERS = 8
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
HIDDEN = "[secret]"
# What gives a secret away, by its name or its form; the group before it stays. Repetitions have a
# limit, so that no text of a host makes this slow.
SECRETS = (
    re.compile(
        r"(?s)()-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"
        r".*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)"
    ),
    re.compile(
        r"(?i)((?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,30}://[^\s:/@]{0,100}:)[^\s@]{1,300}(?=@)"
    ),
    re.compile(r"(?i)(\bauthorization\s{0,9}[:=]\s{0,9}(?:(?:basic|bearer)\s{1,9})?)[^\s,;]+"),
    re.compile(
        r"(?i)((?:passw(?:or)?d|passphrase|requirepass|secret|token|api_?key|private_?key)"
        r"[\w.-]{0,40}[\"']?\s{0,9}[:=]\s{0,9})(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s,;]+)"
    ),
)


@dataclass(frozen=True)
class Reading:
    """What was asked, and the answer.

    ``kind`` is V(command), V(http), V(file), V(files), V(kernel) or V(tls), and ``source`` what was
    asked, as a person would repeat it. ``code`` is the exit code or the HTTP status, ``fault`` why
    there is no answer, ``cut`` the number of characters that were left out at the end.
    """

    kind: str
    source: str
    output: str = ""
    code: t.Optional[int] = None
    fault: str = ""
    cut: int = 0

    @property
    def ok(self) -> bool:
        """Whether it was answered, and not with an error."""
        return self.has_code(range(http.client.BAD_REQUEST) if self.kind == "http" else (0,))

    def has_code(self, good: t.Container[int]) -> bool:
        """Whether it was answered with one of these codes, or has none."""
        return not self.fault and (self.code is None or self.code in good)

    def as_dict(self) -> dict[str, t.Any]:
        """Plain data, ready for JSON: quoted, without secrets."""
        # More than is kept, so that a secret at the end of it is seen whole.
        quoted = redact(self.output[: 2 * MAX_LENGTH])
        left = max(0, len(self.output.rstrip("\n")) - 2 * MAX_LENGTH)
        kept = "\n".join(quoted.splitlines()[:MAX_LINES])[:MAX_LENGTH]
        return {
            "kind": self.kind,
            "source": redact(self.source),
            "output": kept,
            "code": self.code,
            "fault": redact(self.fault),
            "cut": self.cut + left + max(0, len(quoted.rstrip("\n")) - len(kept)),
        }


def redact(text: str) -> str:
    """Return the text without what looks like a secret."""
    for pattern in SECRETS:
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return text


def decode(data: bytes) -> str:
    """Return bytes of unknown origin as text; what isn't UTF-8 is shown as ``\\x..``."""
    return data.decode("utf-8", errors="backslashreplace")


def read_all(jobs: t.Mapping[str, t.Callable[[], Reading]]) -> dict[str, Reading]:
    """Return the readings of several questions, asked at once, by their ids."""
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        return dict(zip(jobs, pool.map(lambda job: job(), jobs.values())))  # noqa: B905


def run(argv: t.Sequence[str], timeout: float) -> Reading:
    """Run a program without a shell and without input; errors are part of its output.

    :param timeout: seconds, after which it and what it started are ended.
    """
    source = " ".join(map(shlex.quote, argv))
    path = f"{os.environ.get('PATH', '/usr/bin:/bin')}:{SBIN}"
    try:
        process = subprocess.Popen(
            argv,
            cwd="/",
            env={"PATH": path, "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return Reading("command", source, fault=error.strerror or str(error))
    data, is_complete = _drain(process, time.monotonic() + timeout)
    if is_complete:
        return Reading("command", source, decode(data), process.wait())
    _end(process)
    fault = f"no end within {timeout:g} s" if len(data) < MAX_ANSWER else "it printed too much"
    return Reading("command", source, decode(data), None, fault)


def _drain(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bool]:
    """Return what a process printed, and whether it ended in time and said little enough."""
    data = b""
    pipe = process.stdout
    if pipe is None:
        raise AssertionError("its output was asked for")
    with pipe, selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while len(data) < MAX_ANSWER:
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                return data, False
            chunk = os.read(pipe.fileno(), 1 << 16)
            if not chunk:
                return data, _has_ended(process, deadline)
            data += chunk
    return data, False


def _has_ended(process: subprocess.Popen[bytes], deadline: float) -> bool:
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    # Its own session, so nothing else is hit; the leader isn't reaped yet, so the id is still its.
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def tls_context() -> ssl.SSLContext:
    """Return what connects to a server of this host, whoever signed its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass(frozen=True)
class Request:
    """A GET of one of the host's own endpoints."""

    address: str
    port: int
    path: str
    tls: bool = False

    @property
    def source(self) -> str:
        """What is asked, as HTTP says it."""
        scheme = "https" if self.tls else "http"
        return f"GET {scheme}://{endpoint_text(self.address, self.port)}{self.path}"


def get(request: Request, timeout: float, keep: str = "") -> Reading:
    """Ask an endpoint of this host by HTTP; redirects aren't followed.

    :param timeout: seconds for each step of it.
    :param keep: a regular expression; only the lines that have it are kept of a long answer.
    """
    make = http.client.HTTPSConnection if request.tls else http.client.HTTPConnection
    options: dict[str, t.Any] = {"context": tls_context()} if request.tls else {}
    connection = make(request.address, request.port, timeout=timeout, **options)
    try:
        connection.request("GET", request.path, headers={"User-Agent": "handoff"})
        answer = connection.getresponse()
        body = decode(answer.read(MAX_ANSWER))
    except (OSError, http.client.HTTPException) as error:
        return Reading("http", request.source, fault=str(error) or type(error).__name__)
    finally:
        connection.close()
    cut = 0
    if keep and len(body.splitlines()) > SHORT:
        lines = [line for line in body.splitlines() if re.search(keep, line)]
        cut, body = len(body) - sum(map(len, lines)), "\n".join(lines)
    return Reading("http", request.source, body, answer.status, cut=cut)


def read_file(path: str, keep: str = "") -> Reading:
    """Quote a file of the system, or only its lines that have a regular expression."""
    try:
        with open(path, encoding="utf-8", errors="backslashreplace") as file:
            lines = file.read(MAX_ANSWER).splitlines()
    except OSError as error:
        return Reading("file", path, fault=error.strerror or str(error))
    return Reading("file", path, "\n".join(line for line in lines if re.search(keep, line)))
