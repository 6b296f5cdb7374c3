# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocating, moving and retiring, by the rules and with history."""

from __future__ import annotations

import datetime
import json
import pathlib
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance.allocation import (
    Circumstances,
    Request,
    allocate,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance.change import RefusedError
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    editor,
    leases,
    load,
    source,
)

BASE = (pathlib.Path(__file__).parents[1] / "registry" / "base.yml").read_text(encoding="utf-8")
NOW = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC)
WEB = {"exposure": "host"}
LEASES = """\
version: 1
leases:
  - {port: 20003, hosts: front, holder: {process: node}, reason: Test, expires: 2026-11-26}
  - {port: 20004, hosts: back, holder: {process: node}, reason: Test, expires: 2026-11-26}
  - {port: 20005, hosts: front, holder: {process: node}, reason: Test, expires: 2026-11-25}
"""


def run(
    state: str, endpoint: str, text: str = BASE, lent: str = "", **options: t.Any
) -> tuple[int, list[str], list[str], str]:
    """The port, the changed lines, the warnings, and the text after a request."""
    around = Circumstances(
        leases.parse(lent.encode(), "leases.yml") if lent else (),
        NOW,
        groups=options.pop("groups", None),
        held=options.pop("held", {}),
    )
    request = Request(state, endpoint, **{"by": "Ada", **options})
    change = allocate(text.encode(), "ports.yml", request, around)
    after = change.after.decode()
    load.parse(change.after, "ports.yml")
    diff = editor.unified_diff(text.encode(), change.after, "ports.yml").splitlines()[2:]
    lines = [line for line in diff if line[0] in "+-"]
    # The same request again changes nothing.
    again = allocate(change.after, "ports.yml", request, around) if lines else change
    assert again.after == change.after
    return change.port, lines, change.warnings, after


def refused(state: str, endpoint: str, **options: t.Any) -> str:
    with pytest.raises(RefusedError) as caught:
        run(state, endpoint, **options)
    return str(caught.value)


def test_the_next_free_port_of_the_range() -> None:
    """Not one that is registered or that somebody had."""
    text = BASE.replace("to: 20009", "to: 20000").replace("from: 20009", "from: 20000")
    port, lines, _warnings, _after = run(
        "present", "shop.jobs", text, definition=WEB, reason="Jobs", groups={"front": ["a"]}
    )
    assert port == 20003
    assert lines == [
        "+      jobs:",
        "+        port: 20003",
        "+        status: fixed",
        "+        exposure: host",
        "+  - date: 2026-11-26",
        "+    what: shop.jobs gets 20003",
        "+    why: Jobs",
        "+    by: Ada",
        "+    changes:",
        "+      - {endpoint: shop.jobs, to: 20003, status: fixed}",
    ]


@pytest.mark.parametrize(
    "text",
    [
        BASE.replace("\n", "\r\n"),
        "\ufeff" + BASE,
        BASE.rstrip("\n"),
        BASE.replace("port: 21001", "port: &sql 21001").replace("history:", "history: &all"),
        BASE.replace("    range: data\n", f"    range: data # {'long ' * 100}\n"),
        "# Caf\u00e9 \u2615\n" + BASE,
        json.dumps(source.parse(BASE.encode())[0], indent=2),
        json.dumps(source.parse(BASE.encode())[0]),
    ],
    ids=["CRLF", "BOM", "open end", "anchors", "long lines", "Unicode", "JSON", "JSON in a line"],
)
def test_the_file_stays_as_it_is_written(text: str) -> None:
    """Whatever its style: nothing else is taken out, and what is new looks like the rest."""
    after = run("changed", "store.sql", text, port=21005, reason="Room")[3]
    start = next(i for i, (a, b) in enumerate(zip(text, after, strict=False)) if a != b)
    assert text[start - 4 : start + 1] == "21001"
    # After the port, one piece was put in.
    rest, new = text[start + 1 :], after[start + 1 :]
    assert after[start - 4 : start + 1] == "21005"
    same = next((i for i, (a, b) in enumerate(zip(rest, new, strict=False)) if a != b), len(rest))
    assert new.endswith(rest[same:])
    assert after.count("\r\n") == (after.count("\n") if "\r\n" in text else 0)
    assert after.endswith("\n") == text.endswith("\n")


def test_the_next_free_port_isn_t_leased_nor_held() -> None:
    """Leases that have ended count: their holders may be there still."""
    text = BASE.replace("to: 20009", "to: 20000").replace("from: 20009", "from: 20000")
    held = {("tcp", 20006): "held by node", ("udp", 20007): "held by dnsmasq"}
    options: dict[str, t.Any] = {"definition": WEB, "reason": "Jobs", "lent": LEASES, "held": held}
    assert run("present", "shop.jobs", text, **options)[0] == 20007


def test_a_given_port() -> None:
    definition = {
        "description": "Jobs: all",
        "exposure": "internal",
        "consumers": ["store", "office"],
        "routes": {"/jobs/": "Jobs"},
        "probe": "http",
    }
    _port, lines, _warnings, _after = run(
        "present",
        "shop.jobs",
        port=20500,
        status="alternative",
        definition=definition,
        what="The shop does jobs",
    )
    assert lines == [
        "+      jobs:",
        "+        description: 'Jobs: all'",
        "+        port: 20500",
        "+        status: alternative",
        "+        exposure: internal",
        "+        consumers: [store, office]",
        "+        probe: http",
        "+        routes: {/jobs/: Jobs}",
        "+  - date: 2026-11-26",
        "+    what: The shop does jobs",
        "+    why: No reason was given",
        "+    by: Ada",
        "+    changes:",
        "+      - {endpoint: shop.jobs, to: 20500, status: alternative}",
    ]


def test_a_new_service() -> None:
    service = {
        "hosts": "front",
        "description": "Makes thumbnails",
        "range": "web",
        "environments": ["staging"],
        "owner": {"process": "thumb"},
    }
    _port, lines, _warnings, _after = run(
        "present", "thumb.http", definition=WEB, reason="Pictures", service=service
    )
    assert lines[:12] == [
        "+  thumb:",
        "+    description: Makes thumbnails",
        "+    hosts: front",
        "+    environments: [staging]",
        "+    range: web",
        "+    owner: {process: thumb}",
        "+    endpoints:",
        "+      http:",
        "+        port: 20000",
        "+        status: fixed",
        "+        exposure: host",
        "+  - date: 2026-11-26",
    ]


def test_what_is_allocated_stays() -> None:
    """Also without a port; another port or status is for another state."""
    for options in ({}, {"port": 20001}, {"status": "fixed"}, {"definition": {"protocol": "tcp"}}):
        assert run("present", "shop.http", **options)[:2] == (20001, [])
    assert refused("present", "shop.http", port=20003) == (
        "ports.yml:29: shop.http can't be allocated: it has port 20001. The state changed moves it"
        " to 20003"
    )
    assert "The state changed makes it critical" in refused(
        "present", "shop.http", status="critical"
    )
    assert "its exposure is 'public', asked for is 'host'. Change that in the file" in refused(
        "present", "shop.http", definition=WEB
    )
    assert "its consumers is shop and office, asked for is shop" in refused(
        "present", "store.sql", definition={"consumers": ["shop"]}
    )
    assert "its hosts is 'front', asked for is 'back'" in refused(
        "present", "shop.http", service={"hosts": "back"}
    )


def test_moving() -> None:
    port, lines, _warnings, _after = run("changed", "store.sql", port=21005, reason="Because: x")
    assert port == 21005
    assert lines == [
        "-        port: 21001",
        "+        port: 21005",
        "+  - date: 2026-11-26",
        "+    what: store.sql moves from 21001 to 21005",
        "+    why: 'Because: x'",
        "+    by: Ada",
        "+    changes:",
        "+      - {endpoint: store.sql, from: 21001, to: 21005, status: critical}",
    ]


def test_a_status() -> None:
    _port, lines, _warnings, _after = run(
        "changed", "shop.admin", status="fixed", reason="It is needed"
    )
    assert lines == [
        "-        status: alternative",
        "+        status: fixed",
        "+  - date: 2026-11-26",
        "+    what: shop.admin is fixed instead of alternative",
        "+    why: It is needed",
        "+    by: Ada",
        "+    changes:",
        "+      - {endpoint: shop.admin, to: 20002, status: fixed}",
    ]


def test_an_exception_comes_and_goes_with_the_port() -> None:
    outside = run("changed", "shop.http", port=9, reason="x", exception="A vendor's port")
    assert "+        exception: A vendor's port" in outside[1]
    back = run("changed", "store.cluster", port=21700, reason="x")
    assert "-        exception: Wired into the vendor's program" in back[1]
    moved = run("changed", "store.cluster", port=8, reason="x")
    assert not [line for line in moved[1] if "exception" in line]
    assert "allowed with a reason under exception only" in refused(
        "changed", "shop.http", port=9, reason="x"
    )


def test_moving_back_is_no_reuse() -> None:
    """Its own former port is nobody else's."""
    text = run("changed", "store.sql", port=21005, reason="x")[3]
    assert run("changed", "store.sql", text, port=21001, reason="y")[0] == 21001


def test_retiring() -> None:
    port, lines, _warnings, after = run("absent", "shop.http", reason="Nobody came")
    assert port == 20001
    assert lines == [
        "-        status: fixed",
        "+        status: retired",
        "+  - date: 2026-11-26",
        "+    what: shop.http is retired",
        "+    why: Nobody came",
        "+    by: Ada",
        "+    changes:",
        "+      - {endpoint: shop.http, from: 20001, to: 20001, status: retired}",
    ]
    assert run("absent", "store.old")[1] == []
    assert run("absent", "gone.http")[:2] == (20009, [])
    assert "there is no such endpoint; did you mean 'shop.http'?" in refused("absent", "shop.htpp")
    # What is retired isn't silently used again.
    options: dict[str, t.Any] = {"text": after, "port": 20001, "reason": "x", "definition": WEB}
    assert "To use it again say so with reuse, and give a reason" in refused(
        "present", "shop.jobs", **options
    )
    assert run("present", "shop.jobs", **{**options, "port": None})[0] != 20001


@pytest.mark.parametrize(
    ("state", "endpoint", "options"),
    [
        ("present", "shop.jobs", {"definition": WEB}),
        ("present", "shop.jobs", {"definition": WEB, "status": "critical", "reason": " "}),
        ("changed", "store.sql", {"port": 21005}),
        ("changed", "shop.admin", {"status": "critical"}),
        ("changed", "shop.http", {"status": "alternative"}),
        ("absent", "shop.http", {}),
        ("present", "store.old", {"reuse": True, "definition": WEB, "status": "alternative"}),
    ],
)
def test_critical_and_fixed_need_a_reason(
    state: str, endpoint: str, options: dict[str, t.Any]
) -> None:
    assert "needs a reason, for the history" in refused(state, endpoint, **options)


def test_a_port_that_was_somebody_s() -> None:
    """The retired endpoint leaves, with an entry, and its comments don't get to others."""
    options: dict[str, t.Any] = {"port": 21000, "reason": "The last one", "definition": WEB}
    assert "21000/tcp is store.old, retired, on back" in refused("present", "store.new", **options)
    _port, lines, _warnings, _after = run("present", "store.new", reuse=True, **options)
    assert lines == [
        "-      old:",
        "+      new:",
        "-        status: retired",
        "+        status: fixed",
        "+        exposure: host",
        "+  - date: 2026-11-26",
        "+    what: store.new gets 21000, which was store.old's",
        "+    why: The last one",
        "+    by: Ada",
        "+    changes:",
        "+      - {endpoint: store.old, from: 21000}",
        "+      - {endpoint: store.new, to: 21000, status: fixed}",
    ]
    assert "20009/tcp was gone.http's until 2026-02-01, which was removed (ports.yml:" in refused(
        "present", "shop.jobs", port=20009, reason="x", definition=WEB
    )
    assert run("present", "shop.jobs", port=20009, reason="x", definition=WEB, reuse=True)[1]


def test_a_service_that_has_nothing_else_leaves_with_it() -> None:
    text = BASE.replace(
        "  store:\n",
        "  relic:\n    description: Old\n    hosts: back\n    environments: [staging]\n"
        "    range: web\n    endpoints:\n      http: {port: 20077, status: retired}\n  store:\n",
    )
    _port, lines, _warnings, after = run(
        "present", "shop.jobs", text, port=20077, reuse=True, reason="x", definition=WEB
    )
    assert "  relic:" not in after
    assert "-  relic:" in lines
    # It was never in the history, so it can't leave there.
    assert "+      - {endpoint: shop.jobs, to: 20077, status: fixed}" in lines
    # Its own new endpoint keeps it.
    definition = {**WEB, "owner": {"process": "relic"}}
    after = run(
        "present", "relic.new", text, port=20077, reuse=True, reason="x", definition=definition
    )[3]
    assert "  relic:\n    description: Old\n" in after


def test_what_is_retired_comes_back_with_a_word() -> None:
    assert "it is retired, with port 21000. To use it again say so with reuse" in refused(
        "present", "store.old"
    )
    _port, lines, _warnings, _after = run(
        "present", "store.old", reuse=True, reason="Needed", definition=WEB
    )
    assert lines == [
        "-        status: retired",
        "+        status: fixed",
        "+        exposure: host",
        "+  - date: 2026-11-26",
        "+    what: store.old is used again, on 21000",
        "+    why: Needed",
        "+    by: Ada",
        "+    changes:",
        "+      - {endpoint: store.old, from: 21000, to: 21000, status: fixed}",
    ]


def test_leased_ports_are_refused_to_others() -> None:
    options: dict[str, t.Any] = {"definition": WEB, "reason": "x", "lent": LEASES}
    assert refused("present", "shop.jobs", port=20003, **options) == (
        "ports.yml: shop.jobs can't be allocated: 20003/tcp is leased to node on front until"
        " 2026-11-26 for: Test (leases.yml:3). Wait for the end, or let its holder end it"
    )
    assert "is leased to node" in refused(
        "changed", "shop.http", port=20003, **{**options, "definition": {}}
    )
    # On other hosts it doesn't matter, unless the inventory says that they are the same.
    assert run("present", "shop.jobs", port=20004, **options)[0] == 20004
    assert "is leased to node on back" in refused(
        "present", "shop.jobs", port=20004, groups={"front": ["a", "b"], "back": ["b"]}, **options
    )
    _port, _lines, warnings, _after = run("present", "shop.jobs", port=20005, **options)
    assert warnings == [
        "20005/tcp was leased to node on front until 2026-11-25 for: Test (leases.yml:5). Remove"
        " the lease when its holder is gone"
    ]


def test_a_port_that_is_held_on_a_host() -> None:
    held = {("tcp", 20050): "held on app by node (user ada)"}
    assert "20050/tcp is held on app by node (user ada)" in refused(
        "present", "shop.jobs", port=20050, definition=WEB, reason="x", held=held
    )


@pytest.mark.parametrize(
    ("state", "endpoint", "options", "message"),
    [
        ("present", "Shop.http", {}, "found the endpoint 'Shop.http', allowed is service.name"),
        ("present", "shop", {}, "found the endpoint 'shop', allowed is service.name"),
        ("present", "sohp.http", {"reason": "x"}, "no service sohp; did you mean 'shop'?"),
        ("present", "shop.x", {"status": "retired"}, "what is new can't be retired"),
        (
            "present",
            "shop.x",
            {"reason": "x", "port": 20001, "definition": WEB},
            "taken by shop.http",
        ),
        ("present", "shop.x", {"reason": "x"}, "exposure: found nothing, allowed is host"),
        ("present", "shop.x", {"reason": "x", "status": "fxed"}, "did you mean 'fixed'"),
        ("present", "shop.x", {"reason": "a\nb", "definition": WEB}, "allowed is one line of text"),
        ("changed", "shop.x", {"port": 20005}, "there is no such endpoint"),
        ("changed", "shop.http", {}, "found neither port nor status"),
        ("changed", "shop.http", {"status": "retired"}, "The state absent retires it"),
        ("changed", "store.old", {"port": 21009}, "it is retired. The state present with reuse"),
    ],
)
def test_what_is_refused(
    state: str, endpoint: str, options: dict[str, t.Any], message: str
) -> None:
    assert message in refused(state, endpoint, **options)


def test_a_range_that_is_full() -> None:
    text = BASE.replace("20000-20999", "20001-20002").replace("20009", "20002")
    assert "no port of web (20001-20002) is free" in refused(
        "present", "shop.jobs", text=text, definition=WEB, reason="x"
    )
    text = BASE.replace("    range: web\n", "").replace(
        "        port: 20001\n", "        port: 19001\n"
    )
    text = text.replace("20002", "19002").replace("20001, s", "19001, s")
    assert "its service has no range to take a port from; give a port" in refused(
        "present", "shop.jobs", text=text, definition=WEB, reason="x"
    )


def test_the_day_of_an_entry() -> None:
    """Where a day began earlier, an entry isn't older than the one before it."""
    text = BASE.replace("2026-02-01", "2026-11-27")
    assert "+  - date: 2026-11-27" in run("changed", "shop.http", text, port=20003, reason="x")[1]
    text = BASE.replace("2026-02-01", "2029-11-27")
    assert (
        "the newest entry of the history is of 2029-11-27 (ports.yml:76), which is to come."
        in refused("changed", "shop.http", text=text, port=20003, reason="x")
    )


def test_a_registry_without_history() -> None:
    text = BASE.partition("history:")[0].replace("status: fixed", "status: alternative")
    text = text.replace("status: critical", "status: alternative")
    _port, lines, _warnings, _after = run("changed", "shop.http", text, port=20003)
    assert lines[2:] == [
        "+history:",
        "+  - date: 2026-11-26",
        "+    what: shop.http moves from 20001 to 20003",
        "+    why: No reason was given",
        "+    by: Ada",
        "+    changes:",
        "+      - {endpoint: shop.http, to: 20003, status: alternative}",
    ]
