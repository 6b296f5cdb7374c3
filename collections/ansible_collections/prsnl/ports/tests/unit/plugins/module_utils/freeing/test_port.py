# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is never stopped, how the others are, and real processes that are."""

from __future__ import annotations

import dataclasses
import os
import pwd
import signal
import subprocess
import sys
import time
import typing as t
from contextlib import contextmanager

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.freeing import port as free_port
from ansible_collections.prsnl.ports.plugins.module_utils.freeing.port import RefusedError, Way
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.login import Login
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import (
    BECOME,
    Container,
    Holder,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.snapshot import take_snapshot
from worlds import ADA, NOW, World, daemon, endpoint

NOBODY = Login(frozenset(), None)
WEB = Container("docker", "web")
THAT = Container("podman", "web", id="4f")
HERS = Container("podman", "web", uid=1234, id="5a")
PLAN = (
    endpoint("web.http", 80),
    endpoint("web.old", 79, expect="silent"),
    endpoint("web.alt", 81, expect="optional"),
)


def holding_of(world: World, port: int = 80) -> free_port.Holding:
    found = free_port.find_holding(port, "tcp", world.snapshot, NOW)
    assert found is not None
    return found


def refuse(world: World, owner: str = "node", *, port: int = 80, login: Login = NOBODY) -> None:
    free_port.refuse(holding_of(world, port), owner, world.snapshot, PLAN, login)


SYSTEMD = Holder(1, "systemd", "/usr/lib/systemd/systemd", "root", "init.scope", NOW)
HIS_CGROUP = "/user.slice/user-1000.slice/user@1000.service/init.scope"
HIS_MANAGER = Holder(9, "systemd", None, "ada", "web.socket", NOW, HIS_CGROUP, 1000)
SSHD = Holder(9, "sshd", "/usr/sbin/sshd", "root", "ssh.service", NOW)
SESSION = Holder(9, "python3", "/usr/lib/openssh/sshd-session", "root", "ssh.service", NOW)


@pytest.mark.parametrize(
    ("world", "owner", "port", "text"),
    [
        (World().hold(80, SYSTEMD), "systemd", 80, "The first process is never stopped"),
        (World().hold(80, HIS_MANAGER), "systemd", 80, "that is web.socket; stop that one"),
        (World().hold(80, SSHD), "sshd", 80, "sshd is never stopped"),
        (World().hold(80, SESSION), "python3", 80, "sshd is never stopped"),
        (World().hold(80, daemon("web", 7)), "web", 80, "the registered owner of web.http"),
        (World().hold(79, daemon("web", 7)), "web", 79, "the registered owner of web.http"),
        (World().hold(8123, daemon("web", 7)), "web", 8123, "the registered owner of web.http"),
        (World().hold(80, ADA), "bun", 80, "The holder is node, not bun."),
        (World().hold(80, ADA, daemon("bun", 5)), "node", 80, "The holder is bun, not node."),
        (World().hold(80, ADA).hold(80, daemon("bun", 5), on="::1"), "node", 80, "bun, not node"),
        (World().hold(80, container=WEB), "node", 80, "The holder is web, not node."),
        (World().hold(80, ADA, container=WEB), "node", 80, "The holder is web, not node."),
        (World(obstacle=BECOME).hold(80), "node", 80, "Run the task with become: true."),
        (World().hold(80), "node", 80, "The kernel itself has it: there is no process to stop."),
        (World(is_nested=True).hold(80), "node", 80, "Its process can't be seen."),
    ],
)
def test_who_is_never_stopped(world: World, owner: str, port: int, text: str) -> None:
    with pytest.raises(RefusedError, match=text):
        refuse(world, owner, port=port)


def test_the_connection_is_never_cut() -> None:
    with pytest.raises(RefusedError, match="the connection by which this host is managed"):
        refuse(World().hold(80, ADA), login=Login(frozenset({ADA.pid}), None))


@pytest.mark.parametrize("owner", ["node", "bun", "vite.service", "vite"])
def test_a_holder_is_known_by_process_program_and_unit(owner: str) -> None:
    holder = Holder(8, "node", "/opt/bin/bun", "ada", "vite.service", NOW)
    refuse(World().hold(80, holder), owner)


SYSTEM, USERS_OWN = "/system.slice/stray.service", "/user.slice/user@1000.service/stray.service"
STRAY = Holder(8, "python3", None, "ada", "stray.service", NOW, SYSTEM)


@pytest.mark.parametrize(
    ("others", "told"),
    [
        pytest.param(
            [Holder(9, "python3", None, "root", "shop.service", NOW, "/system.slice/shop.service")],
            "The holder is python3 of shop.service (pid 9), not stray.",
            id="the same program in another unit",
        ),
        pytest.param(
            [Holder(9, "python3", None, "ada", None, NOW)],
            "The holder is python3 of no unit (pid 9), not stray.",
            id="the same program in no unit",
        ),
        pytest.param(
            [Holder(9, "python3", None, "ada", "stray.service", NOW, USERS_OWN)],
            "The holder is python3 of stray.service (pid 9), not stray.",
            id="a unit that a user has called so",
        ),
        pytest.param(
            [Holder(9, "stray", None, "ada", "stray.service", NOW, SYSTEM), daemon("node", 10)],
            "The holder is node, not stray.",
            id="another program beside two of the unit",
        ),
    ],
)
def test_every_holder_is_meant_by_itself(others: list[Holder], told: str) -> None:
    with pytest.raises(RefusedError) as error:
        refuse(World().hold(80, STRAY, *others), "stray")
    assert str(error.value) == told
    refuse(World().hold(80, STRAY), "stray")


def test_containers_of_one_name_are_not_stopped_together() -> None:
    both = World().hold(80, daemon("conmon", 7), container=THAT)
    both.hold(80, daemon("rootlessport", 8), container=HERS, on="::1")
    with pytest.raises(RefusedError, match=r"podman container web of 1234\). Stop them one by one"):
        refuse(both, "web")


def test_a_container_is_known_by_its_name() -> None:
    refuse(World().hold(80, container=WEB), "web")


def test_nobody_holds_it() -> None:
    snapshot = World().hold(80, ADA).snapshot
    assert free_port.find_holding(80, "udp", snapshot, NOW) is None
    assert free_port.find_holding(81, "tcp", snapshot, NOW) is None


CGROUPS = "/system.slice/vite.service"
USERS = "/user.slice/user-1000.slice/user@1000.service/app.slice/vite.service"


@pytest.mark.parametrize(
    ("holders", "main_pid", "container", "way"),
    [
        (
            [Holder(8, "node", None, "ada", "vite.service", NOW, CGROUPS)],
            8,
            None,
            Way("stop unit vite.service", ("systemctl", "stop", "vite.service")),
        ),
        # Started by the unit's main process, or on its own in the unit of another one.
        (
            [Holder(8, "node", None, "ada", "cron.service", NOW, "/system.slice/cron.service")],
            5,
            None,
            Way("send TERM to pid 8"),
        ),
        (
            [Holder(8, "node", None, "ada", "vite.service", NOW, USERS)],
            8,
            None,
            Way("send TERM to pid 8"),
        ),
        (
            [Holder(8, "node", None, "ada", "session-3.scope", NOW)],
            8,
            None,
            Way("send TERM to pid 8"),
        ),
        (
            [
                Holder(8, "node", None, "ada", "vite.service", NOW, CGROUPS),
                Holder(9, "node", None, "ada", None, NOW),
            ],
            8,
            None,
            Way("send TERM to pids 8 and 9"),
        ),
        ([ADA], 0, WEB, Way("stop docker container web", ("docker", "stop", "web"), 0)),
        # Another container may have got the name by the time that it is stopped.
        ([ADA], 0, THAT, Way("stop podman container web", ("podman", "stop", "4f"), 0)),
        ([ADA], 0, HERS, Way("stop podman container web of 1234", ("podman", "stop", "5a"), 1234)),
    ],
)
def test_how_a_holder_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
    holders: list[Holder],
    main_pid: int,
    container: Container | None,
    way: Way,
) -> None:
    answer = subprocess.CompletedProcess([], 0, f"{main_pid}\n", "")
    monkeypatch.setattr(subprocess, "run", lambda *_a, **_k: answer)
    world = World().hold(80, *holders, container=container)
    assert free_port.choose_way(holding_of(world), NOBODY) == way


def test_a_unit_that_ansible_runs_in_is_not_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = subprocess.CompletedProcess([], 0, "8\n", "")
    monkeypatch.setattr(subprocess, "run", lambda *_a, **_k: answer)
    holder = Holder(8, "node", None, "ada", "vite.service", NOW, CGROUPS)
    way = free_port.choose_way(holding_of(World().hold(80, holder)), Login(frozenset({8}), None))
    assert way.command == ()


# --- real processes ------------------------------------------------------------------------------

PROGRAM = """
import signal, socket, sys
if sys.argv[1] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
signal.pause()
"""


@contextmanager
def running(manner: str) -> t.Iterator[tuple[subprocess.Popen[str], int]]:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, manner], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def look(port: int) -> free_port.Holding:
    found = free_port.find_holding(port, "tcp", take_snapshot({("tcp", port)}), time.time())
    assert found is not None
    return found


def test_term_is_enough_for_most() -> None:
    with running("meek") as (process, port):
        found = look(port)
        way = Way(f"send TERM to pid {process.pid}")
        assert free_port.stop(found, way, timeout=10, kill=False) == way.text
        assert process.wait(5) == -signal.SIGTERM


def test_kill_needs_to_be_asked_for() -> None:
    with running("stubborn") as (process, port):
        found = look(port)
        with pytest.raises(RefusedError, match=r"but it is still held on .*Set kill to true"):
            free_port.stop(found, Way("send TERM"), timeout=0.5, kill=False)
        assert process.poll() is None
        done = free_port.stop(found, Way("send TERM"), timeout=0.5, kill=True)
        assert done == "send TERM, then KILL"
        assert process.wait(5) == -signal.SIGKILL


@pytest.mark.parametrize("pinned", [True, False], ids=["pidfd", "before Linux 5.3"])
def test_a_number_that_somebody_else_has_got_is_spared(
    monkeypatch: pytest.MonkeyPatch, pinned: bool
) -> None:
    """The holder ended, and its number went to an innocent process before the signal."""
    if not pinned:
        monkeypatch.delattr(os, "pidfd_open")
    with running("meek") as (innocent, _port), running("meek") as (process, port):
        found = look(port)
        reused = dataclasses.replace(found.holders[0], pid=innocent.pid)
        process.kill()
        process.wait(5)
        stale = dataclasses.replace(found, holders=(reused,))
        free_port.stop(stale, Way("send TERM"), timeout=0.5, kill=True)
        assert innocent.poll() is None


@pytest.mark.parametrize("pinned", [True, False], ids=["pidfd", "before Linux 5.3"])
def test_a_number_that_is_used_again_between_term_and_kill_is_spared(
    monkeypatch: pytest.MonkeyPatch, pinned: bool
) -> None:
    """The holder ends by TERM; a child keeps the socket, and the number goes to somebody else."""
    if not pinned:
        monkeypatch.delattr(os, "pidfd_open")
    killed: list[int] = []
    with running("stubborn") as (_process, port):
        found = look(port)
        looks = iter(range(100))

        def snapshot(keys: t.Any) -> t.Any:
            seen = take_snapshot(keys)
            # After the first signal, another process has the socket.
            moved = {inode: (daemon("child", 1),) for inode in seen.holders}
            return seen if next(looks) == 0 else dataclasses.replace(seen, holders=moved)

        # Undone at once: the test's own process is killed by the same function.
        with monkeypatch.context() as patch:
            patch.setattr(free_port, "KILL_TIMEOUT", 0.3)
            patch.setattr(free_port, "take_snapshot", snapshot)
            patch.setattr(os, "kill", lambda _pid, number: killed.append(number))
            patch.setattr(signal, "pidfd_send_signal", lambda _fd, number: killed.append(number))
            with pytest.raises(RefusedError):
                free_port.stop(found, Way("send TERM"), timeout=0.3, kill=True)
    assert killed == [signal.SIGTERM]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_the_engine_of_a_user_is_told_as_that_user() -> None:
    user = pwd.getpwnam("nobody")
    with running("meek") as (_process, port):
        way = Way("x", ("sh", "-c", "id -u >&2; exit 3"), user.pw_uid)
        with pytest.raises(RefusedError, match=f": {user.pw_uid}$"):
            free_port.stop(look(port), way, timeout=1, kill=False)


def test_a_command_that_fails_is_told() -> None:
    with running("meek") as (process, port):
        with pytest.raises(RefusedError, match="sh -c echo no >&2; exit 3: no"):
            free_port.stop(
                look(port), Way("x", ("sh", "-c", "echo no >&2; exit 3")), timeout=1, kill=False
            )
        assert process.poll() is None


def test_a_command_that_does_not_free_the_port_is_told() -> None:
    with (
        running("meek") as (_process, port),
        pytest.raises(RefusedError, match=r"Did x, but it is still held on 127\.0\.0\.1 by "),
    ):
        free_port.stop(look(port), Way("x", ("true",)), timeout=1, kill=False)


def test_who_comes_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = holding_of(World().hold(80, ADA))
    back = World().hold(79).hold(80, daemon("node", 900))
    monkeypatch.setattr(free_port, "take_snapshot", lambda _ports: back.snapshot)
    with pytest.raises(RefusedError, match=r"by node \(pid 900.* now\. Something starts it again"):
        free_port.stop(found, Way("x", ("true",)), timeout=1, kill=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_process_of_somebody_else_is_told() -> None:
    with running("meek") as (_process, port):
        found = look(port)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setuid(65534)
                free_port.stop(found, Way("send TERM"), timeout=1, kill=False)
            except RefusedError as error:
                code = 0 if "may not be signalled" in str(error) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
