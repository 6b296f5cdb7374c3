#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: free_port
short_description: Stop whoever holds a port, on purpose
version_added: 0.2.0
description:
  - Frees a port by stopping its holder. It needs the port and the name of whom you mean, and
    refuses when somebody else holds it.
  - Refuses to stop the first process, sshd, the connection that Ansible works over, and a service
    of the host's plan, whatever port that holds.
  - A container is stopped by the engine of the user who runs it, and by its id, a systemd service
    by systemd if its main process is the holder. Any other process gets the signal TERM and is
    waited for; KILL only if you ask for it, and only while it has the port still.
  - Afterwards the port has to be free. If something starts the holder again, that is an error.
extends_documentation_fragment:
  - prsnl.ports.attributes
  - prsnl.ports.lock
options:
  port:
    description: The port.
    type: int
    required: true
  protocol:
    description: The protocol.
    type: str
    choices: [tcp, udp]
    default: tcp
  owner:
    description:
      - Who is meant, by the name of the process, its program, its systemd unit or its container.
        The units of a user's own manager don't count, because users may call them anything.
      - Each process that has the port has to be known by this name itself.
    type: str
    required: true
  timeout:
    description: How long processes have to end after TERM, in seconds.
    type: int
    default: 10
  kill:
    description: Whether processes that don't end in that time are killed.
    type: bool
    default: false
  plan:
    description:
      - The plan of the host, as M(prsnl.ports.registry_info) returns it.
      - By default it is computed on the controller, from the registry and the play's variables.
    type: dict
  registry:
    description:
      - The registry's file, as messages are to name it.
      - By default the file that P(prsnl.ports.registry#vars) has loaded.
    type: str
attributes:
  check_mode:
    details:
      - Refuses in check mode as well, because the change would be refused.
  diff_mode:
    support: full
  idempotent:
    details:
      - A port that is free already is no error.
  platform:
    platforms: linux, macos
    details:
      - The macOS part has not run on a Mac yet.
notes:
  - One remote execution.
requirements:
  - python >= 3.8 on the host, its standard library only
author:
  - PRSNL Ports contributors (@prsnl)
seealso:
  - module: prsnl.ports.port_check
  - module: prsnl.ports.listening_ports_info
"""

EXAMPLES = r"""
- name: Stop the stray development server
  prsnl.ports.free_port:
    port: 20080
    owner: node
  become: true

- name: Stop a container, or say what would be done
  prsnl.ports.free_port:
    port: 20080
    owner: shop-old
  become: true
  check_mode: true
"""

RETURN = r"""
method:
  description: What was done, or would be in check mode; empty if the port was free.
  returned: success
  type: str
  sample: stop unit stray.service
held_by:
  description: Who held the port; empty if nobody did.
  returned: success
  type: str
  sample: held on 0.0.0.0 by node (pid 812, user ada, since 09:14, unit stray.service)
recovered:
  description: What became of changes of this host that were cut off before.
  returned: when there was one
  type: list
  elements: str
"""

import contextlib
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.prsnl.ports.plugins.module_utils.freeing.port import (
    RefusedError,
    choose_way,
    find_holding,
    refuse,
    stop,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import (
    LOCK_ARGUMENT,
    LockedError,
    LostLeaseError,
    changer_of,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import module_runner
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import UndoError, changing
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import read_plan
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.login import read_login
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.snapshot import take_snapshot


def free(module: AnsibleModule) -> dict[str, t.Any]:
    """Free the port, and return the module's result.

    :raises OSError, ValueError: the sockets or the plan can't be read.
    """
    params = module.params
    plan = read_plan(params["plan"])
    snapshot = take_snapshot({(params["protocol"], params["port"])})
    holding = find_holding(params["port"], params["protocol"], snapshot, time.time())
    if holding is None:
        return {"changed": False, "method": "", "held_by": ""}
    login = read_login()
    try:
        refuse(holding, params["owner"], snapshot, plan.endpoints, login)
        way = choose_way(holding, login)
        method = way.text
        if not module.check_mode:
            method = stop(holding, way, timeout=params["timeout"], kill=params["kill"])
    except RefusedError as error:
        module.fail_json(msg=f"{plan.host}: {holding.label} is {holding.who}. {error}")
    return {
        "changed": True,
        "method": method,
        "held_by": holding.who,
        "diff": {"before": f"{holding.label} {holding.who}\n", "after": f"{holding.label} free\n"},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "port": {"type": "int", "required": True},
            "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
            "owner": {"type": "str", "required": True},
            "timeout": {"type": "int", "default": 10},
            "kill": {"type": "bool", "default": False},
            "plan": {"type": "dict"},
            "registry": {"type": "str"},
            "lock": LOCK_ARGUMENT,
            "lock_timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    lock = module.params["lock"]
    result: dict[str, t.Any] = {}
    try:
        with contextlib.ExitStack() as stack:
            changes = None
            if not module.check_mode:
                changes = stack.enter_context(
                    changing(
                        changer_of(lock),
                        module_runner(module),
                        token=lock["token"],
                        wait=lock["wait"],
                        instead_of=lock["instead_of"],
                    )
                )
            result = free(module)
            if changes and changes.recovered:
                result["recovered"] = changes.recovered
                result["changed"] = result["changed"] or changes.has_recovered
    except LockedError as error:
        module.fail_json(msg=str(error), **error.result)
    except (LostLeaseError, UndoError, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
