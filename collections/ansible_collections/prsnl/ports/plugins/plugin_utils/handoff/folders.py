# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handoffs on disk: a folder for each, and none of them is ever written over by another one."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.evidence import Plain, load

EVIDENCE: t.Final = "evidence.json"
_NAME: t.Final = re.compile(r"(\d{4}-\d{2}-\d{2})-[0-9a-f]{12}(?:-\d+)?")
_SHORTEST_SECRET: t.Final = 8
_LARGEST_SECRET: t.Final = 1 << 16
HIDDEN: t.Final = "[secret]"


def digest(text: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(text).hexdigest()


def folder_of(base: str, evidence: Plain, text: str) -> str:
    """The folder of a handoff: `<date>-<registry hash>`, with a number if another one has that."""
    name = f"{evidence['generated'][:10]}-{evidence['registry']['sha256'][:12]}"
    number = 1
    while True:
        folder = os.path.join(base, name if number == 1 else f"{name}-{number}")
        try:
            with open(os.path.join(folder, EVIDENCE), encoding="utf-8") as file:
                if file.read() == text:
                    return folder
        except OSError:
            if not os.path.exists(folder):
                return folder
        number += 1


def last_before(base: str, generated: str) -> str | None:
    """The evidence file of the last handoff below a folder that is older than a time."""
    by_day: dict[str, list[str]] = {}
    try:
        names = os.listdir(base)
    except OSError:
        return None
    for name in names:
        match = _NAME.fullmatch(name)
        file = os.path.join(base, name, EVIDENCE)
        if match and match[1] <= generated[:10] and os.path.isfile(file):
            by_day.setdefault(match[1], []).append(file)
    for _day, files in sorted(by_day.items(), reverse=True):
        older = [(time, file) for file in files if (time := _time_of(file)) < generated]
        if older:
            return max(older)[1]
    return None


def _time_of(file: str) -> str:
    """When a handoff was made; a time after all others if the file isn't one."""
    try:
        with open(file, "rb") as stream:
            return str(json.load(stream)["generated"])
    except (OSError, ValueError, KeyError, TypeError):
        return "9999"


def read(file: str) -> tuple[Plain, bytes]:
    """Evidence and its text. Raises RegistryError or OSError."""
    with open(file, "rb") as stream:
        text = stream.read()
    return load(text, file), text


def write(folder: str, files: t.Mapping[str, str], *, simulate: bool) -> list[str]:
    """Write the files that are not there with that content, each in one step; returns their names.

    Raises OSError.
    """
    changed = []
    for name, text in files.items():
        path = os.path.join(folder, name)
        data = text.encode("utf-8", errors="backslashreplace")
        try:
            with open(path, "rb") as file:
                if file.read() == data:
                    continue
        except FileNotFoundError:
            pass
        changed.append(name)
        if simulate:
            continue
        os.makedirs(folder, mode=0o755, exist_ok=True)
        handle, staged = tempfile.mkstemp(prefix=f".{name}-", dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), 0o644)
            os.replace(staged, path)
        except BaseException:
            os.unlink(staged)
            raise
    return changed


def secrets_below(folders: t.Iterable[str]) -> list[str]:
    """Every line of the files of folders that is long enough to be a secret, longest first."""
    found: set[str] = set()
    for folder in folders:
        for parent, _folders, names in os.walk(folder):
            for name in names:
                path = os.path.join(parent, name)
                try:
                    if os.path.getsize(path) > _LARGEST_SECRET:
                        continue
                    with open(path, encoding="utf-8", errors="replace") as file:
                        lines = file.read().splitlines()
                except OSError:
                    continue
                found |= {line.strip() for line in lines if "-----" not in line}
    return sorted((line for line in found if len(line) >= _SHORTEST_SECRET), key=len, reverse=True)


def without(text: str, secrets: t.Iterable[str]) -> str:
    """A JSON text without any of the secrets."""
    for secret in secrets:
        text = text.replace(json.dumps(secret)[1:-1], HIDDEN)
    return text
