# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is called free can be had, and nothing else can: in 500 random worlds."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

# Most of their time the kernel waits for itself, so several run side by side.
PROCESSES, WORLDS = 5, 100


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces of the network")
@pytest.mark.skipif(
    not all(map(shutil.which, ("ip", "nft", "nsenter"))), reason="needs ip, nft and nsenter"
)
def test_500_random_worlds_are_as_we_say() -> None:
    """Seeded by the clock: a failure prints the seed with which to run truth.py again."""
    seed = time.time_ns() % 1_000_000
    running = [
        subprocess.Popen(
            [sys.executable, str(pathlib.Path(__file__).with_name("truth.py")), *words],
            env=os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parents[8])},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(PROCESSES)
        if (words := [str(WORLDS), str(seed + index * WORLDS)])
    ]
    compared = free = 0
    for process in running:
        output, _none = process.communicate(timeout=300)
        assert process.returncode == 0, output
        *differs, last = output.splitlines()
        assert differs == []
        compared, free = compared + int(last.split()[0]), free + int(last.split()[1])
    assert compared == PROCESSES * WORLDS * 4
    # Both kinds are there.
    assert compared * 0.3 < free < compared * 0.9
