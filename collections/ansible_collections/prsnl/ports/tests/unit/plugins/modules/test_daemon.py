# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible calls it, by state and check mode, on a host that is simulated."""

from __future__ import annotations

import functools
import json
import typing as t
from pathlib import Path

import cuts
import pytest
from ansible.module_utils.common.parameters import PASS_VARS
from ansible.module_utils.testing import patch_module_args
from ansible_collections.prsnl.ports.plugins.module_utils.daemon import installers
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.change import Setting
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import Changer, HostLock
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import changing
from ansible_collections.prsnl.ports.plugins.modules import daemon
from simulated_host import UNIT, Params, SimulatedHost, shop

LOCK = {"controller": "laptop", "user": "ada", "task": "Run the shop", "pid": 4711, "place": "x"}


class Call(t.NamedTuple):
    """Calls the module."""

    host: SimulatedHost
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *, check: bool = False, **arguments: t.Any) -> dict[str, t.Any]:
        given = {key: value for key, value in arguments.items() if value is not None}
        internal = {"_ansible_check_mode": check, "_ansible_diff": True}
        if (
            "inject_invocation" in PASS_VARS
        ):  # since ansible-core 2.21 it is asked for, as -vvv does
            internal["_ansible_inject_invocation"] = True
        given = {"lock": LOCK, **given, **internal}
        with patch_module_args(given), pytest.raises(SystemExit):
            daemon.main()
        result: dict[str, t.Any] = json.loads(self.capsys.readouterr().out)
        return result

    def files(self, version: str = "1", **changes: t.Any) -> Params:
        """Its options without packages and downloads, as nothing else installs them here."""
        params = {**shop(self.host, version), "packages": [], "downloads": [], "version": ""}
        params["files"] = [
            {key: value for key, value in entry.items() if value is not None}
            for entry in params["files"]
        ]
        return {**params, "timeout": 1, **changes}


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    host = SimulatedHost(tmp_path)
    host.create()
    root, state = str(host.root), str(host.state)
    monkeypatch.setattr(installers, "CACHE", f"{root}/var/cache/prsnl-ports")
    monkeypatch.setattr(daemon, "make_runner", lambda _module: host.run)
    for name in ("Systemd", "Apt"):
        monkeypatch.setattr(daemon, name, functools.partial(getattr(daemon, name), root=root))
    undo = f"{state}/undo"
    setting = functools.partial(Setting, directory=state, undo_folder=undo, runtime=f"{root}/run")
    monkeypatch.setattr(daemon, "Setting", setting)
    place = str(host.lock)
    monkeypatch.setattr(daemon, "changing", functools.partial(changing, path=place, folders=[undo]))
    return Call(host, capsys)


def everything(host: SimulatedHost) -> dict[str, str]:
    return {
        str(path): path.read_text(encoding="utf-8") if path.is_file() else ""
        for path in host.root.rglob("*")
        if path not in (host.lock, host.lock.parent)
    }


@pytest.mark.parametrize("state", ["started", "configured"])
def test_check_mode_says_what_would_be_done_and_does_nothing(call: Call, state: str) -> None:
    params = call.files(state=state)
    before = everything(call.host), call.host.read_book()
    told = call(check=True, **params)
    assert (everything(call.host), call.host.read_book()) == before
    assert not call.host.lock.exists(), "looking needs no lock"
    done = call(**params)
    assert told["changed"] is True
    assert done["changed"] is True
    assert told["actions"] == done["actions"]
    assert told["changed_files"] == done["changed_files"]
    assert told["diff"] == done["diff"]


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("state", ["started", "configured"])
def test_a_second_run_changes_nothing(call: Call, state: str, check: bool) -> None:
    params = call.files(state=state)
    call(**params)
    before = everything(call.host)
    again = call(check=check, **params)
    assert (again["changed"], again["actions"], again["diff"]) == (False, [], [])
    assert everything(call.host) == before


@pytest.mark.parametrize("state", ["started", "configured"])
def test_states(call: Call, state: str) -> None:
    actions = call(**call.files(state=state))["actions"]
    assert ("start" in actions) == (state == "started")
    assert call.host.read_book()["active"] == (state == "started")


def test_what_is_missing_is_told_in_check_mode(call: Call) -> None:
    told = call(check=True, **call.files(packages=["shop"]))
    assert told["changed"]
    assert told["actions"][0] == "install shop"
    assert told["missing"]["packages"] == ["shop"]
    assert not (call.host.root / "usr/sbin/policy-rc.d").exists()


def test_what_is_missing_is_left_to_the_action_under_a_lease(call: Call) -> None:
    params = call.files(packages=["shop"])
    found = call(**params)
    assert not found["changed"]
    assert found["staged"] == {}
    assert (call.host.root / "usr/sbin/policy-rc.d").exists()
    refused = call(**params)
    assert refused["failed"]
    assert refused["locked_by"]["controller"] == "laptop"
    assert "by ada@laptop (pid 4711 there), task 'Run the shop'" in refused["msg"]
    call(**params, step="abandon", lock={**LOCK, "token": found["token"]})
    assert call.host.leftovers() == []
    assert "staged" in call(**params), "it begins anew"


def test_two_controllers_do_not_mix(call: Call) -> None:
    other = HostLock(Changer("server", "bob", "Move the shop"), str(call.host.lock))
    other.take()
    before = everything(call.host)
    refused = call(**call.files())
    assert refused["failed"]
    assert "bob@server" in refused["msg"]
    assert everything(call.host) == before
    assert call(check=True, **call.files())["changed"]
    other.release()
    assert call(**call.files())["changed"]


@pytest.mark.parametrize("check", [True, False])
def test_an_invalid_file_fails_and_changes_nothing(call: Call, check: bool) -> None:
    call(**call.files())
    before = everything(call.host)
    params = call.files("2")
    params["files"][0]["content"] = "bad"
    failed = call(check=check, **params)
    assert failed["failed"]
    assert "would not be valid" in failed["msg"]
    assert everything(call.host) == before


def test_a_run_that_was_cut_off_is_told(call: Call) -> None:
    params = call.files("2")
    call(**call.files())
    call.host.save()
    for write in cuts.every_cut(lambda: call.host.provide(_raw(params)), call.host.reset):
        if write < 30:
            continue
        result = call(**params)
        assert not result.get("failed"), result
        told = result.get("recovered", [])
        assert [line for line in told if UNIT in line and "was cut off" in line]
        return


def _raw(params: Params) -> Params:
    """As the module reads them."""
    return {**params, "files": [{"secret": None, **entry} for entry in params["files"]]}


@pytest.mark.parametrize("check", [True, False])
def test_several_daemons_are_one_execution(call: Call, check: bool) -> None:
    one = {key: value for key, value in call.files().items() if value is not None}
    two = {**one, "unit": "other.timer", "files": [], "service_options": {}}
    result = call(check=check, daemons=[one, two])
    assert [entry["unit"] for entry in result["daemons"]] == [UNIT, "other.timer"]
    assert result["changed"]
    if not check:
        again = call(daemons=[one])
        assert (again["changed"], again["daemons"][0]["actions"]) == (False, [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "one of the following is required: unit, packages"),
        ({"packages": ["a"], "service_options": {"A": 1}}, "service_options: this needs the unit"),
        ({"unit": "a.service", "daemons": [{"unit": "b.service"}]}, "unit: with daemons, these"),
        ({"daemons": [{"version": "1"}]}, "one of the following is required: unit, packages"),
    ],
)
def test_options_that_do_not_go_together(
    call: Call, arguments: dict[str, t.Any], message: str
) -> None:
    failed = call(**arguments)
    assert failed["failed"]
    assert message in failed["msg"]


@pytest.mark.parametrize("check", [True, False])
def test_secrets_are_not_in_the_result(call: Call, check: bool) -> None:
    params = call.files()
    params["files"][0]["secret"] = "config-and-a-password"
    del params["files"][0]["content"]
    result = call(check=check, **params)
    assert "a-password" not in json.dumps(result)
    assert result["invocation"] == {"module_args": {"unit": UNIT}}
