# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated launchctl, as a program: its codes and texts are those that launchd was seen to give.

Sources: launchctl(1) and launchd.plist(5); exit codes 3, 5, 36, 113 and 119, and the seconds in
which a label that was booted out can't be bootstrapped again, as others report them of macOS 14 to
26. Not modelled: any process (a job "runs" by what the book says), sockets, demand, other domains
than ``system``, and throttling.
"""

from __future__ import annotations

import json
import os
import plistlib
import sys
import typing as t
from pathlib import Path

BOOK = Path(os.environ.get("LAUNCHD_BOOK", "/nonexistent"))
Book = dict[str, t.Any]


def main(words: list[str]) -> int:
    book: Book = json.loads(BOOK.read_text(encoding="utf-8"))
    book["calls"].append(words)
    verb, *arguments = words
    code = VERBS[verb](book, arguments)
    BOOK.write_text(json.dumps(book), encoding="utf-8")
    return code


def fail(code: int, text: str) -> int:
    print(text, file=sys.stderr)
    return code


def label_of(target: str) -> str:
    domain, _slash, label = target.partition("/")
    assert domain == "system", target
    return label


def drain(book: Book, label: str) -> bool:
    """Tell whether a job that was booted out is still there; each look brings it nearer its end."""
    left = book["ending"].get(label, 0)
    if left:
        book["ending"][label] = left - 1
    return bool(left)


def bootstrap(book: Book, arguments: list[str]) -> int:
    domain, path = arguments
    assert domain == "system"
    status = os.stat(path)
    job = plistlib.loads(Path(path).read_bytes())
    label = job["Label"]
    if book["disabled"].get(label):
        return fail(119, "Bootstrap failed: 119: Service is disabled")
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        return fail(5, "Bootstrap failed: 5: Input/output error")
    if label in book["jobs"] or drain(book, label):
        return fail(5, "Bootstrap failed: 5: Input/output error")
    book["jobs"][label] = {"runs": 0, "pid": 0, "exit": "(never exited)", "job": job}
    if job.get("RunAtLoad"):
        start(book, label)
    return 0


def start(book: Book, label: str) -> None:
    entry = book["jobs"][label]
    entry["runs"] += 1
    book["pids"] += 1
    entry["pid"] = book["pids"]
    if label in book["broken"]:
        entry["pid"], entry["exit"] = 0, "78: EX_CONFIG"


def bootout(book: Book, arguments: list[str]) -> int:
    label = label_of(arguments[0])
    if label not in book["jobs"]:
        return fail(3, "Boot-out failed: 3: No such process")
    del book["jobs"][label]
    book["ending"][label] = book["slow"]
    return fail(36, "Boot-out failed: 36: Operation now in progress") if book["slow"] else 0


def show(book: Book, arguments: list[str]) -> int:
    label = label_of(arguments[0])
    entry = book["jobs"].get(label)
    if entry is None:
        return fail(113, f'Could not find service "{label}" in domain for system')
    print(f"system/{label} = {{")
    print(f"\tactive count = {int(bool(entry['pid']))}")
    print(f"\tstate = {'running' if entry['pid'] else 'spawn scheduled'}\n")
    print("\tenvironment = {\n\t\tpid = 7\n\t}\n\n\tdomain = system")
    print(f"\truns = {entry['runs']}")
    if entry["pid"]:
        print(f"\tpid = {entry['pid']}")
    print(f"\tlast exit code = {entry['exit']}\n}}")
    return 0


def kickstart(book: Book, arguments: list[str]) -> int:
    label = label_of(arguments[-1])
    if label not in book["jobs"]:
        return fail(113, f'Could not find service "{label}" in domain for system')
    if not book["jobs"][label]["pid"] or "-k" in arguments:
        start(book, label)
    return 0


def kill(book: Book, arguments: list[str]) -> int:
    label = label_of(arguments[1])
    return 0 if label in book["jobs"] else fail(113, "Could not find service")


def enable(book: Book, arguments: list[str]) -> int:
    book["disabled"][label_of(arguments[0])] = False
    return 0


def disable(book: Book, arguments: list[str]) -> int:
    book["disabled"][label_of(arguments[0])] = True
    return 0


def print_disabled(book: Book, arguments: list[str]) -> int:
    assert arguments == ["system"]
    print("\n\tdisabled services = {")
    for label, is_disabled in book["disabled"].items():
        print(f'\t\t"{label}" => {"disabled" if is_disabled else "enabled"}')
    print("\t}")
    return 0


VERBS = {
    "bootout": bootout,
    "bootstrap": bootstrap,
    "disable": disable,
    "enable": enable,
    "kickstart": kickstart,
    "kill": kill,
    "print": show,
    "print-disabled": print_disabled,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
