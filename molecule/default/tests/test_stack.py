"""What the whole stack does for its users: requests through nginx, metrics, alerts, dashboards."""

from __future__ import annotations

import base64
import functools
import json
import time
from typing import Any

import pytest
from lab import SECRETS, address_of, generated, leaked, on, plans, play, port_of, secret
from network import inside

PLANNED = [(host, endpoint) for host, plan in plans().items() for endpoint in plan]
CURL = ["curl", "--silent", "--show-error", "--globoff", "--max-time", "60"]


def site(path: str, scheme: str = "https") -> str:
    return f"{scheme}://{address_of('app')}:{port_of(f'nginx.{scheme}')}{path}"


def curl(path: str, *options: str, check: bool = True) -> str:
    """What nginx answers by HTTPS to a request from the host `app`."""
    words = [*CURL, "--cacert", str(SECRETS / "authority.pem"), *options, site(path)]
    return inside("app", *words, check=check)


def ask(endpoint: str, path: str, *options: str, scheme: str = "http", config: str = "") -> str:
    """What an endpoint on `ops` answers there. `config` is for passwords: nobody else sees it."""
    url = f"{scheme}://127.0.0.1:{port_of(endpoint)}{path}"
    return inside("ops", *CURL, "--config", "-", *options, url, stdin=config)


def prometheus(path: str, *options: str) -> Any:
    return json.loads(ask("prometheus.http", f"/api/v1/{path}", *options))["data"]


def query(expression: str) -> list[Any]:
    return list(prometheus("query", "--data-urlencode", f"query={expression}")["result"])


def test_the_web_interface_is_behind_nginx() -> None:
    assert "<html" in curl("/").lower()


def test_http_leads_to_https() -> None:
    head = inside("app", *CURL, "--head", site("/x", "http"))
    assert "301" in head.splitlines()[0]
    assert f"location: {site('/x')}" in head.lower()


@pytest.mark.parametrize(
    ("path", "handler"),
    [("/api/autoagent/x", "autoagent"), ("/api/ai/v1/models", "ai"), ("/api/x", "core")],
)
def test_a_route_reaches_its_handler(path: str, handler: str) -> None:
    assert json.loads(curl(path))["handler"] == handler


MESSAGES = [{"role": "user", "content": "one two three four five six"}]
JSON = ["--header", "Content-Type: application/json", "--data"]
CHAT = "/api/ai/v1/chat/completions"


def test_a_chat_is_answered() -> None:
    answer = json.loads(curl(CHAT, *JSON, json.dumps({"messages": MESSAGES})))
    assert answer["choices"][0]["message"]["content"].endswith("four five six")


def test_a_streamed_answer_arrives_in_pieces() -> None:
    trace = curl(
        CHAT,
        *JSON,
        json.dumps({"messages": MESSAGES, "stream": True}),
        "--no-buffer",
        "--trace-time",
        "--trace-ascii",
        "-",
    )
    times = [line.split()[0] for line in trace.splitlines() if "<= Recv data" in line]
    # The application waits a tenth of a second before each piece.
    assert len(set(times)) > 5
    assert times[0] != times[-1]


def test_a_websocket_is_upgraded() -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode(),
        "Sec-WebSocket-Version": "13",
    }
    options = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    # It stays open, so curl gives up.
    answer = curl("/api/ws", "-i", "--http1.1", "--max-time", "5", *options, check=False)
    assert answer.splitlines()[0].split()[1] == "101"


def test_the_backend_reads_back_what_it_wrote() -> None:
    text = f"note of {time.time()}"
    made = json.loads(curl("/api/notes", *JSON, json.dumps({"text": text})))
    found = json.loads(curl(f"/api/notes/{made['id']}"))
    assert (found["postgresql"], found["dragonfly"]) == (text, text)


def test_security_headers_are_set() -> None:
    head = curl("/", "--head").lower()
    for name in ("content-security-policy", "x-content-type-options", "referrer-policy"):
        assert f"\n{name}:" in head
    assert "\nserver: nginx\n" in head


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
        return json.loads(ask("grafana.http", path, config=config))

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


STATUS = ["--output", "/dev/null", "--write-out", "%{http_code}"]


def test_grafana_wants_a_password() -> None:
    assert ask("grafana.http", "/api/search", *STATUS) == "401"


def test_elasticsearch_wants_a_password_and_kibana_has_its_token() -> None:
    trust = ["--cacert", str(SECRETS / "authority.pem")]
    assert ask("elasticsearch.http", "/", *trust, *STATUS, scheme="https") == "401"
    config = f'user = "elastic:{secret("elasticsearch-elastic.password")}"\n'
    answer = json.loads(ask("elasticsearch.http", "/", *trust, scheme="https", config=config))
    assert answer["cluster_name"] == "prsnl"
    status = json.loads(ask("kibana.http", "/api/status"))
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
    patterns = "".join(f"{secret(name)}\n" for name in generated())
    assert leaked(on(host, LEAKS, stdin=patterns)) == []


def test_no_secret_is_printed() -> None:
    """Not by a check of everything with -vvv and --diff, when files with secrets would change."""
    changes = {
        "backend_environment": {"DRILL": "yes"},
        "dragonfly_cache_mode": True,
        "kibana_settings": {"server.name": "drill"},
    }
    run = play("--check", "--diff", "-vvv", "-e", json.dumps(changes))
    assert run.code == 0, run.output
    assert run.output.count("The content is secret.") >= len(changes)
    assert leaked(run.output) == []
