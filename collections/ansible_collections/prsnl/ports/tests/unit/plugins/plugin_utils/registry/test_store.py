# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One writer at a time, and the old or the new file whatever happens."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import signal
import stat
import subprocess
import sys
import time
import typing as t

import cuts
import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import store
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.store import StoreError

COLLECTIONS = pathlib.Path(__file__).parents[8]
OLD = b"version: 1\n# " + b"old " * 5000 + b"\n"
NEW = b"version: 2\n# " + b"new " * 5000 + b"\n"


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "ports.yml"
    path.write_bytes(OLD)
    return path


def replace(path: pathlib.Path, new: bytes = NEW, **options: t.Any) -> None:
    with store.locked(str(path), "test", **options) as held:
        assert held.source == (OLD if path.exists() else None)
        held.replace(new)


def names(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nothing_is_left_beside_the_file(file: pathlib.Path) -> None:
    replace(file)
    assert file.read_bytes() == NEW
    assert names(file.parent) == ["ports.yml"]


def test_mode_owner_and_attributes_stay(file: pathlib.Path) -> None:
    file.chmod(0o664)
    if os.geteuid() == 0:
        os.chown(file, 12345, 23456)
    with contextlib.suppress(OSError):
        os.setxattr(file, "user.why", b"test")
    before = file.stat()
    attributes = {name: os.getxattr(file, name) for name in os.listxattr(file)}
    replace(file)
    after = file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert {name: os.getxattr(file, name) for name in os.listxattr(file)} == attributes
    assert after.st_ino != before.st_ino


def test_a_link_stays_and_its_target_is_replaced(file: pathlib.Path) -> None:
    folder = file.parent / "elsewhere"
    folder.mkdir()
    link = folder / "ports.yml"
    link.symlink_to("../ports.yml")
    replace(link)
    assert link.is_symlink()
    assert os.readlink(link) == "../ports.yml"
    assert file.read_bytes() == NEW
    assert names(folder) == ["ports.yml"]


def test_a_new_file(tmp_path: pathlib.Path) -> None:
    replace(tmp_path / "leases.yml")
    assert (tmp_path / "leases.yml").read_bytes() == NEW
    assert stat.S_IMODE((tmp_path / "leases.yml").stat().st_mode) == 0o644 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_an_edit_without_the_lock_is_noticed(file: pathlib.Path) -> None:
    """In place and by a new file; it wins, and the message says where it starts."""
    with store.locked(str(file), "test") as held:
        file.write_bytes(OLD.replace(b"# old", b"# ada", 1))
        with pytest.raises(StoreError, match=r"ports\.yml:2: somebody changed the file meanwhile"):
            held.replace(NEW)
    assert file.read_bytes() == OLD.replace(b"# old", b"# ada", 1)
    other = file.with_name("other")
    other.write_bytes(b"")
    with store.locked(str(file), "test") as held:
        other.replace(file)
        with pytest.raises(StoreError, match=r"ports\.yml:1: somebody changed"):
            held.replace(NEW)
    assert file.read_bytes() == b""
    assert names(file.parent) == ["ports.yml"]


def test_a_read_only_file_is_refused(file: pathlib.Path) -> None:
    """Also for root, and although its folder would allow to replace it."""
    file.chmod(0o444)
    with pytest.raises(StoreError, match=r"is read-only \(-r--r--r--\).*chmod u\+w"):
        replace(file)
    assert file.read_bytes() == OLD


def test_a_folder_that_cannot_be_written(file: pathlib.Path) -> None:
    with _mounted(file.parent / "ro", OLD, "ro") as path:
        with pytest.raises(StoreError, match="can't be written: the file system is read-only"):
            replace(path)
        assert path.read_bytes() == OLD


def test_a_full_disk(file: pathlib.Path) -> None:
    """The disk has room for the old file and a lock, and not for the new one."""
    with _mounted(file.parent / "small", OLD, "size=24k") as path:
        (path.parent / "ballast").touch()
        with pytest.raises(StoreError, match="can't be written: the disk is full; nothing"):
            replace(path)
        assert path.read_bytes() == OLD
        assert names(path.parent) == ["ballast", "ports.yml"]


@contextlib.contextmanager
def _mounted(folder: pathlib.Path, content: bytes, options: str) -> t.Iterator[pathlib.Path]:
    """A file on a file system of its own."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options.replace("ro", "size=1m"), "ports", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("file systems can't be mounted here")
    try:
        path = folder / "ports.yml"
        path.write_bytes(content)
        if options == "ro":
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        yield path
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_write_that_breaks_off(file: pathlib.Path) -> None:
    """The limit for the size of files ends the write in the middle."""
    code = f"""
import resource, sys
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import store
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
with store.locked({str(file)!r}, "test") as held:
    held.replace({NEW!r})
"""
    done = _python(code)
    assert "can't be written: it would be larger than this process may write" in done.stderr
    assert file.read_bytes() == OLD
    assert names(file.parent) == ["ports.yml"]


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_holder_of_the_lock_is_named(file: pathlib.Path) -> None:
    with store.locked(str(file), "ports move shop.http 1"):
        with pytest.raises(StoreError) as caught:
            replace(file, patience=0.1)
        # A file that has to agree with it waits for the same lock.
        with pytest.raises(StoreError, match=f"is being changed by pid {os.getpid()} of"):
            replace(file.with_name("leases.yml"), guard=str(file), patience=0.1)
    text = str(caught.value)
    assert f"is being changed by pid {os.getpid()} of {store.user_name()} on " in text
    assert "(ports move shop.http 1), for more than 0 s; nothing was changed" in text
    replace(file)


def test_what_is_not_a_file_is_refused(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "ports.yml")
    with pytest.raises(StoreError, match="isn't a file"):
        replace(tmp_path / "ports.yml")


def test_a_lock_that_is_a_link_is_not_followed(file: pathlib.Path) -> None:
    (file.parent / "precious").write_text("precious")
    (file.parent / ".ports.yml.lock").symlink_to("precious")
    with pytest.raises(StoreError, match=r"can't be written: .*\.ports\.yml\.lock"):
        replace(file)
    assert (file.parent / "precious").read_text() == "precious"


def test_a_lock_file_that_was_replaced_meanwhile_is_no_lock(
    file: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its former holder removes it between a writer's opening and locking it."""
    lock = file.parent / ".ports.yml.lock"
    flock = fcntl.flock
    calls: list[int] = []

    def replaced(handle: int, operation: int) -> None:
        if not calls:
            lock.unlink()
        calls.append(operation)
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", replaced)
    with store.locked(str(file), "first"):
        assert len(calls) == 2
        with pytest.raises(StoreError, match=r"is being changed by .* \(first\)"):
            replace(file, patience=0.05)
    replace(file)


def test_kill_before_every_write_leaves_the_old_or_the_new_file(file: pathlib.Path) -> None:
    """Whatever it leaves beside it stops nobody, and is gone after the next change."""

    def work() -> None:
        with store.locked(str(file), "test") as held:
            held.replace(NEW)

    def prepare() -> None:
        for path in file.parent.iterdir():
            if path != file:
                path.unlink()
        file.write_bytes(OLD)

    seen = set()
    for write in cuts.every_cut(work, prepare):
        seen.add(file.read_bytes())
        with store.locked(str(file), "next", patience=0) as held:
            assert held.source in (OLD, NEW), write
            held.replace(NEW + b"# more\n")
        assert file.read_bytes() == NEW + b"# more\n"
        assert names(file.parent) == ["ports.yml"]
    assert seen == {OLD, NEW}


WRITER = """
import sys
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import store
old, new = {old!r}, {new!r}
print("ready", flush=True)
while True:
    with store.locked({file!r}, "test") as held:
        held.replace(new if held.source == old else old)
"""


def test_kill_in_the_middle_leaves_the_old_or_the_new_file(file: pathlib.Path) -> None:
    """And what it leaves beside it stops nobody."""
    environment = {**os.environ, "PYTHONPATH": str(COLLECTIONS)}
    seen = set()
    for attempt in range(12):
        code = WRITER.format(old=OLD, new=NEW, file=str(file))
        with subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.003 * attempt)
            process.send_signal(signal.SIGKILL)
        content = file.read_bytes()
        assert content in (OLD, NEW)
        seen.add(tuple(names(file.parent)))
    with store.locked(str(file), "test", patience=1) as held:
        held.replace(OLD)
    assert names(file.parent) == ["ports.yml"]
    assert file.read_bytes() == OLD
    # Otherwise it was killed in between only.
    assert len(seen) > 1
