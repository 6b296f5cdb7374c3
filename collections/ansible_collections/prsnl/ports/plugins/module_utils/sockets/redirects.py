# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of this host by which packets to a port go elsewhere: no socket of it shows them.

Container engines, Kubernetes and people write such rules (nft(8): dnat, redirect and tproxy,
iptables-extensions(8): DNAT, REDIRECT and TPROXY). They are read, never written: those of nftables
as JSON, those of iptables as its own programs print them. The tables of the older kind are asked
for only where the kernel has them already, because asking makes them.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shlex
import shutil
import subprocess
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import printable

Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
PREROUTING, OUTPUT = "prerouting", "output"
ANY = ("0.0.0.0", "::")  # noqa: S104
TIMEOUT = 20
# How far the kernel follows jumps (NFT_JUMP_STACK_SIZE), and a port that none is.
DEEPEST, NO_PORT = 16, -1
FAMILIES = {"ip": (4,), "ip6": (6,), "inet": (4, 6)}
SAVE = {4: "iptables", 6: "ip6tables"}
# Tables that the older kind has made: ip_tables(8) of the kernel.
LEGACY = {4: "/proc/net/ip_tables_names", 6: "/proc/net/ip6_tables_names"}
PRIORITIES = {"mangle": -150, "nat": -100}
NUMBERS = {"tcp": "6", "udp": "17"}


@dataclass(frozen=True)
class Packet:
    """The first packet of somebody who wants to reach a port.

    ``device`` is that of its destination, ``is_any`` whether the port is wanted on every address.
    """

    protocol: str
    port: int
    address: Address
    device: str
    hook: str
    is_any: bool = False


@dataclass(frozen=True)
class Target:
    """Where a rule sends packets; None where it leaves them as they are."""

    address: t.Optional[str]
    port: t.Optional[int]
    is_local: bool = False

    def __str__(self) -> str:
        port = "" if self.port is None else "other ports" if self.port == NO_PORT else self.port
        if self.address is None:
            return f"port {port}" if isinstance(port, int) else port or "another address"
        host = f"[{self.address}]" if ":" in self.address and port else self.address
        return f"{host}:{port}" if port else host


# Tells whether a packet is meant: None where that depends on what isn't known of it.
Match = t.Callable[[Packet], t.Optional[bool]]


@dataclass(frozen=True)
class Rule:
    """A rule: what it is for, and what becomes of such packets."""

    matches: tuple[Match, ...]
    action: str = ""
    chain: str = ""
    target: t.Optional[Target] = None
    text: str = ""


@dataclass
class Chain:
    """A chain that packets come to by themselves, with those of its table that it leads to."""

    hook: str
    priority: int
    versions: tuple[int, ...]
    name: str
    rules: Rules


@dataclass
class Rules:
    """The rules of a table, which are understood when they are come to."""

    raw: t.Mapping[str, t.Sequence[t.Any]]
    read: t.Callable[[str, t.Any], t.Iterable[Rule]]
    known: dict[str, list[Rule]] = field(default_factory=dict)

    def of(self, chain: str) -> list[Rule]:
        """Return the rules of a chain."""
        if chain not in self.known:
            raw = self.raw.get(chain, ())
            self.known[chain] = [rule for entry in raw for rule in self.read(chain, entry)]
        return self.known[chain]


@dataclass(frozen=True)
class Redirect:
    """Where packets go, by which rule; ``is_certain`` unless it depends on more than the port."""

    target: str
    rule: str
    is_certain: bool


@dataclass(frozen=True)
class Redirects:
    """The rules of a host, its addresses with their devices, and what couldn't be read and why."""

    chains: tuple[Chain, ...] = ()
    local: t.Mapping[str, str] = field(default_factory=dict)
    unread: str = ""

    def of(
        self, protocol: str, port: int, listen: t.Iterable[str], device: str = ""
    ) -> t.Optional[Redirect]:
        """Return where packets go that are meant for a port on these addresses; None if nowhere.

        :param device: the only one of which packets are wanted; empty for all.
        """
        found = None
        for packet in self._packets(protocol, port, listen):
            if device and packet.device not in ("", device):
                continue
            for chain in self.chains:
                if chain.hook != packet.hook or packet.address.version not in chain.versions:
                    continue
                redirects, _ended = _walk(chain.rules, chain.name, packet, self.local)
                for redirect in redirects:
                    if redirect.is_certain:
                        return redirect
                    found = found or redirect
        return found

    def _packets(self, protocol: str, port: int, listen: t.Iterable[str]) -> t.Iterator[Packet]:
        for text in listen:
            is_any = text in ANY
            version = ipaddress.ip_address(text).version
            here = self.local if is_any else {text: self.local.get(text, "")}
            for address, name in here.items():
                ip = ipaddress.ip_address(address)
                if ip.version == version:
                    hook = OUTPUT if ip.is_loopback else PREROUTING
                    yield Packet(protocol, port, ip, name, hook, is_any)


def _walk(
    rules: Rules, name: str, packet: Packet, local: t.Container[str], depth: int = 0
) -> tuple[list[Redirect], bool]:
    """Return where a packet goes, and whether nothing that follows in the hook applies to it."""
    found: list[Redirect] = []
    for rule in rules.of(name) if depth < DEEPEST else ():
        answers = [match(packet) for match in rule.matches]
        if False in answers:
            continue
        is_certain = None not in answers
        ended = rule.action == "end" or rule.target is not None
        if rule.target and not _arrives(rule.target, packet, local):
            found.append(Redirect(printable(str(rule.target)), printable(rule.text), is_certain))
        elif rule.action in ("jump", "goto"):
            more, ended = _walk(rules, rule.chain, packet, local, depth + 1)
            found += [replace(one, is_certain=one.is_certain and is_certain) for one in more]
        is_left = rule.action in ("goto", "return")
        if is_certain and (ended or is_left):
            return found, ended
    return found, False


def _arrives(target: Target, packet: Packet, local: t.Container[str]) -> bool:
    """Tell whether a packet comes to the port that it was meant for, whatever was rewritten."""
    if target.port not in (None, packet.port):
        return False
    if target.is_local:
        is_loopback = packet.hook == OUTPUT and str(packet.address) in ("127.0.0.1", "::1")
        return packet.is_any or is_loopback
    if target.address in (None, str(packet.address)):
        return True
    return packet.is_any and target.address in local


# --- reading -----------------------------------------------------------------------------------


def read_redirects(local: t.Mapping[str, str]) -> Redirects:
    """Read the rules of this host.

    :param local: its addresses, and the devices that have them.
    """
    chains: list[Chain] = []
    unread: list[str] = []
    saves = set()
    try:
        for family, table in _nft_tables():
            listed = json.loads(_run(["nft", "-j", "list", "table", family, table]))["nftables"]
            is_iptables = any("xt" in part for item in listed for part in _expressions(item))
            if is_iptables and family != "inet" and _save(FAMILIES[family][0], "nft"):
                saves.add((FAMILIES[family][0], "nft"))
            else:
                chains += parse_nft(listed)
    except (OSError, subprocess.SubprocessError, KeyError, ValueError) as error:
        unread.append(f"nft: {_reason(error)}")
    for version, path in LEGACY.items():
        if {"nat", "mangle"} & set(_lines(path)):
            saves.add((version, "legacy"))
    for version, kind in sorted(saves):
        try:
            program = _save(version, kind) or f"{SAVE[version]}-{kind}-save"
            chains += parse_iptables(_run([program]), version, os.path.basename(program))
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            unread.append(f"{SAVE[version]}-{kind}-save: {_reason(error)}")
    chains.sort(key=lambda chain: chain.priority)
    return Redirects(tuple(chains), local, "; ".join(unread))


def _nft_tables() -> list[tuple[str, str]]:
    """Return the tables that packets come to before it is decided whose they are."""
    if not shutil.which("nft"):
        return []
    items = json.loads(_run(["nft", "-j", "list", "chains"]) or "{}").get("nftables", [])
    chains = [item["chain"] for item in items if "chain" in item]
    return sorted(
        {
            (chain["family"], chain["table"])
            for chain in chains
            if chain["family"] in FAMILIES and _is_base(chain)
        }
    )


def _is_base(chain: t.Mapping[str, t.Any]) -> bool:
    hook, kind = chain.get("hook"), chain.get("type")
    return hook == PREROUTING or (hook == OUTPUT and kind == "nat")


def _save(version: int, kind: str) -> t.Optional[str]:
    return shutil.which(f"{SAVE[version]}-{kind}-save")


def _run(command: t.Sequence[str]) -> str:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT,
        check=True,
    ).stdout


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return str(error.stderr).strip().splitlines()[0] if error.stderr.strip() else str(error)
    return str(error)


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().split()
    except OSError:
        return []


# --- iptables ----------------------------------------------------------------------------------


def parse_iptables(text: str, version: int, program: str) -> list[Chain]:
    """Return the chains in what C(iptables-save) prints."""
    tables: dict[str, dict[str, list[str]]] = {}
    chains: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("*"):
            chains = tables.setdefault(line[1:].strip(), {})
        elif line.startswith("-A "):
            name, _blank, rule = line[3:].partition(" ")
            chains.setdefault(name, []).append(rule)
    found = []
    for table, priority in PRIORITIES.items():
        where = f"{program.rpartition('-save')[0]} -t {table}"

        def read(name: str, line: str, where: str = where) -> list[Rule]:
            return [_iptables_rule(line, f"{where} -A {name} {line}")]

        rules = Rules(tables.get(table, {}), read)
        for hook in (PREROUTING, OUTPUT) if table == "nat" else (PREROUTING,):
            found.append(Chain(hook, priority, (version,), hook.upper(), rules))
    return found


def _iptables_rule(line: str, text: str) -> Rule:
    words = shlex.split(line) if '"' in line or "\\" in line else line.split()
    matches: list[Match] = []
    target, options = "", {}
    action = ""
    while words:
        is_not = words[0] == "!"
        option = words.pop(1 if is_not else 0)
        if is_not:
            words.pop(0)
        values = []
        while words and not words[0].startswith("-") and words[0] != "!":
            values.append(words.pop(0))
        value = values[0] if values else ""
        if option in ("-j", "-g"):
            target, action = value, "goto" if option == "-g" else "jump"
        elif target:
            options[option] = value
        elif option not in ("-m", "--comment", "--limit-iface-in"):
            matches.append(_negated(_iptables_match(option, value), is_not))
    fate = {"ACCEPT": "end", "DROP": "end", "REJECT": "end", "RETURN": "return"}
    if target in ("DNAT", "REDIRECT", "TPROXY"):
        return Rule(tuple(matches), target=_iptables_target(target, options), text=text)
    if target.isupper() and target in fate:
        return Rule(tuple(matches), fate[target])
    return Rule(tuple(matches), action, target)


def _iptables_target(target: str, options: t.Mapping[str, str]) -> Target:
    if target == "DNAT":
        address, port = _split(options.get("--to-destination", ""))
        return Target(address, port)
    text = options.get("--to-ports") or options.get("--on-port", "")
    return Target(None, _number(text), is_local=True)


def _split(text: str) -> tuple[t.Optional[str], t.Optional[int]]:
    """Return address and port of C(10.0.0.5:80-90), C([fd00::5]:80), C(:80) or C(10.0.0.5)."""
    if text.startswith("["):
        address, _bracket, port = text[1:].partition("]")
        return address, _number(port.lstrip(":"))
    if text.count(":") > 1:
        return text, None
    address, _colon, port = text.partition(":")
    return address or None, _number(port)


def _number(text: str) -> t.Optional[int]:
    """Return a port; None where none is given, and NO_PORT for one of several."""
    if text.isdigit():
        return int(text)
    return NO_PORT if text else None


def _iptables_match(option: str, value: str) -> Match:
    words = value.split(",")
    if option == "-d":
        networks = [ipaddress.ip_network(part, strict=False) for part in words]
        return lambda packet: any(packet.address in network for network in networks)
    if option in ("--dport", "--dports"):
        ports = [_port_range(part) for part in words]
        return lambda packet: any(low <= packet.port <= high for low, high in ports)
    if option == "-i":
        return _device_match(value)
    if option == "-p":
        return lambda packet: value in (packet.protocol, NUMBERS[packet.protocol], "all", "0")
    known = {"--dst-type": "LOCAL" in words, "--ctstate": "NEW" in words, "--state": "NEW" in words}
    # One of several that share the load.
    known.update(dict.fromkeys(("--mode", "--probability", "--every", "--packet"), True))
    return lambda _packet: known.get(option)


def _port_range(text: str) -> tuple[int, int]:
    first, _colon, last = text.partition(":")
    low = int(first or 0)
    return low, int(last or 65535) if _colon else low


def _device_match(name: str) -> Match:
    """Return a match of where packets come in: mostly by the device that has their destination."""
    wild = name.endswith(("+", "*"))
    stem = name[:-1] if wild else name

    def match(packet: Packet) -> t.Optional[bool]:
        if packet.hook == OUTPUT:
            return False
        is_it = packet.device.startswith(stem) if wild else packet.device == stem
        return True if is_it else False if stem == "lo" else None

    return match


def _negated(match: Match, is_not: bool) -> Match:
    if not is_not:
        return match

    def negated(packet: Packet) -> t.Optional[bool]:
        answer = match(packet)
        # All but one of what isn't known is nearly all of it.
        return True if answer is None else not answer

    return negated


# --- nftables ----------------------------------------------------------------------------------


class _Unknown:
    """What isn't known of a packet."""


UNKNOWN, ANOTHER = _Unknown(), _Unknown()


def _expressions(item: t.Mapping[str, t.Any]) -> list[t.Any]:
    return list(item.get("rule", {}).get("expr", ()))


def parse_nft(items: t.Sequence[t.Mapping[str, t.Any]]) -> list[Chain]:
    """Return the chains in what C(nft -j list table) prints, libnftables-json(5)."""
    sets: dict[str, t.Any] = {}
    raw: dict[str, list[t.Any]] = {}
    bases = []
    for item in items:
        for kind in ("set", "map"):
            if kind in item:
                sets["@" + item[kind]["name"]] = item[kind].get("elem", [])
        if "chain" in item and _is_base(item["chain"]):
            bases.append(item["chain"])
        if "rule" in item:
            raw.setdefault(item["rule"]["chain"], []).append(item["rule"])

    def read(_name: str, rule: t.Mapping[str, t.Any]) -> t.Iterator[Rule]:
        where = f"nft {rule['family']} {rule['table']} {rule['chain']} handle {rule['handle']}"
        return _nft_rules(rule["expr"], sets, where)

    rules = Rules(raw, read)
    return [
        Chain(base["hook"], int(base["prio"]), FAMILIES[base["family"]], base["name"], rules)
        for base in bases
    ]


def _nft_rules(
    expressions: t.Iterable[t.Mapping[str, t.Any]], sets: t.Mapping[str, t.Any], where: str
) -> t.Iterator[Rule]:
    """Yield what a rule does: one for each entry of a map of verdicts."""
    matches: list[Match] = []
    for expression in expressions:
        ((kind, data),) = expression.items()
        if kind == "match":
            matches.append(_nft_match(data["left"], data["right"], data["op"] == "!=", sets))
        elif kind == "vmap":
            for key, verdict in _elements(data["data"], sets):
                match = _nft_match(data["key"], key, False, sets)
                yield _nft_verdict((*matches, match), verdict, where)
        elif kind in ("dnat", "redirect", "tproxy"):
            chosen = [_map_match(data[k], sets) for k in ("addr", "port") if _is_map(data, k)]
            family = _family_match((data or {}).get("family"))
            yield Rule((*matches, *chosen, family), target=_nft_target(kind, data), text=where)
        elif kind in ("limit", "quota"):
            matches.append(lambda _packet: None)
        elif kind == "xt":
            name = data.get("name", "") if data else ""
            if name in ("DNAT", "REDIRECT", "TPROXY"):
                yield Rule((*matches,), target=Target("elsewhere", None), text=where)
            elif name != "comment":
                matches.append(lambda _packet: None)
        elif kind in ("jump", "goto", "return", "accept", "drop", "reject", "queue"):
            yield _nft_verdict(tuple(matches), expression, where)


def _nft_verdict(matches: tuple[Match, ...], verdict: t.Mapping[str, t.Any], where: str) -> Rule:
    ((kind, data),) = verdict.items()
    if kind in ("jump", "goto"):
        return Rule(matches, kind, data["target"], text=where)
    return Rule(matches, {"return": "return", "continue": ""}.get(kind, "end"), text=where)


def _is_map(data: t.Any, key: str) -> bool:
    return isinstance(data, dict) and isinstance(data.get(key), dict) and "map" in data[key]


def _map_match(value: t.Mapping[str, t.Any], sets: t.Mapping[str, t.Any]) -> Match:
    """Return a match of what a map has an entry for; what is drawn by lot has always one."""
    keys = [key for key, _value in _elements(value["map"]["data"], sets)]
    match = _nft_match(value["map"]["key"], {"set": keys}, False, sets)
    return lambda packet: match(packet) is not False


def _family_match(family: t.Optional[str]) -> Match:
    """Return a match of the family that a rule of both can rewrite."""
    versions = FAMILIES.get(family or "", (4, 6))
    return lambda packet: packet.address.version in versions


def _nft_target(kind: str, data: t.Any) -> Target:
    data = data or {}
    address, port = data.get("addr"), data.get("port")
    number = port if isinstance(port, int) or port is None else NO_PORT
    if kind != "dnat":
        return Target(None, number, is_local=True)
    if address is not None and not isinstance(address, str):
        return Target("an address of its map", number)
    return Target(address, number)


def _elements(data: t.Any, sets: t.Mapping[str, t.Any]) -> list[t.Any]:
    if isinstance(data, str):
        return list(sets.get(data, ()))
    return list(data.get("set", ()))


def _nft_match(left: t.Any, right: t.Any, is_not: bool, sets: t.Mapping[str, t.Any]) -> Match:
    def match(packet: Packet) -> t.Optional[bool]:
        value = _nft_value(left, packet)
        if value is ANOTHER:
            return False
        return _equals(right, value, sets)

    negated = _negated(match, is_not)

    def unless_another(packet: Packet) -> t.Optional[bool]:
        return False if _nft_value(left, packet) is ANOTHER else negated(packet)

    return unless_another


def _nft_value(left: t.Any, packet: Packet) -> t.Any:
    """Return what a packet has there, as far as that is known."""
    kind, data = next(iter(left.items())) if isinstance(left, dict) else ("", {})
    if kind == "concat":
        values = tuple(_nft_value(part, packet) for part in data)
        return ANOTHER if ANOTHER in values else values
    if not isinstance(data, dict):
        return UNKNOWN
    if kind == "payload":
        return _payload(data.get("protocol"), data.get("field"), packet)
    is_ipv4 = packet.address.version == 4  # noqa: PLR2004
    known: dict[t.Any, t.Any] = {
        ("meta", "l4proto"): packet.protocol,
        ("meta", "nfproto"): "ipv4" if is_ipv4 else "ipv6",
        ("meta", "protocol"): "ip" if is_ipv4 else "ip6",
        ("meta", "iifname"): packet,
        ("meta", "iif"): packet,
        ("meta", "pkttype"): "host",
        ("ct", "state"): "new",
        ("ct", "direction"): "original",
    }
    if kind == "fib" and data.get("result") == "type" and "daddr" in data.get("flags", ()):
        return "local"
    return known.get((kind, data.get("key")), UNKNOWN)


def _payload(protocol: t.Optional[str], name: t.Optional[str], packet: Packet) -> t.Any:
    version = {"ip": 4, "ip6": 6}.get(protocol or "")
    if version not in (None, packet.address.version):
        return ANOTHER
    if protocol in NUMBERS and protocol != packet.protocol:
        return ANOTHER
    if name == "dport":
        return packet.port
    if name == "daddr":
        return packet.address
    return packet.protocol if name in ("protocol", "nexthdr") else UNKNOWN


def _equals(right: t.Any, value: t.Any, sets: t.Mapping[str, t.Any]) -> t.Optional[bool]:
    """Tell whether a value is what the right side of a match says, or in it."""
    if isinstance(right, dict) and "elem" in right:
        right = right["elem"]["val"]
    if isinstance(right, dict) and "set" in right:
        right = right["set"]
    elif isinstance(right, str) and right.startswith("@"):
        right = list(sets.get(right, ()))
    if isinstance(right, list):
        return _any(_equals(part, value, sets) for part in right)
    if isinstance(value, tuple):
        return _equals_all(right, value, sets)
    if isinstance(value, Packet):
        return _device_match(str(right))(value)
    return None if isinstance(value, _Unknown) else _is_scalar(right, value)


def _equals_all(
    right: t.Any, values: tuple[t.Any, ...], sets: t.Mapping[str, t.Any]
) -> t.Optional[bool]:
    parts = right.get("concat", ()) if isinstance(right, dict) else ()
    if len(parts) != len(values):
        return None
    answers = [_equals(part, value, sets) for part, value in zip(parts, values)]  # noqa: B905
    return False if False in answers else None if None in answers else True


def _any(answers: t.Iterable[t.Optional[bool]]) -> t.Optional[bool]:
    found = list(answers)
    return True if True in found else None if None in found else False


def _is_scalar(right: t.Any, value: t.Any) -> t.Optional[bool]:
    if isinstance(right, dict) and "prefix" in right:
        network = f"{right['prefix']['addr']}/{right['prefix']['len']}"
        return value in ipaddress.ip_network(network, strict=False)
    if isinstance(right, dict) and "range" in right:
        low, high = right["range"]
        if isinstance(value, int):
            return bool(low <= value <= high)
        first, last = ipaddress.ip_address(low), ipaddress.ip_address(high)
        return bool(int(first) <= int(value) <= int(last) and first.version == value.version)
    if isinstance(right, dict):
        return None
    return str(right) == str(value) or NUMBERS.get(str(value)) == str(right)
