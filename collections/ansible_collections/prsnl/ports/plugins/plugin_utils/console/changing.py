# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What commands that change the registry or the leases have in common."""

from __future__ import annotations

import argparse
import functools
import sys
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.console import output, reading
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance import allocation, change
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import leases
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    source as yaml_source,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import found


def add_record(parser: argparse.ArgumentParser) -> None:
    """The arguments of what is written into the history."""
    parser.add_argument("--reason", default="", help="why; critical and fixed endpoints need one")
    parser.add_argument("--what", default="", help="what, for the history; else it is told")
    parser.add_argument("--by", default="", help="who; else git's user.name, or the user")


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """The argument for trying."""
    parser.add_argument("--dry-run", action="store_true", help="only show what would change")


def values(pairs: t.Iterable[str], bare: str = "") -> dict[str, t.Any]:
    """The values of words KEY=VALUE; a VALUE is YAML, and a KEY that comes again makes a list.

    A word without = is the value of the key `bare`.
    """
    data: dict[str, t.Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            key, text = bare, pair
        value, faults = yaml_source.parse(text.encode())
        if not key or faults:
            raise change.RefusedError(f"found {found(pair)}, allowed is KEY=VALUE")
        if key in data:
            first = data[key]
            value = [*(first if isinstance(first, list) else [first]), value]
        data[key] = value
    return data


def allocate(args: argparse.Namespace, request: allocation.Request) -> int:
    """Changes the registry and prints how."""
    file = reading.path(args)
    outcome = change.make(
        file,
        file,
        f"ports {args.command} {request.endpoint}",
        functools.partial(_allocate, file=file, request=request),
        write=not args.dry_run,
    )
    return report(outcome, f"{request.endpoint} has {outcome.change.port}", args)


def _allocate(source: bytes | None, file: str, request: allocation.Request) -> change.Change:
    around = allocation.Circumstances(leases.read(leases.beside(file)), reading.now())
    return allocation.allocate(reading.existing(source, file), file, request, around)


def report(outcome: change.Outcome, text: str, args: argparse.Namespace) -> int:
    """Prints what was changed, or would be."""
    for warning in outcome.change.warnings:
        output.findings([output.Finding(warning, level="warning")], "text", to=sys.stderr)
    data = {
        "changed": outcome.changed,
        "port": outcome.change.port,
        "file": outcome.file,
        "diff": outcome.diff,
        "warnings": outcome.change.warnings,
    }
    state = "" if outcome.changed else ", as before"
    if args.dry_run and outcome.changed:
        state = " if it is done without --dry-run"
    output.answer(f"{outcome.diff}{text}{state}", data, args.format)
    return 0
