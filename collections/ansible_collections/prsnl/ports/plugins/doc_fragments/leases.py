# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What the modules that know leases have in common."""

    DOCUMENTATION = r"""
options:
  leases:
    description:
      - The leases of the host, each with C(port), C(protocol), C(owner), C(reason), C(expires),
        C(end) in seconds since the epoch, C(expired) and C(where).
      - By default they are read on the controller from C(leases.yml) beside the registry, where
        that file exists.
      - Those that have ended are reported, and count no more.
    type: list
    elements: dict
"""
