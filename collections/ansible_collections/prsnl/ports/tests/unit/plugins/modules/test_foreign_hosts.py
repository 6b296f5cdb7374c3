# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that others have built: what port_check says of them, each in a network namespace.

And whether port_verify says the same of whose a socket is.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import typing as t

import pytest
from worlds import entry, owner

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip"), reason="needs root for namespaces, and ip"
)

# Commands, then Python that makes sockets, then the checks and the verifications as JSON.
LOOK = """
import json, socket, subprocess, sys
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import read_endpoints
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts import after, before, strangers
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.limits import read_port_limits
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.login import Login
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.snapshot import (
    read_host_redirects, take_snapshot,
)
entries, commands, program = json.load(sys.stdin)
for command in (
    "ip link set lo up", "ip link add v0 type veth peer name v1",
    "ip addr add 10.99.0.1/24 dev v0", "ip addr add 10.99.0.7/24 dev v0",
    "ip addr add fd99::1/64 dev v0 nodad", "ip link set v0 up", "ip link set v1 up", *commands,
):
    subprocess.run(command.split(), check=True)
def name(text):
    with open("/proc/self/comm", "w") as file: file.write(text)
exec(program)
endpoints = read_endpoints(entries)
facts = {"registry": "ports.yml", "now": 0}
checks, _snapshot, unread = before.check_host(endpoints, host="box", **facts)
snapshot = take_snapshot()
found = after.verify_plan(endpoints, snapshot, **facts)
after.apply_other_states(found, snapshot, 0)
after.apply_redirects(found, read_host_redirects())
unregistered = strangers.find_unregistered(
    snapshot, allowed=[], leases=[], login=Login(frozenset(), None), limits=read_port_limits(),
    known=[sock for result in found for sock in result.sockets], **facts,
)
print("%%" + json.dumps([
    unread,
    [check.as_dict() for check in checks],
    [result.as_dict() for result in found],
    [listener.as_dict() for listener in unregistered],
]))
"""


class Found(t.NamedTuple):
    """What is said of the one endpoint, and of listeners that nobody registered."""

    check: dict[str, t.Any]
    verified: dict[str, t.Any]
    unregistered: list[dict[str, t.Any]]


def look(
    wanted: dict[str, t.Any], *commands: str, program: str = "", needs: t.Sequence[str] = ()
) -> Found:
    for name in needs:
        if not shutil.which(name):
            pytest.skip(f"needs {name}")
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", LOOK],
        input=json.dumps([[wanted], commands, program]),
        env=os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parents[7])},
        capture_output=True,
        text=True,
        check=False,
    )
    if "Unknown device type" in done.stderr or "not supported" in done.stderr:
        pytest.skip(f"this kernel can't: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    unread, checks, verified, unregistered = json.loads(done.stdout.partition("%%")[2])
    assert unread == ""
    return Found(checks[0], verified[0], unregistered)


WEB = entry("web.http", 8080, owner=owner(process=["web"]))
LOOPBACK = entry("web.http", 8080, listen=["127.0.0.1"], owner=owner(process=["web"]))
DNAT = "-t nat -A PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 10.42.0.5:80"
SERVE = """
name("web")
keep = [socket.create_server(("::", 8080), family=socket.AF_INET6, dualstack_ipv6=True)]
name("python3")
name("web")
"""


@pytest.mark.parametrize(
    ("commands", "needs"),
    [
        ([f"iptables-nft {DNAT}"], ["iptables-nft", "nft"]),
        ([f"iptables-legacy {DNAT}"], ["iptables-legacy"]),
        (
            [
                "nft add table inet mine",
                "nft add chain inet mine pre { type nat hook prerouting priority -100 ; }",
                "nft add rule inet mine pre tcp dport 8080 redirect to :3128",
            ],
            ["nft"],
        ),
        (
            ["iptables-nft -t nat -A OUTPUT -p tcp --dport 8080 -j REDIRECT --to-ports 3128"],
            ["iptables-nft", "nft"],
        ),
    ],
    ids=["iptables", "legacy iptables", "nftables", "on loopback only"],
)
@pytest.mark.parametrize("program", ["", SERVE], ids=["stopped", "served"])
def test_packets_that_go_elsewhere(commands: list[str], needs: list[str], program: str) -> None:
    """Also from under a daemon that listens."""
    found = look(WEB, *commands, program=program, needs=needs)
    assert found.check["verdict"] == "foreign"
    assert "but packets to it go to" in found.check["message"]
    assert found.verified["verdict"] == ("redirected" if program else "not bound")


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (
            """
server = socket.create_server(("127.0.0.1", 8500))
client = socket.socket()
client.bind(("127.0.0.1", 8080))
client.connect(("127.0.0.1", 8500))
""",
            "a connection to 127.0.0.1:8500 of python",
        ),
        (
            """
server = socket.create_server(("127.0.0.1", 8500))
client = socket.socket()
client.bind(("127.0.0.1", 8080))
client.connect(("127.0.0.1", 8500))
accepted = server.accept()[0]
client.close()
accepted.close()
""",
            "a connection to 127.0.0.1:8500 that has ended. The kernel forgets it in a minute",
        ),
        (
            """
idle = socket.socket()
idle.bind(("127.0.0.1", 8080))
""",
            # Since Linux 6.8 the kernel tells whose it is.
            ("a socket that doesn't listen, of python", "shows no socket of it"),
        ),
    ],
    ids=["an outgoing connection", "one that has ended", "a socket that doesn't listen"],
)
def test_sockets_that_do_not_listen(program: str, said: str | tuple[str, ...]) -> None:
    found = look(LOOPBACK, program=program)
    assert found.check["verdict"] == "foreign"
    assert found.check["bind_fails"] == ["127.0.0.1"]
    assert any(
        text in found.check["message"] for text in ([said] if isinstance(said, str) else said)
    )
    assert "Stop it" not in found.check["message"]
    messages = found.verified["messages"]
    assert messages[0].startswith("nothing listens on 127.0.0.1:8080.")
    for message in messages[1:]:
        assert message.startswith("127.0.0.1:8080 has a ")
        assert message.endswith(", which may keep it from its port.")
    assert len(messages) == 1 + ("shows no socket of it" not in found.check["message"])


def test_a_connected_socket_for_datagrams() -> None:
    wanted = entry(
        "dns.udp", 5300, listen=["127.0.0.1"], protocol="udp", owner=owner(process=["dns"])
    )
    program = """
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.bind(("127.0.0.1", 5300))
client.connect(("127.0.0.1", 9))
"""
    found = look(wanted, program=program)
    assert found.check["verdict"] == "foreign"
    assert "a connection to 127.0.0.1:9 of python" in found.check["message"]


def test_connections_of_the_daemon_before_are_no_obstacle() -> None:
    """Servers bind beside them, with SO_REUSEADDR."""
    program = """
server = socket.create_server(("127.0.0.1", 8080))
clients = [socket.create_connection(("127.0.0.1", 8080)) for _number in range(2)]
accepted = [server.accept()[0] for _client in clients]
server.close()
accepted[0].close()
clients[0].close()
"""
    assert look(LOOPBACK, program=program).check["verdict"] == "free"


@pytest.mark.parametrize(
    ("kind", "port"),
    [
        ("vxlan id 1 dstport 8472 dev v0", 8472),
        ("geneve id 1 remote 10.99.0.2 dstport 6081", 6081),
        ("wireguard", 51820),
    ],
)
@pytest.mark.parametrize("is_registered", [False, True])
def test_ports_of_the_kernel(kind: str, port: int, is_registered: bool) -> None:
    if os.readlink("/proc/self/ns/pid") != "pid:[4026531836]":
        pytest.skip("who is outside of this container can't be told from the kernel")
    owned = owner(kernel=True) if is_registered else owner(process=["flanneld"])
    wanted = entry("flannel.vxlan", port, protocol="udp", probe="none", owner=owned)
    found = look(wanted, f"ip link add k0 type {kind}", "ip link set k0 up")
    assert found.check["held_by"] == "the kernel"
    if is_registered:
        assert (found.check["verdict"], found.verified["verdict"]) == ("ours", "ok")
    else:
        assert (found.check["verdict"], found.verified["verdict"]) == ("foreign", "wrong owner")
        assert "owner is kernel: true in ports.yml" in found.check["message"]


@pytest.mark.parametrize("theirs", ["10.99.0.7", "127.0.0.1", "fd99::1"])
def test_another_service_on_another_address(theirs: str) -> None:
    """Both modules say the same: it is nobody's, and not in the way."""
    wanted = entry(
        "forum.https",
        443,
        listen=["10.99.0.1"],
        allowed=["10.99.0.1/32"],
        owner=owner(process=["nginx"]),
    )
    family = "AF_INET6" if ":" in theirs else "AF_INET"
    program = f"keep = [socket.create_server(({theirs!r}, 443), family=socket.{family})]"
    found = look(wanted, program=program)
    assert (found.check["verdict"], found.verified["verdict"]) == ("free", "not bound")
    assert [one["port"] for one in found.unregistered] == [443]


DHCP = """
def on(device, process):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, 25, device)
    sock.bind(("0.0.0.0", 67))
    keep.append(sock)
keep = []
on(b"v1", "dnsmasq")
"""


def test_sockets_that_are_bound_to_devices() -> None:
    wanted = entry(
        "kea.dhcp",
        67,
        listen=["0.0.0.0"],
        protocol="udp",
        probe="none",
        owner=owner(process=["kea-dhcp4"]),
    )
    alone = look(wanted, program=DHCP)
    assert (alone.check["verdict"], alone.check["held_on"]) == ("foreign", ["0.0.0.0%v1"])
    assert alone.check["bind_fails"] == ["0.0.0.0"]
    declared = look({**wanted, "device": "v0"}, program=DHCP)
    assert (declared.check["verdict"], declared.verified["verdict"]) == ("free", "not bound")
    assert [one["address"] for one in declared.unregistered] == ["0.0.0.0%v1:67"]
    taken = look({**wanted, "device": "v1"}, program=DHCP)
    assert taken.check["verdict"] == "foreign"


def test_an_address_that_is_not_there_yet() -> None:
    wanted = entry("web.http", 8080, listen=["10.99.0.99"], owner=owner(process=["web"]))
    found = look(wanted)
    assert (found.check["verdict"], found.check["conflict"]) == ("no-address", False)
    assert "which the host doesn't have (yet)" in found.check["message"]
