# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readings: real programs, real files and a real server are asked, and quoted without secrets."""

from __future__ import annotations

import http.server
import pathlib
import sys
import threading
import time
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.evidence.readings import (
    HIDDEN,
    MAX_ANSWER,
    MAX_LENGTH,
    MAX_LINES,
    Reading,
    Request,
    get,
    read_all,
    read_file,
    redact,
    run,
)

PYTHON = sys.executable


def test_a_command_is_quoted_with_its_code_and_its_errors() -> None:
    script = "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(3)"
    reading = run([PYTHON, "-c", script], 30)
    assert (reading.code, reading.fault, reading.ok) == (3, "", False)
    assert reading.output.split() == ["out", "err"]
    assert reading.source.startswith(f"{PYTHON} -c 'import sys;")


def test_a_command_has_no_shell_no_input_and_none_of_our_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PASSWORD_OF_US", "hunter2")
    script = (
        "import os, sys; print(sys.argv[1], sys.stdin.read(), os.environ.get('PASSWORD_OF_US'))"
    )
    assert run([PYTHON, "-c", script, "$HOME;id"], 30).output == "$HOME;id  None\n"


def test_a_missing_program_is_said() -> None:
    reading = run(["/nonexistent/program"], 5)
    assert (reading.fault, reading.code, reading.ok) == ("No such file or directory", None, False)


@pytest.mark.parametrize(
    "script",
    [
        "import time; print('begun', flush=True); time.sleep(60)",
        # Its child keeps the pipe open, and its own end says nothing.
        "import subprocess; print('begun', flush=True); subprocess.Popen(['sleep', '60'])",
    ],
)
def test_what_doesnt_end_is_ended_with_its_children(script: str) -> None:
    begun = time.monotonic()
    reading = run([PYTHON, "-c", script], 1.5)
    assert time.monotonic() - begun < 20
    assert (reading.output, reading.fault) == ("begun\n", "no end within 1.5 s")
    assert not reading.ok


def test_what_prints_without_end_is_ended() -> None:
    reading = run(["yes"], 30)
    assert reading.fault == "it printed too much"
    assert len(reading.output) < 2 * MAX_ANSWER


def test_a_long_answer_is_cut_and_says_so() -> None:
    lines = "".join(f"{number}\n" for number in range(MAX_LINES * 2))
    quoted = Reading("file", "x", lines).as_dict()
    assert quoted["output"].splitlines() == [str(number) for number in range(MAX_LINES)]
    assert quoted["cut"] == len(lines) - 1 - len(quoted["output"])
    quoted = Reading("file", "x", "y" * (MAX_LENGTH + 7)).as_dict()
    assert (len(quoted["output"]), quoted["cut"]) == (MAX_LENGTH, 7)


def test_bytes_that_are_no_text_are_shown() -> None:
    script = r"import sys; sys.stdout.buffer.write(b'a\xff\x1b[31m')"
    assert run([PYTHON, "-c", script], 30).output == "a\\xff\x1b[31m"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (
            "postgresql://prsnl:geheim@10.0.0.1:5433/prsnl",
            "postgresql://prsnl:{}@10.0.0.1:5433/prsnl",
        ),
        ("redis://:geheim@h:1/0", "redis://:{}@h:1/0"),
        ("--requirepass=geheim", "--requirepass={}"),
        ("PGPASSWORD=geheim psql", "PGPASSWORD={} psql"),
        ('{"password": "geheim", "port": 1}', '{"password": {}, "port": 1}'),
        ("db_password: geheim", "db_password: {}"),
        ("api_key = 'geheim'", "api_key = {}"),
        ("elasticsearch.serviceAccountToken: geheim", "elasticsearch.serviceAccountToken: {}"),
        ("Authorization: Bearer geheim", "Authorization: Bearer {}"),
        ("authorization: Basic geheim", "authorization: Basic {}"),
        ("admin_passwd=geheim", "admin_passwd={}"),
        (
            "a\n-----BEGIN RSA PRIVATE KEY-----\ngeheim\n-----END RSA PRIVATE KEY-----\nb",
            "a\n{}\nb",
        ),
        ("-----BEGIN PRIVATE KEY-----\ngeheim", "{}"),
    ],
)
def test_secrets_are_left_out(text: str, kept: str) -> None:
    assert redact(text) == kept.replace("{}", HIDDEN)
    quoted = Reading("command", text, text, fault=text).as_dict()
    assert "geheim" not in str(quoted)


@pytest.mark.parametrize(
    "text",
    ["y" * 40_000, "a." * 20_000, "a:" * 20_000, "x://" * 10_000, "token" * 8000, "=" * 40_000],
)
def test_no_text_takes_long(text: str) -> None:
    begun = time.process_time()
    redact(text)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "text",
    [
        "password_encryption is on",
        "tcp 0.0.0.0:22 sshd pid=19 user=root unit=ssh.service",
        "http://127.0.0.1:8000/api/health",
        "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/slow":
            time.sleep(5)
        body = "".join(f"line {number}\n" for number in range(3 if self.path == "/" else 1000))
        self.send_response({"/no": 503, "/away": 302}.get(self.path, 200))
        self.send_header("Location", "/")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> t.Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_endpoint_is_asked(port: int) -> None:
    reading = get(Request("127.0.0.1", port, "/"), 30)
    assert (reading.code, reading.ok, reading.output) == (200, True, "line 0\nline 1\nline 2\n")
    assert reading.source == f"GET http://127.0.0.1:{port}/"
    assert Request("::1", 8, "/x", tls=True).source == "GET https://[::1]:8/x"


def test_only_what_matters_of_a_long_answer_is_kept(port: int) -> None:
    reading = get(Request("127.0.0.1", port, "/long"), 30, keep=r"^line 77\d")
    assert reading.output.splitlines() == [f"line 77{number}" for number in range(10)]
    assert reading.cut > 5000


def test_errors_of_http(port: int) -> None:
    assert not get(Request("127.0.0.1", port, "/no"), 30).ok
    assert get(Request("127.0.0.1", port, "/no"), 30).has_code([503])
    # A redirect is an answer, and isn't followed.
    assert get(Request("127.0.0.1", port, "/away"), 30).code == 302
    assert get(Request("127.0.0.1", port, "/slow"), 0.3).fault
    assert "refused" in get(Request("127.0.0.1", 1, "/"), 5).fault
    assert get(Request("127.0.0.1", port, "/", tls=True), 5).fault


def test_files(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "meminfo"
    file.write_text("MemTotal: 1\nOther: 2\nMemFree: 3\n")
    assert read_file(str(file), "^Mem").output == "MemTotal: 1\nMemFree: 3"
    assert read_file(str(tmp_path / "none")).fault == "No such file or directory"


def test_questions_are_asked_at_once() -> None:
    begun = time.monotonic()
    found = read_all(dict.fromkeys(map(str, range(6)), lambda: run(["sleep", "1"], 30)))
    assert list(found) == [str(n) for n in range(6)]
    assert all(reading.ok for reading in found.values())
    assert time.monotonic() - begun < 5
