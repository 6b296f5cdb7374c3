# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.locking import (
    LockedModule,
    is_alive,
    place,
)


class ActionModule(ActionBase):  # type: ignore[misc]
    """Give the module the host's lock, and say whether another run that it found is alive."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        """The result of the task."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if "lock" in arguments:
            raise AnsibleActionFail("lock is set by the action; leave it out")
        module = LockedModule.of(self, task_vars or {})
        done = module.execute(self._task.resolved_action, arguments)
        other = done.pop("worked_by", None)
        if other and other["place"] == place() and not is_alive(other["pid"]):
            # A run on this controller that was killed.
            arguments["take_over"] = True
            done = module.execute(self._task.resolved_action, arguments)
            done.pop("worked_by", None)
        result.update(done)
        return result
