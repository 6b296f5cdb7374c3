# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated pfctl and pf: it reads rules by the grammar, and judges packets by them.

Source: pf.conf(5), "GRAMMAR" and "PACKET FILTERING", as Apple ships it (OpenBSD 4.x with state
options). The part of the grammar is what this project writes: tables of addresses, and filter rules
with direction, log, quick, interfaces, family, protocols, addresses, ports, flags, types of ICMP,
options and states. Not modelled: macros, translation, queues, routing, anchors within anchors,
rates, logging, fragments, sequence numbers, and how pfctl optimises rules.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass, field, replace

MAX_TABLE, MAX_LABEL = 31, 63
PROTOCOLS = {"tcp", "udp", "icmp", "ipv6-icmp", "igmp"}
FAMILY_OF = {"icmp": "inet", "ipv6-icmp": "inet6", "igmp": "inet"}
FLAGS = "FSRPAUEW"
Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Tables = t.Mapping[str, tuple[Network, ...]]
WORD = re.compile(r'"[^"\n]*"|[{}(),!]|[^\s{}(),!"]+|\S')


class RuleError(ValueError):
    """What pfctl would refuse, with the number of the line."""


@dataclass(frozen=True)
class Packet:
    """The first packet of something, or one in the middle of a connection (``flags`` with A)."""

    source: str
    destination: str
    protocol: str = "tcp"
    port: int = 0
    source_port: int = 50000
    flags: str = "S"
    icmp_type: int = 0
    interface: str = "en0"
    direction: str = "in"
    has_options: bool = False

    @property
    def version(self) -> int:
        return ipaddress.ip_address(self.destination).version


@dataclass(frozen=True)
class Peer:
    """One side of a rule; no networks are any."""

    networks: t.Optional[tuple[Network, ...]] = None
    table: str = ""
    negated: bool = False
    ports: tuple[int, ...] = ()

    def fits(self, text: str, port: int, tables: Tables) -> bool:
        if self.ports and port not in self.ports:
            return False
        networks = tables[self.table] if self.table else self.networks
        if networks is None:
            return True
        address = ipaddress.ip_address(text)
        return self.negated != any(address in network for network in networks)


@dataclass(frozen=True)
class Rule:
    """A filter rule; what is empty or None doesn't matter."""

    action: str
    direction: str = ""
    quick: bool = False
    interfaces: tuple[str, ...] = ()
    family: str = ""
    protocols: tuple[str, ...] = ()
    source: Peer = field(default_factory=Peer)
    destination: Peer = field(default_factory=Peer)
    flags: t.Optional[tuple[str, str]] = None
    types: tuple[int, ...] = ()
    allows_options: bool = False
    keeps_state: bool = True

    def fits(self, packet: Packet, tables: Tables) -> bool:
        family = "inet" if packet.version == 4 else "inet6"
        return (
            self.direction in ("", packet.direction)
            and (not self.interfaces or packet.interface in self.interfaces)
            and self.family in ("", family)
            and (not self.protocols or packet.protocol in self.protocols)
            and self.source.fits(packet.source, packet.source_port, tables)
            and self.destination.fits(packet.destination, packet.port, tables)
            and self._fits_flags(packet)
            and (not self.types or packet.icmp_type in self.types)
        )

    def _fits_flags(self, packet: Packet) -> bool:
        if packet.protocol != "tcp" or self.flags is None:
            return True
        wanted, mask = self.flags
        return {flag for flag in packet.flags if flag in mask} == set(wanted)


@dataclass(frozen=True)
class Ruleset:
    """What was read of a file."""

    tables: Tables
    rules: tuple[Rule, ...]

    def verdict(self, packet: Packet) -> str:
        """Return ``pass`` or ``block``, of the last rule that fits, or of the first quick one."""
        found = Rule("pass", allows_options=True)
        for rule in self.rules:
            if rule.fits(packet, self.tables):
                found = rule
                if rule.quick:
                    break
        if found.action == "pass" and packet.has_options and not found.allows_options:
            return "block"
        return found.action


def parse(text: str, host: t.Iterable[str] = ()) -> Ruleset:
    """Read rules.

    :param host: the addresses that ``self`` is.
    :raises RuleError: pfctl would not take them.
    """
    own = tuple(ipaddress.ip_network(address) for address in host)
    tables: dict[str, tuple[Network, ...]] = {}
    rules: list[Rule] = []
    if text and not text.endswith("\n"):
        raise RuleError("the last line has no end")
    for number, line in enumerate(text.splitlines(), 1):
        words = WORD.findall(line.partition("#")[0])
        if not words:
            continue
        reader = Reader(words, tables, own)
        try:
            if words[0] == "table":
                if rules:
                    raise RuleError("Rules must be in order: tables come before filter rules")
                name, networks = reader.table()
                tables[name] = networks
            else:
                rules.append(reader.rule())
        except RuleError as error:
            raise RuleError(f"stdin:{number}: syntax error: {error}") from None
    return Ruleset(tables, tuple(rules))


class Reader:
    """Reads the words of a line."""

    def __init__(self, words: list[str], tables: Tables, own: tuple[Network, ...]) -> None:
        self.words = list(words)
        self.tables = tables
        self.own = own

    def next(self) -> str:
        if not self.words:
            raise RuleError("the line ends too early")
        return self.words.pop(0)

    def take(self, *wanted: str) -> str:
        """Return the next word if it is one of these, else nothing."""
        return self.words.pop(0) if self.words and self.words[0] in wanted else ""

    def need(self, *wanted: str) -> str:
        found = self.next()
        if found not in wanted:
            raise RuleError(f"{found!r} instead of {' or '.join(wanted)}")
        return found

    def end(self) -> None:
        if self.words:
            raise RuleError(f"{self.words[0]!r} is too much")

    def several(self) -> list[str]:
        """Return one word, or those of a list in braces."""
        if not self.take("{"):
            return [self.next()]
        found = []
        while not self.take("}"):
            word = self.next()
            if word == ",":
                raise RuleError("a comma too much")
            found.append(word)
            self.take(",")
        if not found:
            raise RuleError("an empty list")
        return found

    def table(self) -> tuple[str, tuple[Network, ...]]:
        self.need("table")
        name = self.name()
        if name in self.tables:
            raise RuleError(f"table <{name}> is there twice")
        while self.take("const", "persist"):
            pass
        networks: list[Network] = []
        for word in self.several():
            networks += self.own if word == "self" else [network(word)]
        self.end()
        return name, tuple(networks)

    def name(self) -> str:
        match = re.fullmatch(r"<([A-Za-z_][A-Za-z0-9_]*)>", self.next())
        if not match or len(match[1]) > MAX_TABLE:
            raise RuleError("no name of a table")
        return match[1]

    def rule(self) -> Rule:
        action = self.need("pass", "block")
        if action == "block":
            self.take("return", "drop")
        direction = self.take("in", "out")
        self.take("log")
        quick = bool(self.take("quick"))
        interfaces = tuple(self.interfaces()) if self.take("on") else ()
        family = self.take("inet", "inet6")
        protocols = tuple(self.protocols(family)) if self.take("proto") else ()
        source, destination = self.sides(protocols)
        rule = Rule(action, direction, quick, interfaces, family, protocols, source, destination)
        rule = self.options(rule)
        self.end()
        return rule

    def interfaces(self) -> t.Iterator[str]:
        for word in self.several():
            if not re.fullmatch(r"[a-z]+[0-9]+", word):
                raise RuleError(f"{word!r} is no interface")
            yield word

    def protocols(self, family: str) -> t.Iterator[str]:
        for word in self.several():
            if word not in PROTOCOLS and not (word.isdigit() and int(word) < 256):
                raise RuleError(f"unknown protocol {word}")
            if family and FAMILY_OF.get(word, family) != family:
                raise RuleError(f"{word} isn't of {family}")
            yield word

    def sides(self, protocols: tuple[str, ...]) -> tuple[Peer, Peer]:
        if self.take("all"):
            return Peer(), Peer()
        source = self.peer(protocols) if self.take("from") else Peer()
        destination = self.peer(protocols) if self.take("to") else Peer()
        return source, destination

    def peer(self, protocols: tuple[str, ...]) -> Peer:
        negated = bool(self.take("!"))
        if self.words and self.words[0].startswith("<"):
            name = self.name()
            if name not in self.tables:
                raise RuleError(f"table <{name}> isn't there")
            found = Peer(table=name, negated=negated)
        elif self.take("any"):
            found = Peer()
        else:
            found = Peer(tuple(network(word) for word in self.several()), negated=negated)
        if self.take("port"):
            if not protocols or not set(protocols) <= {"tcp", "udp"}:
                raise RuleError("port only applies to tcp/udp")
            return replace(found, ports=tuple(number(w, 65535) for w in self.several()))
        return found

    def options(self, rule: Rule) -> Rule:
        has_state = False
        while self.words:
            word = self.next()
            if word == "flags" and rule.flags is None:
                rule = replace(rule, flags=self.flags())
            elif word in ("icmp-type", "icmp6-type") and not rule.types:
                if rule.protocols != ({"icmp-type": "icmp"}.get(word, "ipv6-icmp"),):
                    raise RuleError(f"{word} needs its protocol")
                rule = replace(rule, types=tuple(number(w, 255) for w in self.several()))
            elif word == "allow-opts" and rule.action == "pass":
                rule = replace(rule, allows_options=True)
            elif word in ("keep", "no") and not has_state:
                self.need("state")
                has_state = True
                rule = replace(rule, keeps_state=word == "keep")
                if self.take("("):
                    self.state_options(rule)
            elif word == "label":
                label = self.next()
                if not re.fullmatch(r'"[^"]*"', label) or len(label) > MAX_LABEL + 2:
                    raise RuleError(f"{label} is no label")
            else:
                raise RuleError(f"{word!r} is no option here")
        if rule.flags is None and rule.action == "pass" and rule.keeps_state:
            # The default of rules with states.
            rule = replace(rule, flags=("S", "SA"))
        elif rule.flags == ("any", ""):
            rule = replace(rule, flags=None)
        return rule

    def state_options(self, rule: Rule) -> None:
        if not rule.keeps_state or "tcp" not in rule.protocols:
            raise RuleError("options of states without states of tcp")
        self.need("max-src-conn-rate")
        if not re.fullmatch(r"[0-9]+/[0-9]+", self.next()):
            raise RuleError("max-src-conn-rate needs number/seconds")
        self.need(")")

    def flags(self) -> tuple[str, str]:
        word = self.next()
        if word == "any":
            return "any", ""
        wanted, slash, mask = word.partition("/")
        if not slash or not mask or not set(wanted) | set(mask) <= set(FLAGS):
            raise RuleError(f"{word!r} are no flags")
        if not set(wanted) <= set(mask):
            raise RuleError(f"{word!r} never fits")
        return wanted, mask


def network(word: str) -> Network:
    try:
        return ipaddress.ip_network(word)
    except ValueError:
        raise RuleError(f"{word!r} is no address") from None


def number(word: str, most: int) -> int:
    if not word.isdigit() or int(word) > most:
        raise RuleError(f"{word!r} is no number up to {most}")
    return int(word)
