# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ports history-check --base main`"""

from __future__ import annotations

import argparse
import os

from ansible_collections.prsnl.ports.plugins.plugin_utils.console import output, reading
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance import history
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance.revisions import (
    GitError,
    Revisions,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    source as yaml_source,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    RegistryError,
    dotted,
    shown,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import Registry


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument(
        "--base",
        # Set by `pre-commit run --from-ref`, and for a push.
        default=os.environ.get("PRE_COMMIT_FROM_REF") or "HEAD",
        metavar="REV",
        help="compare with where this branch left that commit or branch (%(default)s)",
    )
    parser.add_argument(
        "--staged",
        action="store_true",
        help="check what is going to be committed instead of the file",
    )


def run(args: argparse.Namespace) -> int:
    """Prints what has no entry, and entries that were changed; 1 if there is any."""
    file = reading.path(args)
    revisions = Revisions(file)
    source = revisions.staged() if args.staged else _read(file)
    if source is None:
        raise GitError(f"{shown(file)}: isn't going to be committed; git add it")
    found = [
        output.at(file, yaml_source.lines(source), breach.path, f"{dotted(breach.path)}: {breach}")
        for breach in _breaches(revisions, source, file, args)
    ]
    known = {finding.line for finding in found}
    try:
        load.parse(source, file)
    except RegistryError as error:
        # What was said about a place says already what to do.
        found += [one for one in output.findings_of(error) if one.line not in known]
    output.findings(sorted(found, key=lambda one: one.line), args.format)
    return 1 if found else 0


def _breaches(
    revisions: Revisions, source: bytes, file: str, args: argparse.Namespace
) -> list[history.Breach]:
    data = yaml_source.parse(source)[0]
    if data is None:
        return []
    after = Registry.from_data(data, file, source)
    # The first commit has nothing before it.
    bases = [] if args.base == "HEAD" and revisions.commit("HEAD") is None else [args.base]
    commits = [(base, revisions.fork(base)) for base in bases]
    if args.staged:
        commits += [(commit[:12], commit) for commit in revisions.merged()]
    found: dict[history.Breach, None] = {}
    for name, commit in commits:
        before = _registry_at(revisions, commit, file)
        if before is not None:
            found.update(dict.fromkeys(history.breaches(before, after, name)))
    return list(found)


def _read(file: str) -> bytes:
    with open(file, "rb") as stream:
        return stream.read()


def _registry_at(revisions: Revisions, commit: str, file: str) -> Registry | None:
    """The registry in a commit; if it can't be read there, in the last one in which it can."""
    for candidate in (commit, *revisions.commits(commit)):
        source = revisions.content(candidate)
        data = yaml_source.parse(source)[0] if source is not None else None
        if data is not None:
            return Registry.from_data(data, file, source or b"")
    return None
