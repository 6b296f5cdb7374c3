# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leasing: temporary use, that ends and that others respect."""

from __future__ import annotations

import datetime
import pathlib
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance import leasing
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance.change import RefusedError
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance.leasing import Request
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import editor, leases, load

BASE = (pathlib.Path(__file__).parents[1] / "registry" / "base.yml").read_bytes()
REGISTRY = load.parse(BASE, "ports.yml")
NOW = datetime.datetime(2026, 11, 26, 12, 0, 30, tzinfo=datetime.UTC)
LEASES = """\
# ours
version: 1
leases:
  # of Ada
  - port: 20003
    hosts: front
    holder: {process: node, user: ada}
    reason: Load test
    expires: 2026-11-26T18:00Z # soon
  - {port: 20004, protocol: udp, hosts: back, holder: {process: iperf3}, reason: x,
     expires: '2026-11-25'}
"""
NODE = {"process": "node", "user": "ada"}


def run(
    state: str, port: int, hosts: str = "front", text: str | None = LEASES, **options: t.Any
) -> tuple[list[str], list[str]]:
    """The changed lines, and the warnings."""
    groups = options.pop("groups", None)
    request = Request(state, port, hosts, **options)
    source = text.encode() if text is not None else None
    change = leasing.lease(source, "leases.yml", REGISTRY, request, now=NOW, groups=groups)
    if change.after != (source or b""):
        leases.parse(change.after, "leases.yml")
        again = leasing.lease(change.after, "leases.yml", REGISTRY, request, now=NOW, groups=groups)
        assert again.after == change.after
    diff = editor.unified_diff(source or b"", change.after, "leases.yml").splitlines()[2:]
    return [line for line in diff if line[0] in "+-"], change.warnings


def refused(state: str, port: int, hosts: str = "front", **options: t.Any) -> str:
    with pytest.raises(RefusedError) as caught:
        run(state, port, hosts, **options)
    return str(caught.value)


def take(**options: t.Any) -> dict[str, t.Any]:
    return {"holder": NODE, "reason": "Load test", "expires": "4h", **options}


def test_taking_one() -> None:
    assert run("present", 20005, **take())[0] == [
        "+  - port: 20005",
        "+    hosts: front",
        "+    holder: {process: node, user: ada}",
        "+    reason: Load test",
        "+    expires: 2026-11-26T16:01Z",
    ]


def test_the_first_one_makes_the_file() -> None:
    lines, _warnings = run("present", 20005, text=None, **take(protocol="udp"))
    assert lines[-7:] == [
        "+leases:",
        "+  - port: 20005",
        "+    protocol: udp",
        "+    hosts: front",
        "+    holder: {process: node, user: ada}",
        "+    reason: Load test",
        "+    expires: 2026-11-26T16:01Z",
    ]
    assert run("absent", 20005, text=None)[0] == []


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("90m", "2026-11-26T13:31Z"),
        ("2d", "2026-11-28T12:01Z"),
        ("1w", "2026-12-03T12:01Z"),
        ("2026-11-26", "2026-11-26"),
        ("2026-11-26T14:00:00+01:00", "2026-11-26T14:00:00+01:00"),
    ],
)
def test_ends(given: str, written: str) -> None:
    assert f"+    expires: {written}" in run("present", 20005, **take(expires=given))[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("2026-11-25", "found the end 2026-11-25, which has passed"),
        ("2026-11-26T13:00+01:00", "which has passed"),
        ("2026-11-26T18:00", "allowed is a day such as 2026-11-26, a time with its zone such as"),
        ("2026-02-30", "allowed is a day such as"),
        ("20261130", "allowed is a day such as"),
        ("9999-12-31", "allowed is a day such as"),
        ("0h", "allowed is a day such as"),
        ("soon", "found the end 'soon', allowed is a day such as"),
    ],
)
def test_ends_that_are_none(given: str, message: str) -> None:
    assert message in refused("present", 20005, **take(expires=given))


@pytest.mark.parametrize("missing", ["holder", "reason", "expires"])
def test_a_lease_needs_all(missing: str) -> None:
    assert f"found no {missing}" in refused("present", 20005, **take(**{missing: ""}))


def test_a_lease_that_is_there_is_not_extended() -> None:
    """Whatever the duration is counted from; another end takes another word."""
    assert run("present", 20003, **take(expires="2d")) == ([], [])
    assert run("present", 20003, **take(expires="2026-11-26T19:00:00+01:00")) == ([], [])
    assert run("present", 20003) == ([], [])
    assert "The state extended gives it another end" in refused(
        "present", 20003, **take(expires="2026-11-27")
    )
    assert "it is leased to node on front until 2026-11-26T18:00Z" in refused(
        "present", 20003, **take(holder={"process": "python3"})
    )
    assert run("present", 20003, reason="Another test")[0] == [
        "-    reason: Load test",
        "+    reason: Another test",
    ]


def test_a_lease_that_has_ended_is_told_and_not_extended() -> None:
    options: dict[str, t.Any] = {"protocol": "udp", "holder": {"process": "iperf3"}}
    assert "it was leased to iperf3 on back until 2026-11-25 for: x (leases.yml:10)" in refused(
        "present", 20004, "back", expires="4h", **options
    )
    lines, warnings = run("present", 20004, "back", **options)
    assert lines == []
    assert warnings == ["20004/udp was leased to iperf3 on back until 2026-11-25 for: x"]


def test_extending() -> None:
    assert run("extended", 20003, expires="2026-11-27")[0] == [
        "-    expires: 2026-11-26T18:00Z # soon",
        "+    expires: 2026-11-27 # soon",
    ]
    assert run("extended", 20003, expires="2026-11-26T18:00:00Z") == ([], [])
    udp = run("extended", 20004, "back", protocol="udp", expires="4h")[0]
    assert udp[1] == "+     expires: '2026-11-26T16:01Z'}"
    assert "its end 2026-11-26T18:00Z is later than 2026-11-26T16:01Z" in refused(
        "extended", 20003, expires="4h"
    )
    assert "there is no such lease" in refused("extended", 20009, expires="4h")
    assert "found no end" in refused("extended", 20003)
    assert "to another holder" in refused(
        "extended", 20003, expires="2d", holder={"process": "python3"}
    )
    assert "which has passed" in refused(
        "extended", 20004, "back", protocol="udp", expires="2026-11-26T11:00Z"
    )


def test_giving_back() -> None:
    assert run("absent", 20003)[0] == [
        "-  - port: 20003",
        "-    hosts: front",
        "-    holder: {process: node, user: ada}",
        "-    reason: Load test",
        "-    expires: 2026-11-26T18:00Z # soon",
    ]
    assert run("absent", 20003, "back") == ([], [])
    assert run("absent", 20003, protocol="udp") == ([], [])
    assert "to another holder" in refused("absent", 20003, holder={"process": "python3"})


def test_a_port_of_others() -> None:
    options = take(text=LEASES)
    assert "can't be leased: it is shop.http's, fixed (ports.yml:30)" in refused(
        "present", 20001, **options
    )
    # Where the service isn't, its port is nobody's.
    assert run("present", 20001, "back", **options)[0]
    assert "it is shop.http's" in refused("present", 20001, "app1", **options)
    groups = {"front": ["app1"], "back": ["app2"]}
    assert run("present", 20001, "app2", groups=groups, **options)[0]
    assert "it is shop.http's" in refused("present", 20001, "app1", groups=groups, **options)
    assert "it is store.old's, retired" in refused("present", 21000, **options)
    # Nobody has to be there.
    assert run("present", 20002, **options)[0]


def test_a_port_that_is_lent_already() -> None:
    assert "it is leased to node on front until" in refused("present", 20003, "all", **take())
    assert "it is leased to node on front until" in refused("present", 20003, "app1", **take())
    assert run("present", 20003, "back", **take())[0]
    groups = {"front": ["app1"], "back": ["app1"]}
    assert "it is leased to node on front until" in refused(
        "present", 20003, "back", groups=groups, **take()
    )
    lines, warnings = run("present", 20004, "all", **take(protocol="udp"))
    assert lines
    assert warnings == [
        "20004/udp was leased to iperf3 on back until 2026-11-25 for: x (leases.yml:10)"
    ]


def test_hosts_that_the_inventory_lacks() -> None:
    assert "the inventory has no such host or group" in refused(
        "present", 20005, "frnt", groups={"front": ["app1"]}, **take()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"holder": {"proces": "node"}}, "found the unknown key 'proces'"),
        ({"reason": "a\nb"}, "allowed is one line of text"),
        ({"protocol": "sctp"}, "allowed is tcp or udp"),
    ],
)
def test_what_the_schema_refuses(options: dict[str, t.Any], message: str) -> None:
    assert message in refused("present", 20005, **take(**options))


def test_what_is_against_the_registry_is_found() -> None:
    text = LEASES.replace("20003", "20001")
    assert leasing.faults(REGISTRY, leases.parse(text.encode(), "leases.yml"), NOW) == [
        "leases.yml:5: 20001/tcp is leased to node on front until 2026-11-26T18:00Z for: Load test,"
        " but it is shop.http's, fixed. End the lease, or change the registry"
    ]
    found = leasing.ended(leases.parse(LEASES.encode(), "leases.yml"), NOW)
    assert found == [
        "leases.yml:10: 20004/udp was leased to iperf3 on back until 2026-11-25 for: x. Extend or"
        " remove the lease"
    ]
