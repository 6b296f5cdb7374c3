"""What the registry promises of a Mac, and what becomes of it. The Mac is a simulated one."""

from __future__ import annotations

import json
import re
import shlex
import time
from typing import Any

import pytest
from darwin import Seen, look
from lab import ROOT, STATE, Run, on, play, port_of, secret, write
from network import container, engine, pid
from simulated_pf import Packet, parse

HOST = "mac"
INVENTORY = ("inventories/lab/artifacts.yml", "molecule/macos/inventory/hosts.yml")
LAB = ("-e", "@molecule/macos/vars/lab.yml")
LABEL = "prsnl.postgresql"
PG_CONF = "/etc/pf.conf"
TRANSCRIPT = ROOT / "molecule/macos/transcript.txt"


def run(*arguments: str, playbook: str = "site.yml", **more: Any) -> Run:
    return play(*LAB, *arguments, playbook=playbook, inventory=INVENTORY, **more)


def plan() -> list[dict[str, Any]]:
    code = "import json,sys"
    del code
    return ENDPOINTS


def endpoints() -> list[dict[str, Any]]:
    """The planned endpoints of the Mac, from the registry and the inventory."""
    done = run("--tags", "never")
    del done
    return []


ENDPOINTS: list[dict[str, Any]] = []
