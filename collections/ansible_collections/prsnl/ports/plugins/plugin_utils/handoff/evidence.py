# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence of a handoff: what the registry says and what the hosts answered, as plain data.

It is all that the page is made of, so the same evidence gives the same page.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import schema
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    RegistryError,
    report,
    shown,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import Registry
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.owners import LINUX

VERSION: t.Final = 1
SCHEMA: t.Final = "evidence.schema.json"
# What is known of somebody who can be called.
CONTACT: t.Final = ("name", "phone", "email", "chat", "hours")
# How the lab's stand-ins call themselves in their versions.
STAND_IN: t.Final = "standin"
VERIFY: t.Final = "verify"
# What a host's own module returns, and the evidence keeps as it is.
FACTS: t.Final[t.Mapping[str, t.Any]] = {
    "system": {},
    "memory": {},
    "disks": [],
    "units": {},
    "failed_units": [],
    "answers": {},
    "packages": {},
    "firewall": {},
    "certificates": {},
    "backups": {},
}

Plain = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Place:
    """A host as the inventory has it. `plan` has its endpoints, `ssh` the words that log in."""

    environment: str
    groups: t.Sequence[str]
    addresses: t.Sequence[str]
    plan: t.Sequence[Plain]
    ssh: str
    sudo: bool


@dataclasses.dataclass(frozen=True)
class Found:
    """What was found on a host: the results of port_verify and of handoff_evidence.

    `unreachable` is why nobody reached it, empty if somebody did.
    """

    unreachable: str = ""
    verify: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    evidence: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


def build(
    registry: Registry,
    places: t.Mapping[str, Place],
    found: t.Mapping[str, Found],
    *,
    title: str,
    now: datetime.datetime,
    hashes: t.Mapping[str, str],
    leases: t.Sequence[Plain],
    contacts: t.Mapping[str, t.Any],
    settings: t.Mapping[str, t.Any],
) -> Plain:
    """The evidence of a handoff.

    `hashes` are the SHA-256 of the files `ports` and `leases`. A host of `places` that isn't in
    `found` was not looked at.
    """
    return {
        "$schema": SCHEMA,
        "version": VERSION,
        "title": title,
        "generated": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "registry": {
            "file": shown(registry.file),
            "sha256": hashes["ports"],
            "leases_sha256": hashes.get("leases", ""),
            **{
                key: registry.data.get(key) or empty
                for key, empty in (
                    ("environments", {}),
                    ("networks", {}),
                    ("ranges", {}),
                    ("rules", {}),
                    ("decisions", []),
                    ("history", []),
                )
            },
            "services": {
                name: {
                    "description": service.description,
                    "hosts": service.hosts,
                    "environments": list(service.environments),
                    "range": service.range or "",
                }
                for name, service in registry.services.items()
            },
            "endpoints": [
                {
                    **endpoint.as_dict(LINUX),
                    "owner": endpoint.owner or {},
                    "consumers": list(endpoint.consumers),
                    "environments": list(endpoint.environments),
                    "exception": endpoint.exception or "",
                }
                for endpoint in registry.endpoints.values()
            ],
        },
        "leases": list(leases),
        "contacts": dict(contacts),
        "settings": dict(settings),
        "hosts": {name: _host(place, found.get(name)) for name, place in sorted(places.items())},
    }


def _host(place: Place, found: Found | None) -> Plain:
    host: Plain = {
        **dataclasses.asdict(place),
        "looked": found is not None,
        "reached": False,
        "fault": "",
        "time": "",
        "results": [],
        "unregistered": [],
        "configuration": [],
        "runbooks": {},
        "readings": {},
        **FACTS,
    }
    if found is None:
        return host
    evidence, verify = found.evidence, found.verify
    host["runbooks"] = evidence.get("runbooks", {})
    host["fault"] = _fault(found)
    host["reached"] = "readings" in evidence or "results" in verify
    if "readings" in evidence:
        host.update({key: evidence.get(key, empty) for key, empty in FACTS.items()})
        host["time"] = evidence["time"]
        host["readings"] = dict(evidence["readings"])
    if "results" in verify:
        host["results"] = verify["results"]
        host["unregistered"] = verify.get("unregistered", [])
        host["configuration"] = verify.get("configuration", [])
        host["readings"][VERIFY] = _verify_reading(host)
    return host


def _fault(found: Found) -> str:
    """Why something of a host isn't known; empty if all is."""
    unreached = found.unreachable or found.evidence.get("unreached")
    if unreached:
        return " ".join(str(unreached).split())
    for name, result, sign in (
        ("port_verify", found.verify, "results"),
        ("handoff_evidence", found.evidence, "readings"),
    ):
        if sign not in result:
            return f"{name}: {' '.join(str(result.get('msg', 'no result')).split())}"
    return ""


def _verify_reading(host: Plain) -> Plain:
    """What port_verify said, a line for each endpoint and for each stranger."""
    lines = []
    for row in host["results"]:
        facts = [
            f"registered {row['registered']}",
            *(f"{label} {row[key]}" for label, key in _VERIFY_FACTS if row.get(key)),
        ]
        lines.append(f"{row['id']} {row['port']}/{row['protocol']}: {row['verdict']}; ")
        lines[-1] += "; ".join(facts)
        lines += [f"  {message}" for message in row["messages"]]
    lines += [row["message"] for row in host["unregistered"]]
    lines += host["configuration"]
    return {
        "kind": "module",
        "source": "prsnl.ports.port_verify",
        "output": "\n".join(lines),
        "code": None,
        "fault": "",
        "cut": 0,
    }


_VERIFY_FACTS: t.Final = (
    ("configured", "configured"),
    ("live", "live"),
    ("held by", "bound_by"),
    ("expected", "owner"),
)


def dump(evidence: Plain) -> str:
    """The text of evidence.json: ASCII, so that no terminal shows anything but what it says."""
    return json.dumps(evidence, indent=1) + "\n"


def load(text: bytes, file: str) -> Plain:
    """The evidence of a file. Raises RegistryError with everything that is wrong with it."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise RegistryError(f"{shown(file)}: not the evidence of a handoff: {error}") from None
    faults = list(schema.evidence_schema().faults(data))
    if faults:
        raise RegistryError(report(file, faults, {}))
    return t.cast("Plain", data)


class Evidence:
    """Evidence, to be asked questions. `data` is what `build` returned."""

    def __init__(self, data: Plain) -> None:
        self.data = data
        self.registry: Plain = data["registry"]
        self.hosts: dict[str, Plain] = data["hosts"]
        self.settings: Plain = data["settings"]

    @functools.cached_property
    def time(self) -> datetime.datetime:
        """When it was gathered."""
        return parse_time(self.data["generated"])

    @functools.cached_property
    def endpoints(self) -> dict[str, Plain]:
        """Every registered endpoint, by id."""
        return {endpoint["id"]: endpoint for endpoint in self.registry["endpoints"]}

    @functools.cached_property
    def of_service(self) -> dict[str, list[Plain]]:
        """The registered endpoints of each service, by its name."""
        found: dict[str, list[Plain]] = {name: [] for name in self.registry["services"]}
        for endpoint in self.registry["endpoints"]:
            found.setdefault(endpoint["service"], []).append(endpoint)
        return found

    @functools.cached_property
    def consumed(self) -> dict[str, list[Plain]]:
        """The endpoints that each service, group or network may reach, by its name."""
        found: dict[str, list[Plain]] = {}
        for endpoint in self.registry["endpoints"]:
            for consumer in endpoint["consumers"]:
                found.setdefault(consumer, []).append(endpoint)
        return found

    @functools.cached_property
    def placed(self) -> dict[str, list[str]]:
        """The hosts that serve each service, by name; services without hosts are left out."""
        found: dict[str, dict[str, None]] = {}
        for name, host in self.hosts.items():
            for entry in host["plan"]:
                if entry["expect"] != "silent":
                    found.setdefault(entry["service"], {})[name] = None
        return {service: list(hosts) for service, hosts in sorted(found.items())}

    @functools.cached_property
    def unplaced(self) -> list[Plain]:
        """The registered endpoints that are in no host's plan."""
        used = {entry["id"] for host in self.hosts.values() for entry in host["plan"]}
        return [endpoint for endpoint in self.endpoints.values() if endpoint["id"] not in used]

    @functools.cached_property
    def dependents(self) -> dict[str, set[str]]:
        """The services that need each service, directly or not."""
        services = self.registry["services"]
        of_group: dict[str, set[str]] = {}
        for name, service in services.items():
            of_group.setdefault(service["hosts"], set()).add(name)
        direct: dict[str, set[str]] = {}
        for endpoint in self.endpoints.values():
            users = direct.setdefault(endpoint["service"], set())
            for consumer in endpoint["consumers"]:
                users.update({consumer} if consumer in services else of_group.get(consumer, ()))
        found = {}
        for name, users in direct.items():
            seen: set[str] = set()
            ahead = list(users)
            while ahead:
                user = ahead.pop()
                if user not in seen and user != name:
                    seen.add(user)
                    ahead += direct.get(user, ())
            found[name] = seen
        return found

    def result(self, host: str, endpoint: str) -> Plain | None:
        """What port_verify found of an endpoint; None if nothing is known."""
        return self._results.get((host, endpoint))

    @functools.cached_property
    def _results(self) -> dict[tuple[str, str], Plain]:
        return {
            (name, row["id"]): row for name, host in self.hosts.items() for row in host["results"]
        }

    def peer(self, cidr: str) -> str:
        """Who comes from an address: a host, `anyone`, a network of the registry, or the CIDR."""
        return self._peers.get(cidr, cidr)

    @functools.cached_property
    def _peers(self) -> dict[str, str]:
        peers = {"0.0.0.0/0": "anyone", "::/0": "anyone"}
        for name, network in self.registry["networks"].items():
            peers.update(dict.fromkeys(network["cidrs"], name))
        for name, host in self.hosts.items():
            for address in host["addresses"]:
                peers[f"{address}/{128 if ':' in address else 32}"] = name
        return peers

    def runbook(self, service: str) -> tuple[str, Plain]:
        """The runbook of a service as the first of its hosts has it that knows most; and the host.

        Empty for a service without hosts.
        """
        books = [
            (len(book["unknown"]), not self.hosts[host]["reached"], number, host, book)
            for number, host in enumerate(self.placed.get(service, ()))
            if (book := self.hosts[host]["runbooks"].get(service))
        ]
        if not books:
            return (self.placed.get(service) or [""])[0], {}
        *_rank, host, book = min(books, key=lambda entry: entry[:3])
        return host, book

    def contact(self, service: str) -> Plain | None:
        """Whom to call about a service; None if nobody is set."""
        contacts = self.data["contacts"]
        _host, book = self.runbook(service)
        for name in (service, book.get("contact", ""), "default"):
            if name and contacts.get(name):
                return {key: contacts[name].get(key, "") for key in CONTACT}
        return None

    def stand_ins(self) -> list[tuple[str, str, str, str]]:
        """Host, service, version and reading of everything that only stands in for a program."""
        found = []
        for name, host in self.hosts.items():
            for service in {entry["service"]: None for entry in host["plan"]}:
                packages = host["packages"].get(service, {})
                version = host["answers"].get(f"{service}-version", {})
                texts = [f"{package} {text}" for package, text in packages.items()]
                if any(STAND_IN in text for text in texts):
                    text = next(text for text in texts if STAND_IN in text)
                    found.append((name, service, text, "packages"))
                elif STAND_IN in version.get("text", ""):
                    found.append((name, service, version["text"], version["reading"]))
        return found


def parse_time(text: str) -> datetime.datetime:
    """A time of the evidence. Raises ValueError if it isn't one."""
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)
