# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Change a host's rules so that a cut connection brings the old ones back.

A change is loaded in one transaction, after a timer on the host was armed that takes it back.
Only a confirmation, which has to come over a new connection, disarms it and makes the rules last.
What the timer needs is under ``/run``, so a reboot forgets it and starts with the old rules. Timer
and confirmation claim the same file by renaming it, so just one of them succeeds.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shlex
import shutil
import subprocess
import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import Policy
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import write_text

UNDO = "undo"
CLAIMED = "claimed"
RULES = "rules"
# Runs a program with its arguments and standard input; returns its code, output and errors.
Run = t.Callable[[t.Sequence[str], str], tuple[int, str, str]]


class FirewallError(Exception):
    """The rules can't be read, loaded or made to last."""


class PacketFilter(t.Protocol):
    """What differs between systems. Every method raises FirewallError."""

    def render(self, policy: Policy) -> str:
        """Return the rules as the system's program reads them."""

    def live(self) -> str:
        """Return the rules that the kernel has, in a form that can be loaded; empty if none."""

    def others(self) -> list[str]:
        """Return what else filters packets to this host, and what to do about it."""

    def check(self, rules: str) -> None:
        """Let the system's program validate rules, and change nothing."""

    def load(self, rules: str) -> None:
        """Replace the rules. Without rules, remove them."""

    def replacing(self, live: str) -> str:
        """Return what brings rules back that `live` returned."""

    def undo_command(self, path: str) -> str:
        """Return the shell command that loads the rules of a file."""

    def arm(self, name: str, seconds: int, command: str) -> None:
        """Let a shell command run later, whatever becomes of this process and its connection."""

    def lasts(self, rules: str) -> bool:
        """Whether the next boot loads these rules."""

    def keep(self, rules: str) -> None:
        """Let the next boot load these rules."""

    def forget(self) -> None:
        """Undo `keep`, as far as there is something to undo."""


@dataclass(frozen=True)
class Record:
    """The rules that were confirmed last, as text and as the kernel listed them afterwards."""

    rules: str = ""
    listing: str = ""


@dataclass(frozen=True)
class RulesetChange:
    """What there is and what is wanted.

    `before` and `after` are for people: texts of one form, empty where there are no rules. `loads`
    and `keeps` say whether the kernel and the next boot have other rules than they should.
    """

    rules: str
    before: str
    after: str
    loads: bool
    keeps: bool


def detach(seconds: int, command: str) -> None:
    """Run a shell command later, in a process of its own that nothing waits for."""
    subprocess.Popen(
        ["/bin/sh", "-c", f"sleep {seconds}; {command}"],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def read_text(path: str) -> str:
    """Return the text of a file; empty if there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


class Firewall:
    """The rules of a host.

    :param record: path of the file that remembers the confirmed rules, kept over a reboot.
    :param pending: path of the folder of changes that wait for their confirmation, lost by one.
    """

    def __init__(
        self, system: PacketFilter, record: str, pending: str, *, persistent: bool
    ) -> None:
        self._system = system
        self._record = record
        self._pending = pending
        self._persistent = persistent

    def compare(self, policy: Policy) -> RulesetChange:
        """Return what has to change."""
        wanted = self._system.render(policy)
        known = self._read_record()
        live = self._system.live()
        # Whoever changes rules by hand sees them, and not those of the last run, in the difference.
        untouched = live == known.listing
        return RulesetChange(
            rules=wanted,
            before=known.rules if untouched else live,
            after=wanted if untouched or wanted != known.rules else known.listing,
            loads=not (untouched and wanted == known.rules),
            keeps=self._persistent and not self._system.lasts(wanted),
        )

    def validate(self, change: RulesetChange, *, coexist: bool) -> None:
        """Refuse rules that can't be loaded or would not be the only ones."""
        others = [] if coexist else self._system.others()
        if others:
            raise FirewallError(" ".join(others))
        self._system.check(change.rules)

    def apply(self, policy: Policy, window: int) -> t.Optional[str]:
        """Load the rules of a policy.

        :param window: seconds until they are taken back unless they are confirmed; 0 for never.
        :returns: the token that `confirm` wants; None if nothing is left to do.
        """
        with self._lock():
            self._take_back()
            change = self.compare(policy)
            token = None
            if change.loads:
                token = self._arm(change, window) if window else None
                self._load(change.rules, token)
            if token is None:
                self._settle(change.rules)
            return token

    def confirm(self, token: str) -> None:
        """Let the rules stay that `apply` loaded."""
        with self._lock():
            folder = os.path.join(self._pending, token)
            if not _claim(folder):
                raise FirewallError(
                    "The new rules were not confirmed in time, and the old ones are back. Look at"
                    " the way from the controller to this host, or allow more time for it."
                )
            self._settle(read_text(os.path.join(folder, RULES)))
            shutil.rmtree(folder)

    def remove(self, *, simulate: bool) -> RulesetChange:
        """Remove the rules and everything that was kept for them."""
        live = self._system.live()
        known = self._read_record()
        change = RulesetChange(
            rules="",
            before=known.rules if live == known.listing else live,
            after="",
            loads=bool(live),
            keeps=not self._system.lasts(""),
        )
        if simulate or not (change.loads or change.keeps):
            return change
        with self._lock():
            for folder in self._waiting():
                _claim(folder)
            self._system.load("")
            self._system.forget()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._record)
        return change

    def _arm(self, change: RulesetChange, window: int) -> str:
        token = secrets.token_hex(8)
        folder = os.path.join(self._pending, token)
        undo = os.path.join(folder, UNDO)
        claimed = os.path.join(folder, CLAIMED)
        old = self._system.replacing(change.before)
        self._system.check(old)
        write_text(os.path.join(folder, RULES), change.rules, 0o600)
        write_text(undo, old, 0o600)
        command = (
            f"mv {shlex.quote(undo)} {shlex.quote(claimed)} 2>/dev/null || exit 0;"
            f" {self._system.undo_command(claimed)}"
        )
        self._system.arm(token, window, command)
        return token

    def _load(self, rules: str, token: t.Optional[str]) -> None:
        try:
            self._system.load(rules)
        except FirewallError:
            if token:
                _claim(os.path.join(self._pending, token))
            raise
        if token and not os.path.exists(os.path.join(self._pending, token, UNDO)):
            # This process was stopped for so long that the timer came before the rules.
            self._system.load(read_text(os.path.join(self._pending, token, CLAIMED)))
            raise FirewallError("Loading the rules took too long; they were taken back. Run again.")

    def _settle(self, rules: str) -> None:
        if self._persistent and not self._system.lasts(rules):
            self._system.keep(rules)
        record = Record(rules, self._system.live())
        if record != self._read_record():
            write_text(self._record, json.dumps(asdict(record)), 0o600)

    def _take_back(self) -> None:
        for folder in self._waiting():
            if _claim(folder):
                self._system.load(read_text(os.path.join(folder, CLAIMED)))
            shutil.rmtree(folder)

    def _waiting(self) -> list[str]:
        try:
            return [entry.path for entry in os.scandir(self._pending) if entry.is_dir()]
        except FileNotFoundError:
            return []

    def _read_record(self) -> Record:
        try:
            return Record(**json.loads(read_text(self._record)))
        except (TypeError, ValueError):
            # None yet, or unreadable: rules that nobody remembers are loaded anew.
            return Record()

    @contextlib.contextmanager
    def _lock(self) -> t.Iterator[None]:
        os.makedirs(self._pending, mode=0o700, exist_ok=True)
        with open(os.path.join(self._pending, "lock"), "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _claim(folder: str) -> bool:
    try:
        os.rename(os.path.join(folder, UNDO), os.path.join(folder, CLAIMED))
    except FileNotFoundError:
        return False
    return True
