# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ports allocate thumbnailer.http --exposure internal --consumers backend --reason ...`"""

from __future__ import annotations

import argparse

from ansible_collections.prsnl.ports.plugins.plugin_utils.console import changing, reading
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance import allocation, change


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("endpoint", metavar="ENDPOINT", help="service.name")
    parser.add_argument("--port", type=reading.port, help="else the next free one of the range")
    parser.add_argument("--status", help=f"by default {allocation.STATUS}")
    parser.add_argument("--exposure", choices=("host", "internal", "public"))
    parser.add_argument("--consumers", help="who may reach it if internal, with commas between")
    parser.add_argument("--description")
    parser.add_argument("--protocol", choices=("tcp", "udp"))
    parser.add_argument("--exception", help="why the port may lie outside the service's range")
    parser.add_argument(
        "--reuse", action="store_true", help="take a port that was retired or that somebody left"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another key of the endpoint, such as metrics=/metrics",
    )
    parser.add_argument(
        "--service",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a key of a new service, such as hosts=backend or 'owner={process: node}'",
    )
    changing.add_record(parser)
    changing.add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Allocates it; an endpoint that is there already keeps its port."""
    definition = changing.values(args.set)
    for key in ("exposure", "description", "protocol"):
        if getattr(args, key) is not None:
            definition[key] = getattr(args, key)
    if args.consumers is not None:
        definition["consumers"] = args.consumers.split(",")
    return changing.allocate(
        args,
        allocation.Request(
            "present",
            args.endpoint,
            port=args.port,
            status=args.status,
            reason=args.reason,
            what=args.what,
            by=args.by or change.author(reading.path(args)),
            reuse=args.reuse,
            exception=args.exception,
            definition=definition,
            service=changing.values(args.service),
        ),
    )
