# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text of unknown origin, made safe to be shown to people."""

from __future__ import annotations

import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import printable


def visible(text: t.Any, *, keep: str = "") -> str:
    """The text with everything invisible written out; `keep` has characters that stay."""
    return printable(text, keep)


def block(text: t.Any) -> str:
    """Several lines of text, with everything invisible except for the ends of lines written out."""
    return visible(str(text).replace("\r\n", "\n").expandtabs(4), keep="\n")


def anchor(*words: str) -> str:
    """A name for a place on the page, made of words of unknown origin."""
    return "-".join(
        "".join(c if c.isascii() and (c.isalnum() or c in "_.") else f"~{ord(c):x}" for c in word)
        for word in words
    )


def counted(number: int, one: str, many: str = "") -> str:
    """`1 host`, `2 hosts`."""
    return f"{number} {one if number == 1 else many or one + 's'}"
