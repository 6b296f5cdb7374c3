# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read files whole, and replace them so that a crash leaves the old or the new one."""

from __future__ import annotations

import os
import stat
import tempfile
import typing as t
from dataclasses import dataclass


@dataclass(frozen=True)
class Content:
    """What a file is: its bytes, permissions and owner."""

    data: bytes
    mode: int
    uid: int
    gid: int


def read_file(path: str) -> t.Optional[Content]:
    """Return what a file is; None if there is none.

    :raises OSError: it can't be read.
    """
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            return Content(file.read(), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
    except FileNotFoundError:
        return None


def stage_file(path: str, content: Content, suffix: str = "") -> str:
    """Write content beside a file, under a name that no program looks for; return its path.

    Nobody can read it before it has its final permissions.

    :param suffix: the end of the name, for a program that wants one.

    :raises OSError: it can't be written, for example because the disk is full.
    """
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o755, exist_ok=True)
    handle, staged = tempfile.mkstemp(prefix=".ansible-", suffix=suffix, dir=directory)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.data)
            file.flush()
            os.fchown(file.fileno(), content.uid, content.gid)
            os.fchmod(file.fileno(), content.mode)
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(staged)
        raise
    return staged


def write_file(path: str, content: Content) -> None:
    """Replace a file, or the file that a symbolic link leads to, in one step.

    :raises OSError: it can't be written; the former file is there then.
    """
    target = os.path.realpath(path)
    os.replace(stage_file(target, content), target)


def write_text(path: str, text: str, mode: int) -> None:
    """Replace a file by one of this process's user, in one step.

    :raises OSError: it can't be written; the former file is there then.
    """
    write_file(path, Content(text.encode(), mode, os.geteuid(), os.getegid()))
