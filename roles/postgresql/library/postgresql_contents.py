#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_contents
short_description: Extensions, schemas and privileges of databases
version_added: 0.3.0
description:
  - Brings all of them to the wanted state, in one remote execution. The server says what is
    missing, and gets it in one transaction for each database.
  - Nothing is dropped or revoked.
options:
  psql:
    description:
      - What starts C(psql) as the superuser, with the server's socket and port.
    type: list
    elements: str
    required: true
  databases:
    description:
      - The databases, as the role's C(postgresql_databases) has them. Each has to be there, but in
        check mode.
    type: list
    elements: dict
    required: true
author:
  - PRSNL Ports contributors (@prsnl)
"""

EXAMPLES = r"""
- name: Let the reports read all tables
  postgresql_contents:
    psql: [runuser, -u, postgres, --, psql, -h, /var/run/postgresql, -p, "{{ postgresql_port }}"]
    databases:
      - name: shop
        owner: shop
        extensions: [{name: pg_trgm}]
        privileges: [{roles: [reports], privileges: [SELECT], future: true}]
  become: true
"""

RETURN = r"""
statements:
  description: The SQL that was executed, or would be in check mode, by database.
  returned: success
  type: dict
  sample: {shop: [CREATE EXTENSION pg_trgm]}
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.postgresql_cluster.contents import Databases, faults, has_contents
from ansible.module_utils.postgresql_cluster.host import ClusterError
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import module_runner
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed

ARGUMENTS: dict[str, t.Any] = {
    "psql": {"type": "list", "elements": "str", "required": True},
    "databases": {"type": "list", "elements": "dict", "required": True},
}


def converge(module: AnsibleModule) -> dict[str, t.Any]:
    """Do what the task wants; return its result."""
    server = Databases(module.params["psql"], module_runner(module))
    wanted = [database for database in module.params["databases"] if has_contents(database)]
    wrong = faults(wanted)
    if wrong:
        raise ClusterError("; ".join(wrong))
    is_check = module.check_mode
    there = server.names() if is_check and wanted else set()
    statements: dict[str, list[str]] = {}
    unknown: list[str] = []
    for database in wanted:
        name = database["name"]
        if is_check and name not in there:
            statements[name] = [f"-- what the new database {name} is to have"]
            continue
        answer = server.look(database)
        unknown += [f"{extension} of {name}" for extension in answer.unknown]
        if answer.absent:
            module.warn(
                f"database {name} has no {listed(answer.absent)}, so nothing was granted on that."
                " A further run does when it is there"
            )
        if answer.statements:
            statements[name] = list(answer.statements)
    if unknown:
        raise ClusterError(
            f"this PostgreSQL has no extension {listed(unknown)}. Put the package that brings it"
            " into postgresql_extension_packages. No database was changed"
        )
    if not is_check:
        for name, words in statements.items():
            server.change(name, words)
    told = "".join(f"{name}: {text}\n" for name, words in statements.items() for text in words)
    diff = [{"prepared": told}] if told else []
    return {"changed": bool(statements), "statements": statements, "diff": diff}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = converge(module)
    except ClusterError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
