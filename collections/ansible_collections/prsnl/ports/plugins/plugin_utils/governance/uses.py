# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has a port, and which ports nobody has."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.known_ports import AIRPLAY
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    Path,
    RegistryError,
    found,
    near,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.leases import Lease
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import (
    LAST_PORT,
    Endpoint,
    Range,
    Registry,
)

PROTOCOLS: t.Final = ("tcp", "udp")


class UnknownError(RegistryError):
    """A question about something that the registry doesn't have; `str()` says what it has."""


@dataclasses.dataclass(frozen=True)
class Use:
    """Why a port isn't simply free.

    `kind` is `registered`, `reserved`, `retired`, `formerly` (an endpoint has left it), `leased`,
    `lease ended` or `system`; `who` the endpoint or the holder; `path` where the registry says so.
    """

    port: int
    protocol: str
    kind: str
    who: str
    text: str
    path: Path = ()
    where: str = ""

    def __str__(self) -> str:
        where = f" ({self.where})" if self.where else ""
        return f"{self.port}/{self.protocol} {self.text}{where}"


class Uses:
    """Every use of every port, by what the registry and the leases say, on whatever host."""

    def __init__(
        self, registry: Registry, leases: t.Sequence[Lease], now: datetime.datetime
    ) -> None:
        self.registry = registry
        self._by_port: dict[tuple[int, str], list[Use]] = {}
        for endpoint in registry.endpoints.values():
            self._add(_use_of(registry, endpoint))
        for use in _former_uses(registry):
            self._add(use)
        for lease in leases:
            kind = "lease ended" if lease.has_ended(now) else "leased"
            text = lease.state(now)
            self._add(Use(*lease.key[:0:-1], kind, lease.hosts, text, where=lease.where))
        for port in AIRPLAY:
            self._add(Use(port, "tcp", "system", "macOS", "is taken by AirPlay Receiver on a Mac"))

    def _add(self, use: Use) -> None:
        self._by_port.setdefault((use.port, use.protocol), []).append(use)

    def of(self, port: int, protocol: str) -> list[Use]:
        """The uses of a port, with their places."""
        return [
            dataclasses.replace(use, where=self.registry.where(use.path)) if use.path else use
            for use in self._by_port.get((port, protocol), ())
        ]

    def is_free(self, port: int, protocol: str) -> bool:
        """Whether nobody has it, had it, or is going to have it."""
        return (port, protocol) not in self._by_port

    def free(self, span: Range, protocol: str) -> t.Iterator[int]:
        """The free ports of a range, the lowest one first."""
        return (p for p in range(span.first, span.last + 1) if self.is_free(p, protocol))


def _use_of(registry: Registry, endpoint: Endpoint) -> Use:
    service = registry.services[endpoint.service]
    is_silent = endpoint.expect == "silent"
    kind = endpoint.status if is_silent else "registered"
    text = (
        f"is {endpoint.id}, {endpoint.status}, on {service.hosts} in"
        f" {listed(endpoint.environments, 'and')}: {endpoint.description}"
    )
    path = (*endpoint.path, "port")
    return Use(endpoint.port, endpoint.protocol, kind, endpoint.id, text, path)


def _former_uses(registry: Registry) -> t.Iterator[Use]:
    """The ports that endpoints have left, by the history."""
    for change in registry.changes:
        endpoint = registry.endpoints.get(change.endpoint)
        if change.old is None or (endpoint is not None and change.old == endpoint.port):
            continue
        later = f"which moved to {change.new}" if change.new is not None else "which was removed"
        text = f"was {change.endpoint}'s until {change.date}, {later}"
        # The history doesn't tell the protocol of what is gone.
        for protocol in (endpoint.protocol,) if endpoint else PROTOCOLS:
            yield Use(change.old, protocol, "formerly", change.endpoint, text, change.path)


def span_of(registry: Registry, text: str) -> Range:
    """The range of a name, of `FIRST-LAST`, or of one port. Raises UnknownError."""
    for span in registry.ranges:
        if span.name == text:
            return span
    first, _hyphen, last = text.partition("-")
    if first.isdecimal() and (last or first).isdecimal():
        ports = int(first), int(last or first)
        if 1 <= ports[0] <= ports[1] <= LAST_PORT:
            return Range(text, *ports)
        raise UnknownError(f"found {text}, allowed are ports from 1 to {LAST_PORT}")
    names = [span.name for span in registry.ranges]
    allowed = listed([*names, "a port", "FIRST-LAST"], "or")
    raise UnknownError(f"found {found(text)}, allowed is {allowed}{near(text, names)}")


def spans(ports: t.Iterable[int]) -> list[tuple[int, int]]:
    """Ascending ports as pairs of first and last of those that follow one another."""
    pairs: list[tuple[int, int]] = []
    for port in ports:
        if pairs and pairs[-1][1] == port - 1:
            pairs[-1] = pairs[-1][0], port
        else:
            pairs.append((port, port))
    return pairs
