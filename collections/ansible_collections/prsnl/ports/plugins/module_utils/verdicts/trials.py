# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel says of a port: may it be bound, and do packets to it arrive?

A bind is tried where nobody is seen, and closed at once. It never listens, so that nobody connects
to it, and it joins no group of sockets that share a port (SO_REUSEPORT).
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import HostEndpoint
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.redirects import (
    Redirect,
    Redirects,
)

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
SO_BINDTODEVICE = 25


@dataclass(frozen=True)
class Trial:
    """What came of binding the addresses of an endpoint, and where packets to it go.

    The kernel gave it those in ``works``, and says that those in ``taken`` are in use and that the
    host doesn't have those in ``absent``. What it gave no answer to is in none of them.
    """

    works: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    redirect: t.Optional[Redirect] = None


UNTRIED = Trial()


def try_endpoint(endpoint: HostEndpoint, addresses: t.Iterable[str], redirects: Redirects) -> Trial:
    """Bind some addresses of an endpoint, and look where packets to it go."""
    found: dict[str, list[str]] = {"works": [], "taken": [], "absent": []}
    for address in addresses:
        answer = _bind(endpoint, address)
        if answer:
            found[answer].append(address)
    listen = endpoint.listen or ("0.0.0.0", "::")  # noqa: S104
    return Trial(
        **{name: tuple(values) for name, values in found.items()},
        redirect=redirects.of(endpoint.protocol, endpoint.port, listen, endpoint.device),
    )


def _bind(endpoint: HostEndpoint, address: str) -> t.Optional[str]:
    """Return what the kernel says, as it would to a server; None where that tells nothing.

    Servers of TCP set SO_REUSEADDR, with which connections of the daemon that had the port before
    are no obstacle. One of UDP that set it would take the packets of whoever has the port.
    """
    ip = ipaddress.ip_address(address)
    if ip.is_link_local and ip.version == 6:  # noqa: PLR2004
        # Of which interface, no registry says.
        return None
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6  # noqa: PLR2004
    try:
        with socket.socket(family, KINDS[endpoint.protocol]) as sock:
            if endpoint.protocol == "tcp":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if endpoint.device:
                sock.setsockopt(
                    socket.SOL_SOCKET, SO_BINDTODEVICE, os.fsencode(endpoint.device) + b"\0"
                )
            sock.bind((address, endpoint.port))
    except OSError as error:
        return {errno.EADDRINUSE: "taken", errno.EADDRNOTAVAIL: "absent"}.get(error.errno or 0)
    return "works"
