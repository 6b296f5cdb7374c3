# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules for a host's plan and its sockets after its services started, and the waiting for that."""

from __future__ import annotations

import math
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed, unique
from ansible_collections.prsnl.ports.plugins.module_utils.plan.addresses import (
    covers,
    is_allowed,
    overlaps,
)
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import HostEndpoint
from ansible_collections.prsnl.ports.plugins.module_utils.plan.leases import Lease, lease_of
from ansible_collections.prsnl.ports.plugins.module_utils.plan.owners import (
    OWNER,
    UNKNOWN,
    brief_holders,
    describe_holders,
    match_owner,
    what_to_stop,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import (
    Snapshot,
    Socket,
    endpoint_text,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.redirects import Redirects
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.snapshot import (
    take_snapshot,
    with_other_states,
)
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.configuration import Judgement
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.probes import (
    PROBES,
    ProbeError,
    run_probe,
)

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 4.0
PROBE_TIMEOUT = 5.0
# Ports that nobody has to have now.
LEASABLE = ("alternative", "reserved")
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104

# Probe, address, port, and the name of the server.
Target = t.Tuple[str, str, int, str, bool]  # noqa: UP006 - evaluated, by Python 3.8 too


@dataclass
class Verification:
    """What was found of an endpoint after its service was started."""

    endpoint: HostEndpoint
    verdict: str
    sockets: list[Socket]
    owner: str
    bound_by: str
    messages: list[str] = field(default_factory=list)
    # What its configuration was rendered for; empty where nothing was rendered.
    configured: str = ""
    # Its owner's sockets on ports that aren't in the plan, if it isn't bound.
    elsewhere: list[Socket] = field(default_factory=list)
    # Whether waiting may help: nothing of it is a stranger's.
    may_heal: bool = True

    @property
    def ok(self) -> bool:
        """Whether reality equals the plan."""
        return not self.messages

    def add(self, verdict: str, message: str) -> None:
        """Add a fault; the first one gives the verdict."""
        if not self.messages:
            self.verdict = verdict
        self.messages.append(message)

    def as_dict(self) -> dict[str, t.Any]:
        """Plain data, ready for JSON."""
        endpoint = self.endpoint
        live = unique(map(str, self.sockets or self.elsewhere))
        wanted = [endpoint_text(address, endpoint.port) for address in endpoint.listen]
        return {
            "id": endpoint.id,
            "service": endpoint.service,
            "endpoint": endpoint.name,
            "port": endpoint.port,
            "protocol": endpoint.protocol,
            "listen": list(endpoint.listen),
            "address": ", ".join(unique(map(str, self.sockets)) or wanted) or str(endpoint.port),
            "registered": ", ".join(wanted) if endpoint.expect == "bound" else endpoint.status,
            "configured": self.configured,
            "live": ", ".join(live),
            "owner": self.owner,
            "bound_by": self.bound_by,
            "verdict": self.verdict,
            "ok": self.ok,
            "messages": self.messages,
        }


def verify_plan(
    endpoints: t.Sequence[HostEndpoint],
    snapshot: Snapshot,
    *,
    registry: str,
    now: float,
    leases: t.Sequence[Lease] = (),
) -> list[Verification]:
    """Judge each endpoint of a plan by its sockets after its service was started.

    Whoever holds an alternative or reserved port under a lease may stay there.
    """
    results = []
    for endpoint in endpoints:
        sockets = _attributed(endpoint, endpoints, snapshot)
        is_silent = endpoint.expect == "silent"
        result = Verification(
            endpoint,
            verdict="silent" if is_silent else "ok",
            sockets=sockets,
            owner="" if is_silent else str(endpoint.owner),
            bound_by=brief_holders(snapshot, sockets) if sockets else "",
        )
        if sockets and endpoint.status in LEASABLE and _all_leased(sockets, leases, snapshot):
            result.verdict = "leased"
        elif is_silent:
            _verify_silent(result, snapshot, registry, now)
        elif sockets:
            _verify_owner(result, snapshot, now)
            _verify_addresses(result)
        elif endpoint.expect == "optional":
            result.verdict = "not expected, not bound"
        else:
            _explain_unbound(result, endpoints, snapshot, now)
        results.append(result)
    return results


def _all_leased(sockets: t.Iterable[Socket], leases: t.Sequence[Lease], snapshot: Snapshot) -> bool:
    found = [lease_of(sock, leases, snapshot) for sock in sockets]
    return all(lease is not None and not lease.expired for lease in found)


def _attributed(
    endpoint: HostEndpoint, endpoints: t.Sequence[HostEndpoint], snapshot: Snapshot
) -> list[Socket]:
    """Return the sockets by which an endpoint is judged.

    Those on its port that receive on its addresses, and those of its own daemon that don't, except
    on the address of another endpoint. Everything else there is a listener that nobody registered.
    """
    neighbours = [
        other for other in endpoints if other.key == endpoint.key and other.id != endpoint.id
    ]
    here = [sock for sock in snapshot.sockets if (sock.protocol, sock.port) == endpoint.key]
    if endpoint.expect == "silent":
        return [
            sock for sock in here if not any(overlaps(sock, other.listen) for other in neighbours)
        ]
    return [
        sock
        for sock in here
        if (overlaps(sock, endpoint.listen) and endpoint.can_meet(sock, here, snapshot))
        or (
            endpoint.has(sock, snapshot)
            and not any(overlaps(sock, other.listen) for other in neighbours)
        )
    ]


def _verify_silent(result: Verification, snapshot: Snapshot, registry: str, now: float) -> None:
    for sock in result.sockets:
        match = match_owner(result.endpoint.owner, snapshot, sock)
        # Its own daemon may be on its way out; a stranger stays.
        result.may_heal &= match.verdict == OWNER
        remedy = f"Stop {what_to_stop([sock], snapshot)}, or allocate the port in {registry}."
        result.add(
            "must be silent",
            f"it is {result.endpoint.status}, but {sock} is held by"
            f" {describe_holders(snapshot, sock, now)}. {match.missing or remedy}",
        )


def _verify_owner(result: Verification, snapshot: Snapshot, now: float) -> None:
    for sock in result.sockets:
        match = match_owner(result.endpoint.owner, snapshot, sock)
        if match.verdict == OWNER:
            continue
        # One that nobody has may have been closed between two readings: the next one tells.
        if snapshot.holders.get(sock.inode) or sock.container or match.verdict == UNKNOWN:
            result.may_heal = False
        who = describe_holders(snapshot, sock, now)
        if match.verdict == UNKNOWN:
            result.add("owner not visible", f"{sock} is held by {who}. {match.missing}")
        else:
            reasons = f": {'; '.join(match.faults)}" if match.faults else ""
            result.add("wrong owner", f"{sock} is held by {who}{reasons}.")


def _verify_addresses(result: Verification) -> None:
    endpoint = result.endpoint
    if endpoint.owner.is_kernel:
        # It binds what its parts ask for, which no configuration of ours says.
        return
    for sock in result.sockets:
        if not is_allowed(sock, endpoint.allowed):
            allowed = listed([str(network) for network in endpoint.allowed], "or")
            result.add("wrong address", f"{sock} is open, allowed is {allowed} only.")
    if endpoint.expect != "bound":
        return
    for address in endpoint.listen:
        if not any(covers(sock, address) for sock in result.sockets):
            result.add(
                "wrong address", f"nothing listens on {endpoint_text(address, endpoint.port)}."
            )


def _explain_unbound(
    result: Verification, endpoints: t.Sequence[HostEndpoint], snapshot: Snapshot, now: float
) -> None:
    endpoint = result.endpoint
    addresses = listed([endpoint_text(address, endpoint.port) for address in endpoint.listen])
    text = f"nothing listens on {addresses}."
    planned = {other.key for other in endpoints if other.expect != "silent"}
    result.elsewhere = elsewhere = [
        sock
        for sock in snapshot.sockets
        if (sock.protocol, sock.port) not in planned and endpoint.has(sock, snapshot)
    ]
    if elsewhere:
        text += (
            f" {describe_holders(snapshot, elsewhere[0], now)} listens on"
            f" {listed(unique(map(str, elsewhere)))} instead: restart it if its configuration"
            " is newer than that."
        )
    else:
        text += endpoint.owner.hint
    result.add("not bound", text)


# --- waiting ---------------------------------------------------------------------------------


def verify_host(
    endpoints: t.Sequence[HostEndpoint],
    timeout: float,
    *,
    registry: str,
    settle: float = 0,
    leases: t.Sequence[Lease] = (),
) -> tuple[list[Verification], Snapshot]:
    """Compare this host's sockets with its plan until they agree or nothing more can heal.

    :param timeout: seconds to wait at most, to which a last round of probes may add
        C(PROBE_TIMEOUT) seconds, and ``settle`` its own.
    :param registry: the file that messages send the reader to.
    :param settle: seconds for which a process has to live: one that is younger is looked at again
        when it is that old.
    :return: the results and the snapshot that they were made of.
    :raises OSError: the sockets can't be read.
    """
    deadline = time.monotonic() + timeout
    pause = FIRST_PAUSE
    answered: set[Target] = set()
    young: dict[str, tuple[Verification, Snapshot]] = {}

    def look() -> tuple[list[Verification], Snapshot]:
        snapshot = take_snapshot()
        now = time.time()
        results = verify_plan(endpoints, snapshot, registry=registry, now=now, leases=leases)
        return results, snapshot

    while True:
        results, snapshot = look()
        _probe_all(results, answered)
        for result in results:
            if not result.sockets and result.endpoint.id in young:
                _call_unstable(result, *young[result.endpoint.id])
            elif _has_to_live(result) and time.time() - _start(result, snapshot) < settle:
                young[result.endpoint.id] = result, snapshot
        left = deadline - time.monotonic()
        if left <= 0 or not any(not result.ok and result.may_heal for result in results):
            break
        time.sleep(min(pause, left))
        pause = min(pause * 2, LONGEST_PAUSE)
    youngest = max(
        (_start(result, snapshot) for result in results if _has_to_live(result)), default=0
    )
    left = settle - (time.time() - youngest)
    if not 0 < left <= settle:
        return results, snapshot
    time.sleep(left)
    later, later_snapshot = look()
    return _settled(results, snapshot, later, later_snapshot), later_snapshot


def _has_to_live(result: Verification) -> bool:
    return result.ok and result.endpoint.expect == "bound"


def _start(result: Verification, snapshot: Snapshot) -> float:
    """Return when the holder of an endpoint started: the first one, as workers come and go."""
    return max(
        (
            min(holder.since for holder in holders)
            for sock in result.sockets
            if (holders := snapshot.holders.get(sock.inode))
        ),
        default=0,
    )


def _settled(
    results: t.Sequence[Verification],
    before: Snapshot,
    later: t.Sequence[Verification],
    after: Snapshot,
) -> list[Verification]:
    """Return the results, with the later ones of endpoints that have changed hands or gone."""
    final = []
    for old, new in zip(results, later):  # noqa: B905
        pids = _pids(old, before)
        if not _has_to_live(old) or not pids or (new.ok and pids & _pids(new, after)):
            final.append(old)
            continue
        _call_unstable(new, old, before)
        final.append(new)
    return final


def _call_unstable(new: Verification, old: Verification, before: Snapshot) -> None:
    """Add the fault of an endpoint whose holder was young and is gone."""
    now = time.time()
    was = listed(unique(describe_holders(before, sock, now) for sock in old.sockets))
    age = math.ceil(now - _start(old, before))
    heir = f"{new.bound_by} holds it now." if new.sockets else "Nobody holds it now."
    messages, new.messages = new.messages, []
    new.add(
        "not stable",
        f"{was} ended within {age} s of its start. {heir}" + new.endpoint.owner.hint,
    )
    new.messages += messages if new.sockets else []


def _pids(result: Verification, snapshot: Snapshot) -> set[int]:
    return {
        holder.pid for sock in result.sockets for holder in snapshot.holders.get(sock.inode, ())
    }


def apply_other_states(results: t.Sequence[Verification], snapshot: Snapshot, now: float) -> None:
    """Add what else is on the ports of endpoints that nothing listens on, if anything is.

    :raises OSError: the sockets can't be read.
    """
    unbound = [r for r in results if not r.sockets and r.endpoint.expect == "bound" and not r.ok]
    if not unbound:
        return
    snapshot = with_other_states(snapshot, {result.endpoint.key for result in unbound})
    for result in unbound:
        endpoint = result.endpoint
        users = unique(
            f"{sock} has {describe_holders(snapshot, sock, now)}"
            for sock in snapshot.sockets
            if sock.state
            and (sock.protocol, sock.port) == endpoint.key
            and overlaps(sock, endpoint.listen)
        )
        if users:
            result.messages.append(f"{listed(users)}, which may keep it from its port.")


def apply_redirects(results: t.Sequence[Verification], redirects: Redirects) -> None:
    """Add that packets to an endpoint go elsewhere than to its daemon, or its container."""
    for result in results:
        endpoint = result.endpoint
        is_published = any(sock.is_published for sock in result.sockets)
        if endpoint.expect != "bound" or is_published:
            continue
        found = redirects.of(endpoint.protocol, endpoint.port, endpoint.listen, endpoint.device)
        if found and found.is_certain:
            text = f"packets to it go to {found.target}, by the rule {found.rule}."
            result.add("redirected", f"{text} Remove what made the rule, or move the service.")


def apply_configuration(results: t.Sequence[Verification], judgement: Judgement) -> None:
    """Add what is wrong with the rendered configuration to the results."""
    for result in results:
        result.configured = judgement.rendered.get(result.endpoint.id, "")
        for message in judgement.faults.get(result.endpoint.id, ()):
            result.add("wrong configuration", message)


def _probe_all(results: t.Sequence[Verification], answered: set[Target]) -> None:
    """Probe every endpoint that is bound as expected, on each of its addresses, all at once.

    :param answered: those that did in an earlier round, which aren't asked again; grows.
    """
    jobs = [
        (result, target)
        for result in results
        if result.ok
        and result.endpoint.expect == "bound"
        and result.endpoint.protocol == "tcp"
        and result.endpoint.probe in PROBES
        for target in _targets(result.endpoint)
        if target not in answered
    ]
    if not jobs:
        return
    with ThreadPoolExecutor(max_workers=16) as pool:
        answers = list(pool.map(_probe, [target for _result, target in jobs]))
    faults: dict[str, list[str]] = {}
    for (result, target), fault in zip(jobs, answers):  # noqa: B905
        if fault:
            text = f"{endpoint_text(*target[1:3])}: {fault}"
            faults.setdefault(result.endpoint.id, []).append(text)
        else:
            answered.add(target)
    for result in results:
        found = faults.get(result.endpoint.id)
        if found:
            text = f"no good answer to the {result.endpoint.probe} probe ({'; '.join(found)})."
            result.add("no answer", text + result.endpoint.owner.hint)


def _targets(endpoint: HostEndpoint) -> list[Target]:
    return [
        (
            endpoint.probe,
            LOOPBACK.get(address, address),
            endpoint.port,
            endpoint.server_name,
            endpoint.tls,
        )
        for address in endpoint.listen
    ]


def _probe(target: Target) -> str:
    """Return why a probe failed; empty if it didn't."""
    try:
        probe, address, port, name, tls = target
        run_probe(probe, address, port, PROBE_TIMEOUT, name, tls=tls)
    except ProbeError as error:
        return str(error)
    return ""


def fault_report(host: str, results: t.Sequence[Verification]) -> list[str]:
    """Return a line for everything that differs from the plan."""
    return [
        f"{host}: {result.endpoint.id} ({result.endpoint.label}): {message}"
        for result in results
        for message in result.messages
    ]
