"""Who reaches what through the firewall, and that nobody is locked out by it.

What is expected comes from the plans, the inventory's addresses and the port of SSH, not from the
rules. Each test leaves the hosts with the registry's rules.
"""

from __future__ import annotations

import copy
import functools
import ipaddress
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lab import ROOT, STATE, Run, kill_family, on, plans, play, registry, write
from network import (
    addresses,
    container,
    engine,
    inside,
    other_rules,
    own_rules,
    pid,
    root,
    scan,
    table,
)

pytestmark = pytest.mark.skipif(os.uname().sysname != "Linux", reason="needs network namespaces")

HOSTS = sorted(plans())
SOURCES = [*HOSTS, "outsider"]
SSH = 22
PLAYBOOK = "playbooks/firewall.yml"
# Seconds until a change that nobody confirms is taken back, and what systems take to notice.
WINDOW = 12
GRACE = 15


def allowed(source: str, target: str, family: int) -> set[int]:
    """The TCP ports of a host that a plan lets another one use, and that have to answer."""
    address = ipaddress.ip_address(addresses(source)[family])
    return {SSH} | {
        endpoint["port"]
        for endpoint in plans()[target]
        if endpoint["protocol"] == "tcp" and endpoint["expect"] == "bound"
        if any(address in ipaddress.ip_network(entry["cidr"]) for entry in endpoint["sources"])
    }


def matrix() -> dict[tuple[str, str, int], tuple[set[int], set[int]]]:
    """For each source, target and family: the ports that answer, and those that shall."""
    views = [(source, family) for source in SOURCES for family in (4, 6)]
    targets = {source: [host for host in HOSTS if host != source] for source in SOURCES}

    def look(view: tuple[str, int]) -> list[set[int]]:
        source, family = view
        return scan(source, [addresses(host)[family] for host in targets[source]], family)

    with ThreadPoolExecutor(max_workers=2) as pool:
        answers = list(pool.map(look, views))
    return {
        (source, target, family): (ports, allowed(source, target, family))
        for (source, family), found in zip(views, answers, strict=True)
        for target, ports in zip(targets[source], found, strict=True)
    }


def show(result: dict[tuple[str, str, int], tuple[set[int], set[int]]]) -> str:
    """The matrix as a table."""
    rows = [f"{'FROM':<10}{'TO':<10}{'IP':<4}{'ANSWERS':<28}EXPECTED"]
    for (source, target, family), (found, expected) in result.items():
        sets = [", ".join(map(str, sorted(ports))) for ports in (found, expected)]
        mark = "" if found == expected else "   <- differs"
        rows.append(f"{source:<10}{target:<10}{family:<4}{sets[0]:<28}{sets[1]}{mark}")
    return "\n".join(rows)


def test_reachability_equals_the_registry(capsys: pytest.CaptureFixture[str]) -> None:
    """All 65,535 TCP ports, from every host and from a stranger, by IPv4 and IPv6."""
    result = matrix()
    with capsys.disabled():
        print(f"\n{show(result)}")
    assert all(found == expected for found, expected in result.values()), show(result)


def connects(source: str, address: str, port: int) -> bool:
    """Whether a TCP connection is accepted."""
    script = f"import socket; socket.create_connection({(address, port)}, 3); print('yes')"
    return inside(source, "python3", "-c", script, check=False).strip() == "yes"


def answers_udp(source: str, address: str, port: int) -> bool:
    """Whether a datagram comes back."""
    script = (
        "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        f"s.settimeout(3); s.connect(({address!r}, {port})); s.send(b'ping');"
        "print(s.recv(9).decode())"
    )
    return inside(source, "python3", "-c", script, check=False).strip() == "ping"


def with_services(path: Path, **ports: dict[str, Any]) -> Path:
    """A copy of the registry with more endpoints on the host `app`."""
    data = registry()
    changes = []
    for name, endpoint in ports.items():
        data["services"][name] = {
            "description": "For a test",
            "hosts": "application",
            "environments": ["production"],
            "owner": {"process": "python3"},
            "endpoints": {"port": copy.deepcopy(endpoint) | {"status": "fixed"}},
        }
        changes.append({"endpoint": f"{name}.port", "to": endpoint["port"], "status": "fixed"})
    # Dates ascend, and the same object twice would be written as an alias.
    entry = {"date": str(data["history"][-1]["date"]), "changes": changes}
    data["history"].append(entry | dict.fromkeys(("what", "why", "by"), "Test"))
    return write(data, path)


SERVE = "import http.server as h; h.test(h.BaseHTTPRequestHandler, port={port})"
ECHO = (
    "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
    "s.bind(('0.0.0.0', {port}))\n"
    "while True: d, a = s.recvfrom(9); s.sendto(d, a)"
)


@contextmanager
def serving(host: str, script: str) -> Iterator[None]:
    """A program of this machine that serves in a host's network."""
    command = ["nsenter", "--target", pid(host), "--net", "python3", "-c", script]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def publishing(host: str, *ports: int) -> Iterator[str]:
    """A container of podman's on a lab host's network that publishes ports; gives its name.

    It is this machine's podman, because hosts are containers themselves; the rules that it makes
    are those of that host.
    """
    name = f"{container(host)}-published"
    image = engine("inspect", "--format", "{{.ImageName}}", container(host))
    script = "; ".join(
        [
            "import http.server as h, threading as t",
            *(
                f"t.Thread(target=h.HTTPServer(('', {port}), h.BaseHTTPRequestHandler)"
                ".serve_forever).start()"
                for port in ports
            ),
        ]
    )
    publish = [f"--publish={port}:{port}" for port in ports]
    prefix = ["nsenter", "--target", pid(host), "--net", "podman"]
    conf = STATE / "containers.conf"
    settings = os.environ | ({"CONTAINERS_CONF": str(conf)} if conf.exists() else {})
    run = [*prefix, "run", "--detach", "--name", name, "--network", "podman", *publish]
    subprocess.run([*run, image, "python3", "-c", script], env=settings, check=True)
    try:
        for port in ports:
            wait_until(
                functools.partial(connects, host, addresses(host)[4], port), 60, f"{port} answers"
            )
        yield name
    finally:
        subprocess.run([*prefix, "rm", "--force", "--time=0", name], env=settings, check=True)


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait for a condition; returns how long that took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - start


def test_published_ports_udp_and_tables_of_others(tmp_path: Path) -> None:
    """Containers can't bypass the rules, and neither is anybody else's table touched."""
    published, unregistered, udp = 8123, 8124, 8125
    for_ops = {"exposure": "internal", "consumers": ["prometheus"], "exception": "Test"}
    endpoints = {
        "published": {"port": published, **for_ops},
        "talk": {"port": udp, "protocol": "udp", **for_ops},
    }
    changed = with_services(tmp_path / "ports.yml", **endpoints)
    app = addresses("app")[4]
    mine = "type filter hook input priority 10; policy accept; tcp dport 1 counter drop"
    with (
        table("app", "mine", mine),
        publishing("app", published, unregistered) as name,
        serving("app", ECHO.format(port=udp)),
        serving("outsider", SERVE.format(port=published)),
    ):
        before = other_rules("app")
        assert "10.88." in before, "podman's own rules"

        run = play("--limit", "app", playbook=PLAYBOOK, registry=changed)
        assert run.code == 0, run.output
        assert run.recap("app")["changed"] == 1
        assert other_rules("app") == before
        assert connects("ops", app, published)
        assert not connects("outsider", app, published)
        assert not connects("ops", app, unregistered)
        assert not connects("outsider", app, unregistered)
        assert answers_udp("ops", app, udp)
        assert not answers_udp("outsider", app, udp)
        there = (addresses("outsider")[4], published)
        out = f"import socket; socket.create_connection({there}, 5)"
        engine("exec", name, "python3", "-c", out)

        run = play("--limit", "app", "-e", "firewall_state=absent", playbook=PLAYBOOK)
        assert run.code == 0, run.output
        assert own_rules("app") == ""
        assert other_rules("app") == before
        assert not (root("app") / "etc/prsnl-ports/firewall.nft").exists()
        assert connects("outsider", app, published), "it was the firewall"

    again = play("--limit", "app", playbook=PLAYBOOK)
    assert again.code == 0, again.output
    assert own_rules("app")


class Playing:
    """A run of firewall.yml with changed rules on a host, as a process that can be killed."""

    def __init__(
        self, host: str, *arguments: str, window: int = WINDOW, registry: Path | None = None
    ) -> None:
        self.host = host
        settings = {"PORT_REGISTRY": str(registry)} if registry else {}
        command = ["ansible-playbook", PLAYBOOK, "-i", "inventories/lab", "--limit", host]
        variables = ["-e", "firewall_refuse=drop", "-e", f"firewall_window={window}"]
        self.process = subprocess.Popen(
            [*command, *variables, *arguments],
            cwd=ROOT,
            env=os.environ
            | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"}
            | {"ANSIBLE_NOCOLOR": "1", "COLUMNS": "200"}
            | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def is_loaded(self) -> bool:
        """Whether the kernel has the new rules."""
        assert self.process.poll() is None, self.process.stdout and self.process.stdout.read()
        return "reject" not in own_rules(self.host)

    def kill(self) -> None:
        """End it and everything that it started, without a chance to react."""
        kill_family(self.process.pid)
        self.process.wait()

    def end(self) -> Run:
        """What it said when it ended by itself."""
        output, _errors = self.process.communicate(timeout=300)
        return Run(self.process.returncode, output)


def test_nobody_is_locked_out(tmp_path: Path) -> None:
    """Four runs that would cut SSH or are cut themselves, each on its host or one after the other.

    data: the controller is killed between the change and the confirmation. ops: the network is cut
    in between. app: the variables and the registry close SSH to the controller; and then, a
    stranger's table drops by default.
    """
    old = {host: own_rules(host) for host in HOSTS}
    assert all("reject" in rules for rules in old.values())
    retired = with_services(tmp_path / "ports.yml", ssh={"port": SSH, "exposure": "host"})
    data, ops = Playing("data"), Playing("ops")
    sources = '{"firewall_ssh_sources": ["192.0.2.0/24"]}'
    app = Playing("app", "-e", sources, window=60, registry=retired)

    def killed() -> float:
        wait_until(data.is_loaded, 60, "data has the new rules")
        data.kill()
        assert list((root("data") / "run/prsnl-ports/undo").glob("firewall-*/pending.json"))
        return wait_until(lambda: own_rules("data") == old["data"], WINDOW + GRACE, "old rules")

    def cut() -> float:
        wait_until(ops.is_loaded, 60, "ops has the new rules")
        with table("ops", "cut", "type filter hook prerouting priority -300; policy drop;"):
            return wait_until(lambda: own_rules("ops") == old["ops"], WINDOW + GRACE, "old rules")

    with ThreadPoolExecutor() as pool:
        back = [pool.submit(killed), pool.submit(cut)]
        excluded = app.end()
        assert excluded.code == 0, excluded.output
        took = [future.result() for future in back]
        print("seconds until the old rules were back (killed, cut):", *map(round, took))

    for host in HOSTS:
        on(host, "true", anew=True)
    gateway = inside("app", "ip", "-4", "route", "show", "default").split()[2]
    ssh = next(line for line in own_rules("app").splitlines() if f"tcp dport {SSH} " in line)
    allowed_sources = ssh.partition("{")[2].partition("}")[0].split(",")
    assert {source.strip() for source in allowed_sources} == {gateway, "192.0.2.0/24"}
    assert not connects("outsider", addresses("app")[4], SSH)

    lost = ops.end()
    assert lost.code != 0
    assert "the old ones" in lost.output

    drops = (
        "type filter hook input priority 0; policy drop; ct state established,related accept;"
        f" tcp dport {SSH} accept"
    )
    with table("app", "strict", drops):
        refused = play("--limit", "app", playbook=PLAYBOOK)
        assert refused.code != 0
        assert "the table inet strict drops by default in its chain c" in refused.output
        assert "set coexist to true" in refused.output
        assert refused.recap("app")["changed"] == 0
        assert "192.0.2.0/24" in own_rules("app")

    run = play(playbook=PLAYBOOK)
    assert run.code == 0, run.output
    assert {host: run.recap(host)["changed"] for host in HOSTS} == {"app": 1, "data": 0, "ops": 0}
    assert {host: own_rules(host) for host in HOSTS} == old


def test_rules_and_services_are_back_after_a_reboot() -> None:
    """The rules before any service; nothing changes in the next run."""
    rules = own_rules("data")
    assert rules
    engine("restart", "--time=0", container("data"))
    pid.cache_clear()
    wait_until(lambda: own_rules("data") == rules, 120, "the rules are back")
    waiting = "systemctl is-system-running --wait"
    wait_until(
        lambda: on("data", waiting, check=False, anew=True).strip() == "running", 120, "it runs"
    )
    assert own_rules("data") == rules
    bound = [endpoint for endpoint in plans()["data"] if endpoint["expect"] == "bound"]
    units = {unit for endpoint in bound for unit in endpoint["owner"]["unit"]} | {"ssh.service"}
    show_times = (
        "systemctl show -P ActiveEnterTimestampMonotonic prsnl-ports-firewall.service;"
        f"systemctl show -P ExecMainStartTimestampMonotonic {' '.join(sorted(units))}"
    )
    loaded, *started = map(int, on("data", show_times, anew=True).split())
    assert len(started) == len(units)
    assert 0 < loaded < min(started)
    for source in set(SOURCES) - {"data"}:
        # A restarted container has another hardware address, which real hosts don't.
        inside(source, "ip", "neigh", "flush", "all")
        assert all(connects(source, address, SSH) for address in addresses("data").values())
    run = play("--limit", "data", playbook="playbooks/verify.yml")
    assert run.code == 0, run.output
    run = play("--limit", "data", playbook=PLAYBOOK)
    assert run.code == 0, run.output
    assert run.recap("data")["changed"] == 0
