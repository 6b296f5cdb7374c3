# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network daemon can do without, as options of a systemd unit."""

from __future__ import annotations

import typing as t

# Meanings: systemd.exec(5). A service lifts what it does need.
OPTIONS: t.Final[t.Mapping[str, t.Any]] = {
    "AmbientCapabilities": "",
    "CapabilityBoundingSet": "",
    "LockPersonality": True,
    "MemoryDenyWriteExecute": True,
    "NoNewPrivileges": True,
    "PrivateDevices": True,
    "PrivateTmp": True,
    "ProtectClock": True,
    "ProtectControlGroups": True,
    "ProtectHome": True,
    "ProtectHostname": True,
    "ProtectKernelLogs": True,
    "ProtectKernelModules": True,
    "ProtectKernelTunables": True,
    "ProtectProc": "invisible",
    "ProtectSystem": "strict",
    "RestrictNamespaces": True,
    "RestrictRealtime": True,
    "RestrictSUIDSGID": True,
    "SystemCallArchitectures": "native",
    "SystemCallErrorNumber": "EPERM",
    # A program may confine itself further, and some insist. The set of systemd 252 lacks these.
    # Elasticsearch takes EPERM for them as a broken kernel, and is no node of a cluster then.
    "SystemCallFilter": [
        "@system-service",
        "landlock_add_rule",
        "landlock_create_ruleset",
        "landlock_restrict_self",
        "seccomp",
    ],
    "UMask": "0027",
}
FAMILIES: t.Final = {"ipv4": "AF_INET", "ipv6": "AF_INET6"}


def confine(families: t.Iterable[str], options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Options for a unit on a host with these address families; its own ones prevail."""
    sockets = ["AF_UNIX", "AF_NETLINK", *(FAMILIES[family] for family in families)]
    return {**OPTIONS, "RestrictAddressFamilies": sockets, **options}
