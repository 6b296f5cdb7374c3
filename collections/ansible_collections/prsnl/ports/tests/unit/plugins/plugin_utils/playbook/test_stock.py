# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.stock import StockModules


class Become:
    """What a connection knows of the command before: its end, and who asks for a password."""

    success = "BECOME-SUCCESS-of-the-command-before"
    prompt = "password:"

    def __init__(self) -> None:
        self.options = {"become_user": "root"}

    def get_option(self, name: str) -> str:
        return self.options[name]

    def set_option(self, name: str, value: str) -> None:
        self.options[name] = value


def modules(become: Become | None) -> StockModules:
    action: t.Any = SimpleNamespace(_connection=SimpleNamespace(become=become))
    return StockModules(action, {}, {})


def test_nothing_is_waited_for_that_only_another_command_says() -> None:
    """Ansible doesn't become whoever it is connected as."""
    become = Become()
    with modules(become)._as_user("developer"):
        assert (become.success, become.prompt) == ("", "")
        assert become.options["become_user"] == "developer"
    assert become.options["become_user"] == "root"


@pytest.mark.parametrize("user", ["a b", "$(id)", "-x"])
def test_a_user_that_cannot_be_one_is_refused(user: str) -> None:
    with pytest.raises(AnsibleActionFail), modules(Become())._as_user(user):
        pass


def test_another_user_needs_become() -> None:
    with pytest.raises(AnsibleActionFail, match="set it to true"), modules(None)._as_user("ada"):
        pass
