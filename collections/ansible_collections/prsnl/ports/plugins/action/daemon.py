# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.prsnl.ports.plugins.module_utils.daemon import (
    installations,
    key_path,
    marker_path,
    source_path,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.confinement import confine
from ansible_collections.prsnl.ports.plugins.plugin_utils.faults import listed

Execute = t.Callable[[str, dict[str, t.Any]], None]
display = Display()
# Where a host keeps what it has downloaded to install it.
CACHE = "/var/cache/prsnl-ports"


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
            found = self._execute("prsnl.ports.daemon", {**arguments, "fresh": True}, variables)
            if not found.get("failed"):
                actions = [*installations(missing), *found.get("actions", [])]
                found |= {"changed": True, "missing": missing, "actions": actions}
        # Files have their own differences.
        steps = [step for step in found.get("actions", []) if not step.startswith("write ")]
        if steps:
            told = {"prepared": f"{arguments['unit']}: {listed(steps, 'and')}\n"}
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
        unit = arguments["unit"]
        display.display(f"{host}: installing {listed([unit, *missing['packages']], 'and')}")

        def execute(module: str, options: dict[str, t.Any]) -> None:
            done = self._execute(module, options, variables)
            if done.get("failed"):
                raise AnsibleActionFail(
                    f"{host}: could not install what {unit} needs: {module}: {done.get('msg')}."
                    " Nothing was configured or started"
                )

        if missing["user"]:
            user = {"name": arguments["user"], "system": True, "create_home": False}
            user |= {"home": "/nonexistent", "shell": "/usr/sbin/nologin"}
            execute("ansible.builtin.user", user)
        try:
            if missing["source"]:
                _add_source(arguments["source"], execute)
            debs = [
                path
                for download in arguments.get("downloads") or []
                if download["url"] in missing["downloads"]
                and (path := _download(download, execute))
            ]
            for deb in debs:
                options = {"deb": deb, "install_recommends": False, "policy_rc_d": 101}
                execute("ansible.builtin.apt", options)
            if missing["packages"] and not debs:
                version = str(arguments.get("version") or "")
                _install_packages(missing["packages"], version, execute)
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


def _add_source(source: dict[str, t.Any], execute: Execute) -> None:
    _install_packages(["python3-debian"], "", execute)
    key = key_path(source["name"])
    execute(
        "ansible.builtin.get_url",
        {"url": source["key_url"], "dest": key, "checksum": source["key_checksum"], "mode": "0644"},
    )
    repository = {"name": source["name"], "uris": source["url"], "suites": source["suite"]}
    repository |= {"components": source.get("components", ["main"]), "signed_by": key}
    execute("ansible.builtin.deb822_repository", repository)
    execute("ansible.builtin.apt", {"update_cache": True})


def _download(download: dict[str, t.Any], execute: Execute) -> str | None:
    """Download a file to its place, or unpack an archive; the path of a package."""
    kind = download.get("kind", "file")
    is_file = kind == "file"
    path = download["path"] if is_file else f"{CACHE}/{download['url'].rpartition('/')[2]}"
    if not is_file:
        execute("ansible.builtin.file", {"path": CACHE, "state": "directory", "mode": "0755"})
    fetched = {"url": download["url"], "dest": path, "checksum": download["checksum"]}
    execute("ansible.builtin.get_url", fetched | {"mode": "0755" if is_file else "0644"})
    if kind == "archive":
        target = download["path"]
        execute("ansible.builtin.file", {"path": target, "state": "directory", "mode": "0755"})
        execute("ansible.builtin.unarchive", {"src": path, "dest": target, "remote_src": True})
        # Comes last, so that an archive that was unpacked in part counts as missing.
        marker = {"path": marker_path(target), "line": download["checksum"]}
        execute("ansible.builtin.lineinfile", marker | {"create": True, "mode": "0644"})
    return path if kind == "deb" else None


def _install_packages(packages: list[str], version: str, execute: Execute) -> None:
    options = {
        "name": [f"{name}={version}" if version else name for name in packages],
        "install_recommends": False,
        "allow_downgrade": bool(version),
        "policy_rc_d": 101,
    }
    try:
        execute("ansible.builtin.apt", options)
    except AnsibleActionFail:
        # The package lists may be old or missing.
        execute("ansible.builtin.apt", options | {"update_cache": True})
