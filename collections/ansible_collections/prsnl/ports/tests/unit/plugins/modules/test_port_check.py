# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A port that is free, that somebody else holds, and that its own service holds."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import HostPlan
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.redirects import Redirects
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts import before
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.trials import UNTRIED
from ansible_collections.prsnl.ports.plugins.modules import port_check
from worlds import ADA, World, endpoint

Run = t.Callable[..., dict[str, t.Any]]
PLAN = HostPlan("app", "test", "linux", (endpoint("web.http", 8080),))
PARAMS = {"plan": {"host": "app"}, "registry": "registry/ports.yml", "leases": []}


@pytest.mark.parametrize("check", [False, True], ids=["run", "check mode"])
@pytest.mark.parametrize(
    "found",
    [
        (World(), "free", ""),
        (World().hold_all(8080, "web"), "ours", ""),
        (World().hold(8080, ADA), "foreign", "app: 8080/tcp wanted by web.http is held on 0.0.0.0"),
    ],
    ids=["free", "ours", "foreign"],
)
def test_a_stranger_stops_the_run(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    found: tuple[World, str, str],
    check: bool,
) -> None:
    world, verdict, conflict = found
    monkeypatch.setattr(port_check, "read_plan", lambda _plan: PLAN)
    monkeypatch.setattr(before, "take_snapshot", lambda _keys: world.snapshot)
    monkeypatch.setattr(before, "read_host_redirects", Redirects)
    monkeypatch.setattr(before, "try_endpoint", lambda *_words: UNTRIED)
    result = run(port_check.main, check=check, **PARAMS)
    assert result["changed"] is False
    assert [one["verdict"] for one in result["results"]] == [verdict]
    assert result.get("failed", False) is bool(conflict)
    assert len(result["conflicts"]) == bool(conflict)
    assert result.get("msg", "").startswith(conflict)


def test_a_plan_that_cannot_be_read_is_an_error(run: Run) -> None:
    result = run(port_check.main, **PARAMS | {"plan": {"host": "app", "endpoints": [{}]}})
    assert result["failed"]
    assert result["msg"].startswith("plan: not what")


def test_the_ports_of_an_unfit_host_are_not_looked_at(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port_check, "read_plan", lambda _plan: PLAN)
    monkeypatch.delattr(port_check, "check_host")
    result = run(port_check.main, **PARAMS, architectures=["vax"], memory_mb=1 << 40)
    assert result["failed"]
    assert len(result["faults"]) == 2
    assert result["msg"].splitlines() == [f"app: {fault}" for fault in result["faults"]]
    assert "conflicts" not in result
