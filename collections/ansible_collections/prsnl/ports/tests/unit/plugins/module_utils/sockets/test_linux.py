# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded text of /proc and netlink, and real sockets of other processes."""

from __future__ import annotations

import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import sys
import time
import typing as t
from contextlib import ExitStack, contextmanager

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.sockets import (
    linux,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets import (
    model as sockets,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets import (
    snapshot as listeners,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Snapshot, Socket

# Debian 12 arm64 in a container on Linux 6.18, read over SSH: sshd and two connections to it.
PROC_NET_TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 73640 \
1 00000000356705e7 100 0 0 10 0
   1: 0C4D590A:0016 014D590A:B158 01 00000000:00000000 02:0009DCFC 00000000     0        0 75164 \
2 000000006fa78629 20 4 31 169 -1
"""
# The same machine itself: ::1, ::, ::ffff:127.0.0.1, and a client's socket that only is connected.
PROC_NET_TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000001000000:9973 00000000000000000000000000000000:0000 0A \
00000000:00000000 00:00000000 00000000  1000        0 178347 1 00000000c1fb5049 100 0 0 10 0
   1: 00000000000000000000000000000000:CD9D 00000000000000000000000000000000:0000 0A \
00000000:00000000 00:00000000 00000000     0        0 178346 1 00000000c1fb5049 100 0 0 10 0
   2: 0000000000000000FFFF00000100007F:BFA9 00000000000000000000000000000000:0000 0A \
00000000:00000000 00:00000000 00000000     0        0 178350 1 00000000c1fb5049 100 0 0 10 0
   3: 00000000000000000000000001000000:9974 00000000000000000000000001000000:0A0A 01 \
00000000:00000000 00:00000000 00000000     0        0 178351 1 00000000c1fb5049 20 0 0 10 -1
"""
PROC_NET_UDP = """\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode \
ref pointer drops
  717: 0100007F:C5A5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 178348 \
2 000000009957506d 0
  718: 0100007F:C5A6 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 178352 \
2 000000009957506d 0
"""
# sshd in a container under systemd on a machine with hybrid cgroups; uvicorn under cgroup v2.
CGROUP_HYBRID = """\
14:net_cls,net_prio:/
9:name=systemd:/libpod_parent/libpod-8d30e7601f8d18ca/system.slice/ssh.service
4:memory:/libpod_parent/libpod-8d30e7601f8d18ca
0::/libpod_parent/libpod-8d30e7601f8d18ca/system.slice/ssh.service
"""


def test_proc_net_shows_the_listeners_only() -> None:
    assert list(linux.parse_proc_net(PROC_NET_TCP.splitlines(), "tcp", "little")) == [
        Socket("tcp", "0.0.0.0", 22, False, 0, 73640)
    ]


def test_proc_net_of_ipv6_does_not_tell_v6only() -> None:
    assert list(linux.parse_proc_net(PROC_NET_TCP6.splitlines(), "tcp", "little")) == [
        Socket("tcp", "::1", 39283, None, 1000, 178347),
        Socket("tcp", "::", 52637, None, 0, 178346),
        Socket("tcp", "::ffff:127.0.0.1", 49065, None, 0, 178350),
    ]


def test_udp_sockets_count_unless_they_are_connected() -> None:
    assert list(linux.parse_proc_net(PROC_NET_UDP.splitlines(), "udp", "little")) == [
        Socket("udp", "127.0.0.1", 50597, False, 0, 178348)
    ]


def test_addresses_are_in_the_order_of_the_machine_that_wrote_them() -> None:
    line = PROC_NET_UDP.splitlines()[1].replace("0100007F:", "7F000001:")
    assert next(linux.parse_proc_net([line], "udp", "big")).address == "127.0.0.1"


# The answer of Linux 6.18 about a v6only socket of root on [::]:48080.
DIAG_TCP6 = bytes.fromhex(
    "0a0a0000bbd00000000000000000000000000000000000000000000000000000000000000000000000000000"
    "02000000000000000000000000000000800000000000000024da0300050008000000000005000b0001000000"
    "08000f00000000000c00150001000000000000000600160012000000"
)


@pytest.mark.skipif(sys.byteorder == "big", reason="recorded on a little-endian machine")
def test_netlink_tells_v6only() -> None:
    assert linux.parse_diag(DIAG_TCP6, "tcp") == Socket("tcp", "::", 48080, True, 0, 252452)


@pytest.mark.parametrize(
    ("address", "bindv6only", "own_ipv4", "expected"),
    [
        ("::", False, False, False),
        ("::", False, True, True),
        ("::", True, False, True),
        ("::1", True, False, False),
    ],
)
def test_dual_stack_is_settled_where_the_kernel_does_not_tell(
    address: str, bindv6only: bool, own_ipv4: bool, expected: bool
) -> None:
    made = [Socket("tcp", address, 80, None, 0, 1)]
    # Neither another protocol nor another port says anything about this one.
    made.append(Socket("udp", "0.0.0.0", 80, False, 0, 2))
    made.append(Socket("tcp", "0.0.0.0", 81, False, 0, 3))
    if own_ipv4:
        made.append(Socket("tcp", "0.0.0.0", 80, False, 0, 4))
    assert sockets.settle_dual_stack(made, bindv6only)[0].v6only is expected


def test_what_the_kernel_told_stays() -> None:
    told = Socket("tcp", "::", 80, False, 0, 1)
    assert sockets.settle_dual_stack([told], True) == [told]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CGROUP_HYBRID, "ssh.service"),
        (
            "0::/system.slice/system-postgresql.slice/postgresql@16-main.service\n",
            "postgresql@16-main.service",
        ),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vite.service\n",
            "vite.service",
        ),
        ("0::/user.slice/user-1000.slice/user@1000.service/init.scope\n", "init.scope"),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope"),
        ("0::/system.slice/docker-4f1c.scope/payload\n", "docker-4f1c.scope"),
        ("1:name=systemd:/\n0::/system.slice/cron.service\n", "cron.service"),
        ("0::/\n", None),
        ("", None),
    ],
)
def test_unit(text: str, expected: str | None) -> None:
    assert linux.parse_unit(linux.parse_cgroup(text)) == expected


def test_a_name_with_brackets_and_spaces_does_not_shift_the_fields() -> None:
    fields = " ".join(str(number) for number in range(4, 53))
    assert linux.parse_stat(f"812 (a) b (c\n) S {fields}\n") == ("a) b (c\\x0a", 4, 22)


def test_the_effective_user_counts() -> None:
    assert linux.parse_effective_uid("Name:\tx\nUid:\t0\t33\t0\t0\nGid:\t0\t0\t0\t0\n") == 33


def test_a_user_without_a_name_is_a_number() -> None:
    assert sockets.user_name(0) == "root"
    assert sockets.user_name(3_999_999_999) == "3999999999"


# --- real sockets --------------------------------------------------------------------------------

PROGRAM = """
import os, socket, sys
keep = []
for word in sys.argv[2:]:
    family, kind, address, v6only = word.split(",")
    sock = socket.socket(getattr(socket, family), getattr(socket, kind))
    if v6only:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(v6only))
    sock.bind((address, 0))
    if kind == "SOCK_STREAM":
        sock.listen()
    print(sock.getsockname()[1], flush=True)
    keep.append(sock)
uid, children = map(int, sys.argv[1].split(","))
for _ in range(children):
    if os.fork() == 0:
        sys.stdin.read()
        os._exit(0)
if uid:
    os.setuid(uid)
print("ready", flush=True)
sys.stdin.read()
"""


class Program(t.NamedTuple):
    pid: int
    ports: list[int]


@contextmanager
def holding(*sockets: str, uid: int = 0, children: int = 0) -> t.Iterator[Program]:
    """Another process that holds sockets, each `family,kind,address,v6only`."""
    arguments = [sys.executable, "-c", PROGRAM, f"{uid},{children}", *sockets]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ports = [int(process.stdout.readline()) for _socket in sockets]
        assert process.stdout.readline() == "ready\n"
        yield Program(process.pid, ports)
        process.stdin.close()


@pytest.fixture(params=["netlink", "proc"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Read the sockets in one way and in the other."""
    if request.param == "proc":

        def refuse() -> t.NoReturn:
            raise OSError("Protocol not supported")

        monkeypatch.setattr(linux, "read_netlink", refuse)
        return "proc"
    try:
        list(linux.read_netlink())
    except OSError as error:
        pytest.skip(f"no SOCK_DIAG here: {error}")
    return "netlink"


def found(snapshot: sockets.Snapshot, protocol: str, port: int) -> list[tuple[str, bool | None]]:
    return [
        (s.address, s.v6only) for s in snapshot.sockets if (s.protocol, s.port) == (protocol, port)
    ]


def holders(snapshot: sockets.Snapshot, port: int) -> list[sockets.Holder]:
    return [
        holder for s in snapshot.sockets if s.port == port for holder in snapshot.holders[s.inode]
    ]


def test_every_kind_of_socket_is_seen(source: str) -> None:
    kinds = {
        "AF_INET,SOCK_STREAM,127.0.0.1,": ("tcp", "127.0.0.1", False),
        "AF_INET,SOCK_STREAM,0.0.0.0,": ("tcp", "0.0.0.0", False),
        "AF_INET,SOCK_DGRAM,127.0.0.1,": ("udp", "127.0.0.1", False),
        "AF_INET6,SOCK_STREAM,::,0": ("tcp", "::", False),
        "AF_INET6,SOCK_DGRAM,::,0": ("udp", "::", False),
        "AF_INET6,SOCK_STREAM,::ffff:127.0.0.1,0": ("tcp", "::ffff:127.0.0.1", False),
    }
    with holding(*kinds) as program:
        snapshot = listeners.take_snapshot()
        for port, (protocol, address, v6only) in zip(program.ports, kinds.values(), strict=True):
            assert found(snapshot, protocol, port) == [(address, v6only)]
            assert [holder.pid for holder in holders(snapshot, port)] == [program.pid]


def test_v6only_is_read_from_netlink() -> None:
    try:
        list(linux.read_netlink())
    except OSError as error:
        pytest.skip(f"no SOCK_DIAG here: {error}")
    with holding("AF_INET6,SOCK_STREAM,::,1", "AF_INET6,SOCK_DGRAM,::,1") as program:
        snapshot = listeners.take_snapshot()
        assert found(snapshot, "tcp", program.ports[0]) == [("::", True)]
        assert found(snapshot, "udp", program.ports[1]) == [("::", True)]


def test_every_process_that_holds_a_socket_is_seen(source: str) -> None:
    with holding("AF_INET,SOCK_STREAM,127.0.0.1,", children=3) as program:
        seen = holders(listeners.take_snapshot(), program.ports[0])
    assert len(seen) == 4
    assert program.pid in [holder.pid for holder in seen]


def test_a_holder_is_described(source: str) -> None:
    with holding("AF_INET,SOCK_STREAM,127.0.0.1,") as program:
        (holder,) = holders(listeners.take_snapshot(), program.ports[0])
        with open(f"/proc/{program.pid}/comm", encoding="utf-8") as comm:
            assert holder.process == comm.read().strip()
    assert holder.executable == os.path.realpath(sys.executable)
    assert holder.user == pwd.getpwuid(os.geteuid()).pw_name
    assert abs(holder.since - time.time()) < 10


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_another_user_is_seen(source: str) -> None:
    nobody = pwd.getpwnam("nobody")
    with holding("AF_INET,SOCK_STREAM,127.0.0.1,", uid=nobody.pw_uid) as program:
        (holder,) = holders(listeners.take_snapshot(), program.ports[0])
    assert holder.user == "nobody"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_an_unprivileged_reader_sees_the_socket_but_not_the_holder() -> None:
    with holding("AF_INET,SOCK_STREAM,127.0.0.1,") as program:
        reader = os.fork()
        if reader == 0:
            code = 1
            try:
                os.setuid(pwd.getpwnam("nobody").pw_uid)
                snapshot = listeners.take_snapshot()
                seen = found(snapshot, "tcp", program.ports[0]) == [("127.0.0.1", False)]
                hidden = (
                    holders(snapshot, program.ports[0]) == []
                    and snapshot.obstacle == sockets.BECOME
                )
                code = 0 if seen and hidden else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1]) == 0


@pytest.mark.parametrize(
    ("has_capability", "obstacle"),
    [
        (False, linux.NO_CAPABILITY.format("SYS_PTRACE and DAC_READ_SEARCH")),
        (True, linux.CONFINED),
    ],
)
def test_a_root_that_may_not_look_at_a_process_says_so(
    monkeypatch: pytest.MonkeyPatch, has_capability: bool, obstacle: str
) -> None:
    listdir = os.listdir

    def refuse(path: str) -> list[str]:
        if path.endswith("/fd"):
            raise PermissionError(path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(linux, "has_capability", lambda _number: has_capability)
    with holding("AF_INET,SOCK_STREAM,127.0.0.1,") as program:
        snapshot = listeners.take_snapshot()
        assert holders(snapshot, program.ports[0]) == []
        assert snapshot.obstacle == obstacle


LOOK = """
import sys
from ansible_collections.prsnl.ports.plugins.module_utils.sockets import linux, snapshot
seen = snapshot.take_snapshot({("tcp", int(sys.argv[1]))})
inode = next(s.inode for s in seen.sockets if s.port == int(sys.argv[1]))
print(len(seen.holders[inode]), seen.obstacle == linux.NO_CAPABILITY.format("SYS_PTRACE"))
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root, and setpriv"
)
def test_a_root_without_the_capability_does_not_take_a_process_for_the_kernel() -> None:
    """The kernel lists what such a process has open, and refuses to say what it is."""
    command = ["setpriv", "--bounding-set=-sys_ptrace", sys.executable, "-c", LOOK]
    env = os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parents[8])}
    with holding("AF_INET,SOCK_STREAM,127.0.0.1,", uid=pwd.getpwnam("nobody").pw_uid) as program:
        port = str(program.ports[0])
        done = subprocess.run(
            [*command, port], env=env, capture_output=True, text=True, check=False
        )
    assert (done.stdout.split(), done.stderr) == (["0", "True"], "")


def test_a_process_of_another_network_hides_nothing_of_ours(tmp_path: pathlib.Path) -> None:
    """Nor does one that has ended."""
    for name in ("self", "7", "8"):
        (tmp_path / name / "net").mkdir(parents=True)
    (tmp_path / "self" / "net" / "tcp").write_text("")
    os.link(tmp_path / "self" / "net" / "tcp", tmp_path / "7" / "net" / "tcp")
    (tmp_path / "8" / "net" / "tcp").write_text("")
    shared = [linux._shares_network(pid, str(tmp_path)) for pid in (7, 8, 9)]
    assert shared == [True, False, False]
    assert linux._shares_network(7, "/nonexistent")


@pytest.mark.parametrize(
    ("namespace", "is_first_network", "sees"),
    [
        (linux.FIRST_PID_NAMESPACE, True, True),
        (linux.FIRST_PID_NAMESPACE, False, True),
        ("pid:[4026532800]", False, True),
        # docker run --network=host without --pid=host.
        ("pid:[4026532800]", True, False),
    ],
)
def test_a_container_on_the_machines_network_does_not_see_its_processes(
    monkeypatch: pytest.MonkeyPatch, namespace: str, is_first_network: bool, sees: bool
) -> None:
    monkeypatch.setattr(os, "readlink", lambda _path: namespace)
    monkeypatch.setattr(os.path, "exists", lambda _path: is_first_network)
    assert linux.sees_all_processes() is sees


def test_who_may_be_outside_is_said_only_where_somebody_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = Socket("tcp", "127.0.0.1", 80, False, 0, 4_000_000_000)
    monkeypatch.setattr(linux, "sees_all_processes", lambda: False)
    monkeypatch.setattr(linux, "find_holders", lambda inodes: (dict.fromkeys(inodes, ()), True))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for found, obstacle in (([kept], linux.OWN_PROCESSES), ([], None)):
        monkeypatch.setattr(linux, "read_sockets", lambda found=found: found)
        assert listeners.take_snapshot().obstacle == obstacle


def test_only_the_holders_that_are_asked_for_are_looked_up() -> None:
    kind = "AF_INET,SOCK_STREAM,127.0.0.1,"
    with holding(kind, kind) as program:
        wanted, other = program.ports
        snapshot = listeners.take_snapshot({("tcp", wanted), ("udp", other)})
        inodes = {s.port: s.inode for s in snapshot.sockets}
        assert [holder.pid for holder in snapshot.holders[inodes[wanted]]] == [program.pid]
        assert inodes[other] not in snapshot.holders


def test_a_socket_that_closes_between_two_readings_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = Socket("tcp", "127.0.0.1", 80, False, 0, 4_000_000_000)
    readings = iter([[gone], []])
    monkeypatch.setattr(linux, "read_sockets", lambda: next(readings))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert listeners.take_snapshot().sockets == ()


def test_proc_net_without_ipv6(tmp_path: t.Any) -> None:
    (tmp_path / "tcp").write_text(PROC_NET_TCP)
    (tmp_path / "udp").write_text("")
    assert len(list(linux.read_proc_net(str(tmp_path)))) == 1
    (tmp_path / "udp").unlink()
    with pytest.raises(FileNotFoundError):
        list(linux.read_proc_net(str(tmp_path)))


def test_a_closed_port_is_not_seen(source: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert found(listeners.take_snapshot(), "tcp", port)
    assert not found(listeners.take_snapshot(), "tcp", port)


def test_sockets_alone_are_read_without_a_look_at_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with holding("AF_INET,SOCK_STREAM,127.0.0.1,") as program:
        monkeypatch.setattr(os, "listdir", lambda _path: pytest.fail("looked at processes"))
        found = [sock for sock in listeners.read_sockets() if sock.port == program.ports[0]]
        assert [(sock.protocol, sock.address) for sock in found] == [("tcp", "127.0.0.1")]


@contextmanager
def other_states(family: socket.AddressFamily) -> t.Iterator[dict[tuple[str, int], str]]:
    """Sockets that don't listen, by protocol and port, and what we should call them."""
    loopback = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    with ExitStack() as stack:

        def opened(kind: int = socket.SOCK_STREAM) -> socket.socket:
            sock = stack.enter_context(socket.socket(family, kind))
            sock.bind((loopback, 0))
            return sock

        server = opened()
        server.listen()
        client, ended = opened(), opened()
        client.connect(server.getsockname())
        ended.connect(server.getsockname())
        accepted, other = server.accept()[0], server.accept()[0]
        stack.enter_context(accepted)
        idle, datagrams = opened(), opened(socket.SOCK_DGRAM)
        datagrams.connect((loopback, 9))
        names = {
            ("tcp", server.getsockname()[1]): sockets.CONNECTED,
            ("tcp", client.getsockname()[1]): sockets.CONNECTED,
            ("tcp", ended.getsockname()[1]): sockets.CLOSED,
            ("tcp", idle.getsockname()[1]): sockets.BOUND,
            ("udp", datagrams.getsockname()[1]): sockets.CONNECTED,
        }
        ended.close()
        other.close()
        yield names


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
def test_sockets_that_do_not_listen_are_told_by_what_they_are(
    family: socket.AddressFamily,
) -> None:
    with other_states(family) as expected:
        by_kernel = {(s.protocol, s.port): s for s in linux.read_other_states(set(expected))}
        by_proc = {(s.protocol, s.port): s for s in linux.read_proc_net(others=set(expected))}
        found = {key: sock.state for key, sock in by_kernel.items()}
        bound = {key for key, state in expected.items() if state == sockets.BOUND}
        # What is bound only is told since Linux 6.8, and never by /proc/net.
        assert {**expected, **found} == expected
        assert set(expected) - set(found) <= bound
        assert {key: sock.state for key, sock in by_proc.items()} == {
            key: state for key, state in expected.items() if key not in bound
        }
        for key, sock in by_proc.items():
            assert (sock.address, sock.peer) == (by_kernel[key].address, by_kernel[key].peer)
        snapshot = linux.with_other_states(Snapshot((), {}, None, True), set(expected))
        holders = {s.state: snapshot.holders.get(s.inode) for s in snapshot.sockets}
        assert [holder.pid for holder in holders[sockets.CONNECTED] or ()] == [os.getpid()]
        assert not holders[sockets.CLOSED]


def test_the_kernel_chooses_among_many_ports() -> None:
    with other_states(socket.AF_INET) as expected:
        (port,) = [port for (_protocol, port), state in expected.items() if state == sockets.CLOSED]
        many = {("tcp", number) for number in range(1, 2000)} | {("tcp", port)}
        assert [sock.port for sock in linux.read_other_states(many) if sock.port == port] == [port]
        assert linux.read_other_states(set()) == []
        assert linux.read_other_states({("udp", port)}) == []


def test_the_addresses_of_this_host_have_devices() -> None:
    found = linux.read_addresses()
    assert found["127.0.0.1"] == "lo"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to bind to a device")
def test_the_device_of_a_socket_is_told() -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        sock.bind(("0.0.0.0", 0))
        sock.listen()
        port = sock.getsockname()[1]
        (found,) = [s for s in linux.read_sockets() if s.port == port]
    assert str(found) == f"0.0.0.0%lo:{port}"


@pytest.mark.parametrize(
    ("options", "may_trace", "hides"),
    [
        ("rw,nosuid", False, False),
        ("rw,hidepid=1", False, False),
        ("rw,hidepid=2", False, True),
        ("rw,hidepid=invisible,gid=10", False, True),
        ("rw,hidepid=ptraceable", False, True),
        ("rw,hidepid=2", True, False),
    ],
)
def test_processes_that_proc_leaves_out(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    options: str,
    may_trace: bool,
    hides: bool,
) -> None:
    (tmp_path / "mounts").write_text(f"/dev/sda / ext4 rw 0 0\nproc /proc proc {options} 0 0\n")
    monkeypatch.setattr(linux, "has_capability", lambda _number: may_trace)
    assert linux._hides_processes(str(tmp_path / "mounts")) is hides


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root, and setpriv"
)
@pytest.mark.parametrize(
    ("dropped", "missing"),
    [
        ("-sys_ptrace,-dac_override,-dac_read_search", "SYS_PTRACE and DAC_READ_SEARCH"),
        ("-dac_override,-dac_read_search", "DAC_READ_SEARCH"),
        ("-sys_ptrace", "SYS_PTRACE"),
    ],
)
@pytest.mark.parametrize("hidepid", [False, True], ids=["seen", "hidden"])
def test_the_missing_capabilities_are_named(dropped: str, missing: str, hidepid: bool) -> None:
    """Also where /proc doesn't even show the process."""
    if hidepid and "ptrace" not in dropped:
        pytest.skip("with SYS_PTRACE, nothing is hidden")
    mount = "mount -t proc -o hidepid=2 proc /proc || exit 77;" if hidepid else ""
    command = ["unshare", "--mount", "sh", "-c", f'{mount} exec "$@"', "sh"]
    command += ["setpriv", f"--bounding-set={dropped}", sys.executable, "-c", SEE]
    env = os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parents[8])}
    with holding("AF_INET,SOCK_STREAM,127.0.0.1,", uid=pwd.getpwnam("nobody").pw_uid) as program:
        done = subprocess.run(
            [*command, str(program.ports[0])], env=env, capture_output=True, text=True, check=False
        )
    if done.returncode == 77:
        pytest.skip("proc can't be mounted here")
    assert done.stderr == ""
    assert done.stdout.strip() == linux.NO_CAPABILITY.format(missing)


SEE = """
import sys
from ansible_collections.prsnl.ports.plugins.module_utils.sockets import snapshot
print(snapshot.take_snapshot({("tcp", int(sys.argv[1]))}).obstacle)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ss"), reason="needs root for namespaces, and ss"
)
def test_500_random_sets_are_what_the_kernels_own_tool_lists() -> None:
    """Seeded by the clock: a failure prints the seed with which to run truth.py again."""
    seed = time.time_ns() % 1_000_000
    done = subprocess.run(
        [sys.executable, str(pathlib.Path(__file__).with_name("truth.py")), "500", str(seed)],
        env=os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parents[8])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    *differs, compared = done.stdout.splitlines()
    assert differs == []
    assert int(compared) > 2000


@pytest.mark.parametrize(
    ("group", "unit"),
    [
        ("0::/system.slice/a\x1b[2Jb.service", "a\\x1b[2Jb.service"),
        ("0::/system.slice/a\u202eb.service", "a\\u202eb.service"),
        ("0::/user.slice/a\u200bb.scope", "a\\u200bb.scope"),
    ],
)
def test_a_control_group_of_any_name_is_printable(group: str, unit: str) -> None:
    """Whoever may make one chooses its name."""
    assert linux.parse_unit(linux.parse_cgroup(group)) == unit
