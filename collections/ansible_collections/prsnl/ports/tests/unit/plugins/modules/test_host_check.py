# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that is fit, and one that isn't."""

from __future__ import annotations

import os
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.modules import host_check

Run = t.Callable[..., dict[str, t.Any]]


@pytest.mark.parametrize("check", [False, True], ids=["run", "check mode"])
@pytest.mark.parametrize(
    ("needed", "faults"),
    [
        ({}, 0),
        ({"architectures": [os.uname().machine], "memory_mb": 1}, 0),
        ({"architectures": ["vax"], "disks": [{"path": "/", "free_mb": 1 << 40}]}, 2),
    ],
    ids=["nothing is needed", "fit", "unfit"],
)
def test_everything_that_is_wrong_is_told_at_once(
    run: Run, needed: dict[str, t.Any], faults: int, check: bool
) -> None:
    result = run(host_check.main, check=check, host="app", **needed)
    assert result["changed"] is False
    assert len(result["faults"]) == faults
    assert result["found"]["architecture"] == os.uname().machine
    assert result.get("failed", False) is (faults > 0)
    if faults:
        assert result["msg"].splitlines() == [f"app: {fault}" for fault in result["faults"]]


def test_what_is_needed_has_to_make_sense(run: Run) -> None:
    result = run(host_check.main, host="app", disks=[{"path": "/"}])
    assert result["failed"]
    assert "free_mb" in result["msg"]
