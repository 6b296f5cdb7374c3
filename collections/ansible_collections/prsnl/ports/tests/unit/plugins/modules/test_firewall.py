# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible calls it, by state and check mode, on a kernel that is a file."""

from __future__ import annotations

import functools
import json
import types
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.prsnl.ports.plugins.module_utils.firewall import (
    nftables,
    pf,
    system,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.change import Firewall
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import Policy, Reach
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.present import (
    Carrier,
    Received,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import Changer, HostLock
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import changing
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.login import Login, Session
from ansible_collections.prsnl.ports.plugins.modules import firewall
from worlds import World, daemon

LOCK = {"controller": "laptop", "user": "ada", "task": "Open the shop", "pid": 4711, "place": "x"}
PLAN = {"host": "a", "environment": "production", "system": "linux", "endpoints": []}
SESSION = Session("192.0.2.7", 50022, 22)


class Kernel:
    """nft and systemctl over files below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.table = root / "table"
        self.timers = 0

    def run(self, command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        program, *arguments = command
        if program.endswith("nft"):
            if "list" in arguments and "ruleset" in arguments:
                return 0, '{"nftables": []}', ""
            if "list" in arguments:
                found = self.table.exists()
                return (
                    (0, self.table.read_text(), "")
                    if found
                    else (1, "", "No such file or directory")
                )
            if "-c" not in arguments:
                text = Path(arguments[1]).read_text() if arguments[1] != "-" else stdin or ""
                if "chain" in text:
                    self.table.write_text(f"listed: {text.removeprefix('listed: ')}")
                else:
                    self.table.unlink(missing_ok=True)
        if program == "/bin/sh":
            return self.run(arguments[-1].split())
        if program == "systemd-run":
            self.timers += 1
        if "enable" in arguments or "disable" in arguments:
            link = (
                self.root / "etc/systemd/system/sysinit.target.wants" / f"{nftables.UNIT}.service"
            )
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            if "enable" in arguments:
                link.symlink_to(f"../{nftables.UNIT}.service")
        return 0, "", ""


class Call(t.NamedTuple):
    """Calls the module."""

    kernel: Kernel
    login: types.SimpleNamespace
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *, check: bool = False, **arguments: t.Any) -> dict[str, t.Any]:
        internal = {"_ansible_check_mode": check, "_ansible_diff": True}
        given = {
            "plan": PLAN,
            "lock": LOCK,
            "connection": "ssh",
            "allow_empty": True,
            **arguments,
            **internal,
        }
        with patch_module_args(given), pytest.raises(SystemExit):
            firewall.main()
        result: dict[str, t.Any] = json.loads(self.capsys.readouterr().out)
        return result

    def open(self, **arguments: t.Any) -> dict[str, t.Any]:
        """Both steps, as the action does them."""
        result = self(**arguments)
        pending = result.get("pending")
        if pending:
            self.login.session = Session("192.0.2.7", 50023, 22)
            confirmed = self(
                confirm=pending,
                lock={**LOCK, "token": pending["token"]},
                persistent=arguments.get("persistent", True),
            )
            assert not confirmed.get("failed"), confirmed
            self.login.session = SESSION
        return result


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    kernel = Kernel(tmp_path)
    login = types.SimpleNamespace(session=SESSION, world=World())
    monkeypatch.setattr(firewall, "read_login", lambda: Login(frozenset(), login.session))
    monkeypatch.setattr(firewall, "read_present", lambda: login.world.snapshot)
    monkeypatch.setattr(firewall, "module_runner", lambda _module: kernel.run)
    filter_of = functools.partial(nftables.Nftables, root=str(tmp_path))
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr(nftables, "find_nft", lambda: "/usr/sbin/nft")
    monkeypatch.setattr(nftables, "has_systemd", lambda: True)
    monkeypatch.setattr(nftables, "Nftables", filter_of)
    monkeypatch.setattr(nftables, "RECORD", str(tmp_path / "record"))
    folders = [str(tmp_path / "run" / "undo"), str(tmp_path / "lib" / "undo")]
    monkeypatch.setattr(system, "VOLATILE", folders[0])
    monkeypatch.setattr(system, "DURABLE", folders[1])
    place = str(tmp_path / "run" / "lock")
    monkeypatch.setattr(
        firewall, "changing", functools.partial(changing, path=place, folders=folders)
    )
    return Call(kernel, login, capsys)


def everything(kernel: Kernel) -> dict[str, str]:
    return {
        str(path.relative_to(kernel.root)): path.read_text() if path.is_file() else ""
        for path in kernel.root.rglob("*")
        if "run" not in path.parts
    }


@pytest.mark.parametrize("state", ["present", "absent"])
def test_check_mode_says_what_would_be_done_and_does_nothing(call: Call, state: str) -> None:
    if state == "absent":
        call.open()
    before = everything(call.kernel)
    told = call(check=True, state=state)
    assert everything(call.kernel) == before
    done = call.open(state=state)
    assert told["changed"] is done["changed"] is True
    assert told["diff"] == done["diff"]
    assert told["rules"] == done["rules"]


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_second_run_changes_nothing(call: Call, state: str, check: bool) -> None:
    call.open(state=state)
    before = everything(call.kernel)
    again = call(check=check, state=state)
    assert (again["changed"], "pending" in again) == (False, False)
    assert everything(call.kernel) == before


def test_states(call: Call) -> None:
    call.open()
    assert "chain input" in call.kernel.table.read_text()
    assert call.kernel.timers == 1
    call.open(state="absent")
    assert not call.kernel.table.exists()
    assert not (call.kernel.root / "record").exists()


def test_what_the_rules_close_is_told_before_they_do(call: Call) -> None:
    call.login.world = World().hold(8080, "java").hold(22, daemon("sshd", 4000))
    told = call(check=True)
    assert (told["changed"], told["closes"]) == (True, ["8080/tcp (java)"])
    first = call()
    assert (first["changed"], first["to_tell"]) == (False, ["8080/tcp (java)"])
    assert not call.kernel.table.exists()
    second = call.open(told=first["to_tell"])
    assert second["changed"]
    assert second["closes"] == first["to_tell"]
    assert "to_tell" not in call(), "nothing changes"
    again = call(refuse="drop")
    assert again["closes"] == [], "it was closed before"


@pytest.mark.parametrize("check", [True, False])
def test_an_empty_plan_changes_nothing(call: Call, check: bool) -> None:
    before = everything(call.kernel)
    assert "The plan of a is empty" in call(check=check, allow_empty=False)["msg"]
    assert everything(call.kernel) == before
    assert not call(check=check, allow_empty=False, state="absent").get("failed")


def test_all_ports_of_the_ssh_server_stay_open(call: Call) -> None:
    server = daemon("sshd", 4000, uid=0)
    call.login.world = World().hold(22, server).hold(2222, server)
    assert call.open()["ssh"] == [22, 2222]
    assert call.open(state="absent")["changed"]
    call.login.session = None
    assert call(connection="other")["ssh"] == [22, 2222]
    call.login.world = World()
    unknown = call(connection="ssh")
    assert "Set ssh_ports to the port of SSH" in unknown["msg"]


def test_a_tunnel_that_would_die_later_is_refused(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        firewall, "carriers", lambda *_: [Carrier("wg0", (Received("udp", 51820),))]
    )
    before = everything(call.kernel)
    for check in (True, False):
        refused = call(check=check)
        assert "through wg0, and its packets come by 51820/udp" in refused["msg"]
    assert everything(call.kernel) == before
    assert call.open(tunnel="keepalive")["changed"]


def judged(call: Call) -> list[str] | None:
    return system.judge_firewall(call.kernel.run)


def test_whether_the_rules_are_in_force_is_judged_without_a_run(call: Call) -> None:
    assert judged(call) is None, "no rules of ours"
    call.open()
    assert judged(call) == []
    call.kernel.table.write_text("listed: another")
    (fault,) = judged(call) or [""]
    assert "differ from those that were confirmed last" in fault
    call.kernel.table.unlink()
    (fault,) = judged(call) or [""]
    assert "rules are gone, and keep nobody out" in fault
    assert call.open()["changed"]
    assert judged(call) == []
    call.open(state="absent")
    assert judged(call) is None


def test_a_change_that_waits_is_no_fault(call: Call) -> None:
    call.open()
    pending = call(refuse="drop")["pending"]
    assert judged(call) == []
    call(lock={**LOCK, "instead_of": pending["token"]})
    assert judged(call) == []


def test_what_the_next_boot_loads_follows_persistent(call: Call) -> None:
    """Old rules never come back."""
    call.open()
    boot = [call.kernel.root / "etc/prsnl-ports/firewall.nft"]
    boot += [call.kernel.root / "etc/systemd/system" / f"{nftables.UNIT}.service"]
    assert all(path.exists() for path in boot)
    told = call(check=True, persistent=False)
    assert told["changed"]
    assert "The next boot loads others" in told["diff"]["before"]
    rules = call.kernel.table.read_text()
    assert call.open(persistent=False)["changed"]
    assert call.kernel.table.read_text() == rules, "the live rules stay"
    assert not any(path.exists() for path in boot)
    assert not call.open(persistent=False)["changed"]
    assert judged(call) == []
    # A boot: no rules, and the next run loads them again.
    call.kernel.table.unlink()
    assert "rules are gone" in (judged(call) or [""])[0]
    assert call.open(persistent=False, refuse="drop")["changed"]
    assert not any(path.exists() for path in boot)
    boot[0].parent.mkdir(exist_ok=True)
    boot[0].write_text("old rules")
    assert "old rules" in (judged(call) or [""])[0]
    assert call.open(persistent=False, refuse="drop")["changed"]
    assert judged(call) == []
    assert call.open()["changed"]
    assert all(path.exists() for path in boot)
    boot[1].unlink()
    assert "next boot doesn't load" in (judged(call) or [""])[0]


def test_rules_of_another_network_namespace_are_not_judged(call: Call) -> None:
    call.open()
    record = call.kernel.root / "record"
    known = json.loads(record.read_text())
    call.kernel.table.unlink()
    assert judged(call)
    known["network"] = f"{known['network'].rpartition(' ')[0]} net:[1]"
    record.write_text(json.dumps(known))
    assert judged(call) == []
    known["network"] = "before the boot"
    record.write_text(json.dumps(known))
    assert judged(call)


def test_without_nft_nobody_can_tell(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    call.open()
    monkeypatch.setattr(nftables, "find_nft", lambda: None)
    assert "nft is gone" in (judged(call) or [""])[0]


def test_nobody_else_changes_the_host_until_the_confirmation(call: Call) -> None:
    pending = call()["pending"]
    refused = call()
    assert "by ada@laptop (pid 4711 there), task 'Open the shop'" in refused["msg"]
    assert refused["locked_by"]["token"] == pending["token"]
    same = call(confirm=pending, lock={**LOCK, "token": pending["token"]})
    assert "can't confirm them" in same["msg"], "the same connection proves nothing"


def test_an_unconfirmed_change_of_a_dead_run_is_taken_back_and_told(call: Call) -> None:
    call.open()
    rules = call.kernel.table.read_text()
    pending = call(refuse="drop")["pending"]
    assert call.kernel.table.read_text() != rules
    result = call(lock={**LOCK, "instead_of": pending["token"]})
    (told,) = result["recovered"]
    assert told.startswith("the firewall's rules: what ada@laptop")
    assert result["changed"]
    assert call.kernel.table.read_text() == rules
    assert not call()["changed"]


def test_a_second_controller_is_refused_by_the_name_of_the_first(call: Call) -> None:
    lock = HostLock(Changer("server", "bob", "Move"), str(call.kernel.root / "run" / "lock"))
    lock.take()
    assert "bob@server" in call()["msg"]
    assert call(check=True)["changed"]


class SilentPf(pf.Pf):
    """A pf without rules; it counts what changes it."""

    def __init__(self, live: str = "") -> None:
        super().__init__(lambda _command, _stdin=None: (0, "", ""))
        self.rules = live
        self.loads = 0

    def live(self) -> str:
        return self.rules

    def others(self) -> list[str]:
        return []

    def cluster(self) -> str:
        return ""

    def reach(self, policy: Policy) -> Reach:
        del policy
        return Reach()

    def check(self, rules: str) -> None:
        del rules

    def load(self, rules: str) -> None:
        self.rules = rules
        self.loads += 1

    def lasts(self, rules: str) -> bool:
        return rules == self.rules

    def boot_files(self) -> list[str]:
        return []

    def boot_commands(self) -> list[list[str]]:
        return []


@pytest.mark.parametrize(
    ("live", "arguments", "is_left"),
    [("", {}, True), ("", {"close_all": True}, False), ("pass all\n", {}, False)],
)
def test_a_mac_that_opens_nothing_is_left_off(
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    live: str,
    arguments: dict[str, t.Any],
    is_left: bool,
) -> None:
    silent = SilentPf(live)
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr(firewall, "find_firewall", lambda *_a, **_k: simple_firewall(call, silent))
    result = call(connection="other", **arguments)
    assert ("left_off" in result) == is_left, result
    assert silent.loads == (0 if is_left else 1)
    assert result["changed"] == (not is_left)
    if is_left:
        assert "no endpoint of this mac is for other hosts" in result["left_off"].lower()


def simple_firewall(call: Call, silent: SilentPf) -> Firewall:
    root = call.kernel.root
    folders = (str(root / "record"), str(root / "volatile"), str(root / "durable"))
    return Firewall(silent, call.kernel.run, *folders, persistent=True)
