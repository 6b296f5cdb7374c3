# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes what kills a process before any of its writes importable, and the simulation."""

from __future__ import annotations

import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[4]
UNIT = ROOT / "collections/ansible_collections/prsnl/ports/tests/unit"

sys.path[:0] = [str(UNIT / "plugins/module_utils"), str(pathlib.Path(__file__).parent)]
