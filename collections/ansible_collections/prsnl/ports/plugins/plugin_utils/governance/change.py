# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the changes of registry and leases have in common: the transaction, and who makes it."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import editor, store
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import RegistryError

Groups = t.Mapping[str, t.Collection[str]]

ALL_HOSTS: t.Final = "all"


class RefusedError(RegistryError):
    """A change that the rules don't allow; nothing was changed."""


@dataclasses.dataclass
class Change:
    """What a request comes to: the file's text after it, and what is to be said of it."""

    after: bytes
    port: int
    warnings: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was done to a file, or would be; `before` is empty if it was made."""

    file: str
    before: bytes
    change: Change

    @property
    def changed(self) -> bool:
        """Whether the file differs."""
        return self.change.after != self.before

    @property
    def diff(self) -> str:
        """The change as `diff -u` shows it; empty if there is none."""
        return editor.unified_diff(self.before, self.change.after, self.file)


def make(
    file: str,
    registry_file: str,
    purpose: str,
    request: t.Callable[[bytes | None], Change],
    *,
    write: bool,
) -> Outcome:
    """Changes a registry or its leases as a request says, while nobody else changes either.

    `request` gets the text, None if there is no file. Without `write` nothing is written and no
    lock is taken. Raises RegistryError; the file is as it was then.
    """
    if not write:
        before = store.read(file)
        return Outcome(file, before or b"", request(before))
    with store.locked(file, purpose, guard=registry_file) as held:
        before = held.source
        change = request(before)
        if change.after != (before or b""):
            held.replace(change.after)
        return Outcome(file, before or b"", change)


def author(file: str) -> str:
    """Who changes a file: the name that git would give a commit there, else the user's."""
    name = os.environ.get("GIT_AUTHOR_NAME", "")
    if not name:
        command = ["git", "-C", os.path.dirname(os.path.realpath(file)), "config", "user.name"]
        try:
            name = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        except OSError:
            name = ""
    return " ".join(name.split()) or store.user_name()


def overlap(one: str, other: str, known: t.Collection[str], groups: Groups | None) -> bool:
    """Whether two groups or hosts may have a host in common.

    `groups` are those of the inventory with their hosts. Without an inventory two different groups
    that the registry has, `known`, are taken to be apart, as its rules do; anything else may be one
    and the same.
    """
    if ALL_HOSTS in (one, other) or one == other:
        return True
    if groups is None:
        return one not in known or other not in known
    return bool({*groups.get(one, [one])} & {*groups.get(other, [other])})
