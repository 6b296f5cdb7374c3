# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents of people: tables, lists, sentences, and blocks of code.

A number counts only where the text says that it is a port, and not where it tells what was before.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.references import places
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import (
    Hint,
    Mention,
    Name,
    Scope,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import MAX_LINE, Part
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.places import Setting

FindBlock = t.Callable[[str, Part, Setting], t.Iterator[Mention]]

_EMPTY: t.Final = (0, 0)
_LINE: t.Final = re.compile(r"([^\r\n]*)(?:\r\n|\n|\r|$)")
_FENCE: t.Final = re.compile(r"[\s>]*(?P<mark>`{3,}|~{3,})\s*\{?\.?(?P<language>[\w+-]*)[^`]*$")
_HEADING: t.Final = re.compile(r"\s{0,3}(?P<level>#{1,6})\s+(?P<title>.*?)\s*#*\s*$")
_UNDERLINE: t.Final = re.compile(r"(?:=+|-{3,})\s*$")
_SEPARATOR: t.Final = re.compile(r"(?=.*\|)[\s|:+-]*-{2,}[\s|:+-]*")
_CELL_PORT: t.Final = re.compile(
    r"[*_`~:\s]*(?P<port>\d{2,5})(?:/(?P<protocol>tcp|udp))?[*_`~\s]*", re.IGNORECASE
)
_CELL_PORTS: t.Final = re.compile(
    r"(?<![\w.:/-])(?P<port>\d{2,5})(?:/(?P<protocol>tcp|udp))?(?![\w.:-])", re.IGNORECASE
)
# The number is one of a port: `port 5432`, `PostgreSQL: 5432`, `(5432)`, `on 5432`, `5432/tcp`.
_SAID: t.Final = re.compile(
    r"""\bports?\b[\s`*_:=#(~|-]*(?:number\s*|is\s*|are\s*|to\s*|on\s*)?[`*_"']*(?P<a>\d{2,5})
      | (?<=[\w)*`_])[*_`]*\s*(?::|=|→|->|=>|\bon\b|\bat\b|\bis\b|\buses\b|\u2013|\u2014|\s-\s)\s*
        (?:tcp\s+)?(?:port\s+)?[*_`:"']*(?P<b>\d{2,5})
      | [(\[]\s*[`*_:]*(?P<c>\d{2,5})[`*_]*\s*[)\],]
      | (?<![\w.:/-])(?P<d>\d{2,5})/(?:tcp|udp)\b
      | `:?(?P<e>\d{2,5})`
      | (?<![\w.:/-])(?P<f>\d{2,5})(?=[`*_]*\s+(?:port\b|(?:is\s+)?(?:for|by|->|=>|→)\s))""",
    re.VERBOSE | re.IGNORECASE,
)
_HOST_LINE: t.Final = re.compile(
    r"[\s>*+-]*[*_`]*(?:host(?:\s?name)?|server|address)[*_`]*\s*[:=]\s*[*_`\"']*(?P<host>[\w.-]+)",
    re.IGNORECASE,
)
_ASSIGNED: t.Final = re.compile(r"\b(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>[^\s`'\",;|)]+)")
# An address: of lower case, as hosts are written.
_ADDRESS: t.Final = re.compile(
    r"(?<![\w./:@-])(?P<host>[a-z][a-z0-9_.-]*):(?P<port>\d{2,5})(?![\w.:-])"
)
_NUMBER: t.Final = re.compile(r"\d{2}")
_HOST_SAID: t.Final = re.compile(
    r"\b(?:host(?:\s?name)?|server)\b[\s`\"'*:=]*[`\"'](?P<host>[\w.-]+)[`\"']", re.IGNORECASE
)
_SENTENCE: t.Final = re.compile(r".+?(?:(?<=[.!?;])(?=\s+[^\sa-z])|$)", re.DOTALL)
_MAPPING: t.Final = re.compile(r"(?<![\w.:-])\d{1,5}:\d{1,5}(?![\w.:-])")
_UNIT: t.Final = re.compile(
    r"\w|[`*_)]*\s*(?:%|ms\b|s\b|sec|min|hour|day|week|month|year|[kmgt]i?b\b|bytes?\b|px\b|rows?\b"
    r"|users?\b|requests?\b|lines?\b|times\b|connections?\b|items?\b|files?\b|tests?\b|tokens?\b"
    r"|[.,]\d|-\d|/\d|x\s*\d)",
    re.IGNORECASE,
)
_VERSION: t.Final = re.compile(
    r"(?:[#$€£v@.,\d-]|\bversion\s|\bv\.?\s|\bissue\s|\bpr\s)$", re.IGNORECASE
)
_TELLS_PAST: t.Final = re.compile(
    r"\b(?:old|older|was|were|former|formerly|previous|previously|legacy|retired|deprecated"
    r"|obsolete|replaced|replaces|moved|migrated|renamed|superseded|used\s+to|no\s+longer"
    r"|instead\s+of|rather\s+than|until)\b",
    re.IGNORECASE,
)
_TURNED_DOWN: t.Final = re.compile(
    r"(?:\bfrom|\bnot(?:\s+(?:use|on|port|be|bind|to))*|\bnever(?:\s+(?:use|on|port))*"
    r"|n't(?:\s+(?:use|on|port|connect\s+to))*|\bavoid|\bunlike|\bbefore)\s+"
    r"(?:tcp\s+)?(?:port\s+)?[`*_:\"'(]*$",
    re.IGNORECASE,
)
_PAST_HEADING: t.Final = re.compile(
    r"\b(?:history|changelog|change\s?log|changes|migrations?|release\s+notes|what's\s+new|retired"
    r"|former|previous(?:ly)?|decisions?|superseded|deprecated)\b|→|->",
    re.IGNORECASE,
)
_OF_CONTAINER: t.Final = re.compile(
    r"\b(?:in|inside|within)\s+(?:the\s+|its\s+|a\s+)?(?:container|image|docker\s+network)"
    r"|\b(?:container|internal)(?:'s)?\s+(?:port|network)|\bcontainer-internal\b",
    re.IGNORECASE,
)
# What the program of a vendor does unless told otherwise is true whatever port it is told.
_BY_DEFAULT: t.Final = re.compile(
    r"\bby\s+default\b|\bdefaults\s+to\b|\bdefault\s*[:=\uff1a]|[(\uff08]\s*[`*_]*default\b"
    r"|默认|預設|デフォルト|기본|padrão|predetermin|par\s+défaut|standardmäßig|по\s+умолчанию",
    re.IGNORECASE,
)
_DEFAULT_DOUBT: t.Final = "it may tell what a program does by default"
_PAST_COLUMN: t.Final = re.compile(
    r"\b(?:old|former|previous|before|from|was|retired)\b", re.IGNORECASE
)
_PORT_COLUMN: t.Final = re.compile(r"\bports?\b", re.IGNORECASE)
_INNER_COLUMN: t.Final = re.compile(r"\b(?:container|internal|target)\b", re.IGNORECASE)


def find(part: Part, find_block: FindBlock) -> t.Iterator[Mention]:
    """The ports of a document. `find_block` finds those of a block of code in a language."""
    lines = [part.group(match, 1) for match in part.finditer(_LINE)]
    lines = [line if line.end - line.start <= MAX_LINE else line.at(_EMPTY) for line in lines]
    yield from _Document(lines, find_block).find()


class _Document:
    """Reads lines one after the other, and remembers the headings above them."""

    def __init__(self, lines: list[Part], find_block: FindBlock) -> None:
        self._lines = lines
        self._find_block = find_block
        self._headings: dict[int, str] = {}
        self._columns: list[str] = []
        # What a list of settings says before it says the port.
        self._host = ""
        # The lines of a list that the next one is below, with their indentation.
        self._above: list[tuple[int, str]] = []

    def find(self) -> t.Iterator[Mention]:
        index = 0
        while index < len(self._lines):
            fence = self._lines[index].match(_FENCE)
            if fence:
                end = self._end_of_fence(index, fence["mark"])
                if end > index + 1 and not self._past:
                    first, last = self._lines[index + 1], self._lines[end - 1]
                    block = first.at((first.start, last.end))
                    if not block.search(_NUMBER):
                        index = end + 1
                        continue
                    setting = Setting(names=self._around)
                    yield from self._find_block(fence["language"].lower(), block, setting)
                self._columns = []
                index = end + 1
                continue
            if self._is_table_head(index):
                self._columns = [cell.string.strip() for cell in _cells(self._lines[index])]
                index += 2
                continue
            yield from self._line(index)
            index += 1

    def _end_of_fence(self, index: int, mark: str) -> int:
        for end in range(index + 1, len(self._lines)):
            line = self._lines[end].string.strip().lstrip("> ")
            if line.startswith(mark) and not line.strip(mark[0]):
                return end
        return len(self._lines)

    def _after(self, index: int) -> str:
        return self._lines[index + 1].string if index + 1 < len(self._lines) else ""

    def _is_table_head(self, index: int) -> bool:
        separator = _SEPARATOR.fullmatch(self._after(index))
        return "|" in self._lines[index].string and separator is not None

    @property
    def _around(self) -> tuple[Name, ...]:
        """The headings above, the nearest first; the title of the whole document says nothing."""
        levels = sorted((level for level in self._headings if level > 1), reverse=True)
        return tuple((Hint.WORDS, self._headings[level]) for level in levels)

    @property
    def _past(self) -> bool:
        return any(
            _PAST_HEADING.search(title) for level, title in self._headings.items() if level > 1
        )

    def _enter(self, level: int, title: str) -> None:
        self._headings = {k: v for k, v in self._headings.items() if k < level} | {level: title}
        self._above = []

    def _line(self, index: int) -> t.Iterator[Mention]:
        line, after = self._lines[index], self._after(index)
        text = line.string
        heading = line.match(_HEADING)
        if heading:
            self._enter(len(heading["level"]), heading["title"])
        elif text.strip() and "|" not in text and _UNDERLINE.match(after):
            self._enter(1 if after.startswith("=") else 2, text.strip())
        if "|" in text and self._columns:
            if line.search(_NUMBER):
                yield from self._row(line)
            return
        self._columns = []
        indent = len(text) - len(text.lstrip())
        self._above = [(depth, above) for depth, above in self._above if depth < indent]
        above = tuple((Hint.WORDS, words) for _depth, words in reversed(self._above))
        if line.search(_NUMBER):
            yield from _prose(line, (*above, *self._around), self._past, self._host)
        host = line.match(_HOST_LINE)
        if host or heading or not text.strip():
            self._host = host["host"] if host else ""
        if text.strip():
            self._above.append((indent, text))
        elif not after.startswith((" ", "\t")):
            self._above = []

    def _row(self, line: Part) -> t.Iterator[Mention]:
        cells = _cells(line)
        past = self._past or _TELLS_PAST.search(line.string) is not None
        inner = _OF_CONTAINER.search(line.string) is not None
        for number, cell in enumerate(cells):
            title = self._columns[number] if number < len(self._columns) else ""
            others = [other.string.strip() for other in cells if other is not cell]
            names = (*((Hint.WORDS, text) for text in (*others, title)), *self._around)
            whole = cell.fullmatch(_CELL_PORT)
            ports = [whole] if whole else []
            if not whole and _PORT_COLUMN.search(title):
                ports = [match for match in cell.finditer(_CELL_PORTS) if _is_port(cell, match)]
            if not ports:
                yield from _prose(cell, names, past)
            elif not past and not _PAST_COLUMN.search(title):
                inside = inner or _INNER_COLUMN.search(title)
                scope = Scope.CONTAINER if inside else Scope.HOST
                for match in ports:
                    protocol = (match["protocol"] or "").lower()
                    span = match.span("port")
                    yield Mention(*span, scope, names, protocol=protocol, prose=True)


def _cells(line: Part) -> list[Part]:
    text = line.string
    start = line.start + len(text) - len(text.lstrip())
    start += line.text.startswith("|", start)
    end = line.start + len(text.rstrip())
    end -= end > start and line.text[end - 1] == "|"
    cells = []
    for cell in line.text[start:end].split("|"):
        cells.append(line.at((start, start + len(cell))))
        start += len(cell) + 1
    return cells


def _is_port(part: Part, match: re.Match[str]) -> bool:
    """Whether nothing around a number says that it is a version, an amount or a date."""
    start, end = match.span("port" if "port" in match.re.groupindex else match.lastgroup or 0)
    before = part.text[part.start : start]
    return not (_UNIT.match(part.text, end, part.end) or _VERSION.search(before))


def _prose(line: Part, around: tuple[Name, ...], past: bool, host: str = "") -> t.Iterator[Mention]:
    for sentence in line.finditer(_SENTENCE) if not past else ():
        if not _TELLS_PAST.search(sentence[0]):
            yield from _sentence(line.group(sentence), line.string, around, host)


def _sentence(line: Part, text: str, around: tuple[Name, ...], host: str) -> t.Iterator[Mention]:
    setting = Setting(names=((Hint.WORDS, text), *around), prose=True)
    pairs = [(match["name"], line.group(match, "value")) for match in line.finditer(_ASSIGNED)]
    found = [*places.assignments(pairs, setting), *places.texts(line, setting)]
    for match in line.finditer(_ADDRESS):
        found.append(setting.client(match.span("port"), setting.names, match["host"]))
    for match in line.finditer(_MAPPING):
        # A mapping of a container, as people write it down.
        found += places.mapping(line.group(match), setting)
    scope = Scope.CONTAINER if _OF_CONTAINER.search(text) else Scope.HOST
    said = line.search(_HOST_SAID)
    host = said["host"] if said else host
    for match in line.finditer(_SAID):
        if _is_port(line, match):
            span = match.span(match.lastgroup or 0)
            if host:
                found.append(setting.client(span, setting.names, host))
            else:
                found.append(Mention(*span, scope, setting.names, prose=True))
    doubt = _DEFAULT_DOUBT if line.search(_BY_DEFAULT) else ""
    for mention in places.unique(found):
        if doubt and not mention.doubt:
            mention = dataclasses.replace(mention, doubt=doubt)  # noqa: PLW2901
        if not _TURNED_DOWN.search(line.text[line.start : mention.start]):
            yield mention
