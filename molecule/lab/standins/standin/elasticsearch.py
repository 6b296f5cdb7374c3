# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Elasticsearch's settings, security and command line tools over a small store of documents."""

from __future__ import annotations

import argparse
import base64
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
import typing as t
import uuid

from standin import daemon, secret, strict, web, yamlfile

VERSION: t.Final = "9.2.0+standin1"
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


def new_token(path: pathlib.Path, service: str, name: str) -> str:
    """Make a token, keep its hash.

    :raises strict.RefusedError: there is one of that name, or no such service.
    """
    if service not in SERVICES:
        raise strict.RefusedError(
            f"Unknown service account [{service}]; there are {', '.join(SERVICES)}"
        )
    if not re.fullmatch(r"[A-Za-z0-9-][\w-]{0,255}", name):
        raise strict.RefusedError(f"Invalid name of a service token: [{name}]")
    tokens = read_tokens(path)
    if f"{service}/{name}" in tokens:
        raise strict.RefusedError(f"Service token [{service}/{name}] already exists")
    word = secrets.token_urlsafe(16)
    tokens[f"{service}/{name}"] = secret.digest(word)
    write_tokens(path, tokens)
    start = SERVICE_TOKEN_START + f"{service}/{name}:{word}".encode()
    return base64.b64encode(start).decode().rstrip("=")


class Realm:
    """Users and tokens."""

    def __init__(self, settings: yamlfile.Settings) -> None:
        self.native = pathlib.Path(settings.text("path.data")) / "security.json"
        self.api_tokens = pathlib.Path(settings.text("path.data")) / "service_tokens"
        self._known: set[tuple[str, str]] = set()

    def passwords(self) -> dict[str, str]:
        """Hashes of the passwords that were set through the API."""
        return dict(json.loads(self.native.read_text())) if self.native.exists() else {}

    def set_password(self, user: str, password: str) -> None:
        secret.replace(
            self.native, json.dumps({**self.passwords(), user: secret.digest(password)}), 0o600
        )
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
            wanted = self.passwords().get(user)
            if wanted:
                return user if self._right(password, wanted) else ""
            stored = keystore().read()
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
        for path in (token_file(), self.api_tokens):
            wanted = read_tokens(path).get(name)
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


class Node:
    """A node with its documents, which are kept in one file."""

    def __init__(self, settings: yamlfile.Settings) -> None:
        self.settings = settings
        self.realm = Realm(settings)
        self.secure = settings.true("xpack.security.enabled", default=True)
        self.store = pathlib.Path(settings.text("path.data")) / "documents.json"
        content = json.loads(self.store.read_text()) if self.store.exists() else {}
        self.uuid: str = content.get("uuid") or uuid.uuid4().hex[:22]
        self.indices: dict[str, dict[str, t.Any]] = content.get("indices", {})
        self.lock = threading.Lock()
        self.save()

    def save(self) -> None:
        text = json.dumps({"uuid": self.uuid, "indices": self.indices})
        secret.replace(self.store, text, 0o660)

    @property
    def name(self) -> str:
        return self.settings.text("node.name", socket.gethostname())

    @property
    def cluster(self) -> str:
        return self.settings.text("cluster.name", "elasticsearch")

    def answer(self, request: web.Request) -> web.Response:
        """Elasticsearch's REST interface, as far as the stand-in has it."""
        headers = {"X-elastic-product": "Elasticsearch", "X-Stand-In": VERSION}
        try:
            user = self.realm.user(request) if self.secure else "anonymous"
            if not user:
                raise ProblemError(
                    401,
                    "security_exception",
                    f"unable to authenticate for REST request [{request.path}]",
                )
            with self.lock:
                response = self.route(request, user)
        except ProblemError as problem:
            response = problem.response()
        except (ValueError, KeyError, TypeError) as problem:
            response = ProblemError(400, "parse_exception", str(problem)).response()
        except strict.RefusedError as problem:
            response = ProblemError(409, "illegal_state_exception", str(problem)).response()
        return web.Response(
            response.content, response.status, response.kind, {**headers, **response.headers}
        )

    def route(self, request: web.Request, user: str) -> web.Response:
        parts = [part for part in request.path.split("/") if part]
        if not parts:
            return web.Response(self.root())
        if parts[0] == "_security":
            return self.security(request, user, parts[1:])
        if parts[0].startswith("_"):
            return web.Response(self.state(parts))
        return self.documents(request, parts)

    def root(self) -> dict[str, t.Any]:
        return {
            "name": self.name,
            "cluster_name": self.cluster,
            "cluster_uuid": self.uuid,
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

    def state(self, parts: list[str]) -> t.Any:
        """What the node tells about itself."""
        if parts[:2] == ["_cluster", "health"]:
            return {
                "cluster_name": self.cluster,
                "status": "green",
                "timed_out": False,
                "number_of_nodes": 1,
                "number_of_data_nodes": 1,
                "active_primary_shards": len(self.indices),
                "active_shards": len(self.indices),
                "relocating_shards": 0,
                "initializing_shards": 0,
                "unassigned_shards": 0,
                "active_shards_percent_as_number": 100.0,
            }
        if parts[0] == "_nodes":
            ports = {kind: self.settings.port(f"{kind}.port") for kind in ("http", "transport")}
            node = {
                "name": self.name,
                "version": NUMBER,
                "build_flavor": "stand-in",
                "roles": self.settings.list("node.roles") or ["data", "ingest", "master"],
                "jvm": {"mem": {"heap_max_in_bytes": heap(config_directory(), memory_of_host())}},
            }
            for kind, number in ports.items():
                hosts = addresses(self.settings, kind)
                bound = [
                    f"[{host}]:{number}" if ":" in host else f"{host}:{number}" for host in hosts
                ]
                node[kind] = {"bound_address": bound, "publish_address": bound[0]}
            return {"cluster_name": self.cluster, "nodes": {self.uuid: node}}
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
        if user != "elastic":
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
            files = (token_file(), self.realm.api_tokens)
            if request.method == "DELETE" and len(parts) == 6:
                tokens = read_tokens(files[1])
                is_there = tokens.pop(f"{service}/{parts[5]}", None) is not None
                write_tokens(files[1], tokens)
                return web.Response({"found": is_there}, 200 if is_there else 404)
            if request.method in {"POST", "PUT"} and len(parts) == 6:
                value = new_token(files[1], service, parts[5])
                return web.Response({"created": True, "token": {"name": parts[5], "value": value}})
            names = [
                [name.rpartition("/")[2] for name in read_tokens(path) if name.startswith(service)]
                for path in files
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
            documents = self.indices.setdefault(index, {})
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
            self.indices[index] = {}
            self.save()
            return web.Response({"acknowledged": True, "shards_acknowledged": True, "index": index})
        if index not in self.indices:
            raise ProblemError(404, "index_not_found_exception", f"no such index [{index}]")
        if request.method == "DELETE":
            del self.indices[index]
            self.save()
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
    node = Node(settings)
    context = tls(settings, "xpack.security.http.ssl")
    between = tls(settings, "xpack.security.transport.ssl")
    for host in addresses(settings, "transport"):
        port = settings.port("transport.port")
        web.Server(lambda _: web.Response("stand-in", 404), host, port, between).start()
    for host in addresses(settings, "http"):
        web.Server(node.answer, host, settings.port("http.port"), context).start()
    if chosen.pidfile:
        chosen.pidfile.write_text(f"{os.getpid()}\n")
    daemon.say(f"started, heap {size or 'automatic'}, security {'on' if node.secure else 'off'}")
    daemon.ready()
    daemon.wait()


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
        print(
            f"SERVICE_TOKEN {name} = {new_token(token_file(), service, chosen.service_token_name)}"
        )
        return
    if tokens.pop(name, None) is None:
        raise strict.RefusedError(f"Service token [{name}] does not exist")
    write_tokens(token_file(), tokens)
    print(f"Deleted service token [{name}]")


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
    # The vendor's tool asks the node as a user of its own; here both share the store.
    Realm(settings).set_password(chosen.username, password)
    store = Realm(settings).native
    if os.geteuid() == 0:
        owner = store.parent.stat()
        os.chown(store, owner.st_uid, owner.st_gid)
    print(
        password
        if chosen.silent
        else f"Password for the [{chosen.username}] user successfully reset."
    )
    if not chosen.silent and not chosen.interactive:
        print(f"New value: {password}")
