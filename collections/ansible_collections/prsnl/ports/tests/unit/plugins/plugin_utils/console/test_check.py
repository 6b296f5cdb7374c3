# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ports check`: a number of the past in a source tree."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.console import main

REGISTRY = pathlib.Path(__file__).parents[9] / "registry" / "ports.yml"


@pytest.mark.parametrize(
    ("port", "code", "said"),
    [
        (5432, 1, ".env:1: 5432 is PostgreSQL's retired port, use 5433"),
        (5433, 0, ""),
    ],
)
def test_a_stale_number_is_found(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], port: int, code: int, said: str
) -> None:
    (tmp_path / ".env").write_text(f"DATABASE_URL=postgresql://a@localhost:{port}/x\n")
    assert main.main(["check", str(tmp_path), "--registry", str(REGISTRY)]) == code
    assert capsys.readouterr().out.strip() == said
