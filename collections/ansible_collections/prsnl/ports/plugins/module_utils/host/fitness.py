# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is a host fit for what is going to be installed on it? Facts that cost no process to read."""

from __future__ import annotations

import os
import shlex
import typing as t
from dataclasses import dataclass

MEBIBYTE = 1 << 20
# Of the cgroup that a container sees as its root: v2, v1.
MEMORY_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


@dataclass(frozen=True)
class Disk:
    """Space of a file system for ordinary users, in MiB; ``path`` is what was asked for."""

    path: str
    free_mb: int
    read_only: bool


@dataclass(frozen=True)
class Fitness:
    """What a host has. Sizes are in MiB; ``memory_mb`` is 0 where unknown."""

    architecture: str
    system: str
    version: str
    lts: bool
    service_manager: str
    memory_mb: int
    disks: tuple[Disk, ...]


def read_fitness(paths: t.Iterable[str]) -> Fitness:
    """Read what this host has.

    :param paths: absolute; the file system that a missing one would be created on counts.
    :raises OSError: a path can't be examined.
    """
    uname = os.uname()
    release = parse_os_release(_read("/etc/os-release"))
    return Fitness(
        architecture=uname.machine,
        system=release.get("ID", uname.sysname.lower()),
        version=release.get("VERSION_ID", ""),
        lts="LTS" in release.get("VERSION", ""),
        service_manager=_service_manager(),
        memory_mb=parse_memory(_read("/proc/meminfo"), [_read(path) for path in MEMORY_LIMITS]),
        disks=tuple(_read_disk(path) for path in paths),
    )


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _service_manager() -> str:
    # The test of sd_booted(3).
    if os.path.isdir("/run/systemd/system"):
        return "systemd"
    return _read("/proc/1/comm").strip() or "unknown"


def _read_disk(path: str) -> Disk:
    existing = os.path.abspath(path)
    while not os.path.exists(existing):
        existing = os.path.dirname(existing)
    stat = os.statvfs(existing)
    return Disk(
        path=path,
        free_mb=stat.f_bavail * stat.f_frsize // MEBIBYTE,
        read_only=bool(stat.f_flag & os.ST_RDONLY),
    )


def parse_os_release(text: str) -> dict[str, str]:
    """Return the fields of os-release(5)."""
    fields = {}
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith("#"):
            fields[name] = "".join(shlex.split(value))
    return fields


def parse_memory(meminfo: str, limits: t.Iterable[str]) -> int:
    """Return the memory that may be used, in MiB: the machine's or the cgroup's, if less."""
    sizes = [
        int(line.split()[1]) * 1024 for line in meminfo.splitlines() if line.startswith("MemTotal:")
    ]
    sizes += [int(limit) for limit in limits if limit.strip().isdigit()]
    return min(sizes, default=0) // MEBIBYTE


@dataclass(frozen=True)
class AllowedSystem:
    """A system that is allowed, from a version on."""

    name: str
    min_version: str
    lts: bool

    def __str__(self) -> str:
        return f"{self.name}{' LTS' if self.lts else ''} {self.min_version} or newer"


@dataclass(frozen=True)
class Requirements:
    """What a host needs; empty or 0 where anything will do. Sizes are in MiB."""

    architectures: tuple[str, ...]
    systems: tuple[AllowedSystem, ...]
    service_manager: str
    memory_mb: int
    disks: tuple[tuple[str, int], ...]


def judge_fitness(found: Fitness, required: Requirements) -> list[str]:
    """Return everything that makes a host unfit: what was found, what is allowed, what to do."""
    faults = []
    if required.architectures and found.architecture not in required.architectures:
        faults.append(
            f"the architecture is {found.architecture}, allowed is"
            f" {' or '.join(required.architectures)}. Use a machine of that kind."
        )
    if required.systems and not any(_matches(found, system) for system in required.systems):
        allowed = ", ".join(map(str, required.systems))
        faults.append(
            f"the system is {found.system} {found.version or 'without a version'}, allowed is"
            f" {allowed}. Upgrade or reinstall it."
        )
    if required.service_manager and found.service_manager != required.service_manager:
        faults.append(
            f"the service manager is {found.service_manager}, needed is"
            f" {required.service_manager}. Boot the system with it."
        )
    if found.memory_mb < required.memory_mb:
        faults.append(
            f"the memory is {found.memory_mb} MiB, needed are {required.memory_mb} MiB. Add"
            " memory, or raise the limit of its container."
        )
    needed = dict(required.disks)
    for disk in found.disks:
        if disk.read_only:
            faults.append(f"{disk.path} is on a read-only file system. Mount it writable.")
        elif disk.free_mb < needed[disk.path]:
            faults.append(
                f"{disk.path} has {disk.free_mb} MiB free, needed are {needed[disk.path]} MiB."
                " Free some, or enlarge its file system."
            )
    return faults


def _matches(found: Fitness, system: AllowedSystem) -> bool:
    return (
        found.system == system.name
        and (found.lts or not system.lts)
        and _version(found.version) >= _version(system.min_version)
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
