# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes: what Services offer, what nodes open, and what containers connect to.

A container's port is its own. What a Service offers is what clients have to know, so the registry
governs it, as it governs what Compose publishes.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.references import (
    commands,
    places,
    yaml_nodes,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.kinds import settings
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import (
    Hint,
    Inside,
    Mention,
    Name,
    Scope,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import Part
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.places import Setting

_NO_TARGET: t.Final = "without targetPort it is the container's port as well"
_MAX_DEPTH: t.Final = 12
_PROBES: t.Final = ("livenessProbe", "readinessProbe", "startupProbe")

_Node = yaml_nodes.Node


def is_kubernetes(root: _Node) -> bool:
    """Whether a document describes an object of Kubernetes."""
    return {"apiVersion", "kind"} <= dict(yaml_nodes.entries(root)).keys()


def services(tree: yaml_nodes.Tree) -> t.Iterator[tuple[str, bool]]:
    """The names of Services, and whether each has ports of its own, apart from the containers'."""
    for node in _objects(tree):
        if _text(node, "kind") != "Service":
            continue
        ports = yaml_nodes.items(yaml_nodes.get(node, "spec", "ports"))
        own = all(yaml_nodes.get(port, "targetPort") is not None for port in ports)
        yield _text(node, "metadata", "name").casefold(), own and not _is_headless(node)


def find(tree: yaml_nodes.Tree) -> t.Iterator[Mention]:
    """The ports of objects."""
    for node in _objects(tree):
        kind = _text(node, "kind")
        if kind == "Service":
            yield from _service(tree, node)
        elif kind in ("ConfigMap", "Secret"):
            data = yaml_nodes.pairs(tree, yaml_nodes.get(node, "data"))
            data += yaml_nodes.pairs(tree, yaml_nodes.get(node, "stringData"))
            yield from places.assignments(data, Setting(inside=Inside.POD))
        elif kind == "Ingress":
            yield from _ingress(tree, node)
        else:
            pods = list(_pods(node, 0))
            label = (Hint.LABEL, _text(node, "metadata", "name"))
            for pod in pods:
                yield from _pod(tree, pod, label)
            if not pods:
                yield from _custom(tree, node, label)


def _text(node: _Node, *path: str) -> str:
    return yaml_nodes.scalar(yaml_nodes.get(node, *path))


def _objects(tree: yaml_nodes.Tree) -> t.Iterator[_Node]:
    for root in tree.roots:
        if _text(root, "kind").endswith("List"):
            yield from yaml_nodes.items(yaml_nodes.get(root, "items"))
        else:
            yield root


def _is_headless(node: _Node) -> bool:
    return _text(node, "spec", "clusterIP") == "None"


def _numbers(
    tree: yaml_nodes.Tree, port: _Node, scopes: t.Mapping[str, Scope], setting: Setting
) -> t.Iterator[Mention]:
    """The numbers of a port, each with its scope by its key."""
    protocol = _text(port, "protocol").lower()
    for key, scope in scopes.items():
        for node in yaml_nodes.scalars(yaml_nodes.get(port, key)):
            yield from places.mapped(tree.part(node).unquoted(), scope, setting, protocol)


def _service(tree: yaml_nodes.Tree, node: _Node) -> t.Iterator[Mention]:
    selector = yaml_nodes.entries(yaml_nodes.get(node, "spec", "selector"))
    labels = [_text(node, "metadata", "name"), *(yaml_nodes.scalar(v) for _k, v in selector)]
    names: list[Name] = [(Hint.LABEL, label) for label in labels]
    offered = Scope.CONTAINER if _is_headless(node) else Scope.CLUSTER
    for port in yaml_nodes.items(yaml_nodes.get(node, "spec", "ports")):
        around = (*names, (Hint.WORDS, _text(port, "name")))
        shared = yaml_nodes.get(port, "targetPort") is None and offered is Scope.CLUSTER
        doubt = _NO_TARGET if shared else ""
        yield from _numbers(tree, port, {"port": offered}, Setting(names=around, doubt=doubt))
        scopes = {"targetPort": Scope.CONTAINER, "nodePort": Scope.HOST}
        yield from _numbers(tree, port, scopes, Setting(names=around))


def _ingress(tree: yaml_nodes.Tree, node: _Node) -> t.Iterator[Mention]:
    backends = [yaml_nodes.get(node, "spec", "defaultBackend", "service")]
    for rule in yaml_nodes.items(yaml_nodes.get(node, "spec", "rules")):
        for path in yaml_nodes.items(yaml_nodes.get(rule, "http", "paths")):
            backends.append(yaml_nodes.get(path, "backend", "service"))
    for backend in backends:
        name = _text(backend, "name")
        setting = Setting(names=((Hint.LABEL, name),))
        port = yaml_nodes.get(backend, "port")
        for mention in _numbers(tree, port, {"number": Scope.CLIENT}, setting):
            yield dataclasses.replace(mention, host=name, inside=Inside.POD)


def _pods(node: _Node, depth: int) -> t.Iterator[_Node]:
    """The specifications of pods below a node."""
    for key, child in yaml_nodes.entries(node) if depth < _MAX_DEPTH else ():
        if key == "spec" and yaml_nodes.get(child, "containers") is not None:
            yield child
        elif yaml_nodes.is_mapping(child):
            yield from _pods(child, depth + 1)


def _identity(container: _Node) -> tuple[Name, ...]:
    return (Hint.IMAGE, _text(container, "image")), (Hint.LABEL, _text(container, "name"))


def _pod(tree: yaml_nodes.Tree, spec: _Node, label: Name) -> t.Iterator[Mention]:
    on_host = _text(spec, "hostNetwork") == "true"
    containers = [
        container
        for key in ("containers", "initContainers")
        for container in yaml_nodes.items(yaml_nodes.get(spec, key))
    ]
    # The containers of a pod share its loopback interface.
    everybody = tuple(name for container in containers for name in _identity(container))
    for container in containers:
        identity = _identity(container)
        scopes = {
            "hostPort": Scope.HOST,
            "containerPort": Scope.HOST if on_host else Scope.CONTAINER,
        }
        for port in yaml_nodes.items(yaml_nodes.get(container, "ports")):
            yield from _numbers(tree, port, scopes, Setting(names=(*identity, label)))
        inside = Setting(container=identity)
        if not on_host:
            inside = Setting(inside=Inside.POD, container=everybody)
        yield from _started(tree, container, inside)


def _started(tree: yaml_nodes.Tree, container: _Node, inside: Setting) -> t.Iterator[Mention]:
    """What a container is started with, and how it is asked whether it lives."""
    pairs: list[tuple[str, Part]] = []
    for item in yaml_nodes.items(yaml_nodes.get(container, "env")):
        for value in yaml_nodes.scalars(yaml_nodes.get(item, "value")):
            pairs.append((_text(item, "name"), tree.part(value)))
    yield from places.assignments(pairs, inside)
    words = [
        tree.part(word)
        for key in ("command", "args")
        for word in yaml_nodes.scalars(yaml_nodes.get(container, key))
    ]
    yield from commands.argv(words, inside)
    if inside.inside is Inside.POD:
        inside = inside.also(inside=Inside.SERVER)
    for probe in _PROBES:
        words = yaml_nodes.scalars(yaml_nodes.get(container, probe, "exec", "command"))
        yield from commands.argv([tree.part(word) for word in words], inside)


def _custom(tree: yaml_nodes.Tree, node: _Node, label: Name) -> t.Iterator[Mention]:
    """What an object of another kind says; whether that reaches a host nobody knows here."""
    doubt = "nothing says what this object opens"
    yield from settings.find_node(tree, node, Setting(names=(label,), doubt=doubt))
