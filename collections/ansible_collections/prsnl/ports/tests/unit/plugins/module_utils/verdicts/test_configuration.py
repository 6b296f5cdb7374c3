# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rendered configuration of a host."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.host.manifest import (
    Manifest,
    digest,
    manifest_path,
)
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts import (
    after as port_verify,
)
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts import (
    configuration,
)
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.configuration import (
    Configuration,
    RenderedFile,
)
from worlds import NOW, WILD, World, daemon, endpoint

SINCE = NOW - 9960
PLAN = (endpoint("web.http", 80), endpoint("web.https", 443), endpoint("db.sql", 5433))
ENDPOINTS = {
    "web.http": {"port": 80, "protocol": "tcp", "listen": list(WILD)},
    "web.https": {"port": 443, "protocol": "tcp", "listen": ["::", "0.0.0.0"]},
}
SAME = RenderedFile("/etc/web.conf", "aa", "aa", SINCE - 60)


def judge(
    *files: RenderedFile,
    endpoints: t.Mapping[str, t.Any] | None = None,
    applied: bool = True,
    unit: str = "web.service",
) -> configuration.Judgement:
    world = World().hold_all(80, daemon("web", 7))
    entries = ENDPOINTS if endpoints is None else endpoints
    manifest = Manifest(unit, applied, {file.path: file.rendered for file in files}, entries)
    return configuration.judge_configurations(
        [Configuration(manifest, files)], PLAN, world.snapshot
    )


def faults(judgement: configuration.Judgement) -> list[tuple[str, str]]:
    return [(name, text) for name, texts in judgement.faults.items() for text in texts]


def test_all_is_as_it_was_rendered() -> None:
    found = judge(SAME)
    assert faults(found) == []
    assert found.others == ()
    assert found.rendered == {
        "web.http": "0.0.0.0:80, [::]:80",
        "web.https": "[::]:443, 0.0.0.0:443",
    }


EDITED = "/etc/web.conf was edited by hand since it was rendered"
REMEDY = ". Put the change into the role's variables, and provision the host again."


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (
            RenderedFile("/etc/web.conf", "aa", "bb", SINCE + 60),
            EDITED + ", and the running daemon has not read it" + REMEDY,
        ),
        (RenderedFile("/etc/web.conf", "aa", "bb", SINCE - 60), EDITED + REMEDY),
        (
            RenderedFile("/etc/web.conf", "aa", None, 0),
            "/etc/web.conf is missing, though it was rendered. Provision the host again.",
        ),
    ],
)
def test_a_file_that_is_not_what_was_rendered(file: RenderedFile, text: str) -> None:
    """A fault of the unit is told once, at its first endpoint."""
    assert faults(judge(file)) == [("web.http", text)]


def test_a_daemon_that_does_not_run_has_read_nothing() -> None:
    file = RenderedFile("/etc/db.conf", "aa", "bb", NOW)
    entry = {"db.sql": {"port": 5433, "protocol": "tcp", "listen": list(WILD)}}
    assert faults(judge(file, endpoints=entry, unit="db.service")) == [
        ("db.sql", "/etc/db.conf was edited by hand since it was rendered" + REMEDY)
    ]


@pytest.mark.parametrize(
    ("entry", "rendered"),
    [
        ({"port": 81, "protocol": "tcp", "listen": list(WILD)}, "0.0.0.0:81, [::]:81"),
        ({"port": 80, "protocol": "tcp", "listen": ["127.0.0.1"]}, "127.0.0.1:80"),
        ({"port": 80, "protocol": "udp", "listen": list(WILD)}, "0.0.0.0:80, [::]:80"),
    ],
)
def test_a_configuration_for_something_else(entry: dict[str, t.Any], rendered: str) -> None:
    found = judge(SAME, endpoints=ENDPOINTS | {"web.http": entry})
    assert faults(found) == [
        (
            "web.http",
            f"its configuration was rendered for {rendered}, the plan says 0.0.0.0:80 and"
            " [::]:80. Provision the host again.",
        )
    ]


def test_an_endpoint_that_came_later() -> None:
    found = judge(SAME, endpoints={"web.http": ENDPOINTS["web.http"]})
    assert faults(found) == [
        ("web.https", "its configuration was rendered without it. Provision the host again.")
    ]
    assert found.rendered["web.https"] == "not rendered"


def test_a_run_that_was_cut_off() -> None:
    assert faults(judge(SAME, applied=False)) == [
        (
            "web.http",
            "a run was cut off before web.service had read its new configuration. Provision the"
            " host again.",
        )
    ]


def test_a_service_that_is_not_planned_here_any_more() -> None:
    entry = {"old.http": {"port": 81, "protocol": "tcp", "listen": ["127.0.0.1"]}}
    found = judge(SAME, endpoints=entry, unit="old.service")
    assert faults(found) == []
    assert found.others == (
        "old.service is configured for old.http (127.0.0.1:81), which isn't in this host's plan."
        " Remove the service, or register it.",
    )


def test_what_is_wrong_becomes_a_verdict() -> None:
    world = World().hold_all(80, daemon("web", 7))
    (result,) = port_verify.verify_plan(PLAN[:1], world.snapshot, registry="r", now=NOW)
    assert result.ok
    port_verify.apply_configuration([result], judge(RenderedFile("/etc/web.conf", "aa", None, 0)))
    assert (result.ok, result.verdict) == (False, "wrong configuration")
    assert result.as_dict()["configured"] == "0.0.0.0:80, [::]:80"


def test_files_are_read_as_they_are(tmp_path: pathlib.Path) -> None:
    same, gone = tmp_path / "same", tmp_path / "gone"
    same.write_bytes(b"listen 80\n")
    os.utime(same, (1000, 2000))
    manifest = Manifest(
        "web.service", True, {str(same): digest(b"listen 80\n"), str(gone): "aa"}, ENDPOINTS
    )
    pathlib.Path(manifest_path("web.service", str(tmp_path))).write_text(manifest.as_text())
    (found,) = configuration.read_configurations(str(tmp_path))
    assert found.files == (
        RenderedFile(str(gone), "aa", None, 0),
        RenderedFile(str(same), digest(b"listen 80\n"), digest(b"listen 80\n"), 2000),
    )
    assert configuration.read_configurations(str(tmp_path / "nothing")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can own things for others")
@pytest.mark.parametrize("kind", ["link", "second name", "pipe", "folder"])
def test_what_a_service_puts_in_place_of_a_file_is_neither_read_nor_waited_for(
    tmp_path: pathlib.Path, kind: str
) -> None:
    secret, folder = tmp_path / "secret", tmp_path / "service"
    secret.write_text("root's", encoding="utf-8")
    folder.mkdir()
    os.chown(folder, 64321, 64321)
    path = folder / "web.conf"
    make: dict[str, t.Callable[[], None]] = {
        "link": lambda: path.symlink_to(secret),
        "second name": lambda: os.link(secret, path),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
    }
    make[kind]()
    state = tmp_path / "state"
    state.mkdir()
    # Even its hash would tell whether root's file is what somebody thinks.
    manifest = Manifest("web.service", True, {str(path): digest(b"root's")}, ENDPOINTS)
    pathlib.Path(manifest_path("web.service", str(state))).write_text(manifest.as_text())
    (read,) = configuration.read_configurations(str(state))
    assert read.files[0].sha256 == ""
    found = configuration.judge_configurations([read], PLAN, World().snapshot)
    assert "was edited by hand since it was rendered" in str(found.faults)
