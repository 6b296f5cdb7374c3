# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""macOS, from recorded output and from structures laid out as Apple's header says."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import types
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.sockets import (
    darwin,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets import (
    snapshot as listeners,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import BECOME, Socket

# Sockets of real Macs, put into the form of -F: Visual Studio Code and Docker Desktop both on one
# port from github.com/tekumara/notes (macos-networking.md), AirPlay's receiver, cups and launchd
# from a public cheat sheet ("More Networking"). Command names are cut to nine characters there.
# Users are made up, and so are the last two files of ControlCe: a connection and an idle UDP
# socket. The order of the fields is that of lsof 4.95 on Linux.
LSOF = """\
p1
claunchd
u0
f41
tIPv6
d0xc1f1e80abecd53a6
PTCP
n[::1]:8021
TST=LISTEN
TQR=0
TQS=0
f43
tIPv4
d0x48f9402b97399e06
PTCP
n127.0.0.1:8021
TST=LISTEN
f44
tIPv6
d0xc1f1e80abecd53a6
PTCP
n[::1]:8021
TST=LISTEN
p602
cControlCe
u501
f8
tIPv4
d0xabeea6ffba54c987
PTCP
n*:7000
TST=LISTEN
f9
tIPv6
d0x4edd4ed82af70380
PTCP
n*:7000
TST=LISTEN
f12
tIPv4
d0x11
PTCP
n127.0.0.1:53001->127.0.0.1:7000
TST=ESTABLISHED
f13
tIPv4
d0x12
PUDP
n*:*
p2866
cCode\\x20H
u501
f35
tIPv4
d0xf7bb05b97fb537c3
PTCP
n127.0.0.1:6333
TST=LISTEN
p40002
ccom.docke
u501
f182
tIPv6
d0xf7bb05be4bcbb5db
PTCP
n*:6333
TST=LISTEN
p40003
cmDNSRespo
u65
f7
tIPv4
d0x21
PUDP
n*:5353
"""


def test_lsof_lists_sockets_and_their_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    sockets, holders = darwin.parse_lsof(LSOF)
    assert [(s.protocol, str(s), s.v6only, s.uid) for s in sockets] == [
        ("tcp", "[::1]:8021", False, 0),
        ("tcp", "127.0.0.1:8021", False, 0),
        ("tcp", "0.0.0.0:7000", False, 501),
        ("tcp", "[::]:7000", None, 501),
        ("tcp", "127.0.0.1:6333", False, 501),
        ("tcp", "[::]:6333", None, 501),
        ("udp", "0.0.0.0:5353", False, 65),
    ]
    assert [(h.pid, h.process) for h in holders[0xC1F1E80ABECD53A6]] == [(1, "launchd")]
    assert [(h.pid, h.process) for h in holders[0xF7BB05B97FB537C3]] == [(2866, "Code\\x20H")]


def test_a_socket_of_several_processes_has_them_all() -> None:
    block = "f3\ntIPv4\nd0x99\nPTCP\nn*:80\nTST=LISTEN\n"
    _sockets, holders = darwin.parse_lsof(f"p20\ncnginx\nu0\n{block}p10\ncnginx\nu0\n{block}")
    assert [holder.pid for holder in holders[0x99]] == [10, 20]


def test_without_libproc_lsof_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os, "geteuid", lambda: 501)
    monkeypatch.setattr(
        subprocess, "run", lambda *_a, **_k: types.SimpleNamespace(stdout=LSOF, stderr="")
    )
    monkeypatch.setattr(darwin, "_read_pcblists", list)
    snapshot = listeners.take_snapshot()
    assert snapshot.obstacle == BECOME
    # IPv4 has a wildcard socket on 7000 of its own, and none on 6333.
    assert {s.port: s.v6only for s in snapshot.sockets if s.address == "::"} == {
        7000: True,
        6333: False,
    }


def test_a_silent_lsof_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = types.SimpleNamespace(stdout="", stderr="lsof: no rights\n")
    monkeypatch.setattr(subprocess, "run", lambda *_a, **_k: answer)
    with pytest.raises(OSError, match="lsof: lsof: no rights"):
        darwin.take_snapshot()


@pytest.mark.parametrize(
    ("structure", "size"),
    [
        # What sizeof gives for Apple's bsd/sys/proc_info.h on 64-bit systems.
        (darwin.FdInfo, 8),
        (darwin.InSockInfo, 80),
        (darwin.TcpSockInfo, 120),
        (darwin.SockInfoUnion, 528),
        (darwin.SocketFdInfo, 792),
        (darwin.BsdInfo, 136),
    ],
)
def test_structures_have_the_sizes_of_apples(structure: type[ctypes.Structure], size: int) -> None:
    assert ctypes.sizeof(structure) == size


def test_fields_are_where_apples_header_has_them() -> None:
    offsets = {
        name: getattr(darwin.SocketFdInfo, name).offset
        for name in ("so", "family", "kind", "proto")
    }
    assert offsets == {"so": 160, "family": 184, "kind": 256, "proto": 264}
    assert darwin.InSockInfo.lport.offset == 4
    assert darwin.InSockInfo.vflag.offset == 24
    assert darwin.InSockInfo.laddr.offset == 48
    assert darwin.TcpSockInfo.state.offset == 80
    assert darwin.BsdInfo.uid.offset == 20
    assert darwin.BsdInfo.comm.offset == 48
    assert darwin.BsdInfo.start_tvsec.offset == 120


def structure(
    *,
    address: str,
    family: int = darwin.AF_INET,
    vflag: int = darwin.INI_IPV4,
    kind: int = darwin.SOCKINFO_TCP,
    state: int = darwin.TSI_S_LISTEN,
    fport: int = 0,
    protocol: int = socket.IPPROTO_TCP,
) -> darwin.SocketFdInfo:
    """A socket on port 5000, as the kernel would describe it."""
    info = darwin.SocketFdInfo(so=0xABC, family=family, kind=kind, protocol=protocol)
    info.proto.pri_tcp.state = state
    inet = info.proto.pri_in
    inet.lport, inet.fport, inet.vflag = socket.htons(5000), socket.htons(fport), vflag
    is_ipv4 = ":" not in address
    raw = socket.inet_pton(socket.AF_INET if is_ipv4 else socket.AF_INET6, address)
    inet.laddr[:] = raw.rjust(16, b"\0")
    return info


BOTH = darwin.INI_IPV4 | darwin.INI_IPV6
INET6 = {"family": darwin.AF_INET6}
UDP = {"kind": darwin.SOCKINFO_IN, "protocol": socket.IPPROTO_UDP}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"address": "127.0.0.1"}, ("tcp", "127.0.0.1", False)),
        ({"address": "::", **INET6, "vflag": BOTH}, ("tcp", "::", False)),
        ({"address": "::", **INET6, "vflag": darwin.INI_IPV6}, ("tcp", "::", True)),
        ({"address": "10.0.0.1", **INET6}, ("tcp", "::ffff:10.0.0.1", False)),
        ({"address": "0.0.0.0", **UDP}, ("udp", "0.0.0.0", False)),
        ({"address": "0.0.0.0", **UDP, "fport": 53}, None),
        ({"address": "127.0.0.1", "state": 4}, None),
        ({"address": "127.0.0.1", "kind": 3}, None),
    ],
)
def test_sockets_of_the_kernel(
    options: dict[str, t.Any], expected: tuple[str, str, bool] | None
) -> None:
    found = darwin.parse_socket(structure(**options))
    if expected is None:
        assert found is None
    else:
        assert found == Socket(expected[0], expected[1], 5000, expected[2], 0, 0xABC)


def test_a_process_of_the_kernel() -> None:
    info = darwin.BsdInfo(uid=0, comm=b"ControlCe", name=b"ControlCenter", start_tvsec=1000)
    info.start_tvusec = 500_000
    holder = darwin.parse_process(602, info, "/System/ControlCenter")
    assert (holder.process, holder.user, holder.since) == ("ControlCenter", "root", 1000.5)
    info.name = b""
    assert darwin.parse_process(602, info, None).process == "ControlCe"


def arguments(*words: str, number: int = 1) -> bytes:
    """What KERN_PROCARGS2 gives: the program's path is filled up with zeros."""
    text = "\0".join(words).encode()
    return number.to_bytes(4, sys.byteorder) + b"/bin/web\0\0\0\0" + text + b"\0"


@pytest.mark.parametrize(
    ("data", "label"),
    [
        (arguments("web", "HOME=/", "XPC_SERVICE_NAME=prsnl.web", "A=b"), "prsnl.web"),
        # Started by hand, in a terminal and over SSH.
        (arguments("web", "HOME=/", "XPC_SERVICE_NAME=0"), ""),
        (arguments("web", "HOME=/"), ""),
        # An argument is no variable.
        (arguments("web", "XPC_SERVICE_NAME=prsnl.web", "HOME=/", number=2), ""),
        # Apple's own program.
        (arguments("web", number=1), None),
        (arguments("web", "XPC_SERVICE_NAME=a\x1b[31m"), "a\\x1b[31m"),
        (b"", None),
    ],
)
def test_the_label_is_in_the_environment(data: bytes, label: str | None) -> None:
    assert darwin.parse_label(data) == label


class Library:
    """A libproc with two processes that share a socket, and one that may not be looked at."""

    def __init__(self) -> None:
        self.proc_pidinfo = self._pidinfo
        self._info = structure(address="0.0.0.0")

    def sysctl(self, name: t.Any, _n: int, buffer: t.Any, size: t.Any, *_new: t.Any) -> int:
        assert list(name[:2]) == [1, 49]
        if name[2] == 20:
            return -1
        data = arguments("web", "XPC_SERVICE_NAME=prsnl.web")
        ctypes.memmove(buffer, data, len(data))
        size._obj.value = len(data)
        return 0

    def proc_listallpids(self, buffer: t.Any, _size: int) -> int:
        if buffer is not None:
            buffer[:3] = [30, 10, 20]
        return 3

    def _pidinfo(self, pid: int, flavor: int, _arg: int, buffer: t.Any, _size: int) -> int:
        if pid == 30:
            return 0
        if flavor == darwin.PROC_PIDLISTFILEPORTS:
            if pid != 10:
                return 0
            if buffer is not None:
                buffer[0] = darwin.FdInfo(0x1203, darwin.PROX_FDTYPE_SOCKET)
            return ctypes.sizeof(darwin.FdInfo)
        if flavor == darwin.PROC_PIDTBSDINFO:
            about = darwin.BsdInfo((0, 0, 0, pid, 1), 0, comm=b"web")
            ctypes.memmove(buffer, ctypes.byref(about), ctypes.sizeof(about))
            return ctypes.sizeof(about)
        if buffer is not None:
            buffer[0] = darwin.FdInfo(3, 1)
            buffer[1] = darwin.FdInfo(4, darwin.PROX_FDTYPE_SOCKET)
        return 2 * ctypes.sizeof(darwin.FdInfo)

    def proc_pidfdinfo(self, _pid: int, fd: int, _flavor: int, buffer: t.Any, size: int) -> int:
        assert fd == 4
        ctypes.memmove(buffer, ctypes.byref(self._info), size)
        return size

    def proc_pidfileportinfo(
        self, pid: int, port: int, _flavor: int, buffer: t.Any, size: int
    ) -> int:
        assert (pid, port) == (10, 0x1203)
        info = structure(address="127.0.0.1")
        info.so = 0xDEF
        ctypes.memmove(buffer, ctypes.byref(info), size)
        return size

    def proc_pidpath(self, pid: int, buffer: t.Any, _size: int) -> int:
        buffer.value = f"/bin/{pid}".encode()
        return 6


SERVICES = """\
system = {
\ttype = system

\tservices = {
\t\t       0      - \tcom.apple.lskdd
\t\t      20      0 \tcom.apple.controlcenter
\t\t     321     -9 \tprsnl.other
\t}

\tunmanaged processes = {
\t\tcom.apple.xpc.launchd.unmanaged.loginwindow.20 = {
\t\t}
\t}
}
"""


def test_the_labels_of_jobs_that_run() -> None:
    assert darwin.parse_services(SERVICES) == {20: "com.apple.controlcenter", 321: "prsnl.other"}


@pytest.mark.parametrize(("printed", "label"), [(SERVICES, "com.apple.controlcenter"), ("", None)])
def test_libproc_is_walked(
    monkeypatch: pytest.MonkeyPatch, printed: str, label: str | None
) -> None:
    library = Library()
    # A bound method takes no argtypes.
    library.proc_pidinfo = lambda *arguments: Library._pidinfo(library, *arguments)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_a, **_k: library)
    monkeypatch.setattr(darwin, "_run_services", lambda: printed)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    snapshot = darwin.take_snapshot()
    assert snapshot.sockets == (
        Socket("tcp", "0.0.0.0", 5000, False, 0, 0xABC),
        # One that a process has as a Mach port only.
        Socket("tcp", "127.0.0.1", 5000, False, 0, 0xDEF),
    )
    assert [(h.pid, h.executable, h.label) for h in snapshot.holders[0xABC]] == [
        (10, "/bin/10", "prsnl.web"),
        (20, "/bin/20", label),
    ]
    assert [h.pid for h in snapshot.holders[0xDEF]] == [10]


def test_an_established_connection() -> None:
    info = structure(address="192.0.2.10", state=4, fport=51515)
    info.proto.pri_in.faddr[:] = bytes(12) + socket.inet_aton("192.0.2.7")
    assert darwin.parse_connection(info) == (5000, "192.0.2.7", 51515)
    assert darwin.parse_connection(structure(address="192.0.2.10")) is None
    assert darwin.parse_connection(structure(address="192.0.2.10", **UDP)) is None


def test_processes_and_their_parents(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    library.proc_pidinfo = lambda *arguments: Library._pidinfo(library, *arguments)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_a, **_k: library)
    found = darwin.read_processes()
    assert found[10] == darwin.Process(10, 1, "web")
    assert darwin.read_connections(10) == []
