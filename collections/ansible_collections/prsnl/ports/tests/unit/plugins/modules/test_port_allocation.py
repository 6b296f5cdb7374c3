# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of port_allocation is that of its action plugin, which does all of it."""

from __future__ import annotations

import pathlib
import typing as t
from unittest import mock

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible_collections.prsnl.ports.plugins.action import port_allocation as action
from ansible_collections.prsnl.ports.plugins.modules import port_allocation
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load

BASE = (pathlib.Path(__file__).parents[1] / "plugin_utils" / "registry" / "base.yml").read_text(
    encoding="utf-8"
)
DOCUMENTED = yaml.safe_load(port_allocation.DOCUMENTATION)
RETURNED = set(yaml.safe_load(port_allocation.RETURN))
LISTENER = {
    "protocol": "tcp",
    "port": 20000,
    "address": "0.0.0.0",
    "process": "nginx",
    "user": "www-data",
    "unit": None,
    "container": None,
}
VARIABLES: dict[str, t.Any] = {
    "groups": {"all": ["app", "data"], "front": ["app"], "back": ["data"]},
    "hostvars": {"app": {"sockets": {"listeners": [LISTENER]}}, "data": {}},
}
# What a state needs, the port that it comes to, and the line that the registry gets.
STATES: dict[str, tuple[dict[str, t.Any], int, str]] = {
    "present": (
        {"endpoint": "shop.jobs", "exposure": "host", "reason": "Jobs"},
        20000,
        "+        port: 20000",
    ),
    "changed": (
        {"endpoint": "store.sql", "port": 21005, "reason": "Room"},
        21005,
        "+        port: 21005",
    ),
    "absent": ({"endpoint": "shop.admin"}, 20002, "+        status: retired"),
}
MODES = pytest.mark.parametrize("check", [False, True], ids=["run", "check mode"])
EVERY_STATE = pytest.mark.parametrize("state", STATES)


@pytest.fixture
def registry(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A registry to change."""
    file = tmp_path / "ports.yml"
    file.write_text(BASE, encoding="utf-8")
    monkeypatch.setattr(controller, "registry_path", lambda: str(file))
    return file


def run(*, check: bool = False, diff: bool = True, **arguments: t.Any) -> dict[str, t.Any]:
    """The result of the action."""
    given = {"by": "Ada", **arguments}
    task = mock.Mock(args=given, async_val=0, check_mode=check, diff=diff)
    plugin = action.ActionModule(task, mock.Mock(), None, None, None, None)
    result: dict[str, t.Any] = plugin.run(task_vars=VARIABLES)
    assert set(result) >= RETURNED
    assert set(result) - RETURNED <= {"changed", "diff", "warnings"}
    return result


@MODES
@pytest.mark.parametrize("diff", [True, False], ids=["diff", "no diff"])
@EVERY_STATE
def test_each_state_once(registry: pathlib.Path, state: str, check: bool, diff: bool) -> None:
    arguments, port, line = STATES[state]
    result = run(state=state, check=check, diff=diff, **arguments)
    assert (result["changed"], result["port"], result["path"]) == (True, port, str(registry))
    assert ("diff" in result) is diff
    if diff:
        assert f"{line}\n" in result["diff"]["prepared"]
        assert "+    by: Ada\n" in result["diff"]["prepared"]
    after = registry.read_text(encoding="utf-8")
    assert (after == BASE) is check
    if not check:
        changed = load.read(str(registry))
        assert changed.endpoints[arguments["endpoint"]].port == port
        assert changed.changes[-1].endpoint == arguments["endpoint"]
    assert [path.name for path in registry.parent.iterdir()] == ["ports.yml"]


@MODES
@EVERY_STATE
def test_a_second_time_changes_nothing(registry: pathlib.Path, state: str, check: bool) -> None:
    arguments, port, _line = STATES[state]
    run(state=state, **arguments)
    before = registry.read_bytes()
    result = run(state=state, check=check, **arguments)
    assert (result["changed"], result["port"]) == (False, port)
    assert "diff" not in result
    assert registry.read_bytes() == before


@MODES
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"endpoint": "shop.jobs", "exposure": "host"}, "a fixed endpoint needs a reason"),
        ({"endpoint": "shop.htp", "state": "changed", "port": 1}, "there is no such endpoint"),
        ({"endpoint": "store.sql", "state": "changed", "port": 21005}, "needs a reason"),
        ({"endpoint": "store.sql", "state": "absent"}, "needs a reason"),
        (
            {"endpoint": "shop.jobs", "port": 20001, "exposure": "host", "reason": "x"},
            "found 20001/tcp, taken by shop.http in staging",
        ),
        (
            {"endpoint": "shop.jobs", "port": 20000, "exposure": "host", "reason": "x"}
            | {"listening": "sockets"},
            "20000/tcp is held on app, 0.0.0.0, by nginx (user www-data)",
        ),
        (
            {"endpoint": "store.jobs", "exposure": "host", "reason": "x", "listening": "sockets"},
            "data wasn't asked, and what can't be seen isn't free",
        ),
    ],
)
def test_what_is_refused_changes_nothing(
    registry: pathlib.Path, arguments: dict[str, t.Any], message: str, check: bool
) -> None:
    with pytest.raises(AnsibleActionFail) as caught:
        run(check=check, **arguments)
    assert message in str(caught.value)
    assert registry.read_text(encoding="utf-8") == BASE


@MODES
def test_a_port_that_somebody_holds_is_passed_over(registry: pathlib.Path, check: bool) -> None:
    result = run(
        endpoint="shop.jobs", exposure="host", reason="x", listening="sockets", check=check
    )
    assert result["port"] == 20003


def test_its_options_are_those_of_the_documentation() -> None:
    keys = ("type", "required", "choices", "default", "elements")

    def plain(options: dict[str, t.Any], below: str) -> dict[str, t.Any]:
        return {
            name: {key: value for key, value in option.items() if key in keys}
            | ({"options": plain(option[below], below)} if below in option else {})
            for name, option in options.items()
        }

    spec = action.ActionModule.SPEC
    assert plain(DOCUMENTED["options"], "suboptions") == plain(spec, "options")
