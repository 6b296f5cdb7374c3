# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a document of people consists of: headings, tables, items of lists, each with its line."""

from __future__ import annotations

import dataclasses
import re
import typing as t

_HEADING: t.Final = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*$")
_FENCE: t.Final = re.compile(r"\s*(```+|~~~+)")
_SEPARATOR: t.Final = re.compile(r"(?=.*\|)[\s|:+-]*-{2,}[\s|:+-]*$")
_ITEM: t.Final = re.compile(r"(?P<indent>\s*)(?:[-*+]|\d+[.)])\s+(?P<text>.*)$")
_MARKS: t.Final = re.compile(r"\*\*|__|~~|[*`]")
_LINK: t.Final = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_SIGNS: t.Final = re.compile(r"[^\w\s.,:;/&+()'\"<>=%#@!?*→-]+")


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table: its cells by the names of their columns, in lower case."""

    line: int
    cells: dict[str, str]

    def get(self, *words: str) -> str:
        """The first cell whose column has one of the words in its name; empty if none has."""
        for word in words:
            for column, cell in self.cells.items():
                if word in column:
                    return cell
        return ""


@dataclasses.dataclass(frozen=True)
class Item:
    """An item of a list, and how far it is indented."""

    line: int
    indent: int
    text: str


@dataclasses.dataclass
class Section:
    """What stands below a heading, up to the next one."""

    line: int
    title: str
    # The titles of the headings that it is below, without that of the whole document.
    above: tuple[str, ...] = ()
    rows: list[Row] = dataclasses.field(default_factory=list)
    columns: list[str] = dataclasses.field(default_factory=list)
    items: list[Item] = dataclasses.field(default_factory=list)

    @property
    def titles(self) -> str:
        """Its title and those above it, as one text."""
        return " / ".join((*self.above, self.title))


def plain(text: str) -> str:
    """A text without the marks of Markdown and without pictures."""
    text = _MARKS.sub("", _LINK.sub(r"\1", text))
    return " ".join(_SIGNS.sub(" ", text).split())


def sections(text: str) -> list[Section]:
    """The sections of a document."""
    found = [Section(1, "")]
    levels: dict[int, str] = {}
    fence = ""
    columns: list[str] | None = None
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        mark = _FENCE.match(line)
        if mark and (not fence or line.strip().startswith(fence)):
            fence = "" if fence else mark[1]
            continue
        if fence:
            continue
        heading = _HEADING.match(line)
        if heading:
            level, title = len(heading[1]), plain(heading[2])
            levels = {k: v for k, v in levels.items() if k < level}
            above = tuple(v for k, v in sorted(levels.items()) if k > 1)
            levels[level] = title
            found.append(Section(number, title if level > 1 else "", above))
            columns = None
        elif "|" in line and number < len(lines) and _SEPARATOR.match(lines[number]):
            columns = [plain(cell).lower() for cell in _cells(line)]
            found[-1].columns = columns
        elif "|" in line and columns:
            if not _SEPARATOR.match(line):
                cells = [plain(cell) for cell in _cells(line)]
                found[-1].rows.append(Row(number, dict(zip(columns, cells, strict=False))))
        else:
            columns = None
            item = _ITEM.match(line)
            if item:
                found[-1].items.append(Item(number, len(item["indent"]), item["text"].strip()))
    return found


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
