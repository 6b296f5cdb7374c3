"""Small simulated commands, by the name that this is called by.

``sw_vers`` (1), ``sysctl`` (8), ``plutil`` (1: ``-lint``), ``defaults`` (1: ``read``, ``write``),
``socketfilterfw`` (``--getglobalstate``), ``system_profiler``, ``vm_stat``, ``lsof`` (8: ``-i``,
with ``-F`` or as a listing). Facts are those of a Mac with macOS 26; memory is the host's own.
lsof asks ss, and so is a second witness beside the simulated libproc. Not modelled: all other
options, and for `defaults` other types than lists.
"""

from __future__ import annotations

import os
import plistlib
import pwd
import re
import struct
import subprocess
import sys
import time
from pathlib import Path
from xml.parsers.expat import ExpatError

from common import fail, read_json, record, write_json

VERSION = "/System/Library/CoreServices/SystemVersion.plist"
PLACES = {
    "sw_vers": "/usr/bin",
    "sysctl": "/usr/sbin",
    "plutil": "/usr/bin",
    "defaults": "/usr/bin",
    "lsof": "/usr/sbin",
    "socketfilterfw": "/usr/libexec/ApplicationFirewall",
    "system_profiler": "/usr/sbin",
    "vm_stat": "/usr/bin",
}
DEFAULTS = Path("/var/db/simulated/defaults.json")


def facts() -> dict[str, str]:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "hw.model": "Mac16,10",
        "hw.memsize": str(memory),
        "hw.ncpu": str(os.cpu_count()),
        "hw.logicalcpu": str(os.cpu_count()),
        "hw.pagesize": "16384",
        "machdep.cpu.brand_string": "Apple M4 (simulated)",
        "machdep.cpu.core_count": str(os.cpu_count()),
        "kern.osversion": "25B78",
        "kern.osrevision": "199506",
        "kern.ostype": "Darwin",
    }


def sw_vers(*words: str) -> None:
    about = plistlib.loads(Path(VERSION).read_bytes())
    names = ("ProductName", "ProductVersion", "ProductBuildVersion")
    wanted = [n for n in names if not words or n.lower() == words[0].lstrip("-").lower()]
    for name in wanted:
        print(about[name] if words else f"{name}:\t\t{about[name]}")


def sysctl(*words: str) -> None:
    if words[:1] == ("-b",):
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        sys.stdout.buffer.write(struct.pack("@LL", int(time.time() - uptime), 0))
        return
    found = facts()
    asked = [word for word in words if not word.startswith("-")]
    for name in asked:
        for key, value in found.items():
            if key == name or key.startswith(f"{name}."):
                print(value if "-n" in words else f"{key}: {value}")


def plutil(*words: str) -> None:
    for path in words[1:]:
        try:
            plistlib.loads(Path(path).read_bytes())
        except (OSError, ValueError, ExpatError, plistlib.InvalidFileException) as error:
            fail(1, f"{path}: {error}")
        print(f"{path}: OK")


def defaults(verb: str, domain: str, key: str, *words: str) -> None:
    found = read_json(DEFAULTS)
    values = found.get(f"{domain} {key}", [])
    if verb == "read":
        if not values:
            fail(1, f"The domain/default pair of ({domain}, {key}) does not exist")
        print("(\n" + ",\n".join(f"    {value}" for value in values) + "\n)")
    elif words[:1] == ("-array-add",):
        write_json(DEFAULTS, {**found, f"{domain} {key}": [*values, *words[1:]]})
    else:
        fail(1, "simulated defaults: that isn't modelled")


def socketfilterfw(*_words: str) -> None:
    print("Firewall is disabled. (State = 0)")


def lsof(*words: str) -> None:
    """By ss, which reads the kernel's tables in its own way."""
    done = subprocess.run(["/usr/bin/ss", "-Htulnp"], capture_output=True, text=True, check=True)
    found: dict[tuple[int, str], list[tuple[str, str, str, str]]] = {}
    wildcards = ("0.0.0.0", "[::]", "*")  # noqa: S104 - read, not bound
    for line in done.stdout.splitlines():
        protocol, _state, _receive, _send, local, _peer, *users = line.split(maxsplit=6)
        address, _colon, port = local.rpartition(":")
        family = "IPv6" if "[" in address or address == "*" else "IPv4"
        address = address.partition("%")[0]
        name = f"{'*' if address in wildcards else address}:{port}"
        for process, pid, handle in re.findall(r'"([^"]+)",pid=(\d+),fd=(\d+)', "".join(users)):
            known = "launchd" if pid == "1" else process
            entry = (handle, family, protocol.upper(), name)
            found.setdefault((int(pid), known), []).append(entry)
    fields = "-F" in words
    for (pid, process), entries in sorted(found.items()):
        uid = os.stat(f"/proc/{pid}").st_uid
        if fields:
            print(f"p{pid}\nc{process}\nu{uid}")
        for handle, family, protocol, name in entries:
            state = "LISTEN" if protocol == "TCP" else ""
            if fields:
                print(f"f{handle}\nt{family}\nd0x{pid:x}{int(handle):04x}\nP{protocol}\nn{name}")
                print(f"TST={state}" if state else "", end="\n" if state else "")
            else:
                user = pwd.getpwuid(uid).pw_name
                told = f" ({state})" if state else ""
                print(f"{process} {pid} {user} {handle}u {family} 0x0 0t0 {protocol} {name}{told}")


def nothing(*_words: str) -> None:
    """It says nothing."""


def main() -> None:
    name = Path(sys.argv[1]).name
    del sys.argv[1]
    record(f"{PLACES[name]}/{name}")
    globals().get(name, nothing)(*sys.argv[1:])


if __name__ == "__main__":
    main()
