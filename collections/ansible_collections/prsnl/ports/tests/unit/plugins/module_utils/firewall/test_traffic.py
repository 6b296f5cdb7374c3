# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rules let through, by real packets between two network namespaces."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.nftables_rules import render
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import Policy
from networks import HOST, PEER, Networks, networks, nft_works

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
