# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What every module can be relied on; `info` is for those that change nothing."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode and predict its result without changing the host.
    support: full
  diff_mode:
    description: Returns what was changed, or would be, in diff mode.
  idempotent:
    description: A second run with the same arguments changes nothing.
    support: full
  platform:
    description: The systems it works on.
    support: full
"""

    INFO = r"""
attributes:
  diff_mode:
    support: N/A
    details:
      - It changes nothing.
  idempotent:
    details:
      - It changes nothing.
"""
