# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Change a host's rules so that a cut connection brings the old ones back.

A change is loaded in one transaction, after a timer on the host was armed that takes it back.
Only a confirmation, which has to come over a new connection, disarms it and makes the rules last.
Both are an `Undo` of the host, under ``/run``, so a reboot forgets it and starts with the old
rules. Whoever wants to take it back or confirm it, the timer or a run, takes turns with the others,
and only one of them succeeds.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import Policy, Reach
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import (
    remove_file,
    write_text,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import Changer
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import Runner
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import (
    ANYTHING,
    Undo,
    UndoError,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.linux import parse_stat

LATE = (
    "The new rules were not confirmed in time, and the old ones are back. Look at the way from the"
    " controller to this host, or allow more time for it."
)

# Seconds until what failed is tried again.
AGAIN = 5
REMEDY = "Run the playbook of the firewall again."
UNDO = "firewall-"


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

    def cluster(self) -> str:
        """Return what shows that this host is a node of a cluster; empty if nothing does."""

    def redirected(self) -> list[tuple[str, int]]:
        """Return the protocols and ports that others redirect."""

    def reach(self, policy: Policy) -> Reach:
        """Return what the rules of others do to what a policy opens."""

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

    def boot_files(self) -> list[str]:
        """Return the files that `keep` and `forget` replace."""

    def boot_commands(self) -> list[list[str]]:
        """Return what the system has to run when those files are back as they were."""


@dataclass(frozen=True)
class Record:
    """The rules that were confirmed last, as text and as the kernel listed them afterwards.

    ``persistent`` says whether the next boot has to load them; None where an earlier version of the
    collection didn't note it. ``network`` names the network that they are for, until a boot.
    """

    rules: str = ""
    listing: str = ""
    persistent: t.Optional[bool] = None
    network: str = ""


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
    """Run a shell command later until it succeeds, in a process that nothing waits for."""
    subprocess.Popen(
        ["/bin/sh", "-c", f"sleep {seconds}; until {command}; do sleep {AGAIN}; done"],
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


def _network() -> str:
    """Return what tells the network namespaces of a system apart as long as it runs.

    After a boot, or a restart of a container that is a host, nothing is known of the former ones.
    """
    try:
        started = parse_stat(read_text("/proc/1/stat"))[2]
        boot = read_text("/proc/sys/kernel/random/boot_id").strip()
        return f"{boot} {started} {os.readlink('/proc/self/ns/net')}"
    except (OSError, ValueError):
        return ""


def _is_elsewhere(network: str) -> bool:
    here = _network()
    return network != here and network.rpartition(" ")[0] == here.rpartition(" ")[0] != ""


class Firewall:
    """The rules of a host, which nobody else changes meanwhile (`changing`).

    :param record: path of the file that remembers the confirmed rules, kept over a reboot.
    :param pending: path of the folder of changes that wait for their confirmation, lost by one.
    :param durable: path of the folder of changes that a reboot doesn't end.
    """

    def __init__(
        self,
        system: PacketFilter,
        run: Runner,
        record: str,
        pending: str,
        durable: str,
        *,
        persistent: bool,
    ) -> None:
        self._system = system
        self._run = run
        self._record = record
        self._pending = pending
        self._durable = durable
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
            keeps=not self._system.lasts(wanted if self._persistent else ""),
        )

    def redirected(self, policy: Policy) -> list[tuple[str, int]]:
        """Return the protocols and ports that others redirect, and that a policy judges."""
        return [] if policy.is_cluster_node else self._system.redirected()

    def judge(self, policy: t.Optional[Policy] = None) -> list[str]:
        """Return what is wrong with the rules that were confirmed last.

        With a policy, what the rules of others close of it is wrong as well.

        Nothing is where there never were any, where they were confirmed in another network
        namespace of this machine, or while a change waits for its confirmation.
        """
        known = self._read_record()
        if not known.rules or self._is_changing() or _is_elsewhere(known.network):
            return []
        faults = []
        live = self._system.live()
        if not live:
            faults.append(f"the firewall's rules are gone, and keep nobody out. {REMEDY}")
        elif live != known.listing:
            faults.append(
                "the firewall's rules differ from those that were confirmed last: somebody else"
                f" changed them. {REMEDY}"
            )
        if policy is not None:
            closed = self._system.reach(policy).closed
            faults += [f"another firewall closes {text}. Open that there." for text in closed]
        if known.persistent and not self._system.lasts(known.rules):
            faults.append(f"the next boot doesn't load the firewall's rules. {REMEDY}")
        if known.persistent is False and not self._system.lasts(""):
            faults.append(
                "the next boot loads old rules of the firewall, although persistent is false."
                f" {REMEDY}"
            )
        return faults

    def _is_changing(self) -> bool:
        try:
            return any(name.startswith(UNDO) for name in os.listdir(self._pending))
        except FileNotFoundError:
            return False

    def validate(self, policy: Policy, change: RulesetChange, *, coexist: bool) -> list[str]:
        """Refuse rules that can't be loaded, aren't the only ones, or open nothing really.

        :return: what others' rules may close, where they coexist.
        """
        others = [] if coexist else self._system.others()
        if others:
            raise FirewallError(" ".join(others))
        sign = "" if policy.is_cluster_node else self._system.cluster()
        if sign:
            raise FirewallError(
                f"This host is a node of a cluster ({sign} among its rules), which redirects"
                " connections that the registry doesn't know: services would be cut. Nothing was"
                " changed. Set cluster to true, so that what the cluster redirects is left alone,"
                " and register what its nodes themselves listen on; or leave this host out."
            )
        reach = self._system.reach(policy)
        if reach.closed:
            raise FirewallError(
                "Another firewall closes what the registry opens, so nobody would reach it."
                f" {'; '.join(reach.closed)}. Open that there as well, or remove that firewall."
            )
        if change.loads:
            self._system.check(change.rules)
        return list(reach.unsure) if coexist else []

    def apply(self, policy: Policy, window: int, token: str, changer: Changer) -> bool:
        """Load the rules of a policy, and return whether `confirm` has to follow.

        :param window: seconds until they are taken back unless they are confirmed; 0 for never.
        :param token: of the host's lock, for the confirmation.
        """
        change = self.compare(policy)
        waits = change.loads and window > 0
        if waits:
            self._load_for_a_while(change, window, token, changer)
        elif change.loads:
            self._system.load(change.rules)
        if not waits:
            self._settle(change.rules, changer, token)
        return waits

    def confirm(self, token: str, changer: Changer) -> None:
        """Let the rules stay that `apply` loaded."""
        undo = self._undo(token)
        if not undo.is_pending:
            raise FirewallError(LATE)
        rules = undo.facts["rules"]
        try:
            undo.confirm()
        except UndoError:
            raise FirewallError(LATE) from None
        self._settle(rules, changer, token)

    def remove(self, changer: Changer, token: str, *, simulate: bool) -> RulesetChange:
        """Remove the rules and everything that was kept for them."""
        live = self._system.live()
        known = self._read_record()
        change = RulesetChange(
            rules="",
            before=known.rules if live == known.listing else live,
            after="",
            loads=bool(live),
            keeps=not self._system.lasts("") or known != Record(),
        )
        if simulate or not (change.loads or change.keeps):
            return change
        if live:
            self._system.load("")
        with self._boot_files(changer, token):
            self._system.forget()
            remove_file(self._record)
        return change

    def _load_for_a_while(
        self, change: RulesetChange, window: int, token: str, changer: Changer
    ) -> None:
        old = self._system.replacing(change.before)
        self._system.check(old)
        undo = self._undo(token)
        undo.begin("the firewall's rules", changer, token, {"rules": change.rules})
        path = undo.keep_data(old.encode())
        undo.then([["/bin/sh", "-c", self._system.undo_command(path)]], insist=True)
        self._system.arm(token, window, " ".join(map(shlex.quote, undo.timer())))
        try:
            # The timer takes turns with us: it comes before the rules or after them.
            with undo.turn():
                if undo.is_untouched:
                    self._system.load(change.rules)
                    return
        except FirewallError:
            undo.confirm()
            raise
        raise FirewallError("Arming the timer took longer than its time. Run again.")

    def _settle(self, rules: str, changer: Changer, token: str) -> None:
        keeps = not self._system.lasts(rules if self._persistent else "")
        record = Record(rules, self._system.live(), self._persistent, _network())
        if not keeps and record == self._read_record():
            return
        with self._boot_files(changer, token):
            if keeps and self._persistent:
                self._system.keep(rules)
            elif keeps:
                self._system.forget()
            # What is loaded at boot may have been loaded just now.
            record = Record(rules, self._system.live(), self._persistent, _network())
            write_text(self._record, json.dumps(asdict(record)), 0o600)

    @contextlib.contextmanager
    def _boot_files(self, changer: Changer, token: str) -> t.Iterator[None]:
        """Keep the files that the next boot reads while they are replaced."""
        undo = Undo("firewall-boot", self._durable)
        undo.begin("what loads the firewall's rules at boot", changer, token)
        undo.keep(*((path, ANYTHING) for path in [*self._system.boot_files(), self._record]))
        undo.then(self._system.boot_commands())
        try:
            yield
        except (FirewallError, OSError):
            undo.take_back(self._run)
            raise
        undo.confirm()

    def _undo(self, token: str) -> Undo:
        return Undo(f"{UNDO}{token}", self._pending)

    def _read_record(self) -> Record:
        try:
            return Record(**json.loads(read_text(self._record)))
        except (TypeError, ValueError):
            # None yet, or unreadable: rules that nobody remembers are loaded anew.
            return Record()
