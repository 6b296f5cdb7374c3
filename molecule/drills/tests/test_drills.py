"""Bad input and bad hosts end with a clear error and an unchanged host; a second run converges."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from lab import SERVICES, fingerprint, on, on_all, play, record, registry, wait_for, write

Stranger = Callable[..., AbstractContextManager[None]]


def test_a_broken_registry_stops_before_the_first_task(tmp_path: Path) -> None:
    data = registry()
    data["services"]["prometheus"]["endpoints"]["http"]["port"] = 70000
    data["services"]["grafana"]["hosts"] = "dashbords"
    run = play(registry=write(data, tmp_path / "ports.yml"))
    assert run.code != 0
    assert "TASK [" not in run.output
    assert "services.prometheus.endpoints.http.port" in run.output
    assert "services.grafana.hosts" in run.output


def test_unfit_hosts_are_refused_unchanged() -> None:
    """Of another architecture, another system, and with a full disk: all is said at once."""
    hosts = ("app", "data")
    before = on_all(fingerprint)
    on("data", "mkdir -p /var/lib/drill && mount -t tmpfs -o size=1m tmpfs /var/lib/drill")
    wanted = {
        "preflight_architectures": ["s390x"],
        "preflight_systems": [{"name": "fedora", "min_version": "40"}],
        "preflight_disks": [{"path": "/var/lib/drill", "free_mb": 64}],
    }
    try:
        run = play("--limit", ",".join(hosts), "-e", json.dumps(wanted))
    finally:
        on("data", "umount /var/lib/drill && rmdir /var/lib/drill")
    assert run.code != 0
    for host in hosts:
        assert run.recap(host)["failed"] == 1
        assert run.recap(host)["changed"] == 0
        assert "s390x" in run.failure(host)
        assert "fedora" in run.failure(host)
        assert ("/var/lib/drill has" in run.failure(host)) == (host == "data")
    assert on_all(fingerprint) == before


def test_an_unreachable_host_does_not_stop_the_others(tmp_path: Path) -> None:
    prefix = os.environ.get("LAB_PREFIX4", "10.89.77")
    extra = tmp_path / "gone.yml"
    address = f"{prefix}.250"
    host = {"ansible_host": address, "port_addresses": [address], "ansible_ssh_timeout": 5}
    extra.write_text(json.dumps({"application": {"hosts": {"gone": host}}}))
    run = play("--limit", "app,gone", "--tags", "nginx", inventory=("inventories/lab", extra))
    assert run.code != 0
    assert run.recap("gone")["unreachable"] == 1
    assert run.recap("app")["failed"] == run.recap("app")["unreachable"] == 0


def test_a_wrong_key_checksum_is_refused_unchanged() -> None:
    before = fingerprint("data")
    wrong = "sha256:" + "0" * 64
    words = ("--limit", "data", "-e", f"postgresql_apt_key_checksum={wrong}")
    run = play(*words, playbook=SERVICES)
    assert run.code != 0
    assert "checksum" in run.output
    assert fingerprint("data") == before


def test_a_service_without_a_role_is_planned_verified_and_shown(
    tmp_path: Path, stranger: Stranger
) -> None:
    data = registry()
    data["services"]["echo"] = {
        "description": "A service that nobody wrote a role for",
        "hosts": "application",
        "environments": ["production"],
        "range": "backend",
        "owner": {"process": "python3", "user": "nobody", "unit": "echo.service"},
        "endpoints": {
            "http": {"port": 8123, "status": "fixed", "exposure": "host", "probe": "http"}
        },
    }
    data["history"].append(record("echo.http", "fixed", 8123))
    copy = write(data, tmp_path / "ports.yml")

    absent = play(
        "--limit", "app", "-e", "verify_timeout=1", playbook="playbooks/verify.yml", registry=copy
    )
    assert absent.code != 0
    assert "echo.http" in absent.output

    with stranger("app", "echo", "/usr/bin/python3 -m http.server --bind 127.0.0.1 8123"):
        wait_for("app", 8123)
        run = play("--limit", "app", playbook="playbooks/verify.yml", registry=copy)
    assert run.code == 0, run.output
    row = next(line for line in run.output.splitlines() if "127.0.0.1:8123" in line)
    assert "echo" in row
    assert "ok" in row
