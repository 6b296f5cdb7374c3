# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.utils.display import Display
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.locking import LockedModule
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.plan_action import PlanAction
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.progress import (
    told_while_waiting,
)

display = Display()
SSH = ("ssh", "paramiko", "paramiko_ssh", "libssh")


class ActionModule(PlanAction):
    """Let the module load the rules, and confirm them over a new connection."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        """The result of the task."""
        self.lock = LockedModule.of(self, task_vars or {})
        result = super().run(tmp, task_vars)
        pending = result.pop("pending", None)
        if pending is None:
            return result
        confirmed = self._confirm(pending, task_vars or {})
        if confirmed.get("failed"):
            return confirmed
        return result

    def module_arguments(self, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        """What the plan and the connection add to the task's arguments."""
        for name in ("connection", "confirm", "lock", "told"):
            if name in self._task.args:
                raise AnsibleActionFail(f"{name} is set by the action; leave it out")
        arguments = super().module_arguments(variables)
        known = controller.current_registry().endpoints
        unknown = sorted(set(arguments.get("limits") or {}) - set(known))
        if unknown:
            raise AnsibleActionFail(
                f"limits: the registry has no endpoint {listed(unknown, 'and no')}. Name"
                " endpoints as service.name"
            )
        transport = self._connection.transport.rpartition(".")[2]
        return {**arguments, "connection": "ssh" if transport in SSH else "other"}

    def run_module(
        self, arguments: dict[str, t.Any], variables: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        """Execute the module under the host's lock, which stays ours until the confirmation."""
        result = self.lock.execute(self._task.resolved_action, arguments)
        closes = result.get("to_tell")
        if closes is None:
            return result
        # Before it happens, and not with the result of the task.
        display.warning(
            f"{variables.get('inventory_hostname', 'This host')}: the firewall closes what others"
            f" can reach now: {listed(closes)}. Register what has to stay open."
        )
        return self.lock.execute(self._task.resolved_action, {**arguments, "told": closes})

    def _confirm(self, pending: dict[str, str], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        # Rules leave established connections alone, so only a new one proves anything. A shared
        # one (ControlPersist) has to end first.
        self._connection.reset()
        self.lock.token = pending["token"]
        persistent = self._task.args.get("persistent", True)
        told = f"{variables['inventory_hostname']}: confirming the new rules over a new connection"
        try:
            with told_while_waiting(told):
                return self.run_module({"confirm": pending, "persistent": persistent}, variables)
        except AnsibleConnectionFailure as error:
            return {
                "failed": True,
                "msg": "No new connection could be made after the rules were loaded, so the old"
                f" ones come back by themselves: {error}",
            }
