# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is a host fit for what is going to be installed on it? Facts that cost no process to read."""

from __future__ import annotations

import os
import shlex
import sys
import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.host import macos
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed

MEBIBYTE = 1 << 20
# Of the cgroup that a container sees as its root: v2, v1.
MEMORY_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)
# Of a module that asks for fitness; the doc fragment `fitness` describes them.
ARGUMENTS: dict[str, t.Any] = {
    "architectures": {"type": "list", "elements": "str", "default": []},
    "systems": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "min_version": {"type": "str", "required": True},
            "lts": {"type": "bool", "default": False},
        },
    },
    "service_manager": {"type": "str", "default": ""},
    "memory_mb": {"type": "int", "default": 0},
    "disks": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "free_mb": {"type": "int", "required": True},
        },
    },
}


@dataclass(frozen=True)
class Disk:
    """Space of a file system for ordinary users, in MiB; ``path`` is what was asked for."""

    path: str
    free_mb: int
    read_only: bool


# As messages call systems; others are called by the ID of os-release(5).
MACOS = "macos"
NAMES = {MACOS: "macOS"}


@dataclass(frozen=True)
class Fitness:
    """What a host has. Sizes are in MiB; ``memory_mb`` is 0 where unknown.

    ``translated`` says that Rosetta runs this process: ``architecture`` isn't the machine's then.
    """

    architecture: str
    system: str
    version: str
    lts: bool
    service_manager: str
    memory_mb: int
    disks: tuple[Disk, ...]
    translated: bool = False


def read_fitness(paths: t.Iterable[str]) -> Fitness:
    """Read what this host has.

    :param paths: absolute; the file system that a missing one would be created on counts.
    :raises OSError: a path can't be examined.
    """
    return (_read_macos if sys.platform == "darwin" else _read_linux)(paths)


def _read_macos(paths: t.Iterable[str]) -> Fitness:
    # Every process descends from launchd there.
    return Fitness(
        architecture=os.uname().machine,
        system=MACOS,
        version=macos.product_version(),
        lts=False,
        service_manager="launchd",
        memory_mb=macos.sysctl_number("hw.memsize") // MEBIBYTE,
        disks=tuple(_read_disk(path) for path in paths),
        translated=macos.sysctl_number("sysctl.proc_translated") == 1,
    )


def _read_linux(paths: t.Iterable[str]) -> Fitness:
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
        name = NAMES.get(self.name, self.name)
        return f"{name}{' LTS' if self.lts else ''} {self.min_version} or newer"


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
    is_mac = found.system == MACOS
    faults = []
    if required.architectures and found.architecture not in required.architectures:
        faults.append(_other_architecture(found, required))
    if required.systems and not any(_matches(found, system) for system in required.systems):
        # A Mac can't become another system, and nothing else a Mac.
        same = [system for system in required.systems if (system.name == MACOS) == is_mac]
        faults.append(
            f"the system is {NAMES.get(found.system, found.system)}"
            f" {found.version or 'without a version'}, allowed is"
            f" {', '.join(map(str, same or required.systems))}."
            f" {'Upgrade it.' if is_mac and same else 'Upgrade or reinstall it.'}"
        )
    if required.service_manager and found.service_manager != required.service_manager:
        told = (
            "A Mac has no other: require launchd of it." if is_mac else "Boot the system with it."
        )
        faults.append(
            f"the service manager is {found.service_manager}, needed is"
            f" {required.service_manager}. {told}"
        )
    if found.memory_mb < required.memory_mb:
        told = (
            "Take a Mac with more."
            if is_mac
            else ("Add memory, or raise the limit of its container.")
        )
        faults.append(
            f"the memory is {found.memory_mb} MiB, needed are {required.memory_mb} MiB. {told}"
        )
    needed = dict(required.disks)
    for disk in found.disks:
        if disk.read_only:
            told = (
                f"Name a path of the data volume instead, such as {macos.DATA_VOLUME}."
                if is_mac
                else "Mount it writable."
            )
            faults.append(f"{disk.path} is on a read-only file system. {told}")
        elif disk.free_mb < needed[disk.path]:
            faults.append(
                f"{disk.path} has {disk.free_mb} MiB free, needed are {needed[disk.path]} MiB."
                f" {'Free some.' if is_mac else 'Free some, or enlarge its file system.'}"
            )
    return faults


def judge(params: t.Mapping[str, t.Any], host: str) -> dict[str, t.Any]:
    """The result of a module with ARGUMENTS: `faults`, what was `found`, and a `msg` if it fails.

    `params` are the module's, and `host` is how messages name the host. Sizes are in MiB.
    """
    required = Requirements(
        architectures=tuple(params["architectures"]),
        systems=tuple(AllowedSystem(**system) for system in params["systems"]),
        service_manager=params["service_manager"],
        memory_mb=params["memory_mb"],
        disks=tuple((disk["path"], disk["free_mb"]) for disk in params["disks"]),
    )
    found = read_fitness(path for path, _free in required.disks)
    faults = judge_fitness(found, required)
    result = {"changed": False, "faults": faults, "found": asdict(found)}
    if faults:
        result["msg"] = "\n".join(f"{host}: {fault}" for fault in faults)
    return result


def _other_architecture(found: Fitness, required: Requirements) -> str:
    if found.translated:
        return (
            f"Ansible's Python runs as {found.architecture}, translated by Rosetta, and so would"
            " what it starts. Let ansible_python_interpreter name one for arm64, such as"
            " /usr/bin/python3 or /opt/homebrew/bin/python3."
        )
    told = f"the architecture is {found.architecture}"
    allowed = listed(required.architectures, "or")
    if found.system == MACOS:
        return (
            f"{told}, that of an Intel Mac, allowed is {allowed}. Use a Mac with Apple Silicon (M1"
            " or newer)."
        )
    return f"{told}, allowed is {allowed}. Use a machine of that kind."


def _matches(found: Fitness, system: AllowedSystem) -> bool:
    return (
        found.system == system.name
        and (found.lts or not system.lts)
        and _version(found.version) >= _version(system.min_version)
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
