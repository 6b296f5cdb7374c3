# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading YAML strictly: what a person sees in the file is what the program gets.

YAML 1.1 and 1.2 readers disagree on `no`, `0o17`, `010`, `22:22` and on dates. Here a plain scalar
is null, true, false or a decimal integer, and text otherwise; keys are text. Duplicate keys,
aliases, tags, several documents and characters that nobody sees are faults.
"""

from __future__ import annotations

import codecs
import contextlib
import gc
import itertools
import os
import re
import stat
import typing as t
import unicodedata

import yaml
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import HIDDEN
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    MOST,
    Fault,
    Path,
    found,
)

EMPTY: t.Final = "found an empty file, allowed is a registry"

_Base: t.Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

_CONSTANTS: dict[str, t.Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
# Eighteen digits are more than any number of a registry, and less than int() refuses.
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_MAX_DEPTH = 32
# libyaml's composer calls itself for every level, until the stack ends and the process with it.
_MAX_COMPOSED = 200
# A registry of 100,000 services has less than half of this.
_MAX_BYTES = 64 << 20
# What git leaves between two versions of the same lines.
_CONFLICT = re.compile(r"^(<{7}|\|{7}|={7}|>{7})(?= |\r?$)", re.MULTILINE)

# What files start with that people give for a registry, and what to do.
_OTHER_FORMS = {
    **dict.fromkeys(
        (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
        "found UTF-16, allowed is UTF-8; save it as UTF-8, in PowerShell with -Encoding utf8",
    ),
    b"$ANSIBLE_VAULT;": "found what ansible-vault has encrypted, allowed is plain YAML: no"
    " secret is in a registry; ansible-vault decrypt makes it plain",
}


class _Loader(_Base):  # type: ignore[misc]
    """Composes nodes whose tag is None unless the file gives one."""

    _depth = 0

    def descend_resolver(self, current_node: t.Any, current_index: t.Any) -> None:
        self._depth += 1
        if self._depth > _MAX_COMPOSED:
            message = f"found more than {_MAX_COMPOSED} levels, allowed are {_MAX_DEPTH}"
            raise yaml.MarkedYAMLError(problem=message, problem_mark=current_node.start_mark)

    def ascend_resolver(self) -> None:
        self._depth -= 1

    def resolve(self, kind: type, value: str | None, implicit: t.Any) -> None:
        return None


class _Reader:
    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.lines: dict[Path, int] = {}
        self._seen: set[int] | None = None
        self._may_hide = False

    def compose(self, source: bytes) -> t.Any:
        """The root node, or None after a fault."""
        for start, message in _OTHER_FORMS.items():
            if source.startswith(start):
                self._fault((), 1, message)
                return None
        try:
            text = source.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = source.count(b"\n", 0, error.start) + 1
            self._fault((), line, f"found the byte 0x{source[error.start]:02x}, allowed is UTF-8")
            return None
        if "*" in text:
            self._seen = set()
        self._may_hide = "\\" in text or not text.isascii()
        loader = None
        try:
            loader = _Loader(text)
            return loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            for marker in itertools.islice(_CONFLICT.finditer(text), MOST):
                line = text.count("\n", 0, marker.start()) + 1
                message = f"found the conflict marker {marker[0]} of a merge; resolve the conflict"
                self._fault((), line, message)
            if self.faults:
                return None
            mark = error.problem_mark or error.context_mark
            problem = ", ".join(filter(None, (error.context, error.problem)))
            self._fault((), mark.line + 1 if mark else 1, f"not YAML: {problem}")
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            self._fault((), line, _hidden(chr(error.character)))
        except RecursionError:
            self._fault((), 1, "nested too deeply")
        finally:
            if loader is not None:
                loader.dispose()
        return None

    def _fault(self, path: Path, line: int | None, message: str) -> None:
        if len(self.faults) < MOST:
            self.faults.append(Fault(path, message, line=line))

    def value(self, node: t.Any, path: Path = ()) -> t.Any:
        """The plain data of a node."""
        line = node.start_mark.line + 1
        if node.tag is not None:
            message = f"found the tag {found(node.tag)}, allowed are plain values without a tag"
            self._fault(path, line, message)
        if self._seen is not None:
            # The node of an alias is that of its anchor, so it comes a second time.
            if id(node) in self._seen:
                self._fault(path, None, "found an alias (*), allowed are values written out")
                return None
            self._seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            self._refuse_hidden(path, node)
            return _scalar(node)
        if len(path) >= _MAX_DEPTH:
            self._fault(path, line, f"found more than {_MAX_DEPTH} levels, allowed are fewer")
            return None
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._mapping(node, path)

    def _mapping(self, node: t.Any, path: Path) -> dict[str, t.Any]:
        result: dict[str, t.Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            self._refuse_hidden((*path, key), key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self._fault(path, line, "found a list or mapping as a key, allowed is text")
            elif key in result:
                self._fault(
                    (*path, key),
                    line,
                    f"found the key {found(key)} again, allowed is once; see line {first[key]}",
                )
            else:
                first[key] = line
                result[key] = self.value(value_node, (*path, key))
        return result

    def _refuse_hidden(self, path: Path, node: t.Any) -> None:
        if self._may_hide and isinstance(node.value, str):
            match = HIDDEN.search(node.value)
            if match is not None:
                self._fault(path, node.start_mark.line + 1, _hidden(match[0]))

    def refuse_hidden_elsewhere(self, source: bytes) -> None:
        """What is in comments: reviewers read them too, and the direction of reading goes on."""
        if self._may_hide:
            told = {fault.line for fault in self.faults}
            for number, row in enumerate(source.decode("utf-8-sig").split("\n"), start=1):
                match = None if row.isascii() else HIDDEN.search(row)
                if match is not None and number not in told:
                    self._fault((), number, _hidden(match[0]))

    def locate(self, node: t.Any, path: Path = ()) -> None:
        """Collects the line of every value below a node; of a mapping's value, its key's line."""
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode) or len(path) >= _MAX_DEPTH:
            return
        if self._seen is not None:
            if id(node) in self._seen:
                return
            self._seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.locate(item, (*path, index))
            return
        for key_node, value_node in node.value:
            if isinstance(key_node, yaml.ScalarNode):
                child = (*path, key_node.value)
                self.lines.setdefault(child, key_node.start_mark.line + 1)
                self.locate(value_node, child)


def _hidden(char: str) -> str:
    name = unicodedata.name(char, "a control character")
    return f"found the invisible U+{ord(char):04X} ({name}), allowed is what people can see"


def _scalar(node: t.Any) -> t.Any:
    value = node.value
    if node.style in ("'", '"', "|", ">"):
        return value
    if value in _CONSTANTS:
        return _CONSTANTS[value]
    if _INTEGER.fullmatch(value):
        return int(value)
    return value


def read(file: str) -> bytes:
    """The bytes of a file.

    Raises OSError if it can't be read, isn't a regular file, or is larger than a registry is: one
    that never ends must not be waited for.
    """
    # Opening a pipe waits for its other end, unless told not to.
    handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(None, "it is not a regular file")
        if status.st_size > _MAX_BYTES:
            size = f"it has {status.st_size} bytes, allowed are {_MAX_BYTES}"
            raise OSError(None, size)
        return stream.read(_MAX_BYTES)


def parse(source: bytes) -> tuple[t.Any, list[Fault]]:
    """The data of a YAML document, and the faults of its form."""
    reader = _Reader()
    with without_gc():
        root = reader.compose(source)
        data = None if root is None else reader.value(root)
    reader.refuse_hidden_elsewhere(source)
    if data is None and not reader.faults:
        # A file that says null, be it after a byte order mark, has no more in it than an empty one.
        reader.faults.append(Fault((), EMPTY, line=1))
    return data, reader.faults


def root(source: bytes) -> t.Any:
    """The node of a YAML document without faults, with the places of all that is in it."""
    with without_gc():
        return _Reader().compose(source)


def lines(source: bytes) -> dict[Path, int]:
    """The line of every path of a YAML document, counted from 1."""
    reader = _Reader()
    with without_gc():
        root = reader.compose(source)
        if root is not None:
            reader.locate(root)
    return reader.lines


@contextlib.contextmanager
def without_gc() -> t.Iterator[None]:
    """No garbage is looked for: reading makes many objects and none, and looking takes longest."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
