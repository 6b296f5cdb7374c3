# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is asked, in both modes; and what its action adds."""

from __future__ import annotations

import pathlib
import typing as t
from unittest import mock

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible_collections.prsnl.ports.plugins.action import handoff_evidence as action
from ansible_collections.prsnl.ports.plugins.modules import handoff_evidence
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load

Run = t.Callable[..., dict[str, t.Any]]
REGISTRY = pathlib.Path(__file__).parents[1] / "plugin_utils" / "registry" / "base.yml"
RETURNED = set(yaml.safe_load(handoff_evidence.RETURN))
# What is only there in other cases, or comes from the action.
OTHERS = {"unreached", "refused", "runbooks"}
QUESTION = {
    "id": "version-shop",
    "service": "shop",
    "argv": ["echo", "shop 2.5"],
    "match": r"shop (\S+)",
}
PARAMS: dict[str, t.Any] = {
    "plan": {"host": "app", "environment": "test", "system": "linux", "endpoints": []},
    "questions": [QUESTION],
    "packages": {},
    "backups": {},
    "paths": [],
    "firewall": False,
}
MODES = pytest.mark.parametrize("check", [False, True], ids=["run", "check mode"])


@MODES
def test_a_host_is_asked_and_nothing_is_changed(run: Run, check: bool) -> None:
    """In check mode the same, because nothing that is asked changes anything."""
    result = run(handoff_evidence.main, check=check, **PARAMS)
    assert result["changed"] is False
    assert set(result) - {"changed", "invocation"} == RETURNED - OTHERS
    assert result["answers"]["version-shop"]["ok"] is True
    assert result["readings"]["version-shop"]["output"].strip() == "shop 2.5"
    assert result["firewall"]["state"] == "not asked"


@MODES
@pytest.mark.parametrize(
    ("question", "output", "good"),
    [
        ({"argv": ["sh", "-c", "echo shop 2.5; exit 3"]}, "shop 2.5", False),
        ({"argv": ["sh", "-c", "echo shop 2.5; exit 3"], "status": [3]}, "shop 2.5", True),
        ({"argv": ["echo", "something else"]}, "something else", False),
        ({"argv": ["/nowhere/shop"]}, "", False),
    ],
    ids=["another code", "an expected code", "another answer", "no such command"],
)
def test_an_answer_that_is_no_good_one(
    run: Run, question: dict[str, t.Any], output: str, good: bool, check: bool
) -> None:
    asked = [{**QUESTION, **question}]
    result = run(handoff_evidence.main, check=check, **{**PARAMS, "questions": asked})
    assert "failed" not in result
    assert result["answers"]["version-shop"]["ok"] is good
    assert result["readings"]["version-shop"]["output"].strip() == output


@MODES
def test_a_plan_that_cannot_be_read_is_an_error(run: Run, check: bool) -> None:
    plan = {"host": "app", "endpoints": [{}]}
    result = run(handoff_evidence.main, check=check, **{**PARAMS, "plan": plan})
    assert result["failed"] is True
    assert result["msg"].startswith("plan: not what")


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Run:
    """Runs the action for a host with the shop; the host's own module returns its arguments."""
    monkeypatch.setattr(controller, "current_registry", lambda: load.read(str(REGISTRY)))
    role = tmp_path / "roles" / "shop"
    (role / "meta").mkdir(parents=True)
    book = {
        "purpose": "It sells",
        "version": {"command": ["shop", "--version"], "match": r"(\S+)"},
        "health": {"command": ["true"]},
        "configuration": [],
        "data": ["/var/lib/{{ word }}"],
        "backup": {"none": "It keeps nothing"},
        "failures": [{"symptom": "Slow", "commands": ["uptime"]}],
    }
    (role / "meta" / "runbook.yml").write_text(yaml.safe_dump(book))
    entry = load.read(str(REGISTRY)).endpoints["shop.http"].as_dict("linux")
    entry.update(listen=["127.0.0.1"], bind=["127.0.0.1"])
    plan = {"host": "app", "endpoints": [entry]}

    def start(*, check: bool, **arguments: t.Any) -> dict[str, t.Any]:
        task = mock.Mock(args={"plan": plan, **arguments}, async_val=0, check_mode=check)
        plugin = action.ActionModule(task, mock.Mock(), None, DataLoader(), None, None)
        monkeypatch.setattr(
            plugin, "_execute_module", lambda module_args, **_options: {"asked": module_args}
        )
        variables = {"inventory_hostname": "app", "playbook_dir": str(tmp_path), "word": "shop"}
        result: dict[str, t.Any] = plugin.run(task_vars=variables)
        return result

    return start


@MODES
def test_the_action_asks_what_runbooks_declare(ask: Run, check: bool) -> None:
    result = ask(check=check)
    assert [q["argv"] for q in result["asked"]["questions"]] == [["shop", "--version"], ["true"]]
    assert result["asked"]["paths"] == ["/var/lib/shop"]
    assert result["runbooks"]["shop"]["purpose"] == "It sells"


@MODES
def test_a_host_that_is_not_asked(ask: Run, check: bool) -> None:
    result = ask(check=check, connect=False)
    assert (result["changed"], result["unreached"]) == (False, "it did not answer before")
    assert set(result["runbooks"]) == {"shop"}


def test_its_options_are_those_of_the_documentation(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, t.Any] = {}

    class Module:
        """Keeps what it was made with."""

        def __init__(self, **arguments: t.Any) -> None:
            given.update(arguments)
            raise SystemExit

    monkeypatch.setattr(handoff_evidence, "AnsibleModule", Module)
    with pytest.raises(SystemExit):
        handoff_evidence.main()
    # The plan and the registry are in a fragment that all modules with a plan share.
    documented = set(yaml.safe_load(handoff_evidence.DOCUMENTATION)["options"])
    assert set(given["argument_spec"]) == documented | {"plan", "registry"}
    assert given["supports_check_mode"] is True
