# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The system itself: its release, its memory, its file systems, its units."""

from __future__ import annotations

import os
import sys
import time
import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.evidence.readings import (
    Reading,
    read_file,
    run,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.fitness import (
    MEBIBYTE,
    MEMORY_LIMITS,
    parse_memory,
    parse_os_release,
)

UNIT_FIELDS = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "Result",
    "NRestarts",
    "MainPID",
    "ActiveEnterTimestamp",
)


def is_linux() -> bool:
    """Whether this is Linux."""
    return sys.platform.startswith("linux")


def utc(seconds: float) -> str:
    """Return a time in UTC, to the second; empty for 0, which is unknown."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds else ""


# --- release, start and load -------------------------------------------------------------------


def read_system(timeout: float) -> tuple[dict[str, t.Any], dict[str, Reading]]:
    """Return what the host is, and the readings that tell. Unknown values are empty."""
    uname = os.uname()
    kernel = Reading("kernel", "uname -srm", f"{uname.sysname} {uname.release} {uname.machine}")
    system = {
        "system": uname.sysname,
        "kernel": uname.release,
        "architecture": uname.machine,
        "release": "",
        "booted": "",
    }
    if not is_linux():
        version = run(["/usr/bin/sw_vers"], timeout)
        boot = run(["/usr/sbin/sysctl", "-n", "kern.boottime"], timeout)
        if version.ok:
            system["release"] = " ".join(
                line.partition(":")[2].strip() for line in version.output.splitlines()[:2]
            )
        return system, {"kernel": kernel, "release": version, "uptime": boot}
    release, uptime = read_file("/etc/os-release"), read_file("/proc/uptime")
    fields = parse_os_release(release.output)
    system["release"] = fields.get("PRETTY_NAME", fields.get("ID", ""))
    if uptime.ok:
        # To the minute, because both clocks are read at different times.
        system["booted"] = utc((time.time() - float(uptime.output.split()[0])) // 60 * 60)
    return system, {"kernel": kernel, "release": release, "uptime": uptime}


# --- memory ------------------------------------------------------------------------------------


def read_memory(timeout: float) -> tuple[dict[str, t.Any], dict[str, Reading]]:
    """Return total and available memory in MiB, 0 where unknown, and the readings."""
    if not is_linux():
        size = run(["/usr/sbin/sysctl", "-n", "hw.memsize"], timeout)
        total = int(size.output) // MEBIBYTE if size.ok and size.output.strip().isdigit() else 0
        return {"total_mb": total, "available_mb": 0, "reading": "memory"}, {"memory": size}
    meminfo = read_file("/proc/meminfo", r"^(MemTotal|MemAvailable|SwapTotal|SwapFree):")
    limits = [reading for reading in map(read_file, MEMORY_LIMITS) if reading.ok]
    total = parse_memory(meminfo.output, [limit.output for limit in limits])
    available = [
        int(line.split()[1]) // 1024
        for line in meminfo.output.splitlines()
        if line.startswith("MemAvailable:")
    ]
    facts = {
        "total_mb": total,
        "available_mb": min(total, *available) if available else 0,
        "reading": "memory",
    }
    readings = {"memory": meminfo}
    for limit in limits:
        readings["memory-limit"] = limit
    return facts, readings


# --- file systems ------------------------------------------------------------------------------


@dataclass(frozen=True)
class FileSystem:
    """A file system, and the paths on it that matter. Sizes are in MiB."""

    mount: str
    paths: tuple[str, ...]
    size_mb: int
    free_mb: int
    used_percent: int
    read_only: bool
    reading: str

    def as_dict(self) -> dict[str, t.Any]:
        """Plain data, ready for JSON."""
        return {**asdict(self), "paths": list(self.paths)}


def read_file_systems(paths: t.Iterable[str]) -> tuple[list[FileSystem], dict[str, Reading]]:
    """Return the file systems that paths are on, and the readings.

    A missing path counts where it would be created.
    """
    by_mount: dict[str, list[str]] = {}
    for path in dict.fromkeys(paths):
        by_mount.setdefault(_mount_of(path), []).append(path)
    found, readings = [], {}
    for number, (mount, users) in enumerate(sorted(by_mount.items())):
        name = f"disk-{number}"
        try:
            stat = os.statvfs(mount)
        except OSError as error:
            readings[name] = Reading("kernel", f"statvfs({mount})", fault=str(error.strerror))
            continue
        size, free = stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize
        # As df does: of what ordinary users may use.
        used = size - stat.f_bfree * stat.f_frsize
        percent = -(-100 * used // (used + free)) if used + free else 0
        is_read_only = bool(stat.f_flag & os.ST_RDONLY)
        readings[name] = Reading(
            "kernel",
            f"statvfs({mount})",
            f"size {size // MEBIBYTE} MiB, free {free // MEBIBYTE} MiB, used {percent} %,"
            f" inodes {stat.f_favail} of {stat.f_files} free"
            + (", read-only" if is_read_only else ""),
        )
        found.append(
            FileSystem(
                mount,
                tuple(users),
                size // MEBIBYTE,
                free // MEBIBYTE,
                percent,
                is_read_only,
                name,
            )
        )
    return found, readings


def _mount_of(path: str) -> str:
    existing = os.path.abspath(path)
    while not os.path.exists(existing):
        existing = os.path.dirname(existing)
    existing = os.path.realpath(existing)
    while not os.path.ismount(existing):
        existing = os.path.dirname(existing)
    return existing


# --- units -------------------------------------------------------------------------------------


def read_units(
    units: t.Collection[str], timeout: float
) -> tuple[dict[str, dict[str, str]], list[str], dict[str, Reading]]:
    """Return the state of units, those of all units that failed, and the readings.

    Where systemd doesn't manage the host, nothing is known.
    """
    if not os.path.isdir("/run/systemd/system"):
        text = "systemd doesn't manage this host, and launchd isn't asked"
        return {}, [], {"units": Reading("command", "systemctl show", fault=text)}
    failed = run(["systemctl", "list-units", "--failed", "--plain", "--no-legend"], timeout)
    readings = {"failed-units": failed}
    names = [line.split()[0] for line in failed.output.splitlines() if line.split()]
    states = {}
    if units:
        fields = ",".join(UNIT_FIELDS)
        shown = run(["systemctl", "show", f"--property={fields}", "--", *sorted(units)], timeout)
        readings["units"] = shown
        if shown.ok:
            states = parse_units(shown.output)
    return states, names if failed.ok else [], readings


def parse_units(text: str) -> dict[str, dict[str, str]]:
    """Return the fields of each unit of C(systemctl show), by its id."""
    found = {}
    for block in text.split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in fields:
            found[fields["Id"]] = fields
    return found
