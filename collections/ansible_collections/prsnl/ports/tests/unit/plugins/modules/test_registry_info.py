# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of registry_info is that of its action plugin, which does all of it."""

from __future__ import annotations

import typing as t
from unittest import mock

import pytest
import yaml
from ansible_collections.prsnl.ports.plugins.action import registry_info as action
from ansible_collections.prsnl.ports.plugins.modules import registry_info
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller

QUERY = "length(endpoints)"


class Registry:
    """As much of a registry as the plugin reads."""

    file = "registry/ports.yml"
    data: t.ClassVar[dict[str, t.Any]] = {"version": 1}
    endpoints: t.ClassVar[dict[str, t.Any]] = {}


@pytest.mark.parametrize("check", [False, True], ids=["run", "check mode"])
@pytest.mark.parametrize("query", [None, QUERY])
@pytest.mark.parametrize("placed", [True, False])
def test_what_is_documented_is_returned(
    monkeypatch: pytest.MonkeyPatch, query: str | None, placed: bool, check: bool
) -> None:
    monkeypatch.setattr(controller, "current_registry", Registry)
    monkeypatch.setattr(controller, "host_plan", lambda _variables: {"host": "app"})
    monkeypatch.setattr(controller, "host_leases", lambda _variables: [])
    monkeypatch.setattr(controller, "host_system", lambda _variables: "linux")
    arguments = {"query": query} if query else {}
    task = mock.Mock(args=arguments, async_val=0, check_mode=check)
    plugin = action.ActionModule(task, mock.Mock(), None, None, None, None)
    result = plugin.run(task_vars={"port_environment": "production"} if placed else {})
    assert result["changed"] is False
    assert result.get("result") == (0 if query else None)
    assert result.get("plan") == ({"host": "app"} if placed else None)
    documented = set(yaml.safe_load(registry_info.RETURN)) | {"changed"}
    assert set(result) - documented == set()


def test_its_options_are_those_of_the_documentation() -> None:
    assert set(yaml.safe_load(registry_info.DOCUMENTATION)["options"]) == {
        "port",
        "protocol",
        "query",
        "range",
    }
