#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: endpoint_port_info
short_description: On which port a host serves an endpoint now
version_added: 0.2.0
description:
  - Looks for the socket of the endpoint's registered owner, on whatever port that is, where the
    registry may say another one already.
extends_documentation_fragment:
  - prsnl.ports.attributes
  - prsnl.ports.attributes.info
  - prsnl.ports.plan
options:
  endpoint:
    description: The id of the endpoint, as C(service.name).
    type: str
    required: true
seealso:
  - module: prsnl.ports.listening_ports_info
"""

EXAMPLES = r"""
- name: Ask on which port PostgreSQL listens
  prsnl.ports.endpoint_port_info:
    endpoint: postgresql.sql
  become: true
  register: found
"""

RETURN = r"""
port:
  description: The port that the endpoint has now; V(0) if its owner doesn't listen.
  returned: success
  type: int
  sample: 5432
registered:
  description: The port that the registry gives it.
  returned: success
  type: int
  sample: 5433
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.prsnl.ports.plugins.module_utils.host.manifest import read_manifests
from ansible_collections.prsnl.ports.plugins.module_utils.moves.now import (
    UnknownPortError,
    port_now,
)
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import read_plan
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.snapshot import take_snapshot


def main() -> None:
    # It changes nothing, so check mode is the same.
    module = AnsibleModule(
        argument_spec={
            "endpoint": {"type": "str", "required": True},
            "plan": {"type": "dict"},
            "registry": {"type": "str"},
        },
        supports_check_mode=True,
    )
    name = module.params["endpoint"]
    try:
        plan = read_plan(module.params["plan"])
        endpoint = next((e for e in plan.endpoints if e.id == name), None)
        if endpoint is None:
            allowed = ", ".join(e.id for e in plan.endpoints) or "nothing"
            raise ValueError(
                f"{plan.host}: {name} isn't in the plan of this host, allowed is {allowed}"
            )
        registered = endpoint.port
        registry = module.params["registry"]
        port = port_now(endpoint, plan.endpoints, read_manifests(), take_snapshot(), registry)
    except (OSError, UnknownPortError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, port=port, registered=registered)


if __name__ == "__main__":
    main()
