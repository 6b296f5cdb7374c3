# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: offers
short_description: What the roles of the placed services bring along for others
version_added: 0.2.0
description:
  - A dashboard, an alert or a data source lives with the service that it is about, and another
    service shows it. The role of the former has it as a file C(offers/<kind>.yml), and the role of
    the latter asks for all files of that kind, without naming any role.
  - A role counts if it has the name of a service of the registry, and if that service is placed -
    if some host of the current host's environment has to serve an endpoint of it. The roles of this
    collection always count.
  - Roles are looked for as Ansible does, and beside the role that asks.
  - The files are plain YAML. Templates in them stay text.
extends_documentation_fragment:
  - prsnl.ports.registry
options:
  _terms:
    description:
      - Kinds, such as V(dashboards).
    type: list
    elements: str
    required: true
  here:
    description:
      - Whether only services count that the current host itself serves.
    type: bool
    default: false
  schema:
    description:
      - The path of a JSON Schema (draft 2020-12) that each file has to obey. Its C(errorMessage)
        says in words what is allowed. A relative path starts at the folder of the playbook.
    type: str
seealso:
  - plugin: prsnl.ports.endpoint
    plugin_type: lookup
"""

EXAMPLES = r"""
# roles/thumbnailer/offers/dashboards.yml, where the registry has a service thumbnailer, may have:
#   thumbnails:
#     title: Thumbnails
#     panels:
#       - title: Made
#         queries: {by host: 'rate(thumbnails_total[5m])'}
- name: Show what there is to show
  ansible.builtin.debug:
    msg: "{{ item.value.title }}"
  loop: "{{ lookup('prsnl.ports.offers', 'dashboards') | dict2items }}"
"""

RETURN = r"""
_raw:
  description:
    - For each kind all files as one. Mappings have the keys of all files, of which no two may be
      the same. Lists have the items of all files.
    - Where no role has such a file, an empty mapping.
  type: list
"""

import pathlib
import typing as t

from ansible import constants
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.prsnl.ports.plugins.plugin_utils.plan.compute import (
    PlanError,
    serving_hosts,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller, offers


class LookupModule(LookupBase):  # type: ignore[misc]
    """Answers from the registry, the inventory and the folders of roles."""

    def run(
        self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any
    ) -> list[t.Any]:
        """The offers of each kind."""
        variables = variables or {}
        self.set_options(var_options=variables, direct=kwargs)
        try:
            services = _placed(variables, self.get_option("here"))
            roots = self._roots(variables)
            schema = self.get_option("schema")
            if schema:
                schema = self._loader.path_dwim(schema)
            return [
                offers.merged(offers.offer_files(str(kind), services, roots), schema) or {}
                for kind in terms
            ]
        except (PlanError, offers.OfferError) as error:
            raise AnsibleError(str(error)) from None

    def _roots(self, variables: dict[str, t.Any]) -> list[pathlib.Path]:
        roots = [pathlib.Path(self._loader.path_dwim("roles"))]
        roots += map(pathlib.Path, constants.DEFAULT_ROLES_PATH)
        if "role_path" in variables:
            roots.append(pathlib.Path(variables["role_path"]).parent)
        return roots


def _placed(variables: dict[str, t.Any], here: bool) -> list[str]:
    registry = controller.current_registry()
    topology = controller.topology(variables)
    host = variables["inventory_hostname"]
    placed = []
    for service in registry.services.values():
        hosts = (
            server
            for endpoint in service.endpoints
            if endpoint.expect == "bound"
            for server in serving_hosts(registry, topology, endpoint, host)
        )
        if any(server == host or not here for server in hosts):
            placed.append(service.name)
    return placed
