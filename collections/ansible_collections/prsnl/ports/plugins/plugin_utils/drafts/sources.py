# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A draft of a registry from whatever there is: each source is read as what it is."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.drafts import (
    compose,
    exported,
    listeners,
    written,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.drafts.draft import Draft
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.documents import Document
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    RegistryError,
    shown,
)

KINDS: t.Final = ("guide", "compose", "listeners")
_TABLE: t.Final = re.compile(r"^\|(?:[ \t]*:?-+:?[ \t]*\|)+[ \t]*$", re.MULTILINE)
_COMPOSE: t.Final = re.compile(r"^(?:services|include)[ \t]*:", re.MULTILINE)


def read(contents: t.Mapping[str, bytes], kind: str | None = None) -> Draft:
    """The draft that sources give, by path; `kind` says what they are where that can't be seen.

    Raises RegistryError if they aren't of one kind, or can't be read as what they are.
    """
    texts = {path: _text(path, data) for path, data in contents.items()}
    kinds = {path: kind or _kind(path, text) for path, text in texts.items()}
    (first, what), *others = kinds.items()
    for path, other in others:
        if other != what:
            raise RegistryError(
                f"{shown(path)}:1: found {_SAID[other]} beside {_SAID[what]} ({shown(first)}),"
                " allowed are sources of one kind; import one after the other"
            )
        if what != "compose":
            raise RegistryError(
                f"{shown(path)}:1: found another one of {_SAID[what]}, allowed is one at a time"
            )
    if what == "compose":
        return compose.read(texts)
    if what == "listeners":
        return listeners.read(texts[first], first)
    if exported.is_exported(texts[first]):
        return Draft(exported.read(texts[first], first))
    return written.read(texts[first], first)


_SAID: t.Final = {"guide": "a guide", "compose": "a Compose file", "listeners": "sockets"}


def _text(path: str, data: bytes) -> str:
    found = Document.from_bytes(path, data)
    if found is None:
        raise RegistryError(f"{shown(path)}:1: found no text, allowed is {' or '.join(KINDS)}")
    return found.text


def _kind(path: str, text: str) -> str:
    """What a source is, by its content, and by its name where that doesn't tell."""
    if listeners.is_result(text):
        return "listeners"
    if path.lower().endswith((".md", ".markdown")) or _TABLE.search(text):
        return "guide"
    if path.lower().endswith((".yml", ".yaml")) or _COMPOSE.search(text):
        return "compose"
    return "guide"
