"""Moves of PostgreSQL between two registries, and what breaks them."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab import ROOT, STATE, Run, kill_family, on, play, registry, write

ENDPOINT = "postgresql.sql"
OLD, NEW = 5432, 5433
ADDRESS = f"{os.environ.get('LAB_PREFIX4', '10.89.77')}.12"
PLAYBOOK = "playbooks/move_port.yml"
INVENTORY = (
    "inventories/lab/artifacts.yml",
    "molecule/moves/inventory/hosts.yml",
    "inventories/lab/mirror.yml",
)
ARGUMENTS = ("-e", "@molecule/moves/vars/lab.yml")
STEPS = ("free", "open", "lead", "switch", "repoint", "reach", "wait", "close", "silent")
URL = "$(sed -n 's/^DATABASE_URL=\"\\(.*\\)\"$/\\1/p' /etc/prsnl/backend.env)"
os.environ.setdefault("MOLECULE_PROJECT_DIRECTORY", str(ROOT))


def before() -> Path:
    """A registry of the time before the move, which says that PostgreSQL is on 5432."""
    data = registry()
    endpoints = data["services"]["postgresql"]["endpoints"]
    del endpoints["intel"]
    endpoints["sql"]["port"] = OLD
    for entry in data["history"]:
        entry["changes"] = [
            change
            for change in entry.get("changes", [])
            if change["endpoint"] != "postgresql.intel"
            and (change["endpoint"] != ENDPOINT or change.get("from") != OLD)
        ]
    data["decisions"] = [
        entry
        for entry in data.get("decisions", [])
        if not str(entry["subject"]).startswith("postgresql")
    ]
    return write(data, Path(tempfile.mkdtemp(prefix="prsnl-moves-")) / "ports.yml")


def run(playbook: str, *arguments: str, registry: Path) -> Run:
    """Run a playbook of the project on this scenario's hosts."""
    return play(*arguments, *ARGUMENTS, playbook=playbook, registry=registry, inventory=INVENTORY)


def move(*arguments: str, registry: Path) -> Run:
    """Move PostgreSQL to where a registry wants it."""
    return run(PLAYBOOK, "-e", f"move_endpoint={ENDPOINT}", *arguments, registry=registry)


class Moving:
    """A move that runs, and that is killed, or disturbed, when it says something."""

    def __init__(self, registry: Path, text: str, act: Callable[[Moving], object]) -> None:
        command = ["ansible-playbook", PLAYBOOK, *ARGUMENTS, "-e", f"move_endpoint={ENDPOINT}"]
        for source in INVENTORY:
            command += ["-i", source]
        settings = {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
            "COLUMNS": "400",
            "PORT_REGISTRY": str(registry),
            "PYTHONUNBUFFERED": "1",
        }
        self.acted = False
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        lines = []
        for line in self._process.stdout:
            lines.append(line)
            if not self.acted and re.search(text, line):
                self.acted = True
                act(self)
        self.output = "".join(lines)
        self.code = self._process.wait()

    def kill(self) -> None:
        """End it and everything that it has started on the controller."""
        kill_family(self._process.pid)


def step(name: str) -> str:
    """What a run says when it begins a step."""
    return rf"Step \d+ of \d+, {name}:"


def port_now() -> int:
    """The port on which PostgreSQL listens."""
    found = on("data", "ss -Hltnp | grep '\"postgres\"'", anew=True)
    ports = {int(port) for port in re.findall(r":(\d+) ", found)}
    assert len(ports) == 1, found
    return ports.pop()


def works() -> bool:
    """Whether the application's own URL reads and writes, and the backend runs."""
    # psql of the lab has no TLS.
    script = (
        "import psycopg2, sys; c = psycopg2.connect(sys.argv[1], connect_timeout=5).cursor();"
        "c.execute('create temporary table x as select 1 as y'); c.execute('select y from x');"
        "print(*c.fetchone())"
    )
    said = on("app", f'python3 -c "{script}" "{URL}" 2>&1', check=False, anew=True)
    backend = on("app", "systemctl is-active prsnl-backend", check=False, anew=True)
    return said.strip() == "1" and backend.strip() == "active"


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not after {seconds:.0f} s"
        time.sleep(1)


def answers(host: str, port: int) -> bool:
    """Whether a connection from a host of the lab to PostgreSQL's host is taken."""
    attempt = (
        "import socket, sys\n"
        f"for family, address in ((2, '{ADDRESS}'), (10, '{address6()}')):\n"
        "    with socket.socket(family) as s:\n"
        "        s.settimeout(3)\n"
        f"        if s.connect_ex((address, {port})) == 0: sys.exit('taken')\n"
    )
    return "taken" in on(host, f"python3 - 2>&1 <<'E'\n{attempt}\nE", check=False)


def address6() -> str:
    """The IPv6 address of PostgreSQL's host."""
    return f"{os.environ.get('LAB_PREFIX6', 'fd00:89:77::')}12"


class Workload:
    """Clients that read and write the whole time, by one port or by several."""

    def __init__(self, ports: str, seconds: int) -> None:
        hosts = ",".join([ADDRESS] * len(ports.split(",")))
        url = on("app", f'echo "{URL}"').strip()
        password = re.search(r"//prsnl:([^@]+)@", url)
        assert password
        tls = "sslmode=verify-full sslrootcert=/etc/ssl/prsnl-authority.pem" if "?" in url else ""
        conninfo = f"host={hosts} port={ports} dbname=prsnl user=prsnl password={password[1]} {tls}"
        script = (ROOT / "molecule/moves/workload.py").read_text(encoding="utf-8")
        on("app", "rm -f /root/workload.stop; cat > /root/workload.py", stdin=script)
        command = ["ssh", "-F", str(STATE / "ssh_config"), "app"]
        self._process = subprocess.Popen(
            [*command, f"python3 /root/workload.py '{conninfo}' {seconds}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.events: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        wait_until(lambda: len(self.events) > 20, 30, "clients work")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.events.append(json.loads(line))

    def end(self) -> None:
        """End the clients."""
        on("app", "touch /root/workload.stop")
        self._process.wait(60)
        self._thread.join(10)

    def of(self, client: str, event: str) -> list[dict[str, Any]]:
        """What happened to a client."""
        return [e for e in self.events if (e["client"], e["event"]) == (client, event)]

    def longest_gap(self, client: str) -> float:
        """The longest time between two acknowledged statements of a client, in seconds."""
        at = [float(e["at"]) for e in self.of(client, "ack")]
        return max(b - a for a, b in itertools.pairwise(at))
