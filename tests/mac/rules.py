"""Let the real pfctl read rules, and load none: it takes generated ones, refuses malformed ones."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "collections/ansible_collections/prsnl/ports/tests/unit/plugins/module_utils"
sys.path[:0] = [str(ROOT / "collections"), str(UNIT)]

import policies  # noqa: E402 - its path comes first
from ansible_collections.prsnl.ports.plugins.module_utils.firewall import pf_rules  # noqa: E402

NUMBER = 50


def takes(rules: str) -> bool:
    command = ["/sbin/pfctl", "-a", pf_rules.ANCHOR, "-n", "-f", "-"]
    done = subprocess.run(command, input=rules, capture_output=True, text=True, check=False)
    return done.returncode == 0


def main() -> int:
    faults = []
    for number in range(NUMBER):
        dice = random.Random(number)  # noqa: S311 - not for secrets
        if not takes(pf_rules.render(policies.random_policy(dice))):
            faults.append(f"policy {number} is refused")
    # pfctl takes some of what the simulation is strict about, such as lines without their end.
    taken = [name for name, rules in policies.MALFORMED.items() if takes(rules)]
    print(f"{len(taken)} of {len(policies.MALFORMED)} malformed ones are taken: {taken}")
    print("\n".join(faults) or f"{NUMBER} policies are taken")
    return bool(faults) or len(taken) > len(policies.MALFORMED) // 2


if __name__ == "__main__":
    sys.exit(main())
