# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.plan_action import PlanAction
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
        result = super().run_module(arguments, variables)
        if "conflicts" in result:
            host, faults = variables["inventory_hostname"], result["conflicts"]
            told = (
                f"{host}: {counted(len(faults), 'port')} can't be had. CONFLICTS ON {host}, at the"
                " end of this run, says why and what to do."
            )
            result["summary"] = summarise(faults, told)
            if faults:
                result["msg"] = result["summary"]
        return result
