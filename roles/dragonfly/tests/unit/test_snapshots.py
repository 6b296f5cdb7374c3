# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which snapshots stay."""

from __future__ import annotations

import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "files" / "keep-snapshots.sh"


@pytest.mark.parametrize("number", [1, 2, 9])
def test_the_newest_complete_snapshots_stay(tmp_path: pathlib.Path, number: int) -> None:
    times = [f"2026-11-{day:02}T10:00:00" for day in (3, 25, 9)]
    for time in times:
        for part in ("0000", "0001", "summary"):
            (tmp_path / f"dump-{time}-{part}.dfs").touch()
    # One that is being written, one under the name of an earlier release, and somebody's own.
    others = ["dump-2026-11-26T10:00:00-0000.dfs", "dump-summary.dfs", "dump-0000.dfs", "notes.txt"]
    for name in others:
        (tmp_path / name).touch()
    subprocess.run(["/bin/sh", SCRIPT, tmp_path, str(number)], check=True)
    kept = {
        f"dump-{time}-{part}.dfs"
        for time in sorted(times)[-number:]
        for part in ("0000", "0001", "summary")
    }
    assert {path.name for path in tmp_path.iterdir()} == kept | set(others)
