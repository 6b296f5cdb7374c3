# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run knows of the inventory from its start on."""

from __future__ import annotations

import collections
import pathlib
import typing as t

import pytest
from ansible.errors import AnsibleError
from ansible.template import trust_as_template
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load

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


class Unknown(dict[str, t.Any]):
    """Variables of a host whose facts weren't gathered."""

    def __init__(self, name: str) -> None:
        super().__init__({"port_environment": "test", name: "a template"})
        self._name = name

    def __getitem__(self, name: str) -> t.Any:
        if name == self._name:
            raise AnsibleError("object of type 'dict' has no attribute 'default_ipv4'")
        return super().__getitem__(name)


@pytest.mark.parametrize("variable", ["port_addresses", "ansible_host", "port_environment"])
def test_a_variable_that_needs_facts_is_named_with_its_host(variable: str) -> None:
    hosts = {"groups": {"all": ["web"]}, "hostvars": {"web": Unknown(variable)}}
    with pytest.raises(AnsibleError) as caught:
        controller.topology(hosts).hosts["web"]
    told = str(caught.value)
    assert told.startswith(f"web: {variable} can't be known (object of type 'dict' has no")
    assert "--limit" in told
    assert "gather facts of all hosts first" in told


@pytest.mark.parametrize(
    "address", ["::ffff:10.0.0.1", "224.0.0.1", "fe80::1", "169.254.3.4", "0.0.0.0", "::"]
)
def test_no_host_is_reached_there(address: str) -> None:
    host = {"port_environment": "test", "port_addresses": ["192.0.2.1", address]}
    hosts = {"groups": {"all": ["web"]}, "hostvars": {"web": host}}
    with pytest.raises(AnsibleError, match="addresses by which other hosts reach it"):
        controller.topology(hosts).hosts["web"]
    host["ansible_host"], host["port_addresses"] = address, ["192.0.2.1"]
    assert controller.topology(hosts).hosts["web"].addresses == ("192.0.2.1",)
    del host["port_addresses"]
    assert controller.topology(hosts).hosts["web"].addresses == ()


BASE = pathlib.Path(__file__).parents[1] / "registry" / "base.yml"


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        ({"front": ["one"], "back": ["one"]}, []),
        ({"front": ["one"], "back": []}, []),
        ({"frnt": ["one"], "back": ["one"]}, ["no group front, on which the registry places shop"]),
        ({"front": ["one"], "bck": []}, ["no group back, on which the registry places store"]),
    ],
)
def test_groups_that_the_inventory_lacks(
    groups: dict[str, list[str]], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller, "current_registry", lambda: load.read(str(BASE)))
    variables = {"groups": {"all": ["one"], **groups}, "inventory_hostname": "one"}
    plan = {"environment": "staging", "endpoints": [{}]}
    found = controller.unplanned(variables, plan)
    assert len(found) == len(told)
    for message, words in zip(found, told, strict=True):
        assert words in message
        assert f"did you mean '{'frnt' if 'front' in words else 'bck'}'?" in message
    [empty] = controller.unplanned(
        {
            "groups": {"all": ["one"], "front": [], "back": [], "odd": ["one"]},
            "inventory_hostname": "one",
        },
        {"environment": "staging", "endpoints": []},
    )
    assert empty.startswith("one: the registry plans no endpoint for it in staging")
    assert "its groups are odd" in empty
