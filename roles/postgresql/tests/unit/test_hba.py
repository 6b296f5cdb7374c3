# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An inventory's own lines of pg_hba.conf: how they are written, and what is refused."""

from __future__ import annotations

import importlib.util
import pathlib
import typing as t

import pytest

PATH = pathlib.Path(__file__).parents[2] / "filter_plugins/postgresql_hba.py"
SPEC = importlib.util.spec_from_file_location("postgresql_hba", PATH)
assert SPEC
assert SPEC.loader
hba = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(hba)

SOURCES = [
    {"consumer": "backend", "host": "app", "cidr": "10.0.0.11/32"},
    {"consumer": "auditors", "host": None, "cidr": "10.9.0.0/24"},
    {"consumer": "auditors", "host": None, "cidr": "fd00:9::/64"},
]
CONSUMERS = ["backend", "auditors", "elsewhere"]
AUDIT: dict[str, t.Any] = {
    "databases": ["shop"],
    "users": ["auditor"],
    "addresses": ["10.9.0.7"],
    "method": "scram-sha-256",
}
GUARD = "host all,replication postgres all reject"


def lines(*entries: dict[str, t.Any], tls: bool = True) -> list[str]:
    assert hba.hba_faults(entries, SOURCES, CONSUMERS, tls) == []
    return list(hba.hba_lines(entries, SOURCES, CONSUMERS, tls))


def fault(tls: bool = True, **changes: t.Any) -> str:
    faults = hba.hba_faults([{**AUDIT, **changes}], SOURCES, CONSUMERS, tls)
    return "; ".join(faults)


def test_none_is_no_line() -> None:
    assert lines() == []


def test_other_hosts_come_by_tls() -> None:
    assert lines(AUDIT) == [GUARD, 'hostssl "shop" "auditor" 10.9.0.7/32 scram-sha-256']
    assert lines(AUDIT, tls=False)[1].startswith("host ")
    assert lines({**AUDIT, "addresses": ["127.0.0.1"]})[1].startswith("host ")


def test_consumers_of_the_registry_have_their_addresses() -> None:
    entry = {**AUDIT, "addresses": [], "consumers": ["auditors"], "comment": "Audit 2026"}
    assert lines(entry)[1:] == [
        'hostssl "shop" "auditor" 10.9.0.0/24 scram-sha-256  # auditors, Audit 2026',
        'hostssl "shop" "auditor" fd00:9::/64 scram-sha-256  # auditors, Audit 2026',
    ]
    # One that comes from this host only has none.
    assert lines({**entry, "consumers": ["elsewhere"]}) == [GUARD]


def test_keywords_groups_and_names() -> None:
    entry = {**AUDIT, "databases": ["replication", 'a"b'], "users": ["+staff", "all"]}
    assert lines(entry)[1].startswith('hostssl replication,"a""b" +"staff",all 10.9.0.7/32')


def test_options_of_a_method() -> None:
    entry = {**AUDIT, "method": "ldap", "options": {"ldapserver": "ldap.example", "ldaptls": True}}
    assert lines(entry)[1].endswith('ldap ldapserver="ldap.example" ldaptls="1"')


def test_the_unix_socket() -> None:
    entry = {"databases": ["all"], "users": ["tool"], "method": "peer", "options": {"map": "ops"}}
    assert lines(entry)[1] == 'local all "tool" peer map="ops"'


def test_the_superuser_comes_from_elsewhere_by_name_only() -> None:
    assert lines({**AUDIT, "users": ["all"]})[0] == GUARD
    assert GUARD not in lines({**AUDIT, "users": ["postgres"]})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"addresses": ["0.0.0.0/0"]}, "which is everybody"),
        ({"addresses": ["::/0"]}, "which is everybody"),
        ({"addresses": ["all"]}, "which is everybody"),
        # Everybody in two halves, and half of them.
        ({"addresses": ["0.0.0.0/1", "128.0.0.0/1"]}, "which is everybody"),
        ({"addresses": ["0.0.0.0/1"]}, "which is everybody"),
        ({"method": "trust"}, "allow: [trust]"),
        ({"method": "ident"}, "for ident use peer"),
        ({"method": "peer"}, "peer with the type hostssl, it works with local"),
        ({"method": ""}, ".method: found nothing"),
        ({"type": "hostnossl", "method": "cert"}, "it works with hostssl"),
        ({"type": "host", "method": "password"}, "it works with local, hostssl"),
        ({"type": "host"}, "without TLS. Use hostssl"),
        ({"type": "hostess"}, ".type: found hostess, allowed are local"),
        ({"type": "local"}, "has no addresses"),
        ({"type": "hostssl", "addresses": []}, ".addresses: found none"),
        ({"addresses": ["10.0.0.5/24"]}, "the network is 10.0.0.0/24"),
        ({"addresses": ["10.0.0.0/33"]}, "which is no network"),
        ({"addresses": ["db.example"]}, "by number"),
        ({"addresses": ["samenet"]}, "Name the network"),
        ({"addresses": ["10.0.0.1 trust"]}, "by number"),
        ({"consumers": ["auditor"]}, "found auditor, allowed are the endpoint's"),
        ({"databases": []}, ".databases: found nothing"),
        ({"databases": ["/^a"]}, "no patterns"),
        ({"users": ["@file"]}, "no files"),
        ({"users": ["+"]}, ".users: found '+'"),
        ({"users": ["a\nhost all all all trust"]}, ".users: found"),
        ({"users": ["replication"]}, "databases: [replication]"),
        ({"options": {"map": "a\nb"}}, ".options.map"),
        ({"options": {"a=b": "c"}}, ".options.a=b"),
        ({"comment": "a\nhost all all all trust"}, ".comment"),
        ({"allow": ["all"]}, ".allow: found all"),
        ({"user": "x"}, ": found user, allowed are"),
    ],
)
def test_refused(changes: dict[str, t.Any], told: str) -> None:
    assert told in fault(**changes)
    assert fault(**changes).startswith("postgresql_hba_entries[0]")


def test_what_is_said_aloud_is_meant() -> None:
    assert fault(addresses=["0.0.0.0/0"], allow=["everybody"]) == ""
    assert fault(method="trust", allow=["trust"]) == ""
    assert fault(addresses=["0.0.0.0/0"], method="reject") == ""
    # The registry may say so for a consumer, and the entry has to say it as well.
    everyone = [{"consumer": "public", "host": None, "cidr": "0.0.0.0/0"}]
    entry = {**AUDIT, "addresses": [], "consumers": ["public"]}
    assert "everybody" in hba.hba_faults([entry], everyone, ["public"], True)[0]


def test_what_is_no_list() -> None:
    assert "allowed is a list" in hba.hba_faults("local all all trust", [], [], False)[0]
    assert "is a dictionary" in hba.hba_faults(["local all all trust"], [], [], False)[0]


def test_addresses_that_the_firewall_lets_nobody_come_from() -> None:
    entry = {**AUDIT, "addresses": ["10.9.0.7", "10.8.0.0/16", "fd00:9::1", "fd00::/16", "::1"]}
    assert hba.hba_closed([entry], SOURCES) == ["10.8.0.0/16", "fd00::/16"]
    assert hba.hba_closed([{**entry, "method": "reject"}], SOURCES) == []
