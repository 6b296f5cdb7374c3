"""Nodes of the stand-in become one cluster, and stay one, by Elasticsearch's rules."""

from __future__ import annotations

import ipaddress
import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from standin import addresses, cluster, web

PORTS = itertools.count(7600)


class Node:
    """A node at a loopback address."""

    def __init__(self, folder: Path, name: str, plan: cluster.Plan, **more: str) -> None:
        self.address = more.pop("address", "") or f"127.0.0.1:{next(PORTS)}"
        version = more.pop("version", "9.2.0")
        published = more.pop("published", self.address)
        me = cluster.Identity("", name, "prsnl", version, published, "127.0.0.1:1", [])
        self.folder = folder
        path = folder / f"{name}.json"
        self.cluster = cluster.Cluster(me, plan, path, cluster.Wire(None))
        host, _, port = self.address.partition(":")
        self.server = web.Server(self.cluster.answer, host, int(port)).start()
        self.cluster.start()

    def end(self, *, politely: bool = True) -> None:
        if politely:
            self.cluster.stop()
        self.cluster._stop.set()
        self.server.shutdown()
        self.server.server_close()


Start = Callable[..., Node]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setattr(cluster, "PERIOD", 0.1)
    nodes: list[Node] = []

    def start(name: str, plan: cluster.Plan, **more: str) -> Node:
        nodes.append(Node(tmp_path, name, plan, **more))
        return nodes[-1]

    yield start
    for node in nodes:
        node.end()


def wait(condition: Callable[[], object], told: Callable[[], object] = lambda: "") -> None:
    end = time.monotonic() + 8
    while not condition():
        assert time.monotonic() < end, told()
        time.sleep(0.05)


def three(start: Start) -> list[Node]:
    """Three nodes that have found each other, by seeds that are the first one's address only."""
    seed = f"127.0.0.1:{next(PORTS)}"
    names = ["a", "b", "c"]
    plan = cluster.Plan([seed], names)
    nodes = [start("a", plan, address=seed), *(start(name, plan) for name in names[1:])]
    wait(lambda: all(len(node.cluster.members) == 3 and node.cluster.master for node in nodes))
    return nodes


def index(node: Node) -> None:
    master = node
    master.cluster.change(
        lambda state: state["indices"].update(notes={"documents": {}, "copies": 2, "assigned": []})
    )
    master.cluster.reconcile()


def master_of(nodes: list[Node]) -> Node:
    masters = {node.cluster.master for node in nodes}
    assert len(masters) == 1, masters
    return next(node for node in nodes if node.cluster.me.id in masters)


def test_three_form_one_cluster_and_survive_one(start: Start) -> None:
    nodes = three(start)
    assert len({node.cluster.state["uuid"] for node in nodes}) == 1
    first = master_of(nodes)
    index(first)
    wait(lambda: all(node.cluster.health()["status"] == "green" for node in nodes))
    first.end(politely=False)
    left = [node for node in nodes if node is not first]
    wait(lambda: all(node.cluster.health()["number_of_nodes"] == 2 for node in left))
    second = master_of(left)
    assert second is not first
    wait(lambda: second.cluster.health()["status"] == "green")
    last = next(node for node in left if node is not second)
    last.end(politely=False)
    # A third of the votes elects nobody.
    wait(lambda: not second.cluster.master)


def test_a_node_joins_without_initial_masters_and_is_locked_in(start: Start) -> None:
    nodes = three(start)
    fourth = start("d", cluster.Plan([nodes[1].address]))
    wait(lambda: fourth.cluster.health()["number_of_nodes"] == 4)
    assert fourth.cluster.state["uuid"] == nodes[0].cluster.state["uuid"]


def test_a_lone_initial_master_makes_a_cluster_of_its_own(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = three(start)
    # It doesn't know the others when it starts, so it bootstraps; there is no way back.
    lone = start("x", cluster.Plan([], ["x"]))
    wait(lambda: lone.cluster.master)
    lone.cluster._addresses.add(nodes[0].address)
    wait(lambda: "with a different cluster uuid" in "".join(lone.cluster._said))
    assert lone.cluster.health()["number_of_nodes"] == 1
    nodes[0].cluster.start()
    assert any("locked into cluster UUID" in said for said in nodes[0].cluster._said)


def test_a_published_address_that_leads_nowhere_keeps_a_node_out(start: Start) -> None:
    nodes = three(start)
    wrong = start("d", cluster.Plan([nodes[0].address]), published="127.0.0.1:9")
    nodes[0].cluster._addresses.add(wrong.address)
    wait(lambda: any("followup connection" in said for said in nodes[0].cluster._said))
    assert len(nodes[0].cluster.members) == 3


def test_allocation_waits_while_it_is_restricted_and_for_newer_nodes(start: Start) -> None:
    nodes = three(start)
    master = master_of(nodes)
    index(master)
    enable = {cluster.ENABLE: "primaries"}
    master.cluster.change(lambda state: state["settings"].update(enable))
    holder = master.cluster.state["indices"]["notes"]["assigned"][-1]
    other = next(node for node in nodes if node.cluster.me.id == holder)
    if other is master:
        return
    other.end()
    wait(lambda: master.cluster.health()["status"] == "yellow")
    time.sleep(0.5)
    assert master.cluster.health()["status"] == "yellow"
    master.cluster.change(lambda state: state["settings"].clear())
    wait(lambda: master.cluster.health()["status"] == "green")


def test_an_old_node_does_not_join_newer_ones(start: Start) -> None:
    seed = start("a", cluster.Plan([], ["a"]), version="9.3.0")
    wait(lambda: seed.cluster.master)
    old = start("b", cluster.Plan([seed.address]), version="9.2.0")
    wait(lambda: any("may not join" in said for said in old.cluster._said))
    assert seed.cluster.health()["number_of_nodes"] == 1


@pytest.mark.parametrize(
    ("hosts", "wanted"),
    [
        # NetworkUtils.sortAddresses: IPv4 before IPv6, then site-local, then by the bytes.
        (["10.89.82.11", "fd00::b"], "10.89.82.11"),
        (["127.0.0.1", "10.89.82.11"], "10.89.82.11"),
        (["192.0.2.7", "10.1.0.1"], "192.0.2.7"),
        (["0.0.0.0"], "10.1.0.1"),
        (["::"], "10.1.0.1"),
    ],
)
def test_what_is_published_without_being_told(hosts: list[str], wanted: str) -> None:
    own = [ipaddress.ip_address(word) for word in ("127.0.0.1", "10.89.82.11", "10.1.0.1", "::1")]
    assert str(addresses.published(hosts, lambda: list(own))) == wanted


def test_a_wildcard_beside_others_is_refused() -> None:
    with pytest.raises(ValueError, match="is wildcard, but multiple"):
        addresses.published(["0.0.0.0", "10.0.0.1"])


def test_the_host_has_addresses() -> None:
    assert ipaddress.ip_address("127.0.0.1") in addresses.of_host()


SANDBOX = """
import os, sys
sys.path.insert(0, {folder!r})
from standin import sandbox
sandbox.install()
try:
    os.execv("/bin/true", ["true"])
except PermissionError:
    print("refused")
"""


def test_a_filter_is_really_installed() -> None:
    folder = str(Path(cluster.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", SANDBOX.format(folder=folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "refused\n", done.stderr
