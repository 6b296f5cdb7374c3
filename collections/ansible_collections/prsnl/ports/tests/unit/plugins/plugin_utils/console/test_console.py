# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command as people, hooks and CI run it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib
import typing as t
from unittest import mock

import pytest
import yaml
from ansible_collections.prsnl.ports.plugins.plugin_utils.console import main, output
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load

CONSOLE = pathlib.Path(main.__file__).parent
TOP = CONSOLE.parents[6]
BASE = (pathlib.Path(__file__).parents[1] / "registry" / "base.yml").read_text(encoding="utf-8")
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "ANSIBLE"))},
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
}


class Site:
    """A project with a registry, an ansible.cfg and a folder further down."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.registry = folder / "registry" / "ports.yml"
        self.deep = folder / "a" / "b"
        self.deep.mkdir(parents=True)
        self.registry.parent.mkdir()
        self.registry.write_text(BASE, encoding="utf-8")
        (folder / "ansible.cfg").write_text("[port_registry]\npath = registry/ports.yml ; ours\n")
        (folder / "ports").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{CONSOLE}" "$@"\n')
        (folder / "ports").chmod(0o755)
        self.environment = {
            **ENVIRONMENT,
            "XDG_CACHE_HOME": str(folder / "cache"),
            "PATH": f"{folder}:{os.environ['PATH']}",
        }

    def start(
        self, *words: str, where: pathlib.Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=where or self.folder,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def ports(
        self, *words: str, where: pathlib.Path | None = None, **variables: str
    ) -> tuple[int, str, str]:
        """Exit code, output and errors of a command, in this process."""
        out, errors = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, {**self.environment, **variables}, clear=True),
            contextlib.chdir(where or self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(errors),
        ):
            try:
                code = main.main(words)
            except SystemExit as end:
                code = int(str(end.code))
        return code, out.getvalue(), errors.getvalue()

    def git(self, *words: str) -> str:
        done = self.start("git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com", *words)
        return done.stdout + done.stderr

    def change(self, old: str, new: str) -> None:
        text = self.registry.read_text(encoding="utf-8")
        assert old in text
        self.registry.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def repository(site: Site) -> Site:
    """The project in git, with the hook."""
    (site.folder / ".gitignore").write_text("cache/\nports\n.venv/\n")
    site.git("init", "--initial-branch=main", ".")
    site.git("add", "--all")
    site.git("commit", "--message=Start")
    (command,) = [h["entry"] for h in _hooks() if h["id"] == "ports-history-check"]
    hook = site.folder / ".git" / "hooks" / "pre-commit"
    hook.write_text(f"#!/bin/sh\nexec {command}\n")
    hook.chmod(0o755)
    return site


def _hooks() -> list[dict[str, t.Any]]:
    hooks: list[dict[str, t.Any]] = yaml.safe_load((TOP / ".pre-commit-hooks.yaml").read_text())
    return hooks


def commits(site: Site) -> int:
    return len(site.git("log", "--format=%h").split())


# --- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ("who 20001", 0, "20001/tcp is shop.http, fixed, on front in staging and production: The"),
        ("who 20100", 1, "20100 is nobody's, in web (20000-20999)\n"),
        ("who 9 --protocol udp", 1, "9 is nobody's, outside all ranges\n"),
        ("free web", 0, "20000 is the next free one of web (20000-20999); free are 20000, 20003-"),
        ("free 20001-20002", 1, "no port of 20001-20002 is free\n"),
        ("free 20003", 0, "20003/tcp is free\n"),
        ("free 20001", 1, "20001/tcp is shop.http, fixed"),
        ("show", 0, "PORT       ENDPOINT       STATUS       EXPOSURE  HOSTS  DESCRIPTION\n7/udp"),
        ("show shop.http", 0, "      http:\n        port: 20001\n"),
        ("show shop", 0, "  shop:\n    description: The shop\n"),
        ("validate", 0, "registry/ports.yml: 5 endpoints of 2 services, 6 recorded changes, 0 l"),
        ("lease", 0, "nothing is lent\n"),
        ("completion bash", 0, "_ports() {\n"),
    ],
)
def test_answers(site: Site, words: str, code: int, text: str) -> None:
    """From a folder below the one with ansible.cfg; and again, from what is remembered."""
    for _index in range(2):
        found, out, errors = site.ports(*words.split(), where=site.deep)
        assert (found, errors) == (code, "")
        assert out.replace(f"{site.folder}/", "").startswith(text)


def test_json(site: Site) -> None:
    code, out, _errors = site.ports("who", "20001", "--format", "json")
    (use,) = json.loads(out)
    assert (code, use["who"], use["kind"], use["where"]) == (
        0,
        "shop.http",
        "registered",
        "registry/ports.yml:30",
    )
    assert json.loads(site.ports("free", "20001-20004", "--format", "json")[1]) == {
        "range": [20001, 20004],
        "protocol": "tcp",
        "free": [20003, 20004],
    }
    assert json.loads(site.ports("show", "shop.http", "--format", "json")[1])["port"] == 20001


def test_what_it_cannot_tell(site: Site) -> None:
    """Code 2 and what to do; on the standard error, so that nobody takes it for an answer."""
    code, out, errors = site.ports("free", "webb")
    assert (code, out) == (2, "")
    assert errors.startswith("found 'webb', allowed is web, data, a port or FIRST-LAST; did you")
    assert site.ports("who", "0")[0] == 2
    assert site.ports("whose", "1")[0] == 2
    assert "allowed is a service or an endpoint" in site.ports("show", "shop.htp")[2]
    code, _out, errors = site.ports("who", "1", "--registry", "nowhere.yml")
    assert (code, "nowhere.yml: the port registry can't be read" in errors) == (2, True)
    (site.folder / "ansible.cfg").unlink()
    code, _out, errors = site.ports("who", "1", where=site.deep)
    assert code == 2
    assert errors.startswith("found no ansible.cfg with path in a section [port_registry]")


def test_where_the_registry_is(site: Site) -> None:
    other = site.folder / "other.yml"
    other.write_text(BASE.replace("20001", "20101"), encoding="utf-8")
    who = ("who", "20101")
    assert site.ports(*who)[0] == 1
    assert site.ports(*who, "--registry", "other.yml")[0] == 0
    assert site.ports(*who, PORT_REGISTRY="../../other.yml", where=site.deep)[0] == 0
    elsewhere = site.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "ansible.cfg").write_text("[port_registry]\npath = ../other.yml\n")
    assert site.ports(*who, ANSIBLE_CONFIG=str(elsewhere))[0] == 0
    assert site.ports(*who, where=elsewhere)[0] == 0
    # Where anybody may write, anybody may have written it.
    elsewhere.chmod(0o777)
    assert site.ports(*who, where=elsewhere)[0] == 1


BROKEN = {
    "not YAML": ("    hosts: front\n", "    hosts: [front\n", ":25: \\(root\\): not YAML: "),
    "a conflict": (
        "        port: 20001\n",
        "<<<<<<< HEAD\n        port: 20003\n=======\n        port: 20004\n>>>>>>> theirs\n",
        ":30: \\(root\\): found the conflict marker <<<<<<< of a merge; resolve the conflict\n"
        ".*:32: .*=======.*\n.*:34: .*>>>>>>>",
    ),
    "a fault": ("port: 20001", "port: '20001'", ":30: services.shop.endpoints.http.port: found "),
    "a tab": ("    hosts: front\n", "\thosts: front\n", "not YAML: "),
    "not UTF-8": ("The shop", "The sh\udcf6p", "found the byte 0xf6, allowed is UTF-8"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_registry_that_is_broken_is_left_alone(site: Site, kind: str) -> None:
    """Nothing is answered from it or written into it, and the message says where it is broken."""
    old, new, message = BROKEN[kind]
    broken = BASE.replace(old, new, 1).encode("utf-8", "surrogateescape")
    site.registry.write_bytes(broken)
    for words in (
        ("who", "1"),
        ("allocate", "shop.x", "--exposure", "host", "--reason", "x"),
        ("move", "store.sql", "21005", "--reason", "x"),
        ("retire", "shop.admin"),
        ("lease", "20005", "--hosts", "front", "--holder", "x", "--until", "4h", "--reason", "x"),
    ):
        code, out, errors = site.ports(*words)
        assert (code, out) == (2, "")
        assert errors.startswith("registry/ports.yml:")
        assert _found(message, errors), errors
    assert site.ports("validate")[0] == 1
    assert site.registry.read_bytes() == broken
    assert sorted(path.name for path in site.registry.parent.iterdir()) == ["ports.yml"]


def _found(pattern: str, text: str) -> bool:

    return re.search(pattern, text) is not None


def test_faults_for_github(site: Site) -> None:
    site.change("port: 20001", "port: none")
    code, out, _errors = site.ports("validate", "--format", "github")
    assert code == 1
    assert out.startswith("::error file=registry/ports.yml,line=30::services.shop.endpoints.http.")
    finding = output.Finding("100%\nsure", "a:b,c", 1, 2, "warning")
    assert finding.for_github() == "::warning file=a%3Ab%2Cc,line=1,col=2::100%25%0Asure"


def test_leases_are_validated_too(site: Site) -> None:
    lease = "{port: PORT, hosts: front, holder: {process: node}, reason: x, expires: DAY}"
    file = site.registry.with_name("leases.yml")
    text = f"version: 1\nleases:\n  - {lease}\n"
    file.write_text(text.replace("PORT", "20005").replace("DAY", "2020-01-01"))
    code, out, _errors = site.ports("validate")
    assert code == 0
    assert "registry/leases.yml:3: warning: 20005/tcp was leased to node on front until" in out
    assert site.ports("lease")[0] == 1
    file.write_text(text.replace("PORT", "20001").replace("DAY", "2999-01-01"))
    code, out, _errors = site.ports("validate")
    assert code == 1
    assert "registry/leases.yml:3: 20001/tcp is leased to node" in out
    file.write_text(text)
    assert site.ports("validate")[0] == 1
    assert site.ports("free", "20005")[0] == 2


# --- changes -------------------------------------------------------------------------------------


def test_changes(repository: Site) -> None:
    """They show what they change, are committed without complaint, and change nothing twice."""
    site = repository
    site.git("config", "user.name", "Ada Lovelace")
    allocate = ("allocate", "shop.jobs", "--exposure", "host", "--reason", "Jobs")
    code, out, _errors = site.ports(*allocate, "--dry-run")
    assert code == 0
    assert "+        port: 20000\n" in out
    assert site.registry.read_text(encoding="utf-8") == BASE
    assert site.ports(*allocate)[1].endswith("shop.jobs has 20000\n")
    assert site.ports(*allocate)[1] == "shop.jobs has 20000, as before\n"
    assert "    by: Ada Lovelace\n" in site.registry.read_text(encoding="utf-8")
    assert site.ports("move", "store.sql", "21005")[0] == 2
    assert site.ports("move", "store.sql", "21005", "--reason", "Room")[0] == 0
    assert site.ports("retire", "shop.admin", "--by", "Bob")[0] == 0
    lease = ("lease", "20005", "--hosts", "front", "--until", "4h", "--reason", "Load test")
    assert site.ports(*lease, "--holder", "node", "--holder", "user=ada")[0] == 0
    assert "holder: {process: node, user: ada}" in (
        site.registry.with_name("leases.yml").read_text(encoding="utf-8")
    )
    assert site.ports("free", "20005")[0] == 1
    assert (
        "leased to node" in site.ports("allocate", "shop.x", "--port", "20005", "--reason", "x")[2]
    )
    assert site.ports("lease", "20005", "--extend", "2d")[0] == 0
    assert site.ports("lease", "20005", "--end")[0] == 0
    assert site.ports("lease", "20005", "--end")[0] == 2
    new = ("--service", "hosts=front", "--service", "environments=[staging]")
    code, out, errors = site.ports(
        *("allocate", "thumb.http", "--port", "20300", "--status", "alternative", *new),
        *("--service", "description=Thumbs", "--service", "range=web"),
        *("--service", "owner={process: thumb}", "--exposure", "internal"),
        *("--consumers", "shop,office", "--set", "probe=http"),
    )
    assert (code, errors) == (0, "")
    assert "+        consumers: [shop, office]\n+        probe: http\n" in out
    site.git("commit", "--all", "--message=Changes")
    assert commits(site) == 2
    assert site.ports("validate")[0] == 0


def test_twenty_at_once_get_twenty_ports(site: Site) -> None:
    site.change("description: The shop", "description: 'The shop'  # don't touch")
    started = [
        subprocess.Popen(
            ["ports", "allocate", f"shop.job{i}", "--exposure=host", "--reason=x", "--format=json"],
            cwd=site.folder,
            env=site.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(20)
    ]
    answers = [json.loads(process.communicate()[0]) for process in started]
    assert len({answer["port"] for answer in answers}) == 20
    registry = load.read(str(site.registry))
    for i, answer in enumerate(answers):
        assert registry.endpoints[f"shop.job{i}"].port == answer["port"]
    assert len(registry.data["history"]) == 22
    text = site.registry.read_text(encoding="utf-8")
    assert "description: 'The shop'  # don't touch\n" in text
    kept = [line for line in text.splitlines() if line in BASE.splitlines()]
    assert len(kept) >= len(BASE.splitlines()) - 1
    assert sorted(path.name for path in site.registry.parent.iterdir()) == ["ports.yml"]


# --- history -------------------------------------------------------------------------------------


def test_a_commit_without_history_is_refused(repository: Site) -> None:
    site = repository
    site.change("port: 21001", "port: 21005")
    said = site.git("commit", "--all", "--message=Quietly")
    assert commits(site) == 1
    assert (
        "registry/ports.yml:48: services.store.endpoints.sql.port: found 21005/tcp critical, but"
        " 21001/tcp critical in HEAD, without an entry in history. Take the change back, and let"
        " `ports move store.sql 21005 --reason ...` make it, or add at the end of history:"
    ) in said
    # What it says works.
    site.git("checkout", "--force", "--", ".")
    assert site.ports("move", "store.sql", "21005", "--reason", "Room")[0] == 0
    site.git("commit", "--all", "--message=Loudly")
    assert commits(site) == 2


def test_what_is_committed_counts_not_what_lies_around(repository: Site) -> None:
    site = repository
    site.change("port: 20002", "port: 20003")
    site.git("add", "--all")
    site.change("port: 20003", "port: 20002")
    assert "without an entry" in site.git("commit", "--message=Quietly")
    assert site.ports("history-check")[0] == 0
    # A commit of one file has an index of its own.
    site.git("reset", "--hard")
    site.change("port: 20002", "port: 20003")
    assert "without an entry" in site.git("commit", "--message=Quietly", "registry/ports.yml")
    assert "without an entry" in site.git("-C", "registry", "commit", "-m", "Quietly", "ports.yml")
    assert commits(site) == 1


def test_entries_cannot_be_rewritten_or_removed(repository: Site) -> None:
    site = repository
    for old, new in (("why: Its port is in use elsewhere", "why: x"), ("by: Ada", "by: Bob")):
        site.change(old, new)
        assert "was rewritten since HEAD" in site.git("commit", "--all", "--message=Rewrite")
        site.git("reset", "--hard")
    site.registry.write_text(BASE.partition("  - date: 2026-02-01")[0].replace("21001", "21000"))
    assert "was removed since HEAD" in site.git("commit", "--all", "--message=Remove")
    assert commits(site) == 1


def test_the_file_under_another_name_has_the_same_history(repository: Site) -> None:
    site = repository
    site.git("mv", "registry/ports.yml", "registry/moved.yml")
    config = site.folder / "ansible.cfg"
    config.write_text(config.read_text().replace("ports.yml", "moved.yml"))
    site.registry = site.registry.with_name("moved.yml")
    site.change("why: Its port is in use elsewhere", "why: x")
    assert "was rewritten since HEAD" in site.git("commit", "--all", "--message=Rewrite")


def test_a_merge_keeps_the_entries_of_both(repository: Site) -> None:
    """Two branches add entries; a merge that drops one is refused, one that keeps both isn't."""
    site = repository
    move = ("--reason", "Room")
    site.git("checkout", "-b", "side")
    assert site.ports("move", "shop.http", "20005", *move)[0] == 0
    site.git("commit", "--all", "--message=Side")
    site.git("checkout", "main")
    assert site.ports("move", "store.sql", "21005", *move)[0] == 0
    site.git("commit", "--all", "--message=Main")
    ours = site.registry.read_text(encoding="utf-8")
    assert "CONFLICT" in site.git("merge", "side")
    code, _out, errors = site.ports("history-check", "--staged")
    assert (code, "has a merge conflict" in errors) == (2, True)
    code, _out, errors = site.ports("allocate", "shop.x", "--exposure", "host", "--reason", "x")
    assert (code, "found the conflict marker <<<<<<<" in errors) == (2, True)
    site.registry.write_text(ours.replace("port: 20001", "port: 20005"), encoding="utf-8")
    site.git("add", "--all")
    assert "was removed since" in site.git("commit", "--no-edit")
    site.registry.write_text(ours, encoding="utf-8")
    assert site.ports("move", "shop.http", "20005", *move)[0] == 0
    site.git("add", "--all")
    site.git("commit", "--no-edit")
    assert commits(site) == 4


def test_a_broken_base_is_passed_over(repository: Site) -> None:
    """Who mends what somebody committed past the hook is compared with what was before."""
    site = repository
    good = site.registry.read_text(encoding="utf-8")
    site.registry.write_text(good + "<<<<<<< HEAD\n", encoding="utf-8")
    site.git("commit", "--no-verify", "--all", "--message=Broken")
    site.registry.write_text(good.replace("20002", "20003"), encoding="utf-8")
    assert "without an entry" in site.git("commit", "--all", "--message=Quietly")
    site.registry.write_text(good, encoding="utf-8")
    site.git("commit", "--all", "--message=Mended")
    assert commits(site) == 3


def test_what_git_cannot_tell(site: Site) -> None:
    code, _out, errors = site.ports("history-check")
    assert (code, "git has no earlier state of it: fatal: not a git" in errors) == (2, True)
    site.git("init", "--initial-branch=main", ".")
    assert site.ports("history-check")[0] == 0
    code, _out, errors = site.ports("history-check", "--staged")
    assert (code, "isn't going to be committed; git add it" in errors) == (2, True)
    site.git("add", "--all")
    assert site.ports("history-check", "--staged")[0] == 0
    site.git("commit", "--message=Start")
    code, _out, errors = site.ports("history-check", "--base", "nowhere")
    assert (code, "found no commit nowhere; fetch it" in errors) == (2, True)
    site.git("checkout", "--orphan", "other")
    site.git("commit", "--message=Other")
    code, _out, errors = site.ports("history-check", "--base", "main")
    assert (code, "have no common ancestor" in errors) == (2, True)


def test_ci_refuses_what_went_around_the_hook(repository: Site) -> None:
    """By the very commands of the workflow, compared with the branch that it left."""
    site = repository
    job = yaml.safe_load((TOP / ".github" / "workflows" / "registry.yml").read_text())["jobs"]
    steps = {step["name"]: step["run"] for step in job["registry"]["steps"]}
    (site.folder / ".venv" / "bin").mkdir(parents=True)
    (site.folder / ".venv" / "bin" / "ports").symlink_to("../../ports")

    def run(name: str, base: str) -> subprocess.CompletedProcess[str]:
        (script,) = (script for step, script in steps.items() if name in step)
        return site.start("bash", "-e", "-c", script, BASE=base, DEFAULT_BRANCH="main")

    start = site.git("rev-parse", "HEAD").strip()
    site.git("checkout", "-b", "side")
    site.change("port: 20002", "port: 20003")
    site.git("commit", "--no-verify", "--all", "--message=Quietly")
    for base in (start, "main"):
        done = run("without its entry", base)
        assert done.returncode == 1
        assert done.stdout.startswith(
            "::error file=registry/ports.yml,line=36::services.shop.endpoints.admin.port: found"
            " 20003/tcp alternative, but 20002/tcp alternative in"
        )
    # The branch's own last commit hides nothing, and what was added to main since is no removal.
    site.git("checkout", "main")
    assert site.ports("move", "store.sql", "21005", "--reason", "Room")[0] == 0
    site.git("commit", "--all", "--message=Main")
    site.git("update-ref", "refs/remotes/origin/main", "main")
    site.git("checkout", "side")
    site.git("commit", "--no-verify", "--allow-empty", "--message=More")
    done = run("without its entry", "0" * 40)
    assert done.returncode == 1
    assert "removed" not in done.stdout
    assert run("with faults", start).returncode == 0
    site.change("port: 20003", "port: 20002")
    site.git("commit", "--no-verify", "--all", "--message=Back")
    assert run("without its entry", start).returncode == 0
    assert run("without its entry", "0" * 40).returncode == 0


# --- the rest ------------------------------------------------------------------------------------


def test_ansible_is_not_needed(site: Site) -> None:
    """No command imports it. An answer imports no validator, and a second one even less."""
    code = f"""
import sys
sys.path.insert(0, {str(CONSOLE.parents[5])!r})
from ansible_collections.prsnl.ports.plugins.plugin_utils.console import main
for name in main.COMMANDS:
    main.command(name)
assert main.main(["validate"]) == 0
print([name for name in sys.modules if name.split(".")[0] == "ansible"])
"""
    done = site.start(sys.executable, "-c", code)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    code = f"""
import sys
sys.path.insert(0, {str(CONSOLE.parents[5])!r})
from ansible_collections.prsnl.ports.plugins.plugin_utils.console import main
assert main.main(["who", "20001"]) == 0
print({{"jsonschema", "netaddr", "subprocess"}} & set(sys.modules))
"""
    done = site.start(sys.executable, "-c", code)
    assert done.stdout.splitlines()[-1] == "{'netaddr'}", done.stderr
    done = site.start(sys.executable, "-c", code)
    assert done.stdout.splitlines()[-1] == "set()", done.stderr


def test_what_is_remembered_is_only_what_was_checked(site: Site) -> None:
    assert site.ports("who", "20001")[0] == 0
    site.change("port: 20001", "port: '20001'")
    assert site.ports("who", "20001")[0] == 2
    # Leases without faults are no registry.
    leases = site.registry.with_name("leases.yml")
    leases.write_text("version: 1\nleases: []\n")
    site.change("port: '20001'", "port: 20001")
    assert site.ports("who", "20001")[0] == 0
    assert site.ports("who", "20001", "--registry", str(leases))[0] == 2
    # A folder of others isn't trusted, and none isn't needed.
    for folder in ("cache/prsnl-ports", "cache"):
        (site.folder / folder).chmod(0o777)
        assert site.ports("who", "20001")[0] == 0
    assert site.ports("who", "20001", XDG_CACHE_HOME="/dev/null")[0] == 0


COMPLETE = {
    "bash": """
source <(ports completion bash)
COMP_WORDS=({before} '{last}'); COMP_CWORD={index}
_ports; printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    # Its completion only works inside of its editor, so what it would add is printed here.
    "zsh": """
compdef() {{ [[ "$*" == "_ports ports" ]] || exit 9 }}
compadd() {{ [[ $1 == -a ]] && print -rl -- ${{(P)2}} }}
_files() {{ }}
source <(ports completion zsh)
words=({before} '{last}'); CURRENT={index}+1
_ports
""",
}


@pytest.mark.parametrize("shell", COMPLETE)
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("wh", ["who"]),
        ("", list(main.COMMANDS)),
        ("free w", ["web"]),
        ("show s", ["shop", "store", "shop.http", "shop.admin", "store.sql"]),
        ("move store.", ["store.sql", "store.cluster", "store.old"]),
        ("move store.sql --status cr", ["critical"]),
        ("move store.sql 21005 --st", ["--status"]),
        ("allocate x.y --exposure p", ["public"]),
        ("lease 20005 --hosts f", ["front"]),
        ("sync --ch", ["--check"]),
        ("export --service st", ["store"]),
        ("export --environment p", ["production"]),
        ("export json", ["json"]),
        ("who 2", []),
        ("nonsense x", []),
    ],
)
def test_completion(site: Site, line: str, found: list[str], shell: str) -> None:
    """By the shell itself, with the script that the command prints."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} isn't installed")
    *before, last = "ports", *line.split(" ")
    script = COMPLETE[shell].format(before=" ".join(before), last=last, index=len(before))
    done = site.start(shell, "-c", script)
    assert done.returncode != 9
    assert [word for word in done.stdout.splitlines() if word][:5] == found[:5], done.stderr


def test_every_command_says_what_it_does(site: Site) -> None:
    code, out, _errors = site.ports("--help")
    assert code == 0
    for name in main.COMMANDS:
        assert f"    {name}" in out
        assert site.ports(name, "--help")[0] == 0


def test_a_pipe_that_closes(site: Site) -> None:
    done = site.start("bash", "-c", "ports show | head -1; echo ${PIPESTATUS[0]}")
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


def test_the_package_has_the_version_of_the_collection() -> None:

    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    galaxy = yaml.safe_load((CONSOLE.parents[2] / "galaxy.yml").read_text())
    assert project["version"] == galaxy["version"]
    assert project["scripts"] == {"ports": f"{main.__name__}:main"}
