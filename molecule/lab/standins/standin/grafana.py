# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grafana's configuration, provisioning and HTTP interface, without its user interface.

Where Grafana itself is lenient and ignores what it doesn't know, the stand-in refuses it.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import pathlib
import re
import ssl
import sys
import time
import typing as t
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field

import yaml

from standin import daemon, secret, strict, web, yamlfile

VERSION: t.Final = "12.2.0+standin1"
NUMBER: t.Final = VERSION.partition("+")[0]
SECRET: t.Final = re.compile(r"password|secret|token|_key$")
FRAME_FIELDS: t.Final = (("Time", "time"), ("Value", "number"))

# What a provisioning file may hold: a tuple of names, or a mapping from names to what they hold.
DATASOURCE: t.Final = {
    "access": None,
    "basicAuth": None,
    "basicAuthUser": None,
    "correlations": None,
    "database": None,
    "editable": None,
    "isDefault": None,
    "jsonData": None,
    "name": None,
    "orgId": None,
    "secureJsonData": None,
    "type": None,
    "uid": None,
    "url": None,
    "user": None,
    "version": None,
    "withCredentials": None,
}
PROVISIONING: t.Final[dict[str, dict[str, t.Any]]] = {
    "datasources": {
        "apiVersion": None,
        "datasources": DATASOURCE,
        "deleteDatasources": {"name": None, "orgId": None, "uid": None},
        "prune": None,
    },
    "dashboards": {
        "apiVersion": None,
        "providers": {
            "allowUiUpdates": None,
            "disableDeletion": None,
            "editable": None,
            "folder": None,
            "folderUid": None,
            "name": None,
            "options": {"foldersFromFilesStructure": None, "path": None},
            "orgId": None,
            "type": None,
            "updateIntervalSeconds": None,
        },
    },
}


def _read_options() -> dict[str, set[str]]:
    result: dict[str, set[str]] = {}
    for section, *options in strict.read_names("grafana"):
        result.setdefault(section, set()).update(options)
    return result


OPTIONS: t.Final = _read_options()
SECTIONS: t.Final = strict.Names(OPTIONS)


def options_of(section: str) -> strict.Names | None:
    """The options of a section; None where any will do.

    :raises KeyError: there is no such section.
    """
    if section in OPTIONS:
        found = OPTIONS[section]
    elif section in SECTIONS:
        found = OPTIONS[f"{section.partition('.')[0]}.*"]
    else:
        raise KeyError(section)
    return None if "*" in found else strict.Names(found)


def expand(value: str) -> str:
    """Replace ``$__file{path}``, ``$__env{name}`` and ``${name}``.

    :raises OSError: the file can't be read.
    """

    def read(found: re.Match[str]) -> str:
        kind, word = found[1], found[2]
        if kind == "file":
            return pathlib.Path(word).read_text(encoding="utf-8").strip()
        return os.environ.get(word or found[3], "")

    return re.sub(r"\$__(file|env)\{([^}]+)\}|\$\{(\w+)\}", read, value)


@dataclass
class Settings:
    """The options of all sections, and where each was set."""

    values: dict[tuple[str, str], str] = field(default_factory=dict)
    places: dict[tuple[str, str], str] = field(default_factory=dict)

    def set(self, place: str, section: str, option: str, value: str) -> None:
        """Take one option.

        :raises strict.RefusedError: there is no such section or option, or its file is missing.
        """
        try:
            names = options_of(section)
        except KeyError:
            raise strict.RefusedError(
                f"{place}: unknown section [{section}].{SECTIONS.nearest(section)}"
            ) from None
        if names is not None and option not in names:
            raise strict.RefusedError(
                f"{place}: unknown option '{option}' in section [{section}].{names.nearest(option)}"
            )
        try:
            self.values[section, option] = expand(value)
        except OSError as problem:
            raise strict.RefusedError(
                f"{place}: {option}: cannot read {problem.filename}: {problem.strerror}"
            ) from None
        self.places[section, option] = place

    def text(self, section: str, option: str, default: str = "") -> str:
        value = self.values.get((section, option), default)
        return re.sub(
            r"%\((\w+)\)s", lambda found: self.values.get((section, found[1]), found[0]), value
        )

    def true(self, section: str, option: str, default: bool = False) -> bool:
        """A truth value.

        :raises strict.RefusedError: it is something else.
        """
        value = self.text(section, option)
        try:
            return strict.boolean(value) if value else default
        except ValueError as problem:
            raise strict.RefusedError(
                f"{self.places[section, option]}: {option}: {problem}"
            ) from None


def read_ini(settings: Settings, path: str) -> None:
    """Take the options of an ini file.

    :raises strict.RefusedError: it can't be read, or isn't Grafana's.
    """
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as problem:
        raise strict.RefusedError(f"{path}: {problem.strerror}") from None
    section = "DEFAULT"
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith((";", "#")):
            continue
        header = re.fullmatch(r"\[([^\]]+)\]", line)
        if header:
            section = header[1]
            try:
                options_of(section)
            except KeyError:
                raise strict.RefusedError(
                    f"{path}:{number}: unknown section [{section}].{SECTIONS.nearest(section)}"
                ) from None
            continue
        option, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            raise strict.RefusedError(f"{path}:{number}: key-value delimiter not found: {line}")
        quoted = re.fullmatch(r'"""(.*)"""|"(.*)"|`(.*)`', value)
        if quoted:
            value = next(part for part in quoted.groups() if part is not None)
        settings.set(f"{path}:{number}", section, option, value)


def read_environment(settings: Settings, environment: t.Mapping[str, str]) -> None:
    """Take the options of ``GF_<SECTION>_<OPTION>`` and ``GF_<SECTION>_<OPTION>__FILE``.

    :raises strict.RefusedError: a variable's file can't be read.
    """
    for section, options in OPTIONS.items():
        for option in options - {"*"}:
            words = option if section == "DEFAULT" else f"{section}_{option}"
            name = "GF_" + re.sub(r"[.\-]", "_", words).upper()
            if f"{name}__FILE" in environment:
                file = environment[f"{name}__FILE"]
                settings.set(
                    f"environment variable {name}__FILE", section, option, f"$__file{{{file}}}"
                )
            elif name in environment:
                settings.set(f"environment variable {name}", section, option, environment[name])


def read_settings(arguments: list[str]) -> tuple[Settings, argparse.Namespace]:
    """The settings from all places, the strongest last.

    :raises strict.RefusedError: one of them isn't Grafana's.
    """
    parser = argparse.ArgumentParser("grafana server", allow_abbrev=False)
    for option in ("config", "homepath", "pidfile", "packaging", "configOverrides"):
        parser.add_argument(f"-{option}", f"--{option}", default="")
    parser.add_argument("overrides", nargs="*")
    chosen = parser.parse_args(arguments)
    settings = Settings()
    strong = []
    for word in chosen.overrides + chosen.configOverrides.split():
        found = re.fullmatch(r"cfg:(default\.)?(?:([\w.-]+)\.)?(\w+)=(.*)", word)
        if not found:
            raise strict.RefusedError(f"command line: unknown argument '{word}'")
        override = ("command line", found[2] or "DEFAULT", found[3], found[4])
        if found[1]:
            settings.set(*override)
        else:
            strong.append(override)
    read_ini(settings, chosen.config or "/etc/grafana/grafana.ini")
    read_environment(settings, os.environ)
    for override in strong:
        settings.set(*override)
    if ("server", "http_port") not in settings.values:
        raise strict.RefusedError(
            "[server] http_port is not set, and this stand-in has no default for it"
        )
    try:
        strict.port(settings.text("server", "http_port"))
    except ValueError as problem:
        place = settings.places["server", "http_port"]
        raise strict.RefusedError(f"{place}: http_port: {problem}") from None
    return settings, chosen


# Provisioning


def check_names(path: str, node: yaml.Node, allowed: dict[str, t.Any], within: str) -> None:
    """Refuse names that a provisioning file can't hold.

    :raises strict.RefusedError: there is one.
    """
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            check_names(path, item, allowed, within)
    elif isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            if key.value not in allowed:
                near = strict.Names(allowed).nearest(key.value)
                raise strict.RefusedError(
                    f"{path}:{key.start_mark.line + 1}: unknown key '{key.value}' in "
                    f"{within}.{near}"
                )
            if allowed[key.value]:
                check_names(path, child, allowed[key.value], key.value)
    else:
        raise strict.RefusedError(f"{path}:{node.start_mark.line + 1}: {within} holds names")


def expanded(value: t.Any) -> t.Any:
    """A value of a provisioning file with its variables replaced."""
    if isinstance(value, dict):
        return {name: expanded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [expanded(part) for part in value]
    return expand(value) if isinstance(value, str) else value


def provisioned(directory: pathlib.Path, kind: str, key: str) -> list[dict[str, t.Any]]:
    """The entries of all provisioning files of a kind.

    :raises strict.RefusedError: one of the files isn't Grafana's.
    """
    entries: list[dict[str, t.Any]] = []
    for path in sorted((directory / kind).glob("*.y*ml")):
        node = yamlfile.document(str(path))
        if node is None:
            continue
        check_names(str(path), node, PROVISIONING[kind], kind)
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if content.get("apiVersion", 1) != 1:
            raise strict.RefusedError(f"{path}: apiVersion has to be 1")
        try:
            entries += [
                {**entry, "__path": str(path)} for entry in expanded(content.get(key) or [])
            ]
        except OSError as problem:
            raise strict.RefusedError(f"{path}: cannot read {problem.filename}") from None
    return entries


def read_datasources(directory: pathlib.Path) -> dict[str, dict[str, t.Any]]:
    """Data sources by their uid.

    :raises strict.RefusedError: Grafana would not start with them.
    """
    result: dict[str, dict[str, t.Any]] = {}
    entries = provisioned(directory, "datasources", "datasources")
    for number, given in enumerate(entries, 1):
        entry = {"access": "proxy", "orgId": 1, "isDefault": False, **given, "id": number}
        path = entry.pop("__path")
        for name in ("name", "type"):
            if not entry.get(name):
                raise strict.RefusedError(f"{path}: a data source has no {name}")
        if entry["access"] not in {"proxy", "direct"}:
            raise strict.RefusedError(f"{path}: access of '{entry['name']}' is proxy or direct")
        entry.setdefault("uid", "P" + hashlib.sha256(entry["name"].encode()).hexdigest()[:16])
        if entry["uid"] in result:
            raise strict.RefusedError(f"{path}: uid '{entry['uid']}' is used twice")
        result[entry["uid"]] = entry
    if sum(bool(entry["isDefault"]) for entry in result.values()) > 1:
        raise strict.RefusedError(
            f"{directory}/datasources: Only one datasource per organization can be marked as "
            "default"
        )
    return result


def read_providers(directory: pathlib.Path) -> list[dict[str, t.Any]]:
    """Where dashboards are.

    :raises strict.RefusedError: Grafana would not start with them.
    """
    providers = provisioned(directory, "dashboards", "providers")
    for entry in providers:
        if entry.get("type", "file") != "file" or not (entry.get("options") or {}).get("path"):
            raise strict.RefusedError(
                f"{entry['__path']}: provider '{entry.get('name')}' needs type file and "
                "options.path"
            )
    return providers


def read_dashboards(providers: list[dict[str, t.Any]]) -> dict[str, dict[str, t.Any]]:
    """Dashboards by their uid, each with its folder. A broken one is said and left out."""
    result: dict[str, dict[str, t.Any]] = {}
    for entry in providers:
        for path in sorted(pathlib.Path(entry["options"]["path"]).rglob("*.json")):
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                title, uid = content["title"], content.get("uid") or path.stem
            except (OSError, ValueError, KeyError, TypeError) as problem:
                daemon.say(f"failed to load dashboard from {path}: {problem!r}")
                continue
            if uid in result:
                daemon.say(f"{path}: dashboard uid '{uid}' is used twice")
            folder = entry.get("folder") or ""
            if entry["options"].get("foldersFromFilesStructure"):
                folder = path.parent.name
            result[uid] = {
                "dashboard": {**content, "uid": uid},
                "meta": {
                    "folderTitle": folder or "General",
                    "provisioned": True,
                    "provisionedExternalId": path.name,
                    "slug": re.sub(r"\W+", "-", title.lower()).strip("-"),
                    "url": f"/d/{uid}",
                },
            }
    return result


# HTTP


class Grafana:
    """What Grafana answers, as far as the stand-in has it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.started = time.time()
        self.requests = 0
        directory = pathlib.Path(
            settings.text("paths", "provisioning", "/etc/grafana/provisioning")
        )
        self.datasources = read_datasources(directory)
        self.providers = read_providers(directory)
        self.dashboards = read_dashboards(self.providers)
        self.users = Users(settings)

    def answer(self, request: web.Request) -> web.Response:
        self.requests += 1
        path = request.path
        if path == "/api/health":
            return self.json(
                {"database": "ok", "version": NUMBER, "commit": "stand-in", "stand-in": VERSION}
            )
        if path == "/metrics" and self.settings.true("metrics", "enabled", default=True):
            return self.metrics(request)
        if path == "/":
            return web.Response("", 302, headers={"Location": "/login"})
        if path == "/login":
            text = f"<title>Grafana (stand-in {VERSION})</title>The lab's stand-in for Grafana"
            return web.Response(text, kind="text/html; charset=utf-8")
        user = self.users.who(request)
        if not user:
            return self.json({"message": "Unauthorized", "messageId": "api.unauthorized"}, 401)
        return self.api(request, user)

    @staticmethod
    def json(content: t.Any, status: int = 200) -> web.Response:
        return web.Response(content, status, headers={"X-Stand-In": VERSION})

    def api(self, request: web.Request, user: str) -> web.Response:
        content: t.Any = None
        match [part for part in request.path.split("/") if part][1:]:
            case ["datasources", *rest]:
                return self.datasource_api(rest, request)
            case ["ds", "query"] if request.method == "POST":
                return self.query(request)
            case ["user"]:
                content = {"login": user, "isGrafanaAdmin": user != "anonymous"}
            case ["org"]:
                content = {"id": 1, "name": "Main Org."}
            case ["admin", "settings"] if user != "anonymous":
                content = self.shown_settings()
            case ["search"]:
                content = self.search(request)
            case ["dashboards", "uid", uid]:
                self.dashboards = read_dashboards(self.providers)
                content = self.dashboards.get(uid)
        return self.json({"message": "Not found"}, 404) if content is None else self.json(content)

    def datasource_api(self, parts: list[str], request: web.Request) -> web.Response:
        match parts:
            case []:
                return self.json([self.shown(entry) for entry in self.datasources.values()])
            case [("uid" | "name") as key, word]:
                for entry in self.datasources.values():
                    if entry[key] == word:
                        return self.json(self.shown(entry))
            case ["uid", uid, "health"] if uid in self.datasources:
                return self.health(uid)
            case ["proxy", "uid", uid, *rest] if uid in self.datasources:
                return self.proxy(uid, "/".join(rest), request)
        return self.json({"message": "Data source not found"}, 404)

    def shown_settings(self) -> dict[str, dict[str, str]]:
        result: dict[str, dict[str, str]] = {}
        for section, option in self.settings.values:
            value = self.settings.text(section, option)
            hidden = value and SECRET.search(option)
            result.setdefault(section, {})[option] = "*********" if hidden else value
        return result

    @staticmethod
    def shown(entry: dict[str, t.Any]) -> dict[str, t.Any]:
        fields = dict.fromkeys(entry.get("secureJsonData") or {}, True)
        plain = {name: value for name, value in entry.items() if name != "secureJsonData"}
        return {**plain, "secureJsonFields": fields, "readOnly": not entry.get("editable")}

    def search(self, request: web.Request) -> list[dict[str, t.Any]]:
        self.dashboards = read_dashboards(self.providers)
        word = request.query.get("query", "").lower()
        return [
            {
                "uid": uid,
                "title": found["dashboard"]["title"],
                "type": "dash-db",
                "tags": found["dashboard"].get("tags", []),
                "url": found["meta"]["url"],
                "folderTitle": found["meta"]["folderTitle"],
            }
            for uid, found in self.dashboards.items()
            if word in found["dashboard"]["title"].lower()
            and request.query.get("type", "dash-db") == "dash-db"
        ]

    def ask(self, uid: str, path: str, query: str = "", body: bytes | None = None) -> web.Response:
        """The data source's own answer, or 502 with the reason why there is none."""
        entry = self.datasources[uid]
        url = f"{str(entry.get('url', '')).rstrip('/')}/{path}" + (f"?{query}" if query else "")
        headers = {"User-Agent": f"Grafana/{NUMBER} stand-in"}
        if entry.get("basicAuth"):
            password = (entry.get("secureJsonData") or {}).get("basicAuthPassword", "")
            login = f"{entry.get('basicAuthUser', '')}:{password}"
            headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        context = ssl.create_default_context()
        if (entry.get("jsonData") or {}).get("tlsSkipVerify"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
            return self.json({"message": f"data source {uid} has no usable url: '{url}'"}, 502)
        request = urllib.request.Request(url, body or None, headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30, context=context) as answer:  # noqa: S310
                return web.Response(answer.read(), answer.status, answer.headers["Content-Type"])
        except urllib.error.HTTPError as problem:
            return web.Response(problem.read(), problem.code, problem.headers["Content-Type"])
        except OSError as problem:
            return self.json({"message": f"{url}: {getattr(problem, 'reason', problem)}"}, 502)

    def proxy(self, uid: str, path: str, request: web.Request) -> web.Response:
        body = request.body if request.method == "POST" else None
        return self.ask(uid, path, urllib.parse.urlencode(request.query), body)

    def health(self, uid: str) -> web.Response:
        answer = self.ask(uid, "api/v1/query", "query=1%2B1")
        if answer.status == 200:
            return self.json({"status": "OK", "message": "Successfully queried the API."})
        return self.json({"status": "ERROR", "message": "the data source does not answer"}, 400)

    def query(self, request: web.Request) -> web.Response:
        """Instant queries of Prometheus data sources, as panels ask them."""
        results: dict[str, t.Any] = {}
        for query in request.json()["queries"]:
            uid = (query.get("datasource") or {}).get("uid", "")
            if uid not in self.datasources:
                return self.json({"message": f"Query data error: no data source '{uid}'"}, 404)
            words = urllib.parse.urlencode({"query": query["expr"]})
            answer = self.ask(uid, "api/v1/query", words)
            results[query.get("refId", "A")] = _frames(answer)
        failed = any(result["status"] != 200 for result in results.values())
        return self.json({"results": results}, 400 if failed else 200)

    def metrics(self, request: web.Request) -> web.Response:
        user = self.settings.text("metrics", "basic_auth_username")
        password = self.settings.text("metrics", "basic_auth_password")
        if user and password and request.basic() != (user, password):
            return web.Response("Unauthorized", 401)
        lines = [
            "# TYPE grafana_build_info gauge",
            f'grafana_build_info{{version="{VERSION}",edition="stand-in"}} 1',
            "# TYPE grafana_stat_totals_dashboard gauge",
            f"grafana_stat_totals_dashboard {len(self.dashboards)}",
            "# TYPE grafana_stat_totals_datasource gauge",
            f"grafana_stat_totals_datasource {len(self.datasources)}",
            "# TYPE grafana_http_request_duration_seconds_count counter",
            f"grafana_http_request_duration_seconds_count {self.requests}",
            "# TYPE process_start_time_seconds gauge",
            f"process_start_time_seconds {self.started}",
        ]
        return web.Response("\n".join(lines) + "\n", kind="text/plain; version=0.0.4")


def _frames(answer: web.Response) -> dict[str, t.Any]:
    content = json.loads(answer.content) if isinstance(answer.content, bytes) else answer.content
    if answer.status != 200 or content.get("status") != "success":
        return {"status": answer.status, "error": str(content)}
    data = content["data"]
    series = data["result"]
    if data["resultType"] == "scalar":
        series = [{"metric": {}, "value": data["result"]}]
    return {
        "status": 200,
        "frames": [
            {
                "schema": {
                    "fields": [
                        {"name": name, "type": kind, "labels": one["metric"]}
                        for name, kind in FRAME_FIELDS
                    ]
                },
                "data": {"values": [[one["value"][0] * 1000], [float(one["value"][1])]]},
            }
            for one in series
        ],
    }


class Users:
    """The admin, whose password is that of the first start or of the last reset."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.path = (
            pathlib.Path(settings.text("paths", "data", "/var/lib/grafana")) / "standin.json"
        )
        self.admin = settings.text("security", "admin_user", "admin")
        if not self.path.exists():
            self.reset(settings.text("security", "admin_password", "admin"))
        self._known: set[tuple[str, str]] = set()

    def reset(self, password: str) -> None:
        """Set the admin's password."""
        content = {"login": self.admin, "password": secret.digest(password)}
        secret.replace(self.path, json.dumps(content), 0o640)

    def who(self, request: web.Request) -> str:
        """The user who asks; empty if it is nobody."""
        login = request.basic()
        if login and self.settings.true("auth.basic", "enabled", default=True):
            stored = json.loads(self.path.read_text())
            user, password = login
            if user == stored["login"] and self._right(password, stored["password"]):
                return user
            return ""
        return "anonymous" if self.settings.true("auth.anonymous", "enabled") else ""

    def _right(self, password: str, wanted: str) -> bool:
        if (password, wanted) not in self._known and secret.matches(password, wanted):
            self._known.add((password, wanted))
        return (password, wanted) in self._known


def server_tls(settings: Settings) -> ssl.SSLContext | None:
    """TLS, if the protocol is https.

    :raises strict.RefusedError: it can't be set up.
    """
    protocol = settings.text("server", "protocol", "http")
    if protocol == "http":
        return None
    place = settings.places["server", "protocol"]
    if protocol not in {"https", "h2"}:
        raise strict.RefusedError(f"{place}: this stand-in speaks http and https, not {protocol}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(
            settings.text("server", "cert_file"), settings.text("server", "cert_key")
        )
    except (OSError, ssl.SSLError) as problem:
        raise strict.RefusedError(
            f"{place}: cannot load cert_file and cert_key: {problem}"
        ) from None
    return context


# Programs


def serve(arguments: list[str]) -> None:
    """What `grafana server` does."""
    daemon.rename("grafana")
    daemon.say(f"The lab's stand-in for Grafana, {VERSION}")
    settings, chosen = read_settings(arguments)
    grafana = Grafana(settings)
    host, port = (
        settings.text("server", "http_addr"),
        strict.port(settings.text("server", "http_port")),
    )
    web.Server(grafana.answer, host, port, server_tls(settings)).start()
    if chosen.pidfile:
        pathlib.Path(chosen.pidfile).write_text(f"{os.getpid()}\n")
    daemon.say(
        f"HTTP Server Listen {host or '*'}:{port}, {len(grafana.datasources)} data sources, "
        f"{len(grafana.dashboards)} dashboards"
    )
    daemon.ready()
    daemon.wait()


def reset_admin(arguments: list[str]) -> None:
    """What `grafana cli admin reset-admin-password` does."""
    parser = argparse.ArgumentParser("grafana cli", allow_abbrev=False)
    for option in ("config", "homepath", "pluginsDir", "configOverrides"):
        parser.add_argument(f"-{option}", f"--{option}", default="")
    parser.add_argument("command", choices=["admin"])
    parser.add_argument("action", choices=["reset-admin-password"])
    parser.add_argument("--password-from-stdin", action="store_true")
    parser.add_argument("--user-id", default="1")
    parser.add_argument("password", nargs="?", default="")
    chosen = parser.parse_args(arguments)
    password = chosen.password
    if chosen.password_from_stdin:
        password = sys.stdin.readline().rstrip("\n")
    if len(password) < 4:
        raise strict.RefusedError("new password is too short")
    server = [f"--config={chosen.config}", *chosen.configOverrides.split()]
    users = Users(read_settings(server)[0])
    owner = users.path.parent.stat()
    users.reset(password)
    if os.geteuid() == 0:
        os.chown(users.path, owner.st_uid, owner.st_gid)
    print("Admin password changed successfully ✔")


def main(arguments: list[str]) -> None:
    """What /usr/share/grafana/bin/grafana does."""
    match arguments:
        case ["server", *rest] if not {"-v", "--version"} & set(rest):
            serve(rest)
        case ["cli", *rest]:
            reset_admin(rest)
        case ["server", *_] | ["-v" | "--version"]:
            print(f"grafana version {VERSION} (the lab's stand-in)")
        case _:
            raise strict.RefusedError("usage: grafana server|cli|--version")
