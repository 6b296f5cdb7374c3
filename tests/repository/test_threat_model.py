# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every claim of the threat model names something that is there."""

from __future__ import annotations

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "collections/ansible_collections/prsnl/ports/plugins"
TEXT = (ROOT / "docs/threat-model.md").read_text(encoding="utf-8")
FOLDERS = ("tests", "molecule", "collections/ansible_collections/prsnl/ports/tests")


def test_tests_that_it_names_are_there() -> None:
    there: set[str] = set()
    for folder in FOLDERS:
        for file in (ROOT / folder).rglob("test_*.py"):
            there |= set(re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.M))
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) > 20
    assert named <= there, named - there


def test_files_that_it_names_are_there() -> None:
    files = set(re.findall(r"`([\w./-]+/[\w.-]+\.(?:py|yaml|yml))`", TEXT))
    assert files
    for file in files:
        assert (ROOT / file).is_file() or (PLUGINS / file.removeprefix("plugins/")).is_file(), file


def test_every_claim_names_what_keeps_it() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("|") and "---" not in line]
    for row in rows:
        claim, kept = row.strip("|").rsplit(" | ", 1)
        assert kept.strip() == "kept by" or len(kept.strip()) > 10, claim


def test_the_readme_leads_to_it() -> None:
    assert "(docs/threat-model.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
