"""Three nodes are one search cluster, whatever happens to one of them. In this order: each test
leaves the cluster as it found it, until the last one upgrades it."""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from lab import STATE, Run, on, play, port_of, secret

HOSTS = ("app", "data", "ops")
INVENTORY = ("inventories/lab", "molecule/native/inventory/search.yml")
GROWN = ("molecule/native/inventory/grown.yml", *INVENTORY)
NEWER = "9.3.0+standin2"
ASK = """
import json, ssl, sys, urllib.error, urllib.request
method, url, login, body = json.load(sys.stdin)
context = ssl.create_default_context(cafile="/etc/elasticsearch/certs/authority.crt")
context = context if url.startswith("https") else None
request = urllib.request.Request(url, method=method, data=body.encode() if body else None)
request.add_header("Content-Type", "application/json")
if login:
    request.add_header("Authorization", login)
try:
    with urllib.request.urlopen(request, timeout=20, context=context) as answer:
        print(json.dumps([answer.status, answer.read().decode()]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, error.read().decode()]))
except OSError as error:
    print(json.dumps([0, str(error)]))
"""
# Each line: the time, how many nodes there are, and the colour, as this host's node says it.
WATCH = """
import base64, json, ssl, sys, time, urllib.request
url, password = json.load(sys.stdin)
context = ssl.create_default_context(cafile="/etc/elasticsearch/certs/authority.crt")
login = base64.b64encode(("elastic:" + password).encode()).decode()
while True:
    request = urllib.request.Request(url + "/_cluster/health?timeout=1s")
    request.add_header("Authorization", "Basic " + login)
    try:
        with urllib.request.urlopen(request, timeout=3, context=context) as answer:
            found = json.load(answer)
            print(time.time(), found["number_of_nodes"], found["status"], flush=True)
    except OSError:
        print(time.time(), 0, "-", flush=True)
    time.sleep(0.3)
"""


def ask(
    host: str, path: str, method: str = "GET", body: str = "", *, bearer: str = ""
) -> tuple[int, Any]:
    """What the node of a host answers to a process there."""
    password = secret("elasticsearch-elastic.password")
    basic = base64.b64encode(f"elastic:{password}".encode()).decode()
    login = f"Bearer {bearer}" if bearer else f"Basic {basic}"
    url = f"https://127.0.0.1:{port_of('elasticsearch.http')}{path}"
    told = json.dumps([method, url, login, body])
    status, text = json.loads(on(host, f"python3 -c '{ASK}'", stdin=told))
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def health(host: str, wait: str = "") -> dict[str, Any]:
    return dict(ask(host, f"/_cluster/health?timeout=20s{wait}")[1])


def started(host: str, unit: str = "elasticsearch") -> float:
    """When the unit was ready, in seconds by the clock that all hosts of the lab share."""
    words = "ActiveEnterTimestampMonotonic"
    return float(on(host, f"systemctl show --property {words} --value {unit}")) / 1e6


def services(
    *arguments: str,
    tags: str = "elasticsearch,kibana",
    inventory: tuple[str, ...] = INVENTORY,
    **variables: object,
) -> Run:
    """Provision Elasticsearch and Kibana, and wait some minutes at most for the cluster."""
    settings = json.dumps({"elasticsearch_cluster_timeout": 180, **variables})
    words = [f"--tags={tags}", "--extra-vars", settings, *arguments]
    return play(*words, playbook="playbooks/services.yml", inventory=inventory)


@dataclass
class Watch:
    """The health of the cluster while something is done to it, as each host's node tells it."""

    lines: dict[str, list[tuple[float, int, str]]] = field(default_factory=dict)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def begin(self) -> None:
        url = f"https://127.0.0.1:{port_of('elasticsearch.http')}"
        told = json.dumps([url, secret("elasticsearch-elastic.password")])
        for host in HOSTS:
            command = ["ssh", "-F", str(STATE / "ssh_config"), host, f"python3 -uc '{WATCH}'"]
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            self.processes.append(process)
            self.lines[host] = []
            assert process.stdin is not None
            process.stdin.write(told)
            process.stdin.close()
            threading.Thread(target=self._read, args=(host, process), daemon=True).start()

    def _read(self, host: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            when, nodes, colour = line.split()
            self.lines[host].append((float(when), int(nodes), colour))

    def end(self) -> None:
        for process in self.processes:
            process.terminate()
            process.wait()

    def moments(self) -> list[tuple[float, int, str]]:
        """What any node has said, in the order of time."""
        return sorted(line for lines in self.lines.values() for line in lines if line[1])


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    watch.begin()
    yield watch
    watch.end()


@pytest.fixture(scope="module", autouse=True)
def notes() -> None:
    """A document in an index with a replica."""
    status, _told = ask("app", "/notes/_doc/1", "PUT", json.dumps({"text": "kept"}))
    assert status in (200, 201)
    assert health("app", "&wait_for_status=green")["status"] == "green"


def test_three_nodes_are_one_cluster() -> None:
    roots = [ask(host, "/")[1] for host in HOSTS]
    assert len({root["cluster_uuid"] for root in roots}) == 1
    assert [health(host)["number_of_nodes"] for host in HOSTS] == [3, 3, 3]
    for host in HOSTS:
        assert "initial_master_nodes" not in on(host, "cat /etc/elasticsearch/elasticsearch.yml")
        assert ask(host, "/notes/_doc/1")[1]["_source"] == {"text": "kept"}


def test_a_container_bridge_is_not_what_other_nodes_are_told() -> None:
    # By itself, Elasticsearch would publish this one: it is lower than the lab's own.
    assert "10.1.0.1/" in on("app", "ip -4 -oneline address show docker0")
    nodes = ask("data", "/_nodes")[1]["nodes"].values()
    own = {host: on(host, "hostname -I").split() for host in HOSTS}
    for node in nodes:
        for kind in ("http", "transport"):
            address = node[kind]["publish_address"].rpartition(":")[0]
            assert address in own[node["name"]], node
            assert not address.startswith("10.1."), node


def test_kibana_answers_through_each_node() -> None:
    for host in HOSTS:
        token = secret(f"kibana-{host}.token")
        for node in HOSTS:
            status, who = ask(node, "/_security/_authenticate", bearer=token)
            assert (status, who["username"]) == (200, "elastic/kibana"), (host, node)
        url = f"http://127.0.0.1:{port_of('kibana.http')}/api/status"
        told = json.dumps(["GET", url, "", ""])
        status, text = json.loads(on(host, f"python3 -c '{ASK}'", stdin=told))
        assert (status, json.loads(text)["status"]["overall"]["level"]) == (200, "available"), text
    assert len({secret(f"kibana-{host}.token") for host in HOSTS}) == len(HOSTS)


CHANGED: dict[str, Any] = {"elasticsearch_settings": {"indices.fielddata.cache.size": "30%"}}


def test_a_lost_node_is_survived_and_stops_the_restart_of_others() -> None:
    on("ops", "systemctl kill --signal=KILL elasticsearch; systemctl stop elasticsearch")
    assert health("app", "&wait_for_nodes=2")["number_of_nodes"] == 2
    assert ask("data", "/notes/_doc/1")[1]["_source"] == {"text": "kept"}
    assert health("app", "&wait_for_status=green")["status"] == "green"
    before = started("app")
    run = services("--limit=app", tags="elasticsearch", elasticsearch_cluster_timeout=6, **CHANGED)
    assert run.code != 0
    assert "was not restarted, because without it the nodes that are left" in run.failure("app")
    assert started("app") == before
    assert "30%" not in on("app", "cat /etc/elasticsearch/elasticsearch.yml")
    assert health("app")["number_of_nodes"] == 2


def test_nodes_restart_one_at_a_time_and_health_is_asked_between(watch: Watch) -> None:
    """With the lost node first, which comes back."""
    run = services(**CHANGED)
    assert run.code == 0, run.output
    watch.end()
    assert health("app")["number_of_nodes"] == 3
    # There was never more than one missing, and never a shard without a copy.
    moments = watch.moments()
    assert len(moments) > 20
    assert min(nodes for _time, nodes, _colour in moments) == 2
    assert "red" not in {colour for _time, _nodes, colour in moments}
    # Between two restarts, the cluster was whole and green.
    starts = sorted((started(host), host) for host in HOSTS)
    for (first, _), (second, _) in itertools.pairwise(starts):
        assert second - first > 1
    whole = [when for when, nodes, colour in moments if (nodes, colour) == (3, "green")]
    assert whole
    for host in HOSTS:
        assert "30%" in on(host, "cat /etc/elasticsearch/elasticsearch.yml")
    settings = ask("app", "/_cluster/settings?flat_settings=true")[1]
    assert settings["persistent"] == {}


def test_a_node_joins_and_no_other_one_restarts() -> None:
    before = {host: started(host) for host in HOSTS}
    opened = play(playbook="playbooks/firewall.yml", inventory=GROWN)
    assert opened.code == 0, opened.output
    run = services(tags="elasticsearch", inventory=GROWN, **CHANGED)
    assert run.code == 0, run.output
    assert health("outsider", "&wait_for_nodes=4")["number_of_nodes"] == 4
    uuids = {ask(host, "/")[1]["cluster_uuid"] for host in (*HOSTS, "outsider")}
    assert len(uuids) == 1
    assert {host: started(host) for host in HOSTS} == before
    on("outsider", "systemctl disable --now elasticsearch")
    assert health("app", "&wait_for_nodes=3&wait_for_status=green")["status"] == "green"


def test_a_newer_release_moves_nothing_by_itself() -> None:
    for host in HOSTS:
        told = on(host, "apt-get update -q >/dev/null 2>&1; apt-get --simulate -q dist-upgrade")
        assert "elasticsearch" not in told
        assert "kibana" not in told
        assert NEWER in on(host, "apt-cache policy elasticsearch kibana")


def test_a_kibana_newer_than_elasticsearch_is_refused_first() -> None:
    run = play(
        "--extra-vars",
        json.dumps({"kibana_version": NEWER}),
        playbook="playbooks/preflight.yml",
        inventory=INVENTORY,
    )
    assert run.code != 0
    for host in HOSTS:
        assert "not newer than Elasticsearch" in run.failure(host)
        assert NEWER in run.failure(host)


def test_an_upgrade_is_in_order(watch: Watch) -> None:
    run = services(elasticsearch_version=NEWER, **CHANGED)
    assert run.code == 0, run.output
    watch.end()
    moments = watch.moments()
    assert min(nodes for _time, nodes, _colour in moments) == 2
    assert "red" not in {colour for _time, _nodes, colour in moments}
    nodes = ask("app", "/_nodes")[1]["nodes"].values()
    assert {node["version"] for node in nodes} == {"9.3.0"}
    last = max(started(host) for host in HOSTS)
    for host in HOSTS:
        # No Kibana before the last node.
        assert started(host, "kibana") > last
        url = f"http://127.0.0.1:{port_of('kibana.http')}/api/status"
        told = json.dumps(["GET", url, "", ""])
        status, text = json.loads(on(host, f"python3 -c '{ASK}'", stdin=told))
        assert (status, json.loads(text)["version"]["number"]) == (200, "9.3.0")
    assert health("app", "&wait_for_status=green")["status"] == "green"
    assert ask("ops", "/notes/_doc/1")[1]["_source"] == {"text": "kept"}


def test_there_is_no_way_back() -> None:
    run = services(**CHANGED)
    assert run.code != 0
    assert "but 9.3.0 runs" in run.failure("app")
