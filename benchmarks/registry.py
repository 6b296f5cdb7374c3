#!/usr/bin/env python3
"""Loading and validating a registry of 10,000 services in a whole play, in two ways.

Ours is the vars plugin with its schema and its rules, and a query. The other is what a playbook
does without it: include_vars and two assertions in Jinja, that no port is taken twice and that all
ports lie in their range. Both read the same file, one after the other. Both times and their ratio
are printed, and how ours grows with the number of services.

Usage: registry.py [number of services]
"""

from __future__ import annotations

import pathlib
import sys
import tempfile
from typing import Any

from shared.plays import play_seconds

SERVICES = 10_000
GOAL = 0.20
# Services share the ports of a range, so they need several groups to be placed on.
FIRST, LAST = 10_000, 59_999
GROUPS = 10

PORTS = (
    "{{ services.values() | map(attribute='endpoints.http.port')"
    " | zip(services.values() | map(attribute='hosts')) | map('join', ' ') }}"
)
PLAYS: dict[str, list[dict[str, Any]]] = {
    "ours": [
        {"prsnl.ports.registry_info": {"query": "length(services)"}, "register": "info"},
        {"ansible.builtin.assert": {"that": "info.result == expected | int"}},
    ],
    "include_vars": [
        {"ansible.builtin.include_vars": {"file": "{{ registry }}"}},
        {
            "ansible.builtin.assert": {"that": "ports | unique | length == expected | int"},
            "vars": {"ports": PORTS},
        },
        {
            "ansible.builtin.assert": {
                "that": [
                    "services.values() | map(attribute='endpoints.http.port')"
                    f" | reject('ge', {FIRST}) | length == 0",
                    "services.values() | map(attribute='endpoints.http.port')"
                    f" | reject('le', {LAST}) | length == 0",
                ]
            }
        },
    ],
}


def write_registry(path: pathlib.Path, number: int) -> None:
    """A valid registry of generated services."""
    changes, services = [], []
    for index in range(number):
        port = FIRST + index // GROUPS
        services.append(
            f"  service_{index}:\n"
            f"    description: Generated service number {index}\n"
            f"    hosts: group_{index % GROUPS}\n"
            "    environments: [production]\n"
            "    range: generated\n"
            f"    owner: {{process: service{index}, user: service, unit: service{index}.service}}\n"
            "    endpoints:\n"
            "      http:\n"
            "        description: What it offers to its neighbour\n"
            f"        port: {port}\n"
            "        status: fixed\n"
            "        exposure: internal\n"
            f"        consumers: [service_{(index + 1) % number}]\n"
            "        probe: http\n"
            "        metrics: /metrics\n"
        )
        changes.append(f"      - {{endpoint: service_{index}.http, to: {port}, status: fixed}}\n")
    path.write_text(
        "version: 1\nenvironments:\n  production: Generated\ngroups:\n"
        + "".join(f"  group_{index}: Generated\n" for index in range(GROUPS))
        + f"ranges:\n  generated: {{ports: {FIRST}-{LAST}, purpose: Generated}}\nservices:\n"
        + "".join(services)
        + "history:\n  - date: 2026-01-01\n    what: Generated\n    why: To measure\n"
        + "    by: benchmarks/registry.py\n    changes:\n"
        + "".join(changes),
        encoding="utf-8",
    )


def seconds(path: pathlib.Path, way: str, number: int) -> float:
    """How long the play of a way takes with a registry."""
    plugins = "host_group_vars" + (",prsnl.ports.registry" if way == "ours" else "")
    settings = f"vars_plugins_enabled = {plugins}\n[port_registry]\npath = {path}\n"
    return play_seconds(PLAYS[way], settings=settings, expected=number, registry=str(path))


def main() -> int:
    """Measures, prints, and returns 1 if the goal is missed."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else SERVICES
    with tempfile.TemporaryDirectory() as name:
        path = pathlib.Path(name, "ports.yml")
        growth = []
        for part in (number // 10, number // 5, number // 2, number):
            write_registry(path, part)
            growth.append((part, seconds(path, "ours", part)))
        ours = growth[-1][1]
        other = seconds(path, "include_vars", number)
    ratio = ours / other
    print(f"{number} services in a whole play, loaded and validated:")
    print(f"  prsnl.ports.registry with registry_info  {ours:6.1f} s")
    print(f"  include_vars with two assertions         {other:6.1f} s")
    print(f"  ratio                                    {ratio:6.2f}   (goal: at most {GOAL})")
    print("  growth: " + ", ".join(f"{part}: {took:.1f} s" for part, took in growth))
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
