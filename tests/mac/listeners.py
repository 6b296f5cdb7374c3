"""Open known sockets on this Mac, and compare what is told of them with lsof and netstat."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "collections"))

from ansible_collections.prsnl.ports.plugins.module_utils.sockets import darwin

CASES = (
    (socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1"),
    (socket.AF_INET, socket.SOCK_STREAM, "0.0.0.0"),
    (socket.AF_INET6, socket.SOCK_STREAM, "::1"),
    (socket.AF_INET6, socket.SOCK_STREAM, "::"),
    (socket.AF_INET, socket.SOCK_DGRAM, "127.0.0.1"),
    (socket.AF_INET6, socket.SOCK_DGRAM, "::"),
)


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def main() -> int:
    faults = []
    with contextlib.ExitStack() as stack:
        opened = []
        for family, kind, address in CASES:
            made = stack.enter_context(socket.socket(family, kind))
            made.bind((address, 0))
            if kind == socket.SOCK_STREAM:
                made.listen()
            protocol = "tcp" if kind == socket.SOCK_STREAM else "udp"
            opened.append((protocol, address, made.getsockname()[1]))
        snapshot = darwin.take_snapshot()
        seen = {(s.protocol, s.address, s.port): s for s in snapshot.sockets}
        lsof, netstat = output(*darwin.LSOF), output("/usr/sbin/netstat", "-an")
        for protocol, address, port in opened:
            sock = seen.get((protocol, address, port))
            if sock is None:
                faults.append(f"{protocol} {address}:{port} isn't seen")
                continue
            if os.getpid() not in [holder.pid for holder in snapshot.holders.get(sock.inode, ())]:
                faults.append(f"{protocol} {address}:{port} has no holder of ours")
            if f":{port}\n" not in lsof or not re.search(rf"\.{port}\s", netstat):
                faults.append(f"{protocol} {address}:{port} isn't in lsof or netstat")
    # What others have is seen as well, without root too.
    listening = {int(port) for port in re.findall(r"\.(\d+)\s+\S+\s+LISTEN", netstat)}
    missing = listening - {port for _protocol, _address, port in seen}
    faults += [
        f"netstat has a listener on {port}, and nothing else has" for port in sorted(missing)
    ]
    print("\n".join(faults) or f"{len(seen)} sockets, as user {os.geteuid()}")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
