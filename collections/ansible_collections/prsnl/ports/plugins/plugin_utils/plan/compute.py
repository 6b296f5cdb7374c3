# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a host: what the registry and the inventory together demand of it."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.known_ports import PORTLESS
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import addresses
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.claims import Claims
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import (
    Endpoint,
    Protocol,
    Registry,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.owners import (
    LINUX,
    SYSTEMS,
    Identities,
)

PUBLIC: t.Final = "public"


class PlanError(Exception):
    """The registry and the inventory don't fit together."""


@dataclasses.dataclass(frozen=True, slots=True)
class Host:
    """What the plan has to know about a host of the inventory.

    `addresses` are those by which other hosts reach it; `families` are ipv4, ipv6 or both;
    `system` is what the inventory calls it.
    """

    environment: str
    addresses: tuple[str, ...] = ()
    families: tuple[str, ...] = ("ipv4", "ipv6")
    system: str = LINUX


@dataclasses.dataclass(frozen=True)
class Topology:
    """The inventory: the hosts of each group, and each host. `groups` has every host as `all`."""

    groups: t.Mapping[str, t.Sequence[str]]
    hosts: t.Mapping[str, Host]


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Addresses outside a host that may reach an endpoint, and on whose behalf."""

    consumer: str
    host: str | None
    cidr: str


@dataclasses.dataclass(frozen=True, slots=True)
class PlannedEndpoint:
    """An endpoint on a host: where it listens, and who may come."""

    endpoint: Endpoint
    listen: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    tls: bool = False

    def as_dict(self, system: str) -> dict[str, t.Any]:
        """Plain data for a host of a system, ready for JSON."""
        return {
            **self.endpoint.as_dict(system),
            "tls": self.tls,
            "listen": list(self.listen),
            "allowed": list(self.allowed),
            "sources": [dataclasses.asdict(source) for source in self.sources],
        }


@dataclasses.dataclass(frozen=True, slots=True)
class PlannedProtocol:
    """An IP protocol without ports, by its number, and who may send it to a host."""

    id: str
    number: int
    sources: tuple[Source, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """Every endpoint of a host, sorted by port, protocol and id; `system` is linux or darwin."""

    host: str
    environment: str
    system: str
    endpoints: tuple[PlannedEndpoint, ...]
    protocols: tuple[PlannedProtocol, ...] = ()

    def as_dict(self) -> dict[str, t.Any]:
        """Plain data, ready for JSON."""
        return {
            "host": self.host,
            "environment": self.environment,
            "system": self.system,
            "endpoints": [planned.as_dict(self.system) for planned in self.endpoints],
            "protocols": [dataclasses.asdict(planned) for planned in self.protocols],
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """Where an endpoint is reached from a certain host."""

    host: str
    address: str
    port: int
    local: bool
    tls: bool = False


def compute_plan(registry: Registry, topology: Topology, host: str) -> Plan:
    """The plan of a host.

    Raises PlanError when two endpoints would have to share a port of the host, when nobody is
    registered to hold an endpoint on its system, when two services there have the same owner, when
    a consumer's address is needed and unknown, or when the environment of a host or its system is
    unknown.
    """
    environment, system = _environment(registry, topology, host), system_of(topology, host)
    planned = [
        plan_endpoint(registry, topology, host, endpoint)
        for service in registry.services.values()
        if host in topology.groups.get(service.hosts, ())
        for endpoint in service.endpoints
        if environment in endpoint.environments
    ]
    planned.sort(key=lambda p: (p.endpoint.port, p.endpoint.protocol, p.endpoint.id))
    _refuse_conflicts(registry, host, planned)
    _refuse_ownerless(registry, host, system, planned)
    _refuse_twins(registry, host, system, planned)
    protocols = tuple(
        PlannedProtocol(
            entry.name,
            PORTLESS.get(str(entry.protocol)) or int(entry.protocol),
            _distinct(_sources(registry, topology, host, entry)),
        )
        for entry in registry.protocols.values()
        if host in topology.groups.get(entry.hosts, ()) and environment in entry.environments
    )
    return Plan(host, environment, system, tuple(planned), protocols)


def plan_endpoint(
    registry: Registry, topology: Topology, host: str, endpoint: Endpoint
) -> PlannedEndpoint:
    """An endpoint as it must be on a host that serves it."""
    if endpoint.expect == "silent":
        return PlannedEndpoint(endpoint)
    here = topology.hosts[host]
    sources: tuple[Source, ...] = ()
    if not _only_loopback(endpoint):
        sources = _distinct(_sources(registry, topology, host, endpoint))
    listen, allowed = _bind(here, endpoint, bool(sources))
    tls = _speaks_tls(registry, topology, host, endpoint)
    return PlannedEndpoint(endpoint, listen, allowed, sources, tls)


def _speaks_tls(registry: Registry, topology: Topology, host: str, endpoint: Endpoint) -> bool:
    """Whether the server of an endpoint speaks TLS on a host.

    Most servers have one switch for all of their ports, so it does as soon as other hosts come to
    one of them. Without them, nothing crosses a network.
    """
    if not endpoint.wants_tls or endpoint.probe == "tls":
        return endpoint.wants_tls
    environment = topology.hosts[host].environment
    return any(
        next(_sources(registry, topology, host, other), None)
        for other in registry.services[endpoint.service].endpoints
        if other.wants_tls and other.expect != "silent" and not _only_loopback(other)
        if environment in other.environments
    )


def _distinct(sources: t.Iterable[Source]) -> tuple[Source, ...]:
    """The sources whose addresses no earlier one has."""
    found: dict[str, Source] = {}
    for source in sources:
        found.setdefault(source.cidr, source)
    return tuple(found.values())


def serving_hosts(
    registry: Registry, topology: Topology, endpoint: Endpoint, host: str
) -> list[str]:
    """The hosts that serve an endpoint in a host's environment, in the inventory's order."""
    environment = _environment(registry, topology, host)
    if environment not in endpoint.environments:
        return []
    return _placed(registry, topology, registry.services[endpoint.service].hosts, environment)


def targets(registry: Registry, topology: Topology, host: str, endpoint: Endpoint) -> list[Target]:
    """Where the endpoint is reached from a host, the host itself first.

    Hosts that serve it on their loopback interface only are left out, unless it is the host itself.
    """
    if endpoint.expect == "silent":
        return []
    result = []
    for server in serving_hosts(registry, topology, endpoint, host):
        address = _reached_at(topology, host, server, endpoint)
        if address is not None:
            tls = (
                _speaks_tls(registry, topology, host, endpoint)
                if server == host
                else endpoint.wants_tls
            )
            result.append(Target(server, address, endpoint.port, server == host, tls))
    return sorted(result, key=lambda target: not target.local)


def _reached_at(topology: Topology, host: str, server: str, endpoint: Endpoint) -> str | None:
    there = topology.hosts[server]
    given = endpoint.addresses
    if set(given) & set(addresses.ANY.values()):
        given = ()
    if server == host:
        return given[0] if given else addresses.LOOPBACK[there.families[0]]
    if _only_loopback(endpoint):
        return None
    if given:
        return next(a for a in given if not addresses.is_loopback(a))
    possible = _addresses(topology, server, host)
    return next((a for a in possible if addresses.family(a) in there.families), possible[0])


def system_of(topology: Topology, host: str) -> str:
    """The system of a host, `linux` or `darwin`. Raises PlanError when it is another."""
    system = topology.hosts[host].system
    if system not in SYSTEMS:
        raise PlanError(
            f"{host}: its system is {system!r}, allowed are {listed(SYSTEMS, 'and')} (macOS). Set"
            f" port_system of {host} if that is wrong"
        )
    return system


def _environment(registry: Registry, topology: Topology, host: str) -> str:
    environment = topology.hosts[host].environment
    known = registry.data["environments"]
    if environment not in known:
        raise PlanError(
            f"{host}: port_environment is {environment or 'not set'!r}; set it to one of the"
            f" registry's environments: {', '.join(known)}"
        )
    return environment


def _placed(registry: Registry, topology: Topology, group: str, environment: str) -> list[str]:
    return [
        host
        for host in topology.groups.get(group, ())
        if _environment(registry, topology, host) == environment
    ]


def _only_loopback(endpoint: Endpoint) -> bool:
    if endpoint.addresses:
        return all(addresses.is_loopback(address) for address in endpoint.addresses)
    return endpoint.exposure == "host"


def _sources(
    registry: Registry, topology: Topology, host: str, entry: Endpoint | Protocol
) -> t.Iterator[Source]:
    here = topology.hosts[host]
    if entry.exposure == "public":
        for family in here.families:
            yield Source(PUBLIC, None, addresses.ANYONE[family])
        return
    for consumer in entry.consumers:
        if consumer in registry.networks:
            for cidr in addresses.merge_cidrs(registry.networks[consumer]):
                yield Source(consumer, None, cidr)
            continue
        service = registry.services.get(consumer)
        if service is not None and here.environment not in service.environments:
            continue
        group = consumer if service is None else service.hosts
        for other in _placed(registry, topology, group, here.environment):
            if other != host:
                for address in _addresses(topology, other, host):
                    yield Source(consumer, other, addresses.host_cidr(address))


def _addresses(topology: Topology, host: str, peer: str) -> tuple[str, ...]:
    found = topology.hosts[host].addresses
    if not found:
        raise PlanError(
            f"{host}: its address is needed for {peer} and unknown; set port_addresses of {host}"
            " to a list of the IP addresses by which other hosts reach it"
        )
    return found


def _bind(here: Host, endpoint: Endpoint, remote: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The addresses to listen on, and those on which a socket may be."""
    if endpoint.addresses:
        return endpoint.addresses, tuple(
            cidr for address in endpoint.addresses for cidr in _allowed(address)
        )
    if remote:
        return (
            tuple(addresses.ANY[family] for family in here.families),
            tuple(addresses.ANYONE.values()),
        )
    return (addresses.LOOPBACK[here.families[0]],), tuple(addresses.LOOPBACKS.values())


def _allowed(address: str) -> tuple[str, ...]:
    """What a socket receives: all of its family on a wildcard, and of both on `::`."""
    if address == addresses.ANY["ipv6"]:
        return tuple(addresses.ANYONE.values())
    if address == addresses.ANY["ipv4"]:
        return (addresses.ANYONE["ipv4"],)
    return (addresses.host_cidr(address),)


def _refuse_conflicts(registry: Registry, host: str, planned: list[PlannedEndpoint]) -> None:
    claims = Claims()
    conflicts = []
    for new in planned:
        endpoint = new.endpoint
        other = claims.claim(endpoint, new.listen, host, "")
        if other is not None:
            conflicts.append(
                f"{host}: {endpoint.port}/{endpoint.protocol} is wanted twice: by"
                f" {other.id} ({other.status}, {registry.where(other.path)}) and by"
                f" {endpoint.id} ({endpoint.status}, {registry.where(endpoint.path)}). Give one of"
                " them another port, or place them on different hosts"
            )
    if conflicts:
        raise PlanError("\n".join(conflicts))


def _refuse_ownerless(
    registry: Registry, host: str, system: str, planned: list[PlannedEndpoint]
) -> None:
    faults = [
        f"{host}: {endpoint.id} ({registry.where(endpoint.path)}) has no owner on {system}, so"
        f" nobody could tell whose {endpoint.port}/{endpoint.protocol} is there. Name one under"
        f" owner, place it on other hosts, or set port_system of {host} if it isn't {system}"
        for endpoint in (new.endpoint for new in planned)
        if endpoint.expect != "silent" and endpoint.owner_on(system) is None
    ]
    if faults:
        raise PlanError("\n".join(faults))


def _refuse_twins(
    registry: Registry, host: str, system: str, planned: list[PlannedEndpoint]
) -> None:
    """The registry tells services of one group apart; a host may be in several."""
    claims, faults = Identities(), []
    for endpoint in (new.endpoint for new in planned if new.endpoint.expect != "silent"):
        owner = endpoint.owner_on(system)
        other = claims.claim(owner, (endpoint.service, endpoint.path), host) if owner else None
        if other is not None:
            kind, name, (_service, path) = other
            faults.append(
                f"{host}: {endpoint.id} ({registry.where(endpoint.path)}) and {path[1]}.{path[3]}"
                f" ({registry.where(path)}) have the same {kind} {name}, by which nobody can tell"
                " the two services apart. Make them one service, give one another owner, or place"
                " them on different hosts"
            )
    if faults:
        raise PlanError("\n".join(faults))
