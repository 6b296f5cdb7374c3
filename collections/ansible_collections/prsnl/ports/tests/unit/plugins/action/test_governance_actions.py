# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""port_allocation, port_lease and the leases in reports, in real plays on this machine."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import socket
import subprocess
import sys
import typing as t

import pytest

COLLECTIONS = pathlib.Path(__file__).parents[7]
BASE = (pathlib.Path(__file__).parents[1] / "plugin_utils" / "registry" / "base.yml").read_text(
    encoding="utf-8"
)
CONFIG = f"""\
[defaults]
inventory = hosts.yml
collections_path = {COLLECTIONS}
vars_plugins_enabled = host_group_vars, prsnl.ports.registry
stdout_callback = ansible.posix.json
[port_registry]
path = ports.yml
"""
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
HOSTS = {
    "all": {
        "vars": {"port_environment": "production", **LOCAL},
        "children": {
            "front": {"hosts": {"app1": {}, "app2": {}}},
            "back": {"hosts": {"data": {}}},
        },
    }
}
ALLOCATE = "prsnl.ports.port_allocation"
LEASE = "prsnl.ports.port_lease"


class Site:
    """A project with a registry of its own."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.registry = folder / "ports.yml"
        self.registry.write_text(BASE, encoding="utf-8")
        (folder / "ansible.cfg").write_text(CONFIG)
        (folder / "hosts.yml").write_text(json.dumps(HOSTS))

    def start(
        self, *tasks: dict[str, t.Any], hosts: str = "app1", args: tuple[str, ...] = (), **env: str
    ) -> subprocess.CompletedProcess[str]:
        plays = [{"hosts": hosts, "gather_facts": False, "tasks": tasks}]
        (self.folder / "play.yml").write_text(json.dumps(plays))
        return subprocess.run(
            [str(pathlib.Path(sys.executable).with_name("ansible-playbook")), "play.yml", *args],
            cwd=self.folder,
            env={**os.environ, "ANSIBLE_CONFIG": "ansible.cfg", **env},
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, *tasks: dict[str, t.Any], **options: t.Any) -> list[dict[str, t.Any]]:
        """For each task the results of the hosts; failures don't end the play."""
        done = self.start(*({**task, "ignore_errors": True} for task in tasks), **options)
        assert done.stdout, done.stderr
        return [task["hosts"] for task in json.loads(done.stdout)["plays"][0]["tasks"]]


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Site:
    return Site(tmp_path)


def test_allocating_moving_and_retiring(site: Site) -> None:
    """Each once, and then nothing more; in check mode not at all."""
    tasks: list[dict[str, t.Any]] = [
        {ALLOCATE: {"endpoint": "shop.jobs", "exposure": "host", "reason": "{{ 1 + 1 }} jobs"}},
        {ALLOCATE: {"endpoint": "store.sql", "state": "changed", "port": 21005, "reason": "Room"}},
        {ALLOCATE: {"endpoint": "shop.admin", "state": "absent", "by": "Bob"}},
    ]
    checked = site.run(*tasks, args=("--check", "--diff"))
    assert [task["app1"]["changed"] for task in checked] == [True, True, True]
    assert "+        port: 20000\n" in checked[0]["app1"]["diff"]["prepared"]
    assert site.registry.read_text(encoding="utf-8") == BASE
    done = site.run(*tasks, GIT_AUTHOR_NAME="Ada")
    assert [task["app1"]["changed"] for task in done] == [True, True, True]
    assert [task["app1"]["port"] for task in done] == [20000, 21005, 20002]
    assert done[0]["app1"]["path"] == str(site.registry)
    text = site.registry.read_text(encoding="utf-8")
    assert text.endswith(
        f"""\
  - date: {datetime.date.today().isoformat()}
    what: shop.jobs gets 20000
    why: 2 jobs
    by: Ada
    changes:
      - {{endpoint: shop.jobs, to: 20000, status: fixed}}
  - date: {datetime.date.today().isoformat()}
    what: store.sql moves from 21001 to 21005
    why: Room
    by: Ada
    changes:
      - {{endpoint: store.sql, from: 21001, to: 21005, status: critical}}
  - date: {datetime.date.today().isoformat()}
    what: shop.admin is retired
    why: No reason was given
    by: Bob
    changes:
      - {{endpoint: shop.admin, to: 20002, status: retired}}
"""
    )
    again = site.run(*tasks)
    assert [task["app1"]["changed"] for task in again] == [False, False, False]
    assert site.registry.read_text(encoding="utf-8") == text


def test_all_hosts_of_a_play_at_once(site: Site) -> None:
    """Each host's endpoint gets a port of its own, whoever comes first."""
    task = {
        ALLOCATE: {"endpoint": "shop.{{ inventory_hostname }}", "exposure": "host", "reason": "x"}
    }
    (done,) = site.run(task, hosts="all")
    assert sorted(result["port"] for result in done.values()) == [20000, 20003, 20004]


def test_what_is_refused(site: Site) -> None:
    tasks: list[dict[str, t.Any]] = [
        {ALLOCATE: {"endpoint": "shop.jobs", "exposure": "host"}},
        {ALLOCATE: {"endpoint": "shop.htpp", "state": "changed", "port": 20005}},
        {ALLOCATE: {"endpoint": "shop.jobs", "status": "retired"}},
        {ALLOCATE: {"endpoint": "shop.jobs", "exposure": "host", "port": 21000, "reason": "x"}},
        {LEASE: {"port": 20001, "hosts": "front", "holder": {"process": "x"}, "reason": "x"}},
        {LEASE: {"port": 20005, "hosts": "frnt", "state": "extended", "expires": "4h"}},
    ]
    failures = [task["app1"]["msg"] for task in site.run(*tasks)]
    for failure, message in zip(
        failures,
        (
            "ports.yml: shop.jobs can't be allocated: a fixed endpoint needs a reason",
            "ports.yml: shop.htpp can't be changed: there is no such endpoint; did you mean",
            "value of status must be one of: critical, fixed, alternative, reserved",
            "21000/tcp is store.old, retired",
            "leases.yml: 20001/tcp on front can't be leased: found no expires",
            "there is no such lease",
        ),
        strict=True,
    ):
        assert message in failure
    assert site.registry.read_text(encoding="utf-8") == BASE
    assert sorted(path.name for path in site.folder.iterdir()) == [
        *("ansible.cfg", "hosts.yml", "play.yml", "ports.yml")
    ]


def test_leasing(site: Site) -> None:
    lease = {
        "port": 20005,
        "hosts": "app1",
        "holder": {"process": "node", "user": "ada"},
        "reason": "Load test",
        "expires": "4h",
    }
    tasks: list[dict[str, t.Any]] = [
        {LEASE: lease},
        {LEASE: lease},
        {ALLOCATE: {"endpoint": "shop.jobs", "port": 20005, "exposure": "host", "reason": "x"}},
        {LEASE: {"port": 20005, "hosts": "app1", "state": "extended", "expires": "2d"}},
        {"prsnl.ports.registry_info": {"port": 20005, "range": "20004-20006"}},
        {LEASE: {"port": 20005, "hosts": "app1", "state": "absent"}},
        {LEASE: {"port": 20005, "hosts": "app1", "state": "absent"}},
    ]
    done = [task["app1"] for task in site.run(*tasks)]
    assert [task["changed"] for task in done] == [True, False, False, True, False, True, False]
    assert "20005/tcp is leased to node on app1 until" in done[2]["msg"]
    (use,) = done[4]["uses"]
    assert (use["kind"], use["who"], use["where"]) == ("leased", "app1", "leases.yml:6")
    assert done[4]["free"] == [20004, 20006]
    (lent,) = done[4]["leases"]
    assert (lent["port"], lent["expired"]) == (20005, False)


def test_days_and_times_without_quotes(site: Site) -> None:
    """YAML gives them as dates; they are written as they are meant."""
    lease = "{hosts: app1, holder: {process: node}, reason: x"
    (site.folder / "tasks.yml").write_text(
        f"""\
- {LEASE}: {lease}, port: 20005, expires: 2999-01-01}}
- {LEASE}: {lease}, port: 20006, expires: 2999-01-01T18:00:00+01:00}}
"""
    )
    done = site.start({"ansible.builtin.include_tasks": "tasks.yml"})
    assert done.returncode == 0, done.stdout
    text = (site.folder / "leases.yml").read_text()
    assert "expires: 2999-01-01\n" in text
    assert "expires: 2999-01-01T18:00:00+01:00\n" in text


def test_free_on_live_hosts_too(site: Site) -> None:
    """What somebody listens on there isn't free, and a host that wasn't asked isn't either."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = BASE.replace("ports: 20000-20999", f"ports: {port}-{port + 1}")
        for old, new in ((20001, 19001), (20002, 19002)):
            text = text.replace(f"port: {old}\n", f"port: {new}\n        exception: Test\n")
        site.registry.write_text(text.replace("to: 20001", "to: 19001"), encoding="utf-8")
        ask = {"prsnl.ports.listening_ports_info": {}, "register": "sockets"}
        asked: dict[str, t.Any] = {
            "endpoint": "shop.jobs",
            "exposure": "host",
            "reason": "x",
            "listening": "sockets",
        }
        allocate = {
            ALLOCATE: {
                "endpoint": "shop.jobs",
                "exposure": "host",
                "reason": "x",
                "listening": "sockets",
            },
            "run_once": True,
            "delegate_to": "localhost",
        }
        given = {ALLOCATE: {**asked, "port": port}, "run_once": True}
        (_asked, refused, done) = site.run(ask, given, allocate, hosts="front")
        (result,) = refused.values()
        assert f"{port}/tcp is held on app1, 127.0.0.1, by " in result["msg"]
        (result,) = done.values()
        assert result["port"] == port + 1
        other = {ALLOCATE: {**asked, "endpoint": "shop.other"}}
        (refused,) = site.run(other, hosts="app1")
        assert "app1 wasn't asked, and what can't be seen isn't free" in refused["app1"]["msg"]


def test_leases_that_have_ended_are_reported(site: Site) -> None:
    """By the check, by the verification and by the table, each once, whoever holds the port."""
    day = datetime.date(2026, 1, 31)
    lease = {"hosts": "app1", "holder": {"process": "nobody"}, "reason": "Load test"}
    leases = [{**lease, "port": 20005, "expires": day.isoformat()}]
    leases.append({**lease, "port": 20006, "expires": "2999-01-01T00:00Z"})
    (site.folder / "leases.yml").write_text(json.dumps({"version": 1, "leases": leases}))
    plan = {"host": "app1", "endpoints": []}
    tasks: list[dict[str, t.Any]] = [
        {"prsnl.ports.port_check": {"plan": plan}},
        {"prsnl.ports.port_verify": {"plan": plan, "unregistered": "ignore", "timeout": 0}},
    ]
    ended = (
        "20005/tcp was leased until 2026-01-31 for: Load test (leases.yml:1). Extend or remove the"
        " lease"
    )
    for task in site.run(*tasks):
        assert [row["message"] for row in task["app1"]["leases"]] == [
            ended,
            "20006/tcp is leased until 2999-01-01T00:00Z for: Load test (leases.yml:1)",
        ]
        assert task["app1"]["warnings"] == [f"app1: {ended}"]
    config = (site.folder / "ansible.cfg").read_text()
    config = config.replace("stdout_callback = ansible.posix.json", "")
    config = config.replace("[port_reg", "callbacks_enabled = prsnl.ports.port_report\n[port_reg")
    (site.folder / "ansible.cfg").write_text(config)
    out = site.start(*tasks).stdout
    assert out.count("LEASES OF app1: 2, 1 ended ***") == 1
    assert out.count(f"\n{ended}\n") == 1


def test_drift_tells_the_leases_of_each_host(site: Site) -> None:
    """Each is in the report, one that has ended as such."""
    lease = {"hosts": "front", "holder": {"process": "nobody"}, "reason": "Load test"}
    leases = [
        {**lease, "port": 20005, "expires": "2999-01-01"},
        {**lease, "port": 20006, "expires": "2020-01-01"},
    ]
    (site.folder / "leases.yml").write_text(json.dumps({"version": 1, "leases": leases}))
    drift = {
        "ansible.builtin.include_role": {"name": "prsnl.ports.verify", "tasks_from": "drift"},
        "vars": {"verify_drift_file": str(site.folder / "drift.json"), "verify_settle": 0},
    }
    site.run(drift, hosts="app1")
    found = json.loads((site.folder / "drift.json").read_text())["hosts"]["app1"]
    assert [(row["port"], row["expired"]) for row in found["leases"]] == [
        (20005, False),
        (20006, True),
    ]
    assert "was leased until 2020-01-01" in found["leases"][1]["message"]
