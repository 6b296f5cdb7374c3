# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of nftables, as C(nft -j list ruleset) gives them (libnftables-json(5)). Pure."""

from __future__ import annotations

import functools
import ipaddress
import json
import operator
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
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.iptables_rules import NUMBERS
from ansible_collections.prsnl.ports.plugins.module_utils.plan.addresses import Network

FAMILIES = {"ip": (4,), "ip6": (6,), "inet": (4, 6), "netdev": (4, 6)}
HOOKS = ("ingress", "prerouting", "input", "output")
UNKNOWN_DEVICE = "?"
# They say what happens to a packet that matches, and nothing of whether it does.
PASSING = {"counter", "log", "mangle", "notrack", "set", "map", "comment", "secmark", "dup", "fwd"}
ORDER = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}
_Found = t.Optional[bool]
_Sets = t.Mapping[t.Tuple[str, str], t.Any]  # noqa: UP006 - evaluated, by Python 3.8 too
# What a packet has in a field: it can be compared with what a rule wants. None if nobody knows.
_Has = t.Optional[t.Callable[[t.Any], _Found]]


def parse_ruleset(text: str) -> tuple[list[Chain], bool]:
    """Return the chains of a ruleset, and whether nft can't say what some rules of it do.

    The name of a table is the owner of its chains.
    """
    entries = json.loads(text or "{}").get("nftables", [])
    sets: dict[tuple[str, str], t.Any] = {}
    chains: dict[tuple[str, str], Chain] = {}
    is_opaque = False
    for entry in entries:
        kind, data = next(iter(entry.items()))
        if not isinstance(data, dict) or data.get("family") not in FAMILIES:
            continue
        owner = f"{data['family']} {data.get('table')}"
        if kind in ("set", "map"):
            sets[owner, data["name"]] = data.get("elem", [])
        elif kind == "chain":
            # Chains of nat decide about addresses only.
            is_base = data.get("hook") in HOOKS and data.get("type") == "filter"
            chains[owner, data["name"]] = Chain(
                owner,
                data["name"],
                FAMILIES[data["family"]],
                data["hook"] if is_base else "",
                DROP if data.get("policy") == "drop" else ACCEPT,
                int(data.get("prio", 0)),
                str(data.get("dev", UNKNOWN_DEVICE)) if data.get("hook") == "ingress" else "",
            )
    for entry in entries:
        data = entry.get("rule")
        if data and data["family"] in FAMILIES:
            owner = f"{data['family']} {data['table']}"
            is_opaque |= any("xt" in statement for statement in data["expr"])
            chains[owner, data["chain"]].rules.append(_rule(data, owner, sets))
    return list(chains.values()), is_opaque


def parse_redirects(text: str) -> set[tuple[str, int]]:
    """Return the protocols and ports that rules of nftables redirect."""
    found = set()
    for entry in json.loads(text or "{}").get("nftables", []):
        statements = entry["rule"]["expr"] if "rule" in entry else []
        kinds = {next(iter(s)) for s in statements if isinstance(s, dict)}
        if kinds & {"dnat", "redirect"}:
            found |= {
                (match["left"]["payload"]["protocol"], match["right"])
                for match in (s["match"] for s in statements if "match" in s)
                if "payload" in match["left"]
                and match["left"]["payload"].get("field") == "dport"
                and isinstance(match["right"], int)
            }
    return {(protocol, port) for protocol, port in found if protocol in ("tcp", "udp")}


def _rule(data: t.Mapping[str, t.Any], owner: str, sets: _Sets) -> Rule:
    conditions: list[Condition] = []
    verdict, verdicts = CONTINUE, None
    for statement in data["expr"]:
        kind, value = next(iter(statement.items())) if isinstance(statement, dict) else ("?", {})
        if kind == "match":
            conditions.append(functools.partial(_matches, value, owner, sets))
        elif kind == "vmap":
            verdicts = functools.partial(_lookup, value, owner, sets)
        elif kind == "xt" and value.get("type") == "target":
            verdict = DROP if value.get("name") in ("REJECT", "DROP") else CONTINUE
        elif _verdict(statement) != CONTINUE:
            verdict = _verdict(statement)
        elif kind not in PASSING and kind != "continue":
            # Of a limit, a counter of connections, a statement that nobody knows here.
            conditions.append(lambda _packet: None)
    return Rule(_text(data), tuple(conditions), verdict, verdicts)


def _text(data: t.Mapping[str, t.Any]) -> str:
    handle = f" (handle {data['handle']})" if "handle" in data else ""
    comment = f" ({data['comment']})" if data.get("comment") else ""
    words = " ".join(_words(statement) for statement in data["expr"])
    return f"{words}{comment}{handle}"


def _words(value: t.Any) -> str:
    """Return roughly what nft would write."""
    if isinstance(value, list):
        return ",".join(map(_words, value))
    if not isinstance(value, dict):
        return "" if value is None else str(value)
    kind, inner = next(iter(value.items()))
    if kind == "match":
        sign = {"==": " ", "in": " "}.get(inner["op"], f" {inner['op']} ")
        return f"{_words(inner['left'])}{sign}{_words(inner['right'])}"
    write = _WRITERS.get(kind)
    return write(inner) if write else str(kind)


_WRITERS: dict[str, t.Callable[[t.Any], str]] = {
    "meta": lambda inner: f"meta {inner.get('key')}",
    "ct": lambda inner: f"ct {inner.get('key')}",
    "payload": lambda inner: f"{inner.get('protocol')} {inner.get('field')}",
    "prefix": lambda inner: f"{inner['addr']}/{inner['len']}",
    "range": lambda inner: "-".join(map(str, inner)),
    "set": lambda inner: f"{{ {', '.join(map(_words, inner))} }}",
    "jump": lambda inner: f"jump {inner['target']}",
    "goto": lambda inner: f"goto {inner['target']}",
}


def _verdict(statement: t.Any) -> str:
    if not isinstance(statement, dict):
        return CONTINUE
    kind, value = next(iter(statement.items()))
    if kind in ("jump", "goto"):
        return f"{kind} {value['target']}"
    return {"accept": ACCEPT, "drop": DROP, "reject": DROP, "return": RETURN}.get(kind, CONTINUE)


def _matches(match: t.Mapping[str, t.Any], owner: str, sets: _Sets, packet: Packet) -> _Found:
    has = _has(match["left"], packet)
    if has is _NEVER:
        return False
    if has is None:
        return None
    op, right = match["op"], match["right"]
    if op in ORDER:
        return has((op, right))
    if op == "in" and isinstance(right, list):
        return _any(has(value) for value in right)
    found = _among(has, right, owner, sets)
    return negated(found) if op == "!=" else found


def _among(has: t.Callable[[t.Any], _Found], right: t.Any, owner: str, sets: _Sets) -> _Found:
    if isinstance(right, str) and right.startswith("@"):
        right = {"set": sets.get((owner, right[1:]), [])}
    if isinstance(right, dict) and "set" in right:
        elements = right["set"] if isinstance(right["set"], list) else [right["set"]]
        return _any(has(_value(element)) for element in elements)
    return has(right)


def _value(element: t.Any) -> t.Any:
    """Return the value of an element, which may have a comment or a time beside it."""
    if isinstance(element, dict) and "elem" in element:
        return element["elem"]["val"]
    return element


def _lookup(
    vmap: t.Mapping[str, t.Any], owner: str, sets: _Sets, packet: Packet
) -> list[tuple[_Found, str]]:
    """Return the verdicts that a map may give, with whether it is the one."""
    data = vmap["data"]
    if isinstance(data, str):
        elements = sets.get((owner, data.lstrip("@")), [])
    else:
        elements = data.get("set", [])
    has = _has(vmap["key"], packet)
    if has is _NEVER:
        return []
    found: list[tuple[_Found, str]] = []
    for key, verdict in elements:
        applies = None if has is None else has(_value(key))
        if applies is not False:
            found.append((applies, _verdict(verdict)))
    return found


def _any(found: t.Iterable[_Found]) -> _Found:
    results = list(found)
    if True in results:
        return True
    return None if None in results else False


def _never(_wanted: t.Any) -> _Found:
    return False


# A packet of another protocol or family has no such field.
_NEVER: _Has = _never


def _has(left: t.Any, packet: Packet) -> _Has:
    """Return what compares a field of a packet."""
    if not isinstance(left, dict):
        return None
    kind, value = next(iter(left.items()))
    if kind == "concat":
        parts = [_has(part, packet) for part in value]
        return _NEVER if _NEVER in parts else functools.partial(_concat, parts)
    read = {"payload": _payload, "meta": _meta, "ct": _ct, "fib": _fib}.get(kind)
    return read(value, packet) if read else None


def _concat(parts: t.Sequence[_Has], wanted: t.Any) -> _Found:
    values = wanted.get("concat", []) if isinstance(wanted, dict) else []
    found = [None if has is None else has(v) for has, v in zip(parts, values)]  # noqa: B905
    return False if False in found else None if None in found else True


def _payload(value: t.Mapping[str, t.Any], packet: Packet) -> _Has:
    protocol, name = value.get("protocol"), value.get("field")
    if protocol in ("ip", "ip6"):
        if packet.family != (4 if protocol == "ip" else 6):
            return _NEVER
        if name in ("saddr", "daddr"):
            has = packet.sources if name == "saddr" else packet.destinations
            return lambda wanted: matches_networks(has, _networks(wanted))
        return _number(packet.protocol) if name in ("protocol", "nexthdr") else None
    number = NUMBERS.get(str(protocol))
    if protocol != "th" and (number is not None and number != packet.protocol):
        return _NEVER
    return _number(packet.port) if name == "dport" else None


def _meta(value: t.Mapping[str, t.Any], packet: Packet) -> _Has:
    key = value.get("key")
    if key in ("iifname", "iif"):
        return lambda wanted: matches_interface(packet.interfaces, str(wanted))
    if key == "l4proto":
        return _number(packet.protocol)
    if key in ("nfproto", "protocol"):
        names = (4, "ipv4", "ip", "0x0800") if packet.family == 4 else (6, "ipv6", "ip6")  # noqa: PLR2004
        return lambda wanted: wanted in names
    if key == "pkttype":
        return lambda wanted: wanted in ("host", "unicast")
    return None


def _ct(value: t.Mapping[str, t.Any], packet: Packet) -> _Has:
    key = value.get("key")
    if key == "state":
        return lambda wanted: wanted == packet.state
    if key == "direction":
        return lambda wanted: wanted == ("original" if packet.state == "new" else "reply")
    # Nothing has rewritten it.
    return (lambda _wanted: False) if key == "status" else None


def _fib(value: t.Mapping[str, t.Any], _packet: Packet) -> _Has:
    if value.get("result") == "type" and "daddr" in value.get("flags", ()):
        return lambda wanted: wanted == "local"
    # Whether there is a way back to the sender.
    return (lambda wanted: wanted is not False) if "saddr" in value.get("flags", ()) else None


def _number(has: int) -> t.Callable[[t.Any], _Found]:
    def compare(wanted: t.Any) -> _Found:
        if isinstance(wanted, tuple):
            op, other = wanted
            return ORDER[op](has, other) if isinstance(other, int) else None
        if isinstance(wanted, dict) and "range" in wanted:
            first, last = (NUMBERS.get(end, end) for end in wanted["range"])
            return first <= has <= last if isinstance(first, int) else None
        number = NUMBERS.get(wanted, wanted) if isinstance(wanted, str) else wanted
        if isinstance(number, str):
            # Another protocol, whose name isn't known here.
            return int(number) == has if number.isdigit() else False
        return number == has if isinstance(number, int) else None

    return compare


def _networks(wanted: t.Any) -> list[Network]:
    try:
        if isinstance(wanted, str):
            return [ipaddress.ip_network(wanted, strict=False)]
        if isinstance(wanted, dict) and "prefix" in wanted:
            prefix = wanted["prefix"]
            return [ipaddress.ip_network(f"{prefix['addr']}/{prefix['len']}", strict=False)]
        if isinstance(wanted, dict) and "range" in wanted:
            first, last = (ipaddress.ip_address(end) for end in wanted["range"])
            return list(ipaddress.summarize_address_range(first, last))
    except ValueError:
        pass
    return []
