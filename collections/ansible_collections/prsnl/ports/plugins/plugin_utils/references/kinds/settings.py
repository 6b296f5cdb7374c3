# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML and line-based settings that have no meaning of their own: keys and values."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.references import places, yaml_nodes
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import Mention
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import MAX_LINE, Part
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.places import PLAIN, Setting

_MAX_DEPTH: t.Final = 64
_LINE: t.Final = re.compile(r"[^\r\n]+")
_SECTION: t.Final = re.compile(r"\s*\[+\s*(?P<name>[^\]]+?)\s*\]+\s*(?:[#;].*)?$")
_PAIR: t.Final = re.compile(
    r"\s*(?P<name>\"[^\"]+\"|'[^']+'|[A-Za-z_][\w.:-]*)\s*(?:=|:(?!//)|\s)\s*(?P<value>\S.*)"
)
_VALUE: t.Final = re.compile(r"\"[^\"]*\"|'[^']*'|.*?(?=\s+[#;]|[;,]?\s*$)")
_COMMENT: t.Final = re.compile(r"\s*(?:[#;]|//)")


def find_yaml(tree: yaml_nodes.Tree, setting: Setting = PLAIN) -> t.Iterator[Mention]:
    """The ports of a YAML file, by the keys that lead to them."""
    for root in tree.roots:
        yield from find_node(tree, root, setting)


def find_node(
    tree: yaml_nodes.Tree, node: yaml_nodes.Node, setting: Setting = PLAIN
) -> t.Iterator[Mention]:
    """The ports below a node, by the keys that lead to them."""
    yield from places.assignments(list(_walk(tree, node, ())), setting)


def _walk(
    tree: yaml_nodes.Tree, node: yaml_nodes.Node, path: tuple[str, ...]
) -> t.Iterator[tuple[str, Part]]:
    if len(path) > _MAX_DEPTH:
        return
    if yaml_nodes.is_scalar(node):
        yield ".".join(path), tree.part(node)
    for item in yaml_nodes.items(node):
        yield from _walk(tree, item, path)
    entries = dict(yaml_nodes.entries(node))
    if {"name", "value"} <= entries.keys() and yaml_nodes.is_scalar(entries["value"]):
        # A variable, as lists of them have it.
        yield yaml_nodes.scalar(entries["name"]), tree.part(entries["value"])
        return
    for key, value in entries.items():
        yield from _walk(tree, value, (*path, key))


def find_lines(part: Part, setting: Setting = PLAIN) -> t.Iterator[Mention]:
    """The ports of an INI, TOML or properties file, or of one like them."""
    pairs: list[tuple[str, Part]] = []
    section = ""
    for match in part.finditer(_LINE):
        line = part.group(match)
        if line.match(_COMMENT) or line.end - line.start > MAX_LINE:
            continue
        header = line.fullmatch(_SECTION)
        pair = line.fullmatch(_PAIR)
        if header:
            section = header["name"].strip("\"' ") + "."
        elif pair:
            value = part.group(pair, "value")
            found = value.match(_VALUE)
            name = section + pair["name"].strip("\"'")
            pairs.append((name, part.group(found) if found else value))
        else:
            yield from places.texts(line, setting)
    yield from places.assignments(pairs, setting)
