"""Vendors release something newer: nothing moves until its pin does, and then the service is asked.

Elasticsearch and Kibana are in `test_search.py`. These leave the hosts upgraded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from lab import Run, on, play, port_of, secret

# `make test` has the upgrade of a search cluster, which is the one that can go wrong in most ways.
pytestmark = pytest.mark.skipif(os.environ.get("NATIVE") != "all", reason="make native has these")
POSTGRESQL, GRAFANA, DRAGONFLY = "16.14-0lab2", "12.3.0+standin1", "1.41.0+standin1"
UNITS = {
    "postgresql-16": ("data", "postgresql@16-main", POSTGRESQL),
    "dragonfly": ("data", "dragonfly", DRAGONFLY),
    "grafana": ("ops", "grafana-server", GRAFANA),
}
SQL = "runuser -u postgres -- psql -h /run/postgresql -d prsnl -XAt -f - -p"
REDIS = """
import json, redis, sys
port, password, words = json.load(sys.stdin)
client = redis.Redis("127.0.0.1", port, password=password, ssl=True, ssl_cert_reqs="none")
print(client.execute_command(*words))
"""


def provision(tags: str, *words: str, **variables: Any) -> Run:
    host = "ops" if tags == "grafana" else "data"
    arguments = [f"--tags={tags}", f"--limit={host}", *words]
    arguments += ["--extra-vars", json.dumps(variables)]
    return play(*arguments, playbook="playbooks/services.yml")


def installed(package: str) -> str:
    return on(UNITS[package][0], f"dpkg-query -Wf '${{Version}}' {package}")


def started(package: str) -> float:
    host, unit, _version = UNITS[package]
    words = "ActiveEnterTimestampMonotonic"
    return float(on(host, f"systemctl show --property {words} --value {unit}"))


def sql(statement: str) -> str:
    return on("data", f"cd /; {SQL} {port_of('postgresql.sql')}", stdin=statement).strip()


def redis(*words: str) -> str:
    told = [port_of("dragonfly.redis"), secret("dragonfly.password"), words]
    return on("data", f"python3 -c '{REDIS}'", stdin=json.dumps(told)).strip()


def pinned() -> dict[str, Any]:
    (file,) = on("data", "ls /srv/lab-mirror/dragonfly/dragonfly-newer_*.deb").split()
    architecture = file.rpartition("_")[2].removesuffix(".deb")
    return {
        "dragonfly_version": DRAGONFLY.partition("+")[0],
        "dragonfly_url": f"file://{file}",
        "dragonfly_checksums": {
            architecture: f"sha256:{on('data', f'sha256sum {file}').split()[0]}"
        },
    }


@pytest.fixture(scope="module", autouse=True)
def kept() -> Iterator[None]:
    """What has to be there after all of it."""
    on("data", "python3 -c 'import redis' || apt-get install -qy python3-redis")
    sql("CREATE TABLE IF NOT EXISTS kept (t text); INSERT INTO kept VALUES ('before');")
    redis("SET", "kept", "before")
    yield
    assert sql("SELECT DISTINCT t FROM kept") == "before"
    assert "before" in redis("GET", "kept")


def test_what_is_newer_moves_nothing_by_itself() -> None:
    before = {package: (installed(package), started(package)) for package in UNITS}
    for package, (host, _unit, newer) in UNITS.items():
        told = on(host, "apt-get update -q >/dev/null 2>&1; apt-get --simulate -q dist-upgrade")
        assert f"Inst {package} " not in told
        if package != "dragonfly":
            assert newer in on(host, f"apt-cache policy {package}")
    for tags, host in (("postgresql,dragonfly", "data"), ("grafana", "ops")):
        run = provision(tags)
        assert run.code == 0, run.output
        assert run.recap(host)["changed"] == 0, run.output
    assert {package: (installed(package), started(package)) for package in UNITS} == before


def test_postgresql_moves_with_its_pin() -> None:
    before, was = started("postgresql-16"), installed("postgresql-16")
    pin = {"postgresql_package_version": POSTGRESQL}
    looked = provision("postgresql", "--check", **pin)
    assert looked.code == 0, looked.output
    assert (installed("postgresql-16"), started("postgresql-16")) == (was, before)
    run = provision("postgresql", **pin)
    assert run.code == 0, run.output
    assert installed("postgresql-16") == POSTGRESQL
    assert started("postgresql-16") > before
    assert sql("SELECT pg_postmaster_start_time() > now() - interval '10 minutes'") == "t"
    assert provision("postgresql", **pin).recap("data")["changed"] == 0


def test_grafana_moves_with_its_pin() -> None:
    before = started("grafana")
    run = provision("grafana", grafana_version=GRAFANA)
    assert run.code == 0, run.output
    assert installed("grafana") == GRAFANA
    assert started("grafana") > before
    url = f"http://127.0.0.1:{port_of('grafana.http')}/api/health"
    ask = (
        "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=9).read().decode())"
    )
    assert json.loads(on("ops", f"python3 -c '{ask}' {url}"))["version"].startswith("12.3.0")
    assert provision("grafana", grafana_version=GRAFANA).recap("ops")["changed"] == 0


def test_dragonfly_moves_with_its_pin_and_a_tampered_package_does_not() -> None:
    before, was = started("dragonfly"), installed("dragonfly")
    pin = pinned()
    (architecture,) = pin["dragonfly_checksums"]
    tampered = {**pin, "dragonfly_checksums": {architecture: f"sha256:{'0' * 64}"}}
    refused = provision("dragonfly", **tampered)
    assert refused.code != 0
    assert "0" * 64 in refused.failure("data")
    assert (installed("dragonfly"), started("dragonfly")) == (was, before)
    run = provision("dragonfly", **pin)
    assert run.code == 0, run.output
    assert installed("dragonfly") == DRAGONFLY
    assert started("dragonfly") > before
    assert provision("dragonfly", **pin).recap("data")["changed"] == 0
