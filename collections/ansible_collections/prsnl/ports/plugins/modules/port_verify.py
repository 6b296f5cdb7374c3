#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: port_verify
short_description: Prove that the sockets of a host are what its plan says
version_added: 0.1.0
description:
  - Compares the plan of a host with its sockets and the processes that hold them, and fails once,
    with everything that differs.
  - An expected endpoint has to be bound on each address of the plan, on no other ones, by its
    owner, and has to speak its protocol. An alternative endpoint may be bound, by its owner. A
    retired or reserved port has to be silent.
  - The owner is right when every process that has the socket open has an expected name, at least
    one of them runs as the expected user (a master and its workers differ), and all belong to the
    expected unit. Names are compared with the kernel's name of the process, which has 15 bytes, and
    with the name of its program.
  - Waits for daemons that are still starting, with growing pauses, as long as something may change
    by itself. A socket that a stranger holds won't.
  - The table of P(prsnl.ports.port_report#callback) shows the result of the last run.
extends_documentation_fragment:
  - prsnl.ports.plan
attributes:
  check_mode:
    details:
      - In check mode it looks once, reports what differs as a warning and doesn't fail. Nothing was
        started, so a host that isn't provisioned yet can't equal its plan.
options:
  timeout:
    description:
      - How long to wait at most for what differs to change by itself, in seconds.
      - A last round of probes may add 5 seconds.
    type: int
    default: 30
notes:
  - Probes connect to the host's own addresses only, to the loopback address where an endpoint
    listens on all.
  - The probe of PostgreSQL sends a start message for a role C(port_verify), which needn't exist. A
    server whose C(pg_hba.conf) rejects it writes one line to its log for each address.
seealso:
  - module: prsnl.ports.port_check
  - module: prsnl.ports.registry_info
  - plugin: prsnl.ports.port_report
    plugin_type: callback
"""

EXAMPLES = r"""
- name: Compare the host with its plan
  prsnl.ports.port_verify:
  become: true

- name: Give a slow daemon more time
  prsnl.ports.port_verify:
    timeout: 120
  become: true
"""

RETURN = r"""
results:
  description: What was found for each endpoint of the plan, in the plan's order. Also returned on
    failure.
  returned: when the sockets could be read
  type: list
  elements: dict
  contains:
    id:
      description: The endpoint, as C(service.name).
      type: str
      sample: shop.http
    service:
      description: The service.
      type: str
      sample: shop
    endpoint:
      description: The name of the endpoint within its service.
      type: str
      sample: http
    port:
      description: The port.
      type: int
    protocol:
      description: V(tcp) or V(udp).
      type: str
    listen:
      description: The addresses that it has to listen on.
      type: list
      elements: str
      sample: ["0.0.0.0", "::"]
    address:
      description: The sockets that were found; the wanted ones where there are none; the port where
        none is wanted.
      type: str
      sample: 0.0.0.0:4711, [::]:4711
    owner:
      description: The expected owner.
      type: str
      sample: nginx (root)
    bound_by:
      description: Processes and users that hold the sockets.
      type: str
      sample: nginx (root, www-data)
    verdict:
      description:
        - V(ok), V(silent) or V(not expected, not bound), where all is well.
        - V(not bound), V(wrong owner), V(owner not visible), V(wrong address), V(no answer) or
          V(must be silent), where it isn't.
      type: str
    ok:
      description: Whether reality equals the plan.
      type: bool
    messages:
      description: What differs, and what to do.
      type: list
      elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.prsnl.ports.plugins.module_utils.judge import read_plan
from ansible_collections.prsnl.ports.plugins.module_utils.port_verify import (
    fault_report,
    verify_host,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "plan": {"type": "dict"},
            "registry": {"type": "str"},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    plan = module.params["plan"]
    timeout = 0 if module.check_mode else module.params["timeout"]
    try:
        endpoints = read_plan(plan)
        results = verify_host(endpoints, timeout, registry=module.params["registry"])
    except (OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    report = fault_report(plan["host"], results)
    result = {"changed": False, "results": [found.as_dict() for found in results]}
    if report and not module.check_mode:
        module.fail_json(msg=report, **result)
    if report:
        module.warn(f"Not enforced in check mode. {report}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
