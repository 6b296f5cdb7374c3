# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text of unknown origin: nothing invisible is left in it."""

from __future__ import annotations

import unicodedata

import hypothesis
import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.text import (
    anchor,
    block,
    counted,
    visible,
)
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nginx (root)", "nginx (root)"),
        ("Größe ×2", "Größe ×2"),  # noqa: RUF001
        ("日本語", "日本語"),
        ("a\x1b[31mred\x1b[0m", "a\\x1b[31mred\\x1b[0m"),
        ("a\nb\tc\r\0", "a\\x0ab\\x09c\\x0d\\x00"),
        ("abc\u202egpj.exe", "abc\\u202egpj.exe"),
        ("pass\u200bword\ufeff", "pass\\u200bword\\ufeff"),
        ("a\u00a0b\u3000c", "a\\xa0b\\u3000c"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("fill\u3164er\u115f\u2800", "fill\\u3164er\\u115f\\u2800"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("vs\ufe0f\U000e0100", "vs\\ufe0f\\U000e0100"),
        ("\ud800", "\\ud800"),
        ("z" + "\u0335" * 50, "z" + "\u0335" * 4 + "…"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_examples(text: str, shown: str) -> None:
    assert visible(text) == shown


@hypothesis.given(st.text(st.characters()))
def test_nothing_is_left_that_cant_be_seen(text: str) -> None:
    shown = visible(text)
    assert all(unicodedata.category(c)[0] not in "CZ" or c == " " for c in shown)
    # What could be seen before is still there, in its order.
    assert visible(shown) == shown


@hypothesis.given(st.text(st.characters()))
def test_a_block_keeps_its_lines_only(text: str) -> None:
    shown = block(text)
    assert all(c in "\n " or unicodedata.category(c)[0] not in "CZ" for c in shown)


@hypothesis.given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
def test_anchors_are_names_and_tell_places_apart(one: list[str], other: list[str]) -> None:
    name = anchor(*one)
    assert name.isascii()
    assert not set(name) & set(" \"'<>&#\t\n")
    if one != other and all(map(len, one)) and all(map(len, other)):
        assert name != anchor(*other)


def test_counting() -> None:
    assert [counted(n, "host") for n in (0, 1, 2)] == ["0 hosts", "1 host", "2 hosts"]
