# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of its addresses Elasticsearch tells others: its NetworkService and NetworkUtils."""

from __future__ import annotations

import array
import fcntl
import ipaddress
import pathlib
import socket
import struct
import typing as t

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# linux/sockios.h, and the size of struct ifreq
GIFCONF, REQUEST, ROOM = 0x8912, 40, 4096
SITE = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]


def of_host() -> list[Address]:
    """The addresses of all interfaces that are up."""
    found: list[Address] = []
    buffer = array.array("B", bytes(ROOM))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        request = struct.pack("iL", ROOM, buffer.buffer_info()[0])
        (size,) = struct.unpack("i", fcntl.ioctl(asked, GIFCONF, request)[:4])
    data = buffer.tobytes()[:size]
    for start in range(0, size, REQUEST):
        found.append(ipaddress.IPv4Address(data[start + 20 : start + 24]))
    path = pathlib.Path("/proc/net/if_inet6")
    lines = path.read_text().splitlines() if path.exists() else []
    found += [ipaddress.IPv6Address(bytes.fromhex(line.split()[0])) for line in lines]
    return found


def preference(address: Address) -> tuple[int, bytes]:
    """The sort key of NetworkUtils.sortAddresses: the first address is the published one."""
    key = len(address.packed)
    key += 5 * address.is_unspecified + 4 * address.is_multicast + 3 * address.is_loopback
    key += 2 * address.is_link_local
    # Java's isSiteLocalAddress: RFC 1918 and fec0::/10, not fc00::/7.
    is_site = any(address in network for network in SITE if network.version == address.version)
    key += is_site or (isinstance(address, ipaddress.IPv6Address) and address.is_site_local)
    return key, address.packed


def published(hosts: t.Sequence[str], own: t.Callable[[], list[Address]] = of_host) -> Address:
    """The address that others are told for a list of addresses and names.

    :raises ValueError: there is no such one.
    """
    resolved: set[Address] = set()
    for host in hosts:
        try:
            resolved.add(ipaddress.ip_address(host))
        except ValueError:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            resolved |= {ipaddress.ip_address(entry[4][0]) for entry in found}
    if len(resolved) == 1 and next(iter(resolved)).is_unspecified:
        resolved = set(own())
    for address in resolved:
        if address.is_multicast:
            raise ValueError(f"publish address: {{{address}}} is invalid: multicast address")
        if address.is_unspecified:
            raise ValueError(
                f"publish address: {{{address}}} is wildcard, but multiple addresses specified:"
                " this makes no sense"
            )
    return min(resolved, key=preference)
