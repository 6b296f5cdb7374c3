# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host's whole ruleset for the packet filter of macOS, as one anchor. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import (
    ANYONE,
    DHCP_PORTS,
    DNS_PORT,
    FAMILIES,
    ICMP_TYPES,
    ICMPV6_TYPES,
    LINK_LOCAL,
    Opening,
    Policy,
)
from ansible_collections.prsnl.ports.plugins.module_utils.plan.addresses import Network

ANCHOR = "prsnl_ports"
HEADER = "# Made by prsnl.ports.firewall from the port registry. Changes by hand are lost.\n"
# PF_TABLE_NAME_SIZE is 32, with the closing zero.
MAX_NAME = 31
# The addresses of the Mac itself, when the rules are loaded.
OWN = "this_host"
# vmnet and Internet Sharing number their bridges from there on, as virtual machines start. pf
# matches no groups of interfaces on macOS, but takes names of some that aren't there yet.
BRIDGES = tuple(f"bridge{number}" for number in range(100, 116))
# Apple Wireless Direct Link: AirDrop, Sidecar and Handoff between devices side by side.
PEERS = ("awdl0", "llw0")
# Bonjour's port (RFC 6762). Its responder ignores what comes from outside of the link (section 11).
MDNS_PORT = 5353
# Guests ask their host, as a router, for the network (RFC 4861).
ROUTER_SOLICITATION = 133
_INET = {4: "inet", 6: "inet6"}
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


def render(policy: Policy) -> str:
    """Return the rules of the anchor.

    Every rule is ``quick``: what other anchors say later can't change it. What macOS does by itself
    stays: its neighbours find it, and its virtual machines have a network.
    """
    tables = [_table(opening) for opening in policy.openings if not _is_public(opening)]
    tables.insert(0, f"table <{OWN}> const {{ self }}")
    if policy.ssh_sources:
        tables.insert(0, f"table <ssh> const {_set(policy.ssh_sources)}")
    rules = [
        "pass quick on lo0 all no state",
        *_ssh(policy),
        # States begin in the middle of connections that are older than the rules.
        "pass out quick all flags any keep state",
        f"pass in quick inet proto icmp all icmp-type {_set(ICMP_TYPES)} keep state",
        f"pass in quick inet6 proto ipv6-icmp all icmp6-type {_set(ICMPV6_TYPES)} allow-opts"
        " keep state",
        "pass in quick inet proto udp from any port {} to any port {} keep state".format(
            *DHCP_PORTS[4]
        ),
        f"pass in quick inet6 proto udp from {LINK_LOCAL}"
        + " port {} to any port {} keep state".format(*DHCP_PORTS[6]),
        # pf drops packets with options by itself, and those that ask for groups have one.
        "pass in quick inet proto igmp all allow-opts no state",
        f"pass in quick proto udp from any to any port {MDNS_PORT} no state",
        f"pass in quick on {_names(PEERS)} inet6 from {LINK_LOCAL} to any keep state",
        *_guests(),
        *(
            rule
            for opening in policy.openings
            for family in FAMILIES
            for rule in _open(opening, family)
        ),
        *(
            f"pass in quick {_INET[source.version]} proto {admission.protocol} from {source} to any"
            f' no state label "{admission.id[:MAX_NAME]}"'
            for admission in policy.admissions
            for source in admission.sources
        ),
        # Connections that are older than the rules have no state, and their next packet may come
        # from outside. One that nobody has begun is refused by the host itself.
        "pass in quick proto tcp all flags A/SA no state",
        f"block {'return' if policy.reject else 'drop'} in quick all",
    ]
    return HEADER + "".join(f"{line}\n" for line in [*tables, *rules])


def _ssh(policy: Policy) -> t.Iterator[str]:
    # Without states, so that connections that are older than the rules stay alive.
    source = "<ssh>" if policy.ssh_sources else "any"
    for port in policy.ssh_ports:
        yield f"pass in quick proto tcp from {source} to any port {port} no state"
        yield f"pass out quick proto tcp from any port {port} to {source} no state"


def _guests() -> t.Iterator[str]:
    """Yield what virtual machines need of their host, and lets their packets through it.

    There is no chain for forwarded packets: they come in by one interface and go out by another.
    """
    begin = f"pass in quick on {_names(BRIDGES)}"
    server, client = DHCP_PORTS[4]
    yield f"{begin} inet proto udp from any port {client} to any port {server} no state"
    yield f"{begin} proto {{ tcp, udp }} from any to <{OWN}> port {DNS_PORT} keep state"
    yield f"{begin} inet6 proto ipv6-icmp all icmp6-type {ROUTER_SOLICITATION} no state"
    yield f"{begin} from any to ! <{OWN}> keep state"


def _names(interfaces: t.Iterable[str]) -> str:
    return f"{{ {', '.join(interfaces)} }}"


def _name(opening: Opening) -> str:
    return f"{opening.protocol}{opening.port}_{opening.id.replace('.', '_')}"[:MAX_NAME]


def _is_public(opening: Opening) -> bool:
    return all(source.prefixlen == 0 for source in opening.sources)


def _table(opening: Opening) -> str:
    return f"table <{_name(opening)}> const {_set(opening.sources)}"


def _open(opening: Opening, family: int) -> t.Iterator[str]:
    pairs = opening.pairs(family)
    limit = opening.limit
    flags = " flags S/SA" if opening.protocol == "tcp" else ""
    state = "keep state"
    source = "any" if _is_public(opening) else f"<{_name(opening)}>"
    if limit and limit.rate and opening.protocol == "tcp":
        number, _slash, unit = limit.rate.partition("/")
        state += f" (max-src-conn-rate {number}/{_SECONDS[unit]})"
    for destination in dict.fromkeys(destination for _source, destination in pairs):
        target = "any" if destination == ANYONE[family] else destination
        yield (
            f"pass in{' log' if limit and limit.log else ''} quick {_INET[family]}"
            f" proto {opening.protocol} from {source} to {target} port {opening.port}"
            f'{flags} {state} label "{opening.id[:MAX_NAME]}"'
        )


def _set(values: t.Iterable[t.Union[Network, int]]) -> str:
    return f"{{ {', '.join(map(str, values))} }}"
