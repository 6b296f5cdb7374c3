# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills a process right before any of its writes, with SIGKILL.

What is killed is a copy of this process (fork), which has an audit hook (PEP 578) that counts what
changes a file system: nothing that the code does on the way is left out, and nothing of the code is
replaced.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import typing as t
from unittest import mock

# Rights of an open file don't count, as it has no name yet that anybody looks for.
BY_NAME = {"os.chmod", "os.chown", "os.setxattr", "os.utime"}
WRITES = {
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
}
FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# A run of so many writes goes round in circles.
MOST = 2000
_outside = 0


@contextlib.contextmanager
def outside() -> t.Iterator[None]:
    """What happens in here isn't done by the process that is killed, but by one that it asked."""
    global _outside  # noqa: PLW0603 - the hook can't have an argument
    _outside += 1
    try:
        yield
    finally:
        _outside -= 1


def is_write(event: str, arguments: tuple[t.Any, ...]) -> bool:
    if event == "open":
        return bool(arguments[2] & FLAGS) and arguments[0] != os.devnull
    return event in WRITES or (event in BY_NAME and not isinstance(arguments[0], int))


def run_until(write: int, work: t.Callable[[], object]) -> bool:
    """Run work in a copy of this process, and kill that before a write; 0 is the first one.

    Returns whether it was killed; otherwise it came to its end. What it raises is an error here.
    """
    child = os.fork()
    if child == 0:
        count = 0

        def hook(event: str, arguments: tuple[t.Any, ...]) -> None:
            nonlocal count
            if not _outside and is_write(event, arguments):
                if count == write:
                    os.kill(os.getpid(), signal.SIGKILL)
                count += 1

        code = 1
        try:
            sys.addaudithook(hook)
            work()
            code = 0
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(code)
    _pid, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the work failed; see its message on stderr"
    return False


def every_cut(work: t.Callable[[], object], prepare: t.Callable[[], object]) -> t.Iterator[int]:
    """Prepare, run work until its first write, and so on for every write, until it is not killed.

    Yields the number of writes that were done before each cut.
    """
    # Disks matter to power cuts only.
    with mock.patch("os.fsync"):
        for write in range(MOST):
            prepare()
            if not run_until(write, work):
                return
            yield write
    raise AssertionError(f"more than {MOST} writes")
