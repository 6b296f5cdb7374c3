# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller, jmespath_query
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import Endpoint, Registry


class ActionModule(ActionBase):  # type: ignore[misc]
    """Answers on the controller, from the registry and the inventory."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        """The result of the task."""
        variables = task_vars or {}
        result: dict[str, t.Any] = super().run(tmp, variables)
        _valid, arguments = self.validate_argument_spec(argument_spec={"query": {"type": "str"}})
        registry = controller.current_registry()
        result.update(changed=False, path=registry.file)
        if arguments["query"] is not None:
            answer = jmespath_query.compiled("query", arguments["query"])
            endpoints = [_with_service(registry, e) for e in registry.endpoints.values()]
            result["result"] = answer({**registry.data, "endpoints": endpoints})
        if "port_environment" in variables:
            result["plan"] = controller.host_plan(variables)
        return result


def _with_service(registry: Registry, endpoint: Endpoint) -> dict[str, t.Any]:
    return {
        **endpoint.as_dict(),
        "hosts": registry.services[endpoint.service].hosts,
        "environments": list(endpoint.environments),
        "range": registry.services[endpoint.service].range,
        "consumers": list(endpoint.consumers),
        "addresses": list(endpoint.addresses),
        "exception": endpoint.exception,
    }
