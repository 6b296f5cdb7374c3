# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ports retire frontend.legacy --reason ...`"""

from __future__ import annotations

import argparse

from ansible_collections.prsnl.ports.plugins.plugin_utils.console import changing, reading
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance import allocation, change


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("endpoint", metavar="ENDPOINT", help="service.name")
    changing.add_record(parser)
    changing.add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Retires an endpoint; one that is retired stays so."""
    return changing.allocate(
        args,
        allocation.Request(
            "absent",
            args.endpoint,
            reason=args.reason,
            what=args.what,
            by=args.by or change.author(reading.path(args)),
        ),
    )
