# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Words for people."""

from __future__ import annotations

import re
import typing as t


def unique(items: t.Iterable[str]) -> list[str]:
    """Return the items without repetition, in their order."""
    return list(dict.fromkeys(items))


def listed(items: t.Iterable[str], word: str = "and") -> str:
    """Return the items as in a sentence: ``a, b and c``.

    :raises ValueError: there are none.
    """
    *head, last = items
    return f"{', '.join(head)} {word} {last}" if head else last


# Printable by Unicode, and yet nobody sees them: fillers, the blank braille pattern. Selectors are
# not among them here, as they belong to emoji; C(printable) writes them out all the same.
_FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\U000e0000-\U000e0fff"
_SELECTORS = "\ufe00-\ufe0f"
_BLANK = re.compile(f"[{_FILLERS}{_SELECTORS}]")
# More marks than any language puts on a letter.
_MARKS = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u20d0-\u20ff]{4})"
    "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u20d0-\u20ff]+"
)
# What has no place in a text that people write, apart from tabs and the ends of lines: it controls
# a terminal, changes the direction of reading (UAX 9), or has no width.
HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U0001d173-\U0001d17a"
    f"{_FILLERS}]"
)


def printable(text: t.Any, keep: str = "") -> str:
    """Return text with everything invisible written out, such as C(\\u202e).

    That is what controls a terminal, changes the direction of reading, has no width, or looks like
    an ordinary space. Processes, units and containers may have it in their names.

    :param keep: characters that stay as they are.
    """
    plain = str(text)
    if plain.isascii() and plain.isprintable():
        return plain
    return "".join(
        char if char in keep or (char.isprintable() and not _BLANK.match(char)) else code_of(char)
        for char in _MARKS.sub("\\1\u2026", plain)
    )


def printable_all(value: t.Any, keep: str = "\n\t") -> t.Any:
    """Return plain data in which every text is printable, those of keys too."""
    if isinstance(value, str):
        # Ansible's texts know where they are from, which one without a fault shouldn't lose.
        return value if value.isascii() and value.isprintable() else printable(value, keep)
    if isinstance(value, dict):
        return {printable_all(key): printable_all(item, keep) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable_all(item, keep) for item in value]
    return value


def code_of(char: str) -> str:
    """Return a character as programs write it in texts."""
    number = ord(char)
    if number <= 0xFF:  # noqa: PLR2004
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"  # noqa: PLR2004
