# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people are told to stop on a Mac."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.plan.macs import how_to_stop
from ansible_collections.prsnl.ports.plugins.module_utils.plan.owners import what_to_stop
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import (
    Holder,
    Snapshot,
    Socket,
)

CELLAR = "/opt/homebrew/Cellar/postgresql@14/14.20/bin/postgres"


def holder(process: str, **more: t.Any) -> Holder:
    facts = {"executable": None, "user": "ada", "unit": None, "since": 0.0, "uid": 501, **more}
    return Holder(7, process, **facts)


@pytest.mark.parametrize(
    ("who", "port", "told"),
    [
        (
            holder("ControlCenter"),
            5000,
            "AirPlay Receiver (System Settings, General, AirDrop & Handoff)",
        ),
        (holder("ControlCenter"), 5001, None),
        (holder("flask"), 5000, None),
        (
            holder("postgres", label="homebrew.mxcl.postgresql@14"),
            5432,
            "Homebrew's postgresql@14 (brew services stop postgresql@14, as ada)",
        ),
        (
            holder("nginx", label="homebrew.mxcl.nginx", user="root", uid=0),
            8080,
            "Homebrew's nginx (sudo launchctl bootout system/homebrew.mxcl.nginx)",
        ),
        (
            holder("postgres", executable=CELLAR),
            5432,
            "Homebrew's postgresql@14 (brew services info postgresql@14 tells whether that started"
            " it)",
        ),
        (holder("postgres", executable=CELLAR, label="prsnl.postgresql"), 5432, None),
        (holder("postgres", executable="/usr/local/pgsql/bin/postgres"), 5432, None),
    ],
)
def test_what_comes_with_macos_or_homebrew(who: Holder, port: int, told: str | None) -> None:
    assert how_to_stop(who, port) == told
    sock = Socket("tcp", "127.0.0.1", port, False, 501, 1)
    snapshot = Snapshot((sock,), {1: (who,)}, None, has_ipv6=True)
    assert what_to_stop([sock], snapshot) == (told or "it")


def test_nothing_is_ever_told_to_run_brew_as_root() -> None:
    for user, uid in (("root", 0), ("ada", 501)):
        told = how_to_stop(holder("x", label="homebrew.mxcl.x", user=user, uid=uid), 1)
        assert told
        assert "sudo brew" not in told
