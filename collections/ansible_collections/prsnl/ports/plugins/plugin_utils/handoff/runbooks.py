# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runbooks: what people who run a service have to know of it, found with its role or its entry."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.commands import (
    speaks_tls,
    unit_of,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    schema,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    source as yaml_source,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    RegistryError,
    report,
    shown,
)

FILE: t.Final = os.path.join("meta", "runbook.yml")
# Those of a runbook's keys that are texts, or lists of texts.
LISTS: t.Final = ("packages", "configuration", "data", "logs", "alerts")
TEXTS: t.Final = ("purpose", "start", "stop", "contact")
LOOPBACK: t.Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
# Every host that Ansible manages has Python, and not every one has curl.
_GET: t.Final = (
    "python3 -c 'import sys, urllib.request as r;"
    " print(r.build_opener().open(sys.argv[1]).read().decode())'"
)
_PLACEHOLDER: t.Final = re.compile(r"\{([a-z][a-z0-9_]*)\.(port|address|at|unit)\}")

# Gives the value of a text that may be a template; raises ValueError with the reason if it can't.
Template = t.Callable[[str], t.Any]
Plain = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Source:
    """The runbook of a role as it is written, and where."""

    role: str = ""
    file: str = ""
    data: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


def find_role(name: str, folders: t.Iterable[str]) -> str | None:
    """The folder of a role, in the first of the folders that has it."""
    paths = (os.path.join(folder, name) for folder in folders)
    return next((path for path in paths if os.path.isdir(path)), None)


def read(role: str, folder: str | None) -> Source:
    """The runbook of a role; empty if it has none. Raises RegistryError with every fault of it."""
    if folder is None:
        return Source()
    file = os.path.join(folder, FILE)
    try:
        with open(file, "rb") as stream:
            source = stream.read()
    except FileNotFoundError:
        return Source(role)
    except OSError as error:
        raise RegistryError(f"{shown(file)}: the runbook can't be read: {error.strerror}") from None
    data, faults = yaml_source.parse(source)
    if data is not None:
        faults += schema.runbook_schema().faults(data)
    if faults:
        raise RegistryError(report(file, faults, yaml_source.lines(source)))
    return Source(role, shown(file), data)


class Resolver:
    """Gives the values of a runbook's texts on a host.

    What has no value is None, and `unknown` says why. `endpoints` are those of the service in the
    host's plan, by their names.
    """

    def __init__(self, endpoints: t.Mapping[str, Plain], template: Template) -> None:
        self._endpoints = endpoints
        self._template = template
        self.unknown: list[str] = []

    def text(self, value: t.Any, where: str) -> str | None:
        """One text."""
        found = self.texts(value, where)
        return " ".join(found) if found else None

    def texts(self, value: t.Any, where: str) -> list[str]:
        """A list of texts, or one text, each of which may be a template for several."""
        result: list[str] = []
        for item in value if isinstance(value, list) else [value]:
            try:
                found = self._template(item)
                several = found if isinstance(found, (list, tuple)) else [found]
                result += [self._fill(str(one)) for one in several if one is not None]
            except ValueError as error:
                self.unknown.append(f"{where}: {error}")
        return [text for text in result if text]

    def whole(self, values: t.Sequence[str], where: str) -> list[str] | None:
        """A list of texts, of which none may be unknown."""
        before = len(self.unknown)
        found = self.texts(list(values), where)
        return found if len(self.unknown) == before else None

    def _fill(self, text: str) -> str:
        return _PLACEHOLDER.sub(self._value, text)

    def _value(self, match: re.Match[str]) -> str:
        entry = self.endpoint(match[1])
        address, port = reached_at(entry), str(entry["port"])
        if match[2] == "port":
            return port
        if match[2] == "unit":
            unit = unit_of(entry["owner"])
            if not unit:
                raise ValueError(f"the registry names no unit for {entry['id']}")
            return unit
        if match[2] == "address":
            return address
        return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

    def endpoint(self, name: str) -> Plain:
        """An endpoint in use; raises ValueError if this host has none of that name."""
        entry = self._endpoints.get(name)
        if entry is None or not entry["listen"]:
            raise ValueError(f"the endpoint {name} isn't in use on this host")
        return entry


def reached_at(entry: Plain) -> str:
    """The address at which an endpoint's own host reaches it."""
    first = str(entry["listen"][0])
    return LOOPBACK.get(first, first)


def resolve(
    service: str,
    source: Source,
    own: t.Mapping[str, t.Any],
    endpoints: t.Mapping[str, Plain],
    template: Template,
) -> Plain:
    """The runbook of a service with the values of a host, as plain data.

    `own` is what the registry says, which prevails and has no templates. `questions` in the result
    are what the host is to be asked.
    """
    by_role = Resolver(endpoints, template)
    by_registry = Resolver(endpoints, lambda text: text)
    result: Plain = {"role": source.role, "file": source.file, "declared": []}

    def origin(key: str) -> tuple[t.Any, Resolver]:
        return (own[key], by_registry) if key in own else (source.data.get(key), by_role)

    for key in (*TEXTS, *LISTS, "backup", "failures", "dashboards", "version", "health"):
        value, resolver = origin(key)
        if value is not None:
            result["declared"].append(key)
        if key in TEXTS:
            result[key] = resolver.text(value, key) or "" if value is not None else ""
        elif key in LISTS:
            result[key] = resolver.texts(value, key) if value is not None else []
        elif key == "backup":
            result[key] = _backup(value or {}, resolver)
        elif key == "failures":
            result[key] = [_failure(entry, resolver) for entry in value or []]
        elif key == "dashboards":
            result[key] = [
                {name: resolver.text(text, key) or "" for name, text in entry.items()}
                for entry in value or []
            ]
        else:
            result[key] = _question(service, key, value or {}, resolver)
    result["unknown"] = by_role.unknown + by_registry.unknown
    return result


def _backup(value: t.Mapping[str, t.Any], resolver: Resolver) -> Plain:
    return {
        "none": resolver.text(value.get("none", ""), "backup.none") or "",
        "how": resolver.text(value.get("how", ""), "backup.how") or "",
        "max_age_hours": value.get("max_age_hours", 0),
        **{
            key: resolver.texts(value[key], f"backup.{key}") if key in value else []
            for key in ("files", "make", "restore")
        },
    }


def _failure(entry: t.Mapping[str, t.Any], resolver: Resolver) -> Plain:
    where = f"failures: {entry['symptom']}"
    return {
        "symptom": resolver.text(entry["symptom"], where) or "",
        "cause": resolver.text(entry.get("cause", ""), where) or "",
        "commands": resolver.texts(entry["commands"], where),
        "remedy": resolver.text(entry.get("remedy", ""), where) or "",
    }


def _question(
    service: str, kind: str, value: t.Mapping[str, t.Any], resolver: Resolver
) -> Plain | None:
    """A question as the host is asked, and as a person would type it; None if there is none."""
    match = resolver.text(value["match"], f"{kind}.match") if "match" in value else ""
    question: Plain = {"id": f"{service}-{kind}", "service": service, "match": match or ""}
    if "command" in value:
        argv = resolver.whole(value["command"], f"{kind}.command")
        return {**question, "argv": argv, "shown": shlex.join(argv)} if argv else None
    if "http" not in value:
        return None
    try:
        entry = resolver.endpoint(value["http"]["endpoint"])
    except ValueError as error:
        resolver.unknown.append(f"{kind}.http: {error}")
        return None
    address, port, path = reached_at(entry), entry["port"], value["http"]["path"]
    tls = speaks_tls(entry)
    at = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    url = f"{'https' if tls else 'http'}://{at}{path}"
    return {
        **question,
        "http": {"address": address, "port": port, "path": path, "tls": tls},
        "status": value["http"].get("status", []),
        "shown": f"openssl s_client -brief -connect {at} < /dev/null" if tls else f"{_GET} {url}",
    }
