# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Linux host receives at present: by SSH, by its listeners, and through tunnels.

A rule that closes one of them says so before it does. What carries the connection over which the
host is managed has to stay open by itself: a tunnel whose outer flow is established lives on for a
while, and hides that nobody will get in when that flow has ended.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import (
    DHCP_PORTS,
    PROTOCOLS,
    Policy,
    protocol_name,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import Runner
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed, printable
from ansible_collections.prsnl.ports.plugins.module_utils.sockets import activation, linux
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.login import Session
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import (
    Holder,
    Snapshot,
    Socket,
)

SSH_DAEMONS = ("sshd", "dropbear", "tinysshd")
SSH_UNITS = ("ssh.socket", "sshd.socket", "dropbear.socket", "tinysshd.socket")
# Of people, and of containers.
SCOPE = re.compile(r"session-.*|user@.*|.*\.scope")
DHCP_CLIENTS = {DHCP_PORTS[4][1], DHCP_PORTS[6][1]}
ICMP = {1, 58}
# By the kind of a device (ip-link(8)).
TUNNELS = {
    "gre": 47,
    "gretap": 47,
    "erspan": 47,
    "ip6gre": 47,
    "ip6gretap": 47,
    "ipip": 4,
    "ip6tnl": 41,
    "sit": 41,
    "vti": 50,
    "vti6": 50,
    "xfrm": 50,
}
TUNNEL_PORTS = {"vxlan": "port", "geneve": "port", "bareudp": "dstport"}
TUNNELS_OF_PROGRAMS = ("tun", "tap", "ppp")
ESTABLISHED = "01"


@dataclass(frozen=True, order=True)
class Received:
    """A way in: a port of a transport protocol, or a protocol without ports (``port`` is 0)."""

    protocol: str
    port: int
    what: str = ""

    def __str__(self) -> str:
        label = f"{self.port}/{self.protocol}" if self.port else f"IP protocol {self.protocol}"
        return f"{label} ({self.what})" if self.what else label

    @property
    def key(self) -> tuple[str, int]:
        """What the rules know of it."""
        return self.protocol, self.port


def read_present() -> Snapshot:
    """Return the sockets of this host and who holds them.

    :raises OSError: they can't be read.
    """
    return activation.attribute(linux.take_snapshot(lambda _sock: True))


# --- SSH -------------------------------------------------------------------------------------


def ssh_ports(snapshot: Snapshot, session: t.Optional[Session], root: str = "/proc") -> set[int]:
    """Return every port of the SSH server that manages this host.

    That is the one that has the port of the session; without a session, whatever of the host
    itself is one.
    """
    sockets = [s for s in snapshot.sockets if s.protocol == "tcp" and not _is_loopback(s)]
    pids: set[int] = set()
    units: set[str] = set()
    for sock in sockets:
        if session is not None and sock.port != session.server_port:
            continue
        for holder in snapshot.holders.get(sock.inode, ()):
            if session is None and not _is_ssh_server(holder, root):
                continue
            if activation.is_manager(holder):
                units.update(filter(None, [holder.unit]))
            else:
                pids.add(holder.pid)
    return {
        sock.port
        for sock in sockets
        for holder in snapshot.holders.get(sock.inode, ())
        if (holder.unit in units if activation.is_manager(holder) else holder.pid in pids)
    }


def _is_ssh_server(holder: Holder, root: str) -> bool:
    if activation.is_manager(holder):
        return holder.unit in SSH_UNITS
    return (
        holder.uid == 0
        and holder.process in SSH_DAEMONS
        and not SCOPE.fullmatch(holder.unit or "")
        # Those of a session, which forward ports, are its children.
        and _parent_name(holder.pid, root) not in SSH_DAEMONS
    )


def _parent_name(pid: int, root: str) -> str:
    try:
        _name, parent, _start = linux.parse_stat(linux.read_text(f"{root}/{pid}/stat"))
        return linux.parse_stat(linux.read_text(f"{root}/{parent}/stat"))[0]
    except (OSError, ValueError):
        return ""


# --- what would be closed --------------------------------------------------------------------


def received(
    snapshot: Snapshot, links: t.Sequence[dict[str, t.Any]], root: str = "/proc"
) -> list[Received]:
    """Return everything that others can send to this host now, as far as that can be seen."""
    first, last = _ephemeral(root)
    found = [
        Received(sock.protocol, sock.port, _holders(sock, snapshot))
        for sock in snapshot.sockets
        if not _is_loopback(sock)
        and not (sock.protocol == "udp" and sock.port in DHCP_CLIENTS)
        # A client that waits for answers. The kernel has none, but has tunnels.
        and not (
            sock.protocol == "udp"
            and first <= sock.port <= last
            and snapshot.holders.get(sock.inode)
        )
    ]
    found += [Received(protocol_name(number), 0, "a socket") for number in _raw_protocols(root)]
    for link in links:
        kind = _kind(link)
        if kind in TUNNELS and "UP" in link.get("flags", ()):
            found.append(Received(protocol_name(TUNNELS[kind]), 0, f"{link['ifname']}, {kind}"))
    return sorted({entry.key: entry for entry in reversed(found)}.values())


def closed_by(policy: Policy, ways: t.Iterable[Received]) -> list[Received]:
    """Return what a policy lets nobody reach."""
    return [way for way in ways if not policy.opens(*way.key)]


def read_links(run: Runner) -> list[dict[str, t.Any]]:
    """Return the devices of this host, as C(ip) describes them; none where it can't be asked."""
    return _json(run, ["ip", "-d", "-j", "link", "show"])


def _json(run: Runner, command: t.Sequence[str]) -> list[dict[str, t.Any]]:
    code, output, _errors = run(command)
    if code != 0:
        return []
    try:
        return [entry for entry in json.loads(output or "[]") if entry]
    except ValueError:
        return []


def _kind(link: t.Mapping[str, t.Any]) -> str:
    info = link.get("linkinfo", {})
    if info.get("info_kind") == "tun":
        return str(info.get("info_data", {}).get("type", "tun"))
    return str(info.get("info_kind", "ppp" if link.get("link_type") == "ppp" else ""))


def _is_loopback(sock: Socket) -> bool:
    address = ipaddress.ip_address(sock.address)
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _holders(sock: Socket, snapshot: Snapshot) -> str:
    if sock.container:
        return str(sock.container)
    names = {holder.process: None for holder in snapshot.holders.get(sock.inode, ())}
    if names:
        return printable(listed(list(names)))
    return "" if snapshot.obstacle else "the kernel"


def _ephemeral(root: str) -> tuple[int, int]:
    try:
        first, last = linux.read_text(f"{root}/sys/net/ipv4/ip_local_port_range").split()
        return int(first), int(last)
    except (OSError, ValueError):
        return 32768, 60999


def _raw_protocols(root: str) -> list[int]:
    """Return the protocols of raw sockets (proc(5): in the place of the port)."""
    found = set()
    for name in ("raw", "raw6"):
        with contextlib.suppress(OSError):
            for line in linux.read_text(f"{root}/net/{name}").splitlines()[1:]:
                found.add(int(line.split()[1].rpartition(":")[2], 16))
    return sorted(found - ICMP - {255} - set(PROTOCOLS.values()))


# --- what carries the connection -------------------------------------------------------------


@dataclass(frozen=True)
class Carrier:
    """What the connection comes through, and by which of these ways its packets come."""

    name: str
    ways: tuple[Received, ...]


def carriers(
    session: Session,
    snapshot: Snapshot,
    links: t.Sequence[dict[str, t.Any]],
    run: Runner,
    root: str = "/proc",
) -> list[Carrier]:
    """Return the tunnels and programs of this host that the connection comes through.

    One whose program listens nowhere dials out itself, and is none.
    """
    if _is_local(session.client, run):
        return _relays(session, snapshot, root)
    found = []
    for link in _devices(session.client, links, run):
        kind, device = _kind(link), str(link["ifname"])
        name = printable(f"{device} ({kind})")
        if kind in TUNNELS:
            found.append(Carrier(name, (Received(protocol_name(TUNNELS[kind]), 0),)))
        elif kind in TUNNEL_PORTS:
            port = int(link["linkinfo"].get("info_data", {}).get(TUNNEL_PORTS[kind], 0))
            found.append(Carrier(name, (Received("udp", port),)))
        elif kind == "wireguard":
            found.append(Carrier(name, tuple(_wireguard(device, snapshot, run))))
        elif kind in TUNNELS_OF_PROGRAMS:
            found.append(Carrier(name, tuple(_listening(_tun_pids(device, root), snapshot))))
    return [carrier for carrier in found if carrier.ways] + _ipsec(session.client, run)


def _is_local(address: str, run: Runner) -> bool:
    if ipaddress.ip_address(address).is_loopback:
        return True
    routes = _json(run, ["ip", "-j", "route", "get", address])
    return any(route.get("type") == "local" or route.get("dev") == "lo" for route in routes)


def _devices(
    client: str, links: t.Sequence[dict[str, t.Any]], run: Runner
) -> list[dict[str, t.Any]]:
    """Return the device that the route to the client has, and those that it stands on."""
    names = [str(r["dev"]) for r in _json(run, ["ip", "-j", "route", "get", client]) if "dev" in r]
    for name in names:
        for link in links:
            under = link.get("link") if link["ifname"] == name else None
            if link.get("master") == name:
                under = link["ifname"]
            if under and under not in names:
                names.append(str(under))
    return [link for link in links if link["ifname"] in names]


def _wireguard(device: str, snapshot: Snapshot, run: Runner) -> list[Received]:
    code, output, _errors = run(["wg", "show", device, "listen-port"])
    if code == 0 and output.strip().isdigit():
        return [Received("udp", int(output))]
    # Without the program, every port of the kernel's may be the one.
    return [
        Received(sock.protocol, sock.port)
        for sock in snapshot.sockets
        if sock.protocol == "udp" and not snapshot.holders.get(sock.inode)
    ]


def _tun_pids(device: str, root: str) -> set[int]:
    """Return the processes that have a device of the kind tun open (``iff`` in their fdinfo)."""
    found = set()
    for name in os.listdir(root):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):
            for number in os.listdir(f"{root}/{name}/fd"):
                # Most are no such device, and reading what a link says is cheap.
                if os.readlink(f"{root}/{name}/fd/{number}") != "/dev/net/tun":
                    continue
                lines = linux.read_text(f"{root}/{name}/fdinfo/{number}").splitlines()
                if f"iff:\t{device}" in lines:
                    found.add(int(name))
    return found


def _listening(pids: t.Container[int], snapshot: Snapshot) -> list[Received]:
    return [
        Received(sock.protocol, sock.port)
        for sock in snapshot.sockets
        if not _is_loopback(sock)
        and any(holder.pid in pids for holder in snapshot.holders.get(sock.inode, ()))
    ]


def _relays(session: Session, snapshot: Snapshot, root: str) -> list[Carrier]:
    """Return the program of this host that the connection comes from."""
    inodes = _connected(session, root)
    holders, _is_complete = linux.find_holders(inodes, root)
    found = {holder.pid: holder for group in holders.values() for holder in group}
    ways = _listening(found, snapshot)
    name = listed(sorted({printable(holder.process) for holder in found.values()}))
    return [Carrier(name, tuple(ways))] if ways else []


def _connected(session: Session, root: str) -> set[int]:
    """Return the sockets at the client's end of a connection, if that is on this host."""
    inodes = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in linux.read_text(f"{root}/net/{name}").splitlines()[1:]:
                _number, local, remote, state, *rest = line.split()
                ports = [int(end.rpartition(":")[2], 16) for end in (local, remote)]
                if state == ESTABLISHED and ports == [session.client_port, session.server_port]:
                    inodes.add(int(rest[5]))
    return inodes - {0}


def _ipsec(client: str, run: Runner) -> list[Carrier]:
    """Return the policies of IPsec (ip-xfrm(8)) that the client's packets have to come by."""
    code, output, _errors = run(["ip", "xfrm", "policy"])
    address = ipaddress.ip_address(client)
    for block in re.split(r"^(?=src )", output if code == 0 else "", flags=re.MULTILINE):
        source = block.split()[1:2]
        if not source or "dir in " not in block:
            continue
        with contextlib.suppress(ValueError):
            network = ipaddress.ip_network(source[0])
            if network.prefixlen and address in network:
                names = set(re.findall(r"proto (esp|ah)\b", block))
                ways = tuple(Received(name, 0) for name in sorted(names))
                if ways:
                    return [Carrier("IPsec", ways)]
    return []


def refuse_hidden_loss(policy: Policy, found: t.Iterable[Carrier]) -> None:
    """Refuse a policy that closes what carries the connection.

    :raises ValueError: it does.
    """
    for carrier in found:
        shut = closed_by(policy, carrier.ways)
        # Of several ways, nobody knows which one it is.
        if shut and (len(shut) == len(carrier.ways)):
            ways = listed([str(way) for way in shut])
            raise ValueError(
                f"The connection comes through {carrier.name}, and its packets come by {ways},"
                " which the new rules close. It would live until that flow ends, and nobody would"
                f" get in again. Register {ways} with its consumers. Or, if this host keeps that"
                " tunnel alive by itself, set tunnel to keepalive."
            )
