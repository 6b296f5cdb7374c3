#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: port_references
short_description: Find, check and rewrite the port numbers in dependent files
version_added: 0.3.0
description:
  - Reads a source tree, says of every port number in it which endpoint of the registry it belongs
    to, and whether it is right.
  - A number is V(stale) if the registry or its history says that the service had it and has it no
    more, and something beside the number names the service, such as the image of a container, the
    scheme of a URL, a variable, a key, or the registry's C(config) of the endpoint. The number by
    itself is never enough.
  - The port inside a container is V(internal), because the registry governs what is published on a
    host. That is the right side of a mapping, C(expose), a health check, C(containerPort), and what
    containers of one network call each other by. What a Service of Kubernetes offers isn't.
  - Read are Compose files in every syntax of the specification (across C(extends), anchors and
    override files), C(.env) files, Vite's configuration and other JavaScript, C(package.json) and
    other JSON, Python, nginx, Dockerfiles, Prometheus, Kubernetes, systemd units and Quadlets,
    shell scripts, INI, TOML and YAML settings, other source code, and documents in Markdown.
  - What git ignores is left out. Outside of a repository the files C(.gitignore) are obeyed. So are
    the registry, what is generated from it, binary files, and those with more than 1 MiB.
  - Runs on the controller only. No connection to a host is made.
extends_documentation_fragment:
  - prsnl.ports.attributes
  - prsnl.ports.registry
options:
  path:
    description:
      - The directory to look at, or a file.
      - A relative path is looked up from the directory of the playbook.
    type: path
    required: true
  state:
    description:
      - V(checked) fails if a number is stale, with all of them.
      - V(present) rewrites every stale number that has a successor, and leaves every other byte.
        The files keep their encoding, line ends, mode and owner.
    type: str
    choices: [checked, present]
    default: checked
  exclude:
    description: Patterns of further files to leave out, as in a C(.gitignore).
    type: list
    elements: str
    default: []
  hosts:
    description:
      - Names and addresses of hosts that the registry is for. A connection to any other host than
        the own one, or a container, is ambiguous.
      - By default these are the inventory's hosts, with their C(port_addresses) and
        C(ansible_host).
    type: list
    elements: str
attributes:
  action:
    description: Has an action plugin.
    support: full
  check_mode:
    description: Can run in check mode and predict its result without changing a file.
  connection:
    description: Uses the connection to the host.
    support: none
  diff_mode:
    support: full
  platform:
    platforms: all
notes:
  - Symbolic links aren't followed. All new content is written beside the files before the first of
    them is replaced.
  - What has a second meaning at the same place, such as an anchor that two services use, is
    ambiguous, and so are a range that includes a stale port, and what a document says of what a
    program does by default.
requirements:
  - pathspec on the controller, where the tree isn't a git repository or O(exclude) is given
seealso:
  - module: prsnl.ports.port_outputs
  - module: prsnl.ports.registry_info
"""

EXAMPLES = r"""
- name: Refuse a source tree that has ports of the past
  prsnl.ports.port_references:
    path: /srv/shop
  delegate_to: localhost
  run_once: true

- name: Show what would be rewritten
  prsnl.ports.port_references:
    path: /srv/shop
    state: present
    exclude: [vendor/]
  delegate_to: localhost
  run_once: true
  check_mode: true
  diff: true
"""

RETURN = r"""
references:
  description: Every port number that was found, by file and place.
  returned: success or failure
  type: list
  elements: dict
  contains:
    file:
      description: The file, relative to the directory.
      type: str
      sample: docker-compose.yml
    line:
      description: The line, counted from 1.
      type: int
    column:
      description: The column in characters, counted from 1.
      type: int
    start:
      description: The first byte of the number in the file, counted from 0.
      type: int
    end:
      description: The byte after the number.
      type: int
    port:
      description: The number.
      type: int
    verdict:
      description:
        - V(right), it is the port of the endpoint.
        - V(stale), the endpoint has another port today.
        - V(ambiguous), it may be stale, and nothing says so for certain; it isn't touched.
        - V(unknown), the place names a service, and the number was never one of its ports.
        - V(internal), it is the port inside a container.
      type: str
    message:
      description: The verdict in words.
      type: str
    service:
      description: The service that it belongs to, if that is known.
      type: str
    endpoint:
      description: The endpoint that it belongs to, if that is known.
      type: str
    use:
      description: The port to use now, for a stale number that has a successor.
      type: int
stale:
  description: What is stale, as C(file:line) and words. In state V(present), what is left of it.
  returned: success or failure
  type: list
  elements: str
  sample: ["docker-compose.yml:16: 20431 is Store's retired port, use 20432"]
ambiguous:
  description: What wasn't settled, as C(file:line) and words.
  returned: success or failure
  type: list
  elements: str
files:
  description: The files that were rewritten, or would be.
  returned: success
  type: list
  elements: str
"""
