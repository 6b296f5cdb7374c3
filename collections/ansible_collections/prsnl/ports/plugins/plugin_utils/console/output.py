# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What commands print, for people, programs and GitHub."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import printable
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    Path,
    line_of,
    shown,
)

_PLACE: t.Final = re.compile(r"(?P<file>[^\n:]+):(?P<line>[0-9]+)(?::(?P<column>[0-9]+))?: ")


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something found in a file; `line` and `column` count from 1, 0 where there is none."""

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    level: str = "error"

    def __str__(self) -> str:
        place = [self.file, *(str(number) for number in (self.line, self.column) if number)]
        level = "" if self.level == "error" else f"{self.level}: "
        return f"{':'.join(place)}: {level}{self.message}" if self.file else level + self.message

    def as_dict(self) -> dict[str, t.Any]:
        """Plain data, ready for JSON."""
        return dataclasses.asdict(self)

    def for_github(self) -> str:
        """The workflow command that shows it beside the line."""
        where = {"file": self.file, "line": self.line, "col": self.column}
        places = ",".join(f"{key}={_escaped(str(v), ':,')}" for key, v in where.items() if v)
        return f"::{self.level}{' ' if places else ''}{places}::{_escaped(self.message)}"


def _escaped(text: str, also: str = "") -> str:
    for char in "%\r\n" + also:
        text = text.replace(char, f"%{ord(char):02X}")
    return text


def findings_of(error: Exception) -> list[Finding]:
    """What an error says, each line that starts with `file:line:` by itself."""
    if isinstance(error, OSError):
        return [Finding(error.strerror or str(error), file=str(error.filename or ""))]
    return findings_in(str(error).split("\n"))


def findings_in(rows: t.Iterable[str], level: str = "error") -> list[Finding]:
    """The findings of lines; one that doesn't start with `file:line:` continues that before it."""
    found: list[Finding] = []
    for row in rows:
        match = _PLACE.match(row)
        if match:
            place = int(match["line"]), int(match["column"] or 0)
            found.append(Finding(row[match.end() :], match["file"], *place, level=level))
        elif found:
            found[-1] = dataclasses.replace(found[-1], message=f"{found[-1].message}\n{row}")
        else:
            found.append(Finding(row, level=level))
    return found


def at(
    file: str, places: t.Mapping[Path, int], path: Path, message: str, level: str = "error"
) -> Finding:
    """A finding at a path of a YAML file; `places` are the lines of its paths."""
    return Finding(message, shown(file), line_of(places, path), level=level)


def findings(found: t.Sequence[Finding], form: str, to: t.TextIO | None = None) -> None:
    """Prints findings; for programs as a list, on the standard output."""
    stream = to or sys.stdout
    if form == "json":
        print(json.dumps([finding.as_dict() for finding in found], indent=2))
        return
    for finding in found:
        line = finding.for_github() if form == "github" else str(finding)
        print(printable(line, keep="\n\t"), file=stream)


def answer(text: str, data: t.Any, form: str) -> None:
    """Prints an answer: the data for programs, else the text."""
    print(json.dumps(data, indent=2) if form == "json" else printable(text, keep="\n\t"))
