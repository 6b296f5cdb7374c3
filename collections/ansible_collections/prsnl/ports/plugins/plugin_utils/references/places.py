# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports in short texts of any file: URLs, addresses, values of variables, mappings."""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import (
    Hint,
    Inside,
    Mention,
    Name,
    Scope,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import (
    Part,
    Span,
    word_set,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import LAST_PORT

_URL_START: t.Final = re.compile(r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]*)://")
_ROUTE: t.Final = re.compile(r"[\w./~-]*")
_LOOPBACK: t.Final = (
    r"localhost|127(?:\.\d{1,3}){3}|0\.0\.0\.0|\[::1?\]|host\.docker\.internal"
    r"|host\.containers\.internal"
)
_ADDRESS: t.Final = re.compile(
    rf"(?<![\w.-])(?P<host>{_LOOPBACK}):(?P<port>\d{{1,5}})(?![\w.]|:\d)", re.IGNORECASE
)
_VALUE_ADDRESS: t.Final = re.compile(
    r"(?P<host>\[[0-9a-fA-F:.]+\]|[\w.-]*|\*|\$\{[^}]*\}):(?P<port>\d{1,5})"
)
_VARIABLE: t.Final = re.compile(r"\$(\w+)")
_DEFAULT: t.Final = re.compile(
    r"[$#]?\{+\s*(?P<name>[\w.]+)\s*(?::?[-?=+]|\|)?\s*(?P<default>.*?)\}+$"
)
_PROMPT_DOUBT: t.Final = "it is the prompt of a client, which may run in a container"
_PLAIN_HOST: t.Final = re.compile(r"[\w.-]+")
_PORT: t.Final = re.compile(r"\d{1,5}")
_IN_VARIABLE: t.Final = re.compile(r"\$\{\w+:?[-=](?P<port>\d{1,5})\}+")
_VARIABLES: t.Final = re.compile(r"\$\{(\w+)")
_DSN_PORT: t.Final = re.compile(r"(?i)(?<![\w-])port\s*=\s*'?(\d{1,5})(?!\d)")
_DSN_KEY: t.Final = re.compile(r"(?i)(?<![\w-])(host|hostaddr|server|dbname|database|username)\s*=")
_DSN_HOST: t.Final = re.compile(r"(?i)(?<![\w-])(?:host|hostaddr|server)\s*=\s*'?([^\s;'\"]+)")
_PROTOCOL: t.Final = re.compile(r"/(tcp|udp|sctp)$")
_DEFAULT_MAPPING: t.Final = re.compile(r"\$\{\w+:?-(?P<mapping>[^{}]*:[^{}]*)\}")
_PORT_END: t.Final = re.compile(r"ports?$")
_SEPARATORS: t.Final = re.compile(r"[\W_]")
_CLOSING: t.Final = {"{": "}", "(": ")", "[": "]"}

# A variable of these words only speaks of the program that reads it.
_OWN_WORDS: t.Final = word_set(
    "app bind client default dev fastapi flask gunicorn hmr host http https internal listen"
    " listening local next node nuxt port ports preview public server service strict uvicorn vite"
    " web ws"
)
_HOST_WORDS: t.Final = ("host", "hostname", "server", "addr", "address", "ip", "servicehost")
# Beside a port they say what listens there.
_DRIVER_WORDS: t.Final = ("engine", "driver", "dialect", "adapter", "client", "type", "connection")
SIBLING_WORDS: t.Final = (*_HOST_WORDS, *_DRIVER_WORDS)
_ADDRESS_WORDS: t.Final = word_set(
    "addr address addresses bind broker brokers dsn endpoint endpoints host hosts listen node nodes"
    " origin origins server servers target targets upstream upstreams uri url urls"
)
_JOINED_PORT: t.Final = re.compile(
    r"(?:pg|https?|db|redis|server|app|api|web|dev|host|listen|tcp|udp|ssl|tls|grpc|metrics|admin)"
    r"ports?"
)
_ORIGINS: t.Final = word_set("cors csrf origin origins")
_CHUNK: t.Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

Values = t.Mapping[str, str]
Resolve = t.Callable[[str], "str | None"]


@functools.lru_cache(maxsize=65536)
def words_of(name: str) -> tuple[str, ...]:
    """The words of an identifier, in lower case."""
    return tuple(word.lower() for word in _CHUNK.findall(name))


def flat(name: str) -> str:
    """A name without what separates its words, to compare it."""
    return _SEPARATORS.sub("", name).lower()


def is_port_name(name: str) -> bool:
    """Whether a variable, key or option holds a port, by its name."""
    words = words_of(name)
    return "port" in words or "ports" in words or any(map(_JOINED_PORT.fullmatch, words))


def is_own_name(name: str) -> bool:
    """Whether a variable is the port of the program itself, as `PORT` is."""
    return is_port_name(name) and _OWN_WORDS.issuperset(words_of(name))


def is_origin_name(name: str) -> bool:
    """Whether a variable lists the origins that an API admits."""
    return not _ORIGINS.isdisjoint(words_of(name))


def port_of(text: str) -> int | None:
    """The port that some digits are; None if they are none."""
    if not _PORT.fullmatch(text) or text.startswith("0"):
        return None
    number = int(text)
    return number if number <= LAST_PORT else None


def range_of(text: str) -> tuple[int, int] | None:
    """The first and the last port of a range such as `9000-9010`."""
    first, _hyphen, last = text.partition("-")
    ports = port_of(first), port_of(last)
    return (ports[0], ports[1]) if ports[0] and ports[1] else None


def _unresolved(_name: str) -> str | None:
    return None


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is known about a place before its text is read.

    `names` are the weaker names around it, `values` the variables beside it by their flat() names,
    `inside` and `container` are where a client runs.
    """

    names: tuple[Name, ...] = ()
    inside: Inside = Inside.NOWHERE
    container: tuple[Name, ...] = ()
    resolve: Resolve = _unresolved
    values: Values = dataclasses.field(default_factory=dict)
    origin: bool = False
    prose: bool = False
    doubt: str = ""

    def also(self, *names: Name, **changes: t.Any) -> Setting:
        """The same with further, stronger names."""
        return dataclasses.replace(self, names=(*names, *self.names), **changes)

    def among(self, values: Values) -> Setting:
        """The same with the variables that are set beside it."""
        return self.also(values=values, resolve=lambda name: values.get(flat(name)))

    @property
    def own(self) -> tuple[Name, ...]:
        """Whose a port is that a program is told to listen on."""
        return self.container or ((Hint.OWN, ""),)

    def client(self, span: Span, names: tuple[Name, ...], host: str) -> Mention:
        """A port that something connects to from here."""
        return Mention(
            *span,
            Scope.CLIENT,
            names,
            host=resolved(host, self.resolve),
            inside=self.inside,
            container=self.container,
            origin=self.origin,
            prose=self.prose,
            doubt=self.doubt,
        )

    def server(self, span: Span, names: tuple[Name, ...]) -> Mention:
        """A port that something listens on here."""
        outside = self.inside is Inside.NOWHERE
        return Mention(
            *span,
            Scope.HOST if outside else Scope.CONTAINER,
            names,
            inside=self.inside,
            container=self.container,
            prose=self.prose,
            doubt=self.doubt,
        )


PLAIN: t.Final = Setting()


def resolved(host: str, resolve: Resolve) -> str:
    """A host that is a variable as its value or default, else as it is written."""
    match = _DEFAULT.match(host) or _VARIABLE.fullmatch(host)
    if match is None:
        return host
    value = resolve(match[1].rpartition(".")[2])
    if value is not None and value.startswith("$"):
        # The value is a variable in turn, often the one of the same name outside.
        match = _DEFAULT.match(value)
        value = None
    if value is None:
        default = match.groupdict().get("default") if match else None
        return default if default and _PLAIN_HOST.fullmatch(default) else host
    return value


def sibling_host(name: str, values: Values) -> str:
    """The host that goes with a port: `POSTGRES_HOST` with `POSTGRES_PORT`; empty if none does."""
    stem = _PORT_END.sub("", flat(name))
    found = next((values[stem + word] for word in _HOST_WORDS if stem + word in values), "")
    address = _VALUE_ADDRESS.fullmatch(found)
    return address["host"] if address else found


def _sibling_drivers(name: str, values: Values) -> tuple[Name, ...]:
    stem = _PORT_END.sub("", flat(name))
    return tuple((Hint.WORDS, values[stem + w]) for w in _DRIVER_WORDS if stem + w in values)


def is_loopback(host: str) -> bool:
    """Whether a name or an address is of the host's own, or means any address of it."""
    host = host.casefold().strip("[]")
    if host in ("localhost", "*", "true") or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _authority(part: Part) -> Part:
    """The authority of a URL that follows its `//`."""
    text, start, end = part
    closing: list[str] = []
    for index in range(start, end):
        char = text[index]
        if closing:
            if char == closing[-1]:
                closing.pop()
            elif char in _CLOSING and closing[-1] != "]":
                closing.append(_CLOSING[char])
            elif char in "\r\n":
                return Part(text, start, index)
        elif char == "{" or (char == "[" and text[index - 1] in "/@,"):
            closing.append(_CLOSING[char])
        elif char == "(" and text[index - 1] == "$":
            closing.append(")")
        elif char in "/?#\"'`<>()[]\\|;^*" or char.isspace():
            return Part(text, start, index)
    return part


def number_in(part: Part) -> tuple[Span | None, tuple[Name, ...]]:
    """The digits of `5432` or `${PORT:-5432}`, and the names of its variables."""
    if port_of(part.string):
        return part.span, ()
    names = tuple((Hint.WORDS, name) for name in _VARIABLES.findall(part.string))
    match = part.search(_IN_VARIABLE)
    return (match.span("port") if match else None), names


def urls(part: Part, setting: Setting = PLAIN) -> t.Iterator[Mention]:
    """The ports of URLs."""
    for match in part.finditer(_URL_START):
        authority = _authority(Part(part.text, match.end(), part.end))
        route = _ROUTE.match(part.text, authority.end, part.end)
        after = (Hint.ROUTE, route[0] if route else "")
        for host in authority.split(","):
            yield from _url(host, (Hint.SCHEME, match[1]), after, setting)


def _url(part: Part, scheme: Name, route: Name, setting: Setting) -> t.Iterator[Mention]:
    pieces = part.split(":")
    # What is before the last @ is user and password.
    ats = [index for a in pieces for index in range(a.start, a.end) if part.text[index] == "@"]
    after = ats[-1] + 1 if ats else part.start
    pieces = [part.at((max(a.start, after), a.end)) for a in pieces if a.end >= after]
    span, names = number_in(pieces[-1])
    if span is not None and pieces[1:]:
        host = part.text[pieces[0].start : pieces[-2].end]
        names = (scheme, *names, *setting.names, (Hint.LABEL, host), route)
        yield setting.client(span, names, host)


def addresses(part: Part, setting: Setting = PLAIN) -> t.Iterator[Mention]:
    """The ports of loopback addresses without a scheme, such as `localhost:5432`."""
    for match in part.finditer(_ADDRESS):
        if port_of(match["port"]):
            around = setting
            before = part.text[max(match.start() - 1, 0) : match.start()]
            if before in ("", "\n", "\r") and part.text.startswith(">", match.end()):
                around = dataclasses.replace(setting, doubt=_PROMPT_DOUBT)
            yield around.client(match.span("port"), setting.names, match["host"])


def dsn(part: Part, setting: Setting = PLAIN) -> t.Iterator[Mention]:
    """The port of a connection string of keywords and values (libpq, Npgsql)."""
    keys = {key.lower() for key in _DSN_KEY.findall(part.string)}
    if not keys:
        return
    # `dbname` is libpq's word, `Username` is Npgsql's.
    library = ((Hint.SCHEME, "postgresql"),) if {"dbname", "username"} & keys else ()
    host = part.search(_DSN_HOST)
    for match in part.finditer(_DSN_PORT):
        if port_of(match[1]):
            names = (*library, *setting.names)
            yield setting.client(match.span(1), names, host[1] if host else "")


def texts(part: Part, setting: Setting = PLAIN) -> t.Iterator[Mention]:
    """The ports of everything in a text that says by itself that it is a port."""
    for finder in (urls, addresses, dsn):
        yield from finder(part, setting)


def unique(mentions: t.Iterable[Mention]) -> t.Iterator[Mention]:
    """The mentions without those of a place that has been seen in a stronger way."""
    seen: set[Span] = set()
    for mention in mentions:
        span = mention.start, mention.end
        if span not in seen:
            seen.add(span)
            yield mention


def value(name: str, part: Part, setting: Setting = PLAIN) -> t.Iterator[Mention]:
    """The ports in the value of a variable, a key or an option."""
    around = setting.also((Hint.WORDS, name), origin=setting.origin or is_origin_name(name))
    yield from unique(_value(name, part.unquoted(), around))


def _value(name: str, part: Part, setting: Setting) -> t.Iterator[Mention]:
    # Of a path of keys the last two: `postgres.port`, `ports.http`.
    if is_port_name(".".join(name.split(".")[-2:])) and not setting.origin:
        yield from _port_value(name, part, setting)
    elif not _ADDRESS_WORDS.isdisjoint(words_of(name)):
        for piece in part.split(","):
            match = piece.unquoted().fullmatch(_VALUE_ADDRESS)
            if match is None or not port_of(match["port"]):
                continue
            host, span = match["host"], match.span("port")
            if host in ("", "*"):
                yield setting.server(span, setting.names)
            else:
                yield setting.client(span, (*setting.names, (Hint.LABEL, host)), host)
    yield from texts(part, setting)


def _port_value(name: str, part: Part, setting: Setting) -> t.Iterator[Mention]:
    for piece in part.split(","):
        span, names = number_in(piece.unquoted())
        if span is None:
            continue
        host = resolved(sibling_host(name, setting.values), setting.resolve)
        names = (*setting.names, *names, *_sibling_drivers(name, setting.values))
        # A program listens on its own addresses; another host's is one that it connects to.
        if is_own_name(name) and (not host or is_loopback(host)):
            yield setting.server(span, (*names, *setting.own))
        else:
            yield setting.client(span, names, host)


def assignments(
    pairs: t.Sequence[tuple[str, Part]], setting: Setting = PLAIN
) -> t.Iterator[Mention]:
    """The ports in the values of variables that are set together."""
    values = {flat(name): part.unquoted().string for name, part in pairs}
    around = setting.among(values)
    for name, part in pairs:
        yield from value(name, part, around)


def sides(part: Part) -> list[tuple[Part, Scope]]:
    """The ports of a mapping without its protocol: what is published, the container's own."""
    parts = part.split(":")
    published = [(side, Scope.HOST) for side in parts[-2:-1]]
    return [*published, (parts[-1], Scope.CONTAINER)]


def mapping(part: Part, setting: Setting = PLAIN) -> t.Iterator[Mention]:
    """The ports of a container's mapping in the short form, `127.0.0.1:5433:5432/tcp`.

    Its last part is the container's own, the one before that is published on the host.
    """
    part = part.unquoted()
    whole = part.fullmatch(_DEFAULT_MAPPING)
    if whole:
        part = part.group(whole, "mapping")
    protocol = part.search(_PROTOCOL)
    if protocol:
        part = part.at((part.start, protocol.start()))
    for side, scope in sides(part):
        yield from mapped(side, scope, setting, protocol[1] if protocol else "")


def mapped(part: Part, scope: Scope, setting: Setting, protocol: str = "") -> t.Iterator[Mention]:
    """One side of a mapping: a port, a range, or a variable with a default."""
    span, names = number_in(part)
    doubt = setting.doubt
    if scope is not Scope.CONTAINER and range_of(part.string):
        span, doubt = part.span, doubt or f"it is in the range {part.string}"
    if span:
        # Who the container is says more than the name of a variable.
        found = (*setting.names, *names)
        prose = setting.prose
        yield Mention(*span, scope, found, protocol=protocol, prose=prose, doubt=doubt)
