"""Run a daemon as on a Mac, by the real code with a simulated launchd, and tell what became of it.

It runs in a network of its own, as root. Its argument is a folder with ``task.json``, what the role
asked of `daemon`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

HERE = Path(__file__).resolve()
ROOT = HERE.parents[3]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.prsnl.ports.plugins.module_utils.daemon import launchd  # noqa: E402
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.backends import (  # noqa: E402
    DaemonError,
    Installed,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.change import (  # noqa: E402
    Setting,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.homebrew import (  # noqa: E402
    Homebrew,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.work import (  # noqa: E402
    Tools,
    perform,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.snapshot import (  # noqa: E402
    read_sockets,
)
from ansible_collections.prsnl.ports.plugins.modules.daemon import DAEMON  # noqa: E402


class Formulae(Homebrew):
    """Homebrew, with everything installed."""

    def installed(self, names: t.Sequence[str]) -> dict[str, Installed]:
        return {name: Installed("1") for name in names}


def run(command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
    done = subprocess.run(list(command), input=stdin, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def filled(given: dict[str, t.Any], spec: dict[str, t.Any]) -> dict[str, t.Any]:
    """The arguments with their defaults, as Ansible hands them to a module."""
    found = {}
    for name, about in spec.items():
        value = given.get(name, about.get("default"))
        if isinstance(value, list) and "options" in about:
            value = [filled(entry, about["options"]) for entry in value]
        found[name] = value
    return found


class Trial:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
        program = folder / "launchctl"
        program.write_text(
            f"#!/bin/sh\nSIMULATED_ROOT={folder} exec {sys.executable}"
            f' {HERE.parent / "launchctl.py"} "$@"\n',
            encoding="utf-8",
        )
        program.chmod(0o755)
        launchd.LAUNCHCTL = str(program)
        (folder / "Library/LaunchDaemons").mkdir(parents=True)
        state = str(folder / "state")
        setting = Setting(state, f"{state}/undo", str(folder / "run"))
        self.launchd = launchd.Launchd(run, str(folder))
        self.tools = Tools(run, self.launchd, Formulae(), setting)

    def apply(self, *, is_check: bool = False, **changes: t.Any) -> dict[str, t.Any]:
        params = filled({**self.task, **changes}, DAEMON)
        try:
            result = perform(params, self.tools, is_check=is_check)
            told = {"changed": result["changed"], "actions": result["actions"]}
        except DaemonError as error:
            told = {"failed": str(error)}
        return {**told, "ports": self.ports()}

    def ports(self) -> list[int]:
        return sorted({s.port for s in read_sockets() if s.protocol == "tcp"})

    def moved(self, port: int) -> dict[str, t.Any]:
        """What the role would ask for with another port in the registry."""
        former = str(self.task["endpoints"][0]["port"])
        text = json.dumps({key: self.task[key] for key in ("endpoints", "files")})
        return dict(json.loads(text.replace(former, str(port))))

    def kill(self) -> dict[str, t.Any]:
        """Kill the server itself with no chance to clean up, and wait until it is back."""
        before = self.pids()
        os.kill(before[0], signal.SIGKILL)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            now = self.pids()
            if now and not set(now) & set(before) and self.ports():
                return {"ports": self.ports()}
            time.sleep(0.2)
        return {"failed": self.launchd.log(self.task["unit"])}

    def pids(self) -> list[int]:
        """The processes whose program is PostgreSQL's and whose arguments are this job's."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
            except (OSError, NotADirectoryError):
                continue
            if words[0].endswith("/postgres") and any(str(self.folder) in word for word in words):
                found.append(int(entry.name))
        return sorted(found)


def main(folder: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    trial = Trial(folder)
    try:
        bad = [
            {**file, "content": file["content"] + "no_such_setting = 1\n"}
            if file["path"].endswith("postgresql.conf")
            else file
            for file in trial.task["files"]
        ]
        steps = {
            "check": trial.apply(is_check=True),
            "first": trial.apply(),
            "second": trial.apply(),
            "bad": trial.apply(files=bad),
            "killed": trial.kill(),
            "moved": trial.apply(**trial.moved(15433)),
            "again": trial.apply(**trial.moved(15433)),
        }
        print(json.dumps(steps))
    finally:
        trial.launchd._boot_out(trial.task["unit"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
