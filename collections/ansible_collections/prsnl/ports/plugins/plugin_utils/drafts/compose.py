# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A draft of a registry from Compose files: what their services publish."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.drafts.draft import Draft, Unsettled
from ansible_collections.prsnl.ports.plugins.plugin_utils.references import places, yaml_nodes
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.kinds.compose import Project
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import Hint, Scope
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import Part

_NOT_NAME: t.Final = re.compile(r"[^a-z0-9]+")
_ENVIRONMENT: t.Final = "development"
_EXCEPTION: t.Final = "As published by Compose, without a reason"


def name_of(text: str) -> str:
    """A text as the name of a service or an endpoint."""
    name = _NOT_NAME.sub("_", text.lower()).strip("_")
    return name if re.match("[a-z]", name) else f"service_{name}".rstrip("_")


def read(files: t.Mapping[str, str]) -> Draft:
    """The draft that Compose files give, by path."""
    return _Reader(files).draft()


class _Reader:
    def __init__(self, files: t.Mapping[str, str]) -> None:
        self._files = files
        self._project = Project()
        self._trees: dict[str, yaml_nodes.Tree] = {}
        self._unsettled: list[Unsettled] = []
        self._services: dict[str, dict[str, t.Any]] = {}
        self._owners: dict[tuple[int, str], str] = {}

    def draft(self) -> Draft:
        for path, text in self._files.items():
            try:
                tree = yaml_nodes.Tree(Part.whole(text))
            except ValueError as error:
                self._unsettled.append(Unsettled(path, 1, f"not YAML: {error}"))
                continue
            if self._project.add(path, tree):
                self._trees[path] = tree
            else:
                self._unsettled.append(Unsettled(path, 1, "no services of Compose in it"))
        for path, tree in self._trees.items():
            for name, node in self._project.services(path).items():
                for port in yaml_nodes.items(yaml_nodes.get(node, "ports")):
                    self._read(path, tree, name, port)
        first = next(iter(self._files), "")
        if self._services:
            ids = ", ".join(f"{s}.{e}" for s, v in self._services.items() for e in v["endpoints"])
            for message in (
                "nothing says on which hosts the services are; drafted: a group for each",
                f"nothing says which environment this is; drafted: {_ENVIRONMENT}",
                f"nothing says who may reach {ids}; drafted: as it is published, host for loopback"
                " addresses, else internal for the service itself",
            ):
                self._unsettled.append(Unsettled(first, 1, message))
        data = {
            "version": 1,
            "environments": {_ENVIRONMENT: "Imported from Compose"},
            "groups": {name: f"Hosts of {name}, as imported" for name in self._services},
            "services": self._services,
        }
        order = sorted(set(self._unsettled), key=lambda u: (u.file, u.line, u.message))
        return Draft(data, order)

    def _ask(self, path: str, line: int, message: str) -> None:
        self._unsettled.append(Unsettled(path, line, message))

    def _read(self, path: str, tree: yaml_nodes.Tree, name: str, port: yaml_nodes.Node) -> None:
        line = port.start_mark.line + 1
        address, published, target, protocol = _sides(tree, port)
        if not published:
            self._ask(path, line, f"{name} publishes {target or 'a port'} on a port that varies")
            return
        span, _names = places.number_in(published)
        number = places.port_of(published.at(span).string) if span else None
        if number is None:
            what = "a range" if places.range_of(published.string) else "a variable"
            self._ask(path, line, f"{name} publishes {what}: {published.string}")
            return
        if published.string != str(number):
            self._ask(path, line, f"{name} publishes {published.string}; drafted: its default")
        service = name_of(name)
        owner = self._owners.setdefault((number, protocol), service)
        if owner != service:
            self._ask(path, line, f"{name} publishes {number}, which {owner} has; left out")
            return
        entry = self._services.setdefault(service, self._service(path, name))
        if any(e["port"] == number for e in entry["endpoints"].values()):
            return
        endpoint: dict[str, t.Any] = {"port": number, "status": "alternative"}
        if protocol == "udp":
            endpoint["protocol"] = protocol
        if places.is_loopback(address) and address not in ("", "0.0.0.0", "::"):  # noqa: S104
            endpoint["exposure"] = "host"
        else:
            endpoint |= {"exposure": "internal", "consumers": [service]}
        entry["endpoints"]["main" if not entry["endpoints"] else f"port_{target}"] = endpoint

    def _service(self, path: str, name: str) -> dict[str, t.Any]:
        container = self._project.container(path, name)
        image = next((text for hint, text in container.names if hint is Hint.IMAGE), "")
        program = image.rpartition("/")[2].partition(":")[0] or name
        return {
            "description": f"{name}, from the image {image}" if image else f"{name}, built here",
            "hosts": name_of(name),
            "environments": [_ENVIRONMENT],
            "owner": {"process": re.sub(r"[\s/]", "-", program)},
            "endpoints": {},
        }


def _sides(tree: yaml_nodes.Tree, port: yaml_nodes.Node) -> tuple[str, Part | None, str, str]:
    """The address and the port that are published, the container's port, and the protocol."""
    if yaml_nodes.is_scalar(port):
        part = tree.part(port).unquoted()
        text, _slash, protocol = part.string.partition("/")
        part = part.at((part.start, part.start + len(text)))
        found = {scope: side for side, scope in places.sides(part)}
        outer = found.get(Scope.HOST)
        address = part.at((part.start, max(outer.start - 1, part.start))).string if outer else ""
        return address.strip("[]"), outer, found[Scope.CONTAINER].string, protocol or "tcp"
    outer = yaml_nodes.get(port, "published")
    return (
        yaml_nodes.scalar(yaml_nodes.get(port, "host_ip")),
        tree.part(outer).unquoted() if outer is not None else None,
        yaml_nodes.scalar(yaml_nodes.get(port, "target")),
        yaml_nodes.scalar(yaml_nodes.get(port, "protocol")) or "tcp",
    )
