"""Run the project against the lab and look at its hosts from outside."""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML

Found = TypeVar("Found")

ROOT = Path(__file__).resolve().parents[3]
REGISTRY = ROOT / "registry" / "ports.yml"
# The part of site.yml that provisions, without what comes before and after.
SERVICES = "playbooks/services.yml"
STATE = ROOT / ".lab" / os.environ.get("LAB_NAME", "prsnl-lab")
SECRETS = STATE / "secrets"
# A scenario with hosts of its own names its inventories, and a file with variables of its lab.
INVENTORY = tuple(os.environ.get("LAB_INVENTORY", "inventories/lab").split())
VARIABLES = [f"--extra-vars=@{path}" for path in os.environ.get("LAB_VARIABLES", "").split()]

# Everything a refused run must leave alone: configuration, packages, units and services.
FINGERPRINT = r"""
find /etc /usr/lib/systemd /var/lib/postgresql/16/main/PG_VERSION /usr/bin /usr/sbin -xdev \
    \( -type f -o -type l \) -printf '%p %s %T@ %U:%G %m %l\n' 2>/dev/null
dpkg-query -W
systemctl list-units --type=service --state=running --no-legend --plain | cut -d' ' -f1 |
    grep -v -e '^session' -e '^user' -e '^systemd-'
"""


@dataclass(frozen=True)
class Run:
    """What a playbook run printed and how it ended."""

    code: int
    output: str

    def recap(self, host: str) -> dict[str, int]:
        """The counts of the host's line in PLAY RECAP; empty if the host isn't there."""
        recap = self.output.rpartition("PLAY RECAP")[2]
        line = re.search(rf"^{re.escape(host)}\s+:(.*)$", recap, re.MULTILINE)
        if line is None:
            return {}
        return {key: int(count) for key, count in re.findall(r"(\w+)=(\d+)", line[1])}

    def failure(self, host: str) -> str:
        """What the host's failed task said, in one line."""
        pattern = rf"^fatal: \[{re.escape(host)}\]: FAILED! =>(.*?)(?=^\S|\Z)"
        (said,) = re.findall(pattern, self.output, re.DOTALL | re.MULTILINE)
        return " ".join(said.split())


def play(
    *arguments: str,
    playbook: str = "site.yml",
    registry: Path = REGISTRY,
    inventory: tuple[str | Path, ...] = INVENTORY,
    prefix: tuple[str, ...] = (),
) -> Run:
    """Run a playbook of the project on the lab; `prefix` are words in front of the command."""
    command = [*prefix, "ansible-playbook", playbook, *VARIABLES, *arguments]
    for source in inventory:
        command += ["-i", str(source)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=_environment(PORT_REGISTRY=str(registry)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1200,
        check=False,
    )
    return Run(done.returncode, done.stdout)


def kill_family(pid: int) -> None:
    """End a run and everything that it has started on this machine, without a chance to react."""
    # Ansible's workers have sessions of their own and would go on.
    family = [pid]
    for parent in family:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                family += map(int, children.read_text().split())
    for process in family:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _environment(**settings: str) -> dict[str, str]:
    # Wide lines, so that no message is wrapped in the middle of a sentence.
    return os.environ | {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        # Molecule forces colours, which would end up in the text.
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_NOCOLOR": "1",
        "COLUMNS": "200",
        **settings,
    }


@functools.cache
def plans() -> dict[str, list[dict[str, Any]]]:
    """The planned endpoints of each lab host, from the registry and the inventory."""
    sources = [word for source in INVENTORY for word in ("-i", source)]
    command = ["ansible", "all", *sources, *VARIABLES, "-m", "prsnl.ports.registry_info"]
    settings = {
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
    }
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(**settings), capture_output=True, text=True, check=True
    )
    hosts = json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"]
    return {name: result["plan"]["endpoints"] for name, result in hosts.items()}


@functools.cache
def address_of(host: str) -> str:
    """The IPv4 address by which the lab's hosts reach each other."""
    return on(host, "hostname -I").split()[0]


def on(host: str, script: str, *, stdin: str = "", check: bool = True, anew: bool = False) -> str:
    """Run a shell script on a lab host; returns its standard output.

    Others on the host see the script in its list of processes; `stdin` is for secrets. `anew`
    connects for this script, which tells whether that is possible.
    """
    command = ["ssh", "-F", str(STATE / "ssh_config"), *([] if anew else shared()), host, script]
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=300, check=False
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{host}: {script!r} ended with {done.returncode}: {done.stderr}")
    return done.stdout


@functools.cache
def shared() -> list[str]:
    """Options of ssh for one connection to a host: it takes longer than most commands there."""
    folder = tempfile.mkdtemp(prefix="prsnl-ssh-")
    atexit.register(shutil.rmtree, folder)
    options = ("ControlMaster=auto", "ControlPersist=60", f"ControlPath={folder}/%C")
    return [word for option in options for word in ("-o", option)]


def on_all(look: Callable[[str], Found]) -> dict[str, Found]:
    """What is found on each of the planned hosts, by name; they are looked at all at once."""
    with ThreadPoolExecutor() as pool:
        return dict(zip(plans(), pool.map(look, plans()), strict=True))


def fingerprint(host: str) -> set[str]:
    """The lines that describe the host's state; two equal sets mean an unchanged host."""
    return set(on(host, FINGERPRINT).splitlines())


def wait_for(host: str, port: int, protocol: str = "tcp") -> None:
    """Wait until a socket has the port; emulated programs take seconds to start."""
    listing = f"ss -Hln{protocol[0]} 2>/dev/null"
    for _ in range(60):
        if f":{port} " in on(host, listing):
            return
        time.sleep(0.5)
    raise AssertionError(f"{host}: no socket has {port}/{protocol} after 30 s")


def generated() -> list[str]:
    """The names of the files that hold the lab's generated secrets."""
    names = [path.name for path in SECRETS.iterdir() if path.suffix in (".password", ".token")]
    names += [path.name for path in SECRETS.glob("*encryption.key")]
    assert "dragonfly.password" in names
    return names


def secret(name: str) -> str:
    """A generated secret, by the name of its file."""
    return (SECRETS / name).read_text(encoding="utf-8").strip()


def leaked(text: str) -> list[str]:
    """The generated secrets that a text holds, by the names of their files."""
    return sorted(name for name in generated() if secret(name) in text)


def registry() -> Any:
    """The registry, with comments and order, to be changed and written by `write`."""
    return YAML().load(REGISTRY)


def write(data: Any, path: Path) -> Path:
    """Write a registry to a file; returns the file's path."""
    YAML().dump(data, path)
    return path


def record(endpoint: str, status: str, to: int, was: int | None = None) -> dict[str, object]:
    """A history entry for one endpoint."""
    change: dict[str, object] = {"endpoint": endpoint, "to": to, "status": status}
    if was is not None:
        change["from"] = was
    return {
        # The newest entry's, because dates ascend.
        "date": registry()["history"][-1]["date"],
        "what": f"{endpoint} changed",
        "why": "A drill",
        "by": "The drills",
        "changes": [change],
    }


def moved(endpoint: str, port: int) -> Any:
    """The registry, with another port for `service.endpoint` and its history entry."""
    data = registry()
    service, name = endpoint.split(".")
    entry = data["services"][service]["endpoints"][name]
    data["history"].append(record(endpoint, entry["status"], port, entry["port"]))
    entry["port"] = port
    return data


def port_of(endpoint: str) -> int:
    """The registered port of `service.endpoint`."""
    service, name = endpoint.split(".")
    return int(registry()["services"][service]["endpoints"][name]["port"])
