# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""port_check, port_verify and the table in real plays, on this machine and its sockets."""

from __future__ import annotations

import contextlib
import getpass
import os
import pathlib
import re
import socket
import subprocess
import sys
import typing as t

import pytest
import yaml

COLLECTIONS = pathlib.Path(__file__).parents[7]
CONFIG = """
[defaults]
inventory = hosts.yml
collections_path = {collections}
vars_plugins_enabled = host_group_vars,prsnl.ports.registry
callbacks_enabled = prsnl.ports.port_report
[port_registry]
path = registry.yml
"""
# `good` holds its port, a stranger holds that of `foreign`, nobody that of `absent`.
SERVICES = ("good", "foreign", "absent")
TASKS: list[dict[str, t.Any]] = [
    {"name": "Check", "prsnl.ports.port_check": None, "ignore_errors": True},
    {"name": "Verify", "prsnl.ports.port_verify": {"timeout": 1, "unregistered": "ignore"}},
]
# What people run: the roles. What the host has apart from ports doesn't matter here.
ROLES: list[dict[str, t.Any]] = [
    {
        "import_role": {"name": "prsnl.ports.preflight"},
        "vars": {
            "preflight_architectures": [],
            "preflight_systems": [],
            "preflight_service_manager": "",
            "preflight_memory_mb": 0,
            "preflight_disks": [],
        },
        "ignore_errors": True,
    },
    {
        "import_role": {"name": "prsnl.ports.verify"},
        "vars": {"verify_timeout": 1, "verify_unregistered": "ignore"},
    },
]


def registry(ports: t.Mapping[str, int]) -> dict[str, t.Any]:
    with open("/proc/self/comm", encoding="utf-8") as comm:
        own = comm.read().strip()
    return {
        "version": 1,
        "environments": {"test": "This machine"},
        "groups": {name: f"Hosts of {name}" for name in SERVICES},
        "services": {
            name: {
                "description": name,
                "hosts": name,
                "environments": ["test"],
                "owner": {
                    "process": "somebody" if name == "foreign" else own,
                    "user": getpass.getuser(),
                },
                "endpoints": {"tcp": {"port": ports[name], "status": "fixed", "exposure": "host"}},
            }
            for name in SERVICES
        },
        "history": [
            {
                "date": "2026-01-02",
                "what": "Test",
                "why": "Test",
                "by": "Test",
                "changes": [
                    {"endpoint": f"{name}.tcp", "to": ports[name], "status": "fixed"}
                    for name in SERVICES
                ],
            }
        ],
    }


class Run(t.NamedTuple):
    ports: dict[str, int]
    code: int
    output: str

    def recap(self, host: str) -> dict[str, int]:
        line = re.search(rf"^{host} +: (.*)$", self.output, re.MULTILINE)
        assert line, self.output
        return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line[1])}


@contextlib.contextmanager
def play(
    folder: pathlib.Path, tasks: list[dict[str, t.Any]], *arguments: str, report: bool = True
) -> t.Iterator[Run]:
    """Run a play on three hosts that all are this machine, and let go of its ports afterwards."""
    servers = {name: socket.create_server(("127.0.0.1", 0)) for name in SERVICES}
    ports = {name: server.getsockname()[1] for name, server in servers.items()}
    servers["absent"].close()
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    config = CONFIG.format(collections=COLLECTIONS)
    if not report:
        config = config.replace("callbacks_enabled = prsnl.ports.port_report\n", "")
    files = {
        "ansible.cfg": config,
        "registry.yml": yaml.safe_dump(registry(ports), sort_keys=False),
        "hosts.yml": yaml.safe_dump(
            {
                "all": {
                    "vars": {"port_environment": "test"} | local,
                    "children": {name: {"hosts": {f"host-{name}": None}} for name in SERVICES},
                }
            }
        ),
        "play.yml": yaml.safe_dump(
            [{"hosts": "all", "gather_facts": False, "tasks": tasks}], sort_keys=False
        ),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    done = subprocess.run(
        [pathlib.Path(sys.executable).with_name("ansible-playbook"), "play.yml", *arguments],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")}
        | {"ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        yield Run(ports, done.returncode, done.stdout + done.stderr)
    finally:
        for server in servers.values():
            server.close()


@pytest.fixture(scope="module", params=[False, True], ids=["run", "check mode"])
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> t.Iterator[tuple[Run, bool]]:
    arguments = ["--check"] if request.param else []
    with play(tmp_path_factory.mktemp("site"), TASKS, *arguments) as result:
        yield result, request.param


def test_check_refuses_the_stranger_only(run: tuple[Run, bool]) -> None:
    result, _check_mode = run
    user = getpass.getuser()
    assert re.search(
        rf"host-foreign: {result.ports['foreign']}/tcp wanted by foreign\.tcp is held on"
        rf" 127\.0\.0\.1 by \S+ \(pid {os.getpid()}, user {user}, since .*\)\."
        r" Stop it, or move the service in registry\.yml\.",
        result.output,
    )
    assert {name: result.recap(f"host-{name}")["ignored"] for name in SERVICES} == {
        "good": 0,
        "foreign": 1,
        "absent": 0,
    }


def test_verify_fails_unless_in_check_mode(run: tuple[Run, bool]) -> None:
    result, check_mode = run
    failed = {name: result.recap(f"host-{name}")["failed"] for name in SERVICES}
    if check_mode:
        assert failed == {"good": 0, "foreign": 0, "absent": 0}
        assert result.code == 0
        assert re.search(r"Not enforced in check mode\. host-absent: 1 fault\.", result.output)
    else:
        assert failed == {"good": 0, "foreign": 1, "absent": 1}
        assert result.code == 2


def test_nothing_is_ever_changed(run: tuple[Run, bool]) -> None:
    assert all(run[0].recap(f"host-{name}")["changed"] == 0 for name in SERVICES)


def test_the_table_shows_every_host(run: tuple[Run, bool]) -> None:
    result, check_mode = run
    suffix = r" \(check mode\)" if check_mode else ""
    for name, verdict in (
        ("good", "ok"),
        ("foreign", "wrong owner"),
        ("absent", "not bound"),
    ):
        as_planned = 1 if name == "good" else 0
        assert re.search(
            rf"PORTS OF host-{name}: {as_planned} of 1 as planned{suffix} \*+\nSERVICE .*\n"
            rf"{name} +tcp +127\.0\.0\.1:{result.ports[name]} .* {verdict}\n",
            result.output,
        )


@pytest.mark.parametrize("report", [True, False], ids=["report", "no report"])
def test_people_read_a_fault_once(tmp_path: pathlib.Path, report: bool) -> None:
    """Without the report there is only Ansible's own error, which prints a message twice."""
    with play(tmp_path, ROLES, report=report) as result:
        text = " ".join(result.output.split())
        foreign, absent = result.ports["foreign"], result.ports["absent"]
    assert result.code == 2
    for said in (
        rf"{foreign}/tcp wanted by foreign\.tcp is held on",
        rf"foreign\.tcp[^:]*: 127\.0\.0\.1:{foreign} is held by",
        rf"absent\.tcp[^:]*: nothing listens on 127\.0\.0\.1:{absent}",
    ):
        assert len(re.findall(said, text)) == (1 if report else 2), (said, result.output)
    assert ("at the end of this run" in text) is report
