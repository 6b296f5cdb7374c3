"""Two handoffs of real hosts: all is well, and then four things are not.

A service is stopped, another program sits on a port, a path is closed in the live firewall, and a
lease ends: all at once, so that it costs two runs of handoff.yml.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab import REGISTRY, ROOT, Run, generated, leaked, on, on_all, plans, play, port_of, wait_for
from network import TABLE, addresses, nft

CONTAINERS, WEB, METRICS = map(port_of, ("cadvisor.http", "grafana.http", "postgres_exporter.http"))
LEASED = 8123
EXECUTIONS = {
    "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "benchmarks" / "callback"),
    "ANSIBLE_CALLBACKS_ENABLED": "executions,prsnl.ports.port_report",
}
DO = {
    "ops": "systemctl stop grafana-server",
    "app": "systemctl stop cadvisor; systemd-run --quiet --uid=nobody --unit=drill-other"
    f" /usr/bin/python3 -m http.server --bind 0.0.0.0 {CONTAINERS}",
}
UNDO = {
    "ops": "systemctl start grafana-server",
    "app": "systemctl stop drill-other; systemctl start cadvisor",
}
# What a shell or a program says that was given words that it doesn't know.
REFUSED = re.compile(r"not found|invalid option|unrecognized|unknown option|syntax error|[Uu]sage:")
# What these print are the words of others.
LOGS = ("journalctl ", "tail ")


@dataclass(frozen=True)
class Handoff:
    """A run of handoff.yml, and what it left."""

    run: Run
    folder: Path
    data: dict[str, Any]

    @property
    def page(self) -> str:
        return (self.folder / "index.html").read_text(encoding="utf-8")

    @property
    def hosts(self) -> dict[str, Any]:
        return dict(self.data["hosts"])


def elements() -> Iterator[tuple[str, str, str]]:
    """For each family, the map, the key and the whole element of a path from ops to data."""
    for family, address in addresses("ops").items():
        anyone = ipaddress.ip_network("0.0.0.0/0" if family == 4 else "::/0")
        key = f"{address} . {anyone} . tcp . {METRICS}"
        yield f"open_ipv{family}", key, f'{key} comment "postgres_exporter.http" : accept'


def lease(registry: Path, day: datetime.date) -> None:
    entry = {
        "port": LEASED,
        "hosts": "data",
        "holder": {"process": "python3"},
        "reason": "A drill",
        "expires": day.isoformat(),
    }
    text = yaml.safe_dump({"version": 1, "leases": [entry]})
    (registry.parent / "leases.yml").write_text(text, encoding="utf-8")


def hand_off(registry: Path, base: Path, *arguments: str) -> Handoff:
    known = set(base.glob("*"))
    run = play(
        "-e",
        json.dumps({"handoff_folder": str(base), "handoff_timeout": 90, "verify_drift_timeout": 8}),
        *arguments,
        playbook="playbooks/handoff.yml",
        registry=registry,
    )
    assert run.code == 0, run.output
    (folder,) = set(base.glob("*")) - known
    return Handoff(run, folder, json.loads((folder / "evidence.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def handoffs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Handoff, Handoff]]:
    folder = tmp_path_factory.mktemp("handoff")
    registry = folder / "registry" / "ports.yml"
    registry.parent.mkdir()
    shutil.copy(REGISTRY, registry)
    today = datetime.datetime.now(tz=datetime.UTC).date()
    day = datetime.timedelta(days=1)
    before = {name: os.environ.get(name) for name in EXECUTIONS}
    os.environ.update(EXECUTIONS)
    try:
        lease(registry, today + day)
        first = hand_off(registry, folder / "out")
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda host: on(host, DO[host]), DO))
        for name, key, _element in elements():
            nft("data", "delete", "element", *TABLE.split(), name, f"{{ {key} }}")
        lease(registry, today - day)
        wait_for("app", CONTAINERS)
        second = hand_off(registry, folder / "out", "-e", "handoff_service=grafana")
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda host: on(host, UNDO[host], check=False), UNDO))
        for name, _key, element in elements():
            words = (*TABLE.split(), name, f"{{ {element} }}")
            nft("data", "add", "element", *words, check=False)
    yield first, second
    wait_for("ops", WEB)
    wait_for("app", CONTAINERS)


def test_all_is_well_first(handoffs: tuple[Handoff, Handoff]) -> None:
    first, _second = handoffs
    assert "Healthy: 3 of 3 hosts reached, 19 of 19 ports as planned" in first.run.output
    assert {name for name, host in first.hosts.items() if host["reached"]} == set(plans())
    for name, plan in plans().items():
        verdicts = {row["id"]: row["verdict"] for row in first.hosts[name]["results"]}
        assert set(verdicts) == {endpoint["id"] for endpoint in plan}
        assert set(verdicts.values()) <= {"ok", "silent"}
        assert first.hosts[name]["firewall"]["state"] == "loaded"
        assert first.hosts[name]["firewall"]["missing"] == []
        assert first.hosts[name]["firewall"]["extra"] == []


def test_gathering_costs_at_most_four_executions(handoffs: tuple[Handoff, Handoff]) -> None:
    for handoff in handoffs:
        counts: dict[str, int] = {}
        for host, count in re.findall(r"^EXECUTIONS (\S+) \S+ (\d+)$", handoff.run.output, re.M):
            counts[host] = counts.get(host, 0) + int(count)
        assert set(counts) == set(plans())
        assert max(counts.values()) <= 4


def test_every_service_says_its_version_and_its_health(handoffs: tuple[Handoff, Handoff]) -> None:
    first, _second = handoffs
    for name, plan in plans().items():
        host = first.hosts[name]
        for service in {endpoint["service"] for endpoint in plan}:
            for kind in ("version", "health"):
                answer = host["answers"][f"{service}-{kind}"]
                assert answer["ok"], (name, answer, host["readings"][answer["reading"]])
            assert host["answers"][f"{service}-version"]["text"]
            assert host["runbooks"][service]["unknown"] == []
    # Nothing of a runbook is missing; whom to call is for the site to say.
    assert "Required" not in first.run.output
    assert "Nobody to call is set." in first.page


def test_stand_ins_are_called_so(handoffs: tuple[Handoff, Handoff]) -> None:
    first, _second = handoffs
    part = first.page.partition('id="standins"')[2].partition("</section>")[0]
    packages = {
        service: version
        for host in first.hosts.values()
        for service, found in host["packages"].items()
        for version in found.values()
        if "standin" in version
    }
    assert set(packages) == {"dragonfly", "elasticsearch", "grafana", "kibana"}
    for service in packages:
        assert re.search(rf'{service}</td>.*<span class="tag warn">stand-in</span>', part)
    assert part.count("stand-in</span>") == len(packages)


def test_every_registered_endpoint_is_on_the_page(handoffs: tuple[Handoff, Handoff]) -> None:
    registered = {endpoint["id"] for endpoint in handoffs[0].data["registry"]["endpoints"]}
    for handoff in handoffs:
        assert set(re.findall(r'data-endpoint="([^"]+)"', handoff.page)) == registered


def test_no_secret_is_in_the_folder(handoffs: tuple[Handoff, Handoff]) -> None:
    assert len(generated()) > 3
    for handoff in handoffs:
        for path in handoff.folder.iterdir():
            assert leaked(path.read_text(encoding="utf-8")) == [], path


# --- then four things are wrong -------------------------------------------------------------------


def test_the_top_says_what_is_wrong_and_what_to_type(handoffs: tuple[Handoff, Handoff]) -> None:
    _first, second = handoffs
    top = second.page.partition('<p class="verdict">')[2].partition('id="picture"')[0]
    assert top.startswith("Not healthy")
    found = re.findall(
        r"<li class=\"(critical|warning)\">\n<h3>(.*?)</h3>.*?<pre>(.*?)</pre>", top, re.S
    )
    found = [(severity, title, command.replace("&#39;", "'")) for severity, title, command in found]
    by_host = {title.partition(":")[0]: command for _severity, title, command in found}
    titles = {title for _severity, title, _command in found}
    # A daemon that is told to end may call that a failure, which systemd remembers.
    assert titles - {
        "app: cadvisor.service has failed",
        "ops: grafana-server.service has failed",
    } == {
        f"ops: grafana.http ({WEB}/tcp): not bound",
        f"app: cadvisor.http ({CONTAINERS}/tcp): wrong owner",
        f"data: ops to postgres_exporter.http ({METRICS}/tcp) is closed, and the registry declares"
        " it",
        f"data: the lease of {LEASED}/tcp ended on {second.data['leases'][0]['expires']}",
    }
    assert "critical" in {severity for severity, title, _command in found if "grafana" in title}
    # The commands are typed as they stand. The port's own service is back by now, or starting.
    wait_for("app", CONTAINERS)
    typed = {
        host: subprocess.run(
            ["bash", "-c", by_host[host]],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        ).stdout
        for host in ("ops", "app")
    }
    assert "grafana-server.service" in typed["ops"]
    assert f":{CONTAINERS}" in typed["app"]
    firewall = next(command for _severity, title, command in found if "is closed" in title)
    assert firewall == (
        "ansible-playbook -i inventories/lab playbooks/firewall.yml --limit data --check --diff"
    )


def test_the_comparison_shows_exactly_that(handoffs: tuple[Handoff, Handoff]) -> None:
    _first, second = handoffs
    part = second.page.partition('id="differences"')[2].partition("</section>")[0]
    rows = re.findall(
        r'<span class="tag" title="(\w+)">.*?</span> (.*?)</th><td .*?>(.*?)</td>', part
    )
    assert set(rows) == {
        ("changed", "endpoint grafana.http", "ops"),
        ("changed", "health grafana", "ops"),
        ("changed", "unit grafana-server.service", "ops"),
        ("changed", "endpoint cadvisor.http", "app"),
        ("changed", "health cadvisor", "app"),
        ("changed", "unit cadvisor.service", "app"),
        ("gone", f"path ops to postgres_exporter.http ({METRICS}/tcp)", "data"),
        ("changed", f"lease {LEASED}/tcp", "data"),
    }
    assert "8 differences" in second.run.output
    # The page of one service has its own.
    alone = (second.folder / "grafana.html").read_text(encoding="utf-8")
    part = alone.partition('id="differences"')[2].partition("</section>")[0]
    assert "3 differences" in part
    assert "cadvisor" not in part


def test_what_is_wrong_is_quoted(handoffs: tuple[Handoff, Handoff]) -> None:
    _first, second = handoffs
    readings = {name: host["readings"] for name, host in second.hosts.items()}
    assert f":{WEB} " not in readings["ops"]["sockets"]["output"]
    assert "grafana.http" in readings["ops"]["verify"]["output"]
    assert re.search(rf":{CONTAINERS} python3 .*user=nobody", readings["app"]["sockets"]["output"])
    assert f". {METRICS} comment" not in readings["data"]["firewall"]["output"]


# --- the commands of the runbooks ----------------------------------------------------------------

# What a command said and how it ended, in one line.
TYPE = """
timeout 60 bash -c {command} </dev/null >/tmp/said 2>&1
echo "$? $(tr '\\n' ' ' </tmp/said | LC_ALL=C tr -dc '[:print:]' | head -c 300)"
"""


def typed_on(host: str, books: list[dict[str, Any]]) -> list[str]:
    """What commands of runbooks couldn't do on a host.

    Those that only look are typed there; of the others the program has to be there.
    """
    looks, changes = [], []
    for book in books:
        looks += [text for failure in book["failures"] for text in failure["commands"]]
        looks += [book[kind]["shown"] for kind in ("version", "health")]
        changes += book["backup"]["make"] + book["backup"]["restore"]
    changes += [text for text in looks if "reset-admin-password" in text]
    looks = [text for text in looks if text not in changes]
    tests = [f"command -v {text.split()[0]}" for text in changes]
    script = "".join(TYPE.format(command=shlex.quote(text)) for text in [*looks, *tests])
    lines = [line for line in on(host, f"{script}\nrm /tmp/said").splitlines() if line]
    assert len(lines) == len(looks) + len(tests), lines
    return [
        f"{text}: {line}"
        for text, line in zip([*looks, *changes], lines, strict=True)
        if line.split()[0] in ("124", "126", "127")
        or (REFUSED.search(line) and not (line[0] == "0" and text.startswith(LOGS)))
    ] + [text for text, line in zip(changes, lines[len(looks) :], strict=True) if line[0] != "0"]


def test_the_commands_of_the_runbooks_can_be_typed(handoffs: tuple[Handoff, Handoff]) -> None:
    first, _second = handoffs
    books = {host: list(data["runbooks"].values()) for host, data in first.hosts.items()}
    assert on_all(lambda host: typed_on(host, books[host])) == {host: [] for host in plans()}
