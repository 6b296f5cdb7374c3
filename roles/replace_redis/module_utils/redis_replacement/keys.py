# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys of all types: read as a whole, written again by plain commands, and compared.

DUMP and RESTORE would be shorter, but their format is that of a version of Redis, and no other
server promises to read it. Sources: the commands' pages below https://redis.io/docs/latest/commands/
and https://www.dragonflydb.io/docs/command-reference.
"""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass

from .client import Client, ServerError, Word

TYPES = ("string", "list", "set", "hash", "zset", "stream")
CHUNK = 500
SCAN = 1000
# Milliseconds by which two servers may tell the same end of a key's life.
TOLERANCE = 2000
# Commands to read a whole key, where one is enough.
READ: dict[str, tuple[str, tuple[Word, ...]]] = {
    "string": ("GET", ()),
    "list": ("LRANGE", (0, -1)),
    "set": ("SMEMBERS", ()),
    "hash": ("HGETALL", ()),
    "zset": ("ZRANGE", (0, -1, "WITHSCORES")),
    "stream": ("XRANGE", ("-", "+")),
}


@dataclass(frozen=True)
class Key:
    """What a key is: its type, the digest of its content, and when it ends (ms of Unix time)."""

    type: str
    digest: str
    ends: t.Optional[int]


@dataclass(frozen=True)
class Group:
    """A consumer group of a stream: its consumers, and the entries that they haven't confirmed."""

    name: bytes
    last: bytes
    consumers: tuple[bytes, ...]
    # id, consumer, deliveries
    pending: tuple[tuple[bytes, bytes, int], ...]


@dataclass(frozen=True)
class Whole:
    """A key with its content, as it was read."""

    name: bytes
    type: str
    ends: t.Optional[int]
    content: t.Any
    last: bytes = b""
    groups: tuple[Group, ...] = ()

    def key(self) -> Key:
        """Return what is compared of it."""
        return Key(self.type, self._digest(), self.ends)

    def _digest(self) -> str:
        found = self.content
        if self.type == "set":
            parts = sorted(found)
        elif self.type == "hash":
            parts = [part for pair in sorted(_pairs(found)) for part in pair]
        elif self.type == "zset":
            # The same number may be written in several ways.
            pairs = sorted((member, float(score)) for member, score in _pairs(found))
            parts = [part for member, score in pairs for part in (member, repr(score).encode())]
        elif self.type == "stream":
            parts = [part for entry, fields in found for part in (entry, *fields)]
            parts.append(self.last)
            for group in self.groups:
                parts += [group.name, group.last, *group.consumers]
                parts += [
                    part
                    for entry in group.pending
                    for part in (entry[0], entry[1], b"%d" % entry[2])
                ]
        else:
            parts = found if isinstance(found, list) else [found]
        digest = hashlib.sha256()
        for part in parts:
            digest.update(b"%d:" % len(part))
            digest.update(part)
        return digest.hexdigest()


def _pairs(flat: t.Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(flat[::2], flat[1::2]))


def names(client: Client) -> t.Iterator[list[bytes]]:
    """Yield the names of the keys of the database, in portions, each name once."""
    seen: set[bytes] = set()
    cursor: t.Any = b"0"
    while True:
        cursor, found = client("SCAN", cursor, "COUNT", SCAN)
        # The same key may come twice while a table grows.
        fresh = list(dict.fromkeys(name for name in found if name not in seen))
        seen.update(fresh)
        if fresh:
            yield fresh
        if cursor in (b"0", 0):
            return


def read(client: Client, wanted: t.Sequence[bytes], now: int) -> dict[bytes, Whole]:
    """Return keys with their contents; those that have ended meanwhile are missing.

    :param now: milliseconds of Unix time, by which the rest of a key's life is counted.
    :raises ServerError: one has a type that isn't known.
    """
    answers = client.all(command for name in wanted for command in (("TYPE", name), ("PTTL", name)))
    types = [answer.decode() for answer in answers[::2]]
    lives = answers[1::2]
    known = [(name, kind, life) for name, kind, life in zip(wanted, types, lives) if kind != "none"]
    for name, kind, _life in known:
        if kind not in TYPES:
            raise ServerError(f"{client.place}: {name!r} is a {kind}, which can't be copied")
    commands = [(READ[kind][0], name, *READ[kind][1]) for name, kind, _life in known]
    found = {}
    for (name, kind, life), content in zip(known, client.all(commands)):
        if content is None or (content == [] and kind != "stream"):
            continue
        ends = now + life if life >= 0 else None
        if kind != "stream":
            found[name] = Whole(name, kind, ends, content)
            continue
        entries = [(entry[0], tuple(entry[1])) for entry in content]
        about = _facts(client("XINFO", "STREAM", name))
        groups = tuple(sorted(_groups(client, name), key=lambda group: group.name))
        last = t.cast(bytes, about[b"last-generated-id"])
        found[name] = Whole(name, kind, ends, entries, last, groups)
    return found


def _facts(flat: t.Sequence[t.Any]) -> dict[bytes, t.Any]:
    return dict(zip(flat[::2], flat[1::2]))


def _groups(client: Client, name: bytes) -> t.Iterator[Group]:
    for entry in client("XINFO", "GROUPS", name):
        about = _facts(entry)
        group = about[b"name"]
        consumers = [_facts(one)[b"name"] for one in client("XINFO", "CONSUMERS", name, group)]
        count = int(about[b"pending"])
        pending = client("XPENDING", name, group, "-", "+", count) if count else []
        yield Group(
            group,
            about[b"last-delivered-id"],
            tuple(sorted(consumers)),
            tuple((one[0], one[1], int(one[3])) for one in pending),
        )


def write(client: Client, keys: t.Iterable[Whole]) -> None:
    """Make keys that aren't there.

    :raises ServerError: the server refuses one.
    """
    client.all(command for key in keys for command in _commands(key))


def _commands(key: Whole) -> t.Iterator[t.Sequence[Word]]:
    name, content = key.name, key.content
    if key.type == "string":
        yield ("SET", name, content)
    elif key.type == "list":
        yield from (("RPUSH", name, *part) for part in _chunks(content, CHUNK))
    elif key.type == "set":
        yield from (("SADD", name, *part) for part in _chunks(content, CHUNK))
    elif key.type == "hash":
        yield from (("HSET", name, *part) for part in _chunks(content, 2 * CHUNK))
    elif key.type == "zset":
        turned = [part for member, score in _pairs(content) for part in (score, member)]
        yield from (("ZADD", name, *part) for part in _chunks(turned, 2 * CHUNK))
    else:
        yield from _stream(key)
    if key.ends is not None:
        yield ("PEXPIREAT", name, key.ends)


def _stream(key: Whole) -> t.Iterator[t.Sequence[Word]]:
    name = key.name
    for entry, fields in key.content:
        yield ("XADD", name, entry, *fields)
    if not key.content:
        # A stream is there without entries only if something was in it.
        yield ("XADD", name, key.last, "x", "x")
        yield ("XDEL", name, key.last)
    yield ("XSETID", name, key.last)
    for group in key.groups:
        yield ("XGROUP", "CREATE", name, group.name, group.last)
        for consumer in group.consumers:
            yield ("XGROUP", "CREATECONSUMER", name, group.name, consumer)
        for entry, consumer, deliveries in group.pending:
            claim = ("XCLAIM", name, group.name, consumer, 0, entry)
            yield (*claim, "RETRYCOUNT", deliveries, "FORCE", "JUSTID")


def _chunks(whole: t.Sequence[t.Any], size: int) -> t.Iterator[t.Sequence[t.Any]]:
    return (whole[start : start + size] for start in range(0, len(whole), size))


def is_chosen(database: int, name: bytes, share: float) -> bool:
    """Tell whether a key is among those that are compared; the same ones every time.

    :param share: how many of all, from 0 to 1.
    """
    if share >= 1:
        return True
    number = int.from_bytes(hashlib.sha256(b"%d %s" % (database, name)).digest()[:4], "big")
    return number < share * (1 << 32)


def difference(wanted: Key, found: t.Optional[Key], now: int) -> str:
    """Return what is different about a key; empty if nothing is.

    :param now: milliseconds of Unix time.
    """
    if found is None:
        is_over = wanted.ends is not None and wanted.ends <= now + TOLERANCE
        return "" if is_over else "it is missing"
    if found.type != wanted.type:
        return f"it is a {found.type} instead of a {wanted.type}"
    if found.digest != wanted.digest:
        return "its content differs"
    if (found.ends is None) != (wanted.ends is None):
        return "it ends" if wanted.ends is None else "it doesn't end"
    if wanted.ends is not None and found.ends is not None:
        apart = abs(wanted.ends - found.ends)
        return f"it ends {apart} ms from when it should" if apart > TOLERANCE else ""
    return ""
