# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel of a Mac lists to anyone, laid out as Apple's headers say."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.host import macos
from ansible_collections.prsnl.ports.plugins.module_utils.sockets import darwin, pcblist
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Socket
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.pcblist import Entry

V4, V6 = darwin.INI_IPV4, darwin.INI_IPV6
XINPGEN = 24
# sizeof of the rest of a socket's parts in xnu-11417: xsockbuf_n twice, xsockstat_n; xtcpcb_n.
OTHERS = ((0x02, 32), (0x04, 32), (0x08, 136))
TCPCB_SIZE = 208


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def part(kind: int, made: ctypes.Structure, size: int) -> bytes:
    made.head.len, made.head.kind = size, kind
    return padded(bytes(made).ljust(size, b"\0"))


def listed(
    address: str, port: int, *, vflag: int, state: int | None = 1, fport: int = 0, uid: int = 501
) -> bytes:
    """One socket, with all of its parts."""
    is_ipv4 = ":" not in address
    raw = socket.inet_pton(socket.AF_INET if is_ipv4 else socket.AF_INET6, address)
    inet = pcblist.InPcb(lport=socket.htons(port), fport=socket.htons(fport), vflag=vflag)
    inet.laddr[:] = struct.unpack("=4I", raw.rjust(16, b"\0"))
    family = darwin.AF_INET6 if vflag & V6 else darwin.AF_INET
    sock = pcblist.XSocket(so=port, family=family, uid=uid)
    text = part(pcblist.INPCB, inet, 104) + part(pcblist.SOCKET, sock, 104)
    for kind, size in OTHERS:
        text += padded(struct.pack("=II", size, kind).ljust(size, b"\0"))
    if state is not None:
        text += part(pcblist.TCPCB, pcblist.TcpPcb(state=state), TCPCB_SIZE)
    return text


def whole(*sockets: bytes) -> bytes:
    end = struct.pack("=IIQQ", XINPGEN, len(sockets), 1, 1)
    return end + b"".join(sockets) + end


def test_structures_are_where_a_compiler_puts_apples() -> None:
    """By gcc, of the text of Apple's headers with their ``#pragma pack(4)``."""
    inet, sock = pcblist.InPcb, pcblist.XSocket
    assert [inet.lport.offset, inet.vflag.offset, inet.faddr.offset, inet.laddr.offset] == [
        18,
        44,
        48,
        64,
    ]
    assert [sock.so.offset, sock.family.offset, sock.uid.offset] == [8, 40, 64]
    assert pcblist.TcpPcb.state.offset == 36


def test_listeners_are_found_among_connections() -> None:
    data = whole(
        listed("0.0.0.0", 80, vflag=V4, uid=0),
        listed("127.0.0.1", 81, vflag=V4, state=4, fport=5000),
        listed("::", 82, vflag=V4 | V6),
        listed("::1", 83, vflag=V6),
    )
    found = [darwin.listed_socket(entry) for entry in pcblist.parse_pcblist("tcp", data)]
    assert found == [
        Socket("tcp", "0.0.0.0", 80, False, 0, 80),
        Socket("tcp", "::", 82, False, 501, 82),
        Socket("tcp", "::1", 83, True, 501, 83),
    ]


def test_udp_that_is_bound_and_not_connected() -> None:
    data = whole(
        listed("0.0.0.0", 5353, vflag=V4, state=None),
        listed("10.0.0.1", 60000, vflag=V4, state=None, fport=443),
        listed("0.0.0.0", 0, vflag=V4, state=None),
    )
    assert [entry.so for entry in pcblist.parse_pcblist("udp", data)] == [5353]


def test_a_mac_without_sockets() -> None:
    assert pcblist.parse_pcblist("tcp", whole()) == []


@pytest.mark.parametrize("cut", [0, 4, 60, 150])
def test_what_is_cut_off_or_of_another_kernel_is_no_list(cut: int) -> None:
    data = whole(listed("0.0.0.0", 80, vflag=V4))[:cut]
    if cut < 8:
        with pytest.raises(ValueError, match="has no beginning"):
            pcblist.parse_pcblist("tcp", data)
    elif cut < XINPGEN + 104:
        with pytest.raises(ValueError, match="bytes only"):
            pcblist.parse_pcblist("tcp", data)
    else:
        with pytest.raises(ValueError, match="bytes only"):
            pcblist.parse_pcblist("tcp", data)


@pytest.mark.parametrize(
    ("address", "expected"),
    [("fe80:7::1", "fe80::1"), ("fe80::1", "fe80::1"), ("2001:7::1", "2001:7::1")],
)
def test_the_scope_in_a_link_local_address_is_not_part_of_it(address: str, expected: str) -> None:
    [entry] = pcblist.parse_pcblist("tcp", whole(listed(address, 80, vflag=V6)))
    found = darwin.listed_socket(entry)
    assert found is not None
    assert found.address == expected


def test_other_families_are_left_out() -> None:
    assert darwin.listed_socket(Entry("tcp", 1, V4, bytes(16), 80, 1, 0)) is None


def answers(tcp: bytes, udp: bytes = whole()) -> t.Callable[[str], bytes | None]:
    known = {pcblist.NAMES["tcp"]: tcp, pcblist.NAMES["udp"]: udp}
    return known.get


@pytest.fixture
def ada(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Not root, with one socket of her own."""
    mine = Socket("tcp", "127.0.0.1", 8000, False, 501, 8000)
    monkeypatch.setattr(os, "geteuid", lambda: 501)
    monkeypatch.setattr(darwin, "_read_libproc", lambda: ([mine], {8000: ()}))
    return monkeypatch


def test_sockets_of_others_are_seen_without_their_holders(ada: pytest.MonkeyPatch) -> None:
    data = whole(listed("0.0.0.0", 80, vflag=V4, uid=0), listed("127.0.0.1", 8000, vflag=V4))
    ada.setattr(macos, "read_sysctl", answers(data))
    snapshot = darwin.take_snapshot()
    assert [(sock.port, sock.uid) for sock in snapshot.sockets] == [(8000, 501), (80, 0)]
    assert 80 not in snapshot.holders
    assert snapshot.obstacle


@pytest.mark.parametrize("data", [None, b"", b"odd"])
def test_without_root_and_without_the_list_nothing_is_said(
    ada: pytest.MonkeyPatch, data: bytes | None
) -> None:
    ada.setattr(macos, "read_sysctl", lambda _name: data)
    with pytest.raises(OSError, match=r"doesn't list the sockets of others.*become"):
        darwin.take_snapshot()
