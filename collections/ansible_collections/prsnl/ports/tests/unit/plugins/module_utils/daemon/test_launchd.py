# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A job of launchd, from its property list to its end, on a simulated launchctl."""

from __future__ import annotations

import contextlib
import getpass
import io
import json
import os
import plistlib
import subprocess
import sys
import typing as t
from dataclasses import replace
from pathlib import Path

import launchctl
import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.daemon import change, launchd
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.backends import DaemonError
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.change import (
    Daemon,
    DaemonRequest,
    Setting,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.launchd import Launchd, parse_job
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.launchd_keys import (
    KEYS,
    find_faults,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import Content

SHOP = "prsnl.shop"
LEGACY = {"load", "unload", "start", "stop", "list", "remove", "submit"}


class Mac:
    """A launchd with one job of ours, below a folder."""

    def __init__(self, folder: Path, program: str) -> None:
        self.root = str(folder / "root")
        self.folder = folder
        self.book_path = folder / "book.json"
        self.write(calls=[], jobs={}, ending={}, disabled={}, broken=[], pids=100, slow=0)
        self.launchd = Launchd(self.run, self.root, pause=0.001)
        self.options = {
            "ProgramArguments": [program, "-v"],
            "UserName": getpass.getuser(),
            "KeepAlive": True,
            "StandardErrorPath": "/var/log/shop/shop.log",
        }
        Path(f"{self.root}{launchd.JOBS}").mkdir(parents=True)

    @property
    def book(self) -> dict[str, t.Any]:
        return dict(json.loads(self.book_path.read_text(encoding="utf-8")))

    def write(self, **book: t.Any) -> None:
        former = self.book if self.book_path.exists() else {}
        self.book_path.write_text(json.dumps({**former, **book}), encoding="utf-8")

    def run(self, command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        if command[0] == launchd.LAUNCHCTL:
            output, errors = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
                code = launchctl.main(list(command[1:]))
            return code, output.getvalue(), errors.getvalue()
        # A shell starts it as a program.
        done = subprocess.run(
            list(command),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "LAUNCHD_BOOK": str(self.book_path)},
        )
        return done.returncode, done.stdout, done.stderr

    @property
    def calls(self) -> list[str]:
        """What launchctl was asked to do, without questions."""
        calls = [" ".join(call) for call in self.book["calls"]]
        return [call.replace(self.root, "") for call in calls if not call.startswith("print")]

    def daemon(self, **options: t.Any) -> Daemon:
        made = self.launchd.options_file(SHOP, {**self.options, **options}, "")
        assert made is not None
        assert made.wanted is not None
        ours = replace(made.wanted, uid=os.geteuid(), gid=os.getegid())
        state = str(self.folder / "state")
        return Daemon(
            DaemonRequest(SHOP, (replace(made, wanted=ours),), timeout=5),
            self.run,
            self.launchd,
            Setting(state, f"{state}/undo", str(self.folder / "run")),
        )

    def apply(self, **options: t.Any) -> list[str]:
        self.write(calls=[])
        made = self.daemon(**options)
        made.apply()
        return [action.replace(self.root, "") for action in made.actions]


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mac:
    program = tmp_path / "launchctl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {launchctl.__file__} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(launchd, "LAUNCHCTL", str(program))
    monkeypatch.setattr(change, "read_sockets", list)
    monkeypatch.setattr(change, "PAUSE", 0.001)
    monkeypatch.setattr(launchctl, "BOOK", tmp_path / "book.json")
    return Mac(tmp_path, sys.executable)


JOB = f"{launchd.JOBS}/{SHOP}.plist"


def test_the_first_run_writes_the_job_and_bootstraps_it(mac: Mac) -> None:
    assert mac.apply() == [f"write {JOB}", "start"]
    assert mac.calls == [f"bootout system/{SHOP}", f"bootstrap system {JOB}"]
    with open(f"{mac.root}{JOB}", "rb") as file:
        job = plistlib.load(file)
    assert job == {**mac.options, "Label": SHOP, "RunAtLoad": True}
    assert os.stat(f"{mac.root}{JOB}").st_mode & 0o7777 == 0o644
    assert mac.launchd.look(SHOP, []).is_active


def test_a_second_run_does_nothing(mac: Mac) -> None:
    mac.apply()
    assert mac.apply() == []
    assert mac.calls == []


@pytest.mark.parametrize("slow", [0, 4])
def test_a_changed_job_is_read_though_the_former_one_takes_its_time(mac: Mac, slow: int) -> None:
    mac.apply()
    mac.write(slow=slow)
    assert mac.apply(Nice=5) == [f"write {JOB}", "restart"]
    assert mac.calls[0] == f"bootout system/{SHOP}"
    assert mac.calls[1:] == [f"bootstrap system {JOB}"] * (slow + 1)
    assert mac.book["jobs"][SHOP]["job"]["Nice"] == 5


def test_a_disabled_job_is_enabled_first_and_disabled_again_if_it_fails(mac: Mac) -> None:
    mac.write(disabled={SHOP: True}, broken=[SHOP])
    with pytest.raises(DaemonError, match="does not run"):
        mac.apply()
    assert mac.book["disabled"] == {SHOP: True}
    mac.write(broken=[])
    assert mac.apply() == [f"write {JOB}", "enable", "start"]
    assert mac.calls[0] == f"enable system/{SHOP}"
    assert mac.book["disabled"] == {SHOP: False}


def test_a_job_that_ends_at_once_brings_the_former_one_back(mac: Mac) -> None:
    mac.apply()
    Path(f"{mac.root}/var/log/shop/shop.log").write_text("one\nno such table\n", encoding="utf-8")
    mac.write(broken=[SHOP], slow=2)
    failed = mac.daemon(Nice=5)

    def heal(unit: str) -> str:
        mac.write(broken=[])
        return told(unit)

    told = mac.launchd.log
    mac.launchd.log = heal  # type: ignore[method-assign]
    with pytest.raises(DaemonError) as error:
        failed.apply()
    assert str(error.value) == (
        f"{SHOP} does not run (exit code 78: EX_CONFIG)\n"
        "The last lines of /var/log/shop/shop.log:\none\nno such table\n"
        f"The former files are back, and {SHOP} runs with them again."
    )
    assert "Nice" not in mac.book["jobs"][SHOP]["job"]
    assert mac.launchd.look(SHOP, []).is_active


def test_a_job_that_was_not_there_is_gone_again(mac: Mac) -> None:
    mac.write(broken=[SHOP])
    with pytest.raises(DaemonError, match="is stopped, as it was"):
        mac.apply()
    assert mac.book["jobs"] == {}
    assert not os.path.exists(f"{mac.root}{JOB}")


def test_a_wrong_owner_of_the_job_is_no_endless_wait(
    mac: Mac, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launchd, "SETTLES", 0.01)
    mac.apply()
    os.chmod(f"{mac.root}{JOB}", 0o666)  # noqa: S103
    with pytest.raises(DaemonError, match=r"bootstrap system .*: 5: Input/output error"):
        mac.launchd.bring("restart", SHOP)


def test_a_job_that_never_ends_is_told(mac: Mac, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launchd, "SETTLES", 0.01)
    mac.apply(ExitTimeOut=0)
    monkeypatch.setattr(mac.launchd, "_print", lambda _unit: "\tpid = 7")
    with pytest.raises(DaemonError, match="doesn't end"):
        mac.launchd.bring("restart", SHOP)


def test_a_reload_is_a_signal(mac: Mac) -> None:
    mac.apply()
    mac.write(calls=[])
    mac.launchd.bring("reload", SHOP)
    assert mac.calls == [f"kill SIGHUP system/{SHOP}"]


def test_a_job_that_runs_on_demand_is_started(mac: Mac) -> None:
    assert mac.apply(RunAtLoad=False) == [f"write {JOB}", "start"]
    assert mac.calls[-1] == f"kickstart system/{SHOP}"
    assert mac.launchd.look(SHOP, []).is_active


def test_a_killed_job_is_brought_back(mac: Mac) -> None:
    mac.apply()
    jobs = mac.book["jobs"]
    jobs[SHOP]["pid"] = 0
    mac.write(jobs=jobs)
    assert mac.apply() == ["start"]


def test_the_files_of_its_output_are_made_for_its_user_only(mac: Mac) -> None:
    mac.apply()
    status = os.stat(f"{mac.root}/var/log/shop/shop.log")
    assert (status.st_mode & 0o7777, status.st_uid) == (0o640, os.getuid())
    with pytest.raises(DaemonError, match="there is no user _nobody_of_ours"):
        mac.apply(UserName="_nobody_of_ours")


def test_no_legacy_verb_is_used(mac: Mac) -> None:
    mac.write(disabled={SHOP: True})
    mac.apply()
    mac.apply(Nice=1)
    mac.launchd.bring("reload", SHOP)
    assert not {call[0] for call in mac.book["calls"]} & LEGACY


def test_what_is_printed_of_parts_of_a_job_is_not_its_own() -> None:
    text = "system/a = {\n\tstate = running\n\tenvironment = {\n\t\tpid = 7\n\t}\n\truns = 2\n}\n"
    assert parse_job(text) == {"state": "running", "runs": "2"}


def test_a_log_that_is_not_there_is_told(mac: Mac) -> None:
    assert "its output is lost" in mac.launchd.log(SHOP)
    mac.apply()
    os.unlink(f"{mac.root}/var/log/shop/shop.log")
    assert mac.launchd.log(SHOP).endswith("shop.log:\n(No such file or directory)")


def test_a_log_shows_its_end_only(mac: Mac) -> None:
    mac.apply()
    lines = [f"line {number}" for number in range(20000)]
    Path(f"{mac.root}/var/log/shop/shop.log").write_text("\n".join(lines), encoding="utf-8")
    assert mac.launchd.log(SHOP).splitlines()[1:] == lines[-launchd.LOG_LINES :]


@pytest.mark.parametrize("label", ["", "../x", "a b", "a/b", ".hidden"])
def test_what_is_no_label_is_refused(mac: Mac, label: str) -> None:
    with pytest.raises(DaemonError, match="needed is a label of launchd"):
        mac.launchd.options_file(label, mac.options, "")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (
            {"Username": "ada"},
            "Username is no key that launchd.plist(5) has; did you mean UserName?",
        ),
        ({"ExecStart": "/bin/x"}, "ExecStart is no key that launchd.plist(5) has"),
        ({"KeepAlive": "true"}, "KeepAlive is 'true', needed is boolean or dictionary"),
        ({"Nice": True}, "Nice is True, needed is integer"),
        ({"KeepAlive": {"Crash": True}}, "KeepAlive.Crash is no key that launchd.plist(5) has"),
        (
            {"ProgramArguments": "/bin/x"},
            "ProgramArguments is '/bin/x', needed is array of strings",
        ),
        ({"ProgramArguments": ["x"]}, "ProgramArguments is 'x', needed is an absolute path"),
        (
            {"EnvironmentVariables": {"A": 1}},
            "EnvironmentVariables.A is 1, needed is a string",
        ),
        (
            {"SoftResourceLimits": {"NumberOfFiles": "many"}},
            "SoftResourceLimits.NumberOfFiles is 'many', needed is integer",
        ),
        (
            {"StartCalendarInterval": [{"Hours": 3}]},
            "StartCalendarInterval.Hours is no key that launchd.plist(5) has",
        ),
        (
            {"StandardErrorPath": "log"},
            "StandardErrorPath is 'log', needed is an absolute path",
        ),
    ],
)
def test_keys_that_launchd_would_ignore_are_refused(options: dict[str, t.Any], fault: str) -> None:
    assert fault in find_faults({"Label": "a", "ProgramArguments": ["/bin/x"], **options})


def test_a_job_without_a_program_is_refused() -> None:
    assert find_faults({"Label": "a"}) == [
        "neither Program nor ProgramArguments is there; it needs one of them"
    ]


def test_what_launchd_takes_is_not_refused() -> None:
    job = {
        "Label": "a",
        "Program": "/bin/sh",
        "ProgramArguments": ["sh", "-c", "true"],
        "KeepAlive": {"SuccessfulExit": False, "PathState": {"/var/x": True}},
        "StartCalendarInterval": {"Hour": 3},
        "Umask": "027",
        "SoftResourceLimits": {"NumberOfFiles": 4096},
        "EnvironmentVariables": {"LC_ALL": "en_US.UTF-8"},
    }
    assert find_faults(job) == []
    assert set(job) <= set(KEYS)


def test_a_definition_is_written_for_root(mac: Mac) -> None:
    made = mac.launchd.options_file(SHOP, mac.options, "")
    assert made is not None
    assert isinstance(made.wanted, Content)
    assert (made.wanted.uid, made.wanted.gid, made.wanted.mode) == (0, 0, 0o644)
    gone = mac.launchd.options_file(SHOP, {}, "")
    assert gone is not None
    assert gone.wanted is None
