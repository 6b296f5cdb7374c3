# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.references import scan, tree
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.judge import AMBIGUOUS, STALE

ARGUMENTS: t.Final[dict[str, dict[str, t.Any]]] = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["checked", "present"], "default": "checked"},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "hosts": {"type": "list", "elements": "str"},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Reads and rewrites files on the controller."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        """The result of the task."""
        variables = task_vars or {}
        result: dict[str, t.Any] = super().run(tmp, variables)
        _valid, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        hosts = arguments["hosts"]
        if hosts is None:
            hosts = controller.host_names(variables)
        try:
            root, only = scan.located([self._loader.path_dwim(arguments["path"])])
            found = scan.scan(
                controller.current_registry(), root, only, arguments["exclude"], hosts
            )
            changes = found.changes() if arguments["state"] == "present" else []
            if changes and not self._task.check_mode:
                found.rewrite(changes)
        except tree.TreeError as error:
            raise AnsibleActionFail(str(error)) from None
        left = [r for r in found.of(STALE) if not (changes and r.use)]
        result.update(
            changed=bool(changes),
            references=[reference.as_dict() for reference in found.references],
            stale=list(map(str, left)),
            ambiguous=list(map(str, found.of(AMBIGUOUS))),
            files=[change.file for change in changes],
        )
        if changes and self._task.diff:
            result["diff"] = [{"prepared": change.diff()} for change in changes]
        if left and arguments["state"] == "checked":
            result.update(failed=True, msg="\n".join(result["stale"]))
        elif left:
            result["warnings"] = [f"{row}. It has no successor to write" for row in result["stale"]]
        return result
