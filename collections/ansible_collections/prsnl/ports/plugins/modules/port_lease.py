#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: port_lease
short_description: Lend a port for a time
version_added: 0.2.0
description:
  - Changes C(leases.yml) beside the port registry, on the controller. Where there is none it is
    made.
  - A lease lets its holder use a port that nobody has to have, on some hosts, until its end. A
    lease that has ended counts no more and is reported wherever ports are checked, until somebody
    extends or removes it.
  - A port that is leased isn't allocated or lent to others, and a port of the registry is lent only
    while it is V(alternative) or V(reserved), or on hosts where its service isn't.
  - Like M(prsnl.ports.port_allocation) it leaves the rest of the file as it is, and works under the
    same lock.
  - No connection to the host is made.
extends_documentation_fragment:
  - prsnl.ports.attributes
  - prsnl.ports.governance
options:
  port:
    description: The port.
    type: int
    required: true
  hosts:
    description: A host or a group of the inventory.
    type: str
    required: true
  protocol:
    description: The transport protocol.
    type: str
    choices: [tcp, udp]
    default: tcp
  state:
    description:
      - V(present) lends the port. A lease that is there keeps its end, and isn't extended by a task
        that runs again.
      - V(extended) gives it a later end.
      - V(absent) ends it.
    type: str
    choices: [present, absent, extended]
    default: present
  holder:
    description:
      - Who uses the port, as an owner in the registry. Required for a new lease.
      - A lease of another holder is never changed. Without it, that isn't looked at.
    type: dict
  reason:
    description: What it is used for. Required for a new lease.
    type: str
  expires:
    description:
      - The end. A day lasts until midnight in UTC, C(2026-11-26). A time has its zone,
        C(2026-11-26T18:00Z). A duration counts from now, C(90m), C(4h), C(2d) or C(1w).
      - Required for a new lease and with O(state=extended).
    type: str
attributes:
  idempotent:
    support: partial
    details:
      - With O(state=extended) and a duration, each run extends the lease.
notes:
  - Plays read leases when a task needs them, so a lease counts at once.
  - The command C(ports lease) does the same without Ansible.
seealso:
  - module: prsnl.ports.port_allocation
  - module: prsnl.ports.port_check
"""

EXAMPLES = r"""
- name: Lend a port for a load test
  prsnl.ports.port_lease:
    port: 20090
    hosts: application
    holder: {process: node, user: ada}
    reason: Load test of the new shop
    expires: 4h
  delegate_to: localhost
  run_once: true

- name: The test takes longer
  prsnl.ports.port_lease:
    port: 20090
    hosts: application
    expires: '2026-11-27T12:00+01:00'
    state: extended
  delegate_to: localhost
  run_once: true

- name: It is over
  prsnl.ports.port_lease:
    port: 20090
    hosts: application
    state: absent
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
path:
  description: The file of the leases.
  returned: success
  type: str
  sample: /srv/site/registry/leases.yml
port:
  description: The port.
  returned: success
  type: int
  sample: 20090
"""
