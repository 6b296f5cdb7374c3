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
  - prsnl.ports.fitness
options:
  host:
    description:
      - How messages name the host.
    type: str
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

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.prsnl.ports.plugins.module_utils.host.fitness import (
    ARGUMENTS,
    judge,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={"host": {"type": "str", "required": True}, **ARGUMENTS},
        supports_check_mode=True,
    )
    result = judge(module.params, module.params["host"])
    if result["faults"]:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
