#!/usr/bin/env python3
"""A question to the registry by the command `ports`, and by a play.

The command answers for the first time after a change, when it checks the registry, and again; the
play asks registry_info the same. The times and their ratio are printed, and an allocation's time.

Usage: console.py [number of services]
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from shared.plays import ROOT, play_seconds

from registry import write_registry

PLUGINS = ROOT / "collections" / "ansible_collections" / "prsnl" / "ports" / "plugins"
CONSOLE = PLUGINS / "plugin_utils" / "console"
SERVICES = 20
# Seconds for an answer.
GOAL = 0.30
RUNS = 7


def console_seconds(folder: pathlib.Path, *words: str, first: bool = False) -> float:
    """How long a command takes, from its start to its end, `first` without what it remembers."""
    if first:
        shutil.rmtree(folder / "prsnl-ports", ignore_errors=True)
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, CONSOLE, *words, "--registry", folder / "ports.yml"],
        env={**os.environ, "XDG_CACHE_HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start


def main() -> int:
    """Measures, prints, and returns 1 if the goal is missed."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else SERVICES
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        path = folder / "ports.yml"
        write_registry(path, number)
        settings = "vars_plugins_enabled = host_group_vars,prsnl.ports.registry\n"
        settings += f"[port_registry]\npath = {path}\n"
        first = min(console_seconds(folder, "who", "10000", first=True) for _ in range(RUNS))
        ours = min(console_seconds(folder, "who", "10000") for _ in range(RUNS))
        change = console_seconds(folder, "move", "service_0.http", "59000", "--reason", "x")
        other = play_seconds([{"prsnl.ports.registry_info": {"port": 10000}}], settings=settings)
    print(f"{number} services, who has a port:")
    print(f"  ports who                     {ours:6.2f} s   (goal: at most {GOAL})")
    print(f"  ports who, the first time     {first:6.2f} s   (the same)")
    print(f"  a play with registry_info     {other:6.2f} s")
    print(f"  ratio                         {ours / other:6.2f}")
    print(f"  ports move                    {change:6.2f} s")
    return 0 if max(ours, first) <= GOAL or number > SERVICES else 1


if __name__ == "__main__":
    sys.exit(main())
