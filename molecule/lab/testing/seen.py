"""What testinfra sees on a host, Linux or macOS, and what the registry's cases ask of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import darwin
from testinfra.host import Host


@dataclass(frozen=True)
class Seen:
    """The sockets of a host, the users of its processes by name, and its services."""

    sockets: frozenset[str]
    users: dict[str, set[str]]
    running: set[str]
    enabled: set[str]

    def listens(self, endpoint: dict[str, Any], address: str) -> bool:
        """Whether a socket receives what is sent to an address; `::` stands for both families."""
        prefix, port = f"{endpoint['protocol']}://", endpoint["port"]
        wildcards = [f"{prefix}:::{port}"]
        wildcards += [f"{prefix}0.0.0.0:{port}"] if "." in address else []
        return not self.sockets.isdisjoint([f"{prefix}{address}:{port}", *wildcards])


def look(host: Host, system: str) -> Seen:
    """Look at a host; `system` is `linux` or `darwin`."""
    if system == "darwin":
        return Seen(
            sockets=frozenset(entry.url for entry in darwin.listeners(host)),
            users=darwin.users(host),
            running=darwin.running_jobs(host),
            enabled=darwin.booted_jobs(host),
        )
    users: dict[str, set[str]] = {}
    for line in host.check_output("ps -e -o user:32=,comm=").splitlines():
        user, comm = line.split(maxsplit=1)
        users.setdefault(comm, set()).add(user)
    list_units = "systemctl list-units --type=service --state=running --plain --no-legend"
    return Seen(
        sockets=frozenset(host.socket.get_listening_sockets()),
        users=users,
        running={line.split()[0] for line in host.check_output(list_units).splitlines()},
        enabled=set(host.check_output("ls /etc/systemd/system/*.wants").splitlines()),
    )


def check_bound(found: Seen, endpoint: dict[str, Any]) -> None:
    """An endpoint that the registry expects is bound by its owner, whose service starts again."""
    assert all(found.listens(endpoint, address) for address in endpoint["listen"])
    owner = endpoint["owner"]
    services = set(owner["unit"]) or {owner["label"]}
    assert services
    assert services <= found.running
    assert services <= found.enabled
    # The kernel of Linux cuts the name of a process to 15 bytes.
    users = [found.users.get(process[:15], set()) for process in owner["process"]]
    assert owner["user"] in set().union(*users)


def check_silent(found: Seen, endpoint: dict[str, Any]) -> None:
    """Nothing listens on a retired port."""
    end = f":{endpoint['port']}"
    assert [url for url in found.sockets if url.endswith(end)] == []
