# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The socket units for which systemd, or the manager of a user, has sockets."""

from __future__ import annotations

import os
import subprocess
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.sockets import activation
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Holder
from worlds import ADA, NOW, World

# `systemctl show --property=Id,ActiveState,Listen,Triggers -- '*.socket'` of systemd 252, cut.
SYSTEM = """\
Triggers=cockpit.service
Listen=[::]:9090 (Stream)
Id=cockpit.socket
ActiveState=active

Triggers=systemd-journald.service
Listen=/run/systemd/journal/stdout (Stream)
Id=systemd-journald.socket
ActiveState=active

Triggers=idle.service
Listen=[::]:9091 (Stream)
Id=idle.socket
ActiveState=inactive

Triggers=dns.service
Listen=127.0.0.53:53 (Datagram)
Listen=127.0.0.53:53 (Stream)
Id=dns.socket
ActiveState=active

Triggers=other.service
Listen=10.0.0.1:53 (Stream)
Id=other.socket
ActiveState=active
"""
USERS = """\
Triggers=shop.service
Listen=0.0.0.0:8080 (Stream)
Id=shop.socket
ActiveState=active
"""
INIT = Holder(1, "systemd", "/usr/lib/systemd/systemd", "root", "init.scope", NOW, "/init.scope", 0)
HIS_CGROUP = "/user.slice/user-1000.slice/user@1000.service/init.scope"
HIS = Holder(900, "systemd", None, "ada", "init.scope", NOW, HIS_CGROUP, 1000)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    commands: list[str] = []

    def run(command: t.Sequence[str], **options: t.Any) -> t.Any:
        who = options.get("env", {}).get("XDG_RUNTIME_DIR", "the system")
        commands.append(who)
        assert ("--user" in command) is (who != "the system")
        return subprocess.CompletedProcess(command, 0, USERS if "--user" in command else SYSTEM, "")

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def units(world: World) -> list[list[str | None]]:
    found = activation.attribute(world.snapshot)
    return [[holder.unit for holder in found.holders[s.inode]] for s in found.sockets]


def test_the_unit_is_that_of_the_socket(asked: list[str]) -> None:
    world = World().hold(9090, INIT, on="::").hold(53, INIT, on="127.0.0.53")
    world.hold(53, INIT, on="10.0.0.1").hold(53, INIT, on="127.0.0.53", protocol="udp")
    world.hold(9091, INIT, on="::").hold(80, ADA)
    assert units(world) == [
        ["cockpit.socket"],
        ["dns.socket"],
        ["other.socket"],
        ["dns.socket"],
        # Nobody tells of one that isn't active.
        ["init.scope"],
        [ADA.unit],
    ]
    assert asked == ["the system"]


def test_its_service_keeps_its_own_unit(asked: list[str]) -> None:
    tls = Holder(7, "cockpit-tls", None, "cockpit", "cockpit.service", NOW)
    found = activation.attribute(World().hold(9090, INIT, tls, on="::").snapshot)
    ((first, second),) = found.holders.values()
    assert (first.unit, second.unit) == ("cockpit.socket", "cockpit.service")
    assert found.activates["cockpit.socket"] == ("cockpit.service",)


def test_the_manager_of_a_user_is_asked_as_that_user(asked: list[str]) -> None:
    assert units(World().hold(8080, HIS).hold(9090, INIT, on="::")) == [
        ["shop.socket"],
        ["cockpit.socket"],
    ]
    assert asked == ["the system", "/run/user/1000"]


def test_without_a_manager_nobody_is_asked(asked: list[str]) -> None:
    other = Holder(900, "systemd", None, "ada", "session-1.scope", NOW, "/session-1.scope", 1000)
    assert units(World().hold(80, ADA).hold(81, other)) == [[ADA.unit], ["session-1.scope"]]
    assert asked == []


def test_where_systemd_does_not_answer_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_words: t.Any, **_options: t.Any) -> t.Any:
        raise OSError("no systemctl")

    monkeypatch.setattr(subprocess, "run", fail)
    assert units(World().hold(9090, INIT, on="::")) == [["init.scope"]]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_a_user_is_really_asked_as_that_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any
) -> None:
    """With a systemctl that says who it is."""
    program = tmp_path / "systemctl"
    program.write_text('#!/bin/sh\necho "Listen=0.0.0.0:8080 (Stream)"\n')
    with program.open("a") as file:
        file.write(
            'echo "Id=uid-$(id -u)-gid-$(id -g)-$(id -G | tr " " ,)$XDG_RUNTIME_DIR.socket"\n'
        )
        file.write("echo ActiveState=active\n")
    program.chmod(0o755)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o5 != 0o5:
            folder.chmod(folder.stat().st_mode | 0o5)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (unit,) = activation._ask(65534)
    assert unit.name == "uid-65534-gid-65534-65534/run/user/65534.socket"
