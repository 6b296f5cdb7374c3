# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The port of an endpoint is where its owner listens."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.host.manifest import Manifest
from ansible_collections.prsnl.ports.plugins.modules import endpoint_port_info
from worlds import ADA, World, entry, plan

Run = t.Callable[..., dict[str, t.Any]]
SHOP = {"shop.http": {"port": 8123, "protocol": "tcp", "listen": ["0.0.0.0"]}}


@pytest.mark.parametrize("check", [False, True], ids=["run", "check mode"])
@pytest.mark.parametrize(
    ("world", "noted", "port"),
    [
        (World(), {}, 0),
        (World().hold_all(8124, "shop"), {}, 8124),
        (World().hold_all(8123, "shop"), {}, 8123),
        (World().hold_all(8123, ADA), SHOP, 0),
        (World().hold_all(8123, "shop").hold(9000, "shop"), {}, 8123),
        (World().hold_all(8123, "shop").hold(8125, "shop"), SHOP, 8123),
        (World().hold_all(8124, "shop").hold(8125, "shop"), SHOP, 8124),
    ],
    ids=["absent", "there", "moves", "foreign", "other endpoint", "noted", "registered"],
)
def test_the_owner_tells_and_what_was_rendered_decides(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    *,
    world: World,
    noted: dict[str, t.Any],
    port: int,
    check: bool,
) -> None:
    entries = [entry("shop.http", 8124), entry("shop.admin", 9000)]
    monkeypatch.setattr(endpoint_port_info, "take_snapshot", lambda: world.snapshot)
    manifests = [Manifest("shop.service", endpoints=noted)]
    monkeypatch.setattr(endpoint_port_info, "read_manifests", lambda: manifests)
    params = {"plan": plan(*entries), "registry": "ports.yml", "endpoint": "shop.http"}
    result = run(endpoint_port_info.main, check=check, **params)
    assert (result["changed"], result["port"], result["registered"]) == (False, port, 8124)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("shop.http", "listens on 8125, 8126, and nothing tells which one it is"),
        ("shop.sql", "app: shop.sql isn't in the plan of this host, allowed is shop.http"),
    ],
)
def test_what_nobody_can_tell_is_an_error(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    world = World().hold(8125, "shop").hold(8126, "shop")
    monkeypatch.setattr(endpoint_port_info, "take_snapshot", lambda: world.snapshot)
    monkeypatch.setattr(endpoint_port_info, "read_manifests", list)
    params = {"plan": plan(entry("shop.http", 8124)), "registry": "ports.yml", "endpoint": name}
    result = run(endpoint_port_info.main, **params)
    assert result["failed"]
    assert text in result["msg"]
