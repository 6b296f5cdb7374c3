#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: port_check
short_description: Refuse a change while a port of the plan is held by someone else
version_added: 0.1.0
description:
  - Looks at every port of the host's plan before anything is changed, and fails once, with all
    conflicts.
  - Each message names the port, the endpoint that wants it, the address and the process that hold
    it, and what to do.
  - A port held by its own service is no conflict, so a second run passes. Neither is a service that
    still has another port than the one it is going to have.
  - Only sockets on overlapping addresses conflict. A wildcard overlaps every address of its family,
    and V(::) those of IPv4 too unless the socket is IPv6 only.
  - A port that another service of the same plan holds is no conflict where that service moves to
    another port in the same run. A warning says which one has to be provisioned first.
  - Services that wait for each other's ports are a conflict, because none of them can start first.
    Give one of them a free port, run, and then give it its final one.
  - Where no listener is seen, the port is bound for a moment on each of its addresses, without
    listening, to know what the kernel says. Outgoing connections, connections that haven't quite
    ended and sockets that don't listen are named where they are in the way.
  - A port whose packets a rule of nftables or iptables sends elsewhere is no free one, though it
    can be bound. The rules are read and never written.
  - Sockets that are bound to a device are shown with it, as V(0.0.0.0%eth0). They are in the way of
    a service that binds to the same one or to none.
  - Retired and reserved ports have to be free. One that a service of this plan holds because it
    hasn't moved yet is no conflict; M(prsnl.ports.port_verify) proves afterwards that it is gone.
  - A port that a lease gives to its holder for a time is no conflict while nobody has to have it
    now. It is one for a service that has to start there. A lease that has ended counts no more.
  - Ports that a container engine publishes are held, with or without a socket, by the container.
  - Warns, once for each host, of ports that an outgoing connection may take first because they lie
    in the kernel's ephemeral range, of those that macOS uses itself, and of those below 1024 whose
    owner isn't root and whose unit doesn't give it the capability.
  - An endpoint that would listen on IPv6 on a host without an IPv6 address is a conflict too.
  - Nothing is stopped, killed or moved.
  - In the same execution it can refuse a host that isn't fit, as M(prsnl.ports.host_check) does.
    The ports of such a host aren't looked at.
extends_documentation_fragment:
  - prsnl.ports.attributes
  - prsnl.ports.attributes.info
  - prsnl.ports.fitness
  - prsnl.ports.plan
  - prsnl.ports.leases
attributes:
  check_mode:
    details:
      - Fails in check mode as well, because the change would.
seealso:
  - module: prsnl.ports.host_check
  - module: prsnl.ports.port_verify
  - module: prsnl.ports.registry_info
"""

EXAMPLES = r"""
- name: Refuse to start on ports that are held by others
  prsnl.ports.port_check:
  become: true

- name: List what holds the ports, without failing
  prsnl.ports.port_check:
  become: true
  register: checked
  failed_when: false

- name: Refuse hosts that aren't fit, and ports that are held by others, in one execution
  prsnl.ports.port_check:
    architectures: [aarch64]
    memory_mb: 2048
  become: true
"""

RETURN = r"""
faults:
  description: Everything that makes the host unfit.
  returned: always
  type: list
  elements: str
  version_added: 0.2.0
  sample: []
found:
  description: What the host has, as M(prsnl.ports.host_check) returns it.
  returned: always
  type: dict
  version_added: 0.2.0
unplanned:
  description:
    - What the inventory lacks, so that less is asked of the host than the registry means, such as a
      group that isn't called as the registry has it. Empty if nothing is.
  returned: when the plan isn't an argument
  type: list
  elements: str
  version_added: 0.2.0
  sample: []
results:
  description: What was found for each endpoint of the plan, in the plan's order.
  returned: when the sockets could be read
  type: list
  elements: dict
  contains:
    id:
      description: The endpoint, as C(service.name).
      type: str
      sample: shop.http
    port:
      description: Its port.
      type: int
    protocol:
      description: V(tcp) or V(udp).
      type: str
    bind_works:
      description: The addresses that the kernel lets a server bind.
      type: list
      elements: str
    bind_fails:
      description: Those that it doesn't. Where a listener is seen on all devices, none is tried.
      type: list
      elements: str
    verdict:
      description:
        - V(free), nothing is bound there, and a server that binds it gets the packets to it.
        - V(ours), the service itself holds it.
        - V(other-service), another service of this plan holds it.
        - V(leased), someone holds it under a lease.
        - V(foreign), someone else does, or the kernel sends packets to it elsewhere.
        - V(no-address), nobody does, but the host doesn't have an address of it.
        - V(retired-in-use), it has to be silent and isn't.
        - V(unknown), the holder can't be seen without root's rights.
      type: str
    held_on:
      description: The addresses of the sockets that are in the way.
      type: list
      elements: str
    held_by:
      description: The processes and users that hold them.
      type: str
      sample: nginx (root, www-data)
    conflict:
      description: Whether it stops the run.
      type: bool
    message:
      description: The conflict or the warning; empty if there is neither.
      type: str
summary:
  description:
    - What the task fails with. A line that leads to the report at the end of the run where the
      callback P(prsnl.ports.port_report#callback) is enabled, else all of RV(conflicts).
    - Empty if there is nothing to say.
  returned: when the sockets could be read
  type: str
leases:
  description: The leases of the host, those that have ended too.
  returned: when the sockets could be read
  type: list
  elements: dict
  contains:
    port:
      description: The port.
      type: int
    protocol:
      description: V(tcp) or V(udp).
      type: str
    reason:
      description: What it is used for.
      type: str
    expires:
      description: Its end, as the file has it.
      type: str
    end:
      description: Its end, in seconds since the epoch.
      type: int
    expired:
      description: Whether it counts no more.
      type: bool
    where:
      description: The file and line.
      type: str
      sample: registry/leases.yml:4
    message:
      description: All of it in words.
      type: str
conflicts:
  description: The messages of all conflicts.
  returned: when the sockets could be read
  type: list
  elements: str
  sample:
    - >-
      app: 4711/tcp wanted by shop.http is held on 0.0.0.0 by node (pid 812, user ada,
        since 09:14, unit user@1000.service). Stop it, or move the service in registry/ports.yml.
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.prsnl.ports.plugins.module_utils.host.fitness import (
    ARGUMENTS,
    judge,
)
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import read_plan
from ansible_collections.prsnl.ports.plugins.module_utils.plan.leases import read_leases
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.before import (
    Check,
    check_families,
    check_host,
)
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.limits import (
    port_warnings,
    privileged,
    read_port_limits,
    units_with_capability,
)


def warnings_of(checks: t.Sequence[Check], host: str, registry: str) -> list[str]:
    """Return what to warn of, for ports that nobody has proved to be usable."""
    limits = read_port_limits()
    # A service that has its port has proved that it can.
    absent = [check.endpoint for check in checks if check.verdict != "ours"]
    units = {unit for e in privileged(absent, limits) for unit in e.owner.units}
    capable = units_with_capability(units) if units else set()
    return port_warnings(absent, limits, capable, host=host, registry=registry)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "plan": {"type": "dict"},
            "registry": {"type": "str"},
            "leases": {"type": "list", "elements": "dict"},
            **ARGUMENTS,
        },
        supports_check_mode=True,
    )
    try:
        plan = read_plan(module.params["plan"])
        leases = read_leases(module.params["leases"])
    except ValueError as error:
        module.fail_json(msg=str(error))
    fitness = judge(module.params, plan.host)
    if fitness["faults"]:
        module.fail_json(**fitness)
    try:
        checks, snapshot, unread = check_host(
            plan.endpoints,
            host=plan.host,
            registry=module.params["registry"],
            now=time.time(),
            leases=leases,
        )
    except (OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    if unread:
        module.warn(
            f"{plan.host}: whether packets go elsewhere than to these ports can't be told, because"
            f" the rules of the kernel can't be read ({unread}). It needs root's rights with the"
            " capability NET_ADMIN."
        )
    for warning in warnings_of(checks, plan.host, module.params["registry"]):
        module.warn(warning)
    for check in checks:
        if check.warning:
            module.warn(check.warning)
    conflicts = [check.conflict for check in checks if check.conflict]
    no_ipv6 = check_families(plan.endpoints, snapshot, plan.host)
    if no_ipv6:
        conflicts.append(no_ipv6)
    result = {
        **fitness,
        "results": [check.as_dict() for check in checks],
        "conflicts": conflicts,
    }
    if conflicts:
        module.fail_json(msg="\n".join(conflicts), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
