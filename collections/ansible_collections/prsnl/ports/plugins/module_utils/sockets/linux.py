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

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed, printable
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import (
    BECOME,
    BOUND,
    CLOSED,
    CONNECTED,
    Holder,
    Snapshot,
    Socket,
    address_text,
    endpoint_text,
    settle_dual_stack,
    user_name,
)

TCP_LISTEN = 0x0A
UDP_UNCONNECTED = 0x07
BOUND_STATE = {"tcp": TCP_LISTEN, "udp": UDP_UNCONNECTED}
# include/net/tcp_states.h. What is bound and doesn't listen is told since Linux 6.8 only.
TCP_CLOSE, TCP_BOUND_INACTIVE = 0x07, 0x0D
ENDED = frozenset((0x04, 0x05, 0x06, 0x09, 0x0B))
OTHER_STATES = {
    "tcp": frozenset(range(0x01, 0x0E)) - {TCP_CLOSE, TCP_LISTEN},
    "udp": frozenset((0x01,)),
}

NETLINK_ROUTE, NETLINK_SOCK_DIAG = 0, 4
RTM_GETADDR = 22
# struct ifaddrmsg of linux/if_addr.h: family, length of the prefix, flags, scope, interface.
IFADDRMSG = struct.Struct("=BBBBI")
IFA_ADDRESS, IFA_LOCAL = 1, 2
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 0x1
NLM_F_DUMP = 0x300
NLMSG_ERROR = 2
NLMSG_DONE = 3
INET_DIAG_SKV6ONLY = 11
NLMSGHDR = struct.Struct("=IHHII")
INET_DIAG_REQ = struct.Struct("=BBBxI48x")
# family, state, ports, addresses, interface, uid, inode; the fields between them are skipped.
INET_DIAG_MSG = struct.Struct("=BBxx2s2s16s16sI8x12xII")
INET_DIAG_REQ_BYTECODE = 1
# struct inet_diag_bc_op with a struct inet_diag_hostcond of any address, and without.
BYTECODE_PORT = struct.Struct("=BBHBBxxi")
BYTECODE_JUMP = struct.Struct("=BBH")
INET_DIAG_BC_JMP = 1
INET_DIAG_BC_S_COND = 7
NLATTR = struct.Struct("=HH")

# capabilities(7): what root needs to see what others have open, and one of two to list it.
CAP_SYS_PTRACE, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 19, 1, 2
NO_CAPABILITY = "Even root lacks the capability {} here: give it to the host's container."
CONFINED = (
    "A security module (SELinux, AppArmor) or a user namespace keeps even root from looking at"
    " some processes: run the task outside of it."
)
OWN_PROCESSES = (
    "This is a container with the network of its host but not with its processes: give it those as"
    " well (--pid=host), or run the task on the host itself."
)
# The numbers of the first namespaces are fixed (linux/proc_ns.h); that of the network's is not, but
# some settings exist there only.
FIRST_PID_NAMESPACE = "pid:[4026531836]"
FIRST_NETWORK_ONLY = "/proc/sys/net/core/netdev_budget"

PROC = ["/proc", "proc"]
HIDING = {"hidepid=2", "hidepid=invisible", "hidepid=4", "hidepid=ptraceable"}

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
    if os.geteuid() != 0 or not is_complete or (not all(holders.values()) and _hides_processes()):
        obstacle = _obstacle()
    return Snapshot(tuple(sockets), holders, obstacle, _has_ipv6(), is_nested=is_nested())


def with_other_states(snapshot: Snapshot, ports: t.Collection[tuple[str, int]]) -> Snapshot:
    """Return the snapshot with what else is on these ports than listeners, and who holds that.

    :param ports: (protocol, port) pairs.
    :raises OSError: neither netlink nor ``/proc/net`` can be read.
    """
    sockets = read_other_states(ports)
    holders, is_complete = find_holders({sock.inode for sock in sockets if sock.inode})
    return replace(
        snapshot,
        sockets=(*snapshot.sockets, *sockets),
        holders={**snapshot.holders, **holders},
        obstacle=snapshot.obstacle or (None if is_complete else _obstacle()),
    )


def _obstacle() -> str:
    """Return why processes may not be looked at, and what to do about it."""
    if os.geteuid() != 0:
        return BECOME
    missing = [] if has_capability(CAP_SYS_PTRACE) else ["SYS_PTRACE"]
    if not has_capability(CAP_DAC_OVERRIDE) and not has_capability(CAP_DAC_READ_SEARCH):
        missing.append("DAC_READ_SEARCH")
    return NO_CAPABILITY.format(listed(missing)) if missing else CONFINED


def has_capability(number: int) -> bool:
    """Tell whether this process has a capability (capabilities(7)) in effect."""
    status = read_text("/proc/self/status")
    effective = next((line for line in status.splitlines() if line.startswith("CapEff:")), "")
    return bool(int(effective.partition(":")[2] or "0", 16) >> number & 1)


def _hides_processes(mounts: str = "/proc/self/mounts") -> bool:
    """Tell whether ``/proc`` leaves out whoever may not be looked at (proc(5), hidepid)."""
    try:
        lines = read_text(mounts).splitlines()
    except OSError:
        return False
    options = [line.split()[3].split(",") for line in lines if line.split()[1:3] == PROC]
    is_hiding = bool(options) and bool(HIDING.intersection(options[-1]))
    return is_hiding and not has_capability(CAP_SYS_PTRACE)


def sees_all_processes() -> bool:
    """Tell whether processes that use this network can be seen.

    Not so in a container that shares the network of the machine but not its processes. A container
    that shares the network of another one can't be told from a host.
    """
    return not is_nested() or not os.path.exists(FIRST_NETWORK_ONLY)


def is_nested() -> bool:
    """Tell whether there are processes outside of those that can be seen, as for a container."""
    try:
        return os.readlink("/proc/self/ns/pid") != FIRST_PID_NAMESPACE
    except OSError:
        return False


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


def read_proc_net(
    root: str = "/proc/net", others: t.Optional[t.Collection[tuple[str, int]]] = None
) -> t.Iterator[Socket]:
    """Yield the sockets that ``/proc/net`` shows.

    :param others: instead of the listeners, what else is on these (protocol, port) pairs.
    :raises OSError: a file can't be read; those of IPv6 may be missing (IPv6 disabled).
    """
    for protocol in BOUND_STATE:
        for suffix in ("", "6"):
            try:
                with open(os.path.join(root, protocol + suffix), encoding="ascii") as file:
                    if others is None:
                        yield from parse_proc_net(file, protocol)
                    else:
                        yield from _parse_other_states(file, protocol, others)
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
        if fields[3] == state.strip():
            yield _parse_row(fields, protocol, byteorder)


def _parse_other_states(
    lines: t.Iterable[str], protocol: str, ports: t.Collection[tuple[str, int]]
) -> t.Iterator[Socket]:
    for line in lines:
        fields = line.split()
        if ":" not in fields[1] or int(fields[3], 16) not in OTHER_STATES[protocol]:
            continue
        if (protocol, int(fields[1].rpartition(":")[2], 16)) in ports:
            yield _parse_row(fields, protocol, sys.byteorder)


def _parse_row(fields: t.Sequence[str], protocol: str, byteorder: str) -> Socket:
    address, port = fields[1].split(":")
    listener = Socket(
        protocol=protocol,
        address=_parse_hex_address(address, byteorder),
        port=int(port, 16),
        v6only=None if len(address) > 8 else False,  # noqa: PLR2004
        uid=int(fields[7]),
        inode=int(fields[9]),
    )
    state = int(fields[3], 16)
    if state == BOUND_STATE[protocol]:
        return listener
    peer, peer_port = fields[2].split(":")
    far = _parse_hex_address(peer, byteorder)
    return replace(listener, **_other_state(protocol, state, far, int(peer_port, 16)))


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


def read_other_states(ports: t.Collection[tuple[str, int]]) -> list[Socket]:
    """Return the sockets on some ports that aren't listeners: they may keep one from starting.

    :param ports: (protocol, port) pairs.
    :raises OSError: neither netlink nor ``/proc/net`` can be read.
    """
    try:
        sockets = _read_other_states(ports)
    except OSError:
        sockets = list(read_proc_net(others=ports))
    return settle_dual_stack(sockets, _read_bindv6only())


def _read_other_states(ports: t.Iterable[tuple[str, int]]) -> list[Socket]:
    """Ask the kernel, which chooses: thousands of connections on other ports cost nothing."""
    found = []
    wanted: dict[str, list[int]] = {}
    for protocol, port in ports:
        wanted.setdefault(protocol, []).append(port)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as link:
        link.settimeout(5)
        for protocol, numbers in sorted(wanted.items()):
            states = sum(1 << state for state in OTHER_STATES[protocol])
            code = _only_ports(sorted(set(numbers)))
            filtering = NLATTR.pack(NLATTR.size + len(code), INET_DIAG_REQ_BYTECODE) + code
            for family in (socket.AF_INET, socket.AF_INET6):
                number = socket.IPPROTO_TCP if protocol == "tcp" else socket.IPPROTO_UDP
                request = INET_DIAG_REQ.pack(family, number, 0, states) + filtering
                found += [parse_diag(payload, protocol) for payload in _dump(link, request)]
    return found


def _only_ports(ports: t.Sequence[int]) -> bytes:
    """Return the program (linux/inet_diag.h) with which the kernel selects sockets by their port.

    Whoever has one of the ports goes to its end and is taken, whoever has none is sent beyond it.
    """
    condition, jump = BYTECODE_PORT.size, BYTECODE_JUMP.size
    code = b""
    for left in reversed(range(len(ports))):
        is_last = left == len(ports) - 1
        no = condition + jump + (4 if is_last else 0)
        port = BYTECODE_PORT.pack(
            INET_DIAG_BC_S_COND, condition, no, socket.AF_UNSPEC, 0, ports[left]
        )
        code = port + BYTECODE_JUMP.pack(INET_DIAG_BC_JMP, jump, jump + len(code)) + code
    return code


def read_addresses() -> dict[str, str]:
    """Return the addresses of this host, with the interfaces that have them.

    :raises OSError: the interface of the kernel is missing or refused.
    """
    found = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE) as link:
        link.settimeout(5)
        for payload in _dump(link, IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0), RTM_GETADDR):
            _family, _prefix, _flags, _scope, index = IFADDRMSG.unpack_from(payload)
            values = dict(_attributes(payload, IFADDRMSG.size))
            # That of a tunnel is its other end, unless its own is told as well.
            raw = values.get(IFA_LOCAL) or values.get(IFA_ADDRESS)
            if raw:
                found[address_text(raw)] = _device(index)
    return found


def _dump(
    link: socket.socket, request: bytes, kind: int = SOCK_DIAG_BY_FAMILY
) -> t.Iterator[bytes]:
    flags = NLM_F_REQUEST | NLM_F_DUMP
    header = NLMSGHDR.pack(NLMSGHDR.size + len(request), kind, flags, 0, 0)
    link.send(header + request)
    while True:
        data = link.recv(1 << 18)
        while len(data) >= NLMSGHDR.size:
            length, answer, _flags, _sequence, _pid = NLMSGHDR.unpack_from(data)
            payload = data[NLMSGHDR.size : length]
            if answer == NLMSG_DONE:
                return
            if answer == NLMSG_ERROR:
                number = -struct.unpack_from("=i", payload)[0]
                raise OSError(number, os.strerror(number))
            yield payload
            data = data[(length + 3) & ~3 :]


def parse_diag(payload: bytes, protocol: str) -> Socket:
    """Return the socket that one ``inet_diag_msg`` with its attributes describes."""
    family, state, port, peer_port, address, peer, index, uid, inode = INET_DIAG_MSG.unpack_from(
        payload
    )
    is_ipv4 = family == socket.AF_INET
    v6only: t.Optional[bool] = False if is_ipv4 else None
    if not is_ipv4:
        for kind, value in _attributes(payload, INET_DIAG_MSG.size):
            if kind == INET_DIAG_SKV6ONLY:
                v6only = value[0] != 0
    listener = Socket(
        protocol=protocol,
        address=address_text(address[:4] if is_ipv4 else address),
        port=int.from_bytes(port, "big"),
        v6only=v6only,
        uid=uid,
        inode=inode,
        device=_device(index) if index else "",
    )
    if state == BOUND_STATE[protocol]:
        return listener
    far = address_text(peer[:4] if is_ipv4 else peer)
    return replace(listener, **_other_state(protocol, state, far, int.from_bytes(peer_port, "big")))


def _attributes(payload: bytes, offset: int) -> t.Iterator[tuple[int, bytes]]:
    """Yield kind and value of the attributes that follow the fixed part of a message."""
    while offset + NLATTR.size <= len(payload):
        length, kind = NLATTR.unpack_from(payload, offset)
        if length < NLATTR.size:
            break
        yield kind, payload[offset + NLATTR.size : offset + length]
        offset += (length + 3) & ~3


def _device(index: int) -> str:
    try:
        return printable(socket.if_indextoname(index))
    except OSError:
        return str(index)


def _other_state(protocol: str, state: int, peer: str, port: int) -> dict[str, t.Any]:
    if protocol == "tcp" and state in (TCP_CLOSE, TCP_BOUND_INACTIVE):
        return {"state": BOUND}
    is_closed = protocol == "tcp" and state in ENDED
    return {"state": CLOSED if is_closed else CONNECTED, "peer": endpoint_text(peer, port)}


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
