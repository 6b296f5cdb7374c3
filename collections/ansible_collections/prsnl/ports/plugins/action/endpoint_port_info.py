# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.plan_action import PlanAction


class ActionModule(PlanAction):
    """Give the module the plan of the task's host."""
