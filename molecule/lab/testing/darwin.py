"""What testinfra sees on a Mac: its Socket and Service know no Darwin, so lsof and launchctl do.

Follows lsof(8), "OUTPUT FOR OTHER PROGRAMS", and launchctl(1), whose output for people is all there
is. Not tried on a Mac.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from testinfra.host import Host

LSOF = "sudo /usr/sbin/lsof -nP +c 0 -i -F pcuftPTn"
JOB = re.compile(r"^\s+(\d+)\s+\S+\s+(\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Listener:
    """A socket as testinfra calls it (``tcp://127.0.0.1:80``), and who holds it."""

    url: str
    pid: int
    process: str
    uid: int


def listeners(host: Host) -> list[Listener]:
    """The listening TCP sockets and the bound UDP ones."""
    return parse_lsof(host.check_output(LSOF))


def parse_lsof(text: str) -> list[Listener]:
    """Return the sockets in what ``lsof -F`` prints."""
    found: list[Listener] = []
    process: dict[str, str] = {}
    entry: dict[str, str] = {}

    def add() -> None:
        protocol, name = entry.get("P", "").lower(), entry.get("n", "")
        if not name or "->" in name or (protocol == "tcp" and entry.get("T") != "ST=LISTEN"):
            return
        address, _colon, port = name.rpartition(":")
        if address == "*":
            address = "0.0.0.0" if entry["t"] == "IPv4" else "::"  # noqa: S104
        url = f"{protocol}://{address.strip('[]')}:{port}"
        found.append(Listener(url, int(process["p"]), process["c"], int(process["u"])))

    for line in [*text.splitlines(), "p"]:
        key, value = line[:1], line[1:]
        if key in ("p", "f"):
            add()
            entry = {}
        if key == "p":
            process = {}
        if key in "pcu":
            process[key] = value
        elif key != "T" or value.startswith("ST="):
            entry[key] = value
    return found


def users(host: Host) -> dict[str, set[str]]:
    """The users of the processes, by the names of these; ps(1) shows their whole paths."""
    listed = host.check_output("dscl . -list /Users UniqueID").splitlines()
    names = {uid: name for name, uid in map(str.split, listed)}
    found: dict[str, set[str]] = {}
    for line in host.check_output("ps -A -o uid= -o comm=").splitlines():
        uid, comm = line.split(maxsplit=1)
        found.setdefault(comm.rpartition("/")[2], set()).add(names.get(uid, uid))
    return found


def running_jobs(host: Host) -> set[str]:
    """The labels of the jobs of the domain ``system`` that have a process."""
    printed = host.check_output("sudo launchctl print system")
    return {label for pid, label in JOB.findall(printed) if int(pid)}


def booted_jobs(host: Host) -> set[str]:
    """The labels of the jobs that launchd finds when the Mac starts."""
    names = host.check_output("ls /Library/LaunchDaemons").splitlines()
    return {name.removesuffix(".plist") for name in names}
