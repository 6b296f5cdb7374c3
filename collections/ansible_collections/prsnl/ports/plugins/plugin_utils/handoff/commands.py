# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that people type: on a host by way of SSH, or on the client that they sit at."""

from __future__ import annotations

import dataclasses
import shlex
import typing as t

Plain = dict[str, t.Any]

# Between double quotes, a POSIX shell or PowerShell would take these for something else.
_SPECIAL: t.Final = frozenset('$`\\!"')
# Programs that tell everybody the same; the others are run with sudo where the login isn't root.
_UNPRIVILEGED: t.Final = ("uptime", "df ", "free ", "uname", "python3 -c", "openssl s_client")
CLIENTS: t.Final = ("Linux", "macOS", "Windows (PowerShell)")


@dataclasses.dataclass(frozen=True)
class Line:
    """A command, and where it can be typed as it stands."""

    text: str
    clients: tuple[str, ...] = CLIENTS


def on_host(host: Plain, command: str) -> Line:
    """A command of a host, as it is typed on a client. `host` is the host's evidence.

    The line is the same for POSIX shells and PowerShell wherever its quotes allow that.
    """
    if host["sudo"] and not command.startswith(("sudo ", *_UNPRIVILEGED)):
        command = f"sudo {command}"
    if not host["ssh"]:
        return Line(command, CLIENTS[:2])
    if "'" not in command and '"' not in command:
        return Line(f"{host['ssh']} '{command}'")
    if not _SPECIAL & set(command):
        return Line(f'{host["ssh"]} "{command}"')
    return Line(f"{host['ssh']} {shlex.quote(command)}", CLIENTS[:2])


def is_darwin(host: Plain) -> bool:
    """Whether a host is a Mac, as far as it is known."""
    return bool(host["system"].get("system") == "Darwin")


def unit_of(owner: Plain) -> str:
    """The unit that an owner is looked for at first; empty if it has none."""
    return next(iter(owner.get("unit") or ()), "")


def status(host: Plain, owner: Plain) -> str:
    """The command that shows the state of an endpoint's daemon."""
    unit = unit_of(owner)
    if is_darwin(host):
        label = owner.get("label")
        return f"launchctl print system/{shlex.quote(label)}" if label else ""
    return f"systemctl status {shlex.quote(unit)} --no-pager" if unit else ""


def journal(host: Plain, owner: Plain) -> str:
    """The command that shows the last lines of its log."""
    unit = unit_of(owner)
    if not unit or is_darwin(host):
        return ""
    return f"journalctl -u {shlex.quote(unit)} -n 50 --no-pager"


def holders(host: Plain, port: int, protocol: str) -> str:
    """The command that shows who holds a port."""
    if is_darwin(host):
        state = " -sTCP:LISTEN" if protocol == "tcp" else ""
        return f"lsof -nP -i{protocol.upper()}:{port}{state}"
    return f"ss -{'lt' if protocol == 'tcp' else 'lu'}np sport = :{port}"


def control(host: Plain, verb: str, owners: t.Iterable[Plain]) -> str:
    """The command that starts, stops or restarts a service; empty if nobody knows it."""
    owners = list(owners)
    if is_darwin(host):
        labels = [str(owner.get("label") or "") for owner in owners]
        if not labels or not all(labels):
            return ""
        words = {"start": "kickstart", "restart": "kickstart -k", "stop": "kill TERM"}[verb]
        return " && ".join(f"launchctl {words} system/{shlex.quote(label)}" for label in labels)
    units = list(dict.fromkeys(filter(None, map(unit_of, owners))))
    return f"systemctl {verb} {shlex.join(units)}" if units else ""


def speaks_tls(entry: Plain) -> bool:
    """Whether a planned endpoint is spoken to by TLS; earlier evidence has the probe only."""
    return bool(entry.get("tls", entry["probe"] == "tls"))


def from_client(entry: Plain, address: str) -> list[Line]:
    """Whether an endpoint answers a client that may reach it, for each kind of client."""
    port = entry["port"]
    shown = f"[{address}]" if ":" in address else address
    if entry["protocol"] != "tcp":
        return []
    if entry["probe"] in ("http", "tls"):
        options = "-k " if speaks_tls(entry) else ""
        url = f"{'https' if options else 'http'}://{shown}:{port}/"
        curl = f"curl -sSI -m 10 {options}{url}"
        return [Line(curl, CLIENTS[:2]), Line(curl.replace("curl", "curl.exe", 1), CLIENTS[2:])]
    return [
        Line(f"nc -zvw 5 {address} {port}", CLIENTS[:1]),
        Line(f"nc -zv -G 5 {address} {port}", CLIENTS[1:2]),
        Line(f"Test-NetConnection {address} -Port {port}", CLIENTS[2:]),
    ]


def tunnel(host: Plain, entry: Plain, address: str) -> str:
    """The command that brings an endpoint to the client's own loopback address."""
    shown = f"[{address}]" if ":" in address else address
    if not host["ssh"]:
        return ""
    return f"{host['ssh']} -N -L {entry['port']}:{shown}:{entry['port']}"
