# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection over which this host is managed right now, which must never be a stranger."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.linux import parse_stat, read_text

SSH_CONNECTION = "SSH_CONNECTION"


@dataclass(frozen=True)
class Connection:
    """The processes from this one up to sshd, without the first process, and sshd's port."""

    pids: frozenset[int]
    port: t.Optional[int]


def read_connection(root: str = "/proc") -> Connection:
    """Return the connection that this process belongs to.

    sudo clears the environment, so that of the processes above is looked at as well.
    """
    port = _port(os.environ.get(SSH_CONNECTION, ""))
    # Emulators make up /proc for the process itself, but not for those above.
    pids, pid = {os.getpid()}, os.getppid()
    while pid > 1 and pid not in pids:
        pids.add(pid)
        port = port or _port(_environment(f"{root}/{pid}/environ"))
        try:
            _name, pid, _start = parse_stat(read_text(f"{root}/{pid}/stat"))
        except OSError:
            break
    return Connection(frozenset(pids), port)


def _environment(path: str) -> str:
    try:
        variables = read_text(path).split("\0")
    except OSError:
        return ""
    prefix = f"{SSH_CONNECTION}="
    return next((v[len(prefix) :] for v in variables if v.startswith(prefix)), "")


def _port(text: str) -> t.Optional[int]:
    """Return the server's port of C(client port server port)."""
    words = text.split()
    return int(words[3]) if len(words) == 4 and words[3].isdigit() else None  # noqa: PLR2004
