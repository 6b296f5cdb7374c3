# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan opens, and what the options make of it."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import (
    RateLimit,
    merge,
    read_openings,
    read_policy,
    read_rate_limits,
)
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import (
    read_endpoints,
    read_plan,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.login import Session
from worlds import entry, plan

SESSION = Session("192.0.2.7", 50022, 2222)


def endpoint(**changes: t.Any) -> dict[str, t.Any]:
    given = {"sources": sources("198.51.100.1/32"), **changes}
    return entry("shop.http", 4711) | given


def sources(*cidrs: str) -> list[dict[str, t.Any]]:
    return [{"consumer": "front", "host": None, "cidr": cidr} for cidr in cidrs]


def pairs(**changes: t.Any) -> list[tuple[str, str]]:
    openings = read_openings(read_endpoints([endpoint(**changes)]), {})
    return [pair for opening in openings for family in (4, 6) for pair in opening.pairs(family)]


def params(**changes: t.Any) -> dict[str, t.Any]:
    return {
        "plan": plan(endpoint()),
        "ssh_sources": [],
        "ssh_ports": [],
        "container_interfaces": [],
        "limits": {},
        "refuse": "reject",
        "cluster": False,
        "allow_empty": False,
        "connection": "ssh",
    } | changes


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, [("198.51.100.1/32", "0.0.0.0/0")], id="a consumer's address"),
        pytest.param(
            {"sources": sources("0.0.0.0/0", "::/0")},
            [("0.0.0.0/0", "0.0.0.0/0"), ("::/0", "::/0")],
            id="anyone, in both families",
        ),
        pytest.param(
            {"sources": sources("198.51.100.0/32", "198.51.100.1/32", "198.51.100.0/31")},
            [("198.51.100.0/31", "0.0.0.0/0")],
            id="neighbours are merged",
        ),
        pytest.param(
            {"sources": sources("2001:db8::1/128"), "listen": ["0.0.0.0"]},
            [],
            id="a family that isn't listened on",
        ),
        pytest.param(
            {"listen": ["192.0.2.1", "2001:db8::2"], "sources": sources("0.0.0.0/0", "::/0")},
            [("0.0.0.0/0", "192.0.2.1/32"), ("::/0", "2001:db8::2/128")],
            id="certain addresses of the host",
        ),
        pytest.param({"listen": ["127.0.0.1"]}, [], id="loopback only"),
        pytest.param({"sources": []}, [], id="nobody"),
        pytest.param({"expect": "silent"}, [], id="retired, whatever else it says"),
        pytest.param(
            {"expect": "optional"}, [("198.51.100.1/32", "0.0.0.0/0")], id="an alternative"
        ),
    ],
)
def test_an_endpoint_opens(changes: dict[str, t.Any], expected: list[tuple[str, str]]) -> None:
    assert pairs(**changes) == expected


@pytest.mark.parametrize(
    "given", [{}, plan({}), plan(endpoint(sources=sources("shop"))), plan(system="darwin"), None]
)
def test_a_malformed_plan_is_refused(given: t.Any) -> None:
    """In the words that every module has for it."""
    with pytest.raises(ValueError, match=r"^plan: ") as caught:
        read_policy(params(plan=given), SESSION)
    with pytest.raises(ValueError, match=r"^plan: ") as same:
        read_plan(given)
    assert str(caught.value) == str(same.value)


def test_limits_are_given_to_their_endpoint_only() -> None:
    limits = read_rate_limits({"shop.http": {"rate": "20/second"}, "other.http": {"log": True}})
    assert limits["other.http"] == RateLimit(log=True)
    (opening,) = read_openings(read_endpoints([endpoint()]), limits)
    assert opening.limit == RateLimit("20/second", 5, False)


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"rate": "20"}, "the rate of shop.http is '20', allowed is a number and /second"),
        ({"rate": "0/second"}, "'0/second'"),
        ({"rate": "5/second drop; accept"}, "allowed is a number"),
        ({"speed": 1}, "shop.http has speed, allowed are rate, burst and log"),
    ],
)
def test_a_wrong_limit_is_refused(limit: dict[str, t.Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_rate_limits({"shop.http": limit})


def test_the_port_of_the_connection_is_always_open() -> None:
    assert read_policy(params(), SESSION).ssh_ports == (2222,)
    assert read_policy(params(ssh_ports=[22, 2222]), SESSION).ssh_ports == (22, 2222)
    assert read_policy(params(), SESSION).ssh_sources == ()


def test_the_controller_is_added_to_the_sources_of_ssh() -> None:
    policy = read_policy(params(ssh_sources=["198.51.100.0/24", "2001:db8::/64"]), SESSION)
    assert policy.ssh_sources == merge(["192.0.2.7", "198.51.100.0/24", "2001:db8::/64"])


def test_a_registry_cannot_take_ssh_away() -> None:
    retired = plan(endpoint(port=SESSION.server_port, expect="silent", sources=[]))
    assert read_policy(params(plan=retired), SESSION).ssh_ports == (2222,)


def test_without_a_known_port_of_ssh_nothing_is_done() -> None:
    with pytest.raises(ValueError, match="Set ssh_ports"):
        read_policy(params(), None)
    assert read_policy(params(ssh_ports=[22]), None).ssh_ports == (22,)
    assert read_policy(params(connection="other"), None).ssh_ports == ()


@pytest.mark.parametrize("name", ['podman"; accept', "*", "a" * 16, "", "pod*man"])
def test_a_name_that_no_interface_has_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of an interface"):
        read_policy(params(container_interfaces=[name]), SESSION)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(
            {"port": 67, "protocol": "udp", "listen": ["0.0.0.0"]},
            ["0.0.0.0/32", "198.51.100.1/32"],
            id="DHCP",
        ),
        pytest.param(
            {"port": 69, "protocol": "udp", "broadcast": True, "listen": ["0.0.0.0"]},
            ["0.0.0.0/32", "198.51.100.1/32"],
            id="told so",
        ),
        pytest.param(
            {"port": 547, "protocol": "udp", "listen": ["::"], "sources": sources("2001:db8::/64")},
            ["2001:db8::/64", "fe80::/10"],
            id="DHCPv6",
        ),
        pytest.param({"port": 67, "listen": ["0.0.0.0"]}, ["198.51.100.1/32"], id="not by TCP"),
        pytest.param({"port": 67, "protocol": "udp", "sources": []}, [], id="nobody's"),
    ],
)
def test_clients_without_an_address(changes: dict[str, t.Any], expected: list[str]) -> None:
    assert sorted({source for source, _destination in pairs(**changes)}) == expected


def test_to_all_is_a_destination_of_a_server_on_one_address_too() -> None:
    found = pairs(port=67, protocol="udp", listen=["192.0.2.1"])
    assert ("0.0.0.0/32", "255.255.255.255/32") in found


def test_a_protocol_without_ports_is_admitted() -> None:
    given = plan(protocols=[{"id": "x", "number": 112, "sources": sources("192.0.2.0/24")}])
    policy = read_policy(params(plan=given), SESSION)
    (admission,) = policy.admissions
    assert (admission.id, admission.protocol) == ("x", 112)
    assert admission.sources == merge(["192.0.2.0/24"])
    assert policy.opens("vrrp", 0)
    assert not policy.opens("esp", 0)
    assert policy.opens("tcp", SESSION.server_port)
    assert not policy.opens("udp", SESSION.server_port)
    with pytest.raises(ValueError, match=r"^plan: "):
        read_policy(params(plan=plan(protocols=[{"id": "x"}])), SESSION)


def test_an_empty_plan_needs_an_explicit_word() -> None:
    with pytest.raises(ValueError, match=r"The plan of app is empty.*Set allow_empty"):
        read_policy(params(plan=plan()), SESSION)
    assert read_policy(params(plan=plan(), allow_empty=True), SESSION).openings == ()
    only = plan(protocols=[{"id": "x", "number": 112, "sources": []}])
    assert read_policy(params(plan=only), SESSION).openings == ()


def test_every_port_of_the_ssh_server_is_open() -> None:
    assert read_policy(params(), SESSION, {22, 2222}).ssh_ports == (22, 2222)
    assert read_policy(params(connection="other"), None, {22}).ssh_ports == (22,)
    assert read_policy(params(), None, {22}).ssh_ports == (22,)
