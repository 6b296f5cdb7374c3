"""What the registry promises of each lab host, seen on the host and from the others.

The cases come from the registry and the inventory: a new entry of the registry is a new case.
"""

from __future__ import annotations

import functools
import itertools
import json
import shlex
from typing import Any

import pytest
import testinfra
from lab import STATE, address_of, on, on_all, plans, port_of, secret, shared
from seen import Seen, check_bound, check_silent, look
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


@functools.cache
def connects() -> dict[str, set[tuple[str, int]]]:
    """The (host, port) pairs that each lab host can connect to."""
    return on_all(connects_from)


def connects_from(source: str) -> set[tuple[str, int]]:
    wanted = {(host, endpoint["port"]) for asking, host, endpoint in VIEWS if asking == source}
    tries = [
        f"(timeout 20 bash -c 'exec 3<>/dev/tcp/{address_of(host)}/{port}' 2>/dev/null"
        f" && echo {host} {port}) &"
        for host, port in sorted(wanted)
    ]
    answers = on(source, "\n".join([*tries, "wait"])).splitlines()
    return {(host, int(port)) for host, port in map(str.split, answers)}


@functools.cache
def seen() -> dict[str, Seen]:
    return on_all(lambda name: look(connect(name), "linux"))


def connect(name: str) -> Host:
    options = {"ssh_config": str(STATE / "ssh_config"), "ssh_extra_args": " ".join(shared())}
    return testinfra.get_host(f"ssh://{name}", controlpersist=0, **options)


@pytest.mark.parametrize("name", plans())
def test_the_host_is_an_arm64_debian_with_systemd(name: str) -> None:
    host = connect(name)
    state = host.check_output("systemctl is-system-running")
    machine = host.check_output("uname -m")
    assert (machine, host.system_info.distribution, state) == ("aarch64", "debian", "running")


@pytest.mark.parametrize(("host", "endpoint"), BOUND, ids=name)
def test_an_expected_endpoint_is_bound_by_its_owner(host: str, endpoint: dict[str, Any]) -> None:
    check_bound(seen()[host], endpoint)


@pytest.mark.parametrize(("host", "endpoint"), SILENT, ids=name)
def test_a_retired_port_is_silent(host: str, endpoint: dict[str, Any]) -> None:
    check_silent(seen()[host], endpoint)


@pytest.mark.parametrize(("source", "target", "endpoint"), VIEWS, ids=name)
def test_other_hosts_reach_what_they_may_reach(
    source: str, target: str, endpoint: dict[str, Any]
) -> None:
    """A consumer's connection is accepted; one to a loopback-only or silent port never is."""
    may_come = endpoint["exposure"] == "public" or source in {
        entry["host"] for entry in endpoint["sources"]
    }
    is_loopback_only = not endpoint["sources"] and not may_come
    reached = (target, endpoint["port"]) in connects()[source]
    if may_come:
        assert reached
    if is_loopback_only:
        assert not reached


AUTHORITY = "/etc/ssl/prsnl-authority.pem"


def psql(source: str, port: int, password: str, database: str = "prsnl", options: str = "") -> str:
    """What a client of libpq prints on a lab host, errors included."""
    target = f"host={address_of('data')} port={port} user=prsnl dbname={database} {options}"
    query = (
        "SELECT current_user, inet_server_port(), ssl, version FROM pg_stat_ssl"
        " WHERE pid = pg_backend_pid()"
    )
    script = (
        f"import psycopg2; c = psycopg2.connect({target!r}, connect_timeout=10).cursor();"
        f"c.execute({query!r}); print(*c.fetchone(), sep='|')"
    )
    command = f"python3 -c {shlex.quote(script)} 2>&1"
    return on(source, f"PGPASSWORD={shlex.quote(password)} {command}", check=False).strip()


VERIFIED = f"sslmode=verify-full sslrootcert={AUTHORITY}"


def test_clients_connect_from_app_by_scram_over_tls() -> None:
    """The client proves by the authority that it speaks to the server of that address."""
    port = port_of("postgresql.sql")
    password = secret("postgresql-prsnl.password")
    assert psql("app", port, password, options=VERIFIED) == f"prsnl|{port}|True|TLSv1.3"
    wrong = psql("app", port, password + "x", options=VERIFIED)
    assert "password authentication failed" in wrong
    assert "Connection refused" in psql("app", port_of("postgresql.intel"), password)


def test_nothing_crosses_the_network_in_the_clear() -> None:
    port = port_of("postgresql.sql")
    password = secret("postgresql-prsnl.password")
    assert "no encryption" in psql("app", port, password, options="sslmode=disable")
    # psql of the lab has no TLS at all.
    target = f"host={address_of('data')} port={port} user=prsnl dbname=prsnl connect_timeout=10"
    plain = f"PGPASSWORD={shlex.quote(password)} psql -XAt {shlex.quote(target)} -c 'select 1' 2>&1"
    assert "no encryption" in on("app", plain, check=False)
    for endpoint in ("dragonfly.redis", "dragonfly.admin"):
        script = (
            f"import socket; s = socket.create_connection(({address_of('data')!r},"
            f" {port_of(endpoint)}), 10); s.sendall(b'PING\\r\\n'); print(s.recv(9))"
        )
        source = {"dragonfly.redis": "app", "dragonfly.admin": "ops"}[endpoint]
        answer = on(source, f"python3 -c {shlex.quote(script)} 2>&1", check=False)
        assert "PONG" not in answer
        assert "NOAUTH" not in answer


def test_another_authority_is_not_trusted() -> None:
    """A certificate of somebody else, and the right one for another name."""
    port = port_of("postgresql.sql")
    password = secret("postgresql-prsnl.password")
    other = "sslmode=verify-full sslrootcert=/tmp/other.pem"
    make = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
        " -subj /CN=other -keyout /dev/null -out /tmp/other.pem 2>/dev/null"
    )
    on("app", make)
    try:
        assert "certificate verify failed" in psql("app", port, password, options=other)
    finally:
        on("app", "rm /tmp/other.pem")
    named = psql(
        "app", port, password, options=f"{VERIFIED} host=other hostaddr={address_of('data')}"
    )
    assert "does not match host name" in named


@pytest.mark.parametrize("endpoint", ["dragonfly.redis", "dragonfly.admin"])
def test_the_cache_is_known_by_its_certificate(endpoint: str) -> None:
    source = {"dragonfly.redis": "app", "dragonfly.admin": "ops"}[endpoint]
    authority = {"app": AUTHORITY, "ops": "/etc/prometheus/authority.pem"}[source]
    script = (
        "import socket, ssl;"
        f"context = ssl.create_default_context(cafile={authority!r});"
        f"plain = socket.create_connection(({address_of('data')!r}, {port_of(endpoint)}), 10);"
        f"s = context.wrap_socket(plain, server_hostname={address_of('data')!r});"
        "s.sendall(b'PING\\r\\n'); print(s.recv(7))"
    )
    assert on(source, f"python3 -c {shlex.quote(script)} 2>&1").strip() == "b'-NOAUTH'"


def test_the_application_reaches_both_by_verified_tls() -> None:
    url = f"http://127.0.0.1:{port_of('backend.http')}/api/health"
    script = f"import urllib.request; print(urllib.request.urlopen({url!r}).read().decode())"
    answer = json.loads(on("app", f"python3 -c {shlex.quote(script)}"))
    assert (answer["postgresql"], answer["dragonfly"]) == ("ok", "ok")
    environment = on("app", "cat /etc/prsnl/backend.env")
    assert "sslmode=verify-full" in environment
    assert "rediss://" in environment


def test_postgresql_refuses_what_is_not_declared() -> None:
    """The firewall refuses a host that is no consumer, and pg_hba.conf a consumer elsewhere."""
    port = port_of("postgresql.sql")
    script = f"import socket; socket.create_connection(({address_of('data')!r}, {port}), 20)"
    refused = on("ops", f"python3 -c {shlex.quote(script)} 2>&1", check=False)
    assert "ConnectionRefusedError" in refused
    password = secret("postgresql-prsnl.password")
    elsewhere = psql("app", port, password, "postgres", VERIFIED)
    assert "pg_hba.conf rejects connection" in elsewhere


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
