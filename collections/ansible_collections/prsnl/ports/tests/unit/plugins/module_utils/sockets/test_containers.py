# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What engines say, recorded from real ones, and the containers that sockets are attributed to."""

from __future__ import annotations

import dataclasses
import os
import pwd
import shutil
import signal
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.plan.owners import (
    brief_holders,
    describe_holders,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets import containers
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.containers import Published
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Container, Holder
from worlds import NOW, World

WEB_ID = "ea4cdb47b8836c010826fd4acaf04b6f01876fc998cdb4052d9f169821c6cee2"
HOSTED_ID = "42dbfa25a36c8c3ebcdd5b54f04f055a9bc7b2a69f50c30fd4f5c31f94e4f39d"
# `docker ps --no-trunc --format '{{json .}}'` of docker's client 28.2.2 and Debian 12's dockerd
# 20.10.24, after `docker run -p 127.0.0.1:28080:80 -p 28081-28082:81-82 -p 28084:53/udp
# -p '[::1]:28085:85' --expose 99` and another container on the host's network. Shortened: only the
# keys that are read, and State.
DOCKER_PORTS = ", ".join(
    (
        "99/tcp",
        r"0.0.0.0:28084-\u003e53/udp",
        r"[::]:28084-\u003e53/udp",
        r"127.0.0.1:28080-\u003e80/tcp",
        r"0.0.0.0:28081-\u003e81/tcp",
        r"[::]:28081-\u003e81/tcp",
        r"0.0.0.0:28082-\u003e82/tcp",
        r"[::]:28082-\u003e82/tcp",
        r"[::1]:28085-\u003e85/tcp",
    )
)
DOCKER = f"""\
{{"ID":"{HOSTED_ID}","Names":"hosted","Ports":"","State":"running"}}
{{"ID":"{WEB_ID}","Names":"web","Ports":"{DOCKER_PORTS}","State":"running"}}
"""
PODMAN_ID = "6f62337411f3c8798d2251717d3c2451b883d0e78cdcf79c484f364b3a2a7249"
# `podman ps --no-trunc --format json` of Debian 12's podman 4.3.1, after the same command without
# the addresses of IPv6. Shortened: only the keys that are read, and State.
PODMAN = f"""
[{{"Id": "{PODMAN_ID}", "Names": ["web"], "State": "running", "Ports": [
  {{"host_ip": "127.0.0.1", "container_port": 80, "host_port": 28080, "range": 1,
    "protocol": "tcp"}},
  {{"host_ip": "", "container_port": 81, "host_port": 28081, "range": 2, "protocol": "tcp"}},
  {{"host_ip": "", "container_port": 53, "host_port": 28084, "range": 1, "protocol": "udp"}}]}},
 {{"Id": "799b1470fb71ff9497945b971cecadaec526348584cab076f1cdf0b6a5e61a14", "Names": ["app"],
   "State": "running", "Ports": null}}]
"""
DOCKER_WEB, PODMAN_WEB = Container("docker", "web"), Container("podman", "web")


def holder(process: str, cgroup: str = "", uid: int = 0) -> Holder:
    user = "root" if uid == 0 else str(uid)
    return Holder(812, process, f"/usr/sbin/{process}", user, None, NOW - 9960, cgroup, uid)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Engines that answer as recorded; the commands that were run."""
    commands: list[str] = []

    def run(command: t.Sequence[str], **_options: t.Any) -> t.Any:
        commands.append(command[0])
        text = {"docker": DOCKER, "podman": PODMAN}[command[0]]
        return subprocess.CompletedProcess(command, 0, text, "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(containers, "DOCKER_SOCKET", "/nonexistent")
    monkeypatch.setattr(containers, "_as_user", lambda _uid: {})
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return commands


def test_what_docker_publishes() -> None:
    listing = containers.parse_docker(DOCKER)
    assert set(listing.published) == {
        Published("udp", "0.0.0.0", 28084, DOCKER_WEB),
        Published("udp", "::", 28084, DOCKER_WEB),
        Published("tcp", "127.0.0.1", 28080, DOCKER_WEB),
        Published("tcp", "0.0.0.0", 28081, DOCKER_WEB),
        Published("tcp", "::", 28081, DOCKER_WEB),
        Published("tcp", "0.0.0.0", 28082, DOCKER_WEB),
        Published("tcp", "::", 28082, DOCKER_WEB),
        Published("tcp", "::1", 28085, DOCKER_WEB),
    }
    assert listing.by_id == {WEB_ID: DOCKER_WEB, HOSTED_ID: Container("docker", "hosted")}


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        # As docker's documentation of `docker ps` shows ranges, and as clients before 26 wrote ::.
        ("0.0.0.0:8000-8001->80-81/tcp", [("0.0.0.0", 8000), ("0.0.0.0", 8001)]),
        (":::8000->80/tcp", [("::", 8000)]),
        ("80/tcp", []),
        ("", []),
    ],
)
def test_other_ways_in_which_docker_writes_ports(
    ports: str, expected: list[tuple[str, int]]
) -> None:
    listing = containers.parse_docker(f'{{"ID": "1", "Names": "web", "Ports": "{ports}"}}')
    assert [(port.address, port.port) for port in listing.published] == expected


def test_what_podman_publishes() -> None:
    assert set(containers.parse_podman(PODMAN).published) == {
        Published("tcp", "127.0.0.1", 28080, PODMAN_WEB),
        Published("tcp", "0.0.0.0", 28081, PODMAN_WEB),
        Published("tcp", "::", 28081, PODMAN_WEB),
        Published("tcp", "0.0.0.0", 28082, PODMAN_WEB),
        Published("tcp", "::", 28082, PODMAN_WEB),
        Published("udp", "0.0.0.0", 28084, PODMAN_WEB),
        Published("udp", "::", 28084, PODMAN_WEB),
    }


def attributed(world: World) -> dict[tuple[str, str, int], Container | None]:
    found = containers.attribute(world.snapshot)
    return {(s.protocol, s.address, s.port): s.container for s in found.sockets}


@pytest.mark.parametrize(("process", "engine"), containers.PROXIES.items())
def test_a_proxys_socket_belongs_to_the_container(
    asked: list[str], process: str, engine: str
) -> None:
    found = attributed(World().hold(28081, holder(process)))
    assert found["tcp", "0.0.0.0", 28081] == Container(engine, "web")
    assert asked == [engine]


def test_without_its_proxy_docker_holds_the_port_itself(asked: list[str]) -> None:
    """As dockerd 20.10 does with --userland-proxy=false: ss names dockerd."""
    found = attributed(World().hold(28080, holder("dockerd"), on="127.0.0.1"))
    assert found["tcp", "127.0.0.1", 28080] == DOCKER_WEB


def test_two_containers_on_one_port_are_told_apart_by_their_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = "\n".join(
        f'{{"ID": "{name}", "Names": "{name}", "Ports": "127.0.0.{number}:80->80/tcp"}}'
        for number, name in enumerate(("one", "two"), 1)
    )
    answer = subprocess.CompletedProcess([], 0, lines, "")
    monkeypatch.setattr(subprocess, "run", lambda *_a, **_k: answer)
    monkeypatch.setattr(containers, "_as_user", lambda _uid: {})
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    world = World()
    for number in (1, 2):
        world.hold(80, holder("docker-proxy"), on=f"127.0.0.{number}")
    found = containers.attribute(world.snapshot).sockets
    assert [(sock.address, sock.container) for sock in found] == [
        ("127.0.0.1", Container("docker", "one")),
        ("127.0.0.2", Container("docker", "two")),
    ]


def test_a_published_port_without_a_socket_is_held(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any
) -> None:
    """Docker without its proxy: the port is taken, though nothing listens."""
    monkeypatch.setattr(containers, "DOCKER_SOCKET", str(tmp_path))
    world = World()
    snapshot = containers.attribute(world.snapshot)
    (sock,) = [s for s in snapshot.sockets if s.port == 28080]
    assert (sock.address, sock.inode, sock.container) == ("127.0.0.1", 0, DOCKER_WEB)
    assert describe_holders(snapshot, sock, NOW) == (
        "docker container web, which its engine publishes there"
    )
    assert brief_holders(snapshot, [sock]) == "docker container web"


def test_a_container_on_the_hosts_network_is_named(asked: list[str]) -> None:
    world = World().hold(80, holder("sleep", f"/docker/{HOSTED_ID}"))
    snapshot = containers.attribute(world.snapshot)
    assert snapshot.sockets[0].container == Container("docker", "hosted")
    assert describe_holders(snapshot, snapshot.sockets[0], NOW) == (
        "docker container hosted, by sleep (pid 812, user root, since 09:14)"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_container_without_a_group_of_its_own_is_known_by_its_monitor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As one of a user without a manager of his own: its process is below conmon, and no more."""
    monkeypatch.setattr(containers, "PROC", "/proc")
    monitor = tmp_path / "conmon"
    shutil.copy("/bin/sh", monitor)
    script = "sleep 60 & echo $!; wait"
    for known in (HOSTED_ID, "f" * 64):
        with subprocess.Popen(
            [monitor, "-c", script, known], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            pid = int(process.stdout.readline())
            found = containers._monitored(pid)
            os.kill(pid, signal.SIGTERM)
        assert found == containers._Identity("podman", os.getuid(), known)


def test_a_monitor_counts_as_far_as_its_users_engine_knows_the_container(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may run a program of that name with the id of somebody else's container."""
    of_user = containers._Identity("docker", 1000, HOSTED_ID)
    monkeypatch.setattr(containers, "_monitored", lambda _pid: of_user)
    found = attributed(World().hold(80, holder("sleep", uid=1000)))["tcp", "0.0.0.0", 80]
    assert found == Container("docker", "hosted", uid=1000)
    assert asked == ["docker"]
    of_nobody = dataclasses.replace(of_user, id="f" * 64)
    monkeypatch.setattr(containers, "_monitored", lambda _pid: of_nobody)
    assert attributed(World().hold(80, holder("sleep")))["tcp", "0.0.0.0", 80] is None


def test_a_host_that_is_a_container_itself_has_none(asked: list[str]) -> None:
    world = World().hold(22, holder("sshd", f"/libpod_parent/libpod-{'8' * 64}/system.slice/x"))
    assert attributed(world)["tcp", "0.0.0.0", 22] is None
    assert asked == ["podman"]


def test_a_container_in_a_host_that_is_one_is_not_mistaken_for_the_host(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    around = f"/libpod_parent/libpod-{'8' * 64}"
    (tmp_path / "1").mkdir()
    (tmp_path / "1/cgroup").write_text(f"1:cpu:{around}\n0::{around}/init.scope\n")
    monkeypatch.setattr(containers, "PROC", str(tmp_path))
    containers._around.cache_clear()
    try:
        world = World().hold(80, holder("sleep", f"{around}/x.service/docker/{HOSTED_ID}"))
        found = attributed(world.hold(22, holder("sshd", f"{around}/system.slice/x")))
        assert found["tcp", "0.0.0.0", 80] == Container("docker", "hosted")
        assert found["tcp", "0.0.0.0", 22] is None
        # No engine of this host has that one.
        assert asked == ["docker"]
        monitored = containers._Identity("docker", 0, HOSTED_ID)
        monkeypatch.setattr(containers, "_monitored", lambda _pid: monitored)
        inside = attributed(World().hold(80, holder("sleep", f"{around}/x.service")))
        assert inside["tcp", "0.0.0.0", 80] == Container("docker", "hosted")
    finally:
        containers._around.cache_clear()


@pytest.mark.parametrize("process", ["dockerd", "docker-proxy", "podman", "rootlessport"])
def test_what_a_users_own_engine_says_is_about_their_sockets_only(
    asked: list[str], process: str
) -> None:
    """Anybody may run a program of that name, which answers whatever it likes."""
    world = World().hold(9999, holder(process, uid=1000))
    found = containers.attribute(world.snapshot)
    assert len(asked) == 1
    # The ports that it tells of are as free as they were.
    assert [(sock.port, sock.container) for sock in found.sockets] == [(9999, None)]
    # Of two sockets on a port that both engines tell of, each has its own.
    world.hold(28081, holder("docker-proxy", uid=1000), on="127.0.0.5")
    world.hold(28081, holder("docker-proxy"), on="127.0.0.6")
    sockets = {
        sock.address: sock.container for sock in containers.attribute(world.snapshot).sockets
    }
    assert sockets["127.0.0.5"] == Container("docker", "web", uid=1000)
    assert sockets["127.0.0.6"] == Container("docker", "web")


def test_a_group_that_a_user_has_named_after_roots_container_is_not_it(asked: list[str]) -> None:
    cgroup = f"/user.slice/user-1000.slice/user@1000.service/docker/{HOSTED_ID}"
    found = attributed(World().hold(80, holder("sleep", cgroup, uid=1000)))
    assert found["tcp", "0.0.0.0", 80] != Container("docker", "hosted")


def test_nobody_is_asked_without_need(asked: list[str]) -> None:
    snapshot = World().hold(80, holder("nginx", "/system.slice/nginx.service")).snapshot
    assert containers.attribute(snapshot) is snapshot
    assert asked == []


@pytest.mark.parametrize(
    "fault",
    [
        FileNotFoundError("docker"),
        subprocess.TimeoutExpired("docker", 10),
        subprocess.CalledProcessError(1, "docker"),
        subprocess.CompletedProcess([], 0, "Cannot connect to the daemon", ""),
        subprocess.CompletedProcess([], 0, "{}", ""),
    ],
)
def test_an_engine_that_does_not_answer_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, fault: t.Any
) -> None:
    def run(*_arguments: t.Any, **_options: t.Any) -> t.Any:
        if isinstance(fault, Exception):
            raise fault
        return fault

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    snapshot = World().hold(80, holder("docker-proxy")).snapshot
    assert containers.attribute(snapshot) is snapshot


def test_an_unprivileged_reader_does_not_ask_for_others(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    containers.attribute(World().hold(80, holder("rootlessport")).snapshot)
    assert asked == []


def test_root_asks_the_engine_of_the_user_who_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, t.Any] = {}

    def run(_command: t.Any, **options: t.Any) -> t.Any:
        seen.update(options)
        return subprocess.CompletedProcess([], 0, PODMAN, "")

    user = pwd.struct_passwd(("ada", "x", 1000, 1000, "", "/home/ada", "/bin/sh"))
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: user)
    monkeypatch.setattr(os, "getgrouplist", lambda _name, gid: [gid])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os.path, "isdir", lambda _path: True)
    world = World().hold(28081, holder("rootlessport", uid=1000))
    found = attributed(world)["tcp", "0.0.0.0", 28081]
    assert found == Container("podman", "web", uid=1000)
    assert found.id == PODMAN_ID
    assert (seen["user"], seen["group"], seen["extra_groups"]) == (1000, 1000, [1000])
    assert seen["env"]["XDG_RUNTIME_DIR"] == "/run/user/1000"
    assert seen["env"]["HOME"] == "/home/ada"


@pytest.mark.parametrize(
    "program", ["ssh", "limactl", "OrbStack Helper", "vpnkit", "com.docker.backend"]
)
def test_a_port_behind_an_engine_of_a_mac_is_the_containers(
    monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    """Each engine of a Mac has them by another program, of the user who runs it."""
    seen: list[t.Any] = []

    def run(command: t.Sequence[str], **options: t.Any) -> t.Any:
        seen.append((options["user"], options["env"]["PATH"].split(":")))
        return subprocess.CompletedProcess(command, 0, DOCKER, "")

    user = pwd.struct_passwd(("ada", "x", 1000, 1000, "", "/Users/ada", "/bin/zsh"))
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(containers, "DOCKER_SOCKET", "/nonexistent")
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: user)
    monkeypatch.setattr(os, "getgrouplist", lambda _name, gid: [gid])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    port = next(
        port for port in containers.parse_docker(DOCKER).published if port.protocol == "tcp"
    )
    world = World().hold(port.port, holder(program, uid=1000))
    found = attributed(world)["tcp", "0.0.0.0", port.port]
    assert found == dataclasses.replace(port.container, uid=1000)
    assert seen == [(1000, seen[0][1])]
    assert "/Users/ada/.orbstack/bin" in seen[0][1]
    assert "/opt/homebrew/bin" in seen[0][1]


def test_root_of_a_mac_starts_no_program_that_a_user_can_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """/var/run/docker.sock is a link to the socket of the user's own engine there."""
    sock = tmp_path / "docker.sock"
    sock.touch()
    os.chown(sock, 1000, 1000)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(containers, "DOCKER_SOCKET", str(sock))
    asked: list[tuple[str, int]] = []

    def ask(engine: str, uid: int) -> containers.Listing:
        asked.append((engine, uid))
        return containers.Listing((), {})

    monkeypatch.setattr(containers, "_ask", ask)
    containers.attribute(World().snapshot)
    assert asked == [("docker", 1000)]
