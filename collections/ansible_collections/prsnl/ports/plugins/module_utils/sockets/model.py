# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of the sockets of a host, whatever the system."""

from __future__ import annotations

import ipaddress
import pwd
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import printable

BECOME = "Run the task with become: true."
# The states of sockets that don't listen.
BOUND, CONNECTED, CLOSED = "bound", "connected", "ended"


@dataclass(frozen=True)
class Container:
    """A container, by the engine that runs it (V(docker) or V(podman)) and its name.

    Every user may have an engine of their own, whose containers have whatever names: ``uid`` is
    whose it is. ``id`` is the engine's own, empty where nobody has asked; other than a name, it is
    never given to another container.
    """

    engine: str
    name: str
    uid: int = 0
    id: str = field(default="", compare=False)

    def __str__(self) -> str:
        whose = f" of {user_name(self.uid)}" if self.uid else ""
        return f"{self.engine} container {self.name}{whose}"


@dataclass(frozen=True)
class Socket:
    """A TCP socket that listens or a UDP socket that is bound and not connected.

    Or, where ``state`` is V(connected), V(ended) or V(bound), one that only keeps others from its
    port: of a connection to ``peer``, of one that its process has closed already, or one that was
    bound and doesn't listen. ``device`` is the interface that it is bound to, empty for all.
    ``v6only`` is None while unknown: not every source tells. ``inode`` is what tells sockets apart
    (on macOS the kernel's handle); 0 for those of the kernel itself and for ports that a container
    engine publishes by rewriting addresses, without a socket. ``container`` is the one that the
    port is published for (``is_published``: its engine holds it), or whose own process holds it.
    """

    protocol: str
    address: str
    port: int
    v6only: t.Optional[bool]
    uid: int
    inode: int
    container: t.Optional[Container] = None
    is_published: bool = False
    device: str = ""
    state: str = ""
    peer: str = ""

    def __str__(self) -> str:
        """Return ``0.0.0.0:80``, ``[::]:80`` or ``0.0.0.0%eth0:80``."""
        return endpoint_text(self.where, self.port)

    @property
    def where(self) -> str:
        """Its address, with the interface that it is bound to."""
        return f"{self.address}%{self.device}" if self.device else self.address


@dataclass(frozen=True)
class Holder:
    """A process that has a socket open.

    ``process`` is the kernel's name of it (at most 15 bytes on Linux), ``executable`` the path of
    its program where that may be read, ``called`` the name by which it was started or that it has
    given itself since, where it differs from these; ``user`` is the effective user and ``uid`` its
    number, ``since`` its start in seconds since the epoch (0 where unknown), ``cgroup`` the path of
    its control group. ``unit`` is the systemd service or scope that it belongs to; of the first
    process, the socket unit for which it has the socket, where that is known. ``label`` is that of
    its launchd job, empty without one and None where it can't be told.
    """

    pid: int
    process: str
    executable: t.Optional[str]
    user: str
    unit: t.Optional[str]
    since: float
    cgroup: str = ""
    uid: t.Optional[int] = None
    called: str = ""
    label: t.Optional[str] = None


@dataclass(frozen=True)
class Snapshot:
    """The sockets of a moment, and the holders of those that were asked for, by inode.

    ``obstacle`` is what to do where some processes may not be looked at, else None. ``has_ipv6``
    tells whether the host has any IPv6 address. ``activates`` has the services that systemd starts
    for the socket units among the holders' units. ``is_nested`` tells whether there are processes
    that can't be seen, as for a container: else what nobody holds is the kernel's.
    """

    sockets: tuple[Socket, ...]
    holders: t.Mapping[int, tuple[Holder, ...]]
    obstacle: t.Optional[str]
    has_ipv6: bool
    activates: t.Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_nested: bool = False


def endpoint_text(address: str, port: int) -> str:
    """Return address and port as one text, IPv6 addresses in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def address_text(raw: bytes) -> str:
    """Return an address of 4 or 16 bytes as text."""
    address = ipaddress.ip_address(raw)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return f"::ffff:{address.ipv4_mapped}"
    return str(address)


def user_name(uid: int) -> str:
    """Return the name of a uid, or the number where it has none."""
    try:
        return printable(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return str(uid)


def settle_dual_stack(sockets: t.Iterable[Socket], bindv6only: bool) -> list[Socket]:
    """Decide ``v6only`` where the source didn't tell.

    An unspecified IPv6 address is taken to cover IPv4 too, unless the system's default
    (``net.ipv6.bindv6only`` on Linux) says otherwise or IPv4 has its own wildcard socket on that
    port: the kernel refuses to bind both, unless the IPv6 one is v6only.
    """
    sockets = list(sockets)
    own_ipv4 = {(s.protocol, s.port) for s in sockets if s.address == "0.0.0.0"}  # noqa: S104
    return [
        s
        if s.v6only is not None
        else replace(
            s,
            v6only=s.address == "::" and (bindv6only or (s.protocol, s.port) in own_ipv4),
        )
        for s in sockets
    ]
