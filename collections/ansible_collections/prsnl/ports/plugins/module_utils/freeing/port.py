# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Freeing a port on purpose: who may be stopped, and how that is done."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed, unique
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import HostEndpoint
from ansible_collections.prsnl.ports.plugins.module_utils.plan.names import names_of
from ansible_collections.prsnl.ports.plugins.module_utils.plan.owners import (
    describe_holders,
    is_of_user_manager,
    what_to_stop,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.login import Login
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import (
    Container,
    Holder,
    Snapshot,
    Socket,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.snapshot import take_snapshot

PAUSE = 0.2
KILL_TIMEOUT = 5
COMMAND_TIMEOUT = 120


class RefusedError(Exception):
    """The port must not be freed, or could not be."""


@dataclass(frozen=True)
class Holding:
    """Who holds a port: the sockets, their processes, and their container if it is one."""

    label: str
    sockets: tuple[Socket, ...]
    holders: tuple[Holder, ...]
    container: t.Optional[Container]
    who: str

    @property
    def unit(self) -> t.Optional[str]:
        """The service of the system's manager that all of the processes belong to."""
        units = {holder.unit for holder in self.holders}
        unit = units.pop() if len(units) == 1 else None
        is_users = any(is_of_user_manager(holder) for holder in self.holders)
        return unit if unit and unit.endswith(".service") and not is_users else None


def find_holding(port: int, protocol: str, snapshot: Snapshot, now: float) -> t.Optional[Holding]:
    """Return who holds a port; None if nobody does."""
    sockets = [s for s in snapshot.sockets if (s.protocol, s.port) == (protocol, port)]
    if not sockets:
        return None
    holders = {h.pid: h for s in sockets for h in snapshot.holders.get(s.inode, ())}
    containers = {sock.container for sock in sockets}
    addresses = listed(unique(sock.where for sock in sockets))
    who = listed(unique(describe_holders(snapshot, sock, now) for sock in sockets))
    return Holding(
        label=f"{port}/{protocol}",
        sockets=tuple(sockets),
        holders=tuple(holders[pid] for pid in sorted(holders)),
        container=containers.pop() if len(containers) == 1 else None,
        who=f"held on {addresses} by {who}",
    )


def refuse(
    holding: Holding,
    owner: str,
    snapshot: Snapshot,
    endpoints: t.Sequence[HostEndpoint],
    login: Login,
) -> None:
    """Raise if this holder must not be stopped.

    :param owner: the name of who is meant: of a process, a program, a unit or a container.
    :raises RefusedError: it is the first process, sshd, the connection, a service of the plan,
        somebody else, or it can't be seen.
    """
    for sock in holding.sockets:
        if not snapshot.holders.get(sock.inode) and not sock.container:
            raise RefusedError(snapshot.obstacle or "Its process can't be seen.")
    for holder in holding.holders:
        own_names = names_of(holder)
        if holder.pid == 1:
            unit = what_to_stop(holding.sockets, snapshot)
            text = "systemctl list-sockets shows which; stop that one"
            if unit != "it":
                text = f"that is {unit}; stop that one"
            raise RefusedError(
                f"The first process is never stopped. It holds the port for a socket unit: {text}."
            )
        if any(name.startswith("sshd") for name in own_names):
            raise RefusedError("sshd is never stopped.")
        if holder.pid in login.pids:
            raise RefusedError("That is the connection by which this host is managed right now.")
    for sock in holding.sockets:
        for endpoint in endpoints:
            if endpoint.expect != "silent" and endpoint.has(sock, snapshot):
                raise RefusedError(
                    f"That is the registered owner of {endpoint.id}. Stop the service itself, or"
                    " move it in the registry."
                )
    names = _names(holding)
    strange = [name for name, known in names.items() if owner not in known]
    if strange:
        raise RefusedError(f"The holder is {listed(strange)}, not {owner}.")


def _names(holding: Holding) -> dict[str, set[str]]:
    """Return by what names each holder is known, by the one that people are told."""
    if holding.container:
        return {holding.container.name: {holding.container.name}}
    names: dict[str, set[str]] = {}
    for holder in holding.holders:
        unit = holder.unit or ""
        known = {*names_of(holder), unit, unit.rpartition(".")[0]}
        names.setdefault(holder.process, set()).update(known - {""})
    return names


@dataclass(frozen=True)
class Way:
    """How a holder is stopped; ``text`` says so."""

    text: str
    command: tuple[str, ...] = ()


def choose_way(holding: Holding, login: Login) -> Way:
    """Return how to stop a holder: its container, its unit, or else its processes.

    A unit is stopped only if its main process holds the port: whoever was started by cron is not
    cron.
    """
    container = holding.container
    if container:
        return Way(f"stop {container}", (container.engine, "stop", container.name))
    unit = holding.unit
    if unit:
        pid = _main_pid(unit)
        if pid in {holder.pid for holder in holding.holders} and pid not in login.pids:
            return Way(f"stop unit {unit}", ("systemctl", "stop", unit))
    pids = [str(holder.pid) for holder in holding.holders]
    return Way(f"send TERM to pid{'s' if len(pids) > 1 else ''} {listed(pids)}")


def _main_pid(unit: str) -> int:
    command = ["systemctl", "show", "--property=MainPID", "--value", unit]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    text = done.stdout.strip()
    return int(text) if text.isdigit() else 0


def stop(holding: Holding, way: Way, *, timeout: float, kill: bool) -> str:
    """Stop a holder, wait until the port is free, and return what was done.

    :param timeout: seconds for the processes to end after TERM.
    :param kill: whether those that don't are killed.
    :raises RefusedError: the port isn't free afterwards.
    """
    done = way.text
    if way.command:
        _run(way.command)
    else:
        _signal(holding.holders, signal.SIGTERM)
        if not _wait(holding, timeout) and kill:
            _signal(holding.holders, signal.SIGKILL)
            _wait(holding, KILL_TIMEOUT)
            done += ", then KILL"
    _prove(holding, done, kill or bool(way.command))
    return done


def _run(command: t.Sequence[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RefusedError(f"{' '.join(command)}: {error}") from error
    if done.returncode != 0:
        raise RefusedError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


def _signal(holders: t.Iterable[Holder], number: signal.Signals) -> None:
    for holder in holders:
        try:
            os.kill(holder.pid, number)
        except ProcessLookupError:
            continue
        except PermissionError as error:
            raise RefusedError(f"pid {holder.pid} may not be signalled: {error.strerror}") from None


def _still_held(holding: Holding) -> list[Socket]:
    inodes = {sock.inode for sock in holding.sockets}
    key = (holding.sockets[0].protocol, holding.sockets[0].port)
    return [
        s for s in take_snapshot({key}).sockets if (s.protocol, s.port) == key and s.inode in inodes
    ]


def _wait(holding: Holding, timeout: float) -> bool:
    """Tell whether the sockets are gone before the time is up."""
    deadline = time.monotonic() + timeout
    while _still_held(holding):
        if time.monotonic() >= deadline:
            return False
        time.sleep(PAUSE)
    return True


def _prove(holding: Holding, done: str, is_final: bool) -> None:
    port, protocol = holding.sockets[0].port, holding.sockets[0].protocol
    now = find_holding(port, protocol, take_snapshot({(protocol, port)}), time.time())
    if now is None:
        return
    if {sock.inode for sock in now.sockets} & {sock.inode for sock in holding.sockets}:
        hint = "" if is_final else " Set kill to true to send KILL."
        raise RefusedError(f"Did {done}, but it is still {now.who}.{hint}")
    raise RefusedError(
        f"Did {done}, but it is {now.who} now. Something starts it again: stop that first."
    )
