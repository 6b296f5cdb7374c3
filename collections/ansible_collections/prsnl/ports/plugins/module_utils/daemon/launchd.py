# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""launchd as the manager of services: jobs of the domain ``system``, from property lists of ours.

They run without anybody being logged in, from the start of the Mac on. launchd reads a definition
when it is bootstrapped, so a restart is ``bootout`` and ``bootstrap``, and there is nothing else
that lets it read definitions. What launchctl prints for people is the only source of a job's state:
launchctl(1) calls its form no interface, so only lines with a process, an exit and a count are
read. Not tried on a Mac.
"""

from __future__ import annotations

import contextlib
import os
import plistlib
import pwd
import re
import shlex
import time
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.daemon.backends import (
    DaemonError,
    DaemonFile,
    ServiceState,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.launchd_keys import find_faults
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import Content, read_file
from ansible_collections.prsnl.ports.plugins.module_utils.host.macos import parse_property_list
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import Runner

JOBS = "/Library/LaunchDaemons"
LAUNCHCTL = "/bin/launchctl"
# One label for each job; launchd.plist(5) wants a unique text without rules for it.
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# launchctl's exit codes: there is no such job, of ``bootout`` and of ``print``.
NOT_LOADED = (3, 113)
# The job before is still ending (EIO, EINPROGRESS, EALREADY). A wrong definition is EIO, too.
BUSY = (5, 36, 37)
# Seconds; five were measured on macOS 26, after the job's own ExitTimeOut.
SETTLES = 15.0
EXIT_TIMEOUT = 20
PAUSE = 0.5
LOG_LINES = 20
LOG_BYTES = 1 << 16
OUTPUTS = ("StandardErrorPath", "StandardOutPath")
# The same as `Launchd.bring` does, for when there is no Python of ours any more.
AGAIN = """\
n=0
{launchctl} bootout {target} 2>/dev/null
until {launchctl} bootstrap system {path}; do
    n=$((n + 1))
    [ "$n" -lt {seconds} ] || exit 1
    sleep 1
done
"""
STOP = "{launchctl} bootout {target} || [ $? -eq 3 ] || [ $? -eq 113 ]"


class Launchd:
    """The jobs of this Mac.

    :param root: the folder that all files are below; the tests' own instead of ``/``.
    :param pause: seconds between two tries.
    """

    # A disabled job can't be bootstrapped.
    enables_first = True

    def __init__(self, run: Runner, root: str = "", pause: float = PAUSE) -> None:
        self._run = run
        self._root = root
        self._pause = pause

    def look(self, unit: str, files: t.Iterable[str]) -> ServiceState:
        """What launchctl prints of the job."""
        del files
        printed = self._print(unit)
        if printed is None:
            return ServiceState(can_enable=self._is_disabled(unit))
        job = parse_job(printed)
        is_active = "pid" in job
        return ServiceState(
            is_active=is_active,
            was_active=True,
            # It was started, and it isn't there: launchd waits before it starts it again.
            has_failed=not is_active and job.get("runs", "0") != "0",
            can_enable=self._is_disabled(unit),
            result=told_exit(job),
        )

    def is_definition(self, path: str) -> bool:
        """None is read but by a restart."""
        del path
        return False

    def options_file(
        self, unit: str, options: t.Mapping[str, t.Any], header: str
    ) -> t.Optional[DaemonFile]:
        """The property list of the job. Its keys are the options, and its label is the unit."""
        del header
        if not LABEL.fullmatch(unit):
            raise DaemonError(
                f"unit is {unit}, needed is a label of launchd: letters, digits, dots, hyphens and"
                " underscores"
            )
        content = None
        if options:
            job = {"RunAtLoad": True, **options, "Label": unit}
            faults = find_faults(job)
            if faults:
                raise DaemonError(
                    f"{unit}: launchd would not take its options: {'; '.join(faults)}"
                )
            content = Content(plistlib.dumps(job), 0o644, 0, 0)
        return DaemonFile(self._job_path(unit), content)

    def read_definitions(self) -> None:
        """A restart does."""

    def bring(self, verb: str, unit: str) -> None:
        """By launchctl; a reload is a SIGHUP."""
        target = f"system/{unit}"
        if verb == "enable":
            self._launchctl("enable", target)
        elif verb == "reload":
            self._launchctl("kill", "SIGHUP", target)
        else:
            self._make_logs(unit)
            self._boot_out(unit)
            self._bootstrap(unit)
            # One that launchd starts on demand only isn't kept waiting for it.
            if "pid" not in parse_job(self._print(unit) or ""):
                self._launchctl("kickstart", target)

    def way_back(self, unit: str, verb: str, state: ServiceState) -> list[list[str]]:
        """Bootstrap the definition that is back, or end the job."""
        words = {
            "launchctl": LAUNCHCTL,
            "target": shlex.quote(f"system/{unit}"),
            "path": shlex.quote(self._job_path(unit)),
            "seconds": int(SETTLES) + self._exit_timeout(unit),
        }
        disable = [[LAUNCHCTL, "disable", f"system/{unit}"]] if state.can_enable else []
        if not state.was_active:
            return [*disable, ["/bin/sh", "-c", STOP.format(**words)]]
        if verb == "reload":
            return [[LAUNCHCTL, "kill", "SIGHUP", f"system/{unit}"]]
        return [*disable, ["/bin/sh", "-c", AGAIN.format(**words)]]

    def log(self, unit: str) -> str:
        """The ends of the files that the job writes its output to."""
        job = self._definition(unit)
        paths = dict.fromkeys(str(job[name]) for name in OUTPUTS if name in job)
        if not paths:
            return "It has neither StandardErrorPath nor StandardOutPath, so its output is lost."
        return "\n".join(f"The last lines of {path}:\n{self._tail(path)}" for path in paths)

    def _tail(self, path: str) -> str:
        try:
            with open(self._root + path, "rb") as file:
                file.seek(max(file.seek(0, os.SEEK_END) - LOG_BYTES, 0))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError as error:
            return f"({error.strerror})"
        return "\n".join(lines[-LOG_LINES:]) or "(empty)"

    # --- jobs ----------------------------------------------------------------------------------

    def _job_path(self, unit: str) -> str:
        return f"{self._root}{JOBS}/{unit}.plist"

    def _definition(self, unit: str) -> dict[str, t.Any]:
        with contextlib.suppress(OSError, ValueError):
            found = read_file(self._job_path(unit))
            if found:
                return parse_property_list(found.data)
        return {}

    def _exit_timeout(self, unit: str) -> int:
        found = self._definition(unit).get("ExitTimeOut", EXIT_TIMEOUT)
        return found if isinstance(found, int) else EXIT_TIMEOUT

    def _print(self, unit: str) -> t.Optional[str]:
        code, output, errors = self._run([LAUNCHCTL, "print", f"system/{unit}"])
        if code in NOT_LOADED:
            return None
        if code != 0:
            raise DaemonError(f"launchctl print: {errors.strip() or output.strip()}")
        return output

    def _is_disabled(self, unit: str) -> bool:
        code, output, _errors = self._run([LAUNCHCTL, "print-disabled", "system"])
        # The word was true before macOS 13.
        return code == 0 and bool(
            re.search(rf'^\s*"{re.escape(unit)}" => (disabled|true)$', output, re.MULTILINE)
        )

    def _boot_out(self, unit: str) -> None:
        code, output, errors = self._run([LAUNCHCTL, "bootout", f"system/{unit}"])
        if code in NOT_LOADED:
            return
        if code not in (0, *BUSY):
            raise DaemonError(f"launchctl bootout: {errors.strip() or output.strip()}")
        # The processes may take their time to end.
        end = time.monotonic() + self._exit_timeout(unit) + SETTLES
        while self._print(unit) is not None:
            if time.monotonic() > end:
                raise DaemonError(f"{unit} doesn't end (launchctl bootout system/{unit})")
            time.sleep(self._pause)

    def _bootstrap(self, unit: str) -> None:
        path = self._job_path(unit)
        end = time.monotonic() + SETTLES
        while True:
            code, output, errors = self._run([LAUNCHCTL, "bootstrap", "system", path])
            if code == 0:
                return
            if code not in BUSY or time.monotonic() > end:
                raise DaemonError(
                    f"launchctl bootstrap system {path}: {errors.strip() or output.strip()}"
                )
            time.sleep(self._pause)

    def _launchctl(self, *arguments: str) -> None:
        code, output, errors = self._run([LAUNCHCTL, *arguments])
        if code != 0:
            raise DaemonError(f"launchctl {arguments[0]}: {errors.strip() or output.strip()}")

    def _make_logs(self, unit: str) -> None:
        """Make the files of its output, that only its user and root can read."""
        job = self._definition(unit)
        try:
            entry = pwd.getpwnam(job["UserName"]) if "UserName" in job else pwd.getpwuid(0)
        except KeyError:
            raise DaemonError(f"{unit}: there is no user {job.get('UserName')}") from None
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        for path in {self._root + str(job[name]) for name in OUTPUTS if name in job}:
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                handle = os.open(path, flags, 0o640)
                os.fchown(handle, entry.pw_uid, entry.pw_gid)
                os.close(handle)


def parse_job(text: str) -> dict[str, str]:
    """Return what ``launchctl print`` says of a job itself, by the words before ``=``.

    What is said of its parts is indented further.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\t([a-z][a-z ]*) = (.*[^{])", line)
        if match:
            found.setdefault(match[1], match[2].strip())
    return found


def told_exit(job: t.Mapping[str, str]) -> str:
    """Return how a job ended last, for people."""
    signal = job.get("last terminating signal")
    return f"signal {signal}" if signal else f"exit code {job.get('last exit code', 'unknown')}"
