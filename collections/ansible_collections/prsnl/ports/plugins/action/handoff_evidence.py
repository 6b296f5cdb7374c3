# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import importlib
import os
import typing as t

from ansible import constants as C  # noqa: N812
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.template import Templar, trust_as_template
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff import runbooks
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.plan_action import PlanAction
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import RegistryError

Variables = dict[str, t.Any]
_REASON: t.Final = 200


class ActionModule(PlanAction):
    """Asks the host what the runbooks of its services declare."""

    def run(self, tmp: str | None = None, task_vars: Variables | None = None) -> Variables:
        variables = task_vars or {}
        self._runbooks: Variables = {}
        try:
            result: Variables = super().run(tmp, variables)
        except AnsibleConnectionFailure as error:
            result = {"changed": False, "unreached": str(error)}
        except RegistryError as error:
            # A mistake of the project, which a role may tell from what is wrong with a host.
            result = {"changed": False, "failed": True, "refused": True, "msg": str(error)}
        return {**result, "runbooks": self._runbooks}

    def module_arguments(self, variables: Variables) -> Variables:
        """What the runbooks ask for, as far as the task doesn't say it itself."""
        arguments = super().module_arguments(variables)
        services: dict[str, dict[str, Variables]] = {}
        for entry in arguments["plan"]["endpoints"]:
            services.setdefault(entry["service"], {})[entry["name"]] = entry
        for name, endpoints in services.items():
            self._runbooks[name] = self._resolve(name, endpoints, variables)
        found = self._runbooks.items()
        return {
            "questions": [
                {key: value for key, value in question.items() if key != "shown"}
                for _name, book in found
                for question in (book["version"], book["health"])
                if question
            ],
            "packages": {name: book["packages"] for name, book in found if book["packages"]},
            "backups": {
                name: book["backup"]["files"] for name, book in found if book["backup"]["files"]
            },
            "paths": sorted({path for _name, book in found for path in book["data"]}),
            **arguments,
        }

    def run_module(self, arguments: Variables, variables: Variables) -> Variables:
        """Execute the module, unless the host is known not to answer."""
        if not arguments.pop("connect", True):
            return {"changed": False, "unreached": "it did not answer before"}
        return super().run_module(arguments, variables)

    def _resolve(
        self, service: str, endpoints: dict[str, Variables], variables: Variables
    ) -> Variables:
        data = controller.current_registry().data["services"][service]
        own = data.get("runbook") or {}
        role = own.get("role", service)
        folder = self._role_folder(role, variables)
        source = runbooks.read(role, folder)
        templar = Templar(self._loader, self._role_variables(folder, variables))

        def template(text: str) -> t.Any:
            try:
                return templar.template(trust_as_template(text))
            except AnsibleError as error:
                raise ValueError(" ".join(str(error).split())[:_REASON]) from None

        return runbooks.resolve(service, source, own, endpoints, template)

    def _role_folder(self, role: str, variables: Variables) -> str | None:
        if role.count(".") == 2:  # noqa: PLR2004 - namespace.collection.role
            collection, _dot, name = role.rpartition(".")
            try:
                package = importlib.import_module(f"ansible_collections.{collection}")
            except ImportError:
                return None
            return runbooks.find_role(name, [os.path.join(p, "roles") for p in package.__path__])
        places = [os.path.join(str(variables.get("playbook_dir", ".")), "roles")]
        return runbooks.find_role(role, [*places, *(C.DEFAULT_ROLES_PATH or [])])

    def _role_variables(self, folder: str | None, variables: Variables) -> Variables:
        """The variables as the role would have them on this host."""
        if folder is None:
            return variables
        family = (variables.get("ansible_facts") or {}).get("os_family", "")
        return {
            **self._load(folder, "defaults", "main"),
            **variables,
            **self._load(folder, "vars", "main"),
            **(self._load(folder, "vars", family) if family else {}),
        }

    def _load(self, folder: str, kind: str, name: str) -> Variables:
        path = os.path.join(folder, kind, f"{name}.yml")
        if not os.path.isfile(path):
            return {}
        return self._loader.load_from_file(path, trusted_as_template=True) or {}
