# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on made-up plans and sockets."""

from __future__ import annotations

import ipaddress
import itertools
import time
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils import judge
from ansible_collections.prsnl.ports.plugins.module_utils.listeners import (
    BECOME,
    Holder,
    Snapshot,
    Socket,
)
from hypothesis import given
from hypothesis import strategies as st

NOW = time.mktime((2026, 3, 4, 12, 0, 0, 0, 0, -1))
WILD = ("0.0.0.0", "::")
EVERYWHERE = ("0.0.0.0/0", "::/0")
LOOPBACK = ("127.0.0.0/8", "::1/128")


def endpoint(
    name: str,
    port: int,
    *,
    listen: t.Sequence[str] = WILD,
    expect: str = "bound",
    protocol: str = "tcp",
    process: t.Sequence[str] | None = None,
    user: str | None = None,
    unit: str | None = None,
) -> judge.Endpoint:
    """An endpoint; unless told otherwise, process, user and unit are named after its service."""
    service, _, short = name.partition(".")
    wild = set(listen) & set(WILD)
    status = {"bound": "fixed", "optional": "alternative", "silent": "retired"}[expect]
    (result,) = judge.read_plan(
        {
            "endpoints": [
                {
                    "id": name,
                    "service": service,
                    "name": short,
                    "port": port,
                    "protocol": protocol,
                    "status": status,
                    "expect": expect,
                    "listen": [] if expect == "silent" else list(listen),
                    "allowed": list(EVERYWHERE if wild else LOOPBACK),
                    "owner": {
                        "process": list(process or [service]),
                        "user": user or service,
                        "unit": unit or f"{service}.service",
                    },
                    "probe": "tcp",
                }
            ]
        }
    )
    return result


class World:
    """Sockets and their holders."""

    def __init__(self, obstacle: str | None = None, has_ipv6: bool = True) -> None:
        self._sockets: list[Socket] = []
        self._holders: dict[int, tuple[Holder, ...]] = {}
        self._numbers = itertools.count(100)
        self._obstacle = obstacle
        self._has_ipv6 = has_ipv6

    def hold(
        self,
        port: int,
        *holders: str | Holder,
        on: str = "0.0.0.0",
        protocol: str = "tcp",
        v6only: bool = False,
    ) -> World:
        """Add a socket; a holder that is a text is the daemon of the service with that name."""
        inode = next(self._numbers)
        self._sockets.append(Socket(protocol, on, port, v6only, 1000, inode))
        self._holders[inode] = tuple(
            daemon(holder, next(self._numbers)) if isinstance(holder, str) else holder
            for holder in holders
        )
        return self

    def hold_all(self, port: int, *holders: str | Holder, protocol: str = "tcp") -> World:
        """Add a socket for either family, as most daemons do."""
        self.hold(port, *holders, on="0.0.0.0", protocol=protocol)
        return self.hold(port, *holders, on="::", v6only=True, protocol=protocol)

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot(tuple(self._sockets), self._holders, self._obstacle, self._has_ipv6)


def daemon(service: str, pid: int, **changes: t.Any) -> Holder:
    facts = {"process": service, "user": service, "unit": f"{service}.service"} | changes
    return Holder(pid=pid, executable=None, since=NOW - 9960, **facts)


ADA = Holder(812, "node", "node", "ada", "user@1000.service", NOW - 9960)


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bound", "v6only", "wanted", "overlaps", "covers"),
    [
        ("0.0.0.0", False, "0.0.0.0", True, True),
        ("0.0.0.0", False, "127.0.0.1", True, True),
        ("127.0.0.1", False, "0.0.0.0", True, False),
        ("127.0.0.1", False, "127.0.0.1", True, True),
        ("127.0.0.1", False, "127.0.0.2", False, False),
        ("0.0.0.0", False, "::", False, False),
        ("::", False, "::", True, True),
        ("::", False, "::1", True, True),
        ("::", False, "0.0.0.0", True, True),
        ("::", False, "10.0.0.1", True, True),
        ("::", True, "0.0.0.0", False, False),
        ("::", True, "::", True, True),
        ("::1", False, "::", True, False),
        ("::1", False, "127.0.0.1", False, False),
        ("::ffff:127.0.0.1", False, "127.0.0.1", True, True),
        ("::ffff:127.0.0.1", False, "::1", False, False),
        ("::ffff:0.0.0.0", False, "0.0.0.0", True, True),
    ],
)
def test_addresses(bound: str, v6only: bool, wanted: str, overlaps: bool, covers: bool) -> None:
    sock = Socket("tcp", bound, 80, v6only, 0, 1)
    assert judge.overlaps(sock, [wanted]) is overlaps
    assert judge.covers(sock, wanted) is covers


@given(
    st.one_of(st.just("0.0.0.0"), st.just("::"), st.ip_addresses().map(str)),
    st.one_of(st.just("0.0.0.0"), st.just("::"), st.ip_addresses().map(str)),
    st.booleans(),
)
def test_what_covers_an_address_overlaps_it(bound: str, wanted: str, v6only: bool) -> None:
    sock = Socket("tcp", bound, 80, v6only, 0, 1)
    if judge.covers(sock, wanted):
        assert judge.overlaps(sock, [wanted])
    assert judge.covers(sock, bound) or ipaddress.ip_address(bound).version == 6


# --- owners --------------------------------------------------------------------------------------

NGINX = judge.Owner(("nginx",), "root", "nginx.service")
EXPORTER = judge.Owner(("prometheus-node-exporter", "node_exporter"), "prometheus", None)


def holder(process: str, user: str, unit: str | None, executable: str | None = None) -> Holder:
    return Holder(1, process, executable, user, unit, NOW)


@pytest.mark.parametrize(
    ("owner", "holders", "expected"),
    [
        (NGINX, [holder("nginx", "root", "nginx.service")], []),
        (
            NGINX,
            [
                holder("nginx", "root", "nginx.service"),
                holder("nginx", "www-data", "nginx.service"),
            ],
            [],
        ),
        (
            NGINX,
            [holder("nginx", "www-data", "nginx.service")],
            ["the user is www-data, expected root"],
        ),
        (
            NGINX,
            [holder("nginx", "root", "nginx.service"), holder("sh", "ada", "nginx.service")],
            ["the process is sh, expected nginx"],
        ),
        (
            NGINX,
            [holder("nginx", "root", "nginx.service"), holder("nginx", "root", None)],
            ["the unit is nginx.service and no unit, expected nginx.service"],
        ),
        (
            NGINX,
            [ADA],
            [
                "the process is node, expected nginx",
                "the user is ada, expected root",
                "the unit is user@1000.service, expected nginx.service",
            ],
        ),
        # The kernel cuts names to 15 bytes; a shorter name is not a cut one.
        (EXPORTER, [holder("prometheus-node", "prometheus", None)], []),
        (EXPORTER, [holder("node_exporter", "prometheus", None)], []),
        (
            EXPORTER,
            [holder("prometheus", "prometheus", None)],
            ["the process is prometheus, expected prometheus-node-exporter or node_exporter"],
        ),
        # A thread may have renamed itself; the program is still the same.
        (judge.Owner(("node",), None, None), [holder("MainThread", "ada", None, "node")], []),
        (judge.Owner((), None, None), [ADA], []),
    ],
)
def test_owner(owner: judge.Owner, holders: list[Holder], expected: list[str]) -> None:
    assert judge.owner_faults(owner, holders) == expected


def test_a_crowd_of_holders_is_described_briefly() -> None:
    world = World()
    world.hold(80, *[daemon("nginx", pid) for pid in (11, 12, 13, 14)], ADA)
    text = judge.describe_holders(world.snapshot, world.snapshot.sockets[0], NOW)
    assert text == (
        "nginx (pids 11, 12 and 2 more, user nginx, since 09:14, unit nginx.service)"
        " and node (pid 812, user ada, since 09:14, unit user@1000.service)"
    )


def test_a_start_of_another_day_has_its_date() -> None:
    assert judge.format_start(NOW - 86400, NOW) == "2026-03-03 12:00"


# --- before --------------------------------------------------------------------------------------


def check(world: World, *endpoints: judge.Endpoint) -> dict[str, judge.Check]:
    found = judge.check_plan(
        endpoints, world.snapshot, host="app", registry="registry/ports.yml", now=NOW
    )
    return {one.endpoint.id: one for one in found}


def conflicts(checks: dict[str, judge.Check]) -> list[str]:
    return [name for name, one in checks.items() if one.conflict]


def test_a_stranger_is_a_conflict_that_says_everything() -> None:
    checks = check(World().hold(3003, ADA), endpoint("frontend.container", 3003))
    assert checks["frontend.container"].verdict == "foreign"
    assert checks["frontend.container"].conflict == (
        "app: 3003/tcp wanted by frontend.container is held on 0.0.0.0 by node (pid 812, user ada,"
        " since 09:14, unit user@1000.service). Stop it, or move the service in registry/ports.yml."
    )


def test_every_conflict_is_reported() -> None:
    world = World().hold(80, ADA).hold(443, ADA, on="::").hold(53, ADA, protocol="udp")
    checks = check(
        world,
        endpoint("nginx.http", 80),
        endpoint("nginx.https", 443),
        endpoint("dns.udp", 53, protocol="udp"),
        endpoint("dns.tcp", 53),
    )
    assert conflicts(checks) == ["nginx.http", "nginx.https", "dns.udp"]
    assert checks["dns.tcp"].verdict == "free"


def test_our_own_daemon_is_no_conflict() -> None:
    checks = check(World().hold_all(80, "nginx", "nginx"), endpoint("nginx.http", 80))
    assert (checks["nginx.http"].verdict, checks["nginx.http"].conflict) == ("ours", None)


def test_our_daemon_on_another_port_is_no_conflict() -> None:
    checks = check(World().hold(9090, "prometheus"), endpoint("prometheus.http", 9091))
    assert checks["prometheus.http"].verdict == "free"


def test_the_same_program_of_somebody_else_is_a_stranger() -> None:
    stray = daemon("nginx", 5, user="ada", unit="session-3.scope")
    assert conflicts(check(World().hold(80, stray), endpoint("nginx.http", 80)))


@pytest.mark.parametrize(
    ("listen", "on", "v6only", "verdict"),
    [
        (["127.0.0.1"], "127.0.0.1", False, "foreign"),
        (["127.0.0.1"], "0.0.0.0", False, "foreign"),
        (["127.0.0.1"], "::", False, "foreign"),
        (["127.0.0.1"], "::", True, "free"),
        (["127.0.0.1"], "10.0.0.1", False, "free"),
        (["127.0.0.1"], "::1", False, "free"),
        (WILD, "10.0.0.1", False, "foreign"),
        (WILD, "::1", False, "foreign"),
        (["::1"], "127.0.0.1", False, "free"),
    ],
)
def test_only_overlapping_addresses_conflict(
    listen: t.Sequence[str], on: str, v6only: bool, verdict: str
) -> None:
    world = World().hold(80, ADA, on=on, v6only=v6only)
    assert check(world, endpoint("web.http", 80, listen=listen))["web.http"].verdict == verdict


def test_a_holder_that_cannot_be_seen_is_no_stranger_for_certain() -> None:
    checks = check(World(obstacle=BECOME).hold(80), endpoint("nginx.http", 80))
    assert checks["nginx.http"].verdict == "unknown"
    conflict = checks["nginx.http"].conflict or ""
    assert "that may not be looked at. Run the task with become: true." in conflict


def test_a_socket_without_a_process_is_a_stranger_to_root() -> None:
    checks = check(World().hold(80), endpoint("nginx.http", 80))
    assert checks["nginx.http"].verdict == "foreign"
    assert "by the kernel, or a process that" in (checks["nginx.http"].conflict or "")


def test_an_alternative_port_that_a_stranger_holds_is_a_conflict() -> None:
    plan = endpoint("frontend.legacy", 3002, expect="optional", listen=["127.0.0.1"])
    assert conflicts(check(World().hold(3002, ADA), plan))
    assert not conflicts(check(World(), plan))


def test_a_retired_port_has_to_be_free() -> None:
    plan = [endpoint("postgres.sql", 5433), endpoint("postgres.intel", 5432, expect="silent")]
    checks = check(World().hold(5432, ADA, on="127.0.0.1"), *plan)
    assert checks["postgres.intel"].verdict == "retired-in-use"
    assert checks["postgres.intel"].conflict == (
        "app: 5432/tcp is retired (postgres.intel) but held on 127.0.0.1 by node (pid 812, user"
        " ada, since 09:14, unit user@1000.service). Stop it, or allocate the port in"
        " registry/ports.yml."
    )


def test_a_daemon_that_still_has_its_retired_port_is_no_conflict() -> None:
    plan = [endpoint("postgres.sql", 5433), endpoint("postgres.intel", 5432, expect="silent")]
    assert not conflicts(check(World().hold_all(5432, "postgres"), *plan))


def test_a_retired_service_that_still_runs_is_a_conflict() -> None:
    world = World().hold(6379, "redis")
    assert conflicts(check(world, endpoint("redis.redis", 6379, expect="silent")))


# A service that holds a port of another one: it may move away in the same run, or not.


def test_a_service_that_moves_away_is_a_warning() -> None:
    plan = [endpoint("a.http", 9090), endpoint("b.http", 9091)]
    checks = check(World().hold_all(9090, "b"), *plan)
    assert checks["a.http"].verdict == "other-service"
    assert not conflicts(checks)
    assert (checks["a.http"].warning or "").endswith(
        "b has to leave it in this run, before a starts."
    )


def test_a_service_that_has_all_of_its_ports_does_not_move() -> None:
    plan = [endpoint("a.http", 9090), endpoint("b.http", 9091)]
    checks = check(World().hold_all(9090, "b").hold_all(9091, "b"), *plan)
    assert conflicts(checks) == ["a.http"]


def test_two_services_that_swap_ports_cannot() -> None:
    plan = [endpoint("a.http", 9090), endpoint("b.http", 9091)]
    checks = check(World().hold_all(9090, "b").hold_all(9091, "a"), *plan)
    assert conflicts(checks) == ["a.http", "b.http"]
    assert (checks["a.http"].conflict or "").endswith(
        "that is b, which can't leave it in this run. Move one of them over a free port first, in"
        " registry/ports.yml and in a run of its own."
    )


def test_a_chain_of_moves_that_ends_at_a_free_port_works() -> None:
    plan = [endpoint("a.http", 1001), endpoint("b.http", 1002), endpoint("c.http", 1003)]
    assert not conflicts(check(World().hold_all(1001, "b").hold_all(1002, "c"), *plan))


def test_a_circle_of_three_does_not() -> None:
    plan = [endpoint("a.http", 1001), endpoint("b.http", 1002), endpoint("c.http", 1003)]
    world = World().hold_all(1001, "b").hold_all(1002, "c").hold_all(1003, "a")
    assert conflicts(check(world, *plan)) == ["a.http", "b.http", "c.http"]


def test_endpoints_of_one_daemon_may_swap() -> None:
    plan = [endpoint("web.http", 80), endpoint("web.https", 443)]
    assert not conflicts(check(World().hold_all(80, "web").hold_all(443, "web"), *plan))


def test_a_retired_port_held_by_a_service_that_moves_is_a_warning() -> None:
    plan = [endpoint("old.http", 9090, expect="silent"), endpoint("b.http", 9091)]
    checks = check(World().hold_all(9090, "b"), *plan)
    assert not conflicts(checks)
    assert checks["old.http"].warning


def test_ipv6_has_to_exist_where_the_plan_uses_it() -> None:
    plan = [endpoint("a.http", 80), endpoint("b.http", 81, listen=["127.0.0.1"])]
    assert judge.check_families(plan, World().snapshot, "app") is None
    assert judge.check_families(plan[1:], World(has_ipv6=False).snapshot, "app") is None
    assert judge.check_families(plan, World(has_ipv6=False).snapshot, "app") == (
        "app: a.http would listen on IPv6, and the host has no IPv6 address. Give it one, or set"
        " port_address_families of it to [ipv4]."
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1001, 1002, 1003]),
            st.sampled_from(["0.0.0.0", "::", "127.0.0.1", "::1"]),
            st.sampled_from(["a", "b", "c", "stranger", ""]),
        ),
        max_size=6,
    ),
    st.sampled_from([None, BECOME]),
)
def test_a_passed_check_leaves_every_port_to_its_owner(
    held: list[tuple[int, str, str]], obstacle: str | None
) -> None:
    """Whatever holds a port of a plan that passed is a service of this plan."""
    world = World(obstacle=obstacle)
    for port, address, who in held:
        world.hold(port, *([who] if who else []), on=address)
    plan = [endpoint("a.http", 1001), endpoint("b.http", 1002), endpoint("c.http", 1003)]
    checks = check(world, *plan)
    if not conflicts(checks):
        assert {who for _port, _address, who in held} <= {"a", "b", "c"}
    for name, one in checks.items():
        assert (one.verdict == "free") == (not one.sockets)
        assert one.conflict is None or one.conflict.startswith("app: ")
        assert one.as_dict()["id"] == name


# --- after ---------------------------------------------------------------------------------------


def verify(world: World, *endpoints: judge.Endpoint) -> list[judge.Verification]:
    return judge.verify_plan(endpoints, world.snapshot, registry="registry/ports.yml", now=NOW)


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
CASES: dict[str, tuple[World, judge.Endpoint, str, bool, list[str]]] = {
    "stopped": (
        World(),
        endpoint("web.http", 80),
        "not bound",
        True,
        [
            "nothing listens on 0.0.0.0:80 and [::]:80. Its unit's state and log: systemctl"
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
    monkeypatch.setattr(judge, "user_name", str)
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
def test_what_may_be_absent(wanted: judge.Endpoint, verdict: str, address: str) -> None:
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
    result, _ = verify(World().hold_all(443, "web"), *plan)
    assert "instead" not in result.messages[0]


@pytest.mark.parametrize(
    "plan",
    [{}, None, {"endpoints": [{}]}, {"endpoints": ["x"]}, {"endpoints": 1}],
)
def test_what_is_no_plan_is_refused(plan: t.Any) -> None:
    with pytest.raises(ValueError, match="not a plan as"):
        judge.read_plan(plan)
