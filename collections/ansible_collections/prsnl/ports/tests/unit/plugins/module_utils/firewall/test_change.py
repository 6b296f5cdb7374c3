# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading, confirming and taking back rules, on a kernel that is a file.

The timer is real where it is waited for: it runs the same shell command as on a host.
"""

from __future__ import annotations

import pathlib
import subprocess
import time
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.firewall import change as firewall
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.change import (
    Firewall,
    FirewallError,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import Policy


class Kernel:
    """A system whose kernel, boot and timers are files and lists; `render` gives the ports."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.rules = folder / "kernel"
        self.boot = folder / "boot"
        self.calls: list[str] = []
        self.commands: list[str] = []
        self.refuses = ""
        self.other: list[str] = []
        self.waits = False
        self.load_fails = False
        self.rules.write_text("")
        self.boot.write_text("")

    def render(self, policy: Policy) -> str:
        return f"rules for {policy.ssh_ports}\n"

    def live(self) -> str:
        text = self.rules.read_text()
        return f"listed: {text}" if text else ""

    def others(self) -> list[str]:
        return self.other

    def check(self, rules: str) -> None:
        if self.refuses and self.refuses in rules:
            raise FirewallError("refused")

    def load(self, rules: str) -> None:
        self.calls.append("load")
        if self.load_fails:
            raise FirewallError("can't load")
        self.rules.write_text(rules.removeprefix("listed: "))

    def replacing(self, live: str) -> str:
        return live.removeprefix("listed: ")

    def undo_command(self, path: str) -> str:
        return f"cat {path} > {self.rules}"

    def arm(self, name: str, seconds: int, command: str) -> None:
        self.calls.append("arm")
        self.commands.append(command)
        if self.waits:
            firewall.detach(seconds, command)

    def lasts(self, rules: str) -> bool:
        return self.boot.read_text() == rules

    def keep(self, rules: str) -> None:
        self.calls.append("keep")
        self.boot.write_text(rules)

    def forget(self) -> None:
        self.boot.write_text("")

    def run_timer(self, number: int = -1) -> None:
        subprocess.run(["/bin/sh", "-c", self.commands[number]], check=True)


class Host(t.NamedTuple):
    kernel: Kernel
    firewall: Firewall
    folder: pathlib.Path

    def run(self, policy: Policy, window: int = 30) -> str | None:
        """One run of the module, up to the confirmation."""
        self.kernel.calls.clear()
        change = self.firewall.compare(policy)
        if change.loads:
            self.firewall.validate(change, coexist=False)
        if not (change.loads or change.keeps):
            return None
        return self.firewall.apply(policy, window)

    def settled(self, policy: Policy) -> bool:
        text = self.kernel.render(policy)
        change = self.firewall.compare(policy)
        return (
            self.kernel.rules.read_text() == self.kernel.boot.read_text() == text
            and not change.loads
            and not change.keeps
        )


OLD, NEW, NEWER = (Policy((), (port,)) for port in (1, 2, 3))


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Host:
    kernel = Kernel(tmp_path)
    rules = Firewall(
        kernel, str(tmp_path / "lib" / "record"), str(tmp_path / "run" / "fw"), persistent=True
    )
    return Host(kernel, rules, tmp_path)


@pytest.fixture
def old(host: Host) -> Host:
    """A host that has had the old rules for long."""
    assert host.run(OLD, window=0) is None
    assert host.settled(OLD)
    return host


def test_the_timer_is_armed_first_and_the_boot_keeps_what_was_confirmed(old: Host) -> None:
    token = old.run(NEW)
    assert token
    assert old.kernel.calls == ["arm", "load"]
    assert old.kernel.boot.read_text() == old.kernel.render(OLD)
    old.firewall.confirm(token)
    assert old.settled(NEW)


def test_a_second_run_only_reads(old: Host) -> None:
    assert old.run(OLD) is None
    assert old.kernel.calls == []


def test_the_timer_does_nothing_after_the_confirmation(old: Host) -> None:
    token = old.run(NEW)
    assert token
    old.firewall.confirm(token)
    old.kernel.run_timer()
    assert old.settled(NEW)


def test_without_confirmation_the_old_rules_come_back_by_themselves(old: Host) -> None:
    old.kernel.waits = True
    token = old.run(NEW, window=1)
    assert token
    deadline = time.monotonic() + 10
    while not old.settled(OLD) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert old.settled(OLD)
    with pytest.raises(FirewallError, match="not confirmed in time, and the old ones are back"):
        old.firewall.confirm(token)
    assert old.settled(OLD)


def test_the_first_rules_are_taken_back_to_none(host: Host) -> None:
    assert host.run(NEW)
    host.kernel.run_timer()
    assert host.kernel.live() == ""
    assert host.kernel.boot.read_text() == ""


def test_the_timer_of_a_confirmed_change_leaves_the_next_one_alone(old: Host) -> None:
    token = old.run(NEW)
    assert token
    old.firewall.confirm(token)
    assert old.run(NEWER)
    old.kernel.run_timer(0)
    assert old.kernel.rules.read_text() == old.kernel.render(NEWER)


def test_a_run_takes_back_what_an_earlier_one_did_not_confirm(old: Host) -> None:
    lost = old.run(NEW)
    assert lost
    token = old.run(NEWER)
    assert token
    with pytest.raises(FirewallError, match="not confirmed in time"):
        old.firewall.confirm(lost)
    old.kernel.run_timer(0)
    assert old.kernel.rules.read_text() == old.kernel.render(NEWER)
    old.kernel.run_timer(1)
    assert old.settled(OLD)


def test_going_back_before_the_confirmation_needs_none(old: Host) -> None:
    assert old.run(NEW)
    assert old.run(OLD) is None
    assert old.settled(OLD)


def test_rules_that_fail_to_load_disarm_the_timer(old: Host) -> None:
    old.kernel.load_fails = True
    with pytest.raises(FirewallError, match="can't load"):
        old.run(NEW)
    old.kernel.rules.write_text("by hand")
    old.kernel.run_timer()
    assert old.kernel.rules.read_text() == "by hand"


def test_a_timer_that_came_first_wins(old: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    load = old.kernel.load

    def late(rules: str) -> None:
        old.kernel.run_timer()
        load(rules)

    monkeypatch.setattr(old.kernel, "load", late)
    with pytest.raises(FirewallError, match="took too long"):
        old.run(NEW)
    monkeypatch.undo()
    assert old.kernel.rules.read_text() == old.kernel.render(OLD)


@pytest.mark.parametrize("hand", ["opened by hand", ""])
def test_a_change_by_hand_is_seen_and_undone(old: Host, hand: str) -> None:
    old.kernel.rules.write_text(hand)
    change = old.firewall.compare(OLD)
    assert (change.before, change.after) == (
        f"listed: {hand}" if hand else "",
        f"listed: {old.kernel.render(OLD)}",
    )
    token = old.run(OLD)
    assert token
    old.kernel.run_timer()
    assert old.kernel.rules.read_text() == hand, "taken back to what there was"
    token = old.run(OLD)
    assert token
    old.firewall.confirm(token)
    assert old.settled(OLD)


def test_a_lost_boot_is_mended_without_touching_the_kernel(old: Host) -> None:
    old.kernel.boot.write_text("")
    assert old.run(OLD) is None
    assert old.kernel.calls == ["keep"]
    assert old.settled(OLD)


@pytest.mark.parametrize("refused", ["(2,)", "(1,)"], ids=["the new rules", "the way back"])
def test_refused_rules_change_nothing(old: Host, refused: str) -> None:
    old.kernel.refuses = refused
    with pytest.raises(FirewallError, match="refused"):
        old.run(NEW)
    assert old.kernel.calls == []
    assert old.settled(OLD)


def test_another_firewall_is_refused_unless_it_may_stay(old: Host) -> None:
    old.kernel.other = ["ufw is enabled"]
    assert old.run(OLD) is None, "nothing changes, so nothing is refused"
    with pytest.raises(FirewallError, match="ufw is enabled"):
        old.run(NEW)
    assert old.settled(OLD)
    old.firewall.validate(old.firewall.compare(NEW), coexist=True)


def test_removing(old: Host) -> None:
    assert old.firewall.remove(simulate=True).loads
    assert old.settled(OLD)
    change = old.firewall.remove(simulate=False)
    assert (change.loads, change.keeps) == (True, True)
    assert change.before == old.kernel.render(OLD)
    assert old.kernel.live() == old.kernel.boot.read_text() == ""
    again = old.firewall.remove(simulate=False)
    assert (again.loads, again.keeps) == (False, False)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"other": 1}'])
def test_without_a_readable_record_the_rules_are_loaded_anew(old: Host, text: str) -> None:
    (old.folder / "lib" / "record").write_text(text)
    token = old.run(OLD)
    assert token
    old.firewall.confirm(token)
    assert old.settled(OLD)


def test_nothing_is_left_of_a_confirmed_change(old: Host) -> None:
    token = old.run(NEW)
    assert token
    old.firewall.confirm(token)
    assert [path.name for path in (old.folder / "run" / "fw").iterdir()] == ["lock"]
