# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.backends import (
    Installer,
    Missing,
    Parts,
    StockStep,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.homebrew import Homebrew
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.installers import (
    Apt,
    read_parts,
    stock_steps,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.confinement import confine
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.locking import LockedModule
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.progress import (
    told_while_waiting,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.stock import StockModules

MODULE = "prsnl.ports.daemon"
OPTIONS = ("service_options", "options")
display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module, and between two runs of it what installs missing parts."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        for name in ("lock", "step"):
            if name in arguments:
                raise AnsibleActionFail(f"{name} is set by the action; leave it out")

        def families() -> list[str]:
            found = variables.get("port_address_families", controller.FAMILIES)
            return list(self._templar.template(found))

        work = Installation(self, variables)
        several = arguments.get("daemons")
        if not several:
            return {**result, **work.provide(confined(arguments, families))}
        remaining = [confined(daemon, families) for daemon in several]
        return {**result, **work.provide_all(arguments, remaining)}


def confined(daemon: dict[str, t.Any], families: t.Callable[[], list[str]]) -> dict[str, t.Any]:
    """The arguments of one daemon, with the options that confine its service.

    `families` are the address families of the host.
    """
    names = [name for name in OPTIONS if name in daemon]
    if len(names) > 1:
        raise AnsibleActionFail("options is another name of service_options; set one of them")
    given = {name: value for name, value in daemon.items() if name not in OPTIONS}
    options = (daemon[names[0]] if names else None) or {}
    is_confined = boolean(daemon.get("confinement", True))
    if is_confined and str(daemon.get("unit", "")).endswith(".service"):
        options = confine(families(), options)
    return {**given, "service_options": options} if options else given


def awaited(daemon: t.Mapping[str, t.Any]) -> str:
    """What a person is told about a daemon that takes long to be ready."""
    name = str(daemon.get("unit") or "what is to be installed")
    endpoints = [one["id"] for one in daemon.get("endpoints") or () if "id" in one]
    if not endpoints:
        return f"{name} is not done yet"
    return f"{name} is not done yet, waiting for {listed(endpoints, 'and')}"


def told(arguments: dict[str, t.Any], found: dict[str, t.Any]) -> dict[str, t.Any]:
    """The result with what isn't a file in its difference: files have their own."""
    steps = [
        step for step in found.get("actions", []) if not step.startswith(("write ", "remove "))
    ]
    if not steps:
        return found
    subject = arguments.get("unit") or "packages"
    line = {"prepared": f"{subject}: {listed(steps, 'and')}\n"}
    return {**found, "diff": [line, *found.get("diff", [])]}


class Installation:
    """What the controller does for the daemons of one task on one host."""

    def __init__(self, action: ActionModule, variables: dict[str, t.Any]) -> None:
        self._action = action
        self._variables = variables
        self._host = variables["inventory_hostname"]
        self._module = LockedModule.of(action, variables)

    def provide(self, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        """Look at one daemon, install what is missing, and configure it; the task's result."""
        found = self._execute(arguments, [arguments])
        if "staged" in found:
            found = self._install(arguments, found)
        return told(arguments, found)

    def provide_all(
        self, arguments: dict[str, t.Any], remaining: list[dict[str, t.Any]]
    ) -> dict[str, t.Any]:
        """The same for several, those that have nothing to be installed together."""
        results: list[dict[str, t.Any]] = []
        recovered: list[str] = []
        while remaining:
            found = self._execute({**arguments, "daemons": remaining}, remaining)
            recovered += found.pop("recovered", [])
            done = found.pop("daemons", [])
            results += [told(*pair) for pair in zip(remaining, done, strict=False)]
            if found.get("failed"):
                return {**found, "daemons": results}
            waiting = remaining[len(done) - 1]
            remaining = remaining[len(done) :]
            if done and "staged" in done[-1]:
                stuck = {**done[-1], "token": found["token"]}
                installed = self._install(waiting, stuck)
                results[-1] = told(waiting, {"unit": stuck["unit"], **installed})
                if installed.get("failed"):
                    return {**installed, "daemons": results[:-1]}
        merged: dict[str, t.Any] = {
            "changed": any(result["changed"] for result in results),
            "daemons": results,
            "diff": [entry for result in results for entry in result.pop("diff", [])],
        }
        for name in ("warnings", "deprecations"):
            gathered = [entry for result in results for entry in result.pop(name, [])]
            merged |= {name: gathered} if gathered else {}
        return merged | ({"recovered": recovered} if recovered else {})

    def _execute(
        self, arguments: dict[str, t.Any], daemons: t.Sequence[dict[str, t.Any]]
    ) -> dict[str, t.Any]:
        """Execute the module, and say what is waited for if that takes long."""
        with told_while_waiting(
            f"{self._host}: {listed([awaited(one) for one in daemons], 'and')}"
        ):
            return self._module.execute(MODULE, arguments)

    def _install(self, arguments: dict[str, t.Any], found: dict[str, t.Any]) -> dict[str, t.Any]:
        """Install what is missing, without starting a daemon, and go on with the module."""
        self._module.token = found["token"]
        parts = read_parts(arguments)
        missing = read_missing(parts, found["missing"])
        unit = arguments.get("unit")
        # Where only the source or the user differs, the packages are there.
        names = [*([unit] if unit else []), *(missing.packages or arguments.get("packages") or ())]
        what = listed([*names, *missing.downloads] or ["what is missing"], "and")
        display.display(f"{self._host}: installing {what}")
        installer = installer_of(found)
        modules = StockModules(self._action, self._variables, installer.environment)
        for step in stock_steps(parts, missing, found["staged"], installer):
            done = execute(modules, step)
            if done.get("failed"):
                self._module.execute(MODULE, {**arguments, "step": "abandon"})
                purpose = f"what {unit} needs" if unit else what
                return {
                    "failed": True,
                    "changed": modules.changed,
                    "msg": f"{self._host}: could not install {purpose}: {step.module}:"
                    f" {done.get('msg')}. Nothing was configured or started",
                    **{name: told for name, told in modules.told.items() if told},
                }
        # Those modules have the last word on whether there was something to install.
        last = "fresh" if modules.changed else "settle"
        result = self._execute({**arguments, "step": last}, [arguments])
        self._module.token = ""
        for name, gathered in modules.told.items():
            if gathered:
                result[name] = [*gathered, *(result.get(name) or [])]
        if not result.get("failed"):
            actions = [*(missing.told() if modules.changed else []), *result.get("actions", [])]
            result |= {
                "changed": modules.changed or result["changed"],
                "missing": found["missing"],
                "actions": actions,
            }
        recovered = [*found.get("recovered", []), *result.get("recovered", [])]
        return result | ({"recovered": recovered} if recovered else {})


def read_missing(parts: Parts, found: dict[str, t.Any]) -> Missing:
    """What the host says is missing, as far as the task asks for it."""
    urls = [download.url for download in parts.downloads]
    return Missing(
        packages=tuple(name for name in parts.packages if name in found["packages"]),
        source=str(found["source"]) if parts.source else "",
        downloads=tuple(url for url in urls if url in found["downloads"]),
        user=bool(parts.user and found["user"]),
        tools=("python3-debian",) if parts.source and found["tools"] else (),
    )


def installer_of(found: dict[str, t.Any]) -> Installer:
    """What installs packages on the host, by what it tells."""
    facts = found.get("installer") or {}
    return Homebrew(user=str(facts["homebrew"])) if "homebrew" in facts else Apt(_no_program)


def execute(modules: StockModules, step: StockStep) -> dict[str, t.Any]:
    """The result of a step; a failed one if it can't be executed at all."""
    try:
        return modules.execute(step.module, step.arguments, step.preferences, step.retry, step.user)
    except AnsibleConnectionFailure:
        raise
    except AnsibleError as error:
        # The controller lacks its collection, for example.
        return {"failed": True, "msg": str(error)}


def _no_program(command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
    raise AssertionError(f"the controller runs no program of the host: {command} {stdin}")
