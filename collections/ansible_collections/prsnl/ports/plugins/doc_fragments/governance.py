# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What the modules that change the registry or its leases have in common."""

    DOCUMENTATION = r"""
options: {}
attributes:
  action:
    description: Has an action plugin.
    support: full
  check_mode:
    details:
      - Says what would be changed and refuses what would be refused. It takes no lock.
  connection:
    description: Uses the connection to the host.
    support: none
  diff_mode:
    support: full
  platform:
    platforms: all
notes:
  - The registry is the one that the vars plugin P(prsnl.ports.registry#vars) is configured with.
  - Run it once, on the controller. On several hosts they all change the same file, one after the
    other.
requirements:
  - netaddr and jsonschema on the controller
author:
  - PRSNL Ports contributors (@prsnl)
"""
