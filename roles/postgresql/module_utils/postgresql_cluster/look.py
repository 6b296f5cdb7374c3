# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host has of a cluster, seen without changing anything."""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.host.fitness import (
    MEMORY_LIMITS,
    parse_memory,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import Runner
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed, printable

from .creation import Creation
from .host import Account, ClusterError, Layout
from .server import Postmaster, Server, ask_server, find_postmaster
from .settings import value_of

ABSENT, HALF_MADE, STOPPED, RUNNING = "absent", "half-made", "stopped", "running"
# How many names of strange files are told.
SHOWN = 3
PROPERTIES = "LoadState,ActiveState,MemoryMax,NeedDaemonReload"
# What has no meaning of its own in a unit, which is where the path of the data is written to.
_PLAIN_PATH = re.compile(r"/[\w@+=:,./-]*")


@dataclass(frozen=True)
class Found:
    """What there is.

    ``memory_mb`` is what the server may use: the machine's, or less where a container, a slice or
    the unit has a limit. ``is_unread`` says that a file of the unit, its template or a drop-in
    changed on disk since systemd has read it. ``main`` is the text of `postgresql.conf`.
    ``unreachable`` tells why a running server doesn't answer.
    """

    state: str
    data: str
    memory_mb: int
    is_enabled: bool = False
    is_unread: bool = False
    main: str = ""
    postmaster: t.Optional[Postmaster] = None
    server: t.Optional[Server] = None
    unreachable: str = ""

    @property
    def port(self) -> int:
        """The port that is in effect; 0 if no server runs."""
        return self.postmaster.port if self.postmaster else 0


def look(layout: Layout, account: t.Optional[Account], run: Runner) -> Found:
    """Return what a host has.

    :param account: the cluster's user; None if the system has none yet.
    :raises ClusterError: what there is can't be ours, or must not be changed.
    :raises OSError: something can't be read.
    """
    unit, memory_mb = _look_at_units(layout, run)
    creation = Creation(layout, run)
    seen: dict[str, t.Any] = {
        "data": layout.data,
        "memory_mb": memory_mb,
        "is_enabled": os.path.lexists(layout.wanted),
        "is_unread": unit.get("NeedDaemonReload") == "yes",
    }
    if account is None:
        return Found(ABSENT, **seen)
    if unit.get("LoadState") == "masked":
        raise ClusterError(
            f"{layout.unit} is masked. Unmask it (systemctl unmask {layout.unit}) or take the"
            " service off this host in the registry"
        )
    main = account.read(layout.main_file)
    if creation.is_begun or main is None:
        if main is None and not (creation.marker and creation.marker.complete):
            _refuse_data(layout, account, creation.own_name)
        return Found(HALF_MADE if creation.is_begun else ABSENT, **seen)
    text = main.data.decode(errors="replace")
    data = _find_data(layout, account, text, run)
    seen.update(data=data, main=text)
    postmaster = find_postmaster(data, account)
    if postmaster is None:
        return Found(STOPPED, **seen)
    if unit.get("ActiveState") in ("inactive", "failed"):
        raise ClusterError(
            f"the server of {layout.label} runs (pid {postmaster.pid}, port {postmaster.port}), but"
            f" not as {layout.unit}: somebody started it by hand. Nothing was changed. Stop it"
            f" (pg_ctlcluster {layout.version} {layout.name} stop), and run again"
        )
    server, unreachable = ask_server(postmaster, layout.programs, account, run)
    return Found(RUNNING, **seen, postmaster=postmaster, server=server, unreachable=unreachable)


def _look_at_units(layout: Layout, run: Runner) -> tuple[dict[str, str], int]:
    """Return the properties of the unit, and the memory that it may use, in MiB."""
    out = run(["systemctl", "show", f"--property={PROPERTIES}", layout.unit, *layout.slices])[1]
    shown = [
        dict(line.split("=", 1) for line in part.splitlines() if "=" in line)
        for part in out.split("\n\n")
    ]
    limits = [_read(layout.root + path) for path in MEMORY_LIMITS]
    limits += [unit.get("MemoryMax", "") for unit in shown]
    return shown[0], parse_memory(_read("/proc/meminfo"), limits)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _refuse_data(layout: Layout, account: Account, own_name: str) -> None:
    """Raise ClusterError if there is data in the place of a new cluster that isn't ours."""
    try:
        with account.acting():
            names = sorted(set(os.listdir(layout.data)) - {own_name})
    except FileNotFoundError:
        return
    except PermissionError:
        raise ClusterError(
            f"{layout.data} isn't {account.name}'s, and there is no configuration in"
            f" {layout.configuration}. Nothing was changed. Move it away, or, if it is empty, give"
            f" it to {account.name} (chown)"
        ) from None
    if names:
        shown = [*map(printable, names[:SHOWN]), *(["more"] if names[SHOWN:] else [])]
        raise ClusterError(
            f"found data in {layout.data} ({listed(shown)}), but no configuration in"
            f" {layout.configuration}. Nothing was changed. Move the data away, or bring its"
            " configuration back"
        )


def _find_data(layout: Layout, account: Account, main: str, run: Runner) -> str:
    """Return where the data of a configured cluster is.

    :raises ClusterError: it isn't there, or not its user's.
    """
    data = value_of(main, "data_directory")
    if not data:
        # An included file may have it.
        words = [f"{layout.programs}/postgres", "-C", "data_directory", "-D", layout.configuration]
        code, out, _err = run(account.command(*words))
        data = out.strip() if code == 0 and out.strip() else layout.data
    if not _PLAIN_PATH.fullmatch(data):
        raise ClusterError(
            f"{layout.main_file}: data_directory is '{printable(data)}', allowed are absolute paths"
            " of letters, digits and . _ - + = : , @"
        )
    try:
        with account.acting():
            status = os.stat(f"{data}/PG_VERSION")
    except (FileNotFoundError, NotADirectoryError):
        raise ClusterError(
            f"{layout.main_file} says that the data of {layout.label} is in {data}, but there is"
            " none. Nothing was changed. Mount it, or, if the cluster is given up, remove"
            f" {layout.configuration}"
        ) from None
    except PermissionError:
        raise ClusterError(
            f"{data} can't be read by {account.name}, who has to own it. Nothing was changed"
        ) from None
    if status.st_uid != account.uid:
        raise ClusterError(
            f"{data} belongs to the user {status.st_uid}, and has to be {account.name}'s. Nothing"
            " was changed"
        )
    return data
