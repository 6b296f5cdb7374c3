# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host's whole ruleset for nftables. Pure.

Sources, destinations, protocol and port of all endpoints are the keys of one map for each family,
so a packet costs one look-up however many endpoints there are. The same map judges ports that a
container engine publishes, by the destination before it was rewritten.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import (
    DHCP_PORTS,
    DNS_PORT,
    FAMILIES,
    ICMP_TYPES,
    ICMPV6_TYPES,
    LINK_LOCAL,
    PROTOCOLS,
    Opening,
    Policy,
    RateLimit,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.known_ports import PORTLESS

TABLE = "inet prsnl_ports"
# Adding it first makes the deletion work where there is none. All in one transaction.
REPLACE = f"table {TABLE}\ndelete table {TABLE}\n"
HEADER = "# Made by prsnl.ports.firewall from the port registry. Changes by hand are lost.\n"
# Of a comment and of a log prefix (NFTNL_UDATA_COMMENT_MAXLEN, NF_LOG_PREFIXLEN).
MAX_TEXT = 120
_IP = {4: "ip", 6: "ip6"}
_FORWARD = (
    "type filter hook forward priority 0; policy accept;",
    "ct state established,related accept",
    "ct status dnat goto published",
)
_REJECT = ("meta l4proto 6 reject with tcp reset", "reject")


def render(policy: Policy) -> str:
    """Return the text that ``nft -f`` replaces the table with, in one transaction."""
    blocks = [
        *(_map(policy, family) for family in FAMILIES),
        *(_admitted(policy, family) for family in FAMILIES if _admissions(policy, family)),
        _block("chain denied", _REJECT if policy.reject else ("drop",)),
        *(_limit(opening, opening.limit) for opening in policy.openings if opening.limit),
        *([] if policy.is_cluster_node else [_block("chain published", _published())]),
        _block("chain input", _input(policy)),
        *([] if policy.is_cluster_node else [_block("chain forward", _FORWARD)]),
    ]
    return f"{HEADER}{REPLACE}\ntable {TABLE} {{\n" + "\n".join(blocks) + "}\n"


def has_opened(rules: str, protocol: str, port: int) -> bool:
    """Whether rules of ours, rendered or as nft lists them, let anybody send to a port.

    That they let in SSH can't be told from them.
    """
    number = {**PROTOCOLS, **PORTLESS}.get(protocol, protocol)
    key = rf" \. {number} \. {port} " if port else rf" \. {number} comment"
    return re.search(key, rules) is not None


def _block(head: str, lines: t.Iterable[str]) -> str:
    return f"\t{head} {{\n" + "".join(f"\t\t{line}\n" for line in lines) + "\t}\n"


def _map(policy: Policy, family: int) -> str:
    elements = [
        f"{source} . {destination} . {PROTOCOLS[opening.protocol]} . {opening.port}"
        f' comment "{opening.id[:MAX_TEXT]}" : {_verdict(opening)}'
        for opening in policy.openings
        for source, destination in opening.pairs(family)
    ]
    lines = [
        f"type ipv{family}_addr . ipv{family}_addr . inet_proto . inet_service : verdict",
        "flags interval",
    ]
    if elements:
        lines += ["elements = {", *(f"\t{element}," for element in elements), "}"]
    return _block(f"map open_ipv{family}", lines)


def _admissions(policy: Policy, family: int) -> list[tuple[str, int, str]]:
    return [
        (str(source), admission.protocol, admission.id)
        for admission in policy.admissions
        for source in admission.sources
        if source.version == family
    ]


def _admitted(policy: Policy, family: int) -> str:
    elements = [
        f'\t{source} . {protocol} comment "{name[:MAX_TEXT]}",'
        for source, protocol, name in _admissions(policy, family)
    ]
    return _block(
        f"set admitted_ipv{family}",
        [
            f"type ipv{family}_addr . inet_proto",
            "flags interval",
            "elements = {",
            *elements,
            "}",
        ],
    )


def _verdict(opening: Opening) -> str:
    return f"jump {_chain(opening)}" if opening.limit else "accept"


def _chain(opening: Opening) -> str:
    # Without its number, a long name that is cut could be that of another endpoint.
    return f"limit_{PROTOCOLS[opening.protocol]}_{opening.port}_{opening.id.replace('.', '_')}"[:63]


def _limit(opening: Opening, limit: RateLimit) -> str:
    lines = []
    if limit.rate:
        lines.append(f"limit rate over {limit.rate} burst {limit.burst} packets goto denied")
    if limit.log:
        lines.append(f'log prefix "{f"prsnl_ports {opening.id}"[:MAX_TEXT]}: "')
    return _block(f"chain {_chain(opening)}", [*lines, "accept"])


def _published() -> list[str]:
    return [
        # The protocol comes twice, because nft must know it to know what a port is.
        f"meta l4proto {protocol} {_IP[family]} saddr . ct original {_IP[family]} daddr"
        f" . meta l4proto . ct original proto-dst vmap @open_ipv{family}"
        for family in FAMILIES
        for protocol in PROTOCOLS.values()
    ] + ["goto denied"]


def _input(policy: Policy) -> list[str]:
    return [
        "type filter hook input priority 0; policy drop;",
        *_ssh(policy),
        "ct state { established, related } accept",
        # Whoever speaks first in a connection that nobody has tracked looks like a new one. That
        # the host has a socket for it tells them apart; one that only listens refuses it itself.
        "tcp flags & (syn | ack) == ack socket transparent 0 accept",
        "ct state invalid drop",
        'iifname "lo" accept',
        f"icmp type {_set(ICMP_TYPES)} accept",
        f"icmpv6 type {_set(ICMPV6_TYPES)} accept",
        "udp sport {} udp dport {} accept".format(*DHCP_PORTS[4]),
        f"ip6 saddr {LINK_LOCAL} " + "udp sport {} udp dport {} accept".format(*DHCP_PORTS[6]),
        *(
            f'iifname "{name}" meta l4proto {_set(PROTOCOLS.values())} th dport {DNS_PORT} accept'
            for name in policy.container_interfaces
        ),
        *(
            f"{_IP[family]} saddr . meta l4proto @admitted_ipv{family} accept"
            for family in FAMILIES
            if _admissions(policy, family)
        ),
        *(
            f"{_IP[family]} saddr . {_IP[family]} daddr . meta l4proto . th dport"
            f" vmap @open_ipv{family}"
            for family in FAMILIES
        ),
        "goto denied",
    ]


def _ssh(policy: Policy) -> list[str]:
    if not policy.ssh_ports:
        return []
    accept = f'tcp dport {_set(policy.ssh_ports)} accept comment "SSH"'
    if not policy.ssh_sources:
        return [accept]
    return [
        f"{_IP[family]} saddr {_set(sources)} {accept}"
        for family in FAMILIES
        for sources in [[n for n in policy.ssh_sources if n.version == family]]
        if sources
    ]


def _set(values: t.Iterable[object]) -> str:
    return f"{{ {', '.join(map(str, values))} }}"
