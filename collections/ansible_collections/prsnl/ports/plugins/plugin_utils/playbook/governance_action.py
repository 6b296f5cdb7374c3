# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of modules that change the registry or its leases, on the controller."""

from __future__ import annotations

import datetime
import json
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance import change
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import RegistryError


class GovernanceAction(ActionBase):  # type: ignore[misc]
    """Changes a file of the controller, under its lock; no connection to the host is made."""

    TRANSFERS_FILES = False
    _requires_connection = False
    # The options, as AnsibleModule takes them.
    SPEC: t.ClassVar[dict[str, t.Any]] = {}

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        """The result of the task."""
        variables = task_vars or {}
        result: dict[str, t.Any] = super().run(tmp, variables)
        # YAML makes a day or a time of what isn't in quotes.
        for key, value in self._task.args.items():
            if isinstance(value, datetime.date):
                self._task.args[key] = value.isoformat()
        _valid, given = self.validate_argument_spec(argument_spec=self.SPEC)
        # Plain data, without what Ansible knows about its origin.
        arguments = json.loads(json.dumps(without_none(given)))
        try:
            outcome = self.apply(arguments, variables)
        except RegistryError as error:
            raise AnsibleActionFail(str(error)) from None
        result.update(
            changed=outcome.changed,
            path=outcome.file,
            port=outcome.change.port,
        )
        if outcome.changed and self._task.diff:
            result["diff"] = {"prepared": outcome.diff}
        if outcome.change.warnings:
            result["warnings"] = outcome.change.warnings
        return result

    def apply(self, arguments: dict[str, t.Any], variables: dict[str, t.Any]) -> change.Outcome:
        """Change the file, or tell in check mode what would be changed."""
        raise NotImplementedError

    def make(self, file: str, request: t.Callable[[bytes | None], change.Change]) -> change.Outcome:
        """Change a file as a request says."""
        registry_file = controller.registry_path()
        purpose = f"the task {self._task.get_name()}"
        return change.make(file, registry_file, purpose, request, write=not self._task.check_mode)


def groups_of(variables: t.Mapping[str, t.Any]) -> dict[str, list[str]]:
    """The groups of the inventory with their hosts."""
    return {str(name): [str(host) for host in hosts] for name, hosts in variables["groups"].items()}


def without_none(value: t.Any) -> t.Any:
    """Options without those that weren't given."""
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    return value
