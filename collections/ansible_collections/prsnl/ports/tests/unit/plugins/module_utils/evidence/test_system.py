# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The system's own readings: of this machine, of recorded output, and of a Mac."""

from __future__ import annotations

import os
import pathlib
import sys
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.evidence import gather as gathering
from ansible_collections.prsnl.ports.plugins.module_utils.evidence import system
from ansible_collections.prsnl.ports.plugins.module_utils.evidence.answers import Question
from ansible_collections.prsnl.ports.plugins.module_utils.evidence.backups import read_backups
from ansible_collections.prsnl.ports.plugins.module_utils.evidence.gather import Wanted, gather
from ansible_collections.prsnl.ports.plugins.module_utils.evidence.readings import Reading, Request
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import this_system

SHOWN = """\
Id=shop.service
LoadState=loaded
ActiveState=active
SubState=running

Id=store@1.service
LoadState=not-found
ActiveState=inactive
SubState=dead
"""


def entry(port: int, **changes: t.Any) -> dict[str, t.Any]:
    """An endpoint of a plan."""
    return {
        "id": "shop.http",
        "service": "shop",
        "name": "http",
        "port": port,
        "protocol": "tcp",
        "status": "fixed",
        "expect": "bound",
        "listen": ["127.0.0.1"],
        "allowed": ["127.0.0.0/8"],
        "sources": [],
        "owner": {
            **dict.fromkeys(("user", "label", "container")),
            "process": ["shop"],
            "unit": ["shop.service"],
            "kernel": False,
        },
        "probe": "http",
        **changes,
    }


def wanted(*endpoints: dict[str, t.Any], **changes: t.Any) -> Wanted:
    """What is asked in these tests."""
    settings: dict[str, t.Any] = {
        "questions": [],
        "packages": {},
        "backups": {},
        "paths": [],
        "firewall": False,
        "timeout": 10,
        **changes,
    }
    plan = {"host": "app", "environment": "test", "system": this_system()}
    return Wanted.from_params({"plan": {**plan, "endpoints": list(endpoints)}, **settings})


def test_units_are_told_apart() -> None:
    found = system.parse_units(SHOWN)
    assert found["shop.service"]["ActiveState"] == "active"
    assert found["store@1.service"] == {
        "Id": "store@1.service",
        "LoadState": "not-found",
        "ActiveState": "inactive",
        "SubState": "dead",
    }


def test_file_systems_are_told_once_with_all_their_paths(tmp_path: pathlib.Path) -> None:
    missing = tmp_path / "not" / "there"
    found, readings = system.read_file_systems([str(tmp_path), str(missing), str(tmp_path)])
    assert [fs.paths for fs in found] == [(str(tmp_path), str(missing))]
    stat = os.statvfs(tmp_path)
    assert found[0].size_mb == stat.f_blocks * stat.f_frsize // (1 << 20)
    assert 0 <= found[0].used_percent <= 100
    assert f"used {found[0].used_percent} %" in readings[found[0].reading].output


def test_this_machine_is_read() -> None:
    facts = gather(wanted(entry(1), paths=["/"]))
    assert facts["system"]["kernel"] == os.uname().release
    assert facts["memory"]["total_mb"] > 0
    assert facts["readings"]["memory"]["output"].startswith("MemTotal:")
    assert facts["firewall"]["state"] == "not asked"
    # Every fact that names a reading names one that is there.
    for part in (facts["memory"], *facts["disks"], *facts["answers"].values()):
        assert part["reading"] in facts["readings"]


def test_questions_are_judged_by_their_answers() -> None:
    questions = [
        {
            "id": "a",
            "service": "shop",
            "argv": ["echo", "shop 1.2.3 (build 4)"],
            "match": r"(\d[\d.]+)",
        },
        {"id": "b", "service": "shop", "argv": ["echo", "well"], "match": "ill"},
        {"id": "c", "service": "shop", "argv": ["false"], "match": ""},
        {"id": "d", "service": "shop", "argv": ["false"], "match": "", "status": [1]},
        {"id": "e", "service": "shop", "http": {"address": "127.0.0.1", "port": 1, "path": "/"}},
    ]
    answers = gather(wanted(questions=questions))["answers"]
    assert {name: answer["ok"] for name, answer in answers.items()} == {
        "a": True,
        "b": False,
        "c": False,
        "d": True,
        "e": False,
    }
    assert answers["a"] == {"ok": True, "text": "1.2.3", "reading": "a"}


@pytest.mark.parametrize(
    "question",
    [
        {"id": "a", "service": "shop"},
        {
            "id": "a",
            "service": "shop",
            "argv": ["x"],
            "http": {"address": "a", "port": 1, "path": "/"},
        },
        {"id": "a", "service": "shop", "argv": ["x"], "match": "("},
        {"service": "shop", "argv": ["x"]},
    ],
)
def test_bad_questions_are_refused(question: dict[str, t.Any]) -> None:
    with pytest.raises(ValueError, match="questions: "):
        Question.from_dict(question)


def test_a_question_by_http_asks_that() -> None:
    http = {"address": "127.0.0.1", "port": 1, "path": "/x", "tls": True}
    question = Question.from_dict({"id": "a", "service": "shop", "http": http})
    assert question.request == Request("127.0.0.1", 1, "/x", tls=True)


def test_backups_are_as_old_as_the_newest_file(tmp_path: pathlib.Path) -> None:
    for number in range(8):
        file = tmp_path / f"{number}.tar"
        file.write_text("x" * number)
        os.utime(file, (1_700_000_000 + number, 1_700_000_000 + number))
    (tmp_path / "folder.tar").mkdir()
    # A link could lead anywhere, and make an old backup look new.
    (tmp_path / "link.tar").symlink_to("/proc/self/status")
    facts, reading = read_backups([str(tmp_path / "*.tar")])
    assert facts == {"count": 8, "newest": "2023-11-14T22:13:27Z", "size": 7}
    assert reading.output.splitlines()[0] == f"2023-11-14T22:13:27Z 7 {tmp_path}/7.tar"
    assert reading.output.splitlines()[-1] == "and 3 older ones"
    facts, reading = read_backups([str(tmp_path / "none*")])
    assert (facts["count"], facts["newest"], reading.output) == (0, "", "no such file")


def test_a_host_without_systemd_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "isdir", lambda path: False)
    units, failed, readings = system.read_units({"shop.service"}, 5)
    assert (units, failed) == ({}, [])
    assert "systemd doesn't manage this host" in readings["units"].fault


def test_a_mac_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """What only Linux has is unknown, with its reason, and nothing breaks."""
    recorded = {
        "/usr/bin/sw_vers": "ProductName:\t\tmacOS\nProductVersion:\t\t15.5\nBuildVersion:\tX\n",
        "/usr/sbin/sysctl -n hw.memsize": "17179869184\n",
        "/usr/sbin/sysctl -n kern.boottime": "{ sec = 1764000000, usec = 0 }\n",
    }

    def run(argv: t.Sequence[str], timeout: float) -> Reading:
        text = recorded.get(" ".join(argv))
        if text is None:
            return Reading("command", " ".join(argv), fault="No such file or directory")
        return Reading("command", " ".join(argv), text, 0)

    def no_sockets() -> t.NoReturn:
        raise OSError("the sockets of Linux and macOS can be read")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os.path, "isdir", lambda path: False)
    for module in (system, gathering.__dict__["read_paths"].__globals__):
        monkeypatch.setitem(module if isinstance(module, dict) else module.__dict__, "run", run)
    monkeypatch.setattr(gathering, "take_snapshot", no_sockets)
    facts = gather(wanted(entry(1), firewall=True, packages={"shop": ["shop"]}, paths=["/"]))
    assert facts["system"]["release"] == "macOS 15.5"
    assert facts["memory"] == {"total_mb": 16384, "available_mb": 0, "reading": "memory"}
    assert facts["firewall"]["state"] == "unknown"
    assert (facts["units"], facts["packages"]) == ({}, {})
    for name in ("units", "packages", "sockets", "firewall"):
        assert facts["readings"][name]["fault"], name


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can own things for others")
@pytest.mark.parametrize("pattern", ["*/*.tar", "**/*.tar", "away/private.tar", "private.tar"])
def test_a_service_shows_root_no_way_to_other_files(tmp_path: pathlib.Path, pattern: str) -> None:
    """Their names, sizes and times are nobody's business either."""
    private, theirs = tmp_path / "root", tmp_path / "theirs"
    private.mkdir(0o700)
    theirs.mkdir()
    (private / "private.tar").write_text("x")
    (theirs / "away").symlink_to(private)
    (theirs / "private.tar").symlink_to(private / "private.tar")
    os.chown(theirs, 64321, 64321)
    facts, _reading = read_backups([str(theirs / pattern)])
    assert facts["count"] == 0
    # Where nobody else can change it, a link is the administrator's.
    os.chown(theirs, 0, 0)
    facts, _reading = read_backups([str(theirs / "away/private.tar")])
    assert facts["count"] == 1
