#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: registry_info
short_description: Ask the port registry, and get a host's plan
version_added: 0.1.0
description:
  - Answers a question about the port registry, and gives the plan of the host, which is what the
    registry and the inventory together demand of it.
  - The registry was checked before the first task. One with faults has stopped the playbook.
  - Runs on the controller only. No connection to the host is made.
extends_documentation_fragment:
  - prsnl.ports.attributes
  - prsnl.ports.attributes.info
  - prsnl.ports.registry
options:
  query:
    description:
      - A JMESPath expression.
      - It is applied to the content of the registry, in which C(endpoints) is added, a list of all
        endpoints with what they have from their service.
    type: str
  port:
    description: Asks who has this port, had it, or is going to have it.
    type: int
    version_added: 0.2.0
  range:
    description:
      - Asks which ports are free, and had by nobody before, in a range of the registry or from
        V(FIRST-LAST).
    type: str
    version_added: 0.2.0
  protocol:
    description: The protocol of the ports of O(range).
    type: str
    choices: [tcp, udp]
    default: tcp
    version_added: 0.2.0
attributes:
  action:
    description: Has an action plugin.
    support: full
  check_mode:
    description: Can run in check mode and return the same as without.
  connection:
    description: Uses the connection to the host.
    support: none
  platform:
    platforms: all
seealso:
  - plugin: prsnl.ports.registry
    plugin_type: vars
  - plugin: prsnl.ports.endpoint
    plugin_type: lookup
  - module: prsnl.ports.port_verify
  - name: JMESPath
    description: The language of O(query).
    link: https://jmespath.org/
"""

EXAMPLES = r"""
- name: List what the internet can reach
  prsnl.ports.registry_info:
    query: endpoints[?exposure == 'public'].[id, port, protocol]
  register: public

- name: Find the ports that are left unused
  prsnl.ports.registry_info:
    query: endpoints[?status == 'retired'].{id:id, port:port}
  register: retired

- name: Find out who has a port
  prsnl.ports.registry_info:
    port: 20080
  register: asked

- name: Tell
  ansible.builtin.debug:
    msg: "{{ asked.uses | map(attribute='text') }}"

- name: Find a free port
  prsnl.ports.registry_info:
    range: web
  register: asked

- name: Get the plan of every host
  prsnl.ports.registry_info:
  register: info

- name: Show where this host listens
  ansible.builtin.debug:
    msg: "{{ info.plan.endpoints | items2dict(key_name='id', value_name='listen') }}"
"""

RETURN = r"""
path:
  description: The file of the registry.
  returned: success
  type: str
  sample: /srv/site/registry/ports.yml
result:
  description: The value of O(query).
  returned: if O(query) is given
  type: raw
  sample: [nginx.http, nginx.https]
uses:
  description: The uses of O(port), by the registry, its history, the leases and macOS.
  returned: if O(port) is given
  type: list
  elements: dict
  contains:
    port:
      description: The port.
      type: int
    protocol:
      description: V(tcp) or V(udp).
      type: str
    kind:
      description:
        - V(registered), V(reserved) or V(retired), an endpoint of the registry has it.
        - V(formerly), an endpoint had it before.
        - V(leased) or V(lease ended).
        - V(system), macOS uses it.
      type: str
    who:
      description: The endpoint, or where it is leased.
      type: str
      sample: shop.http
    text:
      description: All of it in words.
      type: str
    where:
      description: The file and line that say so.
      type: str
      sample: registry/ports.yml:30
free:
  description: The free ports of O(range), the lowest one first.
  returned: if O(range) is given
  type: list
  elements: int
leases:
  description: The leases of the host, as M(prsnl.ports.port_check) takes them.
  returned: if the host has the variable C(port_environment)
  type: list
  elements: dict
plan:
  description:
    - The plan of the host.
    - Each endpoint is as P(prsnl.ports.endpoint#lookup) gives it, without C(targets) and
      C(address).
  returned: if the host has the variable C(port_environment)
  type: dict
  contains:
    host:
      description: The name of the host.
      type: str
    environment:
      description: Its environment.
      type: str
    endpoints:
      description: The endpoints that it serves, by port.
      type: list
      elements: dict
"""
