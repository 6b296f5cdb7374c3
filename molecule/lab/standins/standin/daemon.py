# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each stand-in does as a daemon: its name in the process list, its journal, its readiness."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import sys
import threading
import typing as t

from standin import strict


def rename(name: str) -> None:
    """Be called ``name`` in the process list, as the vendor's program is."""
    pathlib.Path("/proc/self/comm").write_text(name, encoding="ascii")


def say(text: str) -> None:
    """Write a line to the journal."""
    print(text, file=sys.stderr, flush=True)


def ready() -> None:
    """Tell systemd that the service answers (sd_notify(3)), if it wants to know."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", path.replace("@", "\0", 1))


def wait() -> None:
    """Until systemd stops the service."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()


def run(main: t.Callable[[list[str]], None]) -> t.NoReturn:
    """Run a program. What it refuses, and files and sockets that it can't have, mean code 1."""
    try:
        main(sys.argv[1:])
    except (strict.RefusedError, OSError) as problem:
        say(f"ERROR: {problem}")
        sys.exit(1)
    sys.exit(0)
