# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that find each other on their transport ports, form one cluster, elect a master, allocate.

As Elasticsearch does it, as far as a role can notice: they meet at the seeds and go on at the
published addresses; a cluster is bootstrapped once, by a majority of the initial master nodes, and
a node is locked into it; without a quorum there is no master; what the master accepts, all have.
The wire is HTTP with JSON, over the transport's own TLS.
"""

from __future__ import annotations

import concurrent.futures
import copy
import http.client
import json
import pathlib
import ssl
import threading
import time
import typing as t
import uuid
from dataclasses import dataclass, field

from standin import daemon, secret, web

PERIOD: t.Final = 0.4  # seconds between two looks at the others
PATIENCE: t.Final = 5.0  # for an answer of another node, on a busy machine, too
COPIES: t.Final = 2  # a primary and a replica, as new indices have it
ENABLE: t.Final = "cluster.routing.allocation.enable"

State = dict[str, t.Any]


def version_of(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.partition("+")[0].split("."))


@dataclass
class Identity:
    """What a node tells about itself, apart from the state of its cluster."""

    id: str
    name: str
    cluster: str
    version: str
    transport: str  # its published address, with the port
    http: str
    roles: list[str]
    started: float = 0.0


@dataclass
class Plan:
    """How a node finds others."""

    seeds: list[str] = field(default_factory=list)
    initial: list[str] = field(default_factory=list)
    single: bool = False
    # Read at each look, as the product's FileBasedSeedHostsProvider does.
    file: pathlib.Path | None = None
    port: int = 0  # for lines without one

    def hosts(self) -> set[str]:
        """The seeds of the moment."""
        lines = self.file.read_text().splitlines() if self.file and self.file.exists() else []
        words = [line.split("#")[0].strip() for line in lines]
        found = {w if w.rpartition(":")[0] else f"{w}:{self.port}" for w in words if w}
        return {*self.seeds, *found}


class Unreachable(Exception):  # noqa: N818  # not an error of this node
    """Another node doesn't answer."""


class Wire:
    """Calls other nodes."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context

    def call(self, address: str, path: str, body: t.Any = None, timeout: float = PATIENCE) -> t.Any:
        """Ask the node at ``address`` (host:port).

        :raises Unreachable: it doesn't answer, or with an error.
        """
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        connection: http.client.HTTPConnection
        if self._context:
            connection = http.client.HTTPSConnection(
                host, int(port), timeout=timeout, context=self._context
            )
        else:
            connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
        try:
            connection.request("POST" if body is not None else "GET", path, json.dumps(body))
            answer = connection.getresponse()
            content = json.loads(answer.read())
        except (OSError, ValueError, http.client.HTTPException) as problem:
            raise Unreachable(str(problem)) from None
        finally:
            connection.close()
        if answer.status != 200:
            raise Unreachable(str(content))
        return content


class Cluster:
    """This node's part in its cluster."""

    def __init__(self, me: Identity, plan: Plan, path: pathlib.Path, wire: Wire) -> None:
        self.me = me
        self.plan = plan
        self._path = path
        self._wire = wire
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._promised = ("", 0.0)
        self._addresses: set[str] = set(plan.seeds)
        self._said: set[str] = set()
        self._misses: dict[str, int] = {}
        self._pool = concurrent.futures.ThreadPoolExecutor(16)
        content = json.loads(path.read_text()) if path.exists() else {}
        self.me.id = content.get("id") or me.id or uuid.uuid4().hex[:22]
        self.state: State = content.get("state") or {
            "uuid": "",
            "version": 0,
            "voting": [],
            "settings": {},
            "indices": {},
            "passwords": {},
            "tokens": {},
        }
        # The nodes of this cluster that answer, this one among them, by their ids.
        self.members: dict[str, State] = {self.me.id: self.tell()}
        self.master = ""
        if plan.single and not self.state["uuid"]:
            self.state.update(uuid=uuid.uuid4().hex[:22], version=1, voting=[self.me.id])
        if plan.single:
            self.master = self.me.id
        self.save()

    # --- what others are told -------------------------------------------------------------------

    def tell(self) -> State:
        """This node, as it presents itself."""
        return {
            **self.me.__dict__,
            "uuid": self.state["uuid"],
            "state_version": self.state["version"],
            "eligible": not self.me.roles or "master" in self.me.roles,
            "data": not self.me.roles or any(role.startswith("data") for role in self.me.roles),
            "wants": self.plan.initial if not self.state["uuid"] else [],
            "addresses": sorted(self._addresses),
            "master": getattr(self, "master", ""),
        }

    def answer(self, request: web.Request) -> web.Response:
        """What the transport port answers to other nodes."""
        if request.path == "/handshake":
            # Who asks is met in turn, as on the product's connections.
            if (
                request.method == "POST"
                and (asking := request.json())["cluster"] == self.me.cluster
            ):
                self._addresses.add(asking["transport"])
            return web.Response(self.tell())
        if request.path == "/vote":
            return web.Response({"granted": self._promise(request.json()["for"])})
        if request.path == "/state":
            return web.Response(self.state)
        if request.path == "/publish":
            self.adopt(request.json())
            return web.Response({})
        if request.path == "/leave":
            gone = request.json()["id"]
            with self._lock:
                if gone != self.me.id and self.members.pop(gone, None):
                    self._elect()
                    self.reconcile()
            return web.Response({})
        return web.Response("stand-in", 404)

    # --- discovery ------------------------------------------------------------------------------

    def start(self) -> None:
        if self.state["uuid"] and self.plan.initial:
            self._say(
                f"this node is locked into cluster UUID [{self.state['uuid']}] but"
                f" [cluster.initial_master_nodes] is set to {self.plan.initial}; remove this"
                " setting to avoid possible data loss caused by subsequent cluster bootstrap"
                " attempts"
            )
        if not self.plan.single:
            threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """Say goodbye to the others."""
        self._stop.set()
        for member in self._others():
            self._try(member["transport"], "/leave", {"id": self.me.id})

    def wait(self, timeout: float) -> bool:
        """Whether there is a master within so many seconds."""
        end = time.monotonic() + timeout
        while not self.master and time.monotonic() < end:
            self._stop.wait(0.1)
        return bool(self.master)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Exception as problem:  # the next look may be better
                self._say(f"discovery: {problem!r}")
            self._stop.wait(PERIOD)

    def call(self, address: str, path: str, body: t.Any) -> t.Any:
        """Ask another node.

        :raises Unreachable: it doesn't answer.
        """
        return self._wire.call(address, path, body, timeout=3 * PATIENCE)

    def _try(self, address: str, path: str, body: t.Any = None) -> t.Any:
        try:
            return self._wire.call(address, path, body)
        except Unreachable:
            return None

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            daemon.say(text)

    def _others(self) -> list[State]:
        return [member for key, member in self.members.items() if key != self.me.id]

    def _meet(self) -> dict[str, State]:
        """Everybody who answers at the address that it publishes, by id."""
        self._addresses |= self.plan.hosts()
        seeds = sorted(self._addresses)
        hello = {"cluster": self.me.cluster, "transport": self.me.transport}
        found: dict[str, State] = {}
        for seed, peer in zip(
            seeds, self._pool.map(lambda a: self._try(a, "/handshake", hello), seeds), strict=True
        ):
            if not peer or peer["id"] == self.me.id or peer["cluster"] != self.me.cluster:
                continue
            if seed != peer["transport"]:
                again = self._try(peer["transport"], "/handshake")
                if not again or again["id"] != peer["id"]:
                    self._say(
                        f"completed handshake with [{peer['name']}] at [{seed}] but followup"
                        f" connection to [{peer['transport']}] failed"
                    )
                    continue
            found[peer["id"]] = peer
            self._addresses |= {peer["transport"], *peer["addresses"]}
        self._addresses.discard(self.me.transport)
        return found

    def look(self) -> None:
        """Find the others once, and draw the conclusions."""
        peers = self._meet()
        with self._lock:
            if not self.state["uuid"]:
                self._join_or_bootstrap(peers)
            self._update(peers)
            self._elect()
        self._pull()
        with self._lock:
            self.reconcile()

    def _join_or_bootstrap(self, peers: dict[str, State]) -> None:
        formed = [peer for peer in peers.values() if peer["uuid"]]
        if formed:
            oldest = min(version_of(peer["version"]) for peer in formed)
            if version_of(self.me.version) < oldest:
                self._say(
                    f"node version [{self.me.version}] may not join a cluster comprising only"
                    f" nodes of version [{'.'.join(map(str, oldest))}] or greater"
                )
                return
            best = max(formed, key=lambda peer: peer["state_version"])
            state = self._try(best["transport"], "/state")
            if state and state["uuid"]:
                self.state = state
                self.save()
            return
        wanted = self.plan.initial
        if self.me.name not in wanted:
            self._say("master not discovered yet: this node has not been bootstrapped")
            return
        named = {
            peer["name"]: key
            for key, peer in {**peers, self.me.id: self.tell()}.items()
            if peer["name"] in wanted
        }
        if 2 * len(named) <= len(wanted) or min(named.values()) != self.me.id:
            return
        # Another majority may have the same idea.
        new = uuid.uuid4().hex[:22]
        votes = [self.me.id] if self._promise(new) else []
        for key in named.values():
            given = key != self.me.id and self._try(peers[key]["transport"], "/vote", {"for": new})
            votes += [key] if given and given["granted"] else []
        if 2 * len(votes) > len(wanted) and self.me.id in votes:
            self.state.update(uuid=new, version=1, voting=sorted(named.values()))
            daemon.say(f"setting initial configuration to {sorted(named)}")
            self.save()

    def _promise(self, wanted: str) -> bool:
        """Vote for a new cluster, unless this node has one, or has voted a moment ago."""
        is_free = time.monotonic() > self._promised[1] or self._promised[0] == wanted
        if self.state["uuid"] or not is_free:
            return False
        self._promised = (wanted, time.monotonic() + 2)
        return True

    def _update(self, peers: dict[str, State]) -> None:
        """Note who is in this cluster. A node is given up when it has missed three looks."""
        mine = self.state["uuid"]
        fresh = {self.me.id: self.tell()}
        for key, peer in peers.items():
            self._misses.pop(key, None)
            if mine and peer["uuid"] == mine:
                fresh[key] = peer
            elif mine and peer["uuid"]:
                self._say(
                    f"join validation on cluster state with a different cluster uuid"
                    f" {peer['uuid']} than local cluster uuid {mine}, rejecting"
                    f" [{peer['name']}]"
                )
        for key, member in self.members.items():
            if key not in fresh and key not in peers and key != self.me.id:
                self._misses[key] = self._misses.get(key, 0) + 1
                if self._misses[key] < 3:
                    fresh[key] = member
        self.members = fresh

    def _elect(self) -> None:
        voting = self.state["voting"]
        live = [key for key in voting if key in self.members]
        if not self.state["uuid"] or 2 * len(live) <= len(voting):
            self.master = ""
            return
        claims = [m["master"] for m in self._others() if m["master"] in live]
        if claims:
            # The one whom most follow, so that nobody is elected beside a master.
            self.master = min(claims, key=lambda key: (-claims.count(key), key))
        elif self.master not in live:
            newest = max(self.members[key]["state_version"] for key in live)
            self.master = min(k for k in live if self.members[k]["state_version"] == newest)

    def _pull(self) -> None:
        master = self.members.get(self.master)
        if master and self.master != self.me.id and master["state_version"] > self.state["version"]:
            state = self._try(master["transport"], "/state")
            if state:
                self.adopt(state)

    # --- the state ------------------------------------------------------------------------------

    def save(self) -> None:
        secret.replace(self._path, json.dumps({"id": self.me.id, "state": self.state}), 0o660)

    def adopt(self, state: State) -> None:
        """Take over a newer state of this cluster."""
        with self._lock:
            is_mine = self.state["uuid"] in ("", state["uuid"])
            if is_mine and state["version"] > self.state["version"]:
                self.state = state
                self.members[self.me.id] = self.tell()
                self.save()

    def change(self, edit: t.Callable[[State], t.Any]) -> t.Any:
        """Let the master edit the state, and tell everybody; what ``edit`` returns."""
        with self._lock:
            result = edit(self.state)
            self.state["version"] += 1
            self.members[self.me.id] = self.tell()
            self.save()
            state = copy.deepcopy(self.state)
            others = self._others()
        list(self._pool.map(lambda m: self._try(m["transport"], "/publish", state), others))
        return result

    def reconcile(self) -> None:
        """What a master does by itself: who votes, and where the shards are."""
        if self.master != self.me.id:
            return
        former = json.dumps([self.state["voting"], self.state["indices"]])
        wanted = copy.deepcopy(self.state)
        voters = sorted(key for key, member in self.members.items() if member["eligible"])
        if len(voters) >= 3 or len(voters) >= len(wanted["voting"]):
            # An odd number: one of two halves must not stand against the other.
            voters = voters if len(voters) % 2 else [k for k in voters if k != voters[-1]]
            wanted["voting"] = voters if self.me.id in voters else [*voters[1:], self.me.id]
        for index in wanted["indices"].values():
            self._allocate(index, wanted["settings"].get(ENABLE, "all"))
        if json.dumps([wanted["voting"], wanted["indices"]]) != former:
            self.change(lambda state: state.update(wanted, version=state["version"]))

    def _allocate(self, index: State, enabled: str) -> None:
        """Give an index its copies. The first of them is the primary."""
        had = index["assigned"]
        index["assigned"] = [key for key in had if key in self.members]
        if not index["assigned"] and had and not index.get("last"):
            index["last"] = had
        last = index.get("last", [])
        if not index["assigned"]:
            back = [key for key in last if key in self.members]
            if last and not back:
                return
            if enabled == "none":
                return
            index["assigned"] = back[:1] or self._data()[:1]
        index.pop("last", None)
        if enabled not in ("all", "", None):
            return
        primary = self.members[index["assigned"][0]]
        for key in self._data():
            if len(index["assigned"]) >= index["copies"]:
                break
            # A replica's node is never older than its primary's.
            is_new = version_of(self.members[key]["version"]) >= version_of(primary["version"])
            if key not in index["assigned"] and is_new:
                index["assigned"].append(key)

    def _data(self) -> list[str]:
        return sorted(key for key, member in self.members.items() if member["data"])

    def health(self) -> State:
        """What ``_cluster/health`` says, without the time that it takes."""
        with self._lock:
            indices = self.state["indices"].values()
            live = [[key for key in index["assigned"] if key in self.members] for index in indices]
            missing = sum(
                index["copies"] - len(found) for index, found in zip(indices, live, strict=True)
            )
            active = sum(map(len, live))
            status = "green" if not missing else "yellow" if all(live) else "red"
            return {
                "cluster_name": self.me.cluster,
                "status": status,
                "timed_out": False,
                "number_of_nodes": len(self.members),
                "number_of_data_nodes": len(self._data()),
                "active_primary_shards": sum(map(bool, live)),
                "active_shards": active,
                "relocating_shards": 0,
                "initializing_shards": 0,
                "unassigned_shards": missing,
                "delayed_unassigned_shards": 0,
                "number_of_pending_tasks": 0,
                "active_shards_percent_as_number": 100.0 * active / ((active + missing) or 1),
            }
