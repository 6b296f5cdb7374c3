# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The socket units for which systemd has sockets open, as the first process or as a user's manager.

It keeps the sockets of such a unit, also while a service that it has started for them has them
too (systemd.socket(5)). It is asked only where it has a socket whose holders are wanted.
"""

from __future__ import annotations

import functools
import os
import pwd
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
# The manager of the system, as against the uid of a user.
SYSTEM = -1
SHOW = (
    "show",
    "--property=Id,ActiveState,Listen,Triggers",
    "--",
    "*.socket",
)
TIMEOUT = 20
# [::]:22 (Stream), 127.0.0.1:53 (Datagram), [fe80::1%2]:80 (Stream)
LISTEN = re.compile(r"Listen=\[?([0-9A-Fa-f.:]+)(?:%[^\]]*)?\]?:([0-9]+) \((Stream|Datagram)\)")
# Where the manager of a user is, in its own service.
MANAGER = re.compile(r"/user@[0-9]+\.service/init\.scope$")
PROTOCOLS = {"Stream": "tcp", "Datagram": "udp"}


@dataclass(frozen=True)
class SocketUnit:
    """A socket unit: what it listens on (protocol, address, port), and what it starts."""

    name: str
    listens: tuple[tuple[str, str, int], ...]
    services: tuple[str, ...]


def is_manager(holder: Holder) -> bool:
    """Tell whether a process is the one that starts services, and has sockets on their behalf."""
    if holder.pid == 1:
        return holder.process in (SYSTEMD, LAUNCHD)
    return holder.process == SYSTEMD and MANAGER.search(holder.cgroup) is not None


def attribute(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot in which a manager's unit is the socket unit, socket by socket."""
    held = [
        (sock, manager)
        for sock in snapshot.sockets
        for manager in [_manager(snapshot.holders.get(sock.inode, ()))]
        if manager
    ]
    units = {who: _ask(who) for who in sorted({_whose(manager) for _sock, manager in held})}
    if not any(units.values()):
        return snapshot
    holders = dict(snapshot.holders)
    for sock, manager in held:
        unit = _unit_of(sock, units[_whose(manager)])
        if unit:
            holders[sock.inode] = tuple(
                replace(holder, unit=unit.name) if holder == manager else holder
                for holder in holders[sock.inode]
            )
    activates = {unit.name: unit.services for found in units.values() for unit in found}
    return replace(snapshot, holders=holders, activates=activates)


def _manager(holders: t.Iterable[Holder]) -> t.Optional[Holder]:
    return next((h for h in holders if is_manager(h) and h.process == SYSTEMD), None)


def _whose(manager: Holder) -> int:
    """Return the uid of the user whose manager that is."""
    return SYSTEM if manager.pid == 1 or manager.uid is None else manager.uid


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


def _ask(who: int) -> list[SocketUnit]:
    options: dict[str, t.Any] = {}
    command = ["systemctl", *SHOW]
    if who != SYSTEM:
        command.insert(1, "--user")
        path = os.environ.get("PATH", os.defpath)
        options["env"] = {"PATH": path, "XDG_RUNTIME_DIR": f"/run/user/{who}"}
        if who != os.geteuid():
            options["preexec_fn"] = functools.partial(_become, who)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=False,
            **options,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_socket_units(done.stdout)


def _become(uid: int) -> None:
    """Give up root's rights in a child, for good. The option for that is of Python 3.9."""
    os.setgroups([])
    os.setgid(pwd.getpwuid(uid).pw_gid)
    os.setuid(uid)


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
