# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of processes and of programs, and when two of them are the same. Pure.

A process is known by the name that the kernel has of it, by its program, and by the name that it
was started by or has given itself. The first is cut to 15 bytes on Linux, and threads and titles
change it: Node.js names its main thread C(MainThread), gunicorn's title is C(gunicorn: master [x]).
"""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Holder

# The kernel cuts the name of a process to this many bytes (TASK_COMM_LEN); XNU to 31.
COMM_LENGTH = 15
# What runs other people's programs, and has its version in the name of the file.
INTERPRETER = re.compile(
    r"(python|pypy|ruby|perl|node|nodejs|php|php-fpm|php-cgi|lua|guile|tclsh|java)"
    r"[-.]?([0-9]+(?:\.[0-9]+)*)?",
    re.IGNORECASE,
)
# nginx: master process; gunicorn: maste; puma 6.4.2 (tcp
TITLE = re.compile(r"([^\s:]+)(:(?: |$)| [0-9])")


def names_of(holder: Holder) -> tuple[str, ...]:
    """Return every name that a process is known by."""
    names = (holder.process, program_of(holder), holder.called)
    return tuple(dict.fromkeys(filter(None, names)))


def program_of(holder: Holder) -> str:
    """Return the name of the file of a process' program; empty where it isn't known."""
    return os.path.basename(holder.executable or "")


def is_named(holder: Holder, names: t.Iterable[str]) -> bool:
    """Tell whether a process goes by one of these names."""
    return any(same_name(name, known) for name in names for known in names_of(holder))


def same_name(one: str, known: str) -> bool:
    """Tell whether a name stands for what is known of a process.

    Titles count by the program that they begin with, a name that was cut by what is left of it, and
    the versions of interpreters as far as both have one: C(python3) is C(python3.11).
    """
    is_cut = len(known.encode()) >= COMM_LENGTH
    # A cut may go through a character.
    if one == known or (is_cut and one.startswith(known.rstrip("\ufffd"))):
        return True
    one, known = _without_title(one), _without_title(known)
    return one == known or _same_interpreter(one, known)


def _without_title(name: str) -> str:
    match = TITLE.match(name)
    return match[1] if match else name


def _same_interpreter(one: str, other: str) -> bool:
    first, second = INTERPRETER.fullmatch(one), INTERPRETER.fullmatch(other)
    if not first or not second or first[1].lower() != second[1].lower():
        return False
    versions = [(match[2] or "").split(".") if match[2] else [] for match in (first, second)]
    common = min(map(len, versions))
    return versions[0][:common] == versions[1][:common]
