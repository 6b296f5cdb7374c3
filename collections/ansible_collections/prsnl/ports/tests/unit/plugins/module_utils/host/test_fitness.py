# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a host unfit."""

from __future__ import annotations

import dataclasses
import os
import plistlib
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.host import fitness, macos
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


MAC = Fitness(
    "arm64", "macos", "26.1", False, "launchd", 16384, (Disk("/System/Volumes/Data", 9000, False),)
)
NEEDED_OF_MAC = Requirements(
    architectures=("aarch64", "arm64"),
    systems=(*NEEDED.systems, AllowedSystem("macos", "15", False)),
    service_manager="launchd",
    memory_mb=512,
    disks=(("/System/Volumes/Data", 4096),),
)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"version": "15"}, []),
        ({"version": "27.0"}, []),
        (
            {"version": "14.7.2"},
            ["the system is macOS 14.7.2, allowed is macOS 15 or newer. Upgrade it."],
        ),
        (
            {"architecture": "x86_64"},
            [
                "the architecture is x86_64, that of an Intel Mac, allowed is aarch64 or arm64. Use"
                " a Mac with Apple Silicon (M1 or newer)."
            ],
        ),
        (
            {"architecture": "x86_64", "translated": True},
            [
                "Ansible's Python runs as x86_64, translated by Rosetta, and so would what it"
                " starts. Let ansible_python_interpreter name one for arm64, such as"
                " /usr/bin/python3 or /opt/homebrew/bin/python3."
            ],
        ),
        (
            {"memory_mb": 256},
            ["the memory is 256 MiB, needed are 512 MiB. Take a Mac with more."],
        ),
        (
            {"disks": (Disk("/System/Volumes/Data", 512, False),)},
            ["/System/Volumes/Data has 512 MiB free, needed are 4096 MiB. Free some."],
        ),
        (
            {"disks": (Disk("/System/Volumes/Data", 9000, True),)},
            [
                "/System/Volumes/Data is on a read-only file system. Name a path of the data volume"
                " instead, such as /System/Volumes/Data."
            ],
        ),
    ],
)
def test_each_fault_of_a_mac(change: dict[str, t.Any], expected: list[str]) -> None:
    assert fitness.judge_fitness(dataclasses.replace(MAC, **change), NEEDED_OF_MAC) == expected


def test_a_mac_is_shown_nothing_about_linux() -> None:
    worst = dataclasses.replace(MAC, version="12", memory_mb=0, architecture="x86_64")
    told = " ".join(fitness.judge_fitness(worst, NEEDED_OF_MAC))
    for word in ("debian", "ubuntu", "container", "Mount", "Boot", "reinstall", "systemd"):
        assert word not in told


def test_a_linux_host_is_shown_nothing_about_macs() -> None:
    faults = fitness.judge_fitness(
        dataclasses.replace(FIT, version="11"),
        dataclasses.replace(NEEDED, systems=NEEDED_OF_MAC.systems),
    )
    assert faults == [f"the system is debian 11, {ALLOWED}"]


def test_a_mac_is_told_where_macs_are_not_allowed_at_all() -> None:
    assert fitness.judge_fitness(MAC, dataclasses.replace(NEEDED, disks=NEEDED_OF_MAC.disks)) == [
        f"the system is macOS 26.1, {ALLOWED}",
        "the service manager is launchd, needed is systemd. A Mac has no other: require launchd of"
        " it.",
    ]


def plist(version: str) -> bytes:
    return plistlib.dumps({"ProductName": "macOS", "ProductVersion": version})


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        # What programs of an old SDK read as SystemVersion.plist.
        (
            {".SystemVersionPlatform.plist": plist("26.1"), "SystemVersion.plist": plist("16.0")},
            "26.1",
        ),
        ({"SystemVersion.plist": plist("15.6.1")}, "15.6.1"),
        ({"SystemVersion.plist": b"no plist"}, ""),
        ({"SystemVersion.plist": plistlib.dumps(["odd"])}, ""),
        ({}, ""),
    ],
)
def test_the_version_of_macos(tmp_path: Path, files: dict[str, bytes], expected: str) -> None:
    folder = tmp_path / "System/Library/CoreServices"
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    assert macos.product_version(str(tmp_path)) == expected


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"<plist></plist>",
        b"<plist><array/></plist>",
        b"<plist><dict></plist>",
        b"<plist><dcit><key>Label</key><string>shop</string></dcit></plist>",
        b"<plist><dict><key>Label</key></dict></plist>",
        b"<plist><dict><key>a</key><date>x</date></dict></plist>",
        b"<plist><dict><key>a</key><integer>x</integer></dict></plist>",
        b"bplist00",
        b"bplist00" + b"\xff" * 40,
        b'{"Label": "shop"}',
        bytes(range(256)),
    ],
)
def test_what_is_no_property_list_is_refused(source: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        macos.parse_property_list(source)


@pytest.mark.parametrize("kind", [plistlib.FMT_XML, plistlib.FMT_BINARY])
def test_a_property_list_is_read_in_both_formats(kind: t.Any) -> None:
    job = {"Label": "shop", "KeepAlive": True}
    assert macos.parse_property_list(plistlib.dumps(job, fmt=kind)) == job


def test_a_mac_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = {"hw.memsize": 16 << 30, "sysctl.proc_translated": 0}
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(macos, "product_version", lambda: "26.1")
    monkeypatch.setattr(macos, "sysctl_number", numbers.__getitem__)
    found = fitness.read_fitness(["/"])
    assert (found.system, found.version, found.service_manager) == ("macos", "26.1", "launchd")
    assert (found.memory_mb, found.translated) == (16384, False)


def test_a_number_that_the_kernel_does_not_have() -> None:
    assert macos.sysctl_number("no.such.name") == 0
