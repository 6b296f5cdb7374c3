# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time

import pytest
from ansible_collections.prsnl.ports.plugins.action.daemon import awaited
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import progress


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(progress.display, "display", told.append)
    return told


def test_what_takes_long_is_told_again_and_again(lines: list[str]) -> None:
    with progress.told_while_waiting("data: waiting", patience=0.01, interval=0.01):
        end = time.monotonic() + 10
        while len(lines) < 3 and time.monotonic() < end:
            time.sleep(0.01)
    assert len(lines) >= 3
    assert lines[0] == "data: waiting (0 s so far)"
    told = len(lines)
    time.sleep(0.05)
    assert len(lines) == told


def test_what_is_quick_is_not_told(lines: list[str]) -> None:
    with progress.told_while_waiting("data: waiting", patience=60):
        pass
    assert lines == []


def test_a_failure_ends_it(lines: list[str]) -> None:
    waiting = progress.told_while_waiting("data: waiting", patience=0.05)
    with pytest.raises(ValueError, match="of the block"), waiting:
        raise ValueError("of the block")
    time.sleep(0.1)
    assert lines == []


@pytest.mark.parametrize(
    ("daemon", "text"),
    [
        (
            {"unit": "shop.service", "endpoints": [{"id": "shop.http"}, {"id": "shop.admin"}]},
            "shop.service is not done yet, waiting for shop.http and shop.admin",
        ),
        ({"unit": "shop.service", "endpoints": []}, "shop.service is not done yet"),
        ({"packages": ["nginx"]}, "what is to be installed is not done yet"),
    ],
)
def test_a_daemon_says_what_is_waited_for(daemon: dict[str, object], text: str) -> None:
    assert awaited(daemon) == text
