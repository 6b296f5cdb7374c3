"""Rules of this repository that no linter knows."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = ROOT / "collections" / "ansible_collections" / "prsnl" / "ports"
MODULES = sorted(
    path.stem for path in (COLLECTION / "plugins" / "modules").glob("*.py") if path.stem[0] != "_"
)
RUNBOOKS = sorted(ROOT.glob("roles/*/meta/runbook.yml"))
# Where people and machines that work on this have it: nothing that a reader has.
OF_A_MACHINE = re.compile(r"(?<![\w/])/(?:work|root|home/\w+|Users/\w+)/\S+")
# Merges that were committed before this rule.
BEFORE = {"be4216a", "2fc143e", "6bcfb09"}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_a_test_of_its_entry_point(module: str) -> None:
    test = COLLECTION / "tests" / "unit" / "plugins" / "modules" / f"test_{module}.py"
    assert test.exists()
    text = test.read_text(encoding="utf-8")
    assert "check mode" in text


@pytest.mark.parametrize("book", RUNBOOKS, ids=lambda path: path.parts[-3])
def test_a_runbook_uses_what_its_role_has(book: Path) -> None:
    """Else a person reads that a variable is undefined, and it is noticed on hosts only."""
    role = book.parents[1]
    defined = {
        name
        for path in [*role.glob("defaults/*.yml"), *role.glob("vars/*.yml")]
        for name in yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    }
    text = " ".join(re.findall(r"{{.*?}}", book.read_text(encoding="utf-8"), re.DOTALL))
    assert set(re.findall(rf"\b(?:__)?{role.name}_\w+", text)) - defined == set()


def hosts_in(groups: dict[str, Any]) -> set[str]:
    return {name for name, group in groups.items() if (group or {}).get("hosts")}


@pytest.mark.parametrize("inventory", ["lab", "production"])
def test_an_inventory_shows_every_group_of_the_registry(inventory: str) -> None:
    registry = yaml.safe_load((ROOT / "registry" / "ports.yml").read_text(encoding="utf-8"))
    path = ROOT / "inventories" / inventory / "hosts.yml"
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))["all"]["children"]
    assert hosts_in(groups) == set(registry["groups"])


def test_no_commit_message_has_a_path_of_a_machine() -> None:
    command = ["git", "log", "--format=%h%x00%B%x01", "--abbrev=7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("this copy has no history")
    entries = (entry.strip().partition("\0") for entry in done.stdout.split("\x01"))
    found = [commit for commit, _, text in entries if OF_A_MACHINE.search(text)]
    assert [commit for commit in found if commit not in BEFORE] == []


def test_the_changelog_has_no_path_of_a_machine(files: list[Path]) -> None:
    written = [path for path in files if path.is_relative_to(COLLECTION / "changelogs")]
    written.append(COLLECTION / "CHANGELOG.rst")
    assert len(written) > 2
    assert [path.name for path in written if OF_A_MACHINE.search(path.read_text("utf-8"))] == []


def test_what_antsibull_changelog_keeps_for_itself_is_not_kept(files: list[Path]) -> None:
    assert [path for path in files if path.name == ".plugin-cache.yaml"] == []
