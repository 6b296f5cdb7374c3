# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Python: settings, defaults of environment variables, URLs, keyword arguments."""

from __future__ import annotations

import ast
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.references import places
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.kinds import code
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import (
    Hint,
    Mention,
    Name,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import Part, word_set
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.places import PLAIN, Setting

# What connects to PostgreSQL without saying so; redis.Redis says it.
_LIBRARIES: t.Final = dict.fromkeys(("asyncpg", "psycopg", "psycopg2", "aiopg", "pg8000"), "pg")
_READS_ENVIRONMENT: t.Final = word_set("getenv get setdefault config")
_ALIASES: t.Final = word_set("env alias validation_alias")
# What limits a value and isn't one.
_LIMITS: t.Final = word_set("ge gt le lt multiple_of min_length max_length min max timeout")
_DEFAULTS: t.Final = word_set("default default_factory")
# Python's own idea of lines, which isn't that of str.splitlines().
_NEWLINE: t.Final = re.compile(r"\r\n|\n|\r")
_STRING: t.Final = re.compile(
    r"[rbuf]*(?P<quote>\"{3}|'{3}|\"|')(?P<inner>.*)(?P=quote)", re.IGNORECASE | re.DOTALL
)
_Function = t.Union[ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda]


def find(part: Part, setting: Setting = PLAIN) -> t.Iterator[Mention]:
    """The ports of Python code; what can't be parsed is read as any other code."""
    try:
        tree = ast.parse(part.string)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield from code.find(part, setting)
        return
    module = _Module()
    module.visit(tree)
    starts = [part.start, *(match.end() for match in part.finditer(_NEWLINE))]
    around = setting.among(module.values)
    for value in module.found:
        yield from _mentions(value, _part_of(value.node, part, starts), around)


class _Value(t.NamedTuple):
    """A number or a string, the names that lead to it, and the calls that it is given to."""

    node: ast.Constant | ast.JoinedStr
    names: tuple[str, ...]
    calls: tuple[ast.Call, ...]


class _Module(ast.NodeVisitor):
    """Collects the values of a module."""

    def __init__(self) -> None:
        self.found: list[_Value] = []
        self.values: dict[str, str] = {}
        self._names: tuple[str, ...] = ()
        self._calls: tuple[ast.Call, ...] = ()

    def _below(self, node: ast.AST | None, *names: str) -> None:
        """Visits a node that names lead to."""
        if node is not None:
            before = self._names
            self._names = (*before, *(name for name in names if name))
            self.visit(node)
            self._names = before

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for child in node.body:
            self._below(child, node.name)

    def _function(self, node: _Function, name: str) -> None:
        arguments = [*node.args.posonlyargs, *node.args.args]
        pairs = zip(reversed(arguments), reversed(node.args.defaults), strict=False)
        for argument, default in (
            *pairs,
            *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
        ):
            self._below(default, name, argument.arg)
        for child in [node.body] if isinstance(node, ast.Lambda) else node.body:
            self._below(child)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node, node.name)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node, node.name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node, "")

    def visit_Assign(self, node: ast.Assign) -> None:
        self._below(node.value, *map(_name_of, node.targets))

    def _assigned(self, node: ast.AnnAssign | ast.AugAssign | ast.NamedExpr) -> None:
        self._below(node.value, _name_of(node.target))

    visit_AnnAssign = visit_AugAssign = visit_NamedExpr = _assigned  # noqa: N815 - ast's names

    def visit_Dict(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            self._below(value, _name_of(key))

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        self.visit(node.func)
        function = _name_of(node.func)
        told = [keyword.value for keyword in node.keywords if keyword.arg in _ALIASES]
        if function in _READS_ENVIRONMENT or "env" in function.casefold():
            told += node.args[:1]
        variables = [one.value for one in told if isinstance(one, ast.Constant)]
        names = [variable for variable in variables if isinstance(variable, str)]
        self._calls = (*self._calls, node)
        for argument in node.args:
            self._below(argument, *names)
        for keyword in node.keywords:
            if keyword.arg in _LIMITS:
                continue
            name = "" if keyword.arg in _DEFAULTS else keyword.arg or ""
            self._below(keyword.value, *names, name)
        self._calls = self._calls[:-1]

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool) or not isinstance(node.value, (str, int)):
            return
        self.found.append(_Value(node, self._names, self._calls))
        for name in (self._names[-1:], self._names[-2:]):
            if name:
                self.values.setdefault(places.flat("".join(name)), str(node.value))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self.found.append(_Value(node, self._names, self._calls))


def _name_of(node: ast.expr | None) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript):
        return _name_of(node.slice)
    if isinstance(node, ast.Constant):
        return str(node.value)
    return ""


def _part_of(node: ast.expr, part: Part, starts: list[int]) -> Part:
    """A value without the prefix and the quotes of a string."""

    def index(line: int, column: int) -> int:
        # Columns count bytes of UTF-8.
        first = starts[line - 1]
        head = part.text[first : first + column]
        return first + (column if head.isascii() else len(head.encode()[:column].decode()))

    last = index(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)
    found = part.at((index(node.lineno, node.col_offset), last))
    string = found.fullmatch(_STRING)
    return found.group(string, "inner") if string else found


def _mentions(value: _Value, part: Part, setting: Setting) -> t.Iterator[Mention]:
    name = value.names[-1] if value.names else ""
    if not places.is_port_name(name):
        name = next((n for n in reversed(value.names) if places.is_port_name(n)), name)
    values = dict(setting.values)
    for word in places.SIBLING_WORDS if value.names[-2:-1] else ():
        # `{"db": {"HOST": ..., "PORT": ...}}`, and a class of settings.
        beside = values.get(places.flat(f"{value.names[-2]}{word}"))
        values |= {word: beside} if beside else {}
    names: list[Name] = [(Hint.WORDS, other) for other in reversed(value.names) if other != name]
    for call in reversed(value.calls):
        function = ast.unparse(call.func)
        library = _LIBRARIES.get(function.partition(".")[0])
        names.append((Hint.SCHEME, library) if library else (Hint.WORDS, function))
        for keyword in call.keywords:
            if isinstance(keyword.value, ast.Constant):
                values[places.flat(keyword.arg or "")] = str(keyword.value.value)
    yield from places.value(name, part, setting.also(*names, values=values))
