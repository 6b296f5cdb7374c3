#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_cluster
short_description: Create, configure, confine and run a cluster of PostgreSQL
version_added: 0.3.0
description:
  - Brings one cluster of Debian's postgresql-common, with its systemd unit, to the wanted state, in
    one remote execution. In check mode it only looks, and tells what it would do.
  - A new cluster is made with data checksums in folders of a random name, and moved to its place
    when it is complete. A run that is killed is finished or taken back by the next one. What is in
    the place of a cluster is never removed.
  - The settings and the rules of who may connect are in
    C(/etc/prsnl-ports/postgresql/<version>-<cluster>), which only root can change. One file in the
    cluster's own C(conf.d) leads there. Whatever the cluster's user can replace is read and written
    as that user.
  - The server is asked what it makes of the files before it has to live with them. It restarts
    only for what a reload can't change, and then has to listen on its endpoints. Otherwise all
    former files come back, the server runs with them again if it ran before, and the error has the
    end of its journal. After a run that was killed, the next one goes on, and any other change of
    this host takes it back.
  - Settings that somebody else has changed, and that wait for a restart, don't cause one.
options:
  version:
    description:
      - The major version.
    type: str
    required: true
  name:
    description:
      - The name of the cluster.
    type: str
    default: main
  port:
    description:
      - The port, which is also in O(settings).
    type: int
    required: true
  locale:
    description:
      - The locale of a new cluster.
    type: str
    default: C.UTF-8
  settings:
    description:
      - Settings of C(postgresql.conf). Values need no quotes.
    type: dict
    default: {}
  fixed:
    description:
      - Names of settings that nothing else may set in a way that prevails, such as C(ALTER SYSTEM).
    type: list
    elements: str
    default: []
  memory_mb:
    description:
      - Memory in MiB that the sizes among the settings are for. V(0) means that of the host, or the
        limit of its container, slice or unit where that is less.
    type: int
    default: 0
  connections:
    description:
      - How many connections there may be at once.
    type: int
    default: 100
  rules:
    description:
      - The whole text of C(pg_hba.conf).
    type: str
    required: true
  certificate:
    description:
      - The path of the server's certificate, which its user has to be able to read.
    type: str
    default: ''
  key:
    description:
      - The path of its key.
    type: str
    default: ''
  pem:
    description:
      - The server's certificate followed by its key, as text in PEM format. They are kept in one
        file that only root can change, and the server speaks TLS with them.
    type: str
    default: ''
  options:
    description:
      - Options of the unit's C([Service]) section, on top of those that confine it.
    type: dict
    default: {}
  writable_paths:
    description:
      - Paths that the unit may write to, besides those of the cluster.
    type: list
    elements: str
    default: []
  endpoints:
    description:
      - The endpoints of the cluster, as P(prsnl.ports.endpoint#lookup) returns them. After a start,
        the server has to listen on all of their addresses.
    type: list
    elements: dict
    default: []
  timeout:
    description:
      - How long a started server may take until it listens, in seconds. Recovering from a crash
        doesn't count.
    type: int
    default: 60
extends_documentation_fragment:
  - prsnl.ports.attributes
  - prsnl.ports.lock
attributes:
  diff_mode:
    support: full
  platform:
    platforms: linux
    support: partial
    details:
      - Systems with systemd and postgresql-common.
author:
  - PRSNL Ports contributors (@prsnl)
"""

EXAMPLES = r"""
- name: Run the cluster
  postgresql_cluster:
    version: '16'
    port: "{{ endpoint.port }}"
    settings:
      port: "{{ endpoint.port }}"
      listen_addresses: "{{ endpoint.listen | join(',') }}"
    fixed: [port, listen_addresses]
    rules: "{{ lookup('ansible.builtin.template', 'pg_hba.conf.j2') }}"
    endpoints: ["{{ endpoint }}"]
  vars:
    endpoint: "{{ lookup('prsnl.ports.endpoint', 'postgresql.sql') }}"
  become: true
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [write /etc/prsnl-ports/postgresql/16-main/settings.conf, restart for port]
recovered:
  description: What became of changes of this host that were cut off before.
  returned: when there was one
  type: list
  elements: str
cluster:
  description: What there is, after the change. In check mode, what was found.
  returned: success
  type: dict
  contains:
    state:
      description: V(absent), V(half-made) by a run that was cut off, V(stopped) or V(running).
      type: str
    data:
      description: Where its data is, or will be.
      type: str
    port:
      description: The port that is in effect. V(0) if no server runs.
      type: int
    memory_mb:
      description: The memory that the server may use, in MiB.
      type: int
    enabled:
      description: Whether its unit starts at boot.
      type: bool
    checksums:
      description: Whether it has data checksums. Unknown if no server answers.
      type: bool
    databases:
      description: The owner of each database, if a server answers.
      type: dict
    monitors:
      description: Roles that may read all statistics, and are nothing more than that.
      type: list
      elements: str
    pending:
      description: Names of settings that wait for a restart.
      type: list
      elements: str
has_psycopg2:
  description: Whether the Python that runs modules on the host can import psycopg2.
  returned: success
  type: bool
"""

import importlib.util
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.postgresql_cluster.change import Cluster, Request
from ansible.module_utils.postgresql_cluster.host import ClusterError, Layout, find_account
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import (
    LOCK_ARGUMENT,
    LockedError,
    LostLeaseError,
    changer_of,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import module_runner
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import (
    DURABLE,
    UndoError,
    changing,
)

USER = "postgres"
ARGUMENTS: dict[str, t.Any] = {
    "version": {"type": "str", "required": True},
    "name": {"type": "str", "default": "main"},
    "port": {"type": "int", "required": True},
    "locale": {"type": "str", "default": "C.UTF-8"},
    "settings": {"type": "dict", "default": {}},
    "fixed": {"type": "list", "elements": "str", "default": []},
    "memory_mb": {"type": "int", "default": 0},
    "connections": {"type": "int", "default": 100},
    "rules": {"type": "str", "required": True},
    "certificate": {"type": "str", "default": ""},
    "key": {"type": "str", "default": "", "no_log": False},
    "pem": {"type": "str", "default": "", "no_log": True},
    "options": {"type": "dict", "default": {}},
    "writable_paths": {"type": "list", "elements": "str", "default": []},
    "endpoints": {"type": "list", "elements": "dict", "default": []},
    "timeout": {"type": "int", "default": 60},
    "lock": LOCK_ARGUMENT,
    "lock_timeout": {"type": "int", "default": 120},
}


def read_request(params: t.Mapping[str, t.Any]) -> Request:
    """Return what the task asks for."""
    return Request(
        port=params["port"],
        locale=params["locale"],
        settings=params["settings"],
        fixed=frozenset(params["fixed"]),
        connections=params["connections"],
        rules=params["rules"],
        memory_mb=params["memory_mb"],
        certificate=params["certificate"],
        key=params["key"],
        pem=params["pem"],
        options=params["options"],
        writable=tuple(params["writable_paths"]),
        endpoints=tuple(params["endpoints"]),
        timeout=params["timeout"],
    )


def result_of(cluster: Cluster, diff: t.Sequence[t.Mapping[str, str]]) -> dict[str, t.Any]:
    """Return what the module says about a cluster."""
    # Files have their own differences.
    own = {f"write {file.path}" for file in cluster.files}
    steps = [step for step in cluster.actions if step not in own]
    told = [{"prepared": f"{cluster.layout.unit}: {listed(steps)}\n"}] if steps else []
    return {
        "changed": bool(cluster.actions),
        "actions": cluster.actions,
        "cluster": cluster.facts(),
        "has_psycopg2": importlib.util.find_spec("psycopg2") is not None,
        "diff": [*told, *diff],
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    if os.geteuid() != 0:
        module.fail_json(msg="only root can do this. Run it with become: true")
    run = module_runner(module)
    layout = Layout(params["version"], params["name"])
    lock = params["lock"]

    def find() -> Cluster:
        return Cluster(read_request(params), layout, find_account(USER), run, DURABLE)

    try:
        if module.check_mode:
            cluster = find()
            cluster.preview()
            result = result_of(cluster, cluster.diff())
        else:
            changer = changer_of(lock)
            with changing(
                changer,
                run,
                token=lock["token"],
                wait=lock["wait"],
                instead_of=lock["instead_of"],
                adopts=(layout.unit,),
            ) as change:
                cluster = find()
                diff = cluster.diff()
                cluster.apply(changer, change.token)
                result = result_of(cluster, diff)
                recovered = [*change.recovered, *cluster.recovered]
                if recovered:
                    result["recovered"] = recovered
                    result["changed"] = (
                        result["changed"] or change.has_recovered or bool(cluster.recovered)
                    )
    except LockedError as error:
        module.fail_json(msg=str(error), **error.result)
    except (OSError, ClusterError, LostLeaseError, UndoError) as error:
        module.fail_json(msg=str(error))
    for remark in cluster.remarks:
        module.warn(remark)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
