# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role handoff in real plays: this machine's own sockets, and a host that doesn't answer."""

from __future__ import annotations

import getpass
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import typing as t

import pytest
import yaml
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.evidence import load

COLLECTIONS = pathlib.Path(__file__).parents[7]
CONFIG = """
[defaults]
inventory = hosts.yml
collections_path = {collections}
roles_path = roles
vars_plugins_enabled = host_group_vars,prsnl.ports.registry
callbacks_enabled = prsnl.ports.port_report
inject_facts_as_vars = false
timeout = 5
[port_registry]
path = registry/ports.yml
"""
PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        "vars": {
            "handoff_folder": "{{ playbook_dir }}/handoff",
            "handoff_firewall": False,
            "handoff_disk_percent": 101,
            "handoff_memory_percent": 101,
            "verify_settle": 0,
            "verify_allowed_listeners": [{"reason": "Others of this machine"}],
        },
        "roles": ["prsnl.ports.handoff"],
    }
]
RUNBOOK = {
    "purpose": "It is {{ good_word }} on {{ __good_system }}",
    "version": {"command": ["echo", "{{ good_version }}"], "match": r"(\d\S*)"},
    "health": {"command": ["sh", "-c", 'echo well; echo password="$0"', "{{ good_secret }}"]},
    "configuration": "{{ __good_undefined }}",
    "data": [],
    "backup": {"none": "It keeps nothing"},
    "failures": [{"symptom": "It is slow", "commands": ["echo {tcp.port}"]}],
}
FILES = {
    "roles/good/defaults/main.yml": {"good_word": "fine", "good_version": "1.0"},
    "roles/good/vars/main.yml": {"__good_system": "nothing"},
    "roles/good/meta/runbook.yml": RUNBOOK,
    **{
        f"roles/good/vars/{family}.yml": {"__good_system": family}
        for family in ("Debian", "RedHat", "Darwin")
    },
}


class Run(t.NamedTuple):
    """What a play printed, how it ended, and the folders that are there now."""

    code: int
    output: str
    folders: list[pathlib.Path]


class Site:
    """A project with a registry, two hosts, and a role with a runbook."""

    def __init__(self, folder: pathlib.Path, port: int) -> None:
        self.folder = folder
        self.port = port
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        dead = {
            "ansible_host": "127.0.0.1",
            "ansible_port": 1,
            "ansible_user": "nobody",
            "port_addresses": ["192.0.2.9"],
        }
        inventory = {
            "all": {
                "vars": {
                    "port_environment": "test",
                    "good_version": "2.5 (here)",
                    "good_secret": "aVeryWellKeptSecret",
                    "secrets_dir": "{{ playbook_dir }}/secrets",
                },
                "children": {
                    "good": {"hosts": {"here": here}},
                    "plain": {"hosts": {"dead": dead}},
                },
            }
        }
        files: dict[str, t.Any] = {
            **FILES,
            "hosts.yml": inventory,
            "play.yml": PLAY,
            "registry/ports.yml": self._registry(),
        }
        for name, data in files.items():
            self.write(name, yaml.safe_dump(data, sort_keys=False))
        self.write("ansible.cfg", CONFIG.format(collections=COLLECTIONS))
        self.write("secrets/one.password", "aVeryWellKeptSecret\n")

    def _registry(self) -> dict[str, t.Any]:
        process = pathlib.Path("/proc/self/comm").read_text(encoding="utf-8").strip()
        services = {
            name: {
                "description": f"The {name} one",
                "hosts": name,
                "environments": ["test"],
                "owner": {"process": process, "user": getpass.getuser()},
                "endpoints": {
                    "tcp": {"port": port, "status": "fixed", "exposure": "host"},
                },
            }
            for name, port in (("good", self.port), ("plain", 29_999))
        }
        ports = {"good": self.port, "plain": 29_999}
        changes = [
            {"endpoint": f"{name}.tcp", "to": port, "status": "fixed"}
            for name, port in ports.items()
        ]
        return {
            "version": 1,
            "environments": {"test": "This machine"},
            "groups": {"good": "One", "plain": "The other"},
            "services": services,
            "history": [
                {"date": "2026-01-02", "what": "T", "why": "T", "by": "T", "changes": changes}
            ],
        }

    def write(self, name: str, text: str) -> None:
        """A file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def run(self, *arguments: str, **variables: t.Any) -> Run:
        """Hand off."""
        done = subprocess.run(
            [
                pathlib.Path(sys.executable).with_name("ansible-playbook"),
                "play.yml",
                "-e",
                json.dumps(variables),
                *arguments,
            ],
            cwd=self.folder,
            env={k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")}
            | {"ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"), "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        made = sorted((self.folder / "handoff").glob("*"))
        return Run(done.returncode, done.stdout + done.stderr, made)


class Story(t.NamedTuple):
    """Handoffs one after the other: all is well, then the listener is gone."""

    site: Site
    checked: Run
    first: Run
    second: Run


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Story]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        site = Site(tmp_path_factory.mktemp("site"), server.getsockname()[1])
        checked = site.run("--check")
        first = site.run()
    second = site.run(handoff_require=["healthy", "contacts"], handoff_service="good")
    return_value = Story(site, checked, first, second)
    yield return_value
    shutil.rmtree(site.folder)


def evidence(run: Run, number: int = -1) -> dict[str, t.Any]:
    """The evidence of a handoff; it is what its schema says."""
    file = run.folders[number] / "evidence.json"
    return load(file.read_bytes(), str(file))


def test_check_mode_writes_nothing(story: Story) -> None:
    assert story.checked.code == 0, story.checked.output
    assert story.checked.folders == []
    assert "HANDOFF" in story.checked.output


def test_a_host_that_does_not_answer_ends_nothing(story: Story) -> None:
    assert story.first.code == 0, story.first.output
    (folder,) = story.first.folders
    assert sorted(path.name for path in folder.iterdir()) == [
        "evidence.json",
        "evidence.schema.json",
        "handoff.md",
        "index.html",
        "ports.md",
    ]
    dead = evidence(story.first, 0)["hosts"]["dead"]
    assert (dead["looked"], dead["reached"], dead["readings"]) == (True, False, {})
    assert "Connection refused" in dead["fault"]
    # Its plan and its runbook are known all the same.
    assert [entry["id"] for entry in dead["plan"]] == ["plain.tcp"]
    assert "plain" in dead["runbooks"]
    assert dead["ssh"] == "ssh -p 1 nobody@127.0.0.1"
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "dead: could not be reached" in page
    assert 'data-endpoint="plain.tcp"' in page


def test_the_summary_comes_last(story: Story) -> None:
    tail = story.first.output[story.first.output.rindex("HANDOFF ***") :]
    lines = tail.splitlines()
    assert lines[1:4] == [
        "Not healthy: 1 of 2 hosts reached, 1 of 2 ports as planned. First of all:",
        " 1. dead: could not be reached",
        "    ssh -p 1 nobody@127.0.0.1 uptime",
    ]
    assert lines[-1].startswith("Page: handoff/")
    # Not the tables of every host as well.
    assert "PORTS OF" not in story.first.output


def test_a_runbook_has_the_values_of_its_role_on_that_host(story: Story) -> None:
    here = evidence(story.first, 0)["hosts"]["here"]
    book = here["runbooks"]["good"]
    family = book["purpose"].removeprefix("It is fine on ")
    assert family in ("Debian", "RedHat", "Darwin")
    assert book["failures"][0]["commands"] == [f"echo {story.site.port}"]
    assert here["answers"]["good-version"] == {
        "ok": True,
        "text": "2.5",
        "reading": "good-version",
    }
    (unknown,) = book["unknown"]
    assert unknown.startswith("configuration: ")
    assert "__good_undefined" in unknown
    assert here["results"][0]["verdict"] == "ok"
    assert str(story.site.port) in here["readings"]["sockets"]["output"]


def test_no_secret_gets_in(story: Story) -> None:
    for run in (story.first, story.second):
        for folder in run.folders:
            for path in folder.iterdir():
                assert "aVeryWellKeptSecret" not in path.read_text(encoding="utf-8"), path
    reading = evidence(story.first, 0)["hosts"]["here"]["readings"]["good-health"]
    assert reading["output"] == "well\npassword=[secret]"


def test_what_differs_is_told_with_what_to_do(story: Story) -> None:
    assert len(story.second.folders) == 2
    text = story.second.output
    assert f"here: good.tcp ({story.site.port}/tcp): not bound" in text
    assert ": 1 difference" in text
    assert f"~ here endpoint good.tcp: ok at 127.0.0.1:{story.site.port} by" in text
    page = (story.second.folders[1] / "index.html").read_text(encoding="utf-8")
    assert "What differs from the last handoff" in page
    assert (story.second.folders[1] / "good.html").exists()


def test_what_is_required_and_missing_ends_the_play(story: Story) -> None:
    assert story.second.code != 0
    failure = story.second.output.partition("Refuse a handoff that lacks what is required")[2]
    for said in (
        "healthy: dead: could not be reached",
        f"healthy: here: good.tcp ({story.site.port}/tcp): not bound",
        "contacts: good has nobody to call",
    ):
        assert said in failure, failure


def test_the_same_evidence_changes_nothing_and_asks_nobody(story: Story) -> None:
    folder = story.second.folders[0]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    run = story.site.run(handoff_evidence=str(folder / "evidence.json"))
    assert run.code == 0, run.output
    assert "changed=0" in run.output
    assert "changed=1" not in run.output
    # One of the two hosts can't be reached.
    assert "unreachable=1" not in run.output
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_two_old_ones_are_compared(story: Story) -> None:
    old, new = (str(folder / "evidence.json") for folder in story.second.folders)
    run = story.site.run("--check", handoff_evidence=old, handoff_compare=new)
    assert ": 1 difference" in run.output
    # Other programs of the same name may listen elsewhere on this machine.
    told = rf"~ here endpoint good\.tcp: not bound.* -> ok at 127\.0\.0\.1:{story.site.port}"
    assert re.search(told, run.output)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"handoff_service": "goood"},
            "service: found 'goood', allowed are the services of these hosts: good and plain; did"
            " you mean 'good'?",
        ),
        (
            {"handoff_require": ["health"]},
            "value of handoff_require must be one or more of: healthy,",
        ),
        ({"handoff_contacts": {"good": {"fax": "1"}}}, "contacts: good has fax, allowed are name,"),
        ({"handoff_evidence": "play.yml"}, "play.yml: not the evidence of a handoff:"),
        ({"handoff_evidence": "none.json"}, "none.json"),
    ],
)
def test_mistakes_are_named(story: Story, variables: dict[str, t.Any], message: str) -> None:
    old = {"handoff_evidence": str(story.second.folders[0] / "evidence.json")}
    run = story.site.run("--check", **(old | variables))
    assert run.code != 0
    assert message in " ".join(run.output.split())
    assert "Traceback" not in run.output


def test_a_faulty_runbook_is_named_by_file_and_line(story: Story) -> None:
    file = story.site.folder / "roles" / "good" / "meta" / "runbook.yml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text + "purposes: x\n", encoding="utf-8")
    try:
        run = story.site.run("--limit", "here", "--check")
    finally:
        file.write_text(text, encoding="utf-8")
    line = text.count("\n") + 1
    assert f"runbook.yml:{line}: purposes: found the unknown key" in " ".join(run.output.split())
