# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry that a generated guide was made from."""

from __future__ import annotations

import html
import json
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.outputs import guide
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    RegistryError,
    shown,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import mapping

_CHANGE: t.Final = re.compile(
    r"(?P<endpoint>\S+)(?: (?P<old>\d+))? → (?P<new>\d+|gone)(?: (?P<status>\w+))?"
)
_FURTHER: t.Final = re.compile(r"^## Further settings\s+```json\n(?P<text>.*?)\n```$", re.M | re.S)

_Row = dict[str, str]


def is_exported(text: str) -> bool:
    """Whether a document is a guide that was generated."""
    return guide.MARK in text


def read(text: str, file: str) -> dict[str, t.Any]:
    """The data of the registry. Raises RegistryError if somebody has edited the tables."""
    try:
        return _read(text)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise RegistryError(
            f"{shown(file)}:1: found a generated guide whose tables were edited, allowed is one as"
            f" `ports generate` makes it ({type(error).__name__}: {error})"
        ) from error


def _read(text: str) -> dict[str, t.Any]:
    tables = _tables(text)
    data: dict[str, t.Any] = {"version": 1}
    for key in ("environments", "groups"):
        _add_named(data, key, tables)
    if "Networks" in tables:
        data["networks"] = {
            _plain(row["Network"]): {
                "description": _plain(row["Description"]),
                "cidrs": _value("addresses", row["CIDRs"]),
            }
            for row in tables["Networks"]
        }
    if "Reserved ranges" in tables:
        data["ranges"] = {
            _plain(row["Range"]): {"ports": row["Ports"], "purpose": _plain(row["Purpose"])}
            for row in tables["Reserved ranges"]
        }
    _add_named(data, "rules", tables)
    data["services"] = _services(tables)
    if "Decisions" in tables:
        data["decisions"] = [
            {key.lower(): _plain(value) for key, value in row.items()}
            for row in tables["Decisions"]
        ]
    if "History" in tables:
        data["history"] = [_entry(row) for row in tables["History"]]
    further = _FURTHER.search(text)
    return data | (json.loads(further["text"]) if further else {})


def _tables(text: str) -> dict[str, list[_Row]]:
    """The rows of the table below each heading."""
    found: dict[str, list[_Row]] = {}
    title, columns = "", None
    for line in text.splitlines():
        if line.startswith("## "):
            title, columns = line[3:].strip(), None
        elif line.startswith("| ") and columns is None:
            columns = _cells(line)
            found.setdefault(title, [])
        elif line.startswith("| ") and columns and not line.startswith("| ---"):
            found[title].append(dict(zip(columns, _cells(line), strict=True)))
    return found


def _cells(line: str) -> list[str]:
    return [cell.strip(" ") for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def _plain(cell: str) -> str:
    """The text of a cell, without the marks of code."""
    if cell.startswith("`") and cell.endswith("`"):
        return cell[1:-1]
    return html.unescape(cell)


def _value(key: str, cell: str) -> t.Any:
    if key in guide.LISTS and ", " in cell:
        return [_plain(item) for item in cell.split(", ")]
    text = _plain(cell)
    if key == "port":
        return int(text)
    if key == "browser_origin":
        return text == "yes"
    return [text] if key in guide.LISTS and key != "owner.process" else text


def _add_named(data: dict[str, t.Any], key: str, tables: dict[str, list[_Row]]) -> None:
    title, (name, text) = guide.NAMED[key]
    if title in tables:
        data[key] = {_plain(row[name]): _plain(row[text]) for row in tables[title]}


def _entries(row: _Row, columns: t.Mapping[str, str]) -> dict[str, t.Any]:
    """What the cells of a row say."""
    found: dict[str, t.Any] = {}
    for column, key in columns.items():
        if key and row[column]:
            into = found.setdefault("owner", {}) if key.startswith("owner.") else found
            into[key.removeprefix("owner.")] = _value(key, row[column])
    if row.get(guide.OTHER):
        found |= json.loads(html.unescape(row[guide.OTHER]))
    return found


def _services(tables: dict[str, list[_Row]]) -> dict[str, t.Any]:
    endpoints: dict[str, dict[str, t.Any]] = {}
    for title in ("Ports in use", "Retired and reserved ports"):
        for row in tables.get(title, []):
            endpoints[_plain(row["Endpoint"])] = _entries(row, guide.PORTS)
    for row in tables.get("Details of endpoints", []):
        endpoints[_plain(row["Endpoint"])] |= _entries(row, guide.DETAILS)
    for row in tables.get("Routes of the reverse proxy", []):
        endpoint = endpoints[_plain(row["Endpoint"])]
        endpoint.setdefault("routes", {})[_plain(row["Prefix"])] = _plain(row["Title"])
    services: dict[str, t.Any] = {}
    for row in tables["Services"]:
        name = _plain(row["Service"])
        service = _entries(row, guide.SERVICES)
        service["endpoints"] = {
            endpoint: endpoints[f"{name}.{endpoint}"]
            for endpoint in _value("environments", row["Endpoints"])
        }
        services[name] = service
    return mapping(services)


def _entry(row: _Row) -> dict[str, t.Any]:
    changes = []
    for text in row["Changes"].split("; ") if row["Changes"] else ():
        match = _CHANGE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no change of an endpoint")
        change: dict[str, t.Any] = {"endpoint": _plain(match["endpoint"])}
        if match["old"]:
            change["from"] = int(match["old"])
        if match["new"] != "gone":
            change["to"] = int(match["new"])
        if match["status"]:
            change["status"] = match["status"]
        changes.append(change)
    texts = {column.lower(): _plain(row[column]) for column in guide.HISTORY[:-1]}
    return {**texts, "changes": changes}
