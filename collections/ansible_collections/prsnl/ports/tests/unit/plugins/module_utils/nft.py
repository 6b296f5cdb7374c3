# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated nftables: it judges packets by the chain ``input`` that this project writes.

Source: nft(8). Only lines of this project's forms are read, and any other one is an error. Not
modelled: rates, logging, published ports (the chain ``forward``), and what the kernel tracks beside
whether a connection is there.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from pfctl import Packet

NUMBERS = {"tcp": 6, "udp": 17, "icmp": 1, "ipv6-icmp": 58, "igmp": 2}
ADMITTED = re.compile(r'(\S+) \. (\d+) comment "[^"]*",')
ELEMENT = re.compile(r"(\S+) \. (\S+) \. (\d+) \. (\d+) comment \"[^\"]*\" : (.+),")
INVALID = "ct state invalid"
# What the evaluator knows of a chain, and whether a packet is accepted by it.
Judge = t.Callable[["re.Match[str]", Packet, "Table"], bool]


class Table:
    """The maps, and the lines of the chain ``input``."""

    def __init__(self, text: str) -> None:
        self.maps: dict[int, list[tuple[str, ...]]] = {4: [], 6: []}
        self.admitted: dict[int, list[tuple[str, ...]]] = {4: [], 6: []}
        self.chains: dict[str, list[str]] = {}
        block: list[str] = []
        for line in map(str.strip, text.splitlines()):
            head = re.fullmatch(r"(map|set|chain) (\S+) \{", line)
            if head:
                block = self.chains.setdefault(head[2], [])
            elif head is None and line not in ("}", ""):
                block.append(line)
        for family in self.maps:
            for line in self.chains.get(f"open_ipv{family}", []):
                element = ELEMENT.fullmatch(line)
                if element:
                    self.maps[family].append(element.groups())
            for line in self.chains.get(f"admitted_ipv{family}", []):
                element = ADMITTED.fullmatch(line)
                if element:
                    self.admitted[family].append(element.groups())

    def admits(self, packet: Packet) -> bool:
        """Tell whether the protocol of a packet is let in from where it comes."""
        number = NUMBERS.get(packet.protocol, packet.protocol)
        return any(
            _is_in(packet.source, source) and protocol == str(number)
            for source, protocol in self.admitted[packet.version]
        )

    def opens(self, packet: Packet) -> bool:
        """Tell whether one of the maps lets a packet in, at once or by its chain of limits."""
        for source, destination, protocol, port, verdict in self.maps[packet.version]:
            if (
                _is_in(packet.source, source)
                and _is_in(packet.destination, destination)
                and NUMBERS.get(packet.protocol) == int(protocol)
                and packet.port == int(port)
            ):
                chain = (
                    self.chains[verdict.split()[1]] if verdict.startswith("jump ") else [verdict]
                )
                return chain[-1] == "accept"
        return False

    def verdict(self, packet: Packet) -> str:
        """Return ``pass`` or ``block``."""
        for line in self.chains["input"]:
            found = [
                (match, judge)
                for form, judge in FORMS.items()
                if (match := re.fullmatch(form, line))
            ]
            if not found:
                raise ValueError(f"the simulation doesn't know {line!r}")
            [(match, judge)] = found
            if judge(match, packet, self):
                return "block" if line.startswith(INVALID) else "pass"
            if "invalid : drop" in line and _is_invalid(match, packet, self):
                return "block"
        return "block"


def _is_in(address: str, network: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(network)


def _numbers(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _ssh(match: re.Match[str], packet: Packet, _table: Table) -> bool:
    sources = _numbers(match["sources"] or "")
    fits = not sources or (
        packet.version == (4 if match["ip"] == "ip " else 6)
        and any(_is_in(packet.source, source) for source in sources)
    )
    return packet.protocol == "tcp" and str(packet.port) in _numbers(match["ports"]) and fits


def _is_in_flight(_match: re.Match[str], packet: Packet, _table: Table) -> bool:
    return packet.protocol == "tcp" and "A" in packet.flags and "S" not in packet.flags


def _is_invalid(_match: re.Match[str], packet: Packet, _table: Table) -> bool:
    """Tell whether it is in no connection and begins none (``tcp_new`` in the kernel)."""
    return packet.protocol == "tcp" and ("S" not in packet.flags or "A" in packet.flags)


def _types(protocol: str) -> Judge:
    def judge(match: re.Match[str], packet: Packet, _table: Table) -> bool:
        return packet.protocol == protocol and str(packet.icmp_type) in _numbers(match[1])

    return judge


def _dhcp(match: re.Match[str], packet: Packet, _table: Table) -> bool:
    ports = (str(packet.source_port), str(packet.port)) == (match["sport"], match["dport"])
    link = match["link"]
    local = packet.version == 4 if not link else packet.version == 6 and _is_in(packet.source, link)
    return packet.protocol == "udp" and ports and local


def _dns(match: re.Match[str], packet: Packet, _table: Table) -> bool:
    name = match[1]
    fits = packet.interface.startswith(name[:-1]) if name[-1] == "*" else packet.interface == name
    return fits and packet.port == 53 and packet.protocol in ("tcp", "udp")


def _never(_match: re.Match[str], _packet: Packet, _table: Table) -> bool:
    return False


FORMS: dict[str, Judge] = {
    r"type filter hook input .*": _never,
    r"((?P<ip>ip6? )saddr \{ (?P<sources>.*?) \} )?tcp dport \{ (?P<ports>.*?) \} accept .*": _ssh,
    # Both forms of the same: a connection that is there, or that was there before the rules.
    r"ct state vmap \{ established : accept, related : accept, invalid : drop \}": _is_in_flight,
    r"ct state \{ established, related \} accept": _is_in_flight,
    r"tcp flags & \(syn \| ack\) == ack socket transparent 0 accept": _is_in_flight,
    r"ct state invalid drop": _is_invalid,
    r'iifname "lo" accept': lambda _match, packet, _table: packet.interface == "lo0",
    r"icmp type \{ (.*) \} accept": _types("icmp"),
    r"icmpv6 type \{ (.*) \} accept": _types("ipv6-icmp"),
    r"(ip6 saddr (?P<link>\S+) )?udp sport (?P<sport>\d+) udp dport (?P<dport>\d+) accept": _dhcp,
    r'iifname "(.*)" meta l4proto .* th dport 53 accept': _dns,
    r"ip6? saddr \. meta l4proto @admitted_ipv[46] accept": (
        lambda _match, packet, table: table.admits(packet)
    ),
    r"ip6? saddr \. .* vmap @open_ipv[46]": lambda _match, packet, table: table.opens(packet),
    r"goto denied": _never,
}
