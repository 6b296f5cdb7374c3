# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listening TCP and bound UDP sockets of this host, on whatever system."""

from __future__ import annotations

import sys
import time
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.sockets import (
    activation,
    containers,
    darwin,
    linux,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Snapshot, Socket
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.redirects import (
    Redirects,
    read_redirects,
)


def take_snapshot(ports: t.Optional[t.Collection[tuple[str, int]]] = None) -> Snapshot:
    """Read the sockets of this host, and who holds those on ``ports``.

    :param ports: (protocol, port) pairs whose holders are wanted; None means all.
    :raises OSError: the sockets can't be read, or not on this system.
    """

    def wanted(sock: Socket) -> bool:
        return ports is None or (sock.protocol, sock.port) in ports

    if _is_linux():
        return containers.attribute(activation.attribute(linux.take_snapshot(wanted)))
    if sys.platform == "darwin":
        return containers.attribute(darwin.take_snapshot())
    raise OSError(f"the sockets of Linux and macOS can be read, those of {sys.platform} can't")


def with_other_states(snapshot: Snapshot, ports: t.Collection[tuple[str, int]]) -> Snapshot:
    """Return the snapshot with what else than listeners is on some ports, and who holds that.

    :param ports: (protocol, port) pairs.
    :raises OSError: the sockets can't be read.
    """
    # Those of macOS are told by the same source, which is read for its listeners only.
    return linux.with_other_states(snapshot, ports) if _is_linux() else snapshot


def read_host_redirects() -> Redirects:
    """Read by which rules packets to ports of this host go elsewhere; none but on Linux."""
    if not _is_linux():
        return Redirects()
    try:
        addresses = linux.read_addresses()
    except OSError:
        # Emulated: what is wanted on a certain address can still be told.
        addresses = {}
    return read_redirects(addresses)


def _is_linux() -> bool:
    return sys.platform.startswith("linux")


def read_sockets() -> list[Socket]:
    """Read the sockets of this host only; on Linux without looking at a single process.

    :raises OSError: the sockets can't be read, or not on this system.
    """
    if _is_linux():
        return linux.read_sockets()
    return list(take_snapshot().sockets)


def describe(snapshot: Snapshot) -> list[dict[str, t.Any]]:
    """Return the sockets as plain data, sorted by port, protocol and address.

    What is said of a process is said of the one that started first: the others are its workers.
    """
    rows = []
    for sock in sorted(snapshot.sockets, key=lambda s: (s.port, s.protocol, s.address)):
        holders = snapshot.holders.get(sock.inode, ())
        first = min(holders, key=lambda holder: (holder.since, holder.pid), default=None)
        rows.append(
            {
                "protocol": sock.protocol,
                "family": "ipv6" if ":" in sock.address else "ipv4",
                "address": sock.address,
                "device": sock.device or None,
                "port": sock.port,
                "v6only": bool(sock.v6only),
                "pid": first and first.pid,
                "pids": sorted(holder.pid for holder in holders),
                "process": first and first.process,
                "executable": first and first.executable,
                "user": first and first.user,
                "since": first and _utc(first.since),
                "unit": first and first.unit,
                "label": (first and first.label) or None,
                "container": sock.container and sock.container.name,
                "engine": sock.container and sock.container.engine,
            }
        )
    return rows


def _utc(seconds: float) -> t.Optional[str]:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds else None
