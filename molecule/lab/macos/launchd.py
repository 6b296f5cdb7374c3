"""A simulated launchd: it really starts what property lists say, and answers launchctl.

Follows launchd.plist(5) and launchctl(1) of macOS 15; exit codes 3, 5, 36, 113, 119 and the label
that stays busy for a while after ``bootout``, as others report them of macOS 14 to 26. The keys are
those of the manual (`launchd_keys`); the real launchd ignores unknown ones, this one refuses them,
so that a misspelt one is found. At boot it loads /etc/pf.conf, as com.apple.pfctl does, and then
the jobs in /Library/LaunchDaemons.
Modelled keys: Label, ProgramArguments, Program, UserName, GroupName, EnvironmentVariables,
WorkingDirectory, RunAtLoad, KeepAlive (true, false, SuccessfulExit), ThrottleInterval, ExitTimeOut,
StandardOutPath, StandardErrorPath, Umask, Disabled. Not modelled: sockets and all other demand,
calendars, sessions, resource limits, Nice, sandboxes, transactions, process types, and the domains
``gui`` and ``user`` beyond a name for what `brew services` starts.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import plistlib
import pwd
import signal
import socket
import struct
import subprocess
import threading
import time
import typing as t
from pathlib import Path
from xml.parsers.expat import ExpatError

from launchd_keys import find_faults

SOCKET = "/run/simulated/launchd.sock"
DAEMONS = Path("/Library/LaunchDaemons")
DISABLED = Path("/var/db/com.apple.xpc.launchd/disabled.json")
THROTTLE, EXIT_TIMEOUT = 10, 20
# Seconds: how long ``bootout`` waits itself, and how long a label stays busy after its end.
PATIENCE, BUSY = 1.0, 1.0
Answer = tuple[int, str]
IO_ERROR = "Input/output error"


class Job:
    """One job, and the thread that keeps it."""

    def __init__(self, domain: str, path: str, about: dict[str, t.Any]) -> None:
        self.domain, self.path, self.about = domain, path, about
        self.program: subprocess.Popen[bytes] | None = None
        self.runs = 0
        self.exit = "(never exited)"
        self.signal = ""
        self.error = ""
        self.gone = 0.0
        self.wake = threading.Event()
        self.ending = threading.Event()
        self.demanded = bool(about.get("RunAtLoad")) or about.get("KeepAlive") is True
        self.thread = threading.Thread(target=self.keep, daemon=True)
        self.thread.start()

    @property
    def pid(self) -> int:
        return self.program.pid if self.program and self.program.returncode is None else 0

    def keep(self) -> None:
        while not self.ending.is_set():
            if not self.demanded:
                self.wake.wait()
                self.wake.clear()
                continue
            self.demanded = False
            begun = time.monotonic()
            code = self.run()
            if self.ending.is_set():
                break
            kept = self.about.get("KeepAlive", False)
            if isinstance(kept, dict):
                wanted = kept.get("SuccessfulExit")
                kept = wanted is not None and (code == 0) == wanted
            if kept:
                throttle = self.about.get("ThrottleInterval", THROTTLE)
                self.ending.wait(max(begun + throttle - time.monotonic(), 0))
                self.demanded = True
        self.gone = time.monotonic()

    def run(self) -> int:
        self.runs += 1
        try:
            self.program = self.start()
        except (OSError, KeyError, subprocess.SubprocessError) as error:
            self.exit, self.error = "78: EX_CONFIG", str(error)
            return 78
        if self.ending.is_set():
            self.program.terminate()
        code = self.program.wait()
        # What a job leaves behind is ended with it.
        if not self.about.get("AbandonProcessGroup"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.program.pid, signal.SIGKILL)
        self.exit, self.signal = (str(code), "") if code >= 0 else ("0", str(-code))
        return code

    def start(self) -> subprocess.Popen[bytes]:
        about = self.about
        entry = pwd.getpwnam(about["UserName"]) if "UserName" in about else pwd.getpwuid(0)
        group = grp.getgrnam(about["GroupName"]).gr_gid if "GroupName" in about else entry.pw_gid
        words = about.get("ProgramArguments") or [about["Program"]]

        def opened(name: str) -> int:
            path = about.get(name)
            if path is None:
                return subprocess.DEVNULL
            missing = not os.path.exists(path)
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            if missing:
                os.fchown(handle, entry.pw_uid, group)
            return handle

        output, errors = opened("StandardOutPath"), opened("StandardErrorPath")
        try:
            return subprocess.Popen(
                words,
                executable=about.get("Program", words[0]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                cwd=about.get("WorkingDirectory", "/"),
                umask=about.get("Umask", 0o022),
                env={
                    "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
                    "HOME": entry.pw_dir,
                    "USER": entry.pw_name,
                    "LOGNAME": entry.pw_name,
                    "XPC_SERVICE_NAME": about["Label"],
                    **about.get("EnvironmentVariables", {}),
                },
                user=entry.pw_uid,
                group=group,
                extra_groups=[],
                start_new_session=True,
            )
        finally:
            for handle in (output, errors):
                if handle >= 0:
                    os.close(handle)

    def end(self) -> None:
        """Ask the job to end, and later make it: in a thread of its own."""
        self.ending.set()
        self.wake.set()
        threading.Thread(target=self.insist, daemon=True).start()

    def insist(self) -> None:
        program = self.program
        if program is None or not self.pid:
            return
        with contextlib.suppress(ProcessLookupError):
            program.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(self.about.get("ExitTimeOut", EXIT_TIMEOUT))
        if program.returncode is None:
            program.kill()

    def told(self) -> str:
        state = "running" if self.pid else "not running" if not self.runs else "spawn scheduled"
        lines = [
            f"{self.domain}/{self.about['Label']} = {{",
            f"\tactive count = {int(self.pid > 0)}",
        ]
        lines += [f"\tpath = {self.path}", "\ttype = LaunchDaemon", f"\tstate = {state}", ""]
        words = self.about.get("ProgramArguments") or [self.about["Program"]]
        lines += [
            f"\tprogram = {words[0]}",
            "\targuments = {",
            *(f"\t\t{w}" for w in words),
            "\t}",
            "",
        ]
        lines += [f"\truns = {self.runs}"]
        lines += [f"\tpid = {self.pid}"] if self.pid else []
        lines += [f"\tlast exit code = {self.exit}"]
        lines += [f"\tlast terminating signal = {self.signal}"] if self.signal else []
        return "\n".join([*lines, "}"]) + "\n"


class Launchd:
    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.lock = threading.Lock()

    def boot(self) -> None:
        subprocess.run(["/sbin/pfctl", "-f", "/etc/pf.conf"], capture_output=True, check=False)
        for path in sorted(DAEMONS.glob("*.plist")):
            code, text = self.bootstrap("system", str(path))
            if code:
                print(f"{path}: {text}", flush=True)

    def answer(self, uid: int, words: list[str]) -> Answer:
        verb, *arguments = words
        verbs: dict[str, t.Callable[..., Answer]] = {
            "bootstrap": self.bootstrap,
            "bootout": self.bootout,
            "kickstart": self.kickstart,
            "kill": self.kill,
            "enable": self.enable,
            "disable": self.disable,
            "print": self.print,
            "print-disabled": self.print_disabled,
        }
        if verb not in verbs:
            return 64, f"Unrecognized subcommand: {verb}"
        target = next((word for word in arguments if "/" in word or word == "system"), "")
        if uid and not verb.startswith("print") and target.startswith("system"):
            return 1, f"Could not {verb}: 1: Operation not permitted"
        try:
            return verbs[verb](*arguments)
        except TypeError:
            return 64, f"Usage: launchctl {verb} ..."

    # --- verbs -----------------------------------------------------------------------------------

    def bootstrap(self, domain: str, path: str) -> Answer:
        failed = 5, f"Bootstrap failed: 5: {IO_ERROR}"
        try:
            about = plistlib.loads(Path(path).read_bytes())
            status = os.stat(path)
        except (OSError, ValueError, ExpatError, LookupError, AttributeError, TypeError):
            return failed
        label = str(about.get("Label", ""))
        if domain == "system" and (status.st_uid or status.st_gid or status.st_mode & 0o022):
            return 5, f"{path}: Path had bad ownership/permissions\nBootstrap failed: 5: {IO_ERROR}"
        faults = find_faults(about)
        if not label or faults:
            return 5, f"{path}: {'; '.join(faults)}\nBootstrap failed: 5: {IO_ERROR}"
        if self.disabled().get(label):
            return 119, "Bootstrap failed: 119: Service is disabled"
        with self.lock:
            found = self.jobs.get(label)
            if found and not (found.ending.is_set() and self.is_over(found)):
                return (
                    (36, "Bootstrap failed: 36: Operation now in progress")
                    if (found.ending.is_set())
                    else failed
                )
            self.jobs[label] = Job(domain, path, about)
        return 0, ""

    @staticmethod
    def is_over(job: Job) -> bool:
        return bool(job.gone) and time.monotonic() > job.gone + BUSY

    def find(self, target: str) -> Job | None:
        found = self.jobs.get(target.rpartition("/")[2])
        if found is None or (found.ending.is_set() and found.gone):
            return None
        return found

    def bootout(self, target: str) -> Answer:
        job = self.find(target)
        if job is None:
            return 3, "Boot-out failed: 3: No such process"
        job.end()
        job.thread.join(PATIENCE)
        if job.thread.is_alive():
            return 36, "Boot-out failed: 36: Operation now in progress"
        return 0, ""

    def kickstart(self, *arguments: str) -> Answer:
        job = self.find(arguments[-1])
        if job is None:
            return 113, f'Could not find service "{arguments[-1]}" in domain for system'
        if "-k" in arguments and job.pid:
            os.kill(job.pid, signal.SIGTERM)
        job.demanded = True
        job.wake.set()
        return 0, ""

    def kill(self, name: str, target: str) -> Answer:
        job = self.find(target)
        if job is None or not job.pid:
            return 3, "No process to signal."
        os.kill(
            job.pid,
            int(name) if name.isdigit() else getattr(signal, f"SIG{name.removeprefix('SIG')}"),
        )
        return 0, ""

    def disabled(self) -> dict[str, bool]:
        return dict(json.loads(DISABLED.read_text())) if DISABLED.exists() else {}

    def enable(self, target: str) -> Answer:
        return self.set_disabled(target, is_disabled=False)

    def disable(self, target: str) -> Answer:
        return self.set_disabled(target, is_disabled=True)

    def set_disabled(self, target: str, *, is_disabled: bool) -> Answer:
        DISABLED.parent.mkdir(parents=True, exist_ok=True)
        found = {**self.disabled(), target.rpartition("/")[2]: is_disabled}
        DISABLED.write_text(json.dumps(found))
        return 0, ""

    def print_disabled(self, _domain: str) -> Answer:
        lines = [
            f'\t\t"{label}" => {"disabled" if is_disabled else "enabled"}'
            for label, is_disabled in self.disabled().items()
        ]
        return 0, "\n".join(["", "\tdisabled services = {", *lines, "\t}", ""])

    def print(self, target: str) -> Answer:
        if target == "system":
            lines = [
                f"\t\t{job.pid:8} {'-':>6} \t{label}"
                for label, job in self.jobs.items()
                if self.find(label)
            ]
            return 0, "\n".join(
                ["system = {", "\ttype = system", "\tservices = {", *lines, "\t}", "}", ""]
            )
        job = self.find(target)
        if job is None:
            label = target.rpartition("/")[2]
            return 113, f'Bad request.\nCould not find service "{label}" in domain for system'
        return 0, job.told()

    def end(self) -> None:
        """Shut down: all jobs end."""
        for job in self.jobs.values():
            job.end()
        for job in self.jobs.values():
            job.thread.join(EXIT_TIMEOUT)


def serve(launchd: Launchd) -> None:
    os.makedirs(os.path.dirname(SOCKET), exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(SOCKET)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(SOCKET)
    # Everybody may ask; who it is, the kernel tells.
    os.chmod(SOCKET, 0o666)  # noqa: S103
    listener.listen()

    def talk(connection: socket.socket) -> None:
        with connection:
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            _pid, uid, _gid = struct.unpack("3i", credentials)
            words = json.loads(connection.makefile().readline())
            connection.sendall(json.dumps(launchd.answer(uid, words)).encode())

    while True:
        connection, _address = listener.accept()
        threading.Thread(target=talk, args=(connection,), daemon=True).start()


def main() -> None:
    launchd = Launchd()

    def stop(*_arguments: object) -> t.NoReturn:
        launchd.end()
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=launchd.boot, daemon=True).start()
    serve(launchd)


if __name__ == "__main__":
    main()
