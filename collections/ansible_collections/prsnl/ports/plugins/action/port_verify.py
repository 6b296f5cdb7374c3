# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.plan_action import PlanAction
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.progress import (
    told_while_waiting,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.reporting import (
    counted,
    summarise,
)


class ActionModule(PlanAction):
    """Give the module the plan of the task's host, and lead from its failure to the report."""

    needs_leases = True
    tells_unplanned = True

    def run_module(
        self, arguments: dict[str, t.Any], variables: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        """Execute the module on the host."""
        host = variables["inventory_hostname"]
        with told_while_waiting(f"{host}: waiting until every port of the plan is as planned"):
            result = super().run_module(arguments, variables)
        if "faults" in result:
            faults = result["faults"]
            told = (
                f"{host}: {counted(len(faults), 'fault')}. PORTS OF {host}, at the end of this run,"
                " says what differs and what to do."
            )
            result["summary"] = summarise(faults, told)
            if result.get("failed"):
                result["msg"] = result["summary"]
            elif faults:
                self._warn(result, f"Not enforced in check mode. {result['summary']}")
            strangers = [f"{host}: {row['message']}" for row in result["unregistered"]]
            if not set(strangers) <= set(faults):
                told = f"{host}: {counted(len(strangers), 'listener')} not registered."
                self._warn(result, summarise(strangers, told))
        return result

    @staticmethod
    def _warn(result: dict[str, t.Any], text: str) -> None:
        result.setdefault("warnings", []).append(text)
