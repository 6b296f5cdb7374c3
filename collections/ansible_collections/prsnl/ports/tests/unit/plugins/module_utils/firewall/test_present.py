# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host receives now: its SSH server, its listeners, and what carries the connection."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.firewall import present
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import (
    Admission,
    Opening,
    Policy,
    merge,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.present import (
    Carrier,
    Received,
    carriers,
    closed_by,
    received,
    refuse_hidden_loss,
    ssh_ports,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.login import Session
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Holder
from networks import PEER, Networks, networks, nft_works
from worlds import NOW, World, daemon

ANYWHERE = merge(["0.0.0.0/0", "::/0"])
needs_networks = pytest.mark.skipif(
    not nft_works(), reason="needs root, and nft in a network namespace"
)


def session(port: int = 22) -> Session:
    return Session("192.0.2.7", 50022, port)


def sshd(pid: int = 4000, **changes: t.Any) -> Holder:
    return daemon("sshd", pid, **{"user": "root", "uid": 0, "unit": "ssh.service", **changes})


INIT = Holder(1, "systemd", "/usr/lib/systemd/systemd", "root", "ssh.socket", NOW, uid=0)


@pytest.mark.parametrize("where", [session(22), session(2222), None], ids=["22", "2222", "local"])
@pytest.mark.parametrize("holder", [sshd(), INIT], ids=["sshd", "ssh.socket"])
def test_every_port_of_the_server_that_manages_the_host(
    holder: Holder, where: Session | None
) -> None:
    world = World().hold_all(22, holder).hold(2222, holder).hold(443, "nginx")
    world.hold(6010, holder, on="127.0.0.1").hold(53, "dnsmasq", protocol="udp")
    assert ssh_ports(world.snapshot, where) == {22, 2222}


@pytest.mark.parametrize(
    "other",
    [
        sshd(5000, uid=1000, user="ada"),
        sshd(5000, unit="session-7.scope"),
        sshd(5000, unit="libpod-abc.scope"),
        Holder(1, "systemd", None, "root", "shop.socket", NOW, uid=0),
        daemon("node", 5000),
    ],
    ids=["of a user", "of a session", "of a container", "another socket unit", "any program"],
)
def test_no_port_of_anybody_else(other: Holder) -> None:
    world = World().hold(22, sshd()).hold(2200, other)
    assert ssh_ports(world.snapshot, None) == {22}
    assert ssh_ports(world.snapshot, session(22)) == {22}


def test_a_server_whose_name_nobody_knows_manages_the_host_too() -> None:
    world = World().hold(22, daemon("teleport", 4000)).hold(3022, daemon("teleport", 4000))
    assert ssh_ports(world.snapshot, session(3022)) == {22, 3022}
    assert ssh_ports(world.snapshot, None) == set()


def test_what_a_child_of_the_server_forwards_is_no_port_of_it(tmp_path: pathlib.Path) -> None:
    for pid, parent in ((4000, 1), (4001, 4000)):
        (tmp_path / str(pid)).mkdir()
        line = f"{pid} (sshd) S {parent}" + " 0" * 20
        (tmp_path / str(pid) / "stat").write_text(line)
    world = World().hold(22, sshd()).hold(8022, sshd(4001))
    assert ssh_ports(world.snapshot, None, str(tmp_path)) == {22}
    assert ssh_ports(world.snapshot, session(), str(tmp_path)) == {22}


@pytest.fixture
def proc(tmp_path: pathlib.Path) -> str:
    """A /proc without raw sockets."""
    return str(tmp_path)


def test_what_nobody_can_reach_any_more_is_named(proc: str) -> None:
    world = World().hold(22, sshd()).hold_all(80, "nginx").hold_all(8080, "java")
    world.hold(5353, "avahi", protocol="udp").hold(68, "dhclient", protocol="udp")
    world.hold(40000, "chronyd", protocol="udp").hold(5432, "postgres", on="127.0.0.1")
    opening = Opening("web.http", "tcp", 80, ANYWHERE, ANYWHERE)
    closed = closed_by(Policy((opening,), (22,)), received(world.snapshot, [], proc))
    assert [str(way) for way in closed] == ["8080/tcp (java)", "5353/udp (avahi)"]


def test_so_are_protocols_without_ports(proc: str) -> None:
    net = pathlib.Path(proc) / "net"
    net.mkdir()
    rows = "".join(f" 1: 00000000:{number:04X} 00000000:0000 07\n" for number in (112, 1, 255))
    (net / "raw").write_text(f"sl local_address\n{rows}")
    links = [
        {"ifname": "gre1", "linkinfo": {"info_kind": "gre"}, "flags": ["UP"]},
        {"ifname": "gre0", "linkinfo": {"info_kind": "gre"}, "flags": []},
        {"ifname": "sit0", "linkinfo": {"info_kind": "sit"}, "flags": []},
    ]
    ways = received(World().snapshot, links, proc)
    assert [str(way) for way in closed_by(Policy((), ()), ways)] == [
        "IP protocol gre (gre1, gre)",
        "IP protocol vrrp (a socket)",
    ]
    admissions = tuple(Admission("x", number, ANYWHERE) for number in (112, 47))
    assert closed_by(Policy((), (), admissions=admissions), ways) == []


def test_a_tunnel_of_the_kernel_counts_on_an_ephemeral_port_too(proc: str) -> None:
    world = World().hold(51820, protocol="udp")
    assert [str(way) for way in received(world.snapshot, [], proc)] == ["51820/udp (the kernel)"]


# --- what carries the connection -------------------------------------------------------------


class Programs:
    """ip and wg, as they answer on a host with tunnels."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers

    def __call__(self, command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        text = " ".join(command)
        found = next((a for k, a in self.answers.items() if k.replace("_", " ") in text), None)
        return (1, "", "no such program") if found is None else (0, found, "")


def link(name: str, kind: str, **changes: t.Any) -> dict[str, t.Any]:
    return {
        "ifname": name,
        "linkinfo": {"info_kind": kind, "info_data": changes.pop("data", {})},
    } | (changes)


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        ([link("t0", "gre")], ["IP protocol gre"]),
        ([link("t0", "sit")], ["IP protocol ipv6"]),
        ([link("t0", "xfrm")], ["IP protocol esp"]),
        ([link("t0", "geneve", data={"port": 6081})], ["6081/udp"]),
        ([link("t0", "veth")], []),
        ([{"ifname": "t0"}], []),
        ([link("t0", "vlan", link="g0"), link("g0", "gretap")], ["IP protocol gre"]),
        ([link("t0", "bridge"), link("g0", "gretap", master="t0")], ["IP protocol gre"]),
    ],
    ids=["GRE", "6in4", "IPsec", "Geneve", "a cable", "a card", "a VLAN over it", "in a bridge"],
)
def test_a_tunnel_is_known_by_its_device(
    links: list[dict[str, t.Any]], expected: list[str]
) -> None:
    programs = Programs(route_get='[{"dev": "t0"}]')
    found = carriers(session(), World().snapshot, links, programs)
    assert [str(way) for carrier in found for way in carrier.ways] == expected


@pytest.mark.parametrize(
    ("answers", "expected"), [({"wg_show": "51820\n"}, [51820]), ({}, [4789, 51820])]
)
def test_wireguard(answers: dict[str, str], expected: list[int]) -> None:
    programs = Programs(route_get='[{"dev": "wg0"}]', **answers)
    world = World().hold(53, "dnsmasq", protocol="udp")
    world.hold(51820, protocol="udp").hold(4789, protocol="udp")
    (carrier,) = carriers(session(), world.snapshot, [link("wg0", "wireguard")], programs)
    assert sorted(way.port for way in carrier.ways) == expected
    assert carrier.name == "wg0 (wireguard)"


def test_a_policy_of_ipsec() -> None:
    policy = (
        "src 192.0.2.0/24 dst 198.51.100.1/32 \n\tdir in priority 371327 ptype main \n"
        "\ttmpl src 203.0.113.9 dst 198.51.100.1\n\t\tproto esp reqid 1 mode tunnel\n"
        "src 198.51.100.1/32 dst 192.0.2.0/24 \n\tdir out priority 371327 ptype main \n"
    )
    programs = Programs(route_get='[{"dev": "e0"}]', xfrm_policy=policy)
    (carrier,) = carriers(session(), World().snapshot, [link("e0", "veth")], programs)
    assert [str(way) for way in carrier.ways] == ["IP protocol esp"]
    other = Session("203.0.113.9", 1, 22)
    assert carriers(other, World().snapshot, [], programs) == []


def test_only_a_carrier_that_is_closed_is_refused() -> None:
    carrier = Carrier("wg0 (wireguard)", (Received("udp", 51820),))
    opening = Opening("vpn.main", "udp", 51820, ANYWHERE, ANYWHERE)
    refuse_hidden_loss(Policy((opening,), (22,)), [carrier])
    refuse_hidden_loss(Policy((), (22,)), [])
    with pytest.raises(ValueError, match=r"through wg0 \(wireguard\).*by 51820/udp, which"):
        refuse_hidden_loss(Policy((), (22,)), [carrier])
    gre = Carrier("gre1 (gre)", (Received("gre", 0),))
    with pytest.raises(ValueError, match="set tunnel to keepalive"):
        refuse_hidden_loss(Policy((opening,), (22,)), [gre])


LOOK = """
import json, sys
from ansible_collections.prsnl.ports.plugins.module_utils.firewall import present
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import plain_runner
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.login import Session
snapshot = present.read_present()
links = present.read_links(plain_runner)
client, client_port, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
found = present.carriers(Session(client, client_port, port), snapshot, links, plain_runner)
print(json.dumps({
    "carriers": [[str(way) for way in carrier.ways] for carrier in found],
    "ssh": sorted(present.ssh_ports(snapshot, Session(client, client_port, port))),
    "local": sorted(present.ssh_ports(snapshot, None)),
    "received": [str(way) for way in present.received(snapshot, links)],
}))
"""


@pytest.fixture
def net() -> t.Iterator[Networks]:
    with networks() as made:
        yield made


@contextlib.contextmanager
def running(net: Networks, script: str) -> t.Iterator[list[str]]:
    """A Python script on the host, until the end of the block; gives its first line's words."""
    with net.start(net.host, f"{script}\nprint('ready', flush=True)\ninput()") as process:
        assert process.stdout
        yield process.stdout.readline().split()
        process.kill()


@needs_networks
def test_a_cable_carries_by_itself(net: Networks) -> None:
    assert net.python(LOOK, PEER[4], "1", "22")["carriers"] == []
    assert net.python(LOOK, PEER[6], "1", "22")["carriers"] == []


@needs_networks
def test_a_real_vxlan(net: Networks) -> None:
    device = "link add vx0 type vxlan id 3 dstport 4789 remote 198.51.100.2 dev c0"
    for command in (device, "addr add 203.0.113.1/24 dev vx0", "link set vx0 up"):
        net.on_host("ip", *command.split())
    found = net.python(LOOK, "203.0.113.2", "1", "22")
    assert found["carriers"] == [["4789/udp"]]
    assert "4789/udp (the kernel)" in found["received"]
    assert net.python(LOOK, PEER[4], "1", "22")["carriers"] == []


TUN = """
import fcntl, os, socket, struct, subprocess
device = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(device, 0x400454CA, struct.pack("16sH", b"tun7", 0x1001))
for command in ("addr add 203.0.113.1/24 dev tun7", "link set tun7 up"):
    subprocess.run(["ip", *command.split()], check=True)
outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
"""


@needs_networks
@pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="needs /dev/net/tun")
@pytest.mark.parametrize(
    ("outer", "expected"),
    [
        ('outer.bind(("0.0.0.0", 1194))', [["1194/udp"]]),
        ('outer.connect(("198.51.100.2", 1194))', []),
    ],
    ids=["a server", "a client"],
)
def test_a_real_tunnel_of_a_program(net: Networks, outer: str, expected: list[list[str]]) -> None:
    with running(net, TUN + outer):
        assert net.python(LOOK, "203.0.113.2", "1", "22")["carriers"] == expected


RELAY = """
import socket
server = socket.create_server(("127.0.0.1", 22))
{listens}
there = socket.create_connection(("127.0.0.1", 22))
print(there.getsockname()[1], flush=True)
"""


@needs_networks
@pytest.mark.parametrize(
    ("listens", "expected"),
    [('front = socket.create_server(("0.0.0.0", 443))', [["443/tcp"]]), ("", [])],
    ids=["a relay", "one that dials out"],
)
def test_a_real_relay(net: Networks, listens: str, expected: list[list[str]]) -> None:
    with running(net, RELAY.format(listens=listens)) as (port,):
        assert net.python(LOOK, "127.0.0.1", port, "22")["carriers"] == expected


@needs_networks
def test_a_real_server_with_two_ports(net: Networks, tmp_path: pathlib.Path) -> None:
    program = tmp_path / "sshd"
    program.symlink_to(os.path.realpath(sys.executable))
    script = (
        "import socket, time; a = [socket.create_server(('0.0.0.0', p)) for p in (22, 2222)];"
        "print('ready', flush=True); time.sleep(60)"
    )
    stray = "import socket; a = socket.create_server(('0.0.0.0', 8080))"
    command = ["ip", "netns", "exec", net.host, str(program), "-c", script]
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(net, stray))
        process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        found = net.python(LOOK, PEER[4], "1", "2222")
        process.kill()
    assert found["ssh"] == found["local"] == [22, 2222]
    assert any(way.startswith("8080/tcp") for way in found["received"])


def test_what_cannot_be_asked_is_no_tunnel() -> None:
    assert present.read_links(Programs()) == []
    assert carriers(session(), World().snapshot, [], Programs()) == []
