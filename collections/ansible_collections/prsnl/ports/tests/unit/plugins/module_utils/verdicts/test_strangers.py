# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Listeners that the registry doesn't know."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import HostEndpoint
from ansible_collections.prsnl.ports.plugins.module_utils.plan.leases import Lease
from ansible_collections.prsnl.ports.plugins.module_utils.plan.owners import ExpectedOwner
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.login import Login, Session
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import (
    Container,
    Holder,
    Socket,
)
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts import strangers
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.after import verify_plan
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.limits import PortLimits
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.strangers import Allowed
from worlds import ADA, NOW, World, daemon, endpoint

LIMITS = PortLimits((32768, 60999), ((40000, 40000),), 1024)
NOBODY = Login(frozenset(), None)
SESSION = Session("192.0.2.7", 50022, 22)
SSHD = Holder(500, "sshd", "/usr/sbin/sshd", "root", "ssh.service", NOW)
LEASE = Lease(8090, "tcp", ExpectedOwner(("node",), "ada"), "Load test", "2026-12-01", False, "l:3")
NODE = ExpectedOwner(("node",))


def find(
    world: World,
    *endpoints: HostEndpoint,
    allowed: t.Sequence[Allowed] = (),
    leases: t.Sequence[Lease] = (),
    login: Login = NOBODY,
    known: t.Sequence[Socket] = (),
) -> list[strangers.Listener]:
    judged = verify_plan(endpoints, world.snapshot, registry="", now=NOW)
    return strangers.find_unregistered(
        world.snapshot,
        allowed=allowed,
        leases=leases,
        login=login,
        limits=LIMITS,
        known=[*known, *(sock for result in judged for sock in result.sockets)],
        registry="registry/ports.yml",
        now=NOW,
    )


def test_a_stranger_is_named_once_for_all_its_sockets() -> None:
    (found,) = find(World().hold_all(8123, ADA), endpoint("web.http", 80))
    assert found.as_dict() == {
        "port": 8123,
        "protocol": "tcp",
        "address": "0.0.0.0:8123, [::]:8123",
        "held_by": "node (ada)",
        "message": (
            "8123/tcp is not registered, but held on 0.0.0.0 and :: by node (pid 812,"
            " user ada, since 09:14, unit user@1000.service). Stop it, register it in"
            " registry/ports.yml, or allow it with a reason."
        ),
    }


def test_what_the_plan_has_is_judged_elsewhere() -> None:
    world = World().hold(80, ADA).hold(80, ADA, protocol="udp").hold(79, ADA)
    plan = [endpoint("web.http", 80), endpoint("web.old", 79, expect="silent")]
    assert [(found.port, found.protocol) for found in find(world, *plan)] == [(80, "udp")]


@pytest.mark.parametrize("listen", [["10.0.0.1"], ["127.0.0.1"], ["fd00::1"]])
def test_a_socket_on_other_addresses_is_nobodys(listen: list[str]) -> None:
    """Another service's web server on its own address, a resolver's stub beside a DNS server."""
    plan = endpoint("forum.https", 443, listen=listen)
    world = World().hold(443, ADA, on="10.0.0.7")
    assert [found.held_by for found in find(world, plan)] == ["node (ada)"]
    own = World().hold(443, "forum", on="10.0.0.7")
    assert find(own, plan) == []


def test_what_the_kernel_has_is_not_to_be_stopped() -> None:
    (found,) = find(World().hold(8472, protocol="udp"))
    assert found.message == (
        "8472/udp is not registered, but held on 0.0.0.0 by the kernel itself. Register it in"
        " registry/ports.yml, or allow it with a reason."
    )


def test_different_holders_of_a_port_are_told_apart() -> None:
    world = World().hold(90, ADA, on="127.0.0.1").hold(90, "bob", on="::1").hold(70, ADA)
    assert [(found.port, found.held_by) for found in find(world)] == [
        (70, "node (ada)"),
        (90, "node (ada)"),
        (90, "bob (bob)"),
    ]


def test_a_published_container_is_named() -> None:
    world = World().hold(8123, container=Container("docker", "web"))
    assert find(world)[0].held_by == "docker container web"


@pytest.mark.parametrize("login", [Login(frozenset({500}), None), Login(frozenset(), SESSION)])
def test_the_listener_of_the_connection_is_known(login: Login) -> None:
    world = World().hold_all(22, SSHD)
    assert find(world, login=login) == []
    assert [found.port for found in find(world)] == [22]


def test_udp_on_the_connections_port_is_not_the_connection() -> None:
    world = World().hold(22, ADA, protocol="udp")
    assert find(world, login=Login(frozenset(), SESSION))


def test_what_was_reported_already_is_left_out() -> None:
    world = World().hold(81, daemon("web", 7))
    assert find(world, known=world.snapshot.sockets) == []


def test_a_lease_covers_its_holder_until_it_ends() -> None:
    world = World().hold(8090, ADA)
    assert find(world, leases=[LEASE]) == []
    ended = Lease(**{**vars(LEASE), "expired": True})
    (found,) = find(world, leases=[ended])
    assert "; it was leased until 2026-12-01 for: Load test (l:3). Stop it" in found.message
    assert find(World().hold(8090, daemon("node", 9)), leases=[LEASE])
    assert find(World().hold(8091, ADA), leases=[LEASE])


@pytest.mark.parametrize(
    ("allowed", "world", "fits"),
    [
        (Allowed("r", NODE), World().hold(81, ADA), True),
        (Allowed("r", ExpectedOwner(("bun",))), World().hold(81, ADA), False),
        (Allowed("r", ExpectedOwner(user="ada")), World().hold(81, ADA), True),
        (Allowed("r", ExpectedOwner(user="bob")), World().hold(81, ADA), False),
        (Allowed("r", protocol="tcp"), World().hold(81, ADA), True),
        (Allowed("r", protocol="udp"), World().hold(81, ADA), False),
        (Allowed("r", ports=(80, 81)), World().hold(81, ADA), True),
        (Allowed("r", ports=(80,)), World().hold(81, ADA), False),
        (Allowed("r", loopback=True), World().hold(81, ADA, on="127.0.0.53"), True),
        (Allowed("r", loopback=True), World().hold(81, ADA, on="::1"), True),
        (Allowed("r", loopback=True), World().hold(81, ADA, on="::ffff:127.0.0.1"), True),
        (Allowed("r", loopback=True), World().hold(81, ADA, on="::"), False),
        (Allowed("r", ephemeral=True), World().hold(32768, ADA), True),
        (Allowed("r", ephemeral=True), World().hold(40000, ADA), False),
        (Allowed("r", ephemeral=True), World().hold(81, ADA), False),
        (Allowed("r", ExpectedOwner(("node",), "bob")), World().hold(81, ADA), False),
        # Who can't be seen isn't who was allowed.
        (Allowed("r", NODE), World().hold(81), False),
        (Allowed("r", ports=(81,)), World().hold(81), True),
    ],
)
def test_all_that_is_given_has_to_fit(allowed: Allowed, world: World, fits: bool) -> None:
    assert (find(world, allowed=[allowed]) == []) is fits
