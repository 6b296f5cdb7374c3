# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is expected to hold a socket, and who does. Pure."""

from __future__ import annotations

import os
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed, unique
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import (
    Holder,
    Snapshot,
    Socket,
    user_name,
)

# The kernel cuts the name of a process to this many bytes.
COMM_LENGTH = 15
NAMED_PIDS = 3


@dataclass(frozen=True)
class ExpectedOwner:
    """Who is expected to hold a socket; empty or None where anyone may."""

    processes: tuple[str, ...]
    user: t.Optional[str]
    unit: t.Optional[str]

    @classmethod
    def from_dict(cls, owner: t.Mapping[str, t.Any]) -> ExpectedOwner:
        """Return the owner of a plan or of a lease."""
        return cls(tuple(owner["process"]), owner["user"], owner["unit"])

    def __str__(self) -> str:
        return _brief(self.processes[:1], [self.user] if self.user else [])


def owner_faults(owner: ExpectedOwner, holders: t.Sequence[Holder]) -> list[str]:
    """Return why these processes aren't the owner; empty if they are.

    Every one has an expected name (of the process or of its program), at least one runs as the
    expected user (a master and its workers differ), and all belong to the expected unit.
    """
    faults = []
    strange = [holder.process for holder in holders if not _is_named(holder, owner.processes)]
    if owner.processes and strange:
        faults.append(
            f"the process is {listed(unique(strange))}, expected {listed(owner.processes, 'or')}"
        )
    users = unique(holder.user for holder in holders)
    if owner.user and owner.user not in users:
        faults.append(f"the user is {listed(users)}, expected {owner.user}")
    units = unique(holder.unit or "no unit" for holder in holders)
    if owner.unit and units != [owner.unit]:
        faults.append(f"the unit is {listed(units)}, expected {owner.unit}")
    return faults


def is_owner(owner: ExpectedOwner, snapshot: Snapshot, sock: Socket) -> bool:
    """Tell whether the processes that hold a socket are seen, and are the owner."""
    holders = snapshot.holders.get(sock.inode, ())
    return bool(holders) and not owner_faults(owner, holders)


def _is_named(holder: Holder, names: t.Sequence[str]) -> bool:
    is_cut = len(holder.process.encode()) >= COMM_LENGTH
    program = os.path.basename(holder.executable or "")
    return any(
        name in (holder.process, program) or (is_cut and name.startswith(holder.process))
        for name in names
    )


def describe_holders(snapshot: Snapshot, sock: Socket, now: float) -> str:
    """Return who holds a socket, for people: processes, pids, users, start, units."""
    holders = snapshot.holders.get(sock.inode, ())
    prefix = f"{sock.container}, by " if sock.container else ""
    if not holders:
        if sock.container and not sock.inode:
            return f"{sock.container}, which its engine publishes there"
        if snapshot.obstacle:
            return f"a process of user {user_name(sock.uid)} that may not be looked at"
        return "the kernel, or a process that this host can't see (in a container, for example)"
    texts = []
    for process in unique(holder.process for holder in holders):
        same = [holder for holder in holders if holder.process == process]
        pids = [str(holder.pid) for holder in same]
        if len(pids) > NAMED_PIDS:
            pids[NAMED_PIDS - 1 :] = [f"{len(pids) - NAMED_PIDS + 1} more"]
        facts = [
            f"pid{'s' if len(same) > 1 else ''} {listed(pids)}",
            f"user {listed(unique(holder.user for holder in same))}",
        ]
        start = min(holder.since for holder in same)
        if start:
            facts.append(f"since {format_start(start, now)}")
        units = unique(holder.unit for holder in same if holder.unit)
        if units:
            facts.append(f"unit {listed(units)}")
        texts.append(f"{process} ({', '.join(facts)})")
    return prefix + listed(texts)


def brief_holders(snapshot: Snapshot, sockets: t.Iterable[Socket]) -> str:
    """Return who holds sockets in a few words: ``nginx (root, www-data)``."""
    sockets = list(sockets)
    containers = unique(str(sock.container) for sock in sockets if sock.container)
    if containers:
        return listed(containers)
    holders = [holder for sock in sockets for holder in snapshot.holders.get(sock.inode, ())]
    if not holders:
        return "unknown"
    return _brief(
        unique(holder.process for holder in holders), unique(holder.user for holder in holders)
    )


def format_start(start: float, now: float) -> str:
    """Return a local time: of today without the date. Both are seconds since the epoch."""
    local = time.localtime(start)
    is_today = local[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M" if is_today else "%Y-%m-%d %H:%M", local)


def _brief(processes: t.Sequence[str], users: t.Sequence[str]) -> str:
    return ", ".join(processes) + (f" ({', '.join(users)})" if users else "")
