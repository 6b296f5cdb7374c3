# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of systemd, and what its answers mean."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.backends import DaemonError
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.systemd import Systemd, unit_of


class Answers:
    """Answers `systemctl show` with properties by unit."""

    def __init__(self, **units: dict[str, str]) -> None:
        self.units = {name.replace("_", "."): values for name, values in units.items()}
        self.asked: list[list[str]] = []

    def __call__(self, command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        del stdin
        if command[1] != "show":
            self.asked.append(list(command[1:]))
            return 0, "", ""
        names = list(command[command.index("--") + 1 :])
        self.asked.append(names)
        blocks = [
            "".join(f"{key}={value}\n" for key, value in self.units.get(name, {}).items()) or "A=\n"
            for name in names
        ]
        return 0, "\n".join(blocks), ""


YES = {"NeedDaemonReload": "yes"}


def test_a_unit_and_its_family_are_one_question() -> None:
    answers = Answers(shop_service={"ActiveState": "active"})
    state = Systemd(answers).look("shop.service", ["/etc/shop.conf"])
    assert answers.asked == [["shop.service", "shop.socket", "shop.timer", "shop.path"]]
    assert state.is_active
    assert state.unread == ()


@pytest.mark.parametrize(
    ("unit", "other"),
    [
        ("shop.service", "shop.socket"),
        ("shop.service", "shop.timer"),
        ("shop.timer", "shop.service"),
        ("shop.path", "shop.service"),
    ],
)
def test_another_unit_of_the_family_was_not_read(unit: str, other: str) -> None:
    answers = Answers(**{other.replace(".", "_"): YES})
    state = Systemd(answers).look(unit, [])
    assert state.unread == (other,)
    assert not state.runs_unread


def test_the_unit_itself_was_not_read() -> None:
    state = Systemd(Answers(shop_service=YES)).look("shop.service", [])
    assert (state.unread, state.runs_unread) == (("shop.service",), True)


def test_units_of_other_names_belong_to_it_by_their_files_or_by_what_they_trigger() -> None:
    answers = Answers(shop_timer={"Triggers": "backup.service"}, backup_service=YES, web_socket=YES)
    files = ["/etc/systemd/system/web.socket.d/mine.conf", "/etc/systemd/system/many@.service"]
    state = Systemd(answers).look("shop.timer", files)
    assert state.unread == ("backup.service", "web.socket")
    assert answers.asked[1:] == [["backup.service"]]
    assert "many@.service" not in answers.asked[0], "systemctl would refuse the question"


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/etc/systemd/system/a.service", "a.service"),
        ("/etc/systemd/system/a.service.d/b.conf", "a.service"),
        ("/usr/lib/systemd/system/a.timer", "a.timer"),
        ("/etc/systemd/a.service", None),
        ("/etc/systemd/system/a.service/b", None),
        ("/etc/shop.d/a.conf", None),
    ],
)
def test_files_that_define_units(path: str, unit: str | None) -> None:
    assert unit_of(path) == unit
    assert Systemd(Answers()).is_definition(path) == (unit is not None)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"LoadState": "masked"}, {"is_blocked": True}),
        ({"ActiveState": "activating"}, {"is_active": False, "was_active": True}),
        ({"ActiveState": "reloading"}, {"is_active": True}),
        ({"ActiveState": "failed", "Result": "exit-code"}, {"has_failed": True}),
        ({"UnitFileState": "disabled"}, {"can_enable": True}),
        ({"UnitFileState": "enabled"}, {"can_enable": False}),
        ({"UnitFileState": "static"}, {"can_enable": False}),
    ],
)
def test_states(properties: dict[str, str], expected: dict[str, t.Any]) -> None:
    state = Systemd(Answers(shop_service=properties)).look("shop.service", [])
    assert {name: getattr(state, name) for name in expected} == expected


def running(root: Path, started: float, program: str, **more: str) -> dict[str, str]:
    """The properties of a unit whose process of number 7 has run for so many seconds."""
    (root / "proc" / "7").mkdir(parents=True)
    (root / "proc" / "7" / "exe").symlink_to(program)
    since = int((time.monotonic() - started) * 1e6)
    return {
        "ActiveState": "active",
        "MainPID": "7",
        "ExecMainStartTimestampMonotonic": str(since),
        **more,
    }


def start_line(path: str) -> str:
    return f"{{ path={path} ; argv[]={path} --serve ; ignore_errors=no ; pid=7 ; status=0/0 }}"


def test_a_program_that_was_deleted_or_replaced_still_runs(tmp_path: Path) -> None:
    properties = running(tmp_path, 5, "/usr/sbin/shop (deleted)")
    state = Systemd(Answers(shop_service=properties), str(tmp_path)).look("shop.service", [])
    assert state.replaced == "/usr/sbin/shop"


@pytest.mark.parametrize(("age", "replaced"), [(60.0, "/bin/shop"), (0.0, "")])
def test_a_script_is_compared_by_its_time(tmp_path: Path, age: float, replaced: str) -> None:
    """It is younger than the process, whose program is that of all scripts."""
    program = tmp_path / "bin" / "shop"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    # Packages give files the date of their own making, which says nothing.
    os.utime(program, (1, 1))
    time.sleep(0.1)
    properties = running(tmp_path, age, "/bin/sh", ExecStart=start_line("/bin/shop"))
    state = Systemd(Answers(shop_service=properties), str(tmp_path)).look("shop.service", [])
    assert state.replaced == replaced


@pytest.mark.parametrize(
    ("path", "is_read"),
    [
        ("/etc/systemd/system/shop.service", False),
        ("/lib/systemd/system/shop.service", False),
        ("/etc/systemd/system/shop.service.d/mine.conf", False),
        ("/run/systemd/system/service.d/all.conf", False),
        # Of `systemctl set-property`, which holds at once.
        ("/run/systemd/system.control/shop.service.d/50-MemoryMax.conf", True),
    ],
)
@pytest.mark.parametrize("age", [60.0, 0.0])
def test_a_process_may_be_older_than_its_unit(
    tmp_path: Path, path: str, is_read: bool, age: float
) -> None:
    """Though systemd has read the file: whoever told it to did not restart the unit."""
    file = tmp_path / path[1:]
    file.parent.mkdir(parents=True)
    file.write_text("new", encoding="utf-8")
    time.sleep(0.05 if age == 0 else 0)
    started = int((time.monotonic() - age) * 1e6)
    names = {"DropInPaths": path} if path.endswith(".conf") else {"FragmentPath": path}
    answers = {"MainPID": "7", "ExecMainStartTimestampMonotonic": str(started), **names}
    text = "".join(f"{key}={value}\n" for key, value in answers.items())
    state = Systemd(lambda _command, _stdin=None: (0, text, ""), str(tmp_path)).look(
        "shop.service", []
    )
    assert state.runs_unread == (age > 0 and not is_read)
    assert state.unread == ()


@pytest.mark.parametrize(
    "properties",
    [{"MainPID": "0"}, {"MainPID": "99"}, {"MainPID": "99", "ExecStart": start_line("/none")}, {}],
)
def test_what_cannot_be_told_is_not_guessed(properties: dict[str, str]) -> None:
    assert Systemd(Answers(shop_service=properties)).look("shop.service", []).replaced == ""


def test_a_real_process_whose_program_was_replaced(tmp_path: Path) -> None:
    program = tmp_path / "sleep"
    shutil.copy(shutil.which("sleep") or "", program)
    with subprocess.Popen([program, "60"]) as process:
        try:
            properties = {"MainPID": str(process.pid)}
            manager = Systemd(Answers(shop_service=properties))
            end = time.monotonic() + 5
            while os.readlink(f"/proc/{process.pid}/exe") != str(program):
                assert time.monotonic() < end
            assert manager.look("shop.service", []).replaced == ""
            program.unlink()
            shutil.copy(shutil.which("sleep") or "", program)
            assert manager.look("shop.service", []).replaced == str(program)
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("verb", "active", "expected"),
    [
        ("restart", True, [["daemon-reload"], ["restart", "shop.service"]]),
        ("reload", True, [["daemon-reload"], ["reload-or-restart", "shop.service"]]),
        ("start", False, [["daemon-reload"], ["stop", "shop.service"]]),
        (
            "enable",
            False,
            [["daemon-reload"], ["disable", "shop.service"], ["stop", "shop.service"]],
        ),
    ],
)
def test_the_way_back(verb: str, active: bool, expected: list[list[str]]) -> None:
    state = Systemd(Answers(shop_service={"ActiveState": "active" if active else "inactive"}))
    commands = state.way_back("shop.service", verb, state.look("shop.service", []))
    assert commands == [["systemctl", *words] for words in expected]


def test_a_drop_in_has_the_options_in_order() -> None:
    file = Systemd(Answers()).options_file(
        "shop.service", {"B": ["x", "y"], "A": True, "C": ""}, "# header"
    )
    assert file is not None
    assert file.wanted is not None
    assert file.wanted.data == b"# header\n[Service]\nA=true\nB=x y\nC=\n"
    assert file.path == "/etc/systemd/system/shop.service.d/hardening.conf"


def test_without_options_the_drop_in_goes() -> None:
    file = Systemd(Answers()).options_file("shop.service", {}, "# header")
    assert file is not None
    assert file.wanted is None


def test_a_verb_that_fails_says_why() -> None:
    def run(command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        return 1, "", "Access denied\n"

    with pytest.raises(DaemonError, match="systemctl restart: Access denied"):
        Systemd(run).bring("restart", "shop.service")


def test_a_container_of_quadlet_is_a_unit_that_its_file_enables() -> None:
    path = "/etc/containers/systemd/shop.container"
    systemd = Systemd(Answers(shop_service={"ActiveState": "inactive"}))
    assert systemd.is_definition(path)
    # Before its generator has run, there is no unit that could be asked.
    assert not systemd.look("shop.service", [path]).can_enable
    assert systemd.look("shop.service", ["/etc/containers/systemd/other.container"]).can_enable
    assert unit_of("/etc/containers/systemd/shop.volume") is None
