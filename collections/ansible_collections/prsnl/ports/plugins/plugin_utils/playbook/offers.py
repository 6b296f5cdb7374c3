# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What roles bring along for other roles: `offers/<kind>.yml` in the folder of a role."""

from __future__ import annotations

import functools
import pathlib
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import source as yaml_source
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    found,
    report,
    shown,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.schema import Schema

FOLDER: t.Final = "offers"
_KIND: t.Final = re.compile(r"[a-z][a-z0-9_]*")
# Roles of this collection belong to no service, but are part of every site.
_OWN_ROLES: t.Final = pathlib.Path(__file__).parents[3] / "roles"

Offer = t.Union[dict[str, t.Any], list[t.Any]]


class OfferError(Exception):
    """Files of offers that can't be used; `str()` gives every fault on a line of its own."""


def offer_files(
    kind: str, services: t.Iterable[str], roots: t.Iterable[pathlib.Path]
) -> list[pathlib.Path]:
    """The files of a kind, first those of this collection's own roles, then the services'.

    A service's role is the first folder of its name in one of the roots. Raises OfferError if the
    kind can't be the name of a file.
    """
    if not _KIND.fullmatch(kind):
        raise OfferError(
            f"found {found(kind)} as a kind of offers, allowed are lower-case letters, digits and _"
        )
    roots = tuple(roots)
    roles = sorted(role for role in _OWN_ROLES.iterdir() if role.is_dir())
    for service in services:
        roles += [root / service for root in roots if (root / service).is_dir()][:1]
    files = [role / FOLDER / f"{kind}.yml" for role in roles]
    return [file for file in files if file.exists()]


def merged(files: t.Iterable[pathlib.Path], schema: str | None = None) -> Offer | None:
    """All files as one: mappings with all their keys, or lists with all their items.

    None if there are no files. `schema` is the path of a JSON Schema that each of them has to obey.
    Raises OfferError if one doesn't, if it isn't YAML, or if two have the same key.
    """
    result: Offer | None = None
    origin: dict[str, pathlib.Path] = {}
    for file in files:
        data = _read(file, _schema(schema) if schema else None)
        if result is None:
            result = type(data)()
        if isinstance(result, dict) and isinstance(data, dict):
            for key in data.keys() & origin.keys():
                raise OfferError(
                    f"{shown(str(file))}: {found(key)} is in {shown(str(origin[key]))} as well;"
                    " rename one of them"
                )
            origin |= dict.fromkeys(data, file)
            result.update(data)
        elif isinstance(result, list) and isinstance(data, list):
            result += data
        else:
            raise OfferError(
                f"{shown(str(file))}: found {found(data)}, allowed is {found(result)} as in the"
                " other roles' files of that name"
            )
    return result


@functools.cache
def _schema(file: str) -> Schema:
    try:
        return Schema(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise OfferError(f"{shown(file)}: it can't be read: {reason}") from None


def _read(file: pathlib.Path, schema: Schema | None) -> Offer:
    name = str(file)
    try:
        source = file.read_bytes()
    except OSError as error:
        raise OfferError(f"{shown(name)}: it can't be read: {error.strerror}") from None
    lines = yaml_source.lines(source)
    data, faults = yaml_source.parse(source)
    if data is None and [fault.message for fault in faults] == [yaml_source.EMPTY]:
        faults = []
    elif not faults and schema is not None:
        faults = list(schema.faults(data))
    if faults:
        raise OfferError(report(name, faults, lines))
    if not isinstance(data, (dict, list)) or not data:
        raise OfferError(
            f"{shown(name)}:1: found {found(data)}, allowed are named or listed offers"
        )
    return data
