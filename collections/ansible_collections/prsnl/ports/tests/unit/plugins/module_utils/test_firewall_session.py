# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module finds the SSH connection that it came by."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.firewall_session import (
    Session,
    find_session,
    parse_session,
)

COLLECTIONS = pathlib.Path(__file__).parents[7]
CONNECTION = "192.0.2.7 50022 192.0.2.1 2222"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (CONNECTION, Session("192.0.2.7", 50022, 2222)),
        ("2001:db8::7 50022 2001:db8::1 22", Session("2001:db8::7", 50022, 22)),
        ("fe80::7%eth0 50022 fe80::1%eth0 22", Session("fe80::7", 50022, 22)),
        ("", None),
        ("192.0.2.7 50022 22", None),
        ("192.0.2.7 many 192.0.2.1 22", None),
    ],
)
def test_reading_a_connection(value: str, expected: Session | None) -> None:
    assert parse_session(value) == expected


def test_the_own_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.8 1 192.0.2.1 22")
    assert find_session() == Session("192.0.2.8", 1, 22)


@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs /proc")
def test_a_variable_that_sudo_took_away_is_found_in_a_process_above() -> None:
    script = (
        "from ansible_collections.prsnl.ports.plugins.module_utils import firewall_session;"
        "print(firewall_session.find_session())"
    )
    # Two shells that stay, the second one and the program without the variable.
    done = subprocess.run(
        [
            "sh",
            "-c",
            'env -u SSH_CONNECTION sh -c \'"$0" -c "$1"; :\' "$0" "$1"; :',
            sys.executable,
            script,
        ],
        env=os.environ | {"SSH_CONNECTION": CONNECTION, "PYTHONPATH": str(COLLECTIONS)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(Session("192.0.2.7", 50022, 2222))
