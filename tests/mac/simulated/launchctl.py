"""A simulated launchctl and launchd that really start what a property list says, on Linux.

Sources: launchctl(1) and launchd.plist(5), and for codes those that `launchctl.py` of the unit
tests names. Each job has a keeper, which starts its program as `UserName`, with its environment,
folder and files of output, and starts it again as `KeepAlive` says. Not modelled: sockets and other
demand, sessions, resource limits, calendars, and that a label stays busy after it was booted out.
"""

from __future__ import annotations

import json
import os
import plistlib
import pwd
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

ROOT = Path(os.environ["SIMULATED_ROOT"])
JOBS = ROOT / "launchd"
THROTTLE = 1.0
EXIT_TIMEOUT = 20


def book(label: str) -> Path:
    return JOBS / f"{label}.json"


def read(label: str) -> dict[str, t.Any]:
    found = book(label)
    return dict(json.loads(found.read_text(encoding="utf-8"))) if found.exists() else {}


def write(label: str, **facts: t.Any) -> None:
    JOBS.mkdir(exist_ok=True)
    staged = JOBS / f"{label}.new"
    staged.write_text(json.dumps({**read(label), **facts}), encoding="utf-8")
    staged.rename(book(label))


def fail(code: int, text: str) -> int:
    print(text, file=sys.stderr)
    return code


def keep(label: str, path: str) -> None:
    """Be the keeper of a job, until the program ends for good or the keeper is told to."""
    job = plistlib.loads(Path(path).read_bytes())
    entry = pwd.getpwnam(job["UserName"]) if "UserName" in job else pwd.getpwuid(0)
    outputs = [ROOT / str(job[n]).lstrip("/") for n in ("StandardOutPath", "StandardErrorPath")]
    running: list[subprocess.Popen[bytes]] = []

    def stop(*_arguments: object) -> t.NoReturn:
        for program in running:
            program.terminate()
            try:
                program.wait(job.get("ExitTimeOut", EXIT_TIMEOUT))
            except subprocess.TimeoutExpired:
                program.kill()
        sys.exit()

    signal.signal(signal.SIGTERM, stop)
    runs = 0
    while True:
        runs += 1
        program = subprocess.Popen(
            job["ProgramArguments"],
            stdin=subprocess.DEVNULL,
            stdout=outputs[0].open("ab"),
            stderr=outputs[1].open("ab"),
            cwd=job.get("WorkingDirectory", "/"),
            env={
                "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
                "XPC_SERVICE_NAME": label,
                **job.get("EnvironmentVariables", {}),
            },
            user=entry.pw_uid,
            group=entry.pw_gid,
            extra_groups=[],
            start_new_session=True,
        )
        running[:] = [program]
        write(label, pid=program.pid, runs=runs)
        code = program.wait()
        write(label, pid=0, exit=str(code))
        kept = job.get("KeepAlive", False)
        if kept is False or (isinstance(kept, dict) and code == 0):
            signal.pause()
        time.sleep(THROTTLE)


def bootstrap(domain: str, path: str) -> int:
    job = plistlib.loads(Path(path).read_bytes())
    status = os.stat(path)
    if read(job["Label"]) or domain != "system" or status.st_uid or status.st_mode & 0o022:
        return fail(5, "Bootstrap failed: 5: Input/output error")
    command = [sys.executable, __file__, "keep", job["Label"], path]
    quiet = subprocess.DEVNULL
    keeper = subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)
    write(job["Label"], keeper=keeper.pid, pid=0, runs=0)
    return 0


def bootout(target: str) -> int:
    label = target.partition("/")[2]
    found = read(label)
    if not found:
        return fail(3, "Boot-out failed: 3: No such process")
    os.kill(found["keeper"], signal.SIGTERM)
    end = time.monotonic() + EXIT_TIMEOUT
    while Path(f"/proc/{found['keeper']}/exe").exists() and time.monotonic() < end:
        time.sleep(0.05)
    book(label).unlink()
    return 0


def show(target: str) -> int:
    label = target.partition("/")[2]
    found = read(label)
    if not found:
        return fail(113, f'Could not find service "{label}" in domain for system')
    print(f"{target} = {{\n\tstate = {'running' if found['pid'] else 'spawn scheduled'}")
    print(f"\truns = {found['runs']}")
    if found["pid"]:
        print(f"\tpid = {found['pid']}")
    print(f"\tlast exit code = {found.get('exit', '(never exited)')}\n}}")
    return 0


def kill(name: str, target: str) -> int:
    found = read(target.partition("/")[2])
    if not found or not found["pid"]:
        return fail(3, "No process to signal.")
    os.kill(found["pid"], getattr(signal, name))
    return 0


def main(verb: str, *arguments: str) -> int:
    if verb == "print-disabled":
        print("\n\tdisabled services = {\n\t}")
        return 0
    verbs: dict[str, t.Callable[..., int]] = {
        "bootout": bootout,
        "bootstrap": bootstrap,
        "kickstart": lambda _target: 0,
        "kill": kill,
        "print": show,
    }
    return verbs[verb](*arguments)


if __name__ == "__main__":
    if sys.argv[1] == "keep":
        keep(*sys.argv[2:])
    sys.exit(main(*sys.argv[1:]))
