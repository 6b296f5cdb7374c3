# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry as it would be if endpoints were where they still are."""

from __future__ import annotations

import copy
import functools
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import found, near
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import LAST_PORT, Registry


def at_ports(known: Registry, ports: t.Any) -> Registry:
    """The registry with other ports for endpoints, by their ids.

    A retired endpoint with such a port is left out: it is where nobody was to be after the move.
    Raises ValueError if `ports` isn't a mapping from ids of the registry to ports.
    """
    if not isinstance(ports, t.Mapping):
        raise ValueError(f"is {found(ports)}, allowed is a mapping from endpoints to ports")
    for name, port in ports.items():
        if name not in known.endpoints:
            raise ValueError(
                f"has {found(str(name))}, allowed are endpoints of the registry"
                f"{near(str(name), known.endpoints)}"
            )
        if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= LAST_PORT:
            raise ValueError(f"has {found(port)} for {name}, allowed is a port")
    if all(known.endpoints[name].port == port for name, port in ports.items()):
        return known
    return _at(_Same(known), tuple(sorted((str(name), int(port)) for name, port in ports.items())))


class _Same:
    """A registry, which is the same as long as it is the same object."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def __hash__(self) -> int:
        return id(self.registry)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.registry is self.registry


@functools.lru_cache(maxsize=4)
def _at(same: _Same, ports: tuple[tuple[str, int], ...]) -> Registry:
    known = same.registry
    data = copy.deepcopy(known.data)
    for name, port in ports:
        endpoint = known.endpoints[name]
        data["services"][endpoint.service]["endpoints"][endpoint.name]["port"] = port
        for other in known.endpoints.values():
            key = (other.port, other.protocol, other.status)
            if key == (port, endpoint.protocol, "retired"):
                del data["services"][other.service]["endpoints"][other.name]
    return Registry.from_data(data, known.file, known.source)
