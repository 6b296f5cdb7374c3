#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: port_outputs
short_description: Generate the files that depend on the port registry
version_added: 0.3.0
description:
  - Writes the files that the registry declares under C(outputs), or tells which of them are out of
    step with it.
  - The formats are C(compose) (the ports of containers, bound to the loopback address unless they
    are public, to lay over a Compose file), C(env), C(cors) (the origins that browsers load pages
    from), C(vite), C(services) (entries of C(/etc/services)), C(json) (described by
    C(schemas/export.schema.json)), C(file_sd) (targets for Prometheus), C(openmetrics), and
    C(guide) (the whole registry for people, in Markdown).
  - The same registry gives the same bytes.
  - Runs on the controller only. No connection to a host is made.
extends_documentation_fragment:
  - prsnl.ports.attributes
  - prsnl.ports.registry
options:
  state:
    description:
      - V(present) writes every file that is missing or out of step.
      - V(checked) fails if there is one, and writes nothing.
    type: str
    choices: [checked, present]
    default: present
attributes:
  action:
    description: Has an action plugin.
    support: full
  check_mode:
    description: Can run in check mode and predict its result without writing a file.
  connection:
    description: Uses the connection to the host.
    support: none
  diff_mode:
    support: full
  platform:
    platforms: all
seealso:
  - module: prsnl.ports.port_references
  - module: prsnl.ports.registry_info
"""

EXAMPLES = r"""
# registry/ports.yml:
# outputs:
#   - {file: ../docs/ports.md, format: guide}
#   - {file: ../web/ports.env, format: env, variables: {SHOP_PORT: shop.http}}

- name: Generate what depends on the registry
  prsnl.ports.port_outputs:
  delegate_to: localhost
  run_once: true

- name: Fail where a generated file is out of step
  prsnl.ports.port_outputs:
    state: checked
  delegate_to: localhost
  run_once: true
  diff: true
"""

RETURN = r"""
files:
  description: The declared files, as absolute paths, with whether each is in step.
  returned: success or failure
  type: list
  elements: dict
  contains:
    path:
      description: The path.
      type: str
    format:
      description: The format.
      type: str
    in_step:
      description: Whether it was as the registry gives it.
      type: bool
"""
