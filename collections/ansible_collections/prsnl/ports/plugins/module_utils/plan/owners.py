# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is expected to hold a socket, who does, and whether that is the same. Pure."""

from __future__ import annotations

import sys
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import (
    listed,
    printable,
    unique,
)
from ansible_collections.prsnl.ports.plugins.module_utils.plan.macs import how_to_stop
from ansible_collections.prsnl.ports.plugins.module_utils.plan.names import (
    is_named,
    program_of,
    same_name,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.activation import (
    LAUNCHD,
    is_manager,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.containers import (
    engine_of,
    in_container,
    is_proxy,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import (
    BOUND,
    CLOSED,
    CONNECTED,
    Container,
    Holder,
    Snapshot,
    Socket,
    user_name,
)

NAMED_PIDS = 3
OWNER, OTHER, UNKNOWN = "owner", "other", "unknown"
SOCKET = ".socket"
# Below it are the units of a user's own manager, which may have the names of the system's.
USER_MANAGER = "/user@"


@dataclass(frozen=True)
class ExpectedContainer:
    """A container by its name, and by its engine unless any may run it."""

    engine: t.Optional[str]
    name: str

    def __str__(self) -> str:
        return f"{self.engine} container {self.name}" if self.engine else f"container {self.name}"

    def is_this(self, container: Container, user: t.Optional[str]) -> bool:
        """Tell whether it is this one.

        :param user: the one that is expected besides. Any user may run an engine of their own, and
            call a container anything, so whoever isn't root has to be told.
        """
        # On macOS, engines are never root's.
        is_trusted = container.uid == 0 or sys.platform == "darwin"
        is_trusted = is_trusted or user in (user_name(container.uid), str(container.uid))
        is_named = self.name == container.name and self.engine in (None, container.engine)
        return is_trusted and is_named


@dataclass(frozen=True)
class ExpectedOwner:
    """Who is expected to hold a socket; what is empty, None or False doesn't matter."""

    processes: tuple[str, ...] = ()
    user: t.Optional[str] = None
    units: tuple[str, ...] = ()
    label: t.Optional[str] = None
    container: t.Optional[ExpectedContainer] = None
    is_kernel: bool = False

    @classmethod
    def from_dict(cls, owner: t.Mapping[str, t.Any]) -> ExpectedOwner:
        """Return the owner of a plan or of a lease.

        :raises KeyError: a key is missing.
        """
        container = owner["container"]
        return cls(
            # As the names of processes are read.
            tuple(map(printable, owner["process"])),
            owner["user"],
            tuple(owner["unit"]),
            owner["label"],
            ExpectedContainer(container["engine"], container["name"]) if container else None,
            owner["kernel"],
        )

    def __str__(self) -> str:
        if self.is_kernel:
            return "kernel"
        if self.container:
            return str(self.container) + (f" of {self.user}" if self._has_users_engine else "")
        names = self.processes or self.units or ((self.label,) if self.label else ())
        return _brief(names[:1], [self.user] if self.user else [])

    @property
    def _has_users_engine(self) -> bool:
        return self.container is not None and self.user not in (None, "root", "0")

    @property
    def is_particular(self) -> bool:
        """Whether more is told than the name of a program."""
        return bool(self.user or self.units or self.label or self.container)

    @property
    def hint(self) -> str:
        """Where its state and its log are to be seen, as a sentence with a blank before it."""
        if self.container:
            command = f"{self.container.engine or 'docker or podman'} logs {self.container.name}"
            command += f", as {self.user}" if self._has_users_engine else ""
        elif self.units:
            command = f"systemctl status {self.units[0]}"
        elif self.label:
            command = f"launchctl print system/{self.label}"
        else:
            return ""
        return f" See its state and log: {command}"


@dataclass(frozen=True)
class Match:
    """Whether a socket is held by its owner: V(owner), V(other), or V(unknown) if none can tell.

    ``faults`` say what doesn't fit, ``missing`` what has to be done to see it. ``is_like`` tells
    that something does fit: it may be the owner, in another unit or under another user.
    """

    verdict: str
    faults: tuple[str, ...] = ()
    missing: str = ""
    is_like: bool = False


def is_owner(owner: ExpectedOwner, snapshot: Snapshot, sock: Socket) -> bool:
    """Tell whether who holds a socket is seen, and is the owner."""
    return match_owner(owner, snapshot, sock).verdict == OWNER


def match_owner(owner: ExpectedOwner, snapshot: Snapshot, sock: Socket) -> Match:
    """Compare who holds a socket with who is expected to.

    Every process has an expected name, at least one runs as the expected user (a master and its
    workers differ), and all belong to an expected unit or job. A container decides by itself; its
    own processes are compared as well, where they have the socket. Nobody is registered as the
    owner of what has none.
    """
    holders = snapshot.holders.get(sock.inode, ())
    if not holders and not sock.container:
        return _match_nobody(owner, snapshot, sock)
    if owner == ExpectedOwner():
        return Match(OTHER)
    if owner.is_kernel:
        who = listed(unique(holder.process for holder in holders) or [str(sock.container)])
        return Match(OTHER, (f"it is held by {who}, expected the kernel itself",))
    if owner.container:
        match = _match_container(owner.container, owner.user, holders, sock)
        if match.verdict != OWNER or sock.is_published or not holders:
            return match
    elif sock.container and (sock.is_published or not holders):
        wanted = listed(owner.processes, "or") if owner.processes else str(owner)
        fault = f"it is published for {sock.container}, expected {wanted}"
        stems = {unit.rpartition(".")[0] for unit in owner.units}
        return Match(OTHER, (fault,), is_like=sock.container.name in {*owner.processes, *stems})
    return _match_processes(owner, holders, snapshot)


def _match_nobody(owner: ExpectedOwner, snapshot: Snapshot, sock: Socket) -> Match:
    was_looked_for = not sock.inode or sock.inode in snapshot.holders
    if sock.state == CLOSED:
        return Match(OTHER)
    if snapshot.obstacle or not was_looked_for:
        return Match(UNKNOWN, missing=snapshot.obstacle or "")
    return Match(OWNER if owner.is_kernel else OTHER)


def _match_container(
    wanted: ExpectedContainer, user: t.Optional[str], holders: t.Sequence[Holder], sock: Socket
) -> Match:
    if sock.container:
        if wanted.is_this(sock.container, user):
            return Match(OWNER)
        # Somebody else's may have its name, or its user wasn't told.
        is_named = wanted.name == sock.container.name
        whose = f" of {user or 'root'}" if is_named and sock.container.uid else ""
        fault = f"the container is {sock.container}, expected {wanted}{whose}"
        return Match(OTHER, (fault,), is_like=is_named)
    engine = next((engine for holder in holders if (engine := engine_of(holder))), wanted.engine)
    if any(engine_of(holder) or in_container(holder) for holder in holders):
        return Match(
            UNKNOWN,
            missing=f"{engine or 'Its engine'} doesn't tell which container that is: see what"
            f" {engine or 'docker'} ps says on the host.",
        )
    return Match(OTHER, (f"no container holds it, expected {wanted}",))


def _match_processes(
    owner: ExpectedOwner, holders: t.Sequence[Holder], snapshot: Snapshot
) -> Match:
    """Compare processes, of which the first one holds sockets for others."""
    managers = [holder for holder in holders if is_manager(holder)]
    others = [holder for holder in holders if not is_manager(holder)]
    if not managers:
        return _compare(owner, others, owner.units)
    unit = managers[0].unit or ""
    if not unit.endswith(SOCKET):
        return _match_handed(owner, managers[0], others)
    related = (unit, *_activated(unit, snapshot))
    is_his = _is_trusted(managers[0], owner.user)
    if owner.units and not (is_his and set(related) & set(owner.units)):
        whose = "" if is_his else f" of a manager of {managers[0].user}"
        fault = f"systemd has it for {unit}{whose}, expected {listed(owner.units, 'or')}"
        return Match(OTHER, (fault,), is_like=any(is_named(h, owner.processes) for h in others))
    if others:
        return _compare(owner, others, (*owner.units, *related) if owner.units else ())
    if not owner.units:
        return Match(OTHER, (f"systemd has it for {unit}, expected is no unit",), is_like=True)
    return Match(OWNER)


def _activated(unit: str, snapshot: Snapshot) -> tuple[str, ...]:
    """Return the services that a socket unit starts, with those that it starts for a connection."""
    stem = unit.rpartition(".")[0]
    return (*snapshot.activates.get(unit, ()), f"{stem}@.service")


def _match_handed(owner: ExpectedOwner, manager: Holder, others: t.Sequence[Holder]) -> Match:
    """Compare who has a manager's socket as well, where it isn't told for whom that is.

    Nobody but the manager hands its socket on. Where control groups don't tell of units either, as
    in some containers, the process itself has to do.
    """
    if not others:
        return _match_untold(manager)
    is_told = manager.process == LAUNCHD or any(holder.unit for holder in others)
    return _compare(owner, others, owner.units if is_told else ())


def _match_untold(manager: Holder) -> Match:
    command = "systemctl list-sockets --show-types"
    what = "socket unit"
    if manager.process == LAUNCHD:
        command, what = "launchctl print system", "job"
    missing = f"It has the port for a {what}; {command} tells for which."
    return Match(UNKNOWN, missing=missing)


@dataclass(frozen=True)
class _Fact:
    """Something that is told of an owner: what each process has instead, and who has another."""

    name: str
    wanted: str
    found: t.Mapping[int, str]
    strange: t.Sequence[int]

    @property
    def fault(self) -> str:
        return f"the {self.name} is {_by_pid(self.found, self.strange)}, expected {self.wanted}"


def _compare(owner: ExpectedOwner, holders: t.Sequence[Holder], units: t.Sequence[str]) -> Match:
    """Compare processes that hold a socket for themselves."""
    facts = list(_facts(owner, holders, units))
    faults = tuple(fact.fault for fact in facts if fact.strange)
    untold = [holder for holder in holders if owner.label and holder.label is None]
    if faults:
        # A user alone has many services.
        fitting = {fact.name for fact in facts if not fact.strange} - {"user"}
        return Match(
            OTHER, faults, is_like=bool(fitting - {"launchd label"} if untold else fitting)
        )
    if untold:
        missing = (
            f"The launchd label of pid {untold[0].pid} can't be read: sudo launchctl print"
            f" system/{owner.label} tells whether that is its pid."
        )
        return Match(UNKNOWN, missing=missing)
    return Match(OWNER)


def _facts(
    owner: ExpectedOwner, holders: t.Sequence[Holder], units: t.Sequence[str]
) -> t.Iterator[_Fact]:
    if owner.processes:
        yield _Fact(
            "process",
            listed(owner.processes, "or"),
            {holder.pid: holder.process for holder in holders},
            [h.pid for h in holders if is_proxy(h) or not is_named(h, owner.processes)],
        )
    if owner.user is not None:
        is_there = any(_is_user(holder, owner.user) for holder in holders)
        users = {holder.pid: holder.user for holder in holders}
        yield _Fact("user", owner.user, users, [] if is_there else list(users))
    if units:
        yield _Fact(
            "unit",
            listed(owner.units, "or"),
            {holder.pid: _unit_text(holder) for holder in holders},
            [h.pid for h in holders if not _is_unit(h, units, owner.user)],
        )
    if owner.label:
        yield _Fact(
            "launchd label",
            owner.label,
            {holder.pid: holder.label or "none" for holder in holders},
            [h.pid for h in holders if h.label not in (None, owner.label)],
        )


def _by_pid(found: t.Mapping[int, str], strange: t.Sequence[int]) -> str:
    """Return what strange processes have, and which they are where that isn't all the same."""
    values = unique(found[pid] for pid in strange)
    if len(values) == 1 and len(strange) == len(found):
        return values[0]
    return listed(
        f"{value} ({_pids_text([str(pid) for pid in strange if found[pid] == value])})"
        for value in values
    )


def _pids_text(pids: t.Sequence[str]) -> str:
    shown = list(pids)
    if len(shown) > NAMED_PIDS:
        shown[NAMED_PIDS - 1 :] = [f"{len(shown) - NAMED_PIDS + 1} more"]
    return f"pid{'s' if len(pids) > 1 else ''} {listed(shown)}"


def _is_user(holder: Holder, user: str) -> bool:
    return holder.user == user or (user.isdigit() and holder.uid == int(user))


def is_of_user_manager(holder: Holder) -> bool:
    """Tell whether a process' unit is one of a user's own manager, not of the system's."""
    return USER_MANAGER in holder.cgroup and not (holder.unit or "").startswith("user@")


def _is_unit(holder: Holder, units: t.Sequence[str], user: t.Optional[str]) -> bool:
    return holder.unit in units and _is_trusted(holder, user)


def _is_trusted(holder: Holder, user: t.Optional[str]) -> bool:
    """Tell whether the name of a unit says something.

    Whoever may start a unit of his own can give it any name, so that the user has to be told.
    """
    return not is_of_user_manager(holder) or (user is not None and _is_user(holder, user))


def _unit_text(holder: Holder) -> str:
    if not holder.unit:
        return "no unit"
    return f"{holder.unit} of a user's manager" if is_of_user_manager(holder) else holder.unit


def describe_holders(snapshot: Snapshot, sock: Socket, now: float) -> str:
    """Return who holds a socket, for people: processes, pids, users, start, units."""
    if sock.state == CLOSED:
        return f"a connection to {sock.peer} that has ended"
    who = _describe(snapshot, sock, now)
    if sock.state == CONNECTED:
        return f"a connection to {sock.peer} of {who}"
    return f"a socket that doesn't listen, of {who}" if sock.state == BOUND else who


def is_kernels(snapshot: Snapshot, sock: Socket) -> bool:
    """Tell whether nobody has a socket but the kernel itself, as far as that can be told."""
    return not (
        snapshot.holders.get(sock.inode)
        or snapshot.obstacle
        or snapshot.is_nested
        or sock.container
        or sock.state
    )


def _describe(snapshot: Snapshot, sock: Socket, now: float) -> str:
    holders = snapshot.holders.get(sock.inode, ())
    prefix = f"{sock.container}, by " if sock.container else ""
    if not holders:
        if sock.container and not sock.inode:
            return f"{sock.container}, which its engine publishes there"
        if snapshot.obstacle:
            return f"a process of user {user_name(sock.uid)} that may not be looked at"
        if snapshot.is_nested:
            return "the kernel, or a process outside of this container, which can't be seen in it"
        return "the kernel itself"
    texts = []
    for process in unique(holder.process for holder in holders):
        same = [holder for holder in holders if holder.process == process]
        facts = [
            _pids_text([str(holder.pid) for holder in same]),
            f"user {listed(unique(holder.user for holder in same))}",
        ]
        start = min(holder.since for holder in same)
        if start:
            facts.append(f"since {format_start(start, now)}")
        units = unique(holder.unit for holder in same if holder.unit)
        if units:
            facts.append(f"unit {listed(units)}")
        labels = unique(holder.label for holder in same if holder.label)
        if labels:
            facts.append(f"launchd label {listed(labels)}")
        programs = unique(h.executable or "" for h in same if not _tells_program(h))
        if programs:
            facts.append(f"program {listed(programs)}")
        texts.append(f"{process} ({', '.join(facts)})")
    return prefix + listed(texts)


def _tells_program(holder: Holder) -> bool:
    """Tell whether the name of a process is that of its program, as far as that is known."""
    program = program_of(holder)
    return not program or same_name(program, holder.process)


def what_to_stop(sockets: t.Iterable[Socket], snapshot: Snapshot) -> str:
    """Return what has to be stopped to free sockets: socket units by name, else V(it).

    Of a Mac, also what comes with the system or with Homebrew, and how.
    """
    units = []
    for sock in sockets:
        holders = snapshot.holders.get(sock.inode, ())
        known = [told for holder in holders if (told := how_to_stop(holder, sock.port))]
        if known:
            units += known
            continue
        managers = [h for h in snapshot.holders.get(sock.inode, ()) if is_manager(h)]
        names = [h.unit for h in managers if h.unit and h.unit.endswith(SOCKET)]
        if not names:
            return "it"
        units += names
    return listed(unique(units)) if units else "it"


def brief_holders(snapshot: Snapshot, sockets: t.Iterable[Socket]) -> str:
    """Return who holds sockets in a few words: ``nginx (root, www-data)``."""
    sockets = list(sockets)
    containers = unique(str(sock.container) for sock in sockets if sock.container)
    if containers:
        return listed(containers)
    holders = [holder for sock in sockets for holder in snapshot.holders.get(sock.inode, ())]
    if not holders:
        if all(sock.state == CLOSED for sock in sockets):
            return "a connection that has ended"
        return "unknown" if snapshot.obstacle or snapshot.is_nested else "the kernel"
    return _brief(
        unique(holder.process for holder in holders), unique(holder.user for holder in holders)
    )


def format_start(start: float, now: float) -> str:
    """Return a local time: of today without the date. Both are seconds since the epoch."""
    local = time.localtime(start)
    is_today = local[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M" if is_today else "%Y-%m-%d %H:%M", local)


def _brief(processes: t.Sequence[str], users: t.Sequence[str]) -> str:
    return ", ".join(processes) + (f" ({', '.join(users)})" if users else "")
