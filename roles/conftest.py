# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the collection and what modules of roles share importable, wherever tests are started."""

from __future__ import annotations

import pathlib
import sys

import ansible.module_utils

ROLES = pathlib.Path(__file__).parent
COLLECTIONS = ROLES.parent / "collections"
SHARED = [str(folder) for folder in sorted(ROLES.glob("*/module_utils"))]

sys.path[:0] = [str(COLLECTIONS), *SHARED]
# Where Ansible has them for modules of the role.
ansible.module_utils.__path__.extend(SHARED)
