#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_check
short_description: Refuse a host that isn't fit for what is going to be installed
version_added: 0.1.0
description:
  - Compares architecture, system, service manager, memory and free disk space of a host with what
    is needed, and fails once, with everything that is wrong.
  - It reads a few files and starts no process, so it is cheaper than gathering the hardware facts.
  - Of a Mac it reads C(SystemVersion.plist) and asks the kernel; that was not tried on a Mac. Intel
    Macs, and a Python that Rosetta translates, are C(x86_64).
extends_documentation_fragment:
  - prsnl.ports.attributes
  - prsnl.ports.attributes.info
options:
  host:
    description:
      - How messages name the host.
    type: str
    required: true
  architectures:
    description:
      - The machine names that are allowed, as C(uname -m) prints them. Any, if it is empty.
    type: list
    elements: str
    default: []
  systems:
    description:
      - The systems that are allowed. Any, if it is empty.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The C(ID) of C(/etc/os-release), or V(macos).
        type: str
        required: true
      min_version:
        description:
          - The oldest C(VERSION_ID), or version of macOS, that is allowed.
        type: str
        required: true
      lts:
        description:
          - Whether only releases with long-term support are allowed.
        type: bool
        default: false
  service_manager:
    description:
      - The service manager that has to run, such as V(systemd) or V(launchd). Any, if it is empty.
    type: str
    default: ''
  memory_mb:
    description:
      - The memory that is needed, in MiB. The limit of a container counts.
    type: int
    default: 0
  disks:
    description:
      - The free disk space that is needed.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description:
          - An absolute path. If it doesn't exist yet, the file system counts that it would be on.
        type: path
        required: true
      free_mb:
        description:
          - The space that has to be free there, in MiB.
        type: int
        required: true
attributes:
  platform:
    platforms: posix
requirements:
  - python >= 3.8 on the host, its standard library only
author:
  - PRSNL Ports contributors (@prsnl)
seealso:
  - module: prsnl.ports.port_check
"""

EXAMPLES = r"""
- name: Refuse hosts that aren't fit
  prsnl.ports.host_check:
    host: "{{ inventory_hostname }}"
    architectures: [aarch64]
    systems:
      - name: debian
        min_version: '12'
      - name: ubuntu
        min_version: '22.04'
        lts: true
    service_manager: systemd
    memory_mb: 2048
    disks:
      - path: /var/lib
        free_mb: 10240
"""

RETURN = r"""
faults:
  description: Everything that makes the host unfit.
  returned: always
  type: list
  elements: str
  sample:
    - /var/lib has 412 MiB free, needed are 10240 MiB. Free some, or enlarge its file system.
found:
  description: What the host has. Sizes are in MiB.
  returned: always
  type: dict
  sample:
    architecture: aarch64
    disks:
      - free_mb: 412
        path: /var/lib
        read_only: false
    lts: false
    memory_mb: 3906
    service_manager: systemd
    system: debian
    translated: false
    version: '12'
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.prsnl.ports.plugins.module_utils.host.fitness import (
    AllowedSystem,
    Requirements,
    judge_fitness,
    read_fitness,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "architectures": {"type": "list", "elements": "str", "default": []},
            "systems": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "min_version": {"type": "str", "required": True},
                    "lts": {"type": "bool", "default": False},
                },
            },
            "service_manager": {"type": "str", "default": ""},
            "memory_mb": {"type": "int", "default": 0},
            "disks": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "free_mb": {"type": "int", "required": True},
                },
            },
        },
        supports_check_mode=True,
    )
    params = module.params
    required = Requirements(
        architectures=tuple(params["architectures"]),
        systems=tuple(AllowedSystem(**system) for system in params["systems"]),
        service_manager=params["service_manager"],
        memory_mb=params["memory_mb"],
        disks=tuple((disk["path"], disk["free_mb"]) for disk in params["disks"]),
    )
    found = read_fitness(path for path, _free in required.disks)
    faults = judge_fitness(found, required)
    result = {"changed": False, "faults": faults, "found": asdict(found)}
    if faults:
        module.fail_json(msg="\n".join(f"{params['host']}: {fault}" for fault in faults), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
