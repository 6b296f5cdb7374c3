# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts what a play executes on its hosts, by host and role."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: executions
type: aggregate
short_description: Count remote executions
description:
  - Counts the modules that are executed on hosts other than the controller, and prints how many
    there were for each host and role.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Writes a line for each execution, because tasks run in processes of their own."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "executions"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        handle, self._log = tempfile.mkstemp(prefix="executions-")
        os.close(handle)
        log, execute = self._log, ActionBase._execute_module

        def counted(action: Any, *args: Any, **options: Any) -> Any:
            variables = options.get("task_vars") or {}
            if action._connection.transport != "local":
                role = action._task._role
                # A role that others include counts as theirs.
                while role and role.get_parents():
                    role = role.get_parents()[0]
                line = f"{variables.get('inventory_hostname')} {role.get_name() if role else '-'}\n"
                with open(log, "a", encoding="utf-8") as file:
                    file.write(line)
            return execute(action, *args, **options)

        ActionBase._execute_module = counted

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Print the counts."""
        with open(self._log, encoding="utf-8") as file:
            counts = Counter(line.strip() for line in file)
        os.unlink(self._log)
        for key, count in sorted(counts.items()):
            self._display.display(f"EXECUTIONS {key} {count}")
