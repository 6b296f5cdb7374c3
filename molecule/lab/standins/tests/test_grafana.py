"""Grafana's options, provisioning and API."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from standin import grafana, strict, web

GOOD = """
; a comment
instance_name = lab
[server]
http_port = 7300
domain = ops
root_url = %(protocol)s://%(domain)s:%(http_port)s/
[security]
admin_password = $__file{{{data}/password}}
[feature_toggles]
anything = true
"""
SOURCE = """
apiVersion: 1
datasources:
  - {{name: Prometheus, type: prometheus, uid: p, url: "{url}", isDefault: true}}
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("datasources", "dashboards"):
        (tmp_path / "provisioning" / name).mkdir(parents=True)
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "grafana.ini").write_text(GOOD.format(data=tmp_path))
    (tmp_path / "provisioning/dashboards/prsnl.yaml").write_text(
        f"providers:\n  - {{name: a, folder: F, type: file, options: {{path: {tmp_path}}}}}\n"
    )
    (tmp_path / "hosts.json").write_text('{"uid": "hosts", "title": "Hosts", "panels": []}')
    return tmp_path


def start(data: Path) -> grafana.Grafana:
    folders = [f"cfg:default.paths.{part}={data}" for part in ("data", "logs")]
    folders.append(f"cfg:default.paths.provisioning={data}/provisioning")
    return grafana.Grafana(grafana.read_settings([f"--config={data}/grafana.ini", *folders])[0])


def ask(server: grafana.Grafana, path: str, word: str = "secret", **more: str) -> web.Response:
    login = base64.b64encode(f"admin:{word}".encode()).decode()
    return server.answer(web.Request("GET", path, more, {"Authorization": f"Basic {login}"}))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[servr]", r"ini:12: unknown section \[servr\]\. Did you mean 'server'"),
        ("[users]\nallow_signup = no", r"ini:13: unknown option 'allow_signup' .*'allow_sign_up'"),
        ("[users]\nallow_sign_up", r"ini:13: key-value delimiter not found"),
        ("[server]\nhttp_port = 1-2", r"ini:13: http_port: '1-2' is not one TCP port"),
        ("[security]\nadmin_password = $__file{/nowhere}", r"ini:13: .* cannot read /nowhere"),
    ],
)
def test_refuses(data: Path, line: str, message: str) -> None:
    with (data / "grafana.ini").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(strict.RefusedError, match=message):
        start(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("isDefault", "isDefalt"), r"s\.yaml:4: unknown key 'isDefalt' .*'isDefault'"),
        (("type: prometheus, ", ""), "has no type"),
        (("apiVersion: 1", "apiVersion: 2"), "apiVersion has to be 1"),
    ],
)
def test_refuses_provisioning(data: Path, change: tuple[str, str], message: str) -> None:
    text = SOURCE.format(url="http://127.0.0.1:1").replace(*change)
    (data / "provisioning/datasources/s.yaml").write_text(text)
    with pytest.raises(strict.RefusedError, match=message):
        start(data)


def test_password_of_the_first_start_stays(data: Path) -> None:
    assert ask(start(data), "/api/user").content["login"] == "admin"
    (data / "password").write_text("other")
    server = start(data)
    assert ask(server, "/api/user").status == 200
    assert ask(server, "/api/user", "other").status == 401
    server.users.reset("other")
    assert ask(server, "/api/user", "other").status == 200


def test_environment_is_stronger_than_the_file(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data / "environment").write_text("from-environment\n")
    monkeypatch.setenv("GF_SECURITY_ADMIN_PASSWORD__FILE", str(data / "environment"))
    server = start(data)
    assert ask(server, "/api/user", "from-environment").status == 200
    shown = ask(server, "/api/admin/settings", "from-environment").content
    assert shown["security"]["admin_password"] == "*********"
    assert shown["server"]["root_url"].endswith("://ops:7300/")


def test_dashboards(data: Path) -> None:
    server = start(data)
    assert [found["uid"] for found in ask(server, "/api/search").content] == ["hosts"]
    (data / "new.json").write_text('{"uid": "new", "title": "New"}')
    (data / "broken.json").write_text("{")
    assert ask(server, "/api/dashboards/uid/new").content["dashboard"]["title"] == "New"
    assert ask(server, "/api/dashboards/uid/broken").status == 404
    assert ask(server, "/api/search", query="ho").content[0]["folderTitle"] == "F"
    assert server.answer(web.Request("GET", "/api/search")).status == 401


def test_queries_reach_the_data_source(data: Path) -> None:
    seen = []

    def prometheus(request: web.Request) -> web.Response:
        seen.append((request.path, request.query))
        result = [{"metric": {"job": "x"}, "value": [1.5, "3"]}]
        content = {"status": "success", "data": {"resultType": "vector", "result": result}}
        return web.Response(content)

    target = web.Server(prometheus, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{target.server_port}"
        (data / "provisioning/datasources/s.yaml").write_text(SOURCE.format(url=url))
        server = start(data)
        answer = ask(server, "/api/datasources/proxy/uid/p/api/v1/query", query="up")
        assert json.loads(answer.content)["status"] == "success"
        assert seen == [("/api/v1/query", {"query": "up"})]
        login = base64.b64encode(b"admin:secret").decode()
        query = {"refId": "A", "datasource": {"uid": "p"}, "expr": "up"}
        body = json.dumps({"queries": [query]}).encode()
        headers = {"Authorization": f"Basic {login}"}
        found = server.answer(web.Request("POST", "/api/ds/query", {}, headers, body))
        assert found.content["results"]["A"]["frames"][0]["data"]["values"] == [[1500.0], [3.0]]
    finally:
        target.shutdown()
        target.server_close()
    answer = ask(server, "/api/datasources/proxy/uid/p/api/v1/query", query="up")
    assert answer.status == 502
