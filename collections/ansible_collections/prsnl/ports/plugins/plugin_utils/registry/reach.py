# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of where an endpoint listens, who may come, and what is done with it over the network."""

from __future__ import annotations

import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import addresses
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import Fault, found
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import (
    DATABASES,
    Endpoint,
    Protocol,
    Registry,
)

# Of the addresses of a family. Who leaves a few out means everybody too.
_MOST_SHARE: t.Final = 0.5
# What speaks another protocol than HTTP.


def faults(registry: Registry) -> t.Iterator[Fault]:
    """Every fault of networks, listen addresses, consumers, and of what needs HTTP."""
    yield from _networks(registry)
    shares = {name: addresses.shares(cidrs) for name, cidrs in registry.networks.items()}
    entries: list[Endpoint | Protocol] = [
        *registry.endpoints.values(),
        *registry.protocols.values(),
    ]
    for entry in entries:
        yield from _consumers(registry, entry, shares)
    for endpoint in registry.endpoints.values():
        yield from _addresses(endpoint)
        yield from _http(endpoint)
        if endpoint.broadcast and endpoint.protocol != "udp":
            yield Fault(
                (*endpoint.path, "broadcast"),
                f"found it with protocol: {endpoint.protocol}; allowed with udp",
            )
        if endpoint.tls is False and endpoint.probe == "tls":
            yield Fault(
                (*endpoint.path, "tls"),
                "found false with probe: tls; allowed is true, or another probe",
            )
        if endpoint.tls and endpoint.protocol == "udp":
            yield Fault((*endpoint.path, "tls"), "found true with protocol: udp; allowed with tcp")
        if endpoint.protocol == "udp" and endpoint.probe not in ("none", ""):
            yield Fault(
                (*endpoint.path, "probe"),
                f"found {found(endpoint.probe)}, which speaks TCP; allowed for udp is none",
            )


def _networks(registry: Registry) -> t.Iterator[Fault]:
    for name, cidrs in registry.networks.items():
        for index, cidr in enumerate(cidrs):
            path = ("networks", name, "cidrs", index)
            allowed = addresses.network_of(cidr) if cidr else cidr
            if allowed is None:
                hint = "a CIDR, such as 192.0.2.0/24"
            elif allowed != cidr.lower():
                hint = allowed
            elif allowed in addresses.ANYONE.values():
                yield Fault(
                    path,
                    f"found {found(cidr)}, which is everybody; allowed is a smaller network, or"
                    " exposure: public for what everybody may reach",
                )
                continue
            elif cidr and (kind := addresses.special(cidr)):
                yield Fault(
                    path,
                    f"found {found(cidr)}, which has {kind} addresses, from which nobody comes;"
                    " allowed is a network of other hosts",
                )
                continue
            else:
                continue
            yield Fault(path, f"found {found(cidr)}, allowed is {hint}")


def _addresses(endpoint: Endpoint) -> t.Iterator[Fault]:
    first: dict[t.Any, int] = {}
    for index, address in enumerate(endpoint.addresses):
        if not address:
            continue
        message, see = _of_address(endpoint, address), None
        if message is None:
            other = first.setdefault(addresses.parse_address(address), index)
            if other != index:
                message = f"found {found(address)} again, allowed is once"
                see = (*endpoint.path, "addresses", other)
        if message is not None:
            yield Fault((*endpoint.path, "addresses", index), message, see=see)


def _of_address(endpoint: Endpoint, address: str) -> str | None:
    """What is wrong with an address to listen on."""
    if addresses.parse_address(address) is None:
        return f"found {found(address)}, allowed is an IP address"
    kind = addresses.special(address)
    if kind == "IPv4-mapped":
        allowed = addresses.unmapped(address)
        return f"found {found(address)}, which is an address of IPv4; allowed is {allowed}"
    loopback = kind == "loopback"
    if endpoint.exposure == "host" and not loopback:
        return (
            f"found {found(address)}, which others can reach; allowed with"
            " exposure: host is a loopback address"
        )
    if endpoint.exposure == "public" and loopback:
        return (
            f"found {found(address)}, which others can't reach; allowed with"
            " exposure: public is no loopback address"
        )
    if kind is not None and not loopback and address not in addresses.ANY.values():
        return (
            f"found {found(address)}, which is {kind}; allowed is one that a host has"
            " for itself and by which others reach it"
        )
    return None


def _consumers(
    registry: Registry, entry: Endpoint | Protocol, shares: t.Mapping[str, addresses.Shares]
) -> t.Iterator[Fault]:
    networks = [name for name in entry.consumers if name in registry.networks]
    family = _everybody(registry, networks, shares)
    if family and entry.exposure == "internal":
        yield Fault(
            (*entry.path, "consumers"),
            f"found networks ({listed(networks)}) that together hold half or more of all"
            f" addresses of {family}; allowed are smaller ones, or exposure: public without"
            " consumers",
        )
    own = frozenset(entry.environments)
    for index, name in enumerate(entry.consumers if own else ()):
        service = registry.services.get(name)
        if service is None or not service.environments:
            continue
        if own.isdisjoint(service.environments):
            yield Fault(
                (*entry.path, "consumers", index),
                f"found {found(name)}, which is in {listed(service.environments)} only, and this"
                f" one in {listed(entry.environments)}; allowed are consumers of an"
                " environment that both have",
                see=("services", name, "environments"),
            )


def _everybody(
    registry: Registry, networks: list[str], shares: t.Mapping[str, addresses.Shares]
) -> str | None:
    """The family of which networks together have so much that they stand for everybody."""
    for family in addresses.ANY:
        alone = [shares[name][family] for name in networks]
        if max(alone, default=0) >= _MOST_SHARE:
            return family
        # Networks overlap, so that together they have less than that; asking for it costs more.
        if sum(alone) >= _MOST_SHARE:
            cidrs = [cidr for name in networks for cidr in registry.networks[name]]
            if addresses.shares(cidrs)[family] >= _MOST_SHARE:
                return family
    return None


def _http(endpoint: Endpoint) -> t.Iterator[Fault]:
    """What is offered over HTTP has to speak it, and to be reached by those who ask for it."""
    given = {
        "metrics": bool(endpoint.metrics),
        "routes": bool(endpoint.routes),
        "browser_origin": endpoint.browser_origin,
    }
    for key in (key for key, is_given in given.items() if is_given):
        fault = None
        if endpoint.protocol == "udp":
            fault = "found it with protocol: udp, which has no HTTP; allowed with tcp"
        elif endpoint.probe in DATABASES:
            fault = (
                f"found it with probe: {endpoint.probe}, which isn't HTTP; allowed with http, tls,"
                " tcp or none"
            )
        # A browser of the same host may come.
        elif endpoint.exposure == "host" and key != "browser_origin":
            fault = (
                "found it with exposure: host, where others can't reach it; allowed with internal,"
                " and who asks for it among the consumers"
            )
        if fault is not None:
            yield Fault((*endpoint.path, key), fault)
