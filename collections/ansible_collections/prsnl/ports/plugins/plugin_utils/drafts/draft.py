# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A draft of a registry: what a source tells, and what it leaves open."""

from __future__ import annotations

import dataclasses
import typing as t

import yaml
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    RegistryError,
    shown,
)

_WIDTH: t.Final = 110


class _Dumper(yaml.SafeDumper):
    """Indents the items of lists, as people do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


@dataclasses.dataclass(frozen=True)
class Unsettled:
    """What a person has to decide; `line` counts from 1, 0 where it is about all of the source."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{shown(self.file)}:{max(self.line, 1)}: {self.message}"


@dataclasses.dataclass
class Draft:
    """The data of a registry, and what isn't settled about it."""

    data: dict[str, t.Any]
    unsettled: list[Unsettled] = dataclasses.field(default_factory=list)

    def text(self) -> str:
        """The draft as YAML."""
        return yaml.dump(
            self.data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH
        )

    def faults(self, name: str = "draft") -> list[str]:
        """What the draft lacks to be a registry, by the lines of its text; empty if it is one."""
        try:
            load.parse(self.text().encode(), name)
        except RegistryError as error:
            return str(error).split("\n")
        return []
