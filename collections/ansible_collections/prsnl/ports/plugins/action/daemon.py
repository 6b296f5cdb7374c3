# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.change import (
    CACHE,
    download_folders,
    installations,
    key_path,
    source_path,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.confinement import confine

Execute = t.Callable[[str, dict[str, t.Any]], None]
display = Display()
APT = {"install_recommends": False, "policy_rc_d": 101}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module, and between two runs of it what installs missing parts."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        if str(arguments.get("unit", "")).endswith(".service"):
            families = self._templar.template(
                variables.get("port_address_families", controller.FAMILIES)
            )
            arguments["options"] = confine(families, arguments.get("options") or {})

        found = self._execute("prsnl.ports.daemon", arguments, variables)
        missing = found.get("missing") or {}
        if any(missing.values()) and not found.get("failed") and not self._task.check_mode:
            try:
                self._install(arguments, missing, variables)
            except AnsibleActionFail as failure:
                return {**result, "failed": True, "changed": False, "msg": str(failure)}
            if arguments.get("unit"):
                found = self._execute(
                    "prsnl.ports.daemon", {**arguments, "step": "fresh"}, variables
                )
            if not found.get("failed"):
                actions = [*installations(missing), *found.get("actions", [])]
                found |= {"changed": True, "missing": missing, "actions": actions}
        # Files have their own differences.
        steps = [step for step in found.get("actions", []) if not step.startswith("write ")]
        if steps:
            subject = arguments.get("unit") or "packages"
            told = {"prepared": f"{subject}: {listed(steps, 'and')}\n"}
            found["diff"] = [told, *found.get("diff", [])]
        return {**result, **found}

    def _install(
        self,
        arguments: dict[str, t.Any],
        missing: dict[str, t.Any],
        variables: dict[str, t.Any],
    ) -> None:
        """Install what is missing, without starting a daemon; raises AnsibleActionFail."""
        host = variables["inventory_hostname"]
        unit = arguments.get("unit")
        parts = [*([unit] if unit else []), *missing["packages"]]
        purpose = f"what {unit} needs" if unit else listed(parts, "and")
        display.display(f"{host}: installing {listed(parts, 'and')}")

        def execute(module: str, options: dict[str, t.Any]) -> None:
            done = self._execute(module, options, variables)
            if done.get("failed"):
                raise AnsibleActionFail(
                    f"{host}: could not install {purpose}: {module}: {done.get('msg')}."
                    " Nothing was configured or started"
                )

        if missing["user"]:
            user = {"name": arguments["user"], "system": True, "create_home": False}
            user |= {"home": "/nonexistent", "shell": "/usr/sbin/nologin"}
            execute("ansible.builtin.user", user)
        try:
            if missing["source"]:
                source = arguments["source"]
                key = {"url": source["key_url"], "checksum": source["key_checksum"]}
                key |= {"dest": key_path(source["name"]), "mode": "0644"}
                execute("ansible.builtin.get_url", key)
            downloads = [
                download
                for download in arguments.get("downloads") or []
                if download["url"] in missing["downloads"]
            ]
            if missing["source"] or any(map(download_folders, downloads)):
                execute("prsnl.ports.daemon", {**arguments, "step": "prepare"})
            debs = [path for download in downloads if (path := _download(download, execute))]
            update = {"update_cache": bool(missing["source"])}
            for deb in debs:
                execute("ansible.builtin.apt", APT | update | {"deb": deb})
            if (missing["packages"] or missing["source"]) and not debs:
                version = str(arguments.get("version") or "")
                names = [f"{name}={version}" if version else name for name in missing["packages"]]
                options = {"name": names, "allow_downgrade": bool(version)}
                _install_packages(options | update, execute)
        except AnsibleActionFail:
            if missing["source"] == "absent":
                # It may be the reason, and would trouble everything that APT does on the host.
                name = arguments["source"]["name"]
                for path in (source_path(name), key_path(name)):
                    execute("ansible.builtin.file", {"path": path, "state": "absent"})
            raise

    def _execute(
        self, module: str, arguments: dict[str, t.Any], variables: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        result: dict[str, t.Any] = self._execute_module(
            module_name=module, module_args=arguments, task_vars=variables
        )
        return result


def _download(download: dict[str, t.Any], execute: Execute) -> str | None:
    """Download a file to its place, or unpack an archive; the path of a package."""
    kind = download.get("kind", "file")
    is_file = kind == "file"
    path = download["path"] if is_file else f"{CACHE}/{download['url'].rpartition('/')[2]}"
    fetched = {"url": download["url"], "dest": path, "checksum": download["checksum"]}
    execute("ansible.builtin.get_url", fetched | {"mode": "0755" if is_file else "0644"})
    if kind == "archive":
        unpacked = {"src": path, "dest": download["path"], "remote_src": True}
        execute("ansible.builtin.unarchive", unpacked)
    return path if kind == "deb" else None


def _install_packages(options: dict[str, t.Any], execute: Execute) -> None:
    try:
        execute("ansible.builtin.apt", APT | options)
    except AnsibleActionFail:
        if options.get("update_cache"):
            raise
        # The package lists may be old or missing.
        execute("ansible.builtin.apt", APT | options | {"update_cache": True})
