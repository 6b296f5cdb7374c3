# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ports show`, `ports show postgresql`, `ports show postgresql.sql`"""

from __future__ import annotations

import argparse
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.console import output, reading
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance.uses import UnknownError
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.editor import Editor
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import found, near
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import Registry
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.owners import LINUX


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("entry", nargs="?", metavar="NAME", help="a service or an endpoint")


def run(args: argparse.Namespace) -> int:
    """Prints a part of the registry as it is written, or a table of all endpoints."""
    registry = reading.registry(args)
    if args.entry is None:
        text, data = _table(registry), [_row(registry, name) for name in registry.endpoints]
    else:
        service, _dot, endpoint = args.entry.partition(".")
        if args.entry not in {**registry.services, **registry.endpoints}:
            known = [*registry.services, *registry.endpoints]
            raise UnknownError(
                f"found {found(args.entry)}, allowed is a service or an endpoint of the registry"
                f"{near(args.entry, known)}"
            )
        path = ("services", service, *(("endpoints", endpoint) if endpoint else ()))
        text = Editor(registry.source, registry.file).lines(path).rstrip("\r\n")
        data = registry.data["services"][service]
        data = data["endpoints"][endpoint] if endpoint else data
    output.answer(text, data, args.format)
    return 0


def _row(registry: Registry, name: str) -> dict[str, t.Any]:
    endpoint = registry.endpoints[name]
    service = registry.services[endpoint.service]
    keys = ("id", "port", "protocol", "status", "exposure", "description")
    data = endpoint.as_dict(LINUX)
    return {
        **{key: data[key] for key in keys},
        "hosts": service.hosts,
        "environments": list(endpoint.environments),
    }


def _table(registry: Registry) -> str:
    endpoints = sorted(registry.endpoints.values(), key=lambda e: (e.port, e.protocol, e.id))
    rows = [("PORT", "ENDPOINT", "STATUS", "EXPOSURE", "HOSTS", "DESCRIPTION")]
    rows += [
        (
            f"{endpoint.port}/{endpoint.protocol}",
            endpoint.id,
            endpoint.status,
            endpoint.exposure or "-",
            registry.services[endpoint.service].hosts,
            endpoint.description,
        )
        for endpoint in endpoints
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = [[c.ljust(w) for c, w in zip(row, widths, strict=True)] for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in cells)
