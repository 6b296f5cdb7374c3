#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: handoff_evidence
short_description: Gather what a handoff to operations says of a host, with the words it is based on
version_added: 0.2.0
description:
  - Asks a host for its system, memory, file systems, units, packages, listening sockets, the paths
    that its live firewall has open, the ends of its certificates, the age of its backups, and its
    services for their versions and their health.
  - Every fact comes with the name of the reading that it was taken from, and every reading quotes
    what was asked and what was answered.
  - What a service is asked is declared in its runbook, which is C(meta/runbook.yml) of the role of
    the same name, or C(runbook) of its entry in the registry. The action reads both on the
    controller, with the variables of the host.
  - Changes nothing. Declared commands run without a shell and without input, as the user of the
    task, and are ended after O(timeout).
  - What looks like a secret (passwords in URLs, values of keys such as C(password), private keys)
    is left out before anything leaves the host.
  - What can't be told is unknown, with the reason. On macOS those are the units, the packages and
    the open paths.
extends_documentation_fragment:
  - prsnl.ports.attributes
  - prsnl.ports.attributes.info
  - prsnl.ports.plan
options:
  questions:
    description:
      - What services are asked.
      - By default what their runbooks declare under C(version) and C(health).
    type: list
    elements: dict
    suboptions:
      id:
        description: The name of the reading.
        type: str
        required: true
      service:
        description: The service.
        type: str
        required: true
      argv:
        description: A command and its arguments.
        type: list
        elements: str
      http:
        description: A GET of one of its endpoints, instead of a command.
        type: dict
        suboptions:
          address:
            description: The address.
            type: str
            required: true
          port:
            description: The port.
            type: int
            required: true
          path:
            description: The path.
            type: str
            required: true
          tls:
            description: Whether it is asked over TLS. Its certificate isn't verified.
            type: bool
            default: false
      match:
        description: A regular expression that a good answer has. Its first group is what is wanted.
        type: str
      status:
        description: The codes of a good answer. By default 0, and of HTTP those below 400.
        type: list
        elements: int
  packages:
    description: The packages of each service. By default C(packages) of their runbooks.
    type: dict
  backups:
    description:
      - Patterns of each service's backup files. By default C(backup.files) of their runbooks.
    type: dict
  paths:
    description: Paths whose file systems matter. By default C(data) of the runbooks.
    type: list
    elements: str
  firewall:
    description: Whether the live firewall is read.
    type: bool
    default: true
  connect:
    description: Whether the host is asked. Without, only RV(runbooks) are returned.
    type: bool
    default: true
  timeout:
    description: How long each question may take, in seconds.
    type: int
    default: 10
seealso:
  - module: prsnl.ports.handoff
  - module: prsnl.ports.port_verify
"""

EXAMPLES = r"""
- name: Ask every host
  prsnl.ports.handoff_evidence:
  become: true
  register: evidence

- name: Show what the running services are
  ansible.builtin.debug:
    msg: "{{ evidence.answers }}"
"""

RETURN = r"""
unreached:
  description: Why the host was not asked.
  returned: when it could not be reached
  type: str
refused:
  description: Whether it failed because a runbook has faults.
  returned: when it did
  type: bool
time:
  description: When it was asked, in UTC.
  returned: success
  type: str
  sample: "2026-11-26T01:02:03Z"
runbooks:
  description: The runbook of each service of the host's plan, with the values of this host.
  returned: success
  type: dict
system:
  description: System, release, kernel, architecture and start.
  returned: success
  type: dict
memory:
  description: Total and available memory, in MiB. 0 is unknown.
  returned: success
  type: dict
disks:
  description: The file systems that matter.
  returned: success
  type: list
  elements: dict
units:
  description: The state of the units that own endpoints.
  returned: success
  type: dict
failed_units:
  description: Every unit of the host that failed.
  returned: success
  type: list
  elements: str
answers:
  description: For each question whether the answer is a good one, and what was wanted of it.
  returned: success
  type: dict
packages:
  description: Installed versions by service and package.
  returned: success
  type: dict
firewall:
  description:
    - The open paths of the live firewall, and what is missing and too much against the plan.
    - C(state) is V(loaded), V(absent), V(not in force), V(unknown) or V(not asked).
  returned: success
  type: dict
certificates:
  description: The end of the certificate of every endpoint that is probed by TLS.
  returned: success
  type: dict
backups:
  description: Number, size and time of backup files by service.
  returned: success
  type: dict
readings:
  description:
    - Everything that was read, word for word, by name. Each has C(kind), C(source) (what was
      asked), C(output), C(code), C(fault) and C(cut), the number of characters that were left out.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.prsnl.ports.plugins.module_utils.evidence.gather import Wanted, gather

HTTP = {
    "address": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "path": {"type": "str", "required": True},
    "tls": {"type": "bool", "default": False},
}
QUESTION = {
    "id": {"type": "str", "required": True},
    "service": {"type": "str", "required": True},
    "argv": {"type": "list", "elements": "str"},
    "http": {"type": "dict", "options": HTTP},
    "match": {"type": "str"},
    "status": {"type": "list", "elements": "int"},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "plan": {"type": "dict"},
            "registry": {"type": "str"},
            "questions": {"type": "list", "elements": "dict", "options": QUESTION},
            "packages": {"type": "dict"},
            "backups": {"type": "dict"},
            "paths": {"type": "list", "elements": "str"},
            "firewall": {"type": "bool", "default": True},
            "connect": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(changed=False, **gather(Wanted.from_params(module.params)))
    except ValueError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
