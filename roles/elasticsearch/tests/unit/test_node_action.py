# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order a node, its daemon and its cluster are asked."""

from __future__ import annotations

import importlib.util
import pathlib
import types
import typing as t

import pytest

PLUGINS = pathlib.Path(__file__).parents[2] / "action_plugins"
spec = importlib.util.spec_from_file_location("node_action", PLUGINS / "elasticsearch_node.py")
assert spec is not None
assert spec.loader is not None
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

FILE = {"path": "/etc/elasticsearch/elasticsearch.yml", "content": "a: 1\n"}
THREE = ["a", "b", "c"]


class Rig(module.Node):  # type: ignore[misc, name-defined]
    """A node whose daemon and cluster are recorded."""

    def __init__(
        self,
        *,
        formed: bool = True,
        restarting: str = "",
        initial: t.Sequence[str] = THREE,
        preview: t.Sequence[str] = (),
        is_check: bool = False,
        failing: t.Sequence[str] = (),
    ) -> None:
        action = types.SimpleNamespace(_task=types.SimpleNamespace(check_mode=is_check))
        arguments = {
            "daemon": {"unit": "elasticsearch.service", "files": [FILE]},
            "cluster": {"name": "a"},
            "initial": initial,
            "settings_file": FILE["path"],
            "found": {"formed": formed, "restarting": restarting},
        }
        super().__init__(action, arguments, {"inventory_hostname": "a"})
        self.preview = list(preview)
        self.failing = failing
        self.events: list[str] = []

    def _run(self, arguments: dict[str, t.Any], *, is_check: bool = False) -> dict[str, t.Any]:
        (file,) = arguments["files"]
        words = ["preview" if is_check else "run"]
        words += ["bootstrapping"] if "initial_master_nodes" in file["content"] else []
        words += ["unread"] if file.get("applied_by") == "none" else []
        self.events.append(" ".join(words))
        result = {"changed": bool(self.preview), "actions": self.preview}
        return {**result, "failed": True, "msg": "no"} if words[0] in self.failing else result

    def _ask(self, state: str, told: str) -> dict[str, t.Any]:
        self.events.append(state)
        return {"failed": True, "msg": state} if state in self.failing else {}


@pytest.mark.parametrize(
    ("rig", "events"),
    [
        (Rig(initial=["a"]), ["run"]),
        (Rig(is_check=True, preview=["restart"]), ["run"]),
        (Rig(), ["preview", "run"]),
        (Rig(preview=["write /etc/x", "reload"]), ["preview", "run"]),
        (Rig(preview=["write /etc/x", "restart"]), ["preview", "drained", "run", "settled"]),
        (Rig(preview=["install elasticsearch"]), ["preview", "drained", "run", "settled"]),
        (Rig(preview=["restart"], failing=["drained"]), ["preview", "drained"]),
        # What runs by then is what was there before, and the cluster goes on with it.
        (Rig(preview=["restart"], failing=["run"]), ["preview", "drained", "run", "settled"]),
        (Rig(restarting="a"), ["preview", "drained", "run", "settled"]),
        (Rig(restarting="b"), ["preview", "run"]),
        (Rig(formed=False), ["run bootstrapping", "settled", "run unread"]),
        (Rig(formed=False, failing=["settled"]), ["run bootstrapping", "settled"]),
    ],
)
def test_the_order_of_things(rig: Rig, events: list[str]) -> None:
    result = rig.bring()
    assert rig.events == events
    assert bool(result.get("failed")) == bool(rig.failing)
    if rig.failing and rig.failing != ["run"]:
        assert result["msg"].startswith("a: ")
