# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the collection and the role's plugins importable, wherever the tests are started."""

from __future__ import annotations

import pathlib
import sys

ROLE = pathlib.Path(__file__).parents[2]
sys.path[:0] = [
    str(ROLE.parents[1] / "collections"),
    str(ROLE / "library"),
    str(ROLE / "action_plugins"),
]
