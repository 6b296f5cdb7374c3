"""How long a whole play takes on this machine."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLAYBOOK = pathlib.Path(sys.executable).with_name("ansible-playbook")


def play_seconds(
    tasks: list[dict[str, Any]], *, settings: str = "", changed: int = 0, **variables: Any
) -> float:
    """Seconds from the start of ansible-playbook to its end; ends the program where it fails.

    :param settings: further lines of ansible.cfg, where its section `defaults` ends.
    :param changed: how many tasks have to change something.
    """
    variables |= {"ansible_python_interpreter": sys.executable}
    play = {"hosts": "localhost", "gather_facts": False, "tasks": tasks, "vars": variables}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
        (folder / "ansible.cfg").write_text(
            f"[defaults]\ncollections_path = {ROOT / 'collections'}\nlocalhost_warning = false\n"
            f"{settings}",
            encoding="utf-8",
        )
        start = time.perf_counter()
        done = subprocess.run(
            [PLAYBOOK, "-i", "localhost,", "-c", "local", "play.yml"],
            cwd=folder,
            env={**os.environ, "ANSIBLE_CONFIG": "ansible.cfg"},
            capture_output=True,
            text=True,
            check=False,
        )
        elapsed = time.perf_counter() - start
    if done.returncode != 0 or f"changed={changed} " not in done.stdout:
        sys.exit(f"Not as expected:\n{done.stdout}{done.stderr}")
    return elapsed
