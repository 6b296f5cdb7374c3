# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listening TCP and bound UDP sockets of a Linux host, and the processes that hold them.

Sockets come from the kernel's ``SOCK_DIAG`` netlink interface (sock_diag(7)), or, where that is
missing (emulated hosts, kernels without ``inet_diag``), from ``/proc/net/{tcp,tcp6,udp,udp6}``
(proc(5)). Only the network namespace of the calling process is seen.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import sys
import time
import typing as t
from dataclasses import replace

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

TCP_LISTEN = 0x0A
UDP_UNCONNECTED = 0x07
BOUND_STATE = {"tcp": TCP_LISTEN, "udp": UDP_UNCONNECTED}

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 0x1
NLM_F_DUMP = 0x300
NLMSG_ERROR = 2
NLMSG_DONE = 3
INET_DIAG_SKV6ONLY = 11
NLMSGHDR = struct.Struct("=IHHII")
INET_DIAG_REQ = struct.Struct("=BBBxI48x")
# family, state, source port, source address, uid, inode; the fields between them are skipped.
INET_DIAG_MSG = struct.Struct("=BBxx2s2x16s16x12x12xII")
NLATTR = struct.Struct("=HH")

NO_PTRACE = "Even root lacks the capability SYS_PTRACE here: give it to the host's container."
CONFINED = (
    "A security module (SELinux, AppArmor) or a user namespace keeps even root from looking at"
    " some processes: run the task outside of it."
)
OWN_PROCESSES = (
    "This is a container with the network of its host but not with its processes: give it those as"
    " well (--pid=host), or run the task on the host itself."
)
CAP_SYS_PTRACE = 19
# The numbers of the first namespaces are fixed (linux/proc_ns.h); that of the network's is not, but
# some settings exist there only.
FIRST_PID_NAMESPACE = "pid:[4026531836]"
FIRST_NETWORK_ONLY = "/proc/sys/net/core/netdev_budget"

UNIT = re.compile(r"[^/]+\.(?:service|scope)(?=/|$)")


def take_snapshot(wanted: t.Callable[[Socket], bool]) -> Snapshot:
    """Read the sockets of this host, and who holds the wanted ones.

    :raises OSError: neither netlink nor ``/proc/net`` can be read.
    """
    snapshot = _take(wanted)
    if snapshot.obstacle != BECOME and not all(snapshot.holders.values()):
        # Closed or handed on between the two readings, unless a second look shows it again.
        snapshot = _take(wanted)
        is_blind = not all(snapshot.holders.values()) and not sees_all_processes()
        if is_blind and snapshot.obstacle is None:
            snapshot = replace(snapshot, obstacle=OWN_PROCESSES)
    return snapshot


def _take(wanted: t.Callable[[Socket], bool]) -> Snapshot:
    sockets = read_sockets()
    holders, is_complete = find_holders({s.inode for s in sockets if s.inode and wanted(s)})
    obstacle = None
    if os.geteuid() != 0:
        obstacle = BECOME
    elif not is_complete:
        obstacle = CONFINED if has_capability(CAP_SYS_PTRACE) else NO_PTRACE
    return Snapshot(tuple(sockets), holders, obstacle, _has_ipv6())


def has_capability(number: int) -> bool:
    """Tell whether this process has a capability (capabilities(7)) in effect."""
    status = read_text("/proc/self/status")
    effective = next((line for line in status.splitlines() if line.startswith("CapEff:")), "")
    return bool(int(effective.partition(":")[2] or "0", 16) >> number & 1)


def sees_all_processes() -> bool:
    """Tell whether processes that use this network can be seen.

    Not so in a container that shares the network of the machine but not its processes. A container
    that shares the network of another one can't be told from a host.
    """
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return True
    return namespace == FIRST_PID_NAMESPACE or not os.path.exists(FIRST_NETWORK_ONLY)


def _has_ipv6() -> bool:
    """Tell whether any interface, the loopback one included, has an IPv6 address."""
    try:
        return bool(read_text("/proc/net/if_inet6"))
    except OSError:
        return False


def read_sockets() -> list[Socket]:
    """Return every listening TCP and bound UDP socket of this network namespace.

    :raises OSError: neither netlink nor ``/proc/net`` can be read.
    """
    try:
        sockets = list(read_netlink())
    except OSError:
        sockets = list(read_proc_net())
    return settle_dual_stack(sockets, _read_bindv6only())


def _read_bindv6only() -> bool:
    try:
        with open("/proc/sys/net/ipv6/bindv6only", encoding="ascii") as file:
            return file.read().strip() == "1"
    except OSError:
        return False


# --- /proc/net ---------------------------------------------------------------------------------


def read_proc_net(root: str = "/proc/net") -> t.Iterator[Socket]:
    """Yield the sockets that ``/proc/net`` shows.

    :raises OSError: a file can't be read; those of IPv6 may be missing (IPv6 disabled).
    """
    for protocol in BOUND_STATE:
        for suffix in ("", "6"):
            try:
                with open(os.path.join(root, protocol + suffix), encoding="ascii") as file:
                    yield from parse_proc_net(file, protocol)
            except FileNotFoundError:
                if not suffix:
                    raise


def parse_proc_net(
    lines: t.Iterable[str], protocol: str, byteorder: str = sys.byteorder
) -> t.Iterator[Socket]:
    """Yield the sockets in the lines of one file of ``/proc/net``.

    :param byteorder: of the machine that wrote the lines: addresses are words in its order.
    """
    state = f" {BOUND_STATE[protocol]:02X} "
    for line in lines:
        if state not in line:
            continue
        fields = line.split()
        if fields[3] != state.strip():
            continue
        address, port = fields[1].split(":")
        yield Socket(
            protocol=protocol,
            address=_parse_hex_address(address, byteorder),
            port=int(port, 16),
            v6only=None if len(address) > 8 else False,  # noqa: PLR2004
            uid=int(fields[7]),
            inode=int(fields[9]),
        )


def _parse_hex_address(text: str, byteorder: str) -> str:
    raw = bytes.fromhex(text)
    if byteorder == "little":
        raw = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    return address_text(raw)


# --- netlink -----------------------------------------------------------------------------------


def read_netlink() -> t.Iterator[Socket]:
    """Yield the sockets that ``SOCK_DIAG`` reports.

    :raises OSError: the interface is missing or refused.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as link:
        link.settimeout(5)
        for protocol, number in (("tcp", socket.IPPROTO_TCP), ("udp", socket.IPPROTO_UDP)):
            for family in (socket.AF_INET, socket.AF_INET6):
                request = INET_DIAG_REQ.pack(family, number, 0, 1 << BOUND_STATE[protocol])
                for payload in _dump(link, request):
                    yield parse_diag(payload, protocol)


def _dump(link: socket.socket, request: bytes) -> t.Iterator[bytes]:
    flags = NLM_F_REQUEST | NLM_F_DUMP
    header = NLMSGHDR.pack(NLMSGHDR.size + len(request), SOCK_DIAG_BY_FAMILY, flags, 0, 0)
    link.send(header + request)
    while True:
        data = link.recv(1 << 18)
        while len(data) >= NLMSGHDR.size:
            length, kind, _flags, _sequence, _pid = NLMSGHDR.unpack_from(data)
            payload = data[NLMSGHDR.size : length]
            if kind == NLMSG_DONE:
                return
            if kind == NLMSG_ERROR:
                number = -struct.unpack_from("=i", payload)[0]
                raise OSError(number, os.strerror(number))
            yield payload
            data = data[(length + 3) & ~3 :]


def parse_diag(payload: bytes, protocol: str) -> Socket:
    """Return the socket that one ``inet_diag_msg`` with its attributes describes."""
    family, _state, port, address, uid, inode = INET_DIAG_MSG.unpack_from(payload)
    is_ipv4 = family == socket.AF_INET
    v6only: t.Optional[bool] = False if is_ipv4 else None
    offset = INET_DIAG_MSG.size
    while offset + NLATTR.size <= len(payload):
        length, kind = NLATTR.unpack_from(payload, offset)
        if length < NLATTR.size:
            break
        if kind == INET_DIAG_SKV6ONLY:
            v6only = payload[offset + NLATTR.size] != 0
        offset += (length + 3) & ~3
    return Socket(
        protocol=protocol,
        address=address_text(address[:4] if is_ipv4 else address),
        port=int.from_bytes(port, "big"),
        v6only=v6only,
        uid=uid,
        inode=inode,
    )


# --- processes ---------------------------------------------------------------------------------


def find_holders(
    inodes: t.Collection[int], root: str = "/proc"
) -> tuple[dict[int, tuple[Holder, ...]], bool]:
    """Return the processes that hold each of these sockets, and whether all could be looked at.

    Processes that end meanwhile are left out, and so are those that have another network.
    """
    if not inodes:
        return {}, True
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    pids: dict[int, list[int]] = {}
    is_complete = True
    for pid in sorted(int(name) for name in os.listdir(root) if name.isdigit()):
        try:
            opened = _open_sockets(f"{root}/{pid}/fd", wanted)
        except PermissionError:
            is_complete = is_complete and not _shares_network(pid, root)
            continue
        for inode in opened:
            pids.setdefault(inode, []).append(pid)
    known = {pid: read_process(pid, root) for pid in set().union(*pids.values())}
    holders = {
        inode: tuple(holder for pid in pids.get(inode, ()) if (holder := known[pid]))
        for inode in inodes
    }
    return holders, is_complete


def _shares_network(pid: int, root: str) -> bool:
    """Tell whether a process that may not be looked at has our network, as far as that is told.

    A namespace of the network has files of its own. One that has ended meanwhile has none.
    """
    try:
        own = os.stat(f"{root}/self/net/tcp").st_ino
    except OSError:
        return True
    try:
        return os.stat(f"{root}/{pid}/net/tcp").st_ino == own
    except OSError as error:
        return isinstance(error, PermissionError)


def _open_sockets(directory: str, wanted: t.Mapping[str, int]) -> set[int]:
    """Return the wanted sockets that a process has open.

    :raises PermissionError: it may not be looked at. A root without SYS_PTRACE can list what a
        process has open, but not see what that is.
    """
    found: set[int] = set()
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, ProcessLookupError):
        return found
    for name in names:
        try:
            target = os.readlink(f"{directory}/{name}")
        except PermissionError:
            raise
        except OSError:
            continue
        if target in wanted:
            found.add(wanted[target])
    return found


def read_process(pid: int, root: str = "/proc") -> t.Optional[Holder]:
    """Return what is known of a process; None if there is none."""
    directory = f"{root}/{pid}"
    try:
        stat = read_text(f"{directory}/stat")
        status = read_text(f"{directory}/status")
        cgroup = parse_cgroup(read_text(f"{directory}/cgroup"))
    except OSError:
        return None
    process, _parent, ticks = parse_stat(stat)
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    executable, uid = _read_executable(directory, process), parse_effective_uid(status)
    return Holder(
        pid=pid,
        process=process,
        executable=executable,
        user=user_name(uid),
        unit=parse_unit(cgroup),
        since=time.time() - age,
        cgroup=cgroup,
        uid=uid,
        called=_read_called(directory, process, executable),
    )


def _read_called(directory: str, process: str, executable: t.Optional[str]) -> str:
    """Return the first word of a command line, where program and name don't tell the same.

    Nothing more of it: command lines hold secrets.
    """
    if executable is None or os.path.basename(executable).startswith(process):
        return ""
    try:
        return parse_called(read_text(f"{directory}/cmdline"))
    except OSError:
        return ""


def parse_called(text: str) -> str:
    """Return the name in a command line (proc(5)), or in the title that a process put there.

    ``/usr/sbin/nginx``, ``nginx: master process`` and ``-nginx`` are all C(nginx).
    """
    words = text.partition("\0")[0].split()
    word = words[0].lstrip("-").rstrip(":") if words else ""
    return printable(word.rpartition("/")[2])


def read_text(path: str) -> str:
    """Return the text of a file of the kernel's; undecodable bytes are replaced."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _read_executable(directory: str, process: str) -> t.Optional[str]:
    try:
        target = os.readlink(f"{directory}/exe")
    except OSError:
        return None
    program = os.path.basename(target)
    if program.startswith("qemu-") and not program.startswith(process):
        # The emulator of another processor, which tells nothing of what it runs.
        return None
    return printable(re.sub(r" \(deleted\)$", "", target))


def parse_stat(text: str) -> tuple[str, int, int]:
    """Return name, parent and start (clock ticks since boot) from ``/proc/<pid>/stat``."""
    start, end = text.index("("), text.rindex(")")
    fields = text[end + 1 :].split()
    return printable(text[start + 1 : end]), int(fields[1]), int(fields[19])


def parse_effective_uid(text: str) -> int:
    """Return the effective uid from ``/proc/<pid>/status``."""
    for line in text.splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[2])
    raise ValueError("no Uid line in the status of a process")


def parse_cgroup(text: str) -> str:
    """Return the control group that systemd works with, from ``/proc/<pid>/cgroup``.

    That is the one of its own hierarchy (``name=systemd`` of cgroup v1 and hybrid systems) or of
    the unified one.
    """
    paths = {}
    for line in text.splitlines():
        number, controllers, path = line.split(":", 2)
        if controllers == "name=systemd" or (number == "0" and not controllers):
            paths[controllers] = path
    legacy, unified = paths.get("name=systemd", ""), paths.get("", "")
    return unified if UNIT.search(unified) and not UNIT.search(legacy) else legacy or unified


def parse_unit(cgroup: str) -> t.Optional[str]:
    """Return the innermost service or scope of a control group."""
    units = UNIT.findall(cgroup)
    if not units:
        return None
    unit = str(units[-1])
    # Where a unit's name could be taken for something else of the kernel's, systemd puts a _ before
    # it; a unit whose name starts with one gets another.
    return printable(unit[1:] if unit.startswith("_") else unit)
