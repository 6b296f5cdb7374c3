# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the rules about a plan and the sockets of its host are made of. Pure: all is passed in."""

from __future__ import annotations

import ipaddress
import os
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.sockets import (
    Holder,
    Snapshot,
    Socket,
    user_name,
)

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
ANY_IPV4 = ipaddress.ip_network("0.0.0.0/0")
ANY_IPV6 = ipaddress.ip_network("::/0")
# The kernel cuts the name of a process to this many bytes.
COMM_LENGTH = 15
NAMED_PIDS = 3


@dataclass(frozen=True)
class Owner:
    """Who is expected to hold a socket; empty or None where anyone may."""

    processes: tuple[str, ...]
    user: t.Optional[str]
    unit: t.Optional[str]

    @classmethod
    def from_dict(cls, owner: t.Mapping[str, t.Any]) -> Owner:
        """Return the owner of a plan or of a lease."""
        return cls(tuple(owner["process"]), owner["user"], owner["unit"])

    def __str__(self) -> str:
        return _brief(self.processes[:1], [self.user] if self.user else [])


@dataclass(frozen=True)
class Endpoint:
    """An endpoint of a host's plan."""

    id: str
    service: str
    name: str
    port: int
    protocol: str
    status: str
    expect: str
    listen: tuple[str, ...]
    allowed: tuple[Network, ...]
    owner: Owner
    probe: str

    @classmethod
    def from_plan(cls, entry: t.Mapping[str, t.Any]) -> Endpoint:
        """Return the endpoint of one entry of a plan.

        :raises KeyError: the entry lacks a key.
        :raises ValueError: an address or a network of the entry isn't one.
        """
        return cls(
            id=entry["id"],
            service=entry["service"],
            name=entry["name"],
            port=entry["port"],
            protocol=entry["protocol"],
            status=entry["status"],
            expect=entry["expect"],
            listen=tuple(str(ipaddress.ip_address(address)) for address in entry["listen"]),
            allowed=tuple(ipaddress.ip_network(cidr) for cidr in entry["allowed"]),
            owner=Owner.from_dict(entry["owner"]),
            probe=entry["probe"],
        )

    @property
    def key(self) -> tuple[str, int]:
        """Protocol and port."""
        return self.protocol, self.port

    @property
    def label(self) -> str:
        """Port and protocol, as people write them."""
        return f"{self.port}/{self.protocol}"


@dataclass(frozen=True)
class Lease:
    """Temporary use of a port; ``expires`` is its last day, ``where`` its place in the file."""

    port: int
    protocol: str
    owner: Owner
    reason: str
    expires: str
    expired: bool
    where: str

    def __str__(self) -> str:
        state = "was leased until" if self.expired else "is leased until"
        return f"{state} {self.expires} for: {self.reason} ({self.where})"


def read_leases(leases: t.Iterable[t.Mapping[str, t.Any]]) -> list[Lease]:
    """Return the leases of plain data.

    :raises ValueError: they lack a key.
    """
    try:
        return [Lease(**{**lease, "owner": Owner.from_dict(lease["owner"])}) for lease in leases]
    except (KeyError, TypeError) as error:
        raise ValueError(f"leases: not leases as the action passes them: {error!r}") from error


def lease_of(sock: Socket, leases: t.Iterable[Lease], snapshot: Snapshot) -> t.Optional[Lease]:
    """Return the lease under which a socket is held, expired or not."""
    for lease in leases:
        is_its_port = (lease.protocol, lease.port) == (sock.protocol, sock.port)
        if is_its_port and is_owner(lease.owner, snapshot, sock):
            return lease
    return None


def read_plan(plan: t.Mapping[str, t.Any]) -> list[Endpoint]:
    """Return the endpoints of a plan.

    :raises ValueError: the plan isn't one.
    """
    try:
        return [Endpoint.from_plan(entry) for entry in plan["endpoints"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"plan: not a plan as prsnl.ports.registry_info returns it: {error!r}"
        ) from error


# --- addresses ---------------------------------------------------------------------------------


def wanted_network(address: str) -> Network:
    """Return what an address of a plan stands for; a wildcard is all of its own family only."""
    ip = ipaddress.ip_address(address)
    if ip.is_unspecified:
        return ANY_IPV4 if ip.version == 4 else ANY_IPV6  # noqa: PLR2004
    return ipaddress.ip_network(address)


def spans(sock: Socket) -> tuple[Network, ...]:
    """Return the addresses on which a socket receives.

    A wildcard covers its family, ``::`` covers IPv4 too unless it is v6only, and an IPv4-mapped
    address is the IPv4 address.
    """
    ip = ipaddress.ip_address(sock.address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return (wanted_network(str(ip.ipv4_mapped)),)
        if ip.is_unspecified and not sock.v6only:
            return (ANY_IPV6, ANY_IPV4)
    return (wanted_network(sock.address),)


def overlaps(sock: Socket, addresses: t.Iterable[str]) -> bool:
    """Tell whether a socket receives on any of these addresses of a plan."""
    wanted = [wanted_network(address) for address in addresses]
    return any(_overlap(span, network) for span in spans(sock) for network in wanted)


def covers(sock: Socket, address: str) -> bool:
    """Tell whether a socket receives everything that is sent to an address of a plan."""
    network = wanted_network(address)
    return any(_within(network, span) for span in spans(sock))


def is_allowed(sock: Socket, allowed: t.Iterable[Network]) -> bool:
    """Tell whether a socket receives on no other addresses than these."""
    allowed = list(allowed)
    return all(any(_within(span, network) for network in allowed) for span in spans(sock))


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _within(inner: Network, outer: Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)


# --- owners ------------------------------------------------------------------------------------


def owner_faults(owner: Owner, holders: t.Sequence[Holder]) -> list[str]:
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


def is_owner(owner: Owner, snapshot: Snapshot, sock: Socket) -> bool:
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


def unique(items: t.Iterable[str]) -> list[str]:
    """Return the items without repetition, in their order."""
    return list(dict.fromkeys(items))


def listed(items: t.Sequence[str], word: str = "and") -> str:
    """Return the items as in a sentence: ``a, b and c``."""
    return f" {word} ".join(filter(None, [", ".join(items[:-1]), items[-1]]))
