# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remembers which texts had no faults: checking them takes longer than all the rest of an answer.

A text is known by its digest, together with the code that checked it. Nothing is remembered where
the folder for such things isn't the user's own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import stat
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    source as yaml_source,
)

_KEPT: t.Final = 100


def is_known(kind: str, source: bytes) -> bool:
    """Whether a text was checked before, as a registry or as leases, and had no faults."""
    return _digest(kind, source) in _read()


def remember(kind: str, source: bytes) -> None:
    """Remembers that a text has no faults, if that is possible."""
    new = _digest(kind, source)
    known = [digest for digest in _read() if digest != new]
    file = _file()
    staged = file.with_name(f".{file.name}.{os.getpid()}")
    # It is only slower without.
    with contextlib.suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_own(file.parent):
            return
        with open(staged, "x", encoding="ascii") as stream:
            stream.write("\n".join([*known[1 - _KEPT :], new, ""]))
        os.replace(staged, file)


def _read() -> list[str]:
    file = _file()
    try:
        return file.read_text(encoding="ascii").split() if _is_own(file.parent) else []
    except (OSError, ValueError):
        return []


def _file() -> pathlib.Path:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(cache) / "prsnl-ports" / "checked"


def _is_own(folder: pathlib.Path) -> bool:
    """Whether nobody else can replace what is in a folder, or the folder."""
    for path in (folder, folder.parent):
        status = path.lstat()
        if (
            not stat.S_ISDIR(status.st_mode)
            or status.st_uid != os.geteuid()
            or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        ):
            return False
    return True


def _digest(kind: str, source: bytes) -> str:
    digest = hashlib.sha256(kind.encode())
    code = pathlib.Path(yaml_source.__file__).parent
    for folder in (code, code.parents[2] / "schemas"):
        for entry in sorted(os.scandir(folder), key=lambda e: e.name):
            if entry.is_file():
                status = entry.stat()
                digest.update(f"{entry.path} {status.st_size} {status.st_mtime_ns}\n".encode())
    digest.update(source)
    return digest.hexdigest()
