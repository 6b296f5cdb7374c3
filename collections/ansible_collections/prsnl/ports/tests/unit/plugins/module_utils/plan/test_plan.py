# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses, and what is a plan."""

from __future__ import annotations

import ipaddress
import sys
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.plan import addresses
from ansible_collections.prsnl.ports.plugins.module_utils.plan.addresses import (
    covers,
    is_allowed,
    overlaps,
)
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import (
    read_endpoints,
    read_plan,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Socket
from hypothesis import given
from hypothesis import strategies as st
from worlds import entry, plan

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


# --- plans ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "plan: not what .* returns: the key 'host' is missing"),
        (None, "plan: not what .* returns: "),
        (plan() | {"endpoints": 1}, "plan: not what .* returns: 'int' object is not iterable"),
        (plan({}), r"plan: endpoints\[0\]: not what .*: the key 'port' is missing"),
        (plan() | {"endpoints": ["x"]}, r"plan: endpoints\[0\]: not what "),
        (
            plan(entry("a.b", 80) | {"port": "x"}),
            r"plan: endpoints\[a.b\]: .*invalid literal for int",
        ),
        (plan(entry("a.b", 65536)), r"plan: endpoints\[a.b\]: .*: 65536 is no port"),
        (plan(entry("a.b", 80, protocol="sctp")), "'sctp' is none of tcp, udp"),
        (plan(entry("a.b", 80) | {"expect": "here"}), "'here' is none of bound,"),
        (plan(entry("a.b", 80, listen=["localhost"])), "'localhost' does not appear to be an IPv4"),
        (plan(entry("a.b", 80, allowed=["1.2.3.4/8"])), "1.2.3.4/8 has host bits set"),
        (plan(entry("a.b", 80, owner={"process": ["a"]})), "the key 'container' is missing"),
        (
            plan(entry("a.b", 80, sources=[{"consumer": "c", "host": None, "cidr": "shop"}])),
            "'shop' does not appear to be an IPv4 or IPv6 network",
        ),
    ],
)
def test_what_is_no_plan_is_refused(given: t.Any, message: str) -> None:
    """With what is wrong, where, and what to do."""
    with pytest.raises(ValueError, match=message) as caught:
        read_plan(given)
    assert str(caught.value).endswith(". Give it that, or leave the option out.")


def test_a_plan_is_read_whole() -> None:
    source = {"consumer": "front", "host": "a", "cidr": "198.51.100.1/32"}
    data = plan(entry("shop.http", 80, sources=[source]), host="web1", environment="production")
    found = read_plan(data)
    assert (found.host, found.environment, found.system) == ("web1", "production", "linux")
    (shop,) = found.endpoints
    assert (shop.id, shop.key, shop.label) == ("shop.http", ("tcp", 80), "80/tcp")
    (read,) = shop.sources
    assert (read.consumer, read.host, str(read.network)) == ("front", "a", "198.51.100.1/32")


def test_an_answer_of_the_lookup_is_read_like_an_entry_of_a_plan() -> None:
    """It has more keys; the message names the option."""
    answer = {**entry("shop.http", 80), "targets": [], "address": "127.0.0.1"}
    assert read_endpoints([answer]) == read_plan(plan(entry("shop.http", 80))).endpoints
    with pytest.raises(ValueError, match=r"^endpoints\[shop.http\]: .*'owner' is missing"):
        read_endpoints([{key: value for key, value in answer.items() if key != "owner"}])


@pytest.mark.parametrize(
    ("platform", "system", "ours"),
    [("linux", "darwin", "linux"), ("darwin", "linux", "darwin"), ("freebsd13", "linux", None)],
)
def test_a_plan_of_another_system_is_refused(
    monkeypatch: pytest.MonkeyPatch, platform: str, system: str, ours: str | None
) -> None:
    """With the variable that has to be set."""
    monkeypatch.setattr(sys, "platform", platform)
    here = ours or platform
    with pytest.raises(ValueError, match=r"^plan: it is for a host") as caught:
        read_plan(plan(host="mac", system=system))
    assert str(caught.value) == (
        f"plan: it is for a host that runs {system}, and mac runs {here}. Set port_system: {here}"
        " for mac in the inventory, or gather its facts first."
    )
    if ours:
        assert read_plan(plan(system=ours)).system == ours
