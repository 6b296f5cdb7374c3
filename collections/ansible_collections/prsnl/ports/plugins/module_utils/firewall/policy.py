# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host's firewall has to let in, by its plan. Pure: all is passed in."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.host.known_ports import PORTLESS
from ansible_collections.prsnl.ports.plugins.module_utils.plan.addresses import Network
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import (
    HostEndpoint,
    read_plan,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.login import Session

# By number, because hosts need not have /etc/protocols.
PROTOCOLS = {"tcp": 6, "udp": 17}
FAMILIES = (4, 6)
ANYONE = {4: "0.0.0.0/0", 6: "::/0"}
# DHCP, and DNS for containers: constants of the protocols (RFC 2131, RFC 8415, RFC 1035).
DHCP_PORTS = {4: (67, 68), 6: (547, 546)}
DNS_PORT = 53
LINK_LOCAL = "fe80::/10"
UNSPECIFIED = "0.0.0.0/32"
# Broadcast, and multicast on the link (RFC 919, RFC 4291).
TO_ALL = {4: "255.255.255.255/32", 6: "ff02::/16"}
# What a host needs: unreachable, echo request, time exceeded, parameter problem.
ICMP_TYPES = (3, 8, 11, 12)
# The same with packet too big, then listener query, router advertisement, neighbour discovery
# (RFC 4890, section 4.4).
ICMPV6_TYPES = (1, 2, 3, 4, 128, 130, 134, 135, 136)
RATE = re.compile(r"[1-9][0-9]*/(second|minute|hour|day)")
INTERFACE = re.compile(r"[A-Za-z0-9_.-]{1,15}\*?")


@dataclass(frozen=True)
class RateLimit:
    """What an endpoint's new connections are subject to. ``rate`` is like ``20/second``."""

    rate: str = ""
    burst: int = 5
    log: bool = False


@dataclass(frozen=True)
class Opening:
    """An endpoint that others may reach: who, and on which addresses of the host."""

    id: str
    protocol: str
    port: int
    sources: tuple[Network, ...]
    destinations: tuple[Network, ...]
    limit: t.Optional[RateLimit] = None

    def pairs(self, family: int) -> list[tuple[str, str]]:
        """Return each source with each destination of a family, as CIDRs."""
        return [
            (str(source), str(destination))
            for source in self.sources
            if source.version == family
            for destination in self.destinations
            if destination.version == family
        ]


@dataclass(frozen=True)
class Admission:
    """An IP protocol without ports that others may send, by its number; ``id`` says for whom."""

    id: str
    protocol: int
    sources: tuple[Network, ...]


@dataclass(frozen=True)
class Policy:
    """Everything that a host lets in. SSH is open to anyone where ``ssh_sources`` is empty.

    What a node of a cluster redirects is the cluster's, and not judged here.
    """

    openings: tuple[Opening, ...]
    ssh_ports: tuple[int, ...]
    ssh_sources: tuple[Network, ...] = ()
    reject: bool = True
    container_interfaces: tuple[str, ...] = ()
    admissions: tuple[Admission, ...] = ()
    is_cluster_node: bool = False

    def opens(self, protocol: str, port: int) -> bool:
        """Whether anybody may send to a port, or by a protocol without ports (the port is 0)."""
        if protocol not in PROTOCOLS:
            return any(protocol_name(a.protocol) == protocol for a in self.admissions)
        if protocol == "tcp" and port in self.ssh_ports:
            return True
        return any((o.protocol, o.port) == (protocol, port) for o in self.openings)


@dataclass(frozen=True)
class Reach:
    """What others' rules do to what a policy opens: closed for sure, or nobody can tell."""

    closed: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()


def protocol_name(number: int) -> str:
    """Return the name of an IP protocol without ports, or its number."""
    return next((name for name, known in PORTLESS.items() if known == number), str(number))


def read_openings(
    endpoints: t.Iterable[HostEndpoint], limits: t.Mapping[str, RateLimit]
) -> tuple[Opening, ...]:
    """Return what the endpoints of a plan open to other hosts.

    :param limits: by the id of the endpoint.
    """
    openings = [_opening(endpoint, limits.get(endpoint.id)) for endpoint in endpoints]
    return tuple(opening for opening in openings if any(map(opening.pairs, FAMILIES)))


def _opening(endpoint: HostEndpoint, limit: t.Optional[RateLimit]) -> Opening:
    return Opening(
        id=endpoint.id,
        protocol=endpoint.protocol,
        port=endpoint.port,
        sources=merge(
            [
                *(str(source.network) for source in endpoint.sources),
                # Whoever shares a network with the host may claim to have no address.
                *((UNSPECIFIED, LINK_LOCAL) if _is_asked_by_all(endpoint) else ()),
            ]
        ),
        destinations=() if endpoint.expect == "silent" else _destinations(endpoint),
        limit=limit,
    )


def _is_asked_by_all(endpoint: HostEndpoint) -> bool:
    """Tell whether clients send before they have an address (RFC 2131, RFC 8415)."""
    servers = {ports[0] for ports in DHCP_PORTS.values()}
    is_dhcp = endpoint.protocol == "udp" and endpoint.port in servers
    return bool(endpoint.sources) and (endpoint.broadcast or is_dhcp)


def merge(cidrs: t.Iterable[str]) -> tuple[Network, ...]:
    """Return the smallest list of networks that covers the same addresses, IPv4 first.

    :raises ValueError: a text is no CIDR.
    """
    networks = [ipaddress.ip_network(cidr) for cidr in cidrs]
    return (
        *ipaddress.collapse_addresses(n for n in networks if isinstance(n, ipaddress.IPv4Network)),
        *ipaddress.collapse_addresses(n for n in networks if isinstance(n, ipaddress.IPv6Network)),
    )


def _destinations(endpoint: HostEndpoint) -> tuple[Network, ...]:
    addresses = [ipaddress.ip_address(text) for text in endpoint.listen]
    found = merge(
        ANYONE[address.version] if address.is_unspecified else str(address)
        for address in addresses
        if not address.is_loopback
    )
    if not _is_asked_by_all(endpoint):
        return found
    families = {network.version for network in found}
    return merge([*map(str, found), *(TO_ALL[family] for family in sorted(families))])


def read_rate_limits(given: t.Mapping[str, t.Any]) -> dict[str, RateLimit]:
    """Return the limits of each endpoint.

    :raises ValueError: one of them isn't one.
    """
    limits = {}
    for name, limit in given.items():
        faults = sorted(set(limit) - {"rate", "burst", "log"})
        if faults:
            raise ValueError(
                f"limits: {name} has {', '.join(faults)}, allowed are rate, burst and log"
            )
        limits[name] = RateLimit(
            str(limit.get("rate") or ""), int(limit.get("burst", 5)), limit.get("log", False)
        )
        if limits[name].rate and not RATE.fullmatch(limits[name].rate):
            raise ValueError(
                f"limits: the rate of {name} is {limits[name].rate!r}, allowed is a number and"
                " /second, /minute, /hour or /day, such as 20/second"
            )
    return limits


def read_policy(
    params: t.Mapping[str, t.Any],
    session: t.Optional[Session],
    ssh_server: t.Iterable[int] = (),
) -> Policy:
    """Return what the host has to let in.

    :param ssh_server: the ports of the SSH server that manages the host, as far as it is known.
    :raises ValueError: an option isn't what it should be, or nobody knows the port of SSH.
    """
    ports = {*params["ssh_ports"], *ssh_server, *([session.server_port] if session else [])}
    if params["connection"] == "ssh" and not ports:
        raise ValueError(
            "Ansible is connected over SSH, but the host doesn't tell by which port"
            " (SSH_CONNECTION isn't set, and no SSH server is seen). Nothing was changed. Set"
            " ssh_ports to the port of SSH."
        )
    for name in params["container_interfaces"]:
        if not INTERFACE.fullmatch(name):
            raise ValueError(
                f"container_interfaces: {name!r} is no name of an interface, with * at most at"
                " its end"
            )
    sources = params["ssh_sources"]
    if sources and session is not None:
        sources = [*sources, session.client]
    plan = read_plan(params["plan"])
    if not (plan.endpoints or plan.protocols or params["allow_empty"]):
        raise ValueError(
            f"The plan of {plan.host} is empty, so everything but SSH would be closed. Nothing was"
            " changed. Compare the groups of the inventory with those of the registry. Set"
            " allow_empty to true if nothing else shall be open."
        )
    return Policy(
        openings=read_openings(plan.endpoints, read_rate_limits(params["limits"])),
        admissions=tuple(
            Admission(
                admitted.id,
                admitted.number,
                merge(str(source.network) for source in admitted.sources),
            )
            for admitted in plan.protocols
        ),
        ssh_ports=tuple(sorted(ports)),
        ssh_sources=merge(sources),
        reject=params["refuse"] == "reject",
        container_interfaces=tuple(params["container_interfaces"]),
        is_cluster_node=params["cluster"],
    )
