# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on hosts needs no newer Python than the oldest that ansible-core allows there, 3.8."""

from __future__ import annotations

import ast
import pathlib
import typing as t

import pytest

PLUGINS = pathlib.Path(__file__).parents[2] / "plugins"
ROLES = pathlib.Path(__file__).parents[6] / "roles"
FILES = sorted(
    [
        *(PLUGINS / "module_utils").rglob("*.py"),
        *(PLUGINS / "modules").glob("*.py"),
        *ROLES.glob("*/library/*.py"),
    ]
)
# Of 3.9 (PEP 585, PEP 584, PEP 616) and later.
GENERIC = {"dict", "list", "tuple", "set", "frozenset", "type"}
METHODS = {"removesuffix", "removeprefix", "is_relative_to", "bit_count"}
FUNCTIONS = {"functools.cache", "itertools.pairwise", "random.randbytes", "math.lcm"}


def newer(text: str) -> t.Iterator[str]:
    """What a program evaluates that Python 3.8 doesn't have."""
    tree = ast.parse(text, feature_version=(3, 8))
    notes: set[int] = set()
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            note = getattr(node, name, None)
            if isinstance(note, ast.AST):
                notes |= {id(part) for part in ast.walk(note)}
    for node in ast.walk(tree):
        if id(node) in notes:
            continue
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) in GENERIC:
            yield f"{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Attribute):
            if node.attr in METHODS or ast.unparse(node) in FUNCTIONS:
                yield f"{node.lineno}: {node.attr}"
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            if isinstance(node.left, ast.Dict) or isinstance(node.right, ast.Dict):
                yield f"{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "zip" and node.keywords:
            yield f"{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_hosts_with_the_oldest_python_can_run_it(file: pathlib.Path) -> None:
    assert list(newer(file.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "text",
    ["A = dict[str, int]", "x.removesuffix('a')", "{} | b", "zip(a, b, strict=True)"],
)
def test_what_is_newer_is_found(text: str) -> None:
    assert list(newer(text))


def test_a_match_statement_is_found() -> None:
    with pytest.raises(SyntaxError):
        list(newer("match a:\n    case 1:\n        pass\n"))
