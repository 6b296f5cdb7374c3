# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of addresses, by netaddr."""

from __future__ import annotations

import functools
import typing as t

try:
    import netaddr
except ImportError as error:
    NETADDR_ERROR: ImportError | None = error
else:
    NETADDR_ERROR = None

ANY: t.Final = {"ipv4": "0.0.0.0", "ipv6": "::"}  # noqa: S104 - to compare with
ANYONE: t.Final = {"ipv4": "0.0.0.0/0", "ipv6": "::/0"}
LOOPBACK: t.Final = {"ipv4": "127.0.0.1", "ipv6": "::1"}
LOOPBACKS: t.Final = {"ipv4": "127.0.0.0/8", "ipv6": "::1/128"}
# What no host has towards others, by IANA's registries of special-purpose addresses (RFC 6890) and
# of multicast ones. The first that fits counts.
_SPECIAL: t.Final = (
    ("loopback", ("127.0.0.0/8", "::1/128")),
    ("unspecified", ("0.0.0.0/8", "::/128")),
    ("IPv4-mapped", ("::ffff:0:0/96",)),
    ("link-local", ("169.254.0.0/16", "fe80::/10")),
    ("multicast", ("224.0.0.0/4", "ff00::/8")),
    ("broadcast", ("255.255.255.255/32",)),
    ("reserved", ("240.0.0.0/4", "::/96")),
)
# All that anybody on the internet has.
_GLOBAL: t.Final = {"ipv4": "0.0.0.0/0", "ipv6": "2000::/3"}


def parse_address(text: t.Any) -> netaddr.IPAddress | None:
    """The address that a text is, or None."""
    if not isinstance(text, str):
        return None
    try:
        return netaddr.IPAddress(text, flags=netaddr.INET_PTON)
    except (netaddr.AddrFormatError, ValueError):
        return None


def is_loopback(text: str) -> bool:
    """Whether the text is a loopback address."""
    address = parse_address(text)
    return address is not None and bool(address.is_loopback())


def family(address: str) -> str:
    """`ipv4` or `ipv6`."""
    return "ipv6" if ":" in address else "ipv4"


def network_of(text: str) -> str | None:
    """The network that a CIDR is in, without host bits; None if the text isn't a CIDR."""
    if "/" not in text:
        return None
    try:
        return str(netaddr.IPNetwork(text).cidr)
    except (netaddr.AddrFormatError, ValueError):
        return None


@functools.cache
def _special() -> list[tuple[str, list[netaddr.IPNetwork]]]:
    return [(kind, [netaddr.IPNetwork(cidr) for cidr in cidrs]) for kind, cidrs in _SPECIAL]


@functools.lru_cache(maxsize=4096)
def special(text: str) -> str | None:
    """What kind of address no other host has an address is, or one that a CIDR begins or ends with.

    It is loopback, unspecified, IPv4-mapped, link-local, multicast, broadcast or reserved; None if
    it is an ordinary one, or if the text isn't one.
    """
    try:
        network = netaddr.IPNetwork(text)
    except (netaddr.AddrFormatError, ValueError):
        return None
    ends = {netaddr.IPAddress(end, network.version) for end in (network.first, network.last)}
    for kind, blocks in _special():
        if any(end in block for block in blocks for end in ends):
            return kind
    return None


def unmapped(address: str) -> str:
    """The IPv4 address that an IPv4-mapped one of IPv6 is (RFC 4291, 2.5.5.2)."""
    return str(netaddr.IPAddress(address).ipv4())


Shares = t.Mapping[str, float]


def shares(cidrs: t.Iterable[str]) -> Shares:
    """Which share of all addresses that anybody has networks hold together, by family."""
    merged = netaddr.cidr_merge([cidr for cidr in cidrs if network_of(cidr) is not None])
    result = {}
    for name, everything in _GLOBAL.items():
        space = netaddr.IPNetwork(everything)
        parts = [part for part in merged if part.version == space.version]
        held = sum(min(part.size, space.size) for part in parts if part in space or space in part)
        result[name] = held / space.size
    return result


def host_cidr(address: str) -> str:
    """The CIDR that holds one address only."""
    return str(netaddr.IPNetwork(address).cidr)


def merge_cidrs(cidrs: t.Iterable[str]) -> list[str]:
    """The smallest list of CIDRs that covers the same addresses."""
    return [str(cidr) for cidr in netaddr.cidr_merge(list(cidrs))]
