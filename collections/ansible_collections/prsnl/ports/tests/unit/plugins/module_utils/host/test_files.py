# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are replaced in one step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import (
    Content,
    stage_file,
    write_file,
    write_text,
)


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    target = tmp_path / "real"
    target.write_text("old", encoding="utf-8")
    link = tmp_path / "link"
    link.symlink_to(target)
    write_file(str(link), Content(b"new", 0o600, os.geteuid(), os.getegid()))
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == "new"


def test_files_are_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_text(str(path), "text", 0o600)
    assert path.read_text() == "text"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_file_that_cannot_be_replaced_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")

    def full(_descriptor: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text(str(path), "new", 0o600)
    assert path.read_text(encoding="utf-8") == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_staged_file_is_beside_the_other_and_has_its_ending(tmp_path: Path) -> None:
    content = Content(b"new", 0o600, os.geteuid(), os.getegid())
    staged = Path(stage_file(str(tmp_path / "a.conf"), content, ".conf"))
    assert (staged.parent, staged.suffix) == (tmp_path, ".conf")
