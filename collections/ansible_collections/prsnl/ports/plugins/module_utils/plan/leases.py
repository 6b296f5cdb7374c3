# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Temporary use of ports, as the host reads it. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ansible_collections.prsnl.ports.plugins.module_utils.plan.owners import ExpectedOwner, is_owner
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Snapshot, Socket


@dataclass(frozen=True)
class Lease:
    """Temporary use of a port; ``where`` is its place in the file.

    ``expires`` is its end as the file has it, ``end`` in seconds since the epoch.
    """

    port: int
    protocol: str
    owner: ExpectedOwner
    reason: str
    expires: str
    expired: bool
    where: str
    end: float = 0

    def __str__(self) -> str:
        state = "was leased until" if self.expired else "is leased until"
        return f"{state} {self.expires} for: {self.reason} ({self.where})"


def read_leases(leases: t.Iterable[t.Mapping[str, t.Any]]) -> list[Lease]:
    """Return the leases of plain data.

    :raises ValueError: they lack a key.
    """
    try:
        return [
            Lease(**{**lease, "owner": ExpectedOwner.from_dict(lease["owner"])}) for lease in leases
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"leases: not leases as the action passes them: {error!r}") from error


def leases_at(leases: t.Iterable[Lease], now: float) -> list[Lease]:
    """Return the leases as they are at a time, whenever they were read."""
    return [replace(lease, expired=now >= lease.end) for lease in leases]


def lease_of(sock: Socket, leases: t.Iterable[Lease], snapshot: Snapshot) -> t.Optional[Lease]:
    """Return the lease under which a socket is held, expired or not."""
    for lease in leases:
        is_its_port = (lease.protocol, lease.port) == (sock.protocol, sock.port)
        if is_its_port and is_owner(lease.owner, snapshot, sock):
            return lease
    return None
