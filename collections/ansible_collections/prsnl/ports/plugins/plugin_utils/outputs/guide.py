# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry as a guide for people, in Markdown, without losing anything.

Reading the guide gives the registry again (`drafts.exported`), so its tables have every entry, and
only they are read; what is said between them is for people.
"""

from __future__ import annotations

import html
import json
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import (
    ALL_HOSTS,
    EXPECT,
    Registry,
    mapping,
)

MARK: t.Final = "<!-- prsnl.ports guide 1 -->"
OTHER: t.Final = "Other"
# The heading and the columns of each table; by the keys of the registry where they have one.
SERVICES: t.Final = {
    "Service": "",
    "Description": "description",
    "Hosts": "hosts",
    "Environments": "environments",
    "Range": "range",
    "Replaces": "replaces",
    "Endpoints": "",
    "Process": "owner.process",
    "User": "owner.user",
    "Unit": "owner.unit",
}
PORTS: t.Final = {
    "Port": "port",
    "Endpoint": "",
    "Status": "status",
    "Exposure": "exposure",
    "Consumers": "consumers",
    "Environments": "environments",
    "Description": "description",
    "Exception": "exception",
    "Config": "config",
}
DETAILS: t.Final = {
    "Endpoint": "",
    "Protocol": "protocol",
    "Addresses": "addresses",
    "Probe": "probe",
    "TLS": "tls",
    "Metrics": "metrics",
    "CORS": "browser_origin",
}
NAMED: t.Final = {
    "environments": ("Environments", ("Environment", "Description")),
    "groups": ("Groups of hosts", ("Group", "Description")),
    "rules": ("Rules", ("Rule", "Meaning")),
}
NETWORKS: t.Final = ("Network", "Description", "CIDRs")
RANGES: t.Final = ("Range", "Ports", "Purpose")
ROUTES: t.Final = ("Endpoint", "Prefix", "Title")
DECISIONS: t.Final = ("Subject", "Found", "Settled", "Reason")
HISTORY: t.Final = ("Date", "What", "Why", "By", "Changes")
LISTS: t.Final = frozenset(("environments", "consumers", "addresses", "config", "owner.process"))
CODE: t.Final = frozenset(
    (
        *("hosts", "environments", "range", "consumers", "config", "addresses", "metrics"),
        *("owner.process", "owner.user", "owner.unit"),
    )
)
# What is told in tables; the rest of the file is in the last section as it is.
TOLD: t.Final = frozenset(
    (
        *("version", "environments", "groups", "networks", "ranges", "rules", "services"),
        *("decisions", "history"),
    )
)
_SPECIAL: t.Final = re.compile(r"[|`*\[\]\\~]|(?<!\w)_|_(?!\w)|^\s|\s$")


_Row = tuple[list[str], dict[str, t.Any]]


def escaped(text: str) -> str:
    """A text that Markdown shows as it is, also in a table."""
    plain = html.escape(text, quote=False)
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", plain)


def _code(text: str) -> str:
    """A name; one that Markdown would take for more than that as text."""
    return f"`{text}`" if text and not re.search(r"[`|&<>\\]|^\s|\s$", text) else escaped(text)


def _cell(key: str, value: t.Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_code(str(item)) for item in value)
    return _code(str(value)) if key in CODE else escaped(str(value))


def _table(columns: t.Iterable[str], rows: t.Iterable[t.Sequence[str]]) -> str:
    head = list(columns)
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |" + "\n" for line in lines) + "\n"


def _is_plain_list(value: t.Any) -> bool:
    """Whether a list of texts can be told in a cell."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, str) and not re.search(r"[,\s]", item) for item in value)
    )


def _row(data: dict[str, t.Any], columns: t.Mapping[str, str]) -> _Row:
    """The cells of an entry, and what doesn't fit into them."""
    rest = dict(data)
    cells = []
    owner = mapping(rest.get("owner"))
    process = owner.get("process")
    split_owner = "owner.process" in columns.values() and (
        set(owner) <= {"process", "user", "unit"}
        and (
            isinstance(process, str)
            or (_is_plain_list(process) and len(t.cast("list[str]", process)) > 1)
        )
    )
    if split_owner:
        del rest["owner"]
    for key in columns.values():
        if key.startswith("owner."):
            cells.append(_cell(key, owner.get(key.removeprefix("owner.")) if split_owner else None))
            continue
        value = rest.get(key) if key else None
        if key in LISTS and value is not None and not _is_plain_list(value):
            value = None
        elif key in rest:
            del rest[key]
        cells.append(_cell(key, value))
    return cells, rest


def _other(rest: t.Mapping[str, t.Any]) -> str:
    return escaped(json.dumps(rest, ensure_ascii=False)) if rest else ""


def _with_other(columns: t.Mapping[str, str], rows: list[_Row]) -> str:
    """A table with a further column for what the others can't say, if there is any."""
    if not any(rest for _cells, rest in rows):
        return _table(columns, [cells for cells, _rest in rows])
    return _table([*columns, OTHER], [[*cells, _other(rest)] for cells, rest in rows])


def guide(registry: Registry, source: str) -> str:
    """The guide of a registry without faults; `source` is its path, as seen from the guide."""
    data = registry.data
    parts = [
        "# Ports\n\n",
        f"{MARK}\n\n",
        f"Generated from [{source}]({source}) by `ports generate`.\n"
        "Don't edit it: change the registry.\n\n",
    ]
    parts += _rules(data)
    parts += _ports(data)
    parts += _places(data)
    parts += [_PROCESS, _LEASES, _TROUBLE]
    parts += _record(data)
    rest = {key: value for key, value in data.items() if key not in TOLD}
    if rest:
        text = json.dumps(rest, indent=2, ensure_ascii=False)
        parts.append(f"## Further settings\n\n```json\n{text}\n```\n\n")
    return "".join(parts).rstrip("\n") + "\n"


def _named(data: dict[str, t.Any], key: str) -> list[str]:
    if key not in data:
        return []
    title, columns = NAMED[key]
    rows = [[_code(name), escaped(text)] for name, text in data[key].items()]
    return [f"## {title}\n\n", _table(columns, rows)]


def _rules(data: dict[str, t.Any]) -> list[str]:
    return _named(data, "rules")


def _endpoints(data: dict[str, t.Any]) -> list[tuple[str, dict[str, t.Any]]]:
    """Every endpoint by its id, by port."""
    found = [
        (f"{service}.{name}", endpoint)
        for service, entry in data["services"].items()
        for name, endpoint in entry["endpoints"].items()
    ]
    return sorted(found, key=lambda pair: (pair[1]["port"], pair[0]))


def _ports(data: dict[str, t.Any]) -> list[str]:
    used: list[_Row] = []
    silent: list[_Row] = []
    details: list[_Row] = []
    routes: list[list[str]] = []
    origins: list[str] = []
    for id_, endpoint in _endpoints(data):
        cells, rest = _row(endpoint, PORTS)
        cells[1] = _code(id_)
        (silent if EXPECT[endpoint["status"]] == "silent" else used).append((cells, {}))
        for prefix, title in rest.pop("routes", {}).items():
            routes.append([_code(id_), _code(prefix), escaped(title)])
        more, rest = _row(rest, DETAILS)
        more[0] = _code(id_)
        if any(more[1:]) or rest:
            details.append((more, rest))
        if endpoint.get("browser_origin"):
            origins.append(f"`http://localhost:{endpoint['port']}` ({_code(id_)})")
    parts = [
        "## Ports in use\n\n",
        _with_other(PORTS, used),
        "`critical` and `fixed` ports have to be bound, and change only with an entry in the\n"
        "history; `alternative` ones may be used, and nothing expects them.\n\n",
    ]
    if silent:
        parts += [
            "## Retired and reserved ports\n\n",
            "Nothing may listen there, and nothing may connect there.\n\n",
            _with_other(PORTS, silent),
        ]
    if details:
        parts += ["## Details of endpoints\n\n", _with_other(DETAILS, details)]
    if routes:
        parts += ["## Routes of the reverse proxy\n\n", _table(ROUTES, routes)]
    if origins:
        parts += [
            "## CORS\n\n",
            "The API has to admit the pages that browsers load from these origins:\n\n",
            "".join(f"- {origin}\n" for origin in origins),
            "\nA request that a browser refuses although the port is right comes from an origin\n"
            "that isn't in this list: generate the list (`format: cors`), and restart the API.\n\n",
        ]
    return parts


def _places(data: dict[str, t.Any]) -> list[str]:
    rows = []
    for name, service in data["services"].items():
        cells, rest = _row(service, SERVICES)
        endpoints = list(rest.pop("endpoints"))
        cells[0] = _code(name)
        cells[list(SERVICES).index("Endpoints")] = _cell("environments", endpoints)
        rows.append((cells, rest))
    parts = ["## Services\n\n", _with_other(SERVICES, rows)]
    if "ranges" in data:
        ranges = [
            [_code(name), span["ports"], escaped(span["purpose"])]
            for name, span in data["ranges"].items()
        ]
        parts += [
            "## Reserved ranges\n\n",
            _table(RANGES, ranges),
            "A port outside of its service's range needs a reason, the exception.\n\n",
        ]
    parts += [*_named(data, "environments"), *_named(data, "groups")]
    if "networks" in data:
        networks = [
            [_code(name), escaped(network["description"]), _cell("addresses", network["cidrs"])]
            for name, network in data["networks"].items()
        ]
        parts += ["## Networks\n\n", _table(NETWORKS, networks)]
    everywhere = any(service["hosts"] == ALL_HOSTS for service in data["services"].values())
    if everywhere:
        parts.append(f"`{ALL_HOSTS}` is every host.\n\n")
    return parts


def _record(data: dict[str, t.Any]) -> list[str]:
    parts = []
    if "decisions" in data:
        rows = [
            [escaped(decision[column.lower()]) for column in DECISIONS]
            for decision in data["decisions"]
        ]
        parts += ["## Decisions\n\n", _table(DECISIONS, rows)]
    if "history" in data:
        rows = [
            [
                escaped(entry["date"]),
                *(escaped(entry[column.lower()]) for column in HISTORY[1:4]),
                "; ".join(map(_change, entry["changes"])),
            ]
            for entry in data["history"]
        ]
        parts += ["## History\n\n", _table(HISTORY, rows)]
    return parts


def _change(change: dict[str, t.Any]) -> str:
    words = [_code(change["endpoint"])]
    words += [str(change["from"])] if "from" in change else []
    words.append("→")
    words += [str(change["to"])] if "to" in change else ["gone"]
    words += [change["status"]] if "status" in change else []
    return " ".join(words)


_PROCESS: t.Final = """\
## Changing or adding a port

1. Ask who has it: `ports who PORT`, and which are free: `ports free RANGE`.
2. Change the registry: `ports allocate`, `ports move` or `ports retire`. Each writes its entry into
   the history; a port of a `critical` or `fixed` endpoint needs a reason.
3. Bring the dependents into step: `ports sync` rewrites the numbers in Compose files, settings,
   units and documents, `ports generate` the files that are made from the registry.
4. Look first, then provision: `ansible-playbook site.yml --check --diff`, then
   `ansible-playbook site.yml`. A port that somebody else holds stops it before a change.

"""

_LEASES: t.Final = """\
## Temporary use

Whoever needs a port for a time takes a lease, with a holder, a reason and an end: `ports lease`.
A leased port is refused to others, and a lease that has ended is reported until it is removed.

"""

_TROUBLE: t.Final = """\
## A port is taken

Find out who holds it before anything is stopped; `PORT` stands for the number. Ask with the rights
of root or of an administrator, or the processes of others stay hidden.

| System | Who listens | Which container |
| --- | --- | --- |
| Linux | `ss -Hltnp 'sport = :PORT'` | `docker ps --filter publish=PORT` |
| macOS | `lsof -nP -iTCP:PORT -sTCP:LISTEN` | `docker ps --filter publish=PORT` |
| Windows | `Get-NetTCPConnection -State Listen -LocalPort PORT` | as on Linux |

- Linux: `systemctl status PID` tells the unit of a process. Stop the unit rather than the process,
  or it comes back.
- macOS: AirPlay Receiver listens on 5000 and 7000 (System Settings, General, AirDrop & Handoff).
  `launchctl` starts again what is killed: `launchctl print system/LABEL` tells what it is.
- Windows: `Get-Process -Id (Get-NetTCPConnection -State Listen -LocalPort PORT).OwningProcess`
  tells the program, `tasklist /svc /fi "PID eq NUMBER"` its service. A port that nobody holds and
  nobody may bind is in a range that Windows has set aside:
  `netsh interface ipv4 show excludedportrange protocol=tcp`. What listens in WSL is seen there with
  the commands for Linux.
- Everywhere: a container that publishes the port holds it even while its program is down: stop that
  container. Don't prune images or restart the engine for it.
- A process that has to go and whose owner you know: `ansible-playbook playbooks/free_port.yml -e
  free_port_host=HOST -e free_port_port=PORT -e free_port_owner=NAME` stops it only if it is who you
  mean.
- Nobody listens, and the connection is refused all the same: `ansible-playbook
  playbooks/verify.yml` says what the registry expects there, and what was found instead.

"""
