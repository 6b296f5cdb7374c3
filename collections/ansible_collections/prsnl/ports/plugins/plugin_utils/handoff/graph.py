# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may talk to whom: hosts, their endpoints, and the paths between them, as a graph.

Hosts that serve the same are one node where there are many of them.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.evidence import Evidence
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.text import counted

# With more hosts, those that serve the same are drawn once.
INDIVIDUAL_HOSTS: t.Final = 8
PUBLIC: t.Final = "public"

Plain = dict[str, t.Any]


@dataclasses.dataclass
class Row:
    """An endpoint of a node. `users` are those that may come, `state` is ok, fault or unknown."""

    id: str
    port: str
    exposure: str
    status: str
    users: list[str] = dataclasses.field(default_factory=list)
    state: str = "unknown"


@dataclasses.dataclass
class Node:
    """A host, a group of like hosts, or somebody outside. `reached` says how many answered."""

    name: str
    title: str
    subtitle: str
    outside: bool = False
    hosts: list[str] = dataclasses.field(default_factory=list)
    reached: int = 0
    rows: dict[str, Row] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Graph:
    """Nodes by name, and paths as (from, to, endpoint); `closed` are those that don't work."""

    nodes: dict[str, Node]
    paths: dict[tuple[str, str, str], None]
    closed: set[tuple[str, str, str]]

    def pairs(self) -> dict[tuple[str, str], list[str]]:
        """The endpoints by (from, to)."""
        found: dict[tuple[str, str], list[str]] = {}
        for source, target, endpoint in self.paths:
            found.setdefault((source, target), []).append(endpoint)
        return found


def make(evidence: Evidence) -> Graph:
    """The graph of a handoff."""
    outside = _outside(evidence)
    hosts = _host_nodes(evidence)
    of_host = {host: node.name for node in hosts for host in node.hosts}
    nodes = {node.name: node for node in [*outside, *hosts]}
    paths: dict[tuple[str, str, str], None] = {}
    closed: set[tuple[str, str, str]] = set()
    for name, host in evidence.hosts.items():
        if name not in of_host:
            continue
        target = of_host[name]
        shut = {
            (evidence.peer(path["source"]), path["id"])
            for path in host["firewall"].get("missing", ())
        }
        for entry in host["plan"]:
            if entry["expect"] == "silent":
                continue
            _add_row(evidence, nodes[target], name, entry)
            for source in entry["sources"]:
                peer = source["host"] or source["consumer"]
                node = of_host.get(peer, f"outside {peer}")
                if node not in nodes:
                    continue
                path = (node, target, entry["id"])
                paths[path] = None
                if ("anyone" if peer == PUBLIC else peer, entry["id"]) in shut:
                    closed.add(path)
    return Graph(nodes, paths, closed)


def _outside(evidence: Evidence) -> list[Node]:
    """Anyone, and the networks of the registry, as far as somebody lets them in."""
    comers = {
        source["consumer"]
        for host in evidence.hosts.values()
        for entry in host["plan"]
        for source in entry["sources"]
        if source["host"] is None
    }
    nodes = []
    if PUBLIC in comers:
        nodes.append(Node(f"outside {PUBLIC}", "Anyone", "the internet", outside=True))
    for name, network in evidence.registry["networks"].items():
        if name in comers:
            cidrs = ", ".join(network["cidrs"])
            nodes.append(Node(f"outside {name}", name, cidrs, outside=True))
    return nodes


def _host_nodes(evidence: Evidence) -> list[Node]:
    named = [name for name, host in evidence.hosts.items() if host["plan"]]
    groups: dict[t.Any, list[str]] = {}
    for name in named:
        host = evidence.hosts[name]
        serves = tuple(sorted(e["id"] for e in host["plan"] if e["expect"] != "silent"))
        key = (host["environment"], serves) if len(named) > INDIVIDUAL_HOSTS else name
        groups.setdefault(key, []).append(name)
    nodes = []
    for members in groups.values():
        first = evidence.hosts[members[0]]
        reached = sum(evidence.hosts[name]["reached"] for name in members)
        if len(members) == 1:
            title, subtitle = members[0], ", ".join(first["addresses"])
        else:
            title = counted(len(members), "host")
            subtitle = f"{members[0]} to {members[-1]}"
            common = set.intersection(*(set(evidence.hosts[m]["groups"]) for m in members))
            if common:
                title = f"{listed(sorted(common)[:2])}: {len(members)}"
        nodes.append(Node(f"host {members[0]}", title, subtitle, hosts=members, reached=reached))
    return nodes


def _add_row(evidence: Evidence, node: Node, host: str, entry: Plain) -> None:
    row = node.rows.get(entry["id"])
    if row is None:
        row = node.rows[entry["id"]] = Row(
            entry["id"], str(entry["port"]), entry["exposure"], entry["status"]
        )
        consumers = evidence.endpoints.get(entry["id"], {}).get("consumers", [])
        row.users = ["anyone"] if entry["exposure"] == PUBLIC else list(consumers)
    result = evidence.result(host, entry["id"])
    if result is not None:
        # One faulty host makes the row faulty.
        row.state = "fault" if row.state == "fault" or not result["ok"] else "ok"
