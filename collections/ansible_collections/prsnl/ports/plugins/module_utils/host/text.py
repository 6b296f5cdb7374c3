# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Words for people."""

from __future__ import annotations

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


def printable(text: str) -> str:
    """Return text that is safe to print: a process may put control characters into its name."""
    return "".join(char if char.isprintable() else "?" for char in text)
