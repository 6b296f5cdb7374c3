# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of modules that judge a host by its plan."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import printable_all
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.reporting import tell_leases
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import faults

display = Display()


class PlanAction(ActionBase):  # type: ignore[misc]
    """Runs the module of the same name, in one remote execution, with the host's plan."""

    needs_leases = False
    tells_unplanned = False

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = self.module_arguments(variables)
        result.update(self.run_module(arguments, variables))
        self._tell_gaps(result, arguments["plan"], variables)
        if self.needs_leases:
            tell_leases(result, arguments["leases"], variables["inventory_hostname"])
        return result

    def _tell_gaps(
        self, result: dict[str, t.Any], plan: t.Any, variables: dict[str, t.Any]
    ) -> None:
        """Warn where registry and inventory don't meet: an empty plan is as planned, always."""
        if "plan" in self._task.args or not isinstance(plan, dict):
            return
        absent = controller.absent_groups(variables)
        for text in absent:
            # The same for all hosts, and told once.
            display.warning(text)
        empty = controller.without_plan(variables, plan)
        if empty:
            result.setdefault("warnings", []).append(empty)
        if self.tells_unplanned:
            result["unplanned"] = [*absent, empty] if empty else absent

    def module_arguments(self, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        """The task's arguments, and those that only the controller knows."""
        arguments = dict(self._task.args)
        if "plan" not in arguments:
            arguments["plan"] = controller.host_plan(variables)
        if "registry" not in arguments:
            arguments["registry"] = faults.shown(controller.current_registry().file)
        if self.needs_leases and "leases" not in arguments:
            arguments["leases"] = controller.host_leases(variables)
        return arguments

    def run_module(
        self, arguments: dict[str, t.Any], variables: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        """Execute the module of the same name on the host."""
        result: dict[str, t.Any] = self._execute_module(
            module_name=self._task.resolved_action, module_args=arguments, task_vars=variables
        )
        # What a host says may hold what its users chose, and the host may be somebody else's.
        clean: dict[str, t.Any] = printable_all(result)
        return clean
