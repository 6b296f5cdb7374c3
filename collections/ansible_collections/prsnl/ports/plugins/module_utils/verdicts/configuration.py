# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rendered configuration on a host: is it what was rendered, and for what the plan says?"""

from __future__ import annotations

import errno
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.host.files import read_file
from ansible_collections.prsnl.ports.plugins.module_utils.host.manifest import (
    DIRECTORY,
    Manifest,
    read_manifests,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import HostEndpoint
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import (
    Snapshot,
    endpoint_text,
)

AGAIN = "Provision the host again."


@dataclass(frozen=True)
class RenderedFile:
    """A rendered file: ``sha256`` is what it has now, None if it is missing.

    ``changed`` is its modification in seconds since the epoch.
    """

    path: str
    rendered: str
    sha256: t.Optional[str]
    changed: float


@dataclass(frozen=True)
class Configuration:
    """What was rendered for a unit, and the files as they are now."""

    manifest: Manifest
    files: tuple[RenderedFile, ...]


@dataclass(frozen=True)
class Judgement:
    """What is wrong by endpoint, what each was rendered for, and what belongs to no endpoint."""

    faults: t.Mapping[str, t.Sequence[str]]
    rendered: t.Mapping[str, str]
    others: tuple[str, ...]


def read_configurations(directory: str = DIRECTORY) -> list[Configuration]:
    """Return the rendered configurations of this host.

    :raises OSError: a manifest or a rendered file is there and can't be read.
    """
    return [
        Configuration(
            manifest, tuple(_read_file(path, sha) for path, sha in sorted(manifest.files.items()))
        )
        for manifest in read_manifests(directory)
    ]


def _read_file(path: str, rendered: str) -> RenderedFile:
    try:
        found = read_file(path)
    except NotADirectoryError:
        found = None
    except OSError as error:
        # A link of somebody else's, a pipe or a folder in its place: not what was rendered, either.
        if error.errno not in (errno.ELOOP, errno.EPERM, errno.EINVAL, errno.EISDIR, errno.ENXIO):
            raise
        return RenderedFile(path, rendered, "", time.time())
    if found is None:
        return RenderedFile(path, rendered, None, 0)
    return RenderedFile(path, rendered, found.sha256, (found.modified or 0) / 1e9)


def judge_configurations(
    configurations: t.Iterable[Configuration],
    endpoints: t.Sequence[HostEndpoint],
    snapshot: Snapshot,
) -> Judgement:
    """Compare the rendered configurations with the plan and with what was rendered."""
    faults: dict[str, list[str]] = {}
    rendered: dict[str, str] = {}
    others = []
    for configuration in configurations:
        manifest = configuration.manifest
        planned = [e for e in endpoints if manifest.unit in e.owner.units and e.expect != "silent"]
        for endpoint in planned:
            entry = manifest.endpoints.get(endpoint.id)
            rendered[endpoint.id] = _text(entry) if entry else "not rendered"
            faults[endpoint.id] = _endpoint_faults(endpoint, entry)
        general = _file_faults(configuration, snapshot)
        general += [
            f"{manifest.unit} is configured for {name} ({_text(entry)}), which isn't in this host's"
            " plan. Remove the service, or register it."
            for name, entry in sorted(manifest.endpoints.items())
            if name not in {endpoint.id for endpoint in endpoints}
        ]
        if planned:
            faults[planned[0].id] += general
        else:
            others += general
    return Judgement(faults, rendered, tuple(others))


def _text(entry: t.Mapping[str, t.Any]) -> str:
    text = ", ".join(endpoint_text(address, entry["port"]) for address in entry["listen"])
    return text or str(entry["port"])


def _endpoint_faults(endpoint: HostEndpoint, entry: t.Optional[t.Mapping[str, t.Any]]) -> list[str]:
    if entry is None:
        if endpoint.expect != "bound":
            return []
        return [f"its configuration was rendered without it. {AGAIN}"]
    is_same = (entry["port"], entry["protocol"]) == (endpoint.port, endpoint.protocol) and set(
        entry["listen"]
    ) == set(endpoint.listen)
    if is_same:
        return []
    wanted = [endpoint_text(address, endpoint.port) for address in endpoint.listen]
    return [
        f"its configuration was rendered for {_text(entry)}, the plan says"
        f" {listed(wanted)}. {AGAIN}"
    ]


def _file_faults(configuration: Configuration, snapshot: Snapshot) -> list[str]:
    unit = configuration.manifest.unit
    started = max(
        (
            holder.since
            for holders in snapshot.holders.values()
            for holder in holders
            if holder.unit == unit
        ),
        default=None,
    )
    faults = []
    for file in configuration.files:
        if file.sha256 is None:
            faults.append(f"{file.path} is missing, though it was rendered. {AGAIN}")
        elif file.sha256 != file.rendered:
            unread = started is not None and file.changed > started
            faults.append(
                f"{file.path} was edited by hand since it was rendered"
                + (", and the running daemon has not read it" if unread else "")
                + ". Put the change into the role's variables, and provision the host again."
            )
    if not configuration.manifest.applied:
        faults.append(f"a run was cut off before {unit} had read its new configuration. {AGAIN}")
    return faults
