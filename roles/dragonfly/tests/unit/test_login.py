# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that wants the password, another one, or none."""

from __future__ import annotations

import importlib.util
import pathlib
import socket
import threading
import typing as t

import pytest

PATH = pathlib.Path(__file__).parents[2] / "library" / "dragonfly_login.py"
SPEC = importlib.util.spec_from_file_location("dragonfly_login", PATH)
assert SPEC is not None
assert SPEC.loader is not None
dragonfly_login: t.Any = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(dragonfly_login)


def ask(password: str, given: str) -> None:
    """Ask a server that has this password, which may be empty."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        is_known = not password
        with theirs, theirs.makefile("rb") as lines:
            while header := lines.readline():
                words = []
                for _number in range(int(header[1:])):
                    size = int(lines.readline()[1:])
                    words.append(lines.read(size + 2)[:-2].decode())
                if words[0] == "AUTH":
                    is_known = words[1] == password
                    answer = "+OK" if is_known else "-WRONGPASS invalid username-password pair"
                else:
                    answer = "+PONG" if is_known else "-NOAUTH Authentication required."
                theirs.sendall(f"{answer}\r\n".encode())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with ours:
            dragonfly_login.try_password(ours, given)
    finally:
        thread.join(5)


@pytest.mark.parametrize("password", ["secret", "two words", "é\r\n$5", "x" * 5000])
def test_the_right_password(password: str) -> None:
    ask(password, password)


def test_another_password_is_in_effect() -> None:
    with pytest.raises(dragonfly_login.LoginError, match=r"does not accept the password \(-WRONGP"):
        ask("changed since", "secret")


def test_no_password_is_in_effect() -> None:
    with pytest.raises(dragonfly_login.LoginError, match="wants no password"):
        ask("", "secret")


def test_a_server_that_hangs_up() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours, pytest.raises((dragonfly_login.LoginError, OSError)):
        dragonfly_login.try_password(ours, "secret")
