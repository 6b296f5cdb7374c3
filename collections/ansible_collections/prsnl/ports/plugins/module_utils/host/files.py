# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read files whole, and replace them so that a crash leaves the old or the new one.

Root must not follow what a service's user can replace. So a path is walked folder by folder, each
opened inside of the one before it. As long as only root (and this process's own user) can change a
folder and all above it, symbolic links in it are followed, as everywhere else. From the first
folder on that somebody else owns or may write to, nothing is: a link there is an error, and so is
a file that has a second name elsewhere. Files are still read and replaced in such folders, by names
in an open folder, which lead nowhere else.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
import typing as t
from dataclasses import dataclass, field

MAX_LINKS = 40
# Begins the names of files that aren't in their place yet. No program looks for such a name.
STAGED = ".prsnl-ports-"
_WRITER = re.compile(r"-(\d+)\.(\d+)-")
# What an undo moves, or has moved out of the way.
ASIDE = f"{STAGED}kept-"
# Whoever may write to a folder can exchange what is in it, unless it is sticky.
WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_FOLDER = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
# A pipe in the place of a file must not block.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Signatures and rights of the old content; the kernel makes the first two itself.
_NOT_KEPT = ("security.evm", "security.ima", "security.capability")


class UnsafePathError(OSError):
    """A path leads through what somebody else than root can replace."""


@dataclass(frozen=True)
class Content:
    """What a file is: its bytes, permissions and owner.

    ``attributes`` are extended ones, an SELinux label and an access control list among them. Where
    they are None, a file keeps those of the one that it replaces. They and ``modified``
    (nanoseconds since the epoch) don't count in a comparison.
    """

    data: bytes
    mode: int
    uid: int
    gid: int
    attributes: t.Optional[t.Mapping[str, bytes]] = field(default=None, compare=False)
    modified: t.Optional[int] = field(default=None, compare=False)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes in hexadecimal digits."""
        return hashlib.sha256(self.data).hexdigest()


# Returns the SELinux label that the system's policy has for a new file; None without one.
Labeller = t.Callable[[str], t.Optional[str]]


class Folder:
    """An open folder. Close it with ``with``.

    ``path`` is where it is, without links. ``own`` says that nobody but root can change it or a
    folder above it, ``shared`` that others may add names to it, but not take away those of root.
    """

    def __init__(self, handle: int, path: str = "/", above: t.Optional[Folder] = None) -> None:
        self.handle = handle
        self.path = path
        status = os.fstat(handle)
        is_ours = above is None or above.owns(status)
        writable = bool(status.st_mode & WRITABLE)
        sticky = bool(status.st_mode & stat.S_ISVTX)
        self.own = is_ours and _is_trusted(status.st_uid) and (sticky or not writable)
        self.shared = writable

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self.handle)

    def owns(self, status: os.stat_result) -> bool:
        """Tell whether only root can exchange something that is in this folder."""
        return self.own and (not self.shared or _is_trusted(status.st_uid))

    def status(self, name: str) -> t.Optional[os.stat_result]:
        """Return what is there, a link itself rather than its target; None if nothing is."""
        try:
            return os.stat(name, dir_fd=self.handle, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def read(self, name: str, path: str) -> t.Optional[Content]:
        """Return what a file is; None if there is none.

        :param path: what it is called in messages.
        :raises OSError: it can't be read, or isn't a regular file.
        """
        try:
            handle = os.open(name, _READ, dir_fd=self.handle)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _link_error(path) from None
            raise
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "This is not a regular file", path)
            if status.st_nlink > 1 and not self.owns(status):
                raise UnsafePathError(
                    errno.EPERM,
                    "This file has a second name, and is in a folder that others than root may"
                    " change. Remove one of its names",
                    path,
                )
            return Content(
                file.read(),
                stat.S_IMODE(status.st_mode),
                status.st_uid,
                status.st_gid,
                _read_attributes(handle),
                status.st_mtime_ns,
            )

    def stage(self, content: Content, attributes: t.Mapping[str, bytes], suffix: str = "") -> str:
        """Write content under a name that no program looks for; return that name.

        Nobody can read it before it has its final permissions.

        :raises OSError: it can't be written, for example because the disk is full.
        """
        staged = f"{STAGED}{writer()}{secrets.token_hex(8)}{suffix}"
        handle = os.open(staged, _WRITE, 0o600, dir_fd=self.handle)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content.data)
                file.flush()
                _write_attributes(handle, attributes)
                os.fchown(handle, content.uid, content.gid)
                os.fchmod(handle, content.mode)
                if content.modified is not None:
                    os.utime(handle, ns=(content.modified, content.modified))
                os.fsync(handle)
        except BaseException:
            os.unlink(staged, dir_fd=self.handle)
            raise
        return staged

    def rename(self, old: str, new: str) -> None:
        """Give a name to what has another one, for good.

        :raises OSError: it can't be done.
        """
        os.replace(old, new, src_dir_fd=self.handle, dst_dir_fd=self.handle)
        self.sync()

    def unlink(self, name: str) -> bool:
        """Remove a file for good; tell whether there was one.

        :raises OSError: it can't be removed.
        """
        try:
            os.unlink(name, dir_fd=self.handle)
        except FileNotFoundError:
            return False
        self.sync()
        return True

    def sync(self) -> None:
        """Let the names in this folder outlive a power cut.

        :raises OSError: the disk fails.
        """
        handle = os.open(".", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.handle)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def writer() -> str:
    """Return what names this process in the name of a file that isn't in its place yet."""
    return f"{os.getpid()}.{_started(os.getpid())}-"


def is_left(name: str) -> bool:
    """Tell whether who wrote a file of such a name has ended: check mode takes no lock.

    What an undo has moved out of the way is that undo's.
    """
    found = _WRITER.search(name)
    if not found:
        return not name.startswith(ASIDE)
    pid, started = int(found[1]), found[2]
    return pid == os.getpid() or _started(pid) != started


def _started(pid: int) -> str:
    """Return when a process started, in ticks since boot; ``0`` if that can't be told."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return "0" if pid == os.getpid() else ""


def _is_trusted(uid: int) -> bool:
    return uid in (0, os.geteuid())


def _link_error(path: str) -> UnsafePathError:
    return UnsafePathError(
        errno.ELOOP,
        "This is a symbolic link in a folder that others than root may change, and root doesn't"
        " follow it. Remove it",
        path,
    )


def locate(path: str, *, make: bool = False) -> tuple[Folder, str]:
    """Return the open folder that a file is in, and its name there, after links were followed.

    :param make: make the folders that are missing.
    :raises FileNotFoundError: a folder is missing.
    :raises UnsafePathError: root would follow somebody else's link.
    """
    # The names that are still to walk, the next one last.
    names = [name for name in reversed(os.path.abspath(path).split("/")) if name]
    folders = [Folder(os.open("/", _FOLDER))]
    links = 0
    try:
        while names:
            name = names.pop()
            here = folders[-1]
            if name == "..":
                if len(folders) > 1:
                    os.close(folders.pop().handle)
                continue
            shown = os.path.join(here.path, name)
            status = here.status(name)
            if status and stat.S_ISLNK(status.st_mode):
                if not here.owns(status):
                    raise _link_error(shown)
                links += 1
                if links > MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                target = os.readlink(name, dir_fd=here.handle)
                if target.startswith("/"):
                    while len(folders) > 1:
                        os.close(folders.pop().handle)
                names += [part for part in reversed(target.split("/")) if part not in ("", ".")]
                continue
            if not names:
                return folders.pop(), name
            if status is None and make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=here.handle)
                    here.sync()
            folders.append(_enter(here, name, shown))
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    finally:
        for folder in folders:
            os.close(folder.handle)


def _enter(here: Folder, name: str, shown: str) -> Folder:
    try:
        handle = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=here.handle)
    except OSError as error:
        # Somebody put a link there just now.
        if error.errno == errno.ELOOP:
            raise _link_error(shown) from None
        raise OSError(error.errno, error.strerror, shown) from None
    try:
        return Folder(handle, shown, here)
    except BaseException:
        os.close(handle)
        raise


def is_safe(path: str) -> bool:
    """Tell whether only root can change a path: what it leads through, and what is there.

    :raises OSError: the path can't be walked.
    """
    try:
        folder, name = locate(path)
    except FileNotFoundError:
        return is_safe(os.path.dirname(path))
    except IsADirectoryError:
        return True
    with folder:
        status = folder.status(name)
        return folder.own if status is None else folder.owns(status)


def read_file(path: str) -> t.Optional[Content]:
    """Return what a file is; None if there is none.

    :raises OSError: it can't be read, or isn't a regular file.
    :raises UnsafePathError: root would follow somebody else's link.
    """
    try:
        folder, name = locate(path)
    except FileNotFoundError:
        return None
    with folder:
        return folder.read(name, path)


def stage_file(path: str, content: Content, suffix: str = "") -> str:
    """Write content beside a file, under a name that no program looks for; return its path.

    Nobody can read it before it has its final permissions.

    :param suffix: the end of the name, for a program that wants one.

    :raises OSError: it can't be written, for example because the disk is full.
    """
    folder, _name = locate(path, make=True)
    with folder:
        staged = folder.stage(content, content.attributes or {}, suffix)
        return os.path.join(folder.path, staged)


def write_file(path: str, content: Content, label: t.Optional[Labeller] = None) -> None:
    """Replace a file, or the file that a symbolic link of root's leads to, in one step.

    It keeps the extended attributes of the former one, if it has none of its own.

    :param label: tells the label of a file that wasn't there.
    :raises OSError: it can't be written; the former file is there then.
    :raises UnsafePathError: root would follow somebody else's link.
    """
    folder, name = locate(path, make=True)
    with folder:
        attributes = content.attributes
        if attributes is None:
            attributes = _attributes_for(folder, name, path, label)
        staged = folder.stage(content, attributes)
        try:
            folder.rename(staged, name)
        except BaseException:
            folder.unlink(staged)
            raise


def remove_file(path: str) -> bool:
    """Remove a file for good; tell whether there was one.

    :raises OSError: it can't be removed.
    :raises UnsafePathError: root would follow somebody else's link.
    """
    try:
        folder, name = locate(path)
    except FileNotFoundError:
        return False
    with folder:
        return folder.unlink(name)


def sync_folder(path: str) -> None:
    """Let the names in a folder outlive a power cut.

    :raises OSError: it isn't there, or the disk fails.
    """
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_staged(path: str) -> None:
    """Remove what `stage_file` and `write_file` left beside a file when they were killed.

    What a process writes that runs still is left alone.

    :raises OSError: it can't be removed.
    :raises UnsafePathError: root would follow somebody else's link.
    """
    try:
        folder, _name = locate(path)
    except FileNotFoundError:
        return
    with folder:
        handle = os.open(".", os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder.handle)
        try:
            names = [n for n in os.listdir(handle) if n.startswith(STAGED) and is_left(n)]
        finally:
            os.close(handle)
        for name in names:
            folder.unlink(name)


def remove_folder(path: str) -> bool:
    """Remove a folder, if it is there and empty; tell whether it was removed.

    :raises UnsafePathError: root would follow somebody else's link.
    """
    try:
        folder, name = locate(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    with folder:
        try:
            os.rmdir(name, dir_fd=folder.handle)
        except OSError:
            return False
        folder.sync()
        return True


def write_text(path: str, text: str, mode: int) -> None:
    """Replace a file by one of this process's user, in one step.

    :raises OSError: it can't be written; the former file is there then.
    """
    write_file(path, Content(text.encode(), mode, os.geteuid(), os.getegid()))


def _attributes_for(
    folder: Folder, name: str, path: str, label: t.Optional[Labeller]
) -> t.Mapping[str, bytes]:
    try:
        handle = os.open(name, _READ, dir_fd=folder.handle)
    except FileNotFoundError:
        found = label(path) if label else None
        return {"security.selinux": f"{found}\0".encode()} if found else {}
    try:
        return _read_attributes(handle)
    finally:
        os.close(handle)


def _read_attributes(handle: int) -> dict[str, bytes]:
    # macOS has others, by other calls.
    if not hasattr(os, "listxattr"):
        return {}
    try:
        names = os.listxattr(handle)
    except OSError:
        # The file system has none.
        return {}
    found = {}
    for name in names:
        if name not in _NOT_KEPT:
            # One that may not be read, or went away.
            with contextlib.suppress(OSError):
                found[name] = os.getxattr(handle, name)
    return found


def _write_attributes(handle: int, attributes: t.Mapping[str, bytes]) -> None:
    if not hasattr(os, "setxattr"):
        return
    for name, value in attributes.items():
        try:
            os.setxattr(handle, name, value)
        except OSError as error:
            # A container may not label files; then nobody gave the former one its label either.
            if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.EACCES):
                raise
