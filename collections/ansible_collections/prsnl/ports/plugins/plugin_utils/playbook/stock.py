# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Execute modules of Ansible's own from an action, as its actions package and service do."""

from __future__ import annotations

import contextlib
import re
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.executor.module_common import _apply_action_arg_defaults

# What a result tells people besides its message.
TOLD: t.Final = ("warnings", "deprecations")
USER: t.Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class StockModules:
    """Executes modules with the task's ``module_defaults``, and gathers what they say.

    `changed` tells whether one of them changed something.
    """

    def __init__(
        self, action: t.Any, variables: dict[str, t.Any], environment: t.Mapping[str, str]
    ) -> None:
        self._action = action
        self._variables = variables
        self._environment = environment
        self.told: dict[str, list[t.Any]] = {name: [] for name in TOLD}
        self.changed = False

    def execute(
        self,
        module: str,
        arguments: t.Mapping[str, t.Any],
        preferences: t.Mapping[str, t.Any],
        retry: t.Mapping[str, t.Any],
        user: str = "",
    ) -> dict[str, t.Any]:
        """The result of the module, or of its second try.

        `preferences` give way to the user's ``module_defaults``, `arguments` don't. `retry` has
        arguments of a second try, if there is to be one. `user` is whom it is executed as, if not
        as the task's ``become_user``.
        """
        with self._as_user(user):
            result = self._execute(module, arguments, preferences)
            if result.get("failed") and retry:
                result = self._execute(module, {**arguments, **retry}, preferences)
        self.changed = self.changed or bool(result.get("changed"))
        for name in TOLD:
            self.told[name] += result.get(name) or []
        return result

    def _execute(
        self, module: str, given: t.Mapping[str, t.Any], preferences: t.Mapping[str, t.Any]
    ) -> dict[str, t.Any]:
        action = self._action
        arguments = _apply_action_arg_defaults(module, action._task, dict(given), action._templar)
        with self._in_environment():
            result: dict[str, t.Any] = action._execute_module(
                module_name=module,
                module_args={**preferences, **arguments},
                task_vars=self._variables,
            )
        return result

    @contextlib.contextmanager
    def _as_user(self, user: str) -> t.Iterator[None]:
        if not user:
            yield
            return
        # A host names the user, and the become plugins put the name into a command.
        if not USER.fullmatch(user):
            raise AnsibleActionFail(f"the host names a user {user!r}, which can't be one")
        become = self._action._connection.become
        if become is None:
            raise AnsibleActionFail(
                f"this has to be done as {user}, and the task has no become: set it to true"
            )
        former = become.get_option("become_user")
        become.set_option("become_user", user)
        # Ansible becomes nobody who it is already, and would wait for what the command before said.
        become.success = become.prompt = ""
        try:
            yield
        finally:
            become.set_option("become_user", former)

    @contextlib.contextmanager
    def _in_environment(self) -> t.Iterator[None]:
        task = self._action._task
        former = task.environment
        several = former if isinstance(former, list) else [former] if former else []
        task.environment = [*several, dict(self._environment)]
        try:
            yield
        finally:
            task.environment = former
