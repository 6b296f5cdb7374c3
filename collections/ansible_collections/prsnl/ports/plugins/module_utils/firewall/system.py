# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The firewall of this host, whatever the system."""

from __future__ import annotations

import os
import platform
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.firewall import nftables, pf
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.change import (
    Firewall,
    FirewallError,
    PacketFilter,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import (
    Policy,
    read_openings,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import Runner
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import DURABLE, VOLATILE
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import HostEndpoint


def find_firewall(run: Runner, *, persistent: bool = True) -> t.Optional[Firewall]:
    """Return the firewall of this host; None if its program is missing.

    :raises FirewallError: nobody knows the one of this system.
    """
    name = platform.system()
    system: PacketFilter
    if name == "Darwin":
        system, record = pf.Pf(run), pf.RECORD
    elif name == "Linux":
        nft = nftables.find_nft()
        if nft is None:
            return None
        system = nftables.Nftables(nft, run, systemd=nftables.has_systemd())
        record = nftables.RECORD
    else:
        raise FirewallError(f"The system is {name}, allowed are Linux and Darwin (macOS).")
    return Firewall(system, run, record, VOLATILE, DURABLE, persistent=persistent)


def has_firewall() -> bool:
    """Whether rules were confirmed on this host, and not removed since."""
    return os.path.exists(pf.RECORD if platform.system() == "Darwin" else nftables.RECORD)


def judge_firewall(run: Runner, endpoints: t.Iterable[HostEndpoint] = ()) -> t.Optional[list[str]]:
    """Return what is wrong with the rules that were confirmed last; None where there are none.

    :param endpoints: those that others have to reach, whoever else filters there.
    """
    if not has_firewall():
        return None
    try:
        firewall = find_firewall(run)
        if firewall is None:
            return ["nft is gone, so nobody can tell whether the firewall's rules are in force."]
        openings = read_openings(endpoints, {})
        return firewall.judge(Policy(openings, ()) if openings else None)
    except (FirewallError, OSError) as error:
        return [f"nobody can tell whether the firewall's rules are in force: {error}"]
