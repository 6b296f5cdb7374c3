# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of handoff is that of its action plugin, which does all of it."""

from __future__ import annotations

import pathlib
import typing as t
from unittest import mock

import pytest
import simulated
import yaml
from ansible.errors import AnsibleActionFail
from ansible_collections.prsnl.ports.plugins.action import handoff as action
from ansible_collections.prsnl.ports.plugins.modules import handoff
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.evidence import dump

Run = t.Callable[..., dict[str, t.Any]]
TEMPLATES = pathlib.Path(__file__).parents[4] / "roles" / "handoff" / "templates"
DOCUMENTED = yaml.safe_load(handoff.DOCUMENTATION)["options"]
RETURNED = set(yaml.safe_load(handoff.RETURN))
PAGES = ["evidence.json", "evidence.schema.json", "handoff.md", "index.html", "ports.md"]
MODES = pytest.mark.parametrize("check", [False, True], ids=["run", "check mode"])


@pytest.fixture
def evidence(tmp_path: pathlib.Path) -> pathlib.Path:
    """What was found on hosts, in the folder of its handoff."""
    file = tmp_path / "all" / "2026-11-26-0123456789ab" / "evidence.json"
    file.parent.mkdir(parents=True)
    file.write_text(dump(simulated.small().evidence().data))
    return file


def hand_off(file: pathlib.Path, *, check: bool = False, **arguments: t.Any) -> dict[str, t.Any]:
    """The result of the action."""
    given = {
        "folder": str(file.parents[1]),
        "templates": str(TEMPLATES),
        "evidence_file": str(file),
        **arguments,
    }
    task = mock.Mock(args=given, async_val=0, check_mode=check, diff=True)
    plugin = action.ActionModule(task, mock.Mock(), None, None, None, None)
    result: dict[str, t.Any] = plugin.run(task_vars={})
    assert set(result) == RETURNED | {"changed"}
    return result


def names(file: pathlib.Path) -> list[str]:
    """What is in the folder of a handoff."""
    return sorted(path.name for path in file.parent.iterdir())


@MODES
def test_the_pages_of_evidence(evidence: pathlib.Path, check: bool) -> None:
    """They are written once; in check mode the same is said and nothing is written."""
    result = hand_off(evidence, check=check)
    assert result["changed"] is True
    assert result["folder"] == str(evidence.parent)
    assert result["state"] == hand_off(evidence, check=True)["state"]
    assert names(evidence) == (["evidence.json"] if check else PAGES)
    if not check:
        pages = {path: path.read_bytes() for path in evidence.parent.iterdir()}
        for again in (False, True):
            assert hand_off(evidence, check=again)["changed"] is False
        assert pages == {path: path.read_bytes() for path in evidence.parent.iterdir()}


@MODES
def test_the_page_of_one_service(evidence: pathlib.Path, check: bool) -> None:
    (service, *_others) = sorted(simulated.small().evidence().placed)
    result = hand_off(evidence, check=check, service=service)
    assert result["changed"] is True
    assert result["page"].endswith(f"{service}.html")
    assert names(evidence) == sorted(["evidence.json", *[f"{service}.html"] * (not check)])


@MODES
def test_what_is_required_and_missing_is_told(evidence: pathlib.Path, check: bool) -> None:
    """The action doesn't fail for it: the role does, after the page was written."""
    world = simulated.small()
    host = next(iter(world.places))
    world.lose(host)
    evidence.write_text(dump(world.evidence().data))
    result = hand_off(evidence, check=check, require=["healthy"])
    assert result["state"] == "unhealthy"
    assert any(text.startswith("healthy: ") and host in text for text in result["unmet"])
    assert hand_off(evidence, check=check)["unmet"] == []


@MODES
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"service": "nowhere"}, "service: found 'nowhere', allowed are the services of these"),
        ({"compare": __file__}, "not the evidence of a handoff"),
        ({"require": ["luck"]}, "value of require must be one or more of: healthy"),
        ({"contacts": {"default": {"fax": "1"}}}, "contacts: default has fax, allowed are"),
    ],
)
def test_what_is_refused_writes_nothing(
    evidence: pathlib.Path, arguments: dict[str, t.Any], message: str, check: bool
) -> None:
    with pytest.raises(AnsibleActionFail) as caught:
        hand_off(evidence, check=check, **arguments)
    assert message in str(caught.value)
    assert names(evidence) == ["evidence.json"]


def test_its_options_are_those_of_the_documentation() -> None:
    keys = ("type", "required", "choices", "default", "elements")
    documented, spec = (
        {name: {k: v for k, v in option.items() if k in keys} for name, option in options.items()}
        for options in (DOCUMENTED, action.SPEC)
    )
    assert documented == spec
