#!/usr/bin/env python3
"""Checking the port numbers in a source tree of 50,000 files, and in two other ways.

Ours lists the files as git does, reads those that a finder knows, and parses those that hold
a number of the registry. One other way is `grep -rn` for the same numbers, which says where a
number is and nothing else. The other is to parse every file that can hold a port, which is what
ours would do if it didn't look at the bytes first; it is measured on every 50th file. All read from
the cache of the system. Counted is the time of the processor, that of child processes included, so
that a busy machine doesn't matter. The times and their ratios are printed.

Usage: references.py [number of files]
"""

from __future__ import annotations

import os
import pathlib
import random
import subprocess
import sys
import tempfile
import typing as t

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.prsnl.ports.plugins.plugin_utils.references import (  # noqa: E402
    finders,
    scan,
    tree,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.context import (  # noqa: E402
    Context,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.documents import (  # noqa: E402
    Document,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load  # noqa: E402

FILES = 50_000
GOAL_SECONDS = 10.0
# What a repository of a web application consists of: the share of each kind, and a line of it.
KINDS = {
    "src/lib/m{}.ts": (0.34, "export const limit{0} = {{ width: {1}, label: 'item {1}' }};\n"),
    "src/routes/p{}.svelte": (0.10, '<p class="w-{1}">{0} of {1}</p>\n'),
    "backend/app/m{}.py": (0.20, "def function_{0}(value: int) -> int:\n    return value + {1}\n"),
    "docs/page{}.md": (0.08, "The case {0} took {1} ms in version 3.{1}.\n"),
    "config/c{}.yml": (0.05, "key_{0}: {1}\n"),
    "data/d{}.json": (0.05, '{{"id": {0}, "size": {1}}}\n'),
    "assets/a{}.css": (0.08, ".c{0} {{ margin: {1}px }}\n"),
    "assets/i{}.png": (0.08, "\0image {0} {1}\n"),
    "deploy/k{}/docker-compose.yml": (
        0.01,
        "services:\n  db{0}:\n    image: postgres:16\n    ports: ['{2}:5432']\n",
    ),
    "deploy/k{}/.env": (0.01, "POSTGRES_HOST=localhost\nPOSTGRES_PORT={2}\n"),
}
LINES = 40
PART = 50


def write_tree(folder: pathlib.Path, number: int, stale: int) -> int:
    """A tree of files, some of which hold the stale port; how many do."""
    chance = random.Random(1)  # noqa: S311 - the same tree each time
    holding = 0
    for pattern, (share, line) in KINDS.items():
        whole = "deploy" in pattern
        for index in range(int(number * share)):
            path = folder / pattern.format(index)
            path.parent.mkdir(parents=True, exist_ok=True)
            port = stale if index % 10 == 0 else 15432
            holding += whole and port == stale
            count = 1 if whole else LINES
            lines = [line.format(index, chance.randrange(100_000), port) for _ in range(count)]
            path.write_text("".join(lines), encoding="utf-8")
    return holding


def seconds(work: t.Callable[[], t.Any]) -> tuple[float, t.Any]:
    """How long something keeps a processor busy, and what it gives."""
    start = sum(os.times()[:4])
    result = work()
    return sum(os.times()[:4]) - start, result


def parse_part(root: str) -> int:
    """Some files that a finder knows, parsed whatever they hold; the number of mentions."""
    found = 0
    for path in tree.list_files(root)[::PART]:
        kind = finders.kind_of(path)
        read = tree.read_file(root, path, scan.MAX_BYTES) if kind else None
        document = Document.from_bytes(path, read.data) if read else None
        if kind and document:
            found += sum(1 for _ in finders.find(kind, document.text, Context(path)))
    return found


def main() -> int:
    """Prints the table; 1 if it took longer than it may."""
    number = int(sys.argv[1]) if sys.argv[1:] else FILES
    registry = load.read(str(ROOT / "registry" / "ports.yml"))
    retired = next(e for e in registry.endpoints.values() if e.status == "retired").port
    numbers = sorted({e.port for e in registry.endpoints.values()} | {retired})
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        holding = write_tree(folder, number, retired)
        subprocess.run(["git", "init", "--quiet", name], check=True)
        pattern = rf"\b({'|'.join(map(str, numbers))})\b"
        grep = ["grep", "-rnE", "--binary-files=without-match", pattern, name]
        subprocess.run(grep, capture_output=True, check=False)  # fills the cache
        ours, found = seconds(lambda: scan.scan(registry, name))
        theirs, _done = seconds(lambda: subprocess.run(grep, capture_output=True, check=False))
        part, _mentions = seconds(lambda: parse_part(name))
    parsed = part * PART
    stale = len(found.of("stale"))
    print(f"{number} files, {stale} of {holding} stale ports found")
    print(f"{'ours':24}{ours:8.2f} s")
    print(f"{'grep -rn':24}{theirs:8.2f} s  ratio {ours / theirs:.2f}")
    print(f"{'every file parsed':24}{parsed:8.2f} s  ratio {ours / parsed:.2f}")
    return int(stale != holding or ours > GOAL_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
