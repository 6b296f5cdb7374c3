# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which endpoints can't exist side by side."""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import addresses
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import ALL_HOSTS, Endpoint

_ANYWHERE: t.Final = "*"
_EVERY_DEVICE: t.Final = "*"


class Claims:
    """Keeps who claimed which port first, and tells who is in the way of a new claim.

    A wildcard overlaps every address of its family, and `::` those of IPv4 too, as sockets are
    dual-stack by default. What is bound to a device overlaps what is bound to the same one or to
    none. A retired port can't be used on any address, a reserved one neither.
    Each claim is a few look-ups, however many there are.
    """

    def __init__(self) -> None:
        self._first: dict[tuple[t.Any, ...], Endpoint] = {}

    def claim(
        self, endpoint: Endpoint, listen: t.Iterable[str], group: str, environment: str
    ) -> Endpoint | None:
        """Claims the endpoint's port for the hosts of a group, or for all; the one in the way."""
        key = (endpoint.port, endpoint.protocol, environment)
        if endpoint.expect == "silent":
            takes = {endpoint.status, "silent"}
            meets = {"used", "reserved"} if endpoint.status == "reserved" else {"used"}
        else:
            takes, meets = {"used"}, {"silent"}
            for address in listen:
                its_takes, its_meets = _tokens(address, endpoint.device or "")
                takes |= its_takes
                meets |= its_meets
        everywhere = group == ALL_HOSTS
        other = None
        for place in (_ANYWHERE,) if everywhere else (group, ALL_HOSTS):
            for token in meets:
                other = other or self._first.get((*key, place, token))
        for place in (group, _ANYWHERE):
            for token in takes:
                self._first.setdefault((*key, place, token), endpoint)
        return other


@functools.lru_cache(maxsize=4096)
def _tokens(address: str, device: str) -> tuple[frozenset[str], frozenset[str]]:
    """What a socket on an address of a device takes, and what it must not meet."""
    takes, meets = _places(address)
    others = (device, "") if device else (_EVERY_DEVICE,)
    return (
        frozenset(f"{place}%{name}" for place in takes for name in (device, _EVERY_DEVICE)),
        frozenset(f"{place}%{name}" for place in meets for name in others),
    )


def _places(address: str) -> tuple[frozenset[str], frozenset[str]]:
    """The same on any device."""
    if address == addresses.ANY["ipv6"]:
        anyone = frozenset(addresses.ANYONE.values())
        return anyone | set(addresses.ANY.values()), anyone
    family = addresses.family(address)
    wildcard, everything = addresses.ANY[family], addresses.ANYONE[family]
    if address == wildcard:
        return frozenset((wildcard, everything)), frozenset((everything,))
    text = str(addresses.parse_address(address))
    return frozenset((text, everything)), frozenset((text, wildcard))
