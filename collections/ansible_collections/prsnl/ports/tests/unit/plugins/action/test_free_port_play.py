# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""free_port in real plays, on this machine and its processes."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest

COLLECTIONS = pathlib.Path(__file__).parents[7]
CONFIG = f"""
[defaults]
inventory = hosts.json
collections_path = {COLLECTIONS}
stdout_callback = ansible.posix.json
vars_plugins_enabled = host_group_vars,prsnl.ports.registry
[port_registry]
path = registry.json
"""
REGISTRY = {
    "version": 1,
    "environments": {"test": "This machine"},
    "groups": {"servers": "This machine"},
    "services": {
        "web": {
            "description": "Not in the way",
            "hosts": "servers",
            "environments": ["test"],
            "owner": {"process": "web"},
            "endpoints": {"http": {"port": 20080, "status": "alternative", "exposure": "host"}},
        }
    },
}
INVENTORY = {
    "all": {
        "vars": {
            "port_environment": "test",
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
        },
        "children": {"servers": {"hosts": {"here": None}}},
    }
}
PROGRAM = """
import signal, socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
signal.pause()
"""


def results(folder: pathlib.Path, *tasks: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """What each task, which may fail, returned; they are shown with their differences."""
    play = {"hosts": "all", "gather_facts": False, "ignore_errors": True, "tasks": tasks}
    files = {"play.yml": [play], "hosts.json": INVENTORY, "registry.json": REGISTRY}
    for name, data in files.items():
        (folder / name).write_text(json.dumps(data))
    (folder / "ansible.cfg").write_text(CONFIG)
    done = subprocess.run(
        [pathlib.Path(sys.executable).with_name("ansible-playbook"), "play.yml", "--diff"],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")}
        | {"ANSIBLE_CONFIG": "ansible.cfg", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [task["hosts"]["here"] for task in json.loads(done.stdout)["plays"][0]["tasks"]]


@pytest.fixture
def stray() -> t.Iterator[tuple[subprocess.Popen[str], int]]:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def test_a_port_is_freed_once_and_only_from_whom_was_meant(
    tmp_path: pathlib.Path, stray: tuple[subprocess.Popen[str], int]
) -> None:
    process, port = stray
    owner = pathlib.Path(f"/proc/{process.pid}/comm").read_text().strip()
    free = {"prsnl.ports.free_port": {"port": port, "owner": owner}}
    other, would, done, again = results(
        tmp_path,
        {"prsnl.ports.free_port": {"port": port, "owner": "somebody"}},
        {**free, "check_mode": True},
        free,
        free,
    )
    held = f"held on 127.0.0.1 by {owner} (pid {process.pid}, user "
    assert other["failed"]
    assert f"here: {port}/tcp is {held}" in other["msg"]
    assert other["msg"].endswith(f"The holder is {owner}, not somebody.")
    for result in (would, done):
        assert result["changed"]
        assert result["method"] == f"send TERM to pid {process.pid}"
        assert result["diff"]["before"].startswith(f"{port}/tcp {held}")
        assert result["diff"]["after"] == f"{port}/tcp free\n"
    assert (again["changed"], again["method"], again["held_by"]) == (False, "", "")
    assert process.wait(5) < 0


def test_check_mode_stops_nobody(
    tmp_path: pathlib.Path, stray: tuple[subprocess.Popen[str], int]
) -> None:
    process, port = stray
    owner = pathlib.Path(f"/proc/{process.pid}/comm").read_text().strip()
    task = {"prsnl.ports.free_port": {"port": port, "owner": owner}, "check_mode": True}
    (would,) = results(tmp_path, task)
    assert would["changed"]
    assert process.poll() is None
