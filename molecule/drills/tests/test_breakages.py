"""Reality is broken in ten ways; verify.yml and drift.yml name each one.

Costs one verify.yml and one drift.yml with all of it broken, a few commands on each host, and a
last drift.yml that finds nothing.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab import on, plans, play, port_of, wait_for

EXPORTER = "prometheus-node-exporter"
SQL_EXPORTER = "prometheus-postgres-exporter"
METRICS, CONTAINERS, WEB = map(port_of, ("node_exporter.http", "cadvisor.http", "prometheus.http"))
RETIRED = port_of("postgresql.intel")
STRAY = 8123
SERVE = "systemd-run --quiet --uid=nobody --unit"
HTTP = "/usr/bin/python3 -m http.server --bind 0.0.0.0"
HELD = r"\(pid \d+, user {user}, since \d\d:\d\d, unit {unit}\)"


@dataclass(frozen=True)
class Break:
    """What is broken, how, and what has to be said of it: verdict and message.

    `endpoint` is empty for a listener that isn't registered.
    """

    host: str
    endpoint: str
    do: str
    undo: str
    verdict: str
    message: str


def written(path: str, *lines: str) -> str:
    """Commands that write a file."""
    return "\n".join((f"mkdir -p {Path(path).parent}; cat > {path} <<'END'", *lines, "END\n"))


def override(unit: str, *lines: str) -> str:
    """Commands that change a unit by a drop-in of its own, and start it again."""
    file = f"/run/systemd/system/{unit}.service.d/zz-drill.conf"
    return written(file, "[Service]", *lines) + again(unit)


def restored(unit: str) -> str:
    """Commands that take the drop-in away."""
    return f"rm -r /run/systemd/system/{unit}.service.d; {again(unit)}"


def again(unit: str) -> str:
    return f"systemctl daemon-reload; systemctl reset-failed {unit}; systemctl restart {unit}"


def edited(file: str, command: str) -> str:
    return f"cp -p {file} /run/{Path(file).name}; {command} {file}"


def put_back(file: str) -> str:
    return f"mv /run/{Path(file).name} {file}"


# A program that has the right name, accepts connections and says something else than HTTP.
BABBLER = "/usr/local/bin/node_exporter"
BABBLE = f"""
import socket
server = socket.create_server(("", {METRICS}), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    connection, _address = server.accept()
    connection.send(b"What?")
    connection.close()
"""

BREAKS = {
    "stopped": Break(
        "app",
        "nginx.http",
        "systemctl stop nginx",
        "systemctl start nginx",
        "not bound",
        r"nothing listens on 0\.0\.0\.0:80 and \[::\]:80\. See its state and log: systemctl"
        r" status nginx\.service",
    ),
    "wrong user": Break(
        "app",
        "node_exporter.http",
        override(EXPORTER, "User=nobody"),
        restored(EXPORTER),
        "wrong owner",
        rf"\S+:{METRICS} is held by prometheus-node \(pid \d+, user nobody, .*\): the user is"
        r" nobody, expected prometheus\.",
    ),
    "moved to another port": Break(
        "ops",
        "prometheus.http",
        edited("/etc/default/prometheus", f"sed -i s/:{WEB}/:{WEB + 1}/")
        + "; systemctl restart prometheus",
        put_back("/etc/default/prometheus") + "; systemctl restart prometheus",
        "not bound",
        rf"nothing listens on 127\.0\.0\.1:{WEB}\. prometheus \(pid \d+, .*\) listens on"
        rf" 127\.0\.0\.1:{WEB + 1} instead: restart it",
    ),
    "replaced by another program": Break(
        "app",
        "cadvisor.http",
        f"systemctl stop cadvisor; {SERVE}=drill-other {HTTP} {CONTAINERS}",
        "systemctl stop drill-other; systemctl start cadvisor",
        "wrong owner",
        rf"0\.0\.0\.0:{CONTAINERS} is held by python3 "
        + HELD.format(user="nobody", unit=r"drill-other\.service")
        + r": the process is python3, expected cadvisor; the user is nobody, expected root; the"
        r" unit is drill-other\.service, expected cadvisor\.service\.",
    ),
    "retired port reopened": Break(
        "data",
        "postgresql.intel",
        f"{SERVE}=drill-retired {HTTP} {RETIRED}",
        "systemctl stop drill-retired",
        "must be silent",
        rf"it is retired, but 0\.0\.0\.0:{RETIRED} is held by python3 "
        + HELD.format(user="nobody", unit=r"drill-retired\.service")
        + r"\. Stop it, or allocate the port in registry/ports\.yml\.",
    ),
    "unregistered": Break(
        "data",
        "",
        f"{SERVE}=drill-stray {HTTP} {STRAY}",
        "systemctl stop drill-stray",
        "not registered",
        rf"{STRAY}/tcp is not registered, but held on 0\.0\.0\.0 by python3 "
        + HELD.format(user="nobody", unit=r"drill-stray\.service")
        + r"\. Stop it, register it in registry/ports\.yml, or allow it with a reason\.",
    ),
    "dies after 8 s": Break(
        "data",
        "postgres_exporter.http",
        # Emulated, half of them may pass until it listens.
        override(SQL_EXPORTER, "Restart=always", "RestartSec=0", "RuntimeMaxSec=8"),
        restored(SQL_EXPORTER),
        "not stable",
        r"prometheus-post \(pid \d+, user prometheus, .*\) ended within \d+ s of its start\.",
    ),
    "edited and not restarted": Break(
        "ops",
        "grafana.http",
        edited("/etc/grafana/grafana.ini", "echo '# by hand' >>"),
        put_back("/etc/grafana/grafana.ini"),
        "wrong configuration",
        r"/etc/grafana/grafana\.ini was edited by hand since it was rendered, and the"
        r" running daemon has not read it\. Put the change into the role's variables",
    ),
    "rebound to all addresses": Break(
        "ops",
        "node_exporter.http",
        override(
            EXPORTER,
            "ExecStart=",
            f"ExecStart=/usr/bin/{EXPORTER} --web.listen-address=0.0.0.0:{METRICS}",
        ),
        restored(EXPORTER),
        "wrong address",
        rf"(0\.0\.0\.0|\[::\]):{METRICS} is open, allowed is 127\.0\.0\.0/8 or ::1/128 only\.",
    ),
    "answers, but not its protocol": Break(
        "data",
        "node_exporter.http",
        f"install /usr/bin/python3 {BABBLER}\n"
        + written("/usr/local/lib/drill.py", BABBLE)
        + override(EXPORTER, "ExecStart=", f"ExecStart={BABBLER} /usr/local/lib/drill.py"),
        f"{restored(EXPORTER)}; rm {BABBLER} /usr/local/lib/drill.py",
        "no answer",
        r"no good answer to the http probe \(127\.0\.0\.1:\d+: no HTTP status line, but",
    ),
}
# What is there when all is broken: emulated programs take seconds to start.
SOCKETS = [
    *(("app", port) for port in (METRICS, CONTAINERS)),
    *(("data", port) for port in (METRICS, RETIRED, STRAY)),
    *(("ops", port) for port in (METRICS, WEB + 1)),
]
WAIT = ("-e", "verify_timeout=8", "-e", "verify_drift_timeout=8", "-e", "verify_settle=16")


@dataclass(frozen=True)
class Found:
    """What was reported: by verify.yml, and by drift.yml and its file."""

    verify: str
    verify_code: int
    drift: str
    drift_code: int
    report: dict[str, Any]


def report_of(host: str, output: str) -> str:
    """What the report at the end of a run says of a host."""
    (told,) = re.findall(
        rf"^PORTS OF {host}: .*?(?=^[A-Z ]+ O[FN] |\Z)", output, re.DOTALL | re.MULTILINE
    )
    return str(told)


def on_each(scripts: dict[str, list[str]], *, check: bool = True) -> None:
    """Run scripts one after the other on their host, and on all hosts at once."""
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(on, host, "\n".join(s), check=check) for host, s in scripts.items()]
        for run in runs:
            run.result()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What was found when all was broken; it is restored by then."""
    hosts = {broken.host for broken in BREAKS.values()}
    try:
        on_each({host: [b.do for b in BREAKS.values() if b.host == host] for host in hosts})
        for host, port in SOCKETS:
            wait_for(host, port)
        file = tmp_path_factory.mktemp("drift") / "drift.json"
        # Under emulation a restart takes its time, and so does dying: settle is twice the 8 s.
        verify = play(*WAIT, playbook="playbooks/verify.yml")
        drift = play(*WAIT, "-e", f"verify_drift_file={file}", playbook="playbooks/drift.yml")
        report = json.loads(file.read_text())["hosts"]
        return Found(verify.output, verify.code, drift.output, drift.code, report)
    finally:
        undo = {host: [b.undo for b in BREAKS.values() if b.host == host] for host in hosts}
        on_each(undo, check=False)


@pytest.mark.parametrize("what", BREAKS)
def test_verify_names_it(found: Found, what: str) -> None:
    broken = BREAKS[what]
    subject = rf"{re.escape(broken.endpoint)}: " if broken.endpoint else ""
    assert found.verify_code != 0
    told = report_of(broken.host, found.verify)
    assert len(re.findall(rf"^{subject}{broken.message}", told, re.MULTILINE)) == 1, found.verify


@pytest.mark.parametrize("what", BREAKS)
def test_drift_names_it(found: Found, what: str) -> None:
    broken = BREAKS[what]
    assert found.drift_code != 0
    host = found.report[broken.host]
    if broken.endpoint:
        (row,) = [row for row in host["endpoints"] if row["id"] == broken.endpoint]
        assert row["verdict"] == broken.verdict
        assert any(re.match(broken.message, text) for text in row["messages"]), row
    else:
        (row,) = host["unregistered"]
        assert re.match(broken.message, row["message"])
    assert re.search(broken.message, report_of(broken.host, found.drift)), found.drift


def test_nothing_else_is_named(found: Found) -> None:
    broken = {(b.host, b.endpoint) for b in BREAKS.values()}
    named = {
        (host, row["id"])
        for host, entry in found.report.items()
        for row in entry["endpoints"]
        if not row["ok"]
    }
    # A stopped nginx has lost both of its ports.
    assert named - broken <= {("app", "nginx.https")}
    assert set(found.report) == set(plans())


def test_when_all_is_restored_there_is_no_drift(tmp_path: Path) -> None:
    file = tmp_path / "drift.json"
    wait = "verify_drift_timeout=60"
    run = play("-e", wait, "-e", f"verify_drift_file={file}", playbook="playbooks/drift.yml")
    assert run.code == 0, run.output
    assert all(entry["faults"] == [] for entry in json.loads(file.read_text())["hosts"].values())
    assert {run.recap(host)["changed"] for host in plans()} == {0}
