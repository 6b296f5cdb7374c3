# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands on the page, as plain values for templates. Every template has the same ones."""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff import acceptance, commands
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.commands import CLIENTS, Line
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.compare import (
    MARKS,
    Difference,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.evidence import (
    VERIFY,
    Evidence,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.findings import (
    Finding,
    backup_state,
    find,
    state,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.graph import Graph, make
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.runbooks import reached_at
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.text import anchor, counted

Plain = dict[str, t.Any]
# What the page quotes of all readings together, in characters, and what each costs besides. The
# evidence has all of it.
QUOTED: t.Final = 450_000
READING: t.Final = 100
LINES: t.Final = (400, 120, 60, 30, 16, 8, 4, 2, 1)
# The site's own commands that the page shows.
COMMANDS: t.Final = ("site", "firewall", "verify", "drift", "handoff")
# With more services the page has what is needed first, and other files have the rest.
FULL_RUNBOOKS: t.Final = 100
# What a host is said to be comes from these.
HOST_READINGS: t.Final = (
    "sockets",
    "units",
    "failed-units",
    "release",
    "kernel",
    "uptime",
    "memory",
    "firewall",
)
WORDS: t.Final = {
    "healthy": "Healthy",
    "attention": "Up, with something to look at",
    "unhealthy": "Not healthy",
}


class Page:
    """The page of a handoff. `before` is the last handoff, if there was one."""

    def __init__(
        self,
        evidence: Evidence,
        digest: str,
        before: Evidence | None = None,
        differences: t.Sequence[Difference] = (),
    ) -> None:
        self._evidence = evidence
        self._digest = digest
        self._before = before
        self._differences = differences
        # The services that the page has a runbook of, for links.
        self._linked: set[str] = set(evidence.placed)
        self.findings = find(evidence)
        self.missing = acceptance.missing(evidence, self.findings)

    @functools.cached_property
    def graph(self) -> Graph:
        """Who may talk to whom."""
        return make(self._evidence)

    def values(self, service: str = "") -> Plain:
        """Everything that stands on the page, or only what is about one service.

        Raises KeyError if there is no such service.
        """
        evidence = self._evidence
        services = [service] if service and evidence.placed[service] else list(evidence.placed)
        self._linked = set(services)
        findings = [
            finding for finding in self.findings if not service or finding.service == service
        ]
        return {
            "title": evidence.data["title"],
            "service": service,
            "generated": evidence.time.strftime("%-d %B %Y, %H:%M UTC"),
            "iso": evidence.data["generated"],
            "registry": evidence.registry,
            "hash": evidence.registry["sha256"],
            "digest": self._digest,
            "state": state(findings),
            "headline": WORDS[state(findings)],
            "findings": [self._finding(finding) for finding in findings],
            "tallies": self._tallies(),
            "pairs": self._pairs(),
            "hosts": [self._host(name, service) for name in self._hosts_of(service)],
            "unplaced": [] if service else evidence.unplaced,
            "comparison": self._comparison(service),
            "leases": [] if service else self._leases(),
            "retired": [] if service else self._retired(),
            "decisions": [] if service else evidence.registry["decisions"],
            "exceptions": [
                endpoint
                for endpoint in evidence.endpoints.values()
                if endpoint["exception"] and not service
            ],
            "stand_ins": [
                {
                    "host": host,
                    "service": name,
                    "version": version,
                    "evidence": [self.reference(host, reading)],
                }
                for host, name, version, reading in evidence.stand_ins()
                if not service or name == service
            ],
            "services": [self._service(name) for name in services],
            "compact": len(services) > FULL_RUNBOOKS,
            "missing": self.missing,
            "required": evidence.settings["require"],
            "commands": {name: evidence.settings["commands"].get(name, "") for name in COMMANDS},
            "readings": self._readings(service),
        }

    def reference(self, host: str, reading: str) -> Plain:
        """A link to a reading, which the page quotes."""
        return {"href": "#" + anchor("e", host, reading), "text": reading}

    def _references(self, host: str, *readings: str) -> list[Plain]:
        known = self._evidence.hosts[host]["readings"]
        return [self.reference(host, reading) for reading in readings if reading in known]

    def _service_anchor(self, service: str) -> str:
        return anchor("s", service) if service in self._linked else ""

    def _hosts_of(self, service: str) -> t.Iterable[str]:
        return self._evidence.placed[service] if service else self._evidence.hosts

    # --- health ----------------------------------------------------------------------------------

    def _finding(self, finding: Finding) -> Plain:
        return {
            **finding.as_dict(),
            "anchor": self._service_anchor(finding.service),
            "evidence": [
                reference
                for reading in finding.readings
                for reference in self._references(*reading.rsplit("/", 1))
            ],
        }

    def _tallies(self) -> list[Plain]:
        """The numbers at the top: name, value, and whether all is well."""
        evidence = self._evidence
        hosts = evidence.hosts.values()
        reached = sum(host["reached"] for host in hosts)
        planned = sum(len(host["plan"]) for host in hosts)
        good = sum(row["ok"] for host in hosts for row in host["results"])
        firewalls = [host["firewall"] for host in hosts]
        paths = sum(len(firewall.get("paths", ())) for firewall in firewalls)
        wrong = sum(
            len(firewall.get(kind, ())) for firewall in firewalls for kind in ("missing", "extra")
        )
        strangers = sum(len(host["unregistered"]) for host in hosts)
        expired = sum(lease["expired"] for lease in evidence.data["leases"])
        ends = sorted(
            certificate["not_after"]
            for host in hosts
            for certificate in host["certificates"].values()
            if certificate["not_after"]
        )
        rows = [
            (
                "Hosts reached",
                f"{reached} of {len(evidence.hosts)}",
                reached == len(evidence.hosts),
            ),
            ("Ports as planned", f"{good} of {planned}", good == planned),
            ("Firewall paths", f"{paths} open, {wrong} wrong", not wrong),
            ("Not registered", counted(strangers, "listener"), not strangers),
            (
                "Leases",
                f"{len(evidence.data['leases'])}, {expired} ended",
                not expired,
            ),
            ("First certificate to end", ends[0][:10] if ends else "none seen", True),
        ]
        return [{"name": name, "value": value, "ok": ok} for name, value, ok in rows]

    def _pairs(self) -> list[Plain]:
        """Who may reach what, in words; by comer only where there are many."""
        nodes = self.graph.nodes
        ports = {row.id: row.port for node in nodes.values() for row in node.rows.values()}
        pairs = self.graph.pairs()
        few = len(pairs) <= 60  # noqa: PLR2004 - more rows than that are no overview
        return [
            {
                "source": nodes[source].title,
                "target": nodes[target].title,
                "endpoints": [
                    {
                        "text": f"{endpoint} ({ports[endpoint]})",
                        "closed": (source, target, endpoint) in self.graph.closed,
                    }
                    for endpoint in endpoints
                ]
                if few
                else [{"text": counted(len(endpoints), "endpoint"), "closed": False}],
            }
            for (source, target), endpoints in sorted(pairs.items())
            if few or len(pairs) <= 200  # noqa: PLR2004
        ]

    # --- hosts and ports -------------------------------------------------------------------------

    def _host(self, name: str, service: str) -> Plain:
        host = self._evidence.hosts[name]
        known = "reached" if host["reached"] else "not reached"
        return {
            "name": name,
            "anchor": anchor("h", name),
            "state": known if host["looked"] else "not looked at",
            "fault": host["fault"],
            "time": host["time"],
            "environment": host["environment"],
            "addresses": host["addresses"],
            "ssh": host["ssh"],
            "facts": self._facts(name, host) if host["reached"] else [],
            "ports": [
                self._port(name, host, entry)
                for entry in host["plan"]
                if not service or entry["service"] == service
            ],
            "strangers": [] if service else host["unregistered"],
            "evidence": self._references(name, VERIFY, "sockets"),
        }

    def _facts(self, name: str, host: Plain) -> list[Plain]:
        """What a host is, as name, value and references."""
        system, memory = host["system"], host["memory"]
        running = sum(f.get("ActiveState") == "active" for f in host["units"].values())
        total, available = memory.get("total_mb", 0), memory.get("available_mb", 0)
        firewall = host["firewall"]
        disks = [
            f"{disk['mount']} {disk['used_percent']} % of {_size(disk['size_mb'])} used"
            for disk in host["disks"]
        ]
        rows = [
            ("System", system.get("release", ""), ("release",)),
            (
                "Kernel",
                " ".join(filter(None, (system.get("kernel"), system.get("architecture")))),
                ("kernel",),
            ),
            ("Started", system.get("booted", "").replace("T", " ").rstrip("Z"), ("uptime",)),
            (
                "Memory",
                f"{_size(available)} of {_size(total)} available" if total and available else "",
                ("memory",),
            ),
            ("Disks", "; ".join(disks), tuple(disk["reading"] for disk in host["disks"])),
            (
                "Units",
                f"{running} of {len(host['units'])} active" if host["units"] else "",
                ("units", "failed-units"),
            ),
            ("Firewall", _firewall_text(firewall), ("firewall",)),
        ]
        if "moves" in host["readings"]:
            moves = "; ".join(host["readings"]["moves"]["output"].splitlines())
            rows.append(("Moved", moves, ("moves",)))
        return [
            {
                "name": label,
                "value": value or "unknown",
                "evidence": self._references(name, *readings),
            }
            for label, value, readings in rows
        ]

    def _port(self, name: str, host: Plain, entry: Plain) -> Plain:
        row = self._evidence.result(name, entry["id"])
        registered = self._evidence.endpoints.get(entry["id"], {})
        wanted = ", ".join(_at(address, entry["port"]) for address in entry["listen"])
        port: Plain = {
            "anchor": anchor("p", name, entry["id"]),
            "service": entry["service"],
            "service_anchor": self._service_anchor(entry["service"]),
            "name": entry["name"],
            "id": entry["id"],
            "port": entry["port"],
            "protocol": entry["protocol"],
            "status": entry["status"],
            "exposure": entry["exposure"] or "nobody",
            "users": _users(registered) if entry["exposure"] else "",
            "address": wanted or str(entry["port"]),
            "owner": owner_text(entry["owner"]),
            "bound_by": "unknown",
            "verdict": "unknown",
            "ok": False,
            "known": row is not None,
            "how": "the host was not reached" if host["looked"] else "the host was not looked at",
            "messages": [],
            "evidence": self._references(name, VERIFY, "sockets"),
        }
        if row is not None:
            port.update(
                address=row["address"],
                owner=row["owner"] or "-",
                bound_by=row["bound_by"] or "nobody",
                verdict=row["verdict"],
                ok=row["ok"],
                how=_how(entry, row),
                messages=row["messages"],
            )
        return port

    def _retired(self) -> list[Plain]:
        rows = []
        for endpoint in self._evidence.endpoints.values():
            if endpoint["expect"] != "silent":
                continue
            seen = [
                {
                    "host": name,
                    "verdict": result["verdict"] if result else "unknown",
                    "ok": bool(result and result["ok"]),
                    "evidence": self._references(name, VERIFY, "sockets"),
                }
                for name, host in self._evidence.hosts.items()
                if any(entry["id"] == endpoint["id"] for entry in host["plan"])
                for result in [self._evidence.result(name, endpoint["id"])]
            ]
            rows.append({**endpoint, "seen": seen})
        return rows

    def _leases(self) -> list[Plain]:
        rows = []
        for lease in self._evidence.data["leases"]:
            end = "ended" if lease["expired"] else "runs"
            rows.append({**lease, "state": end, "holder": owner_text(lease["owner"])})
        return sorted(rows, key=lambda row: (row["expires"], row["port"]))

    def _comparison(self, service: str) -> Plain | None:
        if self._before is None:
            return None
        own = {service, *(entry["id"] for entry in self._evidence.of_service.get(service, ()))}
        for host in self._evidence.hosts.values():
            for entry in host["plan"]:
                if entry["service"] == service:
                    own |= {*(entry["owner"].get("unit") or ())}
        return {
            "generated": self._before.time.strftime("%-d %B %Y, %H:%M UTC"),
            "hash": self._before.registry["sha256"],
            "same_registry": self._before.registry["sha256"] == self._evidence.registry["sha256"],
            "differences": [
                {
                    "mark": MARKS[difference.what],
                    "what": difference.what,
                    "kind": difference.kind,
                    "host": difference.host,
                    "subject": difference.subject,
                    "before": difference.before or "-",
                    "after": difference.after or "-",
                }
                for difference in self._differences
                if not service or difference.subject in own
            ],
        }

    # --- runbooks --------------------------------------------------------------------------------

    def _service(self, name: str) -> Plain:
        evidence = self._evidence
        host_name, book = evidence.runbook(name)
        host = evidence.hosts[host_name]
        entries = [e for e in host["plan"] if e["service"] == name and e["expect"] != "silent"]
        owners = [entry["owner"] for entry in entries]
        registered = evidence.registry["services"].get(name, {})
        return {
            "name": name,
            "anchor": anchor("s", name),
            "purpose": book.get("purpose") or registered.get("description", ""),
            "description": registered.get("description", ""),
            "source": book.get("file", ""),
            "role": book.get("role", ""),
            "hosts": [self._service_host(name, each) for each in evidence.placed[name]],
            "needed_by": self._needed_by(name),
            "needs": [
                endpoint["id"]
                for endpoint in evidence.consumed.get(name, ())
                if endpoint["service"] != name
            ],
            "endpoints": self._service_endpoints(name),
            "example": host_name,
            "controls": [
                {"name": verb, "lines": _shown(host, book.get(verb) or own)}
                for verb in ("start", "stop", "restart")
                for own in [commands.control(host, verb, owners)]
                if book.get(verb) or own
            ],
            "logs": self._logs(host, book, owners),
            "configuration": book.get("configuration", []),
            "data": book.get("data", []),
            "keeps_nothing": "data" in book.get("declared", ()) and not book.get("data"),
            "backup": self._backup(name, host_name, book),
            "health": _shown(host, (book.get("health") or {}).get("shown", "")),
            "failures": self._failures(host, book, entries),
            "dashboards": [self._dashboard(entry) for entry in book.get("dashboards", ())],
            "alerts": book.get("alerts", []),
            "contact": evidence.contact(name),
            "gaps": acceptance.gaps_of(evidence, name),
            "unknown": book.get("unknown", []),
        }

    def _service_host(self, service: str, name: str) -> Plain:
        host = self._evidence.hosts[name]
        rows = [row for row in host["results"] if row["service"] == service]
        facts: Plain = {
            "name": name,
            "anchor": anchor("h", name),
            "ssh": host["ssh"],
            "reached": host["reached"],
            "bad": [f"{row['endpoint']}: {row['verdict']}" for row in rows if not row["ok"]],
            "evidence": self._references(name, VERIFY, "units"),
        }
        for kind in ("version", "health"):
            answer = host["answers"].get(f"{service}-{kind}")
            asked = answer is not None
            facts[kind] = {
                "asked": asked,
                "ok": asked and answer["ok"],
                "text": answer["text"] if asked and answer["ok"] else "",
                "evidence": self._references(name, answer["reading"]) if asked else [],
            }
        packages = host["packages"].get(service, {})
        facts["packages"] = [f"{package} {text}" for package, text in packages.items()]
        facts["packages_evidence"] = self._references(name, "packages") if packages else []
        return facts

    def _needed_by(self, name: str) -> list[Plain]:
        users: dict[str, list[str]] = {}
        for endpoint in self._evidence.of_service.get(name, ()):
            if endpoint["expect"] != "silent":
                comers = ["anyone"] if endpoint["exposure"] == "public" else endpoint["consumers"]
                for comer in comers:
                    users.setdefault(comer, []).append(endpoint["name"])
        return [
            {"name": user, "anchor": self._service_anchor(user), "endpoints": endpoints}
            for user, endpoints in users.items()
        ]

    def _service_endpoints(self, name: str) -> list[Plain]:
        environments = self._evidence.registry["environments"]
        return [
            {
                **endpoint,
                "users": _users(endpoint),
                "by_environment": [
                    {"name": each, "has": each in endpoint["environments"]} for each in environments
                ],
            }
            for endpoint in self._evidence.of_service.get(name, ())
        ]

    def _logs(self, host: Plain, book: Plain, owners: list[Plain]) -> Plain:
        journals = dict.fromkeys(commands.journal(host, owner) for owner in owners)
        lines = [line for journal in journals for line in _shown(host, journal)]
        return {"lines": lines, "files": book.get("logs", [])}

    def _backup(self, name: str, host_name: str, book: Plain) -> Plain:
        backup = book.get("backup") or {}
        host = self._evidence.hosts[host_name]
        rows = []
        for each in self._evidence.placed[name]:
            facts = self._evidence.hosts[each]["backups"].get(name)
            if facts:
                limit = backup.get("max_age_hours", 0)
                rows.append(
                    {
                        "host": each,
                        "state": backup_state(self._evidence, facts, limit),
                        "evidence": self._references(each, facts["reading"]),
                        **{key: facts[key] for key in ("count", "newest", "size")},
                    }
                )
        return {
            "declared": bool(backup) and "backup" in book.get("declared", ()),
            "none": backup.get("none", ""),
            "how": backup.get("how", ""),
            "files": backup.get("files", []),
            "max_age_hours": backup.get("max_age_hours", 0),
            "found": rows,
            **{
                key: [line for text in backup.get(key, ()) for line in _shown(host, text)]
                for key in ("make", "restore")
            },
        }

    def _failures(self, host: Plain, book: Plain, entries: list[Plain]) -> list[Plain]:
        first = {
            "symptom": "It does not answer",
            "cause": "It is stopped, it is starting, or somebody else holds its port",
            "remedy": "",
            "steps": by_client(self._first_aid(host, entries[0])) if entries else [],
        }
        return [first] + [
            {
                **failure,
                "steps": by_client([[commands.on_host(host, x)] for x in failure["commands"]]),
            }
            for failure in book.get("failures", ())
        ]

    def _first_aid(self, host: Plain, entry: Plain) -> list[list[Line]]:
        """Does it answer, what is its state, what did it log."""
        steps = []
        from_here = any(source["host"] is None for source in entry["sources"])
        asked = commands.from_client(entry, host["addresses"][0]) if host["addresses"] else []
        holders = commands.holders(host, entry["port"], entry["protocol"])
        steps.append(asked if from_here and asked else [commands.on_host(host, holders)])
        for text in (
            commands.status(host, entry["owner"]) or holders,
            commands.journal(host, entry["owner"]),
        ):
            if text:
                steps.append([commands.on_host(host, text)])
        return steps

    @functools.cached_property
    def _served(self) -> dict[str, tuple[str, Plain]]:
        """The first host that serves each endpoint, and the endpoint as it has it."""
        found: dict[str, tuple[str, Plain]] = {}
        for name, host in self._evidence.hosts.items():
            for entry in host["plan"]:
                if entry["listen"]:
                    found.setdefault(entry["id"], (name, entry))
        return found

    def _dashboard(self, entry: Plain) -> Plain:
        """Where a dashboard is: a link for those who may reach it, else a tunnel and a link."""
        if entry["endpoint"] not in self._served:
            return {"title": entry["title"], "url": "", "tunnel": "", "host": entry["endpoint"]}
        name, served = self._served[entry["endpoint"]]
        host = self._evidence.hosts[name]
        is_open = any(source["host"] is None for source in served["sources"])
        scheme = "https" if commands.speaks_tls(served) else "http"
        address = host["addresses"][0] if is_open and host["addresses"] else "localhost"
        return {
            "title": entry["title"],
            "url": f"{scheme}://{_at(address, served['port'])}{entry['path']}",
            "tunnel": "" if is_open else commands.tunnel(host, served, reached_at(served)),
            "host": name,
        }

    # --- the readings ----------------------------------------------------------------------------

    def _readings(self, service: str) -> list[Plain]:
        """What every statement is based on, quoted as far as there is room on a page."""
        hosts = [(name, self._evidence.hosts[name]["readings"]) for name in self._hosts_of(service)]
        if service:
            endpoints = [e["id"] for e in self._evidence.of_service.get(service, ())]
            own = {f"{service}-{kind}" for kind in ("version", "health")}
            own |= {VERIFY, "packages", f"backup-{service}", *HOST_READINGS}
            own |= {f"certificate-{endpoint}" for endpoint in endpoints}
            hosts = [
                (name, {k: r for k, r in found.items() if k in own or k.startswith("disk-")})
                for name, found in hosts
            ]
        outputs = [r["output"] for _name, found in hosts for r in found.values()]
        room = QUOTED - READING * len(outputs)
        fitting = (n for n in LINES if sum(len(_excerpt(o, n)[0]) for o in outputs) <= room)
        lines = next(fitting, LINES[-1])
        result = []
        for name, readings in hosts:
            quoted = []
            for reading_name, reading in sorted(readings.items()):
                text, left = _excerpt(reading["output"], lines)
                quoted.append(
                    {
                        **reading,
                        "name": reading_name,
                        "anchor": anchor("e", name, reading_name),
                        "text": text,
                        "left": left,
                    }
                )
            time = self._evidence.hosts[name]["time"]
            result.append({"host": name, "time": time, "readings": quoted})
        return result


def by_client(steps: t.Sequence[t.Sequence[Line]]) -> list[list[Plain]]:
    """For each step its commands, each with the clients that it is for; none named for all."""
    return [
        [
            {
                "clients": "" if line.clients == CLIENTS else listed(line.clients),
                "text": line.text,
            }
            for line in step
        ]
        for step in steps
    ]


def _shown(host: Plain, command: str) -> list[str]:
    return [commands.on_host(host, command).text] if command else []


def _excerpt(text: str, lines: int) -> tuple[str, int]:
    """The first lines of a text, and how many are left out."""
    rows = text.splitlines()
    return "\n".join(rows[:lines]), max(0, len(rows) - lines)


def _users(endpoint: Plain) -> str:
    if endpoint.get("exposure") == "public":
        return "anyone"
    if endpoint.get("exposure") == "host":
        return "its own host"
    return ", ".join(endpoint.get("consumers", ())) or "-"


def owner_text(owner: Plain) -> str:
    """Who is expected to hold a socket, in a few words."""
    process = owner.get("process") or []
    names = process if isinstance(process, list) else [process]
    container = owner.get("container") or {}
    text = "the kernel" if owner.get("kernel") else str(container.get("name") or "anybody")
    text = str(names[0]) if names else text
    return f"{text} ({owner['user']})" if owner.get("user") else text


def _how(entry: Plain, row: Plain) -> str:
    """How an endpoint was verified."""
    if entry["expect"] == "silent":
        return "no socket has the port" if row["ok"] else "a socket has the port"
    if not row["live"]:
        return "no socket was found"
    probe = entry.get("probe", "none")
    is_probed = row["ok"] and entry["expect"] == "bound" and probe != "none"
    return f"its socket, who holds it, {probe} probe" if is_probed else "its socket, who holds it"


def _at(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _size(megabytes: int) -> str:
    return f"{megabytes / 1024:.1f} GiB" if megabytes >= 1024 else f"{megabytes} MiB"  # noqa: PLR2004


def _firewall_text(firewall: Plain) -> str:
    wrong = len(firewall.get("missing", ())) + len(firewall.get("extra", ()))
    text = {
        "loaded": f"{counted(len(firewall.get('paths', ())), 'path')} open",
        "absent": "not loaded: open to all",
        "not in force": "loaded, but not in force",
        "not asked": "not asked",
    }.get(firewall.get("state", ""), "")
    return f"{text}, {wrong} of them wrong" if wrong else text
