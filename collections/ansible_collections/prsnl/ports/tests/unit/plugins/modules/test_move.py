# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A journal from the beginning of a move to its end, back, and cut off; check mode keeps none."""

from __future__ import annotations

import functools
import json
import pathlib
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.host import undo
from ansible_collections.prsnl.ports.plugins.module_utils.moves import journal
from ansible_collections.prsnl.ports.plugins.modules import move

Run = t.Callable[..., dict[str, t.Any]]
NAME = "port-shop.http"
STEPS = ["open", "switch", "close"]
OPENED: dict[str, t.Any] = {
    "state": "opened",
    "target": "8124",
    "steps": STEPS,
    "about": {"old": 8123},
}
ADA = {"controller": "laptop", "user": "ada", "pid": 7, "place": "here"}
BOB = {"controller": "desk", "user": "bob", "pid": 9, "place": "there"}


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    """Where journals are."""
    changing = functools.partial(
        undo.changing, path=str(tmp_path / "lock"), folders=[str(tmp_path / "undo")]
    )
    moves = tmp_path / "moves"
    monkeypatch.setattr(move, "changing", changing)
    read = functools.partial(journal.read_journal, directory=str(moves))
    write = functools.partial(journal.write_journal, directory=str(moves))
    monkeypatch.setattr(move, "read_journal", read)
    monkeypatch.setattr(move, "write_journal", write)
    return moves


def ask(run: Run, *, check: bool = False, **params: t.Any) -> dict[str, t.Any]:
    arguments = {"name": NAME, "lock": ADA, **params}
    result: dict[str, t.Any] = run(move.main, check=check, **arguments)
    return result


def do(run: Run, *states: str) -> dict[str, t.Any]:
    """Let a move be in a state; returns the last journal."""
    result = ask(run, **OPENED)
    for text in states:
        state, _blank, step = text.partition(" ")
        more: dict[str, t.Any] = {"step": step} if step else {}
        result = ask(run, state=state, **more)
    assert not result.get("failed"), result
    return dict(result["journal"])


def test_a_move_ends_when_all_steps_are_done(run: Run, folder: pathlib.Path) -> None:
    assert ask(run)["journal"]["state"] == "idle"
    states = [f"{state} {step}" for step in STEPS for state in ("begun", "done")]
    assert do(run, *states)["done"] == STEPS
    closed = ask(run, state="closed", summary="moved from 8123 to 8124")
    assert closed["journal"]["state"] == "idle"
    (past,) = closed["journal"]["history"]
    assert (past["outcome"], past["summary"]) == ("moved", "moved from 8123 to 8124")
    (file,) = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert json.loads(file.read_text())["version"] == 1
    assert not ask(run, state="closed")["changed"]


def test_check_mode_writes_nothing(run: Run, folder: pathlib.Path) -> None:
    result = ask(run, check=True, **OPENED)
    assert result["changed"]
    assert result["journal"]["state"] == "forward"
    assert not folder.exists()


def test_what_was_found_before_stays(run: Run, folder: pathlib.Path) -> None:
    do(run, "begun open", "done open", "begun switch")
    again = ask(run, **{**OPENED, "about": {"old": 8124}})["journal"]
    assert again["about"] == {"old": 8123}
    assert (again["begun"], again["done"]) == (["open", "switch"], ["open"])
    assert folder.exists()


def test_steps_are_taken_back_from_the_latest(run: Run, folder: pathlib.Path) -> None:
    turned = do(run, "begun open", "done open", "begun switch", "turned")
    assert turned["undo"] == ["switch", "open"]
    assert ask(run, state="closed")["failed"]
    ask(run, state="undone", step="switch")
    assert ask(run)["journal"]["undo"] == ["open"]
    ask(run, state="undone", step="open")
    closed = ask(run, state="closed")["journal"]
    assert closed["history"][-1]["outcome"] == "taken back"
    assert folder.exists()


@pytest.mark.parametrize(
    ("states", "params", "text"),
    [
        ((), {**OPENED, "target": "8125"}, "A move of port-shop.http to 8124, begun "),
        (("begun switch",), {**OPENED, "steps": ["open"]}, "doesn't have: switch"),
        ((), {"state": "done", "step": "open"}, "was never begun"),
        ((), {"state": "begun", "step": "fly"}, "Step fly doesn't fit the journal"),
        ((), {"state": "undone", "step": "open"}, "its state is forward"),
        ((), {"state": "closed"}, "open, switch and close remains"),
        ((), {"name": "../etc/passwd"}, "is no name of a move"),
    ],
)
def test_what_does_not_fit_is_refused(
    run: Run, folder: pathlib.Path, states: tuple[str, ...], params: dict[str, t.Any], text: str
) -> None:
    do(run, *states)
    before = (folder / f"{NAME}.json").read_text()
    result = ask(run, **params)
    assert result["failed"]
    assert text in result["msg"]
    assert (folder / f"{NAME}.json").read_text() == before


def test_another_run_is_named_and_can_be_followed(run: Run, folder: pathlib.Path) -> None:
    do(run, "begun open")
    refused = ask(run, **OPENED, lock=BOB)
    assert refused["failed"]
    assert "ada@laptop (pid 7 there) works on the move" in refused["msg"]
    assert refused["worked_by"] == ADA
    taken = ask(run, **OPENED, lock=BOB, take_over=True)["journal"]
    assert taken["begun"] == ["open"]
    assert ask(run, **OPENED)["worked_by"] == BOB
    assert folder.exists()


def test_a_strange_file_is_left_alone(run: Run, folder: pathlib.Path) -> None:
    folder.mkdir()
    file = folder / f"{NAME}.json"
    for text in ("{", "[]", '{"version": 2}'):
        file.write_text(text)
        result = ask(run, **OPENED)
        assert result["failed"]
        assert "can't be read by this version" in result["msg"]
        assert file.read_text() == text
    assert journal.read_journals(str(folder)) == []


def test_journals_are_listed(run: Run, folder: pathlib.Path) -> None:
    assert journal.read_journals(str(folder)) == []
    do(run, "begun open")
    assert [found.name for found in journal.read_journals(str(folder))] == [NAME]
