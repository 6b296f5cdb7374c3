# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kibana's settings and status; it is available only while Elasticsearch accepts its token."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import ssl
import threading
import typing as t
import urllib.error
import urllib.parse
import urllib.request

from standin import daemon, secret, strict, web, yamlfile

VERSION: t.Final = "9.2.0+standin2"
NUMBER: t.Final = VERSION.partition("+")[0]
NAMES: t.Final = strict.Names(name for line in strict.read_names("kibana") for name in line)
KEY_LENGTH: t.Final = 32
KEYS: t.Final = (
    "xpack.encryptedSavedObjects.encryptionKey",
    "xpack.reporting.encryptionKey",
    "xpack.security.encryptionKey",
)
UNASKED: t.Final = "Unable to retrieve version information from Elasticsearch nodes."
DELAY: t.Final = 2.5  # Kibana's elasticsearch.healthCheck.delay, in seconds


def config_directory() -> pathlib.Path:
    return pathlib.Path(os.environ.get("KBN_PATH_CONF", "/etc/kibana"))


def keystore() -> secret.Keystore:
    return secret.Keystore(config_directory() / "kibana.keystore")


def read_settings() -> yamlfile.Settings:
    """kibana.yml and the keystore.

    :raises strict.RefusedError: Kibana would not start with them.
    """
    settings = yamlfile.settings(str(config_directory() / "kibana.yml"), NAMES, "configuration key")
    settings.values.update(keystore().read())
    settings.port("server.port")
    _check_url(settings, "server.publicBaseUrl")
    if settings.text("server.publicBaseUrl").endswith("/"):
        raise settings.refuse("server.publicBaseUrl", "must not end with a slash")
    if not settings.list("elasticsearch.hosts"):
        raise strict.RefusedError(
            f"{settings.path}: elasticsearch.hosts is not set, and this stand-in has no default"
        )
    _check_url(settings, "elasticsearch.hosts")
    user = settings.text("elasticsearch.username")
    if user == "elastic":
        raise settings.refuse(
            "elasticsearch.username",
            'value of "elastic" is forbidden. This is a superuser account that cannot write to '
            "system indices that Kibana needs to function. Use a service account token instead.",
        )
    token = settings.text("elasticsearch.serviceAccountToken")
    if token and user:
        raise settings.refuse(
            "elasticsearch.serviceAccountToken",
            'serviceAccountToken cannot be specified when "username" is also set.',
        )
    if settings.text("elasticsearch.password") and not user:
        raise settings.refuse("elasticsearch.password", "it has no effect without a username")
    for name in KEYS:
        if name in settings.values and len(settings.text(name)) < KEY_LENGTH:
            raise settings.refuse(
                name,
                f"value has length [{len(settings.text(name))}] but it must have a minimum "
                f"length of [{KEY_LENGTH}].",
            )
    mode = settings.text("elasticsearch.ssl.verificationMode", "full")
    if mode not in {"none", "certificate", "full"}:
        raise settings.refuse(
            "elasticsearch.ssl.verificationMode", f"'{mode}' is not none, certificate or full"
        )
    return settings


def _check_url(settings: yamlfile.Settings, name: str) -> None:
    for url in settings.list(name):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise settings.refuse(name, f"expected URI with scheme [http|https], found '{url}'")


def server_tls(settings: yamlfile.Settings) -> ssl.SSLContext | None:
    """TLS for browsers, if it is enabled.

    :raises strict.RefusedError: it can't be set up.
    """
    if not settings.true("server.ssl.enabled"):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(
            settings.text("server.ssl.certificate"), settings.text("server.ssl.key")
        )
    except (OSError, ssl.SSLError) as problem:
        raise settings.refuse("server.ssl.certificate", f"cannot load it: {problem}") from None
    return context


def incompatible(nodes: t.Iterable[t.Mapping[str, t.Any]]) -> str:
    """Why these nodes' versions are too old; the rule of es_kibana_version_compatability.ts."""
    mine = [int(part) for part in NUMBER.split(".")]
    old = []
    for node in nodes:
        major, minor, *_ = (int(part) for part in node["version"].partition("+")[0].split("."))
        if major != mine[0] or minor < mine[1]:
            old.append(f"v{node['version']} @ {node['http']['publish_address']} ({node['ip']})")
    return (
        f"This version of Kibana (v{NUMBER}) is incompatible with the following Elasticsearch"
        f" nodes in your cluster: {', '.join(sorted(old))}"
        if old
        else ""
    )


class Elasticsearch:
    """The connection to Elasticsearch, and what is known of it."""

    def __init__(self, settings: yamlfile.Settings) -> None:
        self.hosts = settings.list("elasticsearch.hosts")
        token = settings.text("elasticsearch.serviceAccountToken")
        user = settings.text("elasticsearch.username")
        self.headers = {}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"
        elif user:
            login = f"{user}:{settings.text('elasticsearch.password')}"
            self.headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        mode = settings.text("elasticsearch.ssl.verificationMode", "full")
        self.context = ssl.create_default_context()
        self.context.check_hostname = mode == "full"
        self.context.verify_mode = ssl.CERT_NONE if mode == "none" else ssl.CERT_REQUIRED
        name = "elasticsearch.ssl.certificateAuthorities"
        for path in settings.list(name):
            try:
                self.context.load_verify_locations(path)
            except (OSError, ssl.SSLError) as problem:
                raise settings.refuse(name, f"cannot load {path}: {problem}") from None
        self.problem = "it was not asked yet"

    def check(self) -> str:
        """Why Elasticsearch can't be used; empty if it can."""
        problem = "no host"
        for host in self.hosts:
            url = f"{host.rstrip('/')}/_nodes?filter_path=nodes.*.version"
            # The scheme was checked with the settings.
            request = urllib.request.Request(url, headers=self.headers)  # noqa: S310
            try:
                with urllib.request.urlopen(request, timeout=10, context=self.context) as answer:  # noqa: S310
                    return incompatible(json.load(answer)["nodes"].values())
            except urllib.error.HTTPError as error:
                problem = f"{UNASKED} {host}: security_exception, status {error.code}"
            except (OSError, ValueError, KeyError) as error:
                problem = f"{UNASKED} {host}: {getattr(error, 'reason', error)}"
        return problem

    def watch(self) -> None:
        """Check it again and again, and tell the journal what changed."""
        stop = threading.Event()
        while True:
            problem = self.check()
            if problem != self.problem:
                self.problem = problem
                daemon.say(problem or "Kibana is now available")
            stop.wait(DELAY)


class Kibana:
    """What Kibana answers, as far as the stand-in has it."""

    def __init__(self, settings: yamlfile.Settings, search: Elasticsearch) -> None:
        self.settings = settings
        self.search = search
        self.base = settings.text("server.basePath")

    def answer(self, request: web.Request) -> web.Response:
        path = request.path
        if self.settings.true("server.rewriteBasePath") and path.startswith(self.base):
            path = path.removeprefix(self.base) or "/"
        name = self.settings.text("server.name", "kibana")
        headers = {"kbn-name": name, "X-Stand-In": VERSION}
        level = "unavailable" if self.search.problem else "available"
        if path == "/api/status":
            summary = self.search.problem or "All services and plugins are available"
            return web.Response(
                {
                    "name": name,
                    "uuid": "stand-in",
                    "version": {
                        "number": NUMBER,
                        "build_flavor": "stand-in",
                        "build_hash": "stand-in",
                        "build_number": 1,
                        "build_snapshot": False,
                    },
                    "status": {
                        "overall": {"level": level, "summary": summary},
                        "core": {"elasticsearch": {"level": level, "summary": summary}},
                    },
                },
                503 if self.search.problem else 200,
                headers=headers,
            )
        if self.search.problem:
            return web.Response("Kibana server is not ready yet.", 503, headers=headers)
        if path == "/":
            return web.Response("", 302, headers={**headers, "Location": f"{self.base}/app/home"})
        if path in {"/login", "/app/home"}:
            text = f"<title>Kibana (stand-in {VERSION})</title>The lab's stand-in for Kibana"
            return web.Response(text, kind="text/html; charset=utf-8", headers=headers)
        content = {"statusCode": 404, "error": "Not Found", "message": "Not Found"}
        return web.Response(content, 404, headers=headers)


def main(arguments: list[str]) -> None:
    """What bin/kibana does."""
    if "--version" in arguments:
        print(f"{VERSION} (the lab's stand-in for Kibana)")
        return
    if arguments:
        raise strict.RefusedError(f"error: unknown option '{arguments[0]}'")
    daemon.rename("node")
    daemon.say(f"The lab's stand-in for Kibana, {VERSION}")
    if os.geteuid() == 0:
        raise strict.RefusedError("Kibana should not be run as root. Use --allow-root to continue.")
    settings = read_settings()
    for name in KEYS:
        if name not in settings.values:
            daemon.say(f"Generating a random key for {name}: set it to keep what it protects")
    search = Elasticsearch(settings)
    threading.Thread(target=search.watch, daemon=True).start()
    host = settings.text("server.host", "localhost")
    kibana = Kibana(settings, search)
    web.Server(kibana.answer, host, settings.port("server.port"), server_tls(settings)).start()
    daemon.say(f"http server running at {host}:{settings.port('server.port')}")
    daemon.wait()


def keystore_main(arguments: list[str]) -> None:
    """What bin/kibana-keystore does."""
    secret.keystore_tool("kibana-keystore", keystore(), NAMES, "", arguments)
