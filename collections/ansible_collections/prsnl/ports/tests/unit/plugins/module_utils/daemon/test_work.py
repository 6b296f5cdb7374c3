# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A daemon from nothing to running and from one version to the next, killed before any write."""

from __future__ import annotations

import os
import signal
import typing as t
from pathlib import Path

import cuts
import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.daemon import installers
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.archives import (
    is_as_listed,
    listing_path,
    read_listing,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.backends import DaemonError
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.work import perform
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import Content, stage_file
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import LEASE
from simulated_host import SHA, UNIT, Params, SimulatedHost, shop, source


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimulatedHost:
    """A host without the shop."""
    made = SimulatedHost(tmp_path)
    monkeypatch.setattr(installers, "CACHE", f"{made.root}/var/cache/prsnl-ports")
    made.create()
    return made


@pytest.fixture
def old(host: SimulatedHost) -> SimulatedHost:
    """A host that has had the first version for long."""
    host.provide(shop(host, "1"))
    converged(host, shop(host, "1"), "1")
    return host


def converged(host: SimulatedHost, params: Params, version: str) -> None:
    """The host has that version, runs it, and a further run has nothing to do."""
    book = host.read_book()
    assert book["active"]
    assert book["enabled"]
    now = host.on_disk()
    own = {name: now["unit"][name] for name in now["unit"] if name.startswith(UNIT)}
    assert {**now, "unit": own} == book["memory"], "the process has what is on the disk"
    assert book["reads"] == host.definitions(), "and systemd as well"
    assert host.on_disk()["config"] == f"config {version}"
    assert host.leftovers() == []
    result = host.provide(params)
    assert (result["changed"], result["actions"], result["recovered"]) == (False, [], [])


def files(host: SimulatedHost) -> dict[str, t.Any]:
    """What is on the disk, without what no daemon takes back."""
    found = {**host.on_disk(), "definitions": host.definitions()}
    del found["package"], found["unit"]
    return found


def test_it_is_installed_configured_and_started(host: SimulatedHost) -> None:
    result = host.provide(shop(host, "1"))
    assert result["changed"]
    assert result["actions"][-3:] == ["daemon-reload", "start", "enable"]
    assert host.on_disk()["package"] == "1.0"
    assert host.on_disk()["archive"] == "1"
    converged(host, shop(host, "1"), "1")
    assert not host.preview(shop(host, "1"))["changed"]


def test_a_new_version_restarts_once(old: SimulatedHost) -> None:
    calls = len(old.read_book()["calls"])
    result = old.provide(shop(old, "2"))
    assert old.read_book()["calls"][calls:] == ["daemon-reload", "restart"]
    assert result["actions"][-2:] == ["daemon-reload", "restart"]
    converged(old, shop(old, "2"), "2")


def new_version_and_source(host: SimulatedHost) -> Params:
    return shop(host, "2", source=source())


def new_config(host: SimulatedHost) -> Params:
    params = shop(host, "1")
    params["files"][0]["content"] = "config 2"
    return params


def new_unit(host: SimulatedHost) -> Params:
    params = shop(host, "1")
    params["files"][0]["content"] = "config 2"
    params["files"][2]["content"] = "unit 2"
    params["service_options"] = {"Restart": "always"}
    return params


def with_program(host: SimulatedHost) -> Params:
    program = {
        "url": "https://example.com/shopctl",
        "checksum": SHA["2"],
        "kind": "file",
        "path": str(host.program),
    }
    params = shop(host, "2")
    return {**params, "downloads": [*params["downloads"], program]}


# One of so many kills is followed by everything that may come after it.
SOME = 5
CHANGES = [new_version_and_source, new_config, new_unit]


def every_kill(host: SimulatedHost, params: Params) -> t.Iterator[int]:
    host.save()
    return cuts.every_cut(lambda: host.provide(params), host.reset)


@pytest.mark.parametrize("change", CHANGES)
def test_a_kill_before_any_write_and_a_rerun_end_in_the_new_state(
    old: SimulatedHost, change: t.Callable[[SimulatedHost], Params]
) -> None:
    params = change(old)
    count = 0
    for _write in every_kill(old, params):
        old.provide(params)
        converged(old, params, "2")
        count += 1
    assert count > 40


def test_a_kill_before_any_write_of_the_first_installation(host: SimulatedHost) -> None:
    params = shop(host, "1")
    for _write in every_kill(host, params):
        host.provide(params)
        converged(host, params, "1")


@pytest.mark.parametrize("change", CHANGES)
def test_any_other_change_of_the_host_finds_it_in_the_old_or_the_new_state(
    old: SimulatedHost, change: t.Callable[[SimulatedHost], Params]
) -> None:
    """And the daemon's own rerun after that ends in the new one, as ever."""
    params = change(old)
    old.save()
    before = files(old)
    old.provide(params)
    after = files(old)
    for _write in cuts.every_cut(lambda: old.provide(params), old.reset):
        with old.change(instead_of=old.lease(), unit=""):
            pass
        assert old.leftovers() == []
        assert files(old) in (before, after)
        book = old.read_book()
        assert book["active"]
        now = old.on_disk()
        for name in ("config", "arguments", "archive"):
            assert book["memory"][name] == now[name], "it runs with what is there"
        old.provide(params)
        converged(old, params, "2")


@pytest.mark.parametrize("content", ["bad 2", "broken 2"])
def test_a_new_version_that_does_not_run_is_never_taken_for_running(
    old: SimulatedHost, content: str
) -> None:
    """Killed before any write, and run again: the files are the old ones, the process has them."""
    params = shop(old, "2")
    index = 0 if content == "bad 2" else 1
    params["files"][index]["content"] = content

    def try_it() -> None:
        with pytest.raises(DaemonError):
            old.provide(params)

    old.save()
    for write in cuts.every_cut(try_it, old.reset):
        if write % SOME == 0:
            # Again the same; otherwise only what the next change of anything does.
            try_it()
        else:
            with old.change(instead_of=old.lease(), unit=""):
                pass
        assert old.leftovers() == []
        now = old.on_disk()
        assert (now["config"], now["arguments"], now["archive"]) == (
            "config 1",
            "arguments 1",
            "1",
        )
        memory = old.read_book()["memory"]
        assert memory["config"] == now["config"]
        assert old.read_book()["active"]
        # The package is new on the disk, and maybe old in the memory. That is not lost.
        assert now["package"] in ("1.0", "2.0")
        if write % SOME == 0:
            good = shop(old, "2")
            old.provide(good)
            converged(old, good, "2")


def test_an_upgrade_whose_process_was_not_restarted_is_noticed(old: SimulatedHost) -> None:
    """By whom- and whenever that was: the versions are those that the process was started with."""
    book = old.read_book()
    book["packages"]["shop"] = "1.7"
    old.write_book(book)
    params = shop(old, "1")
    assert old.preview(params)["actions"] == ["restart"]
    result = old.provide(params)
    assert result["actions"] == ["restart"]
    converged(old, params, "1")


def test_going_back_after_a_failed_upgrade_restarts(old: SimulatedHost) -> None:
    bad = shop(old, "2")
    bad["files"][0]["content"] = "bad 2"
    with pytest.raises(DaemonError, match="would not be valid"):
        old.provide(bad)
    assert old.read_book()["memory"]["package"] == "1.0"
    assert old.on_disk()["package"] == "2.0"
    params = {**shop(old, "1"), "version": ""}
    assert old.provide(params)["actions"] == ["restart"]
    assert old.read_book()["memory"]["package"] == "2.0"


def test_moved_endpoints_restart_though_the_file_only_needs_a_reload(old: SimulatedHost) -> None:
    endpoint = {"id": "shop.http", "port": 1, "protocol": "tcp", "listen": []}
    params = shop(old, "1", endpoints=[endpoint])
    assert old.provide(params)["actions"] == []
    params["endpoints"] = [{**endpoint, "listen": ["192.0.2.1"]}]
    params["files"][0]["content"] = "config 2"
    assert old.preview(params)["actions"][-1] == "restart"


@pytest.mark.parametrize(
    "name",
    [
        "shop.timer",
        "shop.socket",
        "shop.path",
        "shop.timer.d/mine.conf",
        "shop.socket.d/mine.conf",
        f"{UNIT}.d/mine.conf",
    ],
)
def test_a_definition_changed_without_a_reload_is_noticed(old: SimulatedHost, name: str) -> None:
    """Whichever file of the family it is. What is the unit's own is read by a restart only."""
    book = old.read_book()
    path = old.unit_file.parent / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("by hand", encoding="utf-8")
    book["reads"] = old.definitions()
    old.write_book(book)
    path.write_text("by another hand", encoding="utf-8")
    params = shop(old, "1")
    actions = old.provide(params)["actions"]
    assert "daemon-reload" in actions
    assert ("restart" in actions) == name.startswith(UNIT)
    converged(old, params, "1")


def test_a_program_is_replaced_and_listed_with_its_daemon(old: SimulatedHost) -> None:
    params = with_program(old)
    old.provide(params)
    assert old.program.read_text(encoding="utf-8") == "2"
    assert old.program.stat().st_mode & 0o777 == 0o755
    listing = read_listing(str(old.program), str(old.state))
    assert listing is not None
    assert is_as_listed(listing)
    converged(old, params, "2")


def test_a_program_of_before_there_were_listings_is_listed(old: SimulatedHost) -> None:
    params = with_program(old)
    old.provide(params)
    Path(listing_path(str(old.program), str(old.state))).unlink()
    old.provide(params)
    assert read_listing(str(old.program), str(old.state)) is not None


def test_programs_without_a_daemon_are_downloaded_killed_before_any_write(
    host: SimulatedHost,
) -> None:
    params = {**with_program(host), **dict.fromkeys(("unit", "user"))}
    params |= {"files": [], "service_options": {}}
    for _write in every_kill(host, params):
        host.provide(params)
        assert host.program.read_text(encoding="utf-8") == "2"
        assert host.leftovers() == []
        assert not host.provide(params)["changed"]


def test_an_unpacked_file_that_was_changed_is_noticed_and_mended(old: SimulatedHost) -> None:
    run = old.archive / "bin" / "run"
    run.write_text("theirs", encoding="utf-8")
    params = shop(old, "1")
    result = old.provide(params)
    assert result["changed"]
    assert result["actions"][-1:] == ["restart"]
    assert run.read_text(encoding="utf-8") == "1"
    converged(old, params, "1")


@pytest.mark.parametrize("former", [None, "#!/bin/sh\nexit 0\n"])
def test_the_policy_for_starts_is_gone_afterwards(host: SimulatedHost, former: str | None) -> None:
    policy = host.root / "usr/sbin/policy-rc.d"
    if former:
        policy.write_text(former, encoding="utf-8")
        policy.chmod(0o750)
    host.provide(shop(host, "1"))
    assert (policy.read_text(encoding="utf-8") if policy.exists() else None) == former
    if former:
        assert policy.stat().st_mode & 0o777 == 0o750
    assert not (host.state / "policy-rc.d").exists()


def test_an_installation_that_fails_leaves_the_host_as_it_was(host: SimulatedHost) -> None:
    before = sorted(map(str, host.root.rglob("*")))
    params = shop(host, "1", source=source())
    with host.change() as changes:
        found = perform(params, host.tools(changes.token))
        token = changes.lend(60)
    assert found["missing"]["source"] == "absent"
    with host.change(token):
        perform(params, host.tools(token), step="abandon")
    made = set(map(str, host.root.rglob("*"))) - set(before)
    # Folders of ours, in which nothing is.
    assert all(Path(path).is_dir() or path == str(host.lock) for path in made)
    assert host.leftovers() == []


def test_a_link_of_an_archive_leads_root_nowhere(old: SimulatedHost, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("root's", encoding="utf-8")
    (old.archive / "conf").symlink_to(tmp_path)
    params = shop(old, "1", downloads=[])
    params["downloads"] = shop(old, "1")["downloads"]
    params["files"].append({**params["files"][0], "path": str(old.archive / "conf" / "secret")})
    # It isn't as it was unpacked; so that only the link counts, nothing is unpacked again.
    with pytest.raises(DaemonError, match="leads out of"):
        perform({**params}, old.tools(""), is_check=True)
    assert (tmp_path / "secret").read_text(encoding="utf-8") == "root's"


def test_without_confinement_the_former_drop_in_goes(old: SimulatedHost) -> None:
    drop_in = Path(f"{old.unit_file}.d/hardening.conf")
    assert drop_in.exists()
    params = shop(old, "1", service_options={})
    result = old.provide(params)
    assert result["actions"] == [f"remove {drop_in}", "daemon-reload", "restart"]
    assert not drop_in.exists()
    converged(old, params, "1")
    drop_in.write_text("of somebody else", encoding="utf-8")
    old.provide(params)
    assert drop_in.exists()


@pytest.mark.parametrize("secret", ["", " ", "\n\n"])
def test_an_empty_secret_is_refused(old: SimulatedHost, secret: str) -> None:
    """As a template renders it from a variable that was left empty."""
    params = shop(old, "1")
    params["files"][0].update(content=None, secret=secret)
    with pytest.raises(DaemonError, match="secret is empty, and a file without one could mean"):
        old.provide(params)


def test_a_check_that_was_killed_leaves_nothing_behind_the_next_run(old: SimulatedHost) -> None:
    """Check mode has no lock and no undo, and the file to be checked may have a secret."""
    seen = 0
    old.save()
    for _write in cuts.every_cut(lambda: old.preview(shop(old, "2")), old.reset):
        seen += bool(old.leftovers())
        old.provide(shop(old, "1"))
        assert old.leftovers() == []
    assert seen


def test_a_check_that_runs_still_is_left_alone(old: SimulatedHost) -> None:
    content = Content(b"new", 0o600, os.geteuid(), os.getegid())
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(told, stage_file(str(old.config), content).encode())
        signal.pause()
    staged = os.read(ready, 4096).decode()
    try:
        old.provide(shop(old, "1"))
        assert old.leftovers() == [staged]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    # Its number is somebody else's by now, who started at another time.
    reused = Path(staged.replace(f"-{child}.", f"-{os.getppid()}."))
    Path(staged).rename(reused)
    old.provide(shop(old, "1"))
    assert old.leftovers() == []


@pytest.mark.parametrize(
    "path",
    [
        "usr/sbin/policy-rc.d",
        "etc/apt/sources.list.d/another.sources",
        "etc/apt/keyrings/another.asc",
    ],
)
def test_what_an_administrator_put_there_meanwhile_stays(host: SimulatedHost, path: str) -> None:
    """A run was killed while its packages were installed, and nobody came back for long."""
    with host.change() as changes:
        perform(shop(host, "1", source=source()), host.tools(changes.token))
        changes.lend(LEASE)
    theirs = host.root / path
    theirs.parent.mkdir(parents=True, exist_ok=True)
    theirs.write_text("exit 1", encoding="utf-8")
    with host.change(instead_of=host.lease(), unit="other.service") as changes:
        told = "\n".join(changes.recovered)
    assert theirs.read_text(encoding="utf-8") == "exit 1"
    assert "was cut off, and was taken back" in told
    if path.endswith("policy-rc.d"):
        assert f"{theirs} was changed by somebody else since, and was left alone" in told
    assert [left for left in host.leftovers() if left != str(theirs)] == []
