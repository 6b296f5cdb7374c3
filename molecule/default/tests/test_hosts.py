"""What the registry promises of each lab host, seen on the host and from the others.

The cases come from the registry and the inventory: a new entry of the registry is a new case.
"""

from __future__ import annotations

import itertools
import shlex
from typing import Any

import pytest
import testinfra
from lab import STATE, address_of, on, plans, port_of
from testinfra.host import Host

PLANNED = [(host, endpoint) for host, plan in plans().items() for endpoint in plan]
BOUND = [(host, endpoint) for host, endpoint in PLANNED if endpoint["expect"] == "bound"]
SILENT = [(host, endpoint) for host, endpoint in PLANNED if endpoint["expect"] == "silent"]
# Who asks, and whom.
VIEWS = [
    (source, host, endpoint)
    for source, (host, endpoint) in itertools.product(plans(), BOUND + SILENT)
    if source != host
]


def name(value: object) -> str | None:
    return value["id"] if isinstance(value, dict) else None


def connects(source: str, address: str, port: int) -> bool:
    """Whether a TCP connection from a lab host to an address is accepted."""
    script = f"exec 3<>/dev/tcp/{address}/{port}"
    answer = on(source, f"timeout 5 bash -c {shlex.quote(script)} 2>/dev/null && echo open || :")
    return answer.strip() == "open"


@pytest.fixture
def host(request: pytest.FixtureRequest) -> Host:
    return testinfra.get_host(
        f"ssh://{request.param}", ssh_config=str(STATE / "ssh_config"), controlpersist=60
    )


@pytest.mark.parametrize("host", plans(), indirect=True)
def test_the_host_is_an_arm64_debian_with_systemd(host: Host) -> None:
    assert host.check_output("uname -m") == "aarch64"
    assert host.system_info.distribution == "debian"
    assert host.check_output("systemctl is-system-running") == "running"


@pytest.mark.parametrize(("host", "endpoint"), BOUND, indirect=["host"], ids=name)
def test_an_expected_endpoint_is_bound_by_its_owner(host: Host, endpoint: dict[str, Any]) -> None:
    address = endpoint["listen"][0]
    assert host.socket(f"{endpoint['protocol']}://{address}:{endpoint['port']}").is_listening
    owner = endpoint["owner"]
    assert host.service(owner["unit"]).is_running
    assert host.service(owner["unit"]).is_enabled
    # The kernel cuts the name of a process to 15 bytes.
    names = [process[:15] for process in owner["process"]]
    users = {found.user for found in host.process.filter() if found.comm in names}
    assert owner["user"] in users


@pytest.mark.parametrize(("host", "endpoint"), SILENT, indirect=["host"], ids=name)
def test_a_retired_port_is_silent(host: Host, endpoint: dict[str, Any]) -> None:
    assert not host.socket(f"{endpoint['protocol']}://{endpoint['port']}").is_listening


@pytest.mark.parametrize(("source", "target", "endpoint"), VIEWS, ids=name)
def test_other_hosts_reach_what_they_may_reach(
    source: str, target: str, endpoint: dict[str, Any]
) -> None:
    """A consumer's connection is accepted; one to a loopback-only or silent port never is."""
    may_come = endpoint["exposure"] == "public" or source in {
        entry["host"] for entry in endpoint["sources"]
    }
    is_loopback_only = not endpoint["sources"] and not may_come
    reached = connects(source, address_of(target), endpoint["port"])
    if may_come:
        assert reached
    if is_loopback_only:
        assert not reached


def psql(source: str, port: int, password: str) -> str:
    """What psql prints on a lab host, errors included."""
    target = f"host={address_of('data')} port={port} user=prsnl dbname=prsnl connect_timeout=10"
    script = f"psql -XAt {shlex.quote(target)} -c 'select current_user, inet_server_port()' 2>&1"
    return on(source, f"PGPASSWORD={shlex.quote(password)} {script}", check=False).strip()


def test_psql_connects_from_app_by_scram() -> None:
    port = port_of("postgresql.sql")
    secret = (STATE / "secrets" / "postgresql-prsnl.password").read_text().strip()
    assert psql("app", port, secret) == f"prsnl|{port}"
    assert "password authentication failed" in psql("app", port, secret + "x")
    assert "Connection refused" in psql("app", port_of("postgresql.intel"), secret)


def test_postgresql_refuses_a_host_that_is_no_consumer() -> None:
    # ops has no client, so the start of the protocol's conversation is spelt out.
    script = f"""
import socket, struct
body = struct.pack("!i", 3 << 16) + b"user\\0prsnl\\0database\\0prsnl\\0\\0"
with socket.create_connection(("{address_of("data")}", {port_of("postgresql.sql")})) as connection:
    connection.sendall(struct.pack("!i", len(body) + 4) + body)
    print(connection.recv(4096))
"""
    assert "pg_hba.conf rejects connection" in on("ops", f"python3 -c {shlex.quote(script)}")


def test_passwords_are_stored_as_scram_verifiers() -> None:
    query = "select count(*) from pg_authid where rolpassword not like 'SCRAM-SHA-256$%'"
    port = port_of("postgresql.sql")
    count = on(
        "data",
        f"runuser -u postgres -- psql -h /run/postgresql -p {port} -XAtc {shlex.quote(query)}",
    )
    assert count.strip() == "0"


def test_prometheus_scrapes_every_target() -> None:
    port = port_of("prometheus.http")
    script = (
        "import json, urllib.request;"
        f"url = 'http://127.0.0.1:{port}/api/v1/targets?state=active';"
        "targets = json.load(urllib.request.urlopen(url))['data']['activeTargets'];"
        "print(*sorted(t['labels']['host'] + ' ' + t['labels']['service'] + ' ' + t['health']"
        " for t in targets), sep='\\n')"
    )
    expected = sorted(
        f"{host} {endpoint['service']} up" for host, endpoint in BOUND if endpoint["metrics"]
    )
    assert on("ops", f"python3 -c {shlex.quote(script)}").splitlines() == expected
