#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_replacement
short_description: Copy a running Redis or Valkey into another server, and know what of it arrived
version_added: 0.4.0
description:
  - Asks and copies with plain commands, so that neither version's format of snapshots matters.
  - V(examined) changes nothing. V(saved) lets the old server write a snapshot and keeps it.
    V(copied) keeps writers waiting, copies and compares all keys, and stops the old server.
    V(back) starts the old server again.
options:
  state:
    description: What is wanted.
    type: str
    choices: [examined, saved, copied, back]
    required: true
  address:
    description: The address of the old server.
    type: str
    default: 127.0.0.1
  port:
    description: Its port.
    type: int
    required: true
  password:
    description: Its password; empty if it wants none.
    type: str
    default: ''
  unit:
    description: The service of systemd that it is.
    type: str
    default: ''
  uid:
    description: As whom it runs, and its snapshot is read.
    type: int
    default: -1
  target:
    description: The new server, for V(copied).
    type: dict
    suboptions:
      address:
        description: Its address.
        type: str
        required: true
      port:
        description: Its port.
        type: int
        required: true
      password:
        description: Its password.
        type: str
        required: true
      tls:
        description: Whether it speaks TLS. It is on this host, so its certificate isn't judged.
        type: bool
        default: false
  target_unit:
    description: The service of systemd that the new server is.
    type: str
    default: ''
  directory:
    description: The folder in which the snapshot is kept, and whether all keys have arrived.
    type: path
    default: /var/lib/prsnl-ports/moves
  accept:
    description: Options of the old server that have no counterpart, and whose loss is accepted.
    type: list
    elements: str
    default: []
  memory:
    description: How many bytes the new server may use; 0 if that isn't to be compared.
    type: int
    default: 0
  compare:
    description: How many keys are compared with their contents. Of more, a sample of that size is.
    type: int
    default: 1000000
  timeout:
    description: Seconds for a snapshot, and for the old server to come back.
    type: int
    default: 600
attributes:
  check_mode:
    description: Can run in check mode without changing anything.
    support: partial
    details:
      - Only V(examined) does anything there.
  diff_mode:
    description: Shows what it changes, with --diff.
    support: none
author:
  - PRSNL Ports contributors (@prsnl)
"""

EXAMPLES = r"""
- name: Ask who has the port, and whether it can be replaced
  redis_replacement:
    state: examined
    port: "{{ lookup('prsnl.ports.endpoint', 'dragonfly.redis').port }}"
    password: "{{ replace_redis_password }}"
  become: true
"""

RETURN = r"""
server:
  description: What it is (C(kind) is V(none), V(redis), V(valkey), V(dragonfly) or V(unknown)), and
    in C(faults) what stands against replacing it.
  returned: for V(examined)
  type: dict
keys:
  description: How many keys there are.
  returned: for V(copied)
  type: int
compared:
  description: How many of them were compared with their contents.
  returned: for V(copied)
  type: int
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.redis_replacement.client import ServerError
from ansible.module_utils.redis_replacement.replacement import (
    Place,
    Replacement,
    back,
    find,
    forget,
    is_active,
    keep_snapshot,
    known,
    systemctl,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import module_runner

TARGET: dict[str, t.Any] = {
    "address": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
    "tls": {"type": "bool", "default": False},
}
ARGUMENTS: dict[str, t.Any] = {
    "state": {
        "type": "str",
        "choices": ["examined", "saved", "copied", "back"],
        "required": True,
    },
    "address": {"type": "str", "default": "127.0.0.1"},
    "port": {"type": "int", "required": True},
    "password": {"type": "str", "default": "", "no_log": True},
    "unit": {"type": "str", "default": ""},
    "uid": {"type": "int", "default": -1},
    "target": {"type": "dict", "options": TARGET},
    "target_unit": {"type": "str", "default": ""},
    "directory": {"type": "path", "default": "/var/lib/prsnl-ports/moves"},
    "accept": {"type": "list", "elements": "str", "default": []},
    "memory": {"type": "int", "default": 0},
    "compare": {"type": "int", "default": 1000000, "no_log": False},
    "timeout": {"type": "int", "default": 600},
}


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Do what the task wants; return its result.

    :raises ServerError: a server doesn't do what it has to.
    """
    params, run = module.params, module_runner(module)
    state, unit = params["state"], params["unit"]
    source = Place(params["address"], params["port"], params["password"])
    if state == "examined":
        found = find(params["port"], params["password"], params["accept"])
        if 0 < params["memory"] < found.get("memory", 0):
            found["faults"].append(
                f"it uses {found['memory']} bytes, and DragonflyDB is to have {params['memory']}"
                " (dragonfly_memory_mb)"
            )
        return {"changed": False, "server": found}
    copied = os.path.join(params["directory"], f"redis-{params['port']}.json")
    if module.check_mode:
        return {"changed": True}
    os.makedirs(params["directory"], mode=0o700, exist_ok=True)
    if state == "saved":
        kept = os.path.join(params["directory"], f"redis-{params['port']}.rdb")
        return {"changed": True, **keep_snapshot(source, params["uid"], kept, params["timeout"])}
    if state == "copied" and not is_active(run, unit):
        # Cut off after the old server was stopped, which comes when all of it has arrived.
        return {"changed": False, **known(copied)}
    if state == "back":
        forget(copied)
        back(run, unit, source, params["timeout"])
        return {"changed": True}
    new = Replacement(Place(**params["target"]), copied, params["compare"])
    told = new.copy(
        source,
        params["timeout"],
        restart=lambda: systemctl(run, "restart", params["target_unit"]),
        stop=lambda: systemctl(run, "disable", "--now", unit),
    )
    return {"changed": True, **told}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = work(module)
    except (ServerError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
