# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has a port, and which are free."""

from __future__ import annotations

import datetime
import pathlib

import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance.uses import (
    UnknownError,
    Uses,
    span_of,
    spans,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import leases, load

BASE = (pathlib.Path(__file__).parents[1] / "registry" / "base.yml").read_bytes()
REGISTRY = load.parse(BASE, "ports.yml")
NOW = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC)
LEASES = b"""\
version: 1
leases:
  - {port: 20003, hosts: front, holder: {process: [node]}, reason: Test, expires: 2026-11-26}
  - {port: 20002, hosts: back, holder: {process: node}, reason: Test, expires: 2026-11-25}
"""
USES = Uses(REGISTRY, leases.parse(LEASES, "leases.yml"), NOW)


@pytest.mark.parametrize(
    ("port", "protocol", "texts"),
    [
        (
            20001,
            "tcp",
            [
                "20001/tcp is shop.http, fixed, on front in staging and production: The shop"
                " (ports.yml:30)"
            ],
        ),
        (
            20002,
            "tcp",
            [
                "20002/tcp is shop.admin, alternative, on front in staging: The shop"
                " (ports.yml:36)",
                "20002/tcp was leased to node on back until 2026-11-25 for: Test (leases.yml:4)",
            ],
        ),
        (
            20003,
            "tcp",
            ["20003/tcp is leased to node on front until 2026-11-26 for: Test (leases.yml:3)"],
        ),
        (
            21000,
            "tcp",
            [
                "21000/tcp is store.old, retired, on back in staging and production: The store"
                " (ports.yml:60)",
                "21000/tcp was store.sql's until 2026-02-01, which moved to 21001 (ports.yml:81)",
            ],
        ),
        (
            20009,
            "udp",
            ["20009/udp was gone.http's until 2026-02-01, which was removed (ports.yml:83)"],
        ),
        (7, "tcp", []),
        (
            7,
            "udp",
            [
                "7/udp is store.cluster, alternative, on back in staging and production:"
                " The store (ports.yml:53)"
            ],
        ),
        (5000, "tcp", ["5000/tcp is taken by AirPlay Receiver on a Mac"]),
    ],
)
def test_who_has_a_port(port: int, protocol: str, texts: list[str]) -> None:
    assert [str(use) for use in USES.of(port, protocol)] == texts
    assert USES.is_free(port, protocol) == (not texts)


def test_the_free_ones_of_a_range() -> None:
    web = span_of(REGISTRY, "web")
    assert spans(USES.free(web, "tcp")) == [(20000, 20000), (20004, 20008), (20010, 20999)]
    assert spans(USES.free(web, "udp")) == [(20000, 20008), (20010, 20999)]
    assert list(USES.free(span_of(REGISTRY, "20001-20004"), "tcp")) == [20004]
    assert spans([]) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("webb", "found 'webb', allowed is web, data, a port or FIRST-LAST; did you mean 'web'?"),
        ("2-1", "found 2-1, allowed are ports from 1 to 65535"),
        ("0", "found 0, allowed are ports from 1 to 65535"),
        ("1-70000", "found 1-70000, allowed are ports from 1 to 65535"),
        ("-5", "found '-5', allowed is web"),
    ],
)
def test_ranges_that_are_none(text: str, message: str) -> None:
    with pytest.raises(UnknownError) as caught:
        span_of(REGISTRY, text)
    assert message in str(caught.value)
