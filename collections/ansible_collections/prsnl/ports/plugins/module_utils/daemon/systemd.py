# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""systemd as the manager of services."""

from __future__ import annotations

import os
import re
import time
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.daemon.backends import (
    DaemonError,
    DaemonFile,
    ServiceState,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import Content
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import Runner

UNITS = "/etc/systemd/system"
# Where systemd looks for units of the system; systemd.unit(5), "UNIT FILE LOAD PATH".
UNIT_PATHS = (
    UNITS,
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
# Where podman's generator looks for containers of the system; podman-systemd.unit(5).
CONTAINERS = "/etc/containers/systemd"
# Kinds of units that activate a service or are activated with it, by the same name.
KINDS = ("service", "socket", "timer", "path")
PROPERTIES = (
    "ActiveState",
    "DropInPaths",
    "ExecMainStartTimestampMonotonic",
    "ExecStart",
    "FragmentPath",
    "LoadState",
    "MainPID",
    "NRestarts",
    "NeedDaemonReload",
    "Result",
    "TriggeredBy",
    "Triggers",
    "UnitFileState",
)
JOURNAL_LINES = 20
# Seconds; the kernel's clock of files is that coarse.
COARSE = 0.02
Properties = t.Mapping[str, str]


class Systemd:
    """The units of this host.

    :param root: the folder that all files are below; the tests' own instead of ``/``.
    """

    enables_first = False

    def __init__(self, run: Runner, root: str = "") -> None:
        self._run = run
        self._root = root

    def look(self, unit: str, files: t.Iterable[str]) -> ServiceState:
        """One question about the unit and all that belongs to it."""
        stem = unit.rpartition(".")[0]
        files = list(files)
        is_generated = any(
            os.path.dirname(path) == f"{self._root}{CONTAINERS}" and self._unit_of(path) == unit
            for path in files
        )
        family = [unit, *(f"{stem}.{kind}" for kind in KINDS)]
        family += filter(None, map(self._unit_of, files))
        # Templates aren't units themselves.
        found = self._show(name for name in dict.fromkeys(family) if "@." not in name)
        own = found.get(unit, {})
        others = {*own.get("Triggers", "").split(), *own.get("TriggeredBy", "").split()}
        if others - found.keys():
            # A timer may start a unit of another name.
            found.update(self._show(sorted(others - found.keys())))
        active = own.get("ActiveState")
        unread = [name for name, values in found.items() if values.get("NeedDaemonReload") == "yes"]
        return ServiceState(
            is_blocked=own.get("LoadState") == "masked",
            is_active=active in ("active", "reloading"),
            was_active=active in ("active", "reloading", "activating"),
            has_failed=active == "failed",
            # What only another unit or a generator starts may not be started one day.
            can_enable=not is_generated
            and own.get("UnitFileState", "") in ("disabled", "enabled-runtime", ""),
            restarts=own.get("NRestarts", "0"),
            result=own.get("Result", ""),
            unread=tuple(sorted(unread)),
            runs_unread=unit in unread or self._is_redefined(own),
            replaced=self._replaced(own),
        )

    def is_definition(self, path: str) -> bool:
        """A unit file or a drop-in."""
        return self._unit_of(path) is not None

    def options_file(
        self, unit: str, options: t.Mapping[str, t.Any], header: str
    ) -> t.Optional[DaemonFile]:
        """A drop-in for the unit's ``[Service]`` section."""
        content = Content(drop_in(options, header), 0o644, 0, 0) if options else None
        return DaemonFile(f"{self._root}{UNITS}/{unit}.d/hardening.conf", content)

    def read_definitions(self) -> None:
        """All of them at once."""
        self._systemctl("daemon-reload")

    def bring(self, verb: str, unit: str) -> None:
        """By systemctl."""
        if verb == "start":
            # A unit that gave up after many failures refuses to start for a while.
            self._run(["systemctl", "reset-failed", unit])
        self._systemctl(verb, unit)

    def way_back(self, unit: str, verb: str, state: ServiceState) -> list[list[str]]:
        """Read the definitions, and do what the verb did, or its contrary."""
        if state.was_active:
            end = "reload-or-restart" if verb == "reload" else "restart"
        else:
            end = "stop"
        disable = [["systemctl", "disable", unit]] if verb == "enable" else []
        return [["systemctl", "daemon-reload"], *disable, ["systemctl", end, unit]]

    def log(self, unit: str) -> str:
        """The end of the journal."""
        command = ["journalctl", f"--unit={unit}", f"--lines={JOURNAL_LINES}"]
        lines = self._run([*command, "--no-pager", "--output=cat"])[1].strip()
        return f"The last lines of its journal:\n{lines}"

    def _unit_of(self, path: str) -> t.Optional[str]:
        return unit_of(path[len(self._root) :]) if path.startswith(self._root) else None

    def _show(self, units: t.Iterable[str]) -> dict[str, Properties]:
        """Return the properties of units. systemctl answers in the order of the question."""
        names = list(units)
        command = ["systemctl", "show", f"--property={','.join(PROPERTIES)}", "--", *names]
        blocks = self._run(command)[1].strip("\n").split("\n\n")
        properties = [
            dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            for block in blocks
        ]
        return dict(zip(names, properties))  # noqa: B905 - Python 3.8 has no strict

    def _replaced(self, values: Properties) -> str:
        """Return the program of the main process, if it isn't the one that is on disk now."""
        pid = values.get("MainPID", "0")
        if pid == "0":
            return ""
        try:
            program = os.readlink(f"{self._root}/proc/{pid}/exe")
        except OSError:
            # It ended just now, or may not be looked at.
            program = ""
        if program.endswith(" (deleted)"):
            return program[: -len(" (deleted)")]
        age = _age(values)
        # A script is run by a program that stays. Names may be moved instead of replaced.
        for path in re.findall(r"\{ path=(\S+) ;", values.get("ExecStart", "")):
            if _is_younger(self._root + path, age):
                return str(path)
        return ""

    def _is_redefined(self, values: Properties) -> bool:
        """Tell whether the main process is older than a definition of its unit.

        Somebody may have let systemd read that without a restart.
        """
        if values.get("MainPID", "0") == "0":
            return False
        paths = [values.get("FragmentPath", ""), *values.get("DropInPaths", "").split()]
        # Those of `systemctl set-property` are elsewhere, and hold at once.
        own = [self._root + path for path in paths if unit_of(path)]
        return any(_is_younger(path, _age(values)) for path in own)

    def _systemctl(self, *arguments: str) -> None:
        code, output, errors = self._run(["systemctl", *arguments])
        if code != 0:
            raise DaemonError(f"systemctl {arguments[0]}: {errors.strip() or output.strip()}")


def drop_in(options: t.Mapping[str, t.Any], header: str) -> bytes:
    """Return the file that adds options to a unit's ``[Service]`` section.

    A list becomes words with blanks between them, and a boolean ``true`` or ``false``.
    """
    lines = [header, "[Service]"]
    for name, value in sorted(options.items()):
        words = value if isinstance(value, (list, tuple)) else [value]
        texts = [str(word).lower() if isinstance(word, bool) else str(word) for word in words]
        lines.append(f"{name}={' '.join(texts)}")
    return ("\n".join(lines) + "\n").encode()


def unit_of(path: str) -> t.Optional[str]:
    """Return the unit that a file defines or extends; None if it is none of systemd's."""
    folder, name = os.path.split(path)
    if folder in UNIT_PATHS:
        return name
    if folder == CONTAINERS and name.endswith(".container"):
        return f"{name.rpartition('.')[0]}.service"
    above, drop_in = os.path.split(folder)
    return drop_in[:-2] if above in UNIT_PATHS and drop_in.endswith(".d") else None


def _age(values: Properties) -> float:
    """Return for how many seconds the main process has run; 0 if that isn't known."""
    started = values.get("ExecMainStartTimestampMonotonic", "")
    return time.monotonic() - int(started) / 1e6 if started.isdigit() else 0.0


def _is_younger(path: str, age: float) -> bool:
    """Tell whether a file was put there within so many seconds.

    The time of its inode counts: packages give their files the date of their own making.
    """
    try:
        changed = time.time() - os.stat(path).st_ctime
    except OSError:
        return False
    # One from the future says nothing: a clock was set.
    return 0 <= changed < age - COARSE
