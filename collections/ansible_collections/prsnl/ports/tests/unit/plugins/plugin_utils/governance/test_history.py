# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history against an earlier one."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance import history
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load, source
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import dotted
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import Registry

BASE = (pathlib.Path(__file__).parents[1] / "registry" / "base.yml").read_text(encoding="utf-8")
ENTRY = """\
  - date: 2026-03-01
    what: It changed
    why: It had to
    by: Ada
    changes:
      - {CHANGE}
"""
ADMIN = "endpoint: shop.admin, to: 20003, status: alternative"


def told(after: str, before: str = BASE) -> list[str]:
    """What is wrong, as `path: message`; the registries needn't be without faults."""
    old, new = (
        Registry.from_data(source.parse(text.encode())[0], "ports.yml", text.encode())
        for text in (before, after)
    )
    return [f"{dotted(b.path)}: {b.message}" for b in history.breaches(old, new, "main")]


def with_entry(text: str, change: str) -> str:
    return text + ENTRY.replace("CHANGE", change)


def test_nothing_new() -> None:
    assert told(BASE) == []
    assert told(BASE.replace("\n", "\r\n") + "# a comment\r\n") == []
    assert told(BASE.replace("exposure: public", "exposure: host")) == []


@pytest.mark.parametrize(
    ("old", "new", "entry", "path", "command"),
    [
        (
            "port: 20002",
            "port: 20003",
            ADMIN,
            "services.shop.endpoints.admin.port",
            "ports move shop.admin 20003 --reason",
        ),
        (
            "status: alternative\n        exposure: host",
            "status: fixed\n        exposure: host",
            "endpoint: shop.admin, to: 20002, status: fixed",
            "services.shop.endpoints.admin.status",
            "ports move shop.admin --status fixed --reason",
        ),
        (
            "status: alternative\n        exposure: host",
            "status: retired\n        exposure: host",
            "endpoint: shop.admin, to: 20002, status: retired",
            "services.shop.endpoints.admin.status",
            "ports retire shop.admin --reason",
        ),
        (
            "port: 21000\n        status: retired",
            "port: 21000\n        exposure: host\n        status: alternative",
            "endpoint: store.old, from: 21000, to: 21000, status: alternative",
            "services.store.endpoints.old.status",
            "ports allocate store.old --reuse --reason",
        ),
        (
            "port: 21000\n        status: retired\n",
            "port: 21000\n        status: retired\n      older:\n        port: 21009\n"
            "        status: retired\n",
            "endpoint: store.older, to: 21009, status: retired",
            "services.store.endpoints.older.port",
            "ports allocate store.older --port 21009 --status retired --reason",
        ),
        (
            "port: 20001\n        status: fixed\n        exposure: public\n        routes:\n"
            "          /shop/: Shop\n",
            "port: 20001\n        protocol: udp\n        status: fixed\n        exposure: public\n",
            "endpoint: shop.http, from: 20001, to: 20001, status: fixed",
            "services.shop.endpoints.http.status",
            "ports move shop.http --reason",
        ),
    ],
)
def test_a_change_needs_its_entry(old: str, new: str, entry: str, path: str, command: str) -> None:
    """The message says how, with the entry that would do; with it all is well."""
    assert old in BASE
    after = BASE.replace(old, new, 1)
    (text,) = told(after)
    assert text.startswith(f"{path}: found ")
    assert " in main, without an entry in history. Take the change back, and let `" in text
    assert f"`{command} ...` make it, or add at the end of history:\n  - date: ...\n" in text
    assert text.endswith(f"      - {{{entry}}}")
    good = with_entry(after, entry)
    load.parse(good.encode(), "ports.yml")
    assert told(good) == []


def test_an_endpoint_that_is_gone_needs_one_too() -> None:
    after = BASE.replace("      old:\n        port: 21000\n        status: retired\n", "")
    (text,) = told(after)
    assert text.startswith(
        "services.store: found no store.old, but 21000/tcp retired in main, without an entry"
    )
    assert text.endswith("- {endpoint: store.old, from: 21000}")
    good = with_entry(after, "endpoint: store.old, from: 21000")
    load.parse(good.encode(), "ports.yml")
    assert told(good) == []


def test_what_is_tried_out_needs_none() -> None:
    new = "      beta:\n        port: 20004\n        status: alternative\n        exposure: host\n"
    assert told(BASE.replace("      admin:\n", f"{new}      admin:\n")) == []


def test_an_entry_must_say_what_is() -> None:
    """One about another port, and an old one, don't do."""
    after = BASE.replace("port: 20002", "port: 20003")
    assert told(with_entry(after, ADMIN)) == []
    assert told(with_entry(after, ADMIN.replace("20003", "20004")))
    assert told(with_entry(after, ADMIN.replace("alternative", "fixed")))
    # An entry from before that says what was before.
    before = with_entry(BASE, ADMIN.replace("20003", "20002"))
    assert told(with_entry(after, ADMIN.replace("20003", "20002")), before)
    # One that was ahead of the change is its entry.
    assert told(with_entry(after, ADMIN), with_entry(BASE, ADMIN)) == []


@pytest.mark.parametrize(
    ("old", "new", "path", "message"),
    [
        (
            "why: Its port is in use elsewhere",
            "why: We liked the number",
            "history[1].why",
            "the entry of 2026-02-01, 'The store moved', was rewritten since main: why. What was",
        ),
        ("by: Ada", "by: Bob", "history[0].by", "'Start', was rewritten since main: by."),
        (
            "      - {endpoint: gone.http, to: 20009, status: fixed}\n",
            "",
            "history[0].changes",
            "the entry of 2026-01-01, 'Start', was rewritten since main: changes.",
        ),
        (
            "date: 2026-01-01",
            "date: 2026-01-02",
            "history[0].date",
            "was rewritten since main: date",
        ),
    ],
)
def test_entries_stay_as_they_are(old: str, new: str, path: str, message: str) -> None:
    (text,) = told(BASE.replace(old, new, 1))
    assert text.startswith(f"{path}: ")
    assert message in text
    assert (
        "put it back (git diff main -- ports.yml), and add an entry at the end that says what is"
        in text
    )


def test_entries_stay() -> None:
    first, second = BASE.index("  - date: 2026-01-01"), BASE.index("  - date: 2026-02-01")
    (text,) = told(BASE[:second])
    assert text.startswith("history: the entry of 2026-02-01, 'The store moved', was removed since")
    assert len(told(BASE[:first])) == 2
    assert len(told(BASE.partition("history:")[0])) == 2
    (text,) = told(BASE[:first] + BASE[second:] + BASE[first:second])
    assert text.startswith("history[0]: the entry of 2026-02-01, 'The store moved', has another pl")


def test_an_entry_may_come_between() -> None:
    """As it does when two branches are merged."""
    second = BASE.index("  - date: 2026-02-01")
    entry = ENTRY.replace("CHANGE", ADMIN).replace("2026-03-01", "2026-01-15")
    after = BASE[:second] + entry + BASE[second:]
    assert told(after.replace("port: 20002", "port: 20003")) == []


def test_what_was_recorded_twice_stays_twice() -> None:
    twice = with_entry(with_entry(BASE, ADMIN), ADMIN)
    assert told(twice, twice) == []
    assert told(with_entry(BASE, ADMIN), twice)
