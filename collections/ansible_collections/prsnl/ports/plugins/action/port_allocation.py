# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import functools
import typing as t

from ansible.errors import AnsibleActionFail
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance import allocation, change
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.governance_action import (
    GovernanceAction,
    groups_of,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import leases, load
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import ALL_HOSTS, mapping
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.owners import SYSTEMS, owner_on


class ActionModule(GovernanceAction):
    """Allocates, moves and retires endpoints."""

    SPEC: t.ClassVar[dict[str, t.Any]] = {
        "endpoint": {"type": "str", "required": True},
        "state": {"type": "str", "choices": list(allocation.STATES), "default": "present"},
        "port": {"type": "int"},
        "status": {"type": "str", "choices": ["critical", "fixed", "alternative", "reserved"]},
        "reason": {"type": "str", "default": ""},
        "what": {"type": "str", "default": ""},
        "by": {"type": "str"},
        "reuse": {"type": "bool", "default": False},
        "exception": {"type": "str"},
        "description": {"type": "str"},
        "protocol": {"type": "str", "choices": ["tcp", "udp"]},
        "exposure": {"type": "str", "choices": ["host", "internal", "public"]},
        "consumers": {"type": "list", "elements": "str"},
        "addresses": {"type": "list", "elements": "str"},
        "environments": {"type": "list", "elements": "str"},
        "probe": {"type": "str", "choices": ["tcp", "http", "tls", "postgres", "redis", "none"]},
        "tls": {"type": "bool"},
        "metrics": {"type": "str"},
        "routes": {"type": "dict"},
        "browser_origin": {"type": "bool"},
        "owner": {"type": "dict"},
        "config": {"type": "list", "elements": "str"},
        "service": {
            "type": "dict",
            "options": {
                "description": {"type": "str"},
                "hosts": {"type": "str"},
                "environments": {"type": "list", "elements": "str"},
                "range": {"type": "str"},
                "replaces": {"type": "str"},
                "owner": {"type": "dict"},
            },
        },
        "listening": {"type": "str"},
    }

    def apply(self, arguments: dict[str, t.Any], variables: dict[str, t.Any]) -> change.Outcome:
        """Change the registry."""
        file = controller.registry_path()
        request = allocation.Request(
            arguments["state"],
            arguments["endpoint"],
            by=arguments.get("by") or change.author(file),
            definition={
                key: arguments[key]
                for key in allocation.KEYS
                if key in arguments and key not in ("port", "status", "exception")
            },
            **{
                key: arguments[key]
                for key in ("port", "status", "reason", "what", "reuse", "exception", "service")
                if key in arguments
            },
        )
        edit = functools.partial(
            self._allocate, request=request, variables=variables, name=arguments.get("listening")
        )
        return self.make(file, edit)

    def _allocate(
        self,
        source: bytes | None,
        request: allocation.Request,
        variables: dict[str, t.Any],
        name: str | None,
    ) -> change.Change:
        file = controller.registry_path()
        source = load.read(file).source if source is None else source
        around = allocation.Circumstances(
            leases=leases.read(leases.beside(file)),
            now=datetime.datetime.now(tz=datetime.UTC),
            groups=groups_of(variables),
            held=_held(source, file, request, variables, name) if name else {},
        )
        return allocation.allocate(source, file, request, around)


def _held(
    source: bytes,
    file: str,
    request: allocation.Request,
    variables: dict[str, t.Any],
    name: str,
) -> dict[tuple[str, int], str]:
    """Who listens on the hosts of the service, by what they have registered as `name`."""
    service = request.endpoint.partition(".")[0]
    services = mapping(load.parse(source, file).data["services"])
    data = services.get(service, request.service)
    group = data.get("hosts", "")
    hosts = variables["groups"].get(group, ())
    held: dict[tuple[str, int], str] = {}
    for host in hosts:
        known = variables["hostvars"][host].get(name)
        if not isinstance(known, t.Mapping) or "listeners" not in known:
            raise AnsibleActionFail(
                f"{host} wasn't asked, and what can't be seen isn't free: found no {name} of it"
                f" with listeners, allowed is what prsnl.ports.listening_ports_info registered on"
                f" {'every host' if group == ALL_HOSTS else f'every host of {group}'}"
            )
        for listener in known["listeners"]:
            process, user = listener["process"], listener["user"]
            if _is_own(request.definition.get("owner", data.get("owner")), listener):
                continue
            who = listener["container"] or process or "a process that can't be seen"
            by = f"{who} (user {user})" if user and not listener["container"] else who
            where = f"held on {host}, {listener['address']}, by {by}"
            held.setdefault((listener["protocol"], listener["port"]), where)
    return held


def _is_own(owner: t.Any, listener: t.Mapping[str, t.Any]) -> bool:
    """Whether an owner, of whatever system, holds a socket."""
    owners = [one for system in SYSTEMS if (one := owner_on(owner, system))]
    return any(
        listener["container"] == one.container
        if one.container
        else listener["process"] in one.process or listener["unit"] in one.unit
        for one in owners
    )
