# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is not as it should be, the most urgent first, and what to type about it."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff import commands
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.evidence import (
    VERIFY,
    Evidence,
    parse_time,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.text import counted

CRITICAL: t.Final = "critical"
WARNING: t.Final = "warning"
# Kinds that say that a host isn't as the registry wants it, whether users notice or not.
DRIFT: t.Final = frozenset(("endpoint", "listener", "configuration", "firewall", "path"))
# Among equally severe ones: what hides the others, then what others depend on, then the rest.
_KINDS: t.Final = (
    "plan",
    "host",
    "endpoint",
    "health",
    "unit",
    "firewall",
    "path",
    "disk",
    "certificate",
    "memory",
    "backup",
    "listener",
    "configuration",
    "lease",
)
# The daemon is there, and what is wrong is who holds the port.
_HELD: t.Final = ("wrong owner", "must be silent", "owner not visible", "wrong address")
_FULL: t.Final = 98

Plain = dict[str, t.Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that isn't as it should be.

    `command` is the first thing to type about it, and `readings` name what says so, as
    `host/reading`.
    """

    severity: str
    kind: str
    host: str
    service: str
    title: str
    detail: str
    command: str
    readings: tuple[str, ...] = ()

    def as_dict(self) -> Plain:
        """Plain data, ready for JSON."""
        return {**dataclasses.asdict(self), "readings": list(self.readings)}


def find(evidence: Evidence) -> list[Finding]:
    """Everything that isn't as it should be, the most urgent first."""
    found = list(_plans(evidence))
    for name, host in evidence.hosts.items():
        if not host["environment"]:
            found.append(_no_environment(name))
        elif not host["looked"]:
            found.append(_not_looked_at(name))
        elif not host["reached"]:
            found.append(_unreachable(name, host))
        else:
            found += _host(evidence, name, host)
    found += _leases(evidence)
    return sorted(found, key=lambda finding: _rank(evidence, finding))


def state(findings: t.Iterable[Finding]) -> str:
    """`healthy`, `attention` (nothing is down) or `unhealthy`."""
    severities = {finding.severity for finding in findings}
    if CRITICAL in severities:
        return "unhealthy"
    return "attention" if severities else "healthy"


def _rank(evidence: Evidence, finding: Finding) -> tuple[t.Any, ...]:
    endpoints = evidence.of_service.get(finding.service, ())
    return (
        finding.severity != CRITICAL,
        _KINDS.index(finding.kind) > _KINDS.index("host"),
        not any(endpoint["status"] == "critical" for endpoint in endpoints),
        -len(evidence.dependents.get(finding.service, ())),
        not any(endpoint["exposure"] == "public" for endpoint in endpoints),
        _KINDS.index(finding.kind),
        finding.host,
        finding.title,
    )


def _plans(evidence: Evidence) -> t.Iterator[Finding]:
    if not any(host["plan"] for host in evidence.hosts.values()):
        yield Finding(
            CRITICAL,
            "plan",
            "",
            "",
            "No host has an endpoint",
            "The registry's groups and environments fit no host of this inventory, so nothing was"
            " proven.",
            "ansible-inventory --graph",
        )


def _no_environment(name: str) -> Finding:
    return Finding(
        CRITICAL,
        "plan",
        name,
        "",
        "no environment is set",
        "Without the variable port_environment nobody knows what the host has to serve.",
        f"ansible-inventory --host {name}",
    )


def _not_looked_at(name: str) -> Finding:
    return Finding(
        WARNING,
        "host",
        name,
        "",
        "not looked at",
        "The run was limited to other hosts, so nothing is known of it.",
        "",
    )


def _unreachable(name: str, host: Plain) -> Finding:
    command = f"{host['ssh']} uptime" if host["ssh"] else ""
    return Finding(
        CRITICAL,
        "host",
        name,
        "",
        "could not be reached",
        f"{host['fault'].rstrip('.')}. Nothing is known of its"
        f" {counted(len(host['plan']), 'endpoint')}.",
        command,
    )


def _host(evidence: Evidence, name: str, host: Plain) -> t.Iterator[Finding]:
    if host["fault"]:
        command = commands.on_host(host, "uptime").text
        yield Finding(
            CRITICAL,
            "host",
            name,
            "",
            "could not be asked everything",
            host["fault"],
            command,
        )
    faulty: set[str] = set()
    for finding in _endpoints(evidence, name, host):
        faulty.add(finding.service)
        yield finding
    yield from _health(name, host, faulty)
    yield from _units(name, host)
    yield from _firewall(evidence, name, host)
    yield from _resources(evidence, name, host)
    yield from _certificates(evidence, name, host)
    yield from _backups(evidence, name, host)
    for row in host["unregistered"]:
        yield Finding(
            WARNING,
            "listener",
            name,
            "",
            f"{row['port']}/{row['protocol']} is held by {row['held_by']} and not registered",
            row["message"],
            _typed(host, commands.holders(host, row["port"], row["protocol"])),
            (f"{name}/{VERIFY}", f"{name}/sockets"),
        )
    for text in host["configuration"]:
        yield Finding(
            WARNING,
            "configuration",
            name,
            "",
            "configuration that belongs to no endpoint of the plan",
            text,
            _site(evidence, name, ""),
            (f"{name}/{VERIFY}",),
        )


def _typed(host: Plain, command: str) -> str:
    return commands.on_host(host, command).text if command else ""


def _site(evidence: Evidence, host: str, service: str) -> str:
    """The command that shows what provisioning a host would change."""
    playbook = evidence.settings["commands"].get("site", "")
    role = evidence.hosts[host]["runbooks"].get(service, {}).get("role", "")
    if not playbook:
        return ""
    return f"{playbook} --limit {host}{f' --tags {role}' if role else ''} --check --diff"


def _endpoints(evidence: Evidence, name: str, host: Plain) -> t.Iterator[Finding]:
    planned = {entry["id"]: entry for entry in host["plan"]}
    groups: dict[tuple[str, str], list[Plain]] = {}
    for row in host["results"]:
        if not row["ok"]:
            groups.setdefault((row["service"], row["verdict"]), []).append(row)
    for (service, verdict), rows in groups.items():
        first = rows[0]
        # What the hosts were asked with may be older than the registry of now.
        owner = planned.get(first["id"], {}).get("owner", {})
        names = listed([f"{row['id']} ({row['port']}/{row['protocol']})" for row in rows])
        if verdict == "wrong configuration":
            command = _site(evidence, name, service)
        elif verdict in _HELD:
            command = _typed(host, commands.holders(host, first["port"], first["protocol"]))
        else:
            holders = commands.holders(host, first["port"], first["protocol"])
            command = _typed(host, commands.status(host, owner) or holders)
        readings = [f"{name}/{VERIFY}", f"{name}/sockets"]
        if "units" in host["readings"]:
            readings.append(f"{name}/units")
        yield Finding(
            WARNING if verdict == "wrong configuration" else CRITICAL,
            "endpoint",
            name,
            service,
            f"{names}: {verdict}",
            " ".join(dict.fromkeys(text for row in rows for text in row["messages"])),
            command,
            tuple(readings),
        )


def _health(name: str, host: Plain, faulty: t.Container[str]) -> t.Iterator[Finding]:
    for service, book in host["runbooks"].items():
        question = book.get("health")
        answer = host["answers"].get(question["id"]) if question else None
        if answer is None or answer["ok"] or service in faulty:
            continue
        reading = host["readings"].get(answer["reading"], {})
        said = reading.get("fault") or " ".join(reading.get("output", "").split())[:200]
        code = reading.get("code")
        yield Finding(
            CRITICAL,
            "health",
            name,
            service,
            f"{service} says that it is not well",
            f"{reading.get('source', '')}: {said or 'no answer'}"
            + (f" ({code})" if code is not None else "")
            + ".",
            _typed(host, _journal_of(host, service)),
            (f"{name}/{answer['reading']}",),
        )


def _journal_of(host: Plain, service: str) -> str:
    for entry in host["plan"]:
        if entry["service"] == service and entry["expect"] != "silent":
            command = commands.journal(host, entry["owner"])
            return command or commands.holders(host, entry["port"], entry["protocol"])
    return ""


def _units(name: str, host: Plain) -> t.Iterator[Finding]:
    planned = {
        unit: entry["service"]
        for entry in host["plan"]
        for unit in entry["owner"].get("unit") or ()
    }
    for unit in host["failed_units"]:
        service = planned.get(unit, "")
        yield Finding(
            WARNING,
            "unit",
            name,
            service,
            f"{unit} has failed",
            "systemd lists it among the failed units.",
            _typed(host, commands.status(host, {"unit": [unit]})),
            (f"{name}/failed-units",),
        )


def _firewall(evidence: Evidence, name: str, host: Plain) -> t.Iterator[Finding]:
    firewall = host["firewall"]
    playbook = evidence.settings["commands"].get("firewall", "")
    command = f"{playbook} --limit {name} --check --diff" if playbook else ""
    readings = (f"{name}/firewall",)
    if firewall.get("state") in ("absent", "not in force"):
        yield Finding(
            CRITICAL,
            "firewall",
            name,
            "",
            f"the firewall is {firewall['state']}",
            "Whatever listens there can be reached by anybody who has a way to the host.",
            command,
            readings,
        )
        return
    for kind, word in (
        ("missing", "closed, and the registry declares it"),
        ("extra", "open, and the registry doesn't declare it"),
    ):
        for (peer, endpoint, port), paths in grouped_paths(
            evidence, firewall.get(kind, ())
        ).items():
            yield Finding(
                CRITICAL,
                "path",
                name,
                endpoint.partition(".")[0],
                f"{peer} to {endpoint or 'a port without an endpoint'} ({port}) is {word}",
                " ".join(f"From {path['source']} to {path['destination']}." for path in paths),
                command,
                readings,
            )
    if firewall.get("edited") and not firewall.get("missing") and not firewall.get("extra"):
        yield Finding(
            WARNING,
            "firewall",
            name,
            "",
            "the firewall was changed since it was loaded",
            "The live table isn't what the last run left.",
            command,
            readings,
        )


def grouped_paths(
    evidence: Evidence, paths: t.Iterable[Plain]
) -> dict[tuple[str, str, str], list[Plain]]:
    """Paths of the firewall by who comes, the endpoint (empty if unknown), and port/protocol."""
    groups: dict[tuple[str, str, str], list[Plain]] = {}
    for path in paths:
        key = (evidence.peer(path["source"]), path["id"], f"{path['port']}/{path['protocol']}")
        groups.setdefault(key, []).append(path)
    return groups


def _resources(evidence: Evidence, name: str, host: Plain) -> t.Iterator[Finding]:
    limit = evidence.settings["disk_percent"]
    for disk in host["disks"]:
        text = f"{disk['used_percent']} % of {disk['size_mb']} MiB are used"
        if disk["read_only"] or disk["used_percent"] >= limit:
            full = disk["used_percent"] >= _FULL or disk["read_only"]
            yield Finding(
                CRITICAL if full else WARNING,
                "disk",
                name,
                "",
                f"{disk['mount']} is {'read-only' if disk['read_only'] else 'nearly full'}",
                f"{text}, {disk['free_mb']} MiB are free. It has {listed(disk['paths'])}.",
                _typed(host, f"df -h {disk['mount']}"),
                (f"{name}/{disk['reading']}",),
            )
    memory = host["memory"]
    total, available = memory.get("total_mb", 0), memory.get("available_mb", 0)
    if (
        total
        and available
        and 100 - 100 * available // total >= evidence.settings["memory_percent"]
    ):
        yield Finding(
            WARNING,
            "memory",
            name,
            "",
            "short of memory",
            f"{available} of {total} MiB are available.",
            _typed(host, "free -m"),
            (f"{name}/{memory['reading']}",),
        )


def _certificates(evidence: Evidence, name: str, host: Plain) -> t.Iterator[Finding]:
    days = evidence.settings["certificate_days"]
    for endpoint, certificate in host["certificates"].items():
        if not certificate["not_after"]:
            continue
        left = parse_time(certificate["not_after"]) - evidence.time
        if left >= datetime.timedelta(days=days):
            continue
        service = endpoint.partition(".")[0]
        ended = left <= datetime.timedelta(0)
        yield Finding(
            CRITICAL if ended else WARNING,
            "certificate",
            name,
            service,
            f"the certificate of {endpoint} "
            + ("has ended" if ended else f"ends in {counted(left.days, 'day')}"),
            f"Its end is {certificate['not_after']}.",
            _site(evidence, name, service),
            (f"{name}/{certificate['reading']}",),
        )


def _backups(evidence: Evidence, name: str, host: Plain) -> t.Iterator[Finding]:
    for service, backup in host["backups"].items():
        limit = host["runbooks"].get(service, {}).get("backup", {}).get("max_age_hours", 0)
        text = backup_state(evidence, backup, limit)
        if not limit or text == "ok":
            continue
        yield Finding(
            WARNING,
            "backup",
            name,
            service,
            f"the backup of {service} is {text}",
            f"Newest: {backup['newest'] or 'none'}; allowed are {limit} hours.",
            _typed(host, _journal_of(host, service)),
            (f"{name}/{backup['reading']}",),
        )


def backup_state(evidence: Evidence, backup: Plain, limit: int) -> str:
    """`ok`, `missing` or `too old`; `limit` is in hours, 0 for any age."""
    if not backup["newest"]:
        return "missing"
    age = evidence.time - parse_time(backup["newest"])
    return "too old" if limit and age > datetime.timedelta(hours=limit) else "ok"


def _leases(evidence: Evidence) -> t.Iterator[Finding]:
    for lease in evidence.data["leases"]:
        if not lease["expired"]:
            continue
        hosts = [name for name in lease["hosts"] if name in evidence.hosts]
        name = hosts[0] if hosts else ""
        host = evidence.hosts.get(name)
        where = f"{lease['port']}/{lease['protocol']}"
        yield Finding(
            WARNING,
            "lease",
            name,
            "",
            f"the lease of {where} ended on {lease['expires']}",
            f"It was for: {lease['reason']} ({lease['where']}). Stop what uses the port, or renew"
            " the lease.",
            _typed(host, commands.holders(host, lease["port"], lease["protocol"])) if host else "",
            (f"{name}/sockets",) if host and "sockets" in host["readings"] else (),
        )
