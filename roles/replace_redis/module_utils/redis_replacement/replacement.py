# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The old server is kept from changing, copied, compared and stopped; or found again as it was."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import socket
import subprocess
import threading
import time
import typing as t
from collections import Counter
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.freeing.port import find_holding
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import Runner
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.snapshot import take_snapshot

from .client import Client, ServerError
from .features import examine
from .keys import Key, difference, is_chosen, names, read, write

# Seconds that writers wait, unless it is said again: if whoever copies dies, they go on.
PAUSE = 30
# Where a server that listens on all addresses is reached on its own host.
NEAR = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
# Between two looks at a snapshot.
LOOK = 0.2
SHOWN = 5
# How many keys are read at a time to be compared.
SAMPLE = 1000


@dataclass(frozen=True)
class Place:
    """Where a server is, and how it is spoken to."""

    address: str
    port: int
    password: str
    tls: bool = False

    def connect(self) -> Client:
        """Return a connection.

        :raises ServerError: there is none.
        """
        return Client(self.address, self.port, self.password, tls=self.tls)


def find(port: int, password: str, accept: t.Collection[str]) -> dict[str, t.Any]:
    """Return who has the port, and what stands against replacing it.

    :raises ServerError: it doesn't answer as a Redis does.
    """
    snapshot = take_snapshot({("tcp", port)})
    holding = find_holding(port, "tcp", snapshot, time.time())
    if holding is None:
        return {"kind": "none", "faults": []}
    address = next((s.address for s in holding.sockets), "")
    address = NEAR.get(address, address)
    found: dict[str, t.Any] = {"address": address, "who": holding.who, "free_port": free_port()}
    programs = {os.path.basename(h.executable or h.process) for h in holding.holders}
    if programs == {"dragonfly"}:
        return {**found, "kind": "dragonfly", "faults": []}
    try:
        with Client(address, port, password) as client:
            found.update(examine(client, accept))
    except ServerError as error:
        hint = ""
        if "NOAUTH" in str(error) or "WRONGPASS" in str(error):
            hint = ". Its password belongs into replace_redis_password"
        return {**found, "kind": "unknown", "faults": [f"{error}{hint}"]}
    if found["kind"] == "dragonfly":
        return found
    container, unit = holding.container, holding.unit
    uids = {holder.uid for holder in holding.holders}
    found.update(unit=unit or "", uid=uids.pop() if len(uids) == 1 else -1)
    if container:
        found["faults"].append(f"it is {container}, which isn't started again from here: stop that")
    elif not unit or found["uid"] < 0:
        found["faults"].append(
            f"it is {holding.who}, and no service of systemd, so it couldn't be started again"
        )
    return found


def free_port() -> int:
    """Return a port that nobody has, for the time in which both servers run."""
    with socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::", 0))
        return int(sock.getsockname()[1])


def save(client: Client, timeout: float) -> None:
    """Let a server write a snapshot of all that it has now.

    :raises ServerError: it fails, or isn't ready in that many seconds.
    """
    end = time.monotonic() + timeout

    def wait() -> dict[str, str]:
        while True:
            about = client.info("persistence")
            if about.get("rdb_bgsave_in_progress") != "1":
                return about
            if time.monotonic() > end:
                raise ServerError(f"{client.place} saves for more than {timeout:.0f} s")
            time.sleep(LOOK)

    # One that runs already has not all of it.
    wait()
    client("BGSAVE")
    about = wait()
    if about.get("rdb_last_bgsave_status") != "ok":
        raise ServerError(f"{client.place} can't write a snapshot (its log tells why)")


def keep_snapshot(source: Place, uid: int, path: str, timeout: float) -> dict[str, t.Any]:
    """Let the old server write a snapshot, and keep a copy of it.

    :param uid: as whom its file is read, because that user could replace it by a link.
    :raises ServerError: it can't be written, or isn't one.
    """
    with source.connect() as client:
        save(client, timeout)
        folder, name = (
            client("CONFIG", "GET", option)[1].decode() for option in ("dir", "dbfilename")
        )
    original = os.path.join(folder, name)
    try:
        group = pwd.getpwuid(uid).pw_gid
    except KeyError as error:
        raise ServerError(f"no user has the uid {uid}, as which it runs") from error
    handle = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        done = subprocess.run(
            ["cat", "--", original],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.PIPE,
            user=uid,
            group=group,
            extra_groups=[],
            check=False,
        )
        os.fsync(file.fileno())
    if done.returncode != 0:
        raise ServerError(f"its snapshot can't be read: {done.stderr.decode().strip()}")
    with open(f"{path}.new", "rb") as file:
        start = file.read(9)
    if start[:5] not in (b"REDIS", b"VALKE"):
        raise ServerError(f"{original} is no snapshot: it begins with {start!r}")
    os.replace(f"{path}.new", path)
    return {"snapshot": path, "bytes": os.stat(path).st_size, "format": start.decode()}


class Hold:
    """Keeps an old server's writers waiting, again and again, however long something else takes.

    By a connection and a thread of its own. If whoever copies dies, writers go on after `PAUSE`
    seconds, and so they do after an error.
    """

    def __init__(self, source: Place) -> None:
        self._client = source.connect()
        self._last = time.monotonic()
        self._fault = ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> Hold:
        self._pause()
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        self._thread.join()
        self._client.__exit__()

    def check(self) -> None:
        """Make sure that nobody has written since the beginning.

        :raises ServerError: somebody may have.
        """
        if not self._fault and time.monotonic() - self._last >= PAUSE:
            self._fault = "it did not answer in time"
        if self._fault:
            raise ServerError(f"writers may have gone on while keys were copied: {self._fault}")

    def _pause(self) -> None:
        # From before the command, as the server counts from after it.
        asked = time.monotonic()
        self._client("CLIENT", "PAUSE", PAUSE * 1000, "WRITE")
        if time.monotonic() - self._last >= PAUSE:
            self._fault = "it did not answer in time"
        self._last = asked

    def _go_on(self) -> None:
        while not self._end.wait(PAUSE / 6):
            try:
                self._pause()
            except ServerError as error:
                self._fault = str(error)
                return


class Replacement:
    """The keys of one server in another.

    :param path: the file that tells, once it is true, that everything has arrived.
    :param most: how many keys are compared with their contents; of more, a sample of that size is.
    """

    def __init__(self, target: Place, path: str, most: int) -> None:
        self._target = target
        self._path = path
        self._most = most

    def copy(
        self,
        source: Place,
        timeout: float,
        restart: t.Callable[[], None],
        stop: t.Callable[[], None],
    ) -> dict[str, t.Any]:
        """Keep the old server from changing, copy it, compare, let both save, and stop it.

        :param restart: restarts the new server. Nobody else has reached it until then, so it is
            compared again: what it has is what it has kept.
        :param stop: stops the old server.
        :raises ServerError: something differs, or one of them doesn't answer.
        """
        forget(self._path)
        with Hold(source) as hold:
            kept: dict[tuple[int, bytes], Key] = {}
            counts: Counter[int] = Counter()
            endings = 0
            with source.connect() as old, self._target.connect() as new:
                about = examine(old, set())
                share = min(1.0, self._most / max(1, about["keys"]))
                new("FLUSHALL")
                for database in about["databases"]:
                    old.select(database)
                    new.select(database)
                    for portion in names(old):
                        whole = read(old, portion, _milliseconds(old))
                        write(new, whole.values())
                        for name, key in whole.items():
                            counts[database] += 1
                            endings += key.ends is not None
                            if is_chosen(database, name, share):
                                kept[database, name] = key.key()
                compare(new, kept, counts, endings)
                # Going back must find what was written until now.
                save(old, timeout)
                new("SAVE")
            restart()
            with self._wait(timeout) as new:
                compare(new, kept, counts, endings)
            told = {"keys": sum(counts.values()), "compared": len(kept), "ending": endings}
            hold.check()
            self._remember(told)
            stop()
        return told

    def _wait(self, timeout: float) -> Client:
        """Return a connection as soon as the new server has loaded what it kept."""
        end = time.monotonic() + timeout
        while True:
            try:
                client = self._target.connect()
                client("DBSIZE")
            except ServerError:
                if time.monotonic() > end:
                    raise
                time.sleep(LOOK)
            else:
                return client

    def _remember(self, told: t.Mapping[str, int]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(f"{self._path}.new", flags, 0o600), "w", encoding="ascii") as file:
            json.dump(told, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{self._path}.new", self._path)


def known(path: str) -> dict[str, t.Any]:
    """Return what was told when everything had arrived, by a run that was cut off after that.

    :raises ServerError: it never had.
    """
    try:
        with open(path, encoding="ascii") as file:
            return dict(json.load(file))
    except FileNotFoundError as error:
        raise ServerError("it doesn't run, and not all of it was copied: start it first") from error


def forget(path: str) -> None:
    """Let nobody take what an earlier replacement has told for what this one will."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def compare(
    new: Client, kept: t.Mapping[tuple[int, bytes], Key], counts: Counter[int], endings: int
) -> None:
    """Compare what a server has with what was read.

    :param kept: the keys, by their database and name; all, or a sample.
    :param counts: how many keys each database has.
    :param endings: how many of all end by themselves.
    :raises ServerError: something differs.
    """
    faults: list[str] = []
    by_database: dict[int, list[bytes]] = {}
    for database, name in kept:
        by_database.setdefault(database, []).append(name)
    for database in sorted({*counts, *by_database}):
        new.select(database)
        size = new("DBSIZE")
        # Keys that end do so on both sides, but not in the same moment.
        if not counts[database] - endings <= size <= counts[database]:
            faults.append(f"database {database} has {size} keys instead of {counts[database]}")
        wanted = by_database.get(database, [])
        for start in range(0, len(wanted), SAMPLE):
            portion = wanted[start : start + SAMPLE]
            now = _milliseconds(new)
            found = read(new, portion, now)
            for name in portion:
                key = found[name].key() if name in found else None
                text = difference(kept[database, name], key, now)
                if text:
                    faults.append(f"{name!r} of database {database}: {text}")
    if faults:
        more = [f"{len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        raise ServerError(f"what was copied differs: {listed([*faults[:SHOWN], *more])}")


def _milliseconds(client: Client) -> int:
    seconds, micros = client("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


def is_active(run: Runner, unit: str) -> bool:
    """Tell whether a service runs."""
    return run(["systemctl", "is-active", "--quiet", unit])[0] == 0


def systemctl(run: Runner, *words: str) -> None:
    """Let systemd do something.

    :raises ServerError: it doesn't.
    """
    code, output, errors = run(["systemctl", *words])
    if code != 0:
        raise ServerError(f"systemctl {' '.join(words)}: {(errors or output).strip()}")


def back(run: Runner, unit: str, source: Place, timeout: float) -> None:
    """Let the old server run as before, and its writers go on.

    :raises ServerError: it doesn't come.
    """
    systemctl(run, "enable", "--now", unit)
    end = time.monotonic() + timeout
    while True:
        try:
            with source.connect() as client:
                if client.info("persistence").get("loading") != "1":
                    client("CLIENT", "UNPAUSE")
                    return
        except ServerError:
            if time.monotonic() > end:
                raise
        time.sleep(LOOK)
