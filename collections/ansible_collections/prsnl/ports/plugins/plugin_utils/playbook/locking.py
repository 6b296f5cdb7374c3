# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of a host's lock: who we are, and what to do about whoever has it."""

from __future__ import annotations

import getpass
import os
import pathlib
import platform
import typing as t
import uuid

from ansible.utils.display import Display
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import printable_all

TIMEOUT: t.Final = 120
display = Display()
# Executes a module with arguments and returns its result.
Execute = t.Callable[[str, dict[str, t.Any]], dict[str, t.Any]]


def place() -> str:
    """What a process id of this controller is relative to: the machine, its boot, the container."""
    try:
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return f"{platform.node()}:{uuid.getnode()}"


def is_alive(pid: int) -> bool:
    """Whether there is a process of this number, be it another one by now."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


class LockedModule:
    """Executes the modules of an action that take the host's lock, as the steps of one change.

    `token` is what a step has left for the next one.
    """

    def __init__(self, execute: Execute, host: str, task: str, timeout: t.Any = None) -> None:
        self._execute = execute
        self._host = host
        self._timeout = float(TIMEOUT if timeout is None else timeout)
        # Tasks run in processes of their own, and end with the play's.
        self._changer = {
            "controller": platform.node(),
            "user": _user(),
            "task": task,
            "pid": os.getppid(),
            "place": place(),
        }
        self.token = ""

    @classmethod
    def of(cls, action: t.Any, variables: dict[str, t.Any]) -> LockedModule:
        """For an action plugin and the variables of its task."""

        def execute(module: str, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
            result: dict[str, t.Any] = action._execute_module(
                module_name=module, module_args=arguments, task_vars=variables
            )
            clean: dict[str, t.Any] = printable_all(result)
            return clean

        task = action._task
        host = str(variables.get("inventory_hostname", ""))
        return cls(execute, host, str(task.get_name()), task.args.get("lock_timeout"))

    def execute(self, module: str, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        """The result of the module, after whoever changes the host has finished."""
        result = self._try(module, arguments)
        holder = result.pop("locked_by", None)
        if not holder:
            return result
        if holder["token"] and holder["place"] == place() and not is_alive(holder["pid"]):
            # A run on this controller that was killed between two steps, and won't go on.
            result = self._try(module, arguments, instead_of=holder["token"])
            holder = result.pop("locked_by", None)
        if holder and self._timeout > 0:
            display.display(
                f"{self._host}: waiting for {holder['user']}@{holder['controller']}, whose task"
                f" '{holder['task']}' changes this host (at most {self._timeout:g} s)"
            )
            result = self._try(module, arguments, wait=self._timeout)
            result.pop("locked_by", None)
        return result

    def _try(self, module: str, arguments: dict[str, t.Any], **lock: t.Any) -> dict[str, t.Any]:
        identity = {**self._changer, "token": self.token, **lock}
        return self._execute(module, {**arguments, "lock": identity})
