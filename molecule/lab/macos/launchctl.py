"""A simulated launchctl: it hands its words to the simulated launchd (`launchd.py`).

Follows launchctl(1). ``load``, ``unload``, ``start`` and ``stop``, which the manual calls legacy,
are refused. Not modelled: all subcommands that launchd.py doesn't name.
"""

from __future__ import annotations

import json
import socket
import sys

from common import fail, record

LEGACY = ("load", "unload", "start", "stop", "submit", "remove", "list")


def main() -> int:
    record("/bin/launchctl")
    words = sys.argv[1:]
    if not words or words[0] in LEGACY:
        fail(64, f"simulated launchctl: {words[:1]} is a legacy verb")
    connection = socket.socket(socket.AF_UNIX)
    connection.connect("/run/simulated/launchd.sock")
    connection.sendall((json.dumps(words) + "\n").encode())
    code, text = json.loads(connection.makefile().read())
    print(text, file=sys.stderr if code else sys.stdout, end="" if text.endswith("\n") else "\n")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
