# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sockets of this process are listed, with it or without."""

from __future__ import annotations

import os
import socket
import sys
import typing as t

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import BECOME
from ansible_collections.prsnl.ports.plugins.modules import listening_ports_info
from worlds import World

Run = t.Callable[..., dict[str, t.Any]]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at this machine's own sockets")
@pytest.mark.parametrize("check", [False, True], ids=["run", "check mode"])
@pytest.mark.parametrize("processes", [True, False])
def test_an_open_socket_is_listed(run: Run, processes: bool, check: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = run(listening_ports_info.main, check=check, processes=processes)
    (found,) = [entry for entry in result["listeners"] if entry["port"] == port]
    assert (found["protocol"], found["address"]) == ("tcp", "127.0.0.1")
    assert found["pids"] == ([os.getpid()] if processes else [])
    assert result["changed"] is False


def test_it_says_what_it_may_not_see(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(obstacle=BECOME).hold(80)
    monkeypatch.setattr(listening_ports_info, "take_snapshot", lambda: world.snapshot)
    warned: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _self, text: warned.append(text))
    result = run(listening_ports_info.main)
    assert result["unseen"].endswith(BECOME)
    assert warned == [result["unseen"]]


def test_a_host_that_cannot_be_asked_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> t.NoReturn:
        raise OSError("no /proc")

    monkeypatch.setattr(listening_ports_info, "take_snapshot", fail)
    result = run(listening_ports_info.main)
    assert (result["failed"], result["msg"]) == (True, "no /proc")
