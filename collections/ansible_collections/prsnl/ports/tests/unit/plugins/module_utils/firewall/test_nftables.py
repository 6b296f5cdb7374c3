# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is run on a Linux host, and what is found there."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.change import FirewallError
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.nftables import (
    RULES,
    UNIT,
    Nftables,
)

UNITS = "etc/systemd/system"


class Programs:
    """Records what is run, and answers."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.calls: list[tuple[str, ...]] = []
        self.answers: dict[str, tuple[int, str, str]] = {}

    def __call__(self, command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        self.calls.append(tuple(command))
        text = " ".join(command)
        link = self.root / UNITS / "sysinit.target.wants" / f"{UNIT}.service"
        if " enable " in text:
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(f"../{UNIT}.service")
        return next((self.answers[key] for key in self.answers if key in text), (0, "", ""))


@pytest.fixture
def programs(tmp_path: pathlib.Path) -> Programs:
    return Programs(tmp_path)


@pytest.fixture
def nftables(programs: Programs) -> Nftables:
    return Nftables("/usr/sbin/nft", programs, systemd=True, root=str(programs.root))


def test_the_table_is_listed_without_counters_by_numbers(
    programs: Programs, nftables: Nftables
) -> None:
    programs.answers["list table"] = (0, "table inet prsnl_ports {\n}\n", "")
    assert nftables.live() == "table inet prsnl_ports {\n}\n"
    assert programs.calls == [
        ("/usr/sbin/nft", "-s", "-nn", "list", "table", "inet", "prsnl_ports")
    ]


def test_no_table_is_no_rules(programs: Programs, nftables: Nftables) -> None:
    programs.answers["list table"] = (1, "", "Error: No such file or directory\n")
    assert nftables.live() == ""


def test_a_kernel_that_cannot_be_read_is_an_error(programs: Programs, nftables: Nftables) -> None:
    programs.answers["list table"] = (1, "", "Operation not permitted")
    with pytest.raises(FirewallError, match=r"nft can't list .*: Operation not permitted"):
        nftables.live()


def test_a_listing_replaces_the_table_when_it_is_loaded(nftables: Nftables) -> None:
    listing = "table inet prsnl_ports {\n}\n"
    replaces = "table inet prsnl_ports\ndelete table inet prsnl_ports\n"
    assert nftables.replacing(listing) == replaces + listing
    assert nftables.replacing("") == replaces


def test_rules_of_others_that_cannot_be_read_are_an_error(
    programs: Programs, nftables: Nftables
) -> None:
    programs.answers["list ruleset"] = (1, "", "Operation not permitted")
    with pytest.raises(FirewallError, match=r"rules of others can't be read: .*not permitted"):
        nftables.others()


@pytest.mark.parametrize(
    ("path", "text", "named"),
    [
        ("etc/ufw/ufw.conf", "# settings\nENABLED=yes\n", "ufw is enabled"),
        ("etc/ufw/ufw.conf", "ENABLED=no\n", None),
        (f"{UNITS}/multi-user.target.wants/firewalld.service", "[Unit]\n", "firewalld is enabled"),
    ],
)
def test_another_firewall_is_named_with_the_choice(
    programs: Programs, nftables: Nftables, path: str, text: str, named: str | None
) -> None:
    file = programs.root / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    others = nftables.others()
    assert len(others) == (1 if named else 0)
    assert all(str(named) in other and "disable it" in other for other in others)


def test_rules_are_kept_by_an_own_unit_and_file(programs: Programs, nftables: Nftables) -> None:
    assert not nftables.lasts("rules\n")
    nftables.keep("rules\n")
    assert nftables.lasts("rules\n")
    assert not nftables.lasts("other rules\n")
    assert programs.calls == [
        ("systemctl", "daemon-reload"),
        ("systemctl", "--quiet", "enable", "--now", f"{UNIT}.service"),
    ]
    unit = (programs.root / UNITS / f"{UNIT}.service").read_text().splitlines()
    assert f"ExecStart=/usr/sbin/nft -f {RULES}" in unit
    assert "Before=network-pre.target sysinit.target shutdown.target" in unit
    assert "After=nftables.service" in unit
    files = {str(path.relative_to(programs.root)) for path in programs.root.rglob("*.*")}
    assert "etc/nftables.conf" not in files


def test_the_next_rules_only_replace_the_file(programs: Programs, nftables: Nftables) -> None:
    nftables.keep("rules\n")
    programs.calls.clear()
    nftables.keep("other rules\n")
    assert programs.calls == []
    assert nftables.lasts("other rules\n")


def test_forgetting_leaves_nothing(programs: Programs, nftables: Nftables) -> None:
    assert nftables.lasts("")
    nftables.keep("rules\n")
    assert not nftables.lasts("")
    nftables.forget()
    assert nftables.lasts("")
    assert not [path for path in programs.root.rglob("*") if path.is_file()]


def test_without_systemd_nothing_can_be_kept(programs: Programs) -> None:
    nftables = Nftables("nft", programs, systemd=False, root=str(programs.root))
    with pytest.raises(FirewallError, match="Set persistent to false"):
        nftables.keep("rules\n")


def test_the_timer_is_a_unit_that_outlives_the_session(
    programs: Programs, nftables: Nftables
) -> None:
    nftables.arm("abc", 30, "mv a b")
    (command,) = programs.calls
    assert command[0] == "systemd-run"
    assert f"--unit={UNIT}-undo-abc" in command
    assert "--on-active=30s" in command
    assert command[-3:] == ("/bin/sh", "-c", "mv a b")


def test_a_failed_program_is_named_with_its_words(programs: Programs, nftables: Nftables) -> None:
    programs.answers["-c -f -"] = (1, "", "/dev/stdin:1: Error: syntax error")
    with pytest.raises(FirewallError, match=r"/usr/sbin/nft -c -f - ended with 1: .*syntax error"):
        nftables.check("nonsense")
