# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an archive may not have, and how what was unpacked is compared later."""

from __future__ import annotations

import io
import os
import socket
import stat
import subprocess
import tarfile
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.daemon import archives
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.archives import (
    TAKEN,
    Listing,
    is_as_listed,
    list_tree,
    listing_path,
    make_roots,
    read_listing,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.backends import (
    DaemonError,
    Download,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.installers import accept_download

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can own things for others")
STRANGER = 64321


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What was unpacked: a folder, a program with too many rights, and a link."""
    place = tmp_path / "tree"
    (place / "bin").mkdir(parents=True)
    program = place / "bin" / "run"
    program.write_text("program", encoding="utf-8")
    program.chmod(0o6777)
    (place / "bin").chmod(0o3775)
    (place / "current").symlink_to("bin/run")
    (place / "private").write_text("text", encoding="utf-8")
    (place / "private").chmod(0o640)
    return place


def modes(tree: Path) -> dict[str, int]:
    return {
        str(path.relative_to(tree)): path.lstat().st_mode & 0o7777
        for path in tree.rglob("*")
        if not path.is_symlink()
    }


def test_nothing_can_be_changed_by_others_or_be_somebody_else(tree: Path) -> None:
    make_roots(str(tree))
    assert modes(tree) == {"bin": 0o755, "bin/run": 0o755, "private": 0o640}
    assert (tree / "current").is_symlink()


@needs_root
def test_foreign_owners_become_root(tree: Path) -> None:
    secret = tree.parent / "secret"
    secret.write_text("root's", encoding="utf-8")
    os.chown(secret, STRANGER, STRANGER)
    (tree / "out").symlink_to(secret)
    for path in [tree, *tree.rglob("*")]:
        os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
    make_roots(str(tree))
    assert {(p.lstat().st_uid, p.lstat().st_gid) for p in [tree, *tree.rglob("*")]} == {(0, 0)}
    assert secret.stat().st_uid == STRANGER, "links are not followed"
    assert modes(tree)["bin/run"] == 0o755


def test_a_file_with_a_name_elsewhere_is_refused(tree: Path) -> None:
    outside = tree.parent / "outside"
    outside.write_text("x", encoding="utf-8")
    outside.chmod(0o666)
    os.link(outside, tree / "inside")
    with pytest.raises(DaemonError, match="inside, a name of a file outside of it"):
        make_roots(str(tree))
    assert outside.stat().st_mode & 0o777 == 0o666


def test_two_names_in_the_archive_are_fine(tree: Path) -> None:
    os.link(tree / "private", tree / "second")
    make_roots(str(tree))


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_what_is_no_file_is_refused(tree: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(tree / "strange")
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(tree / "strange"))
    with pytest.raises(DaemonError, match="strange, which is no file, folder or link"):
        make_roots(str(tree))


@pytest.fixture
def listing(tree: Path) -> Listing:
    make_roots(str(tree))
    return list_tree(str(tree), str(tree), "sha256:1")


def test_what_was_unpacked_is_as_listed(listing: Listing) -> None:
    assert is_as_listed(listing)
    assert set(listing.entries) == {"", "bin", "bin/run", "current", "private"}


def edit(path: Path) -> None:
    path.write_text("PROGRAM", encoding="utf-8")


def swap(path: Path) -> None:
    path.unlink()
    path.symlink_to("/bin/sh")


CHANGES: dict[str, t.Callable[[Path], object]] = {
    "content of the same length": lambda tree: edit(tree / "bin" / "run"),
    "permissions": lambda tree: (tree / "private").chmod(0o644),
    "target of a link": lambda tree: swap(tree / "current"),
    "file that became a link": lambda tree: swap(tree / "private"),
    "missing file": lambda tree: (tree / "private").unlink(),
    "another file": lambda tree: (tree / "bin" / "sitecustomize.py").write_text("x"),
    "another folder": lambda tree: (tree / "more").mkdir(),
    "another permission of the folder": lambda tree: tree.chmod(0o777),
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_difference_is_noticed(tree: Path, listing: Listing, change: str) -> None:
    CHANGES[change](tree)
    assert not is_as_listed(listing)


def test_times_that_were_set_back_hide_nothing(tree: Path, listing: Listing) -> None:
    program = tree / "bin" / "run"
    before = program.stat()
    edit(program)
    os.utime(program, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not is_as_listed(listing)


def test_the_same_content_written_again_is_the_same(tree: Path, listing: Listing) -> None:
    (tree / "private").write_text("text", encoding="utf-8")
    assert is_as_listed(listing)


def test_looking_reads_nothing_that_was_not_touched(
    listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "hash_file", lambda path: pytest.fail(f"{path} was read"))
    assert is_as_listed(listing)


def test_a_listing_is_read_as_it_was_written(tmp_path: Path, listing: Listing) -> None:
    path = Path(listing_path(listing.path, str(tmp_path)))
    assert read_listing(listing.path, str(tmp_path)) is None
    path.parent.mkdir(parents=True)
    path.write_text(listing.as_text(), encoding="utf-8")
    found = read_listing(listing.path, str(tmp_path))
    assert found == listing
    assert found is not None
    for name, entry in listing.entries.items():
        assert found.entries[name].inode == entry.inode
    for text in ("", "[]", "{}", replace(listing, path="/other").as_text()):
        path.write_text(text, encoding="utf-8")
        assert read_listing(listing.path, str(tmp_path)) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="tar gives files to others as root only")
def test_what_a_hostile_archive_says_stays_in_its_folder(tmp_path: Path) -> None:
    """As ansible.builtin.unarchive unpacks it, which is by GNU tar as root."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "target").write_text("root's", encoding="utf-8")
    made = tmp_path / "hostile.tar"
    with tarfile.open(made, "w") as tar:

        def add(
            name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644
        ) -> None:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode = kind, link, mode
            entry.uid = entry.gid = 64321
            entry.size = 4 if kind == tarfile.REGTYPE else 0
            tar.addfile(entry, io.BytesIO(b"evil") if entry.size else None)

        add("run", mode=0o6777)
        add("shared", tarfile.DIRTYPE, mode=0o3777)
        add("../outside/beside")
        add(f"{outside}/absolute")
        add("away", tarfile.SYMTYPE, str(outside))
        add("away/through")
        add("up", tarfile.SYMTYPE, "../outside")
        add("up/through")
        add(".checksum", tarfile.SYMTYPE, str(outside / "target"))
    staged = tmp_path / "staged"
    staged.mkdir(0o700)
    command = ["tar", "--extract", "-C", str(staged), "-f", str(made)]
    subprocess.run(command, check=False, capture_output=True)
    listing = accept_download(
        Download("https://example.com/x.tar", "sha256:1", "archive", str(tmp_path / "shop")),
        str(staged),
    )
    assert os.listdir(outside) == ["target"]
    assert (outside / "target").read_text(encoding="utf-8") == "root's"
    for entry in listing.entries.values():
        assert (entry.uid, entry.gid) == (os.geteuid(), os.getegid())
        assert stat.S_ISLNK(entry.mode) or not entry.mode & TAKEN
    staged.rename(tmp_path / "shop")
    assert is_as_listed(listing)
