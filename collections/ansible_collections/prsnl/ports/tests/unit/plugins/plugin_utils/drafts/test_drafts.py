# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drafts: what a source says is in them, and what it leaves open is told with its line."""

from __future__ import annotations

import json
import pathlib
import typing as t

import hypothesis
import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.drafts import (
    compose,
    exported,
    listeners,
    written,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.drafts.draft import Draft
from ansible_collections.prsnl.ports.plugins.plugin_utils.outputs import guide
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import RegistryError
from hypothesis import strategies as st

HERE = pathlib.Path(__file__).parent
GUIDE = (HERE / "guide.md").read_text(encoding="utf-8")


def line_of(words: str) -> int:
    """The line of the guide that has some words."""
    return next(n for n, line in enumerate(GUIDE.splitlines(), start=1) if words in line)


def told(draft: Draft) -> list[tuple[int, str]]:
    """What isn't settled: the line, and the message."""
    return [(u.line, u.message) for u in draft.unsettled]


def ports(draft: Draft) -> dict[str, tuple[int, str]]:
    """The port and status of every endpoint."""
    return {
        f"{service}.{name}": (endpoint["port"], endpoint["status"])
        for service, entry in draft.data["services"].items()
        for name, endpoint in entry["endpoints"].items()
    }


def test_a_guide_of_people() -> None:
    draft = written.read(GUIDE, "guide.md")
    assert draft.faults() == []
    assert ports(draft) == {
        "web.dev": (4173, "fixed"),
        "web.container": (4180, "fixed"),
        "web.legacy": (4199, "alternative"),
        "web.nobody": (9999, "alternative"),
        "gateway.http": (8700, "fixed"),
        "postgresql.sql": (15433, "critical"),
        "postgresql.spinning": (15432, "retired"),
        "keyhole.main": (11211, "fixed"),
        "metrics_store.main": (8800, "fixed"),
    }
    services = draft.data["services"]
    assert services["web"]["range"] == "web"
    assert services["web"]["endpoints"]["dev"]["config"] == ["web/vite.config.ts"]
    assert services["web"]["endpoints"]["legacy"]["browser_origin"] is True
    assert services["gateway"]["endpoints"]["http"]["routes"] == {"/v1/": "Core, Everything"}
    assert services["postgresql"]["endpoints"]["sql"]["probe"] == "postgres"
    assert services["keyhole"]["replaces"] == "memcached"
    assert {n: span["ports"] for n, span in draft.data["ranges"].items()} == {
        "web": "4000-4999",
        "gateway": "8000-8999",
        "databases": "15000-15999",
    }
    assert list(draft.data["rules"].values()) == [
        "ASK FIRST before a port is taken",
        "WRITE IT DOWN here, not in a chat",
    ]
    moves = [
        (entry["date"], change["endpoint"], change["from"], change["to"], entry["why"])
        for entry in draft.data["history"]
        for change in entry["changes"]
        if "from" in change
    ]
    assert moves == [
        ("2025-02-06", "web.dev", 4199, 4173, "the old page"),
        ("2025-03-07", "postgresql.sql", 15432, 15433, "Faster disks"),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("Web Container", "web.container stands among the ports of development and is described"),
        ("Unreadable", "no service and port can be read from '???'"),
        ("Nobody knows", "9999 of web.nobody lies in no range; why?"),
        ("| Keyhole |", "nothing says what status keyhole.main has; taken: fixed"),
        ("| soon |", "no range of ports can be read here"),
        ("15432 for PostgreSQL", "15432 is postgresql's retired port, use 15433"),
        ('"15432:5432"', "15432 is postgresql's retired port, use 15433"),
        ("7001 to 7002", "nothing says which endpoint moved to 7002"),
        ("2025-01-05", "nothing says who made the change of 2025-01-05"),
        ("# Where", "nothing says on which hosts the services are"),
        ("# Where", "nothing says who may reach gateway.http, keyhole.main"),
        ("Web Dev", "nothing says whether web.dev is an origin for CORS too"),
        (
            "Web Dev",
            "nothing says whether production has gateway.http, postgresql.sql, web.dev too",
        ),
        ("Legacy page", "nothing says which environment has web.legacy, web.nobody; drafted: all"),
        ("| Keyhole |", "nothing says which range keyhole belongs to; drafted: none"),
        ("Keyhole on port", "nothing says when keyhole took the place of memcached on 11211"),
    ],
)
def test_what_a_guide_leaves_open(words: str, message: str) -> None:
    found = told(written.read(GUIDE, "guide.md"))
    assert any(line == line_of(words) and message in text for line, text in found), found


def test_a_port_of_nobody() -> None:
    text = "## Spare Ports\n\n| Port | Purpose |\n|---|---|\n| 4711 | For a rainy day |\n"
    found = told(written.read(text, "guide.md"))
    assert (5, "nothing says whose port 4711 is (For a rainy day)") in found


def test_a_port_of_two_services() -> None:
    text = GUIDE.replace("| 15433 | **CRITICAL**", "| 4173 | **CRITICAL**")
    found = told(written.read(text, "guide.md"))
    assert (line_of("PostgreSQL ARM64"), "4173 of postgresql is web.dev's already") in found


def test_a_draft_that_is_no_registry_says_what_it_lacks() -> None:
    draft = written.read(GUIDE, "guide.md")
    del draft.data["services"]["web"]["owner"]
    (fault, *others) = draft.faults("draft.yml")
    assert fault.startswith("draft.yml:")
    assert "services.web.endpoints.dev.owner: found nothing, here or for the service" in fault
    assert len(others) == 3


@hypothesis.given(st.lists(st.sampled_from(GUIDE.splitlines()), max_size=60))
def test_any_lines_of_a_guide_can_be_read(lines: list[str]) -> None:
    """In any order, without a traceback, and with lines that exist."""
    draft = written.read("\n".join(lines), "guide.md")
    draft.faults()
    assert all(0 <= line <= max(len(lines), 1) for line, _message in told(draft))


def test_a_draft_exported_and_read_again_is_the_same() -> None:
    draft = written.read(GUIDE, "guide.md")
    text = guide.guide(load.parse(draft.text().encode(), "ports.yml"), "ports.yml")
    assert exported.read(text, "ports.md") == draft.data


COMPOSE = {
    "compose.yml": """\
services:
  Web-UI:
    image: registry.example/own/web:1.2
    ports: ["127.0.0.1:4173:80", "4180-4190:80", "80"]
  db:
    image: postgres:16
    ports:
      - "${DB_PORT:-15433}:5432"
      - target: 5433
        published: "15434"
        host_ip: 127.0.0.1
  dns:
    build: .
    ports: ["5353:53/udp", "$DNS_PORT:54"]
  quiet:
    image: redis
""",
    "other.yml": "services:\n  twin: {image: x, ports: ['4173:1']}\n",
    "none.yml": "a: [\n",
}


def test_compose_files() -> None:
    draft = compose.read(COMPOSE)
    assert draft.faults() == []
    assert ports(draft) == {
        "web_ui.main": (4173, "alternative"),
        "db.main": (15433, "alternative"),
        "db.port_5433": (15434, "alternative"),
        "dns.main": (5353, "alternative"),
    }
    services = draft.data["services"]
    assert services["web_ui"]["endpoints"]["main"]["exposure"] == "host"
    assert services["db"]["endpoints"]["main"]["consumers"] == ["db"]
    assert services["db"]["endpoints"]["port_5433"]["exposure"] == "host"
    assert services["dns"]["endpoints"]["main"]["protocol"] == "udp"
    assert services["db"]["owner"] == {"process": "postgres"}
    found = {str(u) for u in draft.unsettled}
    for message in (
        "compose.yml:4: Web-UI publishes a range: 4180-4190",
        "compose.yml:4: Web-UI publishes 80 on a port that varies",
        "compose.yml:8: db publishes ${DB_PORT:-15433}; drafted: its default",
        "compose.yml:14: dns publishes a variable: $DNS_PORT",
        "other.yml:2: twin publishes 4173, which web_ui has; left out",
    ):
        assert message in found, found
    assert any(text.startswith("none.yml:1: not YAML") for text in found)


LISTENERS: list[dict[str, t.Any]] = [
    {"port": 15433, "address": "0.0.0.0", "process": "postgres", "user": "postgres"},
    {"port": 15433, "address": "::", "process": "postgres", "user": "postgres"},
    {"port": 8700, "address": "127.0.0.1", "process": "python3", "unit": "gateway@1.service"},
    {"port": 8701, "address": "127.0.0.1", "process": "python3", "unit": "gateway@1.service"},
    {"port": 8700, "address": "192.0.2.1", "process": "other"},
    {"port": 53, "address": "::1", "process": "named", "protocol": "udp", "container": "dns-1"},
    {"port": 4711, "address": "::", "process": None},
]


def test_what_a_host_listens_on() -> None:
    for text in (json.dumps({"listeners": LISTENERS, "unseen": ""}), json.dumps(LISTENERS)):
        draft = listeners.read(text, "sockets.json")
        assert draft.faults() == []
        assert ports(draft) == {
            "dns_1.main": (53, "alternative"),
            "gateway.main": (8700, "alternative"),
            "gateway.port_8701": (8701, "alternative"),
            "postgres.main": (15433, "alternative"),
        }
        services = draft.data["services"]
        assert services["gateway"]["endpoints"]["main"]["exposure"] == "host"
        assert services["gateway"]["owner"] == {"process": "python3", "unit": "gateway@1.service"}
        assert services["postgres"]["endpoints"]["main"]["exposure"] == "internal"
        assert [message for _line, message in told(draft)] == [
            "nothing says who listens on 4711/tcp on ::: read the sockets with become: true",
            "other listens on 8700/tcp on 192.0.2.1, which gateway has on another address; left"
            " out",
            "postgres.main (15433) can be reached from other hosts, and nothing says who may;"
            " drafted: postgres itself",
        ]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"listeners": [{"port": "80"}]}'])
def test_what_is_no_list_of_sockets(text: str) -> None:
    with pytest.raises(RegistryError, match=r"sockets\.json:1: found .* allowed is a result of"):
        listeners.read(text, "sockets.json")


def test_a_unit_of_the_system_is_drafted_with_its_word() -> None:
    found = [{"port": 22, "address": "0.0.0.0", "process": "sshd", "unit": "ssh.service"}]
    draft = listeners.read(json.dumps({"listeners": found}), "sockets.json")
    assert draft.data["services"]["ssh"]["owner"] == {
        "process": "sshd",
        "unit": "ssh.service",
        "system": True,
    }
    assert draft.faults() == []
    assert any("ssh is of the system itself" in message for _line, message in told(draft))
