# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of port_references is that of its action plugin, which does all of it."""

from __future__ import annotations

import pathlib
import typing as t
from unittest import mock

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible_collections.prsnl.ports.plugins.action import port_references as action
from ansible_collections.prsnl.ports.plugins.modules import port_references
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load

REGISTRY = pathlib.Path(__file__).parents[1] / "plugin_utils" / "references" / "ports.yml"
BEFORE = "POSTGRES_PORT=5432\nSEARCH_PORT=9200\nCACHE_URL=redis://db1.example:6379\n"
AFTER = BEFORE.replace("5432", "5433")
RETIRED = "a.env:1: 5432 is PostgreSQL's retired port, use 5433"
GONE = "a.env:2: 9200 is search's former port, and search is gone"


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A tree with one file."""
    monkeypatch.setattr(controller, "current_registry", lambda: load.read(str(REGISTRY)))
    (tmp_path / "a.env").write_text(BEFORE)
    return tmp_path


def run(folder: pathlib.Path, *, check: bool = False, **arguments: t.Any) -> dict[str, t.Any]:
    """The result of the action."""
    given = {"path": str(folder), "hosts": [], **arguments}
    task = mock.Mock(args=given, async_val=0, check_mode=check, diff=True)
    loader = mock.Mock(path_dwim=lambda path: path)
    plugin = action.ActionModule(task, mock.Mock(), None, loader, None, None)
    result: dict[str, t.Any] = plugin.run(task_vars={})
    documented = set(yaml.safe_load(port_references.RETURN))
    assert set(result) - documented <= {"changed", "failed", "msg", "diff", "warnings"}
    return result


@pytest.mark.parametrize("check", [False, True], ids=["run", "check mode"])
def test_checked_fails_with_what_is_stale(folder: pathlib.Path, check: bool) -> None:
    result = run(folder, check=check)
    assert result["failed"] is True
    assert result["changed"] is False
    assert result["msg"] == f"{RETIRED}\n{GONE}"
    assert result["stale"] == [RETIRED, GONE]
    (ambiguous,) = result["ambiguous"]
    assert ambiguous.startswith("a.env:3: 6379 is DragonflyDB's former port, use 6380")
    assert [r["verdict"] for r in result["references"]] == ["stale", "stale", "ambiguous"]
    documented = yaml.safe_load(port_references.RETURN)["references"]["contains"]
    assert set(result["references"][0]) == set(documented)
    assert (folder / "a.env").read_text() == BEFORE


@pytest.mark.parametrize("check", [False, True], ids=["run", "check mode"])
def test_present_rewrites_what_has_a_successor(folder: pathlib.Path, check: bool) -> None:
    result = run(folder, check=check, state="present")
    assert "failed" not in result
    assert result["changed"] is True
    assert result["files"] == ["a.env"]
    assert result["stale"] == [GONE]
    assert result["warnings"] == [f"{GONE}. It has no successor to write"]
    assert "-POSTGRES_PORT=5432\n+POSTGRES_PORT=5433\n" in result["diff"][0]["prepared"]
    assert (folder / "a.env").read_text() == (BEFORE if check else AFTER)


def test_a_second_run_changes_nothing(folder: pathlib.Path) -> None:
    run(folder, state="present")
    again = run(folder, state="present")
    assert again["changed"] is False
    assert "diff" not in again


def test_hosts_of_the_registry_are_known(folder: pathlib.Path) -> None:
    assert len(run(folder, hosts=["db1.example"])["stale"]) == 3


def test_one_file_and_patterns(folder: pathlib.Path) -> None:
    (folder / "b.env").write_text("PGPORT=5432\n")
    assert len(run(folder, exclude=["a.*"])["stale"]) == 1
    assert run(folder / "b.env")["stale"][0].startswith("b.env:1: 5432")


def test_a_path_that_is_not_there(folder: pathlib.Path) -> None:
    with pytest.raises(AnsibleActionFail, match="there is no such file or directory"):
        run(folder / "nowhere")


def test_its_options_are_those_of_the_documentation() -> None:
    documented = yaml.safe_load(port_references.DOCUMENTATION)["options"]
    keys = ("type", "required", "choices", "default", "elements")
    assert {n: {k: v for k, v in o.items() if k in keys} for n, o in documented.items()} == {
        name: {key: value for key, value in option.items() if key in keys}
        for name, option in action.ARGUMENTS.items()
    }
