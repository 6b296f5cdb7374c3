# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the cluster's user puts into its folders can't make root read or write anything else.

These run as root, with another user as the cluster's.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile
import typing as t
from collections.abc import Iterator

import pytest
from postgresql_cluster.change import FORMER_RULES
from postgresql_cluster.host import Account, ClusterError
from simulation import PORT, Host, Killed, listen

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be led astray")
SECRET = "root:$6$secret"
NOBODY = Account("nobody", 65534, 65534)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    # pytest's own folders are closed to others.
    root = pathlib.Path(tempfile.mkdtemp(prefix="postgresql-attack-"))
    root.chmod(0o755)
    host = Host(root / "host", NOBODY)
    host.root.mkdir()
    host.install()
    listen(monkeypatch, host)
    private = host.root / "root"
    private.mkdir(mode=0o700)
    for name in ("shadow", "conf.d"):
        (private / "folder").mkdir(exist_ok=True)
        data = f"data_directory = '{host.layout.data}'\nhba_file = '{host.layout.hba}'\n"
        (private / name).write_text(f"{SECRET}\n{FORMER_RULES}x\n{data}port = {PORT}\n")
    try:
        yield host
    finally:
        shutil.rmtree(root)


@pytest.fixture(params=["running", "stopped"])
def converged(host: Host, request: pytest.FixtureRequest) -> Host:
    host.apply()
    assert host.preview() == []
    if request.param == "stopped":
        # Then there is no server that stumbles over its files first.
        host.run(["systemctl", "stop", host.layout.unit])
    return host


def private(host: Host) -> dict[str, tuple[t.Any, ...]]:
    prefix = f"{host.root}/root/"
    return {path: entry for path, entry in host.picture().items() if path.startswith(prefix)}


def attempt(host: Host, **changes: t.Any) -> str:
    """All that a run says, in check mode and for real; what only root may touch stays."""
    before = private(host)
    assert len(before) == 3
    told = []
    for is_check in (True, False):
        try:
            cluster = host.cluster(**changes)
            (cluster.preview if is_check else lambda: host.apply(**changes))()
            told += [str(cluster.diff()), str(cluster.actions), str(cluster.remarks)]
        except (ClusterError, OSError) as error:
            told.append(str(error))
    assert private(host) == before
    assert SECRET not in "".join(told)
    assert (os.geteuid(), os.getegid()) == (0, 0)
    return "\n".join(told)


def replace(path: str, target: str) -> None:
    """What the cluster's user does."""
    with NOBODY.acting():
        if os.path.isdir(path) and not os.path.islink(path):
            os.rename(path, f"{path}.away")
        elif os.path.lexists(path):
            os.unlink(path)
        os.symlink(target, path)


@pytest.mark.parametrize("name", ["include", "unused_hba", "main_file", "former_settings"])
def test_a_link_in_place_of_a_file(converged: Host, name: str) -> None:
    replace(getattr(converged.layout, name), f"{converged.root}/root/shadow")
    attempt(converged, settings={"work_mem": "9MB"})


@pytest.mark.parametrize("name", ["include", "unused_hba", "main_file", "former_settings"])
def test_a_link_to_a_file_that_is_not_there(converged: Host, name: str) -> None:
    replace(getattr(converged.layout, name), f"{converged.root}/root/folder/new")
    attempt(converged, settings={"work_mem": "9MB"})


def test_a_link_in_place_of_the_folder_of_settings(converged: Host) -> None:
    replace(os.path.dirname(converged.layout.include), f"{converged.root}/root/folder")
    attempt(converged, settings={"work_mem": "9MB"})


@pytest.mark.parametrize("depth", [0, 1])
def test_a_link_in_place_of_the_configuration(converged: Host, depth: int) -> None:
    path = pathlib.Path(converged.layout.configuration)
    replace(str((path, *path.parents)[depth]), f"{converged.root}/root/folder")
    attempt(converged, settings={"work_mem": "9MB"})


@pytest.mark.parametrize("file", ["postmaster.pid", "PG_VERSION"])
def test_a_link_in_place_of_a_file_of_the_data(converged: Host, file: str) -> None:
    replace(f"{converged.layout.data}/{file}", f"{converged.root}/root/shadow")
    attempt(converged)


@pytest.mark.parametrize("name", ["data", "configuration", "log"])
def test_a_link_in_the_place_of_a_new_cluster(host: Host, name: str) -> None:
    path = getattr(host.layout, name)
    os.chmod(os.path.dirname(host.layout.log), 0o1777)  # noqa: S103 - as the package has it
    with NOBODY.acting():
        os.makedirs(os.path.dirname(path), exist_ok=True)
    replace(path, f"{host.root}/root/folder")
    attempt(host)


def test_a_link_in_place_of_a_half_made_cluster(host: Host) -> None:
    """Removing it must not lead elsewhere."""
    host.creation = "half"
    with pytest.raises(Killed):
        host.apply()
    host.creation = ""
    (staged,) = (path for path in os.listdir(host.layout.data) if path.startswith(".prsnl-"))
    host.give(host.layout.data)
    replace(f"{host.layout.data}/{staged}", f"{host.root}/root/folder")
    attempt(host)


def test_what_the_user_owns_is_written_as_that_user(converged: Host) -> None:
    status = os.stat(converged.layout.include)
    assert (status.st_uid, status.st_gid) == (NOBODY.uid, NOBODY.gid)
    assert os.stat(converged.layout.main_file).st_uid == NOBODY.uid


def test_what_only_root_may_change_is_roots(converged: Host) -> None:
    for path in (converged.layout.own, converged.layout.settings, converged.layout.hba):
        assert os.stat(path).st_uid == 0
        assert os.stat(path).st_mode & 0o022 == 0
    assert os.stat(converged.layout.hba).st_gid == NOBODY.gid


def test_a_configuration_that_only_root_may_change_stays_roots(host: Host) -> None:
    host.make_by_hand()
    for path in (host.root / "etc/postgresql", *(host.root / "etc/postgresql").rglob("*")):
        os.chown(path, 0, 0)
    host.apply()
    assert os.stat(host.layout.include).st_uid == 0
    assert host.preview() == []


def test_a_key_that_its_user_can_not_read_is_told(converged: Host) -> None:
    files = {"certificate": f"{converged.root}/root/shadow", "key": f"{converged.root}/root/shadow"}
    assert "The user nobody can not use the certificate" in attempt(converged, **files)


@pytest.mark.parametrize("path", ["/", "/etc", "/root"])
def test_data_in_a_place_of_root(converged: Host, path: str) -> None:
    text = converged.text(converged.layout.main_file)
    text = text.replace(converged.layout.data, path)
    converged.write(converged.layout.main_file, text)
    assert "Nothing was changed" in attempt(converged)
