# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leasing ports: temporary use with a holder, a reason and an end."""

from __future__ import annotations

import dataclasses
import datetime
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.governance.change import (
    Change,
    Groups,
    RefusedError,
    overlap,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import leases as lease_file
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.editor import Editor
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    RegistryError,
    found,
    shown,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.leases import Lease, end_of
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import (
    ALL_HOSTS,
    Endpoint,
    Registry,
    mapping,
)

STATES: t.Final = ("present", "absent", "extended")
# On these ports nobody has to be, so that they can be lent.
LEASABLE: t.Final = frozenset(("alternative", "reserved"))
# What a new file starts with.
EMPTY: t.Final = b"""\
# Temporary use of ports, each with its holder, a reason and an end, after which it counts no more.
---
version: 1

leases: []
"""
_RELATIVE: t.Final = re.compile(r"([1-9][0-9]{0,3})([mhdw])")
_UNITS: t.Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclasses.dataclass(frozen=True)
class Request:
    """What is wanted of a lease, which is told apart by port, protocol and hosts.

    `expires` is a day, a time with its zone, or a duration from now such as `4h`.
    """

    state: str
    port: int
    hosts: str
    protocol: str = "tcp"
    holder: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    reason: str = ""
    expires: str = ""

    @property
    def is_relative(self) -> bool:
        """Whether the end is a duration."""
        return _RELATIVE.fullmatch(self.expires) is not None


def lease(
    source: bytes | None,
    file: str,
    registry: Registry,
    request: Request,
    *,
    now: datetime.datetime,
    groups: Groups | None = None,
) -> Change:
    """What a request makes of the leases.

    `groups` are the inventory's, where there is one. Raises RefusedError if the rules don't allow
    it, RegistryError if the file has faults.
    """
    return _Leasing(source, file, registry, request, now=now, groups=groups).change()


def in_the_way(
    registry: Registry, port: int, protocol: str, hosts: str, groups: Groups | None = None
) -> Endpoint | None:
    """The endpoint because of which a port can't be lent on hosts: it has to be bound or silent."""
    known = {ALL_HOSTS, *mapping(registry.data.get("groups"))}
    for endpoint in registry.endpoints.values():
        if (endpoint.protocol, endpoint.port) != (protocol, port) or endpoint.status in LEASABLE:
            continue
        # What is retired is so everywhere.
        its_hosts = registry.services[endpoint.service].hosts
        if endpoint.status == "retired" or overlap(its_hosts, hosts, known, groups):
            return endpoint
    return None


def faults(registry: Registry, leases: t.Iterable[Lease], now: datetime.datetime) -> list[str]:
    """The leases of ports that weren't to be lent, each as `file:line: ...`."""
    texts = []
    for each in leases:
        endpoint = in_the_way(registry, each.port, each.protocol, each.hosts)
        if endpoint is not None and not each.has_ended(now):
            texts.append(
                f"{each.where}: {each.port}/{each.protocol} {each.state(now)}, but it is"
                f" {endpoint.id}'s, {endpoint.status}. End the lease, or change the registry"
            )
    return texts


def ended(leases: t.Iterable[Lease], now: datetime.datetime) -> list[str]:
    """The leases that have ended, each as `file:line: ...`."""
    return [
        f"{each.where}: {each.port}/{each.protocol} {each.state(now)}. Extend or remove the lease"
        for each in leases
        if each.has_ended(now)
    ]


class _Leasing:
    def __init__(
        self,
        source: bytes | None,
        file: str,
        registry: Registry,
        request: Request,
        *,
        now: datetime.datetime,
        groups: Groups | None,
    ) -> None:
        self.source = source
        self.file = file
        self.registry = registry
        self.request = request
        self.now = now
        self.groups = groups
        self.leases = lease_file.parse(source, file) if source is not None else []
        self.warnings: list[str] = []

    def change(self) -> Change:
        request = self.request
        mine = [x for x in self.leases if x.key == (request.hosts, request.protocol, request.port)]
        existing = mine[0] if mine else None
        source = self.source if self.source is not None else EMPTY
        editor = Editor(source, self.file)
        getattr(self, f"_{request.state}")(existing, editor)
        if editor.data == Editor(source, self.file).data:
            return Change(self.source or b"", request.port, self.warnings)
        after = editor.result()
        try:
            lease_file.parse(after, self.file)
        except RegistryError as error:
            raise self.refusal(f"it would leave the file with faults:\n{error}") from error
        return Change(after, request.port, self.warnings)

    def refusal(self, why: str) -> RefusedError:
        port = f"{self.request.port}/{self.request.protocol}"
        verb = {"present": "leased", "extended": "leased for longer", "absent": "given back"}
        return RefusedError(
            f"{shown(self.file)}: {port} on {self.request.hosts} can't be"
            f" {verb[self.request.state]}: {why}"
        )

    # --- states ----------------------------------------------------------------------------

    def _present(self, existing: Lease | None, editor: Editor) -> None:
        request = self.request
        if existing is not None:
            self._keep(existing, editor)
            return
        for name in ("holder", "reason", "expires"):
            if not getattr(request, name):
                raise self.refusal(
                    f"found no {name}, allowed is a lease with holder, reason and end"
                )
        self._refuse_taken()
        end, text = self._end()
        if end <= self.now:
            raise self.refusal(f"found the end {text}, which has passed")
        data: dict[str, t.Any] = {"port": request.port}
        if request.protocol != "tcp":
            data["protocol"] = request.protocol
        data.update(hosts=request.hosts, holder=dict(request.holder))
        editor.append(("leases",), {**data, "reason": request.reason, "expires": text})

    def _keep(self, existing: Lease, editor: Editor) -> None:
        """A lease that is there: its end stays, unless somebody says that it is extended."""
        request = self.request
        state = f"it {existing.state(self.now)} ({existing.where})"
        if request.holder and request.holder != existing.holder:
            raise self.refusal(f"{state}, to another holder")
        if existing.has_ended(self.now):
            if request.is_relative:
                raise self.refusal(f"{state}. The state extended prolongs it, absent ends it")
            self.warnings.append(f"{request.port}/{request.protocol} {existing.state(self.now)}")
        if request.expires and not request.is_relative and self._end()[0] != existing.end:
            raise self.refusal(f"{state}. The state extended gives it another end")
        if request.reason and request.reason != existing.reason:
            editor.set((*existing.path, "reason"), request.reason)

    def _extended(self, existing: Lease | None, editor: Editor) -> None:
        request = self.request
        if existing is None:
            raise self.refusal("there is no such lease")
        if not request.expires:
            raise self.refusal("found no end, allowed is a later one")
        if request.holder and request.holder != existing.holder:
            state = existing.state(self.now)
            raise self.refusal(f"it {state} ({existing.where}), to another holder")
        end, text = self._end()
        if end == existing.end:
            return
        if end < existing.end:
            raise self.refusal(f"its end {existing.expires} is later than {text}")
        if end <= self.now:
            raise self.refusal(f"found the end {text}, which has passed")
        if existing.has_ended(self.now):
            self._refuse_taken(existing)
        editor.set((*existing.path, "expires"), text)
        if request.reason and request.reason != existing.reason:
            editor.set((*existing.path, "reason"), request.reason)

    def _absent(self, existing: Lease | None, editor: Editor) -> None:
        if existing is None:
            return
        if self.request.holder and self.request.holder != existing.holder:
            state = existing.state(self.now)
            raise self.refusal(f"it {state} ({existing.where}), to another holder")
        editor.remove(existing.path)

    # --- what is in the way ----------------------------------------------------------------

    def _refuse_taken(self, own: Lease | None = None) -> None:
        request = self.request
        known = {ALL_HOSTS, *mapping(self.registry.data.get("groups"))}
        if self.groups is not None:
            hosts = {host for members in self.groups.values() for host in members}
            if request.hosts not in {*self.groups, *hosts}:
                raise self.refusal("the inventory has no such host or group")
        for other in self.leases:
            is_its_port = other.key[1:] == (request.protocol, request.port)
            meets = overlap(other.hosts, request.hosts, known, self.groups)
            if not is_its_port or other is own or not meets:
                continue
            state = f"{other.state(self.now)} ({other.where})"
            if not other.has_ended(self.now):
                raise self.refusal(f"it {state}")
            self.warnings.append(f"{request.port}/{request.protocol} {state}")
        endpoint = in_the_way(
            self.registry, request.port, request.protocol, request.hosts, self.groups
        )
        if endpoint is not None:
            place = self.registry.where((*endpoint.path, "port"))
            raise self.refusal(f"it is {endpoint.id}'s, {endpoint.status} ({place})")

    def _end(self) -> tuple[datetime.datetime, str]:
        """The end that is asked for, and how it is written."""
        match = _RELATIVE.fullmatch(self.request.expires)
        if match:
            end = self.now + datetime.timedelta(**{_UNITS[match[2]]: int(match[1])})
            if end.second or end.microsecond:
                end = end.replace(second=0, microsecond=0) + datetime.timedelta(minutes=1)
            return end, end.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ")
        try:
            end = end_of(self.request.expires)
        except (OverflowError, ValueError):
            raise self.refusal(
                f"found the end {found(self.request.expires)}, allowed is a day such as 2026-11-26,"
                " a time with its zone such as 2026-11-26T18:00Z, or a duration such as 4h or 2d"
            ) from None
        return end, self.request.expires
