# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports in commands: of shells, units, containers and scripts."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.references import places
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import (
    Hint,
    Inside,
    Mention,
    Name,
    Scope,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.names import PROTOCOLS
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import Part, word_set
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.places import PLAIN, Setting

_WORD: t.Final = re.compile(
    r"""(?:\\\r?\n|[^\S\r\n])+              # white space, also where a line goes on
      | (?P<comment>(?<![^\s;&|(])\#[^\r\n]*)
      | (?P<operator>&&|\|\||[;|&()\r\n]+)
      | (?P<word>(?:'[^']*'|"(?:\\.|[^"\\])*"|`[^`]*`|\$\{[^}]*\}|\\.|[^\s;&|()'"`\\])+)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_ASSIGNED: t.Final = re.compile(r"(?P<name>[A-Za-z_]\w*)=")
_OPTION: t.Final = re.compile(r"(--?[A-Za-z][\w.-]*)(?:=|$)")
_GLUED_PORT: t.Final = re.compile(r"-p(?P<port>\d\S*)")
_ONLY_PORT: t.Final = re.compile(r":\d{2,5}")
_ANY_ADDRESS: t.Final = word_set("0.0.0.0 :: [::] * true")
# They start what follows them.
_WRAPPERS: t.Final = word_set(
    "sudo env exec nohup time npx bunx pnpx cross-env cross-env-shell dotenv command then do else"
    " if while ! $ > % set export start-server-and-test"
)
# Options of theirs that take a value.
_WITH_VALUE: t.Final = word_set("-u -g -U -C -n --user --group --chdir --unset")
_RUNNERS: t.Final = word_set("poetry uv pipenv pdm hatch rye pnpm yarn bundle")
_PYTHONS: t.Final = word_set("python python3")
_SHELLS: t.Final = word_set("sh bash zsh dash ash concurrently ssh watch")
_ENGINES: t.Final = word_set("docker podman nerdctl docker-compose podman-compose")
_SWITCHES: t.Final = word_set(
    "-d -i -t -it -ti -dit -itd -P --rm --detach --init --interactive --privileged --publish-all"
    " --read-only --tty --no-healthcheck --oom-kill-disable --sig-proxy"
)
# Programs whose -p is the port. The clients of a protocol are known with it.
_SHORT_PORT: t.Final = word_set(
    "astro flask gatsby http-server json-server live-server next nuxt php-fpm rails remix serve"
    " svelte-kit vite"
).union(*(protocol.programs for protocol in PROTOCOLS.values()))
# What looks at ports of this machine, or opens and frees them.
_LOOK_AT_PORTS: t.Final = word_set(
    "lsof ss netstat fuser ufw firewall-cmd iptables nft kill-port nc ncat grep findstr netsh"
)
_PLAIN_ADDRESS: t.Final = re.compile(
    r"(?<![\w.-])(?P<host>localhost|127\.0\.0\.1|::1|0\.0\.0\.0)\s+(?P<port>\d{2,5})(?![\w./:-])"
)
_LOOSE: t.Final = re.compile(
    r"(?<![^\s\"'=i]):(?P<a>\d{2,5})(?![\w./:-])|(?<![\w./:-])(?P<b>\d{2,5})/(?:tcp|udp)\b"
)


def command(part: Part, setting: Setting = PLAIN, own: bool = True) -> t.Iterator[Mention]:
    """The ports in lines of a shell.

    `own` says whether a program's port is that of the service which the file belongs to.
    """
    lines = list(_commands(part))
    values = {
        places.flat(match["name"]): word.at((match.end(), word.end)).unquoted().string
        for words in lines
        for word in words
        if (match := word.match(_ASSIGNED))
    }
    if values:
        # What one line sets holds for the others.
        setting = setting.among({**values, **setting.values})
    for words in lines:
        yield from _simple(words, setting, own)
    for match in part.finditer(_PLAIN_ADDRESS):
        if places.port_of(match["port"]):
            yield setting.client(match.span("port"), setting.names, match["host"])


def argv(
    words: t.Iterable[Part], setting: Setting = PLAIN, own: bool = True
) -> t.Iterator[Mention]:
    """The ports in a command that is given as a list of words."""
    yield from _simple([word.unquoted() for word in words], setting, own)


def _commands(part: Part) -> t.Iterator[list[Part]]:
    words: list[Part] = []
    for match in part.finditer(_WORD):
        if match["operator"]:
            if words:
                yield words
            words = []
        elif match["word"]:
            words.append(part.group(match).unquoted())
    if words:
        yield words


def _program(words: list[Part]) -> str:
    return words[0].string.rpartition("/")[2]


def _simple(words: list[Part], setting: Setting, own: bool) -> t.Iterator[Mention]:
    """The ports of one command: variables, a program, its options and arguments."""
    assigned: list[tuple[str, Part]] = []
    wrapper = ""
    while words:
        match = words[0].match(_ASSIGNED)
        text = words[0].string
        if match:
            assigned.append((match["name"], words[0].at((match.end(), words[0].end))))
        elif wrapper and text.startswith("-"):
            words = words[1:] if text in _WITH_VALUE else words
        elif text in _WRAPPERS:
            wrapper = text
        else:
            break
        words = words[1:]
    for name, value in assigned:
        yield from places.value(name, value, setting)
    if words:
        yield from _started(words, setting, own)


def _started(words: list[Part], setting: Setting, own: bool) -> t.Iterator[Mention]:
    if (_program(words) in _RUNNERS and words[2:]) or (
        _program(words) in _PYTHONS and words[2:] and words[1].string == "-m"
    ):
        words = words[2:]
    program = _program(words)
    if program in _ENGINES:
        yield from _engine(words, setting)
        return
    if program in ("kubectl", "oc") and any(word.string == "exec" for word in words):
        setting = setting.also(inside=Inside.SERVER)
    if program in _SHELLS:
        for word in words[1:]:
            if any(char.isspace() for char in word.string):
                yield from command(word, setting, own)
    around = setting.also((Hint.PROGRAM, program))
    yield from _options(words[1:], around, own, short=program in _SHORT_PORT)
    for word in words:
        yield from places.texts(word, around)
        for loose in word.finditer(_LOOSE) if program in _LOOK_AT_PORTS else ():
            span = loose.span(loose.lastgroup or 0)
            if places.port_of(word.at(span).string):
                yield around.server(span, around.names)


def _given(words: list[Part], short: bool) -> t.Iterator[tuple[str, Part]]:
    """The options of a command and their values."""
    for index, word in enumerate(words):
        match = word.match(_OPTION)
        glued = word.fullmatch(_GLUED_PORT)
        if glued:
            option, value = "-p", word.group(glued, "port")
        elif match is None:
            continue
        elif match.end() < word.end:
            option, value = match[1], word.at((match.end(), word.end)).unquoted()
        elif words[index + 1 :]:
            option, value = match[1], words[index + 1]
        else:
            continue
        if option == "-p" and not short:
            continue
        yield {"-p": "port", "-h": "host"}.get(option, option.lstrip("-")), value


def _options(words: list[Part], setting: Setting, own: bool, short: bool) -> t.Iterator[Mention]:
    pairs = list(_given(words, short))
    values = {places.flat(name): value.string for name, value in pairs}
    around = setting.also(values=values)
    for name, value in pairs:
        if not places.is_port_name(name):
            # The port of an address is found with the texts; here it is what listens.
            if value.fullmatch(_ONLY_PORT):
                yield from places.value(f"{name} listen", value, around)
            continue
        for mention in places.value(name, value, around):
            host = values.get("host") or setting.resolve("PGHOST") or ""
            if mention.scope is not Scope.CLIENT and host and host not in _ANY_ADDRESS:
                host = places.resolved(host, setting.resolve)
                yield dataclasses.replace(mention, scope=Scope.CLIENT, host=host)
            elif own:
                yield mention
            else:
                names = tuple(name for name in mention.names if name[0] is not Hint.OWN)
                yield dataclasses.replace(mention, names=names)


def _engine(words: list[Part], setting: Setting) -> t.Iterator[Mention]:
    """A command of a container engine: what it publishes, and what runs in the container."""
    verbs = [word.string for word in words[1:4]]
    started = (
        {"exec", "run"} if _program(words).endswith("compose") or "compose" in verbs else set()
    )
    inner = next((verb for verb in verbs if verb == "exec" or verb in started), None)
    outer = next((verb for verb in verbs if verb in ("run", "create")), None)
    if inner is not None:
        rest = words[verbs.index(inner) + 2 :]
        while rest and rest[0].string.startswith("-"):
            rest = rest[1:]
        if rest[1:]:
            around = setting.also((Hint.LABEL, rest[0].string), inside=Inside.SERVER)
            yield from _simple(rest[1:], around, own=False)
    elif outer is not None:
        yield from _run(words[verbs.index(outer) + 2 :], setting)
    else:
        for word in words:
            yield from places.texts(word, setting)


def _run(words: list[Part], setting: Setting) -> t.Iterator[Mention]:
    options: list[tuple[str, Part]] = []
    while words and words[0].string.startswith("-"):
        word, words = words[0], words[1:]
        option, equals, _value = word.string.partition("=")
        glued = word.fullmatch(_GLUED_PORT)
        if glued:
            options.append(("-p", word.group(glued, "port")))
        elif equals:
            options.append((option, word.at((word.start + len(option) + 1, word.end))))
        elif option not in _SWITCHES and words:
            options.append((option, words[0]))
            words = words[1:]
    names: tuple[Name, ...] = ((Hint.IMAGE, words[0].string),) if words else ()
    names += tuple((Hint.LABEL, value.string) for option, value in options if option == "--name")
    for option, value in options:
        if option in ("-p", "--publish"):
            yield from places.mapping(value, setting.also(*names))
    inside = setting
    if not any(o in ("--network", "--net") and v.string == "host" for o, v in options):
        inside = setting.also(inside=Inside.VENDOR, container=names)
    pairs = []
    for option, value in options:
        match = value.match(_ASSIGNED) if option in ("-e", "--env") else None
        if match:
            pairs.append((match["name"], value.at((match.end(), value.end))))
    yield from places.assignments(pairs, inside)
    if words[1:]:
        yield from _simple(words[1:], inside, own=False)
