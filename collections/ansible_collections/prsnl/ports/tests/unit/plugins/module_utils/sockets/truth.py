# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random sets of sockets, each in a network namespace of its own, read by us and by ss.

Usage: truth.py <number of sets> <seed>. Needs root. Prints a line for each set that differs, and
at last the number of sockets that were compared. A program, because it changes its own namespace.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.sockets import linux

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1
IPPROTO_MPTCP = 262
PORTS = range(1024, 1044)
ADDRESSES = {
    socket.AF_INET: ("0.0.0.0", "127.0.0.1", "127.9.8.7"),
    socket.AF_INET6: ("::", "::", "::1", "::ffff:127.0.0.1", "::ffff:0.0.0.0"),
}
ROW = re.compile(
    r"(?P<protocol>tcp|udp)\s+\S+\s+\d+\s+\d+\s+(?P<address>\S+):(?P<port>\d+)\s+\S+"
    r"(?P<users>\s+users:\(.*?\)\))?.*?(?:\s+ino:(?P<inode>\d+))?\s+sk:\S+(?P<rest>.*)"
)
# protocol, address, device, port, v6only, inode, pids
Row = tuple[str, str, str, int, bool, int, tuple[int, ...]]


def new_namespace() -> None:
    """Go into a network namespace of its own, with a loopback interface."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        fcntl.ioctl(link, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def make_sockets(rng: random.Random) -> list[socket.socket]:
    """Sockets of every kind, also of those that must not be listed."""
    made = []
    for _number in range(rng.randrange(25)):
        with contextlib.suppress(OSError):
            made += make_socket(rng)
    return made


def make_socket(rng: random.Random) -> list[socket.socket]:
    """One socket, perhaps with connections; raises OSError if the address is taken."""
    family = rng.choice((socket.AF_INET, socket.AF_INET6))
    kind = rng.choice((socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_DGRAM))
    is_mptcp = kind == socket.SOCK_STREAM and rng.random() < 0.1
    sock = socket.socket(family, kind, IPPROTO_MPTCP if is_mptcp else 0)
    if family == socket.AF_INET6 and rng.random() < 0.7:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, rng.randrange(2))
    if rng.random() < 0.3:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if rng.random() < 0.1:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    sock.bind((rng.choice(ADDRESSES[family]), rng.choice(PORTS)))
    made = [sock]
    if kind == socket.SOCK_DGRAM:
        if rng.random() < 0.2:
            loopback = "::1" if family == socket.AF_INET6 else "127.0.0.1"
            sock.connect((loopback, 9))
    elif rng.random() < 0.8:
        sock.listen()
        if rng.random() < 0.4:
            made.append(socket.create_connection(("localhost", sock.getsockname()[1]), 1))
    return made


def share(sockets: list[socket.socket], rng: random.Random) -> tuple[list[int], int]:
    """Fork processes that keep some of the sockets; they end when the pipe is closed."""
    gate, keep = os.pipe()
    pids = []
    for _number in range(rng.randrange(3)):
        chosen = [sock for sock in sockets if rng.random() < 0.5]
        ready, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(keep)
                for sock in sockets:
                    if sock not in chosen:
                        sock.close()
                os.write(tell, b".")
                os.read(gate, 1)
            finally:
                # Nothing of what its parent does next is its own.
                os._exit(0)
        os.close(tell)
        os.read(ready, 1)
        os.close(ready)
        pids.append(pid)
    os.close(gate)
    return pids, keep


def by_ss() -> list[Row]:
    """What the kernel's own tool lists."""
    text = subprocess.run(["ss", "-Hlntupe"], capture_output=True, text=True, check=True).stdout
    rows = []
    for line in text.splitlines():
        match = ROW.fullmatch(line.rstrip())
        assert match, line
        address, _percent, device = match["address"].partition("%")
        address = address.strip("[]")
        # ss writes * for a socket that receives both families.
        v6only = "v6only:1" in match["rest"]
        rows.append(
            (
                match["protocol"],
                "::" if address == "*" else address,
                device.strip("]"),
                int(match["port"]),
                v6only,
                int(match["inode"] or 0),
                tuple(sorted({int(pid) for pid in re.findall(r"pid=(\d+)", match["users"] or "")})),
            )
        )
    return sorted(rows)


def by_us() -> list[Row]:
    """What we list."""
    snapshot = linux.take_snapshot(lambda _sock: True)
    return sorted(
        (
            sock.protocol,
            sock.address,
            sock.device,
            sock.port,
            bool(sock.v6only),
            sock.inode,
            tuple(sorted(holder.pid for holder in snapshot.holders.get(sock.inode, ()))),
        )
        for sock in snapshot.sockets
    )


def by_proc_net() -> list[tuple[t.Any, ...]]:
    """What the source of last resort lists; it doesn't tell v6only."""
    return sorted(
        (sock.protocol, sock.address, sock.port, sock.inode)
        for sock in linux.read_proc_net("/proc/self/net")
    )


def compare(rng: random.Random) -> tuple[int, list[str]]:
    """One set: the number of sockets and what differs."""
    new_namespace()
    with open("/proc/sys/net/ipv6/bindv6only", "w", encoding="ascii") as file:
        file.write(str(rng.randrange(2)))
    sockets = make_sockets(rng)
    pids, keep = share(sockets, rng)
    for sock in sockets:
        if pids and rng.random() < 0.2:
            sock.close()
    theirs, ours, fallback = by_ss(), by_us(), by_proc_net()
    os.close(keep)
    for pid in pids:
        os.waitpid(pid, 0)
    differs = []
    if ours != theirs:
        differs.append(f"only ss: {set(theirs) - set(ours)} only ours: {set(ours) - set(theirs)}")
    if fallback != sorted((row[0], row[1], row[3], row[5]) for row in theirs):
        differs.append(f"/proc/net: {fallback} ss: {theirs}")
    return len(theirs), differs


def main() -> None:
    """Compare the sets one after the other, while the sockets of the one before are still there."""
    number, seed = int(sys.argv[1]), int(sys.argv[2])
    compared = 0
    for index in range(number):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            try:
                answer: t.Any = compare(random.Random(seed + index))  # noqa: S311
            except Exception as error:
                answer = (0, [repr(error)])
            os.write(write, json.dumps(answer).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            count, differs = json.loads(pipe.read())
        os.waitpid(pid, 0)
        compared += count
        for text in differs:
            print(f"set {index} of seed {seed}: {text}")
    print(compared)


if __name__ == "__main__":
    main()
