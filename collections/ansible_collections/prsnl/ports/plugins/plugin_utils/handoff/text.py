# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text of unknown origin, made safe to be shown to people."""

from __future__ import annotations

import re
import typing as t

# Printable by Unicode, and yet nobody sees them: fillers, selectors, the blank braille pattern.
_BLANK: t.Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
# More of them than any language puts on a letter.
_MARKS: t.Final = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u20d0-\u20ff]{4})[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u20d0-\u20ff]+"
)


def visible(text: t.Any, *, keep: str = "") -> str:
    """The text with everything invisible written out, such as `\\u202e`.

    That is what controls a terminal, changes the direction of reading, has no width, or looks like
    an ordinary space. `keep` has characters that stay as they are.
    """
    plain = str(text)
    if plain.isascii() and plain.isprintable():
        return plain
    return "".join(
        char if char in keep or (char.isprintable() and not _BLANK.match(char)) else _code(char)
        for char in _MARKS.sub(r"\1…", plain)
    )


def block(text: t.Any) -> str:
    """Several lines of text, with everything invisible except for the ends of lines written out."""
    return visible(str(text).replace("\r\n", "\n").expandtabs(4), keep="\n")


def _code(char: str) -> str:
    number = ord(char)
    if number <= 0xFF:  # noqa: PLR2004
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"  # noqa: PLR2004


def anchor(*words: str) -> str:
    """A name for a place on the page, made of words of unknown origin."""
    return "-".join(
        "".join(c if c.isascii() and (c.isalnum() or c in "_.") else f"~{ord(c):x}" for c in word)
        for word in words
    )


def counted(number: int, one: str, many: str = "") -> str:
    """`1 host`, `2 hosts`."""
    return f"{number} {one if number == 1 else many or one + 's'}"
