"""Let the real launchd run a job of ours: bootstrap, change, reload, kill, and away with it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import typing as t
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "collections"))

from ansible_collections.prsnl.ports.plugins.module_utils.daemon.launchd import (
    LAUNCHCTL,
    Launchd,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import write_file

LABEL = "prsnl.trial"
OPTIONS = {
    "ProgramArguments": ["/bin/sh", "-c", "echo started; trap : HUP; while :; do sleep 1; done"],
    "UserName": "nobody",
    "KeepAlive": True,
    "StandardErrorPath": "/var/log/prsnl/trial.log",
    "StandardOutPath": "/var/log/prsnl/trial.log",
}


def run(command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
    done = subprocess.run(list(command), input=stdin, capture_output=True, text=True, check=False)
    print("$", " ".join(command), "->", done.returncode)
    return done.returncode, done.stdout, done.stderr


def wait(launchd: Launchd) -> None:
    for _number in range(60):
        if launchd.look(LABEL, []).is_active:
            return
        time.sleep(0.5)
    raise SystemExit(f"{LABEL} doesn't run: {launchd.log(LABEL)}")


def main() -> None:
    launchd = Launchd(run)
    path = ""
    try:
        for nice in (1, 2):
            file = launchd.options_file(LABEL, {**OPTIONS, "Nice": nice}, "")
            if file is None or file.wanted is None:
                raise SystemExit("there is no definition")
            path = file.path
            write_file(path, file.wanted)
            subprocess.run(["/usr/bin/plutil", "-lint", path], check=True)
            launchd.bring("start" if nice == 1 else "restart", LABEL)
            wait(launchd)
        launchd.bring("reload", LABEL)
        run([LAUNCHCTL, "kill", "SIGKILL", f"system/{LABEL}"])
        time.sleep(1)
        wait(launchd)
        print(launchd.log(LABEL))
    finally:
        run([LAUNCHCTL, "bootout", f"system/{LABEL}"])
        if path:
            os.unlink(path)


if __name__ == "__main__":
    main()
