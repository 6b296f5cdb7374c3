# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a text, which know where in it they are."""

from __future__ import annotations

import re
import typing as t

Span = tuple[int, int]

# A longer one was made by a program, and looking for words in it takes ever longer.
MAX_LINE: t.Final = 10_000
_QUOTES: t.Final = frozenset("\"'`")


def word_set(text: str) -> frozenset[str]:
    """The words of a text, to look one up among them."""
    return frozenset(text.split())


class Part(t.NamedTuple):
    """What is from `start` to `end` in a text."""

    text: str
    start: int
    end: int

    @classmethod
    def whole(cls, text: str) -> Part:
        """All of a text."""
        return cls(text, 0, len(text))

    @property
    def string(self) -> str:
        """Its characters."""
        return self.text[self.start : self.end]

    @property
    def span(self) -> Span:
        """Where it is."""
        return self.start, self.end

    def at(self, span: Span) -> Part:
        """Another part of the same text."""
        return Part(self.text, *span)

    def group(self, match: re.Match[str], name: str | int = 0) -> Part:
        """What a group of a match is."""
        return Part(self.text, *match.span(name))

    def finditer(self, pattern: re.Pattern[str]) -> t.Iterator[re.Match[str]]:
        """The matches in it, with places in the whole text."""
        return pattern.finditer(self.text, self.start, self.end)

    def search(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The first match in it."""
        return pattern.search(self.text, self.start, self.end)

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The match at its start."""
        return pattern.match(self.text, self.start, self.end)

    def fullmatch(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The match of all of it."""
        return pattern.fullmatch(self.text, self.start, self.end)

    def unquoted(self) -> Part:
        """It without white space and quotes around it."""
        text, start, end = self
        while start < end and text[start].isspace():
            start += 1
        while start < end and text[end - 1].isspace():
            end -= 1
        if start + 1 < end and text[start] in _QUOTES and text[end - 1] == text[start]:
            return Part(text, start + 1, end - 1)
        return Part(text, start, end)

    def split(self, separator: str) -> list[Part]:
        """The parts between separators that are in no braces or brackets."""
        parts, depth, first = [], 0, self.start
        for index in range(self.start, self.end):
            char = self.text[index]
            if char in "{[(":
                depth += 1
            elif char in "}])":
                depth -= 1
            elif char == separator and depth <= 0:
                parts.append(Part(self.text, first, index))
                first = index + 1
        return [*parts, Part(self.text, first, self.end)]
