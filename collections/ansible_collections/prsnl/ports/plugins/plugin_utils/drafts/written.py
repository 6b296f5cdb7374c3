# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A draft of a registry from a guide that people wrote, with tables of services and ports.

The guide is taken at its word. What it leaves open gets the value that lets nobody in and starts
nothing by itself, and is told; so is every place where it contradicts itself.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.drafts import document
from ansible_collections.prsnl.ports.plugins.plugin_utils.drafts.document import Item, Row, Section
from ansible_collections.prsnl.ports.plugins.plugin_utils.drafts.draft import Draft, Unsettled
from ansible_collections.prsnl.ports.plugins.plugin_utils.references import finders, places
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.context import Context
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.documents import Document
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.judge import (
    RIGHT,
    STALE,
    UNKNOWN,
    Judge,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.names import PROTOCOLS
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import word_set
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import Registry

_DATE: t.Final = re.compile(r"(?P<date>\d{4}-\d{2}-\d{2})[\s:\u2013-]*(?P<text>.*)")
_FROM_TO: t.Final = re.compile(
    r"\bfrom\s+(?:port\s+)?(?P<old>\d{2,5})\s+to\s+(?:port\s+)?(?P<new>\d{2,5})"
)
_MOVED: t.Final = re.compile(r"(?P<old>\d{2,5})\s*(?:→|->|=>|to)\s*(?P<new>\d{2,5})")
_LABELLED: t.Final = re.compile(r"(?P<label>old|new|reason|why)\s*:\s*(?P<text>.+)", re.IGNORECASE)
_PORT: t.Final = re.compile(r"(?<![\d.])\d{2,5}(?![\d.])")
_RANGE: t.Final = re.compile(r"(?P<first>\d{2,5})\s*(?:-|to)\s*(?P<last>\d{2,5})")
_REASON: t.Final = re.compile(r"\b(?:due to|because(?: of)?)\s+(?P<text>.+)", re.IGNORECASE)
_PARENTHESES: t.Final = re.compile(r"\(([^)]*)\)")
_WORD: t.Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_PATH: t.Final = re.compile(r"`(/[\w.-]+/[\w./-]+\.\w+)`")
_STATUSES: t.Final = ("critical", "fixed", "alternative", "retired", "reserved")
_ENVIRONMENTS: t.Final = {
    "development": ("development", "dev", "local"),
    "staging": ("staging",),
    "production": ("production", "prod"),
}
# Which endpoint of a service it is, by the words of its description, and by the end of its name.
_TOLD: t.Final = {
    **{word: word for word in ("http", "https", "transport", "admin", "grpc", "sql")},
    **dict.fromkeys(("rest", "api", "web", "ui", "dashboard", "interface"), "http"),
    "database": "sql",
}
_NAMED: t.Final = {
    **_TOLD,
    **{word: word for word in ("legacy", "container", "preview", "metrics", "redis")},
    **dict.fromkeys(("dev", "development"), "dev"),
}
_SHORTEST: t.Final = 3
_QUALIFIERS: t.Final = word_set("arm64 amd64 x86 x64 intel server service main primary the port")
_NO_NAMES: t.Final = word_set("the a an default used if when only with for and or of in on at by")
_OPEN: t.Final = "Hosts of the imported service {}; the source doesn't say which"


@dataclasses.dataclass
class _Change:
    """A move that the guide tells of."""

    line: int
    date: str
    text: str
    old: int
    new: int
    why: str = ""
    endpoint: str = ""


class _Guide:
    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._text = text
        self._sections = document.sections(text)
        self._unsettled: list[Unsettled] = []
        self._services: dict[str, dict[str, t.Any]] = {}
        self._lines: dict[str, int] = {}
        self._ranges: dict[str, tuple[int, int, str]] = {}
        self._headings: dict[str, str] = {}
        self._rules: dict[str, str] = {}
        self._dates: list[tuple[str, Item]] = []
        self._changes: list[_Change] = []

    def draft(self) -> Draft:
        """The draft, and what isn't settled, by line."""
        for section in self._sections:
            self._read(section)
        for section in self._sections:
            self._read_changes(section)
        self._place_in_ranges()
        self._say_where()
        history = self._history()
        data = self._data(history)
        self._contradictions(data)
        self._say_what_is_open()
        order = sorted(set(self._unsettled), key=lambda u: (u.line, u.message))
        return Draft(data, order)

    def _ask(self, line: int, message: str) -> None:
        self._unsettled.append(Unsettled(self._file, line, message))

    def _read(self, section: Section) -> None:
        columns = " ".join(section.columns)
        words = set(document_words(section.titles))
        if "rule" in words or "rules" in words:
            self._read_rules(section)
        if not section.rows:
            return
        if "range" in columns:
            for row in section.rows:
                self._read_range(row)
        elif any(word in columns for word in ("service", "name", "component")) and (
            "port" in columns
        ):
            for row in section.rows:
                self._read_service(section, row)
        elif "port" in columns:
            for row in section.rows:
                self._read_alternative(section, row)
        elif any(word in columns for word in ("path", "route", "prefix")):
            self._read_routes(section)

    def _read_rules(self, section: Section) -> None:
        for item in section.items:
            if item.indent:
                continue
            text = document.plain(item.text)
            words = document_words(text)[:4]
            if words:
                self._rules.setdefault("-".join(words), text)

    def _read_range(self, row: Row) -> None:
        ports = _RANGE.search(row.get("range"))
        purpose = row.get("purpose", "use", "description")
        if not ports or not purpose:
            self._ask(row.line, "no range of ports can be read here")
            return
        words = [word for word in document_words(purpose) if word not in ("services", "and")]
        name = "_".join(words[:2] if len(words) > 1 and len(words[0]) < _SHORTEST else words[:1])
        self._ranges[name or "range"] = (int(ports["first"]), int(ports["last"]), purpose)

    def _names(self, cell: str, about: str) -> tuple[str, str]:
        """The service and the endpoint that a row is about."""
        head = re.split(r"[+&/,]", _PARENTHESES.sub(" ", cell))[0]
        words = [w for w in document_words(head) if w not in _QUALIFIERS and not w.isdigit()]
        endpoint = ""
        if len(words) > 1 and words[-1] in _NAMED:
            endpoint = _NAMED[words.pop()]
        told = (_TOLD[word] for word in document_words(about) if word in _TOLD)
        return "_".join(words), endpoint or next(told, "main")

    def _read_service(self, section: Section, row: Row) -> None:
        cell = row.get("service", "name", "component")
        about = row.get("description", "purpose")
        service, endpoint = self._names(cell, about)
        ports = [int(port) for port in _PORT.findall(row.get("port"))]
        if not ports or not re.match(r"[a-z]", service):
            self._ask(row.line, f"no service and port can be read from {cell!r}")
            return
        status = next((s for s in _STATUSES if s in row.get("status").lower()), "")
        for number, port in enumerate(ports):
            name = endpoint if not number else f"{endpoint}_{number + 1}"
            entry = {"description": about or cell, "port": port, "status": status or "fixed"}
            config = [
                self._inside(path)
                for path in row.get("config", "location", "file").split()
                if "/" in path
            ]
            if config:
                entry["config"] = config
            self._add(section, row.line, service, name, entry)
            if not status:
                self._ask(row.line, f"nothing says what status {service}.{name} has; taken: fixed")

    @functools.cached_property
    def _top(self) -> str:
        """The directory that every path of the guide begins with."""
        tops = {path.lstrip("/").partition("/")[0] for path in _PATH.findall(self._text)}
        return f"{tops.pop()}/" if len(tops) == 1 else ""

    def _inside(self, path: str) -> str:
        return path.lstrip("/").removeprefix(self._top)

    def _add(
        self, section: Section, line: int, service: str, name: str, entry: dict[str, t.Any]
    ) -> str:
        """Takes an endpoint in; its id."""
        known = self._services.setdefault(service, {"endpoints": {}})
        self._headings.setdefault(service, section.titles)
        for other, endpoint in known["endpoints"].items():
            if endpoint["port"] == entry["port"]:
                id_ = f"{service}.{other}"
                endpoint["environments"] |= _environments_of(section.titles)
                return id_
        for other, entries in self._services.items():
            for taken, endpoint in entries["endpoints"].items():
                if endpoint["port"] == entry["port"]:
                    self._ask(line, f"{entry['port']} of {service} is {other}.{taken}'s already")
        while name in known["endpoints"]:
            name += "_2"
        id_ = f"{service}.{name}"
        environments = _environments_of(section.titles)
        told = _environments_of(f"{entry['description']}")
        if environments and told and environments != told:
            self._ask(
                line,
                f"{id_} stands among the ports of {_listed(environments)} and is described as one"
                f" of {_listed(told)}; taken: both",
            )
        known["endpoints"][name] = {**entry, "environments": environments | told}
        self._lines[id_] = line
        return id_

    def _read_alternative(self, section: Section, row: Row) -> None:
        ports = [int(port) for port in _PORT.findall(row.get("port"))]
        purpose = row.get("purpose", "use", "description", "when")
        words = document_words(f"{section.titles} {purpose}")
        service = next((word for word in words if word in self._services), None)
        for port in ports:
            if service is None:
                self._ask(
                    row.line, f"nothing says whose port {port} is ({purpose or 'no purpose'})"
                )
                continue
            names = [w for w in document_words(purpose) if w not in _NO_NAMES and w != service]
            entry = {"description": purpose or service, "port": port, "status": "alternative"}
            id_ = self._add(section, row.line, service, (names or ["other"])[0], entry)
            if "cors" in words:
                name = id_.partition(".")[2]
                self._services[service]["endpoints"][name]["browser_origin"] = True

    def _read_routes(self, section: Section) -> None:
        port = next((int(p) for p in _PORT.findall(section.title)), None)
        for row in section.rows:
            path = row.get("path", "route", "prefix").rstrip("*")
            title = row.get("description", "service", "title")
            service = row.get("service")
            for entry in self._services.values():
                for endpoint in entry["endpoints"].values():
                    if endpoint["port"] == port and re.fullmatch(r"/([A-Za-z0-9._~-]+/)*", path):
                        text = ", ".join(dict.fromkeys(filter(None, (service, title))))
                        endpoint.setdefault("routes", {})[path] = text or path

    def _read_changes(self, section: Section) -> None:
        labels = {}
        for item in section.items:
            label = _LABELLED.match(document.plain(item.text))
            if label:
                labels[label["label"].lower()] = (item.line, label["text"])
        if {"old", "new"} <= labels.keys():
            self._read_old_and_new(section, labels)
        date: str = ""
        for item in section.items:
            text = document.plain(item.text)
            dated = _DATE.match(text)
            if dated and not item.indent:
                date, text = dated["date"], dated["text"]
                self._dates.append((date, dataclasses.replace(item, text=text)))
            move = _FROM_TO.search(text)
            if date and move:
                why = _REASON.search(text)
                change = _Change(item.line, date, text, int(move["old"]), int(move["new"]))
                change.why = why["text"] if why else ""
                self._changes.append(change)

    def _read_old_and_new(self, section: Section, labels: dict[str, tuple[int, str]]) -> None:
        (_line, old), (line, new) = labels["old"], labels["new"]
        why = labels.get("reason", labels.get("why", (0, "")))[1]
        before, after = _port_in(old), _port_in(new)
        service = self._service_in(f"{new} {section.title}")
        if before is None or after is None or service is None:
            self._ask(line, f"nothing says whose port changed: {section.title}")
        elif before == after:
            name = document_words(old)[:1]
            if name and name[0] != service:
                self._services[service]["replaces"] = name[0]
                self._ask(
                    line,
                    f"nothing says when {service} took the place of {name[0]} on {after}; drafted:"
                    " it had the port from the beginning",
                )
        else:
            told = _PARENTHESES.search(old)
            words = document_words(told[1] if told else "")
            change = _Change(line, "", section.title, before, after, why)
            change.endpoint = words[0] if words else ""
            self._changes.append(change)

    def _service_in(self, text: str) -> str | None:
        words = document_words(text)
        for service in self._services:
            if set(service.split("_")) <= set(words):
                return service
        return next(
            (
                service
                for service, entry in self._services.items()
                for endpoint in entry["endpoints"].values()
                if set(words) & set(document_words(endpoint["description"])) - _NO_NAMES
            ),
            None,
        )

    def _place_in_ranges(self) -> None:
        for service, entry in self._services.items():
            self._tell_probe(service, entry)
            words = set(document_words(f"{service} {self._headings[service]}"))
            words |= {
                word
                for endpoint in entry["endpoints"].values()
                for word in document_words(endpoint["description"])
            }
            ports = [endpoint["port"] for endpoint in entry["endpoints"].values()]
            fits = [
                name
                for name, (first, last, purpose) in self._ranges.items()
                if _alike(words, document_words(purpose)) or any(first <= p <= last for p in ports)
            ]
            best = max(fits, key=lambda name: self._fitness(name, words, ports), default=None)
            if best is not None:
                entry["range"] = best
            elif self._ranges:
                at = min(self._lines[f"{service}.{name}"] for name in entry["endpoints"])
                self._ask(at, f"nothing says which range {service} belongs to; drafted: none")
            for name, endpoint in entry["endpoints"].items():
                around = next(
                    (n for n, (a, b, _p) in self._ranges.items() if a <= endpoint["port"] <= b),
                    None,
                )
                if around == best:
                    continue
                id_ = f"{service}.{name}"
                endpoint["exception"] = f"As in {self._file.rpartition('/')[2]}, without a reason"
                place = f"in the range {around}" if around else "in no range"
                self._ask(self._lines[id_], f"{endpoint['port']} of {id_} lies {place}; why?")

    @staticmethod
    def _tell_probe(service: str, entry: dict[str, t.Any]) -> None:
        """A server of a well-known protocol is asked in that protocol whether it answers."""
        for probe, protocol in PROTOCOLS.items():
            if {service, entry.get("replaces")} & set(protocol.words):
                next(iter(entry["endpoints"].values()))["probe"] = probe

    def _fitness(self, name: str, words: set[str], ports: list[int]) -> tuple[int, int]:
        first, last, purpose = self._ranges[name]
        inside = sum(first <= port <= last for port in ports)
        return int(_alike(words, document_words(purpose))), inside

    def _history(self) -> list[dict[str, t.Any]]:
        """The entries of the history, in which every endpoint comes to its port."""
        current = {
            f"{service}.{name}": endpoint
            for service, entry in self._services.items()
            for name, endpoint in entry["endpoints"].items()
        }
        first = min((date for date, _item in self._dates), default="")
        if not first:
            first = "1970-01-01"
            self._ask(1, f"nothing says since when the ports are as they are; taken: {first}")
        self._settle_changes(current)
        moves: dict[str, list[_Change]] = collections.defaultdict(list)
        for change in sorted(self._changes, key=lambda c: c.date):
            if change.endpoint in current:
                moves[change.endpoint].append(change)
        entries: dict[str, dict[str, t.Any]] = {}
        texts = dict(reversed(self._dates))
        for id_, endpoint in current.items():
            told = moves.get(id_, [])
            # Another endpoint had its port before.
            left = [c.date for c in self._changes if c.old == endpoint["port"]]
            since = max(left, default=first) if not told else first
            port = told[0].old if told else endpoint["port"]
            status = endpoint["status"]
            self._record(entries, since, texts, {"endpoint": id_, "to": port, "status": status})
            for move in told:
                new = {"endpoint": id_, "from": port, "to": move.new, "status": status}
                self._record(entries, move.date, texts, new, move.why)
                port = move.new
        for id_, endpoint in self._retire(moves, current).items():
            when = endpoint.pop("date")
            retired = {"endpoint": id_, "to": endpoint["port"], "status": "retired"}
            self._record(entries, when, texts, retired)
        return [entries[date] for date in sorted(entries)]

    def _settle_changes(self, current: dict[str, dict[str, t.Any]]) -> None:
        """Finds the endpoint of each change, and the date of those that have none."""
        dated = [change for change in self._changes if change.date]
        for change in self._changes:
            twin = next(
                (
                    c
                    for c in dated
                    if (c.old, c.new) == (change.old, change.new) and c is not change
                ),
                None,
            )
            if not change.date:
                if twin is None:
                    self._ask(change.line, f"nothing says when {change.old} became {change.new}")
                elif not twin.why:
                    twin.why = change.why
        names = {c.old: c.endpoint for c in self._changes if not c.date and c.endpoint}
        self._changes = dated
        for change in sorted(dated, key=lambda c: c.date, reverse=True):
            follows = [
                later.endpoint
                for later in dated
                if later.old == change.new and later.date > change.date and later.endpoint
            ]
            holders = [id_ for id_, e in current.items() if e["port"] == change.new]
            found = (follows or holders)[:1]
            if found:
                change.endpoint = found[0]
            else:
                change.endpoint = ""
                self._ask(change.line, f"nothing says which endpoint moved to {change.new}")
        self._old_names = names

    def _retire(
        self,
        moves: t.Mapping[str, list[_Change]],
        current: t.Mapping[str, dict[str, t.Any]],
    ) -> dict[str, dict[str, t.Any]]:
        """Endpoints for ports that nobody has any more."""
        used = {endpoint["port"] for endpoint in current.values()}
        retired: dict[str, dict[str, t.Any]] = {}
        for id_, changes in moves.items():
            service, _dot, _name = id_.partition(".")
            for change in changes:
                if change.old in used:
                    continue
                used.add(change.old)
                name = self._old_names.get(change.old) or f"former_{change.old}"
                text = f"What {id_} had until {change.date}"
                endpoint = {"description": text, "port": change.old, "status": "retired"}
                self._services[service]["endpoints"][name] = endpoint
                retired[f"{service}.{name}"] = {**endpoint, "date": change.date}
        return retired

    def _record(
        self,
        entries: dict[str, dict[str, t.Any]],
        date: str,
        texts: t.Mapping[str, Item],
        change: dict[str, t.Any],
        why: str = "",
    ) -> None:
        item = texts.get(date)
        entry = entries.get(date)
        if entry is None:
            what = (item.text if item else "") or "Imported"
            entry = entries[date] = {
                "date": date,
                "what": what.rstrip(": ") or "Imported",
                "why": why or "The guide doesn't say",
                "by": "unknown",
                "changes": [],
            }
            self._ask(item.line if item else 1, f"nothing says who made the change of {date}")
            if not why:
                self._ask(
                    item.line if item else 1, f"nothing says why the change of {date} was made"
                )
        entry["changes"].append(change)

    def _data(self, history: list[dict[str, t.Any]]) -> dict[str, t.Any]:
        environments = self._environments() or {"default"}
        data: dict[str, t.Any] = {
            "version": 1,
            "environments": {name: f"Imported: {name}" for name in sorted(environments)},
            "groups": {name: _OPEN.format(name) for name in self._services},
        }
        if self._ranges:
            data["ranges"] = {
                name: {"ports": f"{first}-{last}", "purpose": purpose}
                for name, (first, last, purpose) in self._ranges.items()
            }
        if self._rules:
            data["rules"] = self._rules
        data["services"] = {
            name: _service(name, entry, environments) for name, entry in self._services.items()
        }
        return {**data, "history": history}

    def _contradictions(self, data: dict[str, t.Any]) -> None:
        """Every port in the guide that isn't what its tables say."""
        judge = Judge(Registry.from_data(data, self._file))
        found = Document.from_bytes("guide.md", self._text.encode())
        if found is None:
            return
        for mention in finders.find(finders.Kind.MARKDOWN, found.text, Context("guide.md")):
            port = places.port_of(found.text[mention.start : mention.end])
            if port is None:
                continue
            verdict = judge.judge("guide.md", port, dataclasses.replace(mention, prose=False))
            line, _column = found.position(mention.start)
            if verdict is None or verdict.verdict in (RIGHT,) or line in self._lines.values():
                continue
            if verdict.verdict in (STALE, UNKNOWN):
                service = verdict.service or ""
                at = min(
                    (n for i, n in self._lines.items() if i.startswith(f"{service}.")), default=0
                )
                see = f"; the table says so in line {at}" if at else ""
                self._ask(line, f"{verdict.message}{see}")

    def _say_what_is_open(self) -> None:
        for service, entry in self._services.items():
            admitted = [n for n, e in entry["endpoints"].items() if e.get("browser_origin")]
            others = [n for n in entry["endpoints"] if n not in admitted]
            for name in others if admitted else ():
                line = self._lines.get(f"{service}.{name}", 1)
                self._ask(line, f"nothing says whether {service}.{name} is an origin for CORS too")
        ids = _listed(self._lines)
        if not ids:
            self._ask(1, "no table of services and ports was found")
            return
        for message in (
            "nothing says on which hosts the services are; drafted: a group for each",
            f"nothing says who may reach {ids}; drafted: its own hosts at most",
            "nothing says which processes own the ports; drafted: ones called like the services",
        ):
            self._ask(1, message)

    def _environments(self) -> set[str]:
        return _environments_of(" ".join(section.titles for section in self._sections))

    def _say_where(self) -> None:
        """In which environments the guide doesn't say that something is, or isn't."""
        alike: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
        for id_ in self._lines:
            service, _dot, name = id_.partition(".")
            told = self._services[service]["endpoints"][name]["environments"]
            others = self._environments() - told
            if others:
                alike[_listed(told), _listed(others)].append(id_)
        for (told, others), ids in alike.items():
            text = f"nothing says whether {others} has {_listed(ids)} too; drafted: it hasn't"
            if not told:
                text = f"nothing says which environment has {_listed(ids)}; drafted: all of theirs"
            self._ask(self._lines[ids[0]], text)


def _port_in(text: str) -> int | None:
    """The port that a text speaks of: the number after that word, or the last one."""
    said = re.search(r"\bport\s+(\d{2,5})", text, re.IGNORECASE)
    numbers = _PORT.findall(text)
    return int(said[1]) if said else int(numbers[-1]) if numbers else None


def document_words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


def _alike(words: t.Collection[str], others: t.Iterable[str]) -> bool:
    """Whether two texts share a word, be it in the singular or the plural."""
    stems = {word.rstrip("s") for word in words if len(word) >= _SHORTEST}
    return any(word.rstrip("s") in stems for word in others if word not in ("services", "service"))


def _listed(words: t.Iterable[str]) -> str:
    return ", ".join(sorted(words))


def _environments_of(text: str) -> set[str]:
    words = set(document_words(text))
    return {name for name, told in _ENVIRONMENTS.items() if words & set(told)}


def _service(
    name: str, entry: dict[str, t.Any], environments: t.Collection[str]
) -> dict[str, t.Any]:
    """A service as the registry has it, with what the guide doesn't say."""
    endpoints: dict[str, dict[str, t.Any]] = {}
    everywhere: set[str] = set()
    for endpoint in entry["endpoints"].values():
        everywhere |= endpoint.get("environments", set())
    everywhere = everywhere or set(environments)
    for id_, endpoint in entry["endpoints"].items():
        told = endpoint.pop("environments", set())
        if endpoint["status"] != "retired":
            # Who offers it isn't told; nobody but its own hosts is the least that routes allow.
            routed = "routes" in endpoint
            endpoint["exposure"] = "internal" if routed else "host"
            if routed:
                endpoint["consumers"] = [name]
        if told and told != everywhere:
            endpoint["environments"] = sorted(told)
        endpoints[id_] = endpoint
    first = next(iter(endpoints.values()))
    service: dict[str, t.Any] = {
        "description": first["description"],
        "hosts": name,
        "environments": sorted(everywhere),
    }
    for key in ("range", "replaces"):
        if key in entry:
            service[key] = entry[key]
    return {**service, "owner": {"process": name.replace("_", "-")}, "endpoints": endpoints}


def read(text: str, file: str) -> Draft:
    """The draft that a guide gives."""
    return _Guide(text, file).draft()
