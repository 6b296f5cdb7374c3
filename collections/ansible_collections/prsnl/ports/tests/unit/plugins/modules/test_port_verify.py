# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An endpoint that is as planned, that is missing, and a listener that nobody planned."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import HostPlan
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts import after
from ansible_collections.prsnl.ports.plugins.modules import port_verify
from worlds import ADA, World, endpoint

Run = t.Callable[..., dict[str, t.Any]]
PLAN = HostPlan("app", "test", "linux", (endpoint("web.http", 8080),))
PARAMS = {
    "plan": {"host": "app"},
    "registry": "registry/ports.yml",
    "leases": [],
    "timeout": 0,
    "settle": 0,
    "configuration": False,
}
AS_PLANNED = World().hold_all(8080, "web")
MODES = pytest.mark.parametrize("check", [False, True], ids=["run", "check mode"])


@pytest.fixture
def see(monkeypatch: pytest.MonkeyPatch) -> t.Callable[[World], None]:
    """Sets what the host has."""
    monkeypatch.setattr(port_verify, "read_plan", lambda _plan: PLAN)
    monkeypatch.setattr(after, "run_probe", lambda *_a, **_k: None)
    monkeypatch.setattr(port_verify, "judge_firewall", lambda *_given: None)

    def start(world: World) -> None:
        monkeypatch.setattr(after, "take_snapshot", lambda *_a, **_k: world.snapshot)

    return start


@MODES
def test_a_host_that_is_as_planned(run: Run, see: t.Callable[[World], None], check: bool) -> None:
    see(AS_PLANNED)
    result = run(port_verify.main, check=check, **PARAMS)
    assert (result["changed"], result["faults"]) == (False, [])
    assert [found["ok"] for found in result["results"]] == [True]
    assert "failed" not in result


@MODES
def test_what_differs_fails_except_in_check_mode(
    run: Run, see: t.Callable[[World], None], check: bool
) -> None:
    see(World())
    result = run(port_verify.main, check=check, **PARAMS)
    assert result["changed"] is False
    assert len(result["faults"]) == 1
    assert result["faults"][0].startswith("app: ")
    assert result.get("failed", False) is not check


@MODES
@pytest.mark.parametrize("unregistered", ["ignore", "report", "fail"])
def test_a_listener_that_nobody_planned(
    run: Run, see: t.Callable[[World], None], unregistered: str, check: bool
) -> None:
    see(World().hold_all(8080, "web").hold(8123, ADA))
    result = run(port_verify.main, check=check, unregistered=unregistered, **PARAMS)
    assert len(result["unregistered"]) == (unregistered != "ignore")
    assert len(result["faults"]) == (unregistered == "fail")
    assert result.get("failed", False) is (unregistered == "fail" and not check)


@MODES
def test_a_firewall_that_is_not_in_force(
    run: Run, see: t.Callable[[World], None], monkeypatch: pytest.MonkeyPatch, check: bool
) -> None:
    see(AS_PLANNED)
    monkeypatch.setattr(port_verify, "judge_firewall", lambda *_given: ["the rules are gone"])
    result = run(port_verify.main, check=check, **PARAMS)
    assert result["firewall"] == ["the rules are gone"]
    assert result["faults"] == ["app: the rules are gone"]
    assert result.get("failed", False) is not check
    assert run(port_verify.main, check=check, firewall=False, **PARAMS)["faults"] == []
