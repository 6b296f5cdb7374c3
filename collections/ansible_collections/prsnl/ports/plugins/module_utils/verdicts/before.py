# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules for a host's plan and its sockets before anything is changed. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed, unique
from ansible_collections.prsnl.ports.plugins.module_utils.plan.addresses import overlaps
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import HostEndpoint
from ansible_collections.prsnl.ports.plugins.module_utils.plan.leases import Lease, lease_of
from ansible_collections.prsnl.ports.plugins.module_utils.plan.owners import (
    OTHER,
    UNKNOWN,
    Match,
    brief_holders,
    describe_holders,
    match_owner,
    what_to_stop,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Snapshot, Socket


@dataclass
class Check:
    """What was found on an endpoint's port before a change."""

    endpoint: HostEndpoint
    verdict: str
    sockets: list[Socket] = field(default_factory=list)
    # Services whose daemons hold the port.
    others: list[str] = field(default_factory=list)
    # Leases under which strangers hold it, expired ones too.
    leases: list[Lease] = field(default_factory=list)
    # Why those who are neither aren't the owner of the endpoint, or can't be told to be.
    matches: list[Match] = field(default_factory=list)
    held_by: str = ""
    conflict: t.Optional[str] = None
    warning: t.Optional[str] = None

    def as_dict(self) -> dict[str, t.Any]:
        """Plain data, ready for JSON."""
        return {
            "id": self.endpoint.id,
            "port": self.endpoint.port,
            "protocol": self.endpoint.protocol,
            "verdict": self.verdict,
            "held_on": unique(sock.address for sock in self.sockets),
            "held_by": self.held_by,
            "conflict": self.conflict is not None,
            "message": self.conflict or self.warning or "",
        }


def check_families(
    endpoints: t.Sequence[HostEndpoint], snapshot: Snapshot, host: str
) -> t.Optional[str]:
    """Return a message if the plan needs IPv6 and the host has none."""
    ids = [
        endpoint.id
        for endpoint in endpoints
        if endpoint.expect == "bound" and any(":" in address for address in endpoint.listen)
    ]
    if snapshot.has_ipv6 or not ids:
        return None
    return (
        f"{host}: {listed(ids)} would listen on IPv6, and the host has no IPv6 address. Give it"
        " one, or set port_address_families of it to [ipv4]."
    )


def check_plan(
    endpoints: t.Sequence[HostEndpoint],
    snapshot: Snapshot,
    *,
    host: str,
    registry: str,
    now: float,
    leases: t.Sequence[Lease] = (),
) -> list[Check]:
    """Judge each endpoint of a plan before its host is changed.

    A port that another service of the plan still holds is no conflict where that service has to
    move in the same run: it holds less than the plan gives it. Two services that wait for each
    other's ports are a conflict: neither could start first. A lease keeps its holder on a port that
    nobody has to have now, alternative or reserved; a service that has to start there is in the way
    of it.

    :param registry: the file that messages send the reader to.
    """
    checks = [_classify(endpoint, endpoints, snapshot, leases) for endpoint in endpoints]
    moving = _moving_services(checks)
    for check in checks:
        _explain(check, moving, snapshot, host=host, registry=registry, now=now)
    return checks


def _classify(
    endpoint: HostEndpoint,
    endpoints: t.Sequence[HostEndpoint],
    snapshot: Snapshot,
    leases: t.Sequence[Lease],
) -> Check:
    """Find out who is on the port: free, ours, leased, other-service, unknown or foreign."""
    is_silent = endpoint.expect == "silent"
    sockets = [
        sock
        for sock in snapshot.sockets
        if (sock.protocol, sock.port) == endpoint.key
        and (is_silent or overlaps(sock, endpoint.listen))
    ]
    check = Check(endpoint, "free", sockets)
    check.held_by = brief_holders(snapshot, sockets) if sockets else ""
    rank = ("free", "ours", "leased", "other-service", "unknown", "foreign")
    for sock in sockets:
        services = unique(
            other.service
            for other in endpoints
            if other.expect != "silent" and other.has(sock, snapshot)
        )
        lease = None if services else lease_of(sock, leases, snapshot)
        if endpoint.service in services:
            found = "ours"
        elif services:
            found = "other-service"
            check.others = unique([*check.others, services[0]])
        elif lease:
            check.leases.append(lease)
            found = "foreign" if lease.expired else "leased"
        else:
            match = match_owner(endpoint.owner, snapshot, sock)
            check.matches.append(match)
            found = "unknown" if match.verdict == UNKNOWN else "foreign"
        check.verdict = max(check.verdict, found, key=rank.index)
    return check


def _moving_services(checks: t.Sequence[Check]) -> set[str]:
    """Return the services that have to move to another port, and can: no circle of waiting."""
    waits: dict[str, set[str]] = {}
    for check in checks:
        if check.endpoint.expect == "bound" and check.verdict != "ours":
            waits.setdefault(check.endpoint.service, set()).update(check.others)
    able: set[str] = set()
    while True:
        more = {name for name, before in waits.items() if before <= able} - able
        if not more:
            return able
        able |= more


def _explain(
    check: Check,
    moving: set[str],
    snapshot: Snapshot,
    *,
    host: str,
    registry: str,
    now: float,
) -> None:
    endpoint = check.endpoint
    if check.verdict in ("free", "ours"):
        return
    where = listed(unique(sock.address for sock in check.sockets))
    who = listed(unique(describe_holders(snapshot, sock, now) for sock in check.sockets))
    is_silent = endpoint.expect == "silent"
    state = f"wanted by {endpoint.id} is held"
    if is_silent:
        state = f"is {endpoint.status} ({endpoint.id}) but held"
    held = f"{host}: {endpoint.label} {state} on {where} by {who}"
    if check.leases:
        held += f"; it {listed(unique(map(str, check.leases)))}"
    if check.verdict == "leased" and endpoint.status in ("alternative", "reserved"):
        return
    if check.verdict == "other-service":
        names = listed(check.others)
        if set(check.others) <= moving:
            check.warning = (
                f"{held}: {names} has to leave it in this run, before {endpoint.service} starts."
            )
            return
        check.conflict = (
            f"{held}: that is {names}, which can't leave it in this run. Move one of them over a"
            f" free port first, in {registry} and in a run of its own."
        )
    elif check.verdict == "unknown":
        missing = unique(match.missing for match in check.matches if match.missing)
        check.conflict = f"{held}. {' '.join(missing)}"
    elif check.verdict == "leased":
        check.conflict = f"{held}. End the lease and stop it, or move the service in {registry}."
    else:
        check.conflict = held + _remedy(check, snapshot, registry)
    if is_silent:
        check.verdict = "retired-in-use"


def _remedy(check: Check, snapshot: Snapshot, registry: str) -> str:
    """Return what is to be done about a stranger, after the reason if it may be none."""
    stop = f"stop {what_to_stop(check.sockets, snapshot)}"
    strangers = [match for match in check.matches if match.verdict == OTHER]
    if check.endpoint.expect == "silent":
        return f". S{stop[1:]}, or allocate the port in {registry}."
    if strangers and all(match.is_like for match in strangers):
        reasons = "; ".join(unique(fault for match in strangers for fault in match.faults))
        return (
            f": {reasons}. If that is {check.endpoint.service} itself, run it as it is registered,"
            f" or correct its owner in {registry}. If not, {stop}, or move the service there."
        )
    return f". S{stop[1:]}, or move the service in {registry}."
