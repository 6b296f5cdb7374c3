# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the generated files are in step with the registry, and making them so."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.outputs.fragments import fragment
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.scan import Change
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.tree import (
    read_file,
    write_file,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    RegistryError,
    shown,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import Registry
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.outputs import Output, outputs_of

_MAX_BYTES: t.Final = 16 << 20


@dataclasses.dataclass(frozen=True)
class Generated:
    """A generated file: what is there, None if nothing is, and what has to be."""

    output: Output
    path: str
    before: bytes | None
    after: bytes

    @property
    def in_step(self) -> bool:
        """Whether nothing has to change."""
        return self.before == self.after

    def diff(self) -> str:
        """What has to change, as a unified diff."""
        return Change(shown(self.path), self.before or b"", self.after).diff()

    def __str__(self) -> str:
        what = "is missing" if self.before is None else "is out of step with the registry"
        return f"{shown(self.path)}:1: {what}; run `ports generate`"


def generated(registry: Registry) -> list[Generated]:
    """Every generated file of a registry. Raises RegistryError if one can't be told."""
    return [_generated(registry, output) for output in outputs_of(registry)]


def _generated(registry: Registry, output: Output) -> Generated:
    path = output.path(registry)
    folder, name = os.path.split(path)
    try:
        found = read_file(folder, name, _MAX_BYTES)
    except FileNotFoundError:
        found = None
    except OSError as error:
        raise RegistryError(f"{shown(path)}: can't be read: {error.strerror}") from error
    if found is None and os.path.lexists(path):
        raise RegistryError(
            f"{shown(path)}: isn't a regular file; remove it, or generate to another place"
        )
    after = fragment(registry, output).encode()
    return Generated(output, path, found.data if found else None, after)


def write(files: t.Iterable[Generated]) -> None:
    """Writes files, each in one step. Raises RegistryError if one can't be written."""
    for file in files:
        folder, name = os.path.split(file.path)
        try:
            os.makedirs(folder, exist_ok=True)
            write_file(folder, name, file.after)
        except OSError as error:
            raise RegistryError(
                f"{shown(file.path)}: can't be written: {error.strerror}"
            ) from error
