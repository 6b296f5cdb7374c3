# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes that are cut off are taken back, on real files, by whoever changes the host next."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
import typing as t
from pathlib import Path

import cuts
import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.host import undo as undos
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import Content, write_file
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import Changer, LockedError
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import (
    ABSENT,
    CLAIMED,
    PENDING,
    Undo,
    UndoError,
    changing,
    recover,
)

ADA = Changer("laptop", "ada", "Install the shop")


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Host:
    """Two files of a host, one of which is new, one that goes, and the programs that were run."""

    def __init__(self, root: Path) -> None:
        self.root = root / "host"
        self.old, self.new, self.gone = (
            self.root / path for path in ("etc/old", "etc/more/new", "etc/gone")
        )
        self.undo_folder = root / "undo"
        self.log = root / "log"
        self.code = 0

    def prepare(self) -> None:
        """The host before the change."""
        for folder in (self.root, self.undo_folder):
            shutil.rmtree(folder, ignore_errors=True)
        self.log.unlink(missing_ok=True)
        (self.root / "etc").mkdir(parents=True)
        self.old.write_text("old", encoding="utf-8")
        self.old.chmod(0o640)
        os.utime(self.old, ns=(1, 1_000_000_000))
        self.gone.write_text("there", encoding="utf-8")

    def run(self, command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        assert stdin is None
        with cuts.outside(), self.log.open("a", encoding="utf-8") as file:
            file.write(" ".join(command) + "\n")
        return self.code, "", "it broke"

    def ran(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []

    def undo(self, name: str = "shop") -> Undo:
        return Undo(name, str(self.undo_folder))

    def change(self, undo: Undo) -> None:
        undo.keep(
            (str(self.old), sha("changed")),
            (str(self.new), sha("made")),
            (str(self.gone), ABSENT),
        )
        ids = os.geteuid(), os.getegid()
        write_file(str(self.old), Content(b"changed", 0o600, *ids))
        write_file(str(self.new), Content(b"made", 0o644, *ids))
        os.unlink(self.gone)
        undo.then([["restart", "shop"]])

    def whole(self) -> None:
        undo = self.undo()
        undo.begin("shop: its files", ADA, "1")
        self.change(undo)
        undo.confirm()

    def recover(self, **arguments: t.Any) -> list[str]:
        done = recover(self.run, folders=[str(self.undo_folder)], **arguments)
        return [recovery.text for recovery in done]

    def state(self) -> dict[str, tuple[int, str]]:
        """All files of the host, with their permissions."""
        return {
            str(path.relative_to(self.root)): (
                path.stat().st_mode & 0o777,
                path.read_text(encoding="utf-8") if path.is_file() else "",
            )
            for path in self.root.rglob("*")
        }

    def leftovers(self) -> list[str]:
        return os.listdir(self.undo_folder) if self.undo_folder.exists() else []


OLD = {"etc": (0o755, ""), "etc/old": (0o640, "old"), "etc/gone": (0o644, "there")}
NEW = {
    "etc": (0o755, ""),
    "etc/old": (0o600, "changed"),
    "etc/more": (0o755, ""),
    "etc/more/new": (0o644, "made"),
}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    made.prepare()
    return made


def test_a_confirmed_change_stays(host: Host) -> None:
    host.whole()
    assert host.state() == NEW
    assert host.leftovers() == []
    assert host.recover() == []
    assert host.state() == NEW


def test_a_change_that_was_not_confirmed_is_taken_back_by_the_next_one(host: Host) -> None:
    undo = host.undo()
    undo.begin("shop: its files", ADA)
    host.change(undo)
    (told,) = host.recover()
    assert told.startswith("shop: its files: what ada@laptop, task 'Install the shop' began at 2")
    assert told.endswith(" was cut off, and was taken back")
    assert host.state() == OLD
    assert host.old.stat().st_mtime_ns == 1_000_000_000
    assert host.ran() == ["restart shop"]
    assert host.leftovers() == []
    assert host.recover() == []


def test_a_kill_before_any_write_ends_in_the_old_or_the_new_state(host: Host) -> None:
    ends = []
    for _write in cuts.every_cut(host.whole, host.prepare):
        told = host.recover()
        assert host.state() in (OLD, NEW)
        assert host.leftovers() == []
        # What was touched is told and taken back, and the other way round.
        assert bool(told) or host.state() == NEW or host.ran() == []
        ends.append(host.state() == NEW)
    assert len(ends) > 20
    assert ends == sorted(ends), "from one write on it is the new state"
    assert ends[-1]
    assert not ends[0]


def test_a_kill_while_it_is_taken_back_is_made_good(host: Host) -> None:
    def cut_off() -> None:
        host.prepare()
        undo = host.undo()
        undo.begin("shop: its files", ADA)
        host.change(undo)

    count = 0
    for _write in cuts.every_cut(host.recover, cut_off):
        host.recover()
        assert host.state() == OLD
        assert host.leftovers() == []
        assert host.ran()[:1] == ["restart shop"]
        count += 1
    assert count > 5


def test_the_steps_of_one_change_leave_each_other_alone(host: Host) -> None:
    undo = host.undo()
    undo.begin("shop: its files", ADA, "token")
    undo.note(was_active=True)
    host.change(undo)
    assert host.recover(token="token") == []
    again = host.undo()
    assert again.is_pending
    assert again.facts == {"was_active": True}
    again.confirm()
    assert host.state() == NEW


def test_whoever_goes_on_with_a_change_keeps_what_there_was_first(host: Host) -> None:
    undo = host.undo()
    undo.begin("shop: its files", ADA)
    host.change(undo)
    assert host.recover(adopts=["shop"]) == []
    again = host.undo()
    again.keep((str(host.old), sha("newest")))
    write_file(str(host.old), Content(b"newest", 0o644, os.geteuid(), os.getegid()))
    again.take_back(host.run)
    assert host.state() == OLD


@pytest.mark.parametrize("others", ["edited", None])
def test_what_others_changed_since_is_left_to_them(host: Host, others: str | None) -> None:
    undo = host.undo()
    undo.begin("shop: its files", ADA)
    host.change(undo)
    host.old.unlink()
    if others:
        host.old.write_text(others, encoding="utf-8")
    (told,) = host.recover()
    assert f"{host.old} was {'changed' if others else 'removed'} by somebody else since" in told
    assert "left alone" in told
    assert host.old.exists() == bool(others)
    assert host.gone.exists()
    assert not host.new.exists()


def test_a_folder_that_others_use_meanwhile_stays(host: Host) -> None:
    undo = host.undo()
    undo.begin("shop: its files", ADA)
    host.change(undo)
    (host.new.parent / "theirs").write_text("x", encoding="utf-8")
    host.recover()
    assert os.listdir(host.new.parent) == ["theirs"]


def test_what_cannot_be_taken_back_stays_on_disk_and_stops_everything(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    undo = host.undo()
    undo.begin("shop: its files", ADA)
    host.change(undo)

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(undos, "write_file", full)
        with pytest.raises(UndoError, match=r"can't be taken back: .*No space.*is kept in"):
            host.recover()
    host.recover()
    assert host.state() == OLD


def test_a_program_that_fails_is_told_once(host: Host) -> None:
    undo = host.undo()
    undo.begin("shop: its files", ADA)
    host.change(undo)
    host.code = 3
    (told,) = host.recover()
    assert "restart shop ended with 3: it broke" in told
    assert host.recover() == []


def test_a_confirmation_after_it_was_taken_back_fails(host: Host) -> None:
    undo = host.undo()
    undo.begin("shop: its files", ADA)
    host.change(undo)
    host.recover()
    with pytest.raises((UndoError, FileNotFoundError)):
        undo.confirm()


def test_a_record_that_cannot_be_read_is_not_guessed(host: Host) -> None:
    undo = host.undo()
    undo.begin("shop: its files", ADA)
    (host.undo_folder / "shop" / PENDING).write_text('{"version": 2}', encoding="utf-8")
    with pytest.raises(UndoError, match="can't be read by this version"):
        host.recover()


def test_two_that_take_it_back_take_turns(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither drops what the other one still needs."""
    undo = host.undo()
    undo.begin("shop: its files", ADA)
    host.change(undo)
    started, go_on = threading.Event(), threading.Event()

    def slow(command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        started.set()
        assert go_on.wait(10)
        return host.run(command, stdin)

    first = threading.Thread(target=undo.take_back, args=[slow])
    second = host.undo()
    first.start()
    assert started.wait(10)
    assert (host.undo_folder / "shop" / CLAIMED).exists()
    monkeypatch.setattr(undos, "PATIENCE", 0.2)
    with pytest.raises(UndoError, match="is being taken back by another process"):
        second.take_back(host.run)
    go_on.set()
    first.join(10)
    assert host.state() == OLD
    assert host.ran() == ["restart shop"]
    assert host.leftovers() == []


def test_only_root_can_read_what_is_kept(host: Host) -> None:
    undo = host.undo()
    undo.begin("shop: its files", ADA)
    undo.keep((str(host.old), ABSENT))
    folder = host.undo_folder / "shop"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} <= {0o600, 0o644}
    kept = [path for path in folder.iterdir() if path.read_bytes() == b"old"]
    assert [path.stat().st_mode & 0o777 for path in kept] == [0o600]


def test_extended_attributes_come_back(host: Host) -> None:
    try:
        os.setxattr(host.old, "user.label", b"mine")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    undo = host.undo()
    undo.begin("shop: its files", ADA)
    host.change(undo)
    os.removexattr(host.old, "user.label")
    host.recover()
    assert os.getxattr(host.old, "user.label") == b"mine"


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../x"])
def test_a_name_is_a_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="can't be called"):
        Undo(name, str(tmp_path))


def test_a_change_of_the_host_recovers_first_and_keeps_others_out(host: Host) -> None:
    undo = host.undo()
    undo.begin("shop: its files", ADA)
    host.change(undo)
    places: dict[str, t.Any] = {
        "path": str(host.root / "lock"),
        "folders": [str(host.undo_folder)],
    }
    with changing(ADA, host.run, **places) as change:
        assert len(change.recovered) == 1
        other = changing(Changer("server", "bob"), host.run, **places)
        with pytest.raises(LockedError, match="ada@laptop"), other:
            pass
        token = change.lend(5)
    with pytest.raises(LockedError), changing(Changer("server"), host.run, **places):
        pass
    with contextlib.suppress(RuntimeError), changing(ADA, host.run, token=token, **places):
        raise RuntimeError
    with changing(Changer("server"), host.run, **places) as change:
        assert change.recovered == []


class Exchange:
    """A folder that is exchanged for another one, and a file that wasn't there."""

    def __init__(self, root: Path) -> None:
        self.place = root / "opt"
        self.folder, self.file = self.place / "shop", self.place / "bin" / "shop"
        self.undo_folder = root / "undo"

    def prepare(self) -> None:
        for path in (self.place, self.undo_folder):
            shutil.rmtree(path, ignore_errors=True)
        self.file.parent.mkdir(parents=True)
        self.folder.mkdir()
        (self.folder / "version").write_text("1", encoding="utf-8")

    def undo(self) -> Undo:
        return Undo("shop", str(self.undo_folder))

    def begin(self) -> Undo:
        undo = self.undo()
        undo.begin("shop: its archive", ADA)
        folder, file = (Path(undo.stage(str(path))) for path in (self.folder, self.file))
        folder.mkdir()
        (folder / "version").write_text("2", encoding="utf-8")
        file.write_text("2", encoding="utf-8")
        undo.exchange(str(folder), str(self.folder))
        undo.exchange(str(file), str(self.file))
        return undo

    def whole(self) -> None:
        self.begin().confirm()

    def state(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.place)): path.read_text(encoding="utf-8")
            for path in self.place.rglob("*")
            if path.is_file()
        }


FORMER = {"shop/version": "1"}
LATER = {"shop/version": "2", "bin/shop": "2"}


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    made = Exchange(tmp_path)
    made.prepare()
    return made


def take_back(exchange: Exchange, host: Host) -> list[str]:
    done = recover(host.run, folders=[str(exchange.undo_folder)])
    return [recovery.text for recovery in done]


def test_folders_are_exchanged_and_come_back(exchange: Exchange, host: Host) -> None:
    exchange.begin()
    assert exchange.state().items() >= LATER.items()
    take_back(exchange, host)
    assert exchange.state() == FORMER
    exchange.whole()
    assert exchange.state() == LATER


def test_a_kill_before_any_write_of_an_exchange(exchange: Exchange, host: Host) -> None:
    ends = []
    for _write in cuts.every_cut(exchange.whole, exchange.prepare):
        take_back(exchange, host)
        assert exchange.state() in (FORMER, LATER)
        assert os.listdir(exchange.undo_folder) == [] if exchange.undo_folder.exists() else True
        ends.append(exchange.state() == LATER)
    assert ends == sorted(ends)
    assert ends[-1]


def test_what_others_put_in_its_place_since_is_left_alone(exchange: Exchange, host: Host) -> None:
    exchange.begin()
    number = exchange.folder.stat().st_ino
    shutil.rmtree(exchange.folder)
    exchange.folder.mkdir()
    # Something of another number, which the one that was removed may have left.
    while exchange.folder.stat().st_ino == number:
        exchange.folder.rename(exchange.place / f"number-{len(os.listdir(exchange.place))}")
        exchange.folder.mkdir()
    (exchange.folder / "theirs").write_text("x", encoding="utf-8")
    (told,) = take_back(exchange, host)
    assert f"{exchange.folder} was replaced by somebody else since, and was left alone" in told
    assert (exchange.folder / "theirs").exists()
    aside = Path(told.rpartition(" is in ")[2])
    assert (aside / "version").read_text(encoding="utf-8") == "1"
