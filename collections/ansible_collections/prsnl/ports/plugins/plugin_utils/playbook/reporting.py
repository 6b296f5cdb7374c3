# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task says of its faults: all of them, or where the report at the end tells them."""

from __future__ import annotations

import typing as t

from ansible import constants as C  # noqa: N812 - as Ansible calls it

CALLBACK: t.Final = "prsnl.ports.port_report"


def summarise(faults: t.Sequence[str], told: str) -> str:
    """The text of a failed task: `told` where the report follows, else every fault in a line."""
    if not faults:
        return ""
    return told if CALLBACK in C.CALLBACKS_ENABLED else "\n".join(faults)


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 port`, `2 ports`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def tell_leases(
    result: dict[str, t.Any], leases: t.Sequence[t.Mapping[str, t.Any]], host: str
) -> None:
    """Adds the leases of a host to a result, and a warning of those that have ended."""
    rows = []
    for lease in leases:
        port = f"{lease['port']}/{lease['protocol']}"
        text = f"until {lease['expires']} for: {lease['reason']} ({lease['where']})"
        told = f"was leased {text}. Extend or remove the lease" if lease["expired"] else None
        rows.append({**lease, "message": f"{port} {told or f'is leased {text}'}"})
    result["leases"] = rows
    ended = [f"{host}: {row['message']}" for row in rows if row["expired"]]
    if ended:
        told = f"{host}: {counted(len(ended), 'lease')} ended, see LEASES OF {host}."
        result.setdefault("warnings", []).append(summarise(ended, told))
