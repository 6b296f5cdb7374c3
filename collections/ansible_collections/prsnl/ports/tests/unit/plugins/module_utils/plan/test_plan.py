# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses, owners, and what is a plan."""

from __future__ import annotations

import ipaddress
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.plan import addresses
from ansible_collections.prsnl.ports.plugins.module_utils.plan.addresses import (
    covers,
    is_allowed,
    overlaps,
)
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import read_plan
from ansible_collections.prsnl.ports.plugins.module_utils.plan.owners import (
    ExpectedOwner,
    describe_holders,
    format_start,
    owner_faults,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Holder, Socket
from hypothesis import given
from hypothesis import strategies as st
from worlds import ADA, NOW, World, daemon

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
    assert addresses.overlaps(sock, [wanted]) is overlaps
    assert addresses.covers(sock, wanted) is covers


@given(
    st.one_of(st.just("0.0.0.0"), st.just("::"), st.ip_addresses().map(str)),
    st.one_of(st.just("0.0.0.0"), st.just("::"), st.ip_addresses().map(str)),
    st.booleans(),
)
def test_what_covers_an_address_overlaps_it(bound: str, wanted: str, v6only: bool) -> None:
    sock = Socket("tcp", bound, 80, v6only, 0, 1)
    if covers(sock, wanted):
        assert overlaps(sock, [wanted])
    assert covers(sock, bound) or ipaddress.ip_address(bound).version == 6


@pytest.mark.parametrize(
    ("bound", "v6only", "allowed", "expected"),
    [
        ("127.0.0.1", False, ["127.0.0.0/8", "::1/128"], True),
        ("127.0.0.1", False, ["::1/128"], False),
        ("0.0.0.0", False, ["127.0.0.0/8"], False),
        # Each half of a dual-stack socket has to be allowed.
        ("::", False, ["::/0"], False),
        ("::", True, ["::/0"], True),
        ("::", False, ["0.0.0.0/0", "::/0"], True),
    ],
)
def test_allowed_addresses(bound: str, v6only: bool, allowed: list[str], expected: bool) -> None:
    networks = [ipaddress.ip_network(cidr) for cidr in allowed]
    assert is_allowed(Socket("tcp", bound, 80, v6only, 0, 1), networks) is expected


# --- owners --------------------------------------------------------------------------------------

NGINX = ExpectedOwner(("nginx",), "root", "nginx.service")
EXPORTER = ExpectedOwner(("prometheus-node-exporter", "node_exporter"), "prometheus", None)


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
        (ExpectedOwner(("node",), None, None), [holder("MainThread", "ada", None, "node")], []),
        (ExpectedOwner((), None, None), [ADA], []),
    ],
)
def test_owner(owner: ExpectedOwner, holders: list[Holder], expected: list[str]) -> None:
    assert owner_faults(owner, holders) == expected


def test_a_crowd_of_holders_is_described_briefly() -> None:
    world = World()
    world.hold(80, *[daemon("nginx", pid) for pid in (11, 12, 13, 14)], ADA)
    text = describe_holders(world.snapshot, world.snapshot.sockets[0], NOW)
    assert text == (
        "nginx (pids 11, 12 and 2 more, user nginx, since 09:14, unit nginx.service)"
        " and node (pid 812, user ada, since 09:14, unit user@1000.service)"
    )


def test_a_start_of_another_day_has_its_date() -> None:
    assert format_start(NOW - 86400, NOW) == "2026-03-03 12:00"


@pytest.mark.parametrize(
    "plan",
    [{}, None, {"endpoints": [{}]}, {"endpoints": ["x"]}, {"endpoints": 1}],
)
def test_what_is_no_plan_is_refused(plan: t.Any) -> None:
    with pytest.raises(ValueError, match="not a plan as"):
        read_plan(plan)
