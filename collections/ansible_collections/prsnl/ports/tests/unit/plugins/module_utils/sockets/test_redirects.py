# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules by which packets to a port go elsewhere, as engines, Kubernetes and people write them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.sockets import redirects
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.redirects import Redirects

LOCAL = {"127.0.0.1": "lo", "10.99.0.1": "eth0", "::1": "lo", "fd99::1": "eth0"}

K3S = """
*nat
:PREROUTING ACCEPT [0:0]
:CNI-DN-1 - [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"cbr0\\" id: \\"1\\"" \
-m multiport --dports 80,443,8000:8010 -j CNI-DN-1
-A CNI-DN-1 -s 10.42.0.0/24 -p tcp -m tcp --dport 80 -j CNI-HOSTPORT-SETMARK
-A CNI-DN-1 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.42.0.5:80
-A CNI-DN-1 -p tcp -m tcp --dport 8005 -j DNAT --to-destination 10.42.0.5:8443
COMMIT
"""
KUBERNETES = """
*nat
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.43.0.10/32 -p tcp -m tcp --dport 53 -j KUBE-SVC-DNS
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-NODEPORTS -p tcp -m tcp --dport 30080 -j KUBE-EXT-WEB
-A KUBE-EXT-WEB -j KUBE-SVC-WEB
-A KUBE-SVC-WEB -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-1
-A KUBE-SVC-WEB -j KUBE-SEP-2
-A KUBE-SEP-1 -s 10.42.0.5/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-1 -p tcp -m tcp -j DNAT --to-destination 10.42.0.5:80
-A KUBE-SEP-2 -p tcp -m tcp -j DNAT --to-destination 10.42.0.6:80
-A KUBE-SVC-DNS -j DNAT --to-destination 10.42.0.7:53
COMMIT
"""
DOCKER = """
*nat
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A DOCKER -d 10.99.0.9/32 ! -i docker0 -p tcp -m tcp --dport 8081 -j DNAT \
--to-destination 172.17.0.3:80
COMMIT
"""
NETAVARK = """
*nat
-A PREROUTING -m addrtype --dst-type LOCAL -j NETAVARK-HOSTPORT-DNAT
-A NETAVARK-HOSTPORT-DNAT -p udp -m udp --dport 5353 -j NETAVARK-DN-1
-A NETAVARK-DN-1 -p udp -m udp --dport 5353 -j DNAT --to-destination 10.88.0.2:53
COMMIT
"""
BY_HAND = """
*mangle
-A PREROUTING -p tcp -m tcp --dport 81 -j TPROXY --on-port 3129 --on-ip 0.0.0.0
COMMIT
*nat
-A PREROUTING -s 192.0.2.0/24 -p tcp -m tcp --dport 82 -j REDIRECT --to-ports 3128
-A PREROUTING -i wlan0 -p tcp -m tcp --dport 83 -j REDIRECT --to-ports 3128
-A PREROUTING -i eth0 -p tcp -m tcp --dport 84 -j REDIRECT --to-ports 3128
-A PREROUTING -p tcp -m tcp --dport 85 -j ACCEPT
-A PREROUTING -p tcp -m tcp --dport 85 -j REDIRECT --to-ports 3128
-A PREROUTING -p tcp -m tcp --dport 86 -j REDIRECT
-A PREROUTING -p tcp -m set --match-set friends dst -m tcp --dport 87 \
-j DNAT --to-destination 10.0.0.1
-A OUTPUT -p tcp -m tcp --dport 88 -j REDIRECT --to-ports 3128
-A PREROUTING -p tcp -m conntrack --ctstate ESTABLISHED -m tcp --dport 89 \
-j REDIRECT --to-ports 1
-A PREROUTING -p tcp -m tcp ! --dport 1:65000 -m mark --mark 0x1 -j DNAT --to-destination :7
COMMIT
"""
ANY, OWN, HERE = ("0.0.0.0",), ("10.99.0.1",), ("127.0.0.1",)


def saved(text: str, version: int = 4) -> Redirects:
    return Redirects(tuple(redirects.parse_iptables(text, version, "iptables-nft-save")), LOCAL)


@pytest.mark.parametrize(
    ("text", "protocol", "port", "listen", "target"),
    [
        (K3S, "tcp", 80, ANY, "10.42.0.5:80"),
        (K3S, "tcp", 80, OWN, "10.42.0.5:80"),
        # Kubernetes' own agents reach it on loopback.
        (K3S, "tcp", 80, HERE, "10.42.0.5:80"),
        (K3S, "tcp", 8005, ANY, "10.42.0.5:8443"),
        (K3S, "tcp", 443, ANY, None),
        (K3S, "udp", 80, ANY, None),
        (K3S, "tcp", 80, ("::",), None),
        (KUBERNETES, "tcp", 30080, ANY, "10.42.0.5:80"),
        (KUBERNETES, "tcp", 53, ANY, None),
        (DOCKER, "tcp", 8080, ANY, "172.17.0.2:80"),
        (DOCKER, "tcp", 8080, HERE, None),
        (DOCKER, "tcp", 8081, ANY, None),
        (DOCKER, "tcp", 8081, ("10.99.0.9",), "172.17.0.3:80"),
        (NETAVARK, "udp", 5353, OWN, "10.88.0.2:53"),
        (NETAVARK, "tcp", 5353, OWN, None),
        (BY_HAND, "tcp", 81, ANY, "port 3129"),
        (BY_HAND, "tcp", 84, ANY, "port 3128"),
        (BY_HAND, "tcp", 85, ANY, None),
        # It comes to the address of the interface, whichever that is.
        (BY_HAND, "tcp", 86, ANY, None),
        (BY_HAND, "tcp", 86, OWN, "another address"),
        (BY_HAND, "tcp", 88, HERE, "port 3128"),
        (BY_HAND, "tcp", 88, OWN, None),
        (BY_HAND, "tcp", 89, ANY, None),
        (BY_HAND, "tcp", 91, ANY, None),
    ],
)
def test_where_packets_go(
    text: str, protocol: str, port: int, listen: tuple[str, ...], target: str | None
) -> None:
    found = saved(text).of(protocol, port, listen)
    assert (found and found.target) == target
    if found:
        assert found.rule.startswith("iptables-nft -t ")
        assert found.is_certain or text is KUBERNETES


@pytest.mark.parametrize(
    ("port", "target"), [(82, "port 3128"), (83, "port 3128"), (87, "10.0.0.1")]
)
def test_a_rule_for_some_packets_is_no_certain_one(port: int, target: str) -> None:
    found = saved(BY_HAND).of("tcp", port, ANY)
    assert found is not None
    assert (found.target, found.is_certain) == (target, False)


def test_packets_of_another_device_are_of_no_concern() -> None:
    assert saved(BY_HAND).of("tcp", 88, ANY)
    assert saved(BY_HAND).of("tcp", 88, ANY, "eth0") is None


def test_comments_of_rules_are_safe_to_print() -> None:
    text = '*nat\n-A PREROUTING -m comment --comment "\x1b[2J" -p tcp -j REDIRECT --to-ports 1\n'
    found = saved(text).of("tcp", 80, ANY)
    assert found is not None
    assert "\x1b" not in found.rule


def test_chains_that_call_each_other_end() -> None:
    text = "*nat\n-A PREROUTING -j A\n-A A -j B\n-A B -j A\nCOMMIT\n"
    assert saved(text).of("tcp", 80, ANY) is None


NFT = {
    "docker": """
table ip docker-bridges {
    chain nat-prerouting-and-output { tcp dport 8080 counter jump published; }
    chain published { iifname != "docker0" tcp dport 8080 counter dnat to 172.17.0.2:80; }
    chain prerouting {
        type nat hook prerouting priority -100;
        fib daddr type local counter jump nat-prerouting-and-output;
    }
}""",
    "kube-proxy": """
table ip kube-proxy {
    map ips {
        type inet_proto . inet_service : verdict
        elements = { tcp . 30080 : goto ext }
    }
    chain ext { numgen random mod 2 vmap { 0 : goto one, 1 : goto two }; }
    chain one { meta l4proto tcp dnat to 10.42.0.5:80; }
    chain two { meta l4proto tcp dnat to 10.42.0.6:80; }
    chain services {
        ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport vmap @ips;
    }
    chain prerouting { type nat hook prerouting priority -100; jump services; }
}""",
    "by hand": """
table inet mine {
    set open {
        type inet_service; flags interval;
        elements = { 9000-9010, 9100 }
    }
    map hosts {
        type inet_service : ipv4_addr
        elements = { 50 : 10.0.0.5 }
    }
    chain pre {
        type nat hook prerouting priority -100;
        tcp dport @open redirect to :3128;
        ip saddr 192.0.2.0/24 tcp dport 82 redirect to :3128;
        ip6 daddr fd99::1 udp dport 53 dnat ip6 to [fd00::5]:5353;
        tcp dport vmap { 70 : accept, 71-72 : drop };
        tcp dport 60-80 dnat ip to 10.0.0.1;
        dnat ip to tcp dport map @hosts;
    }
}""",
}


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nft"), reason="needs root and nft")
@pytest.mark.parametrize(
    ("who", "protocol", "port", "listen", "target"),
    [
        ("docker", "tcp", 8080, ANY, "172.17.0.2:80"),
        ("docker", "tcp", 8081, ANY, None),
        ("kube-proxy", "tcp", 30080, ANY, "10.42.0.5:80"),
        ("kube-proxy", "tcp", 30081, ANY, None),
        ("by hand", "tcp", 9005, ANY, "port 3128"),
        ("by hand", "tcp", 9005, ("::",), "port 3128"),
        ("by hand", "tcp", 9050, ANY, None),
        ("by hand", "udp", 53, ("fd99::1",), "[fd00::5]:5353"),
        ("by hand", "udp", 53, ANY, None),
        ("by hand", "tcp", 65, ANY, "10.0.0.1"),
        ("by hand", "tcp", 65, ("::",), None),
        ("by hand", "tcp", 70, ANY, None),
        ("by hand", "tcp", 71, ANY, None),
        ("by hand", "tcp", 82, ANY, "port 3128"),
        ("by hand", "tcp", 50, ANY, "an address of its map"),
        ("by hand", "tcp", 51, ANY, None),
        ("by hand", "udp", 50, ANY, None),
    ],
)
def test_where_nftables_sends_packets(
    who: str, protocol: str, port: int, listen: tuple[str, ...], target: str | None
) -> None:
    found = read_in_namespace(("nft", "-f", "-"), NFT[who]).of(protocol, port, listen)
    assert (found and found.target) == target
    assert not found or found.is_certain or who == "kube-proxy" or port == 82


READ = """
import json, subprocess, sys
from ansible_collections.prsnl.ports.plugins.module_utils.sockets import redirects
subprocess.run(sys.argv[1:], stdin=sys.stdin, check=True)
items = []
parse = redirects.parse_nft
redirects.parse_nft = lambda given: items.append(given) or parse(given)
saves = []
save = redirects.parse_iptables
redirects.parse_iptables = lambda *words: saves.append(words) or save(*words)
unread = redirects.read_redirects({}).unread
print("%%" + json.dumps((items, saves, unread)))
"""


def read_in_namespace(command: t.Sequence[str], text: str = "") -> Redirects:
    """The rules that a command makes in a network namespace of its own, as we read them there."""
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", READ, *command],
        input=text.encode(),
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[8])},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    items, saves, unread = json.loads(done.stdout.partition(b"%%")[2])
    chains = [chain for given in items for chain in redirects.parse_nft(given)]
    chains += [chain for words in saves for chain in redirects.parse_iptables(*words)]
    return Redirects(tuple(sorted(chains, key=lambda chain: chain.priority)), LOCAL, unread)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a namespace of the network")
@pytest.mark.parametrize("kind", ["nft", "legacy"])
@pytest.mark.parametrize("version", [4, 6])
def test_both_kinds_of_iptables_are_read(kind: str, version: int) -> None:
    program = f"{redirects.SAVE[version]}-{kind}"
    if not shutil.which(f"{program}-save"):
        pytest.skip(f"needs {program}-save")
    there = "10.42.0.5:80" if version == 4 else "[fd42::5]:80"
    rule = f"-t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination {there}"
    found = read_in_namespace([program, *rule.split()])
    listen = {4: "0.0.0.0", 6: "::"}
    redirect = found.of("tcp", 80, [listen[version]])
    assert redirect is not None
    assert (redirect.target, redirect.is_certain) == (there, True)
    assert redirect.rule.startswith(f"{program} -t nat -A PREROUTING -p tcp")
    assert found.of("tcp", 80, [listen[10 - version]]) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a namespace of the network")
def test_looking_makes_no_tables() -> None:
    """The older kind makes a table when somebody asks for it."""
    script = (
        "cat > /dev/null; cat /proc/net/ip_tables_names /proc/net/ip6_tables_names; nft list tables"
    )
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", f'"$0" -c "$1"; {script}', sys.executable, LOOK],
        stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[8])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""


LOOK = """
from ansible_collections.prsnl.ports.plugins.module_utils.sockets import redirects
assert redirects.read_redirects({}) == redirects.Redirects()
"""


def test_who_may_not_read_them_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(command: t.Sequence[str]) -> str:
        raise subprocess.CalledProcessError(1, command, "", "Operation not permitted\nmore\n")

    monkeypatch.setattr(redirects, "_run", refuse)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/sbin/{name}")
    monkeypatch.setattr(redirects, "LEGACY", {4: "/nonexistent"})
    assert redirects.read_redirects({}).unread == "nft: Operation not permitted"


def test_rules_that_nobody_can_read_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those of a program that Kubernetes has brought with it."""

    def lacking(command: t.Sequence[str]) -> str:
        raise FileNotFoundError(2, "No such file or directory", command[0])

    (tmp_path / "names").write_text("nat\n")
    monkeypatch.setattr(redirects, "_run", lacking)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(redirects, "LEGACY", {4: str(tmp_path / "names")})
    assert redirects.read_redirects({}).unread.startswith("iptables-legacy-save: [Errno 2]")
