# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is well-formed and would do harm, or mean something else than it says."""

from __future__ import annotations

import pathlib
import time

import pytest
import yaml
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import RegistryError
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.owners import (
    LINUX,
    Identities,
    Owner,
)

BASE = (pathlib.Path(__file__).parent / "base.yml").read_text(encoding="utf-8")
SERVICE = """\
  other:
    description: Another one
    hosts: {hosts}
    environments: [{environments}]
    owner: {owner}
    endpoints:
      main: {{port: 7001, status: alternative, exposure: host}}
"""


def _faults(*edits: tuple[str, str]) -> list[str]:
    """The faults of base.yml after replacements, without file and line."""
    text = BASE
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    try:
        load.parse(text.encode(), "ports.yml")
    except RegistryError as error:
        return [line.partition(": ")[2] for line in str(error).splitlines()]
    return []


def _listening(*addresses: str, exposure: str = "internal\n        consumers: [shop]") -> list[str]:
    listen = ", ".join(f"'{address}'" for address in addresses)
    new = f"protocol: udp\n        exposure: {exposure}\n        addresses: [{listen}]\n"
    return _faults(
        ("port: 7\n", "port: 7\n        status: alternative\n        " + new),
        (
            "        protocol: udp\n        status: alternative\n        exposure: internal\n"
            "        consumers: [store]\n",
            "",
        ),
    )


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("::ffff:10.0.0.1", "which is an address of IPv4; allowed is 10.0.0.1"),
        ("::ffff:a00:1", "allowed is 10.0.0.1"),
        ("::ffff:0.0.0.0", "allowed is 0.0.0.0"),
        ("::ffff:127.0.0.1", "allowed is 127.0.0.1"),
        ("224.0.0.251", "which is multicast;"),
        ("ff02::fb", "which is multicast;"),
        ("255.255.255.255", "which is broadcast;"),
        ("169.254.1.1", "which is link-local;"),
        ("fe80::1", "which is link-local;"),
        ("fe80::1%eth0", "allowed is an IP address"),
        ("0.0.0.1", "which is unspecified;"),
        ("240.0.0.1", "which is reserved;"),
        ("::10.0.0.1", "which is reserved;"),
    ],
)
def test_an_address_that_no_host_has_for_itself(address: str, said: str) -> None:
    [fault] = _listening(address)
    assert fault.startswith("services.store.endpoints.cluster.addresses[0]: found ")
    assert said in fault


def test_addresses_that_hosts_have() -> None:
    assert _listening("0.0.0.0", "::") == []
    assert _listening("10.0.0.1", "2001:db8::1", "127.0.0.1", "::1") == []


def test_one_address_in_two_spellings() -> None:
    [fault] = _listening("2001:db8::1", "2001:0DB8:0::1")
    assert "addresses[1]: found '2001:0DB8:0::1' again, allowed is once; see line" in fault


def test_two_services_on_one_address_by_its_mapped_form() -> None:
    """The second claims 10.0.0.1:21001 as well, which a comparison of texts doesn't see."""
    sql = "exposure: internal\n        consumers: [shop, office]"
    faults = _faults(
        (sql, f"{sql}\n        addresses: [10.0.0.1]"),
        ("port: 7\n        protocol: udp", "port: 21001\n        addresses: ['::ffff:10.0.0.1']"),
        ("        exception: Wired into the vendor's program\n", ""),
    )
    assert len(faults) == 1
    assert "allowed is 10.0.0.1" in faults[0]


@pytest.mark.parametrize(
    ("cidr", "said"),
    [
        ("0.0.0.0/0", "which is everybody"),
        ("::/0", "which is everybody"),
        ("127.0.0.0/8", "loopback"),
        ("127.0.0.53/32", "loopback"),
        ("126.0.0.0/7", "loopback"),
        ("::1/128", "loopback"),
        ("224.0.0.0/24", "multicast"),
        ("ff00::/8", "multicast"),
        ("::ffff:10.0.0.0/104", "IPv4-mapped"),
        ("::ffff:0.0.0.0/96", "IPv4-mapped"),
        ("0.0.0.0/32", "unspecified"),
        ("::/128", "unspecified"),
        ("169.254.0.0/16", "link-local"),
        ("fe80::/64", "link-local"),
        ("255.255.255.255/32", "broadcast"),
        ("240.0.0.0/8", "reserved"),
    ],
)
def test_a_network_from_which_nobody_comes(cidr: str, said: str) -> None:
    faults = _faults(("cidrs: [192.0.2.0/24]", f"cidrs: ['{cidr}']"))
    assert any("networks.office.cidrs[0]: " in fault and said in fault for fault in faults), faults


@pytest.mark.parametrize(
    "cidrs",
    [
        "32.0.0.0/3, 64.0.0.0/3, 128.0.0.0/2",
        "1.0.0.0/8, 2.0.0.0/7, 4.0.0.0/6, 8.0.0.0/5, 16.0.0.0/4, 32.0.0.0/3, 64.0.0.0/3,"
        " 128.0.0.0/2",
        "'2000::/4'",
        "'2000::/5', '2800::/5'",
    ],
)
def test_networks_that_together_are_everybody(cidrs: str) -> None:
    [fault] = _faults(("cidrs: [192.0.2.0/24]", f"cidrs: [{cidrs}]"))
    assert "consumers: found networks (office) that together hold half or more of all" in fault
    assert "exposure: public" in fault


def test_several_networks_that_together_are_everybody() -> None:
    networks = "".join(
        f"  part{n}:\n    description: A part\n    cidrs: [{cidr}]\n"
        for n, cidr in enumerate(("32.0.0.0/3, 64.0.0.0/3", "128.0.0.0/2"))
    )
    [fault] = _faults(
        ("networks:\n", "networks:\n" + networks),
        ("[shop, office]", "[part0, shop, part1]"),
    )
    assert "(part0 and part1)" in fault


def test_large_networks_that_are_not_everybody() -> None:
    cidrs = "10.0.0.0/8, 128.0.0.0/2, 'fc00::/7', '2001:db8::/32'"
    assert _faults(("cidrs: [192.0.2.0/24]", f"cidrs: [{cidrs}]")) == []


def _with_service(
    owner: str, hosts: str = "front", environments: str = "staging", mine: str = ""
) -> list[str]:
    service = SERVICE.format(owner=owner, hosts=hosts, environments=environments)
    shop = "{process: shop, user: shop, unit: shop.service}"
    return _faults(("services:\n", "services:\n" + service), (shop, mine or shop))


@pytest.mark.parametrize(
    "owner",
    [
        "{process: shop, user: shop, unit: shop.service}",
        "{user: shop, unit: shop.service}",
        "{unit: [other.service, shop.service]}",
        "{linux: {process: [other, shop], unit: shop.service}}",
    ],
)
def test_two_services_with_one_unit_and_user(owner: str) -> None:
    [fault] = _with_service(owner)
    assert "found the unit 'shop.service' of other again" in fault
    assert "services.shop.owner: " in fault


@pytest.mark.parametrize("kind", ["container", "label"])
def test_two_services_with_one_container_or_label(kind: str) -> None:
    [fault] = _with_service(f"{{{kind}: web}}", hosts="all", mine=f"{{{kind}: web}}")
    assert f"found the {kind} 'web' of other again" in fault or "has no owner" in fault


def test_services_that_can_be_told_apart() -> None:
    unit = "unit: shop.service"
    assert _with_service(f"{{user: someone, {unit}}}") == []
    assert _with_service(f"{{user: shop, process: helper, {unit}}}") == []
    assert _with_service(f"{{user: shop, {unit}}}", hosts="back") == []
    production = ("environments: [staging, production]", "environments: [production]")
    service = SERVICE.format(owner=f"{{user: shop, {unit}}}", hosts="front", environments="staging")
    assert not any(
        "tell the two" in fault
        for fault in _faults(("services:\n", "services:\n" + service), production)
    )


@pytest.mark.parametrize(
    "unit",
    [
        "ssh.service",
        "sshd.service",
        "ssh.socket",
        "sshd@7.service",
        "systemd-resolved.service",
        "systemd-journald.socket",
        "dbus.socket",
        "getty@tty1.service",
        "serial-getty@ttyS0.service",
        "user@1000.service",
        "NetworkManager.service",
        "nftables.service",
    ],
)
def test_a_unit_of_the_system_needs_a_word(unit: str) -> None:
    old = "unit: shop.service"
    [fault] = _faults((old, f"unit: {unit}"))
    assert f"services.shop.owner.unit: found '{unit}'" in fault
    assert "system: true" in fault
    assert _faults((old, f"unit: {unit}, system: true")) == []
    by_system = "{process: shop, user: shop, unit: shop.service}"
    assert _faults((by_system, f"{{linux: {{unit: {unit}, system: true}}}}")) == []
    [fault] = _faults((by_system, f"{{linux: {{unit: [shop.service, {unit}]}}}}"))
    assert "services.shop.owner.linux.unit" in fault


@pytest.mark.parametrize("unit", ["sshpiper.service", "dbus-proxy.service", "usergrid.service"])
def test_units_that_only_look_like_the_systems(unit: str) -> None:
    assert _faults(("unit: shop.service", f"unit: {unit}")) == []


def test_the_word_needs_a_unit() -> None:
    [fault] = _faults(("unit: shop.service", "system: true"))
    assert "services.shop.owner.unit: found nothing" in fault


def test_the_word_is_no_owner_on_another_system() -> None:
    text = BASE.replace(
        "{process: shop, user: shop, unit: shop.service}", "{unit: ssh.service, system: true}"
    )
    endpoint = load.parse(text.encode(), "ports.yml").endpoints["shop.http"]
    assert endpoint.owner_on("darwin") is None
    assert endpoint.owner_on(LINUX) is not None


@pytest.mark.parametrize(
    "user",
    ["%h", "%u", "$USER", "`id`", "-1", "+0", "00", "a;b", 'a"b', "a#b", "..", "a,b", "#0", "a=b"],
)
def test_a_user_that_is_another_one_elsewhere(user: str) -> None:
    quoted = "'" + user + "'"
    faults = _faults(("user: shop,", f"user: {quoted},"))
    assert len(faults) == 1
    assert "services.shop.owner.user: found " in faults[0]


@pytest.mark.parametrize("user", ["www-data", "_postgres", "'DOM\\ada'", "ada.l@site", "'1000'"])
def test_users_that_there_are(user: str) -> None:
    assert _faults(("user: shop,", f"user: {user},")) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("metrics", "/metrics"), ("routes", "{/a/: A}"), ("browser_origin", "true")],
)
def test_http_without_http(key: str, value: str) -> None:
    line = f"        {key}: {value}\n"
    udp = "        protocol: udp\n"
    [fault] = _faults((udp, udp + line))
    assert f"cluster.{key}: found it with protocol: udp" in fault
    sql = "        consumers: [shop, office]\n"
    for probe in ("postgres", "redis"):
        [fault] = _faults((sql, f"{sql}        probe: {probe}\n{line}"))
        assert f"sql.{key}: found it with probe: {probe}" in fault
    host = "        exposure: host\n"
    faults = _faults((host, host + line))
    if key == "browser_origin":
        assert faults == []
    else:
        assert f"admin.{key}: found it with exposure: host" in faults[0]


def test_a_consumer_in_no_common_environment() -> None:
    service = SERVICE.format(owner="{process: x}", hosts="front", environments="staging")
    there = ("services:\n", "services:\n" + service)
    sql = "        consumers: [shop, office]\n"
    assert _faults(there, (sql, "        consumers: [shop, other]\n")) == []
    [fault] = _faults(
        there,
        (sql, "        consumers: [shop, other]\n        environments: [production]\n"),
    )
    assert "sql.consumers[1]: found 'other', which is in staging only" in fault
    narrowed = (
        "    hosts: front\n    environments: [staging, production]\n",
        "    hosts: front\n    environments: [staging]\n",
    )
    production = (
        "    hosts: back\n    environments: [staging, production]\n",
        "    hosts: back\n    environments: [production]\n",
    )
    faults = _faults(narrowed, production)
    assert any("sql.consumers[0]: found 'shop'" in fault for fault in faults), faults


def test_this_file_is_what_it_says() -> None:
    assert yaml.safe_load(BASE)["version"] == 1
    assert _faults() == []


def test_telling_services_apart_costs_no_more_each() -> None:
    """Many services share a unit and differ by their users and processes."""
    claims = Identities()
    start = time.process_time()
    for number in range(20_000):
        owner = Owner((f"p{number}",), f"u{number}", ("one.service",))
        assert claims.claim(owner, (f"s{number}", ()), ("front", "back", "all")[number % 3]) is None
    assert time.process_time() - start < 2
