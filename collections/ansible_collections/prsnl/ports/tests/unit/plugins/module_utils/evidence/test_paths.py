# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open paths of the live firewall against the plan's, by what nft lists."""

from __future__ import annotations

import shutil
import subprocess
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.evidence.paths import (
    OpenPath,
    compare_paths,
    parse_listing,
    planned_paths,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.nftables_rules import render
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import (
    Policy,
    RateLimit,
    read_openings,
)
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import read_plan

OWNER: dict[str, t.Any] = {
    "process": [],
    "user": None,
    "unit": [],
    "label": None,
    "container": None,
}
PLAN: dict[str, t.Any] = {
    "host": "app",
    "environment": "test",
    "system": "linux",
    "endpoints": [
        {
            "id": name,
            "service": name.partition(".")[0],
            "name": name.partition(".")[2],
            "status": "fixed",
            "allowed": ["0.0.0.0/0", "::/0"],
            "owner": {**OWNER, "container": None, "kernel": False},
            "probe": "none",
            "protocol": protocol,
            "port": port,
            "expect": "bound",
            "listen": listen,
            "sources": [{"consumer": "x", "host": None, "cidr": cidr} for cidr in cidrs],
        }
        for name, protocol, port, listen, cidrs in (
            ("shop.http", "tcp", 20080, ["0.0.0.0", "::"], ["0.0.0.0/0", "::/0"]),
            ("store.sql", "tcp", 21001, ["0.0.0.0", "::"], ["192.0.2.1/32", "2001:db8::1/128"]),
            ("store.cluster", "udp", 7007, ["198.51.100.2"], ["192.0.2.0/24"]),
            ("shop.admin", "tcp", 20081, ["127.0.0.1"], []),
        )
    ],
}
LIVE = """\
table inet prsnl_ports {
    map open_ipv4 {
        type ipv4_addr . ipv4_addr . inet_proto . inet_service : verdict
        flags interval
        elements = { 192.0.2.0/24 . 198.51.100.2 . 17 . 7007 comment "store.cluster" : accept,
            0.0.0.0/0 . 0.0.0.0/0 . 6 . 20080 comment "shop.http" : jump limit_6_20080_shop_http,
            192.0.2.1 . 0.0.0.0/0 . 6 . 21001 comment "store.sql" : accept }
    }

    map open_ipv6 {
        type ipv6_addr . ipv6_addr . inet_proto . inet_service : verdict
        flags interval
        elements = { ::/0 . ::/0 . 6 . 20080 comment "shop.http" : jump limit_6_20080_shop_http,
            2001:db8::1 . ::/0 . 6 . 21001 comment "store.sql" : accept }
    }

    chain input {
        type filter hook input priority 0; policy drop;
        tcp dport 22 accept comment "SSH"
        ip saddr . ip daddr . meta l4proto . th dport vmap @open_ipv4
    }
}
"""


def test_what_is_planned_is_open() -> None:
    found = compare_paths(LIVE, PLAN, LIVE)
    assert found["state"] == "loaded"
    assert (found["missing"], found["extra"], found["edited"]) == ([], [], False)
    assert len(found["paths"]) == 5


def test_a_closed_path_is_missing() -> None:
    line = '2001:db8::1 . ::/0 . 6 . 21001 comment "store.sql" : accept'
    found = compare_paths(LIVE.replace(line, ""), PLAN, LIVE)
    assert found["missing"] == [
        {
            "source": "2001:db8::1/128",
            "destination": "::/0",
            "protocol": "tcp",
            "port": 21001,
            "id": "store.sql",
        }
    ]
    assert (found["extra"], found["edited"]) == ([], True)


def test_an_open_path_that_nobody_declared_is_extra() -> None:
    more = LIVE.replace(
        "elements = { ::/0", "elements = { 2001:db8::9 . ::/0 . 6 . 1 : accept,\n::/0"
    )
    found = compare_paths(more, PLAN, None)
    assert [(path["source"], path["port"], path["id"]) for path in found["extra"]] == [
        ("2001:db8::9/128", 1, "")
    ]
    assert found["edited"] is None


@pytest.mark.parametrize(
    ("listing", "state"),
    [
        ("", "absent"),
        (LIVE.replace("policy drop", "policy accept"), "not in force"),
        (LIVE.replace("vmap @open_ipv4", "accept"), "not in force"),
    ],
)
def test_rules_that_hold_nobody_off(listing: str, state: str) -> None:
    assert compare_paths(listing, PLAN, None)["state"] == state


def test_a_plan_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="plan: "):
        planned_paths({"endpoints": [{}]})


@pytest.mark.skipif(not shutil.which("nft"), reason="needs nft (package nftables)")
def test_the_kernels_own_listing_is_understood() -> None:
    """Rules as they are rendered, loaded into a network namespace of their own, and listed."""
    openings = read_openings(read_plan(PLAN).endpoints, {"shop.http": RateLimit("20/second")})
    rules = render(Policy(openings, ssh_ports=(22,)))
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", "nft -f - && nft -s -nn list table inet prsnl_ports"],
        input=rules,
        capture_output=True,
        text=True,
        check=False,
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("needs a network namespace: " + done.stderr.strip())
    assert done.returncode == 0, done.stderr
    assert set(parse_listing(done.stdout)) == set(planned_paths(PLAN))
    assert OpenPath("0.0.0.0/0", "0.0.0.0/0", "tcp", 20080, "shop.http") in parse_listing(
        done.stdout
    )
    found = compare_paths(done.stdout, PLAN, done.stdout)
    assert (found["state"], found["missing"], found["extra"]) == ("loaded", [], [])
