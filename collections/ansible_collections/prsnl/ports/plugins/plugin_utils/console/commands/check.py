# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ports check`"""

from __future__ import annotations

import argparse

from ansible_collections.prsnl.ports.plugins.plugin_utils.console import output, reading
from ansible_collections.prsnl.ports.plugins.plugin_utils.references import scan, tree
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.judge import AMBIGUOUS, STALE


def add(parser: argparse.ArgumentParser) -> None:
    """Where to look, and what to leave out."""
    parser.add_argument("path", nargs="*", default=["."], help="files or folders, else this folder")
    parser.add_argument("--exclude", action="append", default=[], help="a pattern as in .gitignore")


def run(args: argparse.Namespace) -> int:
    """Prints every number of the past, and as warnings what is ambiguous; 1 if one is stale."""
    try:
        root, only = scan.located(args.path)
        found = scan.scan(reading.registry(args), root, only, args.exclude, ())
    except tree.TreeError as error:
        raise OSError(None, str(error)) from None
    stale = output.findings_in(map(str, found.of(STALE)))
    unsure = output.findings_in(map(str, found.of(AMBIGUOUS)), level="warning")
    output.findings([*stale, *unsure], args.format)
    return 1 if stale else 0
