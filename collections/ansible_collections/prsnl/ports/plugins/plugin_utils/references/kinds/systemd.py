# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units of systemd: sockets, services, and containers of Podman (Quadlet)."""

from __future__ import annotations

import posixpath
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
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import Part
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.places import Setting

_NAME: t.Final = re.compile(
    r"(?:.*/)?[^.][^/]*\.(?:service|socket|container|pod)"
    r"|(?:.*/)?[^/]+\.(?:service|socket|container)\.d/[^/]+\.conf"
)
_LINE: t.Final = re.compile(
    r"^[^\S\r\n]*(?P<name>[A-Za-z]+)[^\S\r\n]*=[^\S\r\n]*"
    r"(?P<value>(?:\\\r?\n|\\[^\r\n]|[^\\\r\n])*)",
    re.MULTILINE,
)
_ASSIGNED: t.Final = re.compile(
    r"\"(?P<n1>[A-Za-z_]\w*)=(?P<v1>[^\"]*)\"|'(?P<n2>[A-Za-z_]\w*)=(?P<v2>[^']*)'"
    r"|(?P<n3>[A-Za-z_]\w*)=(?P<v3>\"[^\"]*\"|'[^']*'|\S*)"
)
_LISTEN: t.Final = re.compile(r"(?:(?:\[[^\]]*\]|[\w.*%-]+):)?(?P<port>\d{1,5})")
_PREFIXES: t.Final = re.compile(r"[@:+!|-]*")


def is_unit_name(path: str) -> bool:
    """Whether a file is a unit, or a drop-in of one, by its name."""
    return _NAME.fullmatch(path) is not None


def find(part: Part, path: str) -> t.Iterator[Mention]:
    """The ports of a unit."""
    parent, name = posixpath.split(path)
    unit = posixpath.basename(parent).removesuffix(".d") if parent.endswith(".d") else name
    lines = [(match["name"], part.group(match, "value")) for match in part.finditer(_LINE)]
    given = {key: value.unquoted().string for key, value in lines}
    image: tuple[Name, ...] = ((Hint.IMAGE, given["Image"]),) if "Image" in given else ()
    label = given.get("ContainerName") or unit.rpartition(".")[0].partition("@")[0]
    names = (*image, (Hint.LABEL, label))
    boxed = bool(image) and given.get("Network") != "host"
    own = Setting(inside=Inside.VENDOR if boxed else Inside.NOWHERE, container=names)
    pairs: list[tuple[str, Part]] = []
    for key, value in lines:
        if key in ("ListenStream", "ListenDatagram"):
            match = value.unquoted().fullmatch(_LISTEN)
            protocol = "udp" if key == "ListenDatagram" else "tcp"
            if match:
                port = value.group(match, "port")
                yield from places.mapped(port, Scope.HOST, Setting(names=names), protocol)
        elif key == "PublishPort":
            yield from places.mapping(value, Setting(names=names))
        elif key == "Environment":
            for match in value.finditer(_ASSIGNED):
                number = next((number for number in "123" if match[f"n{number}"]), "1")
                pairs.append((match[f"n{number}"], value.group(match, f"v{number}")))
        elif key.startswith("Exec"):
            prefixes = value.match(_PREFIXES)
            line = value.at((prefixes.end() if prefixes else value.start, value.end))
            yield from places.unique(commands.command(line, own))
    yield from places.assignments(pairs, own)
