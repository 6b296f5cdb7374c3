# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of port_outputs is that of its action plugin, which does all of it."""

from __future__ import annotations

import pathlib
import typing as t
from unittest import mock

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible_collections.prsnl.ports.plugins.action import port_outputs as action
from ansible_collections.prsnl.ports.plugins.modules import port_outputs
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load

TEXT = (pathlib.Path(__file__).parents[1] / "plugin_utils" / "references" / "ports.yml").read_text(
    encoding="utf-8"
)
OUTPUTS = "outputs:\n  - {file: shop.env, format: env, services: [backend]}\nhistory:\n"


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A registry that declares one file."""
    file = tmp_path / "ports.yml"
    file.write_text(TEXT.replace("history:\n", OUTPUTS), encoding="utf-8")
    monkeypatch.setattr(controller, "current_registry", lambda: load.read(str(file)))
    return tmp_path


def run(*, check: bool = False, **arguments: t.Any) -> dict[str, t.Any]:
    """The result of the action."""
    task = mock.Mock(args=arguments, async_val=0, check_mode=check, diff=True)
    plugin = action.ActionModule(task, mock.Mock(), None, None, None, None)
    result: dict[str, t.Any] = plugin.run(task_vars={})
    documented = set(yaml.safe_load(port_outputs.RETURN))
    assert set(result) - documented <= {"changed", "failed", "msg", "diff"}
    return result


@pytest.mark.parametrize("check", [False, True], ids=["run", "check mode"])
def test_present_writes_what_is_out_of_step(folder: pathlib.Path, check: bool) -> None:
    result = run(check=check)
    assert result["changed"] is True
    file = folder / "shop.env"
    assert result["files"] == [{"path": str(file), "format": "env", "in_step": False}]
    assert "+BACKEND_HTTP_PORT=8010\n" in result["diff"][0]["prepared"]
    assert file.exists() is not check
    if not check:
        again = run()
        assert again["changed"] is False
        assert "diff" not in again


@pytest.mark.parametrize("check", [False, True], ids=["run", "check mode"])
def test_checked_fails_and_writes_nothing(folder: pathlib.Path, check: bool) -> None:
    result = run(check=check, state="checked")
    assert result["failed"] is True
    assert result["changed"] is False
    assert result["msg"].endswith("shop.env:1: is missing; run `ports generate`")
    assert not (folder / "shop.env").exists()
    run()
    assert "failed" not in run(check=check, state="checked")


def test_a_place_that_is_no_file(folder: pathlib.Path) -> None:
    (folder / "shop.env").mkdir()
    with pytest.raises(AnsibleActionFail, match="isn't a regular file"):
        run()


def test_its_options_are_those_of_the_documentation() -> None:
    documented = yaml.safe_load(port_outputs.DOCUMENTATION)["options"]
    assert set(documented) == set(action.ARGUMENTS)
    assert documented["state"]["choices"] == action.ARGUMENTS["state"]["choices"]
    assert documented["state"]["default"] == action.ARGUMENTS["state"]["default"]
