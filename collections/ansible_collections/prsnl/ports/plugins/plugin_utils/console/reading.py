# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the registry, and reading it in a blink."""

from __future__ import annotations

import argparse
import configparser
import datetime
import os
import pathlib
import stat
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.console import checked
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance.uses import Uses
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import leases
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    source as yaml_source,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    RegistryError,
    shown,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import LAST_PORT, Registry

CONFIG: t.Final = "ansible.cfg"
_SECTION: t.Final = "port_registry"


def path(args: argparse.Namespace) -> str:
    """The file of the registry, found as Ansible finds it, and further up.

    Raises RegistryError if nothing says where it is.
    """
    named = args.registry or os.environ.get("PORT_REGISTRY")
    if named:
        return os.path.abspath(os.path.expanduser(named))
    for config in _configs():
        found = _path_of(config)
        if found:
            return found
    raise RegistryError(
        f"found no {CONFIG} with path in a section [{_SECTION}], here or further up; write one,"
        " set PORT_REGISTRY, or say --registry FILE"
    )


def _configs() -> t.Iterator[pathlib.Path]:
    named = os.environ.get("ANSIBLE_CONFIG")
    if named:
        file = pathlib.Path(named).expanduser()
        yield file / CONFIG if file.is_dir() else file
    here = pathlib.Path.cwd()
    for folder in (here, *here.parents):
        # Ansible ignores it there too: anybody may have put it there.
        if not folder.stat().st_mode & stat.S_IWOTH:
            yield folder / CONFIG


def _path_of(config: pathlib.Path) -> str | None:
    try:
        text = config.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    parser = configparser.ConfigParser(inline_comment_prefixes=(";",), interpolation=None)
    try:
        parser.read_string(text, str(config))
    except configparser.Error as error:
        raise RegistryError(f"{shown(str(config))}: {error.message}") from error
    value = parser.get(_SECTION, "path", fallback="")
    if not value:
        return None
    expanded = os.path.expanduser(os.path.expandvars(value))
    return os.path.normpath(config.parent.absolute() / expanded)


def port(text: str) -> int:
    """The port that a word of the command line is."""
    if text.isdecimal() and 1 <= int(text) <= LAST_PORT:
        return int(text)
    raise argparse.ArgumentTypeError(f"found {text!r}, allowed is a number from 1 to {LAST_PORT}")


def registry(args: argparse.Namespace) -> Registry:
    """The registry. Raises RegistryError with every fault of it."""
    file = path(args)
    source = content(file)
    known = checked.Known("registry", source) if source is not None else None
    data = known.data() if known is not None else None
    if data is not None:
        found = Registry.from_data(data, file, source or b"")
    else:
        from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (  # noqa: PLC0415
            load,
        )

        found = load.read(file)
        known = checked.Known("registry", found.source)
        with yaml_source.without_gc():
            known.remember(found.data)
    if known is not None:
        found.lines = checked.Lines(known)
    return found


def lent(file: str) -> list[leases.Lease]:
    """The leases of a file. Raises RegistryError with every fault of it."""
    source = content(file)
    if source is None:
        return leases.read(file)
    known = checked.Known("leases", source)
    data = known.data()
    if data is None:
        leases.parse(source, file)
        data = yaml_source.parse(source)[0]
        known.remember(data)
    return leases.from_data(data, checked.Lines(known), file)


def content(file: str) -> bytes | None:
    """What is in a file; None if that can't be told here."""
    try:
        return yaml_source.read(file)
    except OSError:
        return None


def existing(source: bytes | None, file: str) -> bytes:
    """The text of a registry that has to be there. Raises RegistryError."""
    if source is None:
        raise RegistryError(f"{shown(file)}: there is no such registry")
    return source


def uses(args: argparse.Namespace) -> Uses:
    """Every use of every port. Raises RegistryError with every fault of registry and leases."""
    known = registry(args)
    return Uses(known, lent(leases.beside(known.file)), now())


def now() -> datetime.datetime:
    """The time, with its zone."""
    return datetime.datetime.now(tz=datetime.UTC)
