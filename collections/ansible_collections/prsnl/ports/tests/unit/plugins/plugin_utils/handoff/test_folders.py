# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of handoffs, commands as people type them, and secrets that stay where they are."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff import commands, folders

SHA = "0123456789abcdef" * 4


def evidence(generated: str, **more: t.Any) -> dict[str, t.Any]:
    return {"generated": generated, "registry": {"sha256": SHA}, **more}


def hand_off(base: pathlib.Path, data: dict[str, t.Any]) -> str:
    """Write a handoff's evidence where it belongs; returns the name of its folder."""
    text = json.dumps(data)
    folder = folders.folder_of(str(base), data, text)
    folders.write(folder, {folders.EVIDENCE: text}, simulate=False)
    return pathlib.Path(folder).name


def test_no_handoff_is_written_over(tmp_path: pathlib.Path) -> None:
    first = evidence("2026-11-26T01:00:00Z")
    assert hand_off(tmp_path, first) == "2026-11-26-0123456789ab"
    assert hand_off(tmp_path, first) == "2026-11-26-0123456789ab"
    assert hand_off(tmp_path, evidence("2026-11-26T02:00:00Z")) == "2026-11-26-0123456789ab-2"
    assert hand_off(tmp_path, evidence("2026-11-26T03:00:00Z")) == "2026-11-26-0123456789ab-3"
    assert hand_off(tmp_path, first) == "2026-11-26-0123456789ab"
    assert len(list(tmp_path.iterdir())) == 3


def test_the_last_one_before(tmp_path: pathlib.Path) -> None:
    for time in ("2026-11-24T05:00:00Z", "2026-11-26T01:00:00Z", "2026-11-26T02:00:00Z"):
        hand_off(tmp_path, evidence(time))
    (tmp_path / "notes").mkdir()
    (tmp_path / "2026-11-25-0123456789ab").mkdir()
    (tmp_path / "2026-11-25-0123456789ab" / "evidence.json").write_text("{")

    def last(time: str) -> str | None:
        found = folders.last_before(str(tmp_path), time)
        return found and pathlib.Path(found).parent.name

    assert last("2026-11-27T00:00:00Z") == "2026-11-26-0123456789ab-2"
    assert last("2026-11-26T02:00:00Z") == "2026-11-26-0123456789ab"
    # A file that is no evidence is passed over.
    assert last("2026-11-26T01:00:00Z") == "2026-11-24-0123456789ab"
    assert last("2026-11-24T05:00:00Z") is None
    assert folders.last_before(str(tmp_path / "none"), "2026") is None


def test_only_what_differs_is_written(tmp_path: pathlib.Path) -> None:
    folder = str(tmp_path / "a" / "b")
    files = {"x.html": "one", "y.md": "\ud800"}
    assert folders.write(folder, files, simulate=True) == ["x.html", "y.md"]
    assert not (tmp_path / "a").exists()
    assert folders.write(folder, files, simulate=False) == ["x.html", "y.md"]
    assert folders.write(folder, files | {"x.html": "two"}, simulate=False) == ["x.html"]
    assert (tmp_path / "a" / "b" / "x.html").read_text() == "two"
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == ["x.html", "y.md"]


def test_secrets_of_the_controller_are_left_out(tmp_path: pathlib.Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "one.password").write_text('geheim"es\\Wort\n')
    (tmp_path / "deep" / "key.pem").write_text(
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\n-----END"
    )
    (tmp_path / "short").write_text("data\n")
    secrets = folders.secrets_below([str(tmp_path), str(tmp_path / "none")])
    assert secrets == ['geheim"es\\Wort', "MIIEvQIBADAN"]
    text = json.dumps({"a": 'x geheim"es\\Wort y', "b": "MIIEvQIBADAN", "data": "data"})
    assert json.loads(folders.without(text, secrets)) == {
        "a": "x [secret] y",
        "b": "[secret]",
        "data": "data",
    }


# --- commands ------------------------------------------------------------------------------------

HOST: dict[str, t.Any] = {"ssh": "ssh app", "sudo": True, "system": {"system": "Linux"}}
MAC: dict[str, t.Any] = {"ssh": "", "sudo": True, "system": {"system": "Darwin"}}


@pytest.mark.parametrize(
    ("command", "line", "clients"),
    [
        ("ss -ltn", "ssh app 'sudo ss -ltn'", 3),
        ("psql -c 'select 1'", "ssh app \"sudo psql -c 'select 1'\"", 3),
        ("df -h /", "ssh app 'df -h /'", 3),
        ("echo '$HOME'", "ssh app 'sudo echo '\"'\"'$HOME'\"'\"''", 2),
    ],
)
def test_a_line_for_all_clients_where_quotes_allow_it(
    command: str, line: str, clients: int
) -> None:
    found = commands.on_host(HOST, command)
    assert (found.text, len(found.clients)) == (line, clients)


@pytest.mark.parametrize(
    "command", ["psql -c 'select 1, 2'", "printf %s x", "echo '$HOME' \"b\"", "echo a | cat"]
)
@pytest.mark.parametrize("shell", ["bash", "sh", "zsh", "pwsh"])
def test_the_host_gets_the_words_that_were_meant(
    command: str, shell: str, tmp_path: pathlib.Path
) -> None:
    """Typed into a real shell, with a program in ssh's place that shows what it was given."""
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    line = commands.on_host({**HOST, "sudo": False, "ssh": f"{tmp_path}/ssh app"}, command)
    if shell == "pwsh" and commands.CLIENTS[2] not in line.clients:
        pytest.skip("not for PowerShell")
    program = tmp_path / "ssh"
    program.write_text('#!/bin/sh\nshift\nprintf %s "$*"\n')
    program.chmod(0o755)
    option = "-Command" if shell == "pwsh" else "-c"
    done = subprocess.run([shell, option, line.text], capture_output=True, text=True, check=True)
    assert done.stdout == command


def test_commands_of_a_mac() -> None:
    owner = {"process": ["nginx"], "unit": [], "label": "org.nginx"}
    assert commands.status(MAC, owner) == "launchctl print system/org.nginx"
    assert commands.journal(MAC, owner) == ""
    assert commands.holders(MAC, 80, "tcp") == "lsof -nP -iTCP:80 -sTCP:LISTEN"
    assert commands.holders(MAC, 53, "udp") == "lsof -nP -iUDP:53"
    assert commands.control(MAC, "restart", [owner]) == "launchctl kickstart -k system/org.nginx"
    assert commands.control(MAC, "start", [{"process": ["x"]}]) == ""
    # Its own user sits before it.
    assert commands.on_host(MAC, "launchctl list").text == "sudo launchctl list"


def test_a_tunnel_leads_to_what_only_the_host_itself_reaches() -> None:
    assert commands.tunnel(HOST, {"port": 9}, "::1") == "ssh app -N -L 9:[::1]:9"
    assert commands.tunnel(MAC, {"port": 9}, "::1") == ""
