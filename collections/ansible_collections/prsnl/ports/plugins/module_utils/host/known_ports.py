# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports that systems use themselves."""

from __future__ import annotations

# Since macOS 12 its Control Center listens there, while AirPlay Receiver is on.
AIRPLAY = (5000, 7000)
