# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A port that is free, that the meant process holds, and that somebody else holds."""

from __future__ import annotations

import functools
import pathlib
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.freeing.port import Way
from ansible_collections.prsnl.ports.plugins.module_utils.host import undo
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import Changer, HostLock
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import HostPlan
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.login import Login
from ansible_collections.prsnl.ports.plugins.modules import free_port
from worlds import ADA, World

Run = t.Callable[..., dict[str, t.Any]]
PARAMS = {"plan": {"host": "app"}, "registry": "registry/ports.yml", "port": 8123}
MODES = pytest.mark.parametrize("check", [False, True], ids=["run", "check mode"])


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> list[str]:
    """Who was stopped; nobody really is."""
    done: list[str] = []

    def stop(holding: t.Any, _way: Way, **_options: t.Any) -> str:
        done.append(holding.who)
        return "stopped"

    monkeypatch.setattr(free_port, "read_plan", lambda _plan: HostPlan("app", "test", "linux", ()))
    monkeypatch.setattr(free_port, "read_login", lambda: Login(frozenset(), None))
    monkeypatch.setattr(free_port, "stop", stop)
    changing = functools.partial(
        undo.changing, path=str(tmp_path / "lock"), folders=[str(tmp_path / "undo")]
    )
    monkeypatch.setattr(free_port, "changing", changing)
    return done


def see(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    monkeypatch.setattr(free_port, "take_snapshot", lambda _keys: world.snapshot)


@MODES
def test_a_free_port_is_left_alone(
    run: Run, monkeypatch: pytest.MonkeyPatch, stopped: list[str], check: bool
) -> None:
    see(monkeypatch, World())
    result = run(free_port.main, check=check, owner="node", **PARAMS)
    assert (result["changed"], result["held_by"], stopped) == (False, "", [])


@MODES
def test_the_meant_holder_is_stopped_unless_in_check_mode(
    run: Run, monkeypatch: pytest.MonkeyPatch, stopped: list[str], check: bool
) -> None:
    see(monkeypatch, World().hold(8123, ADA))
    result = run(free_port.main, check=check, owner="node", **PARAMS)
    assert result["changed"]
    assert result["held_by"] == result["diff"]["before"].split(maxsplit=1)[1].strip()
    assert stopped == ([] if check else [result["held_by"]])


@MODES
def test_another_holder_is_never_stopped(
    run: Run, monkeypatch: pytest.MonkeyPatch, stopped: list[str], check: bool
) -> None:
    see(monkeypatch, World().hold(8123, ADA))
    result = run(free_port.main, check=check, owner="bun", **PARAMS)
    assert result["failed"]
    assert "The holder is node, not bun." in result["msg"]
    assert stopped == []


def test_nobody_is_stopped_while_somebody_else_changes_the_host(
    run: Run, monkeypatch: pytest.MonkeyPatch, stopped: list[str], tmp_path: pathlib.Path
) -> None:
    see(monkeypatch, World().hold(8123, ADA))
    other = HostLock(Changer(controller="laptop", user="ada"), str(tmp_path / "lock"))
    other.take()
    result = run(free_port.main, owner="node", **PARAMS)
    assert result["failed"]
    assert "This host is being changed by ada@laptop" in result["msg"]
    assert result["locked_by"]["user"] == "ada"
    assert stopped == []
    # Check mode changes nothing, and doesn't wait either.
    assert run(free_port.main, check=True, owner="node", **PARAMS)["changed"]
    other.release()
    assert run(free_port.main, owner="node", **PARAMS)["changed"]
