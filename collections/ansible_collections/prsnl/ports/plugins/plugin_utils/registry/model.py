# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry as typed objects.

They are made from any data, also from faulty data: what has the wrong type becomes empty, zero or
None, so that the rules apply to the sound parts and say nothing about the others.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import source as yaml_source
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    Path,
    line_of,
    shown,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.owners import Owner, owner_on

ALL_HOSTS: t.Final = "all"
LAST_PORT: t.Final = 65535
EXPECT: t.Final = {
    "critical": "bound",
    "fixed": "bound",
    "alternative": "optional",
    "retired": "silent",
    "reserved": "silent",
}
# The statuses whose endpoints don't change without an entry in the history.
GUARDED: t.Final = frozenset(("critical", "fixed"))
# The probes of servers whose clients send passwords and data.
DATABASES: t.Final = frozenset(("postgres", "redis"))


@dataclasses.dataclass(slots=True)
class Endpoint:
    """A port of a service; `owner` is as the file has it, its service's where it has none."""

    service: str
    name: str
    description: str
    port: int
    protocol: str
    status: str
    exposure: str
    consumers: tuple[str, ...]
    addresses: tuple[str, ...]
    environments: tuple[str, ...]
    probe: str
    server_name: str | None
    device: str | None
    metrics: str | None
    routes: dict[str, str]
    browser_origin: bool
    exception: str | None
    owner: dict[str, t.Any] | None
    broadcast: bool = False
    tls: bool | None = None

    @property
    def id(self) -> str:
        """`service.name`."""
        return f"{self.service}.{self.name}"

    @property
    def path(self) -> Path:
        """Where it is in the file."""
        return ("services", self.service, "endpoints", self.name)

    @property
    def expect(self) -> str:
        """`bound`, `optional` or `silent`."""
        return EXPECT.get(self.status, "")

    @property
    def wants_tls(self) -> bool:
        """Whether other hosts come by TLS.

        Passwords and data of databases don't cross a network in the clear, unless the registry says
        so.
        """
        return self.probe in (DATABASES | {"tls"}) if self.tls is None else self.tls

    def owner_on(self, system: str) -> Owner | None:
        """Who is expected to hold it on a system, `linux` or `darwin`; None if nobody is."""
        return owner_on(self.owner, system)

    def as_dict(self, system: str) -> dict[str, t.Any]:
        """What is the same on every host of a system, as plain data, ready for JSON."""
        return {
            "id": self.id,
            "service": self.service,
            "name": self.name,
            "description": self.description,
            "port": self.port,
            "protocol": self.protocol,
            "status": self.status,
            "expect": self.expect,
            "exposure": self.exposure,
            "owner": (self.owner_on(system) or Owner()).as_dict(),
            "probe": self.probe,
            "server_name": self.server_name,
            "device": self.device,
            "metrics": self.metrics,
            "routes": dict(self.routes),
            "browser_origin": self.browser_origin,
            "broadcast": self.broadcast,
        }


@dataclasses.dataclass(slots=True)
class Service:
    """A named thing that owns endpoints and is placed on an inventory group."""

    name: str
    description: str
    hosts: str
    environments: tuple[str, ...]
    range: str | None
    owner: dict[str, t.Any] | None
    endpoints: tuple[Endpoint, ...]


@dataclasses.dataclass(slots=True)
class Protocol:
    """An IP protocol without ports that hosts receive; `protocol` is its name or number."""

    name: str
    protocol: str | int
    hosts: str
    environments: tuple[str, ...]
    exposure: str
    consumers: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Where it is in the file."""
        return ("protocols", self.name)


@dataclasses.dataclass(slots=True)
class Range:
    """A reserved range of ports, from first to last."""

    name: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.name} ({self.first}-{self.last})"


@dataclasses.dataclass(slots=True)
class HistoryChange:
    """The change of an endpoint in the history; `path` is where it is in the file."""

    path: Path
    date: str
    endpoint: str
    old: int | None
    new: int | None
    status: str | None


@dataclasses.dataclass(slots=True)
class Registry:
    """The whole registry: `data` is the plain data it was made from, and `source` its text."""

    file: str
    source: bytes
    data: dict[str, t.Any]
    services: dict[str, Service]
    endpoints: dict[str, Endpoint]
    networks: dict[str, tuple[str, ...]]
    protocols: dict[str, Protocol]
    ranges: list[Range]
    changes: list[HistoryChange]
    # The lines of paths, or else what they are found in.
    lines: t.Mapping[Path, int] | None = None

    @classmethod
    def from_data(cls, data: t.Any, file: str = "", source: bytes = b"") -> Registry:
        """The registry made of the sound parts of data."""
        data = mapping(data)
        services = {
            name: _service(name, mapping(service))
            for name, service in mapping(data.get("services")).items()
        }
        return cls(
            file=file,
            source=source,
            data=data,
            services=services,
            endpoints={e.id: e for service in services.values() for e in service.endpoints},
            networks={
                name: _texts(mapping(network).get("cidrs"))
                for name, network in mapping(data.get("networks")).items()
            },
            protocols={
                name: _protocol(name, mapping(value))
                for name, value in mapping(data.get("protocols")).items()
            },
            ranges=list(_ranges(mapping(data.get("ranges")))),
            changes=list(_changes(data.get("history"))),
        )

    def where(self, path: Path) -> str:
        """`file:line` of a path. It reads the text again, so it is for messages of faults."""
        if self.lines is None:
            self.lines = yaml_source.lines(self.source)
        return f"{shown(self.file)}:{line_of(self.lines, path)}"


def mapping(value: t.Any) -> dict[str, t.Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def _items(value: t.Any) -> list[t.Any]:
    return value if isinstance(value, list) else []


def _text(value: t.Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: t.Any) -> tuple[str, ...]:
    return tuple(_text(item) for item in _items(value))


def _port(value: t.Any) -> int:
    sound = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LAST_PORT
    return value if sound else 0


def _service(name: str, data: dict[str, t.Any]) -> Service:
    service = Service(
        name=name,
        description=_text(data.get("description")),
        hosts=_text(data.get("hosts")),
        environments=_texts(data.get("environments")),
        range=_text(data["range"]) if "range" in data else None,
        owner=mapping(data["owner"]) if "owner" in data else None,
        endpoints=(),
    )
    service.endpoints = tuple(
        _endpoint(service, endpoint, mapping(value))
        for endpoint, value in mapping(data.get("endpoints")).items()
    )
    return service


def _endpoint(service: Service, name: str, data: dict[str, t.Any]) -> Endpoint:
    protocol = _text(data.get("protocol", "tcp"))
    environments = data.get("environments")
    return Endpoint(
        service=service.name,
        name=name,
        description=_text(data.get("description")) or service.description,
        port=_port(data.get("port")),
        protocol=protocol,
        status=_text(data.get("status")),
        exposure=_text(data.get("exposure")),
        consumers=_texts(data.get("consumers")),
        addresses=_texts(data.get("addresses")),
        environments=_texts(environments) if "environments" in data else service.environments,
        probe=_text(data.get("probe", "tcp" if protocol == "tcp" else "none")),
        server_name=_text(data.get("server_name")) or None,
        device=_text(data.get("device")) or None,
        metrics=_text(data.get("metrics")) or None,
        routes=mapping(data.get("routes")),
        browser_origin=data.get("browser_origin") is True,
        exception=_text(data["exception"]) if "exception" in data else None,
        owner=mapping(data["owner"]) if "owner" in data else service.owner,
        broadcast=data.get("broadcast") is True,
        tls=data["tls"] if isinstance(data.get("tls"), bool) else None,
    )


def _protocol(name: str, data: dict[str, t.Any]) -> Protocol:
    value = data.get("protocol")
    return Protocol(
        name=name,
        protocol=value if isinstance(value, (str, int)) else "",
        hosts=_text(data.get("hosts")),
        environments=_texts(data.get("environments")),
        exposure=_text(data.get("exposure", "internal")),
        consumers=_texts(data.get("consumers")),
    )


def _ranges(data: dict[str, t.Any]) -> t.Iterator[Range]:
    for name, value in data.items():
        match = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", _text(mapping(value).get("ports")))
        if match:
            yield Range(name, int(match[1]), int(match[2]))


def _changes(history: t.Any) -> t.Iterator[HistoryChange]:
    for index, entry in enumerate(_items(history)):
        date = _text(mapping(entry).get("date"))
        for number, change in enumerate(_items(mapping(entry).get("changes"))):
            data = mapping(change)
            yield HistoryChange(
                path=("history", index, "changes", number),
                date=date,
                endpoint=_text(data.get("endpoint")),
                old=_port(data["from"]) if "from" in data else None,
                new=_port(data["to"]) if "to" in data else None,
                status=_text(data["status"]) if "status" in data else None,
            )
