#!/usr/bin/env python3
"""The page of a handoff of 50 simulated hosts with 600 endpoints: its time and its size.

Once as a site is, with hosts that serve the same, and once with 600 different services. The goals
are 5 seconds and 2 MB.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COLLECTION = ROOT / "collections" / "ansible_collections" / "prsnl" / "ports"
GOAL_SECONDS = 5.0
GOAL_BYTES = 2_000_000
sys.path[:0] = [
    str(ROOT / "collections"),
    str(COLLECTION / "tests" / "unit" / "plugins" / "plugin_utils" / "handoff"),
]


def main() -> int:
    """Print the figures; the exit code is 1 if a goal was missed."""
    import test_page as pages  # noqa: PLC0415 - its place is known now
    from simulated import large, scattered  # noqa: PLC0415

    missed = False
    for name, make in (("a site as they are", large), ("600 services", scattered)):
        evidence = make().evidence()
        start, used = time.perf_counter(), time.process_time()
        text = pages.page(evidence, evidence)
        seconds, busy = time.perf_counter() - start, time.process_time() - used
        size = len(text.encode())
        print(
            f"{name}: {len(evidence.hosts)} hosts, {size / 1e6:.2f} MB (goal 2),"
            f" {seconds:.1f} s, of them {busy:.1f} on the processor (goal {GOAL_SECONDS:.0f})"
        )
        missed |= size > GOAL_BYTES or busy > GOAL_SECONDS
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
