#!/usr/bin/env python3
"""What a run costs the controller for each host, on 10 and on 200 of them.

The hosts are simulated: their modules are answered on the controller, as by hosts that have nothing
to change. Each has node exporter, the exporter of its ports and cAdvisor; one has Prometheus, which
scrapes all. Processor seconds are compared, because that is what a fleet makes scarce.

Usage: hosts.py [few] [many]
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FEW, MANY = 10, 200
GOAL = 1.3
TAGS = "firewall,node_exporter,exporter,cadvisor,prometheus"


def inventory(number: int) -> dict[str, object]:
    """So many hosts, in the groups of the registry."""
    names = [f"host{index}" for index in range(number)]
    addresses = {
        name: {"port_addresses": [f"10.{index >> 8}.{index & 255}.1"]}
        for index, name in enumerate(names)
    }
    groups = {
        "application": names,
        "backend": names[1:2],
        "cache": names[2:3],
        "containers": names,
        "database": names[2:3],
        "metrics": names[:1],
    }
    children = {name: {"hosts": dict.fromkeys(hosts)} for name, hosts in groups.items()}
    variables = {
        "ansible_connection": "local",
        "cadvisor_checksums": {"arm64": "sha256:" + "0" * 64},
        "port_address_families": ["ipv4"],
        "port_environment": "production",
        "port_system": "linux",
    }
    return {"all": {"hosts": addresses, "children": children, "vars": variables}}


def cpu_seconds(number: int) -> float:
    """Processor time of a whole run on so many hosts."""
    with tempfile.TemporaryDirectory() as folder:
        hosts = Path(folder) / "hosts.yml"
        hosts.write_text(json.dumps(inventory(number)), encoding="utf-8")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [ROOT / ".venv" / "bin" / "ansible-playbook", "site.yml", "-i", hosts, "--tags", TAGS],
            cwd=ROOT,
            env=os.environ
            | {
                "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "benchmarks" / "callback"),
                "ANSIBLE_CALLBACKS_ENABLED": "prsnl.ports.port_report,answered",
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"Not as expected:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Print both and their ratio; the exit code is 1 if it misses the goal."""
    few, many = (int(word) for word in sys.argv[1:3]) if len(sys.argv) > 2 else (FEW, MANY)  # noqa: PLR2004
    start = cpu_seconds(1)
    each = [(cpu_seconds(number) - start) / (number - 1) for number in (few, many)]
    ratio = each[1] / each[0]
    print("Processor seconds of the controller for each further host:")
    print(f"  of {few:4} hosts                           {each[0]:6.2f}")
    print(f"  of {many:4} hosts                           {each[1]:6.2f}")
    print(f"  ratio                                   {ratio:6.2f}   (goal: at most {GOAL})")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
