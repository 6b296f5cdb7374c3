# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All keys of one real server in another, where this machine has a server of that protocol."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis_replacement import keys, replacement
from redis_replacement.client import Client, ServerError
from redis_replacement.features import examine
from redis_replacement.replacement import Place, Replacement

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")
NOW = 1_800_000_000_000

Start = Callable[..., Place]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start servers."""
    if SERVER is None:
        pytest.skip("needs redis-server or valkey-server")
    running = []
    debug = ["--enable-debug-command", "yes"]

    def begin(*options: str) -> Place:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        folder = tmp_path / str(port)
        folder.mkdir()
        fixed = ["--port", str(port), "--dir", str(folder), "--save", ""]
        process = subprocess.Popen(
            [str(SERVER), *fixed, *debug, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        running.append(process)
        place = Place("127.0.0.1", port, "")
        end = time.monotonic() + 20
        while True:
            try:
                place.connect()("PING")
                return place
            except ServerError:
                assert time.monotonic() < end
                time.sleep(0.05)

    yield begin
    for process in running:
        process.kill()
        process.wait()


def fill(client: Client, count: int = 5) -> None:
    """Put keys of every type into two databases, binary ones and such that end among them."""
    for database in (0, 3):
        client.select(database)
        for number in range(count):
            client("SET", b"string:%d" % number, bytes(range(256)))
            client("RPUSH", f"list:{number}", *[f"entry {n}" for n in range(1200)])
            client("SADD", f"set:{number}", *[bytes([n]) for n in range(256)])
            client("HSET", f"hash:{number}", "a", "1", b"\xff\x00", "", "é", "2")
            client("ZADD", f"zset:{number}", "-inf", "a", "0.1", "b", "1e20", "c", "17", "d")
            stream = f"stream:{number}"
            for entry in range(5):
                client("XADD", stream, f"{entry + 1}-0", "field", f"value {entry}")
            client("XGROUP", "CREATE", stream, "workers", "0")
            client("XREADGROUP", "GROUP", "workers", "ada", "COUNT", 2, "STREAMS", stream, ">")
            client("XACK", stream, "workers", "1-0")
            client("XADD", f"empty:{number}", "9-1", "x", "x")
            client("XDEL", f"empty:{number}", "9-1")
            client("SET", f"ends:{number}", "soon", "PX", 3_600_000 + number)
    client.select(0)


def restart(place: Place) -> None:
    """What the role does by systemd: here, the server stays, and keeps what it has."""
    place.connect()("PING")


def test_everything_arrives(start: Start, tmp_path: Path) -> None:
    old, new = start(), start()
    with old.connect() as client:
        fill(client, 20)
    told = Replacement(new, str(tmp_path / "keys"), 10**6).copy(
        old, 30, lambda: restart(new), lambda: None
    )
    assert told == {"keys": 320, "compared": 320, "ending": 40}
    with new.connect() as client:
        client.select(3)
        assert client("GET", "string:7") == bytes(range(256))
        assert client("PTTL", "ends:7") > 3_000_000
        (group,) = client("XINFO", "GROUPS", "stream:1")
        assert dict(zip(group[::2], group[1::2], strict=True))[b"pending"] == 1
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o600


def test_a_hundred_thousand_keys_arrive(start: Start, tmp_path: Path) -> None:
    old, new = start(), start()
    with old.connect() as client:
        client.all(("SET", f"key:{n}", f"value {n}") for n in range(100_000))
    told = Replacement(new, str(tmp_path / "keys"), 1000).copy(
        old, 30, lambda: restart(new), lambda: None
    )
    assert told["keys"] == 100_000
    assert 500 < told["compared"] < 1500, "a sample"


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        (("SET", "string:1", "x"), "its content differs"),
        (("DEL", "list:1"), "'list:1' of database 0: it is missing"),
        (("ZADD", "zset:1", 18, "d"), "its content differs"),
        (("SADD", "set:1", "more"), "its content differs"),
        (("PERSIST", "ends:1"), "it doesn't end"),
        (("PEXPIRE", "ends:1", 60_000), "ms from when it should"),
        (("EXPIRE", "hash:1", 500), "it ends"),
        (("XACK", "stream:1", "workers", "2-0"), "its content differs"),
        (("XGROUP", "DESTROY", "stream:1", "workers"), "its content differs"),
        (("SET", "more", "x"), "keys instead of"),
    ],
)
def test_what_differs_is_found(
    start: Start, tmp_path: Path, command: tuple[t.Any, ...], fault: str
) -> None:
    """Somebody changes the new server while it is restarted."""
    old, new = start(), start()
    with old.connect() as client:
        fill(client, 2)

    def tamper() -> None:
        with new.connect() as client:
            client(*command)

    copy = Replacement(new, str(tmp_path / "keys"), 10**6)
    with pytest.raises(ServerError, match=f"what was copied differs: .*({fault})"):
        copy.copy(old, 30, tamper, lambda: None)


def test_writers_wait_and_readers_don_t(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replacement, "PAUSE", 2)
    old, new = start(), start()
    with old.connect() as client:
        fill(client, 1)
    seen = []

    def look() -> None:
        with old.connect() as reader:
            seen.append(reader("GET", "string:0"))
        with pytest.raises(ServerError, match="timed out"):
            Client(old.address, old.port, timeout=0.5)("SET", "string:0", "late")

    Replacement(new, str(tmp_path / "keys"), 10**6).copy(old, 30, look, lambda: None)
    assert seen == [bytes(range(256))]
    with old.connect() as writer:
        writer("SET", "string:0", "goes on")


def test_writers_wait_however_long_something_takes(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than one pause: nothing that was acknowledged is missing where it went."""
    monkeypatch.setattr(replacement, "PAUSE", 1)
    old, new = start(), start()
    with old.connect() as client:
        fill(client, 1)
    late = []

    def write_late() -> None:
        time.sleep(3)
        with pytest.raises(ServerError, match="timed out"):
            Client(old.address, old.port, timeout=0.5)("SET", "string:0", "late")
        late.append(True)

    path = tmp_path / "told"
    Replacement(new, str(path), 10**6).copy(old, 30, write_late, lambda: None)
    assert late
    assert replacement.known(str(path))["keys"] == 16


def test_writers_that_went_on_are_noticed(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody lets them go, or the server stands still: then it is not stopped."""
    old, new = start(), start()
    with old.connect() as client:
        fill(client, 1)
    monkeypatch.setattr(replacement, "PAUSE", 1)
    stopped = []

    def stand_still() -> None:
        with old.connect() as client:
            client("DEBUG", "SLEEP", "2.5")

    copy = Replacement(new, str(tmp_path / "told"), 10**6)
    with pytest.raises(ServerError, match="writers may have gone on"):
        copy.copy(old, 30, stand_still, lambda: stopped.append(True))
    assert not stopped
    with pytest.raises(ServerError, match="not all of it was copied"):
        replacement.known(str(tmp_path / "told"))


def test_an_earlier_success_is_forgotten(start: Start, tmp_path: Path) -> None:
    old, new = start(), start()
    path = tmp_path / "told"
    path.write_text('{"keys": 1}')

    def fail() -> None:
        raise ServerError("no")

    with pytest.raises(ServerError, match="no"):
        Replacement(new, str(path), 10**6).copy(old, 30, fail, lambda: None)
    assert not path.exists()


def test_a_snapshot_is_kept(start: Start, tmp_path: Path) -> None:
    old = start()
    with old.connect() as client:
        fill(client, 1)
    kept = str(tmp_path / "kept.rdb")
    told = replacement.keep_snapshot(old, os.geteuid(), kept, 30)
    assert told["bytes"] > 100
    assert told["format"].startswith(("REDIS", "VALKEY"))
    assert Path(kept).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("--appendonly", "yes"), "its appendonly is 'yes': DragonflyDB keeps snapshots only"),
        (("--maxmemory-policy", "volatile-ttl"), "its maxmemory-policy is 'volatile-ttl'"),
        (("--notify-keyspace-events", "KEA"), "its notify-keyspace-events is"),
        (("--cluster-enabled", "yes"), "a cluster isn't replaced by one server$"),
        (("--replicaof", "127.0.0.1 1"), "it is a slave: replace its master"),
        (("--user", "ada", "on", "nopass", "~*", "+@all"), "it has users beside default: ada"),
        (("--databases", "32"), "database 20 has keys, and DragonflyDB has 0 to 15"),
    ],
)
def test_what_has_no_counterpart_is_refused(
    start: Start, options: tuple[str, ...], fault: str
) -> None:
    with start(*options).connect() as client:
        if "32" in options:
            client.select(20)
            client("SET", "far", "away")
            client.select(0)
        found = examine(client, set())["faults"]
        assert len(found) == 1, found
        assert re.search(fault, found[0])
        name = options[0][2:]
        accepted = examine(client, {name, "acl"})["faults"]
    never = name in ("cluster-enabled", "replicaof", "databases")
    assert bool(accepted) == never


def test_a_sound_server_is_accepted(start: Start) -> None:
    with start().connect() as client:
        fill(client)
        found = examine(client, set())
    assert found["faults"] == []
    assert found["keys"] == 80
    assert found["databases"] == [0, 3]


def test_functions_are_refused(start: Start) -> None:
    with start().connect() as client:
        code = "#!lua name=lib\nredis.register_function('f', function() return 1 end)"
        client("FUNCTION", "LOAD", code)
        assert "1 libraries of functions" in examine(client, set())["faults"][0]


KEY = keys.Key("string", "d", NOW + 5000)


@pytest.mark.parametrize(
    ("found", "now", "expected"),
    [
        (KEY, NOW, ""),
        (None, NOW, "it is missing"),
        (None, NOW + 4000, ""),
        (keys.Key("string", "d", NOW + 6500), NOW, ""),
        (keys.Key("string", "d", NOW + 9000), NOW, "it ends 4000 ms from when it should"),
        (keys.Key("list", "d", NOW + 5000), NOW, "it is a list instead of a string"),
        (keys.Key("string", "e", NOW + 5000), NOW, "its content differs"),
        (keys.Key("string", "d", None), NOW, "it doesn't end"),
    ],
)
def test_differences(found: keys.Key | None, now: int, expected: str) -> None:
    assert keys.difference(KEY, found, now) == expected


def test_a_sample_is_the_same_every_time() -> None:
    chosen = [keys.is_chosen(0, b"key %d" % n, 0.25) for n in range(4000)]
    assert chosen == [keys.is_chosen(0, b"key %d" % n, 0.25) for n in range(4000)]
    assert 800 < sum(chosen) < 1200
    assert all(keys.is_chosen(1, b"x", share) for share in (1, 1.5))


def test_order_and_notation_don_t_matter() -> None:
    def digest(kind: str, content: t.Any) -> str:
        return keys.Whole(b"k", kind, None, content).key().digest

    assert digest("set", [b"a", b"b"]) == digest("set", [b"b", b"a"])
    assert digest("hash", [b"a", b"1", b"b", b"2"]) == digest("hash", [b"b", b"2", b"a", b"1"])
    assert digest("zset", [b"a", b"1e20"]) == digest("zset", [b"a", b"100000000000000000000"])
    assert digest("list", [b"a", b"b"]) != digest("list", [b"b", b"a"])
    assert digest("list", [b"ab", b""]) != digest("list", [b"a", b"b"])
