# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runbooks: where they are found, what their texts are on a host, and what is refused."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff import runbooks
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.runbooks import Source
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import RegistryError

BASE = (pathlib.Path(__file__).parents[1] / "registry" / "base.yml").read_text(encoding="utf-8")


def entry(name: str, port: int, listen: list[str], probe: str = "http") -> dict[str, t.Any]:
    """An endpoint of a plan."""
    return {
        "id": f"shop.{name}",
        "name": name,
        "port": port,
        "listen": listen,
        "probe": probe,
        "owner": {"process": ["shop"], "user": None, "unit": ["shop.service"]},
    }


ENDPOINTS = {
    "http": entry("http", 20080, ["0.0.0.0", "::"]),
    "tls": entry("tls", 20443, ["2001:db8::1"], "tls"),
    "old": entry("old", 5, []),
}


def resolve(
    data: dict[str, t.Any], own: dict[str, t.Any] | None = None, **variables: t.Any
) -> dict[str, t.Any]:
    """The runbook of a service; `[name]` stands for a variable."""

    def template(text: str) -> t.Any:
        if text.startswith("["):
            try:
                return variables[text.strip("[]")]
            except KeyError:
                raise ValueError(f"{text} is undefined") from None
        return text

    return runbooks.resolve("shop", Source("shop", "f.yml", data), own or {}, ENDPOINTS, template)


def test_placeholders_are_the_endpoints_of_the_host() -> None:
    book = resolve(
        {
            "failures": [
                {
                    "symptom": "x",
                    "commands": [
                        "a {http.port} {http.address} {http.at} {http.unit}",
                        "b {tls.at}",
                    ],
                }
            ]
        }
    )
    assert book["failures"][0]["commands"] == [
        "a 20080 127.0.0.1 127.0.0.1:20080 shop.service",
        "b [2001:db8::1]:20443",
    ]
    assert book["unknown"] == []


def test_a_text_may_be_several() -> None:
    book = resolve(
        {"packages": "[packages]", "data": ["/a", "[more]"]}, packages=["x", "y"], more=[]
    )
    assert (book["packages"], book["data"]) == (["x", "y"], ["/a"])


def test_what_has_no_value_is_unknown_and_the_rest_is_there() -> None:
    book = resolve({"data": ["/a", "[none]", "{nothing.port}"], "purpose": "p"})
    assert (book["data"], book["purpose"]) == (["/a"], "p")
    assert book["unknown"] == [
        "data: [none] is undefined",
        "data: the endpoint nothing isn't in use on this host",
    ]


def test_a_question_with_an_unknown_word_is_not_asked() -> None:
    book = resolve({"version": {"command": ["prog", "[none]"], "match": "x"}})
    assert book["version"] is None
    assert book["unknown"] == ["version.command: [none] is undefined"]
    book = resolve({"health": {"http": {"endpoint": "old", "path": "/"}}})
    assert book["health"] is None
    assert book["unknown"] == ["health.http: the endpoint old isn't in use on this host"]


def test_questions() -> None:
    book = resolve(
        {
            "version": {"command": ["prog", "-c", "select 1"], "match": r"(\d+)"},
            "health": {"http": {"endpoint": "tls", "path": "/x", "status": [401]}},
        }
    )
    assert book["version"] == {
        "id": "shop-version",
        "service": "shop",
        "match": r"(\d+)",
        "argv": ["prog", "-c", "select 1"],
        "shown": "prog -c 'select 1'",
    }
    assert book["health"]["http"] == {
        "address": "2001:db8::1",
        "port": 20443,
        "path": "/x",
        "tls": True,
    }
    assert book["health"]["status"] == [401]


def test_the_registry_prevails_and_has_no_templates() -> None:
    book = resolve({"purpose": "[x]", "data": "/role"}, {"purpose": "[x] {http.port}"}, x="no")
    assert (book["purpose"], book["data"]) == ("[x] 20080", ["/role"])
    assert book["declared"] == ["purpose", "data"]


def test_keeping_nothing_is_declared() -> None:
    assert "data" in resolve({"data": []})["declared"]
    assert "data" not in resolve({})["declared"]


def test_roles_are_found_in_the_first_folder_that_has_them(tmp_path: pathlib.Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder / "shop" / "meta").mkdir(parents=True)
    (tmp_path / "two" / "store").mkdir()
    folders = [str(tmp_path / name) for name in ("none", "one", "two")]
    assert runbooks.find_role("shop", folders) == str(tmp_path / "one" / "shop")
    assert runbooks.find_role("store", folders) == str(tmp_path / "two" / "store")
    assert runbooks.find_role("other", folders) is None
    assert runbooks.read("other", None) == Source()
    assert runbooks.read("shop", folders[1] + "/shop") == Source("shop")


def test_a_faulty_runbook_is_refused_with_every_fault(tmp_path: pathlib.Path) -> None:
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "runbook.yml").write_text(
        "purpos: x\ndata: 3\nbackup: {max_age_hours: soon}\nfailures:\n  - symptom: y\n"
        "    commands: ['echo \"x\"']\n"
    )
    with pytest.raises(RegistryError) as refused:
        runbooks.read("shop", str(tmp_path))
    lines = str(refused.value).splitlines()
    assert [line.split("runbook.yml:")[1] for line in lines] == [
        "1: purpos: found the unknown key 'purpos', allowed are role, purpose, packages, version,"
        " health, configuration, data, logs, start, stop, backup, failures, dashboards, alerts and"
        " contact; did you mean 'purpose'?",
        "2: data: found 3, allowed is a list of texts, or one text",
        "3: backup.max_age_hours: found 'soon', allowed is a number of hours",
        "6: failures[0].commands[0]: found 'echo \"x\"', allowed is one line of text without double"
        " quotes",
    ]


def test_a_runbook_in_the_registry_is_checked_with_it() -> None:
    good = BASE.replace("    hosts: front\n", "    hosts: front\n    runbook: {data: /srv}\n", 1)
    assert load.parse(good.encode(), "ports.yml").data["services"]["shop"]["runbook"]
    with pytest.raises(RegistryError) as refused:
        load.parse(good.replace("data: /srv", "dat: /srv").encode(), "ports.yml")
    assert str(refused.value).startswith(
        "ports.yml:25: services.shop.runbook.dat: found the unknown key 'dat', allowed are"
    )
