# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files as text whose places are known to the byte, so that only a number is replaced."""

from __future__ import annotations

import bisect
import codecs
import dataclasses
import functools
import re
import typing as t

_BOMS: t.Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NEWLINE: t.Final = re.compile(r"\r\n|\n|\r")
_LOOKED_AT: t.Final = 8192


@dataclasses.dataclass(frozen=True)
class Document:
    """The text of a file, without its byte order mark."""

    path: str
    data: bytes
    text: str
    encoding: str
    bom: bytes

    @classmethod
    def from_bytes(cls, path: str, data: bytes) -> Document | None:
        """The text of a file; None if it is no text.

        What isn't UTF-8 or marked as UTF-16 is read as Latin-1, which gives back every byte.
        """
        bom, encoding = next((b for b in _BOMS if data.startswith(b[0])), (b"", "utf-8"))
        if not encoding.startswith("utf-16") and b"\0" in data[:_LOOKED_AT]:
            return None
        body = data[len(bom) :]
        try:
            text = body.decode(encoding)
        except UnicodeDecodeError:
            if bom:
                return None
            encoding = "latin-1"
            text = body.decode(encoding)
        return cls(path, data, text, encoding, bom)

    @functools.cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in _NEWLINE.finditer(self.text))]

    def position(self, index: int) -> tuple[int, int]:
        """The line and the column of a character, counted from 1."""
        line = bisect.bisect_right(self._starts, index)
        return line, index - self._starts[line - 1] + 1

    def line_text(self, line: int) -> str:
        """A line, counted from 1, without its end."""
        ends = [*self._starts[1:], len(self.text)]
        return self.text[self._starts[line - 1] : ends[line - 1]].rstrip("\r\n")

    def byte_span(self, start: int, end: int) -> tuple[int, int]:
        """The bytes of the file that hold the characters from start to end."""
        first = len(self.bom)
        if self.encoding == "latin-1" or (self.encoding == "utf-8" and self._ascii):
            return first + start, first + end
        before = first + len(self.text[:start].encode(self.encoding))
        return before, before + len(self.text[start:end].encode(self.encoding))

    @functools.cached_property
    def _ascii(self) -> bool:
        return self.text.isascii()

    def replaced(self, edits: t.Iterable[tuple[int, int, str]]) -> bytes:
        """The bytes of the file with other text at some places (start, end, text)."""
        parts, done = [], 0
        for start, end, text in sorted(edits):
            first, last = self.byte_span(start, end)
            parts += [self.data[done:first], text.encode(self.encoding)]
            done = last
        return b"".join([*parts, self.data[done:]])
