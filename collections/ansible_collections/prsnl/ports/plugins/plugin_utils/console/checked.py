# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remembers what texts without faults say: reading and checking takes longer than an answer.

A text is known by its digest, together with the code that checked it. What it says is kept in a
folder of the user's own, and nothing is kept where that folder isn't.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import marshal
import os
import pathlib
import stat
import sys
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    source as yaml_source,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import Path

_KEPT: t.Final = 8


class Known:
    """A text as a registry or as leases: its data, and the lines of its paths."""

    def __init__(self, kind: str, source: bytes) -> None:
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self._folder = pathlib.Path(cache) / "prsnl-ports" / "checked"
        self._name = _digest(kind, source)
        self._source = source

    def data(self) -> t.Any:
        """What it says; None if it wasn't checked before."""
        return self._read("data")

    @functools.cached_property
    def lines(self) -> t.Mapping[Path, int]:
        """The lines of its paths."""
        return self._read("lines") or yaml_source.lines(self._source)

    def remember(self, data: t.Any) -> None:
        """Keeps that a text has no faults, and says this."""
        # It is only slower without.
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_own(self._folder):
                return
            self._write("lines", self.lines)
            self._write("data", data)
            newest = sorted(self._folder.iterdir(), key=lambda file: -file.stat().st_mtime_ns)
            for file in newest[2 * _KEPT :]:
                file.unlink()

    def _read(self, part: str) -> t.Any:
        try:
            if _is_own(self._folder):
                file = self._folder / f"{self._name}.{part}"
                return marshal.loads(file.read_bytes())  # noqa: S302 - it is the user's own
        except (OSError, ValueError, EOFError, TypeError):
            return None
        return None

    def _write(self, part: str, value: t.Any) -> None:
        staged = self._folder / f".{self._name}.{os.getpid()}"
        with open(staged, "xb") as stream:
            stream.write(marshal.dumps(value))
        os.replace(staged, self._folder / f"{self._name}.{part}")


class Lines(t.Mapping[Path, int]):
    """The lines of a known text, which are read when somebody asks for one."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def __getitem__(self, path: Path) -> int:
        return self._known.lines[path]

    def __iter__(self) -> t.Iterator[Path]:
        return iter(self._known.lines)

    def __len__(self) -> int:
        return len(self._known.lines)


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
    digest = hashlib.sha256(f"{kind} {sys.version}\n".encode())
    code = pathlib.Path(yaml_source.__file__).parent
    for folder in (code, code.parents[2] / "schemas"):
        for entry in sorted(os.scandir(folder), key=lambda e: e.name):
            if entry.is_file():
                status = entry.stat()
                digest.update(f"{entry.path} {status.st_size} {status.st_mtime_ns}\n".encode())
    digest.update(source)
    return digest.hexdigest()
