# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import functools
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.governance import change, leasing
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.governance_action import (
    GovernanceAction,
    groups_of,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import leases, load


class ActionModule(GovernanceAction):
    """Lends ports, for longer, and takes them back."""

    SPEC: t.ClassVar[dict[str, t.Any]] = {
        "port": {"type": "int", "required": True},
        "hosts": {"type": "str", "required": True},
        "state": {"type": "str", "choices": list(leasing.STATES), "default": "present"},
        "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
        "holder": {"type": "dict"},
        "reason": {"type": "str"},
        "expires": {"type": "str"},
    }

    def apply(self, arguments: dict[str, t.Any], variables: dict[str, t.Any]) -> change.Outcome:
        """Change the leases."""
        file = leases.beside(controller.registry_path())
        request = leasing.Request(**arguments)
        edit = functools.partial(_lease, file=file, request=request, groups=groups_of(variables))
        return self.make(file, edit)


def _lease(
    source: bytes | None, file: str, request: leasing.Request, groups: change.Groups
) -> change.Change:
    registry = load.read(controller.registry_path())
    now = datetime.datetime.now(tz=datetime.UTC)
    return leasing.lease(source, file, registry, request, now=now, groups=groups)
