# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was downloaded: made root's, and compared with what it was when it was put there.

An archive says who owns its files and what they may do, and nobody has checked that. After it was
unpacked in a folder that only root can enter, all of it becomes root's, and loses what would let
others change it or let it have rights of its own. Only then it gets its name. A listing beside the
manifests has the hash of every file; where size, owner, permissions, inode and its time are the
same, the content is the same as well, so that looking costs next to nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import typing as t
from dataclasses import dataclass, field

from ansible_collections.prsnl.ports.plugins.module_utils.daemon.backends import DaemonError
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import (
    read_file,
    remove_staged,
    write_text,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.manifest import DIRECTORY, digest

LISTINGS = "installed"
VERSION = 1
CHUNK = 1 << 20
# Rights that an archive can't give: to change what is root's, and to be somebody else.
TAKEN = stat.S_IWGRP | stat.S_IWOTH | stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


@dataclass(frozen=True)
class Entry:
    """A file, link or folder: its type and permissions, owner, content, and inode.

    ``content`` is the SHA-256 of a file, or the target of a link. ``inode`` is its number, size and
    time of change in nanoseconds; it doesn't count in a comparison.
    """

    mode: int
    uid: int
    gid: int
    content: str
    inode: tuple[int, int, int] = field(compare=False)


@dataclass(frozen=True)
class Listing:
    """What was put to a path, by names below it; ``""`` is the path itself."""

    path: str
    checksum: str
    entries: t.Mapping[str, Entry]

    def as_text(self) -> str:
        """Return the JSON text of its file."""
        entries = {
            name: [entry.mode, entry.uid, entry.gid, entry.content, list(entry.inode)]
            for name, entry in self.entries.items()
        }
        return json.dumps(
            {
                "version": VERSION,
                "path": self.path,
                "checksum": self.checksum,
                "entries": entries,
            },
            sort_keys=True,
        )


def listing_path(path: str, directory: str = DIRECTORY) -> str:
    """Return where the listing of a path is."""
    name = f"{os.path.basename(path)}-{digest(path.encode())[:16]}.json"
    return os.path.join(directory, LISTINGS, name)


def read_listing(path: str, directory: str = DIRECTORY) -> t.Optional[Listing]:
    """Return the listing of a path; None without one of this version.

    :raises OSError: it is there and can't be read.
    """
    found = read_file(listing_path(path, directory))
    if found is None:
        return None
    with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
        data = json.loads(found.data)
        if data["version"] == VERSION and data["path"] == path:
            entries = {
                name: Entry(mode, uid, gid, content, t.cast("tuple[int, int, int]", tuple(inode)))
                for name, (mode, uid, gid, content, inode) in data["entries"].items()
            }
            return Listing(path, data["checksum"], entries)
    return None


def write_listing(listing: Listing, directory: str = DIRECTORY) -> None:
    """Keep the listing of what is in its place now.

    :raises OSError: it can't be written.
    """
    own = listing.entries.get("")
    if own and stat.S_ISREG(own.mode):
        # To be moved to its place has changed its time.
        listing = list_tree(listing.path, listing.path, listing.checksum)
    path = listing_path(listing.path, directory)
    remove_staged(path)
    write_text(path, listing.as_text(), 0o600)


def hash_file(path: str) -> str:
    """Return the SHA-256 of a file of root's in hexadecimal digits.

    :raises OSError: it can't be read.
    """
    result = hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            chunk = file.read(CHUNK)
            if not chunk:
                return result.hexdigest()
            result.update(chunk)


def is_as_listed(listing: Listing) -> bool:
    """Tell whether what is at the listing's path is exactly what was put there.

    :raises OSError: it can't be read.
    """
    found = 0
    for name, path, status in _walk(listing.path):
        entry = listing.entries.get(name)
        if entry is None or _entry(path, status, entry) != entry:
            return False
        found += 1
    return found == len(listing.entries)


def list_tree(root: str, path: str, checksum: str) -> Listing:
    """Return the listing of what is in one place and is going to be in another.

    :param root: where it is.
    :param path: where it is going to be.
    :param checksum: of the download.
    :raises OSError: it can't be read.
    """
    entries = {name: _entry(place, status, None) for name, place, status in _walk(root)}
    return Listing(path, checksum, entries)


def _entry(path: str, status: os.stat_result, known: t.Optional[Entry]) -> Entry:
    inode = (status.st_ino, status.st_size, status.st_ctime_ns)
    content = ""
    if stat.S_ISLNK(status.st_mode):
        content = os.readlink(path)
    elif stat.S_ISREG(status.st_mode):
        content = known.content if known and known.inode == inode else hash_file(path)
    return Entry(status.st_mode, status.st_uid, status.st_gid, content, inode)


def _walk(root: str) -> t.Iterator[tuple[str, str, os.stat_result]]:
    """Yield names, paths and what is there, the root itself first; nothing if it is missing."""
    try:
        status = os.lstat(root)
    except FileNotFoundError:
        return
    yield "", root, status
    if not stat.S_ISDIR(status.st_mode):
        return
    folders = [""]
    while folders:
        folder = folders.pop()
        with os.scandir(os.path.join(root, folder)) as found:
            for entry in sorted(found, key=lambda item: item.name):
                name = os.path.join(folder, entry.name)
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    folders.append(name)
                yield name, entry.path, status


def make_roots(root: str) -> None:
    """Take from what was unpacked whatever an archive has no business with.

    :param root: a folder that only root can enter.
    :raises DaemonError: there are devices or pipes in it, or a file that has a name elsewhere.
    :raises OSError: it can't be changed.
    """
    uid, gid = os.geteuid(), os.getegid()
    found = list(_walk(root))
    names: dict[tuple[int, int], int] = {}
    for _name, _path, status in found:
        number = (status.st_dev, status.st_ino)
        names[number] = names.get(number, 0) + 1
    for name, path, status in found:
        kind = stat.S_IFMT(status.st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            raise DaemonError(f"the archive has {name}, which is no file, folder or link")
        if kind == stat.S_IFREG and status.st_nlink != names[status.st_dev, status.st_ino]:
            raise DaemonError(f"the archive has {name}, a name of a file outside of it")
        if kind == stat.S_IFLNK:
            os.chown(path, uid, gid, follow_symlinks=False)
            continue
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.fchown(handle, uid, gid)
            os.fchmod(handle, stat.S_IMODE(status.st_mode) & ~TAKEN)
        finally:
            os.close(handle)
