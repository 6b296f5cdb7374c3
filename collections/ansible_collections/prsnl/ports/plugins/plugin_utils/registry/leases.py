# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases: temporary use of ports, from the file leases.yml beside the registry."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import os
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    source as yaml_source,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    MOST,
    Fault,
    Path,
    RegistryError,
    found,
    line_of,
    report,
    shown,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.owners import (
    LINUX,
    owner_faults,
    owner_on,
)

NAME: t.Final = "leases.yml"
_EXPIRES: t.Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2}))?"
)

# What a holder may be told by, the name that people know first.
_NAMES: t.Final = ("process", "container", "name", "unit", "label", "user", LINUX, "darwin")

_Lease = dict[str, t.Any]
# Of each file what it was by its inode, size and time, and the leases in it.
_READ: dict[str, tuple[tuple[int, int, int], list[Lease]]] = {}


@dataclasses.dataclass(frozen=True)
class Lease:
    """A lease of the file; `end` is when it counts no more, `where` its place as `file:line`."""

    path: Path
    port: int
    protocol: str
    hosts: str
    holder: dict[str, t.Any]
    reason: str
    expires: str
    end: datetime.datetime
    where: str

    @property
    def key(self) -> tuple[str, str, int]:
        """What it is told apart by: hosts, protocol and port."""
        return self.hosts, self.protocol, self.port

    def has_ended(self, now: datetime.datetime) -> bool:
        """Whether it counts no more."""
        return now >= self.end

    def state(self, now: datetime.datetime) -> str:
        """What it says of its port at a time."""
        verb = "was" if self.has_ended(now) else "is"
        who = holder_name(self.holder)
        return f"{verb} leased to {who} on {self.hosts} until {self.expires} for: {self.reason}"


def beside(registry_file: str) -> str:
    """The file of the leases that belong to a registry."""
    return os.path.join(os.path.dirname(registry_file), NAME)


def read(file: str) -> list[Lease]:
    """The leases of a file, none if there is no file. Raises RegistryError with its faults.

    A run asks for each of its hosts, so the file is read again only when it has changed.
    """
    try:
        status = os.stat(file)
        state = status.st_ino, status.st_size, status.st_mtime_ns
        known = _READ.get(file)
        if known is not None and known[0] == state:
            return known[1]
        source = yaml_source.read(file)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RegistryError(f"{shown(file)}: the leases can't be read: {error.strerror}") from error
    found = parse(source, file)
    _READ[file] = state, found
    return found


def parse(source: bytes, file: str) -> list[Lease]:
    """The leases of a text. Raises RegistryError with its faults; `file` is its name in them."""
    # The console reads leases that it has checked before, and this import takes most of its time.
    from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (  # noqa: PLC0415
        schema,
    )

    data, faults = yaml_source.parse(source)
    if data is not None:
        faults += itertools.islice(schema.leases_schema().faults(data), MOST)
    if not faults:
        faults += _faults(data["leases"])
    if faults:
        raise RegistryError(report(file, faults, yaml_source.lines(source)))
    return from_data(data, yaml_source.lines(source), file)


def from_data(data: dict[str, t.Any], lines: t.Mapping[Path, int], file: str) -> list[Lease]:
    """The leases of data without faults; `lines` are those of its paths."""
    return [
        Lease(
            path=("leases", index),
            port=lease["port"],
            protocol=lease.get("protocol", "tcp"),
            hosts=lease["hosts"],
            holder=lease["holder"],
            reason=lease["reason"],
            expires=lease["expires"],
            end=end_of(lease["expires"]),
            where=f"{shown(file)}:{line_of(lines, ('leases', index))}",
        )
        for index, lease in enumerate(data["leases"])
    ]


def end_of(expires: str) -> datetime.datetime:
    """When a lease counts no more: at a time, or after the end of its last day in UTC.

    Raises ValueError if there is no such day or time.
    """
    match = _EXPIRES.fullmatch(expires)
    if match is None:
        raise ValueError(expires)
    if match[2]:
        return datetime.datetime.fromisoformat(expires).astimezone(datetime.UTC)
    day = datetime.datetime.combine(datetime.date.fromisoformat(expires), datetime.time())
    return day.replace(tzinfo=datetime.UTC) + datetime.timedelta(days=1)


def host_leases(
    registry_file: str,
    host: str,
    groups: t.Collection[str],
    now: datetime.datetime,
    system: str = LINUX,
) -> list[_Lease]:
    """The leases of a host as plain data.

    It is port, protocol, owner, reason, expires, end (in seconds since the epoch), expired, where.
    `groups` are those of the host. A lease whose holder is given for another system only isn't
    among them. Raises RegistryError with every fault of the file.
    """
    return [
        {
            "port": lease.port,
            "protocol": lease.protocol,
            "owner": owner.as_dict(),
            "reason": lease.reason,
            "expires": lease.expires,
            "end": int(lease.end.timestamp()),
            "expired": lease.has_ended(now),
            "where": lease.where,
        }
        for lease in read(beside(registry_file))
        if (lease.hosts == host or lease.hosts in groups)
        and (owner := owner_on(lease.holder, system))
    ]


def _faults(leases: list[_Lease]) -> t.Iterator[Fault]:
    seen: dict[tuple[t.Any, ...], int] = {}
    for index, lease in enumerate(leases):
        yield from owner_faults(("leases", index, "holder"), lease["holder"])
        key = (lease["hosts"], lease.get("protocol", "tcp"), lease["port"])
        first = seen.setdefault(key, index)
        if first != index:
            yield Fault(
                ("leases", index, "port"),
                f"found a second lease of {key[2]}/{key[1]} for {key[0]}, allowed is one",
                see=("leases", first),
            )
        try:
            end_of(lease["expires"])
        except (OverflowError, ValueError):
            yield Fault(
                ("leases", index, "expires"),
                f"found {found(lease['expires'])}, allowed is a day of the calendar, or a time of"
                " one",
            )


def holder_name(holder: t.Any) -> str:
    """The name that a holder is best known by."""
    while not isinstance(holder, str):
        if isinstance(holder, list):
            holder = holder[0]
        elif "kernel" in holder:
            return "the kernel"
        else:
            holder = next(holder[key] for key in _NAMES if key in holder)
    return holder
