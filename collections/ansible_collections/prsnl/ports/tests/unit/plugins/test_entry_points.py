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
        {
            "host": "198.51.100.2",
            "address": "127.0.0.1",
            "port": 21001,
            "local": True,
            "tls": False,
            "socket": "127.0.0.1:21001",
        }
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
        ({"quer": "version"}, "Supported parameters include: port, protocol, query, range."),
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


def test_what_to_bind_and_where_to_connect(site: Site) -> None:
    """The addresses with their port, as programs and URLs write them."""
    (shown,) = site.run(show("lookup('prsnl.ports.endpoint', 'store.sql', single=true)"))
    here, there = shown["198.51.100.2"]["msg"], shown["app"]["msg"]
    assert here["sockets"] == ["0.0.0.0:21001", "[::]:21001"]
    assert here["bind"] == {
        "address": "::",
        "addresses": ["::"],
        "socket": "[::]:21001",
        "sockets": ["[::]:21001"],
        "wildcard": True,
        "dual_stack": True,
    }
    assert (here["socket"], here["targets"][0]["socket"]) == ("127.0.0.1:21001",) * 2
    assert (there["bind"]["address"], there["bind"]["sockets"], there["sockets"]) == (None, [], [])
    assert there["socket"] == "198.51.100.2:21001"


@pytest.mark.parametrize(
    ("families", "address"), [(["ipv4"], "0.0.0.0"), (["ipv6"], "::"), (["ipv6", "ipv4"], "::")]
)
def test_what_to_bind_with_one_family(site: Site, families: list[str], address: str) -> None:
    site.write("host_vars/app.yml", json.dumps({"port_address_families": families}))
    (shown,) = site.run(
        show("lookup('prsnl.ports.endpoint', 'shop.http', single=true).bind"),
        args=["--limit", "app"],
    )
    bind = shown["app"]["msg"]
    assert (bind["address"], bind["wildcard"]) == (address, True)
    assert bind["dual_stack"] is (len(families) == 2)


def test_a_daemon_that_takes_one_address(site: Site) -> None:
    """More of them are refused on the host that would need them, and there only."""
    several = BASE.replace(
        "port: 20001", "port: 20001\n        addresses: [198.51.100.1, 198.51.100.7]"
    )
    site.write("ports.yml", several)
    (shown,) = site.run(
        show("lookup('prsnl.ports.endpoint', 'shop.http', single=true).bind.address is none"),
    )
    assert (
        "app: found 2 addresses for shop.http (198.51.100.1, 198.51.100.7), allowed is one, because"
        " its daemon takes no more. Shorten its addresses in ports.yml:31, or write :: (or 0.0.0.0)"
        " there, which is all of them"
    ) in shown["app"]["msg"]
    assert shown["198.51.100.2"]["msg"] is True
    (unasked,) = site.run(
        show("lookup('prsnl.ports.endpoint', 'shop.http').bind"), args=["--limit", "app"]
    )
    assert unasked["app"]["msg"]["address"] is None
    assert unasked["app"]["msg"]["sockets"] == ["198.51.100.1:20001", "198.51.100.7:20001"]


SECRET = "lookup('prsnl.ports.secret', 'store-shop')"
FILE = "inventory/.secrets/store-shop.password"
PLACEHOLDER = "(store-shop.password is made outside of check mode)"


def test_a_secret_is_the_same_for_everybody(site: Site) -> None:
    """For twenty hosts that ask at once, and for the next run."""
    hosts = {f"host{number}": {"ansible_connection": "local"} for number in range(20)}
    inventory = {**INVENTORY, "crowd": {"hosts": hosts}}
    site.write("inventory/hosts.yml", json.dumps(inventory))
    runs = [site.run(show(SECRET), hosts="crowd", args=["--forks", "20"]) for _index in range(2)]
    values = {result["msg"] for (shown,) in runs for result in shown.values()}
    assert values == {(site.folder / FILE).read_text(encoding="utf-8").strip()}
    assert [path.name for path in (site.folder / FILE).parent.iterdir()] == ["store-shop.password"]


def test_the_folder_of_secrets(site: Site) -> None:
    """An option, else a variable that may be a template, else in the inventory's folder."""
    path = "lookup('prsnl.ports.secret', 'a b', kind='key', path=true{})"
    shown = site.run(
        show(path.format("")),
        show(path.format(", directory=''")),
        show(path.format(", directory='sub/folder'")),
        args=["--limit", "app"],
    )
    folder = f"{site.folder}/inventory/.secrets"
    expected = [folder, folder, f"{site.folder}/sub/folder"]
    assert [task["app"]["msg"] for task in shown] == [f"{place}/a b.key" for place in expected]
    (own,) = site.run(
        show(path.format("")),
        args=["--limit", "app"],
        play={"vars": {"base": str(site.folder), "secrets_dir": "{{ base }}/own"}},
    )
    assert own["app"]["msg"] == f"{site.folder}/own/a b.key"
    assert not (site.folder / "own").exists()


def test_how_a_secret_is_made(site: Site) -> None:
    expression = SECRET.replace(")", ", length=40, characters=['0123456789', 'ABC'])")
    (shown,) = site.run(show(expression), args=["--limit", "app"])
    assert len(shown["app"]["msg"]) == 40
    assert set(shown["app"]["msg"]) <= set("0123456789ABC")


def test_check_mode_makes_no_secret(site: Site) -> None:
    """On the command line as well as in a task; what stands for it can't be taken for one."""
    task = show(SECRET)
    (shown,) = site.run(task, args=["--limit", "app", "--check"])
    assert shown["app"]["msg"] == PLACEHOLDER
    (shown,) = site.run({**task, "check_mode": True}, args=["--limit", "app"])
    assert shown["app"]["msg"] == PLACEHOLDER
    (shown,) = site.run({**task, "check_mode": False}, args=["--limit", "app", "--check"])
    assert "check mode makes none, and this task changes something in" in shown["app"]["msg"]
    assert not (site.folder / FILE).parent.exists()
    (shown,) = site.run({**task, "check_mode": False}, args=["--limit", "app"])
    made = shown["app"]["msg"]
    (shown,) = site.run(task, args=["--limit", "app", "--check"])
    assert shown["app"]["msg"] == made


def test_a_file_changes_in_check_mode_when_its_secret_would(site: Site) -> None:
    """And nothing is said about the secret, whatever is asked."""
    copy = {
        "ansible.builtin.copy": {
            "content": f"{{{{ {SECRET} }}}}",
            "dest": f"{site.folder}/target",
            "mode": "0600",
        },
        "no_log": True,
        "connection": "local",
        "vars": {"ansible_python_interpreter": sys.executable},
    }
    site.write("target", "as before")
    arguments = ["--limit", "app", "--check", "--diff"]
    (shown,) = site.run(copy, args=arguments)
    assert shown["app"]["changed"] is True
    (shown,) = site.run(copy, args=["--limit", "app"])
    made = (site.folder / "target").read_text(encoding="utf-8")
    assert made == (site.folder / FILE).read_text(encoding="utf-8").strip()
    (shown,) = site.run(copy, args=arguments)
    assert shown["app"]["changed"] is False
    done = site.start(copy, args=[*arguments, "-vvv"], env={"ANSIBLE_STDOUT_CALLBACK": "default"})
    assert made not in done.stdout + done.stderr


def test_templates_in_a_secret_stay_text(site: Site) -> None:
    site.write(FILE, "{{ 1 / 0 }}\n")
    (site.folder / FILE).chmod(0o600)
    (shown,) = site.run(show(SECRET), args=["--limit", "app"])
    assert shown["app"]["msg"] == "{{ 1 / 0 }}"


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        ("", 0o600, " is empty, as after a full disk, and an empty secret would mean none. Put"),
        ("hidden\n", 0o640, " has the mode 0640, with which others may read or change the secret."),
    ],
    # The name of the test is part of the path that is told.
    ids=["empty", "readable"],
)
def test_faults_of_a_secret(site: Site, content: str, mode: int, message: str) -> None:
    """An error, in check mode too, that names the file."""
    site.write(FILE, content)
    (site.folder / FILE).chmod(mode)
    for arguments in ([], ["--check"]):
        (shown,) = site.run(show(SECRET), args=["--limit", "app", *arguments])
        assert f"{site.folder}/{FILE}{message}" in shown["app"]["msg"]
        assert "hidden" not in shown["app"]["msg"]


def test_a_secret_that_something_else_makes(site: Site) -> None:
    """It is waited for by its path, and never made here."""
    expression = SECRET.replace(")", ", kind='pem', create=false)")
    (shown,) = site.run(show(expression), args=["--limit", "app"])
    assert "store-shop.pem isn't there yet. Run first what makes it" in shown["app"]["msg"]
    (shown,) = site.run(show(expression), args=["--limit", "app", "--check"])
    assert shown["app"]["msg"] == "(store-shop.pem is made outside of check mode)"
    site.write("inventory/.secrets/store-shop.pem", "one\ntwo\n")
    (site.folder / "inventory/.secrets/store-shop.pem").chmod(0o600)
    (shown,) = site.run(show(expression), args=["--limit", "app"])
    assert shown["app"]["msg"] == "one\ntwo"


DASHBOARDS = "shop-sales:\n  title: '{{ 1 / 0 }}'\n"
OFFERS = "lookup('prsnl.ports.offers', 'dashboards')"


def test_roles_of_placed_services_offer(site: Site) -> None:
    """Those of others don't, and templates stay text."""
    site.write("roles/shop/offers/dashboards.yml", DASHBOARDS)
    site.write("roles/store/offers/dashboards.yml", "store:\n  title: Store\n")
    site.write("roles/unknown/offers/dashboards.yml", "unknown:\n  title: Unknown\n")
    site.write("roles/store/offers/users.yml", "- store\n")
    site.write("roles/shop/offers/users.yml", "- shop\n")
    shown = site.run(
        show(OFFERS),
        show("lookup('prsnl.ports.offers', 'users')"),
        show("lookup('prsnl.ports.offers', 'users', here=true)"),
        show("lookup('prsnl.ports.offers', 'nothing')"),
    )
    app, other = (
        {number: task[host]["msg"] for number, task in enumerate(shown)}
        for host in ("app", "198.51.100.2")
    )
    # The collection's own.
    assert app[0].pop("prsnl-ports")["title"].startswith("Ports")
    assert app[0] == {"shop-sales": {"title": "{{ 1 / 0 }}"}, "store": {"title": "Store"}}
    assert (app[1], app[2], app[3]) == (["shop", "store"], ["shop"], {})
    assert (other[1], other[2]) == (["shop", "store"], ["store"])
    inventory = {name: group for name, group in INVENTORY.items() if name != "back"}
    site.write("inventory/hosts.yml", json.dumps(inventory))
    (fewer,) = site.run(show(OFFERS), args=["--limit", "app"])
    assert sorted(fewer["app"]["msg"]) == ["prsnl-ports", "shop-sales"]


def test_faults_of_offers(site: Site) -> None:
    """They name the file and the line."""
    site.write("roles/shop/offers/titles.yml", "shop:\n  titel: Shop\n")
    site.write("schema.json", json.dumps({"type": "array"}))
    expression = "lookup('prsnl.ports.offers', 'titles', schema='schema.json')"
    (shown,) = site.run(show(expression.replace("'schema", "'no")), args=["--limit", "app"])
    assert "no.json: it can't be read: No such file or directory" in shown["app"]["msg"]
    (shown,) = site.run(show(expression), args=["--limit", "app"])
    assert (
        "roles/shop/offers/titles.yml:1: (root): found a mapping, allowed is a list"
        in shown["app"]["msg"]
    )


def test_names_of_a_certificate(site: Site) -> None:
    """As a certificate has them, whichever way they were written."""
    names = ["Shop.example", "198.51.100.1", "2001:DB8:0::1", "shop.example", "1.2.3", "::1"]
    (shown,) = site.run(
        show("names | prsnl.ports.subject_alt_names"),
        args=["--limit", "app"],
        play={"vars": {"names": names}},
    )
    assert shown["app"]["msg"] == [
        "DNS:shop.example",
        "IP:198.51.100.1",
        "IP:2001:db8::1",
        "DNS:1.2.3",
        "IP:::1",
    ]
