# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An inventory's own lines of `pg_hba.conf`: what is wrong with them, and how they are written.

Source of what a line may have: chapter 21.1 of the manual of PostgreSQL 16, and `parse_hba_line` of
its src/backend/libpq/hba.c.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.syntaxes import pg_hba_name
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.addresses import (
    ANYONE,
    family,
    host_cidr,
    is_loopback,
    merge_cidrs,
    network_of,
    parse_address,
    shares,
)

Entry = t.Mapping[str, t.Any]

TYPES: t.Final = ("local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc")
# The methods, and the types that they work with.
METHODS: t.Final = {
    "scram-sha-256": TYPES,
    "md5": TYPES,
    "ldap": TYPES,
    "radius": TYPES,
    "pam": TYPES,
    "reject": TYPES,
    "trust": TYPES,
    "cert": ("hostssl",),
    "gss": TYPES[1:],
    "peer": ("local",),
    # In the clear, so by TLS only.
    "password": ("local", "hostssl"),
}
DATABASES: t.Final = ("all", "sameuser", "samerole", "replication")
EVERYBODY, TRUST = "everybody", "trust"
KEYS: t.Final = {
    *("type", "databases", "users", "addresses", "consumers", "method", "options", "allow"),
    "comment",
}
# As in the registry: who has half of all addresses is everybody.
HALF: t.Final = 0.5
_OPTION = re.compile(r"[a-z_]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Served(t.NamedTuple):
    """What the registry says of the endpoint.

    ``sources`` are those of the plan: consumers from other hosts, with their addresses.
    ``consumers`` are all that the registry names, ``tls`` whether other hosts have to use TLS.
    """

    sources: t.Sequence[t.Mapping[str, t.Any]]
    consumers: t.Sequence[str]
    tls: bool

    @property
    def cidrs(self) -> list[str]:
        """The addresses that the firewall lets through."""
        return [str(source["cidr"]) for source in self.sources]


def _type(entry: Entry, served: Served) -> str:
    if entry.get("type"):
        return str(entry["type"])
    is_remote = entry.get("addresses") or entry.get("consumers")
    if not is_remote:
        return "local"
    here = all(_is_here(str(address)) for address in _list(entry, "addresses"))
    return "hostssl" if served.tls and (not here or entry.get("consumers")) else "host"


def _list(entry: Entry, key: str) -> list[t.Any]:
    value = entry.get(key) or []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _is_here(address: str) -> bool:
    return address == "samehost" or is_loopback(address.partition("/")[0])


def _cidr(address: str) -> str:
    """Return an address as `pg_hba.conf` has it."""
    return address if "/" in address or address in ("all", "samehost") else host_cidr(address)


def hba_lines(
    entries: t.Sequence[Entry],
    sources: t.Sequence[t.Mapping[str, t.Any]],
    consumers: t.Sequence[str],
    tls: bool,
) -> list[str]:
    """Return the lines of entries without faults, in their order.

    Where no entry is about the superuser by name, a line before them keeps it out, so that an
    entry for all users doesn't let it in.

    :param sources: of the endpoint, as the plan has them.
    :param consumers: of the endpoint, as the registry has them.
    :param tls: whether consumers on other hosts have to use TLS.
    """
    served = Served(sources, consumers, tls)
    lines = []
    users = {str(user) for entry in entries for user in _list(entry, "users")}
    if entries and "postgres" not in users:
        lines.append("host all,replication postgres all reject")
    for entry in entries:
        kind = _type(entry, served)
        databases = ",".join(
            name if name in DATABASES else pg_hba_name(name)
            for name in map(str, _list(entry, "databases"))
        )
        users_text = ",".join(map(_user, map(str, _list(entry, "users"))))
        options = "".join(
            f" {name}={_option(value)}"
            for name, value in sorted((entry.get("options") or {}).items())
        )
        comment = f"  # {entry['comment']}" if entry.get("comment") else ""
        end = f"{entry['method']}{options}"
        if kind == "local":
            lines.append(f"local {databases} {users_text} {end}{comment}")
            continue
        places = [(_cidr(str(address)), comment) for address in _list(entry, "addresses")]
        places += [
            (source["cidr"], f"  # {source['consumer']}{comment.replace('  #', ',', 1)}")
            for consumer in _list(entry, "consumers")
            for source in sources
            if source["consumer"] == consumer
        ]
        lines += [f"{kind} {databases} {users_text} {cidr} {end}{told}" for cidr, told in places]
    return lines


def _option(value: t.Any) -> str:
    """Return the value of an option of an authentication method."""
    text = str(int(value)) if isinstance(value, bool) else str(value)
    return '"' + text.replace('"', '""') + '"'


def _user(name: str) -> str:
    if name == "all":
        return name
    # Quoted as a whole, it would be no group any more.
    return "+" + pg_hba_name(name[1:]) if name.startswith("+") else pg_hba_name(name)


def hba_faults(
    entries: t.Any,
    sources: t.Sequence[t.Mapping[str, t.Any]],
    consumers: t.Sequence[str],
    tls: bool,
) -> list[str]:
    """Return what is wrong with entries: which one, what was found, and what is allowed."""
    served = Served(sources, consumers, tls)
    if not isinstance(entries, (list, tuple)):
        return [f"postgresql_hba_entries: found {entries!r}, allowed is a list of entries"]
    faults = []
    for number, entry in enumerate(entries):
        place = f"postgresql_hba_entries[{number}]"
        if not isinstance(entry, t.Mapping):
            faults.append(f"{place}: found {entry!r}, allowed is a dictionary")
            continue
        faults += [f"{place}{fault}" for fault in _entry_faults(entry, served)]
    return faults


def _entry_faults(entry: Entry, served: Served) -> t.Iterator[str]:
    for key in sorted(set(map(str, entry)) - KEYS):
        yield f": found {key}, allowed are {', '.join(sorted(KEYS))}"
    for key in ("databases", "users"):
        names = _list(entry, key)
        if not names:
            yield f".{key}: found nothing, and at least one name is needed (all is every one)"
        for name in names:
            yield from _name_faults(key, str(name))
    kind, allowed = _type(entry, served), _list(entry, "allow")
    if kind not in TYPES:
        yield f".type: found {kind}, allowed are {', '.join(TYPES)}"
        return
    for word in allowed:
        if word not in (EVERYBODY, TRUST):
            yield f".allow: found {word}, allowed are {EVERYBODY} and {TRUST}"
    yield from _method_faults(str(entry.get("method") or ""), kind, allowed)
    yield from _where_faults(entry, served, kind, allowed)
    options = entry.get("options") or {}
    if not isinstance(options, t.Mapping):
        yield f".options: found {options!r}, allowed is a dictionary"
        return
    for name, value in options.items():
        if not _OPTION.fullmatch(str(name)) or _CONTROL.search(str(value)):
            yield f".options.{name}: allowed are names of small letters and values on one line"
    if _CONTROL.search(str(entry.get("comment") or "")):
        yield ".comment: found control characters, allowed is one line"


def _method_faults(method: str, kind: str, allowed: t.Sequence[t.Any]) -> t.Iterator[str]:
    if method not in METHODS:
        hint = "; for ident use peer, which asks this host's kernel" if method == "ident" else ""
        yield f".method: found {method or 'nothing'}, allowed are {', '.join(METHODS)}{hint}"
    elif kind not in METHODS[method]:
        works = ", ".join(METHODS[method])
        yield f".method: found {method} with the type {kind}, it works with {works}"
    if method == "trust" and TRUST not in allowed:
        yield (
            ".method: found trust, which asks nobody who they are. Use another method, or say"
            f" allow: [{TRUST}] if that is meant"
        )


def _name_faults(key: str, name: str) -> t.Iterator[str]:
    bare = name[1:] if key == "users" and name.startswith("+") else name
    if not bare or _CONTROL.search(bare) or bare[0] in "/@":
        yield (
            f".{key}: found {name!r}, allowed are names, and"
            f" {', '.join(DATABASES) if key == 'databases' else 'all and +group'}; no patterns (/)"
            " and no files (@)"
        )
    if name == "replication" and key == "users":
        yield f".{key}: found replication, which is a database's name (databases: [replication])"


def _where_faults(
    entry: Entry, served: Served, kind: str, allowed: t.Sequence[t.Any]
) -> t.Iterator[str]:
    addresses, consumers = _list(entry, "addresses"), _list(entry, "consumers")
    if kind == "local":
        if addresses or consumers:
            yield ".type: found local, which is the Unix socket and has no addresses and consumers"
        return
    if not addresses and not consumers:
        yield f".addresses: found none, and the type {kind} needs addresses or consumers"
    for consumer in consumers:
        if consumer not in served.consumers:
            yield (
                f".consumers: found {consumer}, allowed are the endpoint's in the port registry:"
                f" {', '.join(served.consumers) or 'none'}"
            )
    plain = []
    for address in map(str, addresses):
        fault = _address_fault(address)
        if fault:
            yield f".addresses: found {address}, {fault}"
        elif address != "samehost":
            plain.append(address)
    opened = [*plain, *(s["cidr"] for s in served.sources if s["consumer"] in consumers)]
    if entry.get("method") != "reject" and EVERYBODY not in allowed and _is_everybody(opened):
        yield (
            f".addresses: found {', '.join(opened)}, which is everybody. Name the networks that are"
            f" meant, or say allow: [{EVERYBODY}]"
        )
    is_clear = kind in ("host", "hostnossl", "hostnogssenc") and entry.get("method") != "reject"
    if served.tls and is_clear and (consumers or not all(map(_is_here, plain))):
        yield (
            f".type: found {kind}, which lets other hosts come without TLS. Use hostssl, or say"
            " tls: false for the endpoint in the port registry"
        )


def _address_fault(address: str) -> str:
    """Return why an address can't be one of an entry; nothing if it can."""
    if address in ("all", "samehost"):
        return ""
    if address == "samenet":
        return "which is whatever networks the host has. Name the network (10.0.0.0/24)"
    bare = address.partition("/")[0]
    if parse_address(bare) is None:
        return "allowed are addresses and networks by number (10.0.0.7, 10.0.0.0/24), and samehost"
    if "/" not in address:
        return ""
    network = network_of(address)
    if network is None:
        return "which is no network"
    return "" if network == address else f"which has bits of a host; the network is {network}"


def _is_everybody(addresses: t.Iterable[str]) -> bool:
    cidrs: list[str] = []
    for address in addresses:
        cidrs += ANYONE.values() if address == "all" else [_cidr(address)]
    return any(share >= HALF for share in shares(cidrs).values())


def hba_closed(entries: t.Sequence[Entry], sources: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """Return addresses of entries from which the firewall lets nobody come.

    What is open follows from the registry alone, so an entry without a consumer there is about
    nobody.
    """
    closed = []
    networks = [str(source["cidr"]) for source in sources]
    for entry in entries:
        if entry.get("method") == "reject":
            continue
        for address in map(str, _list(entry, "addresses")):
            if address == "all" or _is_here(address):
                continue
            if not _is_within(_cidr(address), networks):
                closed.append(address)
    return closed


def _is_within(cidr: str, networks: t.Sequence[str]) -> bool:
    """Whether all of a network is in the others."""
    same = [network for network in networks if family(network) == family(cidr)]
    return merge_cidrs([*same, cidr]) == merge_cidrs(same)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """By name."""
        return {
            "postgresql_hba_closed": hba_closed,
            "postgresql_hba_faults": hba_faults,
            "postgresql_hba_lines": hba_lines,
        }
