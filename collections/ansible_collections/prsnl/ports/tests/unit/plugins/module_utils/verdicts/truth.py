# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Truth by trial: is a port that we call free one that can be had, and no other?

Random worlds of sockets and rules in a network namespace, which has a neighbour in another one.
Each endpoint of a random plan is judged by us, then bound and listened on in earnest, and the
neighbour (or the host itself, on loopback) sends a packet to it.

Usage: truth.py <number of worlds> <seed>. Needs root, ip and nft. Prints a line for each verdict
that isn't the truth, and at last how many were compared and how many of them were free. A program,
because it changes its own namespace.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import errno
import ipaddress
import os
import random
import select
import socket
import subprocess
import sys
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import HostEndpoint
from ansible_collections.prsnl.ports.plugins.module_utils.plan.owners import ExpectedOwner
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts import before

CLONE_NEWNET = 0x40000000
SO_BINDTODEVICE = 25
PORTS = (1024, 1025)
EPHEMERAL, USUAL = (1025, 1026), (32768, 60999)
ELSEWHERE = 4999
OURS = {4: "10.99.0.1", 6: "fd99::1"}
SECOND = {4: "10.99.0.7", 6: "fd99::7"}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
ANY = {4: "0.0.0.0", 6: "::"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
KIND = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
NOBODY = ExpectedOwner(("nobody-has-this-name",))
# Seconds to wait for a packet that should come, and for one that shouldn't.
LONG, SHORT = 1.0, 0.03
# How many share a pair of namespaces.
WORLDS = 25


def unshare() -> None:
    """Go into a network namespace of its own."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def run(*commands: str) -> None:
    for command in commands:
        subprocess.run(command.split(), check=True, stdout=subprocess.DEVNULL)


class Neighbour:
    """A process in a namespace at the other end of our cable; it sends what it is told to."""

    def __init__(self) -> None:
        theirs, self._commands = os.pipe()
        self._answers, ours = os.pipe()
        unshare()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._commands)
            unshare()
            os.write(ours, b".")
            self._serve(theirs)
            os._exit(0)
        os.close(theirs)
        os.read(self._answers, 1)
        run(
            "ip link set lo up",
            f"ip link add v0 type veth peer name v1 netns {self.pid}",
            "ip addr add 10.99.0.1/24 dev v0",
            "ip addr add 10.99.0.7/24 dev v0",
            "ip addr add fd99::1/64 dev v0 nodad",
            "ip addr add fd99::7/64 dev v0 nodad",
            "ip link set v0 up",
        )
        enter = f"nsenter --net=/proc/{self.pid}/ns/net ip"
        run(
            f"{enter} link set lo up",
            f"{enter} addr add 10.99.0.2/24 dev v1",
            f"{enter} addr add fd99::2/64 dev v1 nodad",
            f"{enter} link set v1 up",
        )

    def _serve(self, commands: int) -> None:
        with os.fdopen(commands) as lines:
            for line in lines:
                send(*line.split())

    def send(self, protocol: str, address: str, port: int) -> None:
        """Send a packet to a port, from outside or, on loopback, from this host."""
        if ipaddress.ip_address(address).is_loopback:
            send(protocol, address, str(port))
        else:
            os.write(self._commands, f"{protocol} {address} {port}\n".encode())


keep: collections.deque[socket.socket] = collections.deque(maxlen=8)


def send(protocol: str, address: str, port: str) -> None:
    """Start to connect, or send a datagram; whether it comes through is for the other end."""
    version = ipaddress.ip_address(address).version
    sock = socket.socket(FAMILY[version], KIND[protocol])
    sock.setblocking(False)
    with contextlib.suppress(OSError):
        if protocol == "udp":
            sock.sendto(b"?", (address, int(port)))
        else:
            sock.connect((address, int(port)))
    keep.append(sock)


# --- worlds --------------------------------------------------------------------------------------


def make_world(rng: random.Random) -> tuple[list[socket.socket], list[str]]:
    """Sockets and rules of every kind."""
    made: list[socket.socket] = []
    with ephemeral(rng.choice((EPHEMERAL, USUAL, USUAL))):
        for _number in range(rng.randrange(16)):
            with contextlib.suppress(OSError):
                made += rng.choice((listener, listener, bound, outgoing, datagrams))(rng)
    rules = [rule for _number in range(rng.choice((0, 0, 1, 2))) if (rule := make_rule(rng))]
    if rules:
        lines = "\n".join(f"add rule inet w {rule}" for rule in rules)
        base = "{ type nat hook %s priority -100; }"
        text = (
            f"add table inet w\nadd chain inet w pre {base % 'prerouting'}\n"
            f"add chain inet w out {base % 'output'}\nadd chain inet w published\n{lines}\n"
        )
        subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)
    return made, rules


@contextlib.contextmanager
def ephemeral(ports: t.Sequence[int]) -> t.Iterator[None]:
    """Let the kernel choose among these for connections, and then among others again."""
    allow(ports)
    yield
    allow(USUAL)


def allow(ports: t.Sequence[int]) -> None:
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w", encoding="ascii") as file:
        file.write(f"{ports[0]} {ports[-1]}")


def make_socket(rng: random.Random, protocol: str) -> tuple[socket.socket, str]:
    """A socket with random options, and an address to bind it to."""
    version = rng.choice((4, 6))
    sock = socket.socket(FAMILY[version], KIND[protocol])
    if version == 6 and rng.random() < 0.7:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, rng.randrange(2))
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        if rng.random() < 0.4 and (protocol == "tcp" or option == socket.SO_REUSEPORT):
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
    address = rng.choice(
        (ANY[version], ANY[version], LOOPBACK[version], OURS[version], SECOND[version])
    )
    if version == 6 and rng.random() < 0.15:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        address = rng.choice(("::ffff:127.0.0.1", "::ffff:10.99.0.1", "::ffff:0.0.0.0"))
    if rng.random() < 0.15:
        sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, rng.choice((b"lo", b"v0")))
    return sock, address


def listener(rng: random.Random) -> list[socket.socket]:
    """One that listens, with or without a connection that came in, or that has had one."""
    sock, address = make_socket(rng, "tcp")
    sock.bind((address, rng.choice(PORTS)))
    sock.listen()
    if rng.random() < 0.5:
        return [sock]
    to = {"0.0.0.0": "127.0.0.1", "::ffff:0.0.0.0": "::ffff:127.0.0.1"}.get(address, address)
    client = socket.socket(sock.family)
    client.settimeout(0.2)
    # Another one that shares its port may get the connection.
    sock.settimeout(0.2)
    client.connect((to, sock.getsockname()[1]))
    accepted = sock.accept()[0]
    fate = rng.randrange(3)
    if fate:
        # The daemon stops: its connections are there, or have been.
        sock.close()
    if fate == 2:
        accepted.close()
        client.close()
    return [sock, client, accepted]


def bound(rng: random.Random) -> list[socket.socket]:
    """One that is bound and doesn't listen."""
    sock, address = make_socket(rng, "tcp")
    sock.bind((address, rng.choice(PORTS)))
    return [sock]


def datagrams(rng: random.Random) -> list[socket.socket]:
    """One for datagrams, connected or not."""
    sock, address = make_socket(rng, "udp")
    sock.bind((address, rng.choice(PORTS)))
    if rng.random() < 0.3:
        sock.connect(("::1" if sock.family == socket.AF_INET6 else "127.0.0.1", 9))
    return [sock]


def outgoing(rng: random.Random) -> list[socket.socket]:
    """A connection to elsewhere, whose own port the kernel has chosen or that was asked for."""
    version = rng.choice((4, 6))
    server = socket.create_server((LOOPBACK[version], 0), family=FAMILY[version])
    client = socket.socket(FAMILY[version])
    if rng.random() < 0.5:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, rng.randrange(2))
        client.bind((LOOPBACK[version], rng.choice(PORTS)))
    client.settimeout(0.2)
    client.connect(server.getsockname())
    accepted = server.accept()[0]
    if rng.random() < 0.3:
        # It ends on its own side first, and so it is the one that the kernel remembers.
        client.close()
        accepted.close()
    return [server, client, accepted]


def make_rule(rng: random.Random) -> str:
    """A rule that sends packets to a port elsewhere, as engines and people write them."""
    port, protocol = rng.choice(PORTS), rng.choice(("tcp", "tcp", "udp"))
    version = rng.choice((4, 4, 6))
    ip = "ip" if version == 4 else "ip6"
    there = f"10.99.0.9:{ELSEWHERE}" if version == 4 else f"[fd99::9]:{ELSEWHERE}"
    address = rng.choice((OURS[version], SECOND[version]))
    return rng.choice(
        (
            f"pre {protocol} dport {port} redirect to :{ELSEWHERE}",
            f"out {protocol} dport {port} redirect to :{ELSEWHERE}",
            f"pre {protocol} dport {{ {port}, 4998 }} dnat {ip} to {there}",
            f"pre fib daddr type local {protocol} dport {port} dnat {ip} to {there}",
            f"pre {ip} daddr {address} {protocol} dport {port} dnat {ip} to {there}",
            f'pre iifname "v0" {protocol} dport {port} redirect to :{ELSEWHERE}',
            f'pre iifname != "br0" {protocol} dport {port} dnat {ip} to {there}',
            f"pre fib daddr type local meta l4proto . th dport vmap"
            f" {{ {protocol} . {port} : jump published }}",
            f"published {protocol} dport {port} dnat {ip} to {there}",
            # Of no concern: another address, another protocol, where nothing comes, to itself.
            f"pre {ip} daddr {'10.43.0.10' if version == 4 else 'fd43::10'} {protocol} dport"
            f" {port} dnat {ip} to {there}",
            f'pre iifname "lo" {protocol} dport {port} redirect to :{ELSEWHERE}',
            f"pre ct state established {protocol} dport {port} redirect to :{ELSEWHERE}",
            f"pre {protocol} dport != {port} return",
            f"pre {protocol} dport {port} accept",
        )
    )


# --- the trial -----------------------------------------------------------------------------------


def make_endpoint(rng: random.Random, number: int) -> HostEndpoint:
    version = rng.choice((4, 6))
    places = (ANY[version], ANY[version], LOOPBACK[version], OURS[version], SECOND[version])
    port = rng.choice((*PORTS, EPHEMERAL[-1]))
    protocol = rng.choice(("tcp", "tcp", "udp"))
    device = rng.choice(("", "", "", "", "v0"))
    address = rng.choice(places[:2] + places[3:]) if device else rng.choice(places)
    return HostEndpoint(
        id=f"e{number}.x",
        service=f"e{number}",
        name="x",
        port=port,
        protocol=protocol,
        status="fixed",
        expect="bound",
        listen=(address,),
        allowed=(),
        sources=(),
        owner=NOBODY,
        probe="none",
        device=device,
    )


def has_it(endpoint: HostEndpoint, neighbour: Neighbour, patience: float) -> str:
    """Why the port can't be had, by having it; empty if it can."""
    (address,) = endpoint.listen
    version = ipaddress.ip_address(address).version
    with socket.socket(FAMILY[version], KIND[endpoint.protocol]) as sock:
        try:
            if endpoint.protocol == "tcp":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if version == 6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if endpoint.device:
                sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, endpoint.device.encode())
            sock.bind((address, endpoint.port))
            if endpoint.protocol == "tcp":
                sock.listen()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return "bind fails"
        targets = [address]
        if address == ANY[version]:
            local = [] if endpoint.device else [LOOPBACK[version]]
            targets = [OURS[version], SECOND[version], *local]
        for target in targets:
            neighbour.send(endpoint.protocol, target, endpoint.port)
            if not select.select([sock], [], [], patience)[0]:
                return f"no packet to {target} arrives"
            sock.settimeout(LONG)
            if endpoint.protocol == "tcp":
                sock.accept()[0].close()
            else:
                sock.recv(16)
    return ""


def compare(rng: random.Random, neighbour: Neighbour) -> tuple[int, int, list[str]]:
    """A world: how many endpoints were compared, how many are free, and what isn't true."""
    made, rules = make_world(rng)
    endpoints = [make_endpoint(rng, number) for number in range(4)]
    free, differs = 0, []
    try:
        checks, _snapshot, unread = before.check_host(endpoints, host="h", registry="r", now=0)
        assert not unread, unread
        for check in checks:
            endpoint, is_free = check.endpoint, check.verdict == "free"
            why = has_it(endpoint, neighbour, LONG if is_free else SHORT)
            free += not why
            if is_free != (not why):
                differs.append(
                    f"{endpoint.label} on {endpoint.listen[0]}%{endpoint.device} is called"
                    f" {check.verdict} ({check.conflict or check.warning}); the trial says:"
                    f" {why or 'free'}"
                )
    finally:
        for sock in made:
            sock.close()
        if rules:
            subprocess.run(["nft", "flush", "ruleset"], check=True)
    if differs:
        differs += rules
    return len(endpoints), free, differs


def main() -> None:
    """Compare the worlds, one after the other."""
    number, seed = int(sys.argv[1]), int(sys.argv[2])
    compared = all_free = 0
    neighbour = Neighbour()
    for index in range(number):
        if index and index % WORLDS == 0:
            # What has ended is remembered for a minute: a new namespace has none of it.
            neighbour = Neighbour()
        count, free, differs = compare(random.Random(seed + index), neighbour)  # noqa: S311
        compared, all_free = compared + count, all_free + free
        for text in differs:
            print(f"world {index} of seed {seed}: {text}")
    print(compared, all_free)


if __name__ == "__main__":
    main()
