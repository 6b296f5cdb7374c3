# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rulesets of others, in a real kernel: what is said of them is what packets meet."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.foreign import (
    Foreign,
    read_foreign,
    remedy,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.iptables_rules import (
    parse_saved,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.nftables import Nftables
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.nftables_chains import (
    parse_ruleset,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.nftables_rules import render
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import (
    Opening,
    Policy,
    merge,
)
from networks import PEER, Networks, networks, nft_works

pytestmark = pytest.mark.skipif(
    not nft_works(), reason="needs root, and nft in a network namespace"
)
PORT, OTHER = 8080, 9090
ANYWHERE = merge(["0.0.0.0/0", "::/0"])
OPEN = Policy((Opening("shop.http", "tcp", PORT, ANYWHERE, ANYWHERE),), (22,))
INPUT = "type filter hook input priority 0; policy {};"


@pytest.fixture
def net() -> t.Iterator[Networks]:
    with networks() as made:
        yield made


def read(net: Networks) -> Foreign:
    return read_foreign("nft", net.runner)


def iptables(net: Networks, kind: str, *rules: str) -> None:
    for program in ("iptables", "ip6tables"):
        name = f"{program}-{kind}"
        if shutil.which(name) is None:
            pytest.skip(f"{name} isn't installed")
        for rule in rules:
            fitting = rule.replace(
                "icmp-host", "icmp6-adm" if program == "ip6tables" else "icmp-host"
            )
            net.on_host(name, *fitting.split())


ORACLE = (
    "-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT",
    "-A INPUT -i lo -j ACCEPT",
    "-A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT",
    "-A INPUT -j REJECT --reject-with icmp-host-prohibited",
)
UFW = (
    "-N ufw-before-input",
    "-N ufw-user-input",
    "-N ufw-reject-input",
    "-A INPUT -j ufw-before-input",
    "-A INPUT -j ufw-reject-input",
    "-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A ufw-before-input -j ufw-user-input",
    "-A ufw-user-input -p tcp -m multiport --dports 22,443 -j ACCEPT",
    "-A ufw-reject-input -j REJECT",
)
# As firewalld 1.3 writes it, without what concerns other hooks.
FIREWALLD = """
table inet firewalld {
    chain filter_IN_public_allow {
        tcp dport 22 ct state { new, untracked } accept
        %s
    }
    chain filter_IN_public {
        jump filter_IN_public_allow
        meta l4proto { icmp, ipv6-icmp } accept
        reject with icmpx admin-prohibited
    }
    chain filter_INPUT_ZONES {
        iifname "c0" goto filter_IN_public
        goto filter_IN_public
    }
    chain filter_INPUT {
        type filter hook input priority 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname "lo" accept
        ct state invalid drop
        jump filter_INPUT_ZONES
        reject with icmpx admin-prohibited
    }
}
"""


def nft(text: str) -> t.Callable[[Networks], None]:
    return lambda net: net.load(text)


def ipt(kind: str, *rules: str) -> t.Callable[[Networks], None]:
    return lambda net: iptables(net, kind, *rules)


CLOSING: dict[str, tuple[t.Callable[[Networks], None], str, t.Callable[[Networks], None]]] = {
    "Oracle's by nft": (
        ipt("nft", *ORACLE),
        r"iptables-nft .table filter. refuses.*iptables-nft -D INPUT -j REJECT",
        ipt("nft", f"-I INPUT 3 -p tcp -m state --state NEW --dport {PORT} -j ACCEPT"),
    ),
    "Oracle's by legacy tables": (
        ipt("legacy", *ORACLE),
        r"iptables-legacy .table filter. refuses.*iptables-legacy -D INPUT -j REJECT",
        ipt("legacy", f"-I INPUT 3 -p tcp -m state --state NEW --dport {PORT} -j ACCEPT"),
    ),
    "legacy tables with a policy": (
        ipt("legacy", ORACLE[0], "-P INPUT DROP"),
        r"iptables-legacy .table filter. drops by default in its chain INPUT",
        ipt("legacy", f"-A INPUT -p tcp -m multiport --dports 1:80,{PORT} -j ACCEPT"),
    ),
    "ufw": (
        ipt("nft", *UFW),
        r"ufw is at work: .*disable it \(ufw disable\)",
        ipt("nft", f"-A ufw-user-input -p tcp --dport {PORT} -j ACCEPT"),
    ),
    "firewalld, not enabled": (
        nft(FIREWALLD % ""),
        r"firewalld runs: .*systemctl disable --now firewalld",
        nft(f"add rule inet firewalld filter_IN_public_allow tcp dport {PORT} accept"),
    ),
    "a policy": (
        nft(f"table inet mine {{\nchain i {{\n{INPUT.format('drop')}\n}}\n}}"),
        r"the table inet mine drops by default in its chain i; remove it \(nft delete table inet m",
        nft(f"add rule inet mine i tcp dport {{ 22, {PORT}-{PORT + 5} }} accept"),
    ),
    "a final drop before ours": (
        nft(
            "table inet mine {\nset s { type inet_service; elements = { 22 }\n}\nchain p {\n"
            "type filter hook prerouting priority -300; policy accept;\n"
            "meta l4proto != { tcp, udp } accept\ntcp dport @s accept\ndrop\n}\n}"
        ),
        r"the table inet mine refuses what nobody named, in its chain p",
        nft(f"add element inet mine s {{ {PORT} }}"),
    ),
    "a map of verdicts": (
        nft(
            "table inet mine {\nmap m {\ntype inet_service : verdict\n"
            "elements = { 22 : accept }\n}\n"
            f"chain refuse {{\nreject\n}}\nchain i {{\n{INPUT.format('accept')}\n"
            "meta l4proto { icmp, ipv6-icmp } accept\nct state established accept\n"
            "tcp dport vmap @m\ngoto refuse\n}\n}"
        ),
        r"the table inet mine refuses what nobody named, in its chain refuse",
        nft(f"add element inet mine m {{ {PORT} : accept }}"),
    ),
}


@pytest.mark.parametrize("kind", CLOSING)
def test_whoever_closes_is_named_with_a_remedy_and_what_it_closes(
    net: Networks, kind: str, tmp_path: pathlib.Path
) -> None:
    make, named, mend = CLOSING[kind]
    make(net)
    before = net.on_host("nft", "list", "ruleset")
    server = net.start(net.host, SERVE)
    assert server.stdout
    assert server.stdout.readline() == "ready\n"
    try:
        others = Nftables("nft", net.runner, systemd=False, root=str(tmp_path)).others()
        assert len(others) == 1
        assert re.search(named, others[0]), others
        reach = read(net).reach(OPEN)
        assert reach.closed
        assert all(f"{PORT}/tcp (shop.http)" in text for text in reach.closed)
        assert net.on_host("nft", "list", "ruleset") == before
        assert not net.connects(PORT)
        assert not net.connects(PORT, 6)

        mend(net)
        assert net.connects(PORT)
        reach = read(net).reach(OPEN)
        assert (reach.closed, reach.unsure) == ((), ())
        assert read(net).closing(), "it closes by default still"
        assert not net.connects(OTHER)
    finally:
        server.kill()
        server.wait()


SERVE = """
import socket, time
servers = [socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
           for port in (8080, 9090)]
print("ready", flush=True)
time.sleep(60)
"""
HARMLESS = {
    "nothing": "",
    "another hook": (
        "table inet a {\nchain f {\ntype filter hook forward priority 0; policy drop;\n}\n}"
    ),
    "one port": "table inet a {\nchain i {\n%s\ntcp dport 1 counter drop\n}\n}",
    "a list of strangers": (
        "table ip a {\nset bad {\ntype ipv4_addr; flags interval; elements = { 192.0.2.0/24 }\n}\n"
        "chain i {\n%s\nip saddr @bad drop\n}\n}"
    ),
    "what is invalid": "table inet a {\nchain i {\n%s\nct state invalid drop\n}\n}",
    "what is too much": (
        "table inet a {\nchain i {\n%s\ntcp flags & (fin|syn|rst|ack) == syn"
        " limit rate over 100/second drop\n}\n}"
    ),
    "what has no way back": (
        "table inet a {\nchain p {\ntype filter hook prerouting priority -300;\n"
        "fib saddr . iif oif missing drop\n}\n}"
    ),
    "another device": 'table inet a {\nchain i {\n%s\niifname "eth9" drop\n}\n}',
    "a policy that a rule lifts": (
        "table inet a {\nchain i {\ntype filter hook input priority 0; policy drop;\naccept\n}\n}"
    ),
    "answers that are let out": (
        "table inet a {\nchain o {\ntype filter hook output priority 0; policy drop;\n"
        "ct state established accept\n}\n}"
    ),
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_closes_nothing_by_default_is_no_firewall(net: Networks, kind: str) -> None:
    net.load(HARMLESS[kind].replace("%s", INPUT.format("accept")))
    foreign = read(net)
    assert [str(hit) for hit in foreign.closing()] == []
    assert foreign.reach(OPEN).closed == ()
    assert foreign.cluster == ""


def test_answers_that_stay_inside_are_closed(net: Networks) -> None:
    net.load("table inet a {\nchain o {\ntype filter hook output priority 0; policy drop;\n}\n}")
    (closed,) = read(net).reach(OPEN).closed
    assert "the table inet a, chain o, its policy drop" in closed


def test_sources_that_others_let_in_are_told_apart(net: Networks) -> None:
    net.load(
        f"table inet a {{\nchain i {{\n{INPUT.format('drop')}\n"
        "ip saddr { 192.0.2.0/25, 10.0.0.1-10.0.0.9 } accept\n}\n}"
    )
    foreign = read(net)

    def reach(*sources: str) -> tuple[int, int]:
        opening = Opening("shop.http", "tcp", PORT, merge(sources), ANYWHERE)
        found = foreign.reach(Policy((opening,), (22,)))
        return len(found.closed), len(found.unsure)

    assert reach("192.0.2.0/26") == (0, 0)
    assert reach("10.0.0.2/32", "192.0.2.7/32") == (0, 0)
    assert reach("192.0.2.128/25") == (1, 0)
    assert reach("192.0.2.0/24") == (0, 1)
    assert reach("0.0.0.0/0") == (0, 1)
    assert reach("2001:db8::/64") == (1, 0)


def test_a_family_in_which_nobody_can_come_is_closed_rightly(net: Networks) -> None:
    net.load(f"table ip6 a {{\nchain i {{\n{INPUT.format('drop')}\n}}\n}}")
    assert read(net).closing()
    net.on_host("ip", "addr", "del", "2001:db8::1/64", "dev", "c0")
    foreign = read(net)
    assert (foreign.closing(), foreign.reach(OPEN).closed) == ([], ())


def test_certain_addresses_of_the_host_are_told_apart(net: Networks) -> None:
    net.on_host("ip", "addr", "add", "198.51.100.9/24", "dev", "c0")
    net.load(
        f"table ip a {{\nchain i {{\n{INPUT.format('accept')}\nip daddr 198.51.100.9 drop\n}}\n}}"
    )

    def closed(*destinations: str) -> tuple[int, int]:
        opening = Opening("shop.http", "tcp", PORT, ANYWHERE, merge(destinations))
        found = read(net).reach(Policy((opening,), (22,)))
        return len(found.closed), len(found.unsure)

    assert closed("198.51.100.1") == (0, 0)
    assert closed("198.51.100.9") == (1, 0)
    assert closed("0.0.0.0/0") == (0, 1)


def test_our_own_table_is_nobody_elses(net: Networks) -> None:
    net.load(render(Policy((), (22,))))
    assert read(net).closing() == []
    assert read(net).reach(OPEN).closed == ()


CLUSTERS: dict[str, t.Callable[[Networks], None]] = {
    "kube-proxy by iptables": ipt("nft", "-t nat -N KUBE-SERVICES"),
    "kube-proxy by legacy tables": ipt("legacy", "-t nat -N KUBE-SERVICES"),
    "kube-proxy by nft": nft("table ip kube-proxy {\nchain services {\n}\n}"),
    "Calico": ipt("nft", "-N cali-INPUT"),
    "a network of CNI": ipt("nft", "-t nat -N CNI-HOSTPORT-DNAT"),
    "a comment": ipt(
        "nft", "-t nat -A PREROUTING -p tcp --dport 53 -m comment --comment KUBE-SVC -j ACCEPT"
    ),
}


@pytest.mark.parametrize("kind", CLUSTERS)
def test_a_node_of_a_cluster_is_known_by_its_chains(net: Networks, kind: str) -> None:
    CLUSTERS[kind](net)
    assert read(net).cluster
    assert read(net).closing() == []


def test_engines_of_containers_are_no_cluster(net: Networks) -> None:
    iptables(net, "nft", "-N DOCKER-USER", "-t nat -N DOCKER", "-t nat -N NETAVARK-HOSTPORT-DNAT")
    foreign = read(net)
    assert (foreign.cluster, foreign.closing()) == ("", [])


def test_what_others_redirect_is_known(net: Networks) -> None:
    iptables(
        net,
        "nft",
        "-t nat -N DOCKER",
        "-t nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8081 -j DNAT --to-destination :80",
        "-t nat -A PREROUTING -p udp -m udp --dport 5000:5001 -j REDIRECT --to-ports 53",
    )
    iptables(net, "legacy", "-t nat -A PREROUTING -p tcp --dport 8082 -j REDIRECT --to-ports 80")
    net.load(
        "table inet mine {\nchain p {\ntype nat hook prerouting priority -100;\n"
        "tcp dport 8083 redirect to :80\ntcp dport 8084 accept\n}\n}"
    )
    assert read(net).redirected == (
        ("tcp", 8081),
        ("tcp", 8082),
        ("tcp", 8083),
        ("udp", 5000),
        ("udp", 5001),
    )


def test_what_a_node_redirects_is_left_alone(net: Networks) -> None:
    text = render(Policy((), (22,), is_cluster_node=True))
    assert "forward" not in text
    assert "published" not in text
    net.load(text)


def test_legacy_tables_that_nobody_can_read_are_no_open_door(
    net: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    iptables(net, "legacy", "-P INPUT DROP")
    monkeypatch.setattr(shutil, "which", lambda *_a, **_k: None)
    (blind, *_more) = read(net).blind
    assert "legacy tables of iptables are loaded (filter in /proc/net/ip_tables_names)" in blind


def test_files_that_load_it_at_boot_are_named(net: Networks, tmp_path: pathlib.Path) -> None:
    iptables(net, "nft", *ORACLE)
    (tmp_path / "etc/iptables").mkdir(parents=True)
    (tmp_path / "etc/iptables/rules.v4").write_text("*filter\n")
    (hit, *_more) = read(net).closing()
    assert "and from /etc/iptables/rules.v4, which loads it" in remedy(hit, str(tmp_path))


@pytest.mark.parametrize("name", ["mine", "another"])
def test_so_is_that_of_nftables_if_it_has_the_table(
    net: Networks, tmp_path: pathlib.Path, name: str
) -> None:
    net.load(f"table inet mine {{\nchain i {{\n{INPUT.format('drop')}\n}}\n}}")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nftables.conf").write_text(f"table inet {name} {{}}")
    (hit, *_more) = read(net).closing()
    assert ("and from /etc/nftables.conf" in remedy(hit, str(tmp_path))) is (name == "mine")


@pytest.mark.parametrize("rule", ["-A INPUT -m nobody --knows this -j DROP", "-A INPUT -j GONE"])
def test_a_rule_that_nobody_knows_may_apply_and_may_not(rule: str) -> None:
    saved = f"*filter\n:INPUT ACCEPT [0:0]\n{rule}\nCOMMIT\n"
    foreign = Foreign(parse_saved(saved, 4, "iptables-nft"), merge(["192.0.2.1"]), [])
    assert foreign.closing() == []
    opening = Opening("shop.http", "tcp", PORT, merge([PEER[4]]), ANYWHERE)
    reach = foreign.reach(Policy((opening,), (22,)))
    assert reach.closed == ()
    assert len(reach.unsure) == ("DROP" in rule)


def test_names_that_other_versions_of_nft_write_stop_nothing() -> None:
    rule = {"family": "inet", "table": "a", "chain": "i", "expr": [{"news": 1}, {"drop": None}]}
    base = {"family": "inet", "table": "a", "name": "i", "hook": "input", "type": "filter"}
    text = json.dumps({"nftables": [{"chain": base}, {"rule": rule}, {"flowtable": {}}]})
    chains, is_opaque = parse_ruleset(text)
    assert (len(chains), is_opaque) == (1, False)
    assert Foreign(chains, merge(["192.0.2.1"]), []).closing() == []
