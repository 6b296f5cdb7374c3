# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Execute modules of Ansible's own from an action, as its actions package and service do."""

from __future__ import annotations

import contextlib
import typing as t

from ansible.executor.module_common import _apply_action_arg_defaults
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.backends import StockStep

# What a result tells people besides its message.
TOLD: t.Final = ("warnings", "deprecations")


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

    def execute(self, step: StockStep) -> dict[str, t.Any]:
        """The result of the module, or of its second try."""
        result = self._execute(step, {})
        if result.get("failed") and step.retry:
            result = self._execute(step, step.retry)
        self.changed = self.changed or bool(result.get("changed"))
        for name in TOLD:
            self.told[name] += result.get(name) or []
        return result

    def _execute(self, step: StockStep, more: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        action = self._action
        given = {**step.arguments, **more}
        arguments = _apply_action_arg_defaults(step.module, action._task, given, action._templar)
        with self._in_environment():
            result: dict[str, t.Any] = action._execute_module(
                module_name=step.module,
                module_args={**step.preferences, **arguments},
                task_vars=self._variables,
            )
        return result

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
