# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vars plugin, the lookup and registry_info in playbooks, as users run them."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest

COLLECTIONS = pathlib.Path(__file__).parents[6]
BASE = (pathlib.Path(__file__).parent / "plugin_utils" / "registry" / "base.yml").read_text(
    encoding="utf-8"
)
CONFIG = """\
[defaults]
inventory = inventory
collections_path = {collections}
vars_plugins_enabled = host_group_vars, prsnl.ports.registry
stdout_callback = ansible.posix.json
[port_registry]
path = ports.yml
"""
INVENTORY: dict[str, t.Any] = {
    "all": {
        "vars": {"port_environment": "production"},
        "hosts": {"app": {"port_addresses": ["198.51.100.1"]}, "198.51.100.2": {}},
    },
    "front": {"hosts": {"app": {}}},
    "back": {"hosts": {"198.51.100.2": {}}},
    "other": {"hosts": {"app": {}, "198.51.100.2": {}}},
}


@dataclasses.dataclass
class Site:
    """A project with a registry, an inventory and an ansible.cfg."""

    folder: pathlib.Path

    def write(self, name: str, content: str) -> None:
        """A file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    def start(self, *tasks: dict[str, t.Any], hosts: str = "all", **options: t.Any) -> t.Any:
        """Runs a play of the tasks; `args` and `env` of the command are options."""
        play = {"hosts": hosts, "gather_facts": False, "tasks": tasks, **options.get("play", {})}
        self.write("play.yml", json.dumps([play]))
        return subprocess.run(
            [
                str(pathlib.Path(sys.executable).with_name("ansible-playbook")),
                "play.yml",
                *options.get("args", ()),
            ],
            cwd=self.folder,
            env={**os.environ, "ANSIBLE_CONFIG": "ansible.cfg", **options.get("env", {})},
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, *tasks: dict[str, t.Any], **options: t.Any) -> list[dict[str, t.Any]]:
        """For each task that was run the results of the hosts."""
        done = self.start(*tasks, **options)
        assert done.stdout, done.stderr
        plays = json.loads(done.stdout)["plays"]
        return [task["hosts"] for play in plays for task in play["tasks"]]


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Site:
    """A project without faults."""
    result = Site(tmp_path)
    config = CONFIG.format(collections=COLLECTIONS)
    result.write("ansible.cfg", config)
    result.write("ports.yml", BASE)
    result.write("inventory/hosts.yml", json.dumps(INVENTORY))
    return result


def show(expression: str) -> dict[str, t.Any]:
    """A task that shows the value of an expression."""
    return {"ansible.builtin.debug": {"msg": f"{{{{ {expression} }}}}"}}


def test_every_host_has_the_registry(site: Site) -> None:
    """Also one that is in no group."""
    task = show("port_registry.services.store.endpoints.sql.port")
    (shown,) = site.run(task, hosts="all,localhost")
    assert {host: result["msg"] for host, result in shown.items()} == dict.fromkeys(
        ["app", "198.51.100.2", "localhost"], 21001
    )


def test_templates_in_the_registry_stay_text(site: Site) -> None:
    """In the variable, in the lookup and in the answer to a query."""
    template = "{{ 1 / 0 }}"
    site.write("ports.yml", BASE.replace("description: The shop", f"description: '{template}'"))
    shown = site.run(
        show("port_registry.services.shop.description"),
        show("lookup('prsnl.ports.endpoint', 'shop.http').description"),
        {"prsnl.ports.registry_info": {"query": "services.shop.description"}, "register": "info"},
        show("info.result ~ info.plan.endpoints[0].description"),
        args=["--limit", "app"],
    )
    assert shown[0]["app"]["msg"] == template
    assert shown[1]["app"]["msg"] == template
    assert shown[2]["app"]["result"] == template
    assert shown[3]["app"]["msg"] == template * 2


@pytest.mark.parametrize("hosts", ["all", "localhost"])
def test_faults_end_the_run_before_the_first_task(site: Site, hosts: str) -> None:
    """All of them, with the file as it was given."""
    broken = BASE.replace("port: 20001", "port: none").replace("hosts: back", "hosts: bakc")
    site.write("ports.yml", broken)
    done = site.start({"ansible.builtin.file": {"path": "touched", "state": "touch"}}, hosts=hosts)
    assert done.returncode == 1
    assert not (site.folder / "touched").exists()
    assert done.stderr.splitlines()[:2] == [
        "[ERROR]: ports.yml:30: services.shop.endpoints.http.port: found 'none', allowed is a whole"
        " number from 1 to 65535",
        "ports.yml:42: services.store.hosts: found 'bakc', allowed are the groups of this file;"
        " did you mean 'back'?",
    ]
    assert "Traceback" not in done.stderr


def test_the_path_of_the_registry(site: Site) -> None:
    """It must be set, and be that of a file; the environment comes before ansible.cfg."""
    task = show("port_registry")
    done = site.start(task, env={"PORT_REGISTRY": "nowhere.yml"})
    assert done.returncode == 1
    assert done.stderr == (
        "[ERROR]: nowhere.yml: the port registry can't be read: No such file or directory. Set path"
        " in the section [port_registry] of ansible.cfg, or PORT_REGISTRY, to where it is\n"
    )
    config = (site.folder / "ansible.cfg").read_text(encoding="utf-8")
    site.write("ansible.cfg", config.partition("[port_registry]")[0])
    done = site.start(task)
    assert done.returncode == 1
    assert done.stderr == (
        "[ERROR]: The path of the port registry isn't set. Set path in the section [port_registry]"
        " of ansible.cfg, or the environment variable PORT_REGISTRY\n"
    )


def test_the_lookup_on_both_sides(site: Site) -> None:
    """On the host that serves, on one that consumes, and with a limit that hides the other."""
    task = show("lookup('prsnl.ports.endpoint', 'store.sql')")
    (shown,) = site.run(task)
    here, there = shown["198.51.100.2"]["msg"], shown["app"]["msg"]
    assert here["listen"] == ["0.0.0.0", "::"]
    assert [source["cidr"] for source in here["sources"]] == ["198.51.100.1/32", "192.0.2.0/24"]
    assert here["targets"] == [
        {"host": "198.51.100.2", "address": "127.0.0.1", "port": 21001, "local": True}
    ]
    assert (here["address"], there["address"]) == ("127.0.0.1", "198.51.100.2")
    assert (there["listen"], there["allowed"], there["sources"]) == ([], [], [])
    (limited,) = site.run(task, args=["--limit", "app"])
    assert limited["app"]["msg"] == there


def test_the_lookup_of_everything_that_is_placed(site: Site) -> None:
    """Optional and silent endpoints aren't, and `select` narrows it."""
    shown = site.run(
        show("query('prsnl.ports.endpoint') | map(attribute='id')"),
        show("query('prsnl.ports.endpoint', select='routes') | map(attribute='id')"),
        show("query('prsnl.ports.endpoint', select='metrics')"),
        args=["--limit", "app"],
    )
    assert [task["app"]["msg"] for task in shown] == [["shop.http", "store.sql"], ["shop.http"], []]


def test_a_service_whose_group_is_missing_is_not_placed(site: Site) -> None:
    """It is in nobody's plan, and can't be reached."""
    inventory = {name: group for name, group in INVENTORY.items() if name != "back"}
    site.write("inventory/hosts.yml", json.dumps(inventory))
    shown = site.run(
        show("lookup('prsnl.ports.endpoint', 'store.sql').address is none"),
        show("query('prsnl.ports.endpoint') | map(attribute='id')"),
        {"prsnl.ports.registry_info": {}},
    )
    assert {result["msg"] for result in shown[0].values()} == {True}
    assert shown[1]["app"]["msg"] == ["shop.http"]
    assert shown[2]["198.51.100.2"]["plan"]["endpoints"] == []


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (
            "lookup('prsnl.ports.endpoint', 'store.sqll')",
            "found 'store.sqll', allowed is the id of an endpoint in ports.yml; did you mean"
            " 'store.sql', 'store.old' or 'store.cluster'?",
        ),
        (
            "query('prsnl.ports.endpoint', select='port >')",
            "select: found 'port >', allowed is a JMESPath expression (jmespath.org):",
        ),
        (
            "query('prsnl.ports.endpoint', select='abs(id)')",
            "select: found 'abs(id)', allowed is a JMESPath expression (jmespath.org): In function"
            " abs(), invalid type for value: shop.http",
        ),
    ],
)
def test_faults_of_a_lookup(site: Site, expression: str, message: str) -> None:
    """They say what is allowed."""
    (shown,) = site.run(show(expression), args=["--limit", "app"])
    assert message in shown["app"]["msg"]


def test_registry_info_needs_no_connection(site: Site) -> None:
    """The inventory's addresses are for documentation; nobody answers there."""
    task = {
        "prsnl.ports.registry_info": {
            "query": "endpoints[?exposure == 'public'].[id, hosts, owner.user]"
        }
    }
    (shown,) = site.run(task, args=["--check", "--diff"])
    result = shown["app"]
    assert result["result"] == [["shop.http", "front", "shop"]]
    assert result["changed"] is False
    assert result["path"] == str(site.folder / "ports.yml")
    plan = result["plan"]
    assert (plan["host"], plan["environment"]) == ("app", "production")
    assert [endpoint["id"] for endpoint in plan["endpoints"]] == ["shop.http"]
    assert [e["id"] for e in shown["198.51.100.2"]["plan"]["endpoints"]] == [
        "store.cluster",
        "store.old",
        "store.sql",
    ]


def test_registry_info_without_a_plan(site: Site) -> None:
    """A host that belongs to no environment, such as the controller, has none."""
    inventory = {name: group for name, group in INVENTORY.items() if name != "all"}
    site.write("inventory/hosts.yml", json.dumps(inventory))
    (shown,) = site.run({"prsnl.ports.registry_info": {"query": "version"}}, hosts="localhost")
    assert shown["localhost"]["result"] == 1
    assert "plan" not in shown["localhost"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"query": "endpoints[?"},
            "query: found 'endpoints[?', allowed is a JMESPath expression (jmespath.org): Invalid"
            " jmespath expression: Incomplete expression",
        ),
        (
            {"query": "sort_by(endpoints, &routes)"},
            "query: found 'sort_by(endpoints, &routes)', allowed is a JMESPath expression"
            " (jmespath.org): In function sort_by(), invalid type for value:",
        ),
        ({"quer": "version"}, "Supported parameters include: query."),
    ],
)
def test_faults_of_registry_info(site: Site, arguments: dict[str, str], message: str) -> None:
    """They say what is allowed."""
    (shown,) = site.run({"prsnl.ports.registry_info": arguments}, args=["--limit", "app"])
    assert shown["app"]["failed"]
    assert message in shown["app"]["msg"]


def test_a_variable_that_contradicts_the_registry(site: Site) -> None:
    """Both places are named; templates count where they can be resolved."""
    site.write("group_vars/all.yml", "store_port: 21002\nbase: 20000\nshop_http_port: '{{ base }}'")
    store = (
        f"{site.folder}/group_vars/all.yml:1:13: store_port is 21002, but the registry has 21001"
        " for store.sql (ports.yml:48). Remove the variable, or change the port in the registry"
    )
    shop = (
        f"{site.folder}/group_vars/all.yml:3:17: shop_http_port is 20000, but the registry has"
        " 20001 for shop.http (ports.yml:30)."
    )
    limit = ["--limit", "app"]
    (shown,) = site.run(show("query('prsnl.ports.endpoint')"), args=limit)
    assert store in shown["app"]["msg"]
    assert shop not in shown["app"]["msg"]
    (shown,) = site.run({"prsnl.ports.registry_info": {}}, args=limit)
    assert store in shown["app"]["msg"]
    assert shop in shown["app"]["msg"]


def test_a_variable_that_repeats_the_registry(site: Site) -> None:
    """Also as text, and by way of the lookup; names of nothing in the registry are free."""
    variables = {
        "store_port": "21001",
        "store_sql_port": 21001,
        "shop_port": "{{ lookup('prsnl.ports.endpoint', 'shop.http').port }}",
        "other_port": 1,
    }
    (shown,) = site.run(
        {"prsnl.ports.registry_info": {}}, args=["--limit", "app"], play={"vars": variables}
    )
    assert shown["app"]["plan"]["endpoints"]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"port_environment": "prod"},
            "app: port_environment is 'prod'; set it to one of the registry's environments:"
            " staging, production",
        ),
        (
            {"port_addresses": "198.51.100.1"},
            "app: port_addresses is '198.51.100.1', allowed is a list of IP addresses",
        ),
        (
            {"port_addresses": ["198.51.100.1", "app.example"]},
            "app: port_addresses has 'app.example', allowed is a list of IP addresses",
        ),
        (
            {"port_addresses": []},
            "app: port_addresses is an empty list, allowed is a list of IP addresses",
        ),
        (
            {"port_address_families": ["ip"]},
            "app: port_address_families has 'ip', allowed is a list of ipv4 and ipv6",
        ),
    ],
)
def test_variables_of_hosts(site: Site, variables: dict[str, t.Any], message: str) -> None:
    """A fault names the host, the variable and what is allowed."""
    site.write("host_vars/app.yml", json.dumps(variables))
    (shown,) = site.run({"prsnl.ports.registry_info": {}}, args=["--limit", "app"])
    assert shown["app"]["msg"].endswith(message)


def test_the_address_of_a_host(site: Site) -> None:
    """It is that of the connection, unless that is a name or this machine."""
    expression = "lookup('prsnl.ports.endpoint', 'shop.http').address"
    inventory = json.loads(json.dumps(INVENTORY))
    del inventory["all"]["hosts"]["app"]["port_addresses"]
    for address, message in (
        ("203.0.113.5", "203.0.113.5"),
        ("127.0.0.1", "set port_addresses of app"),
        ("app.example", "set port_addresses of app"),
    ):
        inventory["all"]["hosts"]["app"]["ansible_host"] = address
        site.write("inventory/hosts.yml", json.dumps(inventory))
        (shown,) = site.run(show(expression), args=["--limit", "back"])
        assert message in shown["198.51.100.2"]["msg"]
