"""How many remote executions a run costs that has nothing to change, for each service on each host.

Needs the lab, provisioned: `make site`. The goal is 3 on average.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GOAL = 3.0


def main() -> int:
    """Print the counts; the exit code is 1 if the run changed something or missed the goal."""
    settings = {
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "benchmarks" / "callback"),
        "ANSIBLE_CALLBACKS_ENABLED": "executions",
    }
    done = subprocess.run(
        [str(ROOT / ".venv" / "bin" / "ansible-playbook"), "site.yml"],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        print("Skipped: site.yml doesn't converge here. Run `make site` first.")
        return 0
    recap = done.stdout.partition("PLAY RECAP")[2]
    rows = [line.split()[1:] for line in recap.splitlines() if line.startswith("EXECUTIONS ")]
    for host, role, count in rows:
        print(f"{host:10} {role:30} {int(count):3}")
    services = [int(count) for _, role, count in rows if role != "-" and "prsnl.ports" not in role]
    average = sum(services) / len(services)
    print(f"{average:.2f} remote executions for each service and host (goal {GOAL:.0f})")
    is_idle = recap.count("changed=0") == len({host for host, _, _ in rows})
    return 0 if is_idle and average <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
