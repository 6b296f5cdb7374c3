# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting, with a clock that doesn't; the probes are answered by a table."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils import judge, probes, verification
from ansible_collections.prsnl.ports.plugins.module_utils.listeners import (
    Holder,
    Snapshot,
    Socket,
)

PLAN = {
    "endpoints": [
        {
            "id": "web.http",
            "service": "web",
            "name": "http",
            "port": 80,
            "protocol": "tcp",
            "status": "fixed",
            "expect": "bound",
            "listen": ["0.0.0.0", "::"],
            "allowed": ["0.0.0.0/0", "::/0"],
            "owner": {"process": ["web"], "user": "web", "unit": None},
            "probe": "http",
        }
    ]
}
STARTED = (Socket("tcp", "0.0.0.0", 80, False, 0, 1), Socket("tcp", "::", 80, True, 0, 2))


class Host:
    """A host on which things happen at certain seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.starts_at = 1000.0
        self.answers_at = 1000.0
        self.process = "web"
        self.looks: list[float] = []
        self.asked: list[tuple[str, str, int]] = []
        monkeypatch.setattr(verification.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(verification.time, "sleep", self._sleep)
        monkeypatch.setattr(verification, "take_snapshot", self._snapshot)
        monkeypatch.setattr(verification, "run_probe", self._probe)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _snapshot(self) -> Snapshot:
        self.looks.append(self.now - 1000)
        sockets = STARTED if self.now >= self.starts_at else ()
        holder = Holder(7, self.process, None, "web", None, 0)
        return Snapshot(sockets, {1: (holder,), 2: (holder,)}, None, True)

    def _probe(self, probe: str, address: str, port: int, timeout: float) -> None:
        self.asked.append((probe, address, port))
        if self.now < self.answers_at:
            raise probes.ProbeError("no answer")

    def verify(self, timeout: float = 30) -> judge.Verification:
        (result,) = verification.verify_host(
            judge.read_plan(PLAN), timeout, registry="registry/ports.yml"
        )
        return result


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch)


def test_a_host_that_equals_its_plan_is_looked_at_once(host: Host) -> None:
    assert host.verify().ok
    assert host.looks == [0]


def test_probes_ask_the_loopback_address_of_each_family(host: Host) -> None:
    host.verify()
    assert sorted(host.asked) == [("http", "127.0.0.1", 80), ("http", "::1", 80)]


def test_a_daemon_that_starts_late_is_waited_for_with_growing_pauses(host: Host) -> None:
    host.starts_at = 1010
    assert host.verify().ok
    assert host.looks == [0, 0.25, 0.75, 1.75, 3.75, 7.75, 11.75]


def test_a_daemon_that_answers_late_is_waited_for(host: Host) -> None:
    host.answers_at = 1005
    assert host.verify().ok
    assert len(host.looks) == 6


def test_waiting_ends(host: Host) -> None:
    host.starts_at = 2000
    result = host.verify(timeout=10)
    assert result.verdict == "not bound"
    assert host.now == 1010


def test_a_silent_daemon_is_named(host: Host) -> None:
    host.answers_at = 2000
    result = host.verify(timeout=1)
    assert result.verdict == "no answer"
    assert result.messages == [
        "127.0.0.1:80 (http): no answer.",
        "[::1]:80 (http): no answer.",
    ]


def test_a_stranger_is_not_waited_for(host: Host) -> None:
    host.process = "sh"
    assert host.verify().verdict == "wrong owner"
    assert host.looks == [0]
    assert host.asked == []


@pytest.mark.parametrize(
    "change",
    [{"protocol": "udp"}, {"probe": "none"}, {"status": "alternative", "expect": "optional"}],
)
def test_what_has_no_probe_is_not_asked(
    host: Host, monkeypatch: pytest.MonkeyPatch, change: dict[str, t.Any]
) -> None:
    monkeypatch.setitem(PLAN, "endpoints", [PLAN["endpoints"][0] | change])
    host.verify(timeout=0)
    assert host.asked == []


def test_the_report_has_a_line_for_each_difference(host: Host) -> None:
    host.answers_at = 2000
    assert verification.fault_report("app", [host.verify(timeout=0)]) == (
        "app: web.http (80/tcp): 127.0.0.1:80 (http): no answer.\n"
        "app: web.http (80/tcp): [::1]:80 (http): no answer."
    )
    host.answers_at = 0
    assert verification.fault_report("app", [host.verify(timeout=0)]) == ""
