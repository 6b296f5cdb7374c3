# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules in a real kernel that others flush, change and load: seen, and armed again."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.change import Firewall
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.nftables import (
    RULES,
    UNIT,
    Nftables,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import Policy
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import Changer
from networks import Networks, networks, nft_works

pytestmark = pytest.mark.skipif(
    not nft_works(), reason="needs root, and nft in a network namespace"
)
POLICY = Policy((), (22,))
OLD = Policy((), (22, 2222))
ADA = Changer("laptop", "ada", "Open the shop")


class Host(t.NamedTuple):
    """The host, whose systemd is simulated: it knows what the units of the firewall run."""

    net: Networks
    root: pathlib.Path

    def firewall(self, *, persistent: bool = True) -> Firewall:
        system = Nftables("nft", self.run, systemd=True, root=str(self.root))
        folders = [str(self.root / name) for name in ("record", "run", "lib")]
        return Firewall(system, self.run, *folders, persistent=persistent)

    def run(self, command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        if command[0] == "systemctl":
            link = self.root / "etc/systemd/system/sysinit.target.wants" / f"{UNIT}.service"
            link.parent.mkdir(parents=True, exist_ok=True)
            if "enable" in command and not link.is_symlink():
                link.symlink_to(f"../{UNIT}.service")
            if "disable" in command:
                link.unlink(missing_ok=True)
            return 0, "", ""
        return self.net.runner(command, stdin)

    def apply(self, policy: Policy = POLICY, *, persistent: bool = True) -> bool:
        """A run without a confirmation; whether something changes."""
        firewall = self.firewall(persistent=persistent)
        change = firewall.compare(policy)
        if change.loads or change.keeps:
            firewall.apply(policy, 0, "token", ADA)
        return change.loads or change.keeps

    def faults(self) -> list[str]:
        return self.firewall().judge()

    def nftables_service(self, words: str) -> None:
        """What Debian's nftables.service runs, with the drop-ins that it has."""
        drop_in = self.root / "etc/systemd/system/nftables.service.d" / f"{UNIT}.conf"
        ours = drop_in.read_text().splitlines() if drop_in.exists() else []
        for word in words.split():
            self.net.on_host("nft", "flush", "ruleset")
            key = {"start": "ExecStartPost=-", "reload": "ExecReload=-", "stop": "ExecStopPost=-"}
            for line in ours:
                if line.startswith(key[word]):
                    command = line.partition("=-")[2].replace(RULES, f"{self.root}{RULES}")
                    self.net.on_host(*command.split())

    def boot(self) -> None:
        """The kernel is empty, and the unit runs if it is enabled."""
        self.net.on_host("nft", "flush", "ruleset")
        units = self.root / "etc/systemd/system"
        if (units / "sysinit.target.wants" / f"{UNIT}.service").is_symlink():
            text = (units / f"{UNIT}.service").read_text()
            start = next(line for line in text.splitlines() if line.startswith("ExecStart="))
            command = start.partition("=")[2].replace(RULES, f"{self.root}{RULES}")
            self.net.on_host(*command.split())


@pytest.fixture
def host(tmp_path: pathlib.Path) -> t.Iterator[Host]:
    with networks() as net:
        yield Host(net, tmp_path)


@pytest.mark.parametrize(
    ("hand", "fault"),
    [
        ("flush ruleset", "rules are gone"),
        ("delete table inet prsnl_ports", "rules are gone"),
        ("flush chain inet prsnl_ports input", "differ from those"),
        ("insert rule inet prsnl_ports input tcp dport 4711 accept", "differ from those"),
        ("add chain inet prsnl_ports input { policy accept; }", "differ from those"),
        (
            "add element inet prsnl_ports open_ipv4 { 0.0.0.0/0 . 0.0.0.0/0 . 6 . 4711 : accept }",
            "differ from those",
        ),
    ],
)
def test_what_somebody_else_did_is_seen_and_undone(host: Host, hand: str, fault: str) -> None:
    assert host.apply()
    assert host.faults() == []
    host.net.on_host("nft", hand)
    (told,) = host.faults()
    assert fault in told
    assert host.apply(), "a rerun arms them again, and says so"
    assert host.faults() == []
    assert not host.apply()
    assert not host.net.connects(4711)


def test_whatever_nftables_service_does_the_rules_stay(host: Host) -> None:
    host.apply()
    for words in ("start", "stop start", "start start", "reload", "stop"):
        host.nftables_service(words)
        assert host.faults() == [], words
    assert not host.apply()


def test_a_boot_loads_the_confirmed_rules_or_none(host: Host) -> None:
    host.apply(OLD)
    host.boot()
    assert host.faults() == []
    assert host.apply(persistent=False, policy=OLD), "persistent after it wasn't"
    assert host.faults() == [], "the live rules stay"
    assert not host.apply(persistent=False, policy=OLD)
    assert host.apply(persistent=False)
    host.boot()
    assert host.net.on_host("nft", "list", "ruleset") == "", "the old ones don't come back"
    (fault,) = host.faults()
    assert "rules are gone" in fault
    assert host.apply(persistent=False)
    assert host.faults() == []
    host.boot()
    assert host.apply(), "persistent again"
    host.boot()
    assert host.faults() == []
    assert not host.apply()


@pytest.mark.parametrize("name", ["drop-in", "unit", "link", "rules"])
def test_whatever_of_the_boot_is_lost_is_seen_and_made_good(host: Host, name: str) -> None:
    host.apply()
    units = host.root / "etc/systemd/system"
    places = {
        "drop-in": units / "nftables.service.d" / f"{UNIT}.conf",
        "unit": units / f"{UNIT}.service",
        "link": units / "sysinit.target.wants" / f"{UNIT}.service",
        "rules": pathlib.Path(f"{host.root}{RULES}"),
    }
    places[name].unlink()
    (fault,) = host.faults()
    assert "the next boot doesn't load the firewall's rules" in fault
    assert host.apply()
    assert host.faults() == []
    host.boot()
    assert host.faults() == []
