# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is generated for dependents, read by those who depend on it where that is possible here."""

from __future__ import annotations

import json
import pathlib
import re

import jsonschema
import pytest
import yaml
from ansible_collections.prsnl.ports.plugins.plugin_utils.outputs import fragments, steps
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import RegistryError
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import Registry
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.outputs import Output

TEXT = (pathlib.Path(__file__).parents[1] / "references" / "ports.yml").read_text(encoding="utf-8")
REGISTRY = load.parse(TEXT.encode(), "/srv/shop/registry/ports.yml")
SCHEMAS = pathlib.Path(__file__).parents[5] / "schemas"
HEADER = "# Generated from registry/ports.yml by `ports generate`. Don't edit it.\n"


def made(file: str, form: str, **options: object) -> str:
    """A generated text."""
    return fragments.fragment(REGISTRY, Output(f"../{file}", form, **options))  # type: ignore[arg-type]


def test_compose_is_bound_to_loopback_unless_it_is_public() -> None:
    containers = {"postgresql.sql": "db:5432", "nginx.https": "web:443", "nginx.http": "web:80"}
    text = made("compose.ports.yml", "compose", containers=containers)
    assert text == HEADER + (
        "services:\n"
        "  db:\n"
        "    ports: !override\n"
        '      - "127.0.0.1:5433:5432"\n'
        "  web:\n"
        "    ports: !override\n"
        '      - "443:443"\n'
        '      - "80:80"\n'
    )


def test_compose_without_names_has_what_has_to_be_bound() -> None:
    text = made("c.yml", "compose", environment="development")
    data = yaml.safe_load(text.replace("!override", ""))
    assert data["services"] == {
        "frontend": {"ports": ["127.0.0.1:3004:3004", "127.0.0.1:3003:3003"]},
        "backend": {"ports": ["127.0.0.1:8010:8010"]},
        "postgresql": {"ports": ["127.0.0.1:5433:5433"]},
        "dragonfly": {"ports": ["127.0.0.1:6380:6380"]},
    }


def test_compose_keeps_addresses_and_protocols() -> None:
    text = TEXT.replace(
        "sql: {port: 5433, status: critical,",
        "udp: {port: 5500, protocol: udp, status: alternative, exposure: public}\n"
        "      sql: {port: 5433, status: critical, addresses: ['192.0.2.1', '2001:db8::1'],",
    )
    registry = load.parse(text.encode(), "ports.yml")
    containers = {"postgresql.sql": "db:5432", "postgresql.udp": "db:5500"}
    assert re.findall(
        '"(.*)"', fragments.fragment(registry, Output("c", "compose", containers=containers))
    ) == ["192.0.2.1:5433:5432", "[2001:db8::1]:5433:5432", "5500:5500/udp"]


def test_variables() -> None:
    text = made("app/.env", "env", services=("backend", "postgresql"))
    assert text == (
        "# Generated from ../registry/ports.yml by `ports generate`. Don't edit it.\n"
        "BACKEND_HTTP_PORT=8010\nPOSTGRESQL_SQL_PORT=5433\n"
    )
    assert made(".env", "env", variables={"DB_PORT": "postgresql.sql"}) == HEADER + "DB_PORT=5433\n"


def test_variables_of_the_same_name_are_a_fault() -> None:
    text = TEXT.replace(
        "  grafana:\n",
        "  shop:\n    description: Shop\n    hosts: data\n    environments: [production]\n"
        "    owner: {process: shop}\n    endpoints:\n"
        "      a_b: {port: 15001, status: alternative, exposure: host}\n"
        "  shop_a:\n    description: Shop\n    hosts: data\n    environments: [production]\n"
        "    owner: {process: shop}\n    endpoints:\n"
        "      b: {port: 15002, status: alternative, exposure: host}\n  grafana:\n",
        1,
    )
    registry = load.parse(text.encode(), "ports.yml")
    with pytest.raises(RegistryError, match=r"SHOP_A_B_PORT for shop\.a_b and for shop_a\.b"):
        fragments.fragment(registry, Output(".env", "env"))


def test_origins() -> None:
    assert json.loads(made("cors.json", "cors")) == [
        "http://localhost:3004",
        "http://localhost:3003",
        "http://localhost:3002",
    ]
    hosts = {"application": ["shop.example", "::1"]}
    assert json.loads(made("cors.json", "cors", environment="production", hosts=hosts)) == [
        "http://shop.example:3003",
        "http://[::1]:3003",
    ]


def test_vite() -> None:
    servers = {"server": "frontend.dev", "preview": "frontend.container"}
    assert json.loads(made("vite.json", "vite", **servers)) == {
        "server": {"port": 3004, "strictPort": True},
        "preview": {"port": 3003, "strictPort": True},
    }
    assert made("ports.ts", "vite", **servers).splitlines()[1:] == [
        "export const server = { port: 3004, strictPort: true } as const;",
        "export const preview = { port: 3003, strictPort: true } as const;",
    ]
    assert "as const" not in made("ports.mjs", "vite", server="frontend.dev")


def test_a_silent_endpoint_can_not_be_named() -> None:
    with pytest.raises(RegistryError, match=r"postgresql\.intel, which is retired"):
        made(".env", "env", variables={"DB_PORT": "postgresql.intel"})


def test_services_are_entries_of_etc_services() -> None:
    rows = made("services", "services").splitlines()[1:]
    found = [re.fullmatch(r"([a-z0-9-]+)\s+(\d+)/(tcp|udp)\s+# .+", row) for row in rows]
    assert all(found), rows
    ports = [int(match[2]) for match in found if match]
    assert ports == sorted(ports)
    assert 5432 not in ports
    assert rows[-1].split()[:2] == ["grafana-http", "9301/tcp"]


def test_json_is_as_its_schema_says() -> None:
    data = json.loads(made("ports.json", "json"))
    schema = json.loads((SCHEMAS / "export.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(data)
    by_id = {endpoint["id"]: endpoint for endpoint in data["endpoints"]}
    assert by_id["frontend.dev"]["former_ports"] == [3002, 3003]
    assert by_id["postgresql.sql"]["port"] == 5433
    assert [silent["id"] for silent in data["silent"]] == ["postgresql.intel"]
    wrong = {**data, "endpoints": [{**data["endpoints"][0], "port": 0}]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(wrong)


def test_targets_of_prometheus() -> None:
    hosts = {"ops": ["ops1", "2001:db8::5"], "all": ["elsewhere"]}
    data = json.loads(made("targets.json", "file_sd", hosts=hosts))
    assert [(group["targets"], group["labels"]["job"]) for group in data] == [
        (["ops1:9301", "[2001:db8::5]:9301"], "grafana"),
        (["ops1:9091", "[2001:db8::5]:9091"], "prometheus"),
        (["elsewhere:9187"], "postgres_exporter"),
    ]
    assert {group["labels"]["__metrics_path__"] for group in data} == {"/metrics"}


def test_openmetrics() -> None:
    rows = made("metrics", "openmetrics").splitlines()
    assert rows[0] == "# TYPE prsnl_port_allocation info"
    assert rows[-1] == "# EOF"
    sample = re.compile(r'prsnl_port_allocation_info\{(?:[a-z]+="[^"\\]*",?)+\} 1')
    assert all(map(sample.fullmatch, rows[2:-1]))
    assert sum('endpoint="postgresql.sql"' in row and 'port="5433"' in row for row in rows) == 1


def registry_in(folder: pathlib.Path, outputs: str) -> Registry:
    """A registry in a directory that declares generated files."""
    (folder / "registry").mkdir(exist_ok=True)
    file = folder / "registry" / "ports.yml"
    file.write_text(TEXT.replace("history:\n", f"outputs:\n{outputs}history:\n"))
    return load.read(str(file))


def test_out_of_step_and_back(tmp_path: pathlib.Path) -> None:
    registry = registry_in(
        tmp_path,
        "  - {file: ../a/b/ports.env, format: env, services: [backend]}\n"
        "  - {file: ../ports.md, format: guide}\n",
    )
    files = steps.generated(registry)
    assert [(f.in_step, str(f).rpartition(": ")[2]) for f in files] == [
        (False, "is missing; run `ports generate`")
    ] * 2
    steps.write(files)
    assert all(f.in_step for f in steps.generated(registry))
    path = tmp_path / "a" / "b" / "ports.env"
    path.write_text(path.read_text().replace("8010", "8000"))
    behind = [f for f in steps.generated(registry) if not f.in_step]
    assert [f.path for f in behind] == [str(path)]
    assert "out of step" in str(behind[0])
    assert "-BACKEND_HTTP_PORT=8000\n+BACKEND_HTTP_PORT=8010\n" in behind[0].diff()
    steps.write(behind)
    assert all(f.in_step for f in steps.generated(registry))


def test_the_same_registry_gives_the_same_bytes(tmp_path: pathlib.Path) -> None:
    """Wherever it lies, and from wherever it is read."""
    formats = ["env", "cors", "services", "json", "file_sd", "openmetrics", "guide", "compose"]
    outputs = "".join(f"  - {{file: ../out/{f}, format: {f}}}\n" for f in formats)
    results = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        results.append([f.after for f in steps.generated(registry_in(folder, outputs))])
    assert results[0] == results[1]
    assert len(set(results[0])) == len(formats)


def test_a_link_is_not_written_through(tmp_path: pathlib.Path) -> None:
    registry = registry_in(tmp_path, "  - {file: ../x.env, format: env}\n")
    (tmp_path / "target").write_text("mine")
    (tmp_path / "x.env").symlink_to("target")
    with pytest.raises(RegistryError, match=r"x\.env: isn't a regular file"):
        steps.generated(registry)
    assert (tmp_path / "target").read_text() == "mine"
