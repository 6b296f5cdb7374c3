# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history compared with an earlier registry: every change has its entry, and entries stay."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    Path,
    found,
    shown,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import (
    GUARDED,
    Endpoint,
    HistoryChange,
    Registry,
)

# A new endpoint of another status may be tried out first.
_RECORDED: t.Final = GUARDED | {"retired"}
_Entry = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Breach:
    """What is against the rules, where in the later registry, and how to do it right."""

    path: Path
    message: str

    def __str__(self) -> str:
        return self.message


def breaches(before: Registry, after: Registry, base: str) -> list[Breach]:
    """What was changed without an entry since `before`, and entries that aren't as they were.

    `base` is the name of the earlier state in messages.
    """
    found_breaches = list(_lost_entries(before, after, base))
    if found_breaches:
        # What the history says of changes can't be told while entries are missing.
        return found_breaches
    newest = {change.endpoint: change for change in after.changes}
    new_entries = _new_entries(before, after)
    for name in {**before.endpoints, **after.endpoints}:
        old, new = before.endpoints.get(name), after.endpoints.get(name)
        if _facts(old) != _facts(new):
            last = newest.get(name)
            is_new = last is not None and last.path[1] in new_entries
            if not _is_recorded(old, new, last, is_new):
                found_breaches.append(_unrecorded(old, new, last, base))
    return found_breaches


def _history(registry: Registry) -> list[_Entry]:
    history = registry.data.get("history", [])
    return history if isinstance(history, list) else []


def _matches(before: Registry, after: Registry) -> t.Iterator[tuple[int, int | None]]:
    """For each earlier entry its index, and that of the same one later, in the same order."""
    later, start = _history(after), 0
    for index, entry in enumerate(_history(before)):
        place = next((i for i in range(start, len(later)) if later[i] == entry), None)
        yield index, place
        start = start if place is None else place + 1


def _new_entries(before: Registry, after: Registry) -> set[int]:
    kept = {place for _index, place in _matches(before, after)}
    return set(range(len(_history(after)))) - kept


def _lost_entries(before: Registry, after: Registry, base: str) -> t.Iterator[Breach]:
    earlier, later = _history(before), _history(after)
    new = _new_entries(before, after)
    remedy = (
        f"What was recorded stays as it was: put it back (git diff {base} --"
        f" {shown(after.file)}), and add an entry at the end that says what is different"
    )
    for index, place in _matches(before, after):
        if place is not None:
            continue
        entry = earlier[index]
        what = f"the entry of {entry.get('date')}, {found(entry.get('what'))}"
        if entry in later:
            path: Path = ("history", later.index(entry))
            yield Breach(path, f"{what}, has another place than in {base}. {remedy}")
            continue
        alike = [i for i in sorted(new) if _is_like(later[i], entry)]
        if alike:
            edited = later[alike[0]]
            keys = [key for key in {**entry, **edited} if entry.get(key) != edited.get(key)]
            text = f"{what}, was rewritten since {base}: {listed(keys)}. {remedy}"
            yield Breach(("history", alike[0], *keys[:1]), text)
        else:
            yield Breach(("history",), f"{what}, was removed since {base}. {remedy}")


def _is_like(one: t.Any, other: _Entry) -> bool:
    """Whether an entry is another one that was edited: it says half the same, and what it is."""
    if not isinstance(one, dict):
        return False
    same = [key for key, value in other.items() if one.get(key) == value]
    return 2 * len(same) >= len(other) and ("what" in same or "changes" in same)


def _facts(endpoint: Endpoint | None) -> tuple[int, str, str] | None:
    return (endpoint.port, endpoint.protocol, endpoint.status) if endpoint else None


def _is_recorded(
    old: Endpoint | None, new: Endpoint | None, newest: HistoryChange | None, is_new: bool
) -> bool:
    """Whether the newest entry says what an endpoint became, and isn't about what it was."""
    if old is None and new is not None and new.status not in _RECORDED:
        return True
    says = (newest.new, newest.status) if newest and newest.new is not None else None
    was = (old.port, old.status) if old else None
    return (
        newest is not None
        and says == ((new.port, new.status) if new else None)
        and (is_new or says != was)
    )


def _unrecorded(
    old: Endpoint | None, new: Endpoint | None, newest: HistoryChange | None, base: str
) -> Breach:
    endpoint = t.cast(Endpoint, new or old)
    if new is None:
        text = f"found no {endpoint.id}, but {_said(old)} in {base}"
        how = "To keep others from its port, retire it instead"
        path: Path = ("services", endpoint.service)
    else:
        text = f"found {_said(new)}, but {_said(old)} in {base}"
        how = f"Take the change back, and let `{_command(old, new)}` make it"
        path = (*new.path, "status" if old and new.port == old.port else "port")
    return Breach(
        path,
        f"{text}, without an entry in history. {how}, or add at the end of history:\n"
        "  - date: ...\n    what: ...\n    why: ...\n    by: ...\n    changes:\n"
        f"      - {_entry(endpoint.id, new, newest)}",
    )


def _said(endpoint: Endpoint | None) -> str:
    return f"{endpoint.port}/{endpoint.protocol} {endpoint.status}" if endpoint else "nothing"


def _entry(name: str, new: Endpoint | None, newest: HistoryChange | None) -> str:
    parts = [f"endpoint: {name}"]
    if newest is not None and newest.new is not None:
        parts.append(f"from: {newest.new}")
    if new is not None:
        parts += [f"to: {new.port}", f"status: {new.status}"]
    return "{" + ", ".join(parts) + "}"


def _command(old: Endpoint | None, new: Endpoint) -> str:
    name = new.id
    if old is None:
        return f"ports allocate {name} --port {new.port} --status {new.status} --reason ..."
    if new.status == "retired":
        return f"ports retire {name} --reason ..."
    if old.status == "retired":
        return f"ports allocate {name} --reuse --reason ..."
    port = f" {new.port}" if new.port != old.port else ""
    status = f" --status {new.status}" if new.status != old.status else ""
    return f"ports move {name}{port}{status} --reason ..."
