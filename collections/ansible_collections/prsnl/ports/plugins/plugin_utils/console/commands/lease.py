# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ports lease 8090 --hosts application --holder node --until 4h --reason ...`"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.console import changing, output, reading
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance import change, leasing
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import leases


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument(
        "port", nargs="?", type=reading.port, metavar="PORT", help="without it, all are listed"
    )
    parser.add_argument(
        "--hosts", help="a host or a group; only needed where the port is lent more than once"
    )
    parser.add_argument("--protocol", choices=("tcp", "udp"), default="tcp")
    parser.add_argument(
        "--holder",
        action="append",
        default=[],
        metavar="[KEY=]VALUE",
        help="who uses it: the name of a process, or user=... or unit=...; may be repeated",
    )
    parser.add_argument("--reason", default="", help="what for")
    what = parser.add_mutually_exclusive_group()
    end = "a day, a time with its zone such as 2026-11-26T18:00Z, or a duration such as 4h or 2d"
    what.add_argument("--until", metavar="END", default="", help=f"lend it until {end}")
    what.add_argument("--extend", metavar="END", default="", help="let it end later")
    what.add_argument("--end", action="store_true", help="end it now")
    changing.add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Changes or lists leases."""
    file = leases.beside(reading.path(args))
    if args.port is None:
        return _list(file, args)
    state = "extended" if args.extend else "absent" if args.end else "present"
    request = leasing.Request(
        state,
        args.port,
        hosts=args.hosts or _hosts(file, args),
        protocol=args.protocol,
        holder=changing.values(args.holder, bare="process"),
        reason=args.reason,
        expires=args.extend or args.until,
    )
    edit = functools.partial(_edit, file=file, request=request, args=args)
    purpose = f"ports {args.command} {args.port}"
    outcome = change.make(file, reading.path(args), purpose, edit, write=not args.dry_run)
    state = "lent" if state != "absent" else "given back"
    return changing.report(outcome, f"{args.port}/{args.protocol} is {state}", args)


def _edit(
    source: bytes | None, file: str, request: leasing.Request, args: argparse.Namespace
) -> change.Change:
    return leasing.lease(source, file, reading.registry(args), request, now=reading.now())


def _hosts(file: str, args: argparse.Namespace) -> str:
    """The hosts of the only lease of a port."""
    key = (args.protocol, args.port)
    found = {lease.hosts for lease in reading.lent(file) if lease.key[1:] == key}
    if len(found) == 1:
        return found.pop()
    raise change.RefusedError(f"found no --hosts, allowed is a host or a group for {args.port}")


def _list(file: str, args: argparse.Namespace) -> int:
    """Prints all leases; 1 if one has ended."""
    now = reading.now()
    found = reading.lent(file)
    rows = [f"{x.port}/{x.protocol} {x.state(now)} ({x.where})" for x in found]
    data: list[dict[str, t.Any]] = [
        {**dataclasses.asdict(x), "end": x.end.isoformat(), "ended": x.has_ended(now)}
        for x in found
    ]
    output.answer("\n".join(rows) or "nothing is lent", data, args.format)
    return 1 if any(x.has_ended(now) for x in found) else 0
