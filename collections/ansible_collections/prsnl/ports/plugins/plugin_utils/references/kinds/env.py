# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of variables, `.env` in all its dialects."""

from __future__ import annotations

import dataclasses
import posixpath
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.references import places
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.context import Context
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import (
    Hint,
    Mention,
    Scope,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import Part
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.places import Setting

_NAME: t.Final = re.compile(
    r"(?:.*\.)?env(?:\.[\w-]+)*|\.envrc(?:\..*)?|\.flaskenv"
    r"|env[-_.](?:example|sample|template|dist)",
    re.IGNORECASE,
)
_CODE: t.Final = re.compile(
    r"\.(?:[cm]?[jt]sx?|py|rb|go|rs|java|kt|php|sh|ya?ml|json|toml|md|svelte|vue)$", re.IGNORECASE
)
# `export A=b`, `set A=b`, `setenv A b`, `$env:A = "b"`, `A: b`, `A ?= b`, and commented out.
_LINE: t.Final = re.compile(
    r"""^[^\S\r\n]*(?P<comment>\#[^\S\r\n]*)?
    (?:export[^\S\r\n]+|set[^\S\r\n]+|\$env:|(?P<setenv>setenv[^\S\r\n]+))?
    (?P<name>[A-Za-z_][\w.-]*)
    (?:[^\S\r\n]*(?:=|:=|\?=|\+=|:(?=\s))[^\S\r\n]*|(?(setenv)[^\S\r\n]+|(?!)))
    (?P<value>"(?:\\.|[^"\\])*"|'[^']*'|`[^`]*`|[^\r\n]*)""",
    re.VERBOSE | re.MULTILINE,
)
_INLINE_COMMENT: t.Final = re.compile(r"\s#.*")


def is_env_name(path: str) -> bool:
    """Whether a file is one of variables by its name."""
    name = posixpath.basename(path)
    return _NAME.fullmatch(name) is not None and _CODE.search(name) is None


def find(part: Part, context: Context) -> t.Iterator[Mention]:
    """The ports of a file of variables."""
    told: list[tuple[str, Part]] = []
    pairs: list[tuple[str, Part]] = []
    for match in part.finditer(_LINE):
        value = part.group(match, "value")
        comment = (
            None if match["value"].startswith(("'", '"', "`")) else value.search(_INLINE_COMMENT)
        )
        if comment:
            value = value.at((value.start, comment.start()))
        (told if match["comment"] else pairs).append((match["name"], value))
    values = {places.flat(name): value.unquoted().string for name, value in pairs}
    reader = context.project.env_files.get(context.path)
    setting = Setting().among(values)
    if reader is not None:
        setting = setting.also(inside=reader.inside, container=(*reader.names, (Hint.OWN, "")))
    for name, value in pairs:
        uses = context.variables.get(name, ())
        if uses and places.port_of(value.unquoted().string):
            yield from _used(name, value.unquoted(), uses)
        else:
            yield from places.value(name, value, setting)
    yield from places.assignments(told, Setting(doubt="it stands in a comment"))


def _used(name: str, part: Part, uses: t.Sequence[Mention]) -> t.Iterator[Mention]:
    """What Compose files use a variable for."""
    published = [use for use in uses if use.scope is Scope.HOST]
    doubt = "Compose files give it to containers too" if len(published) < len(uses) else ""
    for use in published:
        names = (*use.names, (Hint.WORDS, name))
        yield dataclasses.replace(use, start=part.start, end=part.end, names=names, doubt=doubt)
    if not published:
        yield Mention(*part.span, Scope.CONTAINER, ((Hint.WORDS, name),))
