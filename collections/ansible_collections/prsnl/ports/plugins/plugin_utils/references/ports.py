# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which port was whose, and what took its place: the registry's endpoints and its history."""

from __future__ import annotations

import collections
import dataclasses

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import Endpoint, Registry


@dataclasses.dataclass(frozen=True, slots=True)
class Past:
    """A port that a service has no more: `endpoint` had it, `use` has taken its place."""

    service: str
    endpoint: str
    retired: bool
    use: Endpoint | None
    gone: bool = False


class Ports:
    """The present and the past of every port."""

    def __init__(self, registry: Registry) -> None:
        self.in_use: dict[int, list[Endpoint]] = collections.defaultdict(list)
        self.silent: dict[int, list[Endpoint]] = collections.defaultdict(list)
        self.by_service: dict[str, list[Endpoint]] = collections.defaultdict(list)
        for endpoint in registry.endpoints.values():
            if endpoint.expect == "silent":
                self.silent[endpoint.port].append(endpoint)
            else:
                self.in_use[endpoint.port].append(endpoint)
                self.by_service[endpoint.service].append(endpoint)
        # By service and port the endpoints that had it, in the order of the history.
        self._had: dict[tuple[str, int], dict[str, bool]] = collections.defaultdict(dict)
        newest: dict[str, int | None] = {}
        for change in registry.changes:
            before = change.old or newest.get(change.endpoint)
            if before and before != change.new:
                service = change.endpoint.partition(".")[0]
                had = self._had[service, before]
                had.pop(change.endpoint, None)
                had[change.endpoint] = change.new is None
            newest[change.endpoint] = change.new
        self._registry = registry
        self.origins = [e for e in registry.endpoints.values() if e.browser_origin]
        self.past: dict[int, list[Past]] = collections.defaultdict(list)
        for service, port in {
            *self._had,
            *((e.service, e.port) for e in registry.endpoints.values() if e.status == "retired"),
        }:
            past = self.past_of(service, port)
            if past is not None:
                self.past[port].append(past)
        for pasts in self.past.values():
            pasts.sort(key=lambda past: past.service)

    def endpoint_had(self, endpoint: Endpoint, port: int) -> bool:
        """Whether an endpoint had a port that it has no more."""
        return endpoint.port != port and endpoint.id in self._had.get((endpoint.service, port), {})

    def past_of(self, service: str, port: int) -> Past | None:
        """What a port was to a service that has it no more; None if it isn't a former one."""
        present = self.by_service.get(service, [])
        if any(endpoint.port == port for endpoint in present):
            return None
        had = self._had.get((service, port), {})
        retired = self._retired(service, port)
        if not had and not retired:
            return None
        by_id = {endpoint.id: endpoint for endpoint in present}
        # Whoever had it last is meant.
        heirs = [by_id[name] for name in had if name in by_id][-1:]
        if not heirs:
            heirs = [endpoint for endpoint in present if endpoint.expect == "bound"]
        return Past(
            service=service,
            endpoint=retired[0].id if retired else next(iter(had)),
            retired=bool(retired),
            use=heirs[0] if len(heirs) == 1 else None,
            gone=not present,
        )

    def _retired(self, service: str, port: int) -> list[Endpoint]:
        return [
            endpoint
            for endpoint in self.silent.get(port, ())
            if endpoint.service == service and endpoint.status == "retired"
        ]

    def is_retired(self, service: str, port: int) -> bool:
        """Whether a service has a retired endpoint with a port."""
        return bool(self._retired(service, port))

    def only_past(self, port: int) -> list[Past]:
        """What a port was, if nobody has it today."""
        return [] if self.in_use.get(port) else self.past.get(port, [])

    def numbers(self) -> set[int]:
        """Every port that the registry knows."""
        return {*self.in_use, *self.silent, *self.past}

    def title(self, service: str) -> str:
        """A service as people write it, if its description begins so; else its name."""
        known = self._registry.services.get(service)
        for word in known.description.split() if known else ():
            plain = word.strip(".,:;()").removesuffix("'s")
            if plain.casefold() in (service, f"{service}db"):
                return plain
        return service
