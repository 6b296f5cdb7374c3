# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ports free backend`, `ports free 8010`"""

from __future__ import annotations

import argparse

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.plugin_utils.console import output, reading
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance import uses as governance


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument(
        "range", metavar="RANGE", help="a range of the registry, FIRST-LAST, or one port"
    )
    parser.add_argument("--protocol", choices=governance.PROTOCOLS, default="tcp")


def run(args: argparse.Namespace) -> int:
    """Prints the free ports of a range; 1 if there are none."""
    uses = reading.uses(args)
    span = governance.span_of(uses.registry, args.range)
    free = list(uses.free(span, args.protocol))
    shown = [
        str(first) if first == last else f"{first}-{last}" for first, last in governance.spans(free)
    ]
    label = str(span) if any(span == known for known in uses.registry.ranges) else args.range
    if span.first == span.last:
        port = f"{span.first}/{args.protocol}"
        used = uses.of(span.first, args.protocol)
        text = f"{port} is free" if free else "\n".join(map(str, used))
    elif free:
        text = f"{free[0]} is the next free one of {label}; free are {listed(shown)}"
    else:
        text = f"no port of {label} is free"
    data = {"range": [span.first, span.last], "protocol": args.protocol, "free": free}
    output.answer(text, data, args.format)
    return 0 if free else 1
