# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints at the ports that they have still."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load, moving

REGISTRY = pathlib.Path(__file__).parents[9] / "registry" / "ports.yml"


def test_an_endpoint_has_another_port_and_the_registry_stays() -> None:
    known = load.load(str(REGISTRY))
    new = known.endpoints["postgresql.sql"].port
    retired = known.endpoints["postgresql.intel"]
    assert retired.status == "retired"
    other = moving.at_ports(known, {"postgresql.sql": retired.port})
    assert other.endpoints["postgresql.sql"].port == retired.port
    assert "postgresql.intel" not in other.endpoints, "it would be in its own way"
    assert {e.id for e in known.endpoints.values()} - set(other.endpoints) == {"postgresql.intel"}
    assert known.endpoints["postgresql.sql"].port == new
    assert moving.at_ports(known, {"postgresql.sql": retired.port}) is other
    assert moving.at_ports(known, {"postgresql.sql": new}) is known


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        ("x", "allowed is a mapping"),
        ({"postgresql.sq": 1}, "did you mean 'postgresql.sql'"),
        ({"postgresql.sql": "5432"}, "for postgresql.sql, allowed is a port"),
        ({"postgresql.sql": True}, "allowed is a port"),
        ({"postgresql.sql": 65536}, "allowed is a port"),
    ],
)
def test_what_is_no_port_is_refused(ports: t.Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        moving.at_ports(load.load(str(REGISTRY)), ports)
