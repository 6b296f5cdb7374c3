# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All TCP and UDP sockets of a Mac, as the kernel lists them to anyone: ``net.inet.*.pcblist_n``.

libproc shows the descriptors of a process to its own user only. What it doesn't show is here, with
the user but without the process. Structures: ``struct xinpcb_n`` in ``bsd/netinet/in_pcb.h``,
``struct xsocket_n`` in ``bsd/sys/socketvar.h``, ``struct xtcpcb_n`` in ``bsd/netinet/tcp_var.h``,
all packed to four bytes, and their order in ``bsd/netinet/in_pcblist.c`` (xnu-11417.101.15). The
kernel's handle of a socket is the same as in libproc (``VM_KERNEL_ADDRHASH``). Not tried on a Mac.
"""

from __future__ import annotations

import ctypes
import typing as t

INPCB, SOCKET, TCPCB = 0x10, 0x01, 0x20
NAMES = {"tcp": "net.inet.tcp.pcblist_n", "udp": "net.inet.udp.pcblist_n"}
LISTENS = 1


class Head(ctypes.Structure):
    """What each part begins with."""

    _fields_: t.ClassVar = [("len", ctypes.c_uint32), ("kind", ctypes.c_uint32)]


class InPcb(ctypes.Structure):
    """``struct xinpcb_n``, up to the addresses; IPv4 ones are the last four bytes of theirs."""

    _pack_ = 4
    _fields_: t.ClassVar = [
        ("head", Head),
        ("inpp", ctypes.c_uint64),
        ("fport", ctypes.c_ushort),
        ("lport", ctypes.c_ushort),
        ("ppcb", ctypes.c_uint64),
        ("gencnt", ctypes.c_uint64),
        ("flags", ctypes.c_int),
        ("flow", ctypes.c_uint32),
        ("vflag", ctypes.c_uint8),
        ("ip_ttl", ctypes.c_uint8),
        ("ip_p", ctypes.c_uint8),
        # The union has the alignment of the IPv4 address in it.
        ("faddr", ctypes.c_uint32 * 4),
        ("laddr", ctypes.c_uint32 * 4),
    ]


class XSocket(ctypes.Structure):
    """``struct xsocket_n``, up to the processes."""

    _pack_ = 4
    _fields_: t.ClassVar = [
        ("head", Head),
        ("so", ctypes.c_uint64),
        ("type", ctypes.c_short),
        ("options", ctypes.c_uint32),
        ("linger", ctypes.c_short),
        ("state", ctypes.c_short),
        ("pcb", ctypes.c_uint64),
        ("protocol", ctypes.c_int),
        ("family", ctypes.c_int),
        ("qlen_to_timeo", ctypes.c_short * 4),
        ("error", ctypes.c_ushort),
        ("pgid", ctypes.c_int32),
        ("oobmark", ctypes.c_uint32),
        ("uid", ctypes.c_uint32),
        ("last_pid", ctypes.c_int32),
        ("e_pid", ctypes.c_int32),
    ]


class TcpPcb(ctypes.Structure):
    """``struct xtcpcb_n``, up to the state."""

    _pack_ = 4
    _fields_: t.ClassVar = [
        ("head", Head),
        ("segq", ctypes.c_uint64),
        ("dupacks", ctypes.c_int),
        ("timer", ctypes.c_int * 4),
        ("state", ctypes.c_int),
    ]


KINDS: t.Mapping[int, type[ctypes.Structure]] = {INPCB: InPcb, SOCKET: XSocket, TCPCB: TcpPcb}


class Entry(t.NamedTuple):
    """A socket that listens, or is bound UDP, as the kernel has it."""

    protocol: str
    family: int
    vflag: int
    laddr: bytes
    lport: int
    so: int
    uid: int


def parse_pcblist(protocol: str, data: bytes) -> list[Entry]:
    """Return the sockets of a protocol that listen, or are bound and not connected.

    :param data: a ``struct xinpgen``, the parts of each socket, and another ``struct xinpgen``.
    :raises ValueError: it doesn't look like that.
    """
    found = []
    parts: dict[int, t.Any] = {}
    for kind, part in [*_parts(data), (INPCB, None)]:
        # Each socket begins with this one.
        if kind == INPCB and parts:
            entry = _entry(protocol, parts)
            if entry:
                found.append(entry)
            parts = {}
        parts[kind] = part
    return found


def _parts(data: bytes) -> t.Iterator[tuple[int, t.Any]]:
    if len(data) < ctypes.sizeof(Head):
        raise ValueError(f"a list of {len(data)} bytes has no beginning")
    border = Head.from_buffer_copy(data).len
    place = _rounded(border)
    while place + ctypes.sizeof(Head) <= len(data):
        head = Head.from_buffer_copy(data, place)
        if head.len <= border:
            # The end has no kind, and the length of the beginning.
            return
        kind = KINDS.get(head.kind)
        if kind:
            if head.len < ctypes.sizeof(kind) or place + head.len > len(data):
                raise ValueError(f"a part of kind {head.kind:#x} has {head.len} bytes only")
            yield head.kind, kind.from_buffer_copy(data, place)
        place += _rounded(head.len)


def _rounded(size: int) -> int:
    return -(-size // 8) * 8


def _entry(protocol: str, parts: t.Mapping[int, t.Any]) -> t.Optional[Entry]:
    inet, sock, tcp = (parts.get(kind) for kind in (INPCB, SOCKET, TCPCB))
    if inet is None or sock is None or not inet.lport:
        return None
    is_bound = tcp is not None and tcp.state == LISTENS if protocol == "tcp" else not inet.fport
    if not is_bound:
        return None
    return Entry(
        protocol, sock.family, inet.vflag, bytes(inet.laddr), inet.lport, sock.so, sock.uid
    )
