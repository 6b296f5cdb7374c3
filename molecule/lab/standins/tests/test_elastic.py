"""Settings, tokens and passwords of Elasticsearch and Kibana, and the way between the two."""

from __future__ import annotations

import base64
import io
import socket
from pathlib import Path

import pytest
import yaml
from standin import elasticsearch, kibana, strict, web

GOOD = """
cluster.name: prsnl
path.data: {data}
path.logs: {data}
http.port: 7420
transport.port: 7430
discovery.type: single-node
xpack:
  security.enabled: true
"""
KIBANA = """
server.port: 7560
elasticsearch.hosts: ["{url}"]
elasticsearch.serviceAccountToken: "{token}"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ES_PATH_CONF", str(tmp_path))
    monkeypatch.setenv("KBN_PATH_CONF", str(tmp_path))
    (tmp_path / "elasticsearch.yml").write_text(GOOD.format(data=tmp_path))
    return tmp_path


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("http.prot: 1", r"yml:10: unknown setting \[http\.prot\]\. Did you mean 'http\.port'"),
        ("http: {port: 1}", r"yml:10: http\.port is already set in line 5"),
        ("cluster.initial_master_nodes: [a]", r"yml:10: .* not allowed when"),
        ("xpack.security.http.ssl.key: a", r"\[xpack\.security\.http\.ssl\.enabled\] is not set"),
    ],
)
def test_elasticsearch_refuses(config: Path, line: str, message: str) -> None:
    with (config / "elasticsearch.yml").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(strict.RefusedError, match=message):
        elasticsearch.tls(elasticsearch.read_settings(), "xpack.security.http.ssl")


@pytest.mark.parametrize("value", ["7420-7430", "0", "x"])
def test_elasticsearch_wants_single_ports(config: Path, value: str) -> None:
    text = GOOD.format(data=config).replace("http.port: 7420", f"http.port: {value}")
    (config / "elasticsearch.yml").write_text(text)
    with pytest.raises(strict.RefusedError, match=r"yml:5: http\.port: .* not one TCP port"):
        elasticsearch.read_settings()


def test_elasticsearch_in_production_needs_transport_tls(config: Path) -> None:
    text = GOOD.format(data=config).replace("single-node", "multi-node")
    (config / "elasticsearch.yml").write_text(f"{text}\nnetwork.host: 192.0.2.1\n")
    with pytest.raises(strict.RefusedError, match="Transport SSL must be enabled"):
        elasticsearch.read_settings()


@pytest.mark.parametrize(
    ("options", "result"),
    [
        ("-Xms1g\n-Xmx1g\n", 1024**3),
        ("# nothing\n", 0),
        ("-Xms1g\n-Xmx2g\n", "not equal to maximum"),
        ("-Xmx1g\n", "not equal to maximum"),
        ("-Xms9g\n-Xmx9g\n", "larger than this host's memory"),
        ("Xms1g\n", r"heap\.options:1: improperly formatted"),
        ("-Xmz1g\n", r"heap\.options:1: Unrecognized option"),
    ],
)
def test_heap(tmp_path: Path, options: str, result: int | str) -> None:
    (tmp_path / "jvm.options.d").mkdir()
    (tmp_path / "jvm.options.d" / "heap.options").write_text(options)
    if isinstance(result, int):
        assert elasticsearch.heap(tmp_path, 8 * 1024**3) == result
        return
    with pytest.raises(strict.RefusedError, match=result):
        elasticsearch.heap(tmp_path, 8 * 1024**3)


def test_passwords_and_tokens(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    elasticsearch.keystore_main(["create"])
    monkeypatch.setattr("sys.stdin", io.StringIO("first\n"))
    elasticsearch.keystore_main(["add", "--stdin", "bootstrap.password"])
    with pytest.raises(strict.RefusedError, match="unknown secure setting"):
        elasticsearch.keystore_main(["add", "--stdin", "bootstrap.pasword"])
    elasticsearch.tokens_main(["create", "elastic/kibana", "lab"])
    start, _, token = capsys.readouterr().out.splitlines()[-1].rpartition(" = ")
    assert start == "SERVICE_TOKEN elastic/kibana/lab"
    node = elasticsearch.Node(elasticsearch.read_settings())

    def ask(path: str, headers: dict[str, str], method: str = "GET", body: bytes = b"") -> int:
        return node.answer(web.Request(method, path, {}, headers, body)).status

    bearer = {"Authorization": f"Bearer {token}"}
    assert ask("/", {}) == 401
    assert ask("/", basic("elastic", "wrong")) == 401
    assert ask("/", basic("elastic", "first")) == 200
    assert ask("/", {"Authorization": f"Bearer {token[:-4]}AAAA"}) == 401
    assert ask("/_security/_authenticate", bearer) == 200
    path = "/_security/user/elastic/_password"
    assert ask(path, bearer, "POST", b'{"password": "second"}') == 403
    assert ask(path, basic("elastic", "first"), "POST", b'{"password": "second"}') == 200
    assert ask("/", basic("elastic", "first")) == 401
    assert ask("/", basic("elastic", "second")) == 200
    elasticsearch.tokens_main(["delete", "elastic/kibana", "lab"])
    assert ask("/", bearer) == 401


def test_what_the_packages_own_set_up_leaves_behind_prevails(config: Path) -> None:
    (config / "elasticsearch.yml").write_text(f"path.data: {config}\npath.logs: {config}\n")
    elasticsearch.keystore_main(["create"])
    elasticsearch.cli_main(["auto-configure-node"])
    left = elasticsearch.keystore().read()
    assert {"autoconfiguration.password_hash", *elasticsearch.AUTO_SECRETS} <= set(left)
    assert "http.host: 0.0.0.0" in (config / "elasticsearch.yml").read_text()
    assert (config / "certs" / "http_ca.crt").exists()
    # A bootstrap password is no password while that hash is there.
    (config / "elasticsearch.yml").write_text(GOOD.format(data=config))
    elasticsearch.keystore().write({**left, "bootstrap.password": "first"})
    ask = web.Request("GET", "/", {}, basic("elastic", "first"))
    assert elasticsearch.Node(elasticsearch.read_settings()).answer(ask).status == 401
    del left["autoconfiguration.password_hash"]
    elasticsearch.keystore().write({**left, "bootstrap.password": "first"})
    assert elasticsearch.Node(elasticsearch.read_settings()).answer(ask).status == 200
    # Nothing is set up twice.
    elasticsearch.cli_main(["auto-configure-node"])
    assert "keystore.path" not in (config / "elasticsearch.yml").read_text()


def test_documents_survive_a_restart(config: Path) -> None:
    text = GOOD.format(data=config).replace("enabled: true", "enabled: false")
    (config / "elasticsearch.yml").write_text(text)
    settings = elasticsearch.read_settings()
    body = b'{"text": "Hello world"}'
    written = elasticsearch.Node(settings).answer(web.Request("PUT", "/notes/_doc/1", body=body))
    assert written.status == 201
    node = elasticsearch.Node(settings)
    query = b'{"query": {"match": {"text": "hello"}}}'
    found = node.answer(web.Request("GET", "/notes/_search", body=query))
    assert [hit["_id"] for hit in found.content["hits"]["hits"]] == ["1"]
    assert node.answer(web.Request("GET", "/other/_search")).status == 404


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("server.prot: 1", r"yml:5: unknown configuration key \[server\.prot\]\. .*'server\.port'"),
        ("elasticsearch.username: elastic", 'value of "elastic" is forbidden'),
        ("elasticsearch.username: kibana_system", "cannot be specified when"),
        ("xpack.reporting.encryptionKey: short", r"minimum length of \[32\]"),
        ("server.publicBaseUrl: kibana", "expected URI with scheme"),
        # What 9 has removed, and what never was.
        ("xpack.reporting.roles.enabled: true", "unknown configuration key"),
        ("xpack.reporting.capture.browser.type: chromium", "unknown configuration key"),
        ("enterpriseSearch.host: a", "unknown configuration key"),
        ("kibana.index: a", "unknown configuration key"),
        ("xpack.security.enabled: true", "unknown configuration key"),
        ("xpack.task_manager.index: a", "unknown configuration key"),
        ("xpack.screenshotting.capture.timeouts.openurl: 1m", "'xpack.screenshotting.capture"),
    ],
)
def test_kibana_refuses(config: Path, line: str, message: str) -> None:
    text = KIBANA.format(url="https://localhost:7420", token="t")
    (config / "kibana.yml").write_text(f"{text}{line}\n")
    with pytest.raises(strict.RefusedError, match=message):
        kibana.read_settings()


def test_kibana_is_available_only_with_a_right_token(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elasticsearch.tokens_main(["create", "elastic/kibana", "lab"])
    token = capsys.readouterr().out.split()[-1]
    node = elasticsearch.Node(elasticsearch.read_settings())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    server = web.Server(node.answer, "127.0.0.1", number).start()
    try:
        for word, status in ((token, 200), ("AAEAAQ", 503)):
            text = KIBANA.format(url=f"http://127.0.0.1:{number}", token=word)
            (config / "kibana.yml").write_text(text)
            settings = kibana.read_settings()
            search = kibana.Elasticsearch(settings)
            search.problem = search.check()
            answer = kibana.Kibana(settings, search).answer(web.Request("GET", "/api/status"))
            assert answer.status == status, search.problem
    finally:
        server.shutdown()
        server.server_close()


def test_the_lab_pins_the_version_that_both_have() -> None:
    root = Path(__file__).resolve().parents[4]
    pinned = yaml.safe_load((root / "inventories/lab/group_vars/lab_mirror.yml").read_text())
    assert elasticsearch.VERSION == kibana.VERSION == pinned["elasticsearch_version"]


@pytest.mark.parametrize(
    ("version", "is_old"),
    [("9.2.0", False), ("9.2.7", False), ("9.3.0", False), ("9.1.9", True), ("8.19.0", True)],
)
def test_kibana_wants_an_elasticsearch_as_new_as_itself(version: str, is_old: bool) -> None:
    node = {"version": version, "ip": "192.0.2.1", "http": {"publish_address": "192.0.2.1:1"}}
    told = kibana.incompatible([node])
    assert bool(told) == is_old
    if is_old:
        assert (
            f"is incompatible with the following Elasticsearch nodes in your cluster: v{version}"
            in told
        )
