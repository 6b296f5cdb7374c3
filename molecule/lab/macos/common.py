"""What the simulated commands share: they record how they were called, unless by the tests."""

from __future__ import annotations

import json
import os
import sys
import typing as t
from pathlib import Path

LOG = "/var/log/simulated/programs"


def record(program: str) -> None:
    if "SIMULATED_FOR_TESTS" in os.environ:
        return
    line = json.dumps([os.geteuid(), [program, *sys.argv[1:]]]) + "\n"
    handle = os.open(LOG, os.O_WRONLY | os.O_APPEND)
    os.write(handle, line.encode())
    os.close(handle)


def fail(code: int, text: str) -> t.NoReturn:
    print(text, file=sys.stderr)
    raise SystemExit(code)


def read_json(path: Path) -> dict[str, t.Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def write_json(path: Path, content: t.Mapping[str, t.Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_suffix(".new")
    staged.write_text(json.dumps(content), encoding="utf-8")
    staged.rename(path)
