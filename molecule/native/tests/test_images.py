"""An application as an image of podman: known to the registry, and back when it is killed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from lab import REGISTRY, Run, on, play, port_of, record, registry, write

# A host of the lab is a container itself: there is no filesystem for layers, and no group to limit.
STORAGE = """
[storage]
driver = "vfs"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
"""
HERE = ["--cgroups=disabled"]
# Python and its modules as Debian's packages have them, without a registry of images.
BUILD = """
set -e
[ -e /usr/bin/podman ] || DEBIAN_FRONTEND=noninteractive apt-get install -qy podman >/dev/null 2>&1
mkdir -p /etc/containers && cat > /etc/containers/storage.conf
cd /
tar c --exclude=__pycache__ --exclude='*/perl*' --exclude='*/gconv' --exclude='libLLVM*' \\
    bin lib lib64 usr/bin/python3* usr/bin/dash usr/bin/sh usr/lib/python3* usr/lib64 \\
    usr/lib/*-linux-gnu etc/passwd $(ls -d opt/prsnl/backend/*/app 2>/dev/null) |
    podman import --quiet --change 'CMD {command}' - localhost/{name} >/dev/null
podman image inspect --format '{{{{.Digest}}}}' localhost/{name}
"""
NAME = "prsnl-image"
CLEAN = f"""
systemctl stop {NAME}
rm -f /etc/containers/systemd/{NAME}.container /var/lib/prsnl-ports/{NAME}.service.json
systemctl daemon-reload
systemctl reset-failed
"""


def build(host: str, name: str, *command: str) -> str:
    """Build an image on a host; its name with its digest."""
    script = BUILD.format(name=name, command=json.dumps(command))
    digest = on(host, script, stdin=STORAGE).split()[-1]
    assert digest.startswith("sha256:")
    return f"localhost/{name}@{digest}"


def backend(*words: str, **variables: Any) -> Run:
    return play(
        "--limit=app",
        "--tags=backend",
        *words,
        "--extra-vars",
        json.dumps(variables),
        playbook="playbooks/services.yml",
    )


def listener(host: str, port: int) -> str:
    """What has a TCP port: its line of ss."""
    return on(host, f"ss -Hltnp sport = :{port}")


def status(host: str, port: int, path: str = "/") -> str:
    program = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=9).status)"
    url = f"http://127.0.0.1:{port}{path}"
    return on(host, f"python3 -c '{program}' {url}", check=False).strip()


def assert_planned(host: str, file: Path = REGISTRY) -> None:
    verified = play("--limit", host, playbook="playbooks/verify.yml", registry=file)
    assert verified.code == 0, verified.output


def assert_comes_back(host: str, unit: str, container: str, port: int) -> None:
    """After its program is killed, and after the one that watches it."""
    for victim in ("State.Pid", "State.ConmonPid"):
        inspect = f"podman inspect --format '{{{{.{victim}}}}}' {container}"
        before = on(host, inspect).strip()
        on(host, f"kill -9 {before}")
        for _ in range(60):
            time.sleep(0.5)
            if status(host, port) in ("200", "404") or listener(host, port):
                break
        assert listener(host, port), on(host, f"journalctl -u {unit} -n 30 --no-pager -o cat")
        assert on(host, inspect).strip() != before
    assert on(host, f"podman ps --format '{{{{.Names}}}}' --filter name={container}").split() == [
        container
    ]


@pytest.fixture(scope="module")
def image() -> str:
    serve = 'exec python3 -m uvicorn app.main:app --host "$HOST" --port "$PORT"'
    folder = on("app", "ls -d /opt/prsnl/backend/*/").split()[0].rstrip("/")
    return build("app", "backend", "/bin/sh", "-c", f"cd {folder} && {serve}")


def test_a_tag_is_refused(image: str) -> None:
    tag = image.partition("@")[0] + ":latest"
    run = backend(backend_archive_url="", backend_archive_checksum="", backend_image=tag)
    assert run.code != 0
    assert "allowed is an image with its digest" in run.failure("app")


def test_the_backend_runs_as_an_image_and_goes_back(image: str) -> None:
    port = port_of("backend.http")
    wanted: dict[str, Any] = {
        "backend_archive_url": "",
        "backend_archive_checksum": "",
        "backend_image": image,
        "backend_image_options": HERE,
        "backend_registry_username": "lab",
        "backend_registry_password": "a secret of the lab",
    }
    run = backend(**wanted)
    assert run.code == 0, run.output
    assert "a secret of the lab" not in run.output
    assert on("app", "stat -c %a:%U /etc/prsnl/backend.registry.json").strip() == "600:root"
    assert backend(**wanted).recap("app")["changed"] == 0
    assert_planned("app")
    # As the registry's user, without any capability, and the root can't be written to.
    pid = on("app", "podman inspect --format '{{.State.Pid}}' prsnl-backend").strip()
    assert on("app", f"stat -c %U /proc/{pid}").strip() == "prsnl-backend"
    lines = dict(line.split(":\t", 1) for line in on("app", f"cat /proc/{pid}/status").splitlines())
    assert {lines[name].strip() for name in ("CapEff", "CapBnd", "CapPrm")} == {"0" * 16}
    assert (lines["NoNewPrivs"].strip(), lines["Seccomp"].strip()) == ("1", "2")
    shell = "podman exec prsnl-backend sh -c"
    assert "Read-only" in on("app", f"{shell} ': > /usr/x' 2>&1", check=False)
    on("app", f"{shell} ': > /tmp/x && : > /var/lib/prsnl-backend/x'")
    assert status("app", port, "/docs") == "200"
    assert_comes_back("app", "prsnl-backend.service", "prsnl-backend", port)
    assert_planned("app")
    # Back to the archive of the inventory.
    run = backend()
    assert run.code == 0, run.output
    assert "podman" not in on("app", "systemctl cat prsnl-backend.service")
    assert on("app", "podman ps --quiet").strip() == ""
    assert on("app", "ls /etc/prsnl/backend.registry.json 2>&1", check=False).startswith("ls: ")
    assert_planned("app")


PLAY = """
- name: Provision an image
  hosts: ops
  become: true
  gather_subset: [min]
  roles:
    - role: prsnl.ports.application
      vars:
        application_endpoint: image.http
        application_image: "{{ image }}"
        application_image_options: [--cgroups=disabled]
        application_environment:
          PORT: "{{ lookup('prsnl.ports.endpoint', 'image.http').port }}"
          GREETING: a "b" $c
"""


@pytest.mark.skipif(os.environ.get("NATIVE") != "all", reason="make native has this")
def test_quadlet_and_an_owner_by_its_container(tmp_path: Path) -> None:
    """On Debian 13, where the registry knows it by its container."""
    data = registry()
    data["services"]["image"] = {
        "description": "An application as an image",
        "hosts": "metrics",
        "environments": ["production"],
        "range": "monitoring",
        "owner": {
            "process": "python3",
            "user": NAME,
            "unit": f"{NAME}.service",
            "container": {"engine": "podman", "name": NAME},
        },
        "endpoints": {
            "http": {"port": 9098, "status": "fixed", "exposure": "host", "probe": "http"}
        },
    }
    data["history"].append(record("image.http", "fixed", 9098))
    file = write(data, tmp_path / "ports.yml")
    serve = 'cd /var/lib/prsnl-image && exec python3 -m http.server --bind 127.0.0.1 "$PORT"'
    image = build("ops", "image", "/bin/sh", "-c", serve)
    book = tmp_path / "image.yml"
    book.write_text(PLAY, encoding="utf-8")
    words = ["--extra-vars", json.dumps({"image": image})]
    try:
        run = play(*words, playbook=str(book), registry=file)
        assert run.code == 0, run.output
        again = play(*words, playbook=str(book), registry=file)
        assert again.recap("ops")["changed"] == 0, again.output
        unit = on("ops", f"systemctl show -p FragmentPath,UnitFileState {NAME}")
        assert "/run/systemd/generator/" in unit
        assert "UnitFileState=generated" in unit
        assert "WantedBy=multi-user.target" in on("ops", f"systemctl show -p WantedBy {NAME}")
        assert_planned("ops", file)
        assert_comes_back("ops", f"{NAME}.service", NAME, 9098)
        assert_planned("ops", file)
        environment = on("ops", f"podman exec {NAME} python3 -c 'import os; print(os.environ)'")
        assert "'GREETING': 'a \"b\" $c'" in environment
    finally:
        on("ops", CLEAN, check=False)
