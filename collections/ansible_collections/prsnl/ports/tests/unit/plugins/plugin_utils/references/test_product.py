# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole product: every stale port with its place, none invented, and only numbers rewritten."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import typing as t

import pytest
import yaml
from ansible_collections.prsnl.ports.plugins.plugin_utils.references import scan
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load

HERE = pathlib.Path(__file__).parent
REGISTRY = load.read(str(HERE / "ports.yml"))
MARK = re.compile("«([a-z]+)»")
TEXTS: dict[str, str] = yaml.safe_load((HERE / "product.yml").read_text(encoding="utf-8"))
NUMBERS = {5432: 5433, 8000: 8010, 6379: 6380, 3000: 9301, 9090: 9091, 3003: 3004, 3002: 3004}
# What an editor on another system makes of the same text.
FORMS: dict[str, t.Callable[[str], bytes]] = {
    "as it is": lambda text: text.encode(),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "byte order mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "no newline at the end": lambda text: text.rstrip("\n").encode(),
}


def write(folder: pathlib.Path, form: str) -> dict[str, bytes]:
    """The product in a form; what its files are."""
    files = {}
    for path, text in TEXTS.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        # Python and YAML are read in UTF-8 only by those for whom they are.
        form_of = form if form != "UTF-16" or path.endswith((".md", ".env")) else "as it is"
        files[path] = FORMS[form_of](MARK.sub("", text))
        file.write_bytes(files[path])
        os.chmod(file, 0o640)
    return files


def stale_places() -> list[str]:
    """Where the marks say that a number is stale, and what is to be said of it."""
    places = []
    for path, text in TEXTS.items():
        for number, line in enumerate(text.splitlines(), start=1):
            for match in re.finditer(r"(\d+)«stale»", line):
                port = int(match[1])
                places.append(f"{path}:{number}: {port} -> {NUMBERS[port]}")
    return sorted(places)


@pytest.mark.parametrize("form", FORMS)
def test_every_stale_port_and_no_other(tmp_path: pathlib.Path, form: str) -> None:
    before = write(tmp_path, form)
    found = scan.scan(REGISTRY, str(tmp_path))
    shown = [f"{r.file}:{r.line}: {r.port} -> {r.use}" for r in found.of("stale")]
    assert sorted(shown) == stale_places()
    for reference in found.references:
        number = before[reference.file][reference.start : reference.end]
        assert number.replace(b"\0", b"") == str(reference.port).encode()
    assert {path: path_bytes(tmp_path, path) for path in TEXTS} == before


def path_bytes(folder: pathlib.Path, path: str) -> bytes:
    """What a file is now."""
    return (folder / path).read_bytes()


def test_messages_say_what_to_use(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "as it is")
    messages = list(map(str, scan.scan(REGISTRY, str(tmp_path)).of("stale")))
    assert "docker-compose.yml:20: 5432 is PostgreSQL's retired port, use 5433" in messages
    assert "docker-compose.monitoring.yml:4: 3000 is grafana's former port, use 9301" in messages
    assert "frontend/.env:2: 3002 is frontend.dev's former port, use 3004" in messages


@pytest.mark.parametrize("form", FORMS)
def test_rewriting_changes_the_numbers_and_nothing_else(tmp_path: pathlib.Path, form: str) -> None:
    before = write(tmp_path, form)
    found = scan.scan(REGISTRY, str(tmp_path))
    spans = {(r.file, r.start, r.end): r for r in found.of("stale")}
    found.rewrite(found.changes())
    for path, old in before.items():
        expected, done = b"", 0
        for (file, start, end), reference in sorted(spans.items()):
            if file == path:
                wide = b"\0" in old[start:end]
                use = str(reference.use).encode("utf-16-le" if wide else "ascii")
                expected += old[done:start] + use
                done = end
        assert path_bytes(tmp_path, path) == expected + old[done:]
        assert os.stat(tmp_path / path).st_mode & 0o777 == 0o640
    again = scan.scan(REGISTRY, str(tmp_path))
    assert again.of("stale") == []
    assert again.changes() == []
    assert len(again.of("right")) == len(found.of("right")) + len(spans)


def test_compose_files_mean_the_same_but_for_the_ports_meant(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "as it is")
    names = ("docker-compose.yml", "docker-compose.monitoring.yml")
    before = {name: yaml.safe_load((tmp_path / name).read_text()) for name in names}
    found = scan.scan(REGISTRY, str(tmp_path))
    found.rewrite(found.changes())
    after = {name: yaml.safe_load((tmp_path / name).read_text()) for name in names}
    base, monitoring = (before[name]["services"] for name in names)
    base["frontend"]["environment"] = ["PUBLIC_API_URL=http://localhost:8010/api"]
    base["backend"]["ports"] = ["${BACKEND_PORT:-8010}:8000"]
    base["backend"]["environment"]["REPORTS_URL"] = (
        "postgresql://prsnl:pw@host.docker.internal:5433/prsnl"
    )
    base["db"]["ports"] = ["5433:5432"]
    base["redis"]["ports"] = ["6380:6379"]
    monitoring["grafana"]["ports"] = ["9301:3000"]
    monitoring["grafana"]["environment"]["GF_DATABASE_HOST"] = "host.docker.internal:5433"
    monitoring["prometheus"]["ports"] = ["127.0.0.1:9091:9090"]
    monitoring["postgres-exporter"]["environment"]["DATA_SOURCE_NAME"] = (
        "postgresql://prsnl@host.docker.internal:5433/prsnl?sslmode=disable"
    )
    assert after == before


def test_the_diff_is_one_that_tools_apply(tmp_path: pathlib.Path) -> None:
    """Also where the last line has no newline, and where lines end as on Windows."""
    for form in ("as it is", "CRLF", "no newline at the end"):
        folder = tmp_path / form.replace(" ", "_")
        folder.mkdir()
        write(folder, form)
        found = scan.scan(REGISTRY, str(folder))
        changes = found.changes()
        patch = "".join(change.diff() for change in changes)
        done = subprocess.run(
            ["git", "apply", "--unsafe-paths", f"--directory={folder}", "-"],
            input=patch.encode(),
            capture_output=True,
            check=False,
            cwd="/",
        )
        assert done.returncode == 0, done.stderr
        assert {c.file: path_bytes(folder, c.file) for c in changes} == {
            c.file: c.after for c in changes
        }
