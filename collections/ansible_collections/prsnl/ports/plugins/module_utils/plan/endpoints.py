# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The endpoints of a host's plan, as the host reads them. Pure."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.plan.addresses import Network
from ansible_collections.prsnl.ports.plugins.module_utils.plan.owners import ExpectedOwner


@dataclass(frozen=True)
class HostEndpoint:
    """An endpoint of a host's plan."""

    id: str
    service: str
    name: str
    port: int
    protocol: str
    status: str
    expect: str
    listen: tuple[str, ...]
    allowed: tuple[Network, ...]
    owner: ExpectedOwner
    probe: str

    @classmethod
    def from_plan(cls, entry: t.Mapping[str, t.Any]) -> HostEndpoint:
        """Return the endpoint of one entry of a plan.

        :raises KeyError: the entry lacks a key.
        :raises ValueError: an address or a network of the entry isn't one.
        """
        return cls(
            id=entry["id"],
            service=entry["service"],
            name=entry["name"],
            port=entry["port"],
            protocol=entry["protocol"],
            status=entry["status"],
            expect=entry["expect"],
            listen=tuple(str(ipaddress.ip_address(address)) for address in entry["listen"]),
            allowed=tuple(ipaddress.ip_network(cidr) for cidr in entry["allowed"]),
            owner=ExpectedOwner.from_dict(entry["owner"]),
            probe=entry["probe"],
        )

    @property
    def key(self) -> tuple[str, int]:
        """Protocol and port."""
        return self.protocol, self.port

    @property
    def label(self) -> str:
        """Port and protocol, as people write them."""
        return f"{self.port}/{self.protocol}"


def read_plan(plan: t.Mapping[str, t.Any]) -> list[HostEndpoint]:
    """Return the endpoints of a plan.

    :raises ValueError: the plan isn't one.
    """
    try:
        return [HostEndpoint.from_plan(entry) for entry in plan["endpoints"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"plan: not a plan as prsnl.ports.registry_info returns it: {error!r}"
        ) from error
