"""What the development inventory makes of the registry, as rules for a Mac's packet filter."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from lab import REGISTRY, ROOT

sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.prsnl.ports.plugins.module_utils.firewall.pf_rules import render
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import (
    Policy,
    read_openings,
)
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import HostEndpoint


def test_a_mac_that_runs_everything_opens_nothing() -> None:
    """All consumers are on the Mac itself and talk over loopback."""
    done = subprocess.run(
        ["ansible", "mac", "-i", "inventories/development", "-m", "prsnl.ports.registry_info"],
        cwd=ROOT,
        env=os.environ
        | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "PORT_REGISTRY": str(REGISTRY),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    plan = json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"]["mac"]["plan"]
    assert {"frontend.dev", "postgresql.sql"} < {entry["id"] for entry in plan["endpoints"]}
    endpoints = [HostEndpoint.from_plan(entry) for entry in plan["endpoints"]]
    rules = render(Policy(read_openings(endpoints, {}), ssh_ports=()))
    # Nothing more than where nothing is planned at all, and what isn't let in is refused.
    assert rules == render(Policy((), ssh_ports=()))
    assert rules.splitlines()[-1] == "block return in quick all"
