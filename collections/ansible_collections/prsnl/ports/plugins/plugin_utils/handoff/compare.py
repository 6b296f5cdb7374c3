# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between two handoffs: added, gone, changed."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.evidence import Evidence
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.findings import (
    backup_state,
    grouped_paths,
)

ADDED: t.Final = "added"
GONE: t.Final = "gone"
CHANGED: t.Final = "changed"
KINDS: t.Final = (
    "host",
    "endpoint",
    "health",
    "unit",
    "firewall",
    "path",
    "lease",
    "listener",
    "configuration",
    "certificate",
    "backup",
    "disk",
    "version",
    "package",
    "system",
    "registry",
)
MARKS: t.Final = {ADDED: "+", GONE: "-", CHANGED: "~"}

Plain = dict[str, t.Any]
# Kind, host (empty for what belongs to none) and subject.
Key = tuple[str, str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """A fact that another handoff has otherwise. What it wasn't or isn't there is empty."""

    kind: str
    host: str
    subject: str
    before: str
    after: str

    @property
    def what(self) -> str:
        """`added`, `gone` or `changed`."""
        if not self.before:
            return ADDED
        return CHANGED if self.after else GONE


def compare(before: Evidence, after: Evidence) -> list[Difference]:
    """Everything that differs, what matters most first.

    What only time changes, such as process ids, isn't compared, and neither is what is unknown on
    one side: of a host that couldn't be reached it is said that it couldn't.
    """
    old, new = facts(before), facts(after)
    unknown = {
        (name, kind)
        for evidence in (before, after)
        for name, host in evidence.hosts.items()
        for kind in KINDS
        if (not host["reached"] and kind != "host") or (kind == "path" and not _has_rules(host))
    }
    differences = []
    for key in sorted(old.keys() | new.keys(), key=lambda key: (KINDS.index(key[0]), key)):
        was, now = old.get(key, ""), new.get(key, "")
        if was is None or now is None or was == now or (key[1], key[0]) in unknown:
            continue
        differences.append(Difference(*key, was, now))
    return differences


def _has_rules(host: Plain) -> bool:
    return host["firewall"].get("state", "unknown") not in ("unknown", "not asked")


def facts(evidence: Evidence) -> dict[Key, str | None]:
    """Everything that is compared. A value of None is unknown."""
    found: dict[Key, str | None] = {}
    for endpoint in evidence.registry["endpoints"]:
        found["registry", "", endpoint["id"]] = _registered(endpoint)
    for lease in evidence.data["leases"]:
        for host in lease["hosts"] or [""]:
            subject = f"{lease['port']}/{lease['protocol']}"
            ends = f"{'ended' if lease['expired'] else 'until'} {lease['expires']}"
            found["lease", host, subject] = f"{ends}: {lease['reason']}"
    for name, host in evidence.hosts.items():
        for kind, subject, value in _host(evidence, host):
            found[kind, name, subject] = value
    return found


def _registered(endpoint: Plain) -> str:
    words = [f"{endpoint['port']}/{endpoint['protocol']}", endpoint["status"]]
    if endpoint["exposure"]:
        words.append(endpoint["exposure"])
    if endpoint["consumers"]:
        words.append(f"for {', '.join(endpoint['consumers'])}")
    return ", ".join(words)


def _host(evidence: Evidence, host: Plain) -> t.Iterator[tuple[str, str, str | None]]:
    looked = "reached" if host["reached"] else "not reached"
    yield "host", "reached", looked if host["looked"] else "not looked at"
    yield "system", "release", host["system"].get("release") or None
    yield "system", "kernel", host["system"].get("kernel") or None
    for row in host["results"]:
        where = f" at {row['live']}" if row["live"] else ""
        holder = f" by {row['bound_by']}" if row["bound_by"] else ""
        yield "endpoint", row["id"], f"{row['verdict']}{where}{holder}"
    strangers: dict[str, list[str]] = {}
    for row in host["unregistered"]:
        where = f"{row['port']}/{row['protocol']}"
        strangers.setdefault(where, []).append(f"{row['held_by']} at {row['address']}")
    for where, texts in strangers.items():
        yield "listener", where, "; ".join(sorted(texts))
    for text in host["configuration"]:
        yield "configuration", text, "found"
    for unit, fields in host["units"].items():
        yield "unit", unit, f"{fields.get('ActiveState')} ({fields.get('SubState')})"
    for unit in host["failed_units"]:
        if unit not in host["units"]:
            yield "unit", unit, "failed"
    yield from _services(evidence, host)
    firewall = host["firewall"]
    yield (
        "firewall",
        "rules",
        {"unknown": None, "not asked": None}.get(
            firewall.get("state", "unknown"), firewall.get("state")
        ),
    )
    for (peer, endpoint, port), paths in grouped_paths(evidence, firewall.get("paths", ())).items():
        sources = ", ".join(sorted(path["source"] for path in paths))
        yield "path", f"{peer} to {endpoint or 'no endpoint'} ({port})", f"open from {sources}"
    for disk in host["disks"]:
        full = disk["used_percent"] >= evidence.settings["disk_percent"]
        yield "disk", disk["mount"], "nearly full" if full else "ok"


def _services(evidence: Evidence, host: Plain) -> t.Iterator[tuple[str, str, str | None]]:
    for service, book in host["runbooks"].items():
        version, health = (
            host["answers"].get(f"{service}-{kind}") for kind in ("version", "health")
        )
        if version is not None:
            yield "version", service, version["text"] if version["ok"] else None
        if health is not None:
            yield "health", service, "well" if health["ok"] else "not well"
        for package, text in host["packages"].get(service, {}).items():
            yield "package", package, text
        backup = host["backups"].get(service)
        if backup:
            limit = book.get("backup", {}).get("max_age_hours", 0)
            yield "backup", service, backup_state(evidence, backup, limit)
    for endpoint, certificate in host["certificates"].items():
        yield "certificate", endpoint, certificate["not_after"] or None
