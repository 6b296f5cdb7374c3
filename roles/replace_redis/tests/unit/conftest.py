# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the role's backend and the collection importable, wherever the tests are started."""

from __future__ import annotations

import pathlib
import sys

import ansible.module_utils

ROLE = pathlib.Path(__file__).parents[2]
COLLECTIONS = ROLE.parents[1] / "collections"
UNIT = COLLECTIONS / "ansible_collections/prsnl/ports/tests/unit"

sys.path[:0] = [
    str(COLLECTIONS),
    str(ROLE / "module_utils"),
    # What kills a process before any of its writes.
    str(UNIT / "plugins/module_utils"),
    str(pathlib.Path(__file__).parent),
]
# Where Ansible has them for modules of the role.
ansible.module_utils.__path__.append(str(ROLE / "module_utils"))
