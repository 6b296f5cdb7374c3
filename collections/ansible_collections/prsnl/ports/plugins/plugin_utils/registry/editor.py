# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of a YAML text that leave every other byte as it is.

A change cuts out or puts in the characters of one value or entry, at the places that the parser
reports. Nothing else is written, so comments, order, quotes, anchors, line ends and long lines
stay. The result is read again and has to say exactly what was meant.
"""

from __future__ import annotations

import codecs
import difflib
import marshal
import re
import typing as t

import yaml
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import source as yaml_source
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    Path,
    RegistryError,
    dotted,
    report,
    shown,
)

_BREAK: t.Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_BREAKS: t.Final = tuple("\n\r\x85\u2028\u2029")
# What may stand between the parts of a value: blanks, line ends and comments.
_GAP: t.Final = re.compile(
    "(?:[ \t\n\r\x85\u2028\u2029]|(?<![^ \t\n\r\x85\u2028\u2029])#[^\n\r]*)*"
)
_ANCHOR: t.Final = re.compile(r"&[^\s,\[\]{}]+")
_FLOW_WIDTH: t.Final = 72
_STEP: t.Final = 2
# Plain texts that YAML 1.1 readers see as something else are quoted, except for days and times.
_RESOLVER: t.Final[t.Any] = yaml.resolver.Resolver()
_TEXTS: t.Final = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp")


class EditError(RegistryError):
    """A change that can't be made without touching something else; nothing was changed."""


class Editor:
    """Collects changes of a YAML text and applies them at once.

    The text has no faults of form; `data` is what it says, if that is known. A path leads to a
    value as in faults: keys and indices.
    """

    def __init__(self, source: bytes, file: str, data: t.Any = None) -> None:
        self._source = source
        self._file = file
        self._bom = codecs.BOM_UTF8 if source.startswith(codecs.BOM_UTF8) else b""
        self._text = source.decode("utf-8-sig")
        self._root = yaml_source.root(source)
        self._splices: list[tuple[int, int, str]] = []
        said = yaml_source.parse(source)[0] if data is None else data
        # The fastest copy of plain data.
        self.data: t.Any = marshal.loads(marshal.dumps(said))  # noqa: S302

    def set(self, path: Path, value: t.Any) -> None:
        """Gives a scalar another value, in the quotes that it had."""
        node, in_flow = self._find(path)
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(path, "isn't a single value")
        start, end = node.start_mark.index, node.end_mark.index
        is_empty = start == end
        anchor = _ANCHOR.match(self._text, start, end)
        if anchor:
            start = self._skip_gap(anchor.end())
        new = _scalar(value, in_flow)
        if node.style in ("'", '"') and isinstance(value, str):
            new = _quoted(value, node.style)
        elif node.style in ("|", ">"):
            new += self._break_before(end)
        self._splice(start, end, f" {new}" if is_empty else new)
        self._container(path)[path[-1]] = value

    def add(self, path: Path, key: str, value: t.Any) -> None:
        """Adds a key to the end of a mapping."""
        node, in_flow = self._find(path)
        self._reach(path)[key] = value
        if in_flow:
            self._add_flow(node, f"{_scalar(key, True)}: {_flow(value)}", "{")
            return
        keys = [pair[0] for pair in node.value]
        column = keys[0].start_mark.column
        step = self._step(node) or _STEP
        lines = _entry_lines(key, value, step, self._dash_offset())
        last = keys[-1].start_mark.index
        self._add_block(last, node.value[-1][1], [" " * column + x for x in lines], column)

    def append(self, path: Path, value: t.Any) -> None:
        """Adds an item to the end of a list; a key that isn't there becomes one."""
        *parent, key = path
        if isinstance(key, str) and key not in self._reach(tuple(parent)):
            self.add(tuple(parent), key, [value])
            return
        node, in_flow = self._find(path)
        self._reach(path).append(value)
        if not in_flow:
            dashes = self._dashes(node)
            column = self._column(dashes[-1])
            lines = _item_lines(value, self._dash_offset())
            pad = " " * column
            self._add_block(dashes[-1], node.value[-1], [pad + x for x in lines], column)
        elif not node.value and self._opens_block(path, node):
            key_node = self._pair(tuple(parent), key)[0]
            column = key_node.start_mark.column + self._dash_offset()
            self._splice(self._colon(key_node) + 1, node.end_mark.index, "")
            lines = [" " * column + x for x in _item_lines(value, self._dash_offset())]
            self._insert_lines(self._line_after(node.end_mark.index), lines)
        else:
            self._add_flow(node, _flow(value), "[")

    def remove(self, path: Path) -> None:
        """Removes a key with its value, or an item. The last item of a list leaves `[]`."""
        parent, in_flow = self._find(path[:-1])
        is_mapping = isinstance(parent, yaml.MappingNode)
        container = self._container(path)
        position = list(container).index(path[-1]) if is_mapping else t.cast(int, path[-1])
        values = [pair[1] for pair in parent.value] if is_mapping else parent.value
        starts = [(pair[0] if is_mapping else pair).start_mark.index for pair in parent.value]
        if in_flow:
            self._remove_flow(starts, [node.end_mark.index for node in values], position)
        else:
            start = starts[position] if is_mapping else self._dashes(parent)[position]
            self._remove_block(path, start, values[position])
            if len(values) == 1:
                self._leave_empty(path)
        del container[path[-1]]

    def lines(self, path: Path) -> str:
        """The lines of an entry of a block, as they are."""
        node, in_flow = self._find(path)
        key_node = self._pair(path[:-1], path[-1])[0]
        start = self._line_start(key_node.start_mark.index)
        if in_flow and self._text[start : key_node.start_mark.index].strip():
            return self._text[key_node.start_mark.index : node.end_mark.index]
        return self._text[start : self._entry_end(node, key_node.start_mark.column)]

    def result(self) -> bytes:
        """The changed text. Raises EditError unless it says exactly what was meant."""
        parts, position = [], 0
        # Stable: of what goes to the same place, what was asked for first comes first.
        for start, end, new in sorted(self._splices, key=lambda s: (s[0], s[1] > s[0])):
            if start < position:
                raise EditError(f"{shown(self._file)}: two of the changes overlap. {_BY_HAND}")
            parts += [self._text[position:start], new]
            position = end
        source = self._bom + ("".join(parts) + self._text[position:]).encode()
        data, faults = yaml_source.parse(source)
        if faults or data != self.data:
            why = report("after the change", faults, {}) if faults else "it would mean another"
            raise EditError(f"{shown(self._file)}: can't be changed safely: {why}. {_BY_HAND}")
        return source

    # --- finding ---------------------------------------------------------------------------

    def _pair(self, path: Path, key: str | int) -> tuple[t.Any, t.Any]:
        """The nodes of a key and its value; of an item twice that of the item."""
        parent, _in_flow = self._find(path)
        if isinstance(parent, yaml.MappingNode):
            pairs: t.Iterator[tuple[t.Any, t.Any]] = (p for p in parent.value if p[0].value == key)
            return next(pairs)
        return parent.value[key], parent.value[key]

    def _find(self, path: Path) -> tuple[t.Any, bool]:
        """The node of a path, and whether it is or lies in one with brackets or braces."""
        node, in_flow = self._root, False
        for part in (*path, None):
            if not isinstance(node, yaml.ScalarNode):
                in_flow = in_flow or bool(node.flow_style)
            if part is not None:
                if isinstance(node, yaml.MappingNode):
                    node = next(value for key, value in node.value if key.value == part)
                else:
                    node = node.value[part]
        return node, in_flow

    def _reach(self, path: Path) -> t.Any:
        value = self.data
        for part in path:
            value = value[part]
        return value

    def _container(self, path: Path) -> t.Any:
        return self._reach(path[:-1])

    def _error(self, path: Path, why: str) -> EditError:
        line = self._text.count("\n", 0, self._find(path)[0].start_mark.index) + 1
        return EditError(f"{shown(self._file)}:{line}: {dotted(path)}: {why}. {_BY_HAND}")

    # --- places in the text ----------------------------------------------------------------

    def _skip_gap(self, position: int) -> int:
        match = _GAP.match(self._text, position)
        return match.end() if match else position

    def _line_start(self, position: int) -> int:
        while position > 0 and self._text[position - 1] not in _BREAKS:
            position -= 1
        return position

    def _line_after(self, position: int) -> int:
        """Where the line after this place starts; a place at the start of a line is one."""
        if position > 0 and self._text[position - 1] in _BREAKS:
            return position
        match = _BREAK.search(self._text, position)
        return match.end() if match else len(self._text)

    def _break_before(self, position: int) -> str:
        """The line end that is used around a place."""
        start = self._line_start(position)
        match = _BREAK.search(self._text, max(0, start - 2)) or _BREAK.search(self._text)
        return match[0] if match else "\n"

    def _column(self, position: int) -> int:
        return position - self._line_start(position)

    def _content_end(self, node: t.Any) -> int:
        """Where the last value of a node ends: a block is said to end where the next one starts."""
        while not isinstance(node, yaml.ScalarNode) and not node.flow_style:
            last = node.value[-1]
            node = last[1] if isinstance(node, yaml.MappingNode) else last
        index: int = node.end_mark.index
        return index

    def _entry_end(self, node: t.Any, column: int) -> int:
        """Where the lines of an entry of a block end, with comments that are indented further."""
        position = self._line_after(self._content_end(node))
        while True:
            line = re.compile("([ \t]+)#").match(self._text, position)
            if line is None or len(line[1]) <= column:
                return position
            position = self._line_after(line.end())

    def _dashes(self, node: t.Any) -> list[int]:
        """Where the dashes of a list in block style are."""
        found: list[int] = []
        position = node.start_mark.index
        for item in node.value:
            position = self._skip_gap(position)
            anchor = _ANCHOR.match(self._text, position)
            if anchor and not found:
                position = self._skip_gap(anchor.end())
            found.append(position)
            position = self._content_end(item)
        return found

    def _colon(self, key_node: t.Any) -> int:
        return self._skip_gap(key_node.end_mark.index)

    def _opens_block(self, path: Path, node: t.Any) -> bool:
        """Whether an empty list can go on as a block: `key: []` and nothing else, but a comment."""
        *parent, key = path
        key_node = self._pair(tuple(parent), key)[0]
        between = self._text[key_node.end_mark.index : node.start_mark.index]
        inside = self._text[node.start_mark.index : node.end_mark.index]
        _parent, in_flow = self._find(tuple(parent))
        return (
            not in_flow
            and isinstance(key, str)
            and re.fullmatch(r"[ \t]*:[ \t]*", between) is not None
            and re.fullmatch(r"\[[ \t]*\]", inside) is not None
        )

    def _step(self, node: t.Any) -> int | None:
        """By how much the mappings in a block mapping are indented."""
        for key, value in node.value:
            if isinstance(value, yaml.MappingNode) and not value.flow_style:
                first = value.value[0][0].start_mark
                return int(first.column) - int(key.start_mark.column)
        return None

    def _dash_offset(self) -> int:
        """By how much lists are indented below their key, as in the first list of the text."""
        for key, value in self._root.value:
            if isinstance(value, yaml.SequenceNode) and not value.flow_style:
                dash = self._column(self._dashes(value)[0])
                return dash - int(key.start_mark.column)
        return _STEP

    # --- changing --------------------------------------------------------------------------

    def _splice(self, start: int, end: int, new: str) -> None:
        self._splices.append((start, end, new))

    def _add_flow(self, node: t.Any, new: str, opening: str) -> None:
        if node.value:
            last = node.value[-1]
            end = (last[1] if isinstance(last, tuple) else last).end_mark.index
            self._splice(end, end, f", {new}")
        else:
            inside = self._text.index(opening, node.start_mark.index) + 1
            self._splice(inside, inside, new)

    def _add_block(self, last: int, value: t.Any, lines: list[str], column: int) -> None:
        """Adds lines after the entry that starts at `last`, with a blank line if it has one."""
        start = self._line_start(last)
        above = self._line_above(start)
        while above is not None and self._text[above:start].lstrip(" \t").startswith("#"):
            start, above = above, self._line_above(above)
        if above is not None and not self._text[above:start].strip():
            lines = ["", *lines]
        self._insert_lines(self._entry_end(value, column), lines)

    def _line_above(self, start: int) -> int | None:
        return self._line_start(self._break_start(start)) if start > 0 else None

    def _break_start(self, start: int) -> int:
        """Where the line end before the start of a line starts."""
        return start - (2 if self._text.startswith("\r\n", start - 2) else 1)

    def _insert_lines(self, position: int, lines: list[str]) -> None:
        line_end = self._break_before(position)
        text = line_end.join(lines)
        # A last line without an end stays without.
        is_open = position > 0 and self._text[position - 1] not in _BREAKS
        self._splice(position, position, line_end + text if is_open else text + line_end)

    def _remove_flow(self, starts: list[int], ends: list[int], position: int) -> None:
        start, end = starts[position], ends[position]
        if position + 1 < len(starts):
            comma = self._skip_gap(end)
            blanks = re.compile("[ \t]*").match(self._text, comma + 1)
            self._splice(start, end, "")
            self._splice(comma, blanks.end() if blanks else comma + 1, "")
            return
        if position:
            comma = self._skip_gap(ends[position - 1])
            self._splice(comma, comma + 1, "")
            blanks = re.compile("[ \t]*").match(self._text, comma + 1)
            start = start if blanks is None or blanks.end() != start else comma + 1
        elif self._text[self._skip_gap(end)] == ",":
            comma = self._skip_gap(end)
            self._splice(comma, comma + 1, "")
        self._splice(start, end, "")

    def _remove_block(self, path: Path, start: int, value: t.Any) -> None:
        line = self._line_start(start)
        if self._text[line:start].strip(" \t"):
            raise self._error(path, "isn't on lines of its own")
        end = self._entry_end(value, start - line)
        above = self._line_above(line)
        after_blank = above is not None and not self._text[above:line].strip()
        following = _BREAK.search(self._text, end)
        is_last = not self._text[end:].strip()
        if after_blank and is_last and above is not None:
            line = above
        elif after_blank and following and not self._text[end : following.start()].strip():
            end = following.end()
        if end == len(self._text) and self._text[-1] not in _BREAKS and line > 0:
            # A last line without an end stays without.
            line = self._break_start(line)
        self._splice(line, end, "")

    def _leave_empty(self, path: Path) -> None:
        """Gives a list or mapping whose only entry is removed its brackets."""
        if len(path) == 1:
            raise self._error(path, "is all there is")
        parent, _in_flow = self._find(path[:-1])
        holder, _in_flow = self._find(path[:-2])
        if isinstance(holder, yaml.MappingNode):
            position = self._colon(self._pair(path[:-2], path[-2])[0]) + 1
        else:
            position = self._dashes(holder)[t.cast(int, path[-2])] + 1
        anchor = re.compile(r"[ \t]*" + _ANCHOR.pattern).match(self._text, position)
        position = anchor.end() if anchor else position
        brackets = " {}" if isinstance(parent, yaml.MappingNode) else " []"
        self._splice(position, position, brackets)


_BY_HAND: t.Final = "Nothing was changed; change it in an editor"


def _flow(value: t.Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(k, True)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value, True)


def _entry_lines(key: str, value: t.Any, step: int, dash: int) -> list[str]:
    """A key and its value in block style."""
    name = _scalar(key, False)
    if isinstance(value, dict) and value:
        rows = _block_lines(value, step, dash)
        return [f"{name}:", *(" " * step + row for row in rows)]
    if isinstance(value, list) and _has_mapping(value):
        rows = [row for part in value for row in _item_lines(part, dash)]
        return [f"{name}:", *(" " * dash + row for row in rows)]
    flow = _flow(value) if isinstance(value, (dict, list)) else _scalar(value, False)
    return [f"{name}: {flow}"]


def _block_lines(value: dict[str, t.Any], step: int, dash: int) -> list[str]:
    """A mapping, a key on each line; what is in it on one line if it is short and flat."""
    lines = []
    # Named entries of one kind, such as endpoints, are written out.
    is_table = all(isinstance(item, dict) for item in value.values())
    for key, item in value.items():
        flow = _flow(item) if isinstance(item, dict) and not is_table else ""
        if flow and len(flow) <= _FLOW_WIDTH and not _has_mapping(item.values()):
            lines.append(f"{_scalar(key, False)}: {flow}")
        else:
            lines += _entry_lines(key, item, step, dash)
    return lines


def _has_mapping(values: t.Iterable[t.Any]) -> bool:
    return any(isinstance(value, dict) for value in values)


def _item_lines(value: t.Any, dash: int) -> list[str]:
    """An item of a list in block style: a mapping of single values on one line."""
    if not isinstance(value, dict) or not any(isinstance(v, (dict, list)) for v in value.values()):
        flow = _flow(value)
        if not isinstance(value, dict) or len(flow) <= _FLOW_WIDTH + len("- "):
            return [f"- {flow}"]
    first, *others = _block_lines(value, _STEP, dash)
    return [f"- {first}", *(f"  {line}" for line in others)]


def _scalar(value: t.Any, in_flow: bool) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return value if _is_plain(value, in_flow) else _quoted(value, "'")


def _is_plain(text: str, in_flow: bool) -> bool:
    """Whether a text without quotes is read as itself, by readers of YAML 1.1 too."""
    if not text or _RESOLVER.resolve(yaml.ScalarNode, text, (True, False)) not in _TEXTS:
        return False
    sample = "{k: [" + text + "], " + text + ": 1}" if in_flow else f"k: {text}\n{text}: 1\n"
    meant = {"k": [text] if in_flow else text, text: 1}
    return yaml_source.parse(sample.encode("utf-8", "surrogatepass")) == (meant, [])


def _quoted(text: str, quote: str) -> str:
    if quote == "'" and text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in ('"', "\\"):
        return f"\\{char}"
    return char if char.isprintable() else f"\\U{ord(char):08x}"


def unified_diff(before: bytes, after: bytes, file: str) -> str:
    """The lines that differ, as `diff -u` shows them."""
    old, new = (part.decode("utf-8-sig").splitlines(keepends=True) for part in (before, after))
    lines = difflib.unified_diff(old, new, f"{shown(file)} (before)", f"{shown(file)} (after)")
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
