# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.prsnl.ports.plugins.plugin_utils.outputs import steps
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import RegistryError

ARGUMENTS: t.Final[dict[str, dict[str, t.Any]]] = {
    "state": {"type": "str", "choices": ["checked", "present"], "default": "present"},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Writes files on the controller."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        """The result of the task."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _valid, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        checked = arguments["state"] == "checked"
        try:
            files = steps.generated(controller.current_registry())
            behind = [file for file in files if not file.in_step]
            if not checked and not self._task.check_mode:
                steps.write(behind)
        except RegistryError as error:
            raise AnsibleActionFail(str(error)) from None
        result.update(
            changed=bool(behind) and not checked,
            files=[
                {"path": f.path, "format": f.output.format, "in_step": f.in_step} for f in files
            ],
        )
        if behind and self._task.diff:
            result["diff"] = [{"prepared": file.diff()} for file in behind]
        if behind and checked:
            result.update(failed=True, msg="\n".join(map(str, behind)))
        return result
