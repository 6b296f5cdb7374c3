# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host and a peer, in network namespaces of their own with a kernel that really filters."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import typing as t

COLLECTIONS = pathlib.Path(__file__).parents[7]
HOST = {4: "198.51.100.1", 6: "2001:db8::1"}
PEER = {4: "198.51.100.2", 6: "2001:db8::2"}


def nft_works() -> bool:
    """Whether this machine lets us make namespaces and filter in them."""
    command = ["unshare", "--net", "nft", "list", "ruleset"]
    return (
        os.geteuid() == 0
        and shutil.which("nft") is not None
        and shutil.which("ip") is not None
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


class Networks:
    """Two namespaces joined by a cable."""

    def __init__(self, name: str) -> None:
        self.host = f"{name}h"
        self.peer = f"{name}p"

    def make(self) -> None:
        """Make them, with addresses of both families."""
        for namespace in (self.host, self.peer):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        cable = ["link", "add", "c0", "type", "veth", "peer", "name", "c0", "netns", self.peer]
        run("ip", "-n", self.host, *cable)
        for namespace, addresses in ((self.host, HOST), (self.peer, PEER)):
            for address, length in ((addresses[4], 24), (addresses[6], 64)):
                place = [f"{address}/{length}", "dev", "c0", "nodad"][: 4 if length > 32 else 3]
                run("ip", "-n", namespace, "addr", "add", *place)
            run("ip", "-n", namespace, "link", "set", "c0", "up")

    def remove(self) -> None:
        """Remove what there is of them."""
        for namespace in (self.host, self.peer):
            with contextlib.suppress(subprocess.CalledProcessError):
                run("ip", "netns", "del", namespace)

    def load(self, rules: str) -> None:
        """Let the host filter."""
        run("nft", "-f", "-", inside=self.host, stdin=rules)

    def on_host(self, *command: str, stdin: str = "") -> str:
        """Run a program on the host."""
        return run(*command, inside=self.host, stdin=stdin)

    def runner(self, command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        """Run a program on the host, as modules do."""
        whole = ["ip", "netns", "exec", self.host, *command]
        done = subprocess.run(whole, input=stdin, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def python(self, script: str, *arguments: str) -> t.Any:
        """What a Python script prints as JSON, that runs on the host with our collection."""
        command = [sys.executable, "-c", script, *arguments]
        return json.loads(self.on_host("env", f"PYTHONPATH={COLLECTIONS}", *command))

    def start(self, namespace: str, script: str) -> subprocess.Popen[str]:
        """Start a Python script, which is talked to by lines."""
        return subprocess.Popen(
            ["ip", "netns", "exec", namespace, sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def connects(self, port: int, family: int = 4) -> bool:
        """Whether the peer can connect to the host."""
        script = f"import socket; socket.create_connection({(HOST[family], port)!r}, 1)"
        command = ["ip", "netns", "exec", self.peer, sys.executable, "-c", script]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def run(*command: str, inside: str = "", stdin: str = "") -> str:
    """Run a program, and return its output."""
    prefix = ["ip", "netns", "exec", inside] if inside else []
    done = subprocess.run(
        [*prefix, *command], input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise subprocess.CalledProcessError(
            done.returncode, command, output=done.stdout + done.stderr
        )
    return done.stdout


@contextlib.contextmanager
def networks(name: str = "") -> t.Iterator[Networks]:
    """Two namespaces for as long as a test needs them."""
    made = Networks(name or f"fw{os.getpid()}")
    try:
        made.make()
        yield made
    finally:
        made.remove()
