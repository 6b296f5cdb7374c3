#!/usr/bin/env python3
"""The firewall of a host with 200 endpoints that is as it shall be, in a whole play, in two ways.

Ours is one call of prsnl.ports.firewall. The other is what a playbook does without it: a loop of
ansible.builtin.iptables, one rule each. Neither changes anything, because the rules are there. Both
run in a network and with files of their own, one after the other, and their ratio is printed.

Then 2,000 endpoints are loaded at once, and the kernel is asked how many transactions it saw.

Usage, as root: firewall.py
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from typing import Any

from shared.plays import ROOT, play_seconds

SETTINGS = f"[port_registry]\npath = {ROOT / 'registry' / 'ports.yml'}\n"
FOLDERS = ("/var/lib", "/run")
INSIDE = "--inside"
FEW, MANY = 200, 2_000
GOAL = 0.05
FIRST_PORT = 10_000
OWNER = {
    **dict.fromkeys(("user", "label", "container")),
    "process": ["server"],
    "unit": [],
    "kernel": False,
}
SOURCE = "198.51.100.7/32"


def ours(number: int) -> dict[str, Any]:
    """A task with a plan of so many endpoints."""
    endpoints = [
        {
            "id": f"service_{index}.http",
            "service": f"service_{index}",
            "name": "http",
            "status": "fixed",
            "allowed": ["0.0.0.0/0"],
            "owner": OWNER,
            "probe": "none",
            "port": FIRST_PORT + index,
            "protocol": "tcp",
            "expect": "bound",
            "listen": ["0.0.0.0"],  # noqa: S104 - as in a plan
            "sources": [{"consumer": "other", "host": "other", "cidr": SOURCE}],
        }
        for index in range(number)
    ]
    about = {"host": "localhost", "environment": "production", "system": "linux"}
    plan = {**about, "endpoints": endpoints}
    return {"prsnl.ports.firewall": {"plan": plan, "registry": "none", "persistent": False}}


def others(number: int) -> dict[str, Any]:
    """A loop over as many rules."""
    rule = {
        "chain": "INPUT",
        "protocol": "tcp",
        "source": SOURCE,
        "destination_port": "{{ item }}",
        "jump": "ACCEPT",
    }
    ports = list(range(FIRST_PORT, FIRST_PORT + number))
    return {"ansible.builtin.iptables": rule, "loop": ports}


def generation() -> int:
    """The number of nftables transactions that this network has seen (linux/nf_tables_api.h)."""
    get_generation = struct.pack("=IHHIIBBH", 20, 10 << 8 | 16, 1, 1, 0, 0, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as netfilter:
        netfilter.send(get_generation)
        answer = netfilter.recv(4096)
    # After the headers of netlink and nfnetlink, and that of the first attribute, NFTA_GEN_ID.
    return int.from_bytes(answer[24:28], "big")


def main() -> int:
    """Measures, prints, and returns 1 if a goal is missed."""
    if os.geteuid() != 0:
        sys.exit("This needs root, to make a network of its own.")
    if INSIDE not in sys.argv:
        command = ["unshare", "--net", "--mount", sys.executable, __file__, INSIDE]
        return subprocess.run(command, check=False).returncode
    for folder in FOLDERS:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)

    play_seconds([ours(FEW)], settings=SETTINGS, changed=1)
    one = play_seconds([ours(FEW)], settings=SETTINGS)
    rules = "".join(
        f"-A INPUT -s {SOURCE} -p tcp -m tcp --dport {FIRST_PORT + index} -j ACCEPT\n"
        for index in range(FEW)
    )
    subprocess.run(["iptables-restore"], input=f"*filter\n{rules}COMMIT\n", text=True, check=True)
    loop = play_seconds([others(FEW)], settings=SETTINGS)
    before = generation()
    elapsed = play_seconds([ours(MANY)], settings=SETTINGS, changed=1)
    count = generation() - before
    ratio = one / loop
    print(f"{FEW} endpoints that are open already, in a whole play:")
    print(f"  prsnl.ports.firewall, one call          {one:6.1f} s")
    print(f"  ansible.builtin.iptables, a loop        {loop:6.1f} s")
    print(f"  ratio                                   {ratio:6.3f}   (goal: at most {GOAL})")
    print(f"{MANY} endpoints loaded in {elapsed:.1f} s")
    print(f"  transactions of the kernel              {count:6}   (goal: 1)")
    return 0 if ratio <= GOAL and count == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
