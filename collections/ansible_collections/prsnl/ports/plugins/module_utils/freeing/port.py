# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Freeing a port on purpose: who may be stopped, and how that is done."""

from __future__ import annotations

import contextlib
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
    is_kernels,
    is_of_user_manager,
    what_to_stop,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.activation import is_manager
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.containers import engine_options
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
    """Who holds a port: the sockets, their processes, and their container if it is one.

    ``containers`` are all that hold one of the sockets, None for those that none has.
    """

    label: str
    sockets: tuple[Socket, ...]
    holders: tuple[Holder, ...]
    containers: frozenset[t.Optional[Container]]
    who: str

    @property
    def container(self) -> t.Optional[Container]:
        """The one that has all of the sockets."""
        return next(iter(self.containers)) if len(self.containers) == 1 else None

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
    addresses = listed(unique(sock.where for sock in sockets))
    who = listed(unique(describe_holders(snapshot, sock, now) for sock in sockets))
    return Holding(
        label=f"{port}/{protocol}",
        sockets=tuple(sockets),
        holders=tuple(holders[pid] for pid in sorted(holders)),
        containers=frozenset(sock.container for sock in sockets),
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
            kernels = "The kernel itself has it: there is no process to stop."
            unseen = kernels if is_kernels(snapshot, sock) else "Its process can't be seen."
            raise RefusedError(snapshot.obstacle or unseen)
    for holder in holding.holders:
        own_names = names_of(holder)
        if holder.pid == 1 or is_manager(holder):
            unit = what_to_stop(holding.sockets, snapshot)
            text = "systemctl list-sockets shows which; stop that one"
            if unit != "it":
                text = f"that is {unit}; stop that one"
            raise RefusedError(
                f"{'The first process' if holder.pid == 1 else 'The manager of a user'} is never"
                f" stopped. It holds the port for a socket unit: {text}."
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
    strange = unique(name for name, known in _names(holding, snapshot) if owner not in known)
    if strange:
        raise RefusedError(f"The holder is {listed(strange)}, not {owner}.")
    if len(holding.containers) > 1 and any(holding.containers):
        several = unique(str(one or "no container") for one in holding.containers)
        raise RefusedError(
            f"It is held by several at once ({listed(sorted(several))}). Stop them one by one."
        )


def _names(holding: Holding, snapshot: Snapshot) -> t.Iterator[tuple[str, set[str]]]:
    """Yield of each holder the name that people are told, and all by which it is known."""
    for container in filter(None, holding.containers):
        yield container.name, {container.name}
    free = [sock for sock in holding.sockets if not sock.container]
    holders = {h.pid: h for sock in free for h in snapshot.holders.get(sock.inode, ())}
    for holder in holders.values():
        unit = holder.unit or ""
        # Users may call their own units anything.
        units = set() if is_of_user_manager(holder) else {unit, unit.rpartition(".")[0]} - {""}
        told = f"{holder.process} of {unit or 'no unit'} (pid {holder.pid})"
        is_told = len({one.process for one in holders.values()}) == len(holders)
        yield holder.process if is_told else told, {*names_of(holder), *units}


@dataclass(frozen=True)
class Way:
    """How a holder is stopped; ``text`` says so. ``uid`` is as whom the command runs."""

    text: str
    command: tuple[str, ...] = ()
    uid: t.Optional[int] = None


def choose_way(holding: Holding, login: Login) -> Way:
    """Return how to stop a holder: its container, its unit, or else its processes.

    A unit is stopped only if its main process holds the port: whoever was started by cron is not
    cron.
    """
    container = holding.container
    if container:
        # Another one may have got the name meanwhile.
        which = container.id or container.name
        return Way(f"stop {container}", (container.engine, "stop", which), container.uid)
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
        _run(way)
    else:
        with contextlib.ExitStack() as stack:
            pinned = _pin(holding, stack)
            _signal(holding, pinned, signal.SIGTERM)
            if not _wait(holding, timeout) and kill:
                _signal(holding, pinned, signal.SIGKILL)
                _wait(holding, KILL_TIMEOUT)
                done += ", then KILL"
    _prove(holding, done, kill or bool(way.command))
    return done


def _run(way: Way) -> None:
    command = way.command
    options: dict[str, t.Any] = {}
    try:
        if way.uid is not None:
            options = engine_options(way.uid)
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
            check=False,
            **options,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RefusedError(f"{' '.join(command)}: {error}") from error
    if done.returncode != 0:
        raise RefusedError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


def _pin(holding: Holding, stack: contextlib.ExitStack) -> dict[int, t.Optional[int]]:
    """Return handles of the holders' processes by pid; None where the system has no such thing.

    What was opened is the process that held the port only if it holds it still: see `_signal`.
    """
    pinned: dict[int, t.Optional[int]] = {}
    for holder in holding.holders:
        pinned[holder.pid] = None
        # Since Linux 5.3 and Python 3.9.
        if hasattr(os, "pidfd_open"):
            try:
                handle = os.pidfd_open(holder.pid)
            except ProcessLookupError:
                del pinned[holder.pid]
                continue
            except OSError:
                continue
            stack.callback(os.close, handle)
            pinned[holder.pid] = handle
    return pinned


def _signal(
    holding: Holding, pinned: t.Mapping[int, t.Optional[int]], number: signal.Signals
) -> None:
    """Send a signal to those who have the sockets still: numbers of processes are used again."""
    inodes = {sock.inode for sock in holding.sockets}
    key = (holding.sockets[0].protocol, holding.sockets[0].port)
    snapshot = take_snapshot({key})
    seen = snapshot.holders
    if snapshot.obstacle and not any(seen.get(inode) for inode in inodes):
        raise RefusedError(f"It may not be signalled: {snapshot.obstacle}")
    for pid in sorted({holder.pid for inode in inodes for holder in seen.get(inode, ())}):
        if pid not in pinned:
            continue
        handle = pinned[pid]
        try:
            if handle is None:
                os.kill(pid, number)
            else:
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            continue
        except PermissionError as error:
            raise RefusedError(f"pid {pid} may not be signalled: {error.strerror}") from None


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
