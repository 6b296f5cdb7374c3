# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reviewer can't see has no place in a registry, and nothing of it reaches a terminal."""

from __future__ import annotations

import io
import pathlib

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import HIDDEN, printable_all
from ansible_collections.prsnl.ports.plugins.plugin_utils.console import output
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import leases, load
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import RegistryError

BASE = (pathlib.Path(__file__).parent / "base.yml").read_text(encoding="utf-8")
HIDDEN_ONES = [
    ("\u202e", "U+202E (RIGHT-TO-LEFT OVERRIDE)"),
    ("\u2066", "U+2066 (LEFT-TO-RIGHT ISOLATE)"),
    ("\u200b", "U+200B (ZERO WIDTH SPACE)"),
    ("\u200d", "U+200D (ZERO WIDTH JOINER)"),
    ("\u2060", "U+2060 (WORD JOINER)"),
    ("\u00ad", "U+00AD (SOFT HYPHEN)"),
    ("\u061c", "U+061C (ARABIC LETTER MARK)"),
    ("\u3164", "U+3164 (HANGUL FILLER)"),
    ("\U000e0041", "U+E0041 (TAG LATIN CAPITAL LETTER A)"),
]
CONTROLS = ["\x00", "\x1b", "\x07", "\x7f", "\x9b", "\x85"]


def _faults(text: str) -> list[str]:
    with pytest.raises(RegistryError) as caught:
        load.parse(text.encode(), "ports.yml")
    return str(caught.value).split("\n")


@pytest.mark.parametrize(("char", "told"), HIDDEN_ONES)
def test_texts_names_keys_and_comments(char: str, told: str) -> None:
    escaped = f"\\U{ord(char):08x}"
    for old, new, line in (
        ("The shop", f"The {char}shop", 23),
        ("The shop", f'"The {escaped}shop"', 23),
        ("  shop:\n", f'  "sh{escaped}op":\n', 22),
        ("user: shop", f'user: "sh{escaped}op"', 27),
        ("/shop/: Shop", f"/shop/: Sh{char}op", 34),
        ("reason: One is", f"reason: O{char}ne is", 66),
    ):
        faults = _faults(BASE.replace(old, new, 1))
        assert any(f.startswith(f"ports.yml:{line}: ") and told in f for f in faults), faults
        assert all(fault.isprintable() and not HIDDEN.search(fault) for fault in faults)
    [fault] = _faults(BASE.replace("networks:\n", f"networks: # {char}\n", 1))
    assert fault.startswith("ports.yml:8: (root): found the invisible ")
    assert told in fault


def test_the_end_of_a_line_that_only_some_readers_see() -> None:
    assert any(
        "U+2028 (LINE SEPARATOR)" in f for f in _faults(BASE.replace("The shop", "A\u2028B"))
    )


@pytest.mark.parametrize("char", CONTROLS)
def test_control_characters(char: str) -> None:
    told = f"found the invisible U+{ord(char):04X} (a control character)"
    faults = _faults(BASE.replace("The shop", f'"The \\x{ord(char):02x}shop"', 1))
    assert any("services.shop.description" in fault and told in fault for fault in faults), faults
    faults = _faults(BASE.replace("The shop", f'"The {char}shop"', 1))
    assert all(fault.isprintable() for fault in faults)


def test_a_key_with_an_escape_sequence_is_told_printably() -> None:
    faults = _faults(BASE.replace("      admin:\n", '      "ad\\e[31mmin":\n', 1))
    assert any("U+001B" in fault for fault in faults)
    assert all(fault.isprintable() for fault in faults)


def test_leases_too() -> None:
    text = (
        "version: 1\nleases:\n  - {port: 9100, hosts: app, holder: {process: node},"
        ' reason: "A\\u202edemo", expires: 2026-12-01}\n'
    )
    with pytest.raises(RegistryError, match=r"leases.yml:3: leases\[0\].reason: .*U\+202E"):
        leases.parse(text.encode(), "leases.yml")


def test_what_people_write_stays() -> None:
    text = BASE.replace("The shop", "Le café\u00a0! 商店 ☕\ufe0f \U0001f600 — «x»", 1)
    assert load.parse(text.encode(), "ports.yml")


def test_the_console_prints_what_can_be_seen() -> None:
    stream = io.StringIO()
    output.findings(
        [output.Finding("a\x1b[31mb\u202ec", file="x\u200by.md", line=1)], "text", stream
    )
    assert stream.getvalue() == "x\\u200by.md:1: a\\x1b[31mb\\u202ec\n"


def test_what_a_host_says_is_made_printable() -> None:
    said = {"re\u202e": [{"held_by": "evil\x1b[2J.service"}, 7, None, "line\nline"]}
    assert printable_all(said) == {
        "re\\u202e": [{"held_by": "evil\\x1b[2J.service"}, 7, None, "line\nline"]
    }
