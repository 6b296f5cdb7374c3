# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading leases."""

from __future__ import annotations

import datetime
import json
import pathlib

import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import leases
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import RegistryError

NOW = datetime.datetime(2026, 12, 1, 23, 59, 59, tzinfo=datetime.UTC)
LEASE: dict[str, object] = {
    "port": 8090,
    "hosts": "app",
    "reason": "Test",
    "expires": "2999-01-01",
}
LEASES = """\
version: 1
leases:
  - port: 8090
    hosts: application
    holder: {process: node, user: ada}
    reason: Load test
    expires: 2026-12-01
  - port: 8091
    protocol: udp
    hosts: ops
    holder: {process: [iperf3, iperf]}
    reason: Measuring
    expires: 2026-11-30
"""


def owner(**given: object) -> dict[str, object]:
    nobody: dict[str, object] = {
        "process": [],
        "user": None,
        "unit": [],
        "label": None,
        "container": None,
    }
    return {**nobody, "kernel": False, **given}


def read(folder: pathlib.Path, text: str, host: str, *groups: str) -> list[dict[str, object]]:
    (folder / "leases.yml").write_text(text)
    return leases.host_leases(str(folder / "ports.yml"), host, groups, NOW)


def test_a_lease_of_a_group_lasts_until_the_end_of_its_last_day(tmp_path: pathlib.Path) -> None:
    assert read(tmp_path, LEASES, "app", "application", "proxy") == [
        {
            "port": 8090,
            "protocol": "tcp",
            "owner": owner(process=["node"], user="ada"),
            "reason": "Load test",
            "expires": "2026-12-01",
            "end": 1796169600,
            "expired": False,
            "where": f"{tmp_path}/leases.yml:3",
        }
    ]


def test_a_lease_of_a_host_that_has_ended(tmp_path: pathlib.Path) -> None:
    (lease,) = read(tmp_path, LEASES, "ops", "metrics")
    assert lease["expired"] is True
    assert lease["owner"] == owner(process=["iperf3", "iperf"])


def test_a_holder_is_that_of_the_hosts_system(tmp_path: pathlib.Path) -> None:
    """A lease whose holder is given for the other one only is none."""
    holder = "{linux: {container: {engine: podman, name: load}}, darwin: {label: test.load}}"
    text = LEASES.replace("{process: node, user: ada}", holder)
    (tmp_path / "leases.yml").write_text(
        text.replace("{process: [iperf3, iperf]}", "{unit: a.service}")
    )
    file = str(tmp_path / "ports.yml")
    for system, expected in (
        (
            "linux",
            [owner(container={"engine": "podman", "name": "load"}), owner(unit=["a.service"])],
        ),
        ("darwin", [owner(label="test.load")]),
    ):
        found = leases.host_leases(file, "app", ["application", "ops"], NOW, system)
        assert [lease["owner"] for lease in found] == expected


def test_other_hosts_have_none(tmp_path: pathlib.Path) -> None:
    assert read(tmp_path, LEASES, "data", "database") == []


def test_the_file_need_not_exist(tmp_path: pathlib.Path) -> None:
    assert leases.host_leases(str(tmp_path / "ports.yml"), "app", ["all"], NOW) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("port: 8090", "port: 0", "leases.yml:3: leases[0].port: found 0, allowed is a whole"),
        ("2026-12-01", "soon", "leases.yml:7: leases[0].expires: found 'soon', allowed is a date"),
        (
            "2026-12-01",
            "2026-02-30",
            "leases.yml:7: leases[0].expires: found '2026-02-30', allowed is a day of the calendar",
        ),
        ("    reason: Load test\n", "", "leases.yml:3: leases[0].reason: found nothing, allowed"),
        ("hosts: ops", "hosts: ops\n    until: now", "found the unknown key 'until'"),
        ("user: ada", "user: 65534", "found 65534, allowed is the name of a user, or its number"),
        ("user: ada", "unit: load", "leases.yml:5: leases[0].holder.unit: found 'load', allowed"),
        ("process: node", "process: conmon", "leases[0].holder.process: found 'conmon', by which"),
        (
            "port: 8091\n    protocol: udp\n    hosts: ops",
            "port: 8090\n    hosts: application",
            "leases.yml:8: leases[1].port: found a second lease of 8090/tcp for application,"
            " allowed is one; see line 3",
        ),
    ],
)
def test_faults_are_told_with_their_place(
    tmp_path: pathlib.Path, old: str, new: str, fault: str
) -> None:
    assert old in LEASES
    with pytest.raises(RegistryError) as caught:
        read(tmp_path, LEASES.replace(old, new), "app")
    assert fault in str(caught.value)


@pytest.mark.parametrize("text", ["", "# nothing\n", "null\n", "\ufeffnull", "--- ~\n"])
def test_a_file_without_anything_in_it_is_a_fault(text: str) -> None:
    with pytest.raises(RegistryError, match=r"leases\.yml:1: \(root\): found an empty file"):
        leases.parse(text.encode(), "leases.yml")


def test_a_file_that_cannot_be_read_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "leases.yml").mkdir()
    with pytest.raises(RegistryError, match=r"leases\.yml: the leases can't be read: Is a dir"):
        leases.host_leases(str(tmp_path / "ports.yml"), "app", [], NOW)


@pytest.mark.parametrize(
    ("holder", "name"),
    [
        ({"user": "ada", "process": ["node", "bun"]}, "node"),
        ({"container": {"engine": "docker", "name": "web"}}, "web"),
        ({"container": "web"}, "web"),
        ({"unit": ["a.service"]}, "a.service"),
        ({"label": "com.example.web"}, "com.example.web"),
        ({"kernel": True}, "the kernel"),
        ({"darwin": {"label": "com.example.web"}, "linux": {"kernel": True}}, "the kernel"),
    ],
)
def test_the_name_of_a_holder(holder: dict[str, object], name: str) -> None:
    assert leases.holder_name(holder) == name
    text = json.dumps({"version": 1, "leases": [LEASE | {"holder": holder}]})
    (lease,) = leases.parse(text.encode(), "leases.yml")
    assert lease.state(NOW) == f"is leased to {name} on app until 2999-01-01 for: Test"
