# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is told of a cluster that somebody else made: what of it is going to be without effect."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed, printable

from .settings import assignments

SHOWN = 8
# A rule, and nothing else that a link might lead to.
_RULE = re.compile(r"(local|host|hostssl|hostnossl|hostgssenc|hostnogssenc)\s+\S+\s+\S+\s+\S+.*")
# What Debian's package writes, in any column.
_DEBIAN = frozenset(
    {
        "local all postgres peer",
        "local all all peer",
        "host all all 127.0.0.1/32 scram-sha-256",
        "host all all ::1/128 scram-sha-256",
        "local replication all peer",
        "host replication all 127.0.0.1/32 scram-sha-256",
        "host replication all ::1/128 scram-sha-256",
    }
)
# What Debian's package, or `initdb`, sets by itself and the role sets as well.
_PACKAGED = {
    "port",
    "hba_file",
    "log_line_prefix",
    "max_connections",
    "shared_buffers",
    "ssl",
    "ssl_cert_file",
    "ssl_key_file",
}


def rules_of_others(path: str, text: str) -> list[str]:
    """Return what is told of rules that aren't read any more, without those of the package."""
    lines = [
        (number, " ".join(line.partition("#")[0].split()))
        for number, line in enumerate(text.splitlines(), 1)
    ]
    rules = [
        f"{number} ({printable(line[:100])})"
        for number, line in lines
        if _RULE.fullmatch(line) and line not in _DEBIAN
    ]
    if not rules:
        return []
    more = [f"{len(rules) - SHOWN} more"] if len(rules) > SHOWN else []
    return [
        f"{path} has rules that are in effect no more, in its lines"
        f" {listed([*rules[:SHOWN], *more])}. Put what is to stay into postgresql_hba_entries"
    ]


def overridden(text: str, path: str, wanted: t.Container[str]) -> list[str]:
    """Return what is told of settings that somebody made, and that the role's prevail over.

    Values aren't told: some are secrets.
    """
    names = [
        f"{name} (line {number})"
        for number, line in enumerate(text.splitlines(), 1)
        for name in assignments(line)
        if name in wanted and name not in _PACKAGED
    ]
    if not names:
        return []
    return [
        f"{path} sets {listed(names)}, and what this role sets prevails. Put what is to stay into"
        " postgresql_settings"
    ]
