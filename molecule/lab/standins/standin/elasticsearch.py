# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Elasticsearch's settings, security and command line tools over a small store of documents."""

from __future__ import annotations

import argparse
import base64
import functools
import getpass
import ipaddress
import json
import os
import pathlib
import re
import secrets
import socket
import ssl
import sys
import threading
import time
import typing as t
import urllib.error
import urllib.request
import uuid

from standin import addresses as network
from standin import cluster, daemon, sandbox, secret, strict, web, yamlfile

VERSION: t.Final = "9.2.0+standin2"
NUMBER: t.Final = VERSION.partition("+")[0]
NAMES: t.Final = strict.Names(name for line in strict.read_names("elasticsearch") for name in line)
SECURE_NAMES: t.Final = strict.Names(
    [
        "bootstrap.password",
        "keystore.seed",
        "autoconfiguration.password_hash",
        "cluster.remote.*.credentials",
        "xpack.security.http.ssl.keystore.secure_password",
        "xpack.security.http.ssl.keystore.secure_key_password",
        "xpack.security.http.ssl.secure_key_passphrase",
        "xpack.security.http.ssl.truststore.secure_password",
        "xpack.security.transport.ssl.keystore.secure_password",
        "xpack.security.transport.ssl.keystore.secure_key_password",
        "xpack.security.transport.ssl.secure_key_passphrase",
        "xpack.security.transport.ssl.truststore.secure_password",
        "xpack.security.authc.realms.**",
        "xpack.notification.**",
        "xpack.monitoring.exporters.**",
        "xpack.watcher.encryption_key",
        "s3.client.**",
        "azure.client.**",
        "gcs.client.**",
    ]
)
BUILT_IN_USERS: t.Final = (
    "elastic",
    "kibana_system",
    "kibana",
    "logstash_system",
    "beats_system",
    "apm_system",
    "remote_monitoring_user",
)
SERVICES: t.Final = (
    "elastic/kibana",
    "elastic/fleet-server",
    "elastic/enterprise-search-server",
    "elastic/auto-ops",
)
COLOURS: t.Final = ("red", "yellow", "green")
OPERATOR: t.Final = "_operator"
MAP_COUNT: t.Final = 262144
SERVICE_TOKEN_START: t.Final = b"\x00\x01\x00\x01"


def config_directory() -> pathlib.Path:
    return pathlib.Path(os.environ.get("ES_PATH_CONF", "/etc/elasticsearch"))


def keystore() -> secret.Keystore:
    return secret.Keystore(config_directory() / "elasticsearch.keystore")


# The Java virtual machine's options.


def heap(directory: pathlib.Path, memory: int) -> int:
    """The heap in bytes that jvm.options and jvm.options.d ask for; 0 if they leave it open.

    :param memory: of the host, in bytes.
    :raises strict.RefusedError: the virtual machine would not start, or not in production.
    """
    sizes: dict[str, tuple[int, str]] = {}
    for path in [
        directory / "jvm.options",
        *sorted((directory / "jvm.options.d").glob("*.options")),
    ]:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for number, line in enumerate(map(str.strip, lines), 1):
            place = f"{path}:{number}"
            found = re.fullmatch(r"(?:\d+(?:-\d*)?:)?(-.+)", line)
            if not line or line.startswith("#"):
                continue
            if not found:
                raise strict.RefusedError(f"{place}: improperly formatted JVM option: '{line}'")
            option = found[1]
            if option.startswith(("-Xms", "-Xmx")):
                try:
                    sizes[option[:4]] = (strict.size(option[4:]), place)
                except ValueError as problem:
                    raise strict.RefusedError(f"{place}: {option[:4]}: {problem}") from None
            elif not re.match(
                r"-(D[\w.]+|XX:[+-]?[A-Z]\w+|X(ss|mn|log|share|rs|batch|int|mixed|noclassgc)|"
                r"ea|da|esa|server|javaagent:|agentlib:|agentpath:|verbose|-(add|enable|illegal)-)",
                option,
            ):
                raise strict.RefusedError(f"{place}: Unrecognized option: {option}")
    if not sizes:
        return 0
    if len(sizes) == 1 or sizes["-Xms"][0] != sizes["-Xmx"][0]:
        place = next(iter(sizes.values()))[1]
        raise strict.RefusedError(
            f"{place}: initial heap size [{sizes.get('-Xms', ('unset',))[0]}] not equal to maximum "
            f"heap size [{sizes.get('-Xmx', ('unset',))[0]}]; set -Xms and -Xmx to the same size"
        )
    size, place = sizes["-Xmx"]
    if size > memory:
        raise strict.RefusedError(
            f"{place}: a heap of {size} bytes is larger than this host's memory, {memory} bytes"
        )
    return size


# elasticsearch.yml


def addresses(settings: yamlfile.Settings, kind: str) -> list[str]:
    """Where ``kind`` (http or transport) listens.

    :raises strict.RefusedError: the stand-in can't find out.
    """
    result = []
    for name in (f"{kind}.bind_host", f"{kind}.host", "network.bind_host", "network.host"):
        for host in settings.list(name):
            if host == "_local_":
                result += [str(ipaddress.ip_address(part)) for part in ("127.0.0.1", "::1")]
            elif host.startswith("_"):
                raise settings.refuse(
                    name, f"this stand-in knows addresses, names and _local_, not {host}"
                )
            else:
                result.append(host)
        if result:
            return result
    return ["127.0.0.1", "::1"]


def tls(settings: yamlfile.Settings, prefix: str) -> ssl.SSLContext | None:
    """The server's side of TLS, if it is enabled.

    :raises strict.RefusedError: it can't be set up.
    """
    if not settings.true(f"{prefix}.enabled"):
        for name in settings.values:
            if name.startswith(f"{prefix}.") and name != f"{prefix}.enabled":
                raise settings.refuse(
                    name, f"invalid configuration, as [{prefix}.enabled] is not set"
                )
        return None
    if settings.text(f"{prefix}.keystore.path"):
        raise settings.refuse(
            f"{prefix}.keystore.path", "this stand-in reads PEM: use certificate and key"
        )
    files = {}
    for part in ("certificate", "key"):
        name = f"{prefix}.{part}"
        if not settings.text(name):
            raise strict.RefusedError(
                f"{settings.path}: invalid SSL configuration for {prefix} - server ssl "
                f"configuration requires a key and certificate, but [{name}] is not set"
            )
        files[part] = config_directory() / settings.text(name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    phrase = keystore().read().get(f"{prefix}.secure_key_passphrase", "")
    try:
        context.load_cert_chain(files["certificate"], files["key"], phrase)
        for authority in settings.list(f"{prefix}.certificate_authorities"):
            context.load_verify_locations(config_directory() / authority)
    except (OSError, ssl.SSLError) as problem:
        raise settings.refuse(
            f"{prefix}.certificate", f"cannot load SSL files: {problem}"
        ) from None
    if settings.text(f"{prefix}.client_authentication") == "required" or (
        "transport" in prefix and settings.text(f"{prefix}.client_authentication") != "none"
    ):
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def validate(settings: yamlfile.Settings) -> None:
    """What Elasticsearch checks when it starts.

    :raises strict.RefusedError: it would not start.
    """
    for name in ("http.port", "transport.port"):
        settings.port(name)
    for name in ("path.data", "path.logs"):
        if not settings.text(name):
            raise strict.RefusedError(f"{settings.path}: {name} is not set")
    kind = settings.text("discovery.type", "multi-node")
    if kind not in {"multi-node", "single-node"}:
        raise settings.refuse("discovery.type", f"'{kind}' is neither multi-node nor single-node")
    if kind == "single-node" and "cluster.initial_master_nodes" in settings.values:
        raise settings.refuse(
            "cluster.initial_master_nodes", "not allowed when [discovery.type] is [single-node]"
        )
    secure = settings.true("xpack.security.enabled", default=True)
    local = all(
        host in {"127.0.0.1", "::1", "localhost"} for host in addresses(settings, "transport")
    )
    if kind == "multi-node" and not local:
        if secure and not settings.true("xpack.security.transport.ssl.enabled"):
            raise strict.RefusedError(
                f"{settings.path}: bootstrap check failure: Transport SSL must be enabled if "
                "security is enabled. Please set [xpack.security.transport.ssl.enabled] to [true]"
            )
        if not any(
            name in settings.values
            for name in (
                "discovery.seed_hosts",
                "discovery.seed_providers",
                "cluster.initial_master_nodes",
            )
        ):
            raise strict.RefusedError(
                f"{settings.path}: bootstrap check failure: the default discovery settings are "
                "unsuitable for production use; at least one of [discovery.seed_hosts, "
                "discovery.seed_providers, cluster.initial_master_nodes] must be configured"
            )
    for name in keystore().read():
        if name not in SECURE_NAMES:
            raise strict.RefusedError(
                f"{keystore().path}: unknown secure setting [{name}].{SECURE_NAMES.nearest(name)}"
            )


def read_settings() -> yamlfile.Settings:
    path = str(config_directory() / "elasticsearch.yml")
    settings = yamlfile.settings(path, NAMES, "setting")
    validate(settings)
    return settings


# Who may ask


def token_file() -> pathlib.Path:
    return config_directory() / "service_tokens"


def read_tokens(path: pathlib.Path) -> dict[str, str]:
    """Names of service tokens (``elastic/kibana/name``) and their hashes."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return dict(line.split(":", 1) for line in lines if ":" in line)


def write_tokens(path: pathlib.Path, tokens: t.Mapping[str, str]) -> None:
    secret.replace(path, "".join(f"{name}:{value}\n" for name, value in tokens.items()), 0o660)


def operator_file() -> pathlib.Path:
    """The hash of a word by which the command line tools may ask the node, while they run."""
    return config_directory() / ".operator"


def new_token(known: t.Container[str], service: str, name: str) -> tuple[str, str]:
    """A token and its hash.

    :param known: the full names that are taken.
    :raises strict.RefusedError: there is one of that name, or no such service.
    """
    if service not in SERVICES:
        raise strict.RefusedError(
            f"Unknown service account [{service}]; there are {', '.join(SERVICES)}"
        )
    if not re.fullmatch(r"[A-Za-z0-9-][\w-]{0,255}", name):
        raise strict.RefusedError(f"Invalid name of a service token: [{name}]")
    if f"{service}/{name}" in known:
        raise strict.RefusedError(f"Service token [{service}/{name}] already exists")
    word = secrets.token_urlsafe(16)
    start = SERVICE_TOKEN_START + f"{service}/{name}:{word}".encode()
    return base64.b64encode(start).decode().rstrip("="), secret.digest(word)


class Realm:
    """Users and tokens. Those of the API are the cluster's, those of the file this node's own."""

    def __init__(self, members: cluster.Cluster) -> None:
        self._cluster = members
        self._known: set[tuple[str, str]] = set()
        self._file: tuple[tuple[float, int], dict[str, str]] = ((-1.0, -1), {})

    def passwords(self) -> dict[str, str]:
        """Hashes of the passwords that were set through the API."""
        return dict(self._cluster.state["passwords"])

    def tokens(self) -> dict[str, str]:
        """Hashes of the service tokens that were made through the API."""
        return dict(self._cluster.state["tokens"])

    def file_tokens(self) -> dict[str, str]:
        """Those of the file. It is read again when its time or length is another one."""
        path = token_file()
        found = path.stat() if path.exists() else None
        # FileWatcher.java compares no more than these.
        mark = (found.st_mtime, found.st_size) if found else (0.0, 0)
        if mark != self._file[0]:
            self._file = (mark, read_tokens(path))
            self._known.clear()
        return self._file[1]

    def set_password(self, user: str, password: str) -> None:
        hashed = secret.digest(password)
        self._cluster.change(lambda state: state["passwords"].update({user: hashed}))
        self._known.clear()

    def _right(self, word: str, wanted: str) -> bool:
        # As Elasticsearch's own caches: a hash is checked once.
        if (word, wanted) not in self._known and secret.matches(word, wanted):
            self._known.add((word, wanted))
        return (word, wanted) in self._known

    def user(self, request: web.Request) -> str:
        """The user or service account that asks; empty if it is nobody."""
        login = request.basic()
        if login:
            user, password = login
            if user == OPERATOR:
                path = operator_file()
                hashed = path.read_text() if path.exists() else ""
                return user if secret.matches(password, hashed) else ""
            wanted = self.passwords().get(user)
            if wanted:
                return user if self._right(password, wanted) else ""
            stored = keystore().read()
            # What the package's own set-up of security left prevails (ReservedRealm.java).
            hashed = stored.get("autoconfiguration.password_hash", "")
            if hashed:
                return user if user == "elastic" and self._right(password, hashed) else ""
            first = stored.get("bootstrap.password", stored.get("keystore.seed", ""))
            right = bool(first) and secrets.compare_digest(password.encode(), first.encode())
            return user if user == "elastic" and right else ""
        return self._service(request.bearer())

    def _service(self, token: str) -> str:
        try:
            plain = base64.b64decode(token + "=" * (-len(token) % 4), validate=True)
        except ValueError:
            return ""
        name, _, word = (
            plain.removeprefix(SERVICE_TOKEN_START).decode(errors="replace").partition(":")
        )
        for tokens in (self.file_tokens(), self.tokens()):
            wanted = tokens.get(name)
            if wanted and plain.startswith(SERVICE_TOKEN_START) and self._right(word, wanted):
                return name.rpartition("/")[0]
        return ""


# What it answers


class ProblemError(Exception):
    """An answer other than success."""

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.kind = status, kind

    def response(self) -> web.Response:
        cause = {"type": self.kind, "reason": str(self)}
        headers = {"WWW-Authenticate": 'Basic realm="security"'} if self.status == 401 else {}
        return web.Response(
            {"error": {"root_cause": [cause], **cause}, "status": self.status},
            self.status,
            headers=headers,
        )


def publish(settings: yamlfile.Settings, kind: str) -> str:
    """The address and port that this node tells others for ``kind``.

    :raises strict.RefusedError: there is no such address.
    """
    names = (f"{kind}.publish_host", f"{kind}.host", "network.publish_host", "network.host")
    for name in names:
        hosts = settings.list(name)
        if hosts and not any(host.startswith("_") for host in hosts):
            try:
                found = network.published(hosts)
            except (OSError, ValueError) as problem:
                raise settings.refuse(name, str(problem)) from None
            break
    else:
        found = network.published(["127.0.0.1"])
    port = settings.port(f"{kind}.port")
    return f"[{found}]:{port}" if found.version == 6 else f"{found}:{port}"


def transport_context(settings: yamlfile.Settings) -> ssl.SSLContext | None:
    """This node's side as a client of others."""
    prefix = "xpack.security.transport.ssl"
    if not settings.true(f"{prefix}.enabled"):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = settings.text(f"{prefix}.verification_mode", "full") == "full"
    here = config_directory()
    context.load_cert_chain(
        here / settings.text(f"{prefix}.certificate"), here / settings.text(f"{prefix}.key")
    )
    for authority in settings.list(f"{prefix}.certificate_authorities"):
        context.load_verify_locations(here / authority)
    return context


def gather(settings: yamlfile.Settings) -> cluster.Cluster:
    """This node's part in its cluster, which isn't looked for yet."""
    me = cluster.Identity(
        id="",
        name=settings.text("node.name", socket.gethostname()),
        cluster=settings.text("cluster.name", "elasticsearch"),
        version=NUMBER,
        transport=publish(settings, "transport"),
        http=publish(settings, "http"),
        roles=settings.list("node.roles"),
        started=time.time(),
    )
    port = settings.port("transport.port")
    providers = settings.list("discovery.seed_providers")
    if set(providers) - {"file", "settings"}:
        raise settings.refuse("discovery.seed_providers", f"no such one: {providers}")
    hosts = config_directory() / "unicast_hosts.txt"
    seeds = [
        seed if re.search(r"(^[^:]+|\]):\d+$", seed) else f"{seed}:{port}"
        for seed in settings.list("discovery.seed_hosts")
    ]
    single = settings.text("discovery.type") == "single-node"
    initial = settings.list("cluster.initial_master_nodes")
    if not (single or seeds or initial or providers):
        single = True  # on loopback only, where a node forms a cluster by itself
    path = pathlib.Path(settings.text("path.data")) / "_state" / "cluster.json"
    path.parent.mkdir(exist_ok=True)
    plan = cluster.Plan(seeds, initial, single, hosts if "file" in providers else None, port)
    return cluster.Cluster(me, plan, path, cluster.Wire(transport_context(settings)))


class Node:
    """A node, with the documents and users of its cluster."""

    def __init__(self, settings: yamlfile.Settings) -> None:
        self.settings = settings
        self.members = gather(settings)
        self.realm = Realm(self.members)
        self.secure = settings.true("xpack.security.enabled", default=True)
        self.lock = threading.Lock()

    @property
    def indices(self) -> dict[str, dict[str, t.Any]]:
        """The documents of each index."""
        return {n: index["documents"] for n, index in self.members.state["indices"].items()}

    def save(self) -> None:
        self.members.change(lambda _: None)

    def make_index(self, name: str, copies: int = cluster.COPIES) -> dict[str, t.Any]:
        """A new index; its documents."""
        index: dict[str, t.Any] = {"documents": {}, "copies": copies, "assigned": []}
        self.members.change(lambda state: state["indices"].update({name: index}))
        self.members.reconcile()
        return self.indices[name]

    @property
    def name(self) -> str:
        return self.settings.text("node.name", socket.gethostname())

    @property
    def cluster(self) -> str:
        return self.settings.text("cluster.name", "elasticsearch")

    def answer(self, request: web.Request) -> web.Response:
        """Elasticsearch's REST interface, as far as the stand-in has it."""

        def serve() -> web.Response:
            user = self.realm.user(request) if self.secure else "anonymous"
            if not user:
                raise ProblemError(
                    401,
                    "security_exception",
                    f"unable to authenticate for REST request [{request.path}]",
                )
            return self.served(request, user)

        response = self.guarded(serve)
        headers = {"X-elastic-product": "Elasticsearch", "X-Stand-In": VERSION}
        return web.Response(
            response.content, response.status, response.kind, {**headers, **response.headers}
        )

    def guarded(self, serve: t.Callable[[], web.Response]) -> web.Response:
        """An answer in any case."""
        try:
            return serve()
        except ProblemError as problem:
            return problem.response()
        except (ValueError, KeyError, TypeError) as problem:
            return ProblemError(400, "parse_exception", str(problem)).response()
        except strict.RefusedError as problem:
            return ProblemError(409, "illegal_state_exception", str(problem)).response()

    def served(self, request: web.Request, user: str) -> web.Response:
        """The answer to who may ask, from here or from the master, who alone changes anything."""
        parts = [part for part in request.path.split("/") if part]
        if parts[:2] == ["_cluster", "health"]:
            return self.health(request)
        is_asking = request.method in {"GET", "HEAD"} or bool({"_search", "_count"} & set(parts))
        if parts and not self.members.master and (parts[0] != "_nodes" or not is_asking):
            raise ProblemError(503, "master_not_discovered_exception", "no master")
        master = self.members.members.get(self.members.master)
        if is_asking or master is None or master["id"] == self.members.me.id:
            with self.lock:
                return self.route(request, user)
        return self.forward(master["transport"], request, user)

    def forward(self, address: str, request: web.Request, user: str) -> web.Response:
        """What the master answers; its state is the newest afterwards."""
        asked = {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "body": request.body.decode(),
            "user": user,
        }
        try:
            found = self.members.call(address, "/forward", asked)
        except cluster.Unreachable as problem:
            raise ProblemError(503, "master_not_discovered_exception", str(problem)) from None
        return web.Response(found["content"], found["status"])

    def between(self, request: web.Request) -> web.Response:
        """What other nodes are answered."""
        if request.path != "/forward":
            return self.members.answer(request)
        asked = request.json()
        inner = web.Request(
            asked["method"], asked["path"], asked["query"], {}, asked["body"].encode()
        )
        found = self.guarded(lambda: self.served(inner, asked["user"]))
        return web.Response({"status": found.status, "content": found.content})

    def health(self, request: web.Request) -> web.Response:
        """``_cluster/health``, which waits for what it is asked to wait for."""
        wanted = request.query.get("wait_for_status", "red")
        nodes = re.fullmatch(r"(>=)?(\d+)", request.query.get("wait_for_nodes", ">=0"))
        if nodes is None or wanted not in COLOURS:
            raise ProblemError(400, "illegal_argument_exception", "for what to wait isn't clear")
        seconds = re.fullmatch(r"(\d+)s", request.query.get("timeout", "30s"))
        end = time.monotonic() + (float(seconds[1]) if seconds else 30.0)
        while True:
            found = self.members.health()
            count = found["number_of_nodes"]
            is_enough = count >= int(nodes[2]) if nodes[1] else count == int(nodes[2])
            if not self.members.master:
                is_enough = False
            if (is_enough or "wait_for_nodes" not in request.query) and (
                COLOURS.index(found["status"]) >= COLOURS.index(wanted) and self.members.master
            ):
                return web.Response(found)
            if time.monotonic() > end:
                if not self.members.master:
                    raise ProblemError(503, "master_not_discovered_exception", "no master")
                return web.Response({**found, "timed_out": True}, 408)
            time.sleep(0.2)

    def route(self, request: web.Request, user: str) -> web.Response:
        parts = [part for part in request.path.split("/") if part]
        if not parts:
            return web.Response(self.root())
        if parts[0] == "_security":
            return self.security(request, user, parts[1:])
        if parts == ["_cluster", "settings"]:
            return self.cluster_settings(request)
        if parts in (["_flush"], ["_refresh"]):
            return web.Response({"_shards": {"total": 1, "successful": 1, "failed": 0}})
        if parts[0].startswith("_"):
            return web.Response(self.state(parts))
        return self.documents(request, parts)

    def root(self) -> dict[str, t.Any]:
        return {
            "name": self.name,
            "cluster_name": self.cluster,
            "cluster_uuid": self.members.state["uuid"] or "_na_",
            "version": {
                "number": NUMBER,
                "build_flavor": "stand-in",
                "build_type": "deb",
                "build_hash": "stand-in",
                "build_snapshot": False,
                "minimum_wire_compatibility_version": "8.19.0",
                "minimum_index_compatibility_version": "8.0.0",
            },
            "tagline": f"The lab's stand-in for Elasticsearch, {VERSION}",
        }

    @functools.cached_property
    def heap(self) -> int:
        """In bytes."""
        return heap(config_directory(), memory_of_host())

    def cluster_settings(self, request: web.Request) -> web.Response:
        """``_cluster/settings``: flat ones, that last."""
        if request.method == "PUT":
            given = request.json()
            if set(given) - {"persistent", "transient"}:
                raise ProblemError(400, "parse_exception", f"unknown fields: {sorted(given)}")
            edits = {**given.get("transient", {}), **given.get("persistent", {})}
            for name in edits:
                if name not in NAMES:
                    reason = f"persistent setting [{name}], not recognized"
                    raise ProblemError(400, "illegal_argument_exception", reason)

            def edit(state: dict[str, t.Any]) -> None:
                kept = {**state["settings"], **edits}
                state["settings"] = {k: v for k, v in kept.items() if v is not None}

            self.members.change(edit)
            self.members.reconcile()
        found = self.members.state["settings"]
        return web.Response({"acknowledged": True, "persistent": found, "transient": {}})

    def state(self, parts: list[str]) -> t.Any:
        """What the node tells about itself."""
        if parts[0] == "_nodes":
            return {
                "cluster_name": self.cluster,
                "nodes": {
                    key: {
                        "name": member["name"],
                        "version": member["version"],
                        "ip": member["http"].rpartition(":")[0].strip("[]"),
                        "build_flavor": "stand-in",
                        "roles": member["roles"] or ["data", "ingest", "master"],
                        "jvm": {"mem": {"heap_max_in_bytes": self.heap}},
                        "http": {"publish_address": member["http"]},
                        "transport": {"publish_address": member["transport"]},
                    }
                    for key, member in self.members.members.items()
                    if parts[1:2] != ["_local"] or key == self.members.me.id
                },
            }
        if parts[:2] == ["_cluster", "state"]:
            voting = self.members.state["voting"]
            return {"metadata": {"cluster_coordination": {"last_committed_config": voting}}}
        if parts[:2] == ["_cat", "nodes"]:
            return [
                {
                    "name": member["name"],
                    "ip": member["http"].rpartition(":")[0].strip("[]"),
                    "version": member["version"],
                    "master": "*" if key == self.members.master else "-",
                }
                for key, member in self.members.members.items()
            ]
        if parts[:2] == ["_cat", "indices"]:
            return [
                {"index": name, "health": "green", "docs.count": str(len(documents))}
                for name, documents in self.indices.items()
            ]
        if parts[0] == "_license":
            return {"license": {"status": "active", "type": "basic", "issued_to": "stand-in"}}
        raise ProblemError(
            400, "illegal_argument_exception", f"the stand-in has no [/{'/'.join(parts)}]"
        )

    def security(self, request: web.Request, user: str, parts: list[str]) -> web.Response:
        if parts == ["_authenticate"]:
            is_service = user in SERVICES
            return web.Response(
                {
                    "username": user,
                    "roles": [] if is_service else ["superuser"] if user == "elastic" else [user],
                    "enabled": True,
                    "authentication_realm": {
                        "name": "_service_account" if is_service else "reserved",
                        "type": "_service_account" if is_service else "reserved",
                    },
                    "authentication_type": "token" if is_service else "realm",
                    "metadata": {"stand-in": True},
                }
            )
        if user not in ("elastic", OPERATOR):
            raise ProblemError(
                403, "security_exception", f"action is unauthorized for user [{user}]"
            )
        if len(parts) == 3 and parts[0] == "user" and parts[2] == "_password":
            if parts[1] not in BUILT_IN_USERS:
                raise ProblemError(404, "resource_not_found_exception", f"no user [{parts[1]}]")
            self.realm.set_password(parts[1], request.json()["password"])
            return web.Response({})
        if parts[:1] == ["service"] and parts[3:4] == ["credential"]:
            service = "/".join(parts[1:3])
            api = self.realm.tokens()
            if request.method == "DELETE" and len(parts) == 6:
                full = f"{service}/{parts[5]}"
                is_there = full in api
                self.members.change(lambda state: state["tokens"].pop(full, None))
                return web.Response({"found": is_there}, 200 if is_there else 404)
            if request.method in {"POST", "PUT"} and len(parts) == 6:
                value, hashed = new_token(api, service, parts[5])
                full = f"{service}/{parts[5]}"
                self.members.change(lambda state: state["tokens"].update({full: hashed}))
                return web.Response({"created": True, "token": {"name": parts[5], "value": value}})
            names = [
                [name.rpartition("/")[2] for name in tokens if name.startswith(service)]
                for tokens in (self.realm.file_tokens(), api)
            ]
            return web.Response(
                {
                    "service_account": service,
                    "count": len(names[0]) + len(names[1]),
                    "tokens": {name: {} for name in names[1]},
                    "nodes_credentials": {"file_tokens": {name: {} for name in names[0]}},
                }
            )
        raise ProblemError(
            400, "illegal_argument_exception", f"the stand-in has no [{request.path}]"
        )

    def documents(self, request: web.Request, parts: list[str]) -> web.Response:
        index, action, *rest = [*parts, ""]
        if not action:
            return self.index(request, index)
        writes = request.method in {"POST", "PUT"}
        if action in {"_doc", "_create"} and writes:
            name = rest[0] if rest and rest[0] else uuid.uuid4().hex[:20]
            known = self.indices
            documents = known[index] if index in known else self.make_index(index)
            created = name not in documents
            documents[name] = request.json()
            self.save()
            return web.Response(
                {"_index": index, "_id": name, "result": "created" if created else "updated"},
                201 if created else 200,
            )
        documents = self.indices.get(index, {})
        if index not in self.indices:
            raise ProblemError(404, "index_not_found_exception", f"no such index [{index}]")
        live = self.members.state["indices"][index]["assigned"]
        if not set(live) & set(self.members.members):
            raise ProblemError(503, "no_shard_available_action_exception", f"[{index}]")
        if action == "_doc" and rest[:1]:
            found = rest[0] in documents
            if request.method == "DELETE" and found:
                del documents[rest[0]]
                self.save()
                return web.Response({"_index": index, "_id": rest[0], "result": "deleted"})
            content = {"_source": documents[rest[0]]} if found else {}
            return web.Response(
                {"_index": index, "_id": rest[0], "found": found, **content}, 200 if found else 404
            )
        if action in {"_search", "_count"}:
            return self.search(request, index, action)
        if action == "_refresh":
            return web.Response({"_shards": {"total": 1, "successful": 1, "failed": 0}})
        raise ProblemError(
            400, "illegal_argument_exception", f"the stand-in has no [{request.path}]"
        )

    def index(self, request: web.Request, index: str) -> web.Response:
        if request.method == "PUT":
            if index in self.indices:
                raise ProblemError(
                    400, "resource_already_exists_exception", f"index [{index}] exists"
                )
            settings = (request.json() if request.body else {}).get("settings", {})
            self.make_index(index, 1 + int(settings.get("number_of_replicas", 1)))
            return web.Response({"acknowledged": True, "shards_acknowledged": True, "index": index})
        if index not in self.indices:
            raise ProblemError(404, "index_not_found_exception", f"no such index [{index}]")
        if request.method == "DELETE":
            self.members.change(lambda state: state["indices"].pop(index))
            return web.Response({"acknowledged": True})
        return web.Response({index: {"aliases": {}, "mappings": {}, "settings": {}}})

    def search(self, request: web.Request, index: str, action: str) -> web.Response:
        query = (request.json() if request.body else {}).get("query", {"match_all": {}})
        kind, wanted = next(iter(query.items()))
        if kind not in {"match_all", "match", "term"}:
            raise ProblemError(400, "parsing_exception", f"unknown query [{kind}] for the stand-in")
        hits = [
            {"_index": index, "_id": name, "_score": 1.0, "_source": source}
            for name, source in self.indices[index].items()
            if kind == "match_all" or _matches(kind, wanted, source)
        ]
        if action == "_count":
            return web.Response({"count": len(hits)})
        total = {"value": len(hits), "relation": "eq"}
        return web.Response(
            {
                "took": 1,
                "timed_out": False,
                "hits": {"total": total, "max_score": 1.0, "hits": hits},
            }
        )


def _matches(kind: str, wanted: dict[str, t.Any], source: dict[str, t.Any]) -> bool:
    name, value = next(iter(wanted.items()))
    if isinstance(value, dict):
        value = value.get("query", value.get("value"))
    if kind == "term":
        return bool(source.get(name) == value)
    words = set(str(source.get(name, "")).lower().split())
    return not words.isdisjoint(str(value).lower().split())


# Programs


def memory_of_host() -> int:
    """In bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def main(arguments: list[str]) -> None:
    """What bin/elasticsearch and bin/systemd-entrypoint do."""
    if {"-V", "--version"} & set(arguments):
        print(f"Version: {VERSION} (the lab's stand-in for Elasticsearch), Build: stand-in")
        return
    daemon.rename("java")
    daemon.say(f"The lab's stand-in for Elasticsearch, {VERSION}")
    if os.geteuid() == 0:
        raise strict.RefusedError("can not run elasticsearch as root")
    parser = argparse.ArgumentParser("elasticsearch")
    parser.add_argument("-p", "--pidfile", type=pathlib.Path)
    parser.add_argument("-q", "--quiet", action="store_true")
    chosen = parser.parse_args(arguments)
    size = heap(config_directory(), memory_of_host())
    settings = read_settings()
    found = int(pathlib.Path("/proc/sys/vm/max_map_count").read_text())
    if found < MAP_COUNT:
        daemon.say(
            f"max virtual memory areas vm.max_map_count [{found}] is too low, increase to at "
            f"least [{MAP_COUNT}]; Elasticsearch itself would not start"
        )
    context = tls(settings, "xpack.security.http.ssl")
    between = tls(settings, "xpack.security.transport.ssl")
    node = Node(settings)
    bound = addresses(settings, "transport") + addresses(settings, "http")
    check(settings, [*bound, node.members.me.transport.rpartition(":")[0]])
    for host in addresses(settings, "transport"):
        web.Server(node.between, host, settings.port("transport.port"), between).start()
    daemon.say(f"publish_address {{{node.members.me.transport}}}")
    node.members.start()
    if not node.members.wait(seconds(settings, "discovery.initial_state_timeout", 30.0)):
        daemon.say("timed out after waiting for initial discovery state: no master")
    for host in addresses(settings, "http"):
        web.Server(node.answer, host, settings.port("http.port"), context).start()
    if chosen.pidfile:
        chosen.pidfile.write_text(f"{os.getpid()}\n")
    daemon.say(f"started, heap {size or 'automatic'}, security {'on' if node.secure else 'off'}")
    daemon.ready()
    daemon.wait()
    node.members.stop()


def seconds(settings: yamlfile.Settings, name: str, default: float) -> float:
    """A setting such as ``30s``.

    :raises strict.RefusedError: it is none.
    """
    text = settings.text(name)
    found = re.fullmatch(r"(\d+)(ms|s|m)", text)
    if text and not found:
        raise settings.refuse(name, f"failed to parse [{text}] as a time value")
    return int(found[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0}[found[2]] if found else default


def check(settings: yamlfile.Settings, hosts: t.Sequence[str]) -> None:
    """The bootstrap check of the system call filter, which is a warning on a node by itself.

    :raises strict.RefusedError: a node of a cluster doesn't start without it.
    """
    if not settings.true("bootstrap.system_call_filter", default=True):
        raise settings.refuse("bootstrap.system_call_filter", "unknown setting: it was removed")
    try:
        sandbox.install()
    except sandbox.NoFilterError as problem:
        daemon.say(f"unable to install syscall filter: {problem}")
        told = "system call filters failed to install; check the logs and fix your configuration"
        local = {"127.0.0.1", "::1", "[::1]", "localhost"}
        if settings.text("discovery.type") != "single-node" and not set(hosts) <= local:
            raise strict.RefusedError(f"bootstrap check failure [1] of [1]: {told}") from None
        daemon.say(told)


def keystore_main(arguments: list[str]) -> None:
    """What bin/elasticsearch-keystore does."""
    secret.keystore_tool(
        "elasticsearch-keystore", keystore(), SECURE_NAMES, "keystore.seed", arguments
    )


def tokens_main(arguments: list[str]) -> None:
    """What bin/elasticsearch-service-tokens does."""
    parser = argparse.ArgumentParser("elasticsearch-service-tokens")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("create", "delete"):
        command = commands.add_parser(name)
        command.add_argument("service_account_principal")
        command.add_argument("service_token_name")
    commands.add_parser("list").add_argument("service_account_principal", nargs="?", default="")
    chosen = parser.parse_args(arguments)
    service = chosen.service_account_principal
    tokens = read_tokens(token_file())
    if chosen.command == "list":
        for name in sorted(tokens):
            if name.startswith(service):
                print(name)
        return
    name = f"{service}/{chosen.service_token_name}"
    if chosen.command == "create":
        value, tokens[name] = new_token(set(tokens), service, chosen.service_token_name)
        write_tokens(token_file(), tokens)
        print(f"SERVICE_TOKEN {name} = {value}")
        return
    if tokens.pop(name, None) is None:
        raise strict.RefusedError(f"Service token [{name}] does not exist")
    write_tokens(token_file(), tokens)
    print(f"Deleted service token [{name}]")


# What AutoConfigureNode.java leaves behind when the package is installed.
AUTO_SETTINGS: t.Final = """
#----------------------- BEGIN SECURITY AUTO CONFIGURATION -----------------------
xpack.security.enabled: true
xpack.security.enrollment.enabled: true
xpack.security.http.ssl:
  enabled: true
  keystore.path: certs/http.p12
xpack.security.transport.ssl:
  enabled: true
  verification_mode: certificate
  keystore.path: certs/transport.p12
  truststore.path: certs/transport.p12
cluster.initial_master_nodes: ["{host}"]
http.host: 0.0.0.0
#----------------------- END SECURITY AUTO CONFIGURATION -------------------------
"""
AUTO_SECRETS: t.Final = (
    "xpack.security.http.ssl.keystore.secure_password",
    "xpack.security.transport.ssl.keystore.secure_password",
    "xpack.security.transport.ssl.truststore.secure_password",
)


def cli_main(arguments: list[str]) -> None:
    """What the package's set-up of security does, once."""
    if arguments != ["auto-configure-node"]:
        raise strict.RefusedError(f"the stand-in has no {arguments}")
    here = config_directory()
    path = here / "elasticsearch.yml"
    text = path.read_text(encoding="utf-8")
    given = yamlfile.settings(str(path), NAMES, "setting").values
    if any(name.startswith(("xpack.security", "cluster.initial_master")) for name in given):
        return
    certificates = here / "certs"
    certificates.mkdir(mode=0o750, exist_ok=True)
    for name in ("http_ca.crt", "http.p12", "transport.p12"):
        secret.replace(certificates / name, f"The stand-in's {name}\n", 0o660)
    if os.geteuid() == 0:
        os.chown(certificates, 0, here.stat().st_gid)
    added = dict.fromkeys(AUTO_SECRETS, secrets.token_urlsafe(15))
    hashed = {"autoconfiguration.password_hash": secret.digest(secrets.token_urlsafe(15))}
    keystore().write({**keystore().read(), **added, **hashed})
    text += AUTO_SETTINGS.format(host=socket.gethostname())
    secret.replace(path, text, 0o660)


def ask_for_password(settings: yamlfile.Settings, user: str, password: str, url: str) -> None:
    """Ask the running node, as a user who exists only meanwhile; as the vendor's tool does.

    :raises strict.RefusedError: it doesn't do it.
    """
    word = secrets.token_urlsafe(15)
    secret.replace(operator_file(), secret.digest(word), 0o660)
    scheme = "https" if settings.true("xpack.security.http.ssl.enabled") else "http"
    base = url or f"{scheme}://{publish(settings, 'http')}"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    login = base64.b64encode(f"{OPERATOR}:{word}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310  # the node's own
        f"{base}/_security/user/{user}/_password",
        json.dumps({"password": password}).encode(),
        {"Authorization": f"Basic {login}", "Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=30, context=context):  # noqa: S310
            pass
    except (OSError, ValueError) as problem:
        raise strict.RefusedError(f"Failed to reset password for [{user}]: {problem}") from None
    finally:
        operator_file().unlink(missing_ok=True)


def reset_main(arguments: list[str]) -> None:
    """What bin/elasticsearch-reset-password does: it asks the running node."""
    parser = argparse.ArgumentParser("elasticsearch-reset-password")
    parser.add_argument("-u", "--username", required=True)
    parser.add_argument("-b", "--batch", action="store_true")
    parser.add_argument("-i", "--interactive", action="store_true")
    parser.add_argument("-a", "--auto", action="store_true")
    parser.add_argument("-s", "--silent", action="store_true")
    parser.add_argument("-f", "--force", action="store_true")
    parser.add_argument("--url", default="")
    chosen = parser.parse_args(arguments)
    settings = read_settings()
    if chosen.username not in BUILT_IN_USERS:
        raise strict.RefusedError(f"User [{chosen.username}] does not exist")
    if chosen.interactive:
        read = (
            getpass.getpass if sys.stdin.isatty() else lambda _: sys.stdin.readline().rstrip("\n")
        )
        password = read(f"Enter password for [{chosen.username}]: ")
        if read(f"Re-enter password for [{chosen.username}]: ") != password:
            raise strict.RefusedError("Passwords do not match")
    else:
        password = secrets.token_urlsafe(15)
    ask_for_password(settings, chosen.username, password, chosen.url)
    print(
        password
        if chosen.silent
        else f"Password for the [{chosen.username}] user successfully reset."
    )
    if not chosen.silent and not chosen.interactive:
        print(f"New value: {password}")
