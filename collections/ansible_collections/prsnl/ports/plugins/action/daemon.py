# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.prsnl.ports.plugins.plugin_utils import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.confinement import confine
from ansible_collections.prsnl.ports.plugins.plugin_utils.faults import listed

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module, and between two runs of it APT, if packages are missing."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        families = self._templar.template(
            variables.get("port_address_families", controller.FAMILIES)
        )
        arguments["options"] = confine(families, arguments.get("options") or {})

        found = self._execute("prsnl.ports.daemon", arguments, variables)
        missing = found.get("missing")
        if missing and not found.get("failed") and not self._task.check_mode:
            failure = self._install(missing, str(arguments.get("version") or ""), variables)
            if failure:
                return {**result, **failure}
            found = self._execute("prsnl.ports.daemon", {**arguments, "fresh": True}, variables)
            if not found.get("failed"):
                installed = [f"install {name}" for name in missing]
                found |= {
                    "changed": True,
                    "missing": missing,
                    "actions": [*installed, *found.get("actions", [])],
                }
        return {**result, **found}

    def _install(
        self, packages: list[str], version: str, variables: dict[str, t.Any]
    ) -> dict[str, t.Any] | None:
        """Install packages without starting their daemons; the result of the task if it fails."""
        host = variables["inventory_hostname"]
        names = listed(packages, "and")
        display.display(f"{host}: installing {names}")
        arguments = {
            "name": [f"{name}={version}" if version else name for name in packages],
            "install_recommends": False,
            "allow_downgrade": bool(version),
            "policy_rc_d": 101,
        }
        done = self._execute("ansible.builtin.apt", arguments, variables)
        if done.get("failed"):
            # The package lists may be old or missing.
            done = self._execute(
                "ansible.builtin.apt", {**arguments, "update_cache": True}, variables
            )
        if not done.get("failed"):
            return None
        wanted = f"{names} {version}".rstrip()
        message = (
            f"{host}: could not install {wanted}: {done.get('msg')}."
            " Nothing was configured or started. Check the host's package sources (apt-cache policy"
            f" {' '.join(packages)}; ls /etc/apt/sources.list.d) and run again"
        )
        return {"failed": True, "changed": False, "msg": message}

    def _execute(
        self, module: str, arguments: dict[str, t.Any], variables: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        result: dict[str, t.Any] = self._execute_module(
            module_name=module, module_args=arguments, task_vars=variables
        )
        return result
