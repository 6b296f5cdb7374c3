# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports that docker and podman publish, and the containers that they belong to.

An engine is asked only where something shows that it has a say: a socket held by it or its proxies,
one held by a process of a container, or docker's own socket, because docker may publish a port by
rewriting addresses only, without a socket of this host. Podman always keeps a socket open (in
conmon, rootlessport or pasta) so that nobody else takes the port.
"""

from __future__ import annotations

import functools
import json
import os
import pwd
import re
import subprocess
import sys
import typing as t
from contextlib import suppress
from dataclasses import dataclass, replace

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import printable
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import (
    Container,
    Holder,
    Snapshot,
    Socket,
)

# Programs that hold the ports of containers, of whatever container, and nothing else.
PROXIES = {
    "docker-proxy": "docker",
    "docker-proxy-current": "docker",
    "rootlesskit": "docker",
    "rootlesskit-docker-proxy": "docker",
    "vpnkit": "docker",
    "conmon": "podman",
    "conmonrs": "podman",
    "gvforwarder": "podman",
    "gvproxy": "podman",
    "netavark": "podman",
    "passt": "podman",
    "passt.avx2": "podman",
    "pasta": "podman",
    "pasta.avx2": "podman",
    "rootlessport": "podman",
    "rootlessport-child": "podman",
    "slirp4netns": "podman",
}
# As the kernel has their names, of at most 15 bytes.
CUT = {name[:15]: engine for name, engine in PROXIES.items()}
# Programs that do so among other things.
ENGINES = {
    "dockerd": "docker",
    "com.docker.backend": "docker",
    "OrbStack Helper": "docker",
    "limactl": "docker",
    "podman": "podman",
}
# What lima and colima forward ports with, where limactl doesn't itself.
ENGINES_MACOS = {"ssh": "docker"}
# Where their command-line programs are; SSH gives a Mac's login another PATH.
PATHS_MACOS = ("{home}/.orbstack/bin", "{home}/.docker/bin", "/opt/homebrew/bin", "/usr/local/bin")
DOCKER_SOCKET = "/var/run/docker.sock"
COMMANDS = {
    "docker": ("docker", "ps", "--no-trunc", "--format", "{{json .}}"),
    "podman": ("podman", "ps", "--no-trunc", "--format", "json"),
}
TIMEOUT = 10
NOBODY = "nobody"
# docker-<id>.scope, libpod-<id>.scope, /docker/<id>, /libpod_parent/libpod-<id>, and
# libpod-payload-<id> below the unit that has started the container
CGROUP = re.compile(r"(docker|libpod)(?:-payload)?[-/]([0-9a-f]{64})")
# Of a user's own manager; systemd lets nobody leave theirs.
USERS_CGROUP = re.compile(r"/user@([0-9]+)\.service/")
ENGINE_OF_CGROUP = {"docker": "docker", "libpod": "podman"}
# Programs that watch a container, whose id is among their arguments: they are above its processes
# where the engine makes no control groups that say whose they are, as for a user without a manager.
MONITORS = {"conmon": "podman", "conmonrs": "podman", "containerd-shim-runc-v2": "docker"}
ID = re.compile(r"[0-9a-f]{64}")
PROC = "/proc"
# How far above a process its monitor is looked for.
GENERATIONS = 12
# 0.0.0.0:8000-8002->80-82/tcp, [::]:8000->80/tcp, and :::8000->80/tcp of docker before 26
PUBLISHED = re.compile(r"(.*):(\d+)(?:-(\d+))?->[\d-]+/(\w+)")
ANY = ("0.0.0.0", "::")  # noqa: S104


@dataclass(frozen=True)
class Published:
    """A port of this host that an engine passes on to a container."""

    protocol: str
    address: str
    port: int
    container: Container


@dataclass(frozen=True)
class Listing:
    """The running containers of an engine."""

    published: tuple[Published, ...]
    by_id: t.Mapping[str, Container]

    def of(self, uid: int) -> Listing:
        """Return the same, of the engine of a user."""
        return Listing(
            tuple(replace(p, container=replace(p.container, uid=uid)) for p in self.published),
            {key: replace(container, uid=uid) for key, container in self.by_id.items()},
        )


def attribute(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with the containers that its sockets belong to.

    Published ports without a socket are added as sockets without holders.
    """
    listings = [_ask(engine, uid) for engine, uid in sorted(_engines(snapshot))]
    if not any(listing.by_id for listing in listings):
        return snapshot
    published = [port for listing in listings for port in listing.published]
    by_id = {(c.uid, key): c for listing in listings for key, c in listing.by_id.items()}
    sockets = [_attributed(sock, snapshot, published, by_id) for sock in snapshot.sockets]
    held = {(sock.protocol, sock.port, sock.container) for sock in sockets}
    sockets += [
        Socket(
            port.protocol,
            port.address,
            port.port,
            v6only=port.address == ANY[1],
            uid=0,
            inode=0,
            container=port.container,
            is_published=True,
        )
        for port in published
        # Only root's may rewrite addresses. What others say of ports is about their own sockets.
        if (port.container.uid == 0 or sys.platform == "darwin")
        and (port.protocol, port.port, port.container) not in held
    ]
    return replace(snapshot, sockets=tuple(sockets))


def is_proxy(holder: Holder) -> bool:
    """Tell whether a process only has the port for a container: it is nobody's by itself."""
    return any(name in PROXIES or name in CUT for name in _names(holder))


def engine_of(holder: Holder) -> t.Optional[str]:
    """Return the engine for whose containers a process may have a port."""
    known = {**CUT, **PROXIES, **ENGINES, **(ENGINES_MACOS if sys.platform == "darwin" else {})}
    return next((known[name] for name in _names(holder) if name in known), None)


def in_container(holder: Holder) -> bool:
    """Tell whether a process belongs to a container, whichever."""
    return _identity_of(holder) is not None


@dataclass(frozen=True)
class _Identity:
    """Which container a process is in: its engine, whose that is, and its id."""

    engine: str
    uid: int
    id: str


def _identity_of(holder: Holder) -> t.Optional[_Identity]:
    around = _around()
    for match in CGROUP.finditer(holder.cgroup):
        if match[2] not in around:
            engine = ENGINE_OF_CGROUP[match[1]]
            return _Identity(engine, _uid_of_cgroup(holder.cgroup), match[2])
    return _monitored(holder.pid)


@functools.lru_cache(maxsize=1)
def _around() -> frozenset[str]:
    """Return the ids of containers that all of this host is in, which no engine here knows."""
    with suppress(OSError), open(f"{PROC}/1/cgroup", encoding="utf-8", errors="replace") as file:
        return frozenset(match[2] for match in CGROUP.finditer(file.read()))
    return frozenset()


def _monitored(pid: int) -> t.Optional[_Identity]:
    """Return the container of a process by its monitor, which may be anybody's own program.

    So the engine of that user has to know the container.
    """
    with suppress(OSError, ValueError, IndexError):
        for _generation in range(GENERATIONS):
            with open(f"{PROC}/{pid}/stat", encoding="utf-8", errors="replace") as file:
                pid = int(file.read().rpartition(")")[2].split()[1])
            if pid <= 1:
                break
            engine = MONITORS.get(os.path.basename(os.readlink(f"{PROC}/{pid}/exe")))
            if engine:
                with open(f"{PROC}/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                    words = [word for word in file.read().split("\0") if ID.fullmatch(word)]
                return _Identity(engine, os.stat(f"{PROC}/{pid}").st_uid, words[0])
    return None


def _names(holder: Holder) -> tuple[str, str]:
    return holder.process, os.path.basename(holder.executable or "")


def _engines(snapshot: Snapshot) -> set[tuple[str, int]]:
    """Return the engines to ask, and as which user."""
    found: set[tuple[str, int]] = set()
    for sock in snapshot.sockets:
        for holder in snapshot.holders.get(sock.inode, ()):
            engine = engine_of(holder)
            if engine:
                found.add((engine, _uid_of(holder, sock)))
                continue
            identity = _identity_of(holder)
            if identity:
                found.add((identity.engine, identity.uid))
    if os.path.exists(DOCKER_SOCKET):
        # On a Mac it leads to a user's own engine, and root runs nothing that users can change.
        is_users = sys.platform == "darwin"
        found.add(("docker", os.stat(DOCKER_SOCKET).st_uid if is_users else 0))
    return found


def _uid_of(holder: Holder, sock: Socket) -> int:
    """Return as whose a process holds a port for a container."""
    # pasta gives up root's rights.
    if holder.user == NOBODY:
        return 0
    return sock.uid if holder.uid is None else holder.uid


def _uid_of_cgroup(cgroup: str) -> int:
    """Return whose the container of a control group is: users may make groups in their own."""
    match = USERS_CGROUP.search(cgroup)
    return int(match[1]) if match else 0


def _attributed(
    sock: Socket,
    snapshot: Snapshot,
    published: t.Sequence[Published],
    by_id: t.Mapping[tuple[int, str], Container],
) -> Socket:
    holders = snapshot.holders.get(sock.inode, ())
    engines = {(engine_of(holder), _uid_of(holder, sock)) for holder in holders}
    ports = [
        port
        for port in published
        if (port.protocol, port.port) == (sock.protocol, sock.port)
        and (port.container.engine, port.container.uid) in engines
    ]
    # A port may be published twice, on two addresses; a proxy may listen on all for one of them.
    ports.sort(key=lambda port: port.address != sock.address)
    if ports:
        return replace(sock, container=ports[0].container, is_published=True)
    container = next((by_id[key] for key in _ids(holders) if key in by_id), None)
    return replace(sock, container=container) if container else sock


def _ids(holders: t.Iterable[Holder]) -> list[tuple[int, str]]:
    return [(identity.uid, identity.id) for holder in holders if (identity := _identity_of(holder))]


def _ask(engine: str, uid: int) -> Listing:
    """Return what an engine says of its containers; nothing where it can't be asked."""
    try:
        options = engine_options(uid)
        done = subprocess.run(
            COMMANDS[engine],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=True,
            **options,
        )
        return PARSERS[engine](done.stdout).of(uid)
    except (OSError, subprocess.SubprocessError, KeyError, TypeError, ValueError):
        return Listing((), {})


def engine_options(uid: int) -> dict[str, t.Any]:
    """Return the options with which an engine's program is started as a user.

    :raises OSError: that isn't possible.
    """
    if uid == os.geteuid() == 0:
        return {}
    if uid == os.geteuid():
        # A user's own; what there is to choose is in his environment, but for the programs' place.
        return {"env": {**os.environ, **_as_user(uid)["env"]}} if sys.platform == "darwin" else {}
    if os.geteuid() != 0:
        raise PermissionError("only root can ask the engine of another user")
    return _as_user(uid)


def _as_user(uid: int) -> dict[str, t.Any]:
    """Return the options with which a program of a user's own engine finds it."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError as error:
        raise OSError(f"no user has the uid {uid}") from error
    env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": entry.pw_dir}
    if sys.platform == "darwin":
        paths = [path.format(home=entry.pw_dir) for path in PATHS_MACOS]
        env["PATH"] = os.pathsep.join([*paths, env["PATH"]])
    runtime = f"/run/user/{uid}"
    if os.path.isdir(runtime):
        env["XDG_RUNTIME_DIR"] = runtime
        env["DOCKER_HOST"] = f"unix://{runtime}/docker.sock"
    return {
        "user": uid,
        "group": entry.pw_gid,
        "extra_groups": os.getgrouplist(entry.pw_name, entry.pw_gid),
        "cwd": "/",
        "env": env,
    }


def parse_podman(text: str) -> Listing:
    """Return the containers that ``podman ps --no-trunc --format json`` lists.

    :raises KeyError, TypeError, ValueError: it doesn't look like that.
    """
    published, by_id = [], {}
    for entry in json.loads(text):
        name = printable(entry["Names"][0])
        container = by_id[entry["Id"]] = Container("podman", name, id=entry["Id"])
        for port in entry["Ports"] or ():
            for protocol in port["protocol"].split(","):
                for address in [port["host_ip"]] if port["host_ip"] else ANY:
                    for number in range(port["host_port"], port["host_port"] + port["range"]):
                        published.append(Published(protocol, address, number, container))
    return Listing(tuple(published), by_id)


def parse_docker(text: str) -> Listing:
    """Return the containers that ``docker ps --no-trunc --format '{{json .}}'`` lists.

    :raises KeyError, TypeError, ValueError: it doesn't look like that.
    """
    published, by_id = [], {}
    for line in text.splitlines():
        entry = json.loads(line)
        # Beside its own name, it has one of each container that is linked to it: other/alias.
        names = entry["Names"].split(",")
        name = next((name for name in names if "/" not in name), names[0])
        container = by_id[entry["ID"]] = Container("docker", printable(name), id=entry["ID"])
        for part in entry["Ports"].split(", "):
            match = PUBLISHED.fullmatch(part)
            if match:
                first, last = int(match[2]), int(match[3] or match[2])
                address = match[1].strip("[]")
                for number in range(first, last + 1):
                    published.append(Published(match[4], address, number, container))
    return Listing(tuple(published), by_id)


PARSERS: dict[str, t.Callable[[str], Listing]] = {"docker": parse_docker, "podman": parse_podman}
