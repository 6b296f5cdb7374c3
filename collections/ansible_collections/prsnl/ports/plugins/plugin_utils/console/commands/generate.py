# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ports generate`"""

from __future__ import annotations

import argparse

from ansible_collections.prsnl.ports.plugins.plugin_utils.console import output, reading
from ansible_collections.prsnl.ports.plugins.plugin_utils.outputs import steps
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import shown


def add(parser: argparse.ArgumentParser) -> None:
    """Whether to write."""
    parser.add_argument("--check", action="store_true", help="only say what is out of step")


def run(args: argparse.Namespace) -> int:
    """Writes what is out of step and says so; with `--check` only says it, and 1."""
    behind = [file for file in steps.generated(reading.registry(args)) if not file.in_step]
    if args.check:
        output.findings(output.findings_in(map(str, behind)), args.format)
        return 1 if behind else 0
    steps.write(behind)
    if behind or args.format == "json":
        rows = [shown(file.path) for file in behind]
        output.answer("\n".join(rows), [file.path for file in behind], args.format)
    return 0
