# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection that must not be cut."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.sockets import darwin, login
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.login import (
    SSH_CONNECTION,
    Login,
    Session,
    read_login,
)

COLLECTIONS = pathlib.Path(__file__).parents[8]
CONNECTION = "192.0.2.7 50022 192.0.2.1 2222"
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
    assert login.read_login(str(proc)) == login.Login(
        frozenset({os.getpid(), 40, 30, 20, 10}), None
    )


@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs /proc")
def test_a_variable_that_sudo_took_away_is_found_in_a_process_above() -> None:
    script = (
        "from ansible_collections.prsnl.ports.plugins.module_utils.sockets import login;"
        "print(login.read_login().session)"
    )
    # Two shells that stay, the second one and the program without the variable.
    done = subprocess.run(
        [
            "sh",
            "-c",
            "# shellcheck disable=SC2016  # for the inner shell\n"
            'env -u SSH_CONNECTION sh -c \'"$0" -c "$1"; :\' "$0" "$1"; :',
            sys.executable,
            script,
        ],
        env=os.environ | {"SSH_CONNECTION": CONNECTION, "PYTHONPATH": str(COLLECTIONS)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(login.Session("192.0.2.7", 50022, 2222))


def test_the_port_of_its_own_environment(
    proc: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "2001:db8::1 51000 2001:db8::9 22")
    assert login.read_login(str(proc)).port == 22


def test_a_process_that_may_not_be_looked_at_ends_the_chain(proc: pathlib.Path) -> None:
    (proc / "40" / "stat").unlink()
    assert login.read_login(str(proc)).pids == {os.getpid(), 40}


def test_this_process_is_part_of_it() -> None:
    found = login.read_login()
    assert {os.getpid(), os.getppid()} - {1} <= found.pids
    assert 1 not in found.pids


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (CONNECTION, login.Session("192.0.2.7", 50022, 2222)),
        ("2001:db8::7 50022 2001:db8::1 22", login.Session("2001:db8::7", 50022, 22)),
        ("fe80::7%eth0 50022 fe80::1%eth0 22", login.Session("fe80::7", 50022, 22)),
        ("", None),
        ("192.0.2.7 50022 22", None),
        ("192.0.2.7 many 192.0.2.1 22", None),
    ],
)
def test_reading_a_session(value: str, expected: login.Session | None) -> None:
    assert login.parse_session(value) == expected


class Macs:
    """The processes of a Mac, and the connections that some of them have."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, above: tuple[str, ...]) -> None:
        names = (*above, "launchd")
        own = os.getpid()
        pids = [own, *range(900, 900 - len(names) + 2, -1), 1]
        self.processes = {
            pid: darwin.Process(pid, parent, name)
            for pid, parent, name in zip(pids, [*pids[1:], 0], names, strict=True)
        }
        self.connections: dict[int, list[darwin.Connection]] = {}
        monkeypatch.setattr(sys, "platform", "darwin")
        monkeypatch.delenv(SSH_CONNECTION, raising=False)
        monkeypatch.setattr(darwin, "read_processes", lambda: self.processes)
        monkeypatch.setattr(darwin, "read_connections", lambda pid: self.connections.get(pid, []))

    def connect(self, name: str, *connections: darwin.Connection) -> None:
        [pid] = [pid for pid, process in self.processes.items() if process.name == name]
        self.connections[pid] = list(connections)


CLIENT = darwin.Connection(22, "192.0.2.7", 51515)
FORWARDED = darwin.Connection(60001, "127.0.0.1", 5432)


@pytest.mark.parametrize("sshd", ["sshd", "sshd-session"])
def test_the_connection_of_the_sshd_above_is_that_of_a_mac(
    monkeypatch: pytest.MonkeyPatch, sshd: str
) -> None:
    """Apple's sudo clears the variable, and its shells show their environment to nobody."""
    mac = Macs(monkeypatch, ("python3", "sudo", "zsh", sshd, "sshd-listener"))
    mac.connect(sshd, CLIENT, FORWARDED)
    login = read_login()
    assert login.session == Session("192.0.2.7", 51515, 22)
    assert login.pids == set(mac.processes) - {1}


def test_a_local_connection_within_tmux_does_not_forget_ssh(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mac = Macs(monkeypatch, ("python3", "zsh", "tmux"))
    mac.processes[4000] = darwin.Process(4000, 1, "sshd-session")
    mac.connect("sshd-session", CLIENT)
    login = read_login()
    assert login.port == 22
    assert 4000 not in login.pids


def test_a_mac_without_ssh_has_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    mac = Macs(monkeypatch, ("python3", "zsh", "Terminal"))
    mac.connect("Terminal", CLIENT)
    assert read_login().session is None


def test_a_mac_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    mac = Macs(monkeypatch, ("python3", "zsh"))

    def refuse() -> t.NoReturn:
        raise OSError("no")

    monkeypatch.setattr(darwin, "read_processes", refuse)
    assert read_login() == Login(frozenset([os.getpid()]), None)
    monkeypatch.setenv(SSH_CONNECTION, "192.0.2.7 51515 192.0.2.10 2222")
    assert read_login().port == 2222
    assert mac.processes
