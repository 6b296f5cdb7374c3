# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that are generated from a registry, as it declares them."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import Fault, Path, found
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import (
    ALL_HOSTS,
    Registry,
    mapping,
)

# What only some formats may have.
_FORMATS_OF: t.Final = {
    "containers": ("compose",),
    "variables": ("env",),
    "hosts": ("cors", "file_sd"),
    "server": ("vite",),
    "preview": ("vite",),
}


@dataclasses.dataclass(frozen=True)
class Output:
    """A generated file; `file` is relative to the directory of the registry."""

    file: str
    format: str
    environment: str | None = None
    services: tuple[str, ...] = ()
    containers: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    variables: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    hosts: t.Mapping[str, t.Sequence[str]] = dataclasses.field(default_factory=dict)
    server: str | None = None
    preview: str | None = None

    def path(self, registry: Registry) -> str:
        """Where it is."""
        folder = os.path.dirname(os.path.abspath(registry.file))
        return os.path.normpath(os.path.join(folder, self.file))


def outputs_of(registry: Registry) -> list[Output]:
    """The generated files of a registry without faults."""
    entries = registry.data.get("outputs", [])
    return [Output(**{**entry, "services": tuple(entry.get("services", ()))}) for entry in entries]


def faults(registry: Registry) -> t.Iterator[Fault]:
    """Every fault of the declarations that a schema can't tell."""
    outputs = registry.data.get("outputs")
    first: dict[str, Path] = {}
    for index, entry in enumerate(outputs if isinstance(outputs, list) else []):
        path: Path = ("outputs", index)
        output = mapping(entry)
        other = first.setdefault(os.path.normpath(str(output.get("file"))), path)
        if other != path:
            yield Fault(
                (*path, "file"),
                f"found {found(output.get('file'))} again, allowed is once",
                see=(*other, "file"),
            )
        for key, formats in _FORMATS_OF.items():
            if key in output and output.get("format") not in formats:
                message = f"found it with {found(output.get('format'))}, allowed with"
                yield Fault((*path, key), f"{message} {listed(formats, 'and')}")
        if output.get("format") == "vite" and "server" not in output:
            message = "found nothing, allowed is the endpoint of the development server"
            yield Fault((*path, "server"), message)
        yield from _unknown_names(registry, path, output)


def _unknown_names(registry: Registry, path: Path, output: dict[str, t.Any]) -> t.Iterator[Fault]:
    data = registry.data
    services = output.get("services")
    known: dict[str, t.Collection[str]] = {
        "environments": mapping(data.get("environments")),
        "services": registry.services,
        "groups": {*mapping(data.get("groups")), ALL_HOSTS},
        "endpoints": registry.endpoints,
    }
    names: list[tuple[str, Path, t.Any]] = [
        ("environments", ("environment",), output.get("environment")),
        *(
            ("services", ("services", number), service)
            for number, service in enumerate(services if isinstance(services, list) else [])
        ),
        *(("groups", ("hosts", group), group) for group in mapping(output.get("hosts"))),
        *(("endpoints", ("containers", id_), id_) for id_ in mapping(output.get("containers"))),
        *(
            ("endpoints", ("variables", variable), id_)
            for variable, id_ in mapping(output.get("variables")).items()
        ),
        *(("endpoints", (key,), output.get(key)) for key in ("server", "preview")),
    ]
    for kind, where, name in names:
        if isinstance(name, str) and known[kind] and name not in known[kind]:
            message = f"found {found(name)}, allowed are the {kind} of this file"
            yield Fault((*path, *where), message, word=name, among=known[kind])
