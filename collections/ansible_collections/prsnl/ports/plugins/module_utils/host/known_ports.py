# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports that systems use themselves."""

from __future__ import annotations

# Since macOS 12 its Control Center listens there, while AirPlay Receiver is on.
AIRPLAY = (5000, 7000)

# Assigned Internet Protocol Numbers (IANA), some of those that have no ports.
PORTLESS = {
    "igmp": 2,
    "ipip": 4,
    "ipv6": 41,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "eigrp": 88,
    "ospf": 89,
    "etherip": 97,
    "pim": 103,
    "ipcomp": 108,
    "vrrp": 112,
    "l2tp": 115,
    "sctp": 132,
}
