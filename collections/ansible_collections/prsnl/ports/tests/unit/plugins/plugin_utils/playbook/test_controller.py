# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run knows of the inventory from its start on."""

from __future__ import annotations

import collections
import typing as t

import pytest
from ansible.template import trust_as_template
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller

LITERAL = {"port_environment": "test", "port_system": "linux", "port_addresses": ["192.0.2.7"]}
TEMPLATE = {
    "port_environment": "test",
    "port_system": "linux",
    "port_addresses": [trust_as_template("{{ ansible_facts.default_ipv4.address }}")],
}
RAW: dict[str, dict[str, t.Any]] = {
    "literal": LITERAL,
    "template": TEMPLATE,
    "faulty": {"port_addresses": "nowhere"},
}


class HostVars(dict[str, dict[str, t.Any]]):
    """Counts who is asked for, which costs Ansible a lot."""

    def __init__(self) -> None:
        super().__init__(RAW)
        self.asked: collections.Counter[str] = collections.Counter()

    def raw_get(self, name: str) -> dict[str, t.Any]:
        return RAW[name]

    def __getitem__(self, name: str) -> dict[str, t.Any]:
        self.asked[name] += 1
        return {"port_environment": "test", "port_addresses": ["192.0.2.8"]}


@pytest.fixture(autouse=True)
def _forget() -> t.Iterator[None]:
    yield
    controller.remember_hosts(HostVars.__new__(HostVars))


def _addresses(hostvars: HostVars, host: str) -> tuple[str, ...]:
    known = controller.topology({"groups": {"all": list(RAW)}, "hostvars": hostvars})
    return known.hosts[host].addresses


def test_a_literal_inventory_is_read_once() -> None:
    hostvars = HostVars()
    controller.remember_hosts(hostvars)
    for _ in range(3):
        assert _addresses(hostvars, "literal") == ("192.0.2.7",)
    assert hostvars.asked["literal"] == 0


@pytest.mark.parametrize("host", ["template", "faulty"])
def test_what_follows_from_facts_is_asked_each_time(host: str) -> None:
    hostvars = HostVars()
    controller.remember_hosts(hostvars)
    assert _addresses(hostvars, host) == ("192.0.2.8",)
    assert _addresses(hostvars, host) == ("192.0.2.8",)
    assert hostvars.asked[host] == 2


def test_without_the_start_of_a_run_everything_is_asked() -> None:
    hostvars = HostVars()
    assert _addresses(hostvars, "literal") == ("192.0.2.8",)
    assert hostvars.asked["literal"] == 1
