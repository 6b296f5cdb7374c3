# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that is made is whole, or not there; what may be somebody's is never removed."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import time

import pytest
from postgresql_cluster import creation
from postgresql_cluster.creation import PREFIX, Creation, read_marker
from postgresql_cluster.host import ClusterError
from simulation import Host, Killed, listen


@pytest.fixture
def host(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path).install()
    listen(monkeypatch, host)
    monkeypatch.setattr(creation, "PAUSE", 0.01)
    return host


@pytest.fixture
def half_made(host: Host) -> Host:
    """A run was killed while the program that makes a cluster was at work."""
    host.creation = "half"
    with pytest.raises(Killed):
        host.apply()
    host.creation = ""
    assert host.cluster().found.state == "half-made"
    return host


def staged(host: Host) -> str:
    """The folder of the data of a half-made cluster."""
    return f"{host.layout.data}/{Creation(host.layout, host.run).own_name}"


def leftovers(host: Host) -> list[pathlib.Path]:
    return [path for path in host.root.rglob("*") if ".prsnl-" in path.name]


def test_what_is_half_made_is_not_in_the_place_of_a_cluster(half_made: Host) -> None:
    layout = half_made.layout
    assert not os.path.exists(f"{layout.data}/PG_VERSION")
    assert not os.path.exists(layout.configuration)
    assert os.path.exists(f"{staged(half_made)}/PG_VERSION")


def test_the_next_run_makes_it_anew(half_made: Host) -> None:
    name = Creation(half_made.layout, half_made.run).own_name
    assert half_made.preview()[0] == "finish or remove the half-made cluster 16/main"
    actions = half_made.apply().actions
    assert actions[:2] == [
        f"remove the half-made cluster of a run that was cut off ({name})",
        "create the cluster 16/main",
    ]
    assert leftovers(half_made) == []
    assert not os.path.exists(half_made.layout.marker)
    assert half_made.preview() == []


def test_the_next_run_waits_for_what_the_former_has_started(half_made: Host) -> None:
    words = ["sleep", "1", staged(half_made)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as child:
        # `sleep` doesn't like its last argument; a shell waits for longer.
        child.wait()
    script = f'sleep 0.5; : "{staged(half_made)}"; exit'
    with subprocess.Popen(["sh", "-c", script]):
        start = time.monotonic()
        half_made.apply()
        assert time.monotonic() - start > 0.3


def test_it_does_not_wait_for_ever(half_made: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creation, "PATIENCE", 0.1)
    with subprocess.Popen(["sh", "-c", f'sleep 5; : "{staged(half_made)}"; exit']) as child:
        before = half_made.picture()
        with pytest.raises(ClusterError, match="Run again when it has ended"):
            half_made.apply()
        assert half_made.picture() == before
        child.kill()


# --- somebody's -----------------------------------------------------------------------------------


def refused(host: Host) -> str:
    before = host.picture()
    with pytest.raises(ClusterError) as caught:
        host.apply()
    assert host.picture() == before
    return str(caught.value)


def restore_by_hand(host: Host) -> None:
    """What a DBA does who finds no cluster: a copy of a backup, into its place, not started yet."""
    for name in ("base/5", "global", "pg_wal"):
        os.makedirs(f"{host.layout.data}/{name}", exist_ok=True)
    host.write(f"{host.layout.data}/PG_VERSION", "16\n")
    host.write(f"{host.layout.data}/postgresql.auto.conf", "")
    host.write(f"{host.layout.data}/base/5/16384", "the customers")


def test_data_that_a_dba_restored_stays(half_made: Host) -> None:
    restore_by_hand(half_made)
    assert "found data in" in refused(half_made)
    assert half_made.text(f"{half_made.layout.data}/base/5/16384") == "the customers"


def test_a_cluster_that_a_dba_restored_is_theirs_and_is_used(half_made: Host) -> None:
    restore_by_hand(half_made)
    half_made.write(
        half_made.layout.main_file,
        f"data_directory = '{half_made.layout.data}'\nhba_file = '/x'\ninclude_dir = 'conf.d'\n",
    )
    actions = half_made.apply().actions
    assert "create the cluster 16/main" not in actions
    assert half_made.text(f"{half_made.layout.data}/base/5/16384") == "the customers"
    assert leftovers(half_made) == []


@pytest.mark.parametrize("name", ["postmaster.opts", "postmaster.pid"])
def test_a_half_made_cluster_that_a_server_ran_in_stays(half_made: Host, name: str) -> None:
    half_made.write(f"{staged(half_made)}/{name}", "")
    told = refused(half_made)
    assert f"{staged(half_made)}/{name} may be somebody's" in told
    assert "a server has run there" in told
    assert half_made.layout.marker in told


def test_a_half_made_cluster_with_newer_files_stays(
    half_made: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program that makes one has an hour at most."""
    found = json.loads(half_made.text(half_made.layout.marker))
    found["began"] -= creation.LIMIT + 60
    half_made.write(half_made.layout.marker, json.dumps(found))
    assert "it is newer than the run that was cut off" in refused(half_made)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_half_made_cluster_with_files_of_others_stays(half_made: Host) -> None:
    half_made.write(f"{staged(half_made)}/notes", "of root")
    os.chown(f"{staged(half_made)}/notes", 12345, 12345)
    assert "it isn't a file of me" in refused(half_made)


def test_only_the_marker_says_what_is_half_made(half_made: Host) -> None:
    """Folders of that name, whoever made them, are data like any other."""
    os.unlink(half_made.layout.marker)
    assert f"found data in {half_made.layout.data} ({PREFIX}" in refused(half_made)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"version": 2, "token": "0123456789abcdef0123456789abcdef", "began": 1}',
        '{"version": 1, "token": "../../../home", "began": 1}',
    ],
)
def test_a_marker_that_is_not_understood_stops_everything(host: Host, text: str) -> None:
    host.write(host.layout.marker, text)
    with pytest.raises(ClusterError, match="can't be read by this release"):
        read_marker(host.layout.marker)
    assert "can't be read by this release" in refused(host)


# --- complete, and moved in part ------------------------------------------------------------------


@pytest.fixture
def complete(host: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A run was killed when the cluster was whole, and nothing of it was moved."""

    def killed(*_arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Creation, "_move", killed)
        with pytest.raises(Killed):
            host.apply()
    return host


def test_a_whole_cluster_is_moved_by_the_next_run(complete: Host) -> None:
    actions = complete.apply().actions
    assert actions[0] == "finish the cluster 16/main, which was cut off"
    assert "create the cluster 16/main" not in actions
    assert leftovers(complete) == []
    assert complete.preview() == []


@pytest.mark.parametrize("file", ["PG_VERSION", "base/1", "global"])
def test_what_a_dba_put_into_its_place_meanwhile_stays(complete: Host, file: str) -> None:
    if file == "base/1":
        complete.write(f"{complete.layout.data}/base/1/16384", "the customers")
        # An empty folder of the new one meets it.
        complete.write(f"{staged(complete)}/base/1/16384", "nothing")
    else:
        complete.write(f"{complete.layout.data}/{file}", "somebody's")
    told = refused(complete)
    assert f"{complete.layout.data}/{file}" in told
    assert "Nobody else's files were changed." in told


def test_a_folder_of_settings_that_was_there_before_is_kept(host: Host) -> None:
    own = f"{host.layout.configuration}/conf.d/50-dba.conf"
    host.write(own, "work_mem = '7MB'\n")
    host.apply()
    assert host.text(own) == "work_mem = '7MB'\n"
    assert host.preview() == []


def test_a_place_to_mount_data_on_may_be_there(host: Host) -> None:
    os.makedirs(host.layout.data, mode=0o755)
    inode = os.stat(host.layout.data).st_ino
    host.apply()
    assert os.stat(host.layout.data).st_ino == inode
    assert os.stat(host.layout.data).st_mode & 0o777 == 0o700


def test_a_failure_leaves_folders_that_were_there(host: Host) -> None:
    os.makedirs(host.layout.data)
    host.write(f"{os.path.dirname(host.layout.data)}/notes", "of a DBA")
    host.creation = "fail"
    with pytest.raises(ClusterError):
        host.apply()
    assert host.text(f"{os.path.dirname(host.layout.data)}/notes") == "of a DBA"


def test_the_log_is_for_those_who_read_logs(host: Host) -> None:
    host.apply()
    assert os.stat(host.layout.log).st_mode & 0o7777 == 0o640
