#!/usr/bin/env python3
"""A whole run that has nothing to change, against a play with one ping on the same hosts.

Both are bound by the controller, so the ratio tells what the project adds to Ansible's own cost.
Needs the lab, provisioned: `make site`. Each side runs three times in turn; medians are compared.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 3
GOAL = 5.0
PING = """
- name: Ask whether the hosts answer
  hosts: all
  gather_facts: false
  tasks:
    - name: Ask
      ansible.builtin.ping:
"""


def seconds(playbook: str) -> float:
    """The wall time of a playbook that must not change anything."""
    start = time.monotonic()
    done = subprocess.run(
        [str(ROOT / ".venv" / "bin" / "ansible-playbook"), playbook],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )
    elapsed = time.monotonic() - start
    recap = [line for line in done.stdout.splitlines() if "changed=" in line]
    if done.returncode or not recap or any("changed=0" not in line for line in recap):
        sys.exit(f"{playbook} changed or broke something; run `make site` first.\n{done.stdout}")
    return elapsed


def main() -> int:
    """Print both and their ratio; the exit code is 1 if it misses the goal."""
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as ping:
        ping.write(PING)
        ping.flush()
        pairs = [(seconds("site.yml"), seconds(ping.name)) for _ in range(ROUNDS)]
    whole, least = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = whole / least
    print("A run that has nothing to change, in all its plays:")
    print(f"  site.yml                                {whole:6.1f} s")
    print(f"  one ping                                {least:6.1f} s")
    print(f"  ratio                                   {ratio:6.1f}   (goal: at most {GOAL:.0f})")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
