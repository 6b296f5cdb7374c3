# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong, in which order, what to type; what differs; what is missing; and the evidence."""

from __future__ import annotations

import copy
import dataclasses
import json
import pathlib
import re
import shutil
import subprocess
import sys
import typing as t

import jmespath
import jsonschema
import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff import evidence as evidence_module
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.acceptance import missing
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.compare import compare
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.evidence import (
    Evidence,
    Found,
    dump,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.findings import find, state
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.summary import summary
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import schema
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import RegistryError

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from simulated import World, small

LEASE: dict[str, t.Any] = {
    "port": 8123,
    "protocol": "tcp",
    "owner": {"process": ["python3"], "user": None, "unit": []},
    "reason": "A load test",
    "expires": "2026-11-25",
    "expired": True,
    "where": "registry/leases.yml:5",
    "hosts": ["data01"],
}


def titles(world: World) -> list[tuple[str, str, str]]:
    """Severity, host and title of everything that is wrong."""
    return [(f.severity, f.host, f.title) for f in find(world.evidence())]


def changes(before: World, after: World) -> list[tuple[str, str, str, str]]:
    """What differs: what, kind, host and subject."""
    found = compare(before.evidence(), after.evidence())
    return [(d.what, d.kind, d.host, d.subject) for d in found]


def test_all_is_well() -> None:
    found = find(small().evidence())
    assert (found, state(found)) == ([], "healthy")
    assert missing(small().evidence(), found) == {
        "healthy": [],
        "no_drift": [],
        "no_expired_lease": [],
        "runbooks": [],
        "contacts": [],
    }


def test_a_stopped_service() -> None:
    world = small()
    world.stop("data01", "data_0.one")
    (finding,) = find(world.evidence())
    assert (finding.severity, finding.kind, finding.host) == ("critical", "endpoint", "data01")
    assert finding.title == "data_0.one (10020/tcp): not bound"
    assert finding.command == "ssh data01 'sudo systemctl status data_0.service --no-pager'"
    assert finding.readings == ("data01/verify", "data01/sockets", "data01/units")
    assert changes(small(), world) == [
        ("changed", "endpoint", "data01", "data_0.one"),
        ("changed", "unit", "data01", "data_0.service"),
    ]


def test_the_endpoints_of_one_service_are_one_finding() -> None:
    world = small()
    world.stop("data01", "data_0.one")
    world.stop("data01", "data_0.two")
    (finding,) = find(world.evidence())
    assert finding.title == "data_0.one (10020/tcp) and data_0.two (10021/tcp): not bound"


def test_its_health_is_not_told_twice() -> None:
    world = small()
    world.facts("data01")["answers"]["data_0-health"]["ok"] = False
    world.facts("data01")["readings"]["data_0-health"].update(code=503, output="ill")
    (finding,) = find(world.evidence())
    assert (finding.kind, finding.title) == ("health", "data_0 says that it is not well")
    assert "ill (503)" in finding.detail
    assert finding.command == "ssh data01 'sudo journalctl -u data_0.service -n 50 --no-pager'"
    world.stop("data01", "data_0.one")
    assert [finding.kind for finding in find(world.evidence())] == ["endpoint"]


@pytest.mark.parametrize("verdict", ["wrong owner", "must be silent", "wrong address"])
def test_a_port_that_somebody_else_holds(verdict: str) -> None:
    world = small()
    row = world.row("data01", "data_1.two")
    row.update(verdict=verdict, ok=False, bound_by="python3 (nobody)", messages=["It is held."])
    (finding,) = find(world.evidence())
    assert finding.title == f"data_1.two (10023/tcp): {verdict}"
    assert finding.command == "ssh data01 'sudo ss -ltnp sport = :10023'"
    assert changes(small(), world) == [("changed", "endpoint", "data01", "data_1.two")]


def test_a_closed_path() -> None:
    world = small()
    world.close("data01", "data_0.one")
    (finding,) = find(world.evidence())
    assert (
        finding.title == "web01 to data_0.one (10020/tcp) is closed, and the registry declares it"
    )
    assert finding.command == "ansible-playbook firewall.yml --limit data01 --check --diff"
    # The path of the other family is still open.
    assert changes(small(), world) == [
        ("changed", "path", "data01", "web01 to data_0.one (10020/tcp)")
    ]
    world.close("data01", "data_0.one")
    assert len(find(world.evidence())) == 1
    assert changes(small(), world) == [
        ("gone", "path", "data01", "web01 to data_0.one (10020/tcp)")
    ]


def test_an_open_path_that_nobody_declared() -> None:
    world = small()
    path = {
        "source": "0.0.0.0/0",
        "destination": "0.0.0.0/0",
        "protocol": "tcp",
        "port": 9,
        "id": "",
    }
    world.facts("data01")["firewall"]["extra"].append(path)
    (finding,) = find(world.evidence())
    assert finding.severity == "critical"
    assert finding.title == (
        "anyone to a port without an endpoint (9/tcp) is open, and the registry doesn't declare it"
    )


@pytest.mark.parametrize("how", ["absent", "not in force"])
def test_no_firewall(how: str) -> None:
    world = small()
    world.facts("web01")["firewall"].update(state=how, paths=[])
    assert titles(world) == [("critical", "web01", f"the firewall is {how}")]


def test_a_firewall_that_somebody_edited() -> None:
    world = small()
    world.facts("web01")["firewall"]["edited"] = True
    assert titles(world) == [("warning", "web01", "the firewall was changed since it was loaded")]


def test_a_firewall_that_cant_be_read_is_unknown_and_no_fault() -> None:
    world = small()
    world.facts("web01")["firewall"].update(state="unknown", paths=[], edited=None)
    assert titles(world) == []
    assert changes(small(), world) == []


def test_a_host_that_cant_be_reached_hides_nothing_and_comes_first() -> None:
    world = small()
    world.stop("web01", "web_0.one")
    world.lose("data01", "ssh: connect to host data01 port 22: Connection timed out")
    found = find(world.evidence())
    assert (found[0].host, found[0].title) == ("data01", "could not be reached")
    assert "Connection timed out. Nothing is known of its 6 endpoints." in found[0].detail
    assert found[0].command == "ssh data01 uptime"
    assert found[1].host == "web01"
    # That everything of it is unknown now is said once.
    assert changes(small(), world)[:1] == [("changed", "host", "data01", "reached")]
    assert {host for _what, _kind, host, _subject in changes(small(), world)} == {"data01", "web01"}
    assert len([c for c in changes(small(), world) if c[2] == "data01"]) == 1


def test_a_host_that_was_left_out_is_told() -> None:
    world = small()
    del world.found["ops01"]
    found = find(world.evidence())
    assert [(f.host, f.title) for f in found] == [("ops01", "not looked at")]
    assert missing(world.evidence(), found)["healthy"] == ["ops01: not looked at"]


def test_a_host_that_answers_in_part_is_told() -> None:
    world = small()
    old = world.found["web01"]
    world.found["web01"] = Found("", {"msg": "no such module"}, old.evidence)
    assert titles(world) == [("critical", "web01", "could not be asked everything")]


def test_no_plan_is_not_healthy() -> None:
    world = small()
    for name, place in world.places.items():
        world.places[name] = type(place)(**{**place.__dict__, "plan": []})
        world.found[name].verify["results"].clear()
    assert titles(world) == [("critical", "", "No host has an endpoint")]


def test_leases_strangers_and_configuration() -> None:
    world = small()
    world.leases = [LEASE]
    stranger = {
        "port": 8123,
        "protocol": "tcp",
        "address": "0.0.0.0:8123",
        "held_by": "python3 (nobody)",
        "message": "8123/tcp is not registered",
    }
    verify = world.found["data01"].verify
    assert isinstance(verify, dict)
    verify.update(unregistered=[stranger], configuration=["/etc/x is missing"])
    assert titles(world) == [
        ("warning", "data01", "8123/tcp is held by python3 (nobody) and not registered"),
        ("warning", "data01", "configuration that belongs to no endpoint of the plan"),
        ("warning", "data01", "the lease of 8123/tcp ended on 2026-11-25"),
    ]
    running = small()
    running.leases = [LEASE | {"expires": "2026-11-30", "expired": False}]
    assert titles(running) == []
    assert changes(running, world) == [
        ("changed", "lease", "data01", "8123/tcp"),
        ("added", "listener", "data01", "8123/tcp"),
        ("added", "configuration", "data01", "/etc/x is missing"),
    ]
    assert missing(world.evidence(), find(world.evidence()))["no_expired_lease"] == [
        "the lease of 8123/tcp ended on 2026-11-25"
    ]
    assert len(missing(world.evidence(), find(world.evidence()))["no_drift"]) == 2


@pytest.mark.parametrize(
    ("change", "title", "severity"),
    [
        ({"used_percent": 85}, "/ is nearly full", "warning"),
        ({"used_percent": 99}, "/ is nearly full", "critical"),
        ({"read_only": True}, "/ is read-only", "critical"),
    ],
)
def test_disks(change: dict[str, t.Any], title: str, severity: str) -> None:
    world = small()
    world.facts("data01")["disks"][0].update(change)
    assert titles(world) == [(severity, "data01", title)]


def test_memory() -> None:
    world = small()
    world.facts("data01")["memory"]["available_mb"] = 100
    assert titles(world) == [("warning", "data01", "short of memory")]
    world.facts("data01")["memory"]["available_mb"] = 0
    # Unknown, as on a Mac.
    assert titles(world) == []


@pytest.mark.parametrize(
    ("end", "found"),
    [
        ("2026-12-18T00:00:00Z", []),
        ("2026-12-01T00:00:00Z", [("warning", "ends in 4 days")]),
        ("2026-11-25T00:00:00Z", [("critical", "has ended")]),
        ("", []),
    ],
)
def test_certificates(end: str, found: list[tuple[str, str]]) -> None:
    world = small()
    world.facts("web01")["certificates"]["web_0.one"]["not_after"] = end
    assert titles(world) == [
        (severity, "web01", f"the certificate of web_0.one {text}") for severity, text in found
    ]


@pytest.mark.parametrize(
    ("newest", "text"),
    [("2026-11-25T00:00:00Z", ""), ("2026-11-24T20:00:00Z", "too old"), ("", "missing")],
)
def test_backups(newest: str, text: str) -> None:
    world = small()
    world.facts("data01")["backups"]["data_0"]["newest"] = newest
    expected = [("warning", "data01", f"the backup of data_0 is {text}")] if text else []
    assert titles(world) == expected


def test_what_others_need_comes_first() -> None:
    world = small()
    world.stop("ops01", "ops_0.one")
    world.stop("data01", "data_1.one")
    world.stop("web01", "web_0.one")
    # The first one is needed by the second, which the internet needs; nobody needs the last one.
    services = [finding.service for finding in find(world.evidence())]
    assert services == ["data_1", "web_0", "ops_0"]


def test_contacts_and_runbooks_that_are_missing() -> None:
    world = small()
    world.contacts = {"data_0": {"name": "Ada"}, "data_1": {"phone": "1"}}
    books = [world.facts(host)["runbooks"]["watch"] for host in world.places]
    for book in books:
        book["declared"].remove("backup")
        book["declared"].remove("health")
    found = missing(world.evidence(), find(world.evidence()))
    assert found["runbooks"] == ["watch has no health and backup"]
    # A name is nobody to call.
    assert found["contacts"] == [
        f"{service} has nobody to call" for service in ("data_0", "ops_0", "watch", "web_0")
    ]


def test_versions_and_the_registry_are_compared() -> None:
    before, after = small(), small()
    after.facts("data01")["answers"]["data_0-version"]["text"] = "2.0"
    # An answer that doesn't come is unknown, not another version.
    after.facts("web01")["answers"]["web_0-version"].update(ok=False, text="")
    old, new = before.evidence(), after.evidence()
    new.data["registry"]["endpoints"][0]["port"] = 1
    assert [(d.kind, d.subject, d.before, d.after) for d in compare(old, new)] == [
        ("version", "data_0", "1.2.3", "2.0"),
        (
            "registry",
            "watch.one",
            "30000/tcp, fixed, internal, for ops",
            "1/tcp, fixed, internal, for ops",
        ),
    ]


def test_stand_ins_are_called_so() -> None:
    world = small()
    world.facts("data01")["packages"]["data_0"]["data_0"] = "1.0+standin1"
    world.facts("web01")["answers"]["web_0-version"]["text"] = "2.0+standin1"
    assert world.evidence().stand_ins() == [
        ("data01", "data_0", "data_0 1.0+standin1", "packages"),
        ("web01", "web_0", "2.0+standin1", "web_0-version"),
    ]


def test_the_summary_says_what_to_type() -> None:
    world = small()
    world.stop("data01", "data_0.one")
    now, last = world.evidence(), small().evidence()
    lines = summary(
        now, find(now), last, compare(last, now), {"contacts": ["x has nobody to call"]}
    )
    assert [text for text, _kind in lines] == [
        "Not healthy: 3 of 3 hosts reached, 13 of 14 ports as planned. First of all:",
        " 1. data01: data_0.one (10020/tcp): not bound",
        "    ssh data01 'sudo systemctl status data_0.service --no-pager'",
        "Since the handoff of 2026-11-26 01:02 UTC: 2 differences",
        "  ~ data01 endpoint data_0.one: ok at 0.0.0.0:10020, [::]:10020 by data_0 (data_0)"
        " -> not bound",
        "  ~ data01 unit data_0.service: active (running) -> inactive (dead)",
        "Required, and missing: contacts",
        "  x has nobody to call",
    ]


def test_the_summary_has_no_escapes_of_a_terminal() -> None:
    world = small()
    world.row("data01", "data_0.one").update(
        ok=False, verdict="wrong owner", bound_by="\x1b]0;x\x07\u202e", messages=["\x1b[2J"]
    )
    now, last = world.evidence(), small().evidence()
    lines = summary(now, find(now), last, compare(last, now), {})
    assert all(text.isascii() and text.isprintable() for text, _kind in lines)


# --- the evidence itself -------------------------------------------------------------------------


def broken() -> World:
    """A world in which much is wrong."""
    world = small()
    world.leases = [LEASE]
    world.stop("web01", "web_0.one")
    world.lose("data01")
    return world


@pytest.mark.parametrize("make", [small, broken])
def test_it_is_what_its_schema_says(make: t.Callable[[], World]) -> None:
    data = make().evidence().data
    rules = json.loads(pathlib.Path(schema.DIRECTORY, "evidence.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(rules)
    jsonschema.Draft202012Validator(rules).validate(data)
    # Every key of a host that the evidence has is described.
    assert set(rules["$defs"]["host"]["properties"]) == set(next(iter(data["hosts"].values())))
    assert evidence_module.load(dump(data).encode(), "x.json") == data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("hosts"), "x.json:1: hosts: found nothing, allowed is a mapping"),
        (
            lambda d: d.update(generated="now"),
            "x.json:1: generated: found 'now', allowed is a time in UTC, such as",
        ),
        (
            lambda d: d["hosts"]["web01"].update(results=3),
            "x.json:1: hosts.web01.results: found 3, allowed is a list",
        ),
        (lambda d: d.update(version=2), "x.json:1: version: found 2, allowed is 1"),
    ],
)
def test_a_file_that_is_none_is_refused(change: t.Callable[[t.Any], t.Any], message: str) -> None:
    data = copy.deepcopy(small().evidence().data)
    change(data)
    with pytest.raises(RegistryError) as refused:
        evidence_module.load(json.dumps(data).encode(), "x.json")
    assert str(refused.value).startswith(message)
    with pytest.raises(RegistryError, match="not the evidence of a handoff"):
        evidence_module.load(b"{", "x.json")


def test_a_terminal_shows_nothing_but_what_it_says() -> None:
    world = small()
    world.row("data01", "data_0.one")["bound_by"] = "\x1b[31m\u202e"
    assert dump(world.evidence().data).replace("\n", "").isprintable()


def test_every_fact_names_a_reading_that_is_there() -> None:
    for host in small().evidence().hosts.values():
        facts = [
            host["memory"],
            host["firewall"],
            *host["disks"],
            *host["answers"].values(),
            *host["certificates"].values(),
            *host["backups"].values(),
        ]
        assert all(fact["reading"] in host["readings"] for fact in facts)
        # What is said of an endpoint is quoted from what port_verify said.
        for row in host["results"]:
            line = f"{row['id']} {row['port']}/{row['protocol']}: {row['verdict']}; "
            assert line in host["readings"]["verify"]["output"]


README = pathlib.Path(__file__).parents[5] / "roles" / "handoff" / "README.md"


def test_jmespath_can_ask_it() -> None:
    """With the expression of the role's README."""
    (question,) = re.findall(r"json_query\('(.*?)'\)", README.read_text(encoding="utf-8"))
    world = small()
    world.stop("data01", "data_0.one")
    assert jmespath.search(question, world.evidence().data) == [
        {"endpoint": "data_0.one", "verdict": "not bound"}
    ]


@pytest.mark.skipif(not shutil.which("jq"), reason="needs jq: apt-get install jq")
def test_jq_can_ask_it(tmp_path: pathlib.Path) -> None:
    """With the command of the role's README."""
    (command,) = re.findall(r"^\$ (jq .*)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    world = small()
    world.stop("data01", "data_0.one")
    (tmp_path / "evidence.json").write_text(dump(world.evidence().data))
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "data01\tdata_0.one\tnot bound\n"


def test_a_host_without_an_environment_is_told() -> None:
    world = small()
    place = world.places["ops01"]
    world.places["ops01"] = dataclasses.replace(place, environment="", plan=[])
    world.found["ops01"] = Found("", {"msg": "port_environment"}, {"msg": "port_environment"})
    assert titles(world) == [("critical", "ops01", "no environment is set")]


def test_the_order_of_the_registry_is_kept() -> None:
    data = small().evidence().data
    assert list(data["registry"]["environments"]) == ["development", "production"]
    assert Evidence(json.loads(dump(data))).data == data
