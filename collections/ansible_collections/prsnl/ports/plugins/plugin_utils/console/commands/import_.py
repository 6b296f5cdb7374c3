# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ports import guide.md`, `ports import compose.yml`, `ansible ... | ports import -`"""

from __future__ import annotations

import argparse
import pathlib
import sys

from ansible_collections.prsnl.ports.plugins.plugin_utils.console import output
from ansible_collections.prsnl.ports.plugins.plugin_utils.drafts import sources


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument(
        "path",
        nargs="+",
        metavar="FILE",
        help="a guide in Markdown, Compose files, or what listening_ports_info told of a host; - is"
        " the standard input",
    )
    parser.add_argument(
        "--kind", choices=sources.KINDS, help="what it is, where the content doesn't tell"
    )
    parser.epilog = (
        "The draft goes to the standard output, what a person has to settle to the standard error."
        " Sockets of a host: ansible HOST -b -m prsnl.ports.listening_ports_info | ports import -"
    )


def run(args: argparse.Namespace) -> int:
    """Prints the draft of a registry; 1 if something about it isn't settled."""
    draft = sources.read({path: _content(path) for path in args.path}, args.kind)
    unsettled = output.findings_in(map(str, draft.unsettled), level="warning")
    faults = output.findings_in(draft.faults())
    data = {
        "registry": draft.data,
        "unsettled": [finding.as_dict() for finding in unsettled],
        "faults": [finding.as_dict() for finding in faults],
    }
    output.answer(draft.text().rstrip("\n"), data, args.format)
    if args.format != "json":
        output.findings([*unsettled, *faults], args.format, to=sys.stderr)
    return 1 if unsettled or faults else 0


def _content(path: str) -> bytes:
    return sys.stdin.buffer.read() if path == "-" else pathlib.Path(path).read_bytes()
