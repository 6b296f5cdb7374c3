# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was rendered on a host for each unit, as it is remembered there."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import sys
import typing as t
from dataclasses import asdict, dataclass, field

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed, printable

# What outlives a reboot.
DIRECTORY = "/var/db/prsnl-ports" if sys.platform == "darwin" else "/var/lib/prsnl-ports"
VERSION = 1
# How many lines are told of a file that was edited by hand, and how much of each.
TOLD_LINES = 5
TOLD_WIDTH = 100


@dataclass(frozen=True)
class Manifest:
    """The rendered configuration of a unit.

    `applied` is false from before the files are replaced until the unit has read them. `files`
    has the SHA-256 of each rendered file in hexadecimal digits, `endpoints` what they were rendered
    for: `port`, `protocol` and `listen` by endpoint. `parts` has what the unit was started with:
    the versions of packages and the checksums of downloads; None where nobody noted them.
    """

    unit: str
    applied: bool = False
    files: t.Mapping[str, str] = field(default_factory=dict)
    endpoints: t.Mapping[str, t.Mapping[str, t.Any]] = field(default_factory=dict)
    parts: t.Optional[t.Mapping[str, str]] = None

    def as_text(self) -> str:
        """Return the JSON text of the file."""
        return json.dumps({"version": VERSION, **asdict(self)}, indent=1, sort_keys=True) + "\n"


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file's content in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def manifest_path(unit: str, directory: str = DIRECTORY) -> str:
    """Return the path of a unit's manifest."""
    return os.path.join(directory, f"{unit}.json")


def read_manifest(path: str) -> t.Optional[Manifest]:
    """Return a manifest; None if there is none, or it isn't one of this version.

    :raises OSError: the file is there and can't be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        if data.pop("version") != VERSION:
            return None
        return Manifest(**data)
    except (FileNotFoundError, AttributeError, KeyError, TypeError, ValueError):
        return None


def read_manifests(directory: str = DIRECTORY) -> list[Manifest]:
    """Return the manifests of a host, by the names of their units.

    :raises OSError: a manifest is there and can't be read.
    """
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(".json"))
    except FileNotFoundError:
        return []
    found = (read_manifest(os.path.join(directory, name)) for name in names)
    return [manifest for manifest in found if manifest is not None]


def hand_edit(
    manifest: t.Optional[Manifest],
    path: str,
    found: t.Optional[bytes],
    wanted: t.Optional[bytes],
    *,
    is_shown: bool,
) -> str:
    """Return what is said of a file that somebody else than a run has changed; nothing if nobody.

    Which lines somebody wrote isn't known, as only a digest of the file is: those are told that
    what replaces it hasn't got.

    :param found: the content that there is.
    :param wanted: the content that replaces it; None if it is removed.
    :param is_shown: whether its lines may be told.
    """
    # One that was cut off has noted what it may not have written.
    if manifest is None or not manifest.applied or found is None or found == wanted:
        return ""
    rendered = manifest.files.get(path)
    if rendered is None or rendered == digest(found):
        return ""
    end = "Put what is to stay into the role's variables"
    begin = f"{path} was edited by hand since it was rendered, and is"
    if wanted is None:
        return f"{begin} removed. {end}"
    lines = lost_lines(found, wanted) if is_shown else []
    told = [f"{number} ({printable(text[:TOLD_WIDTH])})" for number, text in lines[:TOLD_LINES]]
    if len(lines) > TOLD_LINES:
        told.append(f"{len(lines) - TOLD_LINES} more")
    what = f", without its lines {listed(told)}" if told else ""
    return f"{begin} rendered again{what}. {end}"


def lost_lines(found: bytes, wanted: bytes) -> list[tuple[int, str]]:
    """Return the lines of a text that another one hasn't got there, with their numbers."""
    before, after = (data.decode(errors="replace").splitlines() for data in (found, wanted))
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    return [
        (number + 1, before[number].strip())
        for kind, start, end, _start, _end in matcher.get_opcodes()
        if kind in ("delete", "replace")
        for number in range(start, end)
        if before[number].strip()
    ]
