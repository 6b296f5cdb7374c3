# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What the modules that judge a host by its plan have in common."""

    DOCUMENTATION = r"""
options:
  plan:
    description:
      - The plan of the host, as M(prsnl.ports.registry_info) returns it.
      - By default it is computed on the controller, from the registry and the play's variables.
    type: dict
  registry:
    description:
      - The registry's file, as messages are to name it.
      - By default the file that P(prsnl.ports.registry#vars) has loaded.
    type: str
attributes:
  platform:
    platforms: linux, macos
    details:
      - The macOS part follows Apple's headers and recorded output, and has not run on a Mac yet.
notes:
  - One remote execution for a host, however many endpoints it has.
  - Run it with C(become=true). Another user than root sees the holders of its own sockets only,
    and so does a root without the capability C(SYS_PTRACE), as in most containers.
  - Sockets of the network namespace that Ansible connects to are seen. Those of containers with a
    network of their own are seen where they are published to the host.
  - Where neither netlink nor C(/proc/net) tells whether a socket on V(::) receives IPv4 too
    (emulated hosts), it is taken to do so unless C(net.ipv6.bindv6only) is 1 or IPv4 has its own
    wildcard socket on that port.
requirements:
  - python >= 3.8 on the host, its standard library only
author:
  - PRSNL Ports contributors (@prsnl)
"""
