# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SSH connection that a module came by."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass

VARIABLE = "SSH_CONNECTION"


@dataclass(frozen=True)
class Session:
    """The two ends of a connection, as the host sees them (sshd(8), SSH_CONNECTION)."""

    client: str
    client_port: int
    server_port: int


def find_session() -> t.Optional[Session]:
    """Return the SSH connection that this process belongs to, or None.

    Programs that change the user, such as sudo, take the variable away, so the processes above
    this one are asked too, as far as the system has /proc.
    """
    session = parse_session(os.environ.get(VARIABLE, ""))
    pid = os.getppid()
    while session is None and pid > 1:
        session = parse_session(_environment(pid).get(VARIABLE, ""))
        pid = _parent(pid)
    return session


def parse_session(value: str) -> t.Optional[Session]:
    """Return what the variable says; None if that is no connection."""
    try:
        client, client_port, _server, server_port = value.split()
        # A link-local address comes with its interface.
        return Session(client.partition("%")[0], int(client_port), int(server_port))
    except ValueError:
        return None


def _environment(pid: int) -> dict[str, str]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().decode(errors="replace").split("\0")
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # The name of the program is in parentheses and may hold anything.
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0
