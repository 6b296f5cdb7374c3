# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.locking import LockedModule
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.plan_action import PlanAction


class ActionModule(PlanAction):
    """Give the module the plan of the task's host, and the host's lock."""

    def run_module(
        self, arguments: dict[str, t.Any], variables: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        """Execute the module under the host's lock."""
        if "lock" in arguments:
            raise AnsibleActionFail("lock is set by the action; leave it out")
        return LockedModule.of(self, variables).execute(self._task.resolved_action, arguments)
