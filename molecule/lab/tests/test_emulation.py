"""What of emulation/ reaches the hosts follows from this machine and the settings, nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
LAB = ROOT / "molecule" / "lab"
FOLDERS = "lab_emulation_folders"
VOLUMES = "lab_emulation_volumes"
PROGRAMS = "lab_native_programs"
PACKAGES = "lab_emulation_packages"
NOTHING: dict[str, list[str]] = {FOLDERS: [], VOLUMES: [], PROGRAMS: [], PACKAGES: []}
# Under these names hosts have what only makes them quicker.
QUICK = {path.name for path in (LAB / "emulation" / "quick").iterdir()}


def decided(tmp_path: Path, machine: str, **settings: str) -> dict[str, Any]:
    """What the lab decides on a machine, by what `uname -m` prints there."""
    uname = tmp_path / "uname"
    uname.write_text(f"#!/bin/sh\necho {machine}\n", encoding="utf-8")
    uname.chmod(0o755)
    asked = {name: f"{{{{ {name} }}}}" for name in [*NOTHING, "lab_release_one", "lab_common"]}
    ansible = str(Path(sys.executable).with_name("ansible"))
    command = [ansible, "localhost", "-i", "inventories/lab"]
    command += ["--playbook-dir", "molecule/lab", "-m", "ansible.builtin.debug", "-a", "var=asked"]
    for variables in ("@molecule/lab/vars/main.yml", "@molecule/lab/vars/emulation.yml"):
        command += ["-e", variables]
    command += ["-e", json.dumps({"asked": asked})]
    own = {name: value for name, value in os.environ.items() if not name.startswith("LAB_")}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={
            **own,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "PATH": f"{tmp_path}:{own['PATH']}",
            **settings,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"]["localhost"]
    return dict(found["asked"])


@pytest.mark.parametrize(
    ("machine", "settings"),
    [
        ("aarch64", {"LAB_EMULATION": "quick"}),
        # As macOS says it.
        ("arm64", {}),
        ("x86_64", {"LAB_ARCH": "amd64"}),
    ],
)
def test_nothing_is_used_where_the_machine_has_the_hosts_architecture(
    tmp_path: Path, machine: str, settings: dict[str, str]
) -> None:
    found = decided(tmp_path, machine, **settings)
    assert {name: found[name] for name in NOTHING} == NOTHING
    assert found["lab_release_one"] == "trixie"


def test_other_machines_use_all_of_it(tmp_path: Path) -> None:
    found = decided(tmp_path, "x86_64")
    assert found[FOLDERS] == ["needed", "quick"]
    assert {"nft", "dpkg-deb"} <= set(found[PROGRAMS])
    assert "qemu-user-static" in found[PACKAGES]
    assert found["lab_release_one"] == "bookworm"
    mounted = {Path(volume.split(":")[0]).name for volume in found[VOLUMES]}
    # The others are read from where all of them are: /etc/lab.
    assert QUICK - mounted == {"bytecode.py", "python3", "python_server.py"}


def test_plain_emulation_has_only_what_hosts_cannot_do_without(tmp_path: Path) -> None:
    plain, quick = (decided(tmp_path, "x86_64", LAB_EMULATION=kind) for kind in ("plain", "quick"))
    assert plain[FOLDERS] == ["needed"]
    assert (plain[VOLUMES], plain[PROGRAMS]) == ([], ["nft"])
    # Neither finds what the other left behind.
    assert plain["lab_common"] != quick["lab_common"]
