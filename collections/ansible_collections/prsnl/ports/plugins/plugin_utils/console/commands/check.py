# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ports check .`"""

from __future__ import annotations

import argparse

from ansible_collections.prsnl.ports.plugins.plugin_utils.console import output, scanning
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.judge import STALE


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    scanning.add(parser)


def run(args: argparse.Namespace) -> int:
    """Prints every number of the past, and as warnings what is ambiguous; 1 if one is stale."""
    tree = scanning.found(args)
    stale = [scanning.finding(tree, reference) for reference in tree.of(STALE)]
    output.findings([*stale, *scanning.unsure(tree)], args.format)
    return 1 if stale else 0
