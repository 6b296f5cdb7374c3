# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as installed, what keeps packages from starting, and what is downloaded."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.daemon import installers
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.archives import (
    list_tree,
    listing_path,
    write_listing,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.backends import (
    DaemonError,
    Download,
    Missing,
    Parts,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.installers import (
    INSTALLS,
    POLICY,
    Apt,
    accept_download,
    begin_downloads,
    has_download,
    look,
    read_parts,
    source_lines,
    source_path,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import Undo

# As dpkg-query prints its database: name, architecture, state, version, provides.
PACKAGES = [
    ("a", "amd64", "installed", "1.5-1", ""),
    ("b", "amd64", "config-files", "1.5-1", ""),
    ("lib", "i386", "installed", "1.5-1", ""),
    ("both", "amd64", "installed", "1.5-1", ""),
    ("both", "i386", "installed", "1.5-1", ""),
    ("common", "all", "installed", "1.5-1", ""),
    ("mawk", "amd64", "installed", "1.3", "awk, real (= 7.0)"),
    ("gone", "amd64", "config-files", "1.3", "nowhere"),
    ("dpkg", "amd64", "installed", "1.21", ""),
]


class Programs:
    """dpkg-query over those packages; other programs as they are told."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.answers: dict[str, list[tuple[int, str, str]]] = {}

    def __call__(self, command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        del stdin
        self.calls.append(list(command))
        text = " ".join(command)
        for name, answers in self.answers.items():
            if name in text:
                return answers.pop(0) if len(answers) > 1 else answers[0]
        if command[0] == "apt-cache":
            return (0, "", "") if command[-1] == "real" else (100, "", "virtual")
        if command[0] != "dpkg-query":
            return 0, "", ""
        wanted = [word.partition(":")[0] for word in command[3:]]
        found = [entry for entry in PACKAGES if not wanted or entry[0] in wanted]
        return 1, "".join("\t".join(entry) + "\n" for entry in found), "no packages found"


@pytest.fixture
def programs() -> Programs:
    return Programs()


@pytest.mark.parametrize(
    ("version", "missing"), [("", ["b", "c"]), ("1.*", ["b", "c"]), ("2.0", ["a", "b", "c"])]
)
def test_missing_packages(programs: Programs, version: str, missing: list[str]) -> None:
    parts = Parts(packages=("a", "b", "c"), version=version)
    assert list(look(parts, Apt(programs))[0].packages) == missing


@pytest.mark.parametrize(
    ("name", "is_there"),
    [
        ("a:amd64", True),
        ("a:i386", False),
        ("lib:i386", True),
        ("lib", False),
        ("both", True),
        ("both:i386", True),
        ("common", True),
        ("common:amd64", True),
        ("awk", True),
        ("real", False),
        ("nowhere", False),
    ],
)
def test_names_with_an_architecture_and_names_of_what_is_provided(
    programs: Programs, name: str, is_there: bool
) -> None:
    """A real package that another one provides too is what APT would install."""
    missing, versions = look(Parts(packages=(name,)), Apt(programs))
    assert missing.packages == (() if is_there else (name,))
    assert (f"package {name}" in versions) == is_there


def test_a_provider_is_named_with_its_version(programs: Programs) -> None:
    _missing, versions = look(Parts(packages=("awk", "a")), Apt(programs))
    assert versions == {"package awk": "mawk 1.3", "package a": "1.5-1"}


def test_a_host_without_dpkg_is_an_error() -> None:
    def run(command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        return 127, "", "dpkg-query isn't installed"

    with pytest.raises(DaemonError, match="dpkg-query isn't installed"):
        look(Parts(packages=("a",)), Apt(run))


KEY = b"a key"
SOURCE = {
    "name": "My_Vendor",
    "url": "https://example.com/apt",
    "suite": "stable",
    "components": ["main", "more"],
    "key_url": "https://example.com/key.asc",
    "key_checksum": f"sha256:{hashlib.sha256(KEY).hexdigest()}",
}


def write_source(root: Path, text: str, key: bytes = KEY) -> None:
    for path, data in (
        ("etc/apt/sources.list.d/my-vendor.sources", text.encode()),
        ("etc/apt/keyrings/my-vendor.asc", key),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def test_a_source_is_found_as_the_module_writes_it(tmp_path: Path, programs: Programs) -> None:
    apt = Apt(programs, str(tmp_path))
    assert apt.find_source(SOURCE) == "absent"
    text = "X-Repolib-Name: My_Vendor\n" + "\n".join(source_lines(SOURCE)) + "\n"
    write_source(tmp_path, text)
    assert apt.find_source(SOURCE) == ""
    assert apt.find_source({**SOURCE, "suite": "testing"}) == "other"
    write_source(tmp_path, text, b"another key")
    assert apt.find_source(SOURCE) == "other"


def test_the_name_of_a_source_is_that_of_the_module() -> None:
    assert source_path("My_Vendor 2!") == "/etc/apt/sources.list.d/my-vendor-2.sources"


class Guarded(t.NamedTuple):
    apt: Apt
    undo: Undo
    guard: Undo
    root: Path
    programs: Programs

    def begin(self) -> None:
        missing = Missing(packages=("a",))
        self.apt.begin(Parts(packages=("a",)), missing, self.undo, self.guard)

    def ask(self, **environment: str) -> int:
        """What packages are told when they ask whether they may start a service."""
        policy = self.root / POLICY.lstrip("/")
        done = subprocess.run(
            [policy, "shop", "start"], env={"PATH": os.environ["PATH"], **environment}, check=False
        )
        return done.returncode


@pytest.fixture
def guarded(tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> Guarded:
    root = tmp_path / "host"
    (root / "usr/sbin").mkdir(parents=True)
    (root / "var/lib/dpkg/updates").mkdir(parents=True)
    own = "/var/lib/prsnl-ports/policy-rc.d"
    text = installers.POLICY_TEXT.replace(own, f"{root}{own}")
    monkeypatch.setattr(installers, "POLICY_TEXT", text)
    undo, guard = (Undo(name, str(tmp_path / "undo")) for name in ("install", "guard"))
    undo.begin("the installation")
    guard.begin("its guard")
    return Guarded(Apt(programs, str(root)), undo, guard, root, programs)


@pytest.mark.parametrize(("own", "code"), [(None, 0), ("exit 0", 0), ("exit 104", 104)])
def test_only_what_is_installed_here_may_not_start(
    guarded: Guarded, own: str | None, code: int
) -> None:
    """So it does no harm if it should be left behind, security updates included."""
    policy = guarded.root / POLICY.lstrip("/")
    if own:
        policy.write_text(f"#!/bin/sh\n{own}\n", encoding="utf-8")
        policy.chmod(0o755)
    guarded.begin()
    assert guarded.ask() == code
    assert guarded.ask(**{INSTALLS: "1"}) == 101
    guarded.guard.take_back(guarded.programs)
    if own:
        assert guarded.ask(**{INSTALLS: "1"}) == code
    else:
        assert not policy.exists()


@pytest.mark.parametrize("sign", ["updates", "audit"])
def test_dpkg_finishes_what_it_was_killed_at(guarded: Guarded, sign: str) -> None:
    if sign == "updates":
        (guarded.root / "var/lib/dpkg/updates/0001").write_text("", encoding="utf-8")
    else:
        guarded.programs.answers["dpkg --audit"] = [(0, "a is only half configured", "")]
    guarded.begin()
    (command,) = [call for call in guarded.programs.calls if "--configure" in call]
    assert command[:3] == ["env", f"{INSTALLS}=1", "DEBIAN_FRONTEND=noninteractive"]
    assert command[-1] == "-a"


def test_whole_packages_need_no_dpkg(guarded: Guarded) -> None:
    guarded.begin()
    assert not [call for call in guarded.programs.calls if "--configure" in call]


def test_a_dpkg_that_runs_still_is_waited_for(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installers, "PAUSE", 0.01)
    (guarded.root / "var/lib/dpkg/updates/0001").write_text("", encoding="utf-8")
    locked = (2, "", "dpkg frontend lock was locked by another process")
    guarded.programs.answers["--configure"] = [locked, locked, (0, "", "")]
    guarded.begin()
    guarded.programs.answers["--configure"] = [(1, "", "post-installation script failed")]
    with pytest.raises(DaemonError, match=r"cut off in an earlier installation.*script failed"):
        guarded.begin()


URL = "https://example.com/shop-1.0.tar.gz?x=1"


def archive(path: Path, kind: str = "archive", data: bytes = b"x") -> Download:
    return Download(URL, f"sha256:{hashlib.sha256(data).hexdigest()}", kind, str(path))


def undo_of(tmp_path: Path) -> Undo:
    undo = Undo("install", str(tmp_path / "undo"))
    undo.begin("an installation")
    return undo


def test_a_download_is_prepared_where_only_root_can_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installers, "CACHE", str(tmp_path / "cache"))
    undo = undo_of(tmp_path)
    download = archive(tmp_path / "opt" / "shop")
    staged = begin_downloads(Parts(downloads=(download,)), Missing(downloads=(URL,)), undo)
    place = Path(staged[URL])
    assert place.is_dir()
    assert place.parent.stat().st_mode & 0o777 == 0o700
    assert place.parent.parent == tmp_path / "opt"
    undo.take_back(Programs())
    assert os.listdir(tmp_path / "opt") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can own things for others")
@pytest.mark.parametrize("kind", ["archive", "file"])
@pytest.mark.parametrize("mode", [0o755, 0o775, 0o777])
def test_nothing_is_downloaded_to_where_others_could_lead_it_away(
    tmp_path: Path, kind: str, mode: int
) -> None:
    """Even a folder that is still to be made: it would be made where their link leads to."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    theirs.chmod(mode)
    if mode == 0o755:
        os.chown(theirs, 64321, 64321)
    for path in (theirs / "shop", theirs / "new" / "shop"):
        download = archive(path, kind)
        undo = undo_of(tmp_path / "own" / path.parent.name)
        with pytest.raises(DaemonError, match="is in a folder that others than root may change"):
            begin_downloads(Parts(downloads=(download,)), Missing(downloads=(URL,)), undo)
    assert os.listdir(theirs) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can own things for others")
def test_a_program_that_others_can_exchange_is_not_there(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "shop").write_bytes(b"x")
    download = archive(theirs / "shop", "file")
    assert has_download(download, str(tmp_path / "state"))
    os.chown(theirs, 64321, 64321)
    assert not has_download(download, str(tmp_path / "state"))


def test_a_file_is_there_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "shop"
    download = archive(path, "file", b"program")
    state = str(tmp_path / "state")
    assert not has_download(download, state)
    path.write_bytes(b"program")
    assert has_download(download, state)
    path.write_bytes(b"another")
    assert not has_download(download, state)


def test_an_archive_is_there_if_it_was_listed(tmp_path: Path) -> None:
    place = tmp_path / "shop"
    place.mkdir()
    (place / "run").write_text("x", encoding="utf-8")
    download = archive(place)
    state = tmp_path / "state"
    assert not has_download(download, str(state)), "unpacked in part, or by others"
    listing = list_tree(str(place), str(place), download.checksum)
    path = Path(listing_path(str(place), str(state)))
    path.parent.mkdir(parents=True)
    path.write_text(listing.as_text(), encoding="utf-8")
    assert has_download(download, str(state))
    newer = Download(URL, "sha256:2", "archive", str(place))
    assert not has_download(newer, str(state))
    (place / "more").write_text("", encoding="utf-8")
    assert not has_download(download, str(state))


def test_what_was_downloaded_has_to_be_what_its_checksum_says(tmp_path: Path) -> None:
    path = tmp_path / "shop"
    path.write_bytes(b"program")
    path.chmod(0o4777)
    listing = accept_download(archive(tmp_path / "there", "file", b"program"), str(path))
    assert path.stat().st_mode & 0o7777 == 0o755
    assert list(listing.entries) == [""]
    with pytest.raises(DaemonError, match="is not what its checksum says"):
        accept_download(archive(tmp_path / "there", "file", b"another"), str(path))


def test_parts_are_read_from_arguments_of_a_task_as_well() -> None:
    assert read_parts({}) == Parts()
    parts = read_parts({"packages": ["a"], "version": 1.5, "source": {"name": "x"}})
    assert parts.version == "1.5"
    assert parts.source == {"components": ["main"], "name": "x"}


def test_packages_that_are_downloaded_replace_those_by_name(programs: Programs) -> None:
    parts = Parts(packages=("shop",), version="1.0", downloads=(Download(URL, "sha256:1", "deb"),))
    missing, _versions = look(parts, Apt(programs))
    steps = installers.stock_steps(parts, missing, {}, Apt(programs))
    assert [step.module for step in steps] == ["ansible.builtin.get_url", "ansible.builtin.apt"]
    assert steps[1].arguments == {"deb": steps[0].arguments["dest"]}
    assert json.dumps([dict(step.arguments) for step in steps]), "Ansible sends it as JSON"


@pytest.mark.parametrize("what", ["file.txt", "uploads/photo.jpg", ".git/HEAD"])
def test_an_archive_replaces_no_folder_of_somebody_else(tmp_path: Path, what: str) -> None:
    place = tmp_path / "srv" / "shop"
    (place / what).parent.mkdir(parents=True)
    (place / what).write_text("somebody's", encoding="utf-8")
    download = archive(place)
    state = str(tmp_path / "state")
    with pytest.raises(DaemonError, match="no archive was unpacked to it by us"):
        begin_downloads(
            Parts(downloads=(download,)), Missing(downloads=(URL,)), undo_of(tmp_path), state
        )
    assert (place / what).read_text(encoding="utf-8") == "somebody's"


@pytest.mark.parametrize("how", ["empty", "listed", "of an earlier release"])
def test_an_archive_replaces_its_own_folder(tmp_path: Path, how: str) -> None:
    place = tmp_path / "srv" / "shop"
    place.mkdir(parents=True)
    state = str(tmp_path / "state")
    (tmp_path / "state" / "installed").mkdir(parents=True)
    if how != "empty":
        (place / "run").write_text("x", encoding="utf-8")
    if how == "listed":
        write_listing(list_tree(str(place), str(place), "sha256:old"), state)
    if how == "of an earlier release":
        (place / ".checksum").write_text("sha256:old", encoding="utf-8")
    parts, missing = Parts(downloads=(archive(place),)), Missing(downloads=(URL,))
    assert begin_downloads(parts, missing, undo_of(tmp_path), state)
