# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an address of a plan stands for, and what a socket receives. Pure."""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Socket

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
ANY_IPV4 = ipaddress.ip_network("0.0.0.0/0")
ANY_IPV6 = ipaddress.ip_network("::/0")


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
