# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action executes to install missing parts, with the modules replaced."""

from __future__ import annotations

import typing as t
from unittest import mock

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.prsnl.ports.plugins.action.daemon import ActionModule

SOURCE = {
    "name": "vendor",
    "url": "https://example.com/apt",
    "suite": "stable",
    "key_url": "https://example.com/key.asc",
    "key_checksum": "sha256:" + "0" * 64,
}
MISSING = {"packages": ["shop"], "source": "absent", "downloads": [], "user": False}
KEY, APT, FILE = (f"ansible.builtin.{name}" for name in ("get_url", "apt", "file"))
DAEMON = "prsnl.ports.daemon"


class Rig(t.NamedTuple):
    action: ActionModule
    # The modules and their arguments, in order.
    events: list[tuple[str, dict[str, t.Any]]]
    # What the next execution of a module answers, if it isn't success.
    answers: dict[str, list[dict[str, t.Any]]]

    def run(self, missing: dict[str, t.Any], **arguments: t.Any) -> dict[str, t.Any]:
        first = {"changed": False, "missing": missing, "actions": []}
        self.answers.setdefault(DAEMON, []).append(first)
        self.action._task.args = {"packages": ["shop"], "source": SOURCE, **arguments}
        result: dict[str, t.Any] = self.action.run(task_vars={"inventory_hostname": "a"})
        return result

    @property
    def modules(self) -> list[str]:
        return [module for module, _arguments in self.events]


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    rig = Rig(ActionModule(mock.Mock(check_mode=False), None, None, None, None, None), [], {})

    def execute(**call: t.Any) -> dict[str, t.Any]:
        rig.events.append((call["module_name"], call["module_args"]))
        answers = rig.answers.get(call["module_name"])
        return dict(answers.pop(0)) if answers else {"changed": True, "actions": []}

    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
    monkeypatch.setattr(rig.action, "_execute_module", execute)
    return rig


def test_package_lists_are_read_when_the_package_of_a_new_source_is_installed(rig: Rig) -> None:
    result = rig.run(MISSING, unit="shop.timer")
    assert rig.modules == [DAEMON, KEY, DAEMON, APT, DAEMON]
    assert [call[1].get("step") for call in rig.events] == [None, None, "prepare", None, "fresh"]
    arguments = rig.events[3][1]
    assert (arguments["name"], arguments["update_cache"]) == (["shop"], True)
    assert result["actions"] == ["add the source of packages", "install shop"]


def test_a_changed_source_is_read_though_the_package_is_there(rig: Rig) -> None:
    rig.run({**MISSING, "packages": [], "source": "other"}, unit="shop.timer")
    arguments = rig.events[3][1]
    assert (arguments["name"], arguments["update_cache"]) == ([], True)


def test_old_package_lists_are_read_before_a_second_try(rig: Rig) -> None:
    rig.answers[APT] = [{"failed": True, "msg": "no such package"}]
    rig.run({**MISSING, "source": ""}, unit="shop.timer")
    assert [call[1].get("update_cache") for call in rig.events if call[0] == APT] == [False, True]


@pytest.mark.parametrize(("source", "removed"), [("absent", 2), ("other", 0)])
def test_only_a_new_source_is_taken_back_when_the_installation_fails(
    rig: Rig, source: str, removed: int
) -> None:
    rig.answers[APT] = [{"failed": True, "msg": "the source is broken"}]
    result = rig.run({**MISSING, "source": source}, unit="shop.timer")
    assert "the source is broken" in result["msg"]
    assert rig.modules.count(APT) == 1
    assert rig.modules.count(FILE) == removed


def test_programs_without_a_unit_need_no_second_look(rig: Rig) -> None:
    result = rig.run(MISSING)
    assert rig.modules == [DAEMON, KEY, DAEMON, APT]
    assert result["diff"] == [
        {"prepared": "packages: add the source of packages and install shop\n"}
    ]
    assert result["changed"]
    rig.answers[KEY] = [{"failed": True, "msg": "404"}]
    assert "could not install shop: ansible.builtin.get_url: 404" in rig.run(MISSING)["msg"]


def test_an_archive_is_unpacked_into_folders_made_for_it(rig: Rig) -> None:
    url = "https://example.com/shop.tar.gz"
    archive = {"url": url, "checksum": "sha256:" + "1" * 64, "kind": "archive", "path": "/opt/shop"}
    missing = {**MISSING, "packages": [], "source": "", "downloads": [url]}
    rig.run(missing, unit="shop.timer", downloads=[archive], source=None)
    assert rig.modules == [DAEMON, DAEMON, KEY, "ansible.builtin.unarchive", DAEMON]
    assert rig.events[1][1]["step"] == "prepare"
    assert rig.events[3][1]["dest"] == "/opt/shop"


def test_a_single_file_needs_no_folder(rig: Rig) -> None:
    url = "https://example.com/shop"
    file = {"url": url, "checksum": "sha256:" + "1" * 64, "path": "/usr/local/bin/shop"}
    missing = {**MISSING, "packages": [], "source": "", "downloads": [url]}
    rig.run(missing, unit="shop.timer", downloads=[file], source=None)
    assert rig.modules == [DAEMON, KEY, DAEMON]
