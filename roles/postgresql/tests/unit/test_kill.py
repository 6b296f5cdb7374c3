# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGKILL before any write: the next run converges, also after another change came first."""

from __future__ import annotations

import itertools
import os
import pathlib
import shutil
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.host.manifest import (
    manifest_path,
    read_manifest,
)
from cuts import run_until
from simulation import PORT, RULES, Host, listen

NOTHING: dict[str, t.Any] = {}
MOVED: dict[str, t.Any] = {
    "port": PORT + 1,
    "settings": {"port": PORT + 1, "work_mem": "9MB"},
    "rules": RULES + "# more\n",
    "options": {"User": "postgres", "UMask": "0077"},
}


def fresh(host: Host) -> None:
    host.install()


def converged(host: Host) -> None:
    host.install()
    host.apply()


def by_hand(host: Host) -> None:
    host.install()
    host.make_by_hand()
    host.start_by_unit()


def former(host: Host) -> None:
    """As the release before configured it."""
    by_hand(host)
    layout = host.layout
    text = f"hba_file = '{layout.unused_hba}'\nlisten_addresses = '0.0.0.0'\nport = '{PORT}'\n"
    host.write(layout.former_settings, text)
    host.write(layout.unused_hba, f"# Who may connect follows from the consumers of x\n{RULES}")
    host.run(["systemctl", "restart", layout.unit])


# What is done, what is wanted, whether something else changes the host before the next run, and
# every how many writes it is killed: all of them take their time.
CASES = {
    "create": (fresh, NOTHING, False, 2),
    "create, then another change": (fresh, NOTHING, True, 5),
    "move": (converged, MOVED, False, 1),
    "move, then another change": (converged, MOVED, True, 2),
    "adopt": (by_hand, NOTHING, False, 5),
    "upgrade, then another change": (former, NOTHING, True, 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_kill_before_any_write_is_recovered(
    case: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, changes, other, stride = CASES[case]
    host = Host(tmp_path / "host")
    host.root.mkdir()
    listen(monkeypatch, host)
    prepare(host)
    was_running = host.is_running
    before = shutil.copytree(host.root, tmp_path / "before", symlinks=True)
    cuts = 0
    for write in itertools.count(step=stride):
        shutil.rmtree(host.root)
        shutil.copytree(before, host.root, symlinks=True)
        host.settle()
        if not run_until(write, lambda: host.apply(**changes)):
            break
        cuts += 1
        if other:
            with host.changing("something else"):
                pass
            # Whoever could connect before still can.
            assert host.is_running or not was_running
            assert not os.path.exists(host.undo) or os.listdir(host.undo) == []
        host.apply(**changes)
        assert_converged(host, changes)
    # Less would mean that the hook doesn't see the writes.
    assert cuts * stride > 20


def assert_converged(host: Host, changes: dict[str, t.Any]) -> None:
    layout = host.layout
    assert host.preview(**changes) == []
    assert host.running["port"] == str(changes.get("port", PORT))
    assert host.running["hba_file"] == layout.hba
    assert host.state["pending"] == []
    assert host.state["rules"] == host.text(layout.hba)
    assert [path for path in host.root.rglob("*") if ".prsnl-" in path.name] == []
    assert not os.path.exists(layout.marker)
    assert os.listdir(host.undo) == []
    manifest = read_manifest(manifest_path(layout.unit, layout.state))
    assert manifest
    assert manifest.applied
