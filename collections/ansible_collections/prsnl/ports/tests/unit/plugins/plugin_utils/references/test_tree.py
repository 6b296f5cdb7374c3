# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of a tree are looked at, and what happens when they can't be replaced."""

from __future__ import annotations

import errno
import os
import pathlib
import subprocess
import typing as t

import cuts
import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.references import scan, tree
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load

HERE = pathlib.Path(__file__).parent
REGISTRY = load.read(str(HERE / "ports.yml"))
STALE = "POSTGRES_PORT=5432\n"


def git(folder: pathlib.Path, *arguments: str) -> None:
    """Runs git in a directory."""
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


def put(folder: pathlib.Path, *paths: str) -> None:
    """Files with a stale port."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(STALE)


def stale_files(folder: pathlib.Path, **options: t.Any) -> list[str]:
    """The files in which something stale is found."""
    return [r.file for r in scan.scan(REGISTRY, str(folder), **options).of("stale")]


@pytest.mark.parametrize("repository", [True, False])
def test_what_git_ignores_is_left_out(tmp_path: pathlib.Path, repository: bool) -> None:
    """Tracked or not, also below, and without git as well."""
    put(tmp_path, "a.env", "build/b.env", "sub/c.env", "sub/keep.env", "sub/deep/d.env", "x.env")
    (tmp_path / ".gitignore").write_text("build/\n/x.env\n*.log\n")
    (tmp_path / "sub" / ".gitignore").write_text("*.env\n!keep.env\n")
    if repository:
        git(tmp_path, "init")
        git(tmp_path, "add", "a.env")
    assert stale_files(tmp_path) == ["a.env", "sub/keep.env"]
    assert stale_files(tmp_path, exclude=["sub/"]) == ["a.env"]
    # Whoever asks for what is ignored means it.
    assert stale_files(tmp_path / "build") == ["b.env"]


def test_a_repository_that_names_a_program_as_its_monitor_starts_none(
    tmp_path: pathlib.Path,
) -> None:
    put(tmp_path, "a.env")
    git(tmp_path, "init")
    program = tmp_path / "monitor"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)
    git(tmp_path, "config", "core.fsmonitor", str(program))
    assert stale_files(tmp_path) == ["a.env"]
    assert not (tmp_path / "started").exists()


def test_a_hook_of_another_repository_is_no_matter(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a.env")
    git(tmp_path, "init")
    for name, value in {
        "GIT_DIR": "/nowhere",
        "GIT_INDEX_FILE": "index",
        "GIT_PREFIX": "x",
    }.items():
        monkeypatch.setenv(name, value)
    assert stale_files(tmp_path) == ["a.env"]


def test_links_are_not_followed(tmp_path: pathlib.Path) -> None:
    """Neither to files nor to directories, in the tree or out of it."""
    put(tmp_path, "out/secret.env", "in/real.env")
    (tmp_path / "in" / "link.env").symlink_to("../out/secret.env")
    (tmp_path / "in" / "near.env").symlink_to("real.env")
    (tmp_path / "in" / "folder").symlink_to("../out")
    assert stale_files(tmp_path / "in") == ["real.env"]
    found = scan.scan(REGISTRY, str(tmp_path / "in"))
    found.rewrite(found.changes())
    assert (tmp_path / "out" / "secret.env").read_text() == STALE


def test_a_directory_that_became_a_link_is_refused(tmp_path: pathlib.Path) -> None:
    put(tmp_path, "out/a.env", "in/sub/a.env")
    found = scan.scan(REGISTRY, str(tmp_path / "in"))
    (tmp_path / "in" / "sub").rename(tmp_path / "in" / "old")
    (tmp_path / "in" / "sub").symlink_to("../out")
    with pytest.raises(tree.TreeError, match=r"sub/a\.env: can't be rewritten"):
        found.rewrite(found.changes())
    assert (tmp_path / "out" / "a.env").read_text() == STALE


def test_what_is_no_text_is_left_out(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.env").write_bytes(STALE.encode() + b"\0")
    (tmp_path / "b.env").write_bytes(STALE.encode() + b"#" * scan.MAX_BYTES)
    os.mkfifo(tmp_path / "c.env")
    (tmp_path / "d.env").mkdir()
    (tmp_path / "e.env").write_bytes("# Größe\n".encode("latin-1") + STALE.encode())
    found = scan.scan(REGISTRY, str(tmp_path))
    assert [r.file for r in found.of("stale")] == ["e.env"]
    found.rewrite(found.changes())
    assert (tmp_path / "e.env").read_bytes() == b"# Gr\xf6\xdfe\nPOSTGRES_PORT=5433\n"


def test_the_registry_and_what_it_generates_are_left_out(tmp_path: pathlib.Path) -> None:
    text = (HERE / "ports.yml").read_text()
    outputs = "outputs:\n  - {file: ../docs/ports.md, format: guide}\nhistory:\n"
    (tmp_path / "registry").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "registry" / "ports.yml").write_text(text.replace("history:\n", outputs))
    (tmp_path / "registry" / "copy.yml").write_text(text)
    table = "| Service | Port |\n|---|---|\n| PostgreSQL | 5432 |\n"
    (tmp_path / "docs" / "ports.md").write_text(table)
    (tmp_path / "docs" / "other.md").write_text(table)
    registry = load.read(str(tmp_path / "registry" / "ports.yml"))
    found = scan.scan(registry, str(tmp_path))
    assert [r.file for r in found.of("stale")] == ["docs/other.md"]


def test_some_files_are_judged_by_what_the_others_say(tmp_path: pathlib.Path) -> None:
    put(tmp_path, "a.env", "b.env")
    (tmp_path / "b.env").write_text("POSTGRES_HOST=store\nPOSTGRES_PORT=5432\n")
    (tmp_path / "compose.yml").write_text("services: {store: {image: postgres}}\n")
    git(tmp_path, "init")
    root, only = scan.located([str(tmp_path / "b.env")])
    found = scan.scan(REGISTRY, root, only)
    assert [(r.file, r.verdict) for r in found.references] == [("b.env", "internal")]
    root, only = scan.located([str(tmp_path / "a.env"), str(tmp_path / "b.env")])
    assert [r.file for r in scan.scan(REGISTRY, root, only).of("stale")] == ["a.env"]


@pytest.mark.parametrize("repository", [True, False])
def test_a_part_of_a_product_is_judged_like_the_whole(
    tmp_path: pathlib.Path, repository: bool
) -> None:
    """The registry's `config` counts from the top of the product."""
    (tmp_path / "frontend").mkdir()
    (tmp_path / "frontend" / ".env").write_text("PORT=3003\n")
    if repository:
        git(tmp_path, "init")
    assert stale_files(tmp_path / "frontend") == [".env"]
    root, only = scan.located([str(tmp_path / "frontend" / ".env")])
    found = scan.scan(REGISTRY, root, only)
    assert [r.use for r in found.of("stale")] == [3004]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["nowhere"], "nowhere: there is no such file or directory"),
        (["a.env", "sub"], "sub: found among others, allowed is one directory"),
    ],
)
def test_paths_that_cannot_be_scanned(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, paths: list[str], message: str
) -> None:
    put(tmp_path, "a.env", "sub/b.env")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(tree.TreeError) as caught:
        scan.located(paths)
    assert str(caught.value) == message


def test_mode_owner_and_attributes_stay(tmp_path: pathlib.Path) -> None:
    put(tmp_path, "a.env")
    os.chmod(tmp_path / "a.env", 0o604)
    if os.geteuid() == 0:
        os.chown(tmp_path / "a.env", 12345, 54321)
    try:
        os.setxattr(tmp_path / "a.env", "user.note", b"kept")
    except OSError:
        pytest.skip("no extended attributes here")
    before = os.stat(tmp_path / "a.env")
    found = scan.scan(REGISTRY, str(tmp_path))
    found.rewrite(found.changes())
    after = os.stat(tmp_path / "a.env")
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert os.getxattr(tmp_path / "a.env", "user.note") == b"kept"
    assert sorted(os.listdir(tmp_path)) == ["a.env"]


def test_a_file_that_changed_meanwhile_is_refused(tmp_path: pathlib.Path) -> None:
    put(tmp_path, "a.env", "b.env")
    found = scan.scan(REGISTRY, str(tmp_path))
    (tmp_path / "b.env").write_text("# mine\n" + STALE)
    with pytest.raises(tree.TreeError, match=r"b\.env: .* it has changed since it was read"):
        found.rewrite(found.changes())
    assert (tmp_path / "a.env").read_text() == STALE
    assert (tmp_path / "b.env").read_text() == "# mine\n" + STALE


def test_a_file_with_two_names_is_refused(tmp_path: pathlib.Path) -> None:
    put(tmp_path, "a.env")
    os.link(tmp_path / "a.env", tmp_path / "a.copy")
    found = scan.scan(REGISTRY, str(tmp_path))
    with pytest.raises(tree.TreeError, match="hard links"):
        found.rewrite(found.changes())
    assert (tmp_path / "a.env").read_text() == STALE


def test_a_full_disk_changes_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the files for which there was room."""
    put(tmp_path, "a.env", "b.env")
    found = scan.scan(REGISTRY, str(tmp_path))
    synced: list[int] = []

    def fsync(handle: int) -> None:
        synced.append(handle)
        if len(synced) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(tree.TreeError) as caught:
        found.rewrite(found.changes())
    assert str(caught.value) == (
        "b.env: can't be rewritten: No space left on device. Nothing was changed"
    )
    assert sorted(os.listdir(tmp_path)) == ["a.env", "b.env"]
    assert (tmp_path / "a.env").read_text() == (tmp_path / "b.env").read_text() == STALE


def test_kill_before_every_write_leaves_old_or_new_files(tmp_path: pathlib.Path) -> None:
    """And another run does the rest, and removes what was left."""
    names = ["a.env", "sub/b.env", "sub/c.env"]

    def work() -> None:
        found = scan.scan(REGISTRY, str(tmp_path))
        found.rewrite(found.changes())

    def prepare() -> None:
        put(tmp_path, *names)

    old, new = STALE, STALE.replace("5432", "5433")
    seen = set()
    for write in cuts.every_cut(work, prepare):
        texts = [(tmp_path / name).read_text() for name in names]
        assert set(texts) <= {old, new}, write
        seen.add(texts.count(new))
        work()
        assert [(tmp_path / name).read_text() for name in names] == [new] * 3
        left = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert sorted(str(path.relative_to(tmp_path)) for path in left) == names
    assert seen == {0, 1, 2, 3}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user to become")
def test_a_read_only_file_is_refused(tmp_path: pathlib.Path) -> None:
    """To whoever may not write it; root may."""
    put(tmp_path, "a.env")
    os.chmod(tmp_path / "a.env", 0o444)
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(path.stat().st_mode | 0o055)
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        found = scan.scan(REGISTRY, str(tmp_path))
        try:
            found.rewrite(found.changes())
        except tree.TreeError as error:
            os._exit(0 if "a.env: can't be rewritten: Permission denied" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tmp_path / "a.env").read_text() == STALE


def test_a_new_file_and_a_replaced_one(tmp_path: pathlib.Path) -> None:
    tree.write_file(str(tmp_path), "new", b"1")
    assert (tmp_path / "new").read_bytes() == b"1"
    os.chmod(tmp_path / "new", 0o600)
    tree.write_file(str(tmp_path), "new", b"2")
    assert (tmp_path / "new").read_bytes() == b"2"
    assert os.stat(tmp_path / "new").st_mode & 0o777 == 0o600
    (tmp_path / "link").symlink_to("new")
    with pytest.raises(OSError, match="no regular file"):
        tree.write_file(str(tmp_path), "link", b"3")
    assert (tmp_path / "new").read_bytes() == b"2"
