"""Nothing of what makes emulated hosts quicker reaches this one."""

from __future__ import annotations

import re

import pytest
from lab import ROOT, on

HOST = "data"
QUICK = sorted(path.name for path in (ROOT / "molecule/lab/emulation/quick").iterdir())
# The machine that a program is for (elf.h): the host's own is its shell's.
MACHINE = "od -An -tu2 -j18 -N2"


def test_no_file_of_emulation_is_there() -> None:
    assert "python_server.py" in QUICK
    found = on(HOST, "ls /etc/lab; cat /proc/self/mountinfo; cat /etc/environment 2>/dev/null; env")
    # An interpreter of that name is everywhere. This one only starts the host's.
    names = [name for name in QUICK if name != "python3"]
    assert [name for name in names if name in re.split(r"[\s/]+", found)] == []
    assert "QEMU_CPU" not in found
    assert "exec /usr/bin/python3" in on(HOST, "cat /etc/lab/python3")


@pytest.mark.parametrize("program", ["dpkg-deb", "perl", "python3", "systemctl"])
def test_programs_are_of_the_hosts_own_architecture(program: str) -> None:
    look = f'{MACHINE} "$(readlink -f "$(command -v "$1")")"'
    assert on(HOST, look.replace("$1", program)) == on(HOST, look.replace("$1", "sh"))


def test_modules_are_started_by_the_hosts_own_python() -> None:
    assert on(HOST, "ls /run").strip(), "it answers"
    assert on(HOST, "ls /run/lab-python.sock 2>/dev/null", check=False).strip() == ""
    units = on(HOST, "systemctl list-unit-files --no-legend")
    assert "ssh.service" in units
    assert "lab-python" not in units
