# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a daemon binds so that it accepts connections on certain addresses."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import addresses

_IPV4: t.Final = addresses.ANY["ipv4"]
_IPV6: t.Final = addresses.ANY["ipv6"]


@dataclasses.dataclass(frozen=True, slots=True)
class Binding:
    """The fewest sockets that accept connections on given addresses.

    A socket of `::` serves IPv4 as well (RFC 3493, section 3.7) unless its program says
    IPV6_V6ONLY. `dual_stack` says that it has to.
    """

    addresses: tuple[str, ...]
    dual_stack: bool

    @property
    def address(self) -> str | None:
        """The one address to bind, or None where one isn't enough."""
        return self.addresses[0] if len(self.addresses) == 1 else None

    @property
    def wildcard(self) -> bool:
        """Whether it is every address of a family, or of both."""
        return self.address in (_IPV4, _IPV6)

    def as_dict(self, port: int) -> dict[str, t.Any]:
        """Plain data, ready for JSON, with the sockets of a port."""
        sockets = [socket(address, port) for address in self.addresses]
        return {
            "address": self.address,
            "addresses": list(self.addresses),
            "socket": sockets[0] if len(sockets) == 1 else None,
            "sockets": sockets,
            "wildcard": self.wildcard,
            "dual_stack": self.dual_stack,
        }


def bind(listen: t.Iterable[str]) -> Binding:
    """The binding for the addresses of an endpoint on a host."""
    wanted = tuple(dict.fromkeys(listen))
    has_ipv4 = any(addresses.family(address) == "ipv4" for address in wanted)
    if _IPV6 in wanted:
        return Binding((_IPV6,), dual_stack=has_ipv4)
    if _IPV4 in wanted:
        wanted = tuple(a for a in wanted if a == _IPV4 or addresses.family(a) == "ipv6")
    return Binding(wanted, dual_stack=False)


def socket(address: str, port: int) -> str:
    """An address with a port, as in URLs (RFC 3986): `10.0.0.1:80`, `[::1]:80`."""
    return f"[{address}]:{port}" if addresses.family(address) == "ipv6" else f"{address}:{port}"
