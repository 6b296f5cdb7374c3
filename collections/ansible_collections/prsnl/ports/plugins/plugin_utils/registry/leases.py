# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases: temporary use of ports, from the file leases.yml beside the registry."""

from __future__ import annotations

import datetime
import itertools
import os
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    schema,
)
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

NAME: t.Final = "leases.yml"

_Lease = dict[str, t.Any]


def host_leases(
    registry_file: str, host: str, groups: t.Collection[str], today: datetime.date
) -> list[_Lease]:
    """The leases of a host as plain data: port, protocol, owner, reason, expires, expired, where.

    `groups` are those of the host. Raises RegistryError with every fault of the file.
    """
    file = os.path.join(os.path.dirname(registry_file), NAME)
    leases, lines = _read(file)
    return [
        {
            "port": lease["port"],
            "protocol": lease.get("protocol", "tcp"),
            "owner": _owner(lease["holder"]),
            "reason": lease["reason"],
            "expires": lease["expires"],
            "expired": datetime.date.fromisoformat(lease["expires"]) < today,
            "where": f"{shown(file)}:{line_of(lines, ('leases', index))}",
        }
        for index, lease in enumerate(leases)
        if lease["hosts"] == host or lease["hosts"] in groups
    ]


def _read(file: str) -> tuple[list[_Lease], dict[Path, int]]:
    try:
        source = yaml_source.read(file)
    except FileNotFoundError:
        return [], {}
    except OSError as error:
        raise RegistryError(f"{shown(file)}: the leases can't be read: {error.strerror}") from error
    data, faults = yaml_source.parse(source)
    if data is not None:
        faults += itertools.islice(schema.leases_schema().faults(data), MOST)
    if not faults:
        faults += _faults(data["leases"])
    lines = yaml_source.lines(source)
    if faults:
        raise RegistryError(report(file, faults, lines))
    return data["leases"], lines


def _faults(leases: list[_Lease]) -> t.Iterator[Fault]:
    seen: dict[tuple[t.Any, ...], int] = {}
    for index, lease in enumerate(leases):
        key = (lease["hosts"], lease.get("protocol", "tcp"), lease["port"])
        first = seen.setdefault(key, index)
        if first != index:
            yield Fault(
                ("leases", index, "port"),
                f"found a second lease of {key[2]}/{key[1]} for {key[0]}, allowed is one",
                see=("leases", first),
            )
        try:
            datetime.date.fromisoformat(lease["expires"])
        except ValueError:
            yield Fault(
                ("leases", index, "expires"),
                f"found {found(lease['expires'])}, allowed is a day of the calendar",
            )


def _owner(holder: _Lease) -> dict[str, t.Any]:
    process = holder["process"]
    return {
        "process": [process] if isinstance(process, str) else process,
        "user": holder.get("user"),
        "unit": holder.get("unit"),
    }
