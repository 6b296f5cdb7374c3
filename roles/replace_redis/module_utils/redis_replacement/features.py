# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Redis or Valkey has that DragonflyDB has no counterpart of, or that isn't copied.

Sources: https://redis.io/docs/latest/operate/oss_and_stack/management/config-file/ for the options,
https://www.dragonflydb.io/docs/managing-dragonfly/flags for their counterparts.
"""

from __future__ import annotations

import re
import typing as t

from .client import Client, ServerError
from .keys import TYPES, names

# The first that can keep writers waiting while readers go on (CLIENT PAUSE ... WRITE).
OLDEST = (6, 2)
DATABASES = 16
# The values that are all the same to DragonflyDB. What others lose is said, and accepted aloud.
OPTIONS: dict[str, tuple[frozenset[str], str]] = {
    "appendonly": (
        frozenset({"no"}),
        "DragonflyDB keeps snapshots only (dragonfly_snapshot_cron): what was written after the"
        " last one is lost in a crash",
    ),
    "maxmemory-policy": (
        frozenset({"noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random"}),
        "DragonflyDB evicts from all keys (dragonfly_cache_mode) or from none",
    ),
    "notify-keyspace-events": (
        frozenset({"", "Ex", "xE"}),
        "DragonflyDB tells of keys that end only (Ex, in dragonfly_flags)",
    ),
    "lazyfree-lazy-user-del": (frozenset({"no"}), "DragonflyDB has no such option"),
    "cluster-enabled": (frozenset({"no"}), "a cluster isn't replaced by one server"),
}
NEVER = ("cluster-enabled",)


def examine(client: Client, accept: t.Collection[str]) -> dict[str, t.Any]:
    """Return what a server is and has, and what stands against replacing it.

    :param accept: names of options whose loss is accepted.
    :raises ServerError: it doesn't answer.
    """
    about = client.info()
    faults = []
    if "dragonfly_version" in about:
        return {"kind": "dragonfly", "faults": [], "keys": 0}
    kind = "valkey" if "valkey_version" in about else "redis"
    version = about.get("valkey_version") or about.get("redis_version", "0")
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    # Valkey tells a version of Redis that it is compatible with, which is younger than this.
    if kind == "redis" and numbers < OLDEST:
        faults.append(
            f"it is {version}, needed is {OLDEST[0]}.{OLDEST[1]} or newer: upgrade it first"
        )
    if about.get("role") != "master":
        faults.append(
            f"it is a {about.get('role')}: replace its master, or stop the replication first"
        )
    if int(about.get("connected_slaves", 0)):
        faults.append(f"{about['connected_slaves']} replicas follow it: stop them first")
    if about.get("loading") == "1":
        faults.append("it is loading its data: wait until it is done")
    if about.get("rdb_last_bgsave_status", "ok") != "ok":
        faults.append("its last snapshot failed (INFO persistence, and its log): mend that first")
    faults += _modules(client) + _functions(client)
    faults += [] if "acl" in accept else _users(client)
    faults += _options(client, accept)
    databases = {int(k[2:]): v for k, v in about.items() if re.fullmatch(r"db\d+", k)}
    counts = {number: _number(text, "keys") for number, text in databases.items()}
    far = [str(number) for number in sorted(counts) if number >= DATABASES]
    if far:
        faults.append(
            f"database {', '.join(far)} has keys, and DragonflyDB has 0 to {DATABASES - 1}"
        )
    for number, text in sorted(databases.items()):
        ending = _number(text, "subexpiry") or _number(text, "keys_with_volatile_items")
        if ending:
            faults.append(
                f"database {number} has {ending} hashes whose fields end, which isn't copied"
            )
    faults += _types(client, [number for number in sorted(counts) if number < DATABASES])
    return {
        "kind": kind,
        "version": version,
        "keys": sum(counts.values()),
        "memory": int(about.get("used_memory", 0)),
        "databases": sorted(counts),
        "faults": faults,
    }


def _number(text: str, name: str) -> int:
    found = re.search(rf"(?:^|,){name}=(\d+)", text)
    return int(found[1]) if found else 0


def _ask(client: Client, *words: str) -> t.Any:
    """Return an answer; None where the server has no such command."""
    try:
        return client(*words)
    except ServerError as error:
        if "unknown" in str(error).lower():
            return None
        raise


def _text(word: t.Any) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)


def _modules(client: Client) -> list[str]:
    found = [_text(entry[1]) for entry in _ask(client, "MODULE", "LIST") or ()]
    return (
        [f"it has modules: {', '.join(sorted(found))}. Their data can't be copied"] if found else []
    )


def _users(client: Client) -> list[str]:
    found = [_text(line).split()[1] for line in _ask(client, "ACL", "LIST") or ()]
    others = sorted(set(found) - {"default"})
    if not others:
        return []
    return [
        f"it has users beside default: {', '.join(others)}. Give DragonflyDB an aclfile in"
        " dragonfly_flags, and name acl in replace_redis_accept"
    ]


def _functions(client: Client) -> list[str]:
    found = _ask(client, "FUNCTION", "LIST") or ()
    return (
        [f"it has {len(found)} libraries of functions, which DragonflyDB has not"] if found else []
    )


def _options(client: Client, accept: t.Collection[str]) -> list[str]:
    faults = []
    for name, (fitting, why) in OPTIONS.items():
        found = client("CONFIG", "GET", name)
        value = _text(found[1]) if found else None
        if value is None or value in fitting or (name in accept and name not in NEVER):
            continue
        way = "" if name in NEVER else f". Name {name} in replace_redis_accept if that may be"
        faults.append(f"its {name} is {value!r}: {why}{way}")
    return faults


def _types(client: Client, databases: t.Iterable[int]) -> list[str]:
    strange: dict[str, bytes] = {}
    for database in databases:
        client.select(database)
        for portion in names(client):
            kinds = client.all([("TYPE", name) for name in portion])
            for name, kind in zip(portion, map(_text, kinds)):
                if kind not in (*TYPES, "none"):
                    strange.setdefault(kind, name)
    client.select(0)
    return [
        f"it has keys of the type {kind}, such as {name!r}, which DragonflyDB can't hold: delete or"
        " move them first"
        for kind, name in sorted(strange.items())
    ]
