# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules for a host's plan and its sockets before anything is changed, and the look at them."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed, unique
from ansible_collections.prsnl.ports.plugins.module_utils.plan.addresses import overlaps
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import HostEndpoint
from ansible_collections.prsnl.ports.plugins.module_utils.plan.leases import Lease, lease_of
from ansible_collections.prsnl.ports.plugins.module_utils.plan.names import is_named
from ansible_collections.prsnl.ports.plugins.module_utils.plan.owners import (
    OTHER,
    UNKNOWN,
    Match,
    brief_holders,
    describe_holders,
    is_kernels,
    match_owner,
    what_to_stop,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import (
    CLOSED,
    Snapshot,
    Socket,
    user_name,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.snapshot import (
    read_host_redirects,
    take_snapshot,
    with_other_states,
)
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.trials import (
    UNTRIED,
    Trial,
    try_endpoint,
)

# Who writes rules by which packets go elsewhere, by the words in them.
MAKERS = {
    "KUBE-": "Kubernetes",
    "kube-proxy": "Kubernetes",
    "CNI-": "a container's hostPort or svclb, by CNI",
    "cni": "a container's hostPort, by CNI",
    "DOCKER": "docker",
    "docker": "docker",
    "NETAVARK": "podman",
    "netavark": "podman",
    "LIBVIRT": "libvirt",
    "incus": "Incus",
    "lxd": "LXD",
    "firewalld": "firewalld",
}


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
    trial: Trial = UNTRIED
    conflict: t.Optional[str] = None
    warning: t.Optional[str] = None

    def as_dict(self) -> dict[str, t.Any]:
        """Plain data, ready for JSON."""
        return {
            "id": self.endpoint.id,
            "port": self.endpoint.port,
            "protocol": self.endpoint.protocol,
            "verdict": self.verdict,
            "held_on": unique(sock.where for sock in self.sockets),
            "held_by": self.held_by,
            "bind_works": list(self.trial.works),
            "bind_fails": [*self.trial.taken, *self.trial.absent],
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


def check_host(
    endpoints: t.Sequence[HostEndpoint],
    *,
    host: str,
    registry: str,
    now: float,
    leases: t.Sequence[Lease] = (),
) -> tuple[list[Check], Snapshot, str]:
    """Compare this host with its plan before it is changed.

    Where no socket is seen, the kernel is asked whether the port can be bound.

    :return: the checks, the snapshot, and which rules for packets couldn't be read and why.
    :raises OSError: the sockets can't be read.
    """
    snapshot = take_snapshot({endpoint.key for endpoint in endpoints})
    facts: dict[str, t.Any] = {"host": host, "registry": registry, "now": now, "leases": leases}
    checks = check_plan(endpoints, snapshot, **facts)
    redirects = read_host_redirects()
    trials = {
        check.endpoint.id: try_endpoint(check.endpoint, _untold(check), redirects)
        for check in checks
    }
    taken = {endpoint.key for endpoint in endpoints if trials[endpoint.id].taken}
    if taken:
        snapshot = with_other_states(snapshot, taken)
    return check_plan(endpoints, snapshot, trials=trials, **facts), snapshot, redirects.unread


def _untold(check: Check) -> list[str]:
    """Return the addresses of which the sockets alone don't tell whether they can be bound."""
    return [
        address
        for address in check.endpoint.listen
        if all(sock.device for sock in check.sockets if overlaps(sock, [address]))
    ]


def check_plan(
    endpoints: t.Sequence[HostEndpoint],
    snapshot: Snapshot,
    *,
    host: str,
    registry: str,
    now: float,
    leases: t.Sequence[Lease] = (),
    trials: t.Optional[t.Mapping[str, Trial]] = None,
) -> list[Check]:
    """Judge each endpoint of a plan before its host is changed.

    A port that another service of the plan still holds is no conflict where that service has to
    move in the same run: it holds less than the plan gives it. Two services that wait for each
    other's ports are a conflict: neither could start first. A lease keeps its holder on a port that
    nobody has to have now, alternative or reserved; a service that has to start there is in the way
    of it.

    :param registry: the file that messages send the reader to.
    :param trials: what the kernel says of endpoints, by their ids.
    """
    tried = trials or {}
    checks = [
        _classify(endpoint, endpoints, snapshot, leases, tried.get(endpoint.id, UNTRIED))
        for endpoint in endpoints
    ]
    moving = _moving_services(checks)
    for check in checks:
        if check.verdict in ("free", "ours", "no-address"):
            check.warning = _reservation(check, host, registry)
        elif check.matches or check.others or check.leases:
            _explain(check, moving, snapshot, host=host, registry=registry, now=now)
        else:
            _explain_refusal(check, host, registry)
        if check.conflict and check.endpoint.expect == "silent":
            check.verdict = "retired-in-use"
    return checks


def _classify(
    endpoint: HostEndpoint,
    endpoints: t.Sequence[HostEndpoint],
    snapshot: Snapshot,
    leases: t.Sequence[Lease],
    trial: Trial,
) -> Check:
    """Find out who is on the port: free, ours, leased, other-service, unknown or foreign."""
    sockets = _in_the_way(endpoint, snapshot, trial)
    check = Check(endpoint, "free", sockets, trial=trial)
    check.held_by = brief_holders(snapshot, sockets) if sockets else ""
    rank = ("free", "ours", "leased", "other-service", "unknown", "foreign")
    for sock in sockets:
        services = unique(
            other.service
            for other in endpoints
            if other.expect != "silent"
            and other.has(sock, snapshot)
            # A service doesn't move away from a port on which it doesn't listen.
            and (not sock.state or other.service == endpoint.service)
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
    is_refused = any(
        not any(overlaps(sock, [address]) for sock in sockets) for address in trial.taken
    )
    if is_refused or (_is_redirected(check) and check.verdict in ("free", "ours")):
        check.verdict = "foreign"
    elif trial.absent and check.verdict == "free":
        check.verdict = "no-address"
    return check


def _in_the_way(endpoint: HostEndpoint, snapshot: Snapshot, trial: Trial) -> list[Socket]:
    """Return the sockets that keep an endpoint from its port, its own ones too.

    What is bound to another device than the service is in nobody's way, nor what the kernel lets
    others bind beside it. What doesn't listen counts where the kernel says so only.
    """
    here = [sock for sock in snapshot.sockets if (sock.protocol, sock.port) == endpoint.key]
    if endpoint.expect == "silent":
        return [sock for sock in here if not sock.state]
    here = [sock for sock in here if overlaps(sock, trial.taken if sock.state else endpoint.listen)]
    return [
        sock
        for sock in here
        if endpoint.can_meet(sock, here, snapshot)
        and not (sock.device and trial.works and not overlaps(sock, trial.taken))
    ]


def _is_redirected(check: Check) -> bool:
    """Tell whether packets go elsewhere than to the container for which they are rewritten."""
    is_published = any(sock.is_published for sock in check.sockets)
    redirect = check.trial.redirect
    return bool(redirect and redirect.is_certain and not is_published)


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
    where = listed(unique(sock.where for sock in check.sockets))
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


def _reservation(check: Check, host: str, registry: str) -> t.Optional[str]:
    """Return what has to be known of a port that is no conflict."""
    endpoint, trial = check.endpoint, check.trial
    if check.verdict == "no-address":
        return (
            f"{host}: {endpoint.label} wanted by {endpoint.id} can't be bound on"
            f" {listed(trial.absent)}, which the host doesn't have (yet). Give it that address, or"
            f" correct the addresses in {registry}."
        )
    redirect = trial.redirect
    if redirect and not redirect.is_certain and not any(s.is_published for s in check.sockets):
        return (
            f"{host}: some packets to {endpoint.label} of {endpoint.id} go to {redirect.target}"
            f" instead, by the rule {redirect.rule}."
        )
    return None


def _explain_refusal(check: Check, host: str, registry: str) -> None:
    """Say why a port can't be used though no stranger's socket is on it."""
    endpoint, redirect = check.endpoint, check.trial.redirect
    if not redirect or not _is_redirected(check):
        check.conflict = (
            f"{host}: {endpoint.label} wanted by {endpoint.id} can't be bound on"
            f" {listed(check.trial.taken)}: the kernel says that it is in use, and shows no socket"
            " of it. Wait a minute and look again with ss -an, or move the service in"
            f" {registry}."
        )
        return
    maker = next((name for word, name in MAKERS.items() if word in redirect.rule), "")
    state = f"wanted by {endpoint.id}"
    if endpoint.expect == "silent":
        state = f"{endpoint.status} ({endpoint.id})"
    check.held_by = f"{redirect.target}, to which packets go"
    check.conflict = (
        f"{host}: {endpoint.label} is {state}, but packets to it go to {redirect.target}, by the"
        f" rule {redirect.rule}{f' (made by {maker})' if maker else ''}. Remove what made the rule,"
        f" or move the service in {registry}."
    )


def _remedy(check: Check, snapshot: Snapshot, registry: str) -> str:
    """Return what is to be done about a stranger, after the reason where there is one."""
    service, is_silent = check.endpoint.service, check.endpoint.expect == "silent"
    strangers = [match for match in check.matches if match.verdict == OTHER]
    reasons = "; ".join(unique(fault for match in strangers for fault in match.faults))
    move = f"allocate the port in {registry}" if is_silent else f"move the service in {registry}"
    if all(is_kernels(snapshot, sock) for sock in check.sockets):
        return (
            f". If that is {service} itself (VXLAN, WireGuard, NFS and the like), its owner is"
            f" kernel: true in {registry}. If not, remove what the kernel has it for (ip -d link"
            f" and rpcinfo -p show most), or {move}."
        )
    if all(not snapshot.holders.get(s.inode) and not s.container for s in check.sockets) and (
        snapshot.is_nested
    ):
        return f". See on its host what has it, or {move}."
    if all(sock.state for sock in check.sockets):
        if any(sock.state != CLOSED for sock in check.sockets):
            return (
                ". Have it closed, and keep such connections from the port with"
                f" net.ipv4.ip_local_reserved_ports, or {move}."
            )
        return f". The kernel forgets it in a minute at most: run again then, or {move}."
    stop = f"stop {what_to_stop(check.sockets, snapshot)}"
    if not is_silent and strangers and all(match.is_like for match in strangers):
        containers = {sock.container for sock in check.sockets if sock.container}
        owner = "owner"
        if len(containers) == 1:
            (found,) = containers
            owner += f" to container: {found.name}"
            owner += f" and user: {user_name(found.uid)}" if found.uid else ""
        return (
            f": {reasons}. If that is {service} itself, run it as it is registered, or correct its"
            f" {owner} in {registry}. If not, {stop}, or move the service there."
        )
    told = f": {reasons}" if reasons and not is_silent and _is_untold(check, snapshot) else ""
    device = next((sock.device for sock in check.sockets if sock.device), "")
    if device and not is_silent and not check.endpoint.device:
        move += f", or name the device of {check.endpoint.id} there if it isn't {device}"
    return f"{told}. S{stop[1:]}, or {move}."


def _is_untold(check: Check, snapshot: Snapshot) -> bool:
    """Tell whether the name of the holder alone doesn't say that it is a stranger."""
    names = check.endpoint.owner.processes
    holders = [h for sock in check.sockets for h in snapshot.holders.get(sock.inode, ())]
    return not names or any(is_named(holder, names) for holder in holders)
