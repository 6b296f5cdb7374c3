"""Containers of real podman, root's and a user's, hold ports in each way that it knows.

In namespaces of this machine, because the lab's hosts are containers themselves: two engines that
nobody else has, and a network with a neighbour. The project works there as on any host.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab import STATE, Run, play, write
from network import programs

BOX = Path(__file__).with_name("box.sh")
UID = 61184
ADDRESS = "10.91.0.1"
PERL = "/usr/bin/perl"
# Without a module of Perl, so that the program and its libraries are all that the image needs.
SERVE = (
    '$SIG{TERM} = sub { exit }; socket(S, 2, 1, 6) || die; bind(S, pack("S n N x8", 2, shift, 0))'
    ' || die; listen(S, 9); while (accept(C, S)) { syswrite(C, "hello"); close C }'
)
IMAGE = "containers-drill"


@dataclass(frozen=True)
class Kind:
    """A way in which a container has a port of the host, and the program that shows there."""

    port: int
    holder: str
    is_users: bool
    options: tuple[str, ...]
    # Whatever it was told, this one listens on both families.
    addresses: tuple[str, ...] = ("0.0.0.0",)

    @property
    def name(self) -> str:
        """The container's, which is also that of its service in the registry."""
        return f"drill_{self.port}"

    @property
    def told(self) -> str:
        """How people are told of it."""
        return f"podman container {self.name}" + (" of drill" if self.is_users else "")


PUBLISHED = ("--publish", "0.0.0.0:{port}:80")
KINDS = (
    Kind(18123, "rootlessport", True, PUBLISHED, ("0.0.0.0", "::")),
    # Without a proxy for the port: the program that is the container's network has it.
    Kind(
        18124, "slirp4netns", True, ("--network=slirp4netns:port_handler=slirp4netns", *PUBLISHED)
    ),
    Kind(18125, "perl", True, ("--network=host",)),
    Kind(18126, "conmon", False, PUBLISHED),
    Kind(18127, "perl", False, ("--network=host",)),
)


@dataclass(frozen=True)
class Box:
    """The namespaces, by the process that has made them, and the folder of what is tried there."""

    pid: int
    neighbour: int
    folder: Path

    @property
    def entry(self) -> tuple[str, ...]:
        """The words in front of a command that runs there as root."""
        return ("nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--wd=/")

    def podman(self, is_users: bool, *words: str, **options: Any) -> str:
        """Run an engine's program; returns its standard output."""
        prefix = self.entry
        if is_users:
            home, runtime = self.folder / "home", f"/run/user/{UID}"
            prefix += ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--init-groups", "env", "-i")
            prefix += (f"PATH={os.environ['PATH']}", f"HOME={home}", f"XDG_RUNTIME_DIR={runtime}")
        done = subprocess.run(
            [*prefix, "podman", *words], capture_output=True, timeout=120, check=False, **options
        )
        assert done.returncode == 0, done.stderr
        return str(done.stdout.decode())

    def running(self) -> set[str]:
        """The names of all containers that run."""
        command = ("ps", "--format", "{{.Names}}")
        return {name for whose in (True, False) for name in self.podman(whose, *command).split()}

    def reaches(self, port: int) -> bool:
        """Whether the neighbour gets an answer from a port."""
        script = (
            f"import socket; s = socket.create_connection(('{ADDRESS}', {port}), 5);"
            " assert s.recv(5) == b'hello'"
        )
        there = ("nsenter", f"--target={self.neighbour}", "--net", sys.executable, "-c", script)
        done = subprocess.run([*self.entry, *there], capture_output=True, timeout=30, check=False)
        return done.returncode == 0

    def play(self, task: str, *arguments: str, containers: dict[int, Kind] | None = None) -> Run:
        """Run one task of a playbook where the registry has each port for the container named."""
        folder = self.folder / "project"
        folder.mkdir(exist_ok=True)
        inventory = folder / "hosts.yml"
        inventory.write_text(HOSTS.format(address=ADDRESS, python=sys.executable))
        playbook = folder / "play.yml"
        playbook.write_text(f"- hosts: all\n  gather_facts: false\n  tasks:\n    - {task}\n")
        named = {kind.port: kind for kind in KINDS} if containers is None else containers
        registry = write(registry_of(named), folder / "ports.yml")
        return play(
            *arguments,
            playbook=str(playbook),
            registry=registry,
            inventory=(inventory,),
            prefix=self.entry,
        )


HOSTS = """
all:
  vars: {{port_environment: production, port_addresses: [{address}]}}
  children:
    database:
      hosts:
        here: {{ansible_connection: local, ansible_python_interpreter: {python}}}
"""


def registry_of(containers: dict[int, Kind]) -> dict[str, Any]:
    """A registry with a public endpoint for each port, and the container that owns it."""
    return {
        "version": 1,
        "environments": {"production": "Servers"},
        "groups": {"database": "Hosts of containers"},
        "services": {
            f"drill_{port}": {
                "description": "What only this drill knows",
                "hosts": "database",
                "environments": ["production"],
                "owner": {"container": {"engine": "podman", "name": kind.name}}
                | ({"user": "drill"} if kind.is_users else {}),
                "endpoints": {
                    "http": {
                        "port": port,
                        "addresses": list(kind.addresses),
                        "status": "fixed",
                        "exposure": "public",
                        "probe": "tcp",
                    }
                },
            }
            for port, kind in containers.items()
        },
        "history": [
            {
                "date": "2026-01-01",
                "what": "Start",
                "why": "A drill",
                "by": "The drills",
                "changes": [
                    {"endpoint": f"drill_{port}.http", "to": port, "status": "fixed"}
                    for port in containers
                ],
            }
        ],
    }


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """The namespaces with a container of each kind."""
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("needs root's rights on Linux")
    needed = ("podman", "slirp4netns", "newuidmap", "nft", PERL)
    missing = [program for program in needed if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    # The layers of its file systems may not be layers themselves, and a user looks into it.
    folder = tmp_path_factory.mktemp("box")
    for parent in (folder, *folder.parents):
        if parent.name.startswith("pytest-"):
            parent.chmod(0o755)
    mount = ["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    unshare = ("unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child")
    with subprocess.Popen(
        [*unshare, BOX, folder, STATE / "containers.conf"],
        env=os.environ | {"DRILL_UID": str(UID)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            neighbour = int(process.stdout.readline())
            (pid,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            made = Box(int(pid), neighbour, folder)
            image = programs(PERL)
            for whose in (True, False):
                made.podman(whose, "import", "--quiet", "-", IMAGE, input=image)
            for kind in KINDS:
                inner = kind.port if "--network=host" in kind.options else 80
                options = [option.format(port=kind.port) for option in kind.options]
                run = ("run", "--detach", "--name", kind.name, *options, IMAGE)
                made.podman(kind.is_users, *run, PERL, "-e", SERVE, str(inner))
            yield made
        finally:
            # With it ends everything that it has started.
            process.kill()
            process.wait()
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


CHECK = "prsnl.ports.port_check:"
VERIFY = (
    "prsnl.ports.port_verify: {timeout: 5, settle: 0, unregistered: fail, configuration: false}"
)


def test_each_is_its_service(box: Box) -> None:
    for task in (CHECK, VERIFY):
        run = box.play(task)
        assert run.code == 0, run.output
    for kind in KINDS:
        # As far as the columns have place for it.
        told = re.escape(kind.told[:30])
        line = rf"^drill_{kind.port} .* {told}\S*( \S+)? +{told}\S*( \S+)? +ok$"
        assert re.search(line, run.output, re.MULTILINE), run.output


def test_another_container_is_not(box: Box) -> None:
    """Not for the programs' sake, which are the same for all containers."""
    others = {kind.port: KINDS[number - 1] for number, kind in enumerate(KINDS)}
    refused = box.play(CHECK, containers=others)
    assert refused.code != 0
    verified = box.play(VERIFY, containers=others)
    assert verified.code != 0
    for kind in KINDS:
        held = rf"{kind.port}/tcp wanted by drill_{kind.port}\.http is held on \S+ by {kind.told}\b"
        assert re.search(held, refused.output), refused.output
        assert re.search(rf"drill_{kind.port}\.http.*{kind.told}", verified.output), verified.output


def test_the_firewall_lets_in_what_is_registered(box: Box) -> None:
    """Each kind once as its service, and once as somebody whom nobody has named."""
    assert [kind.port for kind in KINDS if not box.reaches(kind.port)] == []
    for named in (KINDS[::2], KINDS[1::2]):
        containers = {kind.port: kind for kind in named}
        task = "prsnl.ports.firewall: {persistent: false, ssh_ports: [22]}"
        run = box.play(task, containers=containers)
        assert run.code == 0, run.output
        reached = {kind.port for kind in KINDS if box.reaches(kind.port)}
        assert reached == set(containers)
        for kind in set(KINDS) - set(named):
            assert kind.told in run.output, run.output
    removed = box.play("prsnl.ports.firewall: {state: absent, persistent: false}")
    assert removed.code == 0, removed.output
    assert [kind.port for kind in KINDS if not box.reaches(kind.port)] == []


def test_only_the_one_meant_is_stopped(box: Box) -> None:
    running = {kind.name for kind in KINDS}
    assert box.running() == running
    strangers = [
        {"port": kind.port, "owner": owner} for kind in KINDS for owner in (kind.holder, "stray")
    ]
    refused = box.play(free_all(strangers), containers={})
    assert refused.code != 0
    for kind in KINDS:
        for owner in (kind.holder, "stray"):
            assert f"The holder is {kind.name}, not {owner}." in refused.output, refused.output
    assert box.running() == running
    for meant in (KINDS[::2], KINDS[1::2]):
        named = [{"port": kind.port, "owner": kind.name} for kind in meant]
        freed = box.play(free_all(named), "-v", containers={})
        assert freed.code == 0, freed.output
        running -= {kind.name for kind in meant}
        assert box.running() == running
        for kind in meant:
            assert f"stop {kind.told}" in freed.output
            assert not box.reaches(kind.port)


def free_all(wanted: list[dict[str, object]]) -> str:
    """A task that frees each of some ports."""
    task = {"prsnl.ports.free_port": "{{ item }}", "loop": wanted}
    return json.dumps(task).replace(
        '"{{ item }}"', '{"port": "{{ item.port }}", "owner": "{{ item.owner }}"}'
    )
