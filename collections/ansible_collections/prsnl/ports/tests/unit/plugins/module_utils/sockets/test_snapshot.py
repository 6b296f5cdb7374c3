# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of sockets, and on which systems."""

from __future__ import annotations

import sys

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.sockets import snapshot
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Container, Holder
from worlds import World


def test_other_systems_are_refused_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "freebsd14")
    with pytest.raises(OSError, match=r"of Linux and macOS can be read, those of freebsd14 can't"):
        snapshot.take_snapshot()
    with pytest.raises(OSError, match=r"freebsd14"):
        snapshot.read_sockets()


def test_a_socket_is_described_by_the_process_that_started_first() -> None:
    master = Holder(900, "nginx", "/usr/sbin/nginx", "root", "nginx.service", 1000)
    worker = Holder(12, "nginx", "/usr/sbin/nginx", "www-data", "nginx.service", 2000)
    world = World().hold(80, worker, master, on="::", v6only=True)
    assert snapshot.describe(world.snapshot) == [
        {
            "protocol": "tcp",
            "family": "ipv6",
            "address": "::",
            "device": None,
            "port": 80,
            "v6only": True,
            "pid": 900,
            "pids": [12, 900],
            "process": "nginx",
            "executable": "/usr/sbin/nginx",
            "user": "root",
            "since": "1970-01-01T00:16:40Z",
            "unit": "nginx.service",
            "label": None,
            "container": None,
            "engine": None,
        }
    ]


def test_a_socket_without_a_process_is_told_of_its_container() -> None:
    world = World().hold(80, container=Container("docker", "web"))
    (row,) = snapshot.describe(world.snapshot)
    assert (row["pid"], row["pids"], row["container"], row["engine"]) == (None, [], "web", "docker")
    assert row["process"] is row["user"] is row["since"] is None


def test_rows_are_sorted_by_port() -> None:
    world = World().hold(443).hold(80, on="::").hold(80).hold(80, protocol="udp")
    rows = [
        (row["port"], row["protocol"], row["address"]) for row in snapshot.describe(world.snapshot)
    ]
    assert rows == [
        (80, "tcp", "0.0.0.0"),
        (80, "tcp", "::"),
        (80, "udp", "0.0.0.0"),
        (443, "tcp", "0.0.0.0"),
    ]
