# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A draft of a registry from what a host listens on, as `listening_ports_info` returns it."""

from __future__ import annotations

import re
import typing as t

import yaml
from ansible_collections.prsnl.ports.plugins.plugin_utils.drafts.compose import name_of
from ansible_collections.prsnl.ports.plugins.plugin_utils.drafts.draft import Draft, Unsettled
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.addresses import is_loopback
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    RegistryError,
    found,
    shown,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.owners import is_of_the_system

_ENVIRONMENT: t.Final = "live"

# What the command `ansible` prints before a result, which is JSON or YAML as it is configured.
_AD_HOC: t.Final = re.compile(r"\s*\S+ \| (?:SUCCESS|CHANGED) => ")

_Listener = dict[str, t.Any]


def is_result(text: str) -> bool:
    """Whether a text looks like what a host listens on."""
    return bool(_AD_HOC.match(text)) or text.lstrip()[:1] in ("{", "[")


def read(text: str, file: str) -> Draft:
    """The draft that a host's sockets give.

    Raises RegistryError if the text isn't a result as JSON or YAML, as a task registers it or the
    command `ansible` prints it for one host, or its `listeners`.
    """
    listeners, unseen = _listeners(text, file)
    services: dict[str, dict[str, t.Any]] = {}
    unsettled = [Unsettled(file, 1, unseen)] if unseen else []
    owners: dict[tuple[int, str], str] = {}
    for listener in listeners:
        port, protocol = listener["port"], listener.get("protocol", "tcp")
        address = str(listener.get("address", ""))
        where = f"{port}/{protocol} on {address}"
        if listener.get("process") is None and listener.get("container") is None:
            message = f"nothing says who listens on {where}: read the sockets with become: true"
            unsettled.append(Unsettled(file, 1, message))
            continue
        name = _name(listener)
        owner = owners.setdefault((port, protocol), name)
        if owner != name:
            message = f"{name} listens on {where}, which {owner} has on another address; left out"
            unsettled.append(Unsettled(file, 1, message))
            continue
        _add(services, name, listener, port, protocol)
    for name, service in services.items():
        if service["owner"].get("system"):
            message = f"{name} is of the system itself; does it belong into the registry?"
            unsettled.append(Unsettled(file, 1, message))
        for id_, endpoint in service["endpoints"].items():
            if endpoint["exposure"] == "internal":
                message = (
                    f"{name}.{id_} ({endpoint['port']}) can be reached from other hosts, and"
                    f" nothing says who may; drafted: {name} itself"
                )
                unsettled.append(Unsettled(file, 1, message))
    data = {
        "version": 1,
        "environments": {_ENVIRONMENT: "What a host listened on when it was imported"},
        "groups": {name: f"Hosts of {name}, as imported" for name in services},
        "services": services,
    }
    return Draft(data, unsettled)


def _listeners(text: str, file: str) -> tuple[list[_Listener], str]:
    """The sockets by port, and what could not be seen."""
    try:
        # JSON is YAML, too.
        data = yaml.safe_load(_AD_HOC.sub("", text, count=1))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RegistryError(
            f"{shown(file)}:1: found neither JSON nor YAML, allowed is a result of"
            f" prsnl.ports.listening_ports_info ({' '.join(str(error).split())})"
        ) from error
    listeners = data.get("listeners") if isinstance(data, dict) else data
    if not isinstance(listeners, list) or not all(
        isinstance(one, dict) and isinstance(one.get("port"), int) for one in listeners
    ):
        raise RegistryError(
            f"{shown(file)}:1: found {found(data)}, allowed is a result of"
            " prsnl.ports.listening_ports_info, or its listeners"
        )
    unseen = str(data.get("unseen") or "") if isinstance(data, dict) else ""
    return sorted(listeners, key=lambda one: (one["port"], str(one.get("protocol")))), unseen


def _name(listener: _Listener) -> str:
    """What the service is called: its container, its unit or its process."""
    unit = str(listener.get("unit") or "")
    stem = re.sub(r"\.(service|socket|scope)$", "", unit).partition("@")[0]
    if unit.endswith(".scope") or stem.startswith(("user", "session")):
        stem = ""
    return name_of(str(listener.get("container") or stem or listener.get("process")))


def _add(
    services: dict[str, dict[str, t.Any]],
    name: str,
    listener: _Listener,
    port: int,
    protocol: str,
) -> None:
    process = str(listener.get("process") or listener.get("container"))
    owner: dict[str, t.Any] = {"process": re.sub(r"[\s/]", "-", process)}
    for key in ("user", "unit"):
        if listener.get(key):
            owner[key] = str(listener[key])
    if is_of_the_system(owner.get("unit", "")):
        owner["system"] = True
    service = services.setdefault(
        name,
        {
            "description": f"{process}, as it was found",
            "hosts": name,
            "environments": [_ENVIRONMENT],
            "owner": owner,
            "endpoints": {},
        },
    )
    endpoints = service["endpoints"]
    same = [
        e for e in endpoints.values() if (e["port"], e.get("protocol", "tcp")) == (port, protocol)
    ]
    endpoint = same[0] if same else {"port": port}
    if not same:
        suffix = "" if protocol == "tcp" else f"_{protocol}"
        endpoints["main" if not endpoints else f"port_{port}{suffix}"] = endpoint
        if protocol != "tcp":
            endpoint["protocol"] = protocol
        endpoint |= {"status": "alternative", "exposure": "host"}
    if not is_loopback(str(listener.get("address", ""))):
        endpoint |= {"exposure": "internal", "consumers": [name]}
