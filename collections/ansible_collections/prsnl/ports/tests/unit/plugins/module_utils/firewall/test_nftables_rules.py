# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules for nftables, one by one, and their life in a kernel of their own."""

from __future__ import annotations

import pathlib
import subprocess
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.nftables_rules import (
    has_opened,
    render,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import (
    Admission,
    Opening,
    Policy,
    RateLimit,
    merge,
)
from networks import nft_works

ANYWHERE = merge(["0.0.0.0/0", "::/0"])


def opening(**changes: t.Any) -> Opening:
    values: dict[str, t.Any] = {
        "id": "shop.http",
        "protocol": "tcp",
        "port": 4711,
        "sources": merge(["198.51.100.1/32", "2001:db8::1/128"]),
        "destinations": ANYWHERE,
    }
    return Opening(**(values | changes))


def policy(*openings: Opening, **changes: t.Any) -> Policy:
    return Policy(openings, **({"ssh_ports": (22,)} | changes))


def block(text: str, head: str) -> list[str]:
    """The lines of a chain or map."""
    lines = text.partition(f"\t{head} {{\n")[2].partition("\n\t}\n")[0].splitlines()
    assert lines, f"no {head} in {text}"
    return [line.strip() for line in lines]


def elements(text: str, family: int) -> list[str]:
    lines = block(text, f"map open_ipv{family}")
    return [line.rstrip(",") for line in lines if " comment " in line]


def test_a_replacement_is_one_transaction_of_the_own_table() -> None:
    lines = [line for line in render(policy()).splitlines() if line and line[0] not in "\t#"]
    assert lines == [
        "table inet prsnl_ports",
        "delete table inet prsnl_ports",
        "table inet prsnl_ports {",
        "}",
    ]


def test_an_endpoint_is_an_element_of_each_family() -> None:
    text = render(policy(opening()))
    assert elements(text, 4) == [
        '198.51.100.1/32 . 0.0.0.0/0 . 6 . 4711 comment "shop.http" : accept'
    ]
    assert elements(text, 6) == ['2001:db8::1/128 . ::/0 . 6 . 4711 comment "shop.http" : accept']


def test_udp_and_certain_addresses() -> None:
    text = render(policy(opening(protocol="udp", destinations=merge(["192.0.2.1"]))))
    assert elements(text, 4) == [
        '198.51.100.1/32 . 192.0.2.1/32 . 17 . 4711 comment "shop.http" : accept'
    ]
    assert elements(text, 6) == []


VRRP = Admission("addresses", 112, merge(["198.51.100.0/24"]))


def test_protocols_without_ports_are_elements_of_a_set() -> None:
    """However many there are, they cost one rule; without them there is none."""
    text = render(policy(admissions=(VRRP, Admission("tunnel", 47, ANYWHERE))))
    assert block(text, "set admitted_ipv4") == [
        "type ipv4_addr . inet_proto",
        "flags interval",
        "elements = {",
        '198.51.100.0/24 . 112 comment "addresses",',
        '0.0.0.0/0 . 47 comment "tunnel",',
        "}",
    ]
    assert '::/0 . 47 comment "tunnel",' in block(text, "set admitted_ipv6")
    rules = block(text, "chain input")
    assert "ip saddr . meta l4proto @admitted_ipv4 accept" in rules
    assert "ip6 saddr . meta l4proto @admitted_ipv6 accept" in rules
    assert "admitted" not in render(policy())


def test_what_rules_have_opened_is_read_from_them() -> None:
    text = render(policy(opening(), admissions=(VRRP,)))
    assert has_opened(text, "tcp", 4711)
    assert has_opened(text, "vrrp", 0)
    for protocol, port in (("udp", 4711), ("tcp", 471), ("tcp", 711), ("esp", 0), ("47", 0)):
        assert not has_opened(text, protocol, port)


def test_ssh_comes_first() -> None:
    rules = block(render(policy(opening(), ssh_ports=(22, 2222))), "chain input")
    assert rules[:2] == [
        "type filter hook input priority 0; policy drop;",
        'tcp dport { 22, 2222 } accept comment "SSH"',
    ]


def test_ssh_from_some_networks_comes_first_too() -> None:
    sources = merge(["192.0.2.7", "198.51.100.0/24", "2001:db8::/64"])
    rules = block(render(policy(ssh_sources=sources)), "chain input")
    assert rules[1:3] == [
        'ip saddr { 192.0.2.7/32, 198.51.100.0/24 } tcp dport { 22 } accept comment "SSH"',
        'ip6 saddr { 2001:db8::/64 } tcp dport { 22 } accept comment "SSH"',
    ]


def test_without_ssh_there_is_no_rule_for_it() -> None:
    assert "SSH" not in render(policy(ssh_ports=()))


def test_what_every_host_needs_is_let_in() -> None:
    assert block(render(policy(container_interfaces=("podman*",))), "chain input")[2:] == [
        "ct state { established, related } accept",
        "tcp flags & (syn | ack) == ack socket transparent 0 accept",
        "ct state invalid drop",
        'iifname "lo" accept',
        "icmp type { 3, 8, 11, 12 } accept",
        "icmpv6 type { 1, 2, 3, 4, 128, 130, 134, 135, 136 } accept",
        "udp sport 67 udp dport 68 accept",
        "ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept",
        'iifname "podman*" meta l4proto { 6, 17 } th dport 53 accept',
        "ip saddr . ip daddr . meta l4proto . th dport vmap @open_ipv4",
        "ip6 saddr . ip6 daddr . meta l4proto . th dport vmap @open_ipv6",
        "goto denied",
    ]


def test_published_ports_are_judged_by_their_first_destination() -> None:
    text = render(policy())
    assert block(text, "chain forward") == [
        "type filter hook forward priority 0; policy accept;",
        "ct state established,related accept",
        "ct status dnat goto published",
    ]
    assert block(text, "chain published")[0] == (
        "meta l4proto 6 ip saddr . ct original ip daddr . meta l4proto . ct original proto-dst"
        " vmap @open_ipv4"
    )
    assert block(text, "chain published")[-1] == "goto denied"


@pytest.mark.parametrize(
    ("reject", "rules"),
    [(True, ["meta l4proto 6 reject with tcp reset", "reject"]), (False, ["drop"])],
)
def test_others_are_refused(reject: bool, rules: list[str]) -> None:
    assert block(render(policy(reject=reject)), "chain denied") == rules


def test_a_limited_and_logged_endpoint_has_a_chain() -> None:
    text = render(
        policy(opening(limit=RateLimit("20/second", 40, True)), opening(id="b.c", port=1))
    )
    assert elements(text, 4) == [
        '198.51.100.1/32 . 0.0.0.0/0 . 6 . 4711 comment "shop.http" : jump limit_6_4711_shop_http',
        '198.51.100.1/32 . 0.0.0.0/0 . 6 . 1 comment "b.c" : accept',
    ]
    assert block(text, "chain limit_6_4711_shop_http") == [
        "limit rate over 20/second burst 40 packets goto denied",
        'log prefix "prsnl_ports shop.http: "',
        "accept",
    ]


@pytest.mark.skipif(not nft_works(), reason="needs root, and nft in a network namespace")
@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(policy(), id="nothing open"),
        pytest.param(
            policy(
                opening(limit=RateLimit("20/second", 40, True)),
                opening(id="public.udp", protocol="udp", sources=ANYWHERE),
                opening(
                    id="x" * 200 + "." + "y" * 200,
                    port=65535,
                    destinations=merge(["192.0.2.1"]),
                    limit=RateLimit(log=True),
                ),
                ssh_sources=merge(["192.0.2.7", "2001:db8::/64"]),
                container_interfaces=("podman*", "docker0"),
                reject=False,
                admissions=(VRRP, Admission("x" * 200, 47, ANYWHERE)),
            ),
            id="everything",
        ),
    ],
)
def test_the_kernel_takes_the_rules_and_gives_back_what_can_be_loaded_again(
    rules: Policy, tmp_path: pathlib.Path
) -> None:
    script = """
        set -e
        nft -f -
        nft -s -nn list ruleset > "$0"
        nft delete table inet prsnl_ports
        nft -f "$0"
        nft -s -nn list ruleset | diff "$0" -
    """
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script, tmp_path / "listing"],
        input=render(rules),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
