# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.confinement import confine
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.locking import LockedModule


class ActionModule(ActionBase):  # type: ignore[misc]
    """Confines the unit, and runs the module under the host's lock."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        """The result of the task."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        families = self._templar.template(
            variables.get("port_address_families", controller.FAMILIES)
        )
        arguments["options"] = confine(families, arguments.get("options") or {})
        lock = LockedModule.of(self, variables)
        result.update(lock.execute(self._task.action, arguments))
        if result.get("failed") and result.get("msg"):
            result["msg"] = f"{variables['inventory_hostname']}: {result['msg']}"
        return result
