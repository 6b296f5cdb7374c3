# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may hold a port before a change."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import HostEndpoint
from ansible_collections.prsnl.ports.plugins.module_utils.plan.leases import Lease, read_leases
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import (
    BECOME,
    BOUND,
    CLOSED,
    CONNECTED,
    Container,
    Holder,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.redirects import Redirect
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts import before as port_check
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.trials import Trial
from hypothesis import given
from hypothesis import strategies as st
from worlds import ADA, NOW, WILD, World, daemon, endpoint, owner


def check(
    world: World,
    *endpoints: HostEndpoint,
    leases: t.Sequence[Lease] = (),
    trials: t.Mapping[str, Trial] | None = None,
) -> dict[str, port_check.Check]:
    found = port_check.check_plan(
        endpoints,
        world.snapshot,
        host="app",
        registry="registry/ports.yml",
        now=NOW,
        leases=leases,
        trials=trials or {},
    )
    return {one.endpoint.id: one for one in found}


def conflicts(checks: dict[str, port_check.Check]) -> list[str]:
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


def test_what_only_the_kernel_has_is_not_to_be_stopped() -> None:
    vxlan = endpoint("flannel.vxlan", 8472, protocol="udp", owner=owner(process=["flanneld"]))
    (one,) = check(World().hold(8472, protocol="udp"), vxlan).values()
    assert (one.verdict, one.held_by) == ("foreign", "the kernel")
    assert one.conflict == (
        "app: 8472/udp wanted by flannel.vxlan is held on 0.0.0.0 by the kernel itself. If that is"
        " flannel itself (VXLAN, WireGuard, NFS and the like), its owner is kernel: true in"
        " registry/ports.yml. If not, remove what the kernel has it for (ip -d link and rpcinfo -p"
        " show most), or move the service in registry/ports.yml."
    )
    registered = endpoint("flannel.vxlan", 8472, protocol="udp", owner=owner(kernel=True))
    (one,) = check(World().hold(8472, protocol="udp"), registered).values()
    assert (one.verdict, one.conflict) == ("ours", None)


def test_in_a_container_nobody_may_be_somebody_outside_of_it() -> None:
    (one,) = check(World(is_nested=True).hold(80), endpoint("nginx.http", 80)).values()
    assert (one.verdict, one.held_by) == ("foreign", "unknown")
    assert one.conflict == (
        "app: 80/tcp wanted by nginx.http is held on 0.0.0.0 by the kernel, or a process outside of"
        " this container, which can't be seen in it. See on its host what has it, or move the"
        " service in registry/ports.yml."
    )


LOOPBACK = ("127.0.0.1",)
BUSY = {"web.http": Trial(taken=LOOPBACK)}


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (
            CONNECTED,
            "a connection to 10.0.0.9:8500 of node (pid 812, user ada, since 09:14, unit"
            " user@1000.service). Have it closed, and keep such connections from the port with"
            " net.ipv4.ip_local_reserved_ports, or move the service in registry/ports.yml.",
        ),
        (
            BOUND,
            "a socket that doesn't listen, of node (pid 812, user ada, since 09:14, unit"
            " user@1000.service). Have it closed, and keep such connections from the port with"
            " net.ipv4.ip_local_reserved_ports, or move the service in registry/ports.yml.",
        ),
        (
            CLOSED,
            "a connection to 10.0.0.9:8500 that has ended. The kernel forgets it in a minute at"
            " most: run again then, or move the service in registry/ports.yml.",
        ),
    ],
)
def test_what_does_not_listen_counts_where_the_kernel_says_so(state: str, text: str) -> None:
    world = World().hold(8080, ADA, on="127.0.0.1", state=state, peer="10.0.0.9:8500")
    plan = endpoint("web.http", 8080, listen=LOOPBACK)
    assert check(world, plan)["web.http"].verdict == "free"
    (one,) = check(world, plan, trials=BUSY).values()
    assert one.verdict == "foreign"
    assert one.conflict == f"app: 8080/tcp wanted by web.http is held on 127.0.0.1 by {text}"
    assert one.as_dict()["bind_fails"] == ["127.0.0.1"]


def test_a_connection_that_was_there_when_its_server_stopped_is_its_own() -> None:
    """The kernel lets a server bind beside it, unless it did without SO_REUSEADDR."""
    world = World().hold(8080, "web", on="127.0.0.1", state=CONNECTED, peer="127.0.0.1:4000")
    plan = endpoint("web.http", 8080, listen=LOOPBACK)
    assert check(world, plan, trials=BUSY)["web.http"].verdict == "ours"


def test_a_connection_of_another_service_is_no_move() -> None:
    """That service is where it should be, and only happened to get the port."""
    world = World().hold_all(9090, "prometheus")
    world.hold(8080, "prometheus", on="127.0.0.1", state=CONNECTED, peer="127.0.0.1:9100")
    plan = [endpoint("web.http", 8080, listen=LOOPBACK), endpoint("prometheus.http", 9090)]
    found = check(world, *plan, trials=BUSY)["web.http"]
    assert found.verdict == "foreign"
    assert "by a connection to 127.0.0.1:9100 of prometheus" in (found.conflict or "")


def test_what_only_the_kernel_knows_is_said() -> None:
    (one,) = check(World(), endpoint("web.http", 8080, listen=LOOPBACK), trials=BUSY).values()
    assert one.verdict == "foreign"
    assert one.conflict == (
        "app: 8080/tcp wanted by web.http can't be bound on 127.0.0.1: the kernel says that it is"
        " in use, and shows no socket of it. Wait a minute and look again with ss -an, or move the"
        " service in registry/ports.yml."
    )


def test_an_address_that_the_host_lacks_is_told() -> None:
    plan = endpoint("web.http", 8080, listen=["192.0.2.9"])
    trials = {"web.http": Trial(absent=("192.0.2.9",))}
    (one,) = check(World(), plan, trials=trials).values()
    assert (one.verdict, one.conflict) == ("no-address", None)
    assert one.warning == (
        "app: 8080/tcp wanted by web.http can't be bound on 192.0.2.9, which the host doesn't have"
        " (yet). Give it that address, or correct the addresses in registry/ports.yml."
    )


SVCLB = "iptables-nft -t nat -A CNI-DN-1 -p tcp --dport 80 -j DNAT --to-destination 10.42.0.5:80"


@pytest.mark.parametrize("holder", [None, "web"])
def test_a_port_whose_packets_go_elsewhere_is_not_free(holder: str | None) -> None:
    """Nor is it ours, though our daemon has a socket there."""
    world = World().hold_all(80, holder) if holder else World()
    trials = {"web.http": Trial(works=WILD, redirect=Redirect("10.42.0.5:80", SVCLB, True))}
    (one,) = check(world, endpoint("web.http", 80), trials=trials).values()
    assert one.verdict == "foreign"
    assert one.conflict == (
        "app: 80/tcp is wanted by web.http, but packets to it go to 10.42.0.5:80, by the rule"
        f" {SVCLB} (made by a container's hostPort or svclb, by CNI). Remove what made the rule, or"
        " move the service in registry/ports.yml."
    )
    assert one.held_by == "10.42.0.5:80, to which packets go"


def test_a_retired_port_whose_packets_go_elsewhere_is_in_use() -> None:
    trials = {"web.old": Trial(redirect=Redirect("10.42.0.5:80", SVCLB, True))}
    (one,) = check(World(), endpoint("web.old", 79, expect="silent"), trials=trials).values()
    assert one.verdict == "retired-in-use"
    assert (one.conflict or "").startswith(
        "app: 79/tcp is retired (web.old), but packets to it go to 10.42.0.5:80, by the rule"
    )


def test_a_rule_for_some_packets_is_a_warning() -> None:
    trials = {"web.http": Trial(redirect=Redirect("port 3128", "nft inet x p handle 4", False))}
    (one,) = check(World(), endpoint("web.http", 80), trials=trials).values()
    assert (one.verdict, one.conflict) == ("free", None)
    assert one.warning == (
        "app: some packets to 80/tcp of web.http go to port 3128 instead, by the rule nft inet x p"
        " handle 4."
    )


def test_the_rule_by_which_a_container_is_reached_is_its_own() -> None:
    shop = Container("docker", "shop")
    world = World().hold(80, container=shop, published=True)
    trials = {"shop.http": Trial(redirect=Redirect("172.17.0.2:80", "DOCKER", True))}
    container = {"engine": None, "name": "shop"}
    plan = endpoint("shop.http", 80, listen=["0.0.0.0"], owner=owner(container=container))
    (one,) = check(world, plan, trials=trials).values()
    assert (one.verdict, one.conflict) == ("ours", None)


# Sockets that are bound to a device: two DHCP servers, each for the guests on its own bridge.

DHCP: dict[str, t.Any] = {"listen": ["0.0.0.0"], "protocol": "udp"}
DNSMASQ = daemon("dnsmasq", 4)


def test_sockets_of_different_devices_do_not_collide() -> None:
    world = World().hold(67, DNSMASQ, protocol="udp", device="virbr0")
    world.hold(67, "kea", protocol="udp", device="eth0")
    (one,) = check(world, endpoint("kea.dhcp", 67, **DHCP)).values()
    assert (one.verdict, one.conflict) == ("ours", None)


def test_one_that_is_bound_to_a_device_is_shown_with_it() -> None:
    world = World().hold(67, DNSMASQ, protocol="udp", device="virbr0")
    (one,) = check(world, endpoint("kea.dhcp", 67, **DHCP)).values()
    assert (one.verdict, one.as_dict()["held_on"]) == ("foreign", ["0.0.0.0%virbr0"])
    assert (one.conflict or "").endswith(
        "Stop it, or move the service in registry/ports.yml, or name the device of kea.dhcp there"
        " if it isn't virbr0."
    )
    for device, verdict in (("eth0", "free"), ("virbr0", "foreign")):
        plan = replace(endpoint("kea.dhcp", 67, **DHCP), device=device)
        assert check(world, plan)["kea.dhcp"].verdict == verdict


def test_the_kernel_decides_whether_a_device_is_in_the_way() -> None:
    """It lets one bind beside a socket of another routing domain (VRF)."""
    world = World().hold(67, DNSMASQ, protocol="udp", device="vrf-mgmt")
    plan = endpoint("kea.dhcp", 67, **DHCP)
    for trial, verdict in (
        (Trial(works=("0.0.0.0",)), "free"),
        (Trial(taken=("0.0.0.0",)), "foreign"),
    ):
        assert check(world, plan, trials={"kea.dhcp": trial})["kea.dhcp"].verdict == verdict


@pytest.mark.parametrize(
    ("wanted", "holder", "reason"),
    [
        (
            {"process": [], "user": "prometheus"},
            daemon("prometheus", 5, unit="prometheus-server.service"),
            "the unit is prometheus-server.service, expected prometheus.service",
        ),
        (
            {"process": [], "user": None},
            daemon("prometheus", 5, unit=None),
            "the unit is no unit, expected prometheus.service",
        ),
        (
            {"unit": []},
            daemon("prometheus", 5, user="root"),
            "the user is root, expected prometheus",
        ),
    ],
)
def test_a_reason_that_the_name_does_not_tell_is_told(
    wanted: dict[str, t.Any], holder: Holder, reason: str
) -> None:
    plan = endpoint("prometheus.http", 9090, **wanted)
    (one,) = check(World().hold(9090, holder), plan).values()
    assert one.verdict == "foreign"
    assert f": {reason}. " in (one.conflict or "")


def test_a_users_own_container_is_told_how_to_be_registered() -> None:
    his = Container("podman", "shop", uid=4242)
    world = World().hold(80, daemon("rootlessport", 7, user="4242"), container=his, published=True)
    container = {"engine": None, "name": "shop"}
    (one,) = check(world, endpoint("shop.http", 80, owner=owner(container=container))).values()
    assert one.verdict == "foreign"
    assert (
        ": the container is podman container shop of 4242, expected container shop of root. If that"
        " is shop itself, run it as it is registered, or correct its owner to container: shop and"
        " user: 4242 in registry/ports.yml. If not, stop it, or move the service there."
    ) in (one.conflict or "")
    registered = owner(container=container, user="4242")
    (one,) = check(world, endpoint("shop.http", 80, owner=registered)).values()
    assert one.verdict == "ours"


def test_a_container_with_the_services_name_may_be_the_service() -> None:
    world = World().hold(5001, container=Container("docker", "registry"), published=True)
    plan = endpoint("registry.http", 5001, owner=owner(process=["registry"]))
    (one,) = check(world, plan).values()
    assert one.conflict == (
        "app: 5001/tcp wanted by registry.http is held on 0.0.0.0 by docker container registry,"
        " which its engine publishes there: it is published for docker container registry, expected"
        " registry. If that is registry itself, run it as it is registered, or correct its owner to"
        " container: registry in registry/ports.yml. If not, stop it, or move the service there."
    )


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


def lease(port: int, *, expired: bool = False) -> Lease:
    (result,) = read_leases(
        [
            {
                "port": port,
                "protocol": "tcp",
                "owner": owner(process=["node"], user="ada"),
                "reason": "Load test",
                "expires": "2026-12-01",
                "expired": expired,
                "where": "registry/leases.yml:4",
            }
        ]
    )
    return result


def test_a_lease_keeps_its_holder_where_nobody_has_to_start() -> None:
    plan = endpoint("web.alt", 3002, expect="optional", listen=["127.0.0.1"])
    checks = check(World().hold(3002, ADA), plan, leases=[lease(3002)])
    assert (checks["web.alt"].verdict, checks["web.alt"].conflict) == ("leased", None)


def test_a_lease_is_in_the_way_of_a_service_that_has_to_start() -> None:
    checks = check(World().hold(3003, ADA), endpoint("web.http", 3003), leases=[lease(3003)])
    assert checks["web.http"].verdict == "leased"
    assert checks["web.http"].conflict == (
        "app: 3003/tcp wanted by web.http is held on 0.0.0.0 by node (pid 812, user ada, since"
        " 09:14, unit user@1000.service); it is leased until 2026-12-01 for: Load test"
        " (registry/leases.yml:4). End the lease and stop it, or move the service in"
        " registry/ports.yml."
    )


def test_a_lease_does_not_reopen_a_retired_port() -> None:
    plan = endpoint("web.old", 79, expect="silent")
    checks = check(World().hold(79, ADA), plan, leases=[lease(79)])
    assert checks["web.old"].verdict == "retired-in-use"
    assert checks["web.old"].conflict


def test_a_lease_that_has_ended_counts_no_more_and_is_named() -> None:
    plan = endpoint("web.alt", 3002, expect="optional")
    checks = check(World().hold(3002, ADA), plan, leases=[lease(3002, expired=True)])
    assert checks["web.alt"].verdict == "foreign"
    assert "; it was leased until 2026-12-01 for: Load test (registry/leases.yml:4). Stop it" in (
        checks["web.alt"].conflict or ""
    )


def test_a_lease_is_for_its_holder_only() -> None:
    stranger = daemon("bun", 5, user="ada")
    plan = endpoint("web.alt", 3002, expect="optional")
    assert conflicts(check(World().hold(3002, stranger), plan, leases=[lease(3002)]))
    assert conflicts(check(World().hold(3002, ADA), plan, leases=[lease(3001)]))


def test_a_published_port_is_held_by_its_container() -> None:
    world = World().hold(80, container=Container("docker", "web"))
    checks = check(world, endpoint("nginx.http", 80))
    assert checks["nginx.http"].conflict == (
        "app: 80/tcp wanted by nginx.http is held on 0.0.0.0 by docker container web, which its"
        " engine publishes there. Stop it, or move the service in registry/ports.yml."
    )


def test_what_is_no_lease_is_refused() -> None:
    with pytest.raises(ValueError, match="leases: not leases as the action passes them"):
        read_leases([{"port": 1}])


def test_ipv6_has_to_exist_where_the_plan_uses_it() -> None:
    plan = [endpoint("a.http", 80), endpoint("b.http", 81, listen=["127.0.0.1"])]
    assert port_check.check_families(plan, World().snapshot, "app") is None
    assert port_check.check_families(plan[1:], World(has_ipv6=False).snapshot, "app") is None
    assert port_check.check_families(plan, World(has_ipv6=False).snapshot, "app") == (
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
