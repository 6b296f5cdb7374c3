# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ports sync .`, `ports sync --check --diff .`"""

from __future__ import annotations

import argparse
import dataclasses

from ansible_collections.prsnl.ports.plugins.plugin_utils.console import output, scanning
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.judge import STALE


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    scanning.add(parser)
    parser.add_argument("--check", action="store_true", help="only say what would be rewritten")
    parser.add_argument("--diff", action="store_true", help="show the lines that change")


def run(args: argparse.Namespace) -> int:
    """Rewrites the numbers of the past that have a successor, and says which.

    1 if one is left: with `--check` every one, else those that have no successor.
    """
    tree = scanning.found(args)
    changes = tree.changes()
    if changes and not args.check:
        tree.rewrite(changes)
    told = []
    for reference in tree.of(STALE):
        finding = scanning.finding(tree, reference)
        if reference.use and not args.check:
            text = f"{finding.message}; rewritten"
            finding = dataclasses.replace(finding, message=text, level="notice")
        elif not reference.use:
            text = f"{finding.message}; it has no successor to write"
            finding = dataclasses.replace(finding, message=text)
        told.append(finding)
    if args.diff and args.format == "text":
        print(scanning.diffs(tree, changes), end="")
    output.findings([*told, *scanning.unsure(tree)], args.format)
    return 1 if any(finding.level == "error" for finding in told) else 0
