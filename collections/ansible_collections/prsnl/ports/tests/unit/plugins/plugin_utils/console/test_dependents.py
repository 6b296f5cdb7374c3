# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What depends on the registry, by the command: found, rewritten, generated, drafted, exported."""

from __future__ import annotations

import io
import json
import os
import pathlib
import subprocess
import typing as t
from unittest import mock

import pytest
import yaml
from ansible_collections.prsnl.ports.plugins.plugin_utils.console import main
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load

HERE = pathlib.Path(__file__).parents[1]
REGISTRY = (HERE / "references" / "ports.yml").read_text(encoding="utf-8")
GUIDE = (HERE / "drafts" / "guide.md").read_text(encoding="utf-8")
OUTPUTS = """\
outputs:
  - {file: ../made/shop.env, format: env, services: [backend]}
  - {file: ../docs/ports.md, format: guide}
history:
"""
BEFORE = "POSTGRES_PORT=5432\r\nSEARCH_PORT=9200\r\nCACHE_URL=redis://db1.example:6379\r\n"
AFTER = BEFORE.replace("5432", "5433")
STALE = "5432 is PostgreSQL's retired port, use 5433"
GONE = "9200 is search's former port, and search is gone"
UNSURE = "warning: 6379 is DragonflyDB's former port, use 6380; not touched: "

Run = t.Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A product with a registry; commands start there."""
    (tmp_path / "registry").mkdir()
    file = tmp_path / "registry" / "ports.yml"
    file.write_text(REGISTRY.replace("history:\n", OUTPUTS), encoding="utf-8")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "a.env").write_bytes(BEFORE.encode())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT_REGISTRY", str(file))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def ports(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; returns its exit code, output and errors."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main.main(words)
        return code, *capsys.readouterr()

    return run


def text(folder: pathlib.Path) -> str:
    """What is in the file with stale numbers."""
    return (folder / "web" / "a.env").read_bytes().decode()


def test_check_tells_what_is_stale_by_file_and_line(folder: pathlib.Path, ports: Run) -> None:
    code, out, errors = ports("check", ".")
    assert (code, errors) == (1, "")
    first, second, third = out.splitlines()
    assert (first, second) == (f"web/a.env:1: {STALE}", f"web/a.env:2: {GONE}")
    assert third.startswith(f"web/a.env:3: {UNSURE}")
    assert text(folder) == BEFORE
    # Files are named as seen from here, and from the folder that was named if it is elsewhere.
    assert ports("check", "web")[1] == out
    os.chdir(folder / "registry")
    assert ports("check", "../web")[1].startswith(f"a.env:1: {STALE}")
    assert ports("check", "--exclude", "*.env", "..") == (0, "", "")
    assert ports("check", "..", "--format", "github")[1].startswith("::error file=web/a.env,line=1")
    assert UNSURE not in ports("check", ".", "--host", "db1.example")[1]
    code, out, errors = ports("check", "nowhere")
    assert (code, out, errors) == (2, "", "nowhere: there is no such file or directory\n")


@pytest.mark.parametrize("diff", [(), ("--diff",)], ids=["plain", "diff"])
def test_sync_check_writes_nothing(folder: pathlib.Path, ports: Run, diff: tuple[str, ...]) -> None:
    code, out, errors = ports("sync", "--check", *diff, ".")
    assert (code, errors) == (1, "")
    shown = "-POSTGRES_PORT=5432\r\n+POSTGRES_PORT=5433\r\n"
    assert (shown in out) is bool(diff)
    assert f"\nweb/a.env:1: {STALE}\n" in f"\n{out}"
    assert f"\nweb/a.env:2: {GONE}; it has no successor to write\n" in out
    assert f"\nweb/a.env:3: {UNSURE}" in out
    assert text(folder) == BEFORE


def test_sync_rewrites_only_the_numbers(folder: pathlib.Path, ports: Run) -> None:
    code, out, _errors = ports("sync", "--diff", ".")
    assert out.startswith("--- a/web/a.env\n+++ b/web/a.env\n")
    assert f"\nweb/a.env:1: notice: {STALE}; rewritten\n" in out
    assert text(folder) == AFTER
    # What has no successor is left, and said again.
    assert code == 1
    code, out, _errors = ports("sync", "--diff", ".")
    assert (code, out.splitlines()[0]) == (1, f"web/a.env:2: {GONE}; it has no successor to write")
    (folder / "web" / "a.env").write_text("POSTGRES_PORT=5433\n")
    assert ports("sync", ".") == (0, "", "")
    assert ports("sync", "--check", ".") == (0, "", "")


def test_the_diff_of_sync_can_be_applied(folder: pathlib.Path, ports: Run) -> None:
    diff = ports("sync", "--check", "--diff", "web")[1]
    subprocess.run(
        ["git", "apply", "-"], input=diff.encode(), cwd=folder, check=True, capture_output=True
    )
    assert text(folder) == AFTER


def test_sync_says_what_it_found_to_programs(folder: pathlib.Path, ports: Run) -> None:
    rows = json.loads(ports("sync", "--format", "json", "--diff", ".")[1])
    assert [(row["line"], row["level"]) for row in rows] == [
        (1, "notice"),
        (2, "error"),
        (3, "warning"),
    ]
    assert text(folder) == AFTER


def test_a_file_that_cannot_be_rewritten_stays(folder: pathlib.Path, ports: Run) -> None:
    os.link(folder / "web" / "a.env", folder / "web" / "twin")
    code, out, errors = ports("sync", ".")
    assert (code, out) == (2, "")
    assert errors.startswith("web/a.env: can't be rewritten: it has further hard links")
    assert text(folder) == BEFORE


def test_generate_writes_what_is_out_of_step(folder: pathlib.Path, ports: Run) -> None:
    missing = "made/shop.env:1: is missing; run `ports generate`\n"
    code, out, _errors = ports("generate", "--check")
    assert (code, out.splitlines(keepends=True)[0]) == (1, missing)
    assert not (folder / "made").exists()
    code, out, _errors = ports("generate", "--check", "--format", "github")
    assert out.startswith("::error file=made/shop.env,line=1::is missing; run `ports generate`")
    code, out, _errors = ports("generate")
    assert (code, out) == (0, "made/shop.env\ndocs/ports.md\n")
    made = (folder / "made" / "shop.env").read_text()
    assert made.endswith("BACKEND_HTTP_PORT=8010\n")
    assert ports("generate") == (0, "", "")
    assert ports("generate", "--check") == (0, "", "")
    # A change of the registry, and one by hand.
    file = folder / "registry" / "ports.yml"
    for changed in (folder / "made" / "shop.env", file):
        before = changed.read_text()
        changed.write_text(before.replace("8010", "8011"))
        code, out, _errors = ports("generate", "--check")
        assert code == 1
        assert "made/shop.env:1: is out of step with the registry; run `ports generate`" in out
        changed.write_text(before)
    assert ports("generate", "--check")[0] == 0
    (folder / "made" / "shop.env").unlink()
    (folder / "made" / "shop.env").mkdir()
    code, _out, errors = ports("generate")
    assert (code, "made/shop.env: isn't a regular file; remove it" in errors) == (2, True)


@pytest.mark.parametrize("what", ["guide", "json", "services", "env", "cors", "compose"])
def test_export_is_what_is_generated(folder: pathlib.Path, ports: Run, what: str) -> None:
    """The same bytes as an output of that format in this folder."""
    file = folder / "registry" / "ports.yml"
    output = f"  - {{file: ../x, format: {what}}}\nhistory:\n"
    file.write_text(file.read_text().replace("history:\n", output))
    code, out, errors = ports("export", what)
    assert (code, errors) == (0, "")
    assert ports("generate")[0] == 0
    assert (folder / "x").read_text(encoding="utf-8") == out


def test_export_of_a_part(folder: pathlib.Path, ports: Run) -> None:
    assert ports("export", "env", "--service", "backend")[1].splitlines()[1:] == [
        "BACKEND_HTTP_PORT=8010"
    ]
    code, out, errors = ports("export", "env", "--service", "backnd")
    assert (code, out) == (2, "")
    assert "found 'backnd', allowed is " in errors
    assert "did you mean 'backend'?" in errors
    assert ports("export", "env", "--environment", "nowhere")[0] == 2


def test_import_of_a_guide(folder: pathlib.Path, ports: Run) -> None:
    """The draft is a registry, what isn't settled is said with its line, and it is code 1."""
    (folder / "guide.md").write_text(GUIDE, encoding="utf-8")
    code, out, errors = ports("import", "guide.md")
    assert code == 1
    draft = load.parse(out.encode(), "draft.yml")
    assert draft.endpoints["postgresql.sql"].port == 15433
    assert "guide.md:1: warning: nothing says on which hosts the services are" in errors
    data = json.loads(ports("import", "guide.md", "--format", "json")[1])
    assert data["registry"] == draft.data
    assert data["faults"] == []
    assert {row["level"] for row in data["unsettled"]} == {"warning"}


def test_export_and_import_are_a_fixed_point(folder: pathlib.Path, ports: Run) -> None:
    """Also of a registry that was itself imported."""
    file = folder / "registry" / "ports.yml"
    (folder / "guide.md").write_text(GUIDE, encoding="utf-8")
    for source in (file.read_text(), ports("import", "guide.md")[1]):
        file.write_text(source, encoding="utf-8")
        guide = ports("export")[1]
        (folder / "exported").write_text(guide, encoding="utf-8")
        code, out, errors = ports("import", "exported")
        assert (code, errors) == (0, "")
        assert load.parse(out.encode(), "").data == load.parse(source.encode(), "").data
        file.write_text(out, encoding="utf-8")
        assert ports("export")[1] == guide


def test_import_of_compose_files(folder: pathlib.Path, ports: Run) -> None:
    (folder / "compose.yml").write_text("services: {db: {image: postgres, ports: ['15433:5432']}}")
    (folder / "more").write_text("services:\n  web: {image: x, ports: ['8700:80', '80']}\n")
    code, out, errors = ports("import", "compose.yml", "more")
    assert code == 1
    assert set(load.parse(out.encode(), "draft.yml").endpoints) == {"db.main", "web.main"}
    assert "more:2: warning: web publishes 80 on a port that varies" in errors
    (folder / "guide.md").write_text(GUIDE, encoding="utf-8")
    code, out, errors = ports("import", "compose.yml", "guide.md")
    assert (code, out) == (2, "")
    assert errors == (
        "guide.md:1: found a guide beside a Compose file (compose.yml), allowed are sources of one"
        " kind; import one after the other\n"
    )


LISTENERS = {"listeners": [{"port": 8700, "address": "::1", "process": "web"}], "unseen": "Others"}


@pytest.mark.parametrize(
    "said",
    [
        json.dumps(LISTENERS),
        f"app1 | SUCCESS => {json.dumps(LISTENERS, indent=4)}",
        f"app1 | SUCCESS => \n{yaml.safe_dump(LISTENERS)}",
    ],
    ids=["a result", "ansible's JSON", "ansible's YAML"],
)
def test_import_of_what_a_host_listens_on(folder: pathlib.Path, ports: Run, said: str) -> None:
    stdin = mock.Mock(buffer=io.BytesIO(said.encode()))
    with mock.patch("sys.stdin", stdin):
        code, out, errors = ports("import", "-")
    assert load.parse(out.encode(), "draft.yml").endpoints["web.main"].port == 8700
    assert (code, errors) == (1, "-:1: warning: Others\n")


def test_what_cannot_be_imported(folder: pathlib.Path, ports: Run) -> None:
    (folder / "binary").write_bytes(b"\0\1")
    (folder / "broken").write_text("{")
    for name, message in (
        ("binary", "binary:1: found no text, allowed is guide or compose or listeners"),
        ("broken", "broken:1: found neither JSON nor YAML, allowed is a result of"),
        ("nowhere", "nowhere: No such file or directory"),
    ):
        code, out, errors = ports("import", name)
        assert (code, out) == (2, "")
        assert errors.startswith(message)
    # Nothing can be read from it as a guide, and that is told.
    (folder / "empty").write_text("")
    code, _out, errors = ports("import", "empty")
    assert (code, "no table of services and ports was found" in errors) == (1, True)
