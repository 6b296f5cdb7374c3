#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dragonfly_login
short_description: Ask a running DragonflyDB whether it wants a password, and accepts this one
version_added: 0.4.0
description:
  - Fails where the server answers without a password, or accepts another one only. That happens by
    C(CONFIG SET requirepass), or by a run that rendered none.
  - It changes nothing.
options:
  address:
    description:
      - The address of the server.
    type: str
    required: true
  port:
    description:
      - Its port.
    type: int
    required: true
  password:
    description:
      - The password that it should accept.
    type: str
    required: true
  tls:
    description:
      - Whether it speaks TLS. Its certificate isn't judged here.
    type: bool
    default: false
  timeout:
    description:
      - How long to wait for each answer, in seconds.
    type: int
    default: 10
attributes:
  check_mode:
    description: Can run in check mode without changing anything.
    support: full
  diff_mode:
    description: Shows what it changes, with --diff.
    support: none
author:
  - PRSNL Ports contributors (@prsnl)
"""

EXAMPLES = r"""
- name: Ask the cache for its password
  dragonfly_login:
    address: "{{ endpoint.address }}"
    port: "{{ endpoint.port }}"
    password: "{{ lookup('prsnl.ports.secret', 'dragonfly') }}"
  vars:
    endpoint: "{{ lookup('prsnl.ports.endpoint', 'dragonfly.redis') }}"
"""

RETURN = r""""""

import socket
import ssl

from ansible.module_utils.basic import AnsibleModule


class LoginError(Exception):
    """What is wrong with the password, as the operator is to read it."""


def command(*words: str) -> bytes:
    """Return a command as servers read it.

    Source: https://redis.io/docs/latest/develop/reference/protocol-spec/
    """
    parts = [word.encode() for word in words]
    text = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n%s" % (len(parts), text)


def try_password(connection: socket.socket, password: str) -> None:
    """Ask a server without a password, and then with it.

    :raises LoginError: the first is answered, or the second isn't.
    :raises OSError: the server doesn't answer.
    """
    with connection.makefile("rb") as answers:
        connection.sendall(command("PING"))
        answer = answers.readline()
        if answer.startswith(b"+PONG"):
            raise LoginError(
                "wants no password: anybody who reaches it can read and change everything"
            )
        connection.sendall(command("AUTH", password))
        answer = answers.readline()
        if not answer.startswith(b"+OK"):
            said = answer.decode(errors="replace").strip()
            raise LoginError(f"does not accept the password ({said or 'it hung up'})")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "tls": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    params = module.params
    place = (params["address"], params["port"])
    try:
        with socket.create_connection(place, params["timeout"]) as plain:
            if not params["tls"]:
                try_password(plain, params["password"])
            else:
                context = ssl.create_default_context()
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                with context.wrap_socket(plain) as connection:
                    try_password(connection, params["password"])
    except OSError as error:
        module.fail_json(msg=f"does not say whether it accepts the password: {error}")
    except LoginError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
