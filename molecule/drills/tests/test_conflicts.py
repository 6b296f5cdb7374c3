"""Ports held by strangers, of every kind at once, refuse the run; nothing is changed until they go.

One of them is a port that Prometheus is about to move to. Costs a refused run, one that converges,
the way back of one role, and a refused run on this machine.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import (
    SERVICES,
    STATE,
    address_of,
    fingerprint,
    leaked,
    moved,
    on,
    on_all,
    play,
    port_of,
    wait_for,
    write,
)
from network import programs

# A UDP endpoint that may be used, since PRSNL has none: its port, and that of the container.
UDP, PUBLISHED = 8134, 8135
OLD = port_of("prometheus.http")
NEW = OLD + 1
SERVE = "/usr/bin/python3 -m http.server --bind"
HOLD_UDP = (
    "/usr/bin/python3 -c 'import socket, time; held = socket.socket(type=socket.SOCK_DGRAM);"
    f' held.bind(("0.0.0.0", {UDP})); time.sleep(9999)\''
)


def with_drill_endpoints(path: Path) -> Path:
    """A registry in which Prometheus moves, and the database hosts may have two more ports."""
    data = moved("prometheus.http", NEW)
    data["services"]["drill"] = {
        "description": "What only this drill knows",
        "hosts": "database",
        "environments": ["production"],
        "range": "backend",
        "owner": {"process": "drill"},
        "endpoints": {
            "udp": {
                "port": UDP,
                "protocol": "udp",
                "status": "alternative",
                "exposure": "host",
            },
            "published": {"port": PUBLISHED, "status": "alternative", "exposure": "host"},
        },
    }
    return write(data, path)


@pytest.fixture
def strangers() -> Iterator[dict[str, str]]:
    """Strangers on wanted ports, nginx stopped for them; what the refusal has to say, by unit."""
    web, tls = map(port_of, ("nginx.http", "nginx.https"))
    address = address_of("app")
    units = {
        # host, unit: user, command, what is said of the port
        ("app", "one-address"): (
            "root",
            f"{SERVE} {address} {web}",
            f"{web}/tcp wanted by nginx.http",
        ),
        ("app", "any-ipv6"): ("root", f"{SERVE} :: {tls}", f"{tls}/tcp wanted by nginx.https"),
        ("ops", "any-ipv4"): (
            "nobody",
            f"{SERVE} 0.0.0.0 {NEW}",
            f"{NEW}/tcp wanted by prometheus.http",
        ),
        ("data", "udp"): ("nobody", HOLD_UDP, f"{UDP}/udp wanted by drill.udp"),
    }
    held = {"one-address": address, "any-ipv6": "::", "any-ipv4": "0.0.0.0", "udp": "0.0.0.0"}
    on("app", "systemctl stop nginx")
    try:
        for (host, unit), (user, command, _said) in units.items():
            on(host, f"systemd-run --quiet --unit={unit} --uid={user} {command}")
        for (host, _unit), (_user, _command, said) in units.items():
            port, protocol = said.split(" ")[0].split("/")
            wait_for(host, int(port), protocol)
        yield {
            unit: (
                rf"{host}: {said} is held on {re.escape(held[unit])} by python3 \(pid \d+,"
                rf" user {user}, since \d\d:\d\d, unit {unit}\.service\)\. Stop it, or move the"
                r" service in "
            )
            for (host, unit), (user, _command, said) in units.items()
        }
    finally:
        for host, unit in units:
            on(host, f"systemctl stop {unit}; systemctl reset-failed {unit}", check=False)


def test_every_kind_of_stranger_stops_its_host_unchanged(
    strangers: dict[str, str], tmp_path: Path
) -> None:
    before = on_all(fingerprint)
    run = play(registry=with_drill_endpoints(tmp_path / "ports.yml"))
    assert run.code != 0
    for unit, message in strangers.items():
        assert re.search(message, run.output), unit
    assert {host: run.recap(host)["changed"] for host in before} == dict.fromkeys(before, 0)
    assert on_all(fingerprint) == before


def test_when_they_are_gone_the_moved_port_is_followed_everywhere(tmp_path: Path) -> None:
    new = write(moved("prometheus.http", NEW), tmp_path / "ports.yml")
    run = play("--diff", "-vvv", registry=new)
    assert run.code == 0, run.output
    # On `app`, nginx was started again.
    assert (run.recap("app")["changed"], run.recap("data")["changed"]) == (1, 0)
    assert run.recap("ops")["changed"] > 0
    assert leaked(run.output) == []
    assert ports_of_prometheus() == {NEW}
    config = on("ops", "cat /etc/prometheus/prometheus.yml")
    assert f":{NEW}" in config
    assert f":{OLD}" not in config

    back = play("--limit", "ops", "--tags", "prometheus", playbook=SERVICES)
    assert back.code == 0, back.output
    assert ports_of_prometheus() == {OLD}


def ports_of_prometheus() -> set[int]:
    """Which of the port that it has and the one that it moves to are bound."""
    listeners = on("ops", "ss -Hltn 2>/dev/null")
    return {port for port in (OLD, NEW) if f":{port} " in listeners}


# --- a container on the machine that runs Ansible ------------------------------------------------


@pytest.fixture
def container(tmp_path: Path) -> Iterator[str]:
    """A container of podman that publishes a port of this machine; its name."""
    if os.geteuid() != 0 or shutil.which("podman") is None or sys.platform != "linux":
        pytest.skip("needs podman and root's rights on Linux")
    settings = STATE / "containers.conf"
    env = os.environ | ({"CONTAINERS_CONF": str(settings)} if settings.exists() else {})
    image = name = "conflicts-drill"

    def podman(*words: str, **options: Any) -> None:
        subprocess.run(
            ["podman", *words], env=env, check=True, stdout=subprocess.DEVNULL, **options
        )

    podman("import", "--quiet", "-", image, input=programs("/bin/sleep"))
    podman("run", "--detach", "--name", name, "-p", f"{PUBLISHED}:80", image, "/bin/sleep", "600")
    try:
        yield name
    finally:
        podman("rm", "--force", "--time", "0", name)
        podman("rmi", "--force", image)


def test_a_published_port_is_held_by_its_container(container: str, tmp_path: Path) -> None:
    here = tmp_path / "hosts.yml"
    here.write_text(
        f"""
all:
  vars:
    port_environment: production
    port_addresses: [127.0.0.1]
    preflight_architectures: [{platform.machine()}]
    preflight_service_manager: ''
    preflight_systems: []
  children:
    database:
      hosts:
        here: {{ansible_connection: local, ansible_python_interpreter: {sys.executable}}}
"""
    )
    copy = with_drill_endpoints(tmp_path / "ports.yml")
    run = play(registry=copy, inventory=(here,))
    assert run.code != 0
    assert re.search(
        rf"here: {PUBLISHED}/tcp wanted by drill\.published is held on \S+ by podman container"
        rf" {container}, by (conmon|rootlessport) \(pid \d+, user root, since \d\d:\d\d",
        run.output,
    ), run.output
    assert run.recap("here")["changed"] == 0
