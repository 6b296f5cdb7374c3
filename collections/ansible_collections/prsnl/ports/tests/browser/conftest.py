# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the collection and the simulated handoffs importable."""

from __future__ import annotations

import pathlib
import sys

TESTS = pathlib.Path(__file__).parents[1]
sys.path[:0] = [
    str(TESTS.parents[3]),
    str(TESTS / "browser"),
    str(TESTS / "unit" / "plugins" / "plugin_utils" / "handoff"),
]
