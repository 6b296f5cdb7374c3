# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: registry
short_description: Give every host the port registry
version_added: 0.1.0
description:
  - Loads the port registry once per run, checks it, and gives every host the variable
    C(port_registry), a dictionary with the content of the file.
  - A registry with a fault ends every playbook before its first task. All faults are reported at
    once, each on a line of its own with the file, the line, the path, what was found and what is
    allowed.
  - Templates in the registry stay text.
  - Plugins that need the registry read it through this plugin, so this is the only place where its
    path is set.
options:
  path:
    description:
      - The file of the registry.
      - In C(ansible.cfg), a relative path is relative to that file, and in the environment variable
        to the current directory.
      - It has no default. A run without it ends with an error.
    type: path
    ini:
      - section: port_registry
        key: path
    env:
      - name: PORT_REGISTRY
notes:
  - It has to be enabled in C(ansible.cfg) with C(vars_plugins_enabled = host_group_vars,
    prsnl.ports.registry) in the section C([defaults]).
  - The format of the file is described by the JSON Schema C(schemas/ports.schema.json) of this
    collection. A line C(# yaml-language-server) with its path makes editors check the file and
    complete it.
  - The YAML is read strictly. Duplicate keys, aliases, tags and several documents are faults, and
    only V(true) and V(false) are booleans, so that a registry means the same to everyone.
requirements:
  - netaddr and jsonschema on the controller
seealso:
  - plugin: prsnl.ports.endpoint
    plugin_type: lookup
  - module: prsnl.ports.registry_info
author:
  - PRSNL Ports contributors (@prsnl)
"""

EXAMPLES = r"""
# ansible.cfg
#
# [defaults]
# vars_plugins_enabled = host_group_vars, prsnl.ports.registry
#
# [port_registry]
# path = registry/ports.yml

# A playbook
- name: Show the reserved ranges
  hosts: all
  tasks:
    - name: Print a line for each
      ansible.builtin.debug:
        msg: "{{ item.key }}: {{ item.value.ports }}, {{ item.value.purpose }}"
      loop: "{{ port_registry.ranges | dict2items }}"
      run_once: true
"""

import contextlib
import typing as t

from ansible.plugins.vars import BaseVarsPlugin
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import leases
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import RegistryError


class VarsModule(BaseVarsPlugin):  # type: ignore[misc]
    """Gives the group `all`, and so every host, the registry."""

    is_stateless = True

    def get_vars(self, loader: t.Any, path: str, entities: t.Any) -> dict[str, t.Any]:
        """`port_registry` for the group `all`, nothing for other groups and hosts."""
        super().get_vars(loader, path, entities)
        registry = controller.current_registry()
        # Tasks run in forks of this process, and would each read the leases anew. Those that need
        # them tell what is wrong with them.
        with contextlib.suppress(RegistryError):
            leases.read(leases.beside(registry.file))
        entities = entities if isinstance(entities, list) else [entities]
        if any(entity.name == "all" for entity in entities):
            return {"port_registry": registry.data}
        return {}
