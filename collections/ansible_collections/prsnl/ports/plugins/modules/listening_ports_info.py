#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: listening_ports_info
short_description: List every listening socket of a host, and who holds it
version_added: 0.2.0
description:
  - Lists the TCP sockets that listen and the UDP sockets that are bound and not connected, with the
    processes that have them open, their program, user, start and systemd unit.
  - Ports that docker or podman publish are attributed to the container, not to the engine's proxy,
    and are listed also where the engine rewrites addresses and no socket shows it. An engine is
    asked only where something shows that it is in use.
  - Command lines aren't returned, because they hold secrets.
  - On Linux the sockets come from the kernel by netlink (C(SOCK_DIAG)), or from C(/proc/net) where
    that isn't available, and the processes from one pass over C(/proc). On macOS both come from
    libproc, or from C(lsof) where that can't be loaded. The macOS part follows Apple's headers and
    recorded output, and has not run on a Mac yet.
extends_documentation_fragment:
  - prsnl.ports.attributes
  - prsnl.ports.attributes.info
options:
  processes:
    description:
      - Whether to look for the processes, units and containers.
      - Without it, on Linux, the answer takes about a millisecond, and those fields are empty.
    type: bool
    default: true
attributes:
  platform:
    platforms: linux, macos
notes:
  - Only the network namespace that Ansible connects to is seen.
  - Works without root's rights. RV(unseen) then says what is missing, as it does for a root without
    the capability C(SYS_PTRACE).
requirements:
  - python >= 3.8 on the host, its standard library only
author:
  - PRSNL Ports contributors (@prsnl)
seealso:
  - module: prsnl.ports.port_check
  - module: prsnl.ports.port_verify
"""

EXAMPLES = r"""
- name: See who listens
  prsnl.ports.listening_ports_info:
  become: true
  register: sockets

- name: Show what is open to other hosts
  ansible.builtin.debug:
    msg: "{{ sockets.listeners | rejectattr('address', 'in', ['127.0.0.1', '::1']) }}"
"""

RETURN = r"""
listeners:
  description:
    - The sockets, sorted by port, protocol and address. What is said of a process is said of the
      one that started first.
    - Fields that aren't known are V(null).
  returned: success
  type: list
  elements: dict
  contains:
    protocol:
      description: V(tcp) or V(udp).
      type: str
    family:
      description: V(ipv4) or V(ipv6).
      type: str
    address:
      description: The address that it is bound to.
      type: str
      sample: "0.0.0.0"
    device:
      description: The network interface that it is bound to; null for all, and on macOS.
      type: str
      sample: eth0
    port:
      description: The port.
      type: int
    v6only:
      description: Whether a socket on V(::) leaves IPv4 alone.
      type: bool
    pid:
      description: The process.
      type: int
    pids:
      description: Every process that has the socket open.
      type: list
      elements: int
    process:
      description: Its name, as the kernel knows it.
      type: str
      sample: nginx
    executable:
      description: The path of its program.
      type: str
      sample: /usr/sbin/nginx
    user:
      description: Its effective user.
      type: str
      sample: root
    since:
      description: When it started, in UTC.
      type: str
      sample: "2026-11-23T09:14:02Z"
    unit:
      description:
        - Its systemd service or scope.
        - Of the first process, the socket unit for which it has the socket.
      type: str
      sample: nginx.service
    label:
      description: The label of its launchd job, on macOS.
      type: str
      sample: prsnl.nginx
    container:
      description: The container that the port is published for, or that the process runs in.
      type: str
      sample: web
    engine:
      description: The engine of the container, V(docker) or V(podman).
      type: str
unseen:
  description: What could not be seen and what to do about it; empty if nothing is missing.
  returned: success
  type: str
  sample: "Processes of other users may not be looked at. Run the task with become: true."
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Snapshot
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.snapshot import (
    describe,
    read_sockets,
    take_snapshot,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={"processes": {"type": "bool", "default": True}},
        supports_check_mode=True,
    )
    processes = module.params["processes"]
    try:
        snapshot = take_snapshot() if processes else Snapshot(tuple(read_sockets()), {}, None, True)
    except OSError as error:
        module.fail_json(msg=str(error))
    unseen = ""
    if snapshot.obstacle:
        unseen = f"Processes of other users may not be looked at. {snapshot.obstacle}"
        module.warn(unseen)
    module.exit_json(changed=False, listeners=describe(snapshot), unseen=unseen)


if __name__ == "__main__":
    main()
