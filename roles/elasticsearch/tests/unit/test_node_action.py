# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order a node, its daemon and its cluster are asked."""

from __future__ import annotations

import importlib.util
import pathlib
import threading
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
        member: bool = True,
    ) -> None:
        action = types.SimpleNamespace(_task=types.SimpleNamespace(check_mode=is_check))
        arguments = {
            "daemon": {"unit": "elasticsearch.service", "files": [FILE]},
            "cluster": {"name": "a"},
            "initial": initial,
            "settings_file": FILE["path"],
            "found": {"formed": formed, "restarting": restarting, "member": member},
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


class Slow(Rig):
    """A node that is gone until it is told to come."""

    def __init__(self, **options: t.Any) -> None:
        super().__init__(preview=["restart"], **options)
        self.gone, self.come = threading.Event(), threading.Event()

    def _run(self, arguments: dict[str, t.Any], *, is_check: bool = False) -> dict[str, t.Any]:
        if not is_check:
            self.gone.set()
            assert self.come.wait(10)
        return super()._run(arguments, is_check=is_check)


def test_members_take_turns_and_those_that_are_waited_for_don_t(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another cluster, a node that left, and one that was cut off in its restart go on."""
    monkeypatch.setattr(module.constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    first, second = Slow(), Slow()
    others = [Slow(initial=["x", "y"]), Slow(member=False), Slow(restarting="a")]
    nodes = [first, second, *others]
    threads = [threading.Thread(target=node.bring) for node in nodes]
    threads[0].start()
    assert first.gone.wait(10)
    for thread in threads[1:]:
        thread.start()
    assert all(node.gone.wait(10) for node in others)
    assert not second.gone.wait(0.3)
    assert second.events == ["preview"]
    first.come.set()
    assert second.gone.wait(10)
    assert first.events[-1] == "settled"
    for node in nodes:
        node.come.set()
    for thread in threads:
        thread.join(10)
    assert second.events == ["preview", "drained", "run", "settled"]
