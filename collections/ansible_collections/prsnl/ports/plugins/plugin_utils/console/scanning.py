# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What commands that look at a source tree have in common."""

from __future__ import annotations

import argparse
import os
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.console import output, reading
from ansible_collections.prsnl.ports.plugins.plugin_utils.references import scan
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.judge import AMBIGUOUS
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import shown


def add(parser: argparse.ArgumentParser) -> None:
    """Where to look, and what to leave out."""
    parser.add_argument("path", nargs="*", default=["."], help="files or a folder, else this one")
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="what to leave out, as in .gitignore; may be repeated",
    )
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name or address of a host that the registry is for; may be repeated",
    )


def found(args: argparse.Namespace) -> scan.Scan:
    """Every port number there. Raises RegistryError."""
    root, only = scan.located(args.path)
    return scan.scan(reading.registry(args), root, only, args.exclude, args.host)


def finding(tree: scan.Scan, reference: scan.Reference, level: str = "error") -> output.Finding:
    """What is said of a number, with its place as seen from here."""
    file = _shown(tree, reference.file)
    return output.Finding(reference.message, file, reference.line, level=level)


def unsure(tree: scan.Scan) -> list[output.Finding]:
    """The numbers that a person has to settle."""
    return [finding(tree, one, "warning") for one in tree.of(AMBIGUOUS)]


def diffs(tree: scan.Scan, changes: t.Iterable[scan.Change]) -> str:
    """The changes as unified diffs, with the paths as seen from here."""
    return "".join(scan.Change(_shown(tree, c.file), c.before, c.after).diff() for c in changes)


def _shown(tree: scan.Scan, file: str) -> str:
    """A file as seen from here, or else from the folder that was named."""
    seen = shown(os.path.join(tree.root, file))
    return file if os.path.isabs(seen) else seen
