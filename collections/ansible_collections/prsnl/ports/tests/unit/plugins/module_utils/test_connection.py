# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection that must not be cut."""

from __future__ import annotations

import os
import pathlib

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils import connection

FIELDS = " ".join(["0"] * 17 + ["100"] + ["0"] * 10)


@pytest.fixture
def proc(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """python < sudo < sh < sshd: ada < sshd (listener) < systemd."""
    monkeypatch.setattr(os, "getppid", lambda: 40)
    parents = {40: 30, 30: 20, 20: 10, 10: 1, 1: 0}
    for pid, parent in parents.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (x y) S {parent} {FIELDS}\n")
        (tmp_path / str(pid) / "environ").write_text("PATH=/bin\0")
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    return tmp_path


def test_the_processes_up_to_sshd_belong_to_it(proc: pathlib.Path) -> None:
    assert connection.read_connection(str(proc)) == connection.Connection(
        frozenset({os.getpid(), 40, 30, 20, 10}), None
    )


def test_the_port_is_found_behind_sudo(proc: pathlib.Path) -> None:
    text = "PATH=/bin\0SSH_CONNECTION=192.0.2.1 51000 192.0.2.9 2222\0HOME=/\0"
    (proc / "30" / "environ").write_text(text)
    assert connection.read_connection(str(proc)).port == 2222


def test_the_port_of_its_own_environment(
    proc: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "2001:db8::1 51000 2001:db8::9 22")
    assert connection.read_connection(str(proc)).port == 22


def test_a_process_that_may_not_be_looked_at_ends_the_chain(proc: pathlib.Path) -> None:
    (proc / "40" / "stat").unlink()
    assert connection.read_connection(str(proc)).pids == {os.getpid(), 40}


def test_this_process_is_part_of_it() -> None:
    found = connection.read_connection()
    assert {os.getpid(), os.getppid()} - {1} <= found.pids
    assert 1 not in found.pids
