# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exporter carries to a host what it runs there, and no more."""

from __future__ import annotations

import ast
import pathlib

import yaml

COLLECTION = pathlib.Path(__file__).parents[3]
MODULES = COLLECTION / "plugins" / "module_utils"
PACKAGE = "ansible_collections.prsnl.ports.plugins.module_utils."


def _needed(program: str) -> set[str]:
    """The files of module_utils that a program imports, directly or not, itself included."""
    found: set[str] = set()
    waiting = [program]
    while waiting:
        name = waiting.pop()
        path = MODULES / f"{name.replace('.', '/')}.py"
        if name in found or not path.is_file():
            continue
        found.add(name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
                module = (node.module or "").removeprefix(PACKAGE)
                waiting += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return {f"{name.replace('.', '/')}.py" for name in found}


def test_it_carries_what_it_runs() -> None:
    variables = COLLECTION / "roles" / "exporter" / "vars" / "main.yml"
    given = yaml.safe_load(variables.read_text(encoding="utf-8"))["__exporter_sources"]
    assert given == sorted(_needed("metrics.textfile"))
