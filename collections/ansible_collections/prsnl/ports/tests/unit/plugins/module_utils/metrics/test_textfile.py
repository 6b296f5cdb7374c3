# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of leases and of the firewall."""

from __future__ import annotations

import os
import pathlib

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import UnsafePathError
from ansible_collections.prsnl.ports.plugins.module_utils.metrics import textfile
from ansible_collections.prsnl.ports.plugins.module_utils.plan.leases import leases_at, read_leases
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.owners import Owner

LEASE = {
    "port": 8090,
    "protocol": "tcp",
    "owner": Owner(process=("node",), user="ada").as_dict(),
    "reason": 'The "big" test \\ all',
    "expires": "2026-11-26T18:00Z",
    "end": 1795716000,
    "expired": False,
    "where": "registry/leases.yml:4",
}


def test_the_end_of_a_lease() -> None:
    """It stays after the end, so that an alert can tell."""
    text = textfile.render([], {}, 0, read_leases([LEASE]))
    assert (
        'prsnl_port_lease_expiry_seconds{port="8090",protocol="tcp",holder="node (ada)",'
        'reason="The \\"big\\" test \\\\ all"} 1795716000\n'
    ) in text
    assert "# TYPE prsnl_port_lease_expiry_seconds gauge\n" in text
    assert "lease" not in textfile.render([], {}, 0)


def test_whether_it_has_ended_is_told_when_it_is_looked_at() -> None:
    leases = read_leases([LEASE])
    assert [lease.expired for lease in leases_at(leases, 1795715999)] == [False]
    assert [lease.expired for lease in leases_at(leases, 1795716000)] == [True]


@pytest.mark.parametrize(("faults", "value"), [([], 1), (["the rules are gone"], 0)])
def test_whether_the_firewall_is_in_force(faults: list[str], value: int) -> None:
    text = textfile.render([], {}, 0, firewall=faults)
    assert f"# TYPE prsnl_firewall_ok gauge\nprsnl_firewall_ok {value}\n" in text
    assert "firewall" not in textfile.render([], {}, 0, firewall=None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can own things for others")
@pytest.mark.parametrize("kind", ["link", "dangling link", "linked folder"])
def test_the_exporters_user_leads_root_nowhere(tmp_path: pathlib.Path, kind: str) -> None:
    """The folder of the metrics may be that user's."""
    folder, victim = tmp_path / "node-exporter", tmp_path / "victim"
    folder.mkdir()
    victim.mkdir()
    (victim / "ports.prom").write_text("root's", encoding="utf-8")
    out = folder / "ports.prom"
    if kind == "link":
        out.symlink_to(victim / "ports.prom")
    elif kind == "dangling link":
        out.symlink_to(victim / "new")
    else:
        (folder / "sub").symlink_to(victim)
        out = folder / "sub" / "ports.prom"
    os.chown(folder, 64321, 64321)
    plan = tmp_path / "plan.json"
    plan.write_text('{"host": "app", "environment": "test", "system": "linux", "endpoints": []}')
    with pytest.raises(UnsafePathError):
        textfile.main(str(plan), str(out))
    assert os.listdir(victim) == ["ports.prom"]
    assert (victim / "ports.prom").read_text(encoding="utf-8") == "root's"
