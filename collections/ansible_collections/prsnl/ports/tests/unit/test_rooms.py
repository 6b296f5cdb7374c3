# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports between the rooms of the collection go one way; docs/architecture.md draws them."""

from __future__ import annotations

import ast
import pathlib
import re

PLUGINS = pathlib.Path(__file__).parents[2] / "plugins"
PACKAGE = "ansible_collections.prsnl.ports.plugins"
# What a room may import, besides itself.
HOST: dict[str, set[str]] = {
    "host": set(),
    "sockets": {"host"},
    "plan": {"host", "sockets"},
    "firewall": {"host", "sockets", "plan"},
    "daemon": {"host", "sockets", "plan"},
    "verdicts": {"host", "sockets", "plan"},
    "freeing": {"host", "sockets", "plan", "verdicts"},
    "moves": {"host", "sockets", "plan"},
    "metrics": {"host", "sockets", "plan", "firewall", "verdicts"},
    "evidence": {"host", "sockets", "plan", "firewall", "verdicts", "moves"},
}
# The controller may use the host's pure words and the backends' shared names, never the reverse.
CONTROLLER: dict[str, set[str]] = {
    "registry": set(),
    "plan": {"registry"},
    "governance": {"registry"},
    "references": {"registry"},
    "outputs": {"registry", "references"},
    "drafts": {"registry", "references", "outputs"},
    "console": {"registry", "governance", "references", "outputs", "drafts"},
    "playbook": {"registry", "plan", "governance"},
    "handoff": {"registry"},
}
WORDS = ("module_utils.host.text.", "module_utils.host.known_ports.")


def _rooms(half: str) -> list[pathlib.Path]:
    return sorted(path for path in (PLUGINS / half).iterdir() if path.name != "__pycache__")


def _imports(path: pathlib.Path) -> set[str]:
    """The modules of this collection that a file imports, without the collection's name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{PACKAGE}."):
            module = (node.module or "").removeprefix(f"{PACKAGE}.")
            found |= {f"{module}.{name.name}" for name in node.names}
    return found


def _strange(half: str, rooms: dict[str, set[str]], also: tuple[str, ...]) -> list[str]:
    strange = []
    for room, may in rooms.items():
        allowed = (*(f"{half}.{name}." for name in (room, *may)), *also)
        for path in (PLUGINS / half / room).rglob("*.py"):
            strange += [
                f"{path.relative_to(PLUGINS)} imports {module}"
                for module in sorted(_imports(path))
                if not module.startswith(allowed)
            ]
    return strange


def test_nothing_lives_outside_a_room() -> None:
    assert [path.name for path in _rooms("module_utils")] == sorted(HOST)
    assert [path.name for path in _rooms("plugin_utils")] == sorted(CONTROLLER)


def test_imports_go_one_way() -> None:
    assert _strange("module_utils", HOST, ()) == []
    assert _strange("plugin_utils", CONTROLLER, WORDS) == []


def test_the_page_draws_these_rooms() -> None:
    page = PLUGINS.parents[4] / "docs" / "architecture.md"
    rows = re.findall(
        r"^\| (controller|host) \| `(\w+)` \|.*\| ([^|]+) \|$", page.read_text(), re.M
    )
    told = {(half, room): set(re.findall(r"`(\w+)`", may)) for half, room, may in rows}
    assert told == {
        **{("controller", room): may for room, may in CONTROLLER.items()},
        **{("host", room): may for room, may in HOST.items()},
    }


def test_no_room_leads_back_to_itself() -> None:
    for rooms in (HOST, CONTROLLER):
        settled: set[str] = set()
        while len(settled) < len(rooms):
            ready = {name for name, may in rooms.items() if may <= settled} - settled
            assert ready, f"a circle among {sorted(set(rooms) - settled)}"
            settled |= ready
