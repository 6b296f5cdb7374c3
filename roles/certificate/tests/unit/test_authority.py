# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An authority that is lost, remade, cut off, or another environment's, in real plays."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import typing as t

import pytest

pytestmark = pytest.mark.slow
ROLES = pathlib.Path(__file__).parents[3]
CONFIG = f"""
[defaults]
inventory = hosts.json
collections_path = {ROLES.parent}/collections
roles_path = {ROLES}
stdout_callback = ansible.posix.json
forks = 12
"""
PLAY = {
    "hosts": "all",
    "gather_facts": False,
    "tasks": [
        {
            "ansible.builtin.include_role": {"name": "certificate", "rolespec_validate": False},
            "vars": {"certificate_file": "{{ certificate_secrets_dir }}/shop.pem"},
        }
    ],
}
Results = dict[str, list[dict[str, t.Any]]]


def play(folder: pathlib.Path, environments: dict[str, str]) -> Results:
    """Let each host have its certificate; the results of its tasks that did or said something."""
    hosts = {
        name: {"certificate_secrets_dir": str(folder / name), "port_environment": environment}
        for name, environment in environments.items()
    }
    common = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "certificate_names": ["shop.example"],
    }
    files = {"hosts.json": {"all": {"vars": common, "hosts": hosts}}, "play.yml": [PLAY]}
    for name, data in files.items():
        (folder / name).write_text(json.dumps(data), encoding="utf-8")
    (folder / "ansible.cfg").write_text(CONFIG, encoding="utf-8")
    done = subprocess.run(
        [pathlib.Path(sys.executable).with_name("ansible-playbook"), "play.yml"],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")}
        | {"ANSIBLE_CONFIG": "ansible.cfg", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    results: Results = {name: [] for name in hosts}
    for task in json.loads(done.stdout)["plays"][0]["tasks"]:
        for name, result in task["hosts"].items():
            if not result.get("skipped"):
                results[name].append(result)
    return results


def told(results: list[dict[str, t.Any]]) -> str:
    return "\n".join(str(result.get("msg", "")) for result in results)


def files_of(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def is_signed_by(folder: pathlib.Path) -> bool:
    names = (str(folder / "authority.pem"), str(folder / "shop.pem"))
    command = ["openssl", "verify", "-CAfile", *names]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


CASES = (
    "same",
    "remade",
    "lost",
    "other environment",
    "key lost",
    "key of another",
    "empty",
    "blank",
    "cut off",
    "key empty",
    "key cut off",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("certificate")


@pytest.fixture(scope="module")
def before(folder: pathlib.Path) -> dict[str, dict[str, bytes]]:
    """What is in each folder of secrets before the second play."""
    play(folder, {"first": "lab", "second": "lab"})
    for case in CASES:
        shutil.copytree(folder / "first", folder / case)
    second = folder / "second"
    for name in ("authority.pem", "authority.key"):
        shutil.copy(second / name, folder / "remade" / name)
        (folder / "lost" / name).unlink()
    (folder / "key lost" / "authority.key").unlink()
    shutil.copy(second / "authority.key", folder / "key of another" / "authority.key")
    for case in ("key lost", "key of another", "key empty", "key cut off"):
        # The authority is asked for its signature.
        (folder / case / "shop.pem").unlink()
    for case, name, size in (
        ("empty", "authority.pem", 0),
        ("cut off", "authority.pem", 300),
        ("key empty", "authority.key", 0),
        ("key cut off", "authority.key", 120),
    ):
        os.truncate(folder / case / name, size)
    (folder / "blank" / "authority.pem").write_text(" \n\n", encoding="utf-8")
    return {case: files_of(folder / case) for case in CASES}


@pytest.fixture(scope="module")
def results(folder: pathlib.Path, before: dict[str, dict[str, bytes]]) -> Results:
    environments = dict.fromkeys(CASES, "lab") | {"other environment": "production"}
    assert before
    return play(folder, environments)


def test_what_is_there_stays(
    folder: pathlib.Path, before: dict[str, dict[str, bytes]], results: Results
) -> None:
    assert files_of(folder / "same") == before["same"]
    assert is_signed_by(folder / "same")
    assert not any(result.get("changed") for result in results["same"])


@pytest.mark.parametrize("case", ["remade", "lost"])
def test_another_authority_is_noticed_and_said(
    folder: pathlib.Path, before: dict[str, dict[str, bytes]], results: Results, case: str
) -> None:
    now = files_of(folder / case)
    assert is_signed_by(folder / case)
    assert now["shop.pem"] != before[case]["shop.pem"]
    assert "shop.pem is not signed by" in told(results[case])
    if case == "remade":
        assert now["authority.pem"] == before[case]["authority.pem"]


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("other environment", "is the authority 'PRSNL lab', and this environment's would be"),
        ("key lost", "authority.key is missing beside"),
        ("key of another", "authority.key is not the key of"),
        ("empty", "authority.pem is empty, as after a full disk"),
        ("blank", "authority.pem is empty, as after a full disk"),
        ("cut off", "authority.pem is cut off, as after a full disk"),
        ("key empty", "authority.key is empty, as after a full disk"),
        ("key cut off", "authority.key is cut off, as after a full disk"),
    ],
)
def test_what_can_not_be_used_is_refused_and_left_as_it_is(
    folder: pathlib.Path,
    before: dict[str, dict[str, bytes]],
    results: Results,
    case: str,
    text: str,
) -> None:
    assert any(result.get("failed") for result in results[case])
    assert text in told(results[case])
    assert files_of(folder / case) == before[case]
