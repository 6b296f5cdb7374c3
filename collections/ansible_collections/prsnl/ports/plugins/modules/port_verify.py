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
  - What was rendered on the host for the services is compared as well. A configuration that was
    rendered for another port or address than the plan has, that was edited by hand since, that is
    missing, or that a run was cut off before it took effect, is a fault of its endpoint.
  - Where M(prsnl.ports.firewall) has confirmed rules, they have to be in force as they were, the
    next boot has to load what it should, and no other firewall may close what the plan opens.
  - Lists the listeners that the registry doesn't know, except the one of the connection over which
    the host is managed, those under a lease, and O(allowed_listeners).
  - Waits for daemons that are still starting, with growing pauses, as long as something may change
    by itself. A socket that a stranger holds won't.
  - The table of P(prsnl.ports.port_report#callback) shows the result of the last run.
extends_documentation_fragment:
  - prsnl.ports.attributes
  - prsnl.ports.attributes.info
  - prsnl.ports.plan
  - prsnl.ports.leases
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
  settle:
    description:
      - For how many seconds a daemon has to live. One that is younger is looked at again when it is
        that old, and has to be the same one. Older ones cost no time.
      - One that was younger and goes while others are waited for is not stable either.
      - Not in check mode.
    type: int
    default: 10
  configuration:
    description: Whether the rendered configuration is compared as well.
    type: bool
    default: true
  firewall:
    description: Whether the rules of the firewall are looked at as well.
    type: bool
    default: true
  unregistered:
    description:
      - What to do about listeners that the registry doesn't know. V(report) warns, V(fail) fails.
    type: str
    choices: [ignore, report, fail]
    default: report
  allowed_listeners:
    description:
      - Listeners that need no entry in the registry. All that is given of an entry has to fit.
    type: list
    elements: dict
    default: []
    suboptions:
      reason:
        description: Why they are as they should be.
        type: str
        required: true
      process:
        description: Possible names of the process or of its program.
        type: list
        elements: str
        default: []
      user:
        description: The user that the process runs as, by name or number.
        type: str
      unit:
        description: Possible systemd units, services or sockets. Linux only.
        type: list
        elements: str
        default: []
      label:
        description: The label of the launchd job. macOS only.
        type: str
      container:
        description: The name of the container, or a dictionary of C(engine) and C(name).
        type: raw
      kernel:
        description: The kernel itself, without a process. Linux only.
        type: bool
        default: false
      protocol:
        description: The protocol.
        type: str
        choices: [tcp, udp]
      ports:
        description: The ports.
        type: list
        elements: int
        default: []
      loopback:
        description: Only on loopback addresses.
        type: bool
        default: false
      ephemeral:
        description: Only on ports that the kernel gives to whoever asks for any.
        type: bool
        default: false
  view:
    description:
      - Which table P(prsnl.ports.port_report#callback) shows, the one of the owners or the one of
        registry, configuration and live sockets side by side.
    type: str
    choices: [owners, drift]
    default: owners
notes:
  - A file that was edited after its daemon's processes started is called unread. A daemon that was
    told to read it without starting a process can't be told from one that wasn't.
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
    registered:
      description: Where it has to be bound; its status where it hasn't to be.
      type: str
    configured:
      description: Where its configuration binds it; empty where none was rendered.
      type: str
    live:
      description: The sockets that its owner has, on its port or, failing that, on others.
      type: str
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
        - V(ok), V(silent), V(leased) or V(not expected, not bound), where all is well.
        - V(not bound), V(wrong owner), V(owner not visible), V(wrong address), V(no answer),
          V(must be silent), V(not stable), V(redirected) or V(wrong configuration), where it isn't.
      type: str
    ok:
      description: Whether reality equals the plan.
      type: bool
    messages:
      description: What differs, and what to do.
      type: list
      elements: str
unregistered:
  description: The listeners that the registry doesn't know; empty with O(unregistered=ignore).
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
    address:
      description: The sockets.
      type: str
    held_by:
      description: Processes and users that hold them.
      type: str
    message:
      description: Who holds them since when, and what to do.
      type: str
configuration:
  description: What is wrong with rendered configuration that belongs to no endpoint of the plan.
  returned: when the sockets could be read
  type: list
  elements: str
firewall:
  description: What is wrong with the rules of the firewall that were confirmed last.
  returned: when the sockets could be read
  type: list
  elements: str
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
view:
  description: The table that O(view) asked for.
  returned: when the sockets could be read
  type: str
faults:
  description: Everything that differs.
  returned: when the sockets could be read
  type: list
  elements: str
summary:
  description:
    - What the task fails with. A line that leads to the report at the end of the run where the
      callback P(prsnl.ports.port_report#callback) is enabled, else all of RV(faults).
    - Empty if there is nothing to say.
  returned: when the sockets could be read
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.system import judge_firewall
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import module_runner
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import read_plan
from ansible_collections.prsnl.ports.plugins.module_utils.plan.leases import read_leases
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.login import read_login
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.snapshot import (
    read_host_redirects,
)
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.after import (
    apply_configuration,
    apply_other_states,
    apply_redirects,
    fault_report,
    verify_host,
)
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.configuration import (
    judge_configurations,
    read_configurations,
)
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.limits import read_port_limits
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.strangers import (
    find_unregistered,
    read_allowed,
)

ALLOWED = {
    "reason": {"type": "str", "required": True},
    "process": {"type": "list", "elements": "str", "default": []},
    "user": {"type": "str"},
    "unit": {"type": "list", "elements": "str", "default": []},
    "label": {"type": "str"},
    "container": {"type": "raw"},
    "kernel": {"type": "bool", "default": False},
    "protocol": {"type": "str", "choices": ["tcp", "udp"]},
    "ports": {"type": "list", "elements": "int", "default": []},
    "loopback": {"type": "bool", "default": False},
    "ephemeral": {"type": "bool", "default": False},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "plan": {"type": "dict"},
            "registry": {"type": "str"},
            "leases": {"type": "list", "elements": "dict"},
            "timeout": {"type": "int", "default": 30},
            "settle": {"type": "int", "default": 10},
            "configuration": {"type": "bool", "default": True},
            "firewall": {"type": "bool", "default": True},
            "unregistered": {
                "type": "str",
                "choices": ["ignore", "report", "fail"],
                "default": "report",
            },
            "allowed_listeners": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": ALLOWED,
            },
            "view": {"type": "str", "choices": ["owners", "drift"], "default": "owners"},
        },
        supports_check_mode=True,
    )
    params = module.params
    registry, policy = params["registry"], params["unregistered"]
    try:
        plan = read_plan(params["plan"])
        endpoints = plan.endpoints
        leases = read_leases(params["leases"])
        allowed = [read_allowed(entry) for entry in params["allowed_listeners"]]
        results, snapshot = verify_host(
            endpoints,
            0 if module.check_mode else params["timeout"],
            registry=registry,
            settle=0 if module.check_mode else params["settle"],
            leases=leases,
        )
        apply_other_states(results, snapshot, time.time())
        configurations = read_configurations() if params["configuration"] else []
    except (OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    apply_redirects(results, read_host_redirects())
    judgement = judge_configurations(configurations, endpoints, snapshot)
    apply_configuration(results, judgement)
    strangers = []
    if policy != "ignore":
        strangers = find_unregistered(
            snapshot,
            allowed=allowed,
            leases=leases,
            login=read_login(),
            limits=read_port_limits(),
            known=[s for result in results for s in (*result.sockets, *result.elsewhere)],
            registry=registry,
            now=time.time(),
        )
    host = plan.host
    unregistered = [f"{host}: {found.message}" for found in strangers]
    run = module_runner(module)
    firewall = judge_firewall(run, endpoints) if params["firewall"] else None
    others = [*judgement.others, *(firewall or ())]
    faults = [*fault_report(host, results), *(f"{host}: {text}" for text in others)]
    if policy == "fail":
        faults += unregistered
    result = {
        "changed": False,
        "results": [found.as_dict() for found in results],
        "unregistered": [found.as_dict() for found in strangers],
        "configuration": list(judgement.others),
        "firewall": list(firewall or ()),
        "faults": faults,
        "view": params["view"],
    }
    if faults and not module.check_mode:
        module.fail_json(msg="\n".join(faults), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
