# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One changer of a host at a time.

A process that changes the host holds the lock by flock(2), which ends with the process whatever
ends it. The lock file says who that is. An action that takes several steps, some of them by modules
that know nothing of the lock, keeps it between them by a lease: the file then has a token and a
time until which only whoever knows the token gets the lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import sys
import time
import typing as t
from dataclasses import asdict, dataclass, field, fields

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import printable

# A reboot empties it, and ends every lease.
RUNTIME = "/var/run/prsnl-ports" if sys.platform == "darwin" else "/run/prsnl-ports"
LOCK = f"{RUNTIME}/lock"
# Seconds; longer than installing takes between two steps.
LEASE = 1800.0
PAUSE = 0.2

# The parameter of modules that take the lock. Their actions set it.
LOCK_ARGUMENT: dict[str, t.Any] = {
    "type": "dict",
    "default": {},
    "options": {
        "controller": {"type": "str", "default": ""},
        "user": {"type": "str", "default": ""},
        "task": {"type": "str", "default": ""},
        "pid": {"type": "int", "default": 0},
        "place": {"type": "str", "default": ""},
        "wait": {"type": "float", "default": 0.0},
        "token": {"type": "str", "default": "", "no_log": False},
        "instead_of": {"type": "str", "default": "", "no_log": False},
    },
}


@dataclass(frozen=True)
class Changer:
    """Who changes a host.

    ``pid`` is that of ansible-playbook on the controller, ``place`` the machine (and its container
    and boot) where that number means something.
    """

    controller: str = ""
    user: str = ""
    task: str = ""
    pid: int = 0
    place: str = ""

    def __str__(self) -> str:
        who = f"{self.user or 'somebody'}@{self.controller or 'somewhere'}"
        pid = f" (pid {self.pid} there)" if self.pid else ""
        task = f", task {self.task!r}" if self.task else ""
        return printable(f"{who}{pid}{task}")


@dataclass(frozen=True)
class Holder:
    """Who holds the lock of a host.

    ``since`` is in seconds since the epoch, ``process`` the process on the host. Between two steps
    ``token`` names the lease, which ends when the host has run for ``expires`` seconds.
    """

    changer: Changer = field(default_factory=Changer)
    since: float = 0.0
    process: int = 0
    token: str = ""
    expires: float = 0.0

    def __str__(self) -> str:
        return f"{self.changer}, since {time.strftime('%H:%M:%S', time.localtime(self.since))}"

    def is_leased(self, now: float) -> bool:
        """Tell whether it is kept between two steps.

        :param now: how long the host has run, in seconds.
        """
        # Later than any lease ends: written before a reboot, in a folder that outlived it.
        return bool(self.token) and now < self.expires <= now + LEASE


class LockedError(Exception):
    """Somebody else changes this host."""

    def __init__(self, holder: Holder, waited: float, path: str) -> None:
        self.holder = holder
        told = f" It was waited for {waited:.0f} s." if waited >= 1 else ""
        super().__init__(
            f"This host is being changed by {holder}.{told} Nothing was changed by this run. Run it"
            f" again when that one has ended; if it is gone for good, remove {path}."
        )

    @property
    def result(self) -> dict[str, t.Any]:
        """What a module returns besides its message, for its action."""
        return {"locked_by": {**asdict(self.holder.changer), "token": self.holder.token}}


class LostLeaseError(Exception):
    """The lease of a change of several steps ended, and somebody else had the lock since."""


def uptime() -> float:
    """Return how long the host has run, in seconds; no clock that can be set."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def changer_of(argument: t.Mapping[str, t.Any]) -> Changer:
    """Return who changes the host, by a module's parameter of the kind `LOCK_ARGUMENT`."""
    names = [entry.name for entry in fields(Changer)]
    return Changer(**{name: argument[name] for name in names if argument.get(name) is not None})


class HostLock:
    """The lock of this host, as one process wants it."""

    def __init__(self, changer: Changer, path: str = LOCK) -> None:
        self._changer = changer
        self._path = path
        self._handle: t.Optional[int] = None
        self._expires = 0.0
        self.token = ""

    def take(self, *, token: str = "", wait: float = 0.0, instead_of: str = "") -> None:
        """Take the lock.

        :param token: the lease that this step belongs to.
        :param wait: how many seconds to wait for whoever has it.
        :param instead_of: the token of a lease whose run is known to be dead.
        :raises LockedError: somebody else has it still.
        :raises LostLeaseError: somebody else had it since the step before.
        :raises OSError: the lock file can't be used.
        """
        start = time.monotonic()
        while True:
            holder = self._try(token, instead_of)
            if holder is None and self._handle is not None:
                return
            if holder is None:
                continue
            waited = time.monotonic() - start
            if waited >= wait:
                raise LockedError(holder, waited, self._path)
            time.sleep(min(PAUSE, max(wait - waited, 0.01)))

    def lend(self, seconds: float = LEASE) -> str:
        """Keep the lock beyond this process, and return the token that the next step needs.

        :param seconds: for how long at most.
        """
        self._expires = uptime() + min(seconds, LEASE)
        self._write()
        return self.token

    def release(self) -> None:
        """Give the lock back, unless it was lent since it was taken."""
        if self._handle is None:
            return
        if not self._expires:
            os.ftruncate(self._handle, 0)
        os.close(self._handle)
        self._handle = None

    def _try(self, token: str, instead_of: str) -> t.Optional[Holder]:
        """Take the lock, or return who has it; neither if somebody removed the file just now."""
        os.makedirs(os.path.dirname(self._path), mode=0o755, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return _read(handle)
            if not self._is_current(handle):
                return None
            holder = _read(handle)
            if token and holder.token and holder.token != token:
                raise LostLeaseError(
                    f"The lock of this host was lost between two steps, to {holder}. What this run"
                    " had begun is taken back by theirs. Run it again."
                )
            if holder.is_leased(uptime()) and holder.token not in (token, instead_of):
                return holder
            self._handle, handle = handle, -1
        finally:
            if handle >= 0:
                os.close(handle)
        self.token = token or secrets.token_hex(8)
        self._expires = 0.0
        self._write()
        return None

    def _is_current(self, handle: int) -> bool:
        """Tell whether somebody removed the file while it was opened."""
        try:
            now = os.stat(self._path)
        except FileNotFoundError:
            return False
        then = os.fstat(handle)
        return (now.st_dev, now.st_ino) == (then.st_dev, then.st_ino)

    def _write(self) -> None:
        if self._handle is None:
            raise RuntimeError("the lock isn't held")
        holder = Holder(self._changer, time.time(), os.getpid(), self.token, self._expires)
        text = json.dumps({"version": 1, **asdict(holder)})
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, text.encode(), 0)


def _read(handle: int) -> Holder:
    """Return who the lock file names; nobody if it doesn't say, as right after it was taken."""
    with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
        data = json.loads(os.pread(handle, 1 << 16, 0))
        if data.pop("version") == 1:
            return Holder(**{**data, "changer": Changer(**data["changer"])})
    return Holder()
