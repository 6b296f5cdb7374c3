# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are replaced in one step."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import (
    STAGED,
    Content,
    UnsafePathError,
    is_safe,
    read_file,
    remove_file,
    remove_folder,
    remove_staged,
    stage_file,
    write_file,
    write_text,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import ANYTHING, Undo

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can own things for others")
# A user of services, as far as this machine knows none of that number.
SERVICE = 64321


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    target = tmp_path / "real"
    target.write_text("old", encoding="utf-8")
    link = tmp_path / "link"
    link.symlink_to(target)
    write_file(str(link), Content(b"new", 0o600, os.geteuid(), os.getegid()))
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == "new"


def test_files_are_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_text(str(path), "text", 0o600)
    assert path.read_text() == "text"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_file_that_cannot_be_replaced_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")

    def full(_descriptor: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text(str(path), "new", 0o600)
    assert path.read_text(encoding="utf-8") == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_staged_file_is_beside_the_other_and_has_its_ending(tmp_path: Path) -> None:
    content = Content(b"new", 0o600, os.geteuid(), os.getegid())
    staged = Path(stage_file(str(tmp_path / "a.conf"), content, ".conf"))
    assert (staged.parent, staged.suffix) == (tmp_path, ".conf")


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder of a service's user, beside a file that only root may read and write."""
    folder = tmp_path / "service"
    folder.mkdir()
    os.chown(folder, SERVICE, SERVICE)
    secret = tmp_path / "secret"
    secret.write_text("root's", encoding="utf-8")
    secret.chmod(0o600)
    return folder


NEW = Content(b"new", 0o640, SERVICE, SERVICE)


def place(kind: str, folder: Path) -> Path:
    """Let the service's user lead root to its secret; return the path that root is given."""
    secret = folder.parent / "secret"
    path = folder / "file.conf"
    if kind == "link":
        path.symlink_to(secret)
    elif kind == "relative link":
        path.symlink_to("../secret")
    elif kind == "linked folder":
        (folder / "conf.d").symlink_to(folder.parent)
        path = folder / "conf.d" / "secret"
    elif kind == "link below":
        (folder / "own").mkdir()
        (folder / "own" / "file.conf").symlink_to(secret)
        path = folder / "own" / "file.conf"
    elif kind == "second name":
        os.link(secret, path)
    return path


KINDS = ["link", "relative link", "linked folder", "link below"]


@needs_root
@pytest.mark.parametrize("kind", KINDS)
def test_root_follows_no_link_of_a_service(theirs: Path, kind: str) -> None:
    path = place(kind, theirs)
    secret = theirs.parent / "secret"
    undo = Undo("change", str(theirs.parent / "undo"))
    undo.begin("a change")
    tries: dict[str, t.Callable[[], object]] = {
        "read": lambda: read_file(str(path)),
        "write": lambda: write_file(str(path), NEW),
        "stage": lambda: stage_file(str(path), NEW),
        "remove": lambda: remove_file(str(path)),
        "remove a folder": lambda: remove_folder(str(path)),
        "remove what was staged": lambda: remove_staged(str(path)),
        "keep": lambda: undo.keep((str(path), ANYTHING)),
    }
    for work in tries.values():
        with pytest.raises(UnsafePathError, match=r"root doesn't follow it\. Remove it"):
            work()
    assert not is_safe_or_refused(path)
    assert secret.read_text(encoding="utf-8") == "root's"
    assert secret.stat().st_uid == 0
    assert secret.stat().st_mode & 0o777 == 0o600


def is_safe_or_refused(path: Path) -> bool:
    try:
        return is_safe(str(path))
    except UnsafePathError:
        return False


@needs_root
def test_root_reads_nothing_by_a_second_name(theirs: Path) -> None:
    path = place("second name", theirs)
    with pytest.raises(UnsafePathError, match="has a second name"):
        read_file(str(path))
    # To replace it is no harm: the other name keeps what it has.
    write_file(str(path), NEW)
    assert (theirs.parent / "secret").read_text(encoding="utf-8") == "root's"


@needs_root
@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_folder_of_root_that_others_may_write_to_is_like_theirs(theirs: Path, mode: int) -> None:
    os.chown(theirs, 0, SERVICE)
    theirs.chmod(mode)
    path = place("link", theirs)
    with pytest.raises(UnsafePathError):
        read_file(str(path))
    assert not is_safe(str(theirs / "other"))


@needs_root
def test_in_a_sticky_folder_only_links_of_root_are_followed(theirs: Path) -> None:
    os.chown(theirs, 0, 0)
    theirs.chmod(0o1777)
    path = place("link", theirs)
    found = read_file(str(path))
    assert found is not None
    assert found.data == b"root's"
    os.chown(path, SERVICE, SERVICE, follow_symlinks=False)
    with pytest.raises(UnsafePathError):
        read_file(str(path))


@needs_root
def test_files_in_folders_of_a_service_are_replaced_in_place(theirs: Path) -> None:
    path = theirs / "conf.d" / "file.conf"
    write_file(str(path), NEW)
    assert read_file(str(path)) == NEW
    write_file(str(path), Content(b"newer", 0o600, SERVICE, SERVICE))
    assert os.listdir(path.parent) == ["file.conf"]
    assert not is_safe(str(path))
    assert remove_file(str(path))
    assert not remove_file(str(path))


@needs_root
def test_a_link_that_appears_meanwhile_is_replaced_and_not_followed(theirs: Path) -> None:
    """Between the look and the write; the name is that of an open folder."""
    path = theirs / "file.conf"
    assert read_file(str(path)) is None
    staged = stage_file(str(path), NEW)
    place("link", theirs)
    os.replace(staged, path)
    assert (theirs.parent / "secret").read_text(encoding="utf-8") == "root's"


def test_links_of_root_are_followed_as_everywhere(tmp_path: Path) -> None:
    real = tmp_path / "usr" / "lib"
    real.mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "there").symlink_to(f"{tmp_path}/lib/../lib/file")
    write_text(str(tmp_path / "there"), "text", 0o600)
    assert (real / "file").read_text(encoding="utf-8") == "text"
    assert is_safe(str(tmp_path / "lib" / "file"))


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels"):
        read_file(str(tmp_path / "a" / "x"))


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match=r"(?i)not a regular file|is a directory"):
            read_file(str(path))


def test_a_file_keeps_its_extended_attributes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")
    try:
        os.setxattr(path, "user.label", b"mine")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    write_text(str(path), "new", 0o600)
    assert os.getxattr(path, "user.label") == b"mine"


def test_a_new_file_gets_the_label_of_the_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as the kernel lets a label be set, which is seen by the call."""
    calls: list[tuple[str, bytes]] = []
    monkeypatch.setattr(os, "setxattr", lambda _handle, *given: calls.append(given), raising=False)
    content = Content(b"new", 0o600, os.geteuid(), os.getegid())
    write_file(str(tmp_path / "file"), content, lambda path: f"system_u:object_r:etc_t:{path}")
    assert calls == [("security.selinux", f"system_u:object_r:etc_t:{tmp_path}/file\0".encode())]
    calls.clear()
    write_file(str(tmp_path / "file"), content, lambda _path: "other")
    assert calls == []


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / f"{STAGED}abc.conf").write_text("half", encoding="utf-8")
    remove_staged(str(tmp_path / "file"))
    assert os.listdir(tmp_path) == ["file"]


def test_what_an_undo_needs_is_not_removed_as_left(tmp_path: Path) -> None:
    """The former program of another daemon of this run, whose change was cut off, for example."""
    undo = Undo("one", str(tmp_path / "undo"))
    (tmp_path / "program").write_text("old", encoding="utf-8")
    undo.begin("one")
    staged = Path(undo.stage(str(tmp_path / "program")))
    staged.write_text("new", encoding="utf-8")
    undo.exchange(str(staged), str(tmp_path / "program"))
    remove_staged(str(tmp_path / "another file"))
    undo.take_back(lambda _command, _stdin=None: (0, "", ""))
    assert (tmp_path / "program").read_text(encoding="utf-8") == "old"
    remove_staged(str(tmp_path / "nowhere" / "file"))
