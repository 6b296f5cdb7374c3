# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dockerfiles: what an image offers and what it starts."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.references import commands, places
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import (
    Hint,
    Inside,
    Mention,
    Name,
    Scope,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import Part, word_set
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.places import Setting

_INSTRUCTION: t.Final = re.compile(
    r"^[^\S\r\n]*(?P<name>[A-Za-z]+)[^\S\r\n]+(?P<value>(?:\\\r?\n|\\[^\r\n]|[^\\\r\n])*)",
    re.MULTILINE,
)
_ASSIGNED: t.Final = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?P<value>\"[^\"]*\"|'[^']*'|\S*)")
_OLD_FORM: t.Final = re.compile(r"(?P<name>[A-Za-z_]\w*)\s+(?P<value>[^=\r\n]+)$")
_FROM: t.Final = re.compile(r"^FROM\s+(?:--\S+\s+)*(\S+)", re.MULTILINE | re.IGNORECASE)
_PORT: t.Final = re.compile(r"(?<!\S)(?P<port>\d{1,5})(?:-\d{1,5})?(?:/(?P<protocol>\w+))?")
_CHECK: t.Final = re.compile(r"\s*(?:--\S+\s+|\\\s+)*CMD\s+")
_WORD: t.Final = re.compile(r'"(?:\\.|[^"\\])*"')
_COMMANDS: t.Final = word_set("CMD ENTRYPOINT HEALTHCHECK RUN")
_AGREE: t.Final = "an image's port has to agree with what is published from it"


def bases(text: str) -> set[str]:
    """The images that a Dockerfile begins with."""
    return {match[1] for match in _FROM.finditer(text)}


def find(part: Part) -> t.Iterator[Mention]:
    """The ports of a Dockerfile. Its own ones aren't those of a host; they are only reported."""
    container: tuple[Name, ...] = ()
    pairs: list[tuple[str, Part]] = []
    for match in part.finditer(_INSTRUCTION):
        name, value = match["name"].upper(), part.group(match, "value")
        setting = Setting(inside=Inside.BUILT, container=container)
        if name == "FROM":
            images = [word for word in match["value"].split() if not word.startswith("--")]
            container = ((Hint.IMAGE, images[0]),) if images else ()
        elif name == "EXPOSE":
            for port in value.finditer(_PORT):
                names = (*container, (Hint.OWN, ""))
                protocol = port["protocol"] or ""
                yield Mention(
                    *port.span("port"),
                    Scope.CONTAINER,
                    names,
                    container=container,
                    protocol=protocol,
                    doubt=_AGREE,
                )
        elif name in ("ENV", "ARG"):
            found = list(value.finditer(_ASSIGNED)) or list(value.finditer(_OLD_FORM))
            pairs += [(one["name"], value.group(one, "value")) for one in found]
        elif name in _COMMANDS:
            yield from map(_own, places.unique(_command(value, setting)))
    setting = Setting(inside=Inside.BUILT, container=container)
    yield from map(_own, places.assignments(pairs, setting))


def _own(mention: Mention) -> Mention:
    """A port of the image itself belongs to the service of the file's directory."""
    if mention.scope is not Scope.CONTAINER:
        return mention
    names = (*mention.names, (Hint.OWN, ""))
    return dataclasses.replace(mention, names=names, doubt=_AGREE)


def _command(part: Part, setting: Setting) -> t.Iterator[Mention]:
    check = part.match(_CHECK)
    if check:
        part = part.at((check.end(), part.end))
        setting = setting.also(inside=Inside.SERVER)
    if not part.string.startswith("["):
        yield from commands.command(part, setting)
        return
    try:
        json.loads(part.string)
    except ValueError:
        return
    yield from commands.argv([part.group(word) for word in part.finditer(_WORD)], setting)
