"""What the whole stack does for its users: requests through nginx, metrics, alerts, dashboards."""

from __future__ import annotations

import base64
import functools
import json
import shlex
import time
from typing import Any

import pytest
from lab import STATE, address_of, on, plans, port_of

SECRETS = STATE / "secrets"
# Where a host keeps the authority's certificate for these tests.
AUTHORITY = "/root/authority.pem"
PLANNED = [(host, endpoint) for host, plan in plans().items() for endpoint in plan]


def secret(name: str) -> str:
    return (SECRETS / name).read_text(encoding="utf-8").strip()


@functools.cache
def trust(host: str) -> None:
    on(host, f"cat > {AUTHORITY}", stdin=secret("authority.pem"))


def curl(path: str, *options: str) -> str:
    """What nginx answers on the host `app` to a request from there, by HTTPS."""
    url = f"https://{address_of('app')}:{port_of('nginx.https')}{path}"
    trust("app")
    words = ["curl", "-sS", "--max-time", "60", "--cacert", AUTHORITY, *options, url]
    return on("app", shlex.join(words))


def ask(host: str, endpoint: str, path: str, *options: str, scheme: str = "http") -> Any:
    """The JSON that an endpoint answers to its own host."""
    url = f"{scheme}://127.0.0.1:{port_of(endpoint)}{path}"
    # The password of a request comes from standard input, never from the command line.
    return json.loads(on(host, shlex.join(["curl", "-sSg", "--max-time", "60", *options, url])))


def prometheus(path: str) -> Any:
    return ask("ops", "prometheus.http", f"/api/v1/{path}")["data"]


def query(expression: str) -> list[Any]:
    encoded = shlex.quote(f"query={expression}")
    url = f"http://127.0.0.1:{port_of('prometheus.http')}/api/v1/query"
    answer = on("ops", f"curl -sS --max-time 60 --data-urlencode {encoded} {url}")
    return list(json.loads(answer)["data"]["result"])


def test_the_web_interface_is_behind_nginx() -> None:
    assert "<html" in curl("/").lower()


def test_http_leads_to_https() -> None:
    url = f"http://{address_of('app')}:{port_of('nginx.http')}/x"
    head = on("app", f"curl -sSI {url}")
    assert "301" in head.splitlines()[0]
    assert "location: https://" in head.lower()


@pytest.mark.parametrize(
    ("path", "handler"),
    [("/api/autoagent/x", "autoagent"), ("/api/ai/v1/models", "ai"), ("/api/x", "core")],
)
def test_a_route_reaches_its_handler(path: str, handler: str) -> None:
    assert json.loads(curl(path))["handler"] == handler


CHAT = {"messages": [{"role": "user", "content": "one two three four five six"}]}


def test_a_chat_is_answered() -> None:
    answer = json.loads(
        curl(
            "/api/ai/v1/chat/completions",
            "-H",
            "Content-Type: application/json",
            "-d",
            json.dumps(CHAT),
        )
    )
    assert answer["choices"][0]["message"]["content"].endswith("four five six")


def test_a_streamed_answer_arrives_in_pieces() -> None:
    script = f"""
import json, ssl, time, urllib.request
context = ssl.create_default_context(cafile="{AUTHORITY}")
request = urllib.request.Request(
    "https://{address_of("app")}:{port_of("nginx.https")}/api/ai/v1/chat/completions",
    json.dumps({CHAT | {"stream": True}!r}).encode(), {{"Content-Type": "application/json"}})
with urllib.request.urlopen(request, context=context, timeout=60) as answer:
    for line in answer:
        if line.strip():
            print(time.monotonic())
"""
    trust("app")
    times = [float(line) for line in on("app", f"python3 - <<'E'\n{script}E").splitlines()]
    assert len(times) > 5
    # The application waits a tenth of a second before each piece.
    assert times[-1] - times[0] > 0.3


def test_a_websocket_is_upgraded() -> None:
    key = base64.b64encode(b"0123456789abcdef").decode()
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Version": "13",
    }
    options = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    url = f"https://{address_of('app')}:{port_of('nginx.https')}/api/ws"
    trust("app")
    words = ["curl", "-sS", "-i", "--http1.1", "--max-time", "5", "--cacert", AUTHORITY]
    # It stays open, so curl gives up.
    answer = on("app", shlex.join([*words, *options, url]), check=False)
    assert answer.splitlines()[0].split()[1] == "101"


def test_the_backend_reads_back_what_it_wrote() -> None:
    text = f"note of {time.time()}"
    options = ["-H", "Content-Type: application/json", "-d", json.dumps({"text": text})]
    made = json.loads(curl("/api/notes", *options))
    found = json.loads(curl(f"/api/notes/{made['id']}"))
    assert (found["postgresql"], found["dragonfly"]) == (text, text)


def test_security_headers_are_set() -> None:
    head = curl("/", "-I").lower()
    for name in ("content-security-policy", "x-content-type-options", "referrer-policy"):
        assert f"\n{name}:" in head
    assert "server: nginx\r" in head


def test_every_target_is_up() -> None:
    expected = {
        (host, endpoint["id"])
        for host, endpoint in PLANNED
        if endpoint["metrics"] and endpoint["expect"] == "bound"
    }
    for _ in range(12):
        found = {
            (target["labels"]["host"], target["labels"]["job"]): target["health"]
            for target in prometheus("targets?state=active")["activeTargets"]
        }
        if set(found.values()) == {"up"}:
            break
        time.sleep(5)
    assert found == dict.fromkeys(expected, "up")


def test_configuration_and_rules_are_valid() -> None:
    on("ops", "promtool check config /etc/prometheus/prometheus.yml")
    output = on("ops", "promtool check rules /etc/prometheus/rules/*.yml")
    assert "SUCCESS" in output
    alerts = [
        rule["query"]
        for group in prometheus("rules?type=alert")["groups"]
        for rule in group["rules"]
        if rule["name"] == "EndpointDown"
    ]
    bound = {endpoint["id"] for _, endpoint in PLANNED if endpoint["expect"] == "bound"}
    assert all(any(f'"{name}"' in alert for alert in alerts) for name in bound)


def dashboards() -> list[Any]:
    password = secret("grafana-admin.password")
    config = f'user = "admin:{password}"\n'

    def grafana(path: str) -> Any:
        url = f"http://127.0.0.1:{port_of('grafana.http')}{path}"
        return json.loads(on("ops", f"curl -sSg --max-time 60 -K - {url}", stdin=config))

    found = grafana("/api/search?tag=prsnl")
    return [grafana(f"/api/dashboards/uid/{entry['uid']}")["dashboard"] for entry in found]


@functools.cache
def panels() -> dict[str, str]:
    return {
        f"{dashboard['uid']}: {panel['title']}: {target['legendFormat']}": target["expr"]
        for dashboard in dashboards()
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }


def test_every_dashboard_has_data() -> None:
    assert {name.partition(":")[0] for name in panels()} >= {
        "prsnl-dragonfly",
        "prsnl-hosts",
        "prsnl-nginx",
        "prsnl-ports",
        "prsnl-postgresql",
    }
    empty = dict(panels())
    # Rates need two samples.
    for _ in range(18):
        empty = {name: text for name, text in empty.items() if not query(text)}
        if not empty:
            break
        time.sleep(5)
    assert not empty


def test_grafana_wants_a_password() -> None:
    url = f"http://127.0.0.1:{port_of('grafana.http')}/api/search"
    assert on("ops", f"curl -sS -o /dev/null -w '%{{http_code}}' {url}") == "401"


def test_elasticsearch_wants_a_password_and_kibana_has_its_token() -> None:
    url = f"https://127.0.0.1:{port_of('elasticsearch.http')}/"
    trust("ops")
    request = f"curl -sS --max-time 60 --cacert {AUTHORITY}"
    assert on("ops", f"{request} -o /dev/null -w '%{{http_code}}' {url}") == "401"
    config = f'user = "elastic:{secret("elasticsearch-elastic.password")}"\n'
    answer = json.loads(on("ops", f"{request} -K - {url}", stdin=config))
    assert answer["cluster_name"] == "prsnl"
    status = ask("ops", "kibana.http", "/api/status")
    assert status["status"]["overall"]["level"] == "available"


# Command lines, files that everybody may read, and the journal; patterns come from standard input.
LEAKS = r"""
umask 077
cat > /root/patterns
{
  cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' '
  find /etc /home /opt /root /run /tmp /usr/local /var -xdev -type f -perm -o=r \
    -size -4096 -exec cat {} + 2>/dev/null
  journalctl --no-pager --output=cat
} | grep -aFof /root/patterns
rm /root/patterns
"""


@pytest.mark.parametrize("host", plans())
def test_no_secret_can_be_read_on_a_host(host: str) -> None:
    names = [path.name for path in SECRETS.iterdir() if path.suffix in (".password", ".token")]
    names += [path.name for path in SECRETS.glob("*encryption.key")]
    assert "dragonfly.password" in names
    leaked = on(host, LEAKS, stdin="".join(f"{secret(name)}\n" for name in names))
    assert sorted(name for name in names if secret(name) in leaked) == []
