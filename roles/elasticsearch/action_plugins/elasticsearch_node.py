# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import typing as t

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

DAEMON = "prsnl.ports.daemon"
CLUSTER = "elasticsearch_cluster"
INITIAL = "cluster.initial_master_nodes"
# Of what a daemon's preview tells: after these, the node is gone for a while.
DISRUPTIVE = ("install", "restart", "start", "upgrade", "add", "download")
display = Display()
Result = dict[str, t.Any]


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the daemon, with the cluster's consent."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> Result:
        """The result of the task."""
        result: Result = super().run(tmp, task_vars)
        node = Node(self, dict(self._task.args), task_vars or {})
        return {**result, **node.bring()}


class Node:
    """One host's node."""

    def __init__(self, action: ActionModule, arguments: Result, variables: Result) -> None:
        self._action = action
        self._variables = variables
        self._host = str(variables.get("inventory_hostname", ""))
        self._daemon = dict(arguments["daemon"])
        self._cluster = dict(arguments["cluster"])
        self._initial = list(arguments["initial"])
        self._path = str(arguments["settings_file"])
        self._found = dict(arguments["found"])

    def bring(self) -> Result:
        """Do what has to be done, as far as this cluster lets it."""
        if len(self._initial) == 1 or self._action._task.check_mode:
            return self._run(self._daemon)
        if not self._found["formed"]:
            return self._form()
        preview = self._run(self._daemon, is_check=True)
        if preview.get("failed"):
            return preview
        is_cut_off = self._found["restarting"] == self._cluster["name"]
        if is_cut_off or (disrupts(preview) and not self._found["member"]):
            # The others may wait for this one.
            return self._replace()
        if disrupts(preview):
            with self._turn():
                return self._replace()
        # What was cut off earlier is gone on with by a real run only.
        return self._run(self._daemon)

    @contextlib.contextmanager
    def _turn(self) -> t.Iterator[None]:
        """Let no other node of this cluster be changed meanwhile, by whichever worker of this run.

        Not by ``throttle``: with the strategies ``free`` and ``host_pinned``, hosts that come after
        one that waits for its turn get none of theirs (ansible-core 2.21, strategy/free.py).
        """
        name = hashlib.sha256(json.dumps(sorted(self._initial)).encode()).hexdigest()[:16]
        # All workers of a run have this folder, and nobody else has.
        path = os.path.join(constants.DEFAULT_LOCAL_TMP, f"elasticsearch-{name}")
        with open(path, "w", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                display.display(f"{self._host}: waiting for its turn in the cluster")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _replace(self) -> Result:
        """Change a node while the others go on."""
        drained = self._ask("drained", f"{self._host}: waiting until the cluster can do without it")
        if drained.get("failed"):
            return self._failed(drained)
        result = self._run(self._daemon)
        settled = self._ask("settled", f"{self._host}: waiting until it is in the cluster again")
        if result.get("failed") or not settled.get("failed"):
            return result
        return {**result, **self._failed(settled)}

    def _form(self) -> Result:
        """Start a node that forms a cluster together with others."""
        line = f"{INITIAL}: {json.dumps(self._initial)}\n"
        first = self._run(self._with(lambda file: {**file, "content": file["content"] + line}))
        if first.get("failed"):
            return first
        settled = self._ask("settled", f"{self._host}: waiting for the cluster to form")
        if settled.get("failed"):
            return {**first, **self._failed(settled)}
        # It has been read, and a restart would read it again.
        last = self._run(self._with(lambda file: {**file, "applied_by": "none"}))
        actions = [*first.get("actions", []), *last.get("actions", [])]
        return {**last, "changed": True, "actions": actions, "diff": first.get("diff", [])}

    def _with(self, change: t.Callable[[Result], Result]) -> Result:
        """The daemon's arguments with another file of settings."""
        files = [
            change(file) if file["path"] == self._path else file for file in self._daemon["files"]
        ]
        return {**self._daemon, "files": files}

    def _ask(self, state: str, told: str) -> Result:
        display.display(told)
        found: Result = self._action._execute_module(
            module_name=CLUSTER,
            module_args={**self._cluster, "state": state},
            task_vars=self._variables,
        )
        return found

    def _failed(self, found: Result) -> Result:
        return {"failed": True, "msg": f"{self._host}: {found.get('msg')}"}

    def _run(self, arguments: Result, *, is_check: bool = False) -> Result:
        """The daemon's own action, as a task of it would be."""
        task = self._action._task.copy()
        task.action, task.args = DAEMON, arguments
        task.check_mode = bool(self._action._task.check_mode) or is_check
        action = self._action._shared_loader_obj.action_loader.get(
            DAEMON,
            task=task,
            connection=self._action._connection,
            play_context=self._action._play_context,
            loader=self._action._loader,
            templar=self._action._templar,
            shared_loader_obj=self._action._shared_loader_obj,
        )
        found: Result = action.run(task_vars=self._variables)
        return found


def disrupts(preview: Result) -> bool:
    """Whether a daemon's preview says that the node will be gone for a while."""
    return any(str(step).startswith(DISRUPTIVE) for step in preview.get("actions", []))
