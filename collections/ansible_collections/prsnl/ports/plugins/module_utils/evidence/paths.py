# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The paths that the live firewall has open, against those that the plan declares."""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.evidence.readings import Reading, run
from ansible_collections.prsnl.ports.plugins.module_utils.evidence.system import is_linux
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.nftables import RECORD, find_nft
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.nftables_rules import TABLE
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.pf import PFCTL
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.pf_rules import ANCHOR
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import (
    FAMILIES,
    PROTOCOLS,
    read_openings,
)
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import read_plan

NUMBERS = {number: name for name, number in PROTOCOLS.items()}
# An element of one of the table's maps, as `nft -nn` lists it.
ELEMENT = re.compile(
    r"(?P<source>\S+) \. (?P<destination>\S+) \. (?P<protocol>\d+) \. (?P<port>\d+)"
    r'(?: comment "(?P<comment>[^"]*)")? : (?:accept|jump )'
)
# What makes the maps count: packets that aren't let in are dropped.
IN_FORCE = ("type filter hook input priority 0; policy drop;", "vmap @open_ipv4")


@dataclass(frozen=True, order=True)
class OpenPath:
    """Who may reach which port, as CIDRs; ``id`` is the endpoint, empty where nobody says it."""

    source: str
    destination: str
    protocol: str
    port: int
    id: str = ""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What makes two of them the same."""
        return self.source, self.destination, self.protocol, self.port


def planned_paths(plan: t.Mapping[str, t.Any]) -> list[OpenPath]:
    """Return what a plan opens to other hosts.

    :raises ValueError: the plan isn't one.
    """
    return [
        OpenPath(source, destination, opening.protocol, opening.port, opening.id)
        for opening in read_openings(read_plan(plan).endpoints, {})
        for family in FAMILIES
        for source, destination in opening.pairs(family)
    ]


def parse_listing(text: str) -> list[OpenPath]:
    """Return the open paths of the registry's table, as nft lists it."""
    return [
        OpenPath(
            _cidr(match["source"]),
            _cidr(match["destination"]),
            NUMBERS.get(int(match["protocol"]), match["protocol"]),
            int(match["port"]),
            match["comment"] or "",
        )
        for match in ELEMENT.finditer(text)
    ]


def _cidr(text: str) -> str:
    if "/" in text:
        return text
    return f"{text}/{128 if ':' in text else 32}"


def compare_paths(
    listing: str, plan: t.Mapping[str, t.Any], remembered: t.Optional[str]
) -> dict[str, t.Any]:
    """Judge the listing of the live table.

    :param remembered: the listing after the rules were loaded last; None if nobody knows.
    :returns: C(state) is V(loaded), V(absent) or V(not in force); C(edited) whether somebody
        changed the rules since they were loaded, None if unknown.
    :raises ValueError: the plan isn't one.
    """
    live = {path.key: path for path in parse_listing(listing)}
    planned = {path.key: path for path in planned_paths(plan)}
    state = "loaded" if all(sign in listing for sign in IN_FORCE) else "not in force"
    if not listing.strip():
        state = "absent"
    return {
        "state": state,
        "paths": [asdict(path) for path in sorted(live.values())],
        "missing": [asdict(p) for key, p in sorted(planned.items()) if key not in live],
        "extra": [asdict(p) for key, p in sorted(live.items()) if key not in planned],
        "edited": None if remembered is None else listing != remembered,
        "reading": "firewall",
    }


def read_paths(plan: t.Mapping[str, t.Any], timeout: float) -> tuple[dict[str, t.Any], Reading]:
    """Return the judgement of the live firewall, and the reading.

    :raises ValueError: the plan isn't one.
    """
    unknown: dict[str, t.Any] = {
        "state": "unknown",
        "paths": [],
        "missing": [],
        "extra": [],
        "edited": None,
        "reading": "firewall",
    }
    if not is_linux():
        anchor = run([PFCTL, "-a", ANCHOR, "-s", "rules"], timeout)
        return unknown, anchor
    nft = find_nft()
    if nft is None:
        return unknown, Reading("command", f"nft list table {TABLE}", fault="nft isn't installed")
    listed = run([nft, "-s", "-nn", "list", "table", *TABLE.split()], timeout)
    if listed.ok:
        return compare_paths(listed.output, plan, _remembered()), listed
    if "No such file or directory" in listed.output:
        return compare_paths("", plan, None), listed
    return unknown, listed


def _remembered() -> t.Optional[str]:
    try:
        with open(RECORD, encoding="utf-8") as file:
            listing = json.load(file).get("listing")
    except (OSError, ValueError, AttributeError):
        return None
    return listing if isinstance(listing, str) else None
