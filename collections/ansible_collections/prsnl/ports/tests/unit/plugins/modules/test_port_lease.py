# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of port_lease is that of its action plugin, which does all of it."""

from __future__ import annotations

import datetime
import pathlib
import typing as t
from unittest import mock

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible_collections.prsnl.ports.plugins.action import port_lease as action
from ansible_collections.prsnl.ports.plugins.modules import port_lease
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import leases

BASE = (pathlib.Path(__file__).parents[1] / "plugin_utils" / "registry" / "base.yml").read_text(
    encoding="utf-8"
)
DOCUMENTED = yaml.safe_load(port_lease.DOCUMENTATION)
RETURNED = set(yaml.safe_load(port_lease.RETURN))
VARIABLES: dict[str, t.Any] = {
    "groups": {"all": ["app", "data"], "front": ["app"], "back": ["data"]},
    "hostvars": {},
}
LEASE: dict[str, t.Any] = {
    "port": 20005,
    "hosts": "front",
    "holder": {"process": "node", "user": "ada"},
    "reason": "Load test",
    "expires": "2999-01-01",
}
# What a state needs, whether the lease has to be there before it, and a line of its diff.
STATES: dict[str, tuple[dict[str, t.Any], bool, str]] = {
    "present": (LEASE, False, "+    reason: Load test"),
    "extended": (
        {"port": 20005, "hosts": "front", "expires": "2999-02-01"},
        True,
        "+    expires: 2999-02-01",
    ),
    "absent": ({"port": 20005, "hosts": "front"}, True, "-    reason: Load test"),
}
MODES = pytest.mark.parametrize("check", [False, True], ids=["run", "check mode"])
EVERY_STATE = pytest.mark.parametrize("state", STATES)


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A registry without leases."""
    file = tmp_path / "ports.yml"
    file.write_text(BASE, encoding="utf-8")
    monkeypatch.setattr(controller, "registry_path", lambda: str(file))
    return tmp_path


def run(*, check: bool = False, diff: bool = True, **arguments: t.Any) -> dict[str, t.Any]:
    """The result of the action."""
    task = mock.Mock(args=dict(arguments), async_val=0, check_mode=check, diff=diff)
    plugin = action.ActionModule(task, mock.Mock(), None, None, None, None)
    result: dict[str, t.Any] = plugin.run(task_vars=VARIABLES)
    assert set(result) >= RETURNED
    assert set(result) - RETURNED <= {"changed", "diff", "warnings"}
    return result


def content(folder: pathlib.Path) -> str:
    """What the file of the leases holds; nothing if there is none."""
    file = folder / "leases.yml"
    return file.read_text(encoding="utf-8") if file.exists() else ""


@MODES
@pytest.mark.parametrize("diff", [True, False], ids=["diff", "no diff"])
@EVERY_STATE
def test_each_state_once(folder: pathlib.Path, state: str, check: bool, diff: bool) -> None:
    arguments, before, line = STATES[state]
    if before:
        run(**LEASE)
    old = content(folder)
    result = run(state=state, check=check, diff=diff, **arguments)
    path = str(folder / "leases.yml")
    assert (result["changed"], result["port"], result["path"]) == (True, 20005, path)
    assert ("diff" in result) is diff
    if diff:
        assert f"{line}\n" in result["diff"]["prepared"]
    assert (content(folder) == old) is check
    if not check:
        ends = [lease.expires for lease in leases.read(path)]
        assert ends == ([] if state == "absent" else [arguments["expires"]])
    assert (folder / "ports.yml").read_text(encoding="utf-8") == BASE


@MODES
@EVERY_STATE
def test_a_second_time_changes_nothing(folder: pathlib.Path, state: str, check: bool) -> None:
    arguments, before, _line = STATES[state]
    if before:
        run(**LEASE)
    run(state=state, **arguments)
    old = content(folder)
    result = run(state=state, check=check, **arguments)
    assert result["changed"] is False
    assert "diff" not in result
    assert content(folder) == old


@MODES
def test_a_lease_is_never_extended_silently(folder: pathlib.Path, check: bool) -> None:
    """A task that runs again keeps the end; one that has passed is refused, or told."""
    run(**{**LEASE, "expires": "4h"})
    old = content(folder)
    assert run(**{**LEASE, "expires": "2d"}, check=check)["changed"] is False
    day = (datetime.date.today() - datetime.timedelta(days=2)).isoformat()
    ((lease,),) = (leases.read(str(folder / "leases.yml")),)
    (folder / "leases.yml").write_text(old.replace(lease.expires, day))
    ended = content(folder)
    with pytest.raises(
        AnsibleActionFail, match=r"was leased to node .* The state extended prolongs"
    ):
        run(**{**LEASE, "expires": "4h"}, check=check)
    (warning,) = run(port=20005, hosts="front", check=check)["warnings"]
    assert "was leased to node on front until" in warning
    assert content(folder) == ended


@MODES
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"holder": None}, "found no holder, allowed is a lease with holder, reason and end"),
        ({"reason": None}, "found no reason"),
        ({"expires": None}, "found no expires"),
        ({"expires": "2020-01-01"}, "found the end 2020-01-01, which has passed"),
        ({"expires": "soon"}, "found the end 'soon', allowed is a day such as"),
        ({"hosts": "frnt"}, "the inventory has no such host or group"),
        ({"port": 20001}, "it is shop.http's, fixed"),
        ({"port": 21000}, "it is store.old's, retired"),
        ({"port": 20006, "hosts": "app"}, "it is leased to node on front until 2999-01-01"),
        ({"port": 20006, "holder": {"process": "x"}}, "to another holder"),
        ({"port": 20006, "state": "absent", "holder": {"process": "x"}}, "to another holder"),
        ({"port": 20006, "state": "extended", "expires": "2998-01-01"}, "is later than 2998-01-01"),
        ({"state": "extended"}, "there is no such lease"),
    ],
)
def test_what_is_refused_changes_nothing(
    folder: pathlib.Path, arguments: dict[str, t.Any], message: str, check: bool
) -> None:
    run(**{**LEASE, "port": 20006})
    before = content(folder)
    with pytest.raises(AnsibleActionFail) as caught:
        run(check=check, **{**LEASE, **arguments})
    assert message in str(caught.value)
    assert content(folder) == before


def test_its_options_are_those_of_the_documentation() -> None:
    keys = ("type", "required", "choices", "default", "elements")
    documented, spec = (
        {
            name: {key: value for key, value in option.items() if key in keys}
            for name, option in options.items()
        }
        for options in (DOCUMENTED["options"], action.ActionModule.SPEC)
    )
    assert documented == spec
