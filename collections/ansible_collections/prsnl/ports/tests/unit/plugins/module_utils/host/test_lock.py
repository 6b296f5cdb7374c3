# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two changers of a host: who gets the lock, who is told whom to wait for."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.host import lock as locks
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import (
    LEASE,
    LOCK_ARGUMENT,
    Changer,
    HostLock,
    LockedError,
    LostLeaseError,
    changer_of,
)

ADA = Changer("laptop", "ada", "Install the shop", 4711, "here")
BOB = Changer("server", "bob", "Move the shop", 12, "there")


def lock(path: Path, changer: Changer = ADA) -> HostLock:
    return HostLock(changer, str(path / "run" / "lock"))


def test_the_second_one_is_refused_by_the_name_of_the_first(tmp_path: Path) -> None:
    first = lock(tmp_path)
    first.take()
    with pytest.raises(LockedError) as caught:
        lock(tmp_path, BOB).take()
    message = str(caught.value)
    assert "by ada@laptop (pid 4711 there), task 'Install the shop', since " in message
    assert f"remove {tmp_path}/run/lock" in message
    assert caught.value.holder.changer == ADA
    first.release()
    lock(tmp_path, BOB).take()


def test_waiting_is_bounded_and_told(tmp_path: Path) -> None:
    lock(tmp_path).take()
    first = lock(tmp_path / "other")
    first.take()
    start = time.monotonic()
    with pytest.raises(LockedError, match=r"It was waited for 1 s\."):
        lock(tmp_path / "other", BOB).take(wait=1.0)
    assert 1.0 <= time.monotonic() - start < 5.0


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        lock(tmp_path).take()
        os.write(writer, b"x")
        time.sleep(60)
        os._exit(0)
    os.read(reader, 1)
    with pytest.raises(LockedError):
        lock(tmp_path, BOB).take()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    lock(tmp_path, BOB).take()


def test_a_lease_keeps_others_out_between_two_steps(tmp_path: Path) -> None:
    step = lock(tmp_path)
    step.take()
    token = step.lend()
    step.release()
    with pytest.raises(LockedError, match="ada@laptop"):
        lock(tmp_path, BOB).take()
    step = lock(tmp_path)
    step.take(token=token)
    assert step.token == token
    step.release()
    lock(tmp_path, BOB).take()


def test_a_lease_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = lock(tmp_path)
    step.take()
    token = step.lend(seconds=5)
    step.release()
    later = locks.uptime() + 6
    monkeypatch.setattr(locks, "uptime", lambda: later)
    # Nobody else was there: the change goes on.
    step = lock(tmp_path)
    step.take(token=token)
    step.lend(seconds=5)
    step.release()
    monkeypatch.setattr(locks, "uptime", lambda: later + 6)
    other = lock(tmp_path, BOB)
    other.take()
    other.lend(seconds=5)
    other.release()
    with pytest.raises(LostLeaseError, match=r"to bob@server \(pid 12 there\)"):
        lock(tmp_path).take(token=token)


def test_a_lease_of_before_a_reboot_counts_nothing(tmp_path: Path) -> None:
    step = lock(tmp_path)
    step.take()
    step.lend()
    step.release()
    path = tmp_path / "run" / "lock"
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**data, "expires": locks.uptime() + 2 * LEASE}), encoding="utf-8")
    lock(tmp_path, BOB).take()


def test_the_lease_of_a_dead_run_can_be_taken_over_by_its_token_only(tmp_path: Path) -> None:
    step = lock(tmp_path)
    step.take()
    token = step.lend()
    step.release()
    with pytest.raises(LockedError):
        lock(tmp_path).take(instead_of="another")
    lock(tmp_path).take(instead_of=token)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "more": 1}'])
def test_a_file_that_says_nothing_holds_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run" / "lock"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    lock(tmp_path).take()


def test_a_removed_file_makes_nobody_share_the_lock(tmp_path: Path) -> None:
    first, path = lock(tmp_path), tmp_path / "run" / "lock"
    first.take()
    path.unlink()
    second = lock(tmp_path, BOB)
    second.take()
    first.release()
    with pytest.raises(LockedError, match="bob@server"):
        lock(tmp_path).take()


def test_names_of_others_are_safe_to_print() -> None:
    assert "\x1b" not in str(Changer("laptop", "a\x1b[31mda", "task\n"))


def test_the_parameter_makes_a_changer() -> None:
    given = {"controller": "laptop", "user": "ada", "pid": 4711, "wait": 3, "token": "x"}
    assert changer_of(given) == Changer("laptop", "ada", "", 4711, "")
    assert changer_of({}) == Changer()
    assert set(changer_of({}).__dict__) <= set(LOCK_ARGUMENT["options"])
