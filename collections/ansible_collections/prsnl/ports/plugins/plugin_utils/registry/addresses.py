# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of addresses, by netaddr."""

from __future__ import annotations

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


def host_cidr(address: str) -> str:
    """The CIDR that holds one address only."""
    return str(netaddr.IPNetwork(address).cidr)


def merge_cidrs(cidrs: t.Iterable[str]) -> list[str]:
    """The smallest list of CIDRs that covers the same addresses."""
    return [str(cidr) for cidr in netaddr.cidr_merge(list(cidrs))]
