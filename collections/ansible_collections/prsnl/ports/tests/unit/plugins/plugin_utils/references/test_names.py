# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is meant by a name, and what a port was."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import Hint
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.names import Names
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.ports import Ports
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load

HERE = pathlib.Path(__file__).parent
TEXT = (HERE / "ports.yml").read_text(encoding="utf-8")
NAMES = Names(load.parse(TEXT.encode(), "ports.yml"))


def meaning(hint: Hint, text: str) -> str:
    """The services that a name means; those that it means weakly in brackets."""
    found = NAMES.meaning((hint, text))
    return " ".join([*sorted(found.strong), *(f"({name})" for name in sorted(found.weak))])


@pytest.mark.parametrize(
    ("hint", "text", "expected"),
    [
        (Hint.IMAGE, "postgres:16-alpine", "postgresql"),
        (Hint.IMAGE, "registry:5000/x/postgis@sha256:0", "postgresql"),
        (Hint.IMAGE, "prodrigestivill/postgres-backup-local", ""),
        (Hint.IMAGE, "quay.io/prometheuscommunity/postgres-exporter:v0", "postgres_exporter"),
        (Hint.IMAGE, "docker.dragonflydb.io/dragonflydb/dragonfly", "dragonfly"),
        (Hint.IMAGE, "own/backend:latest", "backend"),
        (Hint.IMAGE, "mysql", ""),
        (Hint.LABEL, "db", "(postgresql)"),
        (Hint.LABEL, "shop_postgres_1", "postgresql"),
        (Hint.LABEL, "shop-db", "(postgresql)"),
        (Hint.LABEL, "postgres-db", "postgresql"),
        (Hint.LABEL, "postgres-test", "postgresql"),
        (Hint.LABEL, "postgres-ui", ""),
        (Hint.LABEL, "wait-for-postgres", ""),
        (Hint.LABEL, "grafana-db", "(postgresql)"),
        (Hint.LABEL, "shop-frontend.service", "frontend"),
        (Hint.WORDS, "POSTGRES_EXPORTER_PORT", "postgres_exporter"),
        (Hint.WORDS, "postgresExporterPort", "postgres_exporter"),
        (Hint.WORDS, "PGPORT", "postgresql"),
        (Hint.WORDS, "dbPort", "(postgresql)"),
        (Hint.WORDS, "BACKEND_DB_PORT", "backend (postgresql)"),
        (Hint.WORDS, "VITE_API_URL", "(backend)"),
        (Hint.WORDS, "DragonflyDB", "dragonfly"),
        (Hint.WORDS, "support report export", ""),
        (Hint.SCHEME, "postgresql+asyncpg", "postgresql"),
        (Hint.SCHEME, "rediss", "dragonfly"),
        (Hint.SCHEME, "mysql", ""),
        (Hint.PROGRAM, "/usr/lib/postgresql/16/bin/pg_isready", "postgresql"),
        (Hint.PROGRAM, "python3", ""),
        (Hint.ROUTE, "/api/items", "(backend)"),
        (Hint.ROUTE, "^/api/", "(backend)"),
        (Hint.ROUTE, "/", "(frontend)"),
        (Hint.ROUTE, "/other", ""),
    ],
)
def test_names(hint: Hint, text: str, expected: str) -> None:
    assert meaning(hint, text) == expected


def test_a_name_of_two_services_means_both() -> None:
    """What the number says has to decide then."""
    second = """\
  archive:
    description: Another database
    hosts: data
    environments: [production]
    owner: {process: postgres}
    endpoints:
      sql: {port: 15999, status: alternative, exposure: host, probe: postgres}
  grafana:
"""
    names = Names(load.parse(TEXT.replace("  grafana:\n", second, 1).encode(), "ports.yml"))
    assert names.meaning((Hint.IMAGE, "postgres")).strong == {"postgresql", "archive"}
    assert names.meaning((Hint.LABEL, "postgresql")).strong == {"postgresql"}


def past(text: str, service: str, port: int) -> tuple[bool, str | None] | None:
    """Whether a port is retired, and the endpoint that took its place."""
    found = Ports(load.parse(text.encode(), "ports.yml")).past_of(service, port)
    return (found.retired, found.use.id if found.use else None) if found else None


def test_what_a_port_was() -> None:
    assert past(TEXT, "postgresql", 5432) == (True, "postgresql.sql")
    assert past(TEXT, "backend", 8000) == (False, "backend.http")
    assert past(TEXT, "search", 9200) == (False, None)
    # It still has it, though by another endpoint.
    assert past(TEXT, "frontend", 3002) is None
    assert past(TEXT, "postgresql", 5433) is None
    assert past(TEXT, "postgresql", 8000) is None


def test_a_port_that_moved_twice_leads_to_where_it_is() -> None:
    moved = (
        TEXT.replace("port: 8010", "port: 8020")
        + """\
  - date: 2025-08-01
    what: Again
    why: Again
    by: Ada
    changes:
      - {endpoint: backend.http, from: 8010, to: 8020, status: fixed}
"""
    )
    assert past(moved, "backend", 8000) == past(moved, "backend", 8010) == (False, "backend.http")


def test_a_port_that_came_back_is_no_past() -> None:
    back = (
        TEXT.replace("port: 8010", "port: 8000")
        + """\
  - date: 2025-08-01
    what: Back
    why: Back
    by: Ada
    changes:
      - {endpoint: backend.http, from: 8010, to: 8000, status: fixed}
"""
    )
    assert past(back, "backend", 8000) is None
    assert past(back, "backend", 8010) == (False, "backend.http")


def test_whoever_had_a_port_last_is_meant() -> None:
    """The development server had 3003 before the container had it."""
    moved = (
        TEXT.replace("port: 3003", "port: 3013")
        + """\
  - date: 2025-08-01
    what: The container moved
    why: For room
    by: Ada
    changes:
      - {endpoint: frontend.container, from: 3003, to: 3013, status: fixed}
"""
    )
    assert past(moved, "frontend", 3003) == (False, "frontend.container")
