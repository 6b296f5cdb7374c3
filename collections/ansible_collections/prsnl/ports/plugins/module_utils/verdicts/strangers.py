# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listeners that the registry doesn't know, and which of them are as they should be."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass, field

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed, unique
from ansible_collections.prsnl.ports.plugins.module_utils.plan.leases import Lease, lease_of
from ansible_collections.prsnl.ports.plugins.module_utils.plan.owners import (
    ExpectedOwner,
    brief_holders,
    describe_holders,
    is_kernels,
    is_owner,
    what_to_stop,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.login import Login
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Snapshot, Socket
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.limits import (
    PortLimits,
    is_ephemeral,
)

ANYONE = ExpectedOwner()
CONTAINER = {"engine", "name"}


@dataclass(frozen=True)
class Allowed:
    """Listeners that need no entry in the registry; what isn't given doesn't matter."""

    reason: str
    owner: ExpectedOwner = ANYONE
    protocol: t.Optional[str] = None
    ports: tuple[int, ...] = ()
    loopback: bool = False
    ephemeral: bool = False

    def fits(self, sock: Socket, snapshot: Snapshot, limits: PortLimits) -> bool:
        """Tell whether a socket is one of these."""
        return (
            self.protocol in (None, sock.protocol)
            and (not self.ports or sock.port in self.ports)
            and (not self.loopback or _is_loopback(sock))
            and (not self.ephemeral or is_ephemeral(sock.port, limits))
            and (self.owner == ANYONE or is_owner(self.owner, snapshot, sock))
        )


def read_allowed(entry: t.Mapping[str, t.Any]) -> Allowed:
    """Return what one of the module's options allows.

    :raises ValueError: its container isn't one.
    """
    owner = {key: entry[key] for key in ("process", "user", "unit", "label", "kernel")}
    container = entry["container"]
    if isinstance(container, str):
        container = {"name": container}
    if container and (
        not isinstance(container, dict) or not {"name"} <= set(container) <= CONTAINER
    ):
        raise ValueError(
            f"allowed_listeners: the container is {container!r}, allowed is its name, or a"
            " dictionary of engine and name"
        )
    owner["container"] = {"engine": None, **container} if container else None
    return Allowed(
        entry["reason"],
        ExpectedOwner.from_dict(owner),
        entry["protocol"],
        tuple(entry["ports"]),
        entry["loopback"],
        entry["ephemeral"],
    )


@dataclass
class Listener:
    """A port that somebody holds without being registered."""

    port: int
    protocol: str
    held_by: str
    sockets: list[Socket] = field(default_factory=list)
    message: str = ""

    def as_dict(self) -> dict[str, t.Any]:
        """Plain data, ready for JSON."""
        return {
            "port": self.port,
            "protocol": self.protocol,
            "address": ", ".join(unique(map(str, self.sockets))),
            "held_by": self.held_by,
            "message": self.message,
        }


def find_unregistered(
    snapshot: Snapshot,
    *,
    allowed: t.Sequence[Allowed],
    leases: t.Sequence[Lease],
    login: Login,
    limits: PortLimits,
    known: t.Collection[Socket],
    registry: str,
    now: float,
) -> list[Listener]:
    """Return the listeners that no endpoint of the plan is about, sorted by port.

    The listener of the connection over which the host is managed isn't one of them, nor is what a
    lease or an entry of ``allowed`` covers.

    :param known: sockets by which endpoints were judged already.
    :param registry: the file that messages send the reader to.
    """
    known = set(known)
    found: dict[tuple[int, str, str], Listener] = {}
    for sock in sorted(snapshot.sockets, key=lambda s: (s.port, s.protocol, s.address)):
        lease = lease_of(sock, leases, snapshot)
        if (
            sock in known
            or (lease and not lease.expired)
            or _is_login(sock, snapshot, login)
            or any(entry.fits(sock, snapshot, limits) for entry in allowed)
        ):
            continue
        key = (sock.port, sock.protocol, brief_holders(snapshot, [sock]))
        listener = found.setdefault(key, Listener(*key))
        listener.sockets.append(sock)
        where = listed(unique(held.where for held in listener.sockets))
        lease_text = f"; it {lease}" if lease else ""
        stop = f"Stop {what_to_stop([sock], snapshot)}, register"
        if is_kernels(snapshot, sock):
            stop = "Register"
        remedy = f"{stop} it in {registry}, or allow it with a reason."
        is_unseen = snapshot.obstacle and not snapshot.holders.get(sock.inode) and sock.inode
        listener.message = (
            f"{sock.port}/{sock.protocol} is not registered, but held on {where} by"
            f" {describe_holders(snapshot, sock, now)}{lease_text}."
            f" {snapshot.obstacle if is_unseen else remedy}"
        )
    return list(found.values())


def _is_login(sock: Socket, snapshot: Snapshot, login: Login) -> bool:
    holders = snapshot.holders.get(sock.inode, ())
    return sock.protocol == "tcp" and (
        sock.port == login.port or any(holder.pid in login.pids for holder in holders)
    )


def _is_loopback(sock: Socket) -> bool:
    address = ipaddress.ip_address(sock.address)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
