# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a source tree: which there are, without what git ignores, and how they change."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import re
import stat
import subprocess
import tempfile
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import RegistryError

try:
    import pathspec
except ImportError as error:
    PATHSPEC_ERROR: ImportError | None = error
else:
    PATHSPEC_ERROR = None

_NEVER: t.Final = frozenset((".git", ".hg", ".svn", "node_modules", "__pycache__"))
# Variables by which git tells its hooks about another repository than the one of the tree.
_OF_HOOKS: t.Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
_NEW_FILE: t.Final = 0o666
_STAGED: t.Final = re.compile(r"\..+\.ports-(?P<pid>[0-9]{1,9})", re.DOTALL)
_FOLLOW_NOT: t.Final = os.O_NOFOLLOW | os.O_CLOEXEC


class TreeError(RegistryError):
    """A tree that can't be read, or a file that can't be replaced; `str()` says what to do."""


def list_files(root: str, exclude: t.Sequence[str] = ()) -> list[str]:
    """The files below a directory, relative to it, sorted.

    In a git repository they are those that git doesn't ignore, tracked or not; elsewhere the
    files `.gitignore` are obeyed all the same. `exclude` has further patterns of that form.

    Raises TreeError if the directory can't be read.
    """
    found = _git_files(root)
    if found is None:
        found = _walk(root)
    if exclude:
        spec = _spec(exclude)
        found = [path for path in found if not spec.match_file(path)]
    return sorted(found)


def _git(root: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {k: v for k, v in os.environ.items() if k not in _OF_HOOKS}
    # A repository can name a program as its monitor; looking at its files must not start one.
    command = ["git", "-c", "core.fsmonitor=false", "-C", root, *arguments]
    try:
        return subprocess.run(command, capture_output=True, env=environment, check=False)
    except OSError:
        return subprocess.CompletedProcess(command, -1, b"", b"")


def top_of(folder: str) -> str | None:
    """The top of the repository that a directory is in; None if it is in none."""
    done = _git(folder, "rev-parse", "--show-toplevel")
    return os.fsdecode(done.stdout.rstrip(b"\n")) if done.returncode == 0 else None


def _git_files(root: str) -> list[str] | None:
    # What git ignores as a whole is looked at all the same if it is asked for by name.
    if _git(root, "check-ignore", "--quiet", ".").returncode != 1:
        return None
    listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if listed.returncode:
        return None
    names = {os.fsdecode(name) for name in listed.stdout.split(b"\0") if name}
    return [name for name in names if not name.endswith("/")]


def _spec(lines: t.Iterable[str]) -> t.Any:
    if PATHSPEC_ERROR is not None:
        raise TreeError(
            "prsnl.ports needs the Python library pathspec on the controller: run pip install"
            " pathspec in the environment of ansible-playbook"
        ) from PATHSPEC_ERROR
    return pathspec.GitIgnoreSpec.from_lines(lines)


def _walk(root: str) -> list[str]:
    found: list[str] = []
    waiting: list[tuple[str, tuple[tuple[str, t.Any], ...]]] = [("", ())]
    while waiting:
        folder, specs = waiting.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as entries:
                inside = list(entries)
        except OSError as error:
            if not folder:
                raise TreeError(f"{root}: can't be read: {error.strerror}") from error
            continue
        if any(entry.name == ".gitignore" for entry in inside):
            specs = (*specs, (folder, _gitignore(os.path.join(root, folder, ".gitignore"))))
        for entry in inside:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _NEVER and not _ignored(f"{path}/", specs):
                    waiting.append((path, specs))
            elif entry.is_file(follow_symlinks=False) and not _ignored(path, specs):
                found.append(path)
    return found


def _gitignore(path: str) -> t.Any:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return _spec(file.read().splitlines())
    except OSError:
        return _spec(())


def _ignored(path: str, specs: tuple[tuple[str, t.Any], ...]) -> bool:
    # The deepest file that says something about a path decides.
    for folder, spec in reversed(specs):
        verdict = spec.check_file(path[len(folder) + 1 :] if folder else path).include
        if verdict is not None:
            return bool(verdict)
    return False


@dataclasses.dataclass(frozen=True)
class Found:
    """The bytes of a regular file, and what has to stay as it is."""

    data: bytes
    status: os.stat_result


def read_file(root: str, path: str, limit: int) -> Found | None:
    """A file of a tree; None if it is no regular file, or has more bytes than the limit.

    Symbolic links aren't followed: what they lead to is in the tree itself, or isn't ours.

    Raises OSError if it can't be read.
    """
    try:
        handle = os.open(os.path.join(root, path), os.O_RDONLY | os.O_NONBLOCK | _FOLLOW_NOT)
    except OSError:
        if os.path.islink(os.path.join(root, path)):
            return None
        raise
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            return None
        data = b""
        # One more than the size, so that a file that grows meanwhile is noticed.
        while chunk := os.read(handle, status.st_size + 1 - len(data)):
            data += chunk
        return Found(data, status) if len(data) == status.st_size else None
    finally:
        os.close(handle)


@contextlib.contextmanager
def _opened_folder(root: str, path: str) -> t.Iterator[int]:
    """The directory of a path; a symbolic link on the way there is an OSError."""
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in os.path.dirname(path).split("/"):
            if part:
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | _FOLLOW_NOT, dir_fd=handle)
                os.close(handle)
                handle = below
        yield handle
    finally:
        os.close(handle)


def replace_files(root: str, contents: t.Mapping[str, tuple[Found, bytes]]) -> None:
    """Replaces files of a tree by other bytes; mode, owner and extended attributes stay.

    Everything is written before the first file is replaced, so that a full disk changes nothing.

    Raises TreeError if a file can't be written, or has changed since it was read.
    """
    with contextlib.ExitStack() as stack:
        staged = []
        # One for each directory, or a large tree would need too many open files.
        folders: dict[str, int] = {}
        for path, (before, data) in contents.items():
            try:
                above, name = os.path.split(path)
                if above not in folders:
                    folders[above] = stack.enter_context(_opened_folder(root, path))
                    _remove_left(folders[above])
                folder = folders[above]
                temporary = f".{name}.ports-{os.getpid()}"
                stack.callback(_remove, temporary, folder)
                _stage(folder, name, temporary, before, data)
            except OSError as error:
                raise TreeError(
                    f"{path}: can't be rewritten: {error.strerror}. Nothing was changed"
                ) from error
            staged.append((path, folder, name, temporary))
        for path, folder, name, temporary in staged:
            try:
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError as error:
                raise TreeError(f"{path}: can't be rewritten: {error.strerror}") from error


def _remove_left(folder: int) -> None:
    """Removes what a run that was killed has left in a directory."""
    for name in os.listdir(folder):
        match = _STAGED.fullmatch(name)
        if match and not _is_running(int(match["pid"])):
            _remove(name, folder)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _remove(name: str, folder: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)


def _stage(folder: int, name: str, temporary: str, before: Found, data: bytes) -> None:
    # Opening for writing is refused where writing in place would be.
    handle = os.open(name, os.O_RDWR | os.O_NONBLOCK | _FOLLOW_NOT, dir_fd=folder)
    try:
        now = os.fstat(handle)
        same = (now.st_ino, now.st_size, now.st_mtime_ns)
        if same != (before.status.st_ino, before.status.st_size, before.status.st_mtime_ns):
            raise OSError(0, "it has changed since it was read")
        if now.st_nlink > 1:
            raise OSError(0, "it has further hard links, which would keep the old text")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FOLLOW_NOT
        new = os.open(temporary, flags, 0o600, dir_fd=folder)
        with os.fdopen(new, "wb") as file:
            file.write(data)
            file.flush()
            if (now.st_uid, now.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(new, now.st_uid, now.st_gid)
            os.fchmod(new, stat.S_IMODE(now.st_mode))
            for attribute in getattr(os, "listxattr", lambda _handle: ())(handle):
                os.setxattr(new, attribute, os.getxattr(handle, attribute))
            os.fsync(new)
    finally:
        os.close(handle)


def write_file(folder: str, name: str, data: bytes) -> None:
    """Creates or replaces a file in one step; the mode of one that is there stays.

    Raises OSError if that can't be done, or if it is no regular file.
    """
    try:
        status = os.lstat(os.path.join(folder, name))
    except FileNotFoundError:
        status = None
    if status is not None:
        found = read_file(folder, name, status.st_size)
        if found is None:
            raise OSError(errno.EINVAL, "it is no regular file")
        replace_files(folder, {name: (found, data)})
        return
    handle, staged = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(handle, _NEW_FILE & ~_umask())
            os.fsync(handle)
        os.rename(staged, os.path.join(folder, name))
    except BaseException:
        os.unlink(staged)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
