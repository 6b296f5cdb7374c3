# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles of a whole stack give their daemons, in a copy of the project without hosts.

There `prsnl.ports.daemon` writes down what it is asked for, and facts are made up, so that nothing
is executed anywhere.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap
import typing as t
import urllib.parse

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[1]
COLLECTION = pathlib.Path("collections/ansible_collections/prsnl/ports")
EDGE, OPS = "198.51.100.1", "198.51.100.3"
RECORDER = """\
import json
import pathlib
import re

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        host = task_vars["inventory_hostname"]
        name = self._task.args.get("unit") or "-".join(self._task.args["packages"])
        file = pathlib.Path("recorded", host, f"{name}.json")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self._task.args, default=str))
        return result
"""
FACTS = """\
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        facts = {
            "os_family": "Debian",
            "distribution_release": "bookworm",
            "architecture": "aarch64",
            "memtotal_mb": 4096,
            "processor_nproc": 2,
        }
        return {"ansible_facts": {f"ansible_{name}": fact for name, fact in facts.items()}}
"""
CONFIG = """\
[defaults]
inventory = inventory
collections_path = collections
roles_path = roles
inject_facts_as_vars = false
gathering = explicit
vars_plugins_enabled = host_group_vars, prsnl.ports.registry
stdout_callback = ansible.posix.json
[port_registry]
path = registry/ports.yml
"""
INVENTORY: dict[str, t.Any] = {
    "all": {
        "hosts": {"edge": {"port_addresses": [EDGE]}, "ops": {"port_addresses": [OPS]}},
        "vars": {
            "port_environment": "production",
            "grafana_apt_key_checksum": "sha256:0",
            "nginx_tls_certificate": "/etc/ssl/site.pem",
            "nginx_tls_key": "/etc/ssl/site.key",
            "backend_archive_url": "https://artifacts.example/backend.tar.gz",
            "backend_archive_checksum": "sha256:" + 64 * "0",
        },
    },
    **{group: {"hosts": {"edge": {}}} for group in ("proxy", "backend", "application")},
    **{group: {"hosts": {"ops": {}}} for group in ("metrics", "dashboards", "database")},
}
ROLES = "backend,nginx,node_exporter,prometheus,grafana"


@dataclasses.dataclass(frozen=True)
class Project:
    """A copy of the project, with an inventory of two hosts that don't exist."""

    folder: pathlib.Path

    def write(self, name: str, content: str) -> None:
        """A file of the copy."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    def change(self, name: str, old: str, new: str) -> None:
        """Another text at one place of a file."""
        content = (self.folder / name).read_text(encoding="utf-8")
        assert content.count(old) == 1
        self.write(name, content.replace(old, new))

    def provision(self, *arguments: str, tags: str = ROLES) -> dict[str, t.Any]:
        """The results of the services' tasks and of the hosts' plans, by the name of the task."""
        play = {"hosts": "all", "gather_facts": False, "tags": ["always"]}
        site = [
            {**play, "tasks": [{"prsnl.ports.facts": {}}]},
            {"import_playbook": "playbooks/services.yml"},
            {**play, "tasks": [{"prsnl.ports.registry_info": {}}]},
        ]
        self.write("run.yml", json.dumps(site))
        done = subprocess.run(
            [
                str(pathlib.Path(sys.executable).with_name("ansible-playbook")),
                "run.yml",
                "--tags",
                tags,
                *arguments,
            ],
            cwd=self.folder,
            env={**os.environ, "ANSIBLE_CONFIG": "ansible.cfg"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout, done.stderr
        plays = json.loads(done.stdout)["plays"]
        return {
            f"{task['task']['name']}: {host}": result
            for play in plays
            for task in play["tasks"]
            for host, result in task["hosts"].items()
        }

    def daemon(self, host: str, unit: str) -> dict[str, t.Any]:
        """What a daemon was asked for."""
        file = self.folder / "recorded" / host / f"{unit}.json"
        return dict(json.loads(file.read_text(encoding="utf-8")))

    def file(self, host: str, unit: str, name: str) -> str:
        """The content of a daemon's file."""
        files = self.daemon(host, unit)["files"]
        (found,) = [file for file in files if file["path"].endswith(name)]
        return str(found.get("content") or found["secret"])


@pytest.fixture
def project(tmp_path: pathlib.Path) -> Project:
    """The project as it is, but for the module that would change hosts."""
    result = Project(tmp_path)
    without = shutil.ignore_patterns("tests", "__pycache__", "changelogs", ".*")
    for name in ("collections", "playbooks", "registry", "roles"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=without)
    result.write(f"{COLLECTION}/plugins/action/daemon.py", RECORDER)
    result.write("ansible.cfg", CONFIG)
    result.write("inventory/hosts.yml", json.dumps(INVENTORY))
    result.write(f"{COLLECTION}/plugins/action/facts.py", FACTS)
    return result


ENTRY = """\
  thumbnailer:
    description: Makes thumbnails
    hosts: application
    environments: [production]
    range: backend
    owner: {process: thumbnailer, user: thumbnailer, unit: thumbnailer.service}
    endpoints:
      http:
        port: 8010
        status: fixed
        exposure: internal
        consumers: [nginx, prometheus]
        probe: http
        metrics: /metrics
        routes:
          /thumbnails/: Thumbnails
      preview:
        port: 8011
        status: fixed
        exposure: host
        browser_origin: true
"""
HISTORY = """\
  - date: 2026-11-24
    what: Thumbnails get a service of their own
    why: The backend was blocked while it made them
    by: The tests
    changes:
      - {endpoint: thumbnailer.http, to: 8010, status: fixed}
      - {endpoint: thumbnailer.preview, to: 8011, status: fixed}
"""
ROLE = {
    "tasks/main.yml": """\
        ---
        - name: Provision thumbnails
          ansible.builtin.include_role:
            name: prsnl.ports.application
          vars:
            application_endpoint: thumbnailer.http
            application_archive_url: https://artifacts.example/thumbnailer.tar.gz
            application_archive_checksum: sha256:{{ '0' * 64 }}
            application_command: /usr/bin/thumbnailer
            application_environment:
              PORT: "{{ lookup('prsnl.ports.endpoint', 'thumbnailer.http').port }}"
              DATABASE_PASSWORD: "{{ lookup('prsnl.ports.secret', 'postgresql-prsnl') }}"
        """,
    "offers/dashboards.yml": """\
        ---
        thumbnails:
          title: Thumbnails
          panels:
            - title: Made
              unit: ops
              queries: {by host size: 'rate(thumbnails_total[5m])'}
        """,
    "offers/rules.yml": """\
        ---
        - name: thumbnails
          rules:
            - alert: ThumbnailsStuck
              expr: thumbnails_waiting > 100
              labels: {severity: warning}
              annotations: {summary: 'Thumbnails wait on {{ $labels.host }}'}
        """,
}


def add_thumbnailer(project: Project) -> None:
    """Everything that has to be touched for it: the registry, its role, and one line."""
    project.change(
        "registry/ports.yml",
        "\n# What the guide that this registry",
        f"{ENTRY}\n# What the guide that this registry",
    )
    registry = (project.folder / "registry/ports.yml").read_text(encoding="utf-8")
    project.write("registry/ports.yml", registry.rstrip("\n") + "\n" + HISTORY)
    for name, content in ROLE.items():
        project.write(f"roles/thumbnailer/{name}", textwrap.dedent(content))
    line = "    - {role: thumbnailer, tags: [thumbnailer]}\n"
    project.change("playbooks/services.yml", "    - role: nginx\n", f"{line}    - role: nginx\n")


def test_a_made_up_service(project: Project) -> None:
    """With a role and a dashboard, it is installed, scraped, shown, opened and routed to."""
    add_thumbnailer(project)
    results = project.provision(tags=f"{ROLES},thumbnailer")
    assert [name for name, result in results.items() if result.get("failed")] == []

    own = project.daemon("edge", "thumbnailer.service")
    assert own["user"] == "thumbnailer"
    environment = project.file("edge", "thumbnailer.service", "thumbnailer.env")
    assert 'PORT="8010"' in environment
    # The same secret as the backend's.
    url = project.file("edge", "prsnl-backend.service", "backend.env")
    (password,) = [line.split('"')[1] for line in environment.splitlines() if "PASSWORD" in line]
    assert len(password) == 32
    assert f"postgresql://prsnl:{password}@{OPS}:5433/prsnl" in url
    secret = project.folder / "inventory/.secrets/postgresql-prsnl.password"
    assert secret.read_text(encoding="utf-8") == f"{password}\n"
    # Browsers may come from its pages.
    assert "http://localhost:8011" in url

    dashboard = json.loads(project.file("ops", "grafana-server.service", "/thumbnails.json"))
    (target,) = dashboard["panels"][0]["targets"]
    assert (dashboard["uid"], target["expr"]) == ("thumbnails", "rate(thumbnails_total[5m])")
    assert target["legendFormat"] == "{{host}} {{size}}"
    assert target["datasource"] == {"type": "prometheus", "uid": "prometheus"}
    sources = yaml.safe_load(
        project.file("ops", "grafana-server.service", "datasources/prsnl.yaml")
    )
    assert [(s["uid"], s["isDefault"]) for s in sources["datasources"]] == [("prometheus", True)]

    scraped = yaml.safe_load(project.file("ops", "prometheus.service", "prometheus.yml"))
    (job,) = [j for j in scraped["scrape_configs"] if j["job_name"] == "thumbnailer.http"]
    assert job["metrics_path"] == "/metrics"
    assert job["static_configs"][0]["targets"] == [f"{EDGE}:8010"]
    rules = yaml.safe_load(project.file("ops", "prometheus.service", "rules/ports.yml"))
    by_group = {group["name"]: group["rules"] for group in rules["groups"]}
    (alert,) = by_group["thumbnails"]
    assert (alert["for"], alert["expr"]) == ("2m", "thumbnails_waiting > 100")
    assert alert["annotations"] == {"summary": "Thumbnails wait on {{ $labels.host }}"}
    down = [rule["expr"] for rule in by_group["endpoints"] if rule["alert"] == "EndpointDown"]
    assert any("thumbnailer.http" in expression for expression in down)
    assert "record" in by_group["ports"][0]

    proxy = project.file("edge", "nginx.service", "nginx.conf")
    assert "upstream thumbnailer.http {\n        server 127.0.0.1:8010;" in proxy
    assert "location /thumbnails/ {" in proxy

    plan = results["prsnl.ports.registry_info: edge"]["plan"]
    (planned,) = [
        endpoint for endpoint in plan["endpoints"] if endpoint["id"] == "thumbnailer.http"
    ]
    (opening,) = [opened for opened in openings(plan) if opened.id == "thumbnailer.http"]
    assert planned["listen"] == ["0.0.0.0", "::"]
    assert (opening.port, [str(source) for source in opening.sources]) == (8010, [f"{OPS}/32"])
    assert [opened.id for opened in openings(plan) if opened.id == "thumbnailer.preview"] == []


def openings(plan: dict[str, t.Any]) -> t.Any:
    """What the firewall opens for a plan."""
    sys.path.insert(0, str(ROOT / "collections"))
    from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import (  # noqa: PLC0415
        read_openings,
    )
    from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import (  # noqa: PLC0415
        read_plan,
    )

    return read_openings(read_plan(plan).endpoints, {})


def test_a_service_that_is_not_placed(project: Project) -> None:
    """Nobody shows or scrapes it, and its role does nothing."""
    add_thumbnailer(project)
    project.change(
        "registry/ports.yml",
        "    hosts: application\n    environments: [production]\n    range: backend",
        "    hosts: search\n    environments: [production]\n    range: backend",
    )
    results = project.provision(tags=f"{ROLES},thumbnailer")
    assert [name for name, result in results.items() if result.get("failed")] == []
    assert not (project.folder / "recorded/edge/thumbnailer.service.json").exists()
    files = project.daemon("ops", "grafana-server.service")["files"]
    shown = {pathlib.Path(f["path"]).stem for f in files if "/dashboards/" in f["path"]} - {"prsnl"}
    # DragonflyDB has no host here either.
    assert shown == {"prsnl-ports", "prsnl-hosts", "prsnl-nginx", "prsnl-postgresql"}
    assert "thumbnail" not in project.file("ops", "prometheus.service", "rules/ports.yml")
    # One socket of both families, unless the program opens one for each.
    assert bound(project) == {
        "grafana": "::",
        "node_exporter": "[::]:9100",
        "prometheus": "127.0.0.1:9090",
        "nginx": "0.0.0.0:80 [::]:80 0.0.0.0:443 [::]:443",
    }


def bound(project: Project) -> dict[str, str]:
    """Where the roles tell their daemons to listen."""
    grafana = project.file("ops", "grafana-server.service", "grafana.ini")
    (address,) = [line for line in grafana.splitlines() if line.startswith("http_addr")]
    arguments = {
        "node_exporter": project.file("edge", "prometheus-node-exporter.service", "node-exporter"),
        "prometheus": project.file("ops", "prometheus.service", "default/prometheus"),
    }
    words = {name: text.split('"')[1].split() for name, text in arguments.items()}
    return {
        "grafana": address.split(" = ")[1],
        **{
            name: " ".join(word.split("=")[1] for word in given if "listen-address" in word)
            for name, given in words.items()
        },
        "nginx": " ".join(
            line.split()[1]
            for line in project.file("edge", "nginx.service", "nginx.conf").splitlines()
            if "default_server" in line
        ),
    }


def test_where_daemons_listen_without_ipv4(project: Project) -> None:
    inventory = json.loads(json.dumps(INVENTORY))
    inventory["all"]["vars"]["port_address_families"] = ["ipv6"]
    project.write("inventory/hosts.yml", json.dumps(inventory))
    project.provision()
    assert bound(project) == {
        "grafana": "::",
        "node_exporter": "[::]:9100",
        "prometheus": "[::1]:9090",
        "nginx": "[::]:80 [::]:443",
    }


def test_where_daemons_listen_by_the_registry(project: Project) -> None:
    """A daemon that takes several addresses gets them; for another one, several are refused."""
    inventory = json.loads(json.dumps(INVENTORY))
    inventory["proxy"] = inventory["metrics"]
    project.write("inventory/hosts.yml", json.dumps(inventory))
    several = f"        addresses: [{EDGE}, {OPS}]\n"
    for port in (9100, 9090):
        project.change(
            "registry/ports.yml", f"        port: {port}\n", f"        port: {port}\n{several}"
        )
    results = project.provision()
    failed = {name: result["msg"] for name, result in results.items() if result.get("failed")}
    ((where, message),) = failed.items()
    assert where == "prometheus : Install, configure and run Prometheus: ops"
    assert f"ops: found 2 addresses for prometheus.http ({EDGE}, {OPS}), allowed is" in message
    assert not (project.folder / "recorded/ops/prometheus.service.json").exists()
    node_exporter = project.file("edge", "prometheus-node-exporter.service", "node-exporter")
    assert f"--web.listen-address={EDGE}:9100 --web.listen-address={OPS}:9100" in node_exporter
    # nginx is on another host, and uvicorn opens a socket for each family where no host is given.
    assert "--host '' --port 8000" in project.file("edge", "prsnl-backend.service", ".service")


def test_a_fault_of_one_host_ends_only_its_run(project: Project) -> None:
    """Roles that end early ask the registry where an error would end the run of all hosts."""
    project.write("inventory/host_vars/ops.yml", "nginx_https_port: 1\n")
    results = project.provision()
    failed = {name: result["msg"] for name, result in results.items() if result.get("failed")}
    assert {name.rpartition(": ")[2] for name in failed} == {"ops"}
    assert all("nginx_https_port is 1, but the registry has 443" in m for m in failed.values())
    assert (project.folder / "recorded/edge/nginx.service.json").exists()


def test_an_empty_secret_stops_whoever_needs_it(project: Project) -> None:
    """It never means that there is no password, and hosts that don't need it go on."""
    inventory = json.loads(json.dumps(INVENTORY))
    inventory["cache"] = {"hosts": {"cache": {"port_addresses": ["198.51.100.4"]}}}
    inventory["all"]["vars"]["dragonfly_checksums"] = {"arm64": "sha256:0"}
    project.write("inventory/hosts.yml", json.dumps(inventory))
    for name in ("dragonfly", "postgresql-prsnl", "grafana-admin"):
        project.write(f"inventory/.secrets/{name}.password", "")
        (project.folder / f"inventory/.secrets/{name}.password").chmod(0o600)
    results = project.provision("--check", tags="backend,dragonfly,grafana,node_exporter")
    failed = {
        key.rpartition(": ")[2]: result["msg"]
        for key, result in results.items()
        if result.get("failed")
    }
    assert failed.keys() == {"cache", "edge", "ops"}
    fault = ".password is empty, as after a full disk"
    assert f"dragonfly{fault}" in failed["cache"]
    assert f"postgresql-prsnl{fault}" in failed["edge"]
    assert f"grafana-admin{fault}" in failed["ops"]
    recorded = [path.stem for path in project.folder.glob("recorded/*/*.json")]
    assert set(recorded) <= {"prometheus-node-exporter.service"}


NASTY = "a@b/c?#%h é \"q\" 's' $HOME \\"


def test_values_are_what_they_are_in_foreign_syntaxes(project: Project) -> None:
    """A password, variables and texts that other programs would take for something else."""
    inventory = json.loads(json.dumps(INVENTORY))
    inventory["all"]["vars"] |= {
        "backend_database_password": NASTY,
        "backend_database_user": "a/b",
        "backend_database": "shop/x?sslmode=disable",
        "backend_environment": {"MOTD": f"two\nlines {NASTY}", "EMPTY": ""},
        "nginx_content_security_policy": 'default-src "self" \\',
        "prometheus_retention_time": '1d" --web.enable-admin-api',
        "postgresql_databases": [{"name": 'sh"op', "owner": "all"}],
        "grafana_settings": {"server": {"domain": "a;b#c"}},
    }
    project.write("inventory/hosts.yml", json.dumps(inventory))
    project.change(
        "registry/ports.yml",
        "description: FastAPI application with AutoAgent and LibreChat",
        "description: 100% FastAPI \\",
    )
    results = project.provision()
    assert [result["msg"] for result in results.values() if result.get("failed")] == []
    environment = project.file("edge", "prsnl-backend.service", "backend.env")
    values = {}
    for name, value in re.findall(r'^(\w+)="((?:[^"\\]|\\.)*)"$', environment, re.M | re.S):
        values[name] = re.sub(r'\\(["\\`$])', r"\1", value)
    url = urllib.parse.urlsplit(values["DATABASE_URL"])
    assert url.hostname == OPS
    assert urllib.parse.parse_qs(url.query) == {
        "sslmode": ["verify-full"],
        "sslrootcert": ["/etc/prsnl/backend.authority.pem"],
    }
    assert urllib.parse.unquote(url.username or "") == "a/b"
    assert urllib.parse.unquote(url.password or "") == NASTY
    assert urllib.parse.unquote(url.path) == "/shop/x?sslmode=disable"
    assert values["MOTD"] == f"two\nlines {NASTY}"
    assert values["EMPTY"] == ""
    unit = project.file("edge", "prsnl-backend.service", ".service")
    assert "\nDescription=100%% FastAPI \\ \n" in unit
    nginx = project.file("edge", "nginx.service", "nginx.conf")
    assert r'Content-Security-Policy "default-src \"self\" \\" always;' in nginx
    arguments = project.file("ops", "prometheus.service", "default/prometheus")
    assert r'\"--storage.tsdb.retention.time=1d\\\" --web.enable-admin-api\""' in arguments


def test_prometheus_knows_whom_it_scrapes_by_tls(project: Project) -> None:
    """The site's authority has signed what its roles make, and not what brings its own."""
    inventory = json.loads(json.dumps(INVENTORY))
    inventory["cache"] = {"hosts": {"edge": {}}}
    project.write("inventory/hosts.yml", json.dumps(inventory))
    project.change(
        "registry/ports.yml",
        "description: Web interface and API\n",
        "description: Web interface and API\n        metrics: /status\n",
    )
    project.provision()
    scraped = yaml.safe_load(project.file("ops", "prometheus.service", "prometheus.yml"))
    jobs = {job["job_name"]: job for job in scraped["scrape_configs"]}
    schemes = {
        name: {config["labels"]["__scheme__"] for config in jobs[name]["static_configs"]}
        for name in ("dragonfly.admin", "nginx.https", "node_exporter.http")
    }
    assert schemes == {
        "dragonfly.admin": {"https"},
        "nginx.https": {"https"},
        "node_exporter.http": {"http"},
    }
    authority = {"ca_file": "/etc/prometheus/authority.pem"}
    assert {name: job["tls_config"] for name, job in jobs.items() if "tls_config" in job} == {
        "dragonfly.admin": authority
    }
    assert "BEGIN CERTIFICATE" in project.file("ops", "prometheus.service", "authority.pem")


@pytest.mark.parametrize(
    "image",
    ["registry.example/app", "registry.example/app:1.2", "app@sha256:12", "app@sha512:" + 64 * "0"],
)
def test_an_image_needs_its_digest(project: Project, image: str) -> None:
    changes = {"backend_archive_url": "", "backend_archive_checksum": "", "backend_image": image}
    inventory = json.loads(json.dumps(INVENTORY))
    inventory["all"]["vars"] |= changes
    project.write("inventory/hosts.yml", json.dumps(inventory))
    results = project.provision(tags="backend")
    (message,) = [result["msg"] for result in results.values() if result.get("failed")]
    assert f"backend_image is '{image}', allowed is an image with its digest" in message
    assert not (project.folder / "recorded/edge/prsnl-backend.service.json").exists()
