# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a host and its endpoints, as the host reads them. Pure but for the system's name."""

from __future__ import annotations

import ipaddress
import sys
import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.plan.addresses import Network
from ansible_collections.prsnl.ports.plugins.module_utils.plan.owners import (
    ExpectedOwner,
    is_owner,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Snapshot, Socket

LAST_PORT = 65535
PROTOCOLS = ("tcp", "udp")
EXPECTED = ("bound", "optional", "silent")


@dataclass(frozen=True)
class PlannedSource:
    """Addresses outside the host that may reach an endpoint, and on whose behalf."""

    consumer: str
    host: t.Optional[str]
    network: Network


@dataclass(frozen=True)
class HostEndpoint:
    """An endpoint of a host's plan.

    ``server_name`` is what probes ask for, ``device`` the interface that the service binds to.
    ``tls`` says that it has to speak TLS.
    """

    id: str
    service: str
    name: str
    port: int
    protocol: str
    status: str
    expect: str
    listen: tuple[str, ...]
    allowed: tuple[Network, ...]
    sources: tuple[PlannedSource, ...]
    owner: ExpectedOwner
    probe: str
    broadcast: bool = False
    server_name: str = ""
    device: str = ""
    tls: bool = False

    @classmethod
    def from_plan(cls, entry: t.Mapping[str, t.Any]) -> HostEndpoint:
        """Return the endpoint of one entry of a plan.

        :raises KeyError: the entry lacks a key.
        :raises TypeError: a value has the wrong type.
        :raises ValueError: a value isn't what it should be.
        """
        port = int(entry["port"])
        if not 1 <= port <= LAST_PORT:
            raise ValueError(f"{port} is no port")
        return cls(
            id=entry["id"],
            service=entry["service"],
            name=entry["name"],
            port=port,
            protocol=_one_of(PROTOCOLS, entry["protocol"]),
            status=entry["status"],
            expect=_one_of(EXPECTED, entry["expect"]),
            listen=tuple(str(ipaddress.ip_address(address)) for address in entry["listen"]),
            allowed=tuple(ipaddress.ip_network(cidr) for cidr in entry["allowed"]),
            sources=_sources(entry["sources"]),
            owner=ExpectedOwner.from_dict(entry["owner"]),
            probe=entry["probe"],
            broadcast=bool(entry.get("broadcast")),
            server_name=entry.get("server_name") or "",
            device=entry.get("device") or "",
            tls=bool(entry.get("tls", entry["probe"] == "tls")),
        )

    @property
    def key(self) -> tuple[str, int]:
        """Protocol and port."""
        return self.protocol, self.port

    @property
    def label(self) -> str:
        """Port and protocol, as people write them."""
        return f"{self.port}/{self.protocol}"

    def has(self, sock: Socket, snapshot: Snapshot) -> bool:
        """Tell whether the endpoint's owner is seen to hold a socket, on whatever port.

        Many have the name of a program, and the kernel has many sockets: where no more is told of
        the owner, only the endpoint's own port tells for what it is held.
        """
        is_its_port = (sock.protocol, sock.port) == self.key
        return (is_its_port or self.owner.is_particular) and is_owner(self.owner, snapshot, sock)

    def can_meet(self, sock: Socket, here: t.Iterable[Socket], snapshot: Snapshot) -> bool:
        """Tell whether a socket on its port gets what is sent to its addresses.

        :param here: the sockets on its port, by which it is seen what its owner binds to.
        """
        if not sock.device or self.has(sock, snapshot):
            return True
        if self.device:
            return sock.device == self.device
        own = {other.device for other in here if self.has(other, snapshot)}
        return not own or sock.device in own


@dataclass(frozen=True)
class HostProtocol:
    """An IP protocol without ports that others may send to a host, by its number."""

    id: str
    number: int
    sources: tuple[PlannedSource, ...]

    @classmethod
    def from_plan(cls, entry: t.Mapping[str, t.Any]) -> HostProtocol:
        """Return the protocol of one entry of a plan.

        :raises KeyError: the entry lacks a key.
        :raises TypeError: a value has the wrong type.
        :raises ValueError: a value isn't what it should be.
        """
        return cls(entry["id"], int(entry["number"]), _sources(entry["sources"]))


@dataclass(frozen=True)
class HostPlan:
    """The plan of a host."""

    host: str
    environment: str
    system: str
    endpoints: tuple[HostEndpoint, ...]
    protocols: tuple[HostProtocol, ...] = ()


def _sources(entries: t.Iterable[t.Mapping[str, t.Any]]) -> tuple[PlannedSource, ...]:
    return tuple(
        PlannedSource(source["consumer"], source["host"], ipaddress.ip_network(source["cidr"]))
        for source in entries
    )


def this_system() -> str:
    """Return V(linux), V(darwin), or what else Python calls this host's system."""
    return "linux" if sys.platform.startswith("linux") else sys.platform


def read_plan(plan: t.Any) -> HostPlan:
    """Return the plan that plain data is.

    :raises ValueError: it isn't one, or is one for another system than this host's.
    """
    try:
        host, environment, system = plan["host"], plan["environment"], plan["system"]
        entries = list(plan["endpoints"])
        protocols = tuple(HostProtocol.from_plan(entry) for entry in plan.get("protocols", ()))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(_no_plan("plan", error)) from None
    if system != this_system():
        raise ValueError(
            f"plan: it is for a host that runs {system}, and {host} runs {this_system()}. Set"
            f" port_system: {this_system()} for {host} in the inventory, or gather its facts first."
        )
    endpoints = read_endpoints(entries, "plan: endpoints")
    return HostPlan(host, environment, system, endpoints, protocols)


def read_endpoints(
    entries: t.Iterable[t.Any], option: str = "endpoints"
) -> tuple[HostEndpoint, ...]:
    """Return the endpoints of a plan, or of the lookup P(prsnl.ports.endpoint#lookup).

    :param option: what gives them, for the message.
    :raises ValueError: one of them isn't one.
    """
    endpoints = []
    for index, entry in enumerate(entries):
        try:
            endpoints.append(HostEndpoint.from_plan(entry))
        except (KeyError, TypeError, ValueError) as error:
            name = entry.get("id", index) if isinstance(entry, dict) else index
            raise ValueError(_no_plan(f"{option}[{name}]", error)) from None
    return tuple(endpoints)


def _no_plan(where: str, error: Exception) -> str:
    reason = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
    return (
        f"{where}: not what prsnl.ports.registry_info or the lookup prsnl.ports.endpoint returns:"
        f" {reason}. Give it that, or leave the option out."
    )


def _one_of(allowed: t.Sequence[str], value: t.Any) -> str:
    if value not in allowed:
        raise ValueError(f"{value!r} is none of {', '.join(allowed)}")
    return str(value)
