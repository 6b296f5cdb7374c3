# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rules let through, by real packets between two network namespaces."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.nftables_rules import render
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import (
    Admission,
    Policy,
    merge,
    read_openings,
)
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import read_endpoints
from networks import HOST, PEER, Networks, networks, nft_works
from worlds import entry

pytestmark = pytest.mark.skipif(
    not nft_works(), reason="needs root, and nft in a network namespace"
)
CLOSED = 4711


@pytest.fixture
def net() -> t.Iterator[Networks]:
    with networks() as made:
        yield made


LISTEN = """
import socket
server = socket.create_server(({address!r}, {port}), family={family})
print("ready", flush=True)
stream = server.accept()[0]
print("accepted", flush=True)
stream.settimeout(3)
while input() == "read":
    try:
        print(stream.recv(9).decode(), flush=True)
    except OSError as error:
        print(error, flush=True)
"""
CONNECT = """
import socket
stream = socket.create_connection(({address!r}, {port}))
print("ready", flush=True)
stream.settimeout(3)
while True:
    words = input().split()
    try:
        if words[0] == "say":
            stream.sendall(words[1].encode())
        print(stream.recv(9).decode() if words[0] == "read" else "said", flush=True)
    except OSError as error:
        print(error, flush=True)
"""
FAMILY = {4: "socket.AF_INET", 6: "socket.AF_INET6"}
ANY = {4: "0.0.0.0", 6: "::"}


def ask(process: t.Any, line: str = "") -> str:
    if line:
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
    answer: str = process.stdout.readline().strip()
    return answer


@pytest.mark.parametrize("reject", [True, False], ids=["reject", "drop"])
@pytest.mark.parametrize(
    ("family", "address"),
    [(4, ANY[4]), (6, ANY[6]), (4, HOST[4])],
    ids=["IPv4", "IPv6", "one address"],
)
def test_a_connection_from_before_stays_when_the_peer_speaks_first(
    net: Networks, family: int, address: str, reject: bool
) -> None:
    """Nothing has tracked connections before, so the kernel takes the packet for a new one's."""
    listen = LISTEN.format(address=address, port=CLOSED, family=FAMILY[family])
    with net.start(net.host, listen) as server:
        assert ask(server) == "ready"
        connect = CONNECT.format(address=HOST[family], port=CLOSED)
        with net.start(net.peer, connect) as client:
            assert (ask(client), ask(server)) == ("ready", "accepted")
            net.load(render(Policy((), (22,), reject=reject)))
            assert ask(client, "say hello") == "said"
            assert ask(server, "read") == "hello"
            assert not net.connects(CLOSED, family), "a new one is refused"
            net.on_host("sh", "-c", "nft list ruleset")
            client.kill()
        server.kill()


@pytest.mark.parametrize("family", [4, 6])
def test_so_does_one_that_the_host_had_begun(net: Networks, family: int) -> None:
    peer = LISTEN.format(address=ANY[family], port=CLOSED, family=FAMILY[family]).replace(
        "print(stream.recv(9).decode(), flush=True)", "stream.sendall(b'hello')"
    )
    with net.start(net.peer, peer) as server:
        assert ask(server) == "ready"
        connect = CONNECT.format(address=PEER[family], port=CLOSED)
        with net.start(net.host, connect) as client:
            assert (ask(client), ask(server)) == ("ready", "accepted")
            net.load(render(Policy((), (22,))))
            server.stdin.write("read\n")  # type: ignore[union-attr]
            server.stdin.flush()  # type: ignore[union-attr]
            assert ask(client, "read") == "hello"
            client.kill()
        server.kill()


def test_so_does_one_whose_tracking_is_forgotten(net: Networks) -> None:
    """The kernel's table of connections is full, or was emptied."""
    with net.start(
        net.host, LISTEN.format(address=ANY[4], port=CLOSED, family=FAMILY[4])
    ) as server:
        assert ask(server) == "ready"
        with net.start(net.peer, CONNECT.format(address=HOST[4], port=CLOSED)) as client:
            assert (ask(client), ask(server)) == ("ready", "accepted")
            for word in ("one", "two"):
                net.load(render(Policy((), (22,))))
                assert ask(client, f"say {word}") == "said"
                assert ask(server, "read") == word
                # Without anybody who tracks, the kernel forgets all connections.
                net.on_host("nft", "delete", "table", "inet", "prsnl_ports")
            client.kill()
        server.kill()


def test_a_stray_packet_reaches_no_program(net: Networks) -> None:
    """An acknowledgement without a connection opens none, and its sender can't open one then."""
    port = CLOSED
    with net.start(net.host, LISTEN.format(address=HOST[4], port=port, family=FAMILY[4])) as server:
        assert ask(server) == "ready"
        net.load(render(Policy((), (22,))))
        script = STRAY.format(source=PEER[4], target=HOST[4], port=port)
        with net.start(net.peer, script) as sender:
            assert ask(sender) == "refused"
        server.kill()


STRAY = """
import socket, struct
def checksum(data):
    total = sum(struct.unpack(f"!{{len(data) // 2}}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
pseudo = socket.inet_aton({source!r}) + socket.inet_aton({target!r}) + struct.pack("!BBH", 0, 6, 20)
head = struct.pack("!HHIIBBHHH", 40000, {port}, 1, 1, 0x50, 0x10, 1024, 0, 0)
head = head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]
raw.sendto(head, ({target!r}, 0))
stream = socket.socket()
stream.settimeout(1)
stream.bind(({source!r}, 40000))
try:
    stream.connect(({target!r}, {port}))
    print("connected")
except OSError:
    print("refused")
"""


RECEIVE = """
import socket
raw = socket.socket(socket.{family}, socket.SOCK_RAW, {protocol})
raw.settimeout(1)
if {group!r}:
    member = socket.inet_aton({group!r}) + socket.inet_aton({host!r})
    raw.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
print("ready", flush=True)
try:
    raw.recv(2000)
    print("received", flush=True)
except OSError:
    print("not received", flush=True)
"""
SEND = """
import socket
raw = socket.socket(socket.{family}, socket.SOCK_RAW, {protocol})
if {group!r}:
    raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton({peer!r}))
raw.sendto(b"!3e" + bytes(9), ({to!r}, 0))
"""


def receives(net: Networks, protocol: int, family: int = 4, group: str = "") -> bool:
    """Whether a packet of the peer by an IP protocol reaches a program of the host."""
    names = {"protocol": protocol, "group": group, "host": HOST[4], "peer": PEER[4]}
    names |= {"family": f"AF_INET{'6' if family == 6 else ''}", "to": group or HOST[family]}
    with net.start(net.host, RECEIVE.format(**names)) as receiver:
        assert ask(receiver) == "ready"
        net.start(net.peer, SEND.format(**names)).communicate(timeout=10)
        return ask(receiver) == "received"


@pytest.mark.parametrize(
    ("protocol", "family", "group"),
    [(112, 4, "224.0.0.18"), (50, 4, ""), (47, 4, ""), (89, 4, "224.0.0.5"), (47, 6, "")],
    ids=["VRRP", "ESP", "GRE", "OSPF", "GRE by IPv6"],
)
def test_a_protocol_without_ports_comes_from_its_consumers_only(
    net: Networks, protocol: int, family: int, group: str
) -> None:
    def load(*admissions: Admission) -> bool:
        net.load(render(Policy((), (22,), admissions=admissions)))
        return receives(net, protocol, family, group)

    assert receives(net, protocol, family, group), "without rules"
    assert not load()
    assert load(Admission("x", protocol, merge([PEER[family]])))
    assert not load(Admission("x", protocol, merge(["192.0.2.1"])))
    assert not load(Admission("x", protocol + 1, merge([PEER[family]])))


DISCOVER = """
import socket, struct
def checksum(data):
    total = sum(struct.unpack(f"!{{len(data) // 2}}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(("c0", 0x0800))
payload = struct.pack("!HHHH", 68, {port}, 16, 0) + bytes(8)
head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 36, 1, 0, 64, 17, 0, bytes(4), bytes([255] * 4))
head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
raw.send(bytes([255] * 6) + raw.getsockname()[4] + bytes([8, 0]) + head + payload)
"""
SERVE_UDP = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.settimeout(1)
server.bind(("0.0.0.0", {port}))
print("ready", flush=True)
try:
    print("from", server.recvfrom(99)[1][0], flush=True)
except OSError:
    print("nothing", flush=True)
"""


@pytest.mark.parametrize(
    ("port", "broadcast", "expected"),
    [(67, False, "from 0.0.0.0"), (4011, True, "from 0.0.0.0"), (4011, False, "nothing")],
    ids=["DHCP", "told so", "any other service"],
)
def test_a_client_without_an_address_is_heard(
    net: Networks, port: int, broadcast: bool, expected: str
) -> None:
    net.on_host("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.c0.rp_filter=0")
    guests = [{"consumer": "guests", "host": None, "cidr": "198.51.100.0/24"}]
    given = entry("dnsmasq.dhcp", port, protocol="udp", sources=guests, broadcast=broadcast)
    net.load(render(Policy(read_openings(read_endpoints([given]), {}), (22,))))
    with net.start(net.host, SERVE_UDP.format(port=port)) as server:
        assert ask(server) == "ready"
        net.start(net.peer, DISCOVER.format(port=port)).communicate(timeout=10)
        assert ask(server) == expected
