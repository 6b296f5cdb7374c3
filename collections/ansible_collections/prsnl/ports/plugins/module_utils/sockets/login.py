# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection over which this host is managed right now, which must never be a stranger."""

from __future__ import annotations

import os
import sys
import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.sockets import darwin
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.linux import parse_stat, read_text

SSH_CONNECTION = "SSH_CONNECTION"
# The first is that of OpenSSH before 9.8.
SSHD = ("sshd", "sshd-session")


@dataclass(frozen=True)
class Session:
    """The two ends of an SSH connection, as the host sees them (sshd(8), SSH_CONNECTION)."""

    client: str
    client_port: int
    server_port: int


@dataclass(frozen=True)
class Login:
    """The processes from this one up to sshd, without the first process, and sshd's session."""

    pids: frozenset[int]
    session: t.Optional[Session]

    @property
    def port(self) -> t.Optional[int]:
        """The port of sshd."""
        return self.session.server_port if self.session else None


def read_login(root: str = "/proc") -> Login:
    """Return the connection that this process belongs to.

    Programs that change the user, such as sudo, clear the environment, so that of the processes
    above is looked at as well, as far as the system has /proc. On a Mac, whose own programs show
    their environment to nobody, the connection of the sshd above is looked at.
    """
    if sys.platform == "darwin":
        return _read_macs_login()
    session = parse_session(os.environ.get(SSH_CONNECTION, ""))
    # Emulators make up /proc for the process itself, but not for those above.
    pids, pid = {os.getpid()}, os.getppid()
    while pid > 1 and pid not in pids:
        pids.add(pid)
        session = session or parse_session(_environment(f"{root}/{pid}/environ"))
        try:
            _name, pid, _start = parse_stat(read_text(f"{root}/{pid}/stat"))
        except OSError:
            break
    return Login(frozenset(pids), session)


def _read_macs_login() -> Login:
    """Return the login of a process of a Mac; not tried on a Mac.

    A shell in tmux or screen has no sshd above it, so that any other session that is there counts
    then: its port must not be closed either.
    """
    session = parse_session(os.environ.get(SSH_CONNECTION, ""))
    above: list[int] = []
    try:
        processes = darwin.read_processes()
        process = processes.get(os.getpid())
        while process and process.pid > 1 and process.pid not in above:
            above.append(process.pid)
            process = processes.get(process.parent)
        others = [pid for pid in sorted(processes, reverse=True) if pid not in above]
        for pid in [] if session else [*above, *others]:
            connections = darwin.read_connections(pid) if processes[pid].name in SSHD else []
            if connections:
                # The first descriptor is the client's; the others are what it forwards.
                session = Session(
                    connections[0].peer, connections[0].peer_port, connections[0].port
                )
                break
    except (OSError, AttributeError):
        above = above or [os.getpid()]
    return Login(frozenset(above), session)


def parse_session(text: str) -> t.Optional[Session]:
    """Return what C(client port server port) says; None if that is no connection."""
    try:
        client, client_port, _server, server_port = text.split()
        # A link-local address comes with its interface.
        return Session(client.partition("%")[0], int(client_port), int(server_port))
    except ValueError:
        return None


def _environment(path: str) -> str:
    try:
        variables = read_text(path).split("\0")
    except OSError:
        return ""
    prefix = f"{SSH_CONNECTION}="
    return next((v[len(prefix) :] for v in variables if v.startswith(prefix)), "")
