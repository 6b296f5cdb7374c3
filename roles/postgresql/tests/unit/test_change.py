# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each state of a cluster, in check mode and for real, on a simulated host."""

from __future__ import annotations

import os
import pathlib
import stat
import subprocess
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.host.manifest import (
    manifest_path,
    read_manifest,
)
from postgresql_cluster.change import CUT_OFF
from postgresql_cluster.host import ClusterError
from simulation import PORT, RULES, TOO_MUCH, Host, listen

MOVED = PORT + 1


@pytest.fixture
def host(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path).install()
    listen(monkeypatch, host)
    return host


@pytest.fixture
def converged(host: Host) -> Host:
    host.apply()
    return host


def refused(host: Host, **changes: t.Any) -> str:
    """What is said, where neither check mode nor a run changes anything."""
    before = host.picture()
    with pytest.raises(ClusterError) as previewed:
        host.preview(**changes)
    with pytest.raises(ClusterError) as applied:
        host.apply(**changes)
    assert str(previewed.value) == str(applied.value)
    assert host.picture() == before
    assert [call for call in host.calls if call not in ("show", "pg_reload_conf")] == []
    return str(applied.value)


def failed(host: Host, **changes: t.Any) -> str:
    """What is said, where only a run finds out; afterwards nothing is left to do as before."""
    before = {path: content for path, (content, *_rest) in own_files(host).items()}
    with pytest.raises(ClusterError) as caught:
        host.apply(**changes)
    assert {path: content for path, (content, *_rest) in own_files(host).items()} == before
    assert os.listdir(host.undo) == []
    return str(caught.value)


def own_files(host: Host) -> dict[str, tuple[t.Any, ...]]:
    places = (host.layout.own, os.path.dirname(host.layout.drop_in), host.layout.state)
    return {
        path: entry
        for path, entry in host.picture().items()
        if path.startswith(places) and os.path.isfile(path) and not path.startswith(host.undo)
    }


def is_idle(host: Host, **changes: t.Any) -> bool:
    """Whether a further run finds nothing to do."""
    before = host.picture()
    assert host.preview(**changes) == []
    assert host.apply(**changes).actions == []
    return host.picture() == before and set(host.calls) == {"show"}


# --- absent ---------------------------------------------------------------------------------------


def test_an_absent_cluster_is_told_in_check_mode(host: Host) -> None:
    layout = host.layout
    assert host.preview() == [
        "create the cluster 16/main",
        f"write {layout.drop_in}",
        f"write {layout.settings}",
        f"write {layout.hba}",
        "start",
        "enable",
    ]


def test_on_a_host_without_packages_check_mode_tells_the_same(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    host._save()
    host.account = None
    assert "create the cluster 16/main" in host.preview()
    with pytest.raises(ClusterError, match=r"no user postgres\. Install the packages first"):
        host.apply()


def test_an_absent_cluster_is_created_configured_and_run(host: Host) -> None:
    layout = host.layout
    cluster = host.apply()
    assert cluster.actions == [
        "create the cluster 16/main",
        f"write {layout.drop_in}",
        f"write {layout.settings}",
        f"write {layout.hba}",
        "start",
        "enable",
        f"remove the port from {layout.main_file}",
    ]
    assert host.running["port"] == str(PORT)
    assert host.running["hba_file"] == layout.hba
    assert cluster.facts() == {
        "state": "running",
        "data": layout.data,
        "port": PORT,
        "memory_mb": cluster.found.memory_mb,
        "enabled": True,
        "checksums": True,
        "databases": {"postgres": "postgres"},
        "monitors": ["prometheus"],
        "pending": [],
    }
    manifest = read_manifest(manifest_path(layout.unit, layout.state))
    assert manifest
    assert manifest.applied
    assert set(manifest.files) == {layout.drop_in, layout.settings, layout.hba}
    assert manifest.endpoints["postgresql.sql"]["port"] == PORT


def test_nothing_of_the_making_is_left(converged: Host) -> None:
    assert [path for path in converged.root.rglob("*") if ".prsnl-" in path.name] == []
    assert not os.path.exists(converged.layout.marker)
    main = converged.text(converged.layout.main_file)
    assert f"data_directory = '{converged.layout.data}'" in main
    assert "Nobody reads this file" in converged.text(converged.layout.unused_hba)


def test_a_second_run_does_nothing(converged: Host) -> None:
    assert is_idle(converged)


def test_a_cluster_that_can_not_be_made_leaves_nothing(host: Host) -> None:
    before = host.picture()
    host.creation = "fail"
    with pytest.raises(ClusterError, match="16/main could not be made: Error: initdb failed"):
        host.apply()
    left = {path for path in host.picture() if os.path.isfile(path)}
    assert left == {path for path in before if os.path.isfile(path)} | {host.layout.log}
    host.creation = ""
    host.apply()
    assert is_idle(host)


def test_data_without_a_configuration_is_refused(host: Host) -> None:
    host.write(f"{host.layout.data}/PG_VERSION", "16\n")
    told = refused(host)
    assert f"found data in {host.layout.data} (PG_VERSION), but no configuration" in told
    assert "Nothing was changed. Move the data away, or bring its configuration back" in told


# --- made by hand ---------------------------------------------------------------------------------


def test_a_stopped_cluster_of_somebody_else_is_configured_and_started(host: Host) -> None:
    host.make_by_hand()
    own = host.text(host.layout.main_file)
    assert "start" in host.preview()
    assert "pg_createcluster" not in host.apply().actions
    assert host.running["port"] == str(PORT)
    # All of its own settings are there but the port.
    kept = host.text(host.layout.main_file)
    assert set(own.splitlines()) - set(kept.splitlines()) == {"port = 5432"}
    assert "Nobody reads" not in host.text(host.layout.unused_hba)
    assert is_idle(host)


def test_a_running_cluster_of_somebody_else_restarts_once(host: Host) -> None:
    host.make_by_hand()
    host.start_by_unit()
    actions = host.apply().actions
    assert [action for action in actions if action.startswith("restart")] == [
        "restart for the unit, hba_file, listen_addresses and port"
    ] or [action for action in actions if action.startswith("restart for the unit")]
    assert is_idle(host)


def test_a_server_that_was_started_by_hand_is_named(host: Host) -> None:
    host.make_by_hand()
    host.spawn(active="inactive")
    told = refused(host)
    assert f"runs (pid {os.getpid()}, port 5432), but not as {host.layout.unit}" in told
    assert "pg_ctlcluster 16 main stop" in told


def test_a_masked_unit_is_named(converged: Host) -> None:
    converged.masked = True
    assert "is masked. Unmask it (systemctl unmask postgresql@16-main" in refused(converged)


def test_data_that_is_not_mounted_is_named(converged: Host) -> None:
    converged.run(["systemctl", "stop", converged.layout.unit])
    os.rename(converged.layout.data, f"{converged.layout.data}-elsewhere")
    os.mkdir(converged.layout.data)
    told = refused(converged)
    assert f"the data of 16/main is in {converged.layout.data}, but there is none" in told


@pytest.mark.parametrize(
    "path", ["/srv/x\\nExecStartPre=+/bin/evil", "/srv/%h", "/srv/a b", '/srv/"', "srv"]
)
def test_a_path_of_data_can_not_get_into_the_unit(converged: Host, path: str) -> None:
    """The cluster's user writes it, and root writes it into the unit."""
    converged.write(
        converged.layout.main_file, f"data_directory = '{path}'\nhba_file = '/x'\nport = 1\n"
    )
    assert "data_directory is '" in refused(converged)


def test_the_data_may_be_named_in_another_file(host: Host) -> None:
    host.make_by_hand()
    text = host.text(host.layout.main_file).replace("data_directory", "#data_directory")
    host.write(host.layout.main_file, text)
    assert host.cluster().found.data == host.layout.data


# --- converged, and changed -----------------------------------------------------------------------


def test_a_moved_port_restarts_once(converged: Host) -> None:
    layout = converged.layout
    assert converged.preview(port=MOVED, settings={"port": MOVED}) == [
        f"write {layout.settings}",
        "restart for port",
    ]
    cluster = converged.apply(port=MOVED, settings={"port": MOVED})
    assert cluster.actions == [f"write {layout.settings}", "reload", "restart for port"]
    assert converged.calls.count("restart") == 1
    assert cluster.facts()["port"] == MOVED
    assert is_idle(converged, port=MOVED, settings={"port": MOVED})


def test_what_a_reload_can_change_does_not_restart(converged: Host) -> None:
    changes: dict[str, t.Any] = {"settings": {"work_mem": "9MB"}, "rules": RULES + "# more\n"}
    layout = converged.layout
    wanted = [f"write {layout.settings}", f"write {layout.hba}", "reload"]
    assert converged.preview(**changes) == wanted
    assert converged.apply(**changes).actions == wanted
    assert "restart" not in converged.calls
    assert converged.running["work_mem"] == "9MB"
    assert is_idle(converged, **changes)


def test_other_options_of_the_unit_restart(converged: Host) -> None:
    changes = {"options": {"User": "postgres", "UMask": "0077"}}
    wanted = [f"write {converged.layout.drop_in}", "restart for the unit"]
    assert converged.preview(**changes) == wanted
    assert converged.apply(**changes).actions == wanted
    assert converged.calls.index("daemon-reload") < converged.calls.index("restart")
    assert is_idle(converged, **changes)


def test_a_unit_that_changed_without_a_reload_restarts(converged: Host) -> None:
    """The template of the package, for example: no drop-in of this cluster."""
    converged.change_unit()
    assert converged.preview() == ["restart for the unit"]
    assert converged.apply().actions == ["restart for the unit"]
    assert converged.calls.index("daemon-reload") < converged.calls.index("restart")
    assert is_idle(converged)


def test_another_program_restarts(converged: Host) -> None:
    converged.write(f"{converged.layout.programs}/postgres", "a newer one")
    assert converged.preview() == ["restart for the program"]
    assert converged.apply().actions == ["restart for the program"]
    assert is_idle(converged)


def test_a_stopped_server_is_started(converged: Host) -> None:
    converged.run(["systemctl", "stop", converged.layout.unit])
    assert converged.preview() == ["start"]
    assert converged.apply().actions == ["start"]
    assert is_idle(converged)


def test_a_crashed_server_is_started(converged: Host) -> None:
    converged.crash()
    assert converged.apply().actions == ["start"]
    assert converged.is_running


def test_a_unit_that_does_not_start_at_boot_is_enabled_and_not_touched(converged: Host) -> None:
    os.unlink(converged.layout.wanted)
    assert converged.preview() == ["enable"]
    assert converged.apply().actions == ["enable"]
    assert "pg_reload_conf" not in converged.calls


@pytest.mark.parametrize("name", ["settings", "hba", "drop_in"])
def test_what_was_edited_by_hand_comes_back(converged: Host, name: str) -> None:
    path = getattr(converged.layout, name)
    wanted = converged.text(path)
    converged.write(path, wanted + "# by hand\n")
    assert f"write {path}" in converged.preview()
    converged.apply()
    assert converged.text(path) == wanted
    assert is_idle(converged)


def test_the_file_that_leads_to_the_settings_comes_back(converged: Host) -> None:
    os.unlink(converged.layout.include)
    wanted = [f"write {converged.layout.include}", "reload"]
    assert converged.preview() == wanted
    assert converged.apply().actions == wanted
    assert is_idle(converged)


def test_files_that_others_made_right_are_read(converged: Host) -> None:
    changes: dict[str, t.Any] = {"rules": RULES + "# more\n"}
    converged.write(converged.layout.hba, changes["rules"])
    converged.write(
        manifest_path(converged.layout.unit, converged.layout.state), "somebody cleaned up"
    )
    os.chmod(converged.layout.hba, 0o640)
    assert converged.apply(**changes).actions == ["reload"]
    assert "# more" in converged.state["rules"]


def test_a_restart_that_somebody_else_owes_is_not_made_for_them(converged: Host) -> None:
    layout = converged.layout
    converged.write(f"{layout.configuration}/conf.d/95-dba.conf", "shared_buffers = '1GB'\n")
    converged._reload()
    assert converged.state["pending"] == ["shared_buffers"]
    cluster = converged.apply()
    assert cluster.actions == []
    assert cluster.facts()["pending"] == ["shared_buffers"]
    (remark,) = cluster.remarks
    assert "has to be restarted for shared_buffers, which somebody else has changed" in remark


def test_a_setting_that_is_given_up_restarts_too(converged: Host) -> None:
    converged.apply(settings={"shared_buffers": "1GB"})
    assert converged.apply().actions[-1] == "restart for shared_buffers"


# --- hidden ---------------------------------------------------------------------------------------


def test_a_port_that_alter_system_sets_is_refused_before_a_change(converged: Host) -> None:
    auto = f"{converged.layout.data}/postgresql.auto.conf"
    converged.write(auto, "# Do not edit\nport = '5555'\n")
    told = refused(converged, settings={"work_mem": "9MB"})
    assert f"port is set in {auto}:2, and that hides {converged.layout.settings}" in told
    assert "ALTER SYSTEM RESET" in told


def test_a_port_on_the_command_line_is_refused_before_a_change(converged: Host) -> None:
    converged._save(command_line=["port"])
    assert "port is set in the command line" in refused(converged)


def test_a_file_that_is_read_later_is_refused(converged: Host) -> None:
    later = f"{converged.layout.configuration}/conf.d/99-dba.conf"
    converged.write(later, "listen_addresses = '*'\n")
    assert f"listen_addresses is set in {later}:1" in refused(converged)


def test_what_the_role_leaves_open_may_be_set_elsewhere(converged: Host) -> None:
    converged.write(f"{converged.layout.configuration}/conf.d/99-dba.conf", "work_mem = '9MB'\n")
    assert is_idle(converged)


def test_a_configuration_that_does_not_lead_to_the_settings_is_refused(host: Host) -> None:
    host.make_by_hand()
    text = host.text(host.layout.main_file).replace("include_dir = 'conf.d'\n", "")
    host.write(host.layout.main_file, text)
    host.start_by_unit()
    told = failed(host)
    assert f"doesn't read {host.layout.include}; add the line include_dir = 'conf.d'" in told
    assert told.endswith("Nothing has changed.")
    assert host.running["port"] == "5432"


# --- what PostgreSQL refuses ----------------------------------------------------------------------


def test_a_setting_that_is_unknown_is_refused_before_a_change(converged: Host) -> None:
    told = refused(converged, settings={"work_meme": "9MB"})
    assert f"{converged.layout.settings} would not be valid." in told
    assert "work_meme" in told


def test_rules_that_can_not_be_read_do_not_stay(converged: Host) -> None:
    told = failed(converged, rules=RULES + "hots all all all reject\n")
    assert "keeps its former configuration, because it can not read the new one" in told
    assert f"{converged.layout.hba}:3: invalid connection type" in told
    assert told.endswith("Nothing has changed.")
    assert "pg_reload_conf" not in converged.calls
    assert is_idle(converged)


def test_a_mistake_in_a_file_of_somebody_else_is_named(converged: Host) -> None:
    converged.write(f"{converged.layout.configuration}/conf.d/50-dba.conf", "wrok_mem = 1\n")
    assert "50-dba.conf:1: wrok_mem: unrecognized" in refused(converged)


def test_a_server_that_does_not_start_gets_its_former_files(converged: Host) -> None:
    told = failed(converged, settings={"shared_buffers": TOO_MUCH})
    assert "systemctl restart: Job failed" in told
    assert "The last lines of its journal:\nFATAL:  it broke" in told
    assert told.endswith(
        "The former files are back, and postgresql@16-main.service runs with them again."
    )
    assert converged.running["shared_buffers"] == "256MB"
    assert is_idle(converged)


def test_a_server_that_listens_nowhere_gets_its_former_files(converged: Host) -> None:
    converged.start = "deaf"
    told = failed(converged, port=MOVED, settings={"port": MOVED})
    assert f"does not listen on 0.0.0.0 port {MOVED} after 0.1 s" in told
    converged.start = ""
    assert converged.running["port"] == str(PORT)


def test_a_new_cluster_that_does_not_start_stays_stopped(host: Host) -> None:
    host.start = "fails"
    told = failed(host)
    assert told.endswith("postgresql@16-main.service is stopped, as it was.")
    assert not host.is_running
    # If it is started later, it isn't on PostgreSQL's own port.
    assert f"port = {PORT}" in host.text(host.layout.main_file)
    host.start = ""
    host.apply()
    assert is_idle(host)


def test_a_server_that_does_not_read_its_files_is_told(converged: Host) -> None:
    converged.start = "stubborn"
    told = failed(converged, settings={"work_mem": "9MB"})
    assert "does not read its files again" in told


def test_recovering_from_a_crash_takes_as_long_as_it_takes(
    converged: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    converged.run(["systemctl", "stop", converged.layout.unit])
    converged.start = "recovers"
    looked = 0

    def sockets() -> list[t.Any]:
        nonlocal looked
        looked += 1
        if looked == 500:
            converged.start = ""
            pid = f"{converged.layout.data}/postmaster.pid"
            converged.write(pid, converged.text(pid).replace("starting", "ready   "))
        found: list[t.Any] = converged.sockets()
        return found

    monkeypatch.setattr("postgresql_cluster.service.read_sockets", sockets)
    assert converged.apply().actions == ["start"]
    assert looked >= 500


def test_rules_that_keep_us_out_are_replaced(converged: Host) -> None:
    converged.write(converged.layout.hba, "local all postgres reject\n")
    converged._reload()
    assert converged.cluster().found.unreachable
    assert converged.apply().actions == [f"write {converged.layout.hba}", "reload"]
    assert converged.calls.count("reload") == 1
    assert is_idle(converged)


# --- cut off --------------------------------------------------------------------------------------


def test_a_change_that_was_cut_off_is_gone_on_with(
    converged: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_words: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("postgresql_cluster.service.Service.start", killed)
        with pytest.raises(KeyboardInterrupt):
            converged.apply(port=MOVED, settings={"port": MOVED})
    assert converged.running["port"] == str(PORT)
    assert converged.preview(port=MOVED, settings={"port": MOVED})[0] == CUT_OFF
    actions = converged.apply(port=MOVED, settings={"port": MOVED}).actions
    assert actions == [CUT_OFF, "restart for port"]
    assert is_idle(converged, port=MOVED, settings={"port": MOVED})


def test_a_change_that_was_being_taken_back_is_taken_back_first(
    converged: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_words: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("postgresql_cluster.service.Service.start", killed)
        with pytest.raises(KeyboardInterrupt):
            converged.apply(port=MOVED, settings={"port": MOVED})
    folder = f"{converged.undo}/{converged.layout.unit}"
    os.rename(f"{folder}/pending.json", f"{folder}/claimed.json")
    cluster = converged.apply(port=MOVED, settings={"port": MOVED})
    assert "was cut off, and was taken back" in cluster.recovered[0]
    assert CUT_OFF not in cluster.actions
    assert converged.calls.count("restart") == 2
    assert is_idle(converged, port=MOVED, settings={"port": MOVED})


# --- files of earlier releases --------------------------------------------------------------------


@pytest.fixture
def former(host: Host) -> Host:
    """A cluster as the release before configured it."""
    host.make_by_hand()
    main = host.text(host.layout.main_file)
    host.write(host.layout.main_file, main.replace("port = 5432\n", ""))
    host.write(
        host.layout.former_settings,
        f"hba_file = '{host.layout.unused_hba}'\nlisten_addresses = '0.0.0.0'\nport = '{PORT}'\n",
    )
    host.write(
        host.layout.unused_hba,
        f"# Who may connect follows from the consumers of postgresql.sql\n{RULES}",
    )
    host.start_by_unit()
    return host


def test_files_of_an_earlier_release_give_way(former: Host) -> None:
    layout = former.layout
    actions = former.apply().actions
    assert actions[-2:] == [
        f"remove {layout.former_settings}",
        f"say in {layout.unused_hba} where the rules are",
    ]
    assert not os.path.exists(layout.former_settings)
    assert former.running["hba_file"] == layout.hba
    assert is_idle(former)


def test_they_stay_if_the_server_does_not_start_without_them(former: Host) -> None:
    before = former.text(former.layout.former_settings)
    told = failed(former, settings={"shared_buffers": TOO_MUCH})
    assert told.endswith("runs with them again.")
    assert former.text(former.layout.former_settings) == before
    assert former.running["hba_file"] == former.layout.unused_hba


def test_what_somebody_added_there_stays_and_is_told(former: Host) -> None:
    text = former.text(former.layout.former_settings) + "statement_timeout = '5min'\n"
    former.write(former.layout.former_settings, text)
    cluster = former.apply()
    assert former.text(former.layout.former_settings) == text
    assert any("it sets statement_timeout still" in remark for remark in cluster.remarks)
    assert former.running["statement_timeout"] == "5min"
    assert is_idle(former)


# --- TLS ------------------------------------------------------------------------------------------


def test_a_certificate_that_can_not_be_used_is_refused(converged: Host) -> None:
    files = {name: f"{converged.root}/{name}.pem" for name in ("certificate", "key")}
    for path in files.values():
        converged.write(path, "nonsense")
    told = refused(converged, **files)
    assert f"can not use the certificate {files['certificate']}" in told


def test_in_check_mode_a_certificate_may_still_be_made(converged: Host) -> None:
    missing = {"certificate": "/nowhere/tls.pem", "key": "/nowhere/tls.key"}
    assert converged.preview(**missing) == []
    with pytest.raises(ClusterError, match="No such file"):
        converged.apply(**missing)


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two certificates, each with its key."""
    folder = tmp_path_factory.mktemp("pems")
    made = []
    for name in ("first", "second"):
        words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
        words += ["ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}"]
        words += ["-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.crt"]
        subprocess.run(words, check=True, capture_output=True)
        made.append("".join((folder / f"{name}.{end}").read_text() for end in ("crt", "key")))
    return made


def test_a_certificate_of_ours_is_kept_where_only_root_changes_it(
    converged: Host, pems: list[str]
) -> None:
    cluster = converged.apply(pem=pems[0])
    path = converged.layout.pem
    assert cluster.actions == [
        f"write {converged.layout.settings}",
        f"write {path}",
        "reload",
    ]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    settings = pathlib.Path(converged.layout.settings).read_text()
    assert f"ssl_cert_file = '{path}'" in settings
    assert f"ssl_key_file = '{path}'" in settings
    assert is_idle(converged, pem=pems[0])
    assert converged.apply(pem=pems[1]).actions == [f"write {path}", "reload"]
    assert pathlib.Path(path).read_text() == pems[1]


def test_the_key_is_in_no_diff(converged: Host, pems: list[str]) -> None:
    converged.apply(pem=pems[0])
    shown = str(converged.cluster(pem=pems[1]).diff())
    assert converged.layout.pem in shown
    assert "PRIVATE KEY" not in shown


def test_a_certificate_without_its_key_changes_nothing(converged: Host, pems: list[str]) -> None:
    alone = pems[0].partition("-----BEGIN PRIVATE")[0]
    other = alone + "".join(pems[1].partition("-----BEGIN PRIVATE")[1:])
    for pem in (alone, other):
        assert "can not be used with its key" in refused(converged, pem=pem)
    # Check mode has a word for what it doesn't make.
    assert "reload" in converged.preview(pem="(made outside of check mode)")


def test_giving_up_tls_leaves_what_the_packages_have(converged: Host, pems: list[str]) -> None:
    converged.apply(pem=pems[0])
    converged.apply()
    assert "ssl" not in pathlib.Path(converged.layout.settings).read_text()
    assert is_idle(converged)


# --- what somebody else wrote ---------------------------------------------------------------------


def test_an_edit_by_hand_is_told_before_it_goes(converged: Host) -> None:
    layout = converged.layout
    converged.write(layout.hba, RULES + "host all all 10.0.0.0/8 trust\n")
    cluster = converged.cluster()
    cluster.preview()
    (told,) = cluster.remarks
    assert told.startswith(f"{layout.hba} was edited by hand since it was rendered")
    assert "without its lines 3 (host all all 10.0.0.0/8 trust)" in told
    assert converged.apply().remarks == [told]
    assert converged.apply().remarks == []


def test_new_rules_of_ours_are_nobodys_edit(converged: Host) -> None:
    assert converged.apply(rules=RULES + "local all tool peer\n").remarks == []


def test_what_a_cluster_of_others_loses_is_told(host: Host) -> None:
    host.make_by_hand()
    layout = host.layout
    rules = "local all postgres peer\nhost  shop shop\t10.1.0.0/16 md5 # the shop\nnonsense\n"
    host.write(layout.unused_hba, rules)
    host.write(layout.main_file, f"{host.text(layout.main_file)}work_mem = 64MB\n")
    cluster = host.cluster()
    cluster.preview()
    rules_told, settings_told = cluster.remarks
    assert "rules that are in effect no more, in its lines 2 (host shop shop 10.1.0.0/16 md5)." in (
        rules_told
    )
    assert "sets work_mem (line 8), and what this role sets prevails" in settings_told
    assert "64MB" not in settings_told
    assert host.apply().remarks == cluster.remarks
    assert host.apply().remarks == []
