# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module and its action, with the host simulated."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import types
import typing as t
from unittest import mock

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible.plugins.action import ActionBase
from ansible_collections.prsnl.ports.plugins.doc_fragments import lock as lock_fragment
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import (
    Changer,
    Holder,
    LockedError,
)
from postgresql_cluster.host import Layout
from simulation import PORT, RULES, Host, listen

ROLE = pathlib.Path(__file__).parents[2]
WANTED: dict[str, t.Any] = {
    "version": "16",
    "port": PORT,
    "settings": {"port": PORT, "listen_addresses": "0.0.0.0"},
    "fixed": ["port"],
    "memory_mb": 1024,
    "rules": RULES,
    "options": {"User": "postgres"},
    "endpoints": [{"id": "a.b", "port": PORT, "protocol": "tcp", "listen": ["0.0.0.0"]}],
}


def load(path: str) -> types.ModuleType:
    """A plugin of the role."""
    spec = importlib.util.spec_from_file_location(f"role_{path.replace('/', '_')}", ROLE / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def host(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path).install()
    listen(monkeypatch, host)
    # Under the name that modules import it by, it is another one.
    monkeypatch.setattr(
        "ansible.module_utils.postgresql_cluster.service.read_sockets", host.sockets
    )
    return host


@pytest.fixture
def module(host: Host, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    found = load("library/postgresql_cluster.py")
    monkeypatch.setattr(found, "Layout", lambda *_names: host.layout)
    monkeypatch.setattr(found, "find_account", lambda _name: host.account)
    monkeypatch.setattr(found, "module_runner", lambda _module: host.run)
    monkeypatch.setattr(found, "DURABLE", host.undo)
    monkeypatch.setattr(found, "changing", lambda *_who, **_lock: host.changing())
    monkeypatch.setattr("os.geteuid", lambda: 0)
    return found


def run(
    module: types.ModuleType,
    capsys: pytest.CaptureFixture[str],
    *,
    check: bool = False,
    **changes: t.Any,
) -> dict[str, t.Any]:
    arguments = {**WANTED, **changes, "_ansible_check_mode": check}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    result: dict[str, t.Any] = json.loads(capsys.readouterr().out)
    return result


def test_check_mode_tells_and_a_run_does(
    module: types.ModuleType, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    told = run(module, capsys, check=True)
    assert told["changed"]
    assert told["cluster"]["state"] == "absent"
    assert told["diff"][0]["prepared"] == (
        "postgresql@16-main.service: create the cluster 16/main, start and enable\n"
    )
    assert [entry["before_header"] for entry in told["diff"][1:]] == ["absent"] * 3
    assert not host.is_running

    done = run(module, capsys)
    assert done["changed"]
    assert set(told["actions"]) < set(done["actions"])
    assert done["cluster"]["port"] == PORT

    again = run(module, capsys)
    assert not again["changed"]
    assert again["actions"] == again["diff"] == []


def test_a_refusal_is_a_failure(
    module: types.ModuleType, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.write(f"{host.layout.data}/PG_VERSION", "16\n")
    result = run(module, capsys, check=True)
    assert result["failed"]
    assert result["msg"].startswith("found data in ")


def test_a_locked_host_is_a_failure_with_its_holder(
    module: types.ModuleType,
    host: Host,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def locked(*_who: object, **_lock: object) -> t.Any:
        raise LockedError(Holder(Changer("else", "somebody")), 0, "/run/lock")

    monkeypatch.setattr(module, "changing", locked)
    result = run(module, capsys)
    assert result["failed"]
    assert result["locked_by"]["controller"] == "else"
    assert not host.is_running


def test_only_root_can_do_this(
    module: types.ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "become: true" in run(module, capsys)["msg"]


def test_remarks_are_warnings(
    module: types.ModuleType,
    host: Host,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(module, capsys)
    host.write(host.layout.former_settings, "statement_timeout = '5min'\n")
    warned: list[str] = []
    warn = "ansible.module_utils.basic.AnsibleModule.warn"
    monkeypatch.setattr(warn, lambda _module, text, **_options: warned.append(text))
    run(module, capsys)
    assert any("statement_timeout still" in text for text in warned)


def test_the_documentation_has_all_arguments(module: types.ModuleType) -> None:
    documented = yaml.safe_load(module.DOCUMENTATION)
    shared = yaml.safe_load(lock_fragment.ModuleDocFragment.DOCUMENTATION)
    assert {*documented["options"], *shared["options"]} == set(module.ARGUMENTS)
    for name, option in documented["options"].items():
        given = module.ARGUMENTS[name]
        for key in ("type", "default", "required", "elements"):
            assert option.get(key) == given.get(key), (name, key)


@pytest.mark.parametrize(
    ("variable", "name"),
    [("unit", "unit"), ("settings_file", "settings"), ("hba_file", "hba"), ("data", "data")],
)
def test_the_role_has_the_same_places(variable: str, name: str) -> None:
    """The runbook names them."""
    found = yaml.safe_load((ROLE / "vars/Debian.yml").read_text(encoding="utf-8"))
    text = found[f"__postgresql_{variable}"]
    text = text.replace("{{ postgresql_version }}", "16")
    text = text.replace("{{ __postgresql_cluster }}", "main")
    assert text == getattr(Layout("16", "main"), name)


# --- the action -----------------------------------------------------------------------------------


@pytest.fixture
def action(monkeypatch: pytest.MonkeyPatch) -> t.Any:
    found = load("action_plugins/postgresql_cluster.py")
    task = mock.Mock(args=dict(WANTED), action="postgresql_cluster")
    templar = mock.Mock(template=lambda value: value)
    made = found.ActionModule(task, None, None, None, templar, None)
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
    return made


def test_the_action_confines_the_unit_and_tells_who_it_is(
    action: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, t.Any]] = []

    def execute(**call: t.Any) -> dict[str, t.Any]:
        given.append(call)
        return {"changed": False}

    monkeypatch.setattr(action, "_execute_module", execute)
    variables = {"inventory_hostname": "data", "port_address_families": ["ipv4"]}
    assert action.run(task_vars=variables) == {"changed": False}
    (call,) = given
    assert call["module_name"] == "postgresql_cluster"
    options = call["module_args"]["options"]
    assert options["User"] == "postgres"
    assert options["ProtectSystem"] == "strict"
    assert options["RestrictAddressFamilies"] == ["AF_UNIX", "AF_NETLINK", "AF_INET"]
    assert call["module_args"]["lock"]["user"]


def test_the_action_says_on_which_host(action: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"failed": True, "msg": "no"}
    monkeypatch.setattr(action, "_execute_module", lambda **_call: dict(answer))
    assert action.run(task_vars={"inventory_hostname": "data"})["msg"] == "data: no"
