# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table."""

from __future__ import annotations

import re
import types
import typing as t

import pytest
from ansible import constants as C  # noqa: N812
from ansible_collections.prsnl.ports.plugins.callback import port_report
from hypothesis import given
from hypothesis import strategies as st

GOOD = {
    "id": "nginx.http",
    "service": "nginx",
    "endpoint": "http",
    "port": 80,
    "protocol": "tcp",
    "listen": ["0.0.0.0"],
    "address": "0.0.0.0:80",
    "registered": "0.0.0.0:80",
    "configured": "",
    "live": "0.0.0.0:80",
    "owner": "nginx (root)",
    "bound_by": "nginx (root, www-data)",
    "verdict": "ok",
    "ok": True,
    "messages": [],
}
BAD = GOOD | {
    "id": "dns.udp",
    "service": "dns",
    "endpoint": "udp",
    "protocol": "udp",
    "address": "0.0.0.0:53",
    "registered": "0.0.0.0:53",
    "configured": "127.0.0.1:53",
    "live": "",
    "bound_by": "",
    "verdict": "not bound",
    "ok": False,
    "messages": ["nothing listens on 0.0.0.0:53."],
}


class Screen:
    """A display that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str | None]] = []

    def banner(self, text: str) -> None:
        self.lines.append((text, None))

    def display(self, text: str, color: str | None = None) -> None:
        self.lines.append((text, color))


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def callback(screen: Screen) -> t.Any:
    plugin = port_report.CallbackModule()
    plugin._display = screen
    return plugin


def result(
    rows: t.Any,
    *,
    host: str = "app",
    action: str = "prsnl.ports.port_verify",
    loop: t.Any = None,
    check_mode: bool = False,
    **more: t.Any,
) -> t.Any:
    found = {"results": rows, "faults": [], "unregistered": [], "configuration": []} | more
    return types.SimpleNamespace(
        host=types.SimpleNamespace(get_name=lambda: host),
        task=types.SimpleNamespace(action=action, loop=loop, check_mode=check_mode),
        result=found if rows is not None else {"msg": "no such module"},
    )


def test_good_rows_are_green_and_bad_ones_red_and_explained(
    callback: t.Any, screen: Screen
) -> None:
    callback.v2_runner_on_failed(result([GOOD, BAD]))
    callback.v2_playbook_on_stats(None)
    assert screen.lines == [
        ("PORTS OF app: 1 of 2 as planned", None),
        ("SERVICE  ENDPOINT  ADDRESS:PORT    OWNER         BOUND BY                VERDICT", None),
        (
            "nginx    http      0.0.0.0:80      nginx (root)  nginx (root, www-data)  ok",
            C.COLOR_OK,
        ),
        (
            "dns      udp       0.0.0.0:53/udp  nginx (root)  -                       not bound",
            C.COLOR_ERROR,
        ),
        ("dns.udp: nothing listens on 0.0.0.0:53.", C.COLOR_ERROR),
    ]


def test_the_last_result_of_each_host_counts(callback: t.Any, screen: Screen) -> None:
    callback.v2_runner_on_failed(result([BAD]))
    callback.v2_runner_on_ok(result([GOOD], host="data"))
    callback.v2_runner_on_ok(result([GOOD]))
    callback.v2_playbook_on_stats(None)
    assert [line for line, _color in screen.lines if line.startswith("PORTS")] == [
        "PORTS OF app: 1 of 1 as planned",
        "PORTS OF data: 1 of 1 as planned",
    ]


def test_the_next_playbook_of_a_command_starts_empty(callback: t.Any, screen: Screen) -> None:
    callback.v2_runner_on_ok(result([GOOD]))
    callback.v2_playbook_on_stats(None)
    screen.lines.clear()
    callback.v2_playbook_on_stats(None)
    assert screen.lines == []


def test_check_mode_is_told(callback: t.Any, screen: Screen) -> None:
    callback.v2_runner_on_ok(result([BAD], check_mode=True))
    callback.v2_playbook_on_stats(None)
    assert screen.lines[0][0] == "PORTS OF app: 0 of 1 as planned (check mode)"


STRANGER = {
    "port": 8123,
    "protocol": "udp",
    "address": "0.0.0.0:8123",
    "held_by": "node (ada)",
    "message": "8123/udp is not registered.",
}


def test_strangers_are_told_below_the_table(callback: t.Any, screen: Screen) -> None:
    callback.v2_runner_on_ok(result([GOOD], unregistered=[STRANGER], configuration=["Odd."]))
    callback.v2_playbook_on_stats(None)
    assert screen.lines[0] == ("PORTS OF app: 1 of 1 as planned, 1 not registered", None)
    assert screen.lines[3:] == [
        ("Odd.", C.COLOR_ERROR),
        ("8123/udp is not registered.", C.COLOR_WARN),
    ]


def test_drift_is_shown_side_by_side(callback: t.Any, screen: Screen) -> None:
    callback.v2_runner_on_ok(result([GOOD, BAD], unregistered=[STRANGER], view="drift"))
    callback.v2_playbook_on_stats(None)
    assert [re.split(" {2,}", line) for line, _color in screen.lines[1:5]] == [
        ["SERVICE", "ENDPOINT", "REGISTRY", "CONFIGURATION", "LIVE", "VERDICT"],
        ["nginx", "http", "0.0.0.0:80", "-", "0.0.0.0:80", "ok"],
        ["dns", "udp", "0.0.0.0:53/udp", "127.0.0.1:53", "-", "not bound"],
        ["-", "-", "-", "-", "0.0.0.0:8123/udp node (ada)", "not registered"],
    ]


def test_a_host_without_endpoints_may_have_strangers(callback: t.Any, screen: Screen) -> None:
    callback.v2_runner_on_ok(result([], unregistered=[STRANGER]))
    callback.v2_playbook_on_stats(None)
    assert screen.lines[0] == ("PORTS OF app: nothing is planned, 1 not registered", None)


@pytest.mark.parametrize(
    "other",
    [
        result([GOOD], action="prsnl.ports.port_check"),
        result([{"results": [GOOD]}], loop=[1]),
        result(None),
    ],
    ids=["another module", "a loop", "no result"],
)
def test_what_is_no_verification_prints_nothing(
    callback: t.Any, screen: Screen, other: t.Any
) -> None:
    callback.v2_runner_on_ok(other)
    callback.v2_runner_on_failed(other)
    callback.v2_playbook_on_stats(None)
    assert screen.lines == []


def conflict(*messages: str, action: str = "prsnl.ports.port_check") -> t.Any:
    found = result([], action=action)
    found.result["conflicts"] = list(messages)
    return found


def test_conflicts_are_told_at_the_end(callback: t.Any, screen: Screen) -> None:
    callback.v2_runner_on_ok(conflict("app: 80/tcp is held.", "app: 443/tcp is held."))
    callback.v2_playbook_on_stats(None)
    assert screen.lines == [
        ("CONFLICTS ON app: 2", None),
        ("app: 80/tcp is held.", C.COLOR_ERROR),
        ("app: 443/tcp is held.", C.COLOR_ERROR),
    ]


def test_a_conflict_that_is_gone_is_not_told(callback: t.Any, screen: Screen) -> None:
    callback.v2_runner_on_failed(conflict("app: 80/tcp is held."))
    callback.v2_runner_on_ok(conflict())
    callback.v2_playbook_on_stats(None)
    assert screen.lines == []


def test_long_cells_are_cut_but_not_the_verdict() -> None:
    row = ["service" * 3, "http", "[::]:80, " * 9, "o" * 50, "b" * 50, "not expected, not bound"]
    heading, line = port_report.table([port_report.HEADINGS, row])
    assert len(line) == 120
    assert "…" in line
    assert line.endswith("not expected, not bound")
    assert heading.index("VERDICT") == line.index("not expected")


@given(
    st.lists(
        st.tuples(*[st.text("abc ", max_size=90)] * 5, st.sampled_from(["ok", "wrong owner"])),
        max_size=5,
    )
)
def test_no_table_is_wider_than_allowed(rows: list[tuple[str, ...]]) -> None:
    lines = port_report.table([port_report.HEADINGS, *rows])
    assert all(len(line) <= port_report.WIDTH for line in lines)
    assert all(line.endswith(row[-1]) for line, row in zip(lines[1:], rows, strict=True))
