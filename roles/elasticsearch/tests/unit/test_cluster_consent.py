# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a node may be restarted, and what is left of that in the cluster."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.host.rest import Answer, Servers

LIBRARY = pathlib.Path(__file__).parents[2] / "library"
spec = importlib.util.spec_from_file_location(
    "cluster_module", LIBRARY / "elasticsearch_cluster.py"
)
assert spec is not None
assert spec.loader is not None
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

ENABLE, RESTART = module.ENABLE, module.RESTART
GREEN = {"status": "green"}
YELLOW = {"status": "yellow", "unassigned_shards": 1}


class World(Servers):
    """A cluster as its answers show it."""

    def __init__(self, **versions: str) -> None:
        super().__init__(["https://search"], "", "elastic", "x")
        self.versions = versions or {"a": "9.2.0", "b": "9.2.0", "c": "9.2.0"}
        self.voting = ["id-a", "id-b", "id-c"]
        self.settings: dict[str, str] = {}
        self.health: list[dict[str, t.Any]] = [GREEN]
        self.is_alive = True
        self.asked: list[tuple[str, str]] = []

    def ask(self, path: str, method: str = "GET", authorization: str = "", **more: t.Any) -> Answer:
        self.asked.append((method, path.partition("?")[0]))
        if not self.is_alive:
            return Answer(0, "nobody")
        if method == "PUT":
            for name, value in more["body"]["persistent"].items():
                self.settings.pop(name, None)
                self.settings.update({} if value is None else {name: value})
        if path == "/":
            content: t.Any = {"cluster_uuid": "u"}
        elif path.startswith("/_cluster/health"):
            content = self.health[0] if len(self.health) == 1 else self.health.pop(0)
        elif path.startswith("/_cluster/settings"):
            content = {"persistent": self.settings, "transient": {}}
        elif path.startswith("/_cluster/state"):
            coordination = {"last_committed_config": self.voting}
            content = {"metadata": {"cluster_coordination": coordination}}
        elif path.startswith("/_nodes"):
            content = {
                "nodes": {f"id-{n}": {"name": n, "version": v} for n, v in self.versions.items()}
            }
        else:
            content = {}
        return Answer(200, json.dumps(content))


@pytest.fixture
def world() -> World:
    return World()


def cluster(world: World, name: str = "a", data: str = "/nowhere") -> t.Any:
    return module.Cluster(world, "https://search", name, data, lambda _seconds: None)


def refused(world: World, **more: t.Any) -> str:
    before = dict(world.settings)
    with pytest.raises(module.ClusterError) as told:
        cluster(world).drain(0, **more)
    assert world.settings == before
    return str(told.value)


def test_a_restart_leaves_nothing_behind(world: World) -> None:
    assert cluster(world).drain(0)
    assert world.settings == {ENABLE: "primaries", RESTART: "a/primaries"}
    assert ("POST", "/_flush") in world.asked
    cluster(world).settle(0)
    assert world.settings == {}


def test_an_operators_restriction_is_left_alone(world: World) -> None:
    world.settings = {ENABLE: "none"}
    assert cluster(world).drain(0)
    assert world.settings == {ENABLE: "none", RESTART: "a/-"}
    cluster(world).settle(0)
    assert world.settings == {ENABLE: "none"}


def test_a_restart_that_was_cut_off_is_gone_on_with(world: World) -> None:
    cluster(world).drain(0)
    world.health = [YELLOW]
    assert cluster(world).look().restarting == "a"
    assert cluster(world).drain(0)
    world.health = [YELLOW, GREEN]
    cluster(world).settle(0)
    assert world.settings == {}


def test_nodes_take_turns(world: World) -> None:
    cluster(world, "b").drain(0)
    assert "b is being restarted" in refused(world)


def test_a_node_that_is_gone_in_its_restart_keeps_no_shard_waiting(world: World) -> None:
    cluster(world, "b").drain(0)
    del world.versions["b"]
    world.voting = ["id-a", "id-c", "id-d"]
    world.versions |= {"d": "9.2.0"}
    assert cluster(world).drain(0.2)
    assert world.settings[RESTART] == "a/primaries"


def test_who_would_be_missed_by_the_election_stays(world: World) -> None:
    del world.versions["c"]
    assert "without it the nodes that are left (a and b) elect no master" in refused(world)
    # Of two, any is missed, and nothing can be done about that.
    world.voting = ["id-a"]
    assert cluster(world).drain(0)


@pytest.mark.parametrize(
    ("health", "versions", "allow", "is_allowed"),
    [
        (GREEN, {}, False, True),
        (YELLOW, {}, False, False),
        (YELLOW, {}, True, True),
        # Replicas don't go to a node that is older than their primary's.
        (YELLOW, {"b": "9.3.0"}, False, True),
        ({**YELLOW, "initializing_shards": 1}, {"b": "9.3.0"}, True, False),
        ({"status": "red", "unassigned_shards": 2}, {"b": "9.3.0"}, True, False),
    ],
)
def test_colours(
    world: World,
    health: dict[str, t.Any],
    versions: dict[str, str],
    *,
    allow: bool,
    is_allowed: bool,
) -> None:
    world.health = [health]
    world.versions |= versions
    if is_allowed:
        assert cluster(world).drain(0, allow_yellow=allow)
    else:
        told = refused(world, allow_yellow=allow)
        assert f"a was not restarted, because the cluster is {health['status']}, with" in told


def test_what_is_not_in_the_cluster_is_not_asked_for(world: World) -> None:
    assert not cluster(world, "d").drain(0)
    world.is_alive = False
    assert not cluster(world).drain(0)
    with pytest.raises(module.ClusterError, match="there is no master"):
        cluster(world).settle(0)
    assert not [method for method, _path in world.asked if method != "GET"]


def test_a_node_that_does_not_come_back_is_told(world: World) -> None:
    del world.versions["a"]
    with pytest.raises(module.ClusterError, match="it is not in the cluster of b and c, after 0 s"):
        cluster(world).settle(0)


def test_a_cluster_is_formed_if_it_answers_or_this_node_was_in_it(
    world: World, tmp_path: pathlib.Path
) -> None:
    assert cluster(world).look().formed
    world.is_alive = False
    assert not cluster(world).look().formed
    (tmp_path / "_state").mkdir()
    found = cluster(world, data=str(tmp_path)).look()
    assert (found.formed, found.alive, found.member) == (True, False, False)
