# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host's system reserves of its ports: for outgoing connections, for root, for itself."""

from __future__ import annotations

import ipaddress
import re
import subprocess
import sys
import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.host.known_ports import AIRPLAY
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import HostEndpoint

SYSCTL = "/proc/sys/net/ipv4"
# https://www.kernel.org/doc/html/latest/networking/ip-sysctl.html
EPHEMERAL = (32768, 60999)
UNPRIVILEGED = 1024
# IANA's range, which macOS uses: net.inet.ip.portrange in xnu's bsd/netinet/in.h.
EPHEMERAL_MACOS = (49152, 65535)
CAPABILITY = "cap_net_bind_service"


@dataclass(frozen=True)
class PortLimits:
    """Ports from ``ephemeral[0]`` to ``ephemeral[1]`` are given to outgoing connections.

    Except those in ``reserved``, pairs of first and last ones. Below ``unprivileged`` a capability
    is needed. ``taken`` are ports that the system itself uses. ``is_mac`` says that on wildcard
    addresses nothing is needed, and that nothing can be reserved.
    """

    ephemeral: tuple[int, int]
    reserved: tuple[tuple[int, int], ...]
    unprivileged: int
    taken: tuple[int, ...] = ()
    is_mac: bool = False


def read_port_limits(root: str = SYSCTL) -> PortLimits:
    """Return the limits of this host; the system's defaults where they can't be read."""
    if sys.platform == "darwin":
        return PortLimits(EPHEMERAL_MACOS, (), UNPRIVILEGED, AIRPLAY, is_mac=True)
    first, last = (_numbers(root, "ip_local_port_range") or EPHEMERAL)[:2]
    start = _numbers(root, "ip_unprivileged_port_start") or [UNPRIVILEGED]
    reserved = [part.partition("-") for part in _words(root, "ip_local_reserved_ports")]
    return PortLimits(
        ephemeral=(first, last),
        reserved=tuple((int(low), int(high or low)) for low, _hyphen, high in reserved),
        unprivileged=start[0],
    )


def _words(root: str, name: str) -> list[str]:
    try:
        with open(f"{root}/{name}", encoding="ascii") as file:
            return re.findall(r"[^\s,]+", file.read())
    except OSError:
        return []


def _numbers(root: str, name: str) -> list[int]:
    return [int(word) for word in _words(root, name)]


def is_ephemeral(port: int, limits: PortLimits) -> bool:
    """Tell whether the kernel may give a port to an outgoing connection."""
    first, last = limits.ephemeral
    is_reserved = any(low <= port <= high for low, high in limits.reserved)
    return first <= port <= last and not is_reserved


def privileged(endpoints: t.Iterable[HostEndpoint], limits: PortLimits) -> list[HostEndpoint]:
    """Return the endpoints that their owner may bind with a capability only.

    Since macOS 10.14 every user may bind every port of a Mac on all addresses, but not on one
    (``in_pcbbind`` and ``in6_pcbbind`` in xnu).
    """
    return [
        endpoint
        for endpoint in endpoints
        if endpoint.expect == "bound"
        and endpoint.port < limits.unprivileged
        and endpoint.owner.user not in (None, "root", "0")
        and not endpoint.owner.container
        and not (limits.is_mac and all(map(_is_wildcard, endpoint.listen)))
    ]


def _is_wildcard(address: str) -> bool:
    return ipaddress.ip_address(address).is_unspecified


def units_with_capability(units: t.Collection[str]) -> set[str]:
    """Return the units that systemd starts as root, with the capability, or from a socket.

    Empty where systemd doesn't answer.
    """
    command = [
        "systemctl",
        "show",
        "--property=Id,LoadState,User,AmbientCapabilities,TriggeredBy",
        *sorted(units),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return set()
    return parse_units(done.stdout)


def parse_units(text: str) -> set[str]:
    """Return the units of C(systemctl show) that may bind privileged ports."""
    found = set()
    for block in text.split("\n\n"):
        unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if unit.get("LoadState") == "loaded" and (
            unit.get("User", "") in ("", "root")
            or CAPABILITY in unit.get("AmbientCapabilities", "").split()
            or ".socket" in unit.get("TriggeredBy", "")
        ):
            found.add(unit["Id"])
    return found


def port_warnings(
    endpoints: t.Sequence[HostEndpoint],
    limits: PortLimits,
    capable: t.Container[str],
    *,
    host: str,
    registry: str,
) -> list[str]:
    """Return what may keep services from their ports though nobody holds them, once per kind.

    :param capable: units that may bind privileged ports.
    :param registry: the file that messages send the reader to.
    """
    bound = [endpoint for endpoint in endpoints if endpoint.expect == "bound"]
    reserve = "Add them to net.ipv4.ip_local_reserved_ports"
    permit = (
        f"without CAP_NET_BIND_SERVICE, because of being below {limits.unprivileged}. Give it to"
        " the unit with AmbientCapabilities="
    )
    if limits.is_mac:
        # Nothing can be reserved there.
        reserve = "Let launchd start them at boot"
        permit = (
            f"on single addresses, because of being below {limits.unprivileged}. Let it listen on"
            " all addresses, or run it as root"
        )
    kinds = (
        (
            [endpoint for endpoint in bound if is_ephemeral(endpoint.port, limits)],
            f"may be taken by any outgoing connection, because the kernel gives it the ports from"
            f" {limits.ephemeral[0]} to {limits.ephemeral[1]}. {reserve}",
        ),
        (
            [endpoint for endpoint in bound if endpoint.port in limits.taken],
            "may be taken by AirPlay Receiver while it is on. Turn it off in System Settings,"
            " General, AirDrop & Handoff",
        ),
        (
            [e for e in privileged(bound, limits) if not any(u in capable for u in e.owner.units)],
            f"can't be bound by the owner {permit}",
        ),
    )
    return [
        f"{host}: {listed([f'{e.label} ({e.id})' for e in found])} {text}, or move them in"
        f" {registry}."
        for found, text in kinds
        if found
    ]
