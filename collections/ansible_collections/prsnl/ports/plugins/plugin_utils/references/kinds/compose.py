# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compose files: what services publish, and what they connect to.

The right side of a mapping, `expose`, health checks and the names of services are a network of
their own: the registry governs what is published on the host.
"""

from __future__ import annotations

import dataclasses
import functools
import posixpath
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.references import (
    commands,
    places,
    yaml_nodes,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import (
    Hint,
    Inside,
    Mention,
    Name,
    Scope,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import word_set
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.places import Setting

_NAME: t.Final = re.compile(r"(?:docker-|podman-)?compose(?:[._-].+)?\.ya?ml", re.IGNORECASE)
_BASE: t.Final = re.compile(r"(?:docker-|podman-)?compose\.ya?ml", re.IGNORECASE)
_VARIABLE: t.Final = re.compile(r"\$\{?(\w+)")
_IMAGE_DEFAULT: t.Final = re.compile(r"\$\{\w+:?-([^${}]*)\}")
_HOST_AND_PORT: t.Final = re.compile(r"([\w.-]+):\$\{?(\w+)")
# What only a service of a Compose file has.
_KEYS: t.Final = word_set("image build extends ports container_name env_file")
# The last words of variables that set up a server, as those of PostgreSQL's image do.
_SERVER_WORDS: t.Final = word_set("password user db database pgdata")

_Entries = dict[str, yaml_nodes.Node]


def is_compose_name(path: str) -> bool:
    """Whether a file is a Compose file by its name."""
    return _NAME.fullmatch(posixpath.basename(path)) is not None


def services_of(root: yaml_nodes.Node) -> _Entries:
    """The services of a Compose file's root, also of the first format; empty if it is none."""
    top = dict(yaml_nodes.entries(root))
    if "apiVersion" in top or "jobs" in top:
        return {}
    found = top
    if "services" in top or "version" in top:
        found = dict(yaml_nodes.entries(top.get("services")))
    services = {name: node for name, node in found.items() if yaml_nodes.is_mapping(node)}
    if any(_KEYS & dict(yaml_nodes.entries(node)).keys() for node in services.values()):
        return services
    return {}


@dataclasses.dataclass(frozen=True)
class Container:
    """What a service of Compose is, from its own entry and those that it is merged with."""

    names: tuple[Name, ...]
    inside: Inside
    hosts: frozenset[str]


class Project:
    """The Compose files of a tree, so that what one says about a service is known in the others."""

    def __init__(self) -> None:
        self._files: dict[str, _Entries] = {}
        self._folders: dict[str, list[str]] = {}
        # The images that Dockerfiles of the tree begin with.
        self.bases: set[str] = set()

    def add(self, path: str, tree: yaml_nodes.Tree) -> bool:
        """Takes a file in; whether it is a Compose file."""
        services: _Entries = {}
        for root in tree.roots:
            services |= services_of(root)
        if services:
            self._files[path] = services
            folder = self._folders.setdefault(posixpath.dirname(path), [])
            folder.append(path)
            folder.sort(key=lambda p: (_BASE.fullmatch(posixpath.basename(p)) is None, p))
        return bool(services)

    def services(self, path: str) -> _Entries:
        """The services of a file."""
        return self._files.get(path, {})

    def __contains__(self, path: str) -> bool:
        return path in self._files

    @functools.cached_property
    def containers(self) -> dict[tuple[str, str], Container]:
        """The containers of all files, by file and service."""
        return {
            (path, service): self.container(path, service)
            for path, services in self._files.items()
            for service in services
        }

    @functools.cached_property
    def programs(self) -> frozenset[str]:
        """The names of the images that containers run, without their makers and versions."""
        names = [n for container in self.containers.values() for n in container.names]
        images = {text for hint, text in names if hint is Hint.IMAGE} | self.bases
        return frozenset(posixpath.basename(image).partition(":")[0] for image in images)

    @functools.cached_property
    def env_files(self) -> dict[str, Container]:
        """The containers that files of variables are given to."""
        found: dict[str, Container] = {}
        for (path, service), container in self.containers.items():
            node = self._files[path][service]
            for item in _env_files(yaml_nodes.get(node, "env_file")):
                file = posixpath.normpath(posixpath.join(posixpath.dirname(path), item))
                found.setdefault(file, container)
        return found

    def setting_of(self, program: str) -> Setting:
        """Where the configuration of a program is read: in a container if one runs it."""
        if program not in self.programs:
            return Setting()
        return Setting(inside=Inside.VENDOR, container=((Hint.IMAGE, program),))

    @functools.cached_property
    def hosts(self) -> frozenset[str]:
        """Every name under which containers reach each other."""
        hosts = (name for container in self.containers.values() for name in container.hosts)
        return frozenset(name.casefold() for name in hosts)

    def find(self, path: str, tree: yaml_nodes.Tree) -> t.Iterator[Mention]:
        """The ports of a file."""
        for name, node in self._files[path].items():
            yield from places.unique(_service(tree, node, self.container(path, name)))

    def variables(self, path: str, tree: yaml_nodes.Tree) -> t.Iterator[tuple[str, Mention]]:
        """The variables that a file gives ports with, and whose those ports are."""
        for name, node in self._files.get(path, {}).items():
            container = self.container(path, name)
            for port in yaml_nodes.items(yaml_nodes.get(node, "ports")):
                yield from _published(tree, port, container)
            if container.inside is not Inside.NOWHERE:
                environment = yaml_nodes.get(node, "environment")
                for variable in self._told(tree, environment):
                    yield variable, Mention(0, 0, Scope.CONTAINER)

    def _told(self, tree: yaml_nodes.Tree, environment: yaml_nodes.Node) -> t.Iterator[str]:
        """The variables by which a container is told the ports of other containers."""
        pairs = [
            (name, part.unquoted().string) for name, part in yaml_nodes.pairs(tree, environment)
        ]
        values = {places.flat(name): value for name, value in pairs}
        for name, value in pairs:
            for host, variable in _HOST_AND_PORT.findall(value):
                if host.casefold() in self.hosts:
                    yield variable
            if places.is_port_name(name):
                host = places.resolved(places.sibling_host(name, values), lambda _name: None)
                if host.casefold() in self.hosts:
                    yield from _VARIABLE.findall(value)

    def container(self, path: str, name: str) -> Container:
        """What a service of a file is."""
        related = [dict(yaml_nodes.entries(node)) for node in self._related(path, name)]

        def first(key: str) -> yaml_nodes.Node | None:
            return next((entries[key] for entries in related if key in entries), None)

        image = _IMAGE_DEFAULT.sub(r"\1", yaml_nodes.scalar(first("image")))
        mode = yaml_nodes.scalar(first("network_mode"))
        called = yaml_nodes.scalar(first("container_name"))
        names: list[Name] = [(Hint.IMAGE, image)] if image else []
        names += [(Hint.LABEL, label) for label in dict.fromkeys((name, called)) if label]
        for entries in related:
            names += [(Hint.ENVIRONMENT, key) for key in _server_variables(entries)]
        shared = mode.partition(":")[2] if mode.startswith("service:") else name
        if shared != name and shared in self._files.get(path, {}):
            # It has the network of another one, which may share its own in turn.
            other = dict(yaml_nodes.entries(self._files[path][shared]))
            names += [(Hint.IMAGE, yaml_nodes.scalar(other.get("image"))), (Hint.LABEL, shared)]
        hosts = {name, called, yaml_nodes.scalar(first("hostname"))}
        for _network, node in yaml_nodes.entries(first("networks")):
            aliases = yaml_nodes.get(node, "aliases")
            hosts |= {yaml_nodes.scalar(alias) for alias in yaml_nodes.scalars(aliases)}
        if mode == "host":
            return Container(tuple(names), Inside.NOWHERE, frozenset())
        inside = Inside.BUILT if first("build") is not None else Inside.VENDOR
        return Container(tuple(names), inside, frozenset(hosts - {""}))

    def _related(self, path: str, name: str) -> list[yaml_nodes.Node]:
        """The entries that a service is made of: its own, what it extends, those it overrides."""
        related: list[yaml_nodes.Node] = []
        folder = self._folders.get(posixpath.dirname(path), [])
        waiting = [(path, name), *((other, name) for other in folder if other != path)]
        seen: set[tuple[str, str]] = set()
        while waiting:
            place = waiting.pop(0)
            node = self._files.get(place[0], {}).get(place[1])
            if place in seen or node is None:
                continue
            seen.add(place)
            related.append(node)
            base = _extended(place[0], node)
            if base is not None:
                waiting.insert(0, base)
        # What extends it tells as well what it is for.
        for other in folder:
            for service, node in self._files[other].items():
                if (other, service) not in seen and _extended(other, node) in seen:
                    related.append(node)
        return related


def _extended(path: str, node: yaml_nodes.Node) -> tuple[str, str] | None:
    extends = yaml_nodes.get(node, "extends")
    if extends is None:
        return None
    if yaml_nodes.is_scalar(extends):
        return path, yaml_nodes.scalar(extends)
    file = yaml_nodes.scalar(yaml_nodes.get(extends, "file"))
    if file:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), file))
    return path, yaml_nodes.scalar(yaml_nodes.get(extends, "service"))


def _env_files(node: yaml_nodes.Node | None) -> list[str]:
    paths = [yaml_nodes.scalar(item) for item in yaml_nodes.scalars(node)]
    paths += [yaml_nodes.scalar(yaml_nodes.get(item, "path")) for item in yaml_nodes.items(node)]
    return [path for path in paths if path]


def _server_variables(entries: _Entries) -> list[str]:
    variables = entries.get("environment")
    keys = [key for key, _value in yaml_nodes.entries(variables)]
    keys += [yaml_nodes.scalar(item).partition("=")[0] for item in yaml_nodes.items(variables)]
    return [key for key in keys if not _SERVER_WORDS.isdisjoint(places.words_of(key)[-1:])]


def _published(
    tree: yaml_nodes.Tree, port: yaml_nodes.Node, container: Container
) -> t.Iterator[tuple[str, Mention]]:
    found = []
    if yaml_nodes.is_scalar(port):
        found = places.sides(tree.part(port).unquoted())
    elif yaml_nodes.get(port, "published") is not None:
        found = [(tree.part(yaml_nodes.get(port, "published")), Scope.HOST)]
    for side, scope in found:
        for variable in _VARIABLE.findall(side.string):
            yield variable, Mention(*side.span, scope, container.names)


def _service(
    tree: yaml_nodes.Tree, node: yaml_nodes.Node, container: Container
) -> t.Iterator[Mention]:
    entries = dict(yaml_nodes.entries(node))
    published = Setting(names=container.names)
    for port in yaml_nodes.items(entries.get("ports")):
        if yaml_nodes.is_scalar(port):
            yield from places.mapping(tree.part(port), published)
            continue
        protocol = yaml_nodes.scalar(yaml_nodes.get(port, "protocol"))
        for key, scope in (("published", Scope.HOST), ("target", Scope.CONTAINER)):
            for side in yaml_nodes.scalars(yaml_nodes.get(port, key)):
                part = tree.part(side).unquoted()
                yield from places.mapped(part, scope, published, protocol)
    for port in yaml_nodes.scalars(entries.get("expose")):
        for mention in places.mapping(tree.part(port), published):
            yield dataclasses.replace(mention, scope=Scope.CONTAINER)
    inside = Setting(inside=container.inside, container=container.names)
    for variables in (entries.get("environment"), yaml_nodes.get(entries.get("build"), "args")):
        yield from places.assignments(yaml_nodes.pairs(tree, variables), inside)
    for key in ("command", "entrypoint"):
        yield from _command(tree, entries.get(key), inside)
    if container.inside is not Inside.NOWHERE:
        inside = inside.also(inside=Inside.SERVER)
    yield from _command(tree, yaml_nodes.get(entries.get("healthcheck"), "test"), inside)


def _command(
    tree: yaml_nodes.Tree, node: yaml_nodes.Node | None, setting: Setting
) -> t.Iterator[Mention]:
    words = [tree.part(word).unquoted() for word in yaml_nodes.scalars(node)]
    kind = words[0].string if words else ""
    if yaml_nodes.is_scalar(node) or kind == "CMD-SHELL":
        for word in words:
            yield from commands.command(word, setting)
    else:
        yield from commands.argv(words[1:] if kind == "CMD" else words, setting)
