# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of iptables, as its programs save them (iptables-save(8)). Pure.

nft shows only names of what iptables' extensions do in tables of its making, and nothing at all of
the legacy tables.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.firewall.chains import (
    ACCEPT,
    CONTINUE,
    DROP,
    RETURN,
    Chain,
    Condition,
    Packet,
    Rule,
    matches_interface,
    matches_networks,
    negated,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import PROTOCOLS
from ansible_collections.prsnl.ports.plugins.module_utils.host.known_ports import PORTLESS

NUMBERS = {**PORTLESS, **PROTOCOLS, "icmp": 1, "icmpv6": 58, "ipv6-icmp": 58, "all": 0}
# Where packets to the host itself come by, in this order; nat decides about addresses only.
BASE = {("raw", "PREROUTING"), ("mangle", "PREROUTING")}
BASE |= {(table, "INPUT") for table in ("mangle", "filter", "security")}
HOOKS = {"PREROUTING": "prerouting", "INPUT": "input"}
TARGETS = {"ACCEPT": ACCEPT, "DROP": DROP, "REJECT": DROP, "TARPIT": DROP, "RETURN": RETURN}
REDIRECT = re.compile(
    r"-A .*-p (?P<protocol>tcp|udp) .*--dport (?P<ports>[0-9:]+) .*-j (DNAT|REDIRECT)\b"
)
# Of a range of ports, nobody reads more.
MANY = 20
# They change a packet or tell of it, and the next rule follows.
PASSING = {"LOG", "NFLOG", "ULOG", "MARK", "CONNMARK", "CT", "NOTRACK", "TRACE", "SET", "DSCP"}
PASSING |= {"CHECKSUM", "TCPMSS", "TOS", "TTL", "HL", "CLASSIFY", "AUDIT", "CONNSECMARK", "SECMARK"}
WORDS = {"-m", "--match", "--comment", "--reject-with", "--log-prefix", "--log-level"}


def parse_saved(text: str, family: int, owner: str) -> list[Chain]:
    """Return the chains of what a program has saved.

    :param owner: whose they are, for people; the table's name follows.
    """
    chains: dict[tuple[str, str], Chain] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            name, policy, *_counters = line[1:].split()
            hook = HOOKS[name] if (table, name) in BASE else ""
            chains[table, name] = Chain(
                f"{owner} (table {table})", name, (family,), hook, TARGETS.get(policy, ACCEPT)
            )
        elif line.startswith("-A "):
            words = shlex.split(line)
            chain = chains.get((table, words[1]))
            if chain is not None:
                chain.rules.append(_rule(words[2:], line))
    return list(chains.values())


def parse_redirects(text: str) -> set[tuple[str, int]]:
    """Return the protocols and ports that saved rules redirect."""
    found = set()
    for line in text.splitlines():
        rule = REDIRECT.match(line)
        if rule:
            first, colon, last = rule["ports"].partition(":")
            ports = range(int(first), int(last) + 1) if colon else [int(first)]
            found |= {(rule["protocol"], port) for port in ports[:MANY]}
    return found


def _rule(words: list[str], text: str) -> Rule:
    conditions: list[Condition] = []
    verdict, is_negated = CONTINUE, False
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word == "!":
            is_negated = True
            continue
        values = []
        while queue and not queue[0].startswith("-") and queue[0] != "!":
            values.append(queue.pop(0))
        if word in ("-j", "--jump"):
            verdict = _target(values[0])
        elif word in ("-g", "--goto"):
            verdict = f"goto {values[0]}"
        elif word not in WORDS:
            conditions.append(_condition(word, values, is_negated))
        is_negated = False
    return Rule(text, tuple(conditions), verdict)


def _target(name: str) -> str:
    if name in TARGETS:
        return TARGETS[name]
    return CONTINUE if name in PASSING else f"jump {name}"


def _condition(option: str, values: t.Sequence[str], is_negated: bool) -> Condition:
    test = _TESTS.get(option)

    def holds(packet: Packet) -> t.Optional[bool]:
        found = test(packet, values[0] if values else "") if test else None
        return negated(found) if is_negated else found

    return holds


def _networks(text: str) -> list[t.Any]:
    return [ipaddress.ip_network(part, strict=False) for part in text.split(",")]


def _ports(packet: Packet, text: str) -> t.Optional[bool]:
    for part in text.split(","):
        first, colon, last = part.partition(":")
        try:
            low, high = int(first or 0), int(last or 65535) if colon else int(first)
        except ValueError:
            return None
        if low <= packet.port <= high:
            return True
    return False


def _state(packet: Packet, text: str) -> bool:
    return packet.state.upper() in text.split(",")


def _protocol(packet: Packet, text: str) -> t.Optional[bool]:
    number = NUMBERS.get(text, int(text) if text.isdigit() else None)
    return None if number is None else number in (0, packet.protocol)


_TESTS: dict[str, t.Callable[[Packet, str], t.Optional[bool]]] = {
    "-p": _protocol,
    "-s": lambda packet, text: matches_networks(packet.sources, _networks(text)),
    "-d": lambda packet, text: matches_networks(packet.destinations, _networks(text)),
    "-i": lambda packet, text: matches_interface(packet.interfaces, text),
    "--dport": _ports,
    "--dports": _ports,
    "--ctstate": _state,
    "--state": _state,
    "--syn": lambda packet, _text: packet.state == "new",
    "--dst-type": lambda _packet, text: text == "LOCAL",
    "--icmp-type": lambda _packet, _text: False,
    "--icmpv6-type": lambda _packet, _text: False,
}
