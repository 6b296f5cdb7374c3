# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller keeps is compared with what the services know, by real requests."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import ssl
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from standin import elasticsearch, grafana, web

REPOSITORY = Path(__file__).parents[4]
ROLES = REPOSITORY / "roles"
SETTINGS = """
path.data: {data}
path.logs: {data}
http.port: 7420
transport.port: 7430
discovery.type: single-node
xpack.security.enabled: true
"""


def load_module(path: Path) -> t.Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


kibana_token = load_module(ROLES / "kibana" / "library" / "kibana_token.py")


class Search:
    """A node that knows the password `first`, and can be built anew."""

    def __init__(self, folder: Path, context: ssl.SSLContext | None = None) -> None:
        self.folder = folder
        self.node: elasticsearch.Node | None = None
        self.rebuild()
        self.server = web.Server(self.answer, "127.0.0.1", 0, context).start()
        self.address = f"127.0.0.1:{self.server.server_port}"

    def answer(self, request: web.Request) -> web.Response:
        """What the node of the moment says."""
        assert self.node is not None
        return self.node.answer(request)

    def rebuild(self) -> None:
        """Lose all that it knew but the password."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / "elasticsearch.yml").write_text(SETTINGS.format(data=self.folder))
        elasticsearch.keystore_main(["create"])
        elasticsearch.keystore().write({"bootstrap.password": "first"})
        self.node = elasticsearch.Node(elasticsearch.read_settings())

    def client(self, password: str = "first") -> t.Any:  # noqa: S107 - of this test
        return kibana_token.Elasticsearch([f"http://{self.address}"], "", password)


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Search]:
    monkeypatch.setenv("ES_PATH_CONF", str(tmp_path / "search"))
    made = Search(tmp_path / "search")
    yield made
    made.server.shutdown()
    made.server.server_close()


def have(client: t.Any, token: str, name: str = "prsnl-one") -> str:
    found: str = kibana_token.have(client, token, name, 0, lambda _seconds: None)
    return found


def test_a_token_is_made_once(search: Search) -> None:
    token = have(search.client(), "")
    assert token
    assert have(search.client("not needed"), token) == token


def test_a_rebuilt_search_host_gets_another_token(search: Search) -> None:
    token = have(search.client(), "")
    search.rebuild()
    other = have(search.client(), token)
    assert other != token
    assert have(search.client(), other) == other


@pytest.mark.parametrize("kept", ["", "AAEAAW", "no token at all", "é"])
def test_a_token_that_was_not_kept_whole_is_made_again(search: Search, kept: str) -> None:
    """Though there is one of that name, whose text nobody has any more."""
    token = have(search.client(), "")
    other = have(search.client(), kept if kept != "AAEAAW" else token[:-6])
    assert other != token
    assert have(search.client(), other) == other


def test_two_hosts_take_no_token_away_from_each_other(search: Search) -> None:
    one, two = have(search.client(), "", "prsnl-one"), have(search.client(), "", "prsnl-two")
    assert have(search.client(), one, "prsnl-one") == one
    assert have(search.client(), two, "prsnl-two") == two


def test_a_password_that_was_changed_is_told_with_what_to_do(search: Search) -> None:
    with pytest.raises(kibana_token.TokenError, match="accepts neither the token nor the password"):
        kibana_token.have(search.client("second"), "stale", "x", 60, lambda _seconds: None)


@pytest.mark.parametrize("answer", ["", "{}", '{"created": true, "token": {"value": " "}}', "[]"])
def test_an_empty_token_is_never_kept(
    search: Search, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    client = search.client()
    ask = client.ask

    def cut(path: str, method: str = "GET", authorization: str = "") -> t.Any:
        if method == "POST":
            return kibana_token.Answer(200, answer)
        return ask(path, method, authorization)

    monkeypatch.setattr(client, "ask", cut)
    with pytest.raises(kibana_token.TokenError, match="made no token prsnl-one"):
        have(client, "")


def test_a_node_that_is_down_is_passed_over_and_waited_for(search: Search) -> None:
    urls = ["http://127.0.0.1:9", f"http://{search.address}"]
    assert have(kibana_token.Elasticsearch(urls, "", "first"), "")
    with pytest.raises(kibana_token.TokenError, match=r"was waited for 0 s: http://127\.0\.0\.1:9"):
        have(kibana_token.Elasticsearch(urls[:1], "", "first"), "")


# --- the roles' own tasks ------------------------------------------------------------------------


def check(
    folder: Path, role: str, hosts: dict[str, dict[str, t.Any]], **common: t.Any
) -> dict[str, str]:
    """Run the tasks of a role that ask for the password; what each host is told, if it fails."""
    tasks = yaml.safe_load((ROLES / role / "tasks" / "main.yml").read_text(encoding="utf-8"))
    names = [task["name"] for task in tasks]
    is_asking = "accepts the password"
    asking = tasks[next(i for i, name in enumerate(names) if is_asking in name) :]
    for task in asking:
        if "delay" in task:
            task["delay"] = 0
    play = [{"hosts": "all", "gather_facts": False, "tasks": asking}]
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "secrets_dir": str(folder / "secrets"),
        **common,
    }
    (folder / "hosts.json").write_text(json.dumps({"all": {"vars": variables, "hosts": hosts}}))
    (folder / "play.json").write_text(json.dumps(play))
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "hosts.json", "play.json"],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")}
        | {
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "collections"),
            "ANSIBLE_LIBRARY": str(ROLES / role / "library"),
            "LC_ALL": "C.UTF-8",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    told = dict.fromkeys(hosts, "")
    for task in json.loads(done.stdout)["plays"][0]["tasks"]:
        for host, result in task["hosts"].items():
            assert not result.get("changed")
            if result.get("failed"):
                told[host] += str(result["msg"])
    return told


def test_elasticsearch_is_asked_for_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certs = tmp_path / "certs"
    certs.mkdir()
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=node", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(certs / "key.pem"), "-out", str(certs / "authority.crt")]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs / "authority.crt", certs / "key.pem")
    monkeypatch.setenv("ES_PATH_CONF", str(tmp_path / "search"))
    search = Search(tmp_path / "search", context)
    hosts: dict[str, dict[str, t.Any]] = {
        "right": {"elasticsearch_password": "first"},
        "wrong": {"elasticsearch_password": "second"},
        "down": {
            "elasticsearch_password": "first",
            "__elasticsearch_http": {"socket": "127.0.0.1:9"},
        },
    }
    common = yaml.safe_load((ROLES / "elasticsearch/vars/main.yml").read_text(encoding="utf-8"))
    common = {
        name: common[name] for name in ("__elasticsearch_password", "__elasticsearch_refusal")
    } | {
        "__elasticsearch_cluster": {
            "urls": [],
            "own": "https://{{ __elasticsearch_http.socket }}",
            "name": "node",
            "data": str(tmp_path / "data"),
            "authority": (certs / "authority.crt").read_text(),
            "password": "{{ __elasticsearch_password }}",
        },
        "__elasticsearch_looked": {},
        "__elasticsearch_patience": 0,
        "__elasticsearch_provided": {},
        "__elasticsearch_directory": str(tmp_path),
        "__elasticsearch_programs": "/usr/share/elasticsearch/bin",
        "elasticsearch_secrets_dir": "",
    }
    for variables in hosts.values():
        variables.setdefault("__elasticsearch_http", {"socket": search.address})
    try:
        told = check(tmp_path, "elasticsearch", hosts, **common)
    finally:
        search.server.shutdown()
        search.server.server_close()
    assert told["right"] == ""
    assert "does not accept the password of elastic, which was changed since." in told["wrong"]
    assert "elasticsearch-reset-password -u elastic -i" in told["wrong"]
    assert "does not say whether it accepts the password of elastic" in told["down"]


def test_grafana_is_asked_for_the_password(tmp_path: Path) -> None:
    (tmp_path / "grafana.ini").write_text(
        f"[paths]\ndata = {tmp_path}\n[security]\nadmin_password = first\n"
        "[server]\nhttp_port = 7430\n"
    )
    (tmp_path / "provisioning").mkdir()
    folders = [f"cfg:default.paths.{part}={tmp_path}" for part in ("data", "logs", "provisioning")]
    settings, _rest = grafana.read_settings([f"--config={tmp_path}/grafana.ini", *folders])
    server = web.Server(grafana.Grafana(settings).answer, "127.0.0.1", 0).start()
    common = yaml.safe_load((ROLES / "grafana/vars/main.yml").read_text(encoding="utf-8"))
    common = {
        "__grafana_password": common["__grafana_password"],
        "__grafana_settings": {"security": {"admin_user": "admin"}, "auth.basic": {}},
        "__grafana_endpoint": {"socket": f"127.0.0.1:{server.server_port}"},
        "__grafana_directory": "/etc/grafana",
        "grafana_secrets_dir": "",
    }
    hosts: dict[str, dict[str, t.Any]] = {
        "right": {"grafana_admin_password": "first"},
        "wrong": {"grafana_admin_password": "second"},
        "off": {
            "grafana_admin_password": "second",
            "__grafana_settings": {
                "security": {"admin_user": "admin"},
                "auth.basic": {"enabled": False},
            },
        },
    }
    try:
        told = check(tmp_path, "grafana", hosts, **common)
    finally:
        server.shutdown()
        server.server_close()
    assert told["right"] == told["off"] == ""
    assert "does not accept the password of admin" in told["wrong"]
    assert (
        "reset-admin-password --password-from-stdin < /etc/grafana/admin_password" in told["wrong"]
    )
