# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is meant: the names under which files speak of the registry's services."""

from __future__ import annotations

import dataclasses
import functools
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import Hint, Name
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import word_set
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import (
    Endpoint,
    Registry,
    mapping,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.owners import (
    SYSTEMS,
    Owner,
    owner_on,
)

_CHUNK: t.Final = re.compile(r"[^\W_]+")
_PIECE: t.Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
# Runtimes run anything, so that their names tell nothing about a service.
_RUNTIMES: t.Final = word_set(
    "node java python python3 ruby php perl deno bun dotnet beam sh bash uvicorn gunicorn"
)
# What a container's or a job's name may have besides the name of the service.
_NEUTRAL: t.Final = word_set(
    "alpine amd64 api app arm64 base ce cluster container core custom data database db default dev"
    " development docker ee ha host http https image instance internal job latest local localhost"
    " main master my official oss primary prod production server service single slim stack stage"
    " staging standalone svc tcp test testing v"
)
# With one of these it is something that is done with the service.
_TASKS: t.Final = word_set(
    "backup backups check dump for init initialize migrate migration migrations migrator restore"
    " seed seeder setup wait"
)


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How files speak of any server of a protocol that the registry can probe.

    The words that libraries and client programs use are those of their documentation: libpq's
    variables and programs for PostgreSQL, the URL schemes registered for Redis clients.
    """

    schemes: frozenset[str]
    words: tuple[str, ...]
    weak: tuple[str, ...]
    images: frozenset[str]
    programs: frozenset[str]

    def of(self, hint: Hint) -> frozenset[str]:
        """Its images, schemes or programs."""
        tables = {Hint.IMAGE: self.images, Hint.SCHEME: self.schemes, Hint.PROGRAM: self.programs}
        return tables[hint]


PROTOCOLS: t.Final = {
    "postgres": Protocol(
        schemes=word_set("postgres postgresql postgis pgsql pg psql"),
        words=("postgres", "postgresql", "pgsql", "psql", "pg", "pgport", "pghost", "libpq"),
        weak=("db", "database", "sql"),
        images=word_set(
            "postgres postgresql postgis pgvector timescaledb timescaledb-ha pgvecto-rs"
            " postgresql-repmgr postgres-ha"
        ),
        programs=word_set(
            "psql pg_isready pg_dump pg_dumpall pg_restore pg_basebackup pg_ctl pgbench createdb"
            " dropdb createuser dropuser vacuumdb reindexdb clusterdb postgres pgcli initdb"
        ),
    ),
    "redis": Protocol(
        schemes=word_set("redis rediss valkey valkeys"),
        words=("redis", "valkey"),
        weak=("cache",),
        images=word_set("redis redis-stack redis-stack-server valkey keydb"),
        programs=word_set("redis-cli redis-server redis-benchmark valkey-cli valkey-server iredis"),
    ),
}


class Meaning(t.NamedTuple):
    """The services that a name can mean; `strong` is enough by itself to tell whose port it is."""

    strong: frozenset[str]
    weak: frozenset[str]


_NOTHING: t.Final = Meaning(frozenset(), frozenset())


class Names:
    """Finds the services that a text names, from what the registry says about them."""

    def __init__(self, registry: Registry) -> None:
        self._strong: dict[tuple[str, ...], set[str]] = {}
        self._weak: dict[tuple[str, ...], set[str]] = {}
        self._tables: dict[Hint, dict[str, set[str]]] = {
            Hint.IMAGE: {},
            Hint.SCHEME: {},
            Hint.PROGRAM: {},
        }
        self._routes: list[tuple[str, str]] = []
        self._config: dict[str, list[Endpoint]] = {}
        self._endpoints: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for name in registry.services:
            self._add_service(registry, name)
        for change in registry.changes:
            service = change.endpoint.partition(".")[0]
            if service and service not in registry.services:
                self._add_alias(service, service)
        # The service's own name prevails over what another one's process or unit is called.
        for name in registry.services:
            self._strong[self._split(name)] = {name}
        self._routes.sort(key=lambda route: -len(route[0]))
        self._longest = max(map(len, (*self._strong, *self._weak)), default=1)
        self._words = {word for alias in (*self._strong, *self._weak) for word in alias}
        self.meaning = functools.lru_cache(maxsize=65536)(self._meaning)

    def _add_alias(self, alias: str, service: str) -> None:
        words = self._split(alias)
        if words:
            self._strong.setdefault(words, set()).add(service)
            self._strong.setdefault(("".join(words),), set()).add(service)

    def _add_service(self, registry: Registry, name: str) -> None:
        data = mapping(mapping(registry.data.get("services")).get(name))
        replaced = data.get("replaces")
        for alias in (name, f"{name}db", name.removesuffix("db"), replaced):
            if isinstance(alias, str):
                self._add_alias(alias, name)
        for endpoint in registry.services[name].endpoints:
            if endpoint.expect != "silent":
                entry = mapping(mapping(data.get("endpoints")).get(endpoint.name))
                self._add_endpoint(endpoint, entry.get("config"))

    def _add_endpoint(self, endpoint: Endpoint, config: t.Any) -> None:
        service = endpoint.service
        for system in SYSTEMS:
            owner = owner_on(endpoint.owner, system) or Owner()
            units = [unit.rpartition(".")[0].partition("@")[0] for unit in owner.unit]
            programs = [p for p in owner.process if p.casefold() not in _RUNTIMES]
            for alias in (*programs, *units):
                self._add_alias(alias, service)
        protocol = PROTOCOLS.get(endpoint.probe)
        if protocol is not None:
            for word in protocol.words:
                self._add_alias(word, service)
            for word in protocol.weak:
                self._weak.setdefault((word,), set()).add(service)
            for hint, table in self._tables.items():
                for key in protocol.of(hint):
                    table.setdefault(key, set()).add(service)
        for prefix in endpoint.routes:
            self._routes.append((prefix.strip("/"), service))
            for word in _plain_words(prefix)[-1:]:
                self._weak.setdefault((word,), set()).add(service)
        named = (self._split(endpoint.name), endpoint.name)
        self._endpoints.setdefault(service, []).append(named)
        for path in config if isinstance(config, list) else ():
            if isinstance(path, str):
                self._config.setdefault(path.strip("/"), []).append(endpoint)

    @staticmethod
    def _split(name: str) -> tuple[str, ...]:
        return tuple(_plain_words(name))

    def words(self, text: str) -> list[str]:
        """The words of an identifier or a sentence, in lower case."""
        result = []
        for chunk in _CHUNK.findall(text):
            word = chunk.casefold()
            if word in self._words:
                result.append(word)
            else:
                result += [piece.casefold() for piece in _PIECE.findall(chunk)]
        return result

    def _segments(self, text: str) -> t.Iterator[tuple[str, set[str], set[str]]]:
        """The names in a text, the longest ones first, and the words between them.

        Each is a word with the services that it means strongly and weakly.
        """
        words = self.words(text)
        index = 0
        while index < len(words):
            for length in range(min(self._longest, len(words) - index), 0, -1):
                alias = tuple(words[index : index + length])
                strong = self._strong.get(alias, set())
                weak = self._weak.get(alias, set())
                if strong or weak or length == 1:
                    yield alias[-1], strong, weak
                    index += length
                    break

    def _meaning(self, name: Name) -> Meaning:
        hint, text = name
        if hint in self._tables:
            return self._known(hint, text)
        if hint is Hint.ROUTE:
            return Meaning(frozenset(), self._route(text))
        if hint is Hint.LABEL:
            return self._label(text)
        if hint is not Hint.WORDS:
            return _NOTHING
        segments = list(self._segments(text))
        return Meaning(
            frozenset().union(*(strong for _word, strong, _weak in segments)),
            frozenset().union(*(weak for _word, strong, weak in segments if not strong)),
        )

    def _known(self, hint: Hint, text: str) -> Meaning:
        """An image, a scheme or a program: a well-known one, or one called like a service."""
        plain = text.rpartition("/")[2].partition("@")[0].partition(":")[0].casefold()
        if hint is Hint.SCHEME:
            plain = plain.partition("+")[0]
        services = self._tables[hint].get(plain)
        if services:
            return Meaning(frozenset(services), frozenset())
        return Meaning(self._label(plain).strong, frozenset())

    def _label(self, text: str) -> Meaning:
        """What the head of a name means: `shop-postgres` is one, `postgres-backup` is none."""
        owners: set[str] = set()
        meaning = _NOTHING
        for word, strong, weak in self._segments(text):
            if strong:
                owners |= strong
                meaning = Meaning(frozenset(strong), frozenset())
            elif weak:
                # `postgres-db` is PostgreSQL, `shop-db` is a database.
                meaning = Meaning(frozenset(owners & weak), frozenset(weak - owners))
            elif word in _TASKS:
                return _NOTHING
            elif word not in _NEUTRAL and not word.isdigit():
                meaning = _NOTHING
        return meaning

    def _route(self, path: str) -> frozenset[str]:
        plain = path.strip("/*^~$ ") + "/"
        for prefix, service in self._routes:
            if plain.startswith(prefix + "/") if prefix else path == "/":
                return frozenset((service,))
        return frozenset()

    def named_endpoints(self, service: str, texts: t.Iterable[str]) -> set[str]:
        """The endpoints of a service whose names are among the words of texts."""
        words = {word for text in texts for word in self.words(text)}
        words |= {"dev"} if "development" in words else set()
        words |= {"prod"} if "production" in words else set()
        return {
            endpoint
            for names, endpoint in self._endpoints.get(service, ())
            if names and words.issuperset(names)
        }

    def is_about(self, service: str, other: str) -> bool:
        """Whether a service is about another one by its name, as an exporter is."""
        return any(other in self._strong.get((word,), ()) for word in self._split(service))

    def configured_in(self, path: str) -> list[Endpoint]:
        """The endpoints whose `config` names a file of the tree."""
        parts = path.split("/")
        for index in range(len(parts)):
            endpoints = self._config.get("/".join(parts[index:]))
            if endpoints:
                return endpoints
        return []

    def folder_of(self, path: str) -> frozenset[str]:
        """The services that the nearest directory of a path is named after."""
        for part in reversed(path.split("/")[:-1]):
            services = self._label(part).strong
            if services:
                return services
        return frozenset()


def _plain_words(text: str) -> list[str]:
    return [word.casefold() for word in _CHUNK.findall(text)]
