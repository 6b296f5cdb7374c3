# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What dependents need of the registry, in the forms that they read.

The same registry gives the same bytes. Endpoints that have to be silent are in none of them, except
where it is said.
"""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.outputs.guide import guide
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.addresses import (
    LOOPBACK,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    RegistryError,
    shown,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import (
    ALL_HOSTS,
    Endpoint,
    Registry,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.outputs import Output
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.owners import LINUX

_SCRIPTS: t.Final = {".ts": " as const", ".mts": " as const", ".js": "", ".mjs": ""}


def fragment(registry: Registry, output: Output) -> str:
    """The text of a generated file. Raises RegistryError if there can't be one."""
    return FORMATS[output.format](registry, output)


def selected(registry: Registry, output: Output) -> list[Endpoint]:
    """The endpoints in use that an output is about, in the registry's order."""
    return [
        endpoint
        for endpoint in registry.endpoints.values()
        if endpoint.expect != "silent"
        and output.environment in (None, *endpoint.environments)
        and (not output.services or endpoint.service in output.services)
    ]


def _by_port(registry: Registry, output: Output) -> list[Endpoint]:
    return sorted(selected(registry, output), key=lambda e: (e.port, e.protocol, e.id))


def source_of(registry: Registry, output: Output) -> str:
    """The path of the registry, as seen from a generated file."""
    here = os.path.dirname(output.path(registry))
    return os.path.relpath(os.path.abspath(registry.file), here).replace(os.sep, "/")


def header(registry: Registry, output: Output, mark: str = "#") -> str:
    """The line that says where a file comes from, so that nobody edits it."""
    source = source_of(registry, output)
    return f"{mark} Generated from {source} by `ports generate`. Don't edit it.\n"


def _named(registry: Registry, output: Output, id_: str) -> Endpoint:
    """An endpoint that an output names; it has to be in use."""
    endpoint = registry.endpoints[id_]
    if endpoint.expect == "silent":
        raise RegistryError(
            f"{shown(registry.file)}: {output.file} is to have {id_}, which is {endpoint.status};"
            " name an endpoint in use"
        )
    return endpoint


def _compose(registry: Registry, output: Output) -> str:
    """Ports to lay over a Compose file; `!override` takes the place of those that it has."""
    services: dict[str, list[str]] = {}
    containers = output.containers or {
        endpoint.id: f"{endpoint.service.replace('_', '-')}:{endpoint.port}"
        for endpoint in selected(registry, output)
        if endpoint.expect == "bound"
    }
    for id_, container in containers.items():
        endpoint = _named(registry, output, id_)
        name, _colon, inner = container.rpartition(":")
        for address in _published_on(endpoint):
            mapping = f"{address}{endpoint.port}:{inner}"
            mapping += f"/{endpoint.protocol}" if endpoint.protocol != "tcp" else ""
            services.setdefault(name, []).append(mapping)
    lines = [header(registry, output), "services:\n"]
    for name, mappings in services.items():
        lines.append(f"  {name}:\n    ports: !override\n")
        lines += [f'      - "{mapping}"\n' for mapping in mappings]
    return "".join(lines) if services else lines[0] + "services: {}\n"


def _published_on(endpoint: Endpoint) -> list[str]:
    """The addresses before the port of a mapping; only what is public is published on all."""
    if endpoint.addresses:
        return [f"[{a}]:" if ":" in a else f"{a}:" for a in endpoint.addresses]
    return [""] if endpoint.exposure == "public" else [f"{LOOPBACK['ipv4']}:"]


def _env(registry: Registry, output: Output) -> str:
    variables: dict[str, Endpoint] = {}
    for name, id_ in output.variables.items():
        variables[name] = _named(registry, output, id_)
    for endpoint in selected(registry, output) if not output.variables else ():
        name = f"{endpoint.service}_{endpoint.name}_port".upper()
        other = variables.setdefault(name, endpoint)
        if other is not endpoint:
            raise RegistryError(
                f"{shown(registry.file)}: {output.file} would have {name} for {other.id} and for"
                f" {endpoint.id}; name the variables under `variables`"
            )
    rows = [f"{name}={endpoint.port}\n" for name, endpoint in variables.items()]
    return header(registry, output) + "".join(rows)


def _hosts(registry: Registry, output: Output, endpoint: Endpoint) -> t.Sequence[str]:
    group = registry.services[endpoint.service].hosts
    return output.hosts.get(group) or output.hosts.get(ALL_HOSTS) or ["localhost"]


def _cors(registry: Registry, output: Output) -> str:
    origins = [
        f"{'https' if endpoint.probe == 'tls' else 'http'}://{_in_url(host)}:{endpoint.port}"
        for endpoint in selected(registry, output)
        if endpoint.browser_origin
        for host in _hosts(registry, output, endpoint)
    ]
    return _json(list(dict.fromkeys(origins)))


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _vite(registry: Registry, output: Output) -> str:
    """The ports of Vite's two servers; with `strictPort` it doesn't take the next free one."""
    servers = {}
    for key, id_ in (("server", output.server), ("preview", output.preview)):
        if id_ is not None:
            endpoint = _named(registry, output, id_)
            servers[key] = {"port": endpoint.port, "strictPort": True}
    suffix = next((end for end in _SCRIPTS if output.file.endswith(end)), None)
    if suffix is None:
        return _json(servers)
    rows = [
        f"export const {key} = {{ port: {server['port']}, strictPort: true }}{_SCRIPTS[suffix]};\n"
        for key, server in servers.items()
    ]
    return header(registry, output, "//") + "".join(rows)


def _services(registry: Registry, output: Output) -> str:
    """Entries of services(5)."""
    rows = []
    for endpoint in _by_port(registry, output):
        name = f"{endpoint.service}-{endpoint.name}".replace("_", "-")
        port = f"{endpoint.port}/{endpoint.protocol}"
        rows.append(f"{name:<31} {port:<15} # {endpoint.description}\n")
    return header(registry, output) + "".join(rows)


def as_data(registry: Registry, output: Output) -> dict[str, t.Any]:
    """The registry as other tools read it; schemas/export.schema.json describes it."""
    past: dict[str, list[int]] = {}
    for change in registry.changes:
        if change.old is not None and change.old != change.new:
            past.setdefault(change.endpoint, []).append(change.old)
    endpoints = selected(registry, output)
    silent = [
        endpoint
        for endpoint in registry.endpoints.values()
        if endpoint.expect == "silent" and output.environment in (None, *endpoint.environments)
    ]
    return {
        "version": 1,
        "ranges": [
            {"name": span.name, "first": span.first, "last": span.last} for span in registry.ranges
        ],
        "endpoints": [
            {
                **endpoint.as_dict(LINUX),
                "owner": endpoint.owner or {},
                "hosts": registry.services[endpoint.service].hosts,
                "environments": list(endpoint.environments),
                "consumers": list(endpoint.consumers),
                "addresses": list(endpoint.addresses),
                "former_ports": list(dict.fromkeys(past.get(endpoint.id, ()))),
            }
            for endpoint in endpoints
        ],
        "silent": [
            {
                "id": endpoint.id,
                "service": endpoint.service,
                "port": endpoint.port,
                "protocol": endpoint.protocol,
                "status": endpoint.status,
            }
            for endpoint in silent
        ],
    }


def _data(registry: Registry, output: Output) -> str:
    return _json(as_data(registry, output))


def _json(data: t.Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _file_sd(registry: Registry, output: Output) -> str:
    """Targets as Prometheus discovers them in files (file_sd_config)."""
    return _json(
        [
            {
                "targets": [
                    f"{_in_url(host)}:{endpoint.port}"
                    for host in _hosts(registry, output, endpoint)
                ],
                "labels": {
                    "__metrics_path__": endpoint.metrics,
                    "endpoint": endpoint.id,
                    "job": endpoint.service,
                },
            }
            for endpoint in selected(registry, output)
            if endpoint.metrics and endpoint.protocol == "tcp"
        ]
    )


def _openmetrics(registry: Registry, output: Output) -> str:
    """One sample for each endpoint, in the text format of OpenMetrics 1.0."""
    rows = [
        "# TYPE prsnl_port_allocation info\n",
        "# HELP prsnl_port_allocation An endpoint of the port registry.\n",
    ]
    for endpoint in _by_port(registry, output):
        labels = {
            "endpoint": endpoint.id,
            "exposure": endpoint.exposure,
            "port": endpoint.port,
            "protocol": endpoint.protocol,
            "service": endpoint.service,
            "status": endpoint.status,
        }
        text = ",".join(f'{name}="{value}"' for name, value in labels.items())
        rows.append(f"prsnl_port_allocation_info{{{text}}} 1\n")
    return "".join([*rows, "# EOF\n"])


def _guide(registry: Registry, output: Output) -> str:
    return guide(registry, source_of(registry, output))


FORMATS: t.Final[dict[str, t.Callable[[Registry, Output], str]]] = {
    "compose": _compose,
    "env": _env,
    "cors": _cors,
    "vite": _vite,
    "services": _services,
    "json": _data,
    "file_sd": _file_sd,
    "openmetrics": _openmetrics,
    "guide": _guide,
}
