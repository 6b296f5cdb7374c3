# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading, confirming and taking back rules, on a kernel that is a file.

The timer is real where it is waited for: it runs the same shell command as on a host.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import subprocess
import time
import typing as t

import cuts
import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.firewall import change as firewall
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.change import (
    Firewall,
    FirewallError,
    RulesetChange,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import Policy, Reach
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import STAGED, write_text
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import (
    Changer,
    LockedError,
    LostLeaseError,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import (
    HostChange,
    UndoError,
    changing,
)


class Kernel:
    """A system whose kernel, boot and timers are files and lists; `render` gives the ports."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.rules = folder / "kernel"
        self.timer = folder / "timer"
        self.boot = folder / "boot"
        self.calls: list[str] = []
        self.commands: list[str] = []
        self.refuses = ""
        self.other: list[str] = []
        self.sign = ""
        self.found = Reach()
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

    def cluster(self) -> str:
        return self.sign

    def redirected(self) -> list[tuple[str, int]]:
        return [("tcp", 8080)]

    def reach(self, policy: Policy) -> Reach:
        return self.found

    def check(self, rules: str) -> None:
        if self.refuses and self.refuses in rules:
            raise FirewallError("refused")

    def load(self, rules: str) -> None:
        self.calls.append("load")
        if self.load_fails:
            raise FirewallError("can't load")
        # nft and the kernel go on when whoever called them is killed.
        with cuts.outside():
            self.rules.write_text(rules.removeprefix("listed: "))

    def replacing(self, live: str) -> str:
        return live.removeprefix("listed: ")

    def undo_command(self, path: str) -> str:
        return f"cat {path} > {self.rules}"

    def arm(self, name: str, seconds: int, command: str) -> None:
        self.calls.append("arm")
        self.commands.append(command)
        with cuts.outside():
            self.timer.write_text(command)
        if self.waits:
            firewall.detach(seconds, command)

    def lasts(self, rules: str) -> bool:
        return self.boot.read_text() == rules

    def keep(self, rules: str) -> None:
        self.calls.append("keep")
        write_text(str(self.boot), rules, 0o600)

    def forget(self) -> None:
        write_text(str(self.boot), "", 0o600)

    def boot_files(self) -> list[str]:
        return [str(self.boot)]

    def boot_commands(self) -> list[list[str]]:
        return [["true"]]

    def run_timer(self, number: int = -1) -> None:
        subprocess.run(["/bin/sh", "-c", self.commands[number]], check=True)


def run_program(command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


ADA = Changer("laptop", "ada", "Open the shop")
WINDOW = 30


class Host(t.NamedTuple):
    kernel: Kernel
    firewall: Firewall
    folder: pathlib.Path

    def changing(self, token: str = "", instead_of: str = "") -> t.ContextManager[HostChange]:
        return changing(
            ADA,
            run_program,
            token=token,
            instead_of=instead_of,
            path=str(self.folder / "run" / "lock"),
            folders=[str(self.folder / "run" / "undo"), str(self.folder / "lib" / "undo")],
        )

    def run(self, policy: Policy, window: int = WINDOW, instead_of: str = "") -> str | None:
        """One run of the module, up to the confirmation."""
        self.kernel.calls.clear()
        with self.changing(instead_of=instead_of) as change_of_host:
            change = self.firewall.compare(policy)
            self.firewall.validate(policy, change, coexist=False)
            if not (change.loads or change.keeps):
                return None
            if not self.firewall.apply(policy, window, change_of_host.token, ADA):
                return None
            return change_of_host.lend(window)

    def confirm(self, token: str) -> None:
        """The second step of the module."""
        with self.changing(token):
            self.firewall.confirm(token, ADA)

    def remove(self, *, simulate: bool) -> RulesetChange:
        if simulate:
            return self.firewall.remove(ADA, "", simulate=True)
        with self.changing() as change_of_host:
            return self.firewall.remove(ADA, change_of_host.token, simulate=False)

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
    record, pending, durable = (
        str(tmp_path / path) for path in ("lib/record", "run/undo", "lib/undo")
    )
    rules = Firewall(kernel, run_program, record, pending, durable, persistent=True)
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
    old.confirm(token)
    assert old.settled(NEW)


def test_a_second_run_only_reads(old: Host) -> None:
    assert old.run(OLD) is None
    assert old.kernel.calls == []


def test_the_timer_does_nothing_after_the_confirmation(old: Host) -> None:
    token = old.run(NEW)
    assert token
    old.confirm(token)
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
        old.confirm(token)
    assert old.settled(OLD)


def test_the_first_rules_are_taken_back_to_none(host: Host) -> None:
    assert host.run(NEW)
    host.kernel.run_timer()
    assert host.kernel.live() == ""
    assert host.kernel.boot.read_text() == ""


def test_the_timer_of_a_confirmed_change_leaves_the_next_one_alone(old: Host) -> None:
    token = old.run(NEW)
    assert token
    old.confirm(token)
    assert old.run(NEWER)
    old.kernel.run_timer(0)
    assert old.kernel.rules.read_text() == old.kernel.render(NEWER)


def test_a_run_takes_back_what_an_earlier_one_did_not_confirm(old: Host) -> None:
    lost = old.run(NEW)
    assert lost
    with pytest.raises(LockedError, match="ada@laptop"):
        old.run(NEWER)
    token = old.run(NEWER, instead_of=lost)
    assert token
    with pytest.raises(LostLeaseError, match="lost between two steps"):
        old.confirm(lost)
    old.kernel.run_timer(0)
    assert old.kernel.rules.read_text() == old.kernel.render(NEWER)
    old.kernel.run_timer(1)
    assert old.settled(OLD)


def test_going_back_before_the_confirmation_needs_none(old: Host) -> None:
    token = old.run(NEW)
    assert token
    assert old.run(OLD, instead_of=token) is None
    assert old.settled(OLD)


def test_rules_that_fail_to_load_disarm_the_timer(old: Host) -> None:
    old.kernel.load_fails = True
    with pytest.raises(FirewallError, match="can't load"):
        old.run(NEW)
    old.kernel.rules.write_text("by hand")
    old.kernel.run_timer()
    assert old.kernel.rules.read_text() == "by hand"


def test_a_timer_that_came_first_wins(old: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    arm = old.kernel.arm

    def late(name: str, seconds: int, command: str) -> None:
        arm(name, seconds, command)
        old.kernel.run_timer()

    monkeypatch.setattr(old.kernel, "arm", late)
    with pytest.raises(FirewallError, match="took longer than its time"):
        old.run(NEW)
    assert old.kernel.rules.read_text() == old.kernel.render(OLD)


def test_a_timer_that_comes_while_rules_are_loaded_waits_for_them(
    old: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So whatever kills the run then, the old rules come back."""
    load = old.kernel.load
    timers: list[subprocess.Popen[bytes]] = []

    def slow(rules: str) -> None:
        timers.append(subprocess.Popen(["/bin/sh", "-c", old.kernel.commands[-1]]))
        time.sleep(0.5)
        assert timers[0].poll() is None
        load(rules)

    monkeypatch.setattr(old.kernel, "load", slow)
    token = old.run(NEW)
    assert timers[0].wait(10) == 0
    assert old.settled(OLD)
    assert token
    with pytest.raises(FirewallError, match="not confirmed in time"):
        old.confirm(token)


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
    token = old.run(OLD, instead_of=token)
    assert token
    old.confirm(token)
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
    for policy in (OLD, NEW):
        with pytest.raises(FirewallError, match="ufw is enabled"):
            old.run(policy)
    assert old.settled(OLD)
    assert old.firewall.validate(NEW, old.firewall.compare(NEW), coexist=True) == []


@pytest.mark.parametrize("coexist", [True, False])
def test_what_another_firewall_closes_is_refused_also_where_it_may_stay(
    old: Host, coexist: bool
) -> None:
    change = old.firewall.compare(OLD)
    old.kernel.found = Reach(("80/tcp (web.http): a chain",), ("81/tcp (web.x): another",))
    with pytest.raises(
        FirewallError, match=r"nobody would reach it\. 80/tcp \(web.http\): a chain"
    ):
        old.firewall.validate(OLD, change, coexist=coexist)
    old.kernel.found = Reach((), ("81/tcp (web.x): another",))
    doubts = old.firewall.validate(OLD, change, coexist=coexist)
    assert doubts == (["81/tcp (web.x): another"] if coexist else [])


def test_verify_hears_of_what_another_firewall_closes(old: Host) -> None:
    assert old.firewall.judge(OLD) == []
    old.kernel.found = Reach(("80/tcp (web.http): a chain",), ())
    (fault,) = old.firewall.judge(OLD)
    assert "another firewall closes 80/tcp (web.http): a chain" in fault
    assert old.firewall.judge() == []


def test_what_others_redirect_is_the_policys_but_on_a_node_of_a_cluster(old: Host) -> None:
    assert old.firewall.redirected(OLD) == [("tcp", 8080)]
    assert old.firewall.redirected(dataclasses.replace(OLD, is_cluster_node=True)) == []


def test_a_node_of_a_cluster_needs_an_explicit_word(old: Host) -> None:
    old.kernel.sign = "KUBE-SERVICES"
    with pytest.raises(FirewallError, match=r"node of a cluster .KUBE-SERVICES.*Set cluster to"):
        old.run(NEW)
    node = dataclasses.replace(NEW, is_cluster_node=True)
    assert old.firewall.validate(node, old.firewall.compare(node), coexist=False) == []


def test_removing(old: Host) -> None:
    assert old.remove(simulate=True).loads
    assert old.settled(OLD)
    change = old.remove(simulate=False)
    assert (change.loads, change.keeps) == (True, True)
    assert change.before == old.kernel.render(OLD)
    assert old.kernel.live() == old.kernel.boot.read_text() == ""
    again = old.remove(simulate=False)
    assert (again.loads, again.keeps) == (False, False)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"other": 1}'])
def test_without_a_readable_record_the_rules_are_loaded_anew(old: Host, text: str) -> None:
    (old.folder / "lib" / "record").write_text(text)
    token = old.run(OLD)
    assert token
    old.confirm(token)
    assert old.settled(OLD)


def test_nothing_is_left_of_a_confirmed_change(old: Host) -> None:
    token = old.run(NEW)
    assert token
    old.confirm(token)
    assert not list((old.folder / "run" / "undo").iterdir())
    assert not list((old.folder / "lib" / "undo").iterdir())
    assert (old.folder / "run" / "lock").read_text() == ""


def test_a_timer_that_has_claimed_and_not_loaded_yet_is_waited_for(old: Host) -> None:
    """It loses nothing to a run that comes in between, and its rules aren't the last ones."""
    token = old.run(NEW)
    assert token
    slow = old.folder / "slow"
    slow.write_text(f"#!/bin/sh\nsleep 1\ncat {old.folder}/old > {old.kernel.rules}\n")
    (undo,) = (old.folder / "run" / "undo").iterdir()
    record = json.loads((undo / "pending.json").read_text())
    (old.folder / "old").write_text(old.kernel.render(OLD))
    (undo / "pending.json").write_text(json.dumps({**record, "commands": [["/bin/sh", str(slow)]]}))
    with subprocess.Popen(["/bin/sh", "-c", old.kernel.commands[-1]]) as timer:
        deadline = time.monotonic() + 10
        while not (undo / "claimed.json").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        newer = old.run(NEWER, instead_of=token)
        assert timer.wait(10) == 0
    assert newer
    assert old.kernel.rules.read_text() == old.kernel.render(NEWER)
    old.kernel.run_timer(1)
    assert old.settled(OLD)


def test_a_timer_that_fails_is_run_again_until_it_succeeds(old: Host) -> None:
    token = old.run(NEW)
    assert token
    away = old.kernel.rules.with_name("away")
    old.kernel.rules.rename(away)
    # Nothing can be written there.
    old.kernel.rules.mkdir()
    shell = ["/bin/sh", "-c", old.kernel.commands[-1]]
    for _try in range(2):
        assert subprocess.run(shell, capture_output=True, check=False).returncode
    with pytest.raises(UndoError, match=r"can't be taken back: .*Mend that, and run again"):
        old.run(NEWER, instead_of=token)
    old.kernel.rules.rmdir()
    away.rename(old.kernel.rules)
    assert subprocess.run(shell, check=False).returncode == 0
    assert old.settled(OLD)


def test_a_timer_follows_one_that_died_after_its_claim(old: Host) -> None:
    assert old.run(NEW)
    (undo,) = (old.folder / "run" / "undo").iterdir()
    (undo / "pending.json").rename(undo / "claimed.json")
    old.kernel.run_timer()
    assert old.settled(OLD)


def test_whoever_comes_first_nothing_is_lost(old: Host) -> None:
    """A timer and another run, which start apart by fractions of a second."""
    for hundredths in range(12):
        token = old.run(NEW)
        assert token
        (undo,) = (old.folder / "run" / "undo").iterdir()
        record = json.loads((undo / "pending.json").read_text())
        commands = [["sleep", "0.05"], *record["commands"]]
        (undo / "pending.json").write_text(json.dumps({**record, "commands": commands}))
        shell = ["/bin/sh", "-c", old.kernel.commands[-1]]
        with subprocess.Popen(shell) as timer:
            time.sleep(hundredths / 100)
            if hundredths % 2:
                try:
                    old.confirm(token)
                except FirewallError:
                    assert timer.wait(10) == 0
                    assert old.settled(OLD)
            else:
                newer = old.run(NEWER, instead_of=token)
                assert newer
                assert timer.wait(10) == 0
                assert old.kernel.rules.read_text() == old.kernel.render(NEWER)
                old.kernel.run_timer()
                token = newer
        again = old.run(OLD, window=0, instead_of=token)
        assert again is None
        assert old.settled(OLD)
        assert not list((old.folder / "run" / "undo").iterdir())


def test_a_timer_that_died_after_its_claim_is_made_good(old: Host) -> None:
    token = old.run(NEW)
    assert token
    (undo,) = (old.folder / "run" / "undo").iterdir()
    (undo / "pending.json").rename(undo / "claimed.json")
    with old.changing(instead_of=token) as change_of_host:
        assert "the firewall's rules: what ada@laptop" in change_of_host.recovered[0]
    assert old.settled(OLD)


def test_what_a_timer_took_back_is_told_and_is_no_change(old: Host) -> None:
    token = old.run(NEW)
    assert token
    old.kernel.run_timer()
    with old.changing(instead_of=token) as change_of_host:
        (told,) = change_of_host.recovered
        assert told.endswith("was not confirmed in time, and was taken back")
        assert not change_of_host.has_recovered


def staged(folder: pathlib.Path) -> list[pathlib.Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(STAGED)]


def clear(host: Host) -> None:
    """The host has had the old rules for long, and nothing else."""
    for name in ("run", "lib"):
        shutil.rmtree(host.folder / name, ignore_errors=True)
    host.kernel.timer.write_text("")
    host.kernel.rules.write_text("")
    host.kernel.boot.write_text("")
    assert host.run(OLD, window=0) is None


@pytest.mark.parametrize("first", ["the timer", "the next run"])
def test_a_kill_before_any_write_ends_in_the_old_or_the_new_rules(host: Host, first: str) -> None:
    """Of the whole change: arm, load, confirm, keep for the next boot."""

    def whole() -> None:
        token = host.run(NEW)
        assert token
        host.confirm(token)

    cut = 0
    for _write in cuts.every_cut(whole, lambda: clear(host)):
        cut += 1
        lock = json.loads((host.folder / "run" / "lock").read_text() or "{}")
        if first == "the timer" and host.kernel.timer.read_text():
            subprocess.run(["/bin/sh", "-c", host.kernel.timer.read_text()], check=True)
            rules = host.kernel.rules.read_text()
            assert rules in (host.kernel.render(OLD), host.kernel.render(NEW))
        with host.changing(instead_of=lock.get("token", "")):
            pass
        assert host.kernel.rules.read_text() in (host.kernel.render(OLD), host.kernel.render(NEW))
        assert host.kernel.boot.read_text() in (host.kernel.render(OLD), host.kernel.render(NEW))
        token = host.run(NEW)
        if token:
            host.confirm(token)
        assert host.settled(NEW)
        assert host.run(NEW) is None
        assert staged(host.folder) == []
        assert not list((host.folder / "run" / "undo").iterdir())
        assert not list((host.folder / "lib" / "undo").iterdir())
    assert cut > 40


def test_a_kill_before_any_write_of_the_removal(host: Host) -> None:
    for _write in cuts.every_cut(lambda: host.remove(simulate=False), lambda: clear(host)):
        host.remove(simulate=False)
        assert host.kernel.live() == host.kernel.boot.read_text() == ""
        again = host.remove(simulate=False)
        assert (again.loads, again.keeps) == (False, False)
        assert staged(host.folder) == []
        assert not (host.folder / "lib" / "record").exists()
