# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture: everything is in it, nothing overlaps, and many hosts are still legible."""

from __future__ import annotations

import itertools
import pathlib
import re
import sys
import typing as t
import xml.etree.ElementTree as ET

import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.graph import Graph, make
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.picture import (
    MAX_MATRIX,
    draw,
    matrix,
)

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from simulated import World, large, scattered, small

NAMESPACE = "{http://www.w3.org/2000/svg}"


def parsed(world: World) -> tuple[Graph, t.Any]:
    """The graph, and the picture as XML."""
    graph = make(world.evidence())
    return graph, ET.fromstring(draw(graph))  # noqa: S314 - our own


def texts(root: t.Any) -> list[str]:
    return [element.text or "" for element in root.iter(f"{NAMESPACE}text")]


def boxes(root: t.Any) -> list[tuple[float, float, float, float]]:
    return [
        tuple(float(rect.attrib[key]) for key in ("x", "y", "width", "height"))  # type: ignore[misc]
        for group in root.iter(f"{NAMESPACE}g")
        if group.attrib.get("class", "").split()[:1] in (["host"], ["outside"])
        for rect in group.findall(f"{NAMESPACE}rect")
    ]


def test_every_host_endpoint_and_path_is_drawn() -> None:
    world = small()
    graph, root = parsed(world)
    said = texts(root)
    for name, place in world.places.items():
        assert name in said
        for entry in place.plan:
            if entry["expect"] != "silent":
                assert f"{entry['port']} {entry['id']}" in said
    arrows = [p for p in root.iter(f"{NAMESPACE}path") if "marker-end" in p.attrib]
    assert len(arrows) == len(graph.paths) == 10
    kinds = sorted(path.attrib["class"] for path in arrows)
    assert kinds == ["line declared"] * 9 + ["line public"]
    # For those who can't see it.
    assert root.attrib["role"] == "img"
    assert [root.find(f"{NAMESPACE}{tag}").text for tag in ("title", "desc")] == [
        "Hosts, their endpoints, and who may reach them",
        "3 hosts and 10 paths between them. The table below says the same in words.",
    ]


@pytest.mark.parametrize("make_world", [small, large])
def test_boxes_lie_apart_and_inside(make_world: t.Callable[[], World]) -> None:
    _graph, root = parsed(make_world())
    _x, _y, width, height = map(float, root.attrib["viewBox"].split())
    found = boxes(root)
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in found)
    for one, other in itertools.combinations(found, 2):
        apart = (
            one[0] + one[2] <= other[0]
            or other[0] + other[2] <= one[0]
            or one[1] + one[3] <= other[1]
            or other[1] + other[3] <= one[1]
        )
        assert apart, (one, other)


@pytest.mark.parametrize("make_world", [small, large])
def test_no_line_crosses_a_box(make_world: t.Callable[[], World]) -> None:
    _graph, root = parsed(make_world())
    found = boxes(root)
    segments = 0
    for path in root.iter(f"{NAMESPACE}path"):
        if not path.attrib.get("class", "").startswith("line"):
            continue
        x = y = 0.0
        for step in re.findall(r"([MHV])([\d.]+)(?: ([\d.]+))?", path.attrib["d"]):
            kind, first, second = step
            to_x = float(first) if kind in "MH" else x
            to_y = float(second) if kind == "M" else float(first) if kind == "V" else y
            if kind != "M":
                segments += 1
                for left, top, width, height in found:
                    inside = (
                        min(x, to_x) < left + width - 1
                        and max(x, to_x) > left + 1
                        and min(y, to_y) < top + height - 1
                        and max(y, to_y) > top + 1
                    )
                    assert not inside, (path.attrib["d"], left, top)
            x, y = to_x, to_y
    assert segments > 15


def test_what_is_wrong_is_seen() -> None:
    world = small()
    world.stop("web01", "web_0.two")
    world.close("data01", "data_0.one")
    world.lose("ops01")
    _graph, root = parsed(world)
    classes = [element.attrib.get("class", "") for element in root.iter()]
    assert classes.count("line closed") == 1
    assert classes.count("fault row") == 1
    assert "host unreached" in classes
    assert "not reached" in texts(root)
    # Nothing is known of its endpoints.
    assert classes.count("unknown") == len([e for e in world.places["ops01"].plan if e["listen"]])


def test_many_hosts_that_serve_the_same_are_one_box() -> None:
    graph, root = parsed(large())
    hosts = [node for node in graph.nodes.values() if not node.outside]
    assert sorted(len(node.hosts) for node in hosts) == [4, 8, 8, 12, 18]
    assert "app: 18" in texts(root)
    assert "app01 to app18" in texts(root)
    _x, _y, width, height = map(float, root.attrib["viewBox"].split())
    # The smallest texts have 10.2 pixels, and the picture has 968 on a screen of 1280.
    assert 10.2 * 968 / width > 8.5
    assert height < 1400


def test_many_different_hosts_are_a_matrix() -> None:
    world = scattered()
    graph, root = parsed(world)
    assert len(graph.nodes) == 51
    said = texts(root)
    assert set(world.places) <= set(said)
    cells = [g for g in root.iter(f"{NAMESPACE}g") if g.attrib.get("class", "").startswith("cell")]
    assert len(cells) == len(graph.pairs()) == 50
    assert {cell.find(f"{NAMESPACE}text").text for cell in cells} == {"12"}
    _x, _y, width, _height = map(float, root.attrib["viewBox"].split())
    assert width < 1200


def test_more_hosts_than_a_picture_can_have() -> None:
    world = scattered(hosts=MAX_MATRIX + 1, services=MAX_MATRIX + 1)
    assert draw(make(world.evidence())) == ""
    assert matrix(make(world.evidence()))


def test_names_are_data() -> None:
    world = small()
    evidence = world.evidence()
    evidence.data["hosts"] = evidence.hosts = {
        f"<b>{name}\u202e": host for name, host in evidence.hosts.items()
    }
    text = draw(make(evidence))
    ET.fromstring(text)  # noqa: S314 - our own
    assert "<b>" not in text
    assert "\u202e" not in text
    assert "&lt;b&gt;web01\\u202e" in text
