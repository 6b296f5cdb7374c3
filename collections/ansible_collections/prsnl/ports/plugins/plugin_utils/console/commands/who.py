# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ports who 8010`"""

from __future__ import annotations

import argparse
import dataclasses

from ansible_collections.prsnl.ports.plugins.plugin_utils.console import output, reading
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance.uses import PROTOCOLS


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("port", type=reading.port, metavar="PORT", help="such as 8010")
    parser.add_argument("--protocol", choices=PROTOCOLS, help="by default both")


def run(args: argparse.Namespace) -> int:
    """Prints every use, past ones too; 1 if there is none."""
    uses = reading.uses(args)
    protocols = (args.protocol,) if args.protocol else PROTOCOLS
    found = [use for protocol in protocols for use in uses.of(args.port, protocol)]
    text = "\n".join(map(str, found))
    data = [dataclasses.asdict(use) for use in found]
    if not found:
        around = [str(r) for r in uses.registry.ranges if r.first <= args.port <= r.last]
        text = f"{args.port} is nobody's, {'in ' + around[0] if around else 'outside all ranges'}"
    output.answer(text, data, args.format)
    return 0 if found else 1
