# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is installed below Homebrew's prefix, and how the rest of it is."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.daemon import homebrew, installers
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.backends import (
    DaemonError,
    Download,
    Missing,
    Parts,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.homebrew import PREFIX, Homebrew
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import Undo

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can own things for others")
ADA = 4321


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A prefix with a formula, one with an alias, and one that was cut off."""
    prefix = Path(f"{tmp_path}{PREFIX}")
    (prefix / "opt").mkdir(parents=True)
    for name, formula, version in (
        ("nginx", "nginx", "1.29.3"),
        ("postgresql@16", "postgresql@16", "16.11_1"),
        ("node", "node@24", "24.1.0"),
        ("grafana", "grafana", "12.3.0"),
    ):
        keg = prefix / "Cellar" / formula / version
        keg.mkdir(parents=True)
        (prefix / "opt" / name).symlink_to(f"../Cellar/{formula}/{version}")
        if name != "grafana":
            (keg / homebrew.RECEIPT).write_text("{}", encoding="utf-8")
    return tmp_path


def undo(tmp_path: Path) -> Undo:
    return Undo("install", str(tmp_path / "undo"))


def test_what_is_installed_is_read_from_the_prefix(root: Path) -> None:
    names = ["nginx", "postgresql@16", "node", "grafana", "prometheus"]
    found = Homebrew(str(root)).installed(names)
    assert {name: str(entry) for name, entry in found.items()} == {
        "nginx": "1.29.3",
        "postgresql@16": "16.11_1",
        "node": "node@24 24.1.0",
    }


def test_nothing_is_installed_without_homebrew(tmp_path: Path) -> None:
    assert Homebrew(str(tmp_path)).installed(["nginx"]) == {}


@pytest.mark.parametrize("name", ["homebrew/core/nginx", "../x", "--cask", "", "Nginx", "a b"])
def test_what_is_no_plain_name_is_refused(root: Path, name: str) -> None:
    with pytest.raises(DaemonError, match="no name of a formula"):
        Homebrew(str(root)).installed([name])


def test_sources_of_apt_are_refused(root: Path) -> None:
    with pytest.raises(DaemonError, match="pgdg is a source of packages for APT"):
        Homebrew(str(root)).find_source({"name": "pgdg"})


def begin(root: Path, version: str = "", download: str = "") -> None:
    downloads = (Download("https://x", "sha256:1", download),) if download else ()
    parts = Parts(packages=("prometheus",), version=version, downloads=downloads)
    made = undo(root)
    Homebrew(str(root)).begin(parts, Missing(packages=("prometheus",)), made, made)


def test_a_missing_homebrew_is_told(tmp_path: Path) -> None:
    with pytest.raises(DaemonError, match=r"is missing\. Install Homebrew as the user"):
        begin(tmp_path)


@needs_root
def test_a_prefix_of_root_is_told(root: Path) -> None:
    with pytest.raises(DaemonError, match="belongs to root, and brew refuses to run as root"):
        begin(root)


@needs_root
def test_versions_and_debian_packages_are_refused(root: Path) -> None:
    os.chown(f"{root}{PREFIX}", ADA, ADA)
    begin(root)
    with pytest.raises(DaemonError, match=r"version is 3\.\*, and Homebrew installs the newest"):
        begin(root, "3.*")
    with pytest.raises(DaemonError, match="of the kind deb is Debian's"):
        begin(root, download="deb")


@needs_root
def test_the_owner_of_the_prefix_installs_and_nobody_else(root: Path) -> None:
    os.chown(f"{root}{PREFIX}", ADA, ADA)
    assert Homebrew(str(root)).facts == {"homebrew": str(ADA)}
    [step] = installers.stock_steps(
        Parts(packages=("nginx", "prometheus")),
        Missing(packages=("prometheus",)),
        {},
        Homebrew(user="ada"),
    )
    assert step.user == "ada"
    assert step.module == "community.general.homebrew"
    assert step.arguments == {
        "name": ["prometheus"],
        "state": "present",
        "path": "/opt/homebrew/bin",
    }
    assert step.retry == {"update_homebrew": True}


def test_archives_are_unpacked_and_users_added_the_way_of_a_mac() -> None:
    archive = Download("https://x/a.tar.gz", "sha256:" + "1" * 64, "archive", "/opt/a")
    missing = Missing(downloads=(archive.url,), user=True)
    parts = Parts(downloads=(archive,), user="_shop")
    steps = installers.stock_steps(parts, missing, {archive.url: "/opt/.new"}, Homebrew(user="a"))
    user, get, unpack = steps
    assert user.module == "ansible.builtin.user"
    assert user.arguments["shell"] == "/usr/bin/false"
    assert get.module == "ansible.builtin.get_url"
    assert unpack.module == "ansible.builtin.command"
    assert unpack.arguments["argv"] == [
        "/usr/bin/tar",
        "-x",
        "-f",
        get.arguments["dest"],
        "-C",
        "/opt/.new",
    ]
    assert {step.user for step in steps} == {""}, "these are root's"


def test_brew_changes_nothing_else() -> None:
    named = t.cast("dict[str, str]", Homebrew.environment)
    assert {
        "HOMEBREW_NO_AUTO_UPDATE",
        "HOMEBREW_NO_INSTALL_UPGRADE",
        "HOMEBREW_NO_INSTALL_CLEANUP",
    } <= set(named)
