# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of a file: what is wrong, where, and what would be right."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed, printable

Path = tuple[t.Union[str, int], ...]

# A suggestion costs a look at all names: beyond this many suggestions nobody reads them, and beyond
# this many looks nobody waits for them.
_SUGGESTIONS: t.Final = 100
_LOOKS: t.Final = 20_000
_LONGEST: t.Final = 60
# Nobody mends more at once, and finding them all would take longer the more there are.
MOST: t.Final = 500


@dataclasses.dataclass(frozen=True)
class Fault:
    """One fault.

    `path` leads to it from the root of the file, `see` to the other place if it takes two; `word`
    is what was perhaps misspelt and `among` what it may be. `line` counts from 1 and is given
    where the path doesn't tell it.
    """

    path: Path
    message: str
    see: Path | None = None
    word: str = ""
    among: t.Collection[str] = dataclasses.field(default=(), hash=False)
    line: int | None = None


class RegistryError(Exception):
    """A registry that can't be used; `str()` gives every fault on a line of its own."""


def report(file: str, faults: t.Iterable[Fault], lines: t.Mapping[Path, int]) -> str:
    """The faults, sorted by line: `file:line: path: what was found, what is allowed`."""
    faults = list(faults)
    rows = {
        (fault.line or line_of(lines, fault.path), dotted(fault.path), fault.message): fault
        for fault in faults
    }
    text = []
    looks = _LOOKS
    for number, ((line, path, message), fault) in enumerate(
        sorted(rows.items(), key=lambda r: r[0])
    ):
        row = f"{shown(file)}:{line}: {path}: {message}"
        if fault.see is not None:
            row += f"; see line {line_of(lines, fault.see)}"
        if fault.word and number < _SUGGESTIONS and len(fault.among) <= looks:
            looks -= len(fault.among)
            row += near(fault.word, fault.among)
        text.append(printable(row))
    if len(faults) >= MOST:
        text.append(f"{shown(file)}: these are the first {MOST} faults; there may be more")
    return "\n".join(text)


def line_of(lines: t.Mapping[Path, int], path: Path) -> int:
    """The line of a path, or of the nearest thing around it that is in the file."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def shown(file: str) -> str:
    """A file's path as it is printed: relative if it lies below the current directory."""
    try:
        relative = os.path.relpath(file)
    except (OSError, ValueError):
        return file
    return file if relative.startswith(os.pardir) else relative


def dotted(path: Path) -> str:
    """The path as it is printed: services.postgresql.endpoints.sql.port, history[2].changes[0]."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if re.fullmatch(r"[\w/.~-]+", part) else found(part)
            text += f".{word}" if text else word
    return text or "(root)"


def found(value: t.Any) -> str:
    """A value as it is printed in a message, always on one line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, str):
        return ascii(value if len(value) <= _LONGEST else f"{value[:_LONGEST]}...")
    return str(value)


def near(word: str, among: t.Iterable[str]) -> str:
    """`; did you mean 'x'?` if x is much like the word, else nothing."""
    if len(word) > _LONGEST:
        # Comparing grows with the square of the length.
        return ""
    matches = difflib.get_close_matches(word, list(among), n=3, cutoff=0.6)
    return f"; did you mean {listed(map(found, matches), 'or')}?" if matches else ""
