"""The lab's network as the kernel has it: this machine's own programs in the hosts' namespaces.

They run at full speed where the hosts are emulated, and need neither SSH nor a way in.
"""

from __future__ import annotations

import functools
import io
import ipaddress
import json
import os
import re
import subprocess
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import STATE

TABLE = "inet prsnl_ports"


def engine(*arguments: str) -> str:
    """Run podman as the lab does; returns its output."""
    conf = STATE / "containers.conf"
    settings = {"CONTAINERS_CONF": str(conf)} if conf.exists() else {}
    done = subprocess.run(
        ["podman", *arguments],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"podman {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def container(host: str) -> str:
    """The name of a lab host's container."""
    return f"{STATE.name}-{host}"


@functools.cache
def pid(host: str) -> str:
    """The process that a lab host started with; after a boot (`pid.cache_clear`) another one."""
    return engine("inspect", "--format", "{{.State.Pid}}", container(host))


def root(host: str) -> Path:
    """The files of a lab host."""
    return Path("/proc", pid(host), "root")


def inside(host: str, *command: str, stdin: str = "", check: bool = True) -> str:
    """Run a program of this machine in a lab host's network; returns its output."""
    done = subprocess.run(
        ["nsenter", "--target", pid(host), "--net", *command],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert not check or done.returncode == 0, f"{host}: {' '.join(command)}: {done.stderr}"
    return done.stdout


def addresses(host: str) -> dict[int, str]:
    """The address of each family by which others reach a lab host."""
    interfaces = json.loads(inside(host, "ip", "-j", "addr", "show", "eth0"))
    found = [ipaddress.ip_address(entry["local"]) for entry in interfaces[0]["addr_info"]]
    return {address.version: str(address) for address in found if not address.is_link_local}


def nft(host: str, *arguments: str, stdin: str = "", check: bool = True) -> str:
    """Run a lab host's own nft: another version may not be able to read what that one made."""
    return inside(host, "--mount", "nft", *arguments, stdin=stdin, check=check)


def own_rules(host: str) -> str:
    """The registry's table of a lab host; empty if there is none."""
    if TABLE not in nft(host, "list", "tables"):
        return ""
    return nft(host, "-s", "-nn", "list", "table", *TABLE.split())


def other_rules(host: str) -> str:
    """Everything but the registry's table."""
    tables = nft(host, "list", "tables").splitlines()
    names = [line.removeprefix("table ") for line in tables]
    return "".join(
        nft(host, "-s", "list", "table", *name.split()) for name in names if name != TABLE
    )


@contextmanager
def table(host: str, name: str, chain: str) -> Iterator[None]:
    """A table of somebody else, with one chain."""
    nft(host, "-f", "-", stdin=f"table inet {name} {{\nchain c {{\n{chain}\n}}\n}}\n")
    try:
        yield
    finally:
        nft(host, "delete", "table", "inet", name)


def scan(source: str, targets: list[str], family: int) -> list[set[int]]:
    """The TCP ports of each address that answer a host with a connection; all 65,535 are asked."""
    # A rate that a busy machine can't keep would make it take minutes instead of seconds.
    command = ["nmap", "-n", "-Pn", "-sS", "-T5", "--min-rate=5000", "--max-retries=3", "-p-"]
    command += ["-6"] if family == 6 else []
    output = inside(source, *command, "-oX", "-", *targets)
    found = {}
    for host in ET.fromstring(output).iter("host"):  # noqa: S314 - our own nmap
        found[next(a.attrib["addr"] for a in host.iter("address"))] = host
    result = []
    for target in targets:
        states = {
            int(port.attrib["portid"]): next(port.iter("state")).attrib["state"]
            for port in found[target].iter("port")
        }
        rest = sum(int(extra.attrib["count"]) for extra in found[target].iter("extraports"))
        assert len(states) + rest == 65535, output
        result.append({port for port, state in states.items() if state == "open"})
    return result


def programs(path: str) -> bytes:
    """An archive of a program of this machine and its libraries."""
    linked = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as archive:
        for file in {path, *re.findall(r"/\S+", linked)}:
            archive.add(file)
    return buffer.getvalue()
