# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JavaScript and TypeScript: Vite's configuration and other objects of keys and values."""

from __future__ import annotations

import dataclasses
import posixpath
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.references import places
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import (
    Hint,
    Mention,
    Name,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import Part, word_set
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.places import PLAIN, Setting

_TOKEN: t.Final = re.compile(
    r"""(?P<comment>//[^\r\n]*|/\*.*?\*/|<!--.*?-->)
      | (?P<string>"(?:\\.|[^"\\\r\n])*"|'(?:\\.|[^'\\\r\n])*'|`(?:\\.|[^`\\])*`)
      | (?P<number>(?<![\w.])\d[\w.]*)
      | (?P<word>[A-Za-z_$][\w$]*)
      | (?P<sign>=>|===?|!==?|\|\||\?\?|&&|[{}()\[\]:;,=?])""",
    re.VERBOSE | re.DOTALL,
)
_VITE: t.Final = re.compile(r"vite(?:st)?\.config\..+")
_STARTS: t.Final = word_set("const let var export return")
_KEYWORDS: t.Final = _STARTS | word_set(
    "default await async new typeof import from as process env meta Number parseInt String this"
    " true false null undefined"
)

# Beyond these it is a program that a program wrote.
_MOST_WORDS: t.Final = 32
_MOST_LEVELS: t.Final = 16


@dataclasses.dataclass
class _Level:
    """What is known inside one pair of braces: its key, and what its value began with."""

    key: str
    name: str = ""
    words: list[str] = dataclasses.field(default_factory=list)
    # How many of the words are those from outside of the braces.
    outer: int = 0

    def end(self) -> None:
        """A separator: the next key follows."""
        self.begin("")

    def begin(self, name: str) -> None:
        """The value of a key follows."""
        self.name, self.words, self.outer = name, [], 0

    def add(self, words: t.Iterable[str]) -> None:
        """More words; a value that is longer than any that somebody wrote is known well enough."""
        self.words = [*self.words, *words][:_MOST_WORDS]


@dataclasses.dataclass(frozen=True)
class _Value:
    """A number or a string, the keys that lead to it, and the words before it."""

    part: Part
    keys: list[str]
    words: list[str]
    string: bool


def is_vite_name(path: str) -> bool:
    """Whether a file configures Vite, by its name."""
    return _VITE.fullmatch(posixpath.basename(path)) is not None


def find(part: Part, setting: Setting = PLAIN) -> t.Iterator[Mention]:
    """The ports of a script, by the keys and the variables that lead to them."""
    found = list(_values(part))
    values: dict[str, str] = {}
    for value in found:
        if value.keys:
            values.setdefault(places.flat(".".join(value.keys)), value.part.unquoted().string)
    around = setting.among(values)
    for value in found:
        yield from _mentions(value, around)


def _values(part: Part) -> t.Iterator[_Value]:
    levels = [_Level("")]
    last = ""
    for token in part.finditer(_TOKEN):
        if token["comment"]:
            continue
        level = levels[-1]
        if token["sign"]:
            _enter(levels, token["sign"], last)
        elif token["word"] in _STARTS:
            level.end()
        elif token["word"]:
            level.add([] if token["word"] in _KEYWORDS else [token["word"]])
        else:
            around = levels[1:][-_MOST_LEVELS:]
            keys = [key for key in (*(one.key for one in around), level.name) if key]
            yield _Value(part.group(token), keys, list(level.words), bool(token["string"]))
        last = token["word"] or (token["string"] or "").strip("\"'`")


def _enter(levels: list[_Level], sign: str, last: str) -> None:
    """What a sign means for the keys: `last` is the word or the string before it."""
    level = levels[-1]
    if sign == "(":
        # The arguments of a call belong to the key that it is the value of.
        levels.append(_Level(level.name, words=list(level.words), outer=len(level.words)))
    elif sign in "{[":
        levels.append(_Level(level.name))
    elif sign in ")}]":
        if levels[1:]:
            inner = levels.pop()
            levels[-1].add(inner.words[inner.outer :] if sign == ")" else [])
    elif sign == ":" and last and not level.name:
        level.begin(last)
    elif sign == "=":
        level.begin(last or level.name)
    elif sign in ",;":
        level.end()


def _mentions(value: _Value, setting: Setting) -> t.Iterator[Mention]:
    variables = [word for word in value.words if places.is_port_name(word)]
    plain = [key for key in value.keys if "/" not in key]
    name = ".".join(plain)
    if value.string:
        routes: list[Name] = [(Hint.ROUTE, key) for key in reversed(value.keys) if "/" in key]
        words: list[Name] = [(Hint.WORDS, word) for word in value.words]
        name = variables[-1] if variables and not plain else name
        yield from places.value(name, value.part, setting.also(*routes, *words))
    elif "listen" in (*plain[-1:], *value.words[-1:]):
        yield from places.value("listen.port", value.part, setting)
    elif places.is_port_name(".".join(plain[-1:])):
        named: list[Name] = [(Hint.WORDS, word) for word in variables]
        if "preview" in (plain[0], *plain[-2:-1]):
            # What serves the built files isn't the development server that the file configures.
            named.append((Hint.FOLDER, ""))
        yield from places.value(name, value.part, setting.also(*named))
    elif variables:
        around = setting.also(*((Hint.WORDS, key) for key in plain))
        yield from places.value(variables[-1], value.part, around)
