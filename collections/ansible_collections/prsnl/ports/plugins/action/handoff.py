# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import re
import shlex
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff import folders, summary
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.compare import (
    Difference,
    compare,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.evidence import (
    CONTACT,
    SCHEMA,
    Evidence,
    Found,
    Place,
    build,
    dump,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.findings import state
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.page import Page
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.picture import draw
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.render import GUIDE, Templates
from ansible_collections.prsnl.ports.plugins.plugin_utils.plan.compute import (
    PlanError,
    Topology,
    compute_plan,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import leases, schema
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    RegistryError,
    near,
    shown,
)

display = Display()
Plain = dict[str, t.Any]
REQUIREMENTS: t.Final = ("healthy", "no_drift", "no_expired_lease", "runbooks", "contacts")
SPEC: t.Final[Plain] = {
    "folder": {"type": "path", "required": True},
    "templates": {"type": "path", "required": True},
    "title": {"type": "str", "default": "Handoff"},
    "facts": {"type": "dict", "default": {}},
    "verified": {"type": "dict", "default": {}},
    "evidence": {"type": "dict", "default": {}},
    "evidence_file": {"type": "path"},
    "compare": {"type": "path"},
    "service": {"type": "str"},
    "contacts": {"type": "dict", "default": {}},
    "require": {"type": "list", "elements": "str", "choices": list(REQUIREMENTS), "default": []},
    "commands": {"type": "dict", "default": {}},
    "certificate_days": {"type": "int", "default": 21},
    "disk_percent": {"type": "int", "default": 85},
    "memory_percent": {"type": "int", "default": 95},
    "secrets": {"type": "list", "elements": "path", "default": []},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Works on the controller only, from what tasks before it found."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: Plain | None = None) -> Plain:
        """The result of the task."""
        variables = task_vars or {}
        result: Plain = super().run(tmp, variables)
        _valid, arguments = self.validate_argument_spec(argument_spec=SPEC)
        try:
            result.update(self._hand_off(arguments, variables))
        except (OSError, RegistryError) as error:
            raise AnsibleActionFail(str(error)) from None
        return result

    def _hand_off(self, arguments: Plain, variables: Plain) -> Plain:
        file = arguments["evidence_file"]
        contacts = _contacts(arguments["contacts"])
        if file:
            data, text = folders.read(file)
            folder = os.path.dirname(os.path.abspath(file))
        else:
            raw = dump(self._gathered({**arguments, "contacts": contacts}, variables))
            raw = folders.without(raw, folders.secrets_below(arguments["secrets"]))
            data, text = json.loads(raw), raw.encode()
            folder = folders.folder_of(arguments["folder"], data, raw)
        evidence = Evidence(data)
        before, differences = self._before(arguments, evidence)
        page = Page(evidence, folders.digest(text), before, differences)
        service = arguments["service"]
        if service and service not in evidence.placed:
            raise AnsibleActionFail(
                f"service: found {service!r}, allowed are the services of these hosts:"
                f" {listed(evidence.placed, 'and') if evidence.placed else 'none'}"
                + near(service, evidence.placed)
            )
        templates = Templates(arguments["templates"])
        files = {} if file and service else _all_pages(templates, page)
        if service:
            files[f"{service}.html"] = templates.html(page.values(service), "")
        if not file:
            files[folders.EVIDENCE] = text.decode()
        changed = folders.write(folder, files, simulate=self._task.check_mode)
        # What is required is asked of old evidence too.
        required = arguments["require"] if file else data["settings"]["require"]
        unmet = {name: page.missing[name] for name in required if page.missing[name]}
        lines = summary.summary(evidence, page.findings, before, differences, unmet)
        start = os.path.join(folder, f"{service}.html" if service else "index.html")
        return {
            "changed": bool(changed),
            "folder": folder,
            "page": shown(start),
            "state": state(page.findings),
            "findings": [finding.as_dict() for finding in page.findings],
            "missing": page.missing,
            "unmet": [f"{name}: {text}" for name, texts in unmet.items() for text in texts],
            "differences": [
                {**dataclasses.asdict(difference), "what": difference.what}
                for difference in differences
            ],
            "summary": [list(line) for line in lines],
        }

    def _before(
        self, arguments: Plain, evidence: Evidence
    ) -> tuple[Evidence | None, list[Difference]]:
        """The handoff to compare with, and what differs from it."""
        if arguments["compare"]:
            before = Evidence(folders.read(arguments["compare"])[0])
            return before, compare(before, evidence)
        file = folders.last_before(arguments["folder"], evidence.data["generated"])
        if file is None:
            return None, []
        try:
            with open(file, "rb") as stream:
                before = Evidence(json.load(stream))
            return before, compare(before, evidence)
        except (AttributeError, KeyError, TypeError, ValueError):
            # Nobody has named it, so nothing depends on it.
            display.warning(f"{shown(file)} is no evidence that can be compared with")
            return None, []

    def _gathered(self, arguments: Plain, variables: Plain) -> Plain:
        registry = controller.current_registry()
        topology = controller.topology(variables)
        hostvars = variables["hostvars"]
        places = {
            name: _place(registry, topology, name, hostvars[name])
            for name in topology.groups["all"]
            # A host of the play without an environment is a mistake, others may have none.
            if hostvars[name].get("port_environment") or name in arguments["evidence"]
        }
        found = {
            name: Found(
                _unreachable(arguments["facts"].get(name) or {})
                or _unreachable(arguments["verified"].get(name) or {}),
                arguments["verified"].get(name) or {},
                arguments["evidence"].get(name) or {},
            )
            for name in places
            if name in arguments["evidence"]
        }
        now = datetime.datetime.now(tz=datetime.UTC)
        lease_file = os.path.join(os.path.dirname(registry.file), leases.NAME)
        hashes = {"ports": folders.digest(registry.source)}
        if os.path.exists(lease_file):
            with open(lease_file, "rb") as stream:
                hashes["leases"] = folders.digest(stream.read())
        return build(
            registry,
            places,
            found,
            title=arguments["title"],
            now=now,
            hashes=hashes,
            leases=_leases(registry.file, topology, list(places), now),
            contacts=arguments["contacts"],
            settings={
                key: arguments[key]
                for key in (
                    "require",
                    "commands",
                    "certificate_days",
                    "disk_percent",
                    "memory_percent",
                )
            },
        )


def _all_pages(templates: Templates, page: Page) -> dict[str, str]:
    values = page.values()
    with open(os.path.join(schema.DIRECTORY, SCHEMA), encoding="utf-8") as stream:
        text = stream.read()
    return {
        SCHEMA: text,
        "index.html": templates.html(values, draw(page.graph)),
        "handoff.md": templates.markdown(values),
        "ports.md": templates.markdown(values, GUIDE),
    }


def _unreachable(facts: t.Mapping[str, t.Any]) -> str:
    """Why a host wasn't reached, without what only Ansible's developers need."""
    if not facts.get("unreachable"):
        return ""
    return str(facts.get("msg") or "it can't be reached")


def _place(registry: t.Any, topology: Topology, name: str, variables: t.Any) -> Place:
    host = topology.hosts[name]
    plan: list[Plain] = []
    try:
        if host.environment:
            plan = compute_plan(registry, topology, name).as_dict()["endpoints"]
    except PlanError as error:
        raise AnsibleActionFail(str(error)) from None
    user = str(variables.get("ansible_user") or variables.get("ansible_ssh_user") or "")
    return Place(
        environment=host.environment,
        groups=sorted(g for g, hosts in topology.groups.items() if name in hosts and g != "all"),
        addresses=list(host.addresses),
        plan=plan,
        ssh=_ssh(name, user, variables),
        sudo=user != "root",
    )


def _ssh(name: str, user: str, variables: t.Any) -> str:
    """The words that log in to a host; empty where SSH isn't the way to it."""
    connection = str(variables.get("ansible_connection") or "ssh").rpartition(".")[2]
    if connection not in ("ssh", "smart", "paramiko", "paramiko_ssh"):
        return ""
    words = ["ssh"]
    for option in ("ansible_ssh_common_args", "ansible_ssh_extra_args"):
        # Paths below the project's folder are shown from there, as those of playbooks are.
        given = re.split(r"\s+", str(variables.get(option) or "").strip())
        words += [shown(word) if word.startswith(os.sep) else word for word in given]
    port = variables.get("ansible_port") or variables.get("ansible_ssh_port")
    if port:
        words += ["-p", str(port)]
    address = str(variables.get("ansible_host") or name)
    words.append(shlex.quote(f"{user}@{address}" if user else address))
    return " ".join(word for word in words if word)


def _leases(file: str, topology: Topology, hosts: list[str], now: datetime.datetime) -> list[Plain]:
    """Every lease of these hosts once, with the hosts that it is for."""
    found: dict[str, Plain] = {}
    for host in hosts:
        groups = {name for name, members in topology.groups.items() if host in members}
        for lease in leases.host_leases(file, host, groups, now):
            found.setdefault(lease["where"], {**lease, "hosts": []})["hosts"].append(host)
    return list(found.values())


def _contacts(given: Plain) -> Plain:
    for name, contact in given.items():
        unknown = (
            sorted(set(contact) - set(CONTACT)) if isinstance(contact, dict) else ["no mapping"]
        )
        if unknown:
            raise AnsibleActionFail(
                f"contacts: {name} has {listed(unknown)}, allowed are {listed(CONTACT)}"
            )
    return {
        name: {key: str(contact.get(key) or "") for key in CONTACT}
        for name, contact in given.items()
    }
