# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that nobody holds and that may be taken all the same."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts import limits
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.limits import PortLimits
from worlds import endpoint

LINUX = PortLimits((32768, 60999), ((40000, 40000), (41000, 41010)), 1024)
MACOS = PortLimits((49152, 65535), (), 1024, (5000, 7000), is_mac=True)
# `systemctl show --property=Id,LoadState,User,AmbientCapabilities,TriggeredBy` of systemd 252:
# a unit that starts as root, one with the capability, one without, one from a socket, none at all.
UNITS = """\
Id=nginx.service
LoadState=loaded
User=
AmbientCapabilities=
TriggeredBy=

Id=dns.service
LoadState=loaded
User=bind
AmbientCapabilities=cap_chown cap_net_bind_service
TriggeredBy=

Id=web.service
LoadState=loaded
User=web
AmbientCapabilities=cap_chown
TriggeredBy=

Id=cups.service
LoadState=loaded
User=cups
AmbientCapabilities=
TriggeredBy=cups.path cups.socket

Id=absent.service
LoadState=not-found
User=
AmbientCapabilities=
TriggeredBy=
"""


def warnings(
    *endpoints: t.Any, of: PortLimits = LINUX, capable: t.Container[str] = ()
) -> list[str]:
    return limits.port_warnings(endpoints, of, capable, host="app", registry="registry/ports.yml")


def test_nothing_to_warn_of() -> None:
    assert warnings(endpoint("a.http", 8000), endpoint("b.http", 80, user="root")) == []


def test_ephemeral_ports_are_warned_of_once_for_the_host() -> None:
    plan = [
        endpoint("a.http", 32768),
        endpoint("b.http", 60999, protocol="udp"),
        endpoint("c.http", 40000),
        endpoint("d.http", 41005),
        endpoint("e.http", 50000, expect="optional"),
        endpoint("f.http", 61000),
    ]
    assert warnings(*plan) == [
        "app: 32768/tcp (a.http) and 60999/udp (b.http) may be taken by any outgoing connection,"
        " because the kernel gives it the ports from 32768 to 60999. Add them to"
        " net.ipv4.ip_local_reserved_ports, or move them in registry/ports.yml."
    ]


def test_ports_of_macos_are_warned_of_on_macos_only() -> None:
    plan = [endpoint("a.http", 5000), endpoint("b.http", 7000), endpoint("c.http", 80)]
    assert warnings(*plan, of=MACOS) == [
        "app: 5000/tcp (a.http) and 7000/tcp (b.http) may be taken by AirPlay Receiver while it is"
        " on. Turn it off in System Settings, General, AirDrop & Handoff, or move them in"
        " registry/ports.yml."
    ]
    assert len(warnings(*plan, capable={"c.service"})) == 0


def test_privileged_ports_need_root_or_a_capability() -> None:
    plan = [endpoint("a.http", 80), endpoint("b.http", 443), endpoint("c.http", 1024)]
    assert warnings(*plan, capable={"b.service"}) == [
        "app: 80/tcp (a.http) can't be bound by the owner without CAP_NET_BIND_SERVICE, because of"
        " being below 1024. Give it to the unit with AmbientCapabilities=, or move them in"
        " registry/ports.yml."
    ]


def test_units_that_may_bind_privileged_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = subprocess.CompletedProcess([], 0, UNITS, "")
    monkeypatch.setattr(subprocess, "run", lambda *_a, **_k: answer)
    units = {"nginx.service", "dns.service", "cups.service"}
    assert limits.units_with_capability(units) == units


def test_without_systemd_no_unit_may(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_arguments: t.Any, **_options: t.Any) -> t.NoReturn:
        raise FileNotFoundError("systemctl")

    monkeypatch.setattr(subprocess, "run", run)
    assert limits.units_with_capability({"nginx.service"}) == set()


def test_limits_are_read_from_the_kernel(tmp_path: pathlib.Path) -> None:
    (tmp_path / "ip_local_port_range").write_text("20000\t30000\n")
    (tmp_path / "ip_local_reserved_ports").write_text("21000,22000-22010\n")
    (tmp_path / "ip_unprivileged_port_start").write_text("80\n")
    assert limits.read_port_limits(str(tmp_path)) == PortLimits(
        (20000, 30000), ((21000, 21000), (22000, 22010)), 80
    )


def test_defaults_where_the_kernel_does_not_tell(tmp_path: pathlib.Path) -> None:
    (tmp_path / "ip_local_reserved_ports").write_text("\n")
    assert limits.read_port_limits(str(tmp_path)) == PortLimits((32768, 60999), (), 1024)


def test_limits_of_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert limits.read_port_limits() == MACOS


def test_below_1024_a_mac_needs_root_on_single_addresses_only() -> None:
    everywhere = endpoint("a.http", 80, user="a", listen=("0.0.0.0", "::"))
    here = endpoint("b.http", 80, user="b", listen=("0.0.0.0", "192.0.2.1"))
    assert warnings(everywhere, of=MACOS) == []
    assert warnings(here, of=MACOS) == [
        "app: 80/tcp (b.http) can't be bound by the owner on single addresses, because of being"
        " below 1024. Let it listen on all addresses, or run it as root, or move them in"
        " registry/ports.yml."
    ]


def test_a_mac_is_told_nothing_about_linux() -> None:
    [told] = warnings(endpoint("a.http", 50000), of=MACOS)
    assert "net.ipv4" not in told
    assert "from 49152 to 65535. Let launchd start them at boot, or move them" in told
