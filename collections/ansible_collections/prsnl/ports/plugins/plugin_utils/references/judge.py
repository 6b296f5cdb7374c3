# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a number is right: what a finder has seen, against what the registry says."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.plugin_utils.references import places
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import (
    Hint,
    Inside,
    Mention,
    Name,
    Scope,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.names import Names
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import word_set
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.ports import Past, Ports
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import Endpoint, Registry

RIGHT: t.Final = "right"
STALE: t.Final = "stale"
UNKNOWN: t.Final = "unknown"
AMBIGUOUS: t.Final = "ambiguous"
INTERNAL: t.Final = "internal"

# Names by which containers and machines in a machine reach their host.
_GATEWAYS: t.Final = frozenset(
    (
        "host.docker.internal",
        "gateway.docker.internal",
        "host.containers.internal",
        "host.lima.internal",
        "host-gateway",
        "docker.for.mac.localhost",
        "docker.for.mac.host.internal",
        "docker.for.win.localhost",
        "172.17.0.1",
    )
)
# These say how, not with whom.
_PLAIN_SCHEMES: t.Final = word_set(
    "http https ws wss tcp tls ssl udp tcp4 tcp6 grpc grpcs h2c http2 unix tcps socks5"
)
_CI: t.Final = re.compile(
    r"(?:.*/)?(?:\.(?:github|gitlab|circleci|forgejo|gitea|woodpecker)/.*|\.woodpecker\.ya?ml"
    r"|\.gitlab-ci\.yml|\.travis\.yml|\.drone\.yml|(?:azure|bitbucket)-pipelines\.yml|appveyor\.yml)"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What a number is: `endpoint` is the one that has it or had it, `use` the port to use now."""

    verdict: str
    message: str
    service: str | None = None
    endpoint: str | None = None
    use: int | None = None


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What a tree says about names of hosts: its containers, Kubernetes' Services, our hosts."""

    containers: frozenset[str] = frozenset()
    cluster: frozenset[str] = frozenset()
    ours: frozenset[str] = frozenset()
    # What containers are called, each by several names, and the directories of Dockerfiles.
    boxes: tuple[tuple[Name, ...], ...] = ()
    built: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class _Standing:
    """What a port is to a service."""

    service: str
    right: Endpoint | None = None
    past: Past | None = None
    # Whether the endpoint is named, and not only the service.
    named: bool = False


class Judge:
    """Judges what finders see, by the registry and by what else the tree says."""

    def __init__(self, registry: Registry, surroundings: Surroundings | None = None) -> None:
        self.ports = Ports(registry)
        self.names = Names(registry)
        self.surroundings = surroundings or Surroundings()

    def judge(self, path: str, port: int, mention: Mention) -> Verdict | None:
        """The verdict about a number of a file; None if it is nothing to the registry."""
        if mention.origin:
            found = self._judge_origin(port)
        else:
            found = self._judge_names(path, port, mention)
        return self._placed(path, port, mention, found) if found else None

    def _judge_origin(self, port: int) -> Verdict | None:
        """An origin that an API admits: allowed are the endpoints that browsers load."""
        origins = self.ports.origins
        for endpoint in origins:
            if endpoint.port == port:
                return self._right(port, endpoint)
        had = [endpoint for endpoint in origins if self.ports.endpoint_had(endpoint, port)]
        past = [
            found
            for service in dict.fromkeys(endpoint.service for endpoint in origins)
            if (found := self.ports.past_of(service, port)) is not None
        ]
        if len(had) == 1:
            past = [Past(had[0].service, had[0].id, False, had[0])]
        if len(past) == 1 and past[0].use:
            return self._stale(port, past[0])
        others = self.ports.in_use.get(port, ())
        whose = f"{others[0].id}'s port" if others else "no port of the registry"
        return Verdict(UNKNOWN, f"{port} is {whose}, and no origin that browsers load")

    def _judge_names(self, path: str, port: int, mention: Mention) -> Verdict | None:
        named: list[str] = []
        foreign = False
        for strong in (True, False):
            if foreign and not strong:
                break
            for name in mention.names:
                services = self._services(path, name, strong, mention)
                standings = [
                    standing
                    for service in services
                    if (standing := self._standing(path, service, port, mention)) is not None
                ]
                if standings and name[0] is Hint.OWN:
                    return doubted(self._settled(port, standings), self._boxed(path, standings[0]))
                if standings:
                    return self._settled(port, standings)
                if strong and (name[0] is not Hint.OWN or self.names.configured_in(path)):
                    named += [service for service in services if service not in named]
                if strong and self._is_authority(name):
                    # It is sure what this is, so that weaker names say nothing about it.
                    foreign = True
                    break
        return self._unsettled(port, named, mention)

    def _services(self, path: str, name: Name, strong: bool, mention: Mention) -> t.Collection[str]:
        if name[0] in (Hint.OWN, Hint.FOLDER):
            return self._own(path) if strong else ()
        meaning = self.names.meaning(name)
        if strong:
            return meaning.strong
        images = [other for other in mention.names if other[0] is Hint.IMAGE]
        if not images:
            return meaning.weak
        # An image that says nothing: a `db` is what its environment says that it is, since
        # there are many databases.
        told = [o for o in mention.names if o[0] is Hint.ENVIRONMENT]
        known = [self.names.meaning((Hint.WORDS, text)).strong for _hint, text in told]
        return meaning.weak & frozenset().union(*known)

    def _own(self, path: str) -> t.Collection[str]:
        configured = {endpoint.service for endpoint in self.names.configured_in(path)}
        folder = self.names.folder_of(path)
        return (configured & folder) or (configured if len(configured) == 1 else folder)

    def _boxed(self, path: str, standing: _Standing) -> str:
        """Why the port of a directory's program isn't that of a host, if that may be so.

        In a container it has to agree with what is published from there. The registry says by
        `config` which files have to agree with it all the same.
        """
        if self.names.configured_in(path) or standing.named:
            return ""
        folders = path.split("/")
        built = any("/".join(folders[:n]) in self.surroundings.built for n in range(len(folders)))
        boxed = any(
            standing.service in self.names.meaning(name).strong
            for names in self.surroundings.boxes
            for name in names
        )
        return "it may be the port inside the service's container" if built or boxed else ""

    def _is_authority(self, name: Name) -> bool:
        hint, text = name
        if hint is Hint.SCHEME:
            return text.casefold() not in _PLAIN_SCHEMES
        return hint is Hint.IMAGE and bool(self.names.meaning(name).strong)

    def _standing(self, path: str, service: str, port: int, mention: Mention) -> _Standing | None:
        endpoints = [
            endpoint
            for endpoint in self.ports.by_service.get(service, ())
            if mention.protocol in ("", endpoint.protocol)
        ]
        texts = [text for hint, text in mention.names if hint is not Hint.SCHEME]
        names = self.names.named_endpoints(service, texts)
        told = bool(names)
        folder = any(hint is Hint.FOLDER for hint, _text in mention.names)
        if mention.scope is not Scope.CLIENT and not folder:
            configured = self.names.configured_in(path)
            names |= {e.name for e in configured if e.service == service}
        named = [endpoint for endpoint in endpoints if endpoint.name in names]
        for endpoint in (*named, *endpoints):
            if endpoint.port == port and (endpoint in named or not self._had(named, port)):
                return _Standing(service, right=endpoint)
        had = self._had(named, port)
        if len(had) == 1:
            retired = self.ports.is_retired(service, port)
            past = Past(service, had[0].id, retired, had[0])
            return _Standing(service, past=past, named=told)
        former = self.ports.past_of(service, port)
        if former is None or not self._speaks(former, mention.protocol):
            return None
        return _Standing(service, past=former)

    def _had(self, endpoints: list[Endpoint], port: int) -> list[Endpoint]:
        return [endpoint for endpoint in endpoints if self.ports.endpoint_had(endpoint, port)]

    @staticmethod
    def _speaks(past: Past, protocol: str) -> bool:
        return past.use is None or protocol in ("", past.use.protocol)

    def _settled(self, port: int, standings: list[_Standing]) -> Verdict:
        right = [standing.right for standing in standings if standing.right]
        past = [standing.past for standing in standings if standing.past]
        if right and not past:
            return self._right(port, right[0])
        if len(past) == 1 and not right:
            return self._stale(port, past[0])
        services = listed([standing.service for standing in standings], "or")
        return Verdict(AMBIGUOUS, f"{port} can be meant for {services}")

    def _right(self, port: int, endpoint: Endpoint) -> Verdict:
        message = f"{port} is {endpoint.id}'s port"
        return Verdict(RIGHT, message, endpoint.service, endpoint.id)

    def _stale(self, port: int, past: Past) -> Verdict:
        what = self._what(past)
        if past.use is not None:
            what += f", use {past.use.port}"
        elif past.gone:
            what += f", and {past.service} is gone"
        else:
            ports = [f"{endpoint.port} ({endpoint.id})" for endpoint in self._siblings(past)]
            what += f", use {listed(ports, 'or')}"
        return Verdict(
            STALE,
            f"{port} is {what}",
            past.service,
            past.use.id if past.use else past.endpoint,
            past.use.port if past.use else None,
        )

    def _what(self, past: Past) -> str:
        """What a port was, in words."""
        whose = self.ports.title(past.service)
        if past.use is not None and not past.retired and self._siblings(past)[1:]:
            whose = past.use.id
        return f"{whose}'s {'retired' if past.retired else 'former'} port"

    def _siblings(self, past: Past) -> list[Endpoint]:
        return self.ports.by_service.get(past.service, [])

    def _unsettled(self, port: int, named: list[str], mention: Mention) -> Verdict | None:
        past = [p for p in self.ports.only_past(port) if self._speaks(p, mention.protocol)]
        used = self.ports.in_use.get(port, [])
        if past and mention.doubt:
            return None
        if past:
            doubt = f"nothing says that this is {self.ports.title(past[0].service)}"
            if named:
                doubt = f"this is {self.ports.title(named[0])}"
            return doubted(self._stale(port, past[0]), doubt)
        if named and used and self.names.is_about(used[0].service, named[0]):
            return self._right(port, used[0])
        if named and not mention.prose:
            service = named[0]
            own = listed([str(e.port) for e in self.ports.by_service.get(service, [])] or ["none"])
            other = f" but {used[0].id}'s" if used else ""
            message = f"{port} is no port of {self.ports.title(service)} ({own}){other}"
            return Verdict(UNKNOWN, message, service)
        if used and not named and mention.scope is not Scope.CONTAINER:
            return self._right(port, used[0])
        return None

    def _placed(self, path: str, port: int, mention: Mention, found: Verdict) -> Verdict | None:
        """The verdict, where the number stands: inside a container it isn't the registry's."""
        internal, doubt = mention.scope is Scope.CONTAINER, mention.doubt
        if internal and (Hint.OWN, "") in mention.names and self.names.configured_in(path):
            # The registry says that the file has to agree with it.
            internal, doubt = False, ""
        if mention.scope is Scope.CLIENT:
            internal, unreached = self._reached(mention, found)
            doubt = unreached or doubt
        if internal and found.verdict == UNKNOWN:
            return None
        if internal and (not doubt or self._is_container_of(mention, found)):
            return self._internal(port, found)
        if not doubt and _CI.fullmatch(path):
            doubt = "a job of CI runs on a host of its own"
        return doubted(found, doubt)

    def _internal(self, port: int, found: Verdict) -> Verdict:
        message = f"{port} is a container's own port"
        return dataclasses.replace(found, verdict=INTERNAL, message=message, use=None)

    def _is_container_of(self, mention: Mention, found: Verdict) -> bool:
        return any(found.service in self.names.meaning(n).strong for n in mention.container)

    def _reached(self, mention: Mention, found: Verdict) -> tuple[bool, str]:
        """Whether a client reaches a container's own port, and what makes that doubtful."""
        host = mention.host.casefold().strip("[]")
        known, inside = self.surroundings, mention.inside
        boxed = inside is not Inside.NOWHERE
        if boxed and self._is_container_of(mention, found):
            inside = Inside.SERVER
        name, _dot, domain = host.partition(".")
        offered = name in known.cluster and (not domain or "svc" in domain.split("."))
        contained = host in known.containers and not (inside is Inside.POD and offered)
        doubt = ""
        if host in _GATEWAYS or host in known.ours or contained or offered:
            pass
        elif host and not places.is_loopback(host):
            doubt = f"nothing says what host {mention.host} is"
        elif inside is Inside.SERVER:
            contained = True
        elif not host and inside is not Inside.NOWHERE:
            doubt = "a container gets it, and nothing says for which host"
        elif inside in (Inside.VENDOR, Inside.POD):
            doubt = "the loopback interface of a container is its own"
        return contained, doubt


def doubted(found: Verdict, doubt: str) -> Verdict:
    """A stale number that mustn't be touched, and why; another one as it is."""
    if found.verdict != STALE or not doubt:
        return found
    message = f"{found.message}; not touched: {doubt}"
    return dataclasses.replace(found, verdict=AMBIGUOUS, message=message, use=None)
