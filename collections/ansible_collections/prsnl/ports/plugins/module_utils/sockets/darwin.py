# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listening TCP and bound UDP sockets of a Mac, and the processes that hold them.

From libproc, whose structures are those of Apple's public header ``bsd/sys/proc_info.h`` (xnu), or,
where that can't be loaded or asked, from ``lsof -F`` (lsof(8), OUTPUT FOR OTHER PROGRAMS). What
neither shows, because it is somebody else's, the kernel lists without its process (`pcblist`).
Written against headers and recorded output: it has not run on a Mac yet.
"""

from __future__ import annotations

import ctypes
import os
import re
import socket
import subprocess
import sys
import typing as t
from dataclasses import replace

from ansible_collections.prsnl.ports.plugins.module_utils.host import macos
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import printable
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import (
    BECOME,
    Holder,
    Snapshot,
    Socket,
    address_text,
    settle_dual_stack,
    user_name,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.pcblist import (
    NAMES,
    Entry,
    parse_pcblist,
)

PROC_PIDLISTFDS = 1
PROC_PIDLISTFILEPORTS = 14
PROC_PIDTBSDINFO = 3
PROC_PIDFDSOCKETINFO = 3
PROX_FDTYPE_SOCKET = 2
PATH_SIZE = 4096
# In `BsdInfo.flags_to_ppid`.
PPID = 4
SOCKINFO_IN = 1
SOCKINFO_TCP = 2
TSI_S_LISTEN = 1
TSI_S_ESTABLISHED = 4
INI_IPV4 = 0x1
INI_IPV6 = 0x2
AF_INET = 2
AF_INET6 = 30
# fe80::/10
LINK_LOCAL = (0xFE, 0x80)
LINK_LOCAL_MASK = 0xC0
# sysctl(3): the arguments and the environment of a process, at most KERN_ARGMAX bytes.
KERN_PROCARGS2 = (1, 49)
ARGUMENTS_SIZE = 1 << 20
LABEL = b"XPC_SERVICE_NAME="

SERVICES = ("/bin/launchctl", "print", "system")
# Of ``launchctl print system``: pid, status and label of each job.
SERVICE = re.compile(r"^\s+(\d+)\s+\S+\s+(\S+)$", re.MULTILINE)
TIMEOUT = 20
LSOF = ("/usr/sbin/lsof", "-nP", "+c", "0", "-i", "-F", "pcuftdPTn")

# Evaluated, by Python 3.8 too.
Reading = t.Tuple[t.List[Socket], t.Dict[int, t.Tuple[Holder, ...]]]  # noqa: UP006


class FdInfo(ctypes.Structure):
    """``struct proc_fdinfo``, and ``struct proc_fileportinfo`` alike."""

    _fields_: t.ClassVar = [("fd", ctypes.c_int32), ("type", ctypes.c_uint32)]


class InSockInfo(ctypes.Structure):
    """``struct in_sockinfo``; the addresses are unions whose last four bytes are the IPv4 one."""

    _fields_: t.ClassVar = [
        ("fport", ctypes.c_int),
        ("lport", ctypes.c_int),
        ("gencnt", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("flow", ctypes.c_uint32),
        ("vflag", ctypes.c_uint8),
        ("ip_ttl", ctypes.c_uint8),
        ("rfu_1", ctypes.c_uint32),
        ("faddr", ctypes.c_uint8 * 16),
        ("laddr", ctypes.c_uint8 * 16),
        ("v4_tos", ctypes.c_uint8),
        ("v6_hlim", ctypes.c_uint8 * 4),
        ("v6_cksum", ctypes.c_int),
        ("v6_ifindex", ctypes.c_ushort),
        ("v6_hops", ctypes.c_short),
    ]


class TcpSockInfo(ctypes.Structure):
    """``struct tcp_sockinfo``."""

    _fields_: t.ClassVar = [
        ("ini", InSockInfo),
        ("state", ctypes.c_int),
        ("timer", ctypes.c_int * 4),
        ("mss", ctypes.c_int),
        ("flags", ctypes.c_uint32),
        ("rfu_1", ctypes.c_uint32),
        ("tp", ctypes.c_uint64),
    ]


class SockInfoUnion(ctypes.Union):
    """The union ``soi_proto``, as large as its largest part, ``struct un_sockinfo``."""

    _fields_: t.ClassVar = [
        ("pri_in", InSockInfo),
        ("pri_tcp", TcpSockInfo),
        ("pri_un", ctypes.c_uint64 * 66),
    ]


class SocketFdInfo(ctypes.Structure):
    """``struct socket_fdinfo``: ``proc_fileinfo`` and ``socket_info``."""

    _fields_: t.ClassVar = [
        ("fileinfo", ctypes.c_uint64 * 3),
        ("stat", ctypes.c_uint64 * 17),
        ("so", ctypes.c_uint64),
        ("pcb", ctypes.c_uint64),
        ("type", ctypes.c_int),
        ("protocol", ctypes.c_int),
        ("family", ctypes.c_int),
        ("options_to_timeo", ctypes.c_short * 7),
        ("error", ctypes.c_ushort),
        ("oobmark", ctypes.c_uint32),
        ("rcv", ctypes.c_uint64 * 3),
        ("snd", ctypes.c_uint64 * 3),
        ("kind", ctypes.c_int),
        ("rfu_1", ctypes.c_uint32),
        ("proto", SockInfoUnion),
    ]


class BsdInfo(ctypes.Structure):
    """``struct proc_bsdinfo``."""

    _fields_: t.ClassVar = [
        ("flags_to_ppid", ctypes.c_uint32 * 5),
        ("uid", ctypes.c_uint32),
        ("gid_to_rfu_1", ctypes.c_uint32 * 6),
        ("comm", ctypes.c_char * 16),
        ("name", ctypes.c_char * 32),
        ("nfiles_to_nice", ctypes.c_uint32 * 6),
        ("start_tvsec", ctypes.c_uint64),
        ("start_tvusec", ctypes.c_uint64),
    ]


def take_snapshot() -> Snapshot:
    """Read the sockets of this Mac, and who holds them.

    Processes show their sockets to their own user only. Those of others have no holders.

    :raises OSError: neither libproc nor lsof answers, or sockets of others would be missing.
    """
    try:
        sockets, holders = _read_libproc()
    except (OSError, AttributeError):
        sockets, holders = parse_lsof(_run_lsof())
    is_root = os.geteuid() == 0
    listed = _read_pcblists()
    if listed is None and not is_root:
        raise OSError(f"the kernel doesn't list the sockets of others. {BECOME}")
    seen = {sock.inode for sock in sockets}
    sockets += [sock for sock in listed or () if sock.inode not in seen]
    if is_root:
        holders = _with_labels(holders)
    return Snapshot(
        # It lets both wildcard addresses have the same port, one of each family.
        sockets=tuple(settle_dual_stack(sockets, bindv6only=False)),
        holders=holders,
        obstacle=None if is_root else BECOME,
        has_ipv6=socket.has_ipv6,
    )


# --- what the kernel lists -----------------------------------------------------------------------


def _read_pcblists() -> t.Optional[list[Socket]]:
    """Return the sockets of all users; None where the kernel doesn't list them."""
    found = []
    for protocol, name in NAMES.items():
        data = macos.read_sysctl(name)
        if not data:
            return None
        try:
            entries = parse_pcblist(protocol, data)
        except ValueError:
            # Of a kernel with other structures.
            return None
        found += [sock for sock in map(listed_socket, entries) if sock]
    return found


def listed_socket(entry: Entry) -> t.Optional[Socket]:
    """Return the socket that the kernel lists."""
    if entry.family not in (AF_INET, AF_INET6):
        return None
    address, v6only = bound_address(entry.laddr, entry.vflag, entry.family)
    port = socket.ntohs(entry.lport)
    return Socket(entry.protocol, address, port, v6only, entry.uid, entry.so)


def bound_address(raw: bytes, vflag: int, family: int) -> tuple[str, bool]:
    """Return the address that a socket is bound to, and whether it is for IPv6 only.

    :param raw: 16 bytes, of which the last four are the IPv4 address.
    :param vflag: ``INI_IPV4``, ``INI_IPV6`` or both.
    """
    is_ipv4 = not vflag & INI_IPV6
    if is_ipv4:
        address = address_text(raw[12:])
        return (f"::ffff:{address}" if family == AF_INET6 else address), False
    if raw[0] == LINK_LOCAL[0] and raw[1] & LINK_LOCAL_MASK == LINK_LOCAL[1]:
        # The kernel keeps the number of the interface in it (``in6_embedscope``).
        raw = raw[:2] + b"\0\0" + raw[4:]
    return address_text(raw), not vflag & INI_IPV4


# --- labels --------------------------------------------------------------------------------------


def _with_labels(holders: dict[int, tuple[Holder, ...]]) -> dict[int, tuple[Holder, ...]]:
    """Add the labels that launchd tells of the processes whose environment nobody may read."""
    if all(holder.label is not None for found in holders.values() for holder in found):
        return holders
    labels = parse_services(_run_services())
    return {
        inode: tuple(
            replace(holder, label=labels.get(holder.pid)) if holder.label is None else holder
            for holder in found
        )
        for inode, found in holders.items()
    }


def _run_services() -> str:
    try:
        done = subprocess.run(
            SERVICES, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def parse_services(text: str) -> dict[int, str]:
    """Return the labels of the running jobs in what ``launchctl print system`` prints, by pid."""
    return {int(pid): printable(label) for pid, label in SERVICE.findall(text) if int(pid)}


# --- libproc -----------------------------------------------------------------------------------


def _load() -> ctypes.CDLL:
    library = ctypes.CDLL("/usr/lib/libproc.dylib", use_errno=True)
    library.proc_pidinfo.argtypes = [
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_uint64,
        ctypes.c_void_p,
        ctypes.c_int,
    ]
    return library


class Process(t.NamedTuple):
    """A process, the one that has started it, and the kernel's name of it."""

    pid: int
    parent: int
    name: str


class Connection(t.NamedTuple):
    """An established TCP connection: the port here, and the other side."""

    port: int
    peer: str
    peer_port: int


def read_processes() -> dict[int, Process]:
    """Return the processes of this Mac by their pids.

    :raises OSError, AttributeError: libproc doesn't answer.
    """
    library = _load()
    found = {}
    for pid in _all_pids(library):
        about = _about(library, pid)
        if about:
            name = printable((about.name or about.comm).decode(errors="replace"))
            found[pid] = Process(pid, about.flags_to_ppid[PPID], name)
    return found


def read_connections(pid: int) -> list[Connection]:
    """Return the TCP connections of a process, in the order of its descriptors.

    :raises OSError, AttributeError: libproc doesn't answer.
    """
    library = _load()
    infos = _infos_of(library, pid, PROC_PIDLISTFDS, library.proc_pidfdinfo)
    return [found for info in infos if (found := parse_connection(info))]


def parse_connection(info: SocketFdInfo) -> t.Optional[Connection]:
    """Return the connection of ``struct socket_fdinfo``; None if it is none."""
    if info.kind != SOCKINFO_TCP or info.proto.pri_tcp.state != TSI_S_ESTABLISHED:
        return None
    inet = info.proto.pri_in
    peer, _v6only = bound_address(bytes(inet.faddr), inet.vflag, AF_INET)
    return Connection(socket.ntohs(inet.lport & 0xFFFF), peer, socket.ntohs(inet.fport & 0xFFFF))


def _about(library: ctypes.CDLL, pid: int) -> t.Optional[BsdInfo]:
    about = BsdInfo()
    size = ctypes.sizeof(about)
    answer = library.proc_pidinfo(pid, PROC_PIDTBSDINFO, 0, ctypes.byref(about), size)
    return about if answer == size else None


def _read_libproc() -> Reading:
    library = _load()
    sockets: dict[int, Socket] = {}
    holders: dict[int, tuple[Holder, ...]] = {}
    for pid in _all_pids(library):
        opened = dict.fromkeys(_open_sockets(library, pid))
        if not opened:
            continue
        about = _about(library, pid)
        if about is None:
            continue
        holder = replace(parse_process(pid, about, _path(library, pid)), label=_label(library, pid))
        for sock in opened:
            sockets[sock.inode] = replace(sock, uid=about.uid)
            holders[sock.inode] = (*holders.get(sock.inode, ()), holder)
    return list(sockets.values()), holders


def _all_pids(library: ctypes.CDLL) -> list[int]:
    # More may start between the two calls.
    room = library.proc_listallpids(None, 0) + 64
    if room <= 64:  # noqa: PLR2004
        raise OSError("proc_listallpids doesn't answer")
    pids = (ctypes.c_int * room)()
    number = library.proc_listallpids(pids, ctypes.sizeof(pids))
    return sorted(pids[:number])


def _open_sockets(library: ctypes.CDLL, pid: int) -> t.Iterator[Socket]:
    """Yield the sockets of a process: its descriptors, and those that it has as Mach ports only."""
    for info in [
        *_infos_of(library, pid, PROC_PIDLISTFDS, library.proc_pidfdinfo),
        *_infos_of(library, pid, PROC_PIDLISTFILEPORTS, library.proc_pidfileportinfo),
    ]:
        sock = parse_socket(info)
        if sock:
            yield sock


def _infos_of(
    library: ctypes.CDLL, pid: int, flavor: int, ask: t.Callable[..., int]
) -> t.Iterator[SocketFdInfo]:
    size = library.proc_pidinfo(pid, flavor, 0, None, 0)
    if size <= 0:
        return
    descriptors = (FdInfo * (size // ctypes.sizeof(FdInfo)))()
    size = library.proc_pidinfo(pid, flavor, 0, descriptors, ctypes.sizeof(descriptors))
    for entry in descriptors[: max(size, 0) // ctypes.sizeof(FdInfo)]:
        if entry.type != PROX_FDTYPE_SOCKET:
            continue
        info = SocketFdInfo()
        wanted = ctypes.sizeof(info)
        if ask(pid, entry.fd, PROC_PIDFDSOCKETINFO, ctypes.byref(info), wanted) == wanted:
            yield info


def _path(library: ctypes.CDLL, pid: int) -> t.Optional[str]:
    buffer = ctypes.create_string_buffer(PATH_SIZE)
    if library.proc_pidpath(pid, buffer, PATH_SIZE) <= 0:
        return None
    return printable(os.fsdecode(buffer.value))


def _label(library: ctypes.CDLL, pid: int) -> t.Optional[str]:
    sysctl = getattr(library, "sysctl", None)
    if sysctl is None:
        return None
    name = (ctypes.c_int * 3)(*KERN_PROCARGS2, pid)
    buffer = ctypes.create_string_buffer(ARGUMENTS_SIZE)
    size = ctypes.c_size_t(ARGUMENTS_SIZE)
    if sysctl(name, len(name), buffer, ctypes.byref(size), None, 0) != 0:
        return None
    return parse_label(buffer.raw[: size.value])


def parse_label(data: bytes) -> t.Optional[str]:
    """Return the launchd label in what C(KERN_PROCARGS2) gives; None where that isn't shown.

    It is the number of arguments, the path of the program, zeros, the arguments and the
    environment, in which launchd puts the label and which children inherit. Of Apple's own programs
    it is without the environment.
    """
    number = int.from_bytes(data[:4], sys.byteorder)
    words = data[4:].partition(b"\0")[2].lstrip(b"\0").split(b"\0")
    environment = [word for word in words[number:] if word]
    if not environment:
        return None
    label = next((word[len(LABEL) :] for word in environment if word.startswith(LABEL)), b"0")
    return "" if label == b"0" else printable(label.decode(errors="replace"))


def parse_process(pid: int, info: BsdInfo, path: t.Optional[str]) -> Holder:
    """Return what ``struct proc_bsdinfo`` says of a process."""
    return Holder(
        pid=pid,
        process=printable((info.name or info.comm).decode(errors="replace")),
        executable=path,
        user=user_name(info.uid),
        uid=info.uid,
        unit=None,
        since=info.start_tvsec + info.start_tvusec / 1e6,
    )


def parse_socket(info: SocketFdInfo) -> t.Optional[Socket]:
    """Return the socket of ``struct socket_fdinfo`` if it listens, or is bound UDP."""
    inet = info.proto.pri_in
    if info.kind == SOCKINFO_TCP:
        protocol, is_bound = "tcp", info.proto.pri_tcp.state == TSI_S_LISTEN
    else:
        is_udp = info.kind == SOCKINFO_IN and info.protocol == socket.IPPROTO_UDP
        protocol, is_bound = "udp", is_udp and not inet.fport
    port = socket.ntohs(inet.lport & 0xFFFF)
    if not is_bound or not port or info.family not in (AF_INET, AF_INET6):
        return None
    address, v6only = bound_address(bytes(inet.laddr), inet.vflag, info.family)
    return Socket(protocol, address, port, v6only, 0, info.so)


# --- lsof --------------------------------------------------------------------------------------


def _run_lsof() -> str:
    # It ends with 1 when a single process could not be looked at.
    done = subprocess.run(LSOF, capture_output=True, text=True, errors="replace", check=False)
    if not done.stdout:
        raise OSError(f"lsof: {done.stderr.strip() or 'it lists nothing'}")
    return done.stdout


def parse_lsof(text: str) -> Reading:
    """Return the sockets in the output of ``lsof -F pcuftdPTn``, and who holds them."""
    sockets: dict[int, Socket] = {}
    holders: dict[int, dict[int, Holder]] = {}
    process: dict[str, str] = {}
    for block in _blocks(text):
        if "p" in block:
            process = block
            continue
        sock = _lsof_socket(block, int(process["u"]))
        if sock:
            pid = int(process["p"])
            # Forked processes share a socket: lsof lists it for each of them.
            sockets[sock.inode] = sock
            holders.setdefault(sock.inode, {})[pid] = Holder(
                pid, printable(process["c"]), None, user_name(sock.uid), None, 0, uid=sock.uid
            )
    return list(sockets.values()), {
        inode: tuple(found[pid] for pid in sorted(found)) for inode, found in holders.items()
    }


def _blocks(text: str) -> t.Iterator[dict[str, str]]:
    """Yield the fields of each process and of each of its files; ``TST`` is a field of its own."""
    block: dict[str, str] = {}
    for line in text.splitlines():
        key, value = line[:1], line[1:]
        if key in ("p", "f") and block:
            yield block
            block = {}
        if key == "T":
            key, _equals, value = line.partition("=")
        block[key] = value
    if block:
        yield block


def _lsof_socket(block: t.Mapping[str, str], uid: int) -> t.Optional[Socket]:
    protocol, name = block.get("P", "").lower(), block.get("n", "")
    address, _colon, port = name.rpartition(":")
    is_bound = protocol == "udp" or (protocol == "tcp" and block.get("TST") == "LISTEN")
    if not is_bound or "->" in name or not port.isdigit():
        return None
    is_ipv4 = block.get("t") == "IPv4"
    if address == "*":
        address = "0.0.0.0" if is_ipv4 else "::"  # noqa: S104
    return Socket(
        protocol=protocol,
        # A link-local one comes with its interface.
        address=address.strip("[]").partition("%")[0],
        port=int(port),
        v6only=False if is_ipv4 or address != "::" else None,
        uid=uid,
        inode=int(block.get("d", "0"), 0),
    )
