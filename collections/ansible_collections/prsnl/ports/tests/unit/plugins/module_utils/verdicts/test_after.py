# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be found after a change, and waiting for it with a clock that doesn't wait."""

from __future__ import annotations

import time
import typing as t
from dataclasses import replace
from ipaddress import ip_network

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.plan import owners
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import (
    HostEndpoint,
    read_plan,
)
from ansible_collections.prsnl.ports.plugins.module_utils.plan.leases import Lease
from ansible_collections.prsnl.ports.plugins.module_utils.plan.owners import ExpectedOwner
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import (
    BECOME,
    Container,
    Holder,
    Snapshot,
    Socket,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.redirects import (
    Redirect,
    Redirects,
)
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts import (
    after as port_verify,
)
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts import (
    probes,
)
from worlds import ADA, NOW, World, daemon, endpoint, entry, owner, plan


def verify(world: World, *endpoints: HostEndpoint) -> list[port_verify.Verification]:
    return port_verify.verify_plan(
        endpoints, world.snapshot, registry="registry/ports.yml", now=NOW
    )


def test_all_is_well() -> None:
    world = World().hold_all(80, daemon("nginx", 10), daemon("nginx", 11, user="www-data"))
    (result,) = verify(world, endpoint("nginx.http", 80))
    assert result.ok
    assert result.as_dict() == {
        "id": "nginx.http",
        "service": "nginx",
        "endpoint": "http",
        "port": 80,
        "protocol": "tcp",
        "listen": ["0.0.0.0", "::"],
        "address": "0.0.0.0:80, [::]:80",
        "registered": "0.0.0.0:80, [::]:80",
        "configured": "",
        "live": "0.0.0.0:80, [::]:80",
        "owner": "nginx (nginx)",
        "bound_by": "nginx (nginx, www-data)",
        "verdict": "ok",
        "ok": True,
        "messages": [],
    }


def test_one_dual_stack_socket_covers_both_families() -> None:
    (result,) = verify(World().hold(80, "go", on="::"), endpoint("go.http", 80))
    assert result.ok


LISTEN_LOOPBACK = ["127.0.0.1"]


@pytest.mark.parametrize(
    ("mine", "theirs"), [("10.0.0.1", "10.0.0.7"), ("127.0.0.1", "127.0.0.53")]
)
@pytest.mark.parametrize("is_bound", [False, True])
def test_a_socket_on_another_address_is_nobodys_fault(
    mine: str, theirs: str, is_bound: bool
) -> None:
    """Another service on an address of its own, a resolver's stub beside a DNS server."""
    wanted = endpoint("forum.https", 443, listen=[mine])
    wanted = replace(wanted, allowed=(ip_network(mine),))
    world = World().hold(443, ADA, on=theirs)
    if is_bound:
        world.hold(443, "forum", on=mine)
    (result,) = verify(world, wanted)
    assert result.verdict == ("ok" if is_bound else "not bound")
    assert [sock.address for sock in result.sockets] == [mine] * is_bound


def test_sockets_of_other_devices_are_nobodys_fault() -> None:
    world = World().hold(67, "kea", protocol="udp", device="eth0")
    world.hold(67, ADA, protocol="udp", device="virbr0")
    wanted = endpoint("kea.dhcp", 67, listen=["0.0.0.0"], protocol="udp")
    (result,) = verify(world, wanted)
    assert (result.verdict, result.as_dict()["live"]) == ("ok", "0.0.0.0%eth0:67")
    stranger = World().hold(67, ADA, protocol="udp", device="virbr0")
    assert verify(stranger, wanted)[0].verdict == "wrong owner"
    assert verify(stranger, replace(wanted, device="eth0"))[0].verdict == "not bound"


def test_the_kernel_binds_where_it_does() -> None:
    """To all addresses, of one family or of both."""
    vxlan = owner(kernel=True)
    wanted = endpoint("flannel.vxlan", 8472, listen=LISTEN_LOOPBACK, protocol="udp", owner=vxlan)
    (result,) = verify(World().hold(8472, protocol="udp"), wanted)
    assert (result.verdict, result.bound_by) == ("ok", "the kernel")
    (result,) = verify(World().hold(8472, ADA, protocol="udp"), wanted)
    assert result.verdict == "wrong owner"


@pytest.mark.parametrize(
    ("is_certain", "is_published", "verdict"),
    [(True, False, "redirected"), (False, False, "ok"), (True, True, "ok")],
)
def test_a_port_whose_packets_go_elsewhere_is_not_served(
    is_certain: bool, is_published: bool, verdict: str
) -> None:
    class Rules(Redirects):
        def of(self, *_words: t.Any) -> Redirect:
            return Redirect("10.42.0.5:80", "nft inet x p handle 4", is_certain)

    shop = Container("docker", "shop") if is_published else None
    owned = owner(container={"engine": None, "name": "shop"}) if is_published else owner()
    wanted = endpoint("shop.http", 80, owner=owned) if is_published else endpoint("shop.http", 80)
    world = World()
    for address in ("0.0.0.0", "::"):
        world.hold(80, "shop", on=address, container=shop, published=is_published)
    results = verify(world, wanted)
    port_verify.apply_redirects(results, Rules())
    assert results[0].verdict == verdict
    assert results[0].messages == [
        "packets to it go to 10.42.0.5:80, by the rule nft inet x p handle 4. Remove what made the"
        " rule, or move the service."
    ] * (verdict != "ok")


CASES: dict[str, tuple[World, HostEndpoint, str, bool, list[str]]] = {
    "stopped": (
        World(),
        endpoint("web.http", 80),
        "not bound",
        True,
        [
            "nothing listens on 0.0.0.0:80 and [::]:80. See its state and log: systemctl"
            " status web.service"
        ],
    ),
    "moved to another port": (
        World().hold(81, daemon("web", 7), on="::"),
        endpoint("web.http", 80),
        "not bound",
        True,
        [
            "nothing listens on 0.0.0.0:80 and [::]:80. web (pid 7, user web, since 09:14, unit"
            " web.service) listens on [::]:81 instead: restart it if its configuration is newer"
            " than that."
        ],
    ),
    "bound to one address instead of all": (
        World().hold(80, "web", on="10.0.0.1"),
        endpoint("web.http", 80),
        "wrong address",
        True,
        ["nothing listens on 0.0.0.0:80.", "nothing listens on [::]:80."],
    ),
    "IPv6 only": (
        World().hold(80, "web", on="::", v6only=True),
        endpoint("web.http", 80),
        "wrong address",
        True,
        ["nothing listens on 0.0.0.0:80."],
    ),
    "rebound to all addresses": (
        World().hold(80, "web"),
        endpoint("web.http", 80, listen=LISTEN_LOOPBACK),
        "wrong address",
        True,
        ["0.0.0.0:80 is open, allowed is 127.0.0.0/8 or ::1/128 only."],
    ),
    "open beside the allowed address": (
        World().hold(80, "web", on="127.0.0.1").hold(80, "web", on="10.0.0.1"),
        endpoint("web.http", 80, listen=LISTEN_LOOPBACK),
        "wrong address",
        True,
        ["10.0.0.1:80 is open, allowed is 127.0.0.0/8 or ::1/128 only."],
    ),
    "replaced by another program": (
        World().hold(80, daemon("web", 7, process="python3"), on="127.0.0.1"),
        endpoint("web.http", 80, listen=LISTEN_LOOPBACK),
        "wrong owner",
        False,
        [
            "127.0.0.1:80 is held by python3 (pid 7, user web, since 09:14, unit web.service):"
            " the process is python3, expected web."
        ],
    ),
    "wrong user": (
        World().hold(80, daemon("web", 7, user="root"), on="127.0.0.1"),
        endpoint("web.http", 80, listen=LISTEN_LOOPBACK),
        "wrong owner",
        False,
        [
            "127.0.0.1:80 is held by web (pid 7, user root, since 09:14, unit web.service): the"
            " user is root, expected web."
        ],
    ),
    "another socket of a stranger beside ours": (
        World().hold(80, "web", on="127.0.0.1").hold(80, ADA, on="::1"),
        endpoint("web.http", 80, listen=["127.0.0.1", "::1"]),
        "wrong owner",
        False,
        [
            "[::1]:80 is held by node (pid 812, user ada, since 09:14, unit user@1000.service):"
            " the process is node, expected web; the user is ada, expected web; the unit is"
            " user@1000.service, expected web.service."
        ],
    ),
    "a process that cannot be seen": (
        World(obstacle=BECOME).hold(80, on="127.0.0.1"),
        endpoint("web.http", 80, listen=LISTEN_LOOPBACK),
        "owner not visible",
        False,
        [
            "127.0.0.1:80 is held by a process of user 1000 that may not be looked at. Run the task"
            " with become: true."
        ],
    ),
    "a retired port reopened by a stranger": (
        World().hold(79, ADA),
        endpoint("web.old", 79, expect="silent"),
        "must be silent",
        False,
        [
            "it is retired, but 0.0.0.0:79 is held by node (pid 812, user ada, since 09:14, unit"
            " user@1000.service). Stop it, or allocate the port in registry/ports.yml."
        ],
    ),
    "a retired port that its own daemon still has": (
        World().hold(79, daemon("web", 7)),
        endpoint("web.old", 79, expect="silent"),
        "must be silent",
        True,
        [
            "it is retired, but 0.0.0.0:79 is held by web (pid 7, user web, since 09:14, unit"
            " web.service). Stop it, or allocate the port in registry/ports.yml."
        ],
    ),
    "an alternative port in strange hands": (
        World().hold(79, daemon("web", 7, user="ada"), on="127.0.0.1"),
        endpoint("web.alt", 79, expect="optional", listen=LISTEN_LOOPBACK),
        "wrong owner",
        False,
        [
            "127.0.0.1:79 is held by web (pid 7, user ada, since 09:14, unit web.service): the"
            " user is ada, expected web."
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_differs_is_named(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "user_name", str)
    world, wanted, verdict, may_heal, messages = CASES[case]
    (result,) = verify(world, wanted)
    assert result.messages == messages
    assert result.verdict == verdict
    assert result.may_heal is may_heal
    assert not result.as_dict()["ok"]


@pytest.mark.parametrize(
    ("wanted", "verdict", "address"),
    [
        (endpoint("web.old", 79, expect="silent"), "silent", "79"),
        (
            endpoint("web.alt", 79, expect="optional", listen=["127.0.0.1"]),
            "not expected, not bound",
            "127.0.0.1:79",
        ),
    ],
)
def test_what_may_be_absent(wanted: HostEndpoint, verdict: str, address: str) -> None:
    (result,) = verify(World(), wanted)
    assert (result.ok, result.verdict, result.as_dict()["address"]) == (True, verdict, address)


def test_an_alternative_port_may_listen_on_fewer_addresses() -> None:
    wanted = endpoint("web.alt", 79, expect="optional")
    (result,) = verify(World().hold(79, "web", on="127.0.0.1"), wanted)
    assert (result.ok, result.verdict) == (True, "ok")


def test_two_endpoints_on_one_port_and_two_addresses_are_told_apart() -> None:
    world = World().hold(53, "one", on="127.0.0.1").hold(53, "two", on="127.0.0.2")
    plan = [
        endpoint("one.dns", 53, listen=["127.0.0.1"]),
        endpoint("two.dns", 53, listen=["127.0.0.2"]),
    ]
    assert [result.ok for result in verify(world, *plan)] == [True, True]


def test_the_other_endpoint_of_a_daemon_is_not_taken_for_its_new_port() -> None:
    plan = [endpoint("web.http", 80), endpoint("web.https", 443)]
    result, _other = verify(World().hold_all(443, "web"), *plan)
    assert "instead" not in result.messages[0]


def test_a_lease_counts_on_ports_that_nobody_has_to_have() -> None:
    lease = Lease(79, "tcp", ExpectedOwner(("node",), "ada"), "Test", "d", False, "l:4")
    ended = Lease(**{**vars(lease), "expired": True})
    optional = endpoint("web.alt", 79, expect="optional")
    retired = endpoint("web.old", 79, expect="silent")
    for wanted, leases, verdict in (
        (optional, [lease], "leased"),
        (optional, [ended], "wrong owner"),
        (optional, [], "wrong owner"),
        (retired, [lease], "must be silent"),
    ):
        (result,) = port_verify.verify_plan(
            [wanted], World().hold(79, ADA).snapshot, registry="r", now=NOW, leases=leases
        )
        assert (result.verdict, result.ok) == (verdict, verdict == "leased")


# --- waiting -----------------------------------------------------------------------------------

PLAN = plan(entry("web.http", 80, probe="http"))
STARTED = (Socket("tcp", "0.0.0.0", 80, False, 0, 1), Socket("tcp", "::", 80, True, 0, 2))


class Host:
    """A host on which things happen at certain seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.starts_at = 1000.0
        self.answers_at = 1000.0
        self.process = "web"
        self.since = 0.0
        self.dies_at = 9000.0
        self.restarts = False
        self.looks: list[float] = []
        self.asked: list[tuple[str, str, int]] = []
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "time", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self._sleep)
        monkeypatch.setattr(port_verify, "take_snapshot", self._snapshot)
        monkeypatch.setattr(port_verify, "run_probe", self._probe)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _snapshot(self) -> Snapshot:
        self.looks.append(self.now - 1000)
        is_up = self.starts_at <= self.now < self.dies_at or self.restarts
        sockets = STARTED if is_up else ()
        pid = 8 if self.now >= self.dies_at else 7
        holder = Holder(pid, self.process, None, "web", "web.service", self.since)
        return Snapshot(sockets, {1: (holder,), 2: (holder,)}, None, True)

    def _probe(
        self, probe: str, address: str, port: int, timeout: float, name: str, *, tls: bool
    ) -> None:
        self.asked.append((probe, address, port))
        if self.now < self.answers_at:
            raise probes.ProbeError("no answer")

    def verify(self, timeout: float = 30) -> port_verify.Verification:
        (result,), _snapshot = port_verify.verify_host(
            read_plan(PLAN).endpoints, timeout, registry="registry/ports.yml", settle=6
        )
        return result


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch)


def test_a_host_that_equals_its_plan_is_looked_at_once(host: Host) -> None:
    assert host.verify().ok
    assert host.looks == [0]


def test_probes_ask_the_loopback_address_of_each_family(host: Host) -> None:
    host.verify()
    assert sorted(host.asked) == [("http", "127.0.0.1", 80), ("http", "::1", 80)]


def test_a_daemon_that_starts_late_is_waited_for_with_growing_pauses(host: Host) -> None:
    host.starts_at = 1010
    assert host.verify().ok
    assert host.looks == [0, 0.25, 0.75, 1.75, 3.75, 7.75, 11.75]


def test_a_daemon_that_answers_late_is_waited_for(host: Host) -> None:
    host.answers_at = 1005
    assert host.verify().ok
    assert len(host.looks) == 6


def test_who_has_answered_is_not_asked_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = PLAN["endpoints"][0] | {"id": "web.https", "port": 443}
    monkeypatch.setitem(PLAN, "endpoints", [*PLAN["endpoints"], missing])
    results, _snapshot = port_verify.verify_host(
        read_plan(PLAN).endpoints, 5, registry="registry/ports.yml"
    )
    assert [result.verdict for result in results] == ["ok", "not bound"]
    assert len(host.looks) > 2
    assert sorted(host.asked) == [("http", "127.0.0.1", 80), ("http", "::1", 80)]


def test_waiting_ends(host: Host) -> None:
    host.starts_at = 2000
    result = host.verify(timeout=10)
    assert result.verdict == "not bound"
    assert host.now == 1010


def test_a_silent_daemon_is_named(host: Host) -> None:
    host.answers_at = 2000
    result = host.verify(timeout=1)
    assert result.verdict == "no answer"
    assert result.messages == [
        "no good answer to the http probe (127.0.0.1:80: no answer; [::1]:80: no answer). See its"
        " state and log: systemctl status web.service"
    ]


def test_a_stranger_is_not_waited_for(host: Host) -> None:
    host.process = "sh"
    assert host.verify().verdict == "wrong owner"
    assert host.looks == [0]
    assert host.asked == []


@pytest.mark.parametrize(
    "change",
    [{"protocol": "udp"}, {"probe": "none"}, {"status": "alternative", "expect": "optional"}],
)
def test_what_has_no_probe_is_not_asked(
    host: Host, monkeypatch: pytest.MonkeyPatch, change: dict[str, t.Any]
) -> None:
    monkeypatch.setitem(PLAN, "endpoints", [PLAN["endpoints"][0] | change])
    host.verify(timeout=0)
    assert host.asked == []


def test_a_young_daemon_is_looked_at_again_when_it_has_settled(host: Host) -> None:
    host.since = 998
    assert host.verify().ok
    assert host.looks == [0, 4]


def test_an_old_daemon_is_not_waited_for(host: Host) -> None:
    host.since = 994
    assert host.verify().ok
    assert host.looks == [0]


def test_a_daemon_that_dies_soon_is_named(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "format_start", lambda _start, _now: "09:14")
    host.since, host.dies_at = 1000, 1005
    result = host.verify()
    assert result.verdict == "not stable"
    assert result.messages == [
        "web (pid 7, user web, since 09:14, unit web.service) ended within 6 s of its start. Nobody"
        " holds it now. See its state and log: systemctl status web.service"
    ]


def test_who_need_not_be_there_may_go(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    optional = PLAN["endpoints"][0] | {"status": "alternative", "expect": "optional"}
    monkeypatch.setitem(PLAN, "endpoints", [optional])
    host.since, host.dies_at = 1000, 1005
    assert host.verify().ok
    assert host.looks == [0]


def test_a_daemon_that_was_started_again_is_named(host: Host) -> None:
    host.since, host.dies_at, host.restarts = 1000, 1005, True
    result = host.verify()
    assert result.verdict == "not stable"
    assert "ended within 6 s of its start. web (web) holds it now." in result.messages[0]


@pytest.mark.parametrize(
    ("since", "verdict", "message"),
    [
        # Last seen after 1.75 s, and missed after 5.
        (
            999,
            "not stable",
            "web (pid 7, user web, since 09:14, unit web.service) ended within 6 s",
        ),
        (900, "not bound", "nothing listens on 0.0.0.0:80 and [::]:80. See its state"),
    ],
)
def test_a_young_daemon_that_goes_while_others_are_waited_for_is_named(
    host: Host, monkeypatch: pytest.MonkeyPatch, since: float, verdict: str, message: str
) -> None:
    monkeypatch.setattr(owners, "format_start", lambda _start, _now: "09:14")
    missing = PLAN["endpoints"][0] | {"id": "web.https", "port": 443}
    monkeypatch.setitem(PLAN, "endpoints", [*PLAN["endpoints"], missing])
    host.since, host.dies_at = since, 1003
    results, _snapshot = port_verify.verify_host(
        read_plan(PLAN).endpoints, 5, registry="registry/ports.yml", settle=6
    )
    assert [result.verdict for result in results] == [verdict, "not bound"]
    assert results[0].messages[0].startswith(message)


def test_the_report_has_a_line_for_each_difference(host: Host) -> None:
    host.starts_at = 2000
    line = (
        "app: web.http (80/tcp): nothing listens on 0.0.0.0:80 and [::]:80. See its state and log:"
        " systemctl status web.service"
    )
    assert port_verify.fault_report("app", [host.verify(timeout=0)] * 2) == [line, line]
    host.starts_at = 0
    assert port_verify.fault_report("app", [host.verify(timeout=0)]) == []
