# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run knows of the inventory from its start on."""

from __future__ import annotations

import collections
import typing as t

import pytest
from ansible.errors import AnsibleError
from ansible.template import trust_as_template
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import Registry

LITERAL = {"port_environment": "test", "port_system": "linux", "port_addresses": ["192.0.2.7"]}
TEMPLATE = {
    "port_environment": "test",
    "port_system": "linux",
    "port_addresses": [trust_as_template("{{ ansible_facts.default_ipv4.address }}")],
}


def _templated(text: str, **more: str) -> dict[str, t.Any]:
    others = {name: trust_as_template(value) for name, value in more.items()}
    return {**LITERAL, "port_addresses": [trust_as_template(text)], **others}


# Nothing of it can change while a run goes on.
FIXED = {
    "variable": _templated("{{ net }}.7", net="192.0.2"),
    "environment": _templated("{{ net }}.7", net="{{ lookup('env', 'NET') or '192.0.2' }}"),
    "folded": _templated("{{ nets[inventory_hostname] | default('192.0.2.7') }}", nets="{{ {} }}"),
    "connection": {**_templated("{{ ansible_host }}"), "ansible_host": "192.0.2.7"},
}
# Something of it may.
LOOSE = {
    "fact": _templated("{{ ansible_eth0.ipv4.address | default('192.0.2.7') }}"),
    "defaulted": _templated("{{ ansible_facts.ip | default('192.0.2.7') }}"),
    "below": _templated("{{ own }}", own="{{ ansible_facts.ip | default('192.0.2.7') }}"),
    "other": _templated("{{ hostvars['literal'].port_addresses[0] }}"),
    "unset": _templated("{{ given | default('192.0.2.7') }}"),
    "named": _templated("{{ lookup('vars', 'ip', default='192.0.2.7') }}"),
    "computed": _templated("{{ lookup(kind, 'ip') }}", kind="vars"),
    "broken": _templated("{{ net"),
}
RAW: dict[str, dict[str, t.Any]] = {
    **FIXED,
    **LOOSE,
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
    for _index in range(3):
        assert _addresses(hostvars, "literal") == ("192.0.2.7",)
    assert hostvars.asked["literal"] == 0


@pytest.mark.parametrize("host", FIXED)
def test_what_only_the_inventory_says_is_asked_once(host: str) -> None:
    hostvars = HostVars()
    controller.remember_hosts(hostvars)
    assert hostvars.asked[host] == 1
    for _index in range(3):
        assert _addresses(hostvars, host) == ("192.0.2.8",)
    assert hostvars.asked[host] == 1


@pytest.mark.parametrize("host", ["template", "faulty", *LOOSE])
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


SERVICE = {
    "description": "Shop",
    "hosts": "shops",
    "environments": ["test"],
    "endpoints": {
        "http": {"port": 8080, "exposure": "internal", "consumers": ["fronts", "lab", "shop"]}
    },
}
GROUPS = dict.fromkeys(("shops", "fronts", "elsewhere", "routers"), "Hosts")
VRRP = {"description": "VRRP", "protocol": "vrrp", "hosts": "routers", "environments": ["test"]}


def known_by(monkeypatch: pytest.MonkeyPatch, **changes: t.Any) -> None:
    data = {"services": {"shop": SERVICE}, "groups": GROUPS, "networks": {"lab": {}}, **changes}
    known = Registry.from_data(data, "ports.yml", b"")
    monkeypatch.setattr(controller, "current_registry", lambda: known)


def told(environment: str = "test", **groups: list[str]) -> list[str]:
    hostvars = {"a": {"port_environment": environment, "port_addresses": ["192.0.2.8"]}}
    variables = {"groups": {"all": ["a"], "ungrouped": [], **groups}, "hostvars": hostvars}
    return controller.absent_groups({**variables, "inventory_hostname": "a"})


def test_a_group_that_the_inventory_lacks_is_told_with_what_it_may_mean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known_by(monkeypatch, protocols={"addresses": VRRP})
    assert told(shops=["a"], fronts=[], routers=[]) == []
    (only,) = told(shop=["a"], fronts=[], routers=[])
    assert only == (
        "ports.yml:1: the inventory has no group 'shops', so nobody is placed there: shop.http;"
        " did you mean 'shop'?"
    )
    places, consumers, protocols = told()
    assert "'shops'" in places
    assert "'fronts'" in consumers
    assert "'routers', so nobody is placed there: addresses" in protocols
    assert told("other") == [], "nothing of it is in that environment"


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (
            {"endpoints": [], "environment": "test"},
            "a has no plan: the registry places nothing on shop",
        ),
        ({"endpoints": [{}], "environment": "test"}, ""),
        ({"endpoints": [], "protocols": [{}], "environment": "test"}, ""),
    ],
)
def test_a_host_without_a_plan_is_told_with_its_groups(
    plan: dict[str, t.Any], expected: str
) -> None:
    groups = {"all": ["a"], "ungrouped": [], "shop": ["a"], "others": ["b"]}
    text = controller.without_plan({"groups": groups, "inventory_hostname": "a"}, plan)
    assert text.startswith(expected)
    assert ("on shop in the environment test" in text) is bool(expected)
    if expected:
        alone = {"groups": {"all": ["a"], "ungrouped": ["a"]}, "inventory_hostname": "a"}
        assert "it is in no group of the inventory" in controller.without_plan(alone, plan)
