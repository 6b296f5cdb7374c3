# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action does between the change and its confirmation, with the module replaced."""

from __future__ import annotations

import types
import typing as t
from unittest import mock

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.prsnl.ports.plugins.action import firewall
from ansible_collections.prsnl.ports.plugins.action.firewall import ActionModule
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller, locking

PENDING = {"token": "abc", "session": "192.0.2.7 50022"}


class Rig(t.NamedTuple):
    action: ActionModule
    # What happened on the host and to the connection, in order.
    events: list[t.Any]
    answers: list[t.Any]
    # What each execution says about who locks the host.
    locks: list[dict[str, t.Any]]

    def run(self, **arguments: t.Any) -> dict[str, t.Any]:
        self.action._task.args = arguments
        result: dict[str, t.Any] = self.action.run(task_vars={"inventory_hostname": "a"})
        return result


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    events: list[t.Any] = []
    answers: list[t.Any] = []
    locks: list[dict[str, t.Any]] = []
    connection = mock.Mock(transport="ssh")
    connection.reset.side_effect = lambda: events.append("reset")
    action = ActionModule(mock.Mock(), connection, None, None, None, None)

    def execute(**call: t.Any) -> t.Any:
        arguments = dict(call["module_args"])
        locks.append(arguments.pop("lock"))
        events.append(arguments)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
    monkeypatch.setattr(action, "_execute_module", execute)
    known = types.SimpleNamespace(file="/site/ports.yml", endpoints={"shop.http": None})
    monkeypatch.setattr(controller, "current_registry", lambda: known)
    monkeypatch.setattr(controller, "host_plan", lambda _variables: {"host": "a", "endpoints": []})
    monkeypatch.setattr(controller, "absent_groups", lambda _variables: [])
    monkeypatch.setattr(controller, "without_plan", lambda *_given: "")
    return Rig(action, events, answers, locks)


def test_no_change_is_one_execution(rig: Rig) -> None:
    rig.answers.append({"changed": False})
    assert rig.run() == {"changed": False}
    (arguments,) = rig.events
    assert arguments["plan"] == {"host": "a", "endpoints": []}
    assert arguments["connection"] == "ssh"


def test_a_change_is_confirmed_over_a_new_connection(rig: Rig) -> None:
    rig.answers.extend([{"changed": True, "pending": dict(PENDING)}, {"changed": True}])
    assert rig.run(persistent=False) == {"changed": True}
    assert rig.events[1:] == ["reset", {"confirm": PENDING, "persistent": False}]
    assert [lock["token"] for lock in rig.locks] == ["", PENDING["token"]]


def test_what_is_closed_is_told_before_it_is(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    warn = mock.Mock(side_effect=rig.events.append)
    monkeypatch.setattr(firewall, "display", mock.Mock(warning=warn))
    closes = ["8080/tcp (java)", "IP protocol vrrp (a socket)"]
    rig.answers.extend(
        [
            {"changed": False, "to_tell": closes},
            {"changed": True, "closes": closes, "pending": dict(PENDING)},
            {"changed": True},
        ]
    )
    assert rig.run() == {"changed": True, "closes": closes}
    asked, told, loaded, *_rest = rig.events
    assert "told" not in asked
    assert "8080/tcp (java) and IP protocol vrrp" in told
    assert loaded["told"] == closes


def test_a_cut_connection_is_a_failure_that_says_what_happens(rig: Rig) -> None:
    cut = AnsibleConnectionFailure("Connection timed out")
    rig.answers.extend([{"changed": True, "pending": dict(PENDING)}, cut])
    result = rig.run()
    assert result["failed"]
    assert "the old ones come back by themselves: Connection timed out" in result["msg"]


def test_a_refused_confirmation_is_a_failure(rig: Rig) -> None:
    rig.answers.extend(
        [{"changed": True, "pending": dict(PENDING)}, {"failed": True, "msg": "late"}]
    )
    assert rig.run() == {"failed": True, "msg": "late"}


@pytest.mark.parametrize(
    ("transport", "expected"),
    [
        ("ssh", "ssh"),
        ("paramiko_ssh", "ssh"),
        ("ansible.netcommon.libssh", "ssh"),
        ("local", "other"),
        ("containers.podman.podman", "other"),
    ],
)
def test_the_module_learns_how_it_is_reached(rig: Rig, transport: str, expected: str) -> None:
    rig.action._connection.transport = transport
    rig.answers.append({"changed": False})
    rig.run()
    assert rig.events[0]["connection"] == expected


HOLDER = {
    "controller": "server",
    "user": "bob",
    "task": "Move the shop",
    "pid": 4711,
    "place": "elsewhere",
    "token": "bob's",
}
LOCKED = {"failed": True, "msg": "This host is being changed by bob@server"}


def test_whoever_changes_the_host_is_waited_for_by_name(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(locking.display, "display", told.append)
    rig.answers.extend([{**LOCKED, "locked_by": dict(HOLDER)}, {"changed": False}])
    assert rig.run(lock_timeout=7) == {"changed": False}
    (line,) = told
    assert "waiting for bob@server, whose task 'Move the shop' changes this host" in line
    assert [lock["wait"] for lock in rig.locks if "wait" in lock] == [7.0]


def test_after_that_the_task_fails_with_the_name(rig: Rig) -> None:
    rig.answers.extend([{**LOCKED, "locked_by": dict(HOLDER)} for _try in range(2)])
    assert rig.run() == LOCKED
    assert len(rig.events) == 2


def test_without_a_time_to_wait_it_fails_at_once(rig: Rig) -> None:
    rig.answers.append({**LOCKED, "locked_by": dict(HOLDER)})
    assert rig.run(lock_timeout=0) == LOCKED
    assert len(rig.events) == 1


def test_the_lease_of_a_dead_run_of_this_controller_is_taken_over(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locking, "is_alive", lambda pid: pid != HOLDER["pid"])
    here = {**HOLDER, "place": locking.place()}
    rig.answers.extend([{**LOCKED, "locked_by": here}, {"changed": True}])
    assert rig.run() == {"changed": True}
    assert rig.locks[1]["instead_of"] == "bob's"


@pytest.mark.parametrize(
    "change", [{}, {"place": "here", "pid": 1}, {"place": "here", "token": ""}]
)
def test_any_other_lease_is_not(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, change: dict[str, t.Any]
) -> None:
    """Of another controller, of a run that lives, or of a process that works right now."""
    monkeypatch.setattr(locking, "is_alive", lambda pid: pid != HOLDER["pid"])
    monkeypatch.setattr(locking, "place", lambda: "here")
    rig.answers.extend([{**LOCKED, "locked_by": {**HOLDER, **change}} for _try in range(2)])
    assert rig.run() == LOCKED
    assert all("instead_of" not in lock for lock in rig.locks)


def test_a_limit_of_an_unknown_endpoint_is_refused(rig: Rig) -> None:
    with pytest.raises(AnsibleActionFail, match=r"the registry has no endpoint shop\.htpp"):
        rig.run(limits={"shop.http": {}, "shop.htpp": {}})
    assert rig.events == []


@pytest.mark.parametrize("name", ["connection", "confirm", "lock", "told"])
def test_what_the_action_sets_cannot_be_given(rig: Rig, name: str) -> None:
    with pytest.raises(AnsibleActionFail, match=f"{name} is set by the action"):
        rig.run(**{name: "ssh"})
