# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Made-up plans, sockets and processes."""

from __future__ import annotations

import itertools
import time
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import (
    HostEndpoint,
    read_endpoints,
    this_system,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import (
    CLOSED,
    Container,
    Holder,
    Snapshot,
    Socket,
)

NOW = time.mktime((2026, 3, 4, 12, 0, 0, 0, 0, -1))
WILD = ("0.0.0.0", "::")
EVERYWHERE = ("0.0.0.0/0", "::/0")
LOOPBACK = ("127.0.0.0/8", "::1/128")


def owner(**given: t.Any) -> dict[str, t.Any]:
    """The owner of a plan: every key is there."""
    nobody: dict[str, t.Any] = {
        "process": [],
        "user": None,
        "unit": [],
        "label": None,
        "container": None,
    }
    return {**nobody, "kernel": False, **given}


def plan(*entries: dict[str, t.Any], **changes: t.Any) -> dict[str, t.Any]:
    """A plan of this host."""
    facts = {"host": "app", "environment": "test", "system": this_system()}
    return {**facts, "endpoints": list(entries), **changes}


def entry(
    name: str,
    port: int,
    *,
    listen: t.Sequence[str] = WILD,
    expect: str = "bound",
    **changes: t.Any,
) -> dict[str, t.Any]:
    """An entry of a plan; unless told otherwise, process, user and unit have its service's name."""
    service, _dot, short = name.partition(".")
    wild = set(listen) & set(WILD)
    return {
        "id": name,
        "service": service,
        "name": short,
        "port": port,
        "protocol": "tcp",
        "status": {"bound": "fixed", "optional": "alternative", "silent": "retired"}[expect],
        "expect": expect,
        "listen": [] if expect == "silent" else list(listen),
        "allowed": list(EVERYWHERE if wild else LOOPBACK),
        "sources": [],
        "owner": owner(process=[service], user=service, unit=[f"{service}.service"]),
        "probe": "tcp",
        **changes,
    }


def endpoint(
    name: str,
    port: int,
    *,
    listen: t.Sequence[str] = WILD,
    expect: str = "bound",
    protocol: str = "tcp",
    **owned: t.Any,
) -> HostEndpoint:
    """An endpoint; unless told otherwise, process, user and unit are named after its service."""
    data = entry(name, port, listen=listen, expect=expect, protocol=protocol)
    data["owner"] = owned.get("owner") or {**data["owner"], **owned}
    (result,) = read_endpoints([data])
    return result


class World:
    """Sockets and their holders."""

    def __init__(
        self,
        obstacle: str | None = None,
        has_ipv6: bool = True,
        activates: t.Mapping[str, tuple[str, ...]] | None = None,
        is_nested: bool = False,
    ) -> None:
        self._sockets: list[Socket] = []
        self._holders: dict[int, tuple[Holder, ...]] = {}
        self._numbers = itertools.count(100)
        self._obstacle = obstacle
        self._has_ipv6 = has_ipv6
        self._activates = activates or {}
        self._is_nested = is_nested

    def hold(
        self,
        port: int,
        *holders: str | Holder,
        on: str = "0.0.0.0",
        protocol: str = "tcp",
        v6only: bool = False,
        container: Container | None = None,
        published: bool = False,
        **more: str,
    ) -> World:
        """Add a socket; a holder that is a text is the daemon of the service with that name."""
        # What an engine publishes by rewriting addresses has no socket.
        is_bare = (container and not holders) or more.get("state") == CLOSED
        inode = 0 if is_bare else next(self._numbers)
        self._sockets.append(
            Socket(protocol, on, port, v6only, 1000, inode, container, published, **more)
        )
        self._holders[inode] = tuple(
            daemon(holder, next(self._numbers)) if isinstance(holder, str) else holder
            for holder in holders
        )
        return self

    def hold_all(self, port: int, *holders: str | Holder, protocol: str = "tcp") -> World:
        """Add a socket for either family, as most daemons do."""
        self.hold(port, *holders, on="0.0.0.0", protocol=protocol)
        return self.hold(port, *holders, on="::", v6only=True, protocol=protocol)

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot(
            tuple(self._sockets),
            self._holders,
            self._obstacle,
            self._has_ipv6,
            self._activates,
            self._is_nested,
        )


def daemon(service: str, pid: int, **changes: t.Any) -> Holder:
    facts: dict[str, t.Any] = {"executable": None, "process": service, "user": service}
    facts |= {"unit": f"{service}.service", **changes}
    return Holder(pid=pid, since=NOW - 9960, **facts)


ADA = Holder(812, "node", "node", "ada", "user@1000.service", NOW - 9960)
