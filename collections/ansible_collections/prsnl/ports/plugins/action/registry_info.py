# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance.uses import (
    PROTOCOLS,
    Uses,
    span_of,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller, jmespath_query
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import leases
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import RegistryError
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
        _valid, arguments = self.validate_argument_spec(
            argument_spec={
                "query": {"type": "str"},
                "port": {"type": "int"},
                "range": {"type": "str"},
                "protocol": {"type": "str", "choices": list(PROTOCOLS), "default": "tcp"},
            }
        )
        registry = controller.current_registry()
        result.update(changed=False, path=registry.file)
        if arguments["query"] is not None:
            answer = jmespath_query.compiled("query", arguments["query"])
            system = controller.host_system(variables)
            endpoints = [_with_service(registry, system, e) for e in registry.endpoints.values()]
            result["result"] = answer({**registry.data, "endpoints": endpoints})
        if arguments["port"] is not None or arguments["range"] is not None:
            result.update(_uses(registry, arguments))
        if "port_environment" in variables:
            result["plan"] = controller.host_plan(variables)
            result["leases"] = controller.host_leases(variables)
        return result


def _uses(registry: Registry, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
    """Who has a port, and which of a range nobody has."""
    answer: dict[str, t.Any] = {}
    try:
        lent = leases.read(leases.beside(registry.file))
        uses = Uses(registry, lent, datetime.datetime.now(tz=datetime.UTC))
        if arguments["port"] is not None:
            found = [use for name in PROTOCOLS for use in uses.of(arguments["port"], name)]
            fields = ("port", "protocol", "kind", "who", "text", "where")
            answer["uses"] = [{name: getattr(use, name) for name in fields} for use in found]
        if arguments["range"] is not None:
            span = span_of(registry, arguments["range"])
            answer["free"] = list(uses.free(span, arguments["protocol"]))
    except RegistryError as error:
        raise AnsibleActionFail(str(error)) from None
    return answer


def _with_service(registry: Registry, system: str, endpoint: Endpoint) -> dict[str, t.Any]:
    return {
        **endpoint.as_dict(system),
        "hosts": registry.services[endpoint.service].hosts,
        "environments": list(endpoint.environments),
        "range": registry.services[endpoint.service].range,
        "consumers": list(endpoint.consumers),
        "addresses": list(endpoint.addresses),
        "exception": endpoint.exception,
    }
