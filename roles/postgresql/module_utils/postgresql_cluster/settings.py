# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings as `postgresql.conf` has them: their sizes, and their syntax."""

from __future__ import annotations

import re
import typing as t

HEADER = "# Written by Ansible. Changes made here are lost."
# Those of PostgreSQL that are right for a small machine, and what helps in the log.
DEFAULTS: dict[str, t.Any] = {
    "log_line_prefix": "%m [%p] %q%u@%d/%h ",
    "log_lock_waits": True,
    "log_temp_files": "10MB",
}
_ASSIGNMENT = re.compile(r"^\s*([A-Za-z_][\w.$]*)\s*(?:=\s*|\s+)(.*)$")
_QUOTED = re.compile(r"^'((?:[^'\\]|\\.|'')*)'")
_ESCAPES = {"\\": "\\\\", "'": "''", "\n": "\\n", "\r": "\\r"}
_ESCAPED = re.compile(r"\\([0-7]{1,3}|.)|''")
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def tune(memory_mb: int, connections: int) -> dict[str, t.Any]:
    """Return settings for a server that has so much memory, in MiB, and so many connections.

    `README.md`, "Memory", tells why these are the sizes.
    """
    shared = min(max(memory_mb // 4, 32), 8192)
    work_kb = (memory_mb - shared) * 1024 // (4 * connections)
    return {
        **DEFAULTS,
        "max_connections": connections,
        "shared_buffers": f"{shared}MB",
        "effective_cache_size": f"{max(memory_mb * 3 // 4, shared)}MB",
        "maintenance_work_mem": f"{min(max(memory_mb // 16, 16), 1024)}MB",
        "work_mem": f"{min(max(work_kb, 1024), 65536)}kB",
    }


def quote(value: t.Any) -> str:
    """Return a value as `postgresql.conf` has it.

    Source: https://www.postgresql.org/docs/16/config-setting.html and `GUC_scanstr` of guc-file.l,
    which knows backslashes as well.
    """
    if isinstance(value, bool):
        value = "on" if value else "off"
    return "'" + "".join(_ESCAPES.get(char, char) for char in str(value)) + "'"


def render(settings: t.Mapping[str, t.Any], *comments: str) -> str:
    """Return the text of a file of settings."""
    lines = [HEADER, *(f"# {comment}" for comment in comments)]
    lines += [f"{name} = {quote(value)}" for name, value in sorted(settings.items())]
    return "\n".join(lines) + "\n"


def include_text(path: str) -> str:
    """Return the text of the file that leads to another one, if that is there."""
    return f"{HEADER}\ninclude_if_exists {quote(path)}\n"


def assignments(text: str) -> dict[str, str]:
    """Return the settings of a file as they are written there, by name in lower case.

    What other files add isn't looked at.
    """
    found = {}
    for line in text.splitlines():
        match = _ASSIGNMENT.match(line)
        if match and not match[1].lower().startswith("include"):
            found[match[1].lower()] = match[2].strip()
    return found


def value_of(text: str, name: str) -> t.Optional[str]:
    """Return a setting of a file, without quotes; None if it isn't there."""
    written = assignments(text).get(name)
    if written is None:
        return None
    match = _QUOTED.match(written)
    if match is None:
        return written.partition("#")[0].strip()
    return _ESCAPED.sub(_unescape, match[1])


def _unescape(match: t.Match[str]) -> str:
    code = match[1]
    if code is None:
        return "'"
    return chr(int(code, 8)) if code[0] in "01234567" else _LETTERS.get(code, code)


def without(text: str, name: str) -> str:
    """Return a file without the lines that set something."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if name not in assignments(line))


def changed_names(former: str, wanted: str) -> set[str]:
    """Return the names of what two files set differently."""
    before, after = assignments(former), assignments(wanted)
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}
