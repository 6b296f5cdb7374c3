# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON: `package.json` with its scripts, and other files by their keys."""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.references import commands, places
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import Hint, Mention
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import Part
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.places import PLAIN, Setting

_TOKEN: t.Final = re.compile(
    r'(?P<string>"(?:\\.|[^"\\])*")|(?P<sign>[{}\[\]:,])|(?P<value>[^\s{}\[\]:,"]+)'
)


def scalars(part: Part) -> t.Iterator[tuple[tuple[str, ...], Part]]:
    """Every single value of a JSON text: the keys that lead to it, and where it is.

    Raises ValueError if it isn't JSON.
    """
    try:
        json.loads(part.string)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    path: list[str] = []
    # For each open brace whether it is a mapping's.
    mappings: list[bool] = []
    key, is_key = "", False
    for token in part.finditer(_TOKEN):
        sign = token["sign"]
        if sign in ("{", "["):
            path.append(key)
            mappings.append(sign == "{")
            key, is_key = "", sign == "{"
        elif sign in ("}", "]"):
            key = path.pop()
            mappings.pop()
        elif sign == ",":
            is_key = mappings[-1]
            key = "" if is_key else key
        elif sign == ":":
            is_key = False
        elif is_key:
            key = str(json.loads(token[0]))
        else:
            yield tuple(name for name in (*path, key) if name), part.group(token)


def find_package(part: Part) -> t.Iterator[Mention]:
    """The ports of a `package.json`."""
    for path, value in scalars(part):
        if path[:1] == ("scripts",) and path[1:]:
            setting = Setting(names=((Hint.WORDS, path[1]),))
            yield from places.unique(commands.command(value.unquoted(), setting))
        elif path[:1] in (("config",), ("proxy",)):
            yield from places.value(".".join(path[1:]), value)


def find(part: Part, setting: Setting = PLAIN) -> t.Iterator[Mention]:
    """The ports of a JSON file, by the keys that lead to them."""
    pairs = [(".".join(path), value) for path, value in scalars(part)]
    yield from places.assignments(pairs, setting)
