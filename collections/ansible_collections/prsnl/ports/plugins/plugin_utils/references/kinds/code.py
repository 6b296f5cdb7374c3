# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source code of any language: assignments, defaults of variables, URLs."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.references import places
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import Hint, Mention
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import Part
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.places import PLAIN, Setting

_ASSIGNED: t.Final = re.compile(
    r"(?<!\w)(?P<name>[A-Za-z_][\w.-]*)[\"']?\s*(?::=|=>|[:=])\s*"
    r"(?P<value>\"[^\"\r\n]*\"|'[^'\r\n]*'|`[^`\r\n]*`|\d{1,5}(?![\w.]))"
)
_DEFAULT: t.Final = re.compile(
    r"(?<!\w)(?P<name>[A-Za-z_][\w-]*)[\"'\])]*\s*(?:,|\|\||\?\?|\?:|\.unwrap_or\w*\(|\bor\b)\s*"
    r"(?P<value>\"\d{2,5}\"|'\d{2,5}'|\d{2,5}(?![\w.]))"
)
_DEFINED: t.Final = re.compile(
    r"(?<!\w)(?P<name>\w*HOST\w*)[\"']\s*,\s*(?P<value>\"[\w.-]+\"|'[\w.-]+')"
)
_LISTEN: t.Final = re.compile(r"\b(?:listen|Listen|bind)\w*\(\s*[\"']?:?(?P<port>\d{2,5})(?![\w.])")


def find(part: Part, setting: Setting = PLAIN) -> t.Iterator[Mention]:
    """The ports of source code, without knowing its language."""
    pairs = [
        (match["name"], part.group(match, "value"))
        for pattern in (_ASSIGNED, _DEFAULT, _DEFINED)
        for match in part.finditer(pattern)
    ]
    yield from places.assignments(pairs, setting)
    for match in part.finditer(_LISTEN):
        if places.port_of(match["port"]):
            yield setting.server(match.span("port"), (*setting.names, (Hint.OWN, "")))
    yield from places.texts(part, setting)
