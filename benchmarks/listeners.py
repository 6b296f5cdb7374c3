#!/usr/bin/env python3
"""Who listens on a host, in three ways: ours, community.general.listen_ports_facts and psutil.

Both sides of a comparison see the same sockets, one after the other, and the ratio of their times
is printed. With root's rights all of it happens in a network namespace of its own.

Usage: listeners.py [established connections]
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import typing as t

from shared.plays import ROOT, play_seconds

CONNECTIONS = 50_000
GOALS = {"200 listeners": 0.30, "1000 listeners": 0.02, "connections": 0.05}
FIRST_PORT = 20_000
PROCESSES = 10
IN_NAMESPACE = "BENCHMARK_NAMESPACE"

LISTEN = """
import socket, sys
first, number = map(int, sys.argv[1:])
keep = [socket.create_server(("127.0.0.1", first + index)) for index in range(number)]
print("ready", flush=True)
sys.stdin.read()
"""
# Each server address has client ports of its own.
CONNECT = """
import resource, socket, sys
index, number = map(int, sys.argv[1:])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
server = socket.create_server((f"127.1.0.{index + 1}", 9), backlog=128)
keep = []
for _ in range(number):
    keep.append(socket.create_connection(server.getsockname()))
    keep.append(server.accept()[0])
print("ready", flush=True)
sys.stdin.read()
"""
COLLECT = {
    "ours": """
import time
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.snapshot import read_sockets
start = time.perf_counter()
found = read_sockets()
print(time.perf_counter() - start, len(found))
""",
    "psutil": """
import psutil, time
start = time.perf_counter()
found = psutil.net_connections("inet")
listening = [c for c in found if c.status == "LISTEN" or (c.type == 2 and not c.raddr)]
print(time.perf_counter() - start, len(listening))
""",
}


@contextlib.contextmanager
def running(program: str, arguments: t.Sequence[t.Sequence[int]]) -> t.Iterator[None]:
    """Processes that hold sockets, until the end of the block."""
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", program, *map(str, words)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for words in arguments
        ]
        for process in processes:
            assert process.stdout is not None  # noqa: S101
            if process.stdout.readline() != "ready\n":
                sys.exit("the sockets could not be opened; see the message above")
        yield
        for process in processes:
            process.kill()


def plays(listeners: int) -> tuple[float, float, float]:
    """Seconds of the plays of ours, of listen_ports_facts and of ping, the median of three each."""
    each = listeners // PROCESSES
    with running(LISTEN, [(FIRST_PORT + index * each, each) for index in range(PROCESSES)]):
        ours = median("prsnl.ports.listening_ports_info", 3)
        other = median("community.general.listen_ports_facts", 1 if listeners > 500 else 3)  # noqa: PLR2004
        ping = median("ansible.builtin.ping", 3)
    return ours, other, ping


def median(module: str, times: int) -> float:
    """The median of that many plays."""
    return statistics.median(play_seconds([{module: None}]) for _ in range(times))


def collect(way: str) -> tuple[float, int]:
    """Seconds of collecting, the median of five processes, and the number of listeners."""
    path = [str(ROOT / "collections"), os.environ.get("PYTHONPATH", "")]
    answers = [
        subprocess.run(
            [sys.executable, "-c", COLLECT[way]],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(5)
    ]
    return statistics.median(float(seconds) for seconds, _count in answers), int(answers[0][1])


def report(title: str, rows: t.Mapping[str, str], ratio: float, goal: float) -> bool:
    """Print a comparison; returns whether it meets its goal."""
    print(f"{title}:")
    for name, value in rows.items():
        print(f"  {name:42} {value:>10}")
    print(f"  {'ratio':42} {ratio:10.4f}   (goal: at most {goal})")
    return ratio <= goal


def main() -> int:
    """Measures, prints, and returns 1 if a goal is missed."""
    if os.geteuid() == 0 and IN_NAMESPACE not in os.environ:
        command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
        return subprocess.run(
            [*command, sys.executable, *sys.argv],
            env={**os.environ, IN_NAMESPACE: "1"},
            check=False,
        ).returncode
    connections = int(sys.argv[1]) if len(sys.argv) > 1 else CONNECTIONS
    met = []
    ours, other, _ping = plays(200)
    rows = {
        "prsnl.ports.listening_ports_info": f"{ours:.2f} s",
        "community.general.listen_ports_facts": f"{other:.2f} s",
    }
    met.append(report("A whole play, 200 listeners", rows, ours / other, GOALS["200 listeners"]))
    ours, other, ping = plays(1000)
    rows = {
        "prsnl.ports.listening_ports_info": f"{ours:.2f} s",
        "community.general.listen_ports_facts": f"{other:.2f} s",
        "a play of ping, taken off both": f"{ping:.2f} s",
    }
    ratio = max(ours - ping, 0) / (other - ping)
    met.append(report("A play, 1000 listeners", rows, ratio, GOALS["1000 listeners"]))
    with running(CONNECT, [(index, connections // PROCESSES) for index in range(PROCESSES)]):
        ours, count = collect("ours")
        other, other_count = collect("psutil")
    rows = {
        f"read_sockets, {count} listeners": f"{ours * 1000:.2f} ms",
        f"psutil.net_connections, {other_count} listeners": f"{other * 1000:.0f} ms",
    }
    title = f"Collecting with {connections} established connections, without pids"
    met.append(report(title, rows, ours / other, GOALS["connections"]))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
