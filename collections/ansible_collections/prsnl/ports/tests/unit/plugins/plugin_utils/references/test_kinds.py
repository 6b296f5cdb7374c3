# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of the numbers in files of every kind, place by place."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest
import yaml
from ansible_collections.prsnl.ports.plugins.plugin_utils.references import scan
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load

HERE = pathlib.Path(__file__).parent
REGISTRY = load.read(str(HERE / "ports.yml"))
CASES: list[dict[str, t.Any]] = yaml.safe_load((HERE / "kinds.yml").read_text(encoding="utf-8"))
MARK = re.compile("«[a-z]+»")


def annotated(text: str, references: t.Iterable[scan.Reference]) -> str:
    """A text with the verdict after each number that something is said of."""
    data = text.encode()
    for reference in sorted(references, key=lambda r: -r.end):
        mark = f"«{reference.verdict}»".encode()
        data = data[: reference.end] + mark + data[reference.end :]
    return data.decode()


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_every_place_and_no_other(case: dict[str, t.Any], tmp_path: pathlib.Path) -> None:
    texts = {path: MARK.sub("", text) for path, text in case["files"].items()}
    for path, text in texts.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    found = scan.scan(REGISTRY, str(tmp_path))
    shown = {
        path: annotated(text, [r for r in found.references if r.file == path])
        for path, text in texts.items()
    }
    assert shown == case["files"]
    # Rewriting changes the stale numbers, and nothing is left to do after that.
    stale = [r for r in found.of("stale") if r.use]
    changes = found.changes()
    assert {change.file for change in changes} == {r.file for r in stale}
    found.rewrite(changes)
    assert [r for r in scan.scan(REGISTRY, str(tmp_path)).of("stale") if r.use] == []
