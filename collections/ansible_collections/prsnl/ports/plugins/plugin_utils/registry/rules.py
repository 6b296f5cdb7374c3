# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second layer of validation: what a schema can't say.

Each rule looks at every entry a fixed number of times, so that the cost grows with the registry
and not with its square. A part that the schema has refused is skipped.
"""

from __future__ import annotations

import bisect
import dataclasses
import datetime
import itertools
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    addresses,
    outputs,
    reach,
    schema,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.claims import Claims
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import Fault, Path, found
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import (
    ALL_HOSTS,
    EXPECT,
    GUARDED,
    LAST_PORT,
    Endpoint,
    HistoryChange,
    Protocol,
    Range,
    Registry,
    Service,
    mapping,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.owners import (
    SYSTEMS,
    Identities,
    owner_faults,
    owner_on,
)


def faults(registry: Registry) -> t.Iterator[Fault]:
    """Every fault of the registry's meaning."""
    for rule in (
        _names,
        _references,
        reach.faults,
        _owners,
        _identities,
        _conflicts,
        _routes,
        _ranges,
        _range_members,
        _decisions,
        _dates,
        _history,
        outputs.faults,
        _runbooks,
    ):
        yield from rule(registry)


def _names(registry: Registry) -> t.Iterator[Fault]:
    groups = mapping(registry.data.get("groups"))
    for kind in ("services", "groups", "networks"):
        if ALL_HOSTS in mapping(registry.data.get(kind)):
            yield Fault(
                (kind, ALL_HOSTS),
                f"found the name {found(ALL_HOSTS)}, which means every host;"
                " allowed is another name",
            )
    for name, service in registry.services.items():
        if name in groups and service.hosts not in ("", name):
            yield _ambiguous(("services", name), ("groups", name), "on which it isn't placed, ")
    for name in registry.networks:
        for kind, others in (("services", registry.services), ("groups", groups)):
            if name in others:
                yield _ambiguous(("networks", name), (kind, name))


def _ambiguous(path: tuple[str, str], other: tuple[str, str], how: str = "") -> Fault:
    kind, name = other
    return Fault(
        path,
        f"found {found(name)} among the {kind} too, {how}so that as a consumer it can mean either;"
        " allowed is another name",
        see=other,
    )


def _references(registry: Registry) -> t.Iterator[Fault]:
    data = registry.data
    environments, ranges = data.get("environments"), data.get("ranges", {})
    groups = {*mapping(data.get("groups")), ALL_HOSTS}
    consumers = {*registry.services, *groups, *registry.networks}
    for name, service in registry.services.items():
        path: Path = ("services", name)
        if service.hosts and service.hosts not in groups:
            yield _unknown((*path, "hosts"), service.hosts, "groups", groups)
        if service.range and isinstance(ranges, dict) and service.range not in ranges:
            yield _unknown((*path, "range"), service.range, "ranges", ranges)
        for index, environment in enumerate(service.environments):
            if environment and isinstance(environments, dict) and environment not in environments:
                where = (*path, "environments", index)
                yield _unknown(where, environment, "environments", environments)
        own_environments = frozenset(service.environments)
        for endpoint in service.endpoints:
            yield from _consumers(endpoint, consumers)
            for index, environment in enumerate(endpoint.environments):
                if environment and own_environments and environment not in own_environments:
                    yield Fault(
                        (*endpoint.path, "environments", index),
                        f"found {found(environment)}, allowed are the service's environments:"
                        f" {listed(service.environments, 'and')}",
                        word=environment,
                        among=service.environments,
                    )

    for protocol in registry.protocols.values():
        if protocol.hosts and protocol.hosts not in groups:
            yield _unknown((*protocol.path, "hosts"), protocol.hosts, "groups", groups)
        for index, environment in enumerate(protocol.environments):
            if environment and isinstance(environments, dict) and environment not in environments:
                where = (*protocol.path, "environments", index)
                yield _unknown(where, environment, "environments", environments)
        yield from _consumers(protocol, consumers)


def _consumers(entry: Endpoint | Protocol, known: t.Collection[str]) -> t.Iterator[Fault]:
    for index, consumer in enumerate(entry.consumers):
        if consumer and consumer not in known:
            where = (*entry.path, "consumers", index)
            yield _unknown(where, consumer, "services, groups and networks", known)


def _unknown(path: Path, name: str, kinds: str, known: t.Collection[str]) -> Fault:
    message = f"found {found(name)}, allowed are the {kinds} of this file"
    return Fault(path, message, word=name, among=known)


def _owners(registry: Registry) -> t.Iterator[Fault]:
    for endpoint in registry.endpoints.values():
        if endpoint.expect in ("bound", "optional") and endpoint.owner is None:
            yield Fault(
                (*endpoint.path, "owner"),
                f"found nothing, here or for the service, allowed is the owner that holds this"
                f" {endpoint.status} endpoint",
            )
    for path, _service, owner in _given_owners(registry):
        yield from owner_faults(path, owner)


def _given_owners(registry: Registry) -> t.Iterator[tuple[Path, Service, dict[str, t.Any] | None]]:
    """Every owner with its path and its service; None where the service itself has none."""
    for name, service in registry.services.items():
        yield ("services", name, "owner"), service, service.owner
        for endpoint in service.endpoints:
            if endpoint.owner is not service.owner:
                yield (*endpoint.path, "owner"), service, endpoint.owner


def _identities(registry: Registry) -> t.Iterator[Fault]:
    """Services that nobody could tell apart by who holds their sockets."""
    claims: dict[tuple[str, str], Identities] = {}
    for path, service, owner in _given_owners(registry):
        for system, environment in itertools.product(SYSTEMS, service.environments):
            known = claims.setdefault((system, environment), Identities())
            given = owner_on(owner, system)
            other = known.claim(given, (service.name, path), service.hosts) if given else None
            if other is not None:
                kind, name, (first, see) = other
                yield Fault(
                    path,
                    f"found the {kind} {found(name)} of {first} again, by which nobody can tell the"
                    " two services apart; allowed is one service with the endpoints of both, or"
                    " another owner",
                    see=see,
                )
                break


def _conflicts(registry: Registry) -> t.Iterator[Fault]:
    claims = Claims()
    for endpoint in registry.endpoints.values():
        # A retired port is retired for everybody: its old clients are everywhere.
        retired = endpoint.status == "retired"
        hosts = ALL_HOSTS if retired else registry.services[endpoint.service].hosts
        if not (endpoint.port and hosts and endpoint.expect):
            continue
        listen = endpoint.addresses
        if not listen:
            loopback = endpoint.exposure == "host"
            listen = tuple((addresses.LOOPBACK if loopback else addresses.ANY).values())
        for environment in endpoint.environments:
            other = claims.claim(endpoint, listen, hosts, environment)
            if other is not None:
                yield _conflict(endpoint, other, environment)
                break


def _conflict(endpoint: Endpoint, other: Endpoint, environment: str) -> Fault:
    allowed = "another port or hosts"
    if "retired" in (endpoint.status, other.status):
        allowed = "another port"
    elif "reserved" not in (endpoint.status, other.status):
        allowed = "another port, hosts or address"
    if endpoint.expect == "silent" and other.expect != "silent":
        endpoint, other = other, endpoint
    how = other.status if other.expect == "silent" else "taken"
    return Fault(
        (*endpoint.path, "port"),
        f"found {endpoint.port}/{endpoint.protocol}, {how} by {other.id} in {environment};"
        f" allowed is {allowed}",
        see=(*other.path, "port"),
    )


def _routes(registry: Registry) -> t.Iterator[Fault]:
    first: dict[tuple[str, str], Endpoint] = {}
    for endpoint in registry.endpoints.values():
        for prefix in endpoint.routes:
            for environment in endpoint.environments:
                other = first.setdefault((environment, prefix), endpoint)
                if other is not endpoint:
                    yield Fault(
                        (*endpoint.path, "routes", prefix),
                        f"found a prefix that {other.id} has in {environment} already; allowed is"
                        " another one",
                        see=(*other.path, "routes", prefix),
                    )
                    break


def _ranges(registry: Registry) -> t.Iterator[Fault]:
    for span in registry.ranges:
        if not 1 <= span.first <= span.last <= LAST_PORT:
            yield Fault(
                ("ranges", span.name, "ports"),
                f"found {span.first}-{span.last}, allowed are two ports from 1 to"
                f" {LAST_PORT}, the lower one first",
            )
    widest: Range | None = None
    for span in _sorted(registry.ranges):
        if widest is not None and span.first <= widest.last:
            yield Fault(
                ("ranges", span.name, "ports"),
                f"found {span.first}-{span.last}, which overlaps {widest}; allowed are ports"
                " outside the other ranges",
                see=("ranges", widest.name, "ports"),
            )
        if widest is None or span.last > widest.last:
            widest = span


def _sorted(ranges: list[Range]) -> list[Range]:
    sound = (span for span in ranges if span.first <= span.last)
    return sorted(sound, key=lambda span: (span.first, span.last))


def _range_members(registry: Registry) -> t.Iterator[Fault]:
    ranges = _sorted(registry.ranges)
    by_name = {span.name: span for span in ranges}
    firsts = [span.first for span in ranges]
    for endpoint in registry.endpoints.values():
        if not endpoint.port:
            continue
        name = registry.services[endpoint.service].range
        if name is not None and name not in by_name:
            continue
        index = bisect.bisect_right(firsts, endpoint.port) - 1
        around = ranges[index] if index >= 0 and endpoint.port <= ranges[index].last else None
        own = by_name[name] if name is not None else None
        if own is not None and own.first <= endpoint.port <= own.last:
            place, fits = f"inside the service's range {own}", True
        elif own is not None:
            place, fits = f"outside the service's range {own}", False
        elif around is not None:
            place, fits = f"inside the range {around}, which isn't the service's", False
        else:
            place, fits = "outside all ranges, and the service has none", True
        if fits and endpoint.exception is not None:
            yield Fault(
                (*endpoint.path, "exception"),
                f"found a reason although {endpoint.port} lies {place}; allowed is none",
            )
        elif not fits and endpoint.exception is None:
            yield Fault(
                (*endpoint.path, "port"),
                f"found {endpoint.port}, {place}; allowed with a reason under exception only",
            )


def _decisions(registry: Registry) -> t.Iterator[Fault]:
    data = registry.data
    kinds = ("services", "ranges", "groups", "networks", "environments")
    known = {*registry.endpoints, *(name for kind in kinds for name in mapping(data.get(kind)))}
    decisions = data.get("decisions")
    unusable = "services" not in data or any(not isinstance(data.get(k, {}), dict) for k in kinds)
    if not isinstance(decisions, list) or unusable:
        return
    for index, decision in enumerate(decisions):
        subject = mapping(decision).get("subject")
        if isinstance(subject, str) and subject not in known:
            kind = "endpoints, services, ranges, groups, networks and environments"
            yield _unknown(("decisions", index, "subject"), subject, kind, known)


def _dates(registry: Registry) -> t.Iterator[Fault]:
    history = registry.data.get("history")
    newest: str = ""
    newest_path: Path | None = None
    for index, entry in enumerate(history if isinstance(history, list) else []):
        date: t.Any = mapping(entry).get("date")
        path: Path = ("history", index, "date")
        if not isinstance(date, str):
            continue
        try:
            datetime.date.fromisoformat(date)
        except ValueError:
            yield Fault(path, f"found {found(date)}, allowed is a day of the calendar")
            continue
        if date < newest:
            yield Fault(
                path,
                f"found {date}, allowed is {newest} or later, as the oldest entry comes first",
                see=newest_path,
            )
        else:
            newest, newest_path = date, path


def _history(registry: Registry) -> t.Iterator[Fault]:
    if not isinstance(registry.data.get("history", []), list):
        return
    newest: dict[str, HistoryChange] = {}
    unsure: set[str] = set()
    for change in registry.changes:
        recorded = change.status in EXPECT if change.new is not None else True
        if not recorded or 0 in (change.old, change.new):
            unsure.add(change.endpoint)
        yield from _chain(change, newest.get(change.endpoint), change.endpoint in unsure)
        newest[change.endpoint] = change
    for change in newest.values():
        if change.new is not None and _is_missing(registry, change.endpoint):
            yield Fault(
                (*change.path, "endpoint"),
                f"found {found(change.endpoint)}, which isn't among the services; allowed is an"
                " endpoint of this file, or as its newest entry one without to, which says that it"
                " was removed",
                word=change.endpoint,
                among=registry.endpoints,
            )
    for endpoint in registry.endpoints.values():
        if endpoint.id not in unsure:
            yield from _recorded(endpoint, newest.get(endpoint.id))


def _is_missing(registry: Registry, endpoint: str) -> bool:
    services = registry.data.get("services")
    if endpoint in registry.endpoints or endpoint.count(".") != 1 or not isinstance(services, dict):
        return False
    service = services.get(endpoint.partition(".")[0], {"endpoints": {}})
    return isinstance(mapping(service).get("endpoints"), dict)


def _chain(change: HistoryChange, before: HistoryChange | None, unsure: bool) -> t.Iterator[Fault]:
    if change.old is None and change.new is None:
        yield Fault(change.path, "found neither from nor to, allowed is one or both")
    elif unsure or not change.endpoint:
        return
    elif before is None or before.new is None:
        if change.old is not None:
            what = "the first entry" if before is None else "the first entry after the removal"
            yield Fault(
                (*change.path, "from"),
                f"found {change.old}, allowed is none in {what} of {change.endpoint}",
                see=before.path if before else None,
            )
    elif change.old != before.new:
        yield Fault(
            (*change.path, "from"),
            f"found {found(change.old)}, allowed is {before.new}, which {change.endpoint} had"
            " before",
            see=before.path,
        )


def _recorded(endpoint: Endpoint, newest: HistoryChange | None) -> t.Iterator[Fault]:
    if newest is None:
        if endpoint.status in GUARDED:
            yield Fault(
                (*endpoint.path, "status"),
                f"found {endpoint.status} without an entry in history; allowed with one that has"
                f" {_entry(endpoint, None)}",
            )
    elif newest.new is None:
        yield Fault(
            endpoint.path,
            f"found an endpoint that history says was removed on {newest.date}; allowed with a"
            f" later entry that has {_entry(endpoint, None)}",
            see=newest.path,
        )
    elif endpoint.status in GUARDED or newest.status in GUARDED:
        for key, now, then in (
            ("port", endpoint.port, newest.new),
            ("status", endpoint.status, newest.status),
        ):
            if now != then and endpoint.port and endpoint.expect:
                yield Fault(
                    (*endpoint.path, key),
                    f"found {now}, but {then} in its newest entry in history ({newest.date});"
                    f" allowed with a later entry that has {_entry(endpoint, newest.new)}",
                    see=newest.path,
                )
                return


def _entry(endpoint: Endpoint, old: int | None) -> str:
    before = f"from: {old}, " if old is not None else ""
    port = endpoint.port or "..."
    return f"{{endpoint: {endpoint.id}, {before}to: {port}, status: {endpoint.status}}}"


def _runbooks(registry: Registry) -> t.Iterator[Fault]:
    for name, service in mapping(registry.data.get("services")).items():
        runbook = mapping(service).get("runbook")
        if isinstance(runbook, dict):
            for fault in schema.runbook_schema().faults(runbook):
                yield dataclasses.replace(fault, path=("services", name, "runbook", *fault.path))
