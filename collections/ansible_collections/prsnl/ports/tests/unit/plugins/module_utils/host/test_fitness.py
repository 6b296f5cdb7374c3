# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a host unfit."""

from __future__ import annotations

import dataclasses
import os
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.host import fitness
from ansible_collections.prsnl.ports.plugins.module_utils.host.fitness import (
    AllowedSystem,
    Disk,
    Fitness,
    Requirements,
)

FIT = Fitness("aarch64", "debian", "12", False, "systemd", 3906, (Disk("/var", 2048, False),))
NEEDED = Requirements(
    architectures=("aarch64", "arm64"),
    systems=(AllowedSystem("debian", "12", False), AllowedSystem("ubuntu", "22.04", True)),
    service_manager="systemd",
    memory_mb=512,
    disks=(("/var", 1024),),
)
ALLOWED = "allowed is debian 12 or newer, ubuntu LTS 22.04 or newer. Upgrade or reinstall it."


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"version": "13"}, []),
        ({"architecture": "arm64"}, []),
        ({"system": "ubuntu", "version": "24.04", "lts": True}, []),
        (
            {"architecture": "x86_64"},
            [
                "the architecture is x86_64, allowed is aarch64 or arm64. Use a machine of that"
                " kind."
            ],
        ),
        ({"version": "11"}, [f"the system is debian 11, {ALLOWED}"]),
        ({"version": "9"}, [f"the system is debian 9, {ALLOWED}"]),
        ({"version": ""}, [f"the system is debian without a version, {ALLOWED}"]),
        (
            {"system": "ubuntu", "version": "24.10"},
            [f"the system is ubuntu 24.10, {ALLOWED}"],
        ),
        (
            {"system": "ubuntu", "version": "20.04", "lts": True},
            [f"the system is ubuntu 20.04, {ALLOWED}"],
        ),
        ({"system": "fedora", "version": "41"}, [f"the system is fedora 41, {ALLOWED}"]),
        (
            {"service_manager": "init"},
            ["the service manager is init, needed is systemd. Boot the system with it."],
        ),
        (
            {"memory_mb": 511},
            [
                "the memory is 511 MiB, needed are 512 MiB. Add memory, or raise the limit of its"
                " container."
            ],
        ),
        (
            {"disks": (Disk("/var", 1023, False),)},
            ["/var has 1023 MiB free, needed are 1024 MiB. Free some, or enlarge its file system."],
        ),
        (
            {"disks": (Disk("/var", 4096, True),)},
            ["/var is on a read-only file system. Mount it writable."],
        ),
    ],
)
def test_each_fault(change: dict[str, t.Any], expected: list[str]) -> None:
    assert fitness.judge_fitness(dataclasses.replace(FIT, **change), NEEDED) == expected


def test_every_fault_is_reported() -> None:
    unfit = Fitness("armv7l", "darwin", "", False, "launchd", 0, (Disk("/var", 0, False),))
    assert len(fitness.judge_fitness(unfit, NEEDED)) == 5


def test_what_is_not_required_is_not_judged() -> None:
    nothing = Requirements((), (), "", 0, ())
    assert fitness.judge_fitness(Fitness("vax", "vms", "", False, "", 0, ()), nothing) == []


def test_os_release_is_read_as_a_shell_would() -> None:
    text = "# comment\nID=ubuntu\nVERSION=\"24.04.1 LTS (Noble)\"\nVERSION_ID='24.04'\n\nodd\n"
    assert fitness.parse_os_release(text) == {
        "ID": "ubuntu",
        "VERSION": "24.04.1 LTS (Noble)",
        "VERSION_ID": "24.04",
    }


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ([], 16000),
        (["max\n", ""], 16000),
        ([f"{512 << 20}\n"], 512),
        (["9223372036854771712\n"], 16000),
    ],
)
def test_the_limit_of_a_container_counts(limits: list[str], expected: int) -> None:
    meminfo = f"MemTotal:       {16000 * 1024} kB\nMemFree:          1024 kB\n"
    assert fitness.parse_memory(meminfo, limits) == expected


def test_a_path_that_does_not_exist_yet_counts_as_its_nearest_parent() -> None:
    found = fitness.read_fitness(["/proc/no/such", "/"])
    stat = os.statvfs("/proc")
    assert found.disks[0].free_mb == stat.f_bavail * stat.f_frsize // fitness.MEBIBYTE
    assert found.disks[1].free_mb > 0


def test_a_relative_path_ends_the_search_at_the_root() -> None:
    assert fitness.read_fitness(["no/such/path"]).disks[0].free_mb > 0


def test_this_host_is_read() -> None:
    found = fitness.read_fitness([])
    assert found.architecture == os.uname().machine
    assert found.memory_mb > 0
    assert found.system
