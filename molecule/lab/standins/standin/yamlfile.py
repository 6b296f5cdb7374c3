# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML configuration files whose errors can name the line."""

from __future__ import annotations

import os
import pathlib
import re
import typing as t
from dataclasses import dataclass, field

import yaml

from standin import strict


@dataclass
class Settings:
    """Settings under their full names with dots, and the line of each."""

    path: str
    values: dict[str, t.Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def text(self, name: str, default: str = "") -> str:
        value = self.values.get(name)
        if isinstance(value, bool):
            return "true" if value else "false"
        return default if value is None else str(value)

    def list(self, name: str) -> list[str]:
        """A list, or its YAML-less form with commas."""
        value = self.values.get(name)
        if value is None:
            return []
        parts = value if isinstance(value, list) else str(value).split(",")
        return [str(part).strip() for part in parts]

    def true(self, name: str, default: bool = False) -> bool:
        """A truth value.

        :raises strict.RefusedError: it is something else.
        """
        value = self.text(name, "true" if default else "false")
        if value not in {"true", "false"}:
            raise self.refuse(name, f"'{value}' is neither true nor false")
        return value == "true"

    def port(self, name: str) -> int:
        """A setting that has to be there and one port.

        :raises strict.RefusedError: it is missing, or something else.
        """
        if name not in self.values:
            raise strict.RefusedError(
                f"{self.path}: {name} is not set, and this stand-in has no default for it"
            )
        try:
            return strict.port(self.values[name])
        except ValueError as problem:
            raise self.refuse(name, str(problem)) from None

    def refuse(self, name: str, why: str) -> strict.RefusedError:
        """The error about a setting, to be raised."""
        return strict.RefusedError(f"{self.place(name)}: {name}: {why}")

    def place(self, name: str) -> str:
        return f"{self.path}:{self.lines.get(name, 0)}"


def document(path: str) -> yaml.Node | None:
    """The nodes of a file, with their lines.

    :raises strict.RefusedError: it can't be read, or isn't YAML.
    """
    try:
        return yaml.compose(pathlib.Path(path).read_text(encoding="utf-8"), yaml.SafeLoader)
    except OSError as problem:
        raise strict.RefusedError(f"{path}: {problem.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise strict.RefusedError(f"{path}: not YAML: {problem}") from None


def value_of(node: yaml.Node) -> t.Any:
    """The Python value of a node, with ``${VARIABLE}`` replaced by the environment's."""
    loader = yaml.SafeLoader("")
    value = loader.construct_object(node, deep=True)
    if isinstance(value, str):
        value = re.sub(r"\$\{(\w+)\}", lambda found: os.environ.get(found[1], ""), value)
    return value


def settings(path: str, names: strict.Names, kind: str) -> Settings:
    """The settings of a file, which may write ``a.b: 1`` or ``a: {b: 1}``.

    :param kind: what the product calls a setting.
    :raises strict.RefusedError: one of them isn't the product's, or is there twice.
    """
    result = Settings(path)
    root = document(path)
    if root is None:
        return result
    _flatten(result, "", root)
    for name in result.values:
        if name not in names:
            raise strict.RefusedError(
                f"{result.place(name)}: unknown {kind} [{name}].{names.nearest(name)}"
            )
    return result


def _flatten(result: Settings, prefix: str, node: yaml.Node) -> None:
    if not isinstance(node, yaml.MappingNode) or (prefix and not node.value):
        name = prefix.removesuffix(".")
        line = node.start_mark.line + 1
        if not name:
            raise strict.RefusedError(f"{result.path}:{line}: expected settings, found a value")
        if name in result.values:
            raise strict.RefusedError(
                f"{result.path}:{line}: {name} is already set in line {result.lines[name]}"
            )
        result.values[name] = value_of(node)
        result.lines[name] = line
        return
    for key, child in node.value:
        _flatten(result, f"{prefix}{key.value}.", child)
