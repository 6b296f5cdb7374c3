# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The socket units for which the first process has sockets open.

systemd keeps the sockets of such a unit, also while a service that it has started for them has them
too (systemd.socket(5)). It is asked only where it has a socket whose holders are wanted.
"""

from __future__ import annotations

import re
import subprocess
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import printable
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import (
    Holder,
    Snapshot,
    Socket,
)

SYSTEMD, LAUNCHD = "systemd", "launchd"
COMMAND = (
    "systemctl",
    "show",
    "--property=Id,ActiveState,Listen,Triggers",
    "--",
    "*.socket",
)
TIMEOUT = 20
# [::]:22 (Stream), 127.0.0.1:53 (Datagram), [fe80::1%2]:80 (Stream)
LISTEN = re.compile(r"Listen=\[?([0-9A-Fa-f.:]+)(?:%[^\]]*)?\]?:([0-9]+) \((Stream|Datagram)\)")
PROTOCOLS = {"Stream": "tcp", "Datagram": "udp"}


@dataclass(frozen=True)
class SocketUnit:
    """A socket unit: what it listens on (protocol, address, port), and what it starts."""

    name: str
    listens: tuple[tuple[str, str, int], ...]
    services: tuple[str, ...]


def is_manager(holder: Holder) -> bool:
    """Tell whether a process is the one that starts services, and has sockets on their behalf."""
    return holder.pid == 1 and holder.process in (SYSTEMD, LAUNCHD)


def attribute(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot in which the first process' unit is the socket unit, socket by socket."""
    held = [
        sock
        for sock in snapshot.sockets
        if any(
            is_manager(holder) and holder.process == SYSTEMD
            for holder in snapshot.holders.get(sock.inode, ())
        )
    ]
    units = _ask() if held else []
    if not units:
        return snapshot
    holders = dict(snapshot.holders)
    for sock in held:
        unit = _unit_of(sock, units)
        if unit:
            holders[sock.inode] = tuple(
                replace(holder, unit=unit.name) if is_manager(holder) else holder
                for holder in holders[sock.inode]
            )
    return replace(
        snapshot, holders=holders, activates={unit.name: unit.services for unit in units}
    )


def _unit_of(sock: Socket, units: t.Iterable[SocketUnit]) -> t.Optional[SocketUnit]:
    """Return the unit that listens there: on that address, or else the only one on that port."""
    here = [
        (unit, address)
        for unit in units
        for protocol, address, port in unit.listens
        if (protocol, port) == (sock.protocol, sock.port)
    ]
    exact = [unit for unit, address in here if address == sock.address]
    found = exact or [unit for unit, _address in here]
    return found[0] if len({unit.name for unit in found}) == 1 else None


def _ask() -> list[SocketUnit]:
    try:
        done = subprocess.run(
            COMMAND,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_socket_units(done.stdout)


def parse_socket_units(text: str) -> list[SocketUnit]:
    """Return the active socket units in the output of C(systemctl show)."""
    units = []
    for block in text.split("\n\n"):
        lines = block.splitlines()
        facts = dict(line.partition("=")[::2] for line in lines)
        listens = tuple(
            (PROTOCOLS[match[3]], match[1], int(match[2]))
            for match in map(LISTEN.fullmatch, lines)
            if match
        )
        if listens and facts.get("ActiveState") == "active":
            services = tuple(map(printable, facts.get("Triggers", "").split()))
            units.append(SocketUnit(printable(facts.get("Id", "")), listens, services))
    return units
