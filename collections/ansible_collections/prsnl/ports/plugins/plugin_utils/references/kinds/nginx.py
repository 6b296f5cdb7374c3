# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx: what it listens on, and what it passes requests to."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.references import places
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import (
    Hint,
    Mention,
    Name,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import Part, word_set
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.places import PLAIN, Setting

_TOKEN: t.Final = re.compile(
    r"""(?P<comment>\#[^\r\n]*)|(?P<sign>[{};])
      | (?P<word>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|(?:\$\{[^}]*\}|\\.|[^\s{};"'\\#])+)""",
    re.VERBOSE,
)
_LISTEN: t.Final = re.compile(r"(?:(?:\[[^\]]*\]|[\w.*-]+):)?(?P<port>\d{1,5})")
_SERVER: t.Final = re.compile(r"(?P<host>\[[^\]]*\]|[\w.-]+):(?P<port>\d{1,5})(?=/|$)")
_SIGNS: t.Final = re.compile(
    r"\b(?:proxy_pass|upstream|server_name|listen|fastcgi_pass|grpc_pass)\s"
)
_PASSED: t.Final = re.compile(r"(?:\w+://)?([^/:]+)")
_PASSES: t.Final = word_set("proxy_pass grpc_pass fastcgi_pass uwsgi_pass scgi_pass")


@dataclasses.dataclass(frozen=True)
class _Directive:
    """The words of a directive, and of the blocks around it, the innermost first."""

    words: list[Part]
    blocks: list[list[str]]

    @property
    def name(self) -> str:
        return self.words[0].string

    @property
    def arguments(self) -> list[Part]:
        return self.words[1:]

    @property
    def upstream(self) -> str | None:
        """The name of the upstream that it is in."""
        block = self.blocks[0] if self.blocks else []
        return block[1] if block[:1] == ["upstream"] and block[1:] else None

    @property
    def routes(self) -> tuple[Name, ...]:
        """The locations that it is in."""
        return tuple(
            (Hint.ROUTE, block[-1])
            for block in self.blocks
            if block[:1] == ["location"] and block[1:]
        )


def is_nginx(text: str) -> bool:
    """Whether a configuration is one of nginx, by its directives."""
    return "{" in text and _SIGNS.search(text) is not None


def find(part: Part, setting: Setting = PLAIN) -> t.Iterator[Mention]:
    """The ports of a configuration."""
    directives = list(_directives(part))
    passed: dict[str, list[Name]] = {}
    for directive in directives:
        target = _PASSED.match(directive.arguments[0].string) if directive.arguments else None
        if directive.name in _PASSES and target:
            passed.setdefault(target[1], []).extend(directive.routes)
    for directive in directives:
        names = setting.also(*passed.get(directive.upstream or "", ()), *directive.routes)
        if directive.arguments:
            yield from places.unique(_mentions(directive, names))


def _directives(part: Part) -> t.Iterator[_Directive]:
    blocks: list[list[str]] = []
    words: list[Part] = []
    for token in part.finditer(_TOKEN):
        if token["word"]:
            words.append(part.group(token).unquoted())
            continue
        if token["sign"] == "{":
            blocks.insert(0, [word.string for word in words])
        elif token["sign"] == "}":
            blocks = blocks[1:]
        elif token["sign"] and words:
            yield _Directive(words, blocks)
        if token["sign"]:
            words, blocks = [], list(blocks)


def _mentions(directive: _Directive, setting: Setting) -> t.Iterator[Mention]:
    first = directive.arguments[0]
    if directive.name == "listen":
        match = first.fullmatch(_LISTEN)
        if match and places.port_of(match["port"]):
            names: tuple[Name, ...] = ((Hint.PROGRAM, "nginx"),)
            udp = {"udp", "quic"} & {word.string for word in directive.arguments}
            mention = setting.server(match.span("port"), names)
            yield dataclasses.replace(mention, protocol="udp" if udp else "")
        return
    if directive.name in _PASSES or (directive.name == "server" and directive.upstream):
        match = first.match(_SERVER)
        if match and places.port_of(match["port"]):
            host = match["host"]
            names = ((Hint.WORDS, directive.upstream or ""), (Hint.LABEL, host), *setting.names)
            yield setting.client(match.span("port"), names, host)
    if directive.name == "set" and directive.arguments[1:]:
        yield from places.value(first.string.lstrip("$"), directive.arguments[1], setting)
    for word in directive.arguments:
        yield from places.texts(word, setting)
