# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What the plugins that read the registry have in common."""

    DOCUMENTATION = r"""
options: {}
notes:
  - The registry is the one that the vars plugin P(prsnl.ports.registry#vars) is configured with. It
    is read and checked once per run.
  - A host says with the variable C(port_environment) which of the registry's environments it
    serves, with C(port_addresses) (a list) by which IP addresses other hosts reach it, and with
    C(port_address_families) which of V(ipv4) and V(ipv6) it listens on (by default both). Without
    C(port_addresses) its C(ansible_host) or its name is taken, if that is an IP address.
  - A variable C(<service>_<endpoint>_port), or C(<service>_port) for a service's first endpoint,
    must have the registry's value. Another one is an error that names both places.
requirements:
  - netaddr, jsonschema and jmespath on the controller
author:
  - PRSNL Ports contributors (@prsnl)
"""
