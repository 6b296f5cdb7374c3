# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing a file so that nothing is lost, by one writer at a time.

Writers wait for each other on a lock file beside it, which says who holds it. The kernel frees the
lock when its holder ends, however that ends, so a lock file that was left behind stops nobody.
Whoever writes without the lock, such as an editor, is noticed up to the replacement.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import getpass
import os
import platform
import random
import stat
import time
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    source as yaml_source,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    RegistryError,
    shown,
)

PATIENCE: t.Final = 30.0
_PAUSE: t.Final = 0.02
_NEW_FILE: t.Final = 0o644


class StoreError(RegistryError):
    """A file that can't be changed; it is as it was."""


class Locked:
    """A file that no other writer with a lock changes meanwhile; `source` is None if it is new."""

    def __init__(self, file: str) -> None:
        self.file = file
        # A symbolic link stays, and what it leads to is replaced.
        self._target = os.path.realpath(file)
        self._status, self.source = self._read()

    def replace(self, new: bytes) -> None:
        """Replaces the content in one step.

        Permissions, owner and extended attributes stay. Raises StoreError if it can't, or if
        somebody changed the file without the lock.
        """
        folder, name = os.path.split(self._target)
        # Only the holder of the lock has one, so one that is there is left from a crash.
        staged = os.path.join(folder, f".{name}.new")
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(staged)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(staged, flags, 0o600 if self._status else _NEW_FILE)
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(new)
                    stream.flush()
                    self._keep_attributes(stream.fileno())
                    os.fsync(stream.fileno())
                self._check_unchanged()
                os.replace(staged, self._target)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(staged)
                raise
        except OSError as error:
            raise _refusal(self.file, error) from error
        _sync_folder(folder)
        self._status, self.source = self._read()

    def _read(self) -> tuple[os.stat_result | None, bytes | None]:
        try:
            with open(self._target, "rb") as stream:
                return os.fstat(stream.fileno()), stream.read()
        except FileNotFoundError:
            return None, None
        except OSError as error:
            raise _unreadable(self.file, error) from error

    def _keep_attributes(self, handle: int) -> None:
        old = self._status
        if old is None:
            return
        new = os.fstat(handle)
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            try:
                os.fchown(handle, old.st_uid, old.st_gid)
            except PermissionError as error:
                raise StoreError(
                    f"{shown(self.file)}: its owner {old.st_uid}:{old.st_gid} can't be kept;"
                    " nothing was changed. Run it as that user, or as root"
                ) from error
        os.fchmod(handle, stat.S_IMODE(old.st_mode))
        # Access control lists and labels are among them; macOS has other calls.
        if hasattr(os, "listxattr"):
            for attribute in os.listxattr(self._target):
                with contextlib.suppress(OSError):
                    os.setxattr(handle, attribute, os.getxattr(self._target, attribute))

    def _check_unchanged(self) -> None:
        _status, now = self._read()
        if now == self.source:
            return
        old = (self.source or b"").splitlines()
        new = (now or b"").splitlines()
        pairs = enumerate(zip(old, new, strict=False), start=1)
        line = next((n for n, (a, b) in pairs if a != b), min(len(old), len(new)) + 1)
        raise StoreError(
            f"{shown(self.file)}:{line}: somebody changed the file meanwhile, from here on; nothing"
            " was written. Run it again"
        )


def read(file: str) -> bytes | None:
    """The content of a file, None if there is none. Raises StoreError if it can't be read."""
    try:
        return yaml_source.read(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(file, error) from error


@contextlib.contextmanager
def locked(
    file: str, purpose: str, *, guard: str | None = None, patience: float = PATIENCE
) -> t.Iterator[Locked]:
    """The file, with a lock held; `purpose` is what others are told while they wait.

    The lock is that of the file, or of `guard`, another one with which it has to agree.

    Raises StoreError if somebody holds the lock for longer than `patience` seconds, or if the file
    can't be written.
    """
    target = os.path.realpath(file)
    _check_writable(file, target)
    folder, name = os.path.split(os.path.realpath(guard or file))
    path = os.path.join(folder, f".{name}.lock")
    handle = _take(file, path, patience)
    try:
        try:
            os.ftruncate(handle, 0)
            os.write(handle, _holder(purpose).encode())
        except OSError as error:
            raise _refusal(file, error) from error
        yield Locked(file)
    finally:
        # While it is held: whoever opened it before sees that it isn't the one of this name.
        with contextlib.suppress(OSError):
            os.unlink(path)
        os.close(handle)


def _check_writable(file: str, target: str) -> None:
    """A replacement only needs the folder, but who made the file read-only meant the file."""
    try:
        status = os.stat(target)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refusal(file, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"{shown(file)}: isn't a file, so it can't be changed")
    if not status.st_mode & 0o222:
        raise StoreError(
            f"{shown(file)}: is read-only ({stat.filemode(status.st_mode)}); nothing was changed."
            f" Allow it: chmod u+w {shown(file)}"
        )
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CLOEXEC))
    except OSError as error:
        raise _refusal(file, error) from error


def _take(file: str, path: str, patience: float) -> int:
    """The descriptor of the lock file, locked."""
    deadline = time.monotonic() + patience
    while True:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(path, flags, _NEW_FILE)
        except OSError as error:
            raise _refusal(file, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(handle, path):
                return handle
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = os.pread(handle, 1024, 0).decode(errors="replace").strip()
                os.close(handle)
                raise StoreError(
                    f"{shown(file)}: is being changed by {holder or 'somebody'}, for more than"
                    f" {patience:.0f} s; nothing was changed. Wait for it, or end it"
                ) from None
            time.sleep(_PAUSE * (1 + random.random()))  # noqa: S311
        except OSError as error:
            os.close(handle)
            raise _refusal(file, error) from error
        os.close(handle)


def _is_at(handle: int, path: str) -> bool:
    """Whether the file that was locked is still the one of that name."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(handle), there)


def _holder(purpose: str) -> str:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    who = f"pid {os.getpid()} of {user_name()} on {platform.node()}"
    return f"{who} since {when} ({purpose})\n"


def user_name() -> str:
    """The name of whoever runs this."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    # It has neither a variable nor an entry in the table of users.
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _unreadable(file: str, error: OSError) -> StoreError:
    return StoreError(f"{shown(file)}: can't be read: {error.strerror}")


def _refusal(file: str, error: OSError) -> StoreError:
    reasons = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EROFS: "the file system is read-only",
        errno.EBUSY: "it is a mount point, which can't be replaced",
        errno.EFBIG: "it would be larger than this process may write",
    }
    reason = reasons.get(error.errno or 0, error.strerror)
    where = f" ({shown(error.filename)})" if isinstance(error.filename, str) else ""
    return StoreError(f"{shown(file)}: can't be written: {reason}{where}; nothing was changed")


def _sync_folder(folder: str) -> None:
    # Not every file system can, and the change is there.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
