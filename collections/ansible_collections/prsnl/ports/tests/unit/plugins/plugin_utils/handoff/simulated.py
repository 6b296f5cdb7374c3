# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handoffs of hosts that don't exist: what port_verify and handoff_evidence would have found."""

from __future__ import annotations

import copy
import datetime
import json
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff import runbooks
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.evidence import (
    Evidence,
    Found,
    Place,
    build,
    dump,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.plan.compute import (
    Host,
    Topology,
    compute_plan,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import Registry

Plain = dict[str, t.Any]
NOW = datetime.datetime(2026, 11, 26, 1, 2, 3, tzinfo=datetime.UTC)
TIME = "2026-11-26T01:02:00Z"
COMMANDS = {"site": "ansible-playbook site.yml", "firewall": "ansible-playbook firewall.yml"}
SETTINGS: Plain = {
    "require": [],
    "commands": COMMANDS,
    "certificate_days": 21,
    "disk_percent": 85,
    "memory_percent": 95,
}
RUNBOOK: Plain = {
    "purpose": "It does what its name says",
    "packages": "{name}",
    "version": {"command": ["{name}", "--version"], "match": r"(\d\S*)"},
    "health": {"http": {"endpoint": "one", "path": "/health"}, "match": "ok"},
    "configuration": ["/etc/{name}/{name}.conf"],
    "data": "/var/lib/{name}",
    "backup": {
        "how": "Every night, by itself",
        "files": ["/var/backups/{name}/*.tar"],
        "max_age_hours": 26,
        "restore": ["systemctl stop {one.unit}", "tar -xf /var/backups/{name}/last.tar -C /"],
    },
    "failures": [
        {
            "symptom": "It is slow",
            "cause": "Its disk is full",
            "commands": ["df -h /var/lib/{name}", "uptime", "journalctl -u {one.unit} -n 20"],
            "remedy": "Enlarge it",
        }
    ],
    "dashboards": [{"title": "Hosts", "endpoint": "watch.one", "path": "/d/hosts"}],
    "alerts": ["EndpointDown"],
}
# Groups with the number of their hosts and services, and who uses the services.
GROUPS: dict[str, tuple[int, int, list[str]]] = {
    "web": (8, 5, []),
    "app": (18, 5, ["web"]),
    "data": (12, 5, ["app"]),
    "cache": (8, 5, ["app", "web"]),
    "ops": (4, 5, ["office"]),
}


def registry_data(groups: t.Mapping[str, tuple[int, int, list[str]]] | None = None) -> Plain:
    """A registry with two endpoints for each service of each group, and one that is everywhere."""
    groups = GROUPS if groups is None else groups
    services: Plain = {
        "watch": _service("watch", "all", 30_000, ["ops" if "ops" in groups else "office"], 1),
        "old": {
            "description": "What was there before",
            "hosts": "all",
            "environments": ["production"],
            "endpoints": {"sql": {"port": 5999, "status": "retired"}},
        },
        "nowhere": _service("nowhere", "nobody", 31_000, ["office"], 1),
    }
    services["watch"]["endpoints"]["one"]["probe"] = "http"
    for number, (group, (_hosts, count, users)) in enumerate(groups.items()):
        for index in range(count):
            name = f"{group}_{index}"
            port = 10_000 + number * 20 + index * 2
            services[name] = _service(name, group, port, users or ["office"], 2)
            if not users:
                services[name]["endpoints"]["one"] |= {"exposure": "public", "probe": "tls"}
                del services[name]["endpoints"]["one"]["consumers"]
    return {
        "version": 1,
        "environments": {"development": "A laptop", "production": "Servers"},
        "groups": {name: f"Hosts of {name}" for name in [*groups, "nobody"]},
        "networks": {"office": {"description": "The office", "cidrs": ["192.0.2.0/24"]}},
        "rules": {"first": "Here first"},
        "services": services,
        "decisions": [
            {"subject": "watch", "found": "Two ports", "settled": "One", "reason": "It is enough"}
        ],
        "history": [
            {
                "date": "2026-01-01",
                "what": "Start",
                "why": "To know them",
                "by": "Ada",
                "changes": [
                    {"endpoint": f"{name}.{key}", "to": e["port"], "status": e["status"]}
                    for name, service in services.items()
                    for key, e in service["endpoints"].items()
                ],
            }
        ],
    }


def _service(name: str, hosts: str, port: int, users: list[str], endpoints: int) -> Plain:
    return {
        "description": f"The service {name}",
        "hosts": hosts,
        "environments": ["production"],
        "owner": {"linux": {"process": [name], "user": name, "unit": [f"{name}.service"]}},
        "endpoints": {
            word: {
                "port": port + number,
                "status": "fixed",
                "exposure": "internal",
                "consumers": users,
            }
            for number, word in enumerate(("one", "two")[:endpoints])
        },
    }


class World:
    """A simulated site: its registry, its hosts, and what they would answer."""

    def __init__(self, data: Plain, hosts: t.Mapping[str, t.Sequence[str]]) -> None:
        """`hosts` has the hosts of each group."""
        self.registry: Registry = load.parse(json.dumps(data).encode(), "registry/ports.yml")
        every = sorted({name for names in hosts.values() for name in names})
        addresses = {
            name: (f"198.51.{100 + number // 250}.{number % 250 + 1}", f"2001:db8::{number + 1:x}")
            for number, name in enumerate(every)
        }
        self.topology = Topology(
            {"all": every, **hosts}, {name: Host("production", addresses[name]) for name in every}
        )
        self.places = {name: self._place(name) for name in every}
        self.found: dict[str, Found] = {name: self._found(name) for name in every}
        self.leases: list[Plain] = []
        self.contacts: Plain = {"default": {"name": "Ada", "phone": "1", "email": ""}}
        self.settings: Plain = copy.deepcopy(SETTINGS)

    def _place(self, name: str) -> Place:
        plan = compute_plan(self.registry, self.topology, name).as_dict()["endpoints"]
        groups = [g for g, hosts in self.topology.groups.items() if name in hosts and g != "all"]
        host = self.topology.hosts[name]
        return Place(
            host.environment, sorted(groups), list(host.addresses), plan, f"ssh {name}", True
        )

    def _found(self, name: str) -> Found:
        plan = self.places[name].plan
        services: dict[str, Plain] = {}
        for entry in plan:
            services.setdefault(entry["service"], {})[entry["name"]] = entry
        books = {service: self.book(service, own) for service, own in services.items()}
        return Found("", {"results": [_row(entry) for entry in plan]}, _evidence(plan, books))

    def book(self, service: str, endpoints: Plain) -> Plain:
        """The runbook of a service as its host has it."""
        if service == "old":
            return runbooks.resolve(service, runbooks.Source(), {}, endpoints, lambda text: text)
        source = runbooks.Source(service, f"roles/{service}/meta/runbook.yml", RUNBOOK)

        def template(text: str) -> str:
            return text.replace("{name}", service)

        return runbooks.resolve(service, source, {}, endpoints, template)

    def evidence(self, **changes: t.Any) -> Evidence:
        """What a handoff would have of it."""
        data = build(
            self.registry,
            self.places,
            self.found,
            **{
                "title": "Simulated",
                "now": NOW,
                "hashes": {"ports": "0123456789abcdef" * 4},
                "leases": self.leases,
                "contacts": self.contacts,
                "settings": self.settings,
                **changes,
            },
        )
        return Evidence(json.loads(dump(data)))

    def row(self, host: str, endpoint: str) -> Plain:
        """What port_verify found of an endpoint, to be changed."""
        rows = self.found[host].verify["results"]
        return t.cast("Plain", next(row for row in rows if row["id"] == endpoint))

    def facts(self, host: str) -> Plain:
        """What the host's own module returned, to be changed."""
        return t.cast("Plain", self.found[host].evidence)

    def stop(self, host: str, endpoint: str) -> None:
        """Nothing listens there any more, and its unit is down."""
        row = self.row(host, endpoint)
        row.update(live="", bound_by="", verdict="not bound", ok=False)
        row["messages"] = [f"nothing listens on {row['address']}."]
        unit = self.facts(host)["units"][f"{row['service']}.service"]
        unit.update(ActiveState="inactive", SubState="dead")

    def close(self, host: str, endpoint: str) -> None:
        """The first path to it is missing in the live firewall."""
        firewall = self.facts(host)["firewall"]
        path = next(path for path in firewall["paths"] if path["id"] == endpoint)
        firewall["paths"].remove(path)
        firewall["missing"].append(path)

    def lose(self, host: str, why: str = "Connection timed out") -> None:
        """The host can't be reached."""
        books = self.facts(host)["runbooks"]
        self.found[host] = Found(why, {"skipped": True}, {"unreached": "x", "runbooks": books})


def large(hosts: t.Mapping[str, tuple[int, int, list[str]]] | None = None) -> World:
    """A site of 50 hosts and 600 endpoints."""
    hosts = GROUPS if hosts is None else hosts
    names = {
        group: [f"{group}{number:02}" for number in range(1, count + 1)]
        for group, (count, _services, _users) in hosts.items()
    }
    return World(registry_data(hosts), names)


def scattered(hosts: int = 50, services: int = 600) -> World:
    """A site on which every endpoint is of another service, and every host has other ones."""
    data = registry_data({f"group_{number}": (1, 1, ["office"]) for number in range(services)})
    del data["services"]["watch"], data["services"]["old"]
    for service in data["services"].values():
        service["endpoints"].pop("two", None)
    (entry,) = data["history"]
    entry["changes"] = [
        change
        for change in entry["changes"]
        if (words := change["endpoint"].split("."))[0] in data["services"] and words[1] == "one"
    ]
    data["decisions"] = []
    places = {f"group_{number}": [f"host{number % hosts:02}"] for number in range(services)}
    return World(data, places)


def small() -> World:
    """A site of three hosts."""
    return large({"web": (1, 1, []), "data": (1, 2, ["web"]), "ops": (1, 1, ["office"])})


def _row(entry: Plain) -> Plain:
    silent = entry["expect"] == "silent"
    wanted = ", ".join(
        f"[{address}]:{entry['port']}" if ":" in address else f"{address}:{entry['port']}"
        for address in entry["listen"]
    )
    owner = f"{entry['service']} ({entry['service']})"
    return {
        "id": entry["id"],
        "service": entry["service"],
        "endpoint": entry["name"],
        "port": entry["port"],
        "protocol": entry["protocol"],
        "listen": entry["listen"],
        "address": wanted or str(entry["port"]),
        "registered": entry["status"] if silent else wanted,
        "configured": wanted,
        "live": wanted,
        "owner": "" if silent else owner,
        "bound_by": "" if silent else owner,
        "verdict": "silent" if silent else "ok",
        "ok": True,
        "messages": [],
    }


def _reading(kind: str, source: str, output: str, code: int | None = None) -> Plain:
    return {
        "kind": kind,
        "source": source,
        "output": output,
        "code": code,
        "fault": "",
        "cut": 0,
    }


def _evidence(plan: t.Sequence[Plain], books: Plain) -> Plain:
    used = [entry for entry in plan if entry["expect"] != "silent"]
    units = {
        f"{service}.service": {
            "Id": f"{service}.service",
            "ActiveState": "active",
            "SubState": "running",
            "UnitFileState": "enabled",
        }
        for service in {entry["service"]: None for entry in used}
    }
    paths = [
        {
            "source": source["cidr"],
            "destination": "::/0" if ":" in source["cidr"] else "0.0.0.0/0",
            "protocol": entry["protocol"],
            "port": entry["port"],
            "id": entry["id"],
        }
        for entry in used
        for source in entry["sources"]
    ]
    tls = [entry["id"] for entry in used if entry["probe"] == "tls"]
    readings = {
        "kernel": _reading("kernel", "uname -srm", "Linux 6.1.0 aarch64"),
        "release": _reading("file", "/etc/os-release", 'PRETTY_NAME="Debian 12"'),
        "uptime": _reading("file", "/proc/uptime", "100.0 90.0"),
        "memory": _reading("file", "/proc/meminfo", "MemTotal: 8\nMemAvailable: 4"),
        "disk-0": _reading("kernel", "statvfs(/)", "size 100 MiB, free 60 MiB, used 40 %"),
        "failed-units": _reading("command", "systemctl list-units --failed", "", 0),
        "units": _reading(
            "command",
            "systemctl show",
            "\n\n".join(
                "\n".join(f"{k}={v}" for k, v in fields.items()) for fields in units.values()
            ),
            0,
        ),
        "firewall": _reading(
            "command",
            "nft list table inet prsnl_ports",
            "\n".join(
                f"{p['source']} . {p['destination']} . 6 . {p['port']} : accept" for p in paths
            ),
            0,
        ),
        "packages": _reading("command", "dpkg-query -W", "\n".join(books), 0),
        "sockets": _reading(
            "kernel",
            "listening sockets",
            "\n".join(f"tcp [::]:{e['port']} {e['service']} pid=1 user=x" for e in used),
        ),
    }
    answers: Plain = {}
    backups: Plain = {}
    for service, book in books.items():
        for kind, text in (("version", "1.2.3"), ("health", "ok")):
            if book[kind]:
                name = f"{service}-{kind}"
                answers[name] = {"ok": True, "text": text, "reading": name}
                readings[name] = _reading("command", book[kind]["shown"], text, 0)
        if book["backup"]["files"]:
            name = f"backup-{service}"
            newest = "2026-11-25T22:00:00Z"
            backups[service] = {"count": 3, "newest": newest, "size": 5, "reading": name}
            readings[name] = _reading("files", "ls -lt", f"{newest} 5 /var/backups/x.tar")
    for name in tls:
        readings[f"certificate-{name}"] = _reading("tls", "openssl", "notAfter=Nov 26", 0)
    return {
        "time": TIME,
        "system": {
            "system": "Linux",
            "kernel": "6.1.0",
            "architecture": "aarch64",
            "release": "Debian 12",
            "booted": "2026-11-20T00:00:00Z",
        },
        "memory": {"total_mb": 8192, "available_mb": 4096, "reading": "memory"},
        "disks": [
            {
                "mount": "/",
                "paths": ["/"],
                "size_mb": 100,
                "free_mb": 60,
                "used_percent": 40,
                "read_only": False,
                "reading": "disk-0",
            }
        ],
        "units": units,
        "failed_units": [],
        "answers": answers,
        "packages": {
            service: {service: "1.2.3-1"} for service in books if books[service]["packages"]
        },
        "firewall": {
            "state": "loaded",
            "paths": paths,
            "missing": [],
            "extra": [],
            "edited": False,
            "reading": "firewall",
        },
        "certificates": {
            name: {"not_after": "2027-11-26T00:00:00Z", "reading": f"certificate-{name}"}
            for name in tls
        },
        "backups": backups,
        "readings": readings,
        "runbooks": books,
    }
