# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A daemon's files and unit, on real files and a simulated systemd."""

from __future__ import annotations

import os
import socket
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.daemon import change
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.backends import (
    DaemonError,
    DaemonFile,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.change import (
    Daemon,
    DaemonRequest,
    Preparation,
    Setting,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.systemd import Systemd
from ansible_collections.prsnl.ports.plugins.module_utils.host import files
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import Content
from ansible_collections.prsnl.ports.plugins.module_utils.host.manifest import (
    Manifest,
    digest,
    manifest_path,
    read_manifest,
    read_manifests,
)

UNIT = "shop.service"


class SimulatedSystemd:
    """Answers as systemctl, journalctl and the checker of a configuration would."""

    def __init__(self, active: str = "active", enabled: str = "enabled") -> None:
        self.properties = {
            "LoadState": "loaded",
            "ActiveState": active,
            "UnitFileState": enabled,
            "NeedDaemonReload": "no",
            "NRestarts": "0",
            "Result": "success",
        }
        self.calls: list[str] = []
        # What is to happen on `start` and `restart`, one after the other.
        self.ends: list[str] = []

    def run(  # noqa: PLR0911 - one for each program
        self, command: t.Sequence[str], stdin: str | None = None
    ) -> tuple[int, str, str]:
        if command[0] == "make":
            if stdin == "wrong":
                return 1, "", "no such password"
            Path(command[1]).write_text(stdin or "", encoding="utf-8")
            return 0, "", ""
        if command[0] == "check":
            text = Path(command[1]).read_text(encoding="utf-8")
            return (1, "", f"{command[1]}: bad line") if "bad" in text else (0, "", "")
        if command[0] == "journalctl":
            return 0, "it broke\n", ""
        verb = command[1]
        if verb == "show":
            return 0, "".join(f"{key}={value}\n" for key, value in self.properties.items()), ""
        self.calls.append(verb)
        if verb in ("start", "restart"):
            self.properties["NRestarts"] = "0"
            end = self.ends.pop(0) if self.ends else "runs"
            if end == "refused":
                return 1, "", "Job failed"
            self.properties["ActiveState"] = "active" if end == "runs" else "failed"
            self.properties["Result"] = "exit-code"
        return 0, "", ""


def content_of(file: DaemonFile) -> Content:
    assert file.wanted is not None
    return file.wanted


class Shop:
    """A daemon with a checked configuration that it reloads, and arguments."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.systemd = SimulatedSystemd()
        self.config = self.file("etc/shop.conf", "good", "reload", "check %s")
        self.arguments = self.file("default/shop", "-v", "restart")
        self.request = DaemonRequest(UNIT, (self.config, self.arguments), ())

    def file(self, path: str, text: str, applied_by: str, validate: str = "") -> DaemonFile:
        content = Content(text.encode(), 0o640, os.geteuid(), os.getegid())
        return DaemonFile(str(self.root / path), content, applied_by, validate)

    def apply(self, request: DaemonRequest | None = None) -> Daemon:
        self.systemd.calls.clear()
        made = self.daemon(request)
        made.apply()
        return made

    def daemon(self, request: DaemonRequest | None = None) -> Daemon:
        run = self.systemd.run
        state = str(self.root / "state")
        setting = Setting(state, f"{state}/undo", str(self.root / "run"))
        return Daemon(request or self.request, run, Systemd(run), setting)

    def changed(self, **texts: str) -> DaemonRequest:
        """The request with other contents of `config` or `arguments`."""
        files = []
        for name in ("config", "arguments"):
            file: DaemonFile = getattr(self, name)
            wanted = content_of(file)
            data = texts.get(name, wanted.data.decode()).encode()
            files.append(replace(file, wanted=replace(wanted, data=data)))
        return replace(self.request, files=tuple(files))

    def manifest(self) -> Manifest | None:
        return read_manifest(manifest_path(UNIT, str(self.root / "state")))

    def text(self, name: str) -> str:
        return Path(getattr(self, name).path).read_text(encoding="utf-8")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize("enabled", ["disabled", "enabled-runtime", ""])
def test_the_first_run_writes_starts_and_enables(shop: Shop, enabled: str) -> None:
    shop.systemd.properties.update(ActiveState="inactive", UnitFileState=enabled)
    made = shop.apply()
    assert made.actions == [
        f"write {shop.config.path}",
        f"write {shop.arguments.path}",
        "start",
        "enable",
    ]
    assert os.stat(shop.config.path).st_mode & 0o7777 == 0o640
    manifest = shop.manifest()
    assert manifest is not None
    assert manifest.applied
    assert manifest.files[shop.config.path] == digest(b"good")


def test_a_second_run_does_nothing(shop: Shop) -> None:
    shop.apply()
    before = os.stat(shop.config.path).st_mtime_ns, os.stat(shop.root / "state").st_mtime_ns
    made = shop.apply()
    assert made.actions == []
    assert shop.systemd.calls == []
    assert before == (
        os.stat(shop.config.path).st_mtime_ns,
        os.stat(shop.root / "state").st_mtime_ns,
    )


@pytest.mark.parametrize(
    ("texts", "call"),
    [
        ({"config": "better"}, "reload"),
        ({"arguments": "-q"}, "restart"),
        ({"config": "better", "arguments": "-q"}, "restart"),
    ],
)
def test_the_unit_takes_notice_in_the_cheapest_way(
    shop: Shop, texts: dict[str, str], call: str
) -> None:
    shop.apply()
    shop.apply(shop.changed(**texts))
    assert shop.systemd.calls == [call]


def interrupt(*args: object) -> None:
    raise KeyboardInterrupt


def test_a_run_that_was_cut_off_is_made_good(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.apply()
    with monkeypatch.context() as patch:
        patch.setattr(Daemon, "_bring", interrupt)
        with pytest.raises(KeyboardInterrupt):
            shop.apply(shop.changed(config="better"))
    assert shop.text("config") == "better"
    manifest = shop.manifest()
    assert manifest is not None
    assert not manifest.applied
    made = shop.apply(shop.changed(config="better"))
    assert made.actions == ["restart"]


def test_a_file_that_others_changed_to_the_wanted_one_is_read(shop: Shop) -> None:
    shop.apply()
    Path(shop.config.path).write_text("better", encoding="utf-8")
    assert shop.apply(shop.changed(config="better")).actions == ["reload"]


def test_a_daemon_that_ran_before_it_was_managed_restarts_once(shop: Shop) -> None:
    for file in shop.request.files:
        files.write_file(file.path, content_of(file))
    assert shop.apply().actions == ["restart"]
    assert shop.apply().actions == []


def test_an_invalid_file_changes_nothing(shop: Shop) -> None:
    shop.apply()
    before = shop.manifest()
    with pytest.raises(DaemonError) as caught:
        shop.apply(
            replace(shop.changed(config="bad"), files=shop.changed(config="bad").files[::-1])
        )
    assert f"{shop.config.path} would not be valid. check says:" in str(caught.value)
    assert f"{shop.config.path}: bad line" in str(caught.value)
    assert "Nothing has changed." in str(caught.value)
    assert (shop.text("config"), shop.text("arguments")) == ("good", "-v")
    assert shop.systemd.calls == []
    assert shop.manifest() == before
    assert sorted(os.listdir(shop.root / "etc")) == ["shop.conf"]


def test_files_before_an_invalid_one_come_back(shop: Shop) -> None:
    shop.apply()
    bad = shop.changed(config="bad", arguments="-q")
    with pytest.raises(DaemonError):
        shop.apply(replace(bad, files=bad.files[::-1]))
    assert shop.text("arguments") == "-v"


@pytest.mark.parametrize("end", ["refused", "dies"])
def test_a_daemon_that_does_not_start_gets_its_former_files(shop: Shop, end: str) -> None:
    shop.apply()
    shop.systemd.ends = [end]
    with pytest.raises(DaemonError) as caught:
        shop.apply(shop.changed(arguments="--what"))
    message = str(caught.value)
    assert "The last lines of its journal:\nit broke" in message
    assert message.endswith("The former files are back, and shop.service runs with them again.")
    assert shop.text("arguments") == "-v"
    assert shop.systemd.calls == ["restart", "daemon-reload", "restart"]
    manifest = shop.manifest()
    assert manifest is not None
    assert manifest.applied
    assert shop.apply().actions == []


def test_a_daemon_that_came_back_by_itself_before_can_be_changed(shop: Shop) -> None:
    """systemd counts its restarts from the beginning after one that was asked for."""
    shop.apply()
    shop.systemd.properties["NRestarts"] = "3"
    assert shop.apply(shop.changed(arguments="-q")).actions[-1] == "restart"


def test_a_new_daemon_that_does_not_start_leaves_nothing(shop: Shop) -> None:
    shop.systemd.properties.update(ActiveState="inactive", UnitFileState="disabled")
    shop.systemd.ends = ["dies"]
    with pytest.raises(DaemonError, match="is stopped, as it was"):
        shop.apply()
    assert not os.path.exists(shop.config.path)
    assert shop.manifest() is None
    assert "enable" not in shop.systemd.calls
    assert shop.systemd.calls[-1] == "stop"


def test_it_waits_for_the_endpoints(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change, "PAUSE", 0.01)
    shop.systemd.properties["ActiveState"] = "inactive"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        endpoint = {"id": "shop.http", "port": port, "protocol": "tcp", "listen": ["127.0.0.1"]}
        request = replace(shop.request, endpoints=(endpoint,), timeout=0.1)
        shop.apply(request)
    manifest = shop.manifest()
    assert manifest is not None
    assert manifest.endpoints == {
        "shop.http": {"port": port, "protocol": "tcp", "listen": ["127.0.0.1"]}
    }
    with pytest.raises(DaemonError, match=f"does not listen on {port}/tcp after 0.1 s"):
        shop.apply(replace(request, files=shop.changed(arguments="-q").files))


def test_what_the_daemon_needs_is_made_once(shop: Shop) -> None:
    made = str(shop.root / "made")
    request = replace(shop.request, prepare=(Preparation(("make", made), made, "secret"),))
    shop.systemd.properties["ActiveState"] = "inactive"
    assert shop.apply(request).actions[-2:] == [f"make {made}", "start"]
    assert Path(made).read_text(encoding="utf-8") == "secret"
    assert shop.apply(request).actions == []


def test_a_failed_preparation_changes_nothing(shop: Shop) -> None:
    made = str(shop.root / "made")
    request = replace(shop.request, prepare=(Preparation(("make", made), made, "wrong"),))
    with pytest.raises(DaemonError, match="make ended with 1: no such password"):
        shop.apply(request)
    assert not os.path.exists(shop.config.path)
    assert shop.systemd.calls == []


def test_a_masked_unit_is_named(shop: Shop) -> None:
    shop.systemd.properties.update(LoadState="masked", ActiveState="inactive")
    with pytest.raises(DaemonError, match=r"shop\.service is masked\. Unmask it"):
        shop.apply()


def test_check_mode_tells_and_does_nothing(shop: Shop) -> None:
    shop.apply()
    made = shop.daemon(shop.changed(arguments="-q"))
    shop.systemd.calls.clear()
    made.preview()
    assert made.actions == [f"write {shop.arguments.path}", "restart"]
    assert shop.systemd.calls == []
    assert shop.text("arguments") == "-v"


def test_the_diff_hides_secrets(shop: Shop) -> None:
    secret = replace(shop.config, is_secret=True)
    made = shop.daemon(replace(shop.request, files=(secret, shop.arguments)))
    config, arguments = made.diff()
    assert "good" not in str(config)
    assert config["before_header"] == "absent"
    assert arguments["after"] == "-v"


def test_a_file_that_was_rendered_goes_and_other_ones_stay(shop: Shop) -> None:
    other = shop.root / "etc/mine"
    shop.apply()
    other.write_text("mine", encoding="utf-8")
    gone = [replace(shop.arguments, wanted=None), DaemonFile(str(other), None)]
    made = shop.apply(replace(shop.request, files=(shop.config, *gone)))
    assert made.actions == [f"remove {shop.arguments.path}", "restart"]
    assert other.exists()


def test_what_somebody_wrote_into_a_file_is_told_before_it_goes(shop: Shop) -> None:
    shop.apply()
    request = shop.changed(config="good\nbetter\n")
    assert shop.daemon(request).hand_edits() == []
    Path(shop.config.path).write_text("good\nmine\n\n\x1b[2J\n", encoding="utf-8")
    (told,) = shop.daemon(request).hand_edits()
    assert told.startswith(f"{shop.config.path} was edited by hand since it was rendered")
    assert "without its lines 2 (mine) and 4 (\\x1b[2J)." in told
    # Nothing is replaced that is as it is wanted.
    assert shop.daemon(shop.changed(config="good\nmine\n\n\x1b[2J\n")).hand_edits() == []
    secret = replace(shop.config, is_secret=True)
    (told,) = shop.daemon(replace(request, files=(secret,))).hand_edits()
    assert "mine" not in told
    many = "".join(f"mine {number}\n" for number in range(9))
    Path(shop.config.path).write_text(many, encoding="utf-8")
    assert "5 (mine 4) and 4 more. Put" in shop.daemon(request).hand_edits()[0]


def test_a_change_that_was_cut_off_is_nobodys_edit(shop: Shop) -> None:
    shop.apply()
    path = manifest_path(UNIT, str(shop.root / "state"))
    manifest = read_manifest(path)
    assert manifest
    noted = replace(manifest, applied=False, files={shop.config.path: "0" * 64})
    Path(path).write_text(noted.as_text(), encoding="utf-8")
    assert shop.daemon(shop.changed(config="better")).hand_edits() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can own things for others")
def test_the_diff_shows_nothing_that_others_have_put_there(shop: Shop) -> None:
    """It had a second name once: it is in the service's folder, and only root may read it."""
    folder = shop.root / "etc"
    folder.mkdir()
    os.chown(folder, 64321, 64321)
    Path(shop.config.path).write_text("root's own secret", encoding="utf-8")
    Path(shop.config.path).chmod(0o600)
    shown = str(shop.daemon().diff())
    assert "root's own secret" not in shown
    assert "Not shown: others than root may change this file." in shown
    # What was rendered before is no secret.
    shop.apply()
    before = shop.daemon(shop.changed(config="better")).diff()[0]["before"]
    assert before == "good"
    Path(shop.config.path).write_text("root's own secret", encoding="utf-8")
    (told,) = shop.daemon(shop.changed(config="better")).hand_edits()
    assert "was edited by hand" in told
    assert "root's own" not in told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can own things for others")
@pytest.mark.parametrize("kind", ["link", "linked folder", "second name", "pipe"])
def test_a_service_leads_root_nowhere(shop: Shop, kind: str) -> None:
    """Neither by a run nor by the diff of check mode."""
    secret = shop.root / "secret"
    secret.write_text("root's own secret", encoding="utf-8")
    secret.chmod(0o600)
    folder = shop.root / "etc"
    folder.mkdir()
    os.chown(folder, 64321, 64321)
    path = Path(shop.config.path)
    if kind == "link":
        path.symlink_to(secret)
    elif kind == "linked folder":
        (folder / "conf.d").symlink_to(shop.root)
        path = folder / "conf.d" / "secret"
    elif kind == "second name":
        os.link(secret, path)
    else:
        os.mkfifo(path)
    request = DaemonRequest(UNIT, (replace(shop.config, path=str(path)),), ())
    with pytest.raises(OSError, match=r"symbolic link|second name|not a regular file"):
        shop.apply(request)
    assert secret.read_text(encoding="utf-8") == "root's own secret"
    assert (secret.stat().st_uid, secret.stat().st_mode & 0o777) == (0, 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can own things for others")
@pytest.mark.parametrize("mode", [0o755, 0o2770, 0o777])
def test_root_prepares_nothing_where_others_may_write(shop: Shop, mode: int) -> None:
    folder = shop.root / "etc"
    folder.mkdir()
    folder.chmod(mode)
    os.chown(folder, 64321 if mode == 0o755 else 0, 64321)
    step = Preparation(("make", str(folder / "made")), str(folder / "made"))
    with pytest.raises(DaemonError, match="root would run make to make it there"):
        shop.apply(replace(shop.request, prepare=(step,)))
    assert not (folder / "made").exists()


def test_a_unit_that_something_else_runs_is_left_alone(shop: Shop) -> None:
    made = shop.apply(replace(shop.request, is_managed=False))
    assert made.actions == [f"write {shop.config.path}", f"write {shop.arguments.path}"]
    assert shop.systemd.calls == []
    assert [manifest.unit for manifest in read_manifests(str(shop.root / "state"))] == [UNIT]


def test_a_broken_manifest_is_none(tmp_path: Path) -> None:
    for text in ("", "[]", '{"version": 2}', '{"version": 1, "unit": "x", "more": 1}'):
        (tmp_path / "x.json").write_text(text, encoding="utf-8")
        assert read_manifests(str(tmp_path)) == []
    assert read_manifests(str(tmp_path / "nothing")) == []
