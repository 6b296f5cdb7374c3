"""What the hooks and the workflow refuse, run as git and GitHub run them, in a copy of this."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CONSOLE = "collections/ansible_collections/prsnl/ports/plugins/plugin_utils/console"
JOB = yaml.safe_load((ROOT / ".github" / "workflows" / "registry.yml").read_text())["jobs"][
    "registry"
]
STEPS: dict[str, str] = {step["name"]: step["run"] for step in JOB["steps"]}
FETCH, INSTALL, *CHECKS = STEPS
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
# The command as it is here, where a test isn't about installing it.
COMMAND = f'#!/bin/sh\nexec "{sys.executable}" "{ROOT / CONSOLE}" "$@"\n'
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if not key.startswith(("GIT", "ANSIBLE"))},
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    **{f"GIT_{who}_NAME": "Ada" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "ada@example.com" for who in ("AUTHOR", "COMMITTER")},
}


@dataclasses.dataclass
class Clone:
    """A clone with the hooks, of a server with this repository."""

    folder: Path
    server: Path

    def start(
        self, *words: str, where: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program in the clone."""
        return subprocess.run(
            words,
            cwd=where or self.folder,
            env={**ENVIRONMENT, "XDG_CACHE_HOME": str(self.server.parent / "cache"), **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def git(self, *words: str) -> str:
        """What git prints; it has to succeed."""
        done = self.start("git", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def change(self, file: str, old: str, new: str) -> None:
        """Another text in a file."""
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def commit(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Commits everything."""
        self.git("add", "--all")
        return self.start("git", "commit", "--message=Change", *options)

    def job(
        self, name: str, base: str, steps: tuple[str, ...] = (FETCH, *CHECKS)
    ) -> dict[str, str]:
        """Pushes, runs the job's steps in a new folder; what those that fail print, by name."""
        self.git("push", "--quiet", "origin", "HEAD")
        runner = self.folder.with_name(name)
        runner.mkdir()
        if INSTALL not in steps:
            install(runner)
        failed = {}
        for step in steps:
            script = runner.with_suffix(".sh")
            script.write_text(STEPS[step])
            done = self.start(
                *("bash", "-e", str(script)),
                where=runner,
                BASE=base,
                DEFAULT_BRANCH="main",
                TOKEN="secret",
                GITHUB_SERVER_URL=f"file://{self.server.parent}",
                GITHUB_REPOSITORY=self.server.name,
                GITHUB_SHA=self.git("rev-parse", "HEAD"),
            )
            assert step not in (FETCH, INSTALL) or done.returncode == 0, done.stderr
            if done.returncode:
                failed[step] = done.stdout
        return failed


def install(folder: Path) -> None:
    """The command as .venv/bin/ports."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    command = folder / ".venv" / "bin" / "ports"
    command.write_text(COMMAND)
    command.chmod(0o755)


@pytest.fixture
def clone(tmp_path: Path, files: list[Path]) -> Clone:
    """A clone in which nothing was changed yet."""
    made = Clone(tmp_path / "clone", tmp_path / "ports.git")
    for file in files:
        copy = made.folder / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    made.git("init", "--quiet", "--initial-branch=main", ".")
    assert made.commit().returncode == 0
    made.git("clone", "--quiet", "--bare", ".", str(made.server))
    made.git("remote", "add", "origin", str(made.server))
    install(made.folder)
    hook = made.folder / ".git" / "hooks" / "pre-commit"
    hook.write_text("#!/bin/sh\nset -e\n" + "".join(f"{one['entry']}\n" for one in HOOKS))
    hook.chmod(0o755)
    return made


def step(words: str) -> str:
    """The name of the step that has some words in it."""
    (name,) = (name for name in CHECKS if words in name)
    return name


def test_a_port_that_moves_as_it_has_to_passes(clone: Clone) -> None:
    """With everything that depends on it."""
    start = clone.git("rev-parse", "HEAD")
    ports = str(clone.folder / ".venv" / "bin" / "ports")
    for words in (("move", "postgresql.sql", "5434", "--reason=Test"), ("generate",)):
        done = clone.start(ports, *words)
        assert done.returncode == 0, done.stderr
    # What people wrote about it, as the command tells them.
    told = clone.start(ports, "check", ".", "--exclude", "tests/").stdout
    clone.start(ports, "sync", ".", "--exclude", "tests/")
    done = clone.commit()
    assert done.returncode == 0, done.stdout + done.stderr + told
    assert clone.job("moved", start) == {}


@pytest.mark.slow
def test_the_job_installs_its_command(clone: Clone) -> None:
    done = clone.start(
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest=.venv", "pathspec"
    )
    if done.returncode:
        pytest.skip("there is no package registry to install from")
    start = clone.git("rev-parse", "HEAD")
    assert clone.job("whole", start, tuple(STEPS)) == {}


def test_a_changed_port_without_history_is_refused(clone: Clone) -> None:
    """By the hook, which says how it is done; and by the workflow, for who went around the hook."""
    start = clone.git("rev-parse", "HEAD")
    clone.change("registry/ports.yml", "port: 5433", "port: 5434")
    (clone.folder / ".git" / "hooks" / "pre-commit").write_text(
        "#!/bin/sh\n" + "".join(f"{one['entry']} || code=1\n" for one in HOOKS) + "exit $code\n"
    )
    done = clone.commit()
    assert done.returncode == 1
    assert clone.git("rev-parse", "HEAD") == start
    said = done.stdout + done.stderr
    how = (
        "services.postgresql.endpoints.sql.port: found 5434/tcp critical, but 5433/tcp critical in"
        " {}, without an entry in history. Take the change back, and let `ports move postgresql.sql"
        " 5434 --reason ...` make it, or add at the end of history:"
    )
    assert how.format("HEAD") in said
    assert clone.commit("--no-verify").returncode == 0
    for number, base in enumerate((start, "0" * 40)):
        clone.git("checkout", "-B", f"side{number}")
        history = step("entry in the history")
        printed = clone.job(f"changed{number}", base, (FETCH, history))[history]
        assert printed.startswith("::error file=registry/ports.yml,line=")
        assert how.format(start if base == start else "origin/main") in printed


def test_a_rewritten_entry_is_refused(clone: Clone) -> None:
    start = clone.git("rev-parse", "HEAD")
    clone.change("registry/ports.yml", "why: A container held 3002", "why: It was nicer")
    done = clone.commit()
    assert done.returncode == 1
    assert "was rewritten since HEAD: why" in done.stdout + done.stderr
    assert clone.commit("--no-verify").returncode == 0
    history = step("entry in the history")
    printed = clone.job("rewritten", start, (FETCH, history))[history]
    assert "was rewritten since" in printed


def test_a_stale_reference_is_refused(clone: Clone) -> None:
    start = clone.git("rev-parse", "HEAD")
    (clone.folder / "app.env").write_text("\nDATABASE_URL=postgresql://a@localhost:5432/x\n")
    done = clone.commit()
    assert done.returncode == 1
    message = "5432 is PostgreSQL's retired port, use 5433"
    assert f"app.env:2: {message}" in done.stdout + done.stderr
    assert clone.commit("--no-verify").returncode == 0
    check = step("another port than")
    printed = clone.job("stale", start, (FETCH, check))[check]
    assert f"::error file=app.env,line=2::{message}" in printed


def test_a_generated_file_out_of_step_is_refused(clone: Clone) -> None:
    start = clone.git("rev-parse", "HEAD")
    clone.change("docs/ports.md", "| 5433 |", "| 5434 |")
    done = clone.commit()
    assert done.returncode == 1
    message = "is out of step with the registry; run `ports generate`"
    assert f"docs/ports.md:1: {message}" in done.stdout + done.stderr
    assert clone.commit("--no-verify").returncode == 0
    check = step("out of step")
    printed = clone.job("edited", start, (FETCH, check))[check]
    assert f"::error file=docs/ports.md,line=1::{message}" in printed


def test_a_registry_with_faults_is_refused(clone: Clone) -> None:
    start = clone.git("rev-parse", "HEAD")
    clone.change("registry/ports.yml", "port: 5433", "port: none")
    assert clone.commit().returncode == 1
    assert clone.commit("--no-verify").returncode == 0
    validate = step("with faults")
    printed = clone.job("broken", start, (FETCH, validate))[validate]
    assert printed.startswith("::error file=registry/ports.yml,line=")


def test_the_hooks_for_others_are_those_of_this_repository() -> None:
    """Apart from what is left out here."""
    others = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    ours = {hook["id"]: hook["entry"].removeprefix(".venv/bin/") for hook in HOOKS}
    assert {hook["id"]: hook["entry"] for hook in others} == {
        name: entry.removesuffix(" --exclude tests/") for name, entry in ours.items()
    }
