# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same policy lets in the same packets on Linux and on a Mac; what a Mac needs besides.

Both rulesets are judged by simulations (`nft`, `pfctl`), so this proves that they mean the same and
not that a real pf takes them. That was not tried on a Mac.
"""

from __future__ import annotations

import ipaddress
import random
import typing as t
from dataclasses import replace

import nft
import pfctl
import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.firewall import (
    nftables_rules,
    pf_rules,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import (
    ICMP_TYPES,
    ICMPV6_TYPES,
    Opening,
    Policy,
    merge,
)
from pfctl import Packet, RuleError
from policies import MALFORMED, random_policy

HOST = ("192.0.2.10", "192.0.2.11", "2001:db8::10", "fe80::10")
OUTSIDERS = ("203.0.113.9", "198.51.100.200", "198.51.100.7", "2001:db8:9::9", "2001:db8::77")
PLANS = 200
# Of a Mac alone, by its own rules.
MACS_PORTS = (pf_rules.MDNS_PORT,)


def random_packets(dice: random.Random, policy: Policy, number: int) -> t.Iterator[Packet]:
    ports = [22, 2222, 53, 111, *(opening.port for opening in policy.openings)]
    sources = [
        *OUTSIDERS,
        *(str(network[0]) for opening in policy.openings for network in opening.sources),
    ]
    for _number in range(number):
        source = dice.choice(sources)
        version = ipaddress.ip_address(source).version
        destination = dice.choice(
            [text for text in HOST if ipaddress.ip_address(text).version == version]
        )
        icmp = "icmp" if version == 4 else "ipv6-icmp"
        protocol = dice.choice(["tcp", "tcp", "tcp", "udp", "udp", icmp, "47", "112"])
        yield Packet(
            source,
            destination,
            protocol,
            port=dice.choice(ports) if protocol in ("tcp", "udp") else 0,
            # What begins a connection, and what is in the middle of one.
            flags=dice.choice(["S", "S", "SE", "A", "PA", "FA"]),
            icmp_type=dice.choice([0, 3, 8, 13, 128, 133, 135, 255]),
            interface=dice.choice(["en0", "en0", "lo0"]),
        )


@pytest.mark.parametrize("seed", range(0, PLANS, 20))
def test_both_systems_let_in_the_same(seed: int) -> None:
    judged = {"pass": 0, "block": 0}
    for number in range(seed, seed + 20):
        dice = random.Random(number)  # noqa: S311 - not for secrets
        policy = random_policy(dice)
        pf = pfctl.parse(pf_rules.render(policy), HOST)
        table = nft.Table(nftables_rules.render(policy))
        for packet in random_packets(dice, policy, 60):
            expected = table.verdict(packet)
            assert pf.verdict(packet) == expected, (number, packet)
            judged[expected] += 1
    assert min(judged.values()) > 100, judged


def opening(**changes: t.Any) -> Opening:
    values: dict[str, t.Any] = {
        "id": "shop.http",
        "protocol": "tcp",
        "port": 4711,
        "sources": merge(["198.51.100.0/24"]),
        "destinations": merge(["0.0.0.0/0"]),
    }
    return Opening(**(values | changes))


POLICY = Policy((opening(),), (22,))
MAC = pfctl.parse(pf_rules.render(POLICY), HOST)


def test_a_difference_would_be_seen() -> None:
    """The evaluators can tell: one address more, or one port, is another reach."""
    wider = pfctl.parse(
        pf_rules.render(replace(POLICY, openings=(opening(sources=merge(["198.51.0.0/16"])),))),
        HOST,
    )
    packet = Packet("198.51.101.1", HOST[0], port=4711)
    assert wider.verdict(packet) == "pass"
    assert MAC.verdict(packet) == "block"


@pytest.mark.parametrize("flags", ["A", "PA", "FA", "RA"])
def test_connections_from_before_the_rules_stay(flags: str) -> None:
    assert MAC.verdict(Packet("203.0.113.9", HOST[0], port=4711, flags=flags)) == "pass"


@pytest.mark.parametrize("flags", ["S", "SE", "SA", "R", "F", ""])
def test_nothing_begins_that_way(flags: str) -> None:
    assert MAC.verdict(Packet("203.0.113.9", HOST[0], port=4711, flags=flags)) == "block"


GUEST = "192.168.64.5"
BRIDGE: dict[str, t.Any] = {"interface": "bridge100"}


@pytest.mark.parametrize(
    ("packet", "verdict"),
    [
        # The network of a virtual machine: its address, its names, and the way out.
        (
            Packet("0.0.0.0", "255.255.255.255", "udp", 67, 68, flags="", **BRIDGE),
            "pass",
        ),
        (Packet(GUEST, "192.0.2.10", "udp", 53, flags="", **BRIDGE), "pass"),
        (Packet(GUEST, "192.0.2.10", "tcp", 53, **BRIDGE), "pass"),
        (Packet("fe80::5", "ff02::2", "ipv6-icmp", icmp_type=133, **BRIDGE), "pass"),
        (Packet(GUEST, "203.0.113.80", "tcp", 443, **BRIDGE), "pass"),
        (Packet(GUEST, "203.0.113.80", "tcp", 443, direction="out"), "pass"),
        # But no services of the host that aren't open to it.
        (Packet(GUEST, "192.0.2.10", "tcp", 4711, **BRIDGE), "block"),
        (Packet(GUEST, "192.0.2.10", "udp", 67, 50000, flags="", **BRIDGE), "block"),
        # And nobody else gets that by another interface.
        (Packet("203.0.113.9", "192.0.2.10", "udp", 53, flags=""), "block"),
        (Packet("203.0.113.9", GUEST, "tcp", 443), "block"),
        (Packet("fe80::5", "ff02::2", "ipv6-icmp", icmp_type=133), "block"),
    ],
)
def test_virtual_machines_keep_their_network(packet: Packet, verdict: str) -> None:
    assert MAC.verdict(packet) == verdict


@pytest.mark.parametrize(
    "packet",
    [
        Packet("192.0.2.77", "224.0.0.251", "udp", 5353, 5353, flags=""),
        Packet("192.0.2.77", "192.0.2.10", "udp", 5353, 5353, flags=""),
        Packet("fe80::7", "ff02::fb", "udp", 5353, 5353, flags=""),
        # Queries of routers and switches, who of the link listens to which group.
        Packet("192.0.2.1", "224.0.0.1", "igmp", flags="", has_options=True),
        Packet("fe80::1", "ff02::1", "ipv6-icmp", icmp_type=130, has_options=True),
        Packet("fe80::7", "fe80::10", "tcp", 49160, interface="awdl0"),
        Packet("fe80::7", "fe80::10", "udp", 49160, flags="", interface="llw0"),
    ],
)
def test_bonjour_and_continuity_stay(packet: Packet) -> None:
    assert MAC.verdict(packet) == "pass"


@pytest.mark.parametrize(
    "packet",
    [
        Packet("192.0.2.77", "192.0.2.10", "tcp", 5353),
        Packet("2001:db8::77", "2001:db8::10", "tcp", 49160, interface="awdl0"),
        Packet("fe80::7", "fe80::10", "tcp", 49160),
        Packet("192.0.2.77", "192.0.2.10", "udp", 5354, 5353, flags=""),
    ],
)
def test_and_nothing_comes_in_with_them(packet: Packet) -> None:
    assert MAC.verdict(packet) == "block"


def test_what_goes_out_goes_out() -> None:
    for flags in ("S", "A", "SA", "R"):
        packet = Packet(HOST[0], "203.0.113.9", port=443, flags=flags, direction="out")
        assert MAC.verdict(packet) == "pass"


@pytest.mark.parametrize("version", [4, 6])
def test_needed_icmp_is_let_in_on_both(version: int) -> None:
    types = ICMP_TYPES if version == 4 else ICMPV6_TYPES
    source, host = ("203.0.113.9", HOST[0]) if version == 4 else ("2001:db8:9::9", HOST[2])
    table = nft.Table(nftables_rules.render(POLICY))
    for number in range(256):
        packet = Packet(
            source, host, "icmp" if version == 4 else "ipv6-icmp", icmp_type=number, flags=""
        )
        expected = "pass" if number in types else "block"
        assert (MAC.verdict(packet), table.verdict(packet)) == (expected, expected)


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_rules_are_refused(name: str) -> None:
    with pytest.raises(RuleError):
        pfctl.parse(MALFORMED[name])
