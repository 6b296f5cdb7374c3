# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of a server's words."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest
from postgresql_cluster.host import Account, ClusterError
from postgresql_cluster.server import (
    Line,
    Postmaster,
    Server,
    ask_server,
    find_postmaster,
    parse_postmaster,
    parse_server,
)

ME = Account("me", os.geteuid(), os.getegid())
PID = "{pid}\n/data\n1795655791\n5433\n/var/run/postgresql\n*\n  1787591 4\nready   \n"
OURS, AUTO = "/etc/own/settings.conf", "/data/postgresql.auto.conf"


def server(*lines: tuple[str, int, str | None, str | None], **changes: t.Any) -> Server:
    values: dict[str, t.Any] = {
        "port": 5433,
        "checksums": True,
        "loaded": 0.0,
        "pending": frozenset(),
        "on_start": frozenset({"port"}),
        "command_line": frozenset(),
        "assigned": tuple(Line(*line) for line in lines),
        "rules": (),
        "databases": {},
        "monitors": (),
    }
    return Server(**{**values, **changes})


@pytest.mark.parametrize(
    ("lines", "hidden"),
    [
        ([("/etc/main", 1, "port", None), (OURS, 2, "port", None)], {}),
        ([(OURS, 2, "port", None), ("/etc/z", 7, "port", None)], {"port": "/etc/z:7"}),
        # Whoever comes last.
        ([(OURS, 2, "port", None), ("/etc/z", 7, "port", None), (OURS, 9, "port", None)], {}),
        ([(AUTO, 3, "port", None)], {"port": f"{AUTO}:3"}),
        ([(OURS, 2, "port", None), ("/etc/z", 7, "work_mem", None)], {}),
        # Without ours nobody knows yet which comes last.
        ([("/etc/z", 7, "port", None)], {}),
    ],
)
def test_what_prevails(lines: t.Any, hidden: dict[str, str]) -> None:
    assert server(*lines).hidden(OURS, {"port"}) == hidden


def test_the_command_line_prevails() -> None:
    found = server((OURS, 1, "port", None), command_line=frozenset({"port", "work_mem"}))
    assert found.hidden(OURS, {"port"}) == {"port": "the command line"}


def test_errors() -> None:
    found = server(
        (OURS, 1, "port", "setting could not be applied"),
        (OURS, 2, "wrok_mem", "unrecognized configuration parameter"),
        ("/etc/z", 3, None, "syntax error"),
        rules=(Line("/etc/hba", 4, None, "invalid"),),
    )
    assert found.errors() == [
        f"{OURS}:2: wrok_mem: unrecognized configuration parameter",
        "/etc/z:3: syntax error",
        "/etc/hba:4: invalid",
    ]
    assert found.errors(without=(OURS, "/etc/hba")) == ["/etc/z:3: syntax error"]


def test_the_file_of_a_server() -> None:
    found = parse_postmaster(PID.format(pid=12), 1.5)
    assert found == Postmaster(12, 5433, "/var/run/postgresql", "ready", 1.5)
    assert found.is_ready
    assert not found.is_starting


@pytest.mark.parametrize("text", ["", "12\n/data\n", PID.format(pid="x"), "12\n" * 7])
def test_a_file_that_is_not_whole_is_no_server(text: str) -> None:
    assert parse_postmaster(text, 0) is None


def test_only_a_process_that_lives_is_a_server(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "postmaster.pid"
    assert find_postmaster(str(tmp_path), ME) is None
    for pid, lives in ((os.getpid(), True), (2**22 + 1, False), (0, False), (-1, False)):
        file.write_text(PID.format(pid=pid))
        assert (find_postmaster(str(tmp_path), ME) is not None) == lives


def test_a_pipe_in_its_place_does_not_hold_us_up(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "postmaster.pid")
    with pytest.raises(ClusterError, match=r"postmaster.pid can't be read by me: .* regular file"):
        find_postmaster(str(tmp_path), ME)


@pytest.mark.parametrize("answer", ["", "[]", "{}", "warning: something"])
def test_another_answer_is_told(answer: str) -> None:
    postmaster = Postmaster(1, 5433, "", "ready", 0)
    found, error = ask_server(postmaster, "/bin", ME, lambda *_words: (0, answer, ""))
    assert found is None
    assert "psql printed something else" in error


def test_a_server_that_starts_is_not_asked() -> None:
    def run(command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        raise AssertionError

    postmaster = Postmaster(1, 5433, "", "starting", 0)
    assert ask_server(postmaster, "/bin", ME, run) == (None, "the database system is starting up")


def test_an_answer_is_read() -> None:
    text = json.dumps(
        {
            "port": 5433,
            "checksums": False,
            "loaded": 1795655791.25,
            "pending": ["port"],
            "on_start": [],
            "command_line": [],
            "assigned": [{"file": "/a", "line": 1, "name": "port", "error": None}],
            "rules": [{"file": "/b", "line": 2, "name": None, "error": "bad"}],
            "databases": {"shop": "owner"},
            "monitors": [],
        }
    )
    found = parse_server(text)
    assert (found.loaded, set(found.pending)) == (1795655791.25, {"port"})
    assert found.reads("/a")
    assert not found.reads("/b")
