# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ports move postgresql.sql 5434 --reason ...`"""

from __future__ import annotations

import argparse

from ansible_collections.prsnl.ports.plugins.plugin_utils.console import changing, reading
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance import allocation, change


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("endpoint", metavar="ENDPOINT", help="service.name")
    parser.add_argument("port", nargs="?", type=reading.port, metavar="PORT", help="its new port")
    parser.add_argument("--status", help="its new status")
    parser.add_argument("--exception", help="why the port may lie outside the service's range")
    parser.add_argument(
        "--reuse", action="store_true", help="take a port that was retired or that somebody left"
    )
    changing.add_record(parser)
    changing.add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Gives an endpoint another port or status."""
    return changing.allocate(
        args,
        allocation.Request(
            "changed",
            args.endpoint,
            port=args.port,
            status=args.status,
            reason=args.reason,
            what=args.what,
            by=args.by or change.author(reading.path(args)),
            reuse=args.reuse,
            exception=args.exception,
        ),
    )
