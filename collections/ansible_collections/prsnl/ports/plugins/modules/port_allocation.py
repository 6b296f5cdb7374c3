#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: port_allocation
short_description: Allocate, move and retire ports in the registry
version_added: 0.2.0
description:
  - Changes an endpoint in the file of the port registry, on the controller, and writes what was
    changed, when, why and by whom into its C(history).
  - Only what changes is written. Comments, order, quotes, line ends and everything else of the file
    stay to the byte.
  - The change is made under a lock and in one step, so that tasks, people and hooks that change the
    registry at the same time wait for each other, and a crash leaves the old or the new file.
  - The changed registry is checked before it replaces the old one. What its rules refuse is refused
    here, and the file stays as it was.
  - No connection to the host is made.
extends_documentation_fragment:
  - prsnl.ports.attributes
  - prsnl.ports.governance
options:
  endpoint:
    description: The endpoint, as C(service.name).
    type: str
    required: true
  state:
    description:
      - V(present) allocates a port, O(port) or the next free one of the service's range. An
        endpoint that is there keeps its port.
      - V(changed) moves it to O(port), or gives it O(status).
      - V(absent) retires it. The endpoint stays in the registry as retired, so that its port has to
        be silent and nobody gets it unnoticed.
    type: str
    choices: [present, changed, absent]
    default: present
  port:
    description:
      - The port.
      - The next free one is the lowest one of the service's range that no endpoint has or had, that
        isn't leased, that macOS doesn't use itself, and that nobody holds where O(listening) is
        given.
    type: int
  status:
    description: The status. What is new is V(fixed) by default.
    type: str
    choices: [critical, fixed, alternative, reserved]
  reason:
    description:
      - Why, for the history.
      - Required for endpoints that are V(critical) or V(fixed), before or after the change, and
        with O(reuse).
    type: str
    default: ''
  what:
    description: What, for the history. By default it is said from the change itself.
    type: str
    default: ''
  by:
    description:
      - Who, for the history.
      - By default git's C(user.name) where the registry lies in, else the user that runs Ansible.
    type: str
  reuse:
    description:
      - Whether a port may be taken that is retired, or that an endpoint had before by the history.
      - An endpoint that is retired leaves the registry where another one takes its port, with an
        entry in the history. With its own name it is used again.
    type: bool
    default: false
  exception:
    description: Why the port may lie outside the range of the service.
    type: str
  listening:
    description:
      - The name of the variable in which every host of the service has registered what
        M(prsnl.ports.listening_ports_info) returned. A port that somebody listens on there isn't
        free, unless it is a process of the service's owner.
      - A host that wasn't asked, for example because it couldn't be reached, is an error.
    type: str
  description:
    description: What the endpoint is, where the description of the service doesn't say it.
    type: str
  protocol:
    description: The transport protocol. Of what is new it is V(tcp) by default.
    type: str
    choices: [tcp, udp]
  exposure:
    description: Who may reach it. Required unless it is V(reserved).
    type: str
    choices: [host, internal, public]
  consumers:
    description: The services, groups and networks that may reach an internal endpoint.
    type: list
    elements: str
  addresses:
    description: The only addresses on which it may listen.
    type: list
    elements: str
  environments:
    description: The environments in which it exists, unless it exists in all of its service's.
    type: list
    elements: str
  probe:
    description: How it is proven that it answers.
    type: str
    choices: [tcp, http, tls, postgres, redis, none]
  tls:
    description: Whether other hosts have to come by TLS.
    type: bool
    version_added: 0.2.0
  metrics:
    description: The path under which it serves metrics.
    type: str
  routes:
    description: The prefixes under which the reverse proxy offers it, and their titles.
    type: dict
  browser_origin:
    description: Whether browsers load pages from it.
    type: bool
  owner:
    description: Who holds its socket, as in the registry, where that isn't the service's owner.
    type: dict
  config:
    description: The files of the product that have to agree with the port.
    type: list
    elements: str
  service:
    description: The service, where the registry doesn't have it yet.
    type: dict
    suboptions:
      description:
        description: What it is, in one line.
        type: str
      hosts:
        description: The group that it is placed on, or V(all).
        type: str
      environments:
        description: The environments that it belongs to.
        type: list
        elements: str
      range:
        description: The range that its ports come from.
        type: str
      replaces:
        description: What it took the place of.
        type: str
      owner:
        description: Who holds its sockets, as in the registry.
        type: dict
attributes:
  idempotent:
    details:
      - What differs in other options than O(port) and O(status) is an error, and isn't changed.
notes:
  - Plays read the registry once, before their first task. What is changed counts from the next run.
  - The command C(ports) does the same without Ansible, as C(ports allocate), C(ports move) and
    C(ports retire).
seealso:
  - module: prsnl.ports.port_lease
  - module: prsnl.ports.registry_info
"""

EXAMPLES = r"""
- name: Give the worker the next free port of its service
  prsnl.ports.port_allocation:
    endpoint: shop.worker
    exposure: internal
    consumers: [shop]
    reason: Orders are packed in the background
  delegate_to: localhost
  run_once: true

- name: Move the shop
  prsnl.ports.port_allocation:
    endpoint: shop.http
    state: changed
    port: 20085
    reason: The old port is in use at the customer's
  delegate_to: localhost
  run_once: true

- name: Retire the old interface
  prsnl.ports.port_allocation:
    endpoint: shop.legacy
    state: absent
    reason: Nobody has used it for a year
  delegate_to: localhost
  run_once: true

- name: Find out who listens where the shop runs
  prsnl.ports.listening_ports_info:
  become: true
  register: sockets

- name: Allocate a port that is free there too, for a service that is new
  prsnl.ports.port_allocation:
    endpoint: thumbnailer.http
    exposure: internal
    consumers: [shop]
    reason: Thumbnails get a service of their own
    service:
      description: Makes thumbnails
      hosts: application
      environments: [production]
      range: web
      owner: {process: thumbnailer}
    listening: sockets
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
path:
  description: The file of the registry.
  returned: success
  type: str
  sample: /srv/site/registry/ports.yml
port:
  description: The port of the endpoint.
  returned: success
  type: int
  sample: 20085
"""
