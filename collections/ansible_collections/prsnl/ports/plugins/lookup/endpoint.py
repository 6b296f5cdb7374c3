# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: endpoint
short_description: Where an endpoint listens, and how it is reached from here
version_added: 0.1.0
description:
  - Gives endpoints of the port registry as the current host sees them. A host that serves an
    endpoint learns where to listen and who may come, and every host learns how to reach it.
  - Only hosts of the current host's environment count.
extends_documentation_fragment:
  - prsnl.ports.registry
options:
  _terms:
    description:
      - Ids of endpoints, as C(service.name).
      - Without any, all endpoints that must be bound and that some host of the inventory serves.
        The list has the order of the registry.
    type: list
    elements: str
  select:
    description:
      - A JMESPath expression. Only the endpoints for which its value is true are given, which in
        JMESPath is any but V(false), V(null) and empty texts, lists and objects.
    type: str
  single:
    description:
      - Whether the daemon takes one address only. If the current host would need more, that is an
        error which names the endpoint, its addresses and their place in the registry.
    type: bool
    default: false
    version_added: 0.2.0
seealso:
  - plugin: prsnl.ports.registry
    plugin_type: vars
  - module: prsnl.ports.registry_info
  - name: JMESPath
    description: The language of O(select).
    link: https://jmespath.org/
"""

EXAMPLES = r"""
- name: Let PostgreSQL listen where the registry says
  ansible.builtin.copy:
    content: |
      port = {{ endpoint.port }}
      listen_addresses = '{{ endpoint.listen | join(",") }}'
    dest: /etc/postgresql/16/main/conf.d/listen.conf
    mode: "0644"
  vars:
    endpoint: "{{ lookup('prsnl.ports.endpoint', 'postgresql.sql') }}"

- name: Let Prometheus, which takes one address, listen where the registry says
  ansible.builtin.copy:
    content: |
      ARGS="--web.listen-address={{ endpoint.bind.socket }}"
    dest: /etc/default/prometheus
    mode: "0644"
  vars:
    endpoint: "{{ lookup('prsnl.ports.endpoint', 'prometheus.http', single=true) }}"

- name: Connect to PostgreSQL from wherever this runs
  community.postgresql.postgresql_ping:
    login_host: "{{ endpoint.address }}"
    login_port: "{{ endpoint.port }}"
  vars:
    endpoint: "{{ lookup('prsnl.ports.endpoint', 'postgresql.sql') }}"

- name: List everything that Prometheus has to scrape
  ansible.builtin.debug:
    msg: "{{ item.id }}: {{ item.targets | map(attribute='host') | join(', ') }}{{ item.metrics }}"
  loop: "{{ query('prsnl.ports.endpoint', select='metrics') }}"

- name: List the endpoints behind the reverse proxy
  ansible.builtin.debug:
    msg: "{{ query('prsnl.ports.endpoint', select='routes') | map(attribute='routes') }}"
"""

RETURN = r"""
_raw:
  description: The endpoints, one for each term.
  type: list
  elements: dict
  contains:
    id:
      description: The endpoint, as C(service.name).
      type: str
    service:
      description: Its service.
      type: str
    name:
      description: Its name.
      type: str
    description:
      description: What it is, or else what its service is.
      type: str
    port:
      description: Its port.
      type: int
    protocol:
      description: V(tcp) or V(udp).
      type: str
    status:
      description: V(critical), V(fixed), V(alternative), V(retired) or V(reserved).
      type: str
    expect:
      description: V(bound), V(optional) or V(silent), which follows from the status.
      type: str
    exposure:
      description: V(host), V(internal) or V(public).
      type: str
    owner:
      description:
        - Who is expected to hold the socket on the current host's system. Every key is there; what
          the registry doesn't give is V(null), empty or V(false).
      type: dict
      contains:
        process:
          description: The possible names of the process or of its program.
          type: list
          elements: str
        user:
          description: The name or the number of its user.
          type: str
        unit:
          description: Its possible systemd units, services or sockets. Linux only.
          type: list
          elements: str
        label:
          description: The label of its launchd job. macOS only.
          type: str
        container:
          description: Its container.
          type: dict
          contains:
            engine:
              description: V(docker), V(podman), or V(null) for either.
              type: str
            name:
              description: The name of the container.
              type: str
        kernel:
          description: Whether the kernel itself holds the socket. Linux only.
          type: bool
    probe:
      description: How it is proven that it answers.
      type: str
    metrics:
      description: The path of its metrics, if it has some.
      type: str
    routes:
      description: The titles of the reverse proxy's prefixes that lead to it.
      type: dict
    browser_origin:
      description: Whether browsers load pages from it.
      type: bool
    listen:
      description:
        - The addresses on which the current host must accept connections.
        - Those of the loopback interface if all who may come are on this host.
        - Empty if the current host doesn't serve the endpoint.
        - For a daemon that opens a socket of its own for each of them, as nginx and PostgreSQL do.
      type: list
      elements: str
    sockets:
      description: RV(_raw[].listen) with the port, such as V([::1]:5433).
      type: list
      elements: str
    bind:
      description:
        - What a daemon binds to accept connections on RV(_raw[].listen), with the fewest sockets.
          One of V(::) then serves IPv4 as well, as it does in most programs.
      type: dict
      contains:
        address:
          description: The one address to bind; V(null) if one isn't enough, or none is needed.
          type: str
        addresses:
          description: The addresses to bind, for a daemon that takes several.
          type: list
          elements: str
        socket:
          description: RV(_raw[].bind.address) with the port, such as V([::]:9090).
          type: str
        sockets:
          description: RV(_raw[].bind.addresses) with the port.
          type: list
          elements: str
        wildcard:
          description: Whether RV(_raw[].bind.address) is V(0.0.0.0) or V(::).
          type: bool
        dual_stack:
          description: Whether the socket of V(::) has to serve IPv4 as well.
          type: bool
    allowed:
      description: The networks on whose addresses the current host may have a socket.
      type: list
      elements: str
    sources:
      description: Who may come from outside the current host.
      type: list
      elements: dict
      contains:
        consumer:
          description: The consumer in the registry, or V(public).
          type: str
        host:
          description: The host, unless it is a network.
          type: str
        cidr:
          description: Its address or network.
          type: str
    targets:
      description: The hosts on which the current host can reach it, itself first.
      type: list
      elements: dict
      contains:
        host:
          description: The name of the host.
          type: str
        address:
          description: Its address as seen from the current host.
          type: str
        port:
          description: The port.
          type: int
        socket:
          description: Its address and port, as URLs have them, such as V([2001:db8::1]:5433).
          type: str
        local:
          description: Whether it is the current host.
          type: bool
        tls:
          description: Whether it is spoken to by TLS.
          type: bool
          version_added: 0.2.0
    tls:
      description:
        - Whether the current host serves it by TLS, or reaches its first target so.
        - With the probe V(tls) it always is. Else it depends on the registry's C(tls), which is
          true by itself for PostgreSQL and the Redis protocol, and counts where other hosts come.
      type: bool
      version_added: 0.2.0
    address:
      description: The address of the first target, if there is one.
      type: str
    socket:
      description: The same with the port, as URLs have it.
      type: str
"""

import dataclasses
import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.prsnl.ports.plugins.plugin_utils.plan.binding import bind, socket
from ansible_collections.prsnl.ports.plugins.plugin_utils.plan.compute import (
    PlanError,
    PlannedEndpoint,
    Topology,
    plan_endpoint,
    serving_hosts,
    system_of,
    targets,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller, jmespath_query
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import found, near, shown
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import Endpoint, Registry


class LookupModule(LookupBase):  # type: ignore[misc]
    """Answers from the registry and the inventory."""

    def run(
        self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any
    ) -> list[dict[str, t.Any]]:
        """The endpoints of the terms, or all that are placed somewhere."""
        variables = variables or {}
        self.set_options(var_options=variables, direct=kwargs)
        select = self.get_option("select")
        wanted = jmespath_query.compiled("select", select) if select else bool
        registry = controller.registry_of(variables)
        controller.refuse_contradictions(registry, variables)
        topology = controller.topology(variables)
        host = variables["inventory_hostname"]
        try:
            if terms:
                endpoints = [_find(registry, term) for term in terms]
            else:
                endpoints = [
                    endpoint
                    for endpoint in registry.endpoints.values()
                    if endpoint.expect == "bound"
                    and serving_hosts(registry, topology, endpoint, host)
                ]
            answers = [_answer(registry, topology, host, endpoint) for endpoint in endpoints]
            if self.get_option("single"):
                for answer in answers:
                    _refuse_several(registry, host, answer)
        except PlanError as error:
            raise AnsibleError(str(error)) from None
        return [answer for answer in answers if wanted(answer)]


def _find(registry: Registry, term: t.Any) -> Endpoint:
    endpoint = registry.endpoints.get(str(term))
    if endpoint is None:
        raise AnsibleError(
            f"found {found(str(term))}, allowed is the id of an endpoint in"
            f" {shown(registry.file)}{near(str(term), registry.endpoints)}"
        )
    return endpoint


def _answer(
    registry: Registry, topology: Topology, host: str, endpoint: Endpoint
) -> dict[str, t.Any]:
    here = host in serving_hosts(registry, topology, endpoint, host)
    planned = (
        plan_endpoint(registry, topology, host, endpoint) if here else PlannedEndpoint(endpoint)
    )
    reachable = [
        {**dataclasses.asdict(target), "socket": socket(target.address, target.port)}
        for target in targets(registry, topology, host, endpoint)
    ]
    first = reachable[0] if reachable else {}
    common = planned.as_dict(system_of(topology, host))
    return {
        **common,
        "sockets": [socket(address, endpoint.port) for address in planned.listen],
        "bind": bind(planned.listen).as_dict(endpoint.port),
        "targets": reachable,
        "tls": common["tls"] if here else bool(first.get("tls")),
        "address": first.get("address"),
        "socket": first.get("socket"),
    }


def _refuse_several(registry: Registry, host: str, answer: dict[str, t.Any]) -> None:
    several = answer["bind"]["addresses"]
    if len(several) > 1:
        place = registry.where((*registry.endpoints[answer["id"]].path, "addresses"))
        raise AnsibleError(
            f"{host}: found {len(several)} addresses for {answer['id']} ({', '.join(several)}),"
            f" allowed is one, because its daemon takes no more. Shorten its addresses in {place},"
            " or write :: (or 0.0.0.0) there, which is all of them"
        )
