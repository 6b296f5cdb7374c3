# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML as nodes that know their places in the text."""

from __future__ import annotations

import typing as t

import yaml
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import Part

_Base: t.Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_MERGE: t.Final = "<<"
_MAX_DEPTH: t.Final = 64
# libyaml's composer calls itself for every level, until the stack ends and the process with it.
_MAX_COMPOSED: t.Final = 200
# What aliases may make of a file. A large one that somebody wrote has a tenth of it.
_MAX_NODES: t.Final = 500_000

Node = t.Any


class _Loader(_Base):  # type: ignore[misc]
    _depth = 0

    def descend_resolver(self, current_node: Node, current_index: Node) -> None:
        self._depth += 1
        if self._depth > _MAX_COMPOSED:
            message = f"found more than {_MAX_COMPOSED} levels"
            raise yaml.MarkedYAMLError(problem=message, problem_mark=current_node.start_mark)

    def ascend_resolver(self) -> None:
        self._depth -= 1


class Tree:
    """The documents of a YAML text, or of a part of one."""

    def __init__(self, part: Part) -> None:
        """Raises ValueError if the text isn't YAML."""
        self._part = part
        try:
            documents = yaml.compose_all(part.string, _Loader)
            self.roots: list[Node] = [node for node in documents if node is not None]
        except (yaml.YAMLError, RecursionError) as error:
            raise ValueError(str(error)) from error
        if "*" in part.string and sum(map(_Sizes().of, self.roots)) > _MAX_NODES:
            raise ValueError("its aliases make too much of it")

    def part(self, node: Node) -> Part:
        """A node as it is in the text, with its quotes."""
        start = self._part.start
        return self._part.at((start + node.start_mark.index, start + node.end_mark.index))


class _Sizes:
    """How many nodes a node is with its aliases written out; within itself it is too many."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}

    def of(self, node: Node) -> int:
        """The number of a node."""
        known = self._known.get(id(node))
        if known is None:
            self._known[id(node)] = _MAX_NODES + 1
            below: t.Iterable[Node] = ()
            if isinstance(node, yaml.MappingNode):
                below = (one for pair in node.value for one in pair)
            elif isinstance(node, yaml.SequenceNode):
                below = node.value
            known = self._known[id(node)] = 1 + sum(map(self.of, below))
        return known


def entries(node: Node) -> list[tuple[str, Node]]:
    """The entries of a mapping, with those that it merges (`<<`); its own ones prevail."""
    found: dict[str, Node] = {}
    _collect(node, found, 0)
    return list(found.items())


def _collect(node: Node, found: dict[str, Node], depth: int) -> None:
    if not isinstance(node, yaml.MappingNode) or depth > _MAX_DEPTH:
        return
    merged: list[Node] = []
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if key.value == _MERGE:
            merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
        else:
            found.setdefault(key.value, value)
    for other in merged:
        _collect(other, found, depth + 1)


def get(node: Node, *path: str) -> Node | None:
    """The node below a mapping at a path of keys; None if there is none."""
    for key in path:
        node = dict(entries(node)).get(key)
        if node is None:
            return None
    return node


def items(node: Node) -> list[Node]:
    """The items of a list."""
    return node.value if isinstance(node, yaml.SequenceNode) else []


def is_scalar(node: Node) -> bool:
    """Whether a node is a single value."""
    return isinstance(node, yaml.ScalarNode)


def is_mapping(node: Node) -> bool:
    """Whether a node is a mapping."""
    return isinstance(node, yaml.MappingNode)


def scalar(node: Node | None) -> str:
    """The text of a single value; empty if it is something else."""
    return node.value if isinstance(node, yaml.ScalarNode) else ""


def scalars(node: Node | None) -> list[Node]:
    """A single value, or those of a list."""
    return [n for n in ([node] if is_scalar(node) else items(node)) if is_scalar(n)]


def pairs(tree: Tree, node: Node | None) -> list[tuple[str, Part]]:
    """Names and their values, of a mapping or of a list of `NAME=value`."""
    found = [(key, tree.part(value)) for key, value in entries(node) if is_scalar(value)]
    for item in scalars(node) if not is_scalar(node) else ():
        part = tree.part(item).unquoted()
        name, equals, _value = part.string.partition("=")
        if equals:
            found.append((name.strip(), part.at((part.start + len(name) + 1, part.end))))
    return found
